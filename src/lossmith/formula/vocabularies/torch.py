"""The words for torch tensors: any device, any order of derivative, every transform.

Each is differentiable as `formula/vocabulary.py` says, at its kinks and at infinity too: no gradient is NaN where the
value's derivative exists. Arguments are tensors or Python numbers; at least one is a tensor.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ..vocabulary import Real

exp = torch.exp
expm1 = torch.expm1
log = torch.log
log1p = torch.log1p
sqrt = torch.sqrt
sigmoid = torch.sigmoid
lgamma = torch.lgamma
digamma = torch.digamma
abs = torch.abs
relu = torch.relu


def sign(x: Real) -> Tensor:
    return torch.sgn(x)


def step(x: Real) -> Tensor:
    result: Tensor = (x >= 0).to(x.dtype)
    return result


def softplus(x: Real) -> Tensor:
    # torch.nn.functional.softplus turns linear above a threshold of 20, which float64 can see.
    return -torch.nn.functional.logsigmoid(-x)


def minimum(x: Real, y: Real) -> Tensor:
    return _extremum(torch.minimum, "max", x, y)


def maximum(x: Real, y: Real) -> Tensor:
    return _extremum(torch.maximum, "min", x, y)


def _extremum(function: Any, bound: str, x: Real, y: Real) -> Tensor:
    if not _is_number(x) and not _is_number(y):
        result: Tensor = function(x, y)
        return result
    tensor, number = (x, y) if _is_number(y) else (y, x)
    return torch.clamp(tensor, **{bound: number})


def _is_number(x: Real) -> bool:
    return isinstance(x, int | float | torch.SymInt | torch.SymFloat)


def hinge(x: Real) -> Tensor:
    return torch.clamp_min(x, 0)


def floor_at(x: Real, low: Real) -> Tensor:
    return where(x >= low, x, low + (x - x.detach()))


def where(condition: Real, x: Real, y: Real) -> Tensor:
    return torch.where(condition, x, y)


def product(x: Real, y: Real) -> Tensor:
    if isinstance(x, Tensor) and isinstance(y, Tensor):
        y = torch.where((x == 0) & _infinite(y), 0.0, y)
    elif isinstance(y, Tensor) and x == 0:
        y = torch.where(_infinite(y), 0.0, y)
    result: Tensor = x * y
    return result


def xlogy(x: Real, y: Real) -> Tensor:
    if _is_number(y):
        y = torch.full_like(x, y)
    # where x is 0 and the logarithm infinite, it is replaced, and its slope with it
    safe = torch.where((x == 0) & ((y <= 0) | (y == math.inf)), 1.0, y)
    result: Tensor = x * torch.log(safe)
    return result


_SLOPE_FLOOR = 1e-12  # torch divides by max(p (1 - p), 1e-12) in the gradient of binary_cross_entropy
_LOG_FLOOR = -100.0  # and clamps the logarithms here


def log_probability(p: Real) -> Tensor:
    return _with_floored_slope(torch.log, p, p, -0.5 * (1 - p) * (1 - p) / _SLOPE_FLOOR)


def log_complement(p: Real) -> Tensor:
    return _with_floored_slope(torch.log1p, -p, p, -0.5 * p * p / _SLOPE_FLOOR)


def _with_floored_slope(logarithm: Any, argument: Tensor, p: Tensor, carrier: Tensor) -> Tensor:
    """The floored logarithm; where p (1 - p) is below its floor, with the slope of the carrier.

    The carrier is added to the value and taken away again without its gradient.
    """
    if not torch.is_grad_enabled() and forward_ad._current_level < 0:
        return torch.clamp(logarithm(argument), min=_LOG_FLOOR)  # no derivative is asked for
    inside = p * (1 - p) > _SLOPE_FLOOR
    value = torch.clamp(logarithm(argument.detach()), min=_LOG_FLOOR)
    # the argument is replaced where it is not used, so that the unused branch has a finite slope
    safe = torch.where(inside, argument, 0.5)
    return torch.where(inside, logarithm(safe), value + (carrier - carrier.detach()))


def _infinite(x: Tensor) -> Tensor:
    # torch.isinf is not vectorised by the compiler
    return torch.abs(x) == torch.inf
