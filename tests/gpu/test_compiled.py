"""Triton's kernels in machine code for NVIDIA and AMD: nothing spills, loads are wide, NaN is not dropped."""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

import lossmith.functional as LF
from cases import Arguments
from kernels import DTYPES, KERNEL_CASES, everything, leaves_of, mask_for, ran, random_tensor, to_dtype
from lossmith import backend
from native.test_threads import LARGE

pytest.importorskip("triton")
if backend.INTERPRETED:
    pytest.skip("Triton interprets here, and compiles nothing", allow_module_level=True)

from .compiled import TARGETS, Binary, binary, only_compiled

FEW = 32
"""Bytes that ptxas may spill of its own accord, where registers are left."""
LOSSES = sorted({case.loss for case in KERNEL_CASES})
each_target = pytest.mark.parametrize("target", TARGETS)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Nothing of an earlier run is taken for a result."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


def binaries(
    target: str, function: Callable[..., Tensor], arguments: Arguments, leaves: Sequence[str], **keywords: Any
) -> list[Binary]:
    """The kernels of a call: of its value, of its first backward and of a later one."""
    with only_compiled(target) as found, ran("triton"):
        points = {name: arguments[name].detach().requires_grad_() for name in leaves}
        loss = function(**{**arguments, **points}, **keywords)
        for _ in range(2):
            torch.autograd.grad(loss, [*points.values()], torch.ones_like(loss), retain_graph=True)
    assert found, "nothing was compiled"
    return [binary(compiled) for compiled in found.values()]


def calls_of(loss: str) -> Iterator[tuple[Any, ...]]:
    """Calls of a loss in all its cases, or in some of them: function, arguments, leaves, keywords."""
    for case in KERNEL_CASES:
        if case.loss != loss:
            continue
        for dtype in DTYPES:
            for n in (64, 7):
                arguments = case(n, dtype=dtype)
                shape = case.shape(arguments)
                given = {"mask": mask_for(shape), "sample_weight": random_tensor(shape, 1, 0.2, 2.0, dtype)}
                for keywords in ({}, given):
                    for reduction in ("mean", "none"):
                        yield case.function, arguments, leaves_of(case), {**keywords, "reduction": reduction}


def sound(found: Binary, target: str) -> None:
    """Nothing spills; and a formula's minimum and maximum keep NaN. Elsewhere they may drop it: so they do in the
    interpreter, where `test_every_case` gives them NaN.
    """
    few = 0 if found.full else FEW
    assert found.local_memory <= few, f"{found.name} spills {found.local_memory} bytes on {target}"
    if target.startswith("sm") and found.name == "pointwise_kernel":
        # of doubles there is none that keeps NaN: a comparison stands before each
        of_double = len(re.findall(r"\b(?:min|max)\.f64\b", found.text))
        assert len(re.findall(r"\bsetp\.nan\.f64\b", found.text)) >= of_double, "NaN is dropped"
        for register in re.findall(r"\b(?:min|max)\.f(?:16|32)\s+(%\w+),", found.text):
            # two comparisons with one bound are made one of the greater number, which NaN does not change
            uses = re.findall(rf"^.*{register}\b.*$", found.text, re.M)[1:]
            assert all("setp." in use for use in uses), f"NaN is dropped in {register}"


@each_target
@pytest.mark.parametrize("loss", LOSSES)
def test_no_kernel_spills_and_no_formula_drops_nan(loss, target):
    every = [*calls_of(loss)]
    for function, arguments, leaves, keywords in (
        every if everything() else random.Random(f"{loss} {target}").sample(every, 1)
    ):
        for found in binaries(target, function, arguments, leaves, **keywords):
            sound(found, target)


@each_target
@pytest.mark.parametrize("name", LARGE)
def test_large_calls(name, target):
    function, make, leaves = LARGE[name]
    for dtype in DTYPES if everything() else (torch.float32,):
        for found in binaries(target, function, to_dtype(make(), dtype), leaves):
            sound(found, target)


WIDE = {"sm": (r"ld\.global\.\S*b32", r"ld\.global\.v4\.b32"), "gf": (r"_load_dword", r"_load_dwordx4")}
OF_MEMORY = {
    "mse": lambda x, y: LF.mse_loss(x, y),
    "huber": lambda x, y: LF.huber_loss(x, y),
    "mse unreduced": lambda x, y: LF.mse_loss(x, y, reduction="none"),
    "bce_with_logits": lambda x, y: LF.binary_cross_entropy_with_logits(x, y.sigmoid()),
    "kl_div": lambda x, y: LF.kl_div(x, y, reduction="batchmean"),
    "soft_margin": lambda x, y: LF.soft_margin_loss(x, y.sign()),
    "cross_entropy": lambda x, y: LF.cross_entropy(x, y[:, 0].abs().long()),
    "cross_entropy of probabilities": lambda x, y: LF.cross_entropy(x, y.softmax(1)),
}
"""Losses whose time is that of the memory."""


@each_target
@pytest.mark.parametrize("name", OF_MEMORY)
def test_loads_are_wide(name, target):
    def function(input: Tensor, target: Tensor) -> Tensor:
        return OF_MEMORY[name](input, target)

    arguments = {"input": random_tensor((256, 4096), 0).float(), "target": random_tensor((256, 4096), 1).float()}
    every, wide = WIDE[target[:2]]
    for found in binaries(target, function, arguments, ["input"]):
        loads = re.findall(every, found.text)
        if not found.name.startswith(("finish", "count")):  # which add partial sums, and read labels
            assert len(re.findall(wide, found.text)) >= 1, f"{found.name}: of {len(loads)} loads none is wide"
