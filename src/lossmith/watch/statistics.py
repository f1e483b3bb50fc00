"""Numbers that rules ask of a call's tensors, each made on its device without a sync."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from ..rule import Call

Statistic = Callable[[Call], Tensor]


@cache
def minimum(argument: str) -> Statistic:
    return lambda call: _numbers(call, argument).amin()


@cache
def maximum(argument: str) -> Statistic:
    return lambda call: _numbers(call, argument).amax()


@cache
def row_error(argument: str) -> Statistic:
    """How far the sums over the classes are from 1, at most."""
    return lambda call: (_numbers(call, argument).sum(call.class_dim() or 0) - 1).abs().amax()


def _numbers(call: Call, argument: str) -> Tensor:
    given: Tensor = call.arguments[argument]
    return given.detach().to(torch.float32 if given.dtype != torch.float64 else given.dtype)
