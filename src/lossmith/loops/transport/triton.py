"""Distributions on a line on a GPU: torch sorts them, and a program for each pair merges their quantile functions.

Where a share of the one ends, a binary search finds what of the other it is moved to. So all ends are looked at side by
side: a point's force is that at its own end and, summed over runs of neighbours, at those ends of the other that lie
within its share. Sums and costs are computed in float64, in which a float's square has room.
"""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from ...backend import HALVES
from ...errors import NUMBER, note_on, number_of
from ...formula.vocabularies.triton import maximum, sign
from ..fused import summed
from ..launches import on
from ..triton import (
    Divisor,
    Layout,
    as_number,
    finish,
    gradient_scale,
    offsets,
    rescale,
    rounded,
    take_note,
    unless_one,
)

if TYPE_CHECKING:
    from .native import _Call

MOST_AT_ONCE = 1024
"""So many points are looked at side by side at most."""
SCRATCH = 2**25
"""So many numbers are kept at most, three for each point, of the pairs that run at once."""
INFINITY = tl.constexpr(float("inf"))
NUMBER_OUTSIDE = tl.constexpr(NUMBER)


@triton.jit
def add_of_one(a: tl.tensor, a_place: tl.tensor, b: tl.tensor, b_place: tl.tensor) -> tl.tensor:
    """Of two neighbouring runs: the sum over what has the last one's place."""
    return b + tl.where(a_place == b_place, a, 0.0), b_place


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


@triton.jit
def cost_of(difference: tl.tensor, p: tl.tensor, P: tl.constexpr) -> tl.tensor:
    distance = tl.abs(difference)
    if P == 1:
        return distance
    elif P == 2:
        return difference * difference
    else:
        return tl.exp(p * tl.log(distance))


@triton.jit
def slope_of(difference: tl.tensor, p: tl.tensor, P: tl.constexpr) -> tl.tensor:
    if P == 1:
        return sign(difference)
    elif P == 2:
        return 2.0 * difference
    else:
        return p * tl.exp((p - 1.0) * tl.log(tl.abs(difference))) * sign(difference)


@triton.jit
def moved(x: tl.tensor, y: tl.tensor, mass: tl.tensor) -> tl.tensor:
    """The difference of two points; where nothing is moved, a point may be anywhere."""
    difference = x - y
    return tl.where((mass == 0.0) & ~(tl.abs(difference) < INFINITY), 0.0, difference)


@triton.jit
def walk(
    points: tl.tensor,
    step: tl.tensor,
    ends: tl.tensor,
    total: tl.tensor,
    size: tl.tensor,
    other_points: tl.tensor,
    other_step: tl.tensor,
    other_ends: tl.tensor,
    other_total: tl.tensor,
    other_size: tl.tensor,
    forces: tl.tensor,
    other_runs: tl.tensor,
    jumps: tl.tensor,
    p: tl.tensor,
    P: tl.constexpr,
    FIRST: tl.constexpr,
    FORCES: tl.constexpr,
    JUMPS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> tl.tensor:
    """What it costs to move the shares that end where those of `points` do, up to the end before, of either.

    FIRST: of two that end at once, that of `points` is first. forces, jumps: the derivatives there, in each point and
    in the place of its end; other_runs: the sums of the derivatives in each of the other's points.
    """
    cost = tl.zeros((BLOCK,), tl.float64)
    carried = tl.zeros((), tl.float64)
    of_place = -1 + 0 * size
    for start in range(0, size, BLOCK):
        k = start + tl.arange(0, BLOCK)
        inside = k < size
        end = end_at(ends, total, k, inside, size)
        at = count_before(other_ends, other_total, other_size, end, k, not FIRST)
        place = tl.minimum(at, other_size - 1)
        begin = tl.where(k > 0, end_at(ends, total, k - 1, inside & (k > 0), size), 0.0)
        earlier = end_at(other_ends, other_total, at - 1, inside & (at > 0), other_size)
        begin = tl.where((at > 0) & (earlier > begin), earlier, begin)
        mass = end - begin
        own = tl.load(points + k.to(tl.int64) * step, inside, 0.0).to(tl.float64)
        other = tl.load(other_points + place.to(tl.int64) * other_step, inside, 0.0).to(tl.float64)
        difference = moved(own, other, mass)
        here = cost_of(difference, p, P)
        cost += tl.where(inside & (mass != 0.0), mass * here, 0.0)
        next_end = end_at(ends, total, k + 1, k + 1 < size, size)
        other_end = end_at(other_ends, other_total, place, inside, other_size)
        if FORCES:
            force = tl.where(inside & (mass != 0.0), mass * slope_of(difference, p, P), 0.0)
            tl.store(forces + k, force, inside)
            place = tl.where(inside, place, -2)
            force, _ = tl.associative_scan((-force, place), 0, add_of_one)
            force += tl.where(place == of_place, carried, 0.0)
            passed = (other_end < next_end) if FIRST else (other_end <= next_end)
            passed = passed & (at < other_size - 1)
            tl.store(other_runs + place, force, inside & (passed | (k == size - 1)))
            is_last = k == start + BLOCK - 1
            carried = tl.sum(tl.where(is_last, force, 0.0))
            of_place = tl.sum(tl.where(is_last, place, 0))
        if JUMPS:
            follows = k + 1 < size
            after = tl.load(points + (k + 1).to(tl.int64) * step, follows, 0.0).to(tl.float64)
            sooner = tl.where((at < other_size) & (other_end < next_end), other_end, next_end)
            there = cost_of(moved(after, other, sooner - end), p, P)
            tl.store(jumps + k, here - there, follows)
    return tl.sum(cost)


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


@triton.jit
def total_of(ends: tl.tensor, size: tl.tensor, used: tl.tensor) -> tl.tensor:
    """The last of a row's sums of weights, if it has weights."""
    total = tl.full((), 1.0, tl.float64)
    if ends is not None:
        total = tl.where(used != 0, tl.load(ends + size - 1), 1.0)
    return total


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


class Sorted(NamedTuple):
    """One distribution of each pair, in order: what backward needs of forward's work."""

    points: Tensor
    order: Tensor
    ends: Tensor | None = None
    """Sums of weights up to each point, of each row of points and weights; float64."""
    valid: Tensor | None = None
    """Whether the weights of each row are masses; int32."""

    @classmethod
    def of(cls, points: Tensor, weights: Tensor | None) -> "Sorted":
        values, order = points.sort(dim=-1, stable=True)
        if weights is None:
            return cls(values, order)
        size = points.shape[-1]
        shape = torch.broadcast_shapes(points.shape[:-1], weights.shape[:-1])  # type: ignore[no-untyped-call]
        ends = torch.empty(*shape, size, dtype=torch.float64, device=points.device)
        valid = torch.empty(shape, dtype=torch.int32, device=points.device)
        layout = Layout.of(shape, [_rows(weights, shape), _rows(order, shape), valid])
        if valid.numel():
            ends_kernel[(valid.numel(),)](
                weights,
                order,
                ends,
                valid,
                layout.sizes,
                *layout.strides,
                weights.stride(-1),
                order.stride(-1),
                size,
                BLOCK=_block(size),
            )
        return cls(values, order, ends, valid)


def _rows(tensor: Tensor, shape: torch.Size) -> Tensor:
    """The first number of each row of a batch."""
    return tensor.expand(*shape, tensor.shape[-1])[..., 0]


def _block(size: int) -> int:
    return max(16, min(MOST_AT_ONCE, int(triton.next_power_of_2(size))))


def launch(
    call: "_Call",
    tensors: Sequence[Tensor],
    wanted: Sequence[bool],
    upstream: Tensor | None = None,
    into: Sequence[Tensor | None] | None = None,
) -> tuple[Tensor | None, list[Tensor | None]]:
    """`fused.DeviceKernel.launch` of a call of transport."""
    shape, count = call.shape, 2 + sum(call.weighed)
    asked = [i for i in range(count) if wanted[i]]
    again = upstream is not None and call.reduced and all([tensors[i].dtype not in HALVES for i in asked])
    if again and upstream is not None and into is not None:
        rescale(into, upstream)
        return None, [*into]
    factors: tuple[Tensor, ...] = tuple(tensors[count : count + call.factors])
    mask = tensors[count + call.factors] if call.masked else None
    device = tensors[0].device
    with on(tensors[0]):
        weights = call.weights(tensors)
        if call.order is None:
            call.order = [Sorted.of(x, w) for x, w in zip(tensors[:2], weights, strict=True)]
        x, y = call.order
        gradients: list[Tensor | None] = [None] * len(tensors)
        whole = all([tensors[i].shape[:-1] == shape for i in asked])
        if upstream is not None or whole:  # what is broadcast has to be summed, so it waits for backward
            for i in asked:
                if into is not None:
                    gradients[i] = into[i]
                elif tensors[i].shape[:-1] == shape:
                    gradients[i] = torch.empty_like(tensors[i])
                else:
                    gradients[i] = tensors[i].new_empty(*shape, tensors[i].shape[-1], dtype=call.compute)
        rows, sizes = shape.numel(), (tensors[0].shape[-1], tensors[1].shape[-1])
        made = [gradients[0], gradients[1], *call.weights(gradients)]
        forces, jumps = (any([g is not None for g in pair]) for pair in (made[:2], made[2:]))
        at_once, scratch = rows, None
        if forces or jumps:
            at_once = min(rows, max(1, SCRATCH // (3 * sum(sizes))))
            scratch = torch.empty(at_once, 3 * sum(sizes), dtype=torch.float64, device=device)
        value = partials = None
        first = upstream is None
        if first and call.reduced:
            value = torch.empty((), dtype=call.result, device=device)
            partials = torch.empty(rows, dtype=torch.float64, device=device)
        elif first:
            value = torch.empty(shape, dtype=call.result, device=device)
        elif not call.reduced and upstream is not None:
            factors, upstream = (*factors, upstream), None
        number = None if again else upstream
        each = None if call.reduced else value
        divisor = call.divisor if isinstance(call.divisor, Divisor) else Divisor(call.divisor or 1.0)
        views = [_rows(x.points, shape), _rows(y.points, shape)]
        views += [t.expand(shape) for t in (x.valid, y.valid) if t is not None]
        views += [_rows(g, shape) for g in made if g is not None]
        views += [t.expand(shape) for t in (*factors, mask, each) if t is not None]
        layout = Layout.of(shape, views)
        strides = iter(layout.strides)

        def of(given: Sequence[Tensor | None]) -> tuple[tuple[int, ...], ...]:
            return tuple([(0,) * len(layout.sizes) if t is None else next(strides) for t in given])

        own, of_valid, of_made, of_factors, (of_mask, of_each) = (
            of(given) for given in ((x.points, y.points), (x.valid, y.valid), made, factors, (mask, each))
        )
        ends, valid, steps = (x.ends, y.ends), (x.valid, y.valid), (x.points.stride(-1), y.points.stride(-1))
        block, stored = _block(max(sizes)), into is not None
        for begin in range(0, rows, max(1, at_once)):
            grid = (min(at_once, rows - begin),)
            transport_kernel[grid](
                (x.points, y.points),
                ends,
                valid,
                factors,
                mask,
                number,
                each,
                partials,
                scratch,
                note_on(device) if first and count > 2 else None,
                layout.sizes,
                own,
                of_valid,
                of_factors,
                of_mask,
                of_each,
                steps,
                sizes,
                begin,
                call.p,
                P=int(call.p) if call.p in (1, 2) else 0,
                LOSS=number_of(call.loss),
                STORED=stored,
                FORCES=forces,
                JUMPS=jumps,
                BLOCK=block,
                num_warps=max(1, min(8, block // 64)),
            )
            if scratch is not None:
                gradient_kernel[grid](
                    (x.order, y.order),
                    ends,
                    valid,
                    tuple(made),
                    factors,
                    mask,
                    number,
                    scratch,
                    layout.sizes,
                    own,
                    of_valid,
                    of_made,
                    of_factors,
                    of_mask,
                    steps,
                    tuple([0 if g is None else g.stride(-1) for g in made]),
                    sizes,
                    begin,
                    *divisor.arguments,
                    ON_EMPTY=divisor.on_empty,
                    STORED=stored,
                    BLOCK=block,
                )
        if partials is not None and value is not None:
            finish(call.loss, partials, divisor, value)
        if again and upstream is not None:  # a later backward goes through the same steps, for the same bits
            rescale(gradients, upstream)
    for i, gradient in enumerate(gradients):
        if gradient is not None and gradient.shape != tensors[i].shape:
            gradients[i] = summed(gradient, tensors[i])
    return value, gradients
