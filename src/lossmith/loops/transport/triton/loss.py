"""The kernel of the loss: both distributions' walks, and what the gradients are made of."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import triton
import triton.language as tl

from ....errors import NUMBER
from ...triton import as_number, offsets, rounded, take_note, unless_one
from .ends import total_of
from .walk import walk

NUMBER_OUTSIDE = tl.constexpr(NUMBER)


@triton.jit
def standing_of(
    row: tl.tensor,
    valid: tl.tensor,
    factors: tl.tensor,
    mask: tl.tensor,
    sizes: tl.tensor,
    valid_strides: tl.tensor,
    factor_strides: tl.tensor,
    mask_strides: tl.tensor,
) -> tl.tensor:
    """Of a pair: whether the mask keeps it, whether its weights are masses, and the product of its factors."""
    kept = tl.full((), 1, tl.int32)
    if mask is not None:
        kept = tl.load(mask + offsets(row, sizes, mask_strides)).to(tl.int32)
    right = tl.full((), 1, tl.int32)
    for i in tl.static_range(2):
        if valid[i] is not None:
            right *= tl.load(valid[i] + offsets(row, sizes, valid_strides[i]))
    weight = tl.full((), 1.0, tl.float64)
    for i in tl.static_range(len(factors)):
        weight *= tl.load(factors[i] + offsets(row, sizes, factor_strides[i])).to(tl.float64)
    return kept, right, weight


@triton.jit(do_not_specialize=["begin", "rows"])
def transport_kernel(
    points: tl.tensor,
    ends: tl.tensor,
    valid: tl.tensor,
    factors: tl.tensor,
    mask: tl.tensor,
    upstream: tl.tensor,
    value: tl.tensor,
    partials: tl.tensor,
    scratch: tl.tensor,
    note: tl.tensor,
    sizes: tl.tensor,
    strides: tl.tensor,
    valid_strides: tl.tensor,
    factor_strides: tl.tensor,
    mask_strides: tl.tensor,
    value_strides: tl.tensor,
    steps: tl.tensor,
    counts: tl.tensor,
    begin: tl.int64,
    p: tl.float64,
    P: tl.constexpr,
    LOSS: tl.constexpr,
    STORED: tl.constexpr,
    FORCES: tl.constexpr,
    JUMPS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """The loss of a pair of distributions, and what its gradients are made of, in `scratch`.

    Pairs: points in order; the ends of shares and whether they are right, if there are weights; how many points.
    """
    p = as_number(p, tl.float64)
    program = tl.program_id(0).to(tl.int64)
    row = begin + program
    x_size, y_size = counts[0], counts[1]
    x_forces, x_runs, x_jumps, y_forces, y_runs, y_jumps = None, None, None, None, None, None
    kept, right, weight = standing_of(row, valid, factors, mask, sizes, valid_strides, factor_strides, mask_strides)
    if note is not None:
        one = tl.zeros((1,), tl.int64)
        for i in tl.static_range(2):
            if valid[i] is not None:
                at = offsets(row, sizes, valid_strides[i])
                wrong = one + kept > one + tl.load(valid[i] + at)
                take_note(note, wrong, one + at, one + 2 + i, 0, NUMBER_OUTSIDE, LOSS)
    used = kept * right
    x_ends, y_ends = ends[0], ends[1]
    if x_ends is not None:
        x_ends += offsets(row, sizes, valid_strides[0]) * x_size
    if y_ends is not None:
        y_ends += offsets(row, sizes, valid_strides[1]) * y_size
    x_total, y_total = total_of(x_ends, x_size, used), total_of(y_ends, y_size, used)
    used = unless_one(used, upstream, STORED)
    if FORCES or JUMPS:
        room = scratch + program * 3 * (x_size + y_size)
        x_forces, x_runs, x_jumps = room, room + x_size, room + 2 * x_size
        room += 3 * x_size
        y_forces, y_runs, y_jumps = room, room + y_size, room + 2 * y_size
        if FORCES:
            for start in range(0, x_size, BLOCK):
                k = start + tl.arange(0, BLOCK)
                tl.store(x_runs + k, tl.zeros((BLOCK,), tl.float64), k < x_size)
            for start in range(0, y_size, BLOCK):
                k = start + tl.arange(0, BLOCK)
                tl.store(y_runs + k, tl.zeros((BLOCK,), tl.float64), k < y_size)
            tl.debug_barrier()
    x = points[0] + offsets(row, sizes, strides[0])
    y = points[1] + offsets(row, sizes, strides[1])
    loss = tl.zeros((), tl.float64)
    if used != 0:
        loss += walk(
            x, steps[0], x_ends, x_total, x_size, y, steps[1], y_ends, y_total, y_size,
            x_forces, y_runs, x_jumps, p, P, True, FORCES, JUMPS, BLOCK,
        )  # fmt: skip
        loss += walk(
            y, steps[1], y_ends, y_total, y_size, x, steps[0], x_ends, x_total, x_size,
            y_forces, x_runs, y_jumps, p, P, False, FORCES, JUMPS, BLOCK,
        )  # fmt: skip
    loss = tl.where(right != 0, loss * weight, float("nan"))
    loss = tl.where(kept != 0, loss, 0.0)
    if value is not None:
        tl.store(value + offsets(row, sizes, value_strides), rounded(loss, value))
    if partials is not None:
        tl.store(partials + row, loss)
