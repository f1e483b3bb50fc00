"""Triton's kernels against the reference: every case, dtype, reduction and keyword, upstream gradient, layout, size."""

import random
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from cases import Arguments, Case
from kernels import (
    HALVES,
    combinations,
    compare,
    each_case,
    each_dtype,
    evaluate,
    everything,
    identical,
    leaves_of,
    mask_for,
    ran,
    random_tensor,
    reference,
    same,
    same_bits,
    to_dtype,
)

SIZES = (1, 2, 5, 31, 33)
each_half = pytest.mark.parametrize("dtype", HALVES, ids=lambda dtype: str(dtype).removeprefix("torch."))
each_of_two_reductions = pytest.mark.parametrize("reduction", ["none", "mean"])


@each_dtype
@each_case
def test_every_combination(case, dtype, device):
    draw = random.Random(f"{case} {dtype}")
    for n in SIZES if everything() else draw.sample(SIZES, 2):
        arguments = case(n, dtype=dtype, device=device, seed=draw.randrange(100))
        every = combinations(case.shape(arguments), device)
        for keywords in draw.sample(every, 4 if everything() else 3):
            compare("triton", case, arguments, dtype, **keywords)


@each_dtype
@each_case
def test_upstream_gradients_of_a_reduced_loss(case, dtype, device):
    arguments = case(7, dtype=dtype, device=device)
    for factor in (1.0, -0.37) if dtype not in HALVES else (1.0,):
        upstream = torch.tensor(factor)
        with ran("triton"):
            found = evaluate(case.function, arguments, leaves_of(case), upstream, reduction="mean")
        with reference():
            same(found, evaluate(case.function, arguments, leaves_of(case), upstream, reduction="mean"))


@each_half
@each_case
def test_a_loss_scale(case, dtype, device):
    """Gradients of half precision are rounded once, with the whole factor."""
    arguments = case(50, dtype=dtype, device=device)
    mask = {"mask": mask_for(case.shape(arguments)).to(device)}
    with torch.autocast(device, torch.bfloat16):
        for factor in (1.0, 65536.0):
            upstream = torch.tensor(factor)
            with ran("triton"):
                loss, found = evaluate(case.function, arguments, leaves_of(case), upstream, **mask)
                wide = to_dtype(arguments, torch.float32)
                _, expected = evaluate(case.function, wide, leaves_of(case), upstream, **mask)
            if loss.dtype == torch.float32:  # what torch makes of several operations keeps half precision on a CPU
                identical(found, {name: gradient.to(dtype) for name, gradient in expected.items()})


@pytest.mark.parametrize("upstream", ["expanded", "strided", "transposed"])
@each_case
def test_upstream_gradients_of_any_layout(case, upstream, device):
    arguments = case(6, device=device)
    shape = case.shape(arguments)
    dense = random_tensor(shape, 4).to(device)
    given = {
        "expanded": dense[:1].expand(shape),
        "strided": dense.repeat_interleave(2, -1)[..., ::2],
        "transposed": dense.movedim(0, -1).contiguous().movedim(-1, 0),
    }[upstream]
    with ran("triton"):
        found = evaluate(case.function, arguments, leaves_of(case), given, reduction="none")
        same_bits(found, evaluate(case.function, arguments, leaves_of(case), given.contiguous(), reduction="none"))


@each_of_two_reductions
@each_dtype
@each_case
def test_a_second_backward_gives_the_same_bits(case, dtype, reduction, device):
    arguments = case(7, dtype=dtype, device=device)
    points = [arguments[name].requires_grad_() for name in leaves_of(case)]
    for factor in (1.0, 0.37):
        with ran("triton"):
            loss = case.function(**arguments, reduction=reduction)
            upstream = torch.full_like(loss, factor)
            first = torch.autograd.grad(loss, points, upstream, retain_graph=True)
            kept = [gradient.clone() for gradient in first]
            for gradient in first:
                gradient.fill_(5)  # the caller may do what he likes with it
            same_bits(torch.autograd.grad(loss, points, upstream, retain_graph=True), kept)
            other = torch.autograd.grad(loss, points, 2 * upstream)
            same(other, tuple(2 * g for g in kept), **({"rtol": 1e-2, "atol": 1e-3} if dtype in HALVES else {}))
        assert all((gradient == 5).all() for gradient in first), "a gradient was written after it was handed out"


@each_of_two_reductions
@each_case
def test_a_second_consumer_of_the_input(case, reduction, device):
    arguments = case(5, device=device)
    points = {name: arguments[name].requires_grad_() for name in leaves_of(case)}
    with ran("triton"):
        total = case.function(**arguments, reduction=reduction).sum() + sum(p.sum() for p in points.values())
        again = case.function(**arguments, reduction=reduction).sum()
        total.backward(retain_graph=True)
        (0.5 * again).backward()
        alone = torch.autograd.grad(case.function(**arguments, reduction=reduction).sum(), [*points.values()])
    same([p.grad for p in points.values()], [1 + 1.5 * g for g in alone])


@each_of_two_reductions
@each_dtype
@each_case
def test_the_same_bits_twice_and_inputs_as_they_were(case, dtype, reduction, device):
    arguments = case(70, dtype=dtype, device=device)
    before = tree_map_only(Tensor, torch.clone, arguments)
    with ran("triton"):
        first, second = (
            evaluate(case.function, arguments, leaves_of(case), torch.tensor(0.37), reduction=reduction)
            for _ in range(2)
        )
    same_bits(first, second)
    same_bits(*([v for v in each.values() if isinstance(v, Tensor)] for each in (arguments, before)))


# ----- layouts and sizes -----


def stepped(tensor: Tensor) -> Tensor:
    """Every second number of each dimension of a larger one, in the opposite order of dimensions."""
    sizes = [2 * size + 1 for size in reversed(tensor.shape)]
    room = torch.full(sizes, 99, dtype=tensor.dtype, device=tensor.device)
    view = room.permute(*reversed(range(tensor.dim())))[tuple(slice(1, None, 2) for _ in sizes)]
    return view.copy_(tensor)


def alike(tensor: Tensor) -> Tensor:
    """All rows are the first one, in no memory of their own."""
    return tensor[:1].expand(tensor.shape)


@pytest.mark.parametrize("layout", [stepped, alike], ids=lambda layout: layout.__name__)
@each_of_two_reductions
@each_case
def test_inputs_of_any_layout(case, reduction, layout, device):
    arguments = case(6, device=device)
    given = {**arguments}
    for name in case.axes:
        if layout is stepped or name in case.differentiable:
            given[name] = layout(arguments[name])
    against_reference(case, given, reduction=reduction)


def against_reference(case: Case, arguments: Arguments, **keywords: Any) -> None:
    upstream = random_tensor(case.shape(arguments), 3) if keywords["reduction"] == "none" else torch.tensor(0.37)
    with ran("triton"):
        found = evaluate(case.function, arguments, leaves_of(case), upstream, **keywords)
    with reference():
        same(found, evaluate(case.function, arguments, leaves_of(case), upstream, **keywords))


@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "batchmean"])
@each_case
def test_a_batch_of_nothing(case, reduction, device):
    arguments = case.rows(case(3, device=device), torch.tensor([], dtype=torch.int64, device=device))
    against_reference(case, arguments, reduction=reduction)


@pytest.mark.parametrize("n", [1, 63, 64, 65, 127, 129])
@each_case
def test_borders_of_blocks(case, n, device):
    for dtype in (torch.float32, torch.float64):
        arguments = case(n, dtype=dtype, device=device)
        against_reference(case, arguments, reduction="mean", mask=mask_for(case.shape(arguments)).to(device))


@each_case
def test_numbers_that_are_none(case, device):
    """In one place of each operand that is differentiated, where the loss has a meaning there."""
    arguments = case(5, device=device)
    for leaf in leaves_of(case):
        spoiled = arguments[leaf].clone()
        spoiled.view(-1)[spoiled.numel() // 2] = torch.nan
        given = {**arguments, leaf: spoiled}
        try:
            with reference():
                case.function(**given)
        except (RuntimeError, ValueError):  # it asks for probabilities, masses or a temperature
            continue
        against_reference(case, given, reduction="none")


# ----- further derivatives -----


@each_case
def test_what_is_differentiated_again_goes_through_the_formula(case, device):
    arguments = case(3, device=device)
    points = [arguments[name].requires_grad_() for name in leaves_of(case)]
    for reduction in ("none", "mean"):
        loss = case.function(**arguments, reduction=reduction)
        upstream = random_tensor(loss.shape, 3).to(device).requires_grad_()
        first = torch.autograd.grad(loss, points, upstream, create_graph=True)
        same([g.detach() for g in first], [*torch.autograd.grad(loss, points, upstream, retain_graph=True)])
        inner = sum((g * random_tensor(g.shape, 5).to(device)).sum() for g in first)
        second = torch.autograd.grad(inner, [*points, upstream], allow_unused=True, materialize_grads=True)
        with reference():
            loss = case.function(**arguments, reduction=reduction)
            expected = torch.autograd.grad(loss, points, upstream, create_graph=True)
            inner = sum((g * random_tensor(g.shape, 5).to(device)).sum() for g in expected)
            same(second, torch.autograd.grad(inner, [*points, upstream], allow_unused=True, materialize_grads=True))
