"""The samples of torch on which lossmith departs from torch, each by a row of the list, with what is right instead."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .samples import HALVES, Call

Function = Callable[..., Any]


def truth(call: Call) -> Function | None:
    """What is right for this call in place of torch's function; None where torch is right."""
    for row, name, applies, right in DEPARTURES:
        if call.name == name and applies(call):
            assert row
            return right
    return None


def reduced(values: Tensor, reduction: str) -> Tensor:
    return values if reduction == "none" else values.sum() if reduction == "sum" else values.mean()


def _stirling_at_zero(call: Call) -> bool:
    full = call.kwargs.get("full") if call.constructor is None else call.constructor[1].get("full")
    return bool(full) and call.args[1].is_floating_point() and bool((call.args[1] == 0).any())


def poisson_with_stirling(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """torch's Poisson loss; the Stirling term, which stands for targets above 1 alone, has no say at 0 either."""
    values = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        large = target.where(target > 1, 2)
        stirling = large * large.log() - large + 0.5 * (2 * math.pi * large).log()
        values = values + stirling.where(target > 1, 0)
    return reduced(values, reduction)


def ctc_with_true_gradient(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """CTC by torch's function behind log_softmax, where its gradient is right.

    A path takes one entry of each frame, so a number added to a frame leaves the loss by that number:
    ctc(y) = ctc(log_softmax(y)) - the sum of logsumexp(y_t) over the sample's frames.
    """
    batch = log_probs.unsqueeze(1) if log_probs.dim() == 2 else log_probs
    frames, labels = (torch.as_tensor(lengths).reshape(-1) for lengths in (input_lengths, target_lengths))
    if log_probs.dim() == 2:
        targets = targets.reshape(1, -1)
    sums = batch.logsumexp(-1)
    counted = torch.arange(len(batch)).unsqueeze(1) < frames
    values = torch.nn.functional.ctc_loss(
        batch.log_softmax(-1), targets.contiguous(), frames, labels, blank, reduction="none"
    )
    values = values - sums.where(counted, 0).sum(0)
    if zero_infinity:
        values = values.where(values.isfinite(), 0)
    if reduction == "none":
        return values.squeeze(0) if log_probs.dim() == 2 else values
    return values.sum() if reduction == "sum" else (values / labels.clamp(min=1)).mean()


def _ctc_beside_log_softmax(call: Call) -> bool:
    """Where torch's gradient is not compared through log_softmax: half precision, which would round in between."""
    return call.args[0].dtype in HALVES


def _ctc_labels_with_strides(call: Call) -> bool:
    """torch's CPU kernel steps over concatenated labels with their stride, but finds each sample's first without it."""
    return call.args[1].dim() == 1 and not call.args[1].is_contiguous()


DEPARTURES: tuple[tuple[str, str, Callable[[Call], bool], Function], ...] = (
    # row, loss, which samples, what is right
    ("P50", "poisson_nll_loss", _stirling_at_zero, poisson_with_stirling),
    ("P44", "ctc_loss", _ctc_beside_log_softmax, ctc_with_true_gradient),
    ("torch reads wrong labels", "ctc_loss", _ctc_labels_with_strides, ctc_with_true_gradient),
)
