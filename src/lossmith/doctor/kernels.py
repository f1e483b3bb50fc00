"""Every kernel against the reference: value and gradients, in each dtype, on each instruction set or on a GPU."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.testing._comparison import default_tolerances

from .. import backend, native
from ..bench.workloads import CASES, Inputs, Workload, workloads

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
REDUCTIONS = ("mean", "none")
SMALL, LARGE = "1003", "100003"
"""Numbers of elements, odd so that vectors have a rest: one thread takes the small ones, all threads the large ones."""
_FRAMES = {SMALL: (40, 3, 7), LARGE: (100, 8, 50)}
"""CTC's frames, samples and classes."""
_BATCH = {SMALL: (59, 17), LARGE: (317, 315)}
"""Vectors that are all compared, and their width."""


@dataclass(frozen=True)
class Check:
    """One loss in one dtype, in every reduction and on every instruction set (a GPU has one way to run)."""

    name: str
    loss: str
    dtype: str
    large: bool
    kernel: bool
    """Whether a kernel is made for this call at all."""
    difference: float
    """The greatest between kernel and reference; infinite where a NaN or another shape came out."""
    problems: tuple[str, ...]
    ways: tuple[str, ...]
    """The instruction sets, or Triton."""

    @property
    def ok(self) -> bool:
        return not self.problems


@dataclass(frozen=True)
class Way:
    """How kernels run."""

    name: str
    backend: str
    """As `explain_dispatch` calls it."""
    forced: str = ""
    """LOSSMITH_BACKEND."""

    @contextmanager
    def taken(self, threads: int) -> Iterator[None]:
        with _forced(self.forced), _threads(threads), _instruction_set(self.name if self.backend == "native" else None):
            yield


def ways(device: torch.device) -> list[Way]:
    """All that a device has; none where there are no kernels for it."""
    if device.type != "cpu":
        return [Way("Triton", "triton")]
    if backend.INTERPRETED and backend.FORCED == "triton":
        return [Way("Triton", "triton", "triton")]
    return [] if native.missing else [Way(name, "native") for name in native.core.available()]


CPU = torch.device("cpu")


def check_kernels(device: torch.device = CPU) -> list[Check]:
    """All checks, in a few seconds; none where there are no kernels."""
    every = ways(device)
    if not every:
        return []
    plan = [(SMALL, dtype) for dtype in DTYPES] + [(LARGE, torch.float32)]
    threads = torch.get_num_threads()
    # on a busy machine the threads of many short steps wait for each other, seconds in all: the kernels alone have them
    with torch.random.fork_rng(devices=[]), _threads(1):
        return [check(w, dtype, threads, every, device) for size, dtype in plan for w in _workloads(size)]


def check(workload: Workload, dtype: torch.dtype, threads: int, every: Sequence[Way], device: torch.device) -> Check:
    """Runs the reference once and the kernels in each way, and compares."""
    inputs = workload.inputs(dtype, device)
    problems: list[str] = []
    greatest, kernel = 0.0, False
    for reduction in REDUCTIONS:
        try:
            with _forced("reference"):
                expected = _results(workload, inputs, reduction)
        except Exception as error:  # of any kind: it is shown, and the other checks go on
            problems.append(f"{reduction}, reference: {_said(error)}")
            continue
        for way in every:
            where = f"{reduction}, {way.name}"
            try:
                with way.taken(threads), backend.recorded() as dispatched:
                    found = _results(workload, inputs, reduction)
            except Exception as error:
                problems.append(f"{where}: {_said(error)}")
                continue
            kernel = kernel or bool(dispatched)
            problems += [f"{where}: no kernel ran: {d.reason}" for d in dispatched if d.backend != way.backend]
            for what, ours, theirs in zip(_names(workload), found, expected, strict=True):
                apart = _difference(ours, theirs)
                greatest = max(greatest, apart)
                if not _close(ours, theirs):
                    problems.append(f"{where}: the {what} differs by {apart:.2g}")
    case = workload.case
    said, names = tuple(dict.fromkeys(problems)), tuple([way.name for way in every])
    dtype_name = str(dtype).removeprefix("torch.")
    return Check(case.name, case.loss, dtype_name, workload.size == LARGE, kernel, greatest, said, names)


def _workloads(size: str) -> Iterator[Workload]:
    """Every case that is a loss's own call; the others are detours to the same kernels."""
    frames = (Workload(case, size, _FRAMES[size]) for case in CASES if case.layout == "frames")
    batches = (Workload(case, size, _BATCH[size]) for case in CASES if case.layout == "batch")
    yield from (w for w in (*workloads(size), *frames, *batches) if w.case.ours is None)


def _results(workload: Workload, inputs: Inputs, reduction: str) -> Sequence[Tensor]:
    """The value and the gradients."""
    keywords: dict[str, Any] = inputs.keywords | {"reduction": reduction}
    value = workload.ours(*inputs.args, **keywords)
    upstream = torch.linspace(0.5, 1.5, value.numel(), device=value.device).reshape(value.shape).to(value.dtype)
    if reduction == "mean":
        upstream = torch.ones_like(value)
    return value.detach(), *torch.autograd.grad(value, inputs.wanted, upstream)


def _names(workload: Workload) -> Iterator[str]:
    yield "value"
    for position in workload.case.predictions:
        yield f"gradient of argument {position + 1}"


def _close(ours: Tensor, theirs: Tensor) -> bool:
    rtol, atol = default_tolerances(ours, theirs)
    # what cancels to a small number carries the rounding of its large neighbours
    size = theirs.abs().nan_to_num(posinf=0).max().item() if theirs.numel() else 0.0
    try:
        torch.testing.assert_close(ours, theirs, rtol=rtol, atol=atol * max(1.0, size), equal_nan=True)
    except AssertionError:
        return False
    return True


def _difference(ours: Tensor, theirs: Tensor) -> float:
    if ours.shape != theirs.shape:
        return float("inf")
    same = (ours == theirs) | (ours.isnan() & theirs.isnan())
    apart = torch.where(same, 0.0, (ours.double() - theirs.double()).abs())
    return apart.nan_to_num(nan=float("inf")).max().item()


def _said(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


@contextmanager
def _forced(name: str) -> Iterator[None]:
    """As if LOSSMITH_BACKEND were this."""
    before, backend.FORCED = backend.FORCED, name
    try:
        yield
    finally:
        backend.FORCED = before


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _instruction_set(name: str | None) -> Iterator[None]:
    if name is None:
        yield
        return
    before = native.core.isa()
    native.core.use_isa(name)
    try:
        yield
    finally:
        native.core.use_isa(before)
