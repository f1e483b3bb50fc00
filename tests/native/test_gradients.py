"""Gradients of kernels: for what asks, right whatever comes from upstream, as often as asked, never written again."""

import gc
import itertools
import math
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

import lossmith.functional as LF
from kernels import (
    HALVES,
    each_case,
    each_dtype,
    evaluate,
    everything,
    identical,
    leaves_of,
    mask_for,
    random_tensor,
    reference,
    same,
)

from .conftest import each_whole_case, ran_natively

each_reduction = pytest.mark.parametrize("reduction", ["none", "mean"])
ONE_OF_EACH = {
    "pointwise": lambda x: LF.mse_loss(x, torch.ones_like(x)),
    "unreduced": lambda x: LF.huber_loss(x, torch.ones_like(x), reduction="none").sum(),
    "weighed": lambda x: LF.mse_loss(x, torch.ones_like(x), sample_weight=torch.tensor([[0.5], [2.0]], dtype=x.dtype)),
    "labels": lambda x: LF.cross_entropy(x, torch.tensor([1, 2])),
    "weighted labels": lambda x: LF.cross_entropy(x, torch.tensor([1, 2]), torch.tensor([0.5, 2.0, 1.0])),
    "probabilities": lambda x: LF.cross_entropy(x, torch.full_like(x, 1 / 3)),
    "a teacher": lambda x: LF.distillation_loss(x, torch.full_like(x, 1 / 3), torch.tensor([1, 2])),
    "focal labels": lambda x: LF.focal_loss(x, torch.tensor([1, 2])),
    "focal probabilities": lambda x: LF.focal_loss(x, x.new_tensor([0.9, 0.1, 0.0]).expand(2, 3), 0.7),
    "margins": lambda x: LF.multi_margin_loss(x, torch.tensor([1, 2])),
    "regions": lambda x: LF.dice_loss(x[:, :, None], torch.tensor([[1], [2]]), batch=True),
    "regions by themselves": lambda x: LF.tversky_loss(x, torch.full_like(x, 0.3), activation="sigmoid"),
    "pairs": lambda x: LF.cosine_embedding_loss(x, torch.ones_like(x), torch.tensor([1.0, -1.0])),
    "triplets": lambda x: LF.triplet_margin_loss(x, torch.ones_like(x), -torch.ones_like(x)),
    "sequences": lambda x: LF.ctc_loss_with_logits(x[:, None], torch.tensor([[1]]), (2,), (1,)),
}
"""A loss of each kind, of an input (2, 3)."""
each_kind = pytest.mark.parametrize("loss", ONE_OF_EACH.values(), ids=ONE_OF_EACH)


def point(dtype: torch.dtype = torch.float32) -> Tensor:
    return random_tensor((2, 3), 0, dtype=dtype).requires_grad_()


# ----- who gets one -----


def buffers(call: tuple[str, tuple[Any, ...]], given: list[Tensor]) -> list[Tensor]:
    """The large floating tensors of a kernel's call that are none of those given to the loss."""
    known = {t.untyped_storage().data_ptr() for t in given}
    parts = [part for a in call[1] for part in (a if isinstance(a, tuple | list) else [a])]
    tensors = [part for part in parts if isinstance(part, Tensor) and part.is_floating_point() and part.numel() > 40]
    return [t for t in tensors if t.untyped_storage().data_ptr() not in known]


@each_reduction
@each_whole_case
def test_gradients_for_what_asks_and_memory_for_nothing_else(case, reduction, kernel_calls):
    arguments = case(40)
    names = leaves_of(case)
    given = [value for value in arguments.values() if isinstance(value, Tensor)]
    chosen = [c for n in range(len(names) + 1) for c in itertools.combinations(names, n)]
    _, whole = evaluate(case.function, arguments, names, torch.tensor(0.5), reduction=reduction)
    for leaves in chosen:
        kernel_calls.clear()
        points = {name: arguments[name].detach().requires_grad_() for name in leaves}
        with ran_natively():
            loss = case.function(**{**arguments, **points}, reduction=reduction)
            assert loss.requires_grad == bool(leaves)
            if "weight" in leaves:  # which is differentiated by torch's operations
                continue
            # of which this loss takes the mean over the classes by torch's operations
            each = int(loss.numel() > 40 or (reduction == "none" and case.loss == "multilabel_soft_margin_loss"))
            forward = len(buffers(kernel_calls[0], given))
            if reduction == "none" or not leaves:
                assert forward == each
            else:
                assert forward == len(leaves)
            if not leaves:
                continue
            loss.backward(torch.full_like(loss, 0.5))
        assert len(kernel_calls) == (2 if reduction == "none" else 1), "a gradient was computed twice"
        if reduction == "none":
            # and the upstream gradient
            assert len(buffers(kernel_calls[1], given)) == len(leaves) + each
        same(
            {name: p.grad for name, p in points.items()}, {name: whole[name] for name in leaves}, rtol=1e-14, atol=1e-16
        )


@each_reduction
@each_whole_case
def test_the_value_alone_where_nothing_asks(case, reduction, kernel_calls):
    arguments = case(40)
    points = {name: arguments[name].detach().requires_grad_() for name in leaves_of(case)}
    given = [value for value in arguments.values() if isinstance(value, Tensor)]
    expected = case.function(**{**arguments, **points}, reduction=reduction).detach()
    for mode in (torch.no_grad, torch.inference_mode):
        kernel_calls.clear()
        with ran_natively(), mode():
            loss = case.function(**{**arguments, **points}, reduction=reduction)
        assert not loss.requires_grad
        if case.loss != "multilabel_soft_margin_loss" or reduction != "none":
            assert len(buffers(kernel_calls[0], given)) == int(loss.numel() > 40)
        with torch.no_grad():
            same(loss.clone(), expected, rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize("function", [LF.mse_loss, LF.l1_loss, LF.kl_div], ids=lambda f: f.__name__)
def test_one_tensor_as_input_and_target(function):
    x = point()
    with ran_natively():
        function(x, x).backward()
    found = x.grad
    a, b = (x.detach().clone().requires_grad_() for _ in range(2))
    function(a, b).backward()
    same(found, a.grad + b.grad)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_an_operand_without_derivative_asks_for_nothing(reduction):
    """The signs of hinge_embedding_loss only choose a branch; torch's loss of them does not want a gradient either."""
    distance, signs = torch.tensor([0.5, 2.0, 0.1]), torch.tensor([1.0, -1.0, -1.0], requires_grad=True)
    loss = LF.hinge_embedding_loss(distance, signs, reduction=reduction)
    assert not loss.requires_grad
    assert not torch.nn.functional.hinge_embedding_loss(distance, signs, reduction=reduction).requires_grad
    distance.requires_grad_()
    LF.hinge_embedding_loss(distance, signs, reduction=reduction).sum().backward()
    assert signs.grad is None
    assert distance.grad is not None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("shape", "one"), [((2, 0, 1), (1, 0, 1)), ((0, 3), (1, 3)), ((2, 3, 0), (1, 3, 0))])
def test_a_repeated_vector_without_elements(shape, one, dtype):
    anchor, positive = torch.ones(shape, dtype=dtype), torch.ones(shape, dtype=dtype)
    negative = torch.ones(one, dtype=dtype, requires_grad=True)
    LF.triplet_margin_loss(anchor, positive, negative, reduction="sum").backward()
    assert negative.grad.dtype == dtype
    assert negative.grad.equal(torch.zeros(one, dtype=dtype))


def test_one_tensor_as_every_vector():
    x = point()
    with ran_natively():
        LF.triplet_margin_loss(x, x, x).backward()
    with reference():
        same(x.grad, torch.autograd.grad(LF.triplet_margin_loss(x, x, x), x)[0])


# ----- what comes from upstream -----


@pytest.mark.parametrize("factor", [0.37, 0.0, -1.0, math.inf, -math.inf, math.nan, 1e-3, 1e4])
@each_dtype
@each_kind
def test_p19_any_upstream_gradient(loss, dtype, factor):
    x = point(dtype)
    upstream = torch.tensor(factor, dtype=dtype)
    with ran_natively():
        (of_one,) = torch.autograd.grad(loss(x), x)
        (found,) = torch.autograd.grad(loss(x), x, upstream)
    with reference():
        (expected,) = torch.autograd.grad(loss(x), x, upstream)
    if math.isfinite(factor):
        same(found, expected)
    else:
        # which infinities meet on the way to NaN is of no interest
        assert not found[of_one != 0].isfinite().any()


@each_dtype
def test_p19_upstream_gradients_of_which_some_are_special(dtype):
    """In a graph they meet an unreduced loss as a tensor."""
    x = point(dtype)
    upstream = torch.tensor([[0.37, math.inf, math.nan], [0.0, -1.0, -math.inf]], dtype=dtype)
    with ran_natively():
        value = LF.huber_loss(x, torch.full_like(x, 9), reduction="none")
        (found,) = torch.autograd.grad(value, x, upstream)
    identical(found, -upstream)  # its slope is -1


@pytest.mark.parametrize("upstream", ["expanded", "strided", "transposed", "of zeros"])
@each_case
def test_p19_upstream_gradients_of_any_layout(case, upstream):
    arguments = case(6)
    shape = case.shape(arguments)
    dense = random_tensor(shape, 4)
    given = {
        "expanded": dense[:1].expand(shape),
        "strided": dense.repeat_interleave(2, -1)[..., ::2],
        "transposed": dense.movedim(0, -1).contiguous().movedim(-1, 0),
        "of zeros": torch.zeros(()).expand(shape),
    }[upstream]
    with ran_natively():
        found = evaluate(case.function, arguments, leaves_of(case), given, reduction="none")
    same(found, evaluate(case.function, arguments, leaves_of(case), given.contiguous(), reduction="none"))


# ----- again -----


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@each_dtype
@each_case
def test_a_second_backward_gives_the_same_bits(case, dtype, reduction):
    arguments = case(7, dtype=dtype)
    points = [arguments[name].requires_grad_() for name in leaves_of(case)]
    for factor in (1.0, 0.37, 0.0, math.inf, math.nan) if everything() or dtype == torch.float32 else (1.0, 0.37):
        with ran_natively():
            loss = case.function(**arguments, reduction=reduction)
            upstream = torch.full_like(loss, factor)
            first = torch.autograd.grad(loss, points, upstream, retain_graph=True)
            kept = [gradient.clone() for gradient in first]
            for gradient in first:
                gradient.fill_(5)  # the caller may do what he likes with it
            for _ in range(2):
                identical(torch.autograd.grad(loss, points, upstream, retain_graph=True), kept)
        assert all((gradient == 5).all() for gradient in first), "a gradient was written after it was handed out"


@each_kind
def test_another_upstream_gradient_the_second_time(loss):
    x = point()
    value = loss(x)
    for factor in (1.0, 2.0, 0.37, 1.0):
        upstream = torch.tensor(factor)
        (again,) = torch.autograd.grad(value, x, upstream, retain_graph=True)
        identical(again, torch.autograd.grad(loss(x), x, upstream)[0])


@each_kind
def test_p19_a_gradient_that_was_handed_out_is_never_written(loss):
    x = point()
    seen: list[Tensor] = []
    x.register_hook(lambda gradient: seen.append(gradient))
    value = loss(x)
    value.backward(retain_graph=True)
    first = x.grad
    kept = first.clone()
    value.backward(torch.tensor(0.37), retain_graph=True)
    same(x.grad, 1.37 * kept)
    x.grad.zero_()
    value.backward(retain_graph=True)
    identical(x.grad, kept)
    x.grad = None
    value.backward(torch.tensor(2.0))
    same(x.grad, 2 * kept)
    same(seen[1], 0.37 * kept)
    same(seen[3], 2 * kept)


@each_kind
def test_hooks_may_replace_gradients_and_intermediate_results(loss):
    x = point()
    doubled = 2 * x
    doubled.retain_grad()
    doubled.register_hook(lambda gradient: gradient * 3)
    loss(doubled).backward()
    (plain,) = torch.autograd.grad(loss(z := (2 * x.detach()).requires_grad_()), z)
    same(doubled.grad, 3 * plain)
    same(x.grad, 6 * plain)


@each_kind
def test_two_losses_of_one_input(loss):
    x = point()
    (loss(x) + 0.37 * loss(x)).backward()
    same(x.grad, 1.37 * torch.autograd.grad(loss(x), x)[0])


@each_kind
def test_a_graph_without_retain_graph_is_gone(loss):
    x = point()
    value = loss(x)
    value.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        value.backward()


# ----- further derivatives, and transforms of backward -----


@each_case
def test_what_is_differentiated_again_goes_through_the_formula(case):
    arguments = case(3)
    points = [arguments[name].requires_grad_() for name in leaves_of(case)]
    for reduction in ("none", "mean"):
        loss = case.function(**arguments, reduction=reduction)
        upstream = random_tensor(loss.shape, 3).requires_grad_()
        first = torch.autograd.grad(loss, points, upstream, create_graph=True)
        same([g.detach() for g in first], [*torch.autograd.grad(loss, points, upstream, retain_graph=True)])
        inner = sum((g * random_tensor(g.shape, 5)).sum() for g in first)
        second = torch.autograd.grad(inner, [*points, upstream], allow_unused=True, materialize_grads=True)
        with reference():
            loss = case.function(**arguments, reduction=reduction)
            expected = torch.autograd.grad(loss, points, upstream, create_graph=True)
            inner = sum((g * random_tensor(g.shape, 5)).sum() for g in expected)
            same(second, torch.autograd.grad(inner, [*points, upstream], allow_unused=True, materialize_grads=True))


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_gradgradcheck(kind):
    x = point(torch.float64)
    with ran_natively():
        ONE_OF_EACH[kind](x)
    if kind not in ("pairs", "margins"):
        assert torch.autograd.gradcheck(ONE_OF_EACH[kind], x)
        assert torch.autograd.gradgradcheck(ONE_OF_EACH[kind], x)


@each_kind
def test_batched_gradients(loss):
    x = point(torch.float64)
    value = loss(x)
    upstream = torch.tensor([1.0, 0.37, -2.0], dtype=torch.float64)
    (batched,) = torch.autograd.grad(value, x, upstream, retain_graph=True, is_grads_batched=True)
    (mapped,) = torch.vmap(lambda u: torch.autograd.grad(value, x, u, retain_graph=True))(upstream)
    each = [torch.autograd.grad(value, x, u, retain_graph=True)[0] for u in upstream]
    same(batched, torch.stack(each))
    same(mapped, torch.stack(each))


@each_kind
def test_a_jacobian_of_unreduced_losses(loss):
    x = point(torch.float64)
    for vectorize in (False, True):
        found = torch.autograd.functional.jacobian(lambda x: loss(x) * torch.arange(1, 4), x, vectorize=vectorize)
        same(found[2], 3 * found[0])


# ----- what saves and restores -----


@pytest.mark.parametrize("reentrant", [False, True])
@each_kind
def test_checkpoints(loss, reentrant):
    x = point()
    expected = torch.autograd.grad(loss(2 * x), x, torch.tensor(0.37))[0]
    with ran_natively() as records:
        checkpoint(lambda x: loss(2 * x), x, use_reentrant=reentrant).backward(torch.tensor(0.37))
    assert len(records) == 2, "it was not computed again"
    identical(x.grad, expected)


@each_kind
def test_tensors_saved_elsewhere(loss):
    x = point()
    expected = torch.autograd.grad(loss(2 * x), x, torch.tensor(0.37))[0]
    saved: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> int:
        saved[len(saved)] = tensor.detach().clone()
        return len(saved) - 1

    with saved_tensors_hooks(pack, lambda key: saved[key]):
        value = loss(2 * x)
    for _ in range(2):
        identical(torch.autograd.grad(value, x, torch.tensor(0.37), retain_graph=True)[0], expected)
    with save_on_cpu():
        value = loss(2 * x)
    identical(torch.autograd.grad(value, x, torch.tensor(0.37))[0], expected)


@each_reduction
@each_whole_case
def test_an_input_that_was_changed_is_refused(case, reduction):
    for name in {*leaves_of(case), *case.axes}:
        arguments = case(4)
        points = {n: arguments[n].requires_grad_() for n in leaves_of(case)}
        # what the loss sees is no leaf, so that it may be written
        copies = {n: t.clone() for n, t in arguments.items() if isinstance(t, Tensor)}
        loss = case.function(**{**arguments, **copies}, reduction=reduction)
        before = copies[name].detach().clone()
        with torch.no_grad():
            copies[name].copy_(before)  # by the same numbers, but nobody knows
        if "lengths" in name or name == "targets":
            continue  # CTC reads those once
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            torch.autograd.grad(loss, [*points.values()], torch.ones_like(loss))


@pytest.mark.parametrize("name", ["sample_weight", "mask", "weight"])
def test_weights_that_were_changed_are_refused(name):
    x = point()
    given = {"sample_weight": torch.ones(2), "mask": torch.tensor([True, True]), "weight": torch.ones(3)}
    loss = LF.cross_entropy(x, torch.tensor([0, 1]), **given)
    given[name].zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


# ----- what stays alive -----


@each_case
def test_a_loss_that_is_kept_does_not_keep_its_inputs(case):
    """As in torch: after backward a list of losses holds numbers, not batches."""
    arguments = case(4)
    names = leaves_of(case)
    held = {name: arguments[name].requires_grad_().clone() for name in names}
    seen = {name: weakref.ref(value) for name, value in held.items()}
    loss = case.function(**{**arguments, **held})
    loss.backward()
    del held
    gc.collect()
    assert not [name for name, value in seen.items() if value() is not None], "the loss keeps its inputs alive"


@each_kind
def test_tensors_saved_elsewhere_are_not_kept_here_too(loss):
    moved = 2 * point()
    seen = weakref.ref(moved)
    with saved_tensors_hooks(lambda tensor: tensor.numpy().copy(), torch.from_numpy), ran_natively():
        value = loss(moved)
    del moved
    gc.collect()
    assert seen() is None, "the loss holds its input besides what was saved"
    value.backward()


# ----- halves -----


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("upstream", [1.0, 0.37, 3.0, 1000.0])
@each_case
def test_p06_half_gradients_are_rounded_once_whatever_comes_from_upstream(case, upstream, dtype):
    arguments = case(50, dtype=dtype)
    wide = {n: v.double() if isinstance(v, Tensor) and v.is_floating_point() else v for n, v in arguments.items()}
    keywords = {"mask": mask_for(case.shape(arguments))}
    factor = torch.tensor(upstream, dtype=dtype)
    with ran_natively():
        _, found = evaluate(case.function, arguments, leaves_of(case), factor, **keywords)
    _, exact = evaluate(case.function, wide, leaves_of(case), factor, **keywords)
    for name, gradient in found.items():
        size = exact[name].abs().max()
        # of float32 arithmetic a few ulp are left, of which a sum of terms of different signs may make more
        slack = exact[name].abs() * 2**-20 + size * 2**-22
        low, high = (exact[name] - slack).to(dtype), (exact[name] + slack).to(dtype)
        assert ((low <= gradient) & (gradient <= high)).all(), name
