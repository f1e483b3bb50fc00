"""Paired rounds: theirs, ours, theirs, ours; a figure is the median of the rounds' ratios, with its quartiles."""

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import torch

Step = Callable[[], object]

BLOCK_SECONDS = {"cpu": 2e-4, "cuda": 2e-3}
"""Calls shorter than this are timed several at once: the clock's, and the device's, overhead then does not count."""


@dataclass(frozen=True)
class Spread:
    """A median and the quartiles below and above it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)


@dataclass(frozen=True)
class Rounds:
    """Seconds that one call of each step took, round by round."""

    seconds: tuple[tuple[float, ...], ...]

    def of(self, step: int) -> Spread:
        return Spread.of(times[step] for times in self.seconds)

    def ratio(self, over: int, under: int) -> Spread:
        """Of the two steps' times, each from the same round."""
        return Spread.of(times[over] / times[under] for times in self.seconds)


def run(steps: Sequence[Step], seconds: float, device: torch.device, least: int = 7, most: int = 2000) -> Rounds:
    """Runs all steps in turn for about so many seconds; the order is reversed from round to round.

    So neighbours stay neighbours and none is always first: theirs, ours, copy, copy, ours, theirs. Steps have been
    called before. Garbage collection waits.
    """
    gc.collect()
    collecting = gc.isenabled()
    gc.disable()
    try:
        shortest = min(_warmed(step, device) for step in steps)
        calls = max(1, int(BLOCK_SECONDS[device.type] / shortest))
        found: list[tuple[float, ...]] = []
        end = time.perf_counter() + seconds
        while len(found) < least or (time.perf_counter() < end and len(found) < most):
            if len(found) % 2:
                found.append(tuple(_block(step, calls, device) for step in reversed(steps))[::-1])
            else:
                found.append(tuple(_block(step, calls, device) for step in steps))
    finally:
        if collecting:
            gc.enable()
    return Rounds(tuple(found))


def first_call(step: Step, device: torch.device) -> float:
    """Seconds of the first call, which compiles what is compiled."""
    return _block(step, 1, device)


def _warmed(step: Step, device: torch.device) -> float:
    """Seconds of a call, after one (after ten, if it is quick) that does not count."""
    once = _block(step, 1, device)
    return min(once, _block(step, 10 if once < 1e-3 else 1, device))


def _block(step: Step, calls: int, device: torch.device) -> float:
    """Seconds of one call, from so many in a row; on a GPU by its own clock, from an idle device to the last kernel."""
    if device.type == "cpu":
        began = time.perf_counter()
        for _ in range(calls):
            step()
        return (time.perf_counter() - began) / calls
    start, end = (torch.Event(device, enable_timing=True) for _ in range(2))
    torch.accelerator.synchronize(device)
    start.record()
    for _ in range(calls):
        step()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3 / calls
