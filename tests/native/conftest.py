"""What every test of the kernels runs under: results poisoned with NaN, a choice of instruction set; how it asserts."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_leaves

from cases import CASES, Arguments, Case
from lossmith import backend
from lossmith.loops import fused
from lossmith.native import core, missing

REDUCTIONS = ("none", "sum", "mean", "batchmean")
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
HALVES = (torch.float16, torch.bfloat16)
ISAS: Sequence[str] = core.available() if core else ("none",)
NATIVE_CASES = [case for case in CASES if case.variant != "of one's own"]
"""The cases whose losses have a kernel: a distance of one's own is torch's work."""

SIMILARITIES = ("arcface_loss", "cosface_loss", "info_nce_loss", "siglip_loss", "supcon_loss")
"""Losses whose kernels run on tiles of similarities, between products of vectors that torch makes."""
SIMILARITY_CASES = [case for case in NATIVE_CASES if case.loss in SIMILARITIES]
AROUND = ("wasserstein_loss-root", "wasserstein_loss-sliced, p 2")
"""Cases of which a part is torch's: the root of the kernel's losses, projections before it."""
WHOLE_CASES = [case for case in NATIVE_CASES if case.loss not in SIMILARITIES and str(case) not in AROUND]
"""The cases whose losses are one call of a kernel, on the tensors that the caller gave."""

each_case = pytest.mark.parametrize("case", NATIVE_CASES, ids=str)
each_whole_case = pytest.mark.parametrize("case", WHOLE_CASES, ids=str)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))
each_isa = pytest.mark.parametrize("isa", ISAS, indirect=True)
each_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)


def everything() -> bool:
    """Whether all cases are asked for: `pytest --all` says so in the environment."""
    return os.environ.get("LOSSMITH_TESTS") == "all"


@pytest.fixture(autouse=True)
def kernels() -> None:
    if core is None:
        pytest.skip(f"no kernels to test: {missing}")


@pytest.fixture(autouse=True)
def poisoned(kernels: None) -> Iterator[None]:
    """Fresh memory is full of NaN (of the greatest integer): what a kernel does not write is found."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    assert torch.empty(3).isnan().all() and torch.empty_strided((), ()).isnan()
    yield
    torch.use_deterministic_algorithms(before)


@pytest.fixture
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    with instruction_set(request.param):
        yield request.param


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets torch's number of threads."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def kernel_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[Any, ...]]]:
    """Every call of a kernel: its name and its arguments."""
    calls: list[tuple[str, tuple[Any, ...]]] = []

    def spy(name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            # lists as they are now: the caller goes on to fill them
            calls.append((name, tuple(list(a) if isinstance(a, list) else a for a in args)))
            return kernel(*args)

        return call

    for name in ("pointwise", "rowwise", "pairwise", "lattice", "transport", "overlap", "triplets"):
        monkeypatch.setattr(core, name, spy(name, getattr(core, name)))
    return calls


@contextmanager
def instruction_set(name: str) -> Iterator[None]:
    before = core.isa()
    core.use_isa(name)
    try:
        yield
    finally:
        core.use_isa(before)


@contextmanager
def reference() -> Iterator[None]:
    """No kernel runs here."""
    before, backend.FORCED = backend.FORCED, "reference"
    try:
        yield
    finally:
        backend.FORCED = before


@contextmanager
def ran_natively() -> Iterator[list[backend.Dispatch]]:
    """Kernels run here, forward and backward, and nothing else."""

    def refuse(*_: Any) -> None:
        raise AssertionError("a gradient was computed by the reference")

    with backend.recorded() as records, pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused, "differentiated", refuse)
        yield records
    assert records, "no loss was called"
    others = [record for record in records if record.backend != "native"]
    assert not others, f"no kernel ran: {others[0]}"


def same(given: Any, expected: Any, **tolerances: float) -> None:
    torch.testing.assert_close(given, expected, equal_nan=True, **tolerances)


def identical(given: Any, expected: Any) -> None:
    same(given, expected, rtol=0, atol=0)


def same_bits(given: Any, expected: Any) -> None:
    """The same numbers, the signs of zeros and of NaN among them."""
    pairs = zip(tree_leaves(given), tree_leaves(expected), strict=True)
    for i, (x, y) in enumerate(pairs):
        assert x.dtype == y.dtype and x.shape == y.shape
        if not torch.equal(*(t.contiguous().reshape(-1).view(torch.uint8) for t in (x, y))):
            raise AssertionError(f"result {i}: {(x != y).sum()} of {x.numel()} numbers differ, {x} from {y}")


def random_tensor(
    shape: Sequence[int], seed: int, low: float = -1.0, high: float = 1.0, dtype: torch.dtype = torch.float64
) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.zeros(tuple(shape), dtype=torch.float64).uniform_(low, high, generator=generator)
    return drawn.to(dtype)


def mask_for(shape: Sequence[int], seed: int = 2) -> torch.Tensor:
    """Some True, some False, in every batch of two or more."""
    mask = random_tensor(shape, seed) > -0.3
    mask[:1], mask[1:2] = True, False
    return mask


def leaves_of(case: Case) -> tuple[str, ...]:
    """What a kernel differentiates: not the weights of classes."""
    return tuple(name for name in case.differentiable if name != "weight" or name in case.axes)


def evaluate(
    function: Callable[..., torch.Tensor],
    arguments: Arguments,
    leaves: Sequence[str],
    upstream: torch.Tensor | None = None,
    **keywords: Any,
) -> tuple[torch.Tensor, dict[str, torch.Tensor | None]]:
    """The loss and the gradients in the leaves, which are given in their layout."""
    every = {**arguments, **keywords}
    points = {name: every[name].detach().requires_grad_() for name in leaves}
    loss = function(**{**every, **points})
    if not loss.requires_grad:
        return loss, dict.fromkeys(leaves)
    if upstream is not None:
        upstream = upstream.to(loss.dtype).expand(loss.shape)
    found = torch.autograd.grad(loss, [*points.values()], upstream, allow_unused=True)
    return loss.detach(), dict(zip(points, found, strict=True))


def to_dtype(arguments: Arguments, dtype: torch.dtype) -> Arguments:
    """Arguments with all floating tensors in another dtype."""
    floating = {n: v for n, v in arguments.items() if isinstance(v, torch.Tensor) and v.is_floating_point()}
    return {**arguments, **{name: value.to(dtype) for name, value in floating.items()}}


def run_python(code: str, *args: str, **environment: str) -> str:
    """What a program prints, run in a process of its own; it can import the modules of the tests."""
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:`torch.jit", "-c", code, *args],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-3000:]}"
    return done.stdout
