"""Paired rounds: theirs, ours, theirs, ours; the figure is the median of the ratios, with its quartiles."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Ratio:
    """theirs / ours: above 1, ours is faster."""

    median: float
    low: float
    high: float
    theirs_ms: float
    ours_ms: float


def paired(theirs: Callable[[], object], ours: Callable[[], object], seconds: float, warm: int = 3) -> Ratio:
    """Runs both in turn for about so many seconds, at least 7 rounds; who goes first alternates."""
    for _ in range(warm):
        theirs()
        ours()
    pairs: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while len(pairs) < 7 or (time.perf_counter() < end and len(pairs) < 2000):
        if len(pairs) % 2:
            ours_time, theirs_time = _timed(ours), _timed(theirs)
        else:
            theirs_time, ours_time = _timed(theirs), _timed(ours)
        pairs.append((theirs_time, ours_time))
    ratios = [t / o for t, o in pairs]
    low, _, high = statistics.quantiles(ratios, n=4)
    theirs_ms, ours_ms = (1e3 * statistics.median(p[i] for p in pairs) for i in (0, 1))
    return Ratio(statistics.median(ratios), low, high, theirs_ms, ours_ms)


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def forward_backward(
    loss: Callable[..., torch.Tensor], args: tuple[object, ...], kwargs: dict[str, object]
) -> Callable[[], None]:
    """A training step's share: value and gradient of every input that wants one."""
    wanted = [a for a in args if isinstance(a, torch.Tensor) and a.requires_grad]

    def step() -> None:
        for tensor in wanted:
            tensor.grad = None
        loss(*args, **kwargs).backward()

    return step
