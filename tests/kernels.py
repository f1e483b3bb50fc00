"""What the tests of kernels share, on a CPU and on a GPU: which cases have one, how a call is run and compared."""

import itertools
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

REDUCTIONS = ("none", "sum", "mean", "batchmean")
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
HALVES = (torch.float16, torch.bfloat16)
KERNEL_CASES = [case for case in CASES if case.variant != "of one's own"]
"""The cases whose losses have a kernel: a distance of one's own is torch's work."""

REPEATED = (
    "binary_cross_entropy_with_logits-weight, pos_weight",
    "quantile_loss-several",
    "quantile_loss-tensor",
)
"""Cases with a repeated operand, whose gradient is first computed in the whole shape (docs/architecture.md)."""

each_case = pytest.mark.parametrize("case", KERNEL_CASES, ids=str)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))
each_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)


def everything() -> bool:
    """Whether all cases are asked for: `pytest --all` says so in the environment."""
    return os.environ.get("LOSSMITH_TESTS") == "all"


@contextmanager
def poisoned_memory() -> Iterator[None]:
    """Fresh memory is full of NaN (of the greatest integer): what a kernel does not write is found."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    assert torch.empty(3).isnan().all() and torch.empty_strided((), ()).isnan()
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextmanager
def reference() -> Iterator[None]:
    """No kernel runs here."""
    before, backend.FORCED = backend.FORCED, "reference"
    try:
        yield
    finally:
        backend.FORCED = before


@contextmanager
def made_anew() -> Iterator[None]:
    """No call is repeated from its plan."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused, "_launched", lambda: lambda kernel, *given: kernel.launch(*given))
        yield


@contextmanager
def ran(on: str) -> Iterator[list[backend.Dispatch]]:
    """Kernels of this backend run here, forward and backward, and nothing else."""

    def refuse(*_: Any) -> None:
        raise AssertionError("a gradient was computed by the reference")

    with backend.recorded() as records, pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused, "differentiated", refuse)
        yield records
    assert records, "no loss was called"
    others = [record for record in records if record.backend != on]
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
        upstream = upstream.to(loss).expand(loss.shape)
    found = torch.autograd.grad(loss, [*points.values()], upstream, allow_unused=True)
    return loss.detach(), dict(zip(points, found, strict=True))


def to_dtype(arguments: Arguments, dtype: torch.dtype) -> Arguments:
    """Arguments with all floating tensors in another dtype."""
    floating = {n: v for n, v in arguments.items() if isinstance(v, torch.Tensor) and v.is_floating_point()}
    return {**arguments, **{name: value.to(dtype) for name, value in floating.items()}}


def many(case: Case, elements: int, dtype: torch.dtype, device: str = "cpu") -> Arguments:
    """Arguments of which the largest has about so many elements, in the dimension that may grow without bound."""
    few = case(8, dtype=dtype, device=device)
    if case.loss in ("dice_loss", "tversky_loss"):
        # of few regions: the memory grows with those too
        times = elements // few["input"].numel()
        pixels = {name: next(d for d, axis in enumerate(axes) if axis in "db") for name, axes in case.axes.items()}
        return {**few, **{name: few[name].repeat_interleave(times, d) for name, d in pixels.items()}}
    if "ctc" in case.loss:
        # of few samples and frames: the memory grows with those too
        scores = torch.zeros(50, 8, elements // 400, dtype=dtype, device=device).log_softmax(-1)
        return {**few, leaves_of(case)[0]: scores, "input_lengths": torch.full((8,), 6, device=device)}
    return case(elements // (max(few[name].numel() for name in case.axes) // 8), dtype=dtype, device=device)


def run_python(code: str, *args: str, **environment: str) -> str:
    """What a program prints, run in a process of its own; it can import the modules of the tests."""
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:`torch.jit", "-c", code, *args],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-3000:]}"
    return done.stdout


def combinations(shape: torch.Size, device: str = "cpu") -> list[dict[str, Any]]:
    """Every reduction with every combination of keywords."""
    row = [shape[0], *[1] * (len(shape) - 1)]
    found = []
    for reduction in REDUCTIONS:
        normalizers = (None, 7, torch.tensor([0.5]), "count", "weight")
        for s, m, normalizer in itertools.product(
            (None, shape, row, (), "differentiated"),
            (None, shape, row),
            normalizers if reduction in ("mean", "batchmean") else (None,),
        ):
            keywords = {"reduction": reduction, "normalizer": normalizer}
            if s is not None:
                weight = random_tensor(shape if s == "differentiated" else s, 1, 0.2, 2.0)
                keywords["sample_weight"] = weight.to(device)
                keywords["leaf"] = s == "differentiated"
            if m is not None:
                keywords["mask"] = mask_for(m).to(device)
            found.append(keywords)
    return found


def compare(on: str, case: Case, arguments: Arguments, dtype: torch.dtype, leaf: bool = False, **keywords: Any) -> None:
    """A kernel against the reference; halves are computed as float32 and rounded once."""
    if "sample_weight" in keywords:
        keywords["sample_weight"] = keywords["sample_weight"].to(dtype)
    if "mask" in keywords:
        arguments = case.spoil(arguments, keywords["mask"].expand(case.shape(arguments)))
    leaves = [*leaves_of(case), *["sample_weight"] * leaf]
    # what a reduced loss passes on is multiplied in float32, but is halved in its place in float16
    upstream = random_tensor(case.shape(arguments), 3, dtype=dtype) if keywords["reduction"] == "none" else None
    with ran(on):
        found = evaluate(case.function, arguments, leaves, upstream, **keywords)
    if dtype in HALVES:
        wide = {**to_dtype(keywords, torch.float32), "normalizer": keywords["normalizer"]}
        with ran(on):
            loss, gradients = evaluate(case.function, to_dtype(arguments, torch.float32), leaves, upstream, **wide)
        identical(found, (loss.to(dtype), {name: None if g is None else g.to(dtype) for name, g in gradients.items()}))
    else:
        with reference():
            expected = evaluate(case.function, arguments, leaves, upstream, **keywords)
        same(found, expected)
