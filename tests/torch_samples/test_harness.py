"""The harness itself: torch in lossmith's place passes, and each way of being wrong is found."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from . import departures
from .compare import agree, close, each
from .samples import (
    NAMES,
    Call,
    canonical,
    everything,
    module_calls,
    op_calls,
    op_cases,
    op_dtypes,
    stratified,
    with_keywords,
)
from .targets import comparable, torchs, torchs_module
from .test_error_inputs import refuses_better

Function = Callable[..., Any]


@pytest.mark.parametrize("name", NAMES)
def test_torch_itself_passes(name: str) -> None:
    itself = comparable(name, torchs(name))

    def check(call: Call) -> None:
        if departures.truth(call) is None:
            agree(itself, itself, call)

    each(stratified(list(op_calls(name, torch.float32)), 6), check)


def test_every_loss_dtype_and_sample_is_there() -> None:
    """The counts of torch 2.13, so that a sample that goes missing is noticed."""
    assert len(NAMES) == 21
    assert len(list(op_cases())) == 116
    assert {name: len(op_calls(name, torch.float32)) for name in NAMES} == COUNTS
    if everything():
        assert sum(len(op_calls(name, dtype)) for name, dtype in op_cases()) == 4509
    assert {name: len(module_calls(name, torch.float64)) for name in NAMES} == MODULE_COUNTS


COUNTS = {
    "l1_loss": 6,
    "mse_loss": 6,
    "huber_loss": 9,
    "smooth_l1_loss": 8,
    "nll_loss": 61,
    "cross_entropy": 21,
    "binary_cross_entropy": 11,
    "binary_cross_entropy_with_logits": 26,
    "soft_margin_loss": 6,
    "multilabel_soft_margin_loss": 4,
    "multilabel_margin_loss": 36,
    "multi_margin_loss": 212,
    "margin_ranking_loss": 57,
    "hinge_embedding_loss": 29,
    "cosine_embedding_loss": 6,
    "triplet_margin_loss": 7,
    "triplet_margin_with_distance_loss": 7,
    "kl_div": 16,
    "ctc_loss": 12,
    "poisson_nll_loss": 72,
    "gaussian_nll_loss": 324,
}
MODULE_COUNTS = {
    "l1_loss": 5,
    "mse_loss": 8,
    "huber_loss": 4,
    "smooth_l1_loss": 8,
    "nll_loss": 28,
    "cross_entropy": 105,
    "binary_cross_entropy": 6,
    "binary_cross_entropy_with_logits": 6,
    "soft_margin_loss": 4,
    "multilabel_soft_margin_loss": 5,
    "multilabel_margin_loss": 8,
    "multi_margin_loss": 7,
    "margin_ranking_loss": 5,
    "hinge_embedding_loss": 10,
    "cosine_embedding_loss": 5,
    "triplet_margin_loss": 7,
    "triplet_margin_with_distance_loss": 7,
    "kl_div": 10,
    "ctc_loss": 40,
    "poisson_nll_loss": 7,
    "gaussian_nll_loss": 5,
}


# ----- mutants: torch's function, made wrong in one way -----


def mutant(change: Callable[..., Tensor]) -> Callable[[Function], Function]:
    def of(function: Function) -> Function:
        @functools.wraps(function)
        def wrong(*args: Any, **kwargs: Any) -> Tensor:
            return change(function, *args, **kwargs)

        return wrong

    return of


@mutant
def sum_for_mean(function: Function, *args: Any, **kwargs: Any) -> Tensor:
    if kwargs.get("reduction", "mean") == "mean":
        kwargs["reduction"] = "sum"
    result: Tensor = function(*args, **kwargs)
    return result


@mutant
def value_is_off(function: Function, *args: Any, **kwargs: Any) -> Tensor:
    result: Tensor = function(*args, **kwargs)
    return result * (1 + 1e-5)


def gradient_scaled(result: Tensor, factor: float) -> Tensor:
    return result.detach() + factor * (result - result.detach())


@mutant
def gradient_is_off(function: Function, *args: Any, **kwargs: Any) -> Tensor:
    return gradient_scaled(function(*args, **kwargs), 1.0001)


@mutant
def gradient_has_the_wrong_sign(function: Function, *args: Any, **kwargs: Any) -> Tensor:
    return gradient_scaled(function(*args, **kwargs), -1)


@mutant
def weight_is_ignored(function: Function, *args: Any, **kwargs: Any) -> Tensor:
    kwargs.pop("weight", None)
    result: Tensor = function(*args, **kwargs)
    return result


@mutant
def ignore_index_is_ignored(function: Function, *args: Any, **kwargs: Any) -> Tensor:
    kwargs.pop("ignore_index", None)
    result: Tensor = function(*args, **kwargs)
    return result


@mutant
def smoothing_is_ignored(function: Function, *args: Any, **kwargs: Any) -> Tensor:
    kwargs.pop("label_smoothing", None)
    result: Tensor = function(*args, **kwargs)
    return result


@mutant
def target_has_no_gradient(function: Function, input: Tensor, target: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    result: Tensor = function(input, target.detach(), *args, **kwargs)
    return result


@mutant
def result_is_double(function: Function, *args: Any, **kwargs: Any) -> Tensor:
    result: Tensor = function(*args, **kwargs)
    return result.to(torch.complex128 if result.is_complex() else torch.float64)


@mutant
def result_has_one_dimension(function: Function, *args: Any, **kwargs: Any) -> Tensor:
    result: Tensor = function(*args, **kwargs)
    return result.reshape(1) if result.dim() == 0 else result


@mutant
def none_is_reduced(function: Function, *args: Any, **kwargs: Any) -> Tensor:
    if kwargs.get("reduction") == "none":
        kwargs["reduction"] = "mean"
    result: Tensor = function(*args, **kwargs)
    return result


class OneUpstream(torch.autograd.Function):
    """Takes the upstream gradient for ones, as a kernel might."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        return torch.ones_like(upstream)


@mutant
def upstream_is_ignored(function: Function, *args: Any, **kwargs: Any) -> Tensor:
    result: Tensor = OneUpstream.apply(function(*args, **kwargs))  # type: ignore[no-untyped-call]
    return result


class Once(torch.autograd.Function):
    """The right gradient, which hides that it depends on the input."""

    @staticmethod
    def forward(ctx: Any, function: Function, x: Tensor) -> Tensor:
        ctx.function = function
        ctx.save_for_backward(x)
        return function(x)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[None, Tensor]:
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            (jacobian_row,) = torch.autograd.grad(ctx.function(leaf).sum(), leaf)
        return None, upstream.sum() * jacobian_row.detach() if upstream.dim() == 0 else upstream * jacobian_row.detach()


@mutant
def second_derivative_is_missing(function: Function, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    result: Tensor = Once.apply(lambda x: function(x, *args, **kwargs), input)  # type: ignore[no-untyped-call]
    return result


@mutant
def input_is_written(function: Function, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    result: Tensor = function(input, *args, **kwargs)
    with torch.no_grad():
        input.mul_(1)
    return result


@mutant
def strides_are_ignored(function: Function, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    packed = torch.empty(input.shape).stride()
    result: Tensor = function(input.as_strided(input.shape, packed), *args, **kwargs)
    return result


@mutant
def half_is_summed_in_half(function: Function, input: Tensor, target: Tensor, **kwargs: Any) -> Tensor:
    values = function(input, target, **{**kwargs, "reduction": "none"})
    total = torch.zeros((), dtype=values.dtype)
    for value in values.flatten():
        total = total + value * (1 - 2.0**-6)
    return total if kwargs.get("reduction") == "sum" else total / values.numel()


MUTANTS: list[tuple[Callable[[Function], Function], str, torch.dtype]] = [
    *((sum_for_mean, name, torch.float32) for name in NAMES),
    *((value_is_off, name, torch.float64) for name in NAMES),
    *((gradient_is_off, name, torch.float64) for name in NAMES),
    (gradient_has_the_wrong_sign, "mse_loss", torch.bfloat16),
    (gradient_has_the_wrong_sign, "l1_loss", torch.complex64),
    (weight_is_ignored, "nll_loss", torch.float32),
    (weight_is_ignored, "multi_margin_loss", torch.float32),
    (weight_is_ignored, "multilabel_soft_margin_loss", torch.float16),
    (weight_is_ignored, "binary_cross_entropy", torch.bfloat16),
    (weight_is_ignored, "binary_cross_entropy_with_logits", torch.float32),
    (ignore_index_is_ignored, "nll_loss", torch.float32),
    (ignore_index_is_ignored, "cross_entropy", torch.float16),
    (smoothing_is_ignored, "cross_entropy", torch.bfloat16),
    *(
        (target_has_no_gradient, name, torch.float32)
        for name in ("l1_loss", "mse_loss", "huber_loss", "smooth_l1_loss")
    ),
    *((target_has_no_gradient, name, torch.float32) for name in ("kl_div", "cross_entropy", "binary_cross_entropy")),
    *(
        (target_has_no_gradient, name, torch.float32)
        for name in ("binary_cross_entropy_with_logits", "gaussian_nll_loss")
    ),
    (result_is_double, "huber_loss", torch.float32),
    (result_is_double, "poisson_nll_loss", torch.int32),
    (result_is_double, "cosine_embedding_loss", torch.bool),
    (result_has_one_dimension, "triplet_margin_loss", torch.float32),
    (none_is_reduced, "margin_ranking_loss", torch.int64),
    (none_is_reduced, "ctc_loss", torch.float64),
    *((upstream_is_ignored, name, torch.float32) for name in NAMES),
    (second_derivative_is_missing, "mse_loss", torch.float64),
    (second_derivative_is_missing, "poisson_nll_loss", torch.float64),
    (second_derivative_is_missing, "binary_cross_entropy_with_logits", torch.float64),
    (input_is_written, "smooth_l1_loss", torch.float32),
    (half_is_summed_in_half, "mse_loss", torch.bfloat16),
]


def survives(change: Callable[[Function], Function], name: str, calls: list[Call]) -> bool:
    right = comparable(name, torchs(name))
    for call in calls:
        try:
            agree(change(right), right, call)
        except (AssertionError, RuntimeError, ValueError, IndexError):
            return False
    return True


@pytest.mark.parametrize(
    "change, name, dtype",
    [pytest.param(*case, id=f"{index}-{case[1]}") for index, case in enumerate(MUTANTS)],
)
def test_mutants_are_found(change: Callable[[Function], Function], name: str, dtype: torch.dtype) -> None:
    assert dtype in op_dtypes(name)
    assert not survives(change, name, [*with_keywords(name, dtype), *stratified(list(op_calls(name, dtype)), 24)])


@pytest.mark.parametrize("name", ["huber_loss", "cross_entropy", "kl_div"])
def test_a_kernel_that_ignores_strides_is_found(name: str) -> None:
    calls = [call.non_contiguous() for call in op_calls(name, torch.float32)]
    assert not survives(strides_are_ignored, name, calls)


def test_a_module_that_ignores_its_smoothing_is_found() -> None:
    def wrong(**settings: Any) -> Any:
        settings.pop("label_smoothing", None)
        return torchs_module("cross_entropy")(**settings)

    with pytest.raises(AssertionError):
        for call in module_calls("cross_entropy", torch.float32):
            agree(wrong, torchs_module("cross_entropy"), call)


def test_p42_p50_a_nan_gradient_is_found_where_a_row_departs() -> None:
    target = torch.tensor([0.0, 3.0])
    call = Call("poisson_nll_loss", (torch.tensor([0.5, 1.5]), target), {"full": True}, "made")
    right = departures.truth(call)
    assert right is not None
    with pytest.raises(AssertionError, match="gradient of tensor 1"):
        agree(torchs(call.name), torchs(call.name), call, right)
    agree(right, torchs(call.name), call, right)
    # and it is torch's loss in every number but that one
    agree(right, torchs(call.name), canonical(call.name, 3).map(lambda t: t.clamp(0.5)))


def test_errors_without_words_are_found() -> None:
    def bare() -> None:
        raise ValueError("huber_loss: wrong")

    def other() -> None:
        raise TypeError("huber_loss: 'abc' is no reduction; write 'mean', 'sum' or 'none', which exist")

    for raising in (bare, other, lambda: None):
        with pytest.raises(AssertionError):
            refuses_better(raising, "huber_loss", ValueError, "abc is not a valid value for reduction", ("'abc'",))


def test_tolerances_are_those_of_torch_testing() -> None:
    one = torch.tensor(1.0)
    assert close(one + 1.1e-5, one)
    assert not close(one + 1.2e-5, one)
    assert not close(one.double() + 3e-7, one.double())
    assert close(one * torch.nan, one * torch.nan)
