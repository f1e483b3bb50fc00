"""The kernel of the gradients, in the points and in the weights."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import triton
import triton.language as tl

from ...triton import gradient_scale, offsets, rounded, unless_one
from .ends import total_of
from .loss import standing_of


@triton.jit
def write_forces(
    gradient: tl.tensor,
    step: tl.tensor,
    order: tl.tensor,
    order_step: tl.tensor,
    size: tl.tensor,
    forces: tl.tensor,
    runs: tl.tensor,
    scale: tl.tensor,
    kept: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """The gradient in the points, or 0 where the row does not count."""
    for start in range(0, size, BLOCK):
        k = start + tl.arange(0, BLOCK)
        inside = k < size
        counted = inside & (kept != 0)
        force = (tl.load(forces + k, counted, 0.0) + tl.load(runs + k, counted, 0.0)) * scale
        place = gradient + tl.load(order + k.to(tl.int64) * order_step, inside, 0) * step
        tl.store(place, rounded(tl.where(counted, force, 0.0), gradient), inside)


@triton.jit
def write_shares(
    gradient: tl.tensor,
    step: tl.tensor,
    order: tl.tensor,
    order_step: tl.tensor,
    size: tl.tensor,
    ends: tl.tensor,
    total: tl.tensor,
    jumps: tl.tensor,
    scale: tl.tensor,
    kept: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """The gradient in the weights: a share ends where a part of all weights does, so what moves the ends moves it."""
    shares = tl.zeros((BLOCK,), tl.float64)
    for start in range(0, size - 1, BLOCK):
        k = start + tl.arange(0, BLOCK)
        counted = (k + 1 < size) & (kept != 0)
        shares += tl.load(jumps + k, counted, 0.0) * (tl.load(ends + k, counted, 0.0) / total)
    shares = tl.sum(shares)
    above = tl.zeros((), tl.float64)
    blocks = (size + BLOCK - 1) // BLOCK
    for back in range(0, blocks):
        k = (blocks - 1 - back) * BLOCK + tl.arange(0, BLOCK)
        inside = k < size
        jump = tl.load(jumps + k, (k + 1 < size) & (kept != 0), 0.0)
        slope = (above + tl.cumsum(jump, 0, reverse=True) - shares) / total * scale
        above += tl.sum(jump)
        place = gradient + tl.load(order + k.to(tl.int64) * order_step, inside, 0) * step
        tl.store(place, rounded(tl.where(inside & (kept != 0), slope, 0.0), gradient), inside)


@triton.jit(do_not_specialize=["begin"])
def gradient_kernel(
    orders: tl.tensor,
    ends: tl.tensor,
    valid: tl.tensor,
    gradients: tl.tensor,
    factors: tl.tensor,
    mask: tl.tensor,
    upstream: tl.tensor,
    scratch: tl.tensor,
    sizes: tl.tensor,
    strides: tl.tensor,
    valid_strides: tl.tensor,
    gradient_strides: tl.tensor,
    factor_strides: tl.tensor,
    mask_strides: tl.tensor,
    steps: tl.tensor,
    gradient_steps: tl.tensor,
    counts: tl.tensor,
    begin: tl.int64,
    number: tl.float64,
    sums: tl.tensor,
    n_sums: tl.tensor,
    ON_EMPTY: tl.constexpr,
    STORED: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """The gradients of a pair of distributions. gradients: in both points, then in both weights, each may be None."""
    program = tl.program_id(0).to(tl.int64)
    row = begin + program
    kept, right, weight = standing_of(row, valid, factors, mask, sizes, valid_strides, factor_strides, mask_strides)
    used = kept * right
    slope = gradient_scale(number, sums, n_sums, upstream, ON_EMPTY) * weight
    room = scratch + program * 3 * (counts[0] + counts[1])
    for i in tl.static_range(2):
        size = counts[i]
        written = unless_one(size, upstream, STORED)
        order = orders[i] + offsets(row, sizes, strides[i])
        if gradients[i] is not None:
            to = gradients[i] + offsets(row, sizes, gradient_strides[i])
            write_forces(to, gradient_steps[i], order, steps[i], written, room, room + size, slope, used, BLOCK)
        if gradients[2 + i] is not None:
            to = gradients[2 + i] + offsets(row, sizes, gradient_strides[2 + i])
            own_ends = ends[i] + offsets(row, sizes, valid_strides[i]) * size
            write_shares(
                to, gradient_steps[2 + i], order, steps[i], written, own_ends, total_of(own_ends, size, used),
                room + 2 * size, slope, used, BLOCK,
            )  # fmt: skip
        room += 3 * size
