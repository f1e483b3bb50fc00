"""Numbers that rules ask of a call's tensors, each made on its device without a sync.

What a mask or a weight of 0 leaves out of the loss is left out here too. Of a tensor without elements each is NaN, for
which no comparison holds.
"""

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from ..rule import Call

Statistic = Callable[[Call], Tensor]


@cache
def minimum(argument: str) -> Statistic:
    return lambda call: numbers(call, argument, hidden=math.inf).amin()


@cache
def maximum(argument: str) -> Statistic:
    return lambda call: numbers(call, argument, hidden=-math.inf).amax()


@cache
def near(argument: str, value: float, width: float = 0.01) -> Statistic:
    """How many elements are not further than `width` from `value`."""
    return lambda call: ((numbers(call, argument) - value).abs() <= width).sum()


@cache
def row_error(argument: str) -> Statistic:
    """How far the sums over the classes are from 1, at most, beyond the rounding of the dtype."""
    return lambda call: (
        (numbers(call, argument).sum(call.class_dim() or 0) - 1).abs().amax() - rounding(call.arguments[argument])
    )


@cache
def log_error(argument: str, dim: int | None = None) -> Statistic:
    """How far log sum exp over a dimension, else over the classes, is from 0, at most, beyond rounding."""
    return lambda call: (
        numbers(call, argument).logsumexp(dim if dim is not None else call.class_dim() or 0).abs().amax()
        - rounding(call.arguments[argument])
    )


def numbers(call: Call, argument: str, hidden: float = math.nan) -> Tensor:
    """A tensor of the call as float32 or float64, detached, with `hidden` where nothing counts."""
    given = call.result if argument == "result" else call.arguments[argument]
    assert given is not None
    wide = given.detach().to(torch.float64 if given.dtype == torch.float64 else torch.float32)
    counted = _counted(call, wide)
    wide = wide if counted is None else torch.where(counted, wide, hidden)
    return wide if wide.numel() else wide.new_full((1,) * max(wide.dim(), 1), math.nan)


def rounding(given: Tensor) -> float:
    """The relative rounding of a tensor's dtype; 0 for integers."""
    return torch.finfo(given.dtype).eps if given.is_floating_point() else 0.0


def _counted(call: Call, given: Tensor) -> Tensor | None:
    """Where neither a mask nor a weight of 0 takes an element out of the loss; None if none can."""
    classes = call.class_dim()
    if "element_mask" in call.arguments:
        return _counted_in_regions(call, given)
    # the weight of a loss with classes is one number a class
    names = ("mask", "sample_weight", "weight") if classes is None else ("mask", "sample_weight")
    counted: Tensor | None = None
    for name in names:
        argument = call.arguments.get(name)
        if not isinstance(argument, Tensor):
            continue
        kept = argument.detach() != 0
        if classes is not None and kept.dim() == given.dim() - 1:
            kept = kept.unsqueeze(classes)
        counted = kept if counted is None else counted & kept
    return counted


def _counted_in_regions(call: Call, given: Tensor) -> Tensor | None:
    """The same for losses of regions. What their masks and weights take out of the mean is not told apart: then
    nothing counts.
    """
    if any(isinstance(call.arguments[name], Tensor) for name in ("mask", "sample_weight")):
        return torch.zeros(given.shape, dtype=torch.bool, device=given.device)
    kept = call.arguments["element_mask"]
    if not isinstance(kept, Tensor):
        return None
    shape = call.arguments["input"].shape
    kept = kept.detach().expand(shape)
    return kept if given.shape == shape else kept.any(call.class_dim() or 0)
