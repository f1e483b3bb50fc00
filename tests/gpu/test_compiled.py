"""Triton's kernels in machine code for NVIDIA and AMD: nothing spills, loads are wide, NaN is not dropped."""

import random
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

import lossmith.functional as LF
from cases import Arguments, Case
from kernels import DTYPES, each_case, everything, leaves_of, mask_for, ran, random_tensor, to_dtype
from lossmith import backend
from lossmith.loops import launches
from native.test_threads import LARGE

pytest.importorskip("triton")
if backend.INTERPRETED:
    pytest.skip("Triton interprets here, and compiles nothing", allow_module_level=True)

from .compiled import TARGETS, Binary, binary, only_compiled, started

FEW = 32
"""Bytes that ptxas may spill of its own accord, where registers are left."""
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


def drawn_call(case: Case, draw: random.Random, weighed: bool) -> tuple[Any, ...]:
    """A call of some size, dtype and reduction: function, arguments, leaves, keywords."""
    dtype = draw.choice(DTYPES)
    arguments = case(draw.choice((64, 7)), dtype=dtype)
    shape = case.shape(arguments)
    keywords: dict[str, Any] = {"reduction": draw.choice(("mean", "none"))}
    if weighed:
        keywords |= {"mask": mask_for(shape), "sample_weight": random_tensor(shape, 1, 0.2, 2.0, dtype)}
    return case.function, arguments, leaves_of(case), keywords


def sound(found: Binary, target: str) -> None:
    """Nothing spills; and a formula's minimum and maximum keep NaN. Elsewhere they may drop it: so they do in the
    interpreter, where `test_every_case` gives them NaN.
    """
    few = 0 if found.full else FEW
    assert found.local_memory <= few, f"{found.name} spills {found.local_memory} bytes on {target}"
    if target.startswith("sm") and found.name == "pointwise_kernel":
        dropping = re.findall(r"\b(?:min|max)\.(f\d+)\s+(%\w+),", found.text)
        # two comparisons with one bound are made one of the greater number, which NaN does not change
        used = [dtype for dtype, register in dropping if not only_compared(register, found.text)]
        # of doubles there is none that keeps NaN: a comparison stands before each
        tested = len(re.findall(r"\bsetp\.nan\.f64\b", found.text))
        assert set(used) <= {"f64"} and len(used) <= tested, "NaN is dropped"


def only_compared(register: str, text: str) -> bool:
    uses = re.findall(rf"^.*{register}\b.*$", text, re.M)[1:]
    return all("setp." in use for use in uses)


@each_target
@each_case
def test_no_kernel_spills_and_no_formula_drops_nan(case, target):
    draw = random.Random(f"{case} {target}")
    for weighed in (False, True) if everything() else (draw.random() < 0.5,):
        function, arguments, leaves, keywords = drawn_call(case, draw, weighed)
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


@each_target
@each_case
def test_a_repeated_call_starts_what_triton_would(case, target):
    """From its plan a call starts the same kernels with the same arguments as by way of Triton's own search."""
    arguments = case(64, dtype=torch.float32)
    weights = random_tensor(case.shape(arguments), 1, 0.2, 2.0, torch.float32)
    with started(target) as starts:
        for keywords in ({}, {"sample_weight": weights}, {"reduction": "none"}):
            points = {name: arguments[name].detach().requires_grad_() for name in leaves_of(case)}
            calls = []
            launches._plans.clear()
            for _ in range(2):
                loss = case.function(**{**arguments, **points}, **keywords)
                torch.autograd.grad(loss, [*points.values()], torch.ones_like(loss))
                calls.append([*starts])
                starts.clear()
            assert calls[0]
            address = {t.data_ptr(): t.data_ptr() for t in (*arguments.values(), weights) if isinstance(t, Tensor)}
            for first, again in zip(*calls, strict=True):
                assert first[:3] == again[:3]
                for x, y in zip(tree_leaves(first[3]), tree_leaves(again[3]), strict=True):
                    if isinstance(x, Tensor):
                        y = y.data_ptr() if isinstance(y, Tensor) else y
                        assert address.setdefault(x.data_ptr(), y) == y
                    else:
                        assert x is y or x == y
