"""The triplets of one anchor: their losses and counts, and what they weigh in the gradient."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import triton
import triton.language as tl

from ....formula.vocabularies.triton import exp, log1p, sigmoid, softplus, sqrt
from ...triton import as_number
from ..settings import MINERS
from .samples import INFINITE, counts

BATCH_ALL, BATCH_HARD, SEMI_HARD, DISTANCE_WEIGHTED = (tl.constexpr(MINERS.index(name)) for name in MINERS)
NOBODY = tl.constexpr(2**31 - 1)


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
