"""Mined triplets on a GPU: Triton kernels, one program for each anchor, over tiles of distances.

Distances are sums of squared differences in float64, exact where vectors are near. A tile holds those of some anchors
to all samples; a step finds each anchor's triplets and leaves in a second tile what multiplies the differences of the
vectors in the gradient; these are summed once for the anchors and once for the other samples. Of each pair all
negatives are looked at: an anchor with P positives and N negatives takes P N steps besides the B D of its distances.
"""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl
from torch import Tensor

from ...formula.vocabularies.triton import exp, log1p, sigmoid, softplus, sqrt
from ..triton import Divisor, as_number, finish, gradient_scale, on, rescale, rounded, weigh
from .settings import MINERS, Mining

if TYPE_CHECKING:
    from .native import _Call

TILE = 1 << 26
"""Bytes of a tile."""
INFINITE = tl.constexpr(float("inf"))
BATCH_ALL, BATCH_HARD, SEMI_HARD, DISTANCE_WEIGHTED = (tl.constexpr(MINERS.index(name)) for name in MINERS)
NOBODY = tl.constexpr(2**31 - 1)
PAIRED = {"PAIRS": 8, "BLOCK": 128}
"""Positives and samples that a program looks at together."""


# ----- samples -----


@triton.jit
def counts(mask: tl.tensor, stride: tl.tensor, sample: tl.tensor, real: tl.tensor) -> tl.tensor:
    """Whether samples are there at all: no mask hides them."""
    if mask is not None:
        real = real & (tl.load(mask + sample * stride, real, 0) != 0)
    return real


@triton.jit
def component(
    vectors: tl.tensor,
    place: tl.tensor,
    real: tl.tensor,
    greatest: tl.tensor,
    inverse: tl.tensor,
    NORMALIZE: tl.constexpr,
    WIDE: tl.constexpr,
) -> tl.tensor:
    """Components of vectors, scaled to length 1 if that is asked for, in float64."""
    x = tl.load(vectors + place, real, 0.0).to(tl.float64)
    if NORMALIZE:
        if WIDE:
            x = x / greatest
        x = x * inverse
    return x


@triton.jit(do_not_specialize=["rows"])
def lengths_kernel(
    vectors: tl.tensor,
    mask: tl.tensor,
    greatest: tl.tensor,
    inverse: tl.tensor,
    rows: tl.int64,
    width: tl.int64,
    row_stride: tl.int64,
    stride: tl.int64,
    mask_stride: tl.int64,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """What each vector is divided by, so that no square is out of range, and 1 over its length then.

    Squares of float32 never are. The second is NaN if a number of the vector is not finite, and 0 if all are 0.
    """
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    real = row < rows
    kept = counts(mask, mask_stride, row, real)
    top = tl.zeros((ROWS,), tl.float64)
    spoiled = tl.zeros((ROWS,), tl.int32)
    for begin in range(0, width, BLOCK):
        k = (begin + tl.arange(0, BLOCK)).to(tl.int64)
        inside = kept[:, None] & (k < width)[None, :]
        x = tl.abs(tl.load(vectors + row[:, None] * row_stride + k[None, :] * stride, inside, 0.0).to(tl.float64))
        bad = ~(x < INFINITE)
        spoiled += tl.sum(bad.to(tl.int32), 1)
        top = tl.maximum(top, tl.max(tl.where(bad, 0.0, x), 1))
    scale = tl.full((ROWS,), 1.0, tl.float64)
    if WIDE:
        scale = tl.where(top > 0.0, top, 1.0)
    squares = tl.zeros((ROWS,), tl.float64)
    for begin in range(0, width, BLOCK):
        k = (begin + tl.arange(0, BLOCK)).to(tl.int64)
        inside = kept[:, None] & (k < width)[None, :]
        x = tl.load(vectors + row[:, None] * row_stride + k[None, :] * stride, inside, 0.0).to(tl.float64)
        x = x / scale[:, None]
        squares += tl.sum(x * x, 1)
    length = tl.where(top > 0.0, 1.0 / sqrt(tl.where(top > 0.0, squares, 1.0)), 0.0)
    tl.store(greatest + row, scale, real)
    tl.store(inverse + row, tl.where(spoiled > 0, float("nan"), length), real)


@triton.jit(do_not_specialize=["begin", "anchors", "rows"])
def distances_kernel(
    vectors: tl.tensor,
    greatest: tl.tensor,
    inverse: tl.tensor,
    distances: tl.tensor,
    begin: tl.int64,
    anchors: tl.int64,
    rows: tl.int64,
    width: tl.int64,
    row_stride: tl.int64,
    stride: tl.int64,
    SQUARED: tl.constexpr,
    NORMALIZE: tl.constexpr,
    WIDE: tl.constexpr,
    ANCHORS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """The distances of some anchors to all samples, or their squares."""
    across = tl.cdiv(rows, BLOCK)
    local = (tl.program_id(0) // across).to(tl.int64) * ANCHORS + tl.arange(0, ANCHORS)
    sample = (tl.program_id(0) % across).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    anchor = begin + local
    is_anchor, is_sample = local < anchors, sample < rows
    top_a, length_a = tl.load(greatest + anchor, is_anchor, 1.0), tl.load(inverse + anchor, is_anchor, 0.0)
    top_b, length_b = tl.load(greatest + sample, is_sample, 1.0), tl.load(inverse + sample, is_sample, 0.0)
    scale = tl.full((ANCHORS, BLOCK), 1.0, tl.float64)
    if WIDE:
        if not SQUARED:  # squares of float64 may be out of its range
            most = tl.zeros((ANCHORS, BLOCK), tl.float64)
            for k in range(0, width):
                a = component(vectors, anchor * row_stride + k * stride, is_anchor, top_a, length_a, NORMALIZE, WIDE)
                b = component(vectors, sample * row_stride + k * stride, is_sample, top_b, length_b, NORMALIZE, WIDE)
                most = tl.maximum(most, tl.abs(a[:, None] - b[None, :]))
            scale = tl.where((most > 0.0) & (most < INFINITE), most, 1.0)
    total = tl.zeros((ANCHORS, BLOCK), tl.float64)
    for k in range(0, width):
        a = component(vectors, anchor * row_stride + k * stride, is_anchor, top_a, length_a, NORMALIZE, WIDE)
        b = component(vectors, sample * row_stride + k * stride, is_sample, top_b, length_b, NORMALIZE, WIDE)
        difference = a[:, None] - b[None, :]
        if WIDE:
            if not SQUARED:
                difference = difference / scale
        total += difference * difference
    if not SQUARED:
        total = sqrt(total) * scale
    place = distances + local[:, None] * rows + sample[None, :]
    tl.store(place, total, is_anchor[:, None] & is_sample[None, :])


# ----- an anchor and its samples -----


@triton.jit
def positives_at(
    members: tl.tensor,
    mask: tl.tensor,
    mask_stride: tl.tensor,
    anchor: tl.tensor,
    begin: tl.tensor,
    last: tl.tensor,
    PAIRS: tl.constexpr,
) -> tl.tensor:
    """Some members of an anchor's class, and which of them are its positives."""
    place = begin + tl.arange(0, PAIRS)
    sample = tl.load(members + place, place < last, 0)
    return sample, counts(mask, mask_stride, sample, place < last) & (sample != anchor)


@triton.jit
def negatives_at(
    labels: tl.tensor,
    stride: tl.tensor,
    mask: tl.tensor,
    mask_stride: tl.tensor,
    label: tl.tensor,
    begin: tl.tensor,
    rows: tl.tensor,
    BLOCK: tl.constexpr,
) -> tl.tensor:
    """Some samples, and which of them are negatives of a label."""
    sample = (begin + tl.arange(0, BLOCK)).to(tl.int64)
    real = counts(mask, mask_stride, sample, sample < rows)
    return sample, real & (tl.load(labels + sample * stride, real, 0) != label)


@triton.jit
def cost_of(lead: tl.tensor, margin: tl.tensor, SOFT: tl.constexpr) -> tl.tensor:
    """What the lead of a positive's distance over a negative's costs, and the slope of that; 0 where it begins."""
    if SOFT:
        cost = softplus(lead)
        slope = sigmoid(lead)
    else:
        cost = tl.where(lead + margin > 0.0, lead + margin, 0.0)
        slope = tl.where(lead + margin > 0.0, 1.0, 0.0).to(tl.float64)
    return cost, slope


@triton.jit
def over(slope: tl.tensor, distance: tl.tensor, SQUARED: tl.constexpr) -> tl.tensor:
    """What multiplies the difference of two vectors in the gradient, for a slope in their distance."""
    if SQUARED:
        result = 2.0 * slope
    else:
        result = tl.where(distance > 0.0, slope / tl.where(distance > 0.0, distance, 1.0), 0.0)
    return result


@triton.jit
def level_of(distance: tl.tensor, fits: tl.tensor, width: tl.tensor, cutoff: tl.tensor) -> tl.tensor:
    """The logarithm of a negative's chance, up to a constant: one over the density of distances on the sphere."""
    clipped = tl.where(fits & (distance > cutoff), distance, cutoff)
    fits = fits & (clipped < 2.0)
    clipped = tl.where(fits, clipped, 1.0)
    level = (2 - width) * tl.log(clipped) + (3 - width) * 0.5 * log1p(-0.25 * clipped * clipped)
    return tl.where(fits, level, -INFINITE)


@triton.jit
def mixed(x: tl.tensor) -> tl.tensor:
    """splitmix64, https://prng.di.unimi.it/splitmix64.c: a number of 64 random bits for each number."""
    x = x + 0x9E3779B97F4A7C15
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB
    return x ^ (x >> 31)


@triton.jit
def number_among(numbers: tl.tensor, sample: tl.tensor, real: tl.tensor) -> tl.tensor:
    """Samples' places among those that count."""
    number = sample
    if numbers is not None:
        number = tl.load(numbers + sample, real, 0) - 1
    return number.to(tl.uint64)


@triton.jit(do_not_specialize=["begin", "rows", "seed"])
def step_kernel(
    distances: tl.tensor,
    weights: tl.tensor,
    chosen: tl.tensor,
    labels: tl.tensor,
    members: tl.tensor,
    firsts: tl.tensor,
    lasts: tl.tensor,
    numbers: tl.tensor,
    inverse: tl.tensor,
    factors: tl.tensor,
    factor_strides: tl.tensor,
    mask: tl.tensor,
    losses: tl.tensor,
    shares: tl.tensor,
    account: tl.tensor,
    begin: tl.int64,
    rows: tl.int64,
    width: tl.int64,
    label_stride: tl.int64,
    mask_stride: tl.int64,
    margin: tl.float64,
    cutoff: tl.float64,
    farthest: tl.float64,
    seed: tl.int64,
    MINER: tl.constexpr,
    SOFT: tl.constexpr,
    SQUARED: tl.constexpr,
    ACTIVE: tl.constexpr,
    PAIRS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """The loss of one anchor, its share in the mean's denominator, and how many triplets it has.

    weights: where the gradient's weights go, or None. What semi-hard and distance-weighted choose goes into `chosen`,
    at each positive, and `weights_kernel` goes on with it.
    """
    local = tl.program_id(0).to(tl.int64)
    anchor = begin + local
    row = distances + local * rows
    there = counts(mask, mask_stride, anchor, anchor < rows)
    label = tl.load(labels + anchor * label_stride)
    first = tl.load(firsts + anchor)
    last = tl.where(there, tl.load(lasts + anchor), first)
    less = as_number(margin, tl.float64)
    factor = as_number(1.0, tl.float64)
    for i in tl.static_range(len(factors)):
        factor *= tl.load(factors[i] + anchor * factor_strides[i], there, 0.0).to(tl.float64)

    # all samples: is any of them spoiled, how many negatives are there, how far, which is nearest
    spoiled = tl.zeros((BLOCK,), tl.int32)
    others = tl.zeros((BLOCK,), tl.int32)
    sum_far = tl.zeros((BLOCK,), tl.float64)
    nearest = tl.full((), INFINITE, tl.float64)
    nearest_at = tl.full((), NOBODY, tl.int64)
    top = tl.full((), -INFINITE, tl.float64)
    for start in range(0, rows, BLOCK):
        sample, negative = negatives_at(labels, label_stride, mask, mask_stride, label, start, rows, BLOCK)
        real = counts(mask, mask_stride, sample, sample < rows)
        state = tl.load(inverse + sample, real, 0.0)
        spoiled += (state != state).to(tl.int32)
        negative = negative & there
        others += negative.to(tl.int32)
        distance = tl.load(row + sample, negative, INFINITE)
        if MINER == BATCH_ALL:
            sum_far += tl.where(negative, distance, 0.0)
        elif MINER == BATCH_HARD:
            least = tl.min(distance)
            place = tl.min(tl.where(negative & (distance == least), sample, NOBODY))
            nearest_at = tl.where(least < nearest, place, nearest_at)
            nearest = tl.where(least < nearest, least, nearest)
        elif MINER == DISTANCE_WEIGHTED:
            if SQUARED:
                distance = sqrt(distance)
            fits = negative & (distance < tl.where(as_number(farthest, tl.float64) < 2.0, farthest, 2.0))
            top = tl.maximum(top, tl.max(level_of(distance, fits, width, as_number(cutoff, tl.float64))))
    bad = tl.sum(spoiled) > 0
    n_others = tl.sum(others).to(tl.float64)

    loss = tl.zeros((), tl.float64)
    triplets = tl.zeros((), tl.float64)
    active = tl.zeros((), tl.float64)
    near = tl.zeros((), tl.float64)
    far = tl.zeros((), tl.float64)
    if MINER == BATCH_HARD:
        most = tl.full((), -INFINITE, tl.float64)
        most_at = tl.full((), NOBODY, tl.int64)
        for start in range(first, last, PAIRS):
            sample, positive = positives_at(members, mask, mask_stride, anchor, start, last, PAIRS)
            distance = tl.load(row + sample, positive, -INFINITE)
            greatest = tl.max(distance)
            place = tl.min(tl.where(positive & (distance == greatest), sample, NOBODY))
            most_at = tl.where(greatest > most, place, most_at)
            most = tl.where(greatest > most, greatest, most)
        found = (most_at != NOBODY) & (nearest_at != NOBODY)
        near, far = tl.where(found, most, 0.0), tl.where(found, nearest, 0.0)
        cost, slope = cost_of(near - far, less, SOFT)
        loss = tl.where(found, cost, 0.0)
        triplets = found.to(tl.float64)
        active = (loss > 0.0).to(tl.float64)
        if weights is not None:
            pull = tl.where(found, factor * over(slope, near, SQUARED), 0.0)
            push = tl.where(found, factor * over(slope, far, SQUARED), 0.0)
            for start in range(0, rows, BLOCK):
                sample = (start + tl.arange(0, BLOCK)).to(tl.int64)
                weight = tl.where(sample == most_at, pull, tl.where(sample == nearest_at, -push, 0.0))
                tl.store(weights + local * rows + sample, weight, sample < rows)
    else:
        for begin_pairs in range(first, last, PAIRS):
            pair, positive = positives_at(members, mask, mask_stride, anchor, begin_pairs, last, PAIRS)
            own = tl.load(row + pair, positive, 0.0)
            if MINER == BATCH_ALL:
                reach = own + less
                costly = tl.zeros((PAIRS,), tl.int32)
                for start in range(0, rows, BLOCK):
                    sample, negative = negatives_at(labels, label_stride, mask, mask_stride, label, start, rows, BLOCK)
                    distance = tl.load(row + sample, negative, INFINITE)
                    lead = reach[:, None] - distance[None, :]
                    costs = positive[:, None] & (lead > 0.0)
                    loss += tl.sum(tl.where(costs, lead, 0.0))
                    costly += tl.sum(costs.to(tl.int32), 1)
                near += tl.sum(own) * n_others
                far += tl.sum(positive.to(tl.float64)) * tl.sum(sum_far)
                triplets += tl.sum(positive.to(tl.float64)) * n_others
                active += tl.sum(costly).to(tl.float64)
                if weights is not None:
                    pulls = factor * over(costly.to(tl.float64), own, SQUARED)
                    tl.store(weights + local * rows + pair, pulls, positive)
            else:
                best = tl.full((PAIRS,), INFINITE, tl.float64)
                at = tl.full((PAIRS,), NOBODY, tl.int64)
                if MINER == SEMI_HARD:
                    for start in range(0, rows, BLOCK):
                        sample, negative = negatives_at(
                            labels, label_stride, mask, mask_stride, label, start, rows, BLOCK
                        )
                        distance = tl.load(row + sample, negative, INFINITE)
                        farther = tl.where(distance[None, :] > own[:, None], distance[None, :], INFINITE)
                        least = tl.min(farther, 1)
                        is_least = negative[None, :] & (farther == least[:, None])
                        place = tl.min(tl.where(is_least, sample[None, :], NOBODY), 1)
                        at = tl.where(least < best, place, at)
                        best = tl.where(least < best, least, best)
                    serves = positive & (best < INFINITE)
                    if not SOFT:
                        serves = serves & (own + less - best > 0.0)
                else:
                    key = number_among(numbers, anchor, there)
                    key = mixed(key ^ (tl.zeros((PAIRS,), tl.int64) + seed).to(tl.uint64))
                    bits = mixed(key ^ number_among(numbers, pair, positive))
                    chance = (bits >> 12).to(tl.float64) * 2.220446049250313e-16
                    total = tl.zeros((), tl.float64)
                    last_one = tl.full((), -1, tl.int64)
                    # first the sum of all chances, then the first sample where it exceeds a pair's share
                    for turn in tl.static_range(2):
                        aim = chance * total
                        share = tl.zeros((), tl.float64)
                        for start in range(0, rows, BLOCK):
                            sample, negative = negatives_at(
                                labels, label_stride, mask, mask_stride, label, start, rows, BLOCK
                            )
                            distance = tl.load(row + sample, negative, INFINITE)
                            if SQUARED:
                                distance = sqrt(distance)
                            fits = negative & (
                                distance < tl.where(as_number(farthest, tl.float64) < 2.0, farthest, 2.0)
                            )
                            level = level_of(distance, fits, width, as_number(cutoff, tl.float64))
                            weight = tl.where(level > -INFINITE, exp(level - tl.where(top > -INFINITE, top, 0.0)), 0.0)
                            sums = share + tl.cumsum(weight, 0)
                            share = tl.max(sums)
                            if turn == 0:
                                last_one = tl.maximum(last_one, tl.max(tl.where(weight > 0.0, sample, -1)))
                            else:
                                beyond = (weight > 0.0)[None, :] & (sums[None, :] > aim[:, None])
                                place = tl.min(tl.where(beyond, sample[None, :], NOBODY), 1)
                                at = tl.where(place < at, place, at)
                        total = share
                    serves = positive & (last_one >= 0)
                    at = tl.where(at == NOBODY, last_one, at)
                    best = tl.load(row + tl.where(serves, at, 0), serves, 0.0)
                lead = tl.where(serves, own - best, 0.0)
                cost, _ = cost_of(lead, less, SOFT)
                cost = tl.where(serves, cost, 0.0)
                loss += tl.sum(cost)
                triplets += tl.sum(serves.to(tl.float64))
                active += tl.sum((cost > 0.0).to(tl.float64))
                near += tl.sum(tl.where(serves, own, 0.0))
                far += tl.sum(tl.where(serves, best, 0.0))
                if weights is not None:
                    tl.store(chosen + local * rows + pair, tl.where(serves, at, -1).to(tl.int32), positive)
        if MINER == BATCH_ALL:
            if weights is not None:
                for start in range(0, rows, BLOCK):
                    sample, negative = negatives_at(labels, label_stride, mask, mask_stride, label, start, rows, BLOCK)
                    negative = negative & there
                    distance = tl.load(row + sample, negative, INFINITE)
                    costly_of = tl.zeros((BLOCK,), tl.int32)
                    for begin_pairs in range(first, last, PAIRS):
                        pair, positive = positives_at(members, mask, mask_stride, anchor, begin_pairs, last, PAIRS)
                        reach = tl.load(row + pair, positive, -INFINITE) + less
                        costly_of += tl.sum((reach[:, None] - distance[None, :] > 0.0).to(tl.int32), 0)
                    pushes = tl.where(negative, -factor * over(costly_of.to(tl.float64), distance, SQUARED), 0.0)
                    own_class = counts(mask, mask_stride, sample, there & (sample < rows)) & ~negative
                    own_class = own_class & (sample != anchor)
                    # those of the class itself are written above
                    tl.store(weights + local * rows + sample, pushes, (sample < rows) & ~own_class)

    tl.store(losses + anchor, tl.where(there, tl.where(bad, float("nan"), loss) * factor, 0.0))
    if shares is not None:
        tl.store(shares + anchor, tl.where(there, (active if ACTIVE else triplets) * factor, 0.0))
    if account is not None:
        tl.store(account + anchor * 4, triplets)
        tl.store(account + anchor * 4 + 1, active)
        tl.store(account + anchor * 4 + 2, near)
        tl.store(account + anchor * 4 + 3, far)


@triton.jit(do_not_specialize=["begin", "rows"])
def weights_kernel(
    distances: tl.tensor,
    weights: tl.tensor,
    chosen: tl.tensor,
    members: tl.tensor,
    firsts: tl.tensor,
    lasts: tl.tensor,
    factors: tl.tensor,
    factor_strides: tl.tensor,
    mask: tl.tensor,
    begin: tl.int64,
    rows: tl.int64,
    mask_stride: tl.int64,
    margin: tl.float64,
    SOFT: tl.constexpr,
    SQUARED: tl.constexpr,
    PAIRS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """The gradient's weights of one anchor, whose positives have chosen a negative each, or none."""
    local = tl.program_id(0).to(tl.int64)
    anchor = begin + local
    row = distances + local * rows
    there = counts(mask, mask_stride, anchor, anchor < rows)
    first = tl.load(firsts + anchor)
    last = tl.where(there, tl.load(lasts + anchor), first)
    less = as_number(margin, tl.float64)
    factor = as_number(1.0, tl.float64)
    for i in tl.static_range(len(factors)):
        factor *= tl.load(factors[i] + anchor * factor_strides[i], there, 0.0).to(tl.float64)
    for start in range(0, rows, BLOCK):
        sample = (start + tl.arange(0, BLOCK)).to(tl.int64)
        pull = tl.zeros((BLOCK,), tl.float64)
        push = tl.zeros((BLOCK,), tl.float64)
        for begin_pairs in range(first, last, PAIRS):
            pair, positive = positives_at(members, mask, mask_stride, anchor, begin_pairs, last, PAIRS)
            negative = tl.load(chosen + local * rows + pair, positive, -1).to(tl.int64)
            serves = positive & (negative >= 0)
            own, other = tl.load(row + pair, serves, 0.0), tl.load(row + negative, serves, 0.0)
            _, slope = cost_of(own - other, less, SOFT)
            slope = tl.where(serves, slope, 0.0)[:, None]
            pull += tl.sum(tl.where(pair[:, None] == sample[None, :], slope, 0.0), 0)
            push += tl.sum(tl.where(negative[:, None] == sample[None, :], slope, 0.0), 0)
        distance = tl.load(row + sample, sample < rows, 0.0)
        weight = factor * over(pull - push, distance, SQUARED)
        tl.store(weights + local * rows + sample, tl.where(pull - push == 0.0, 0.0, weight), sample < rows)


# ----- gradients -----


@triton.jit(do_not_specialize=["first_target", "targets", "first_source", "sources"])
def pulls_kernel(
    vectors: tl.tensor,
    greatest: tl.tensor,
    inverse: tl.tensor,
    weights: tl.tensor,
    gradient: tl.tensor,
    first_target: tl.int64,
    targets: tl.int64,
    target_stride: tl.int64,
    first_source: tl.int64,
    sources: tl.int64,
    source_stride: tl.int64,
    width: tl.int64,
    row_stride: tl.int64,
    stride: tl.int64,
    NORMALIZE: tl.constexpr,
    WIDE: tl.constexpr,
    TARGETS: tl.constexpr,
    SOURCES: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Adds weighted differences of some vectors from others to their gradients; what has no weight is passed over."""
    along = tl.cdiv(width, BLOCK)
    local = (tl.program_id(0) // along).to(tl.int64) * TARGETS + tl.arange(0, TARGETS)
    k = (tl.program_id(0) % along).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    target = first_target + local
    real = local < targets
    top, length = tl.load(greatest + target, real, 1.0)[:, None], tl.load(inverse + target, real, 0.0)[:, None]
    inside = real[:, None] & (k < width)[None, :]
    own = component(vectors, target[:, None] * row_stride + k[None, :] * stride, inside, top, length, NORMALIZE, WIDE)
    total = tl.zeros((TARGETS, BLOCK), tl.float64)
    for begin in range(0, sources, SOURCES):
        there = begin + tl.arange(0, SOURCES)
        pair = real[:, None] & (there < sources)[None, :]
        place = local[:, None] * target_stride + there[None, :].to(tl.int64) * source_stride
        weight = tl.load(weights + place, pair, 0.0)
        weighs = weight != 0.0
        if tl.sum(tl.sum(weighs.to(tl.int32), 1), 0) > 0:
            source = first_source + there.to(tl.int64)
            known = there < sources
            top, length = (
                tl.load(greatest + source, known, 1.0)[:, None],
                tl.load(inverse + source, known, 0.0)[:, None],
            )
            inside_source = known[:, None] & (k < width)[None, :]
            other = component(
                vectors, source[:, None] * row_stride + k[None, :] * stride, inside_source, top, length, NORMALIZE, WIDE
            )
            terms = weight[:, :, None] * (own[:, None, :] - other[None, :, :])
            total += tl.sum(tl.where(weighs[:, :, None], terms, 0.0), 1)
    at = gradient + target[:, None] * width + k[None, :]
    tl.store(at, tl.load(at, inside, 0.0) + total, inside)


@triton.jit(do_not_specialize=["rows"])
def hand_out_kernel(
    vectors: tl.tensor,
    mask: tl.tensor,
    greatest: tl.tensor,
    inverse: tl.tensor,
    sums_of: tl.tensor,
    gradient: tl.tensor,
    rows: tl.int64,
    width: tl.int64,
    row_stride: tl.int64,
    stride: tl.int64,
    to_row_stride: tl.int64,
    to_stride: tl.int64,
    mask_stride: tl.int64,
    number: tl.float64,
    sums: tl.tensor,
    n_sums: tl.tensor,
    ON_EMPTY: tl.constexpr,
    NORMALIZE: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """The gradients of the caller's vectors, from those of the scaled ones; all are NaN if any number is not finite."""
    scale = gradient_scale(number, sums, n_sums, None, ON_EMPTY)
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    real = row < rows
    kept = counts(mask, mask_stride, row, real)
    spoiled = tl.zeros((BLOCK,), tl.int32)
    for begin in range(0, rows, BLOCK):
        sample = (begin + tl.arange(0, BLOCK)).to(tl.int64)
        state = tl.load(inverse + sample, counts(mask, mask_stride, sample, sample < rows), 0.0)
        spoiled += (state != state).to(tl.int32)
    bad = tl.sum(spoiled) > 0
    top, length = tl.load(greatest + row, real, 1.0)[:, None], tl.load(inverse + row, real, 0.0)[:, None]
    along = tl.zeros((ROWS,), tl.float64)
    if NORMALIZE:
        for begin in range(0, width, BLOCK):
            k = (begin + tl.arange(0, BLOCK)).to(tl.int64)
            inside = kept[:, None] & (k < width)[None, :]
            x = component(vectors, row[:, None] * row_stride + k[None, :] * stride, inside, top, length, True, WIDE)
            along += tl.sum(x * tl.load(sums_of + row[:, None] * width + k[None, :], inside, 0.0), 1)
    for begin in range(0, width, BLOCK):
        k = (begin + tl.arange(0, BLOCK)).to(tl.int64)
        inside = kept[:, None] & (k < width)[None, :]
        slope = tl.load(sums_of + row[:, None] * width + k[None, :], inside, 0.0)
        if NORMALIZE:
            x = component(vectors, row[:, None] * row_stride + k[None, :] * stride, inside, top, length, True, WIDE)
            slope = (slope - along[:, None] * x) * length / top
        # the sum of nothing has no slope, whatever it is divided by
        slope = tl.where(slope == 0.0, 0.0, slope * scale)
        slope = tl.where(inside, tl.where(bad, float("nan"), slope), 0.0)
        place = gradient + row[:, None] * to_row_stride + k[None, :] * to_stride
        tl.store(place, rounded(slope, gradient), real[:, None] & (k < width)[None, :])


# ----- around kernels -----


def mine(
    mining: Mining,
    vectors: Tensor,
    labels: Tensor,
    factors: Sequence[Tensor] = (),
    mask: Tensor | None = None,
    *,
    active: bool = False,
    shares: Tensor | None = None,
    account: Tensor | None = None,
    derive: bool = False,
) -> tuple[Tensor, "_Samples", Tensor | None]:
    """The losses of all anchors, in float64, and of their sum the gradients of scaled vectors, if they are asked for.

    shares: room for each anchor's share in the mean's denominator: its triplets, or the active ones. account: room for
    their number, that of active ones, and the sums of both distances.
    """
    rows, width, device = len(labels), vectors.shape[1], vectors.device
    samples = _Samples(mining, vectors, labels, mask)
    losses = torch.empty(rows, dtype=torch.float64, device=device)
    height = max(1, min(rows, TILE // (8 * max(1, rows))))
    distances = torch.empty(height, rows, dtype=torch.float64, device=device)
    weights = torch.empty_like(distances) if derive else None
    later = derive and mining.miner in ("semi_hard", "distance_weighted")
    chosen = torch.empty(height, rows, dtype=torch.int32, device=device) if later else None
    gradient = torch.zeros(rows, width, dtype=torch.float64, device=device) if derive else None
    members = labels.sort(stable=True)
    of_labels = torch.searchsorted(members.values, labels), torch.searchsorted(members.values, labels, right=True)
    numbers = None
    if mining.miner == "distance_weighted" and mask is not None:
        numbers = mask.expand(rows).cumsum(0)
    weighed = tuple(factors), tuple([f.expand(rows).stride(0) for f in factors])
    how = {"SOFT": mining.soft, "SQUARED": mining.squared}
    scaled = samples.scaled
    for begin in range(0, rows, height):
        anchors = min(height, rows - begin)
        grid = (triton.cdiv(anchors, 16) * triton.cdiv(rows, 64),)
        distances_kernel[grid](
            *samples.vectors, distances, begin, anchors, rows, *samples.strides, SQUARED=mining.squared, **scaled,
            ANCHORS=16, BLOCK=64,
        )  # fmt: skip
        step_kernel[(anchors,)](
            distances, weights, chosen, labels, members.indices, *of_labels, numbers, samples.inverse, *weighed,
            samples.mask, losses, shares, account, begin, rows, width, labels.stride(0), samples.mask_stride,
            mining.margin, mining.cutoff, mining.nonzero_loss_cutoff, 0 if mining.seed is None else int(mining.seed),
            MINER=MINERS.index(mining.miner), ACTIVE=active, **how, **PAIRED,
        )  # fmt: skip
        if weights is None or gradient is None:
            continue
        if chosen is not None:
            weights_kernel[(anchors,)](
                distances, weights, chosen, members.indices, *of_labels, *weighed, samples.mask, begin, rows,
                samples.mask_stride, mining.margin, **how, **PAIRED,
            )  # fmt: skip
        of_anchors, of_samples = (begin, anchors, rows), (0, rows, 1)
        for to, of in ((of_anchors, of_samples), (of_samples, of_anchors)):
            grid = (triton.cdiv(to[1], 8) * triton.cdiv(width, 32),)
            pulls_kernel[grid](
                *samples.vectors,
                weights,
                gradient,
                *to,
                *of,
                *samples.strides,
                **scaled,
                TARGETS=8,
                SOURCES=8,
                BLOCK=32,
            )
    return losses, samples, gradient


class _Samples:
    """Vectors with what scales them, as kernels take them."""

    def __init__(self, mining: Mining, vectors: Tensor, labels: Tensor, mask: Tensor | None) -> None:
        rows, width = vectors.shape
        greatest, self.inverse = torch.empty(2, rows, dtype=torch.float64, device=vectors.device)
        self.vectors = vectors, greatest, self.inverse
        self.strides = width, *vectors.stride()
        self.mask, self.mask_stride = mask, 0 if mask is None else mask.expand(rows).stride(0)
        self.scaled = {"NORMALIZE": mining.normalize, "WIDE": vectors.dtype == torch.float64}
        if rows:
            places = rows, *self.strides, self.mask_stride
            lengths_kernel[(triton.cdiv(rows, 4),)](
                vectors, mask, greatest, self.inverse, *places, WIDE=self.scaled["WIDE"], ROWS=4, BLOCK=256
            )

    def hand_out(self, sums: Tensor, divisor: Divisor, gradient: Tensor) -> None:
        """Writes the gradients of the caller's vectors."""
        if gradient.numel():
            hand_out_kernel[(triton.cdiv(gradient.shape[0], 4),)](
                self.vectors[0], self.mask, *self.vectors[1:], sums, gradient, gradient.shape[0], *self.strides,
                *gradient.stride(), self.mask_stride, *divisor.arguments, ON_EMPTY=divisor.on_empty, **self.scaled,
                ROWS=4, BLOCK=256,
            )  # fmt: skip


def launch(
    call: "_Call",
    tensors: Sequence[Tensor],
    wanted: Sequence[bool],
    upstream: Tensor | None = None,
    into: Sequence[Tensor | None] | None = None,
) -> tuple[Tensor | None, Sequence[Tensor | None]]:
    """`fused.DeviceKernel.launch` of a call.

    Vectors come in the dtype that is computed in, so the gradients of a reduced loss are stored and, in backward,
    multiplied in their place; a later backward goes through the same steps.
    """
    if into is not None:
        assert upstream is not None
        rescale(into, upstream)
        return None, into
    vectors, labels = tensors[:2]
    factors, mask = call.apart(tensors)
    if upstream is not None and not call.reduced:
        factors = (*factors, upstream)
    device = vectors.device
    counted = isinstance(call.divisor, float) and call.divisor < 0
    room = {"dtype": torch.float64, "device": device}
    shares = torch.empty(len(labels), **room) if counted else None
    account = torch.empty(len(labels), 4, **room) if call.bare else None
    value = gradient = None
    with on(vectors):
        losses, samples, sums = mine(
            call.mining, vectors, labels, factors, mask, active=call.active, shares=shares, account=account,
            derive=wanted[0],
        )  # fmt: skip
        divisor = call.divisor if isinstance(call.divisor, Divisor) else Divisor(1.0)
        if shares is not None:
            divisor = Divisor(1.0, weigh([shares], None, shares.shape, True), call.on_empty)
        if account is not None:
            call.counts = account[:, 0], account[:, 1]
        if upstream is None:
            value = losses.to(call.compute).to(call.result)
            if call.reduced:
                value = torch.empty((), dtype=call.result, device=device)
                finish(call.loss, losses, divisor, value)
        if sums is not None:
            gradient = torch.empty_like(vectors)
            samples.hand_out(sums, divisor, gradient)
            if call.reduced and upstream is not None:
                rescale((gradient,), upstream)
    return value, [gradient, *[None] * (len(tensors) - 1)]
