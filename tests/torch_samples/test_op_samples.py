"""Every op_db sample of every loss in every dtype that it lists: torch's value, first and second derivative."""

import pytest
import torch

from . import departures
from .compare import agree, each
from .samples import NO_SECOND_DERIVATIVE, Call, canonical, op_calls, op_cases, stratified, with_keywords
from .targets import comparable, ours, torchs

CASES = [pytest.param(name, dtype, id=f"{name}-{str(dtype).removeprefix('torch.')}") for name, dtype in op_cases()]
MOST = 80
"""Where there are more samples of a dtype (gaussian_nll_loss has 324), many are alike; a full run takes all."""


def calls(name: str, dtype: torch.dtype) -> list[Call]:
    return stratified(list(op_calls(name, dtype)), MOST)


def equal_torch(call: Call) -> None:
    name, right = call.name, departures.truth(call)
    if right is None:
        agree(comparable(name, ours(name)), comparable(name, torchs(name)), call)
    else:
        agree(ours(name), torchs(name), call, right)


@pytest.mark.parametrize("name, dtype", CASES)
def test_samples_give_torchs_value_and_derivatives(name: str, dtype: torch.dtype) -> None:
    each(calls(name, dtype), equal_torch)


@pytest.mark.parametrize("name, dtype", CASES)
def test_samples_that_are_not_contiguous(name: str, dtype: torch.dtype) -> None:
    each((call.non_contiguous() for call in calls(name, dtype)), equal_torch)


@pytest.mark.parametrize("name, dtype", [case for case in CASES if with_keywords(*case.values)])
def test_keywords_that_torchs_samples_leave_out(name: str, dtype: torch.dtype) -> None:
    calls = with_keywords(name, dtype)
    each(calls, equal_torch)
    each((call.non_contiguous() for call in calls), equal_torch)


@pytest.mark.parametrize("name, dtype", [case for case in CASES if case.values[0] == "ctc_loss"])
def test_p44_ctc_without_log_softmax_upstream(name: str, dtype: torch.dtype) -> None:
    """torch's value, and the gradient of that value, which torch has not."""

    def check(call: Call) -> None:
        agree(ours(name), torchs(name), call, departures.ctc_with_true_gradient)
        value = torchs(name)(call.args[0].detach().double(), *call.args[1:], **call.kwargs)
        torch.testing.assert_close(ours(name)(*call.fresh().args, **call.kwargs), value.to(dtype))

    each(op_calls(name, dtype), check)


@pytest.mark.parametrize("name", sorted(NO_SECOND_DERIVATIVE))
def test_p37_p45_second_derivatives_that_torch_lacks(name: str) -> None:
    """By finite differences, of the input alone; of log_probs as they are, without log_softmax upstream."""

    def check(call: Call) -> None:
        x = call.args[0].detach().requires_grad_()

        def of_input(x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = ours(name)(x, *call.args[1:], **call.kwargs)
            return result

        assert torch.autograd.gradcheck(of_input, (x,), fast_mode=x.numel() > 60)
        assert torch.autograd.gradgradcheck(of_input, (x,), fast_mode=x.numel() > 60)

    chosen = [call for call in stratified(list(op_calls(name, torch.float64)), 12) if call.args[0].numel() < 400]
    each([*chosen, canonical(name, 2), canonical(name, 3, reduction="none")], check)


@pytest.mark.parametrize("name", ["ctc_loss"])
def test_p44_ctc_gradients_by_finite_differences_on_torchs_samples(name: str) -> None:
    def check(call: Call) -> None:
        x = call.args[0].detach().requires_grad_()
        assert torch.autograd.gradcheck(
            lambda x: ours(name)(x, *call.args[1:], **call.kwargs), (x,), fast_mode=True, atol=1e-4
        )

    each(stratified(list(op_calls(name, torch.float64)), 2)[::3], check)
