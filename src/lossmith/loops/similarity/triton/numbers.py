"""Numbers of a call and of its rows, and sums of exponentials, in kernels."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import triton
import triton.language as tl

from ....formula.vocabularies.triton import INFINITY, exp, log1p, maximum
from ...triton import as_number


@triton.jit
def number_of_call(at: tl.tensor, number: tl.float64) -> tl.tensor:
    """A number that is on the device (at: a pointer), or that the host knows, in float64."""
    result = as_number(number, tl.float64)
    if at is not None:
        result = tl.load(at).to(tl.float64)
    return result


@triton.jit
def weight_of(
    weights: tl.tensor, strides: tl.tensor, share: tl.float64, row: tl.tensor, kept: tl.tensor, count: tl.tensor
) -> tl.tensor:
    """What each row's loss is multiplied with, in float64; of `count` unreduced losses, each may be two rows' mean."""
    weight = tl.zeros_like(row).to(tl.float64) + share
    row = tl.where(row < count, row, row - count)  # the remainder of 64 bits would be a call
    for i in tl.static_range(len(weights)):
        weight *= tl.load(weights[i] + row * strides[i], kept, 0.0).to(tl.float64)
    return weight


@triton.jit
def finite_or_zero(top: tl.tensor) -> tl.tensor:
    return tl.where(tl.abs(top) == INFINITY, 0.0, top)


@triton.jit
def summed_with(top: tl.tensor, total: tl.tensor, logits: tl.tensor, axis: tl.constexpr) -> tl.tensor:
    """The greatest logit, and the sum of exp(logit - it) in float64, with more logits along an axis."""
    high = maximum(top, tl.max(logits, axis))
    base = finite_or_zero(high)
    more = tl.sum(exp(logits - tl.expand_dims(base, axis)), axis)
    return high, total * exp(top - base).to(tl.float64) + more.to(tl.float64)


@triton.jit
def log_of_total(top: tl.tensor, total: tl.tensor) -> tl.tensor:
    return finite_or_zero(top).to(tl.float64) + tl.log(total)


@triton.jit
def log_of_sum(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    """log(exp(x) + exp(y))."""
    high = maximum(x, y)
    low = tl.where(x == high, y, x)
    return high + tl.where(tl.abs(high) == INFINITY, 0.0, log1p(exp(low - high)))
