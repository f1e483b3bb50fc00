"""What it costs to move the shares that end where those of one distribution do, with the derivatives there."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import triton
import triton.language as tl

from ....formula.vocabularies.triton import sign
from .ends import INFINITY, count_before, end_at


@triton.jit
def add_of_one(a: tl.tensor, a_place: tl.tensor, b: tl.tensor, b_place: tl.tensor) -> tl.tensor:
    """Of two neighbouring runs: the sum over what has the last one's place."""
    return b + tl.where(a_place == b_place, a, 0.0), b_place


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
