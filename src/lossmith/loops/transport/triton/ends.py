"""Where the shares of a distribution's points end: sums of their weights, and which points end before a share."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import triton
import triton.language as tl

from ....formula.vocabularies.triton import maximum
from ...triton import offsets

INFINITY = tl.constexpr(float("inf"))


@triton.jit
def ends_kernel(
    weights: tl.tensor,
    order: tl.tensor,
    ends: tl.tensor,
    valid: tl.tensor,
    sizes: tl.tensor,
    weight_strides: tl.tensor,
    order_strides: tl.tensor,
    valid_strides: tl.tensor,
    weight_step: tl.tensor,
    order_step: tl.tensor,
    size: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """Of each row the sums of the weights up to each point, in the points' order, and whether they are masses."""
    row = tl.program_id(0).to(tl.int64)
    weights += offsets(row, sizes, weight_strides)
    order += offsets(row, sizes, order_strides)
    valid += offsets(row, sizes, valid_strides)
    ends += offsets(row, sizes, valid_strides) * size
    before = tl.zeros((), tl.float64)
    end = tl.zeros((), tl.float64)
    wrong = tl.zeros((), tl.int32)
    for start in range(0, size, BLOCK):
        i = start + tl.arange(0, BLOCK)
        inside = i < size
        place = tl.load(order + i.to(tl.int64) * order_step, inside, 0)
        weight = tl.load(weights + place * weight_step, inside, 0).to(tl.float64)
        wrong = tl.maximum(wrong, tl.max(tl.where(weight >= 0.0, 0, 1)))
        total = before + tl.cumsum(weight)
        before += tl.sum(weight)
        # a point without mass ends where the one before it does, however the sums were rounded
        total = tl.associative_scan(tl.where(weight > 0.0, total, 0.0), 0, maximum)
        total = maximum(total, end)
        tl.store(ends + i, total, inside)
        end = tl.reduce(total, 0, maximum)
    right = tl.where(wrong == 0, tl.where(end > 0.0, tl.where(end < INFINITY, 1, 0), 0), 0)
    tl.store(valid, right)


@triton.jit
def end_at(ends: tl.tensor, total: tl.tensor, k: tl.tensor, inside: tl.tensor, size: tl.tensor) -> tl.tensor:
    """Up to which share of the mass point k goes."""
    if ends is not None:
        return tl.load(ends + k, inside, 0.0) / total
    else:
        return (k + 1).to(tl.float64) / size


@triton.jit
def total_of(ends: tl.tensor, size: tl.tensor, used: tl.tensor) -> tl.tensor:
    """The last of a row's sums of weights, if it has weights."""
    total = tl.full((), 1.0, tl.float64)
    if ends is not None:
        total = tl.where(used != 0, tl.load(ends + size - 1), 1.0)
    return total


@triton.jit
def count_before(
    ends: tl.tensor, total: tl.tensor, size: tl.tensor, share: tl.tensor, k: tl.tensor, EQUAL: tl.constexpr
) -> tl.tensor:
    """How many points end before a share; EQUAL: or there. In the dtype of k."""
    low = tl.zeros_like(k)
    high = low + size
    searched = size
    while searched > 0:
        open = low < high
        middle = (low + high) // 2
        end = end_at(ends, total, middle, open, size)
        before = (end <= share) if EQUAL else (end < share)
        low = tl.where(open & before, middle + 1, low)
        high = tl.where(open & ~before, middle, high)
        searched = searched // 2
    return low
