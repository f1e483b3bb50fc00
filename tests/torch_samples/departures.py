"""The samples of torch on which lossmith departs from torch, each by a row of the list, with what is right instead."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .samples import Call

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


DEPARTURES: tuple[tuple[str, str, Callable[[Call], bool], Function], ...] = (
    # row, loss, which samples, what is right
    ("P50", "poisson_nll_loss", _stirling_at_zero, poisson_with_stirling),
)
