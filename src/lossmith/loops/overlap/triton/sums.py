"""The kernels that make the value: the sums over the pixels of regions, and the loss of each region."""

# mypy: disable-error-code="untyped-decorator, assignment, misc"
# Triton comes without types, and a tuple grows in a loop that it unrolls.

import triton
import triton.language as tl

from ....errors import LABEL, NUMBER
from ....formula.vocabularies.triton import exp, log
from ...triton import as_number, leave, offsets, rounded, take_note
from .tiles import kept_at, softmax_of, tile_of, used_pixels

OUT_OF_RANGE = tl.constexpr(LABEL)
NUMBER_OUTSIDE = tl.constexpr(NUMBER)
SUMS = tl.constexpr(5)
"""Of p t, of p, of t (of the squares of the last two, if asked for), of 1, and of what is out of its domain."""
SLOPES = tl.constexpr(3)
"""The derivatives of a region's loss in the first three of them."""


@triton.jit(do_not_specialize=["blocks", "pieces"])
def measure_kernel(
    input: tl.tensor,
    target: tl.tensor,
    element_mask: tl.tensor,
    mask: tl.tensor,
    sums: tl.tensor,
    note: tl.tensor,
    sizes: tl.tensor,
    pixel_strides: tl.tensor,
    samples: tl.tensor,
    steps: tl.tensor,
    mask_strides: tl.tensor,
    n: tl.int64,
    classes: tl.tensor,
    ignored: tl.int64,
    blocks: tl.int32,
    pieces: tl.int32,
    ACTIVATION: tl.constexpr,
    LABELLED: tl.constexpr,
    SQUARED: tl.constexpr,
    BACKGROUND: tl.constexpr,
    LOSS: tl.constexpr,
    WIDE: tl.constexpr,
    LONG: tl.constexpr,
    CLASSES: tl.constexpr,
    PIXELS: tl.constexpr,
    ONCE: tl.constexpr,
) -> None:
    """The `SUMS` of each class in a piece of the pixels of a sample.

    Of input, target and element mask: strides from pixel to pixel, from sample to sample and from class to class. ONCE:
    one tile has all classes, else a piece is one block of pixels.
    """
    piece = tl.program_id(0).to(tl.int64)
    sample = piece // pieces
    start = (piece % pieces) * blocks * PIXELS
    sums += piece * classes * SUMS
    common = tl.zeros((CLASSES, PIXELS), tl.float64)
    predicted = tl.zeros((CLASSES, PIXELS), tl.float64)
    wanted = tl.zeros((CLASSES, PIXELS), tl.float64)
    count = tl.zeros((CLASSES, PIXELS), tl.int32)
    beyond = tl.zeros((CLASSES, PIXELS), tl.int32)
    for b in range(blocks):
        pixel = start + b * PIXELS + tl.arange(0, PIXELS)
        inside = pixel < n
        number = sample * n + pixel
        if not LONG:
            pixel = pixel.to(tl.int32)
        scores = input + sample * samples[0] + offsets(pixel, sizes, pixel_strides[0])
        aims = target + sample * samples[1] + offsets(pixel, sizes, pixel_strides[1])
        masked = None
        if element_mask is not None:
            masked = element_mask + sample * samples[2] + offsets(pixel, sizes, pixel_strides[2])
        used, label, wrong = used_pixels(
            inside, aims, ignored, classes, sample, mask, mask_strides, masked, steps[2], LABELLED, BACKGROUND, CLASSES,
            PIXELS, ONCE,
        )  # fmt: skip
        if LABELLED:
            take_note(note, wrong, number, label, classes, OUT_OF_RANGE, LOSS)
        top = 0.0
        inverse = 1.0
        if ACTIVATION == "softmax":
            top, inverse = softmax_of(scores, steps[0], inside, used, classes, WIDE, CLASSES, PIXELS, ONCE)
        for first in range(0, CLASSES if ONCE else classes, CLASSES):
            c = first + tl.arange(0, CLASSES)
            kept = kept_at(c, used, classes, sample, mask, mask_strides, masked, steps[2], BACKGROUND)
            _x, p, t, no_score, no_target = tile_of(
                c,
                kept,
                inside,
                used,
                label,
                scores,
                steps[0],
                aims,
                steps[1],
                top,
                inverse,
                classes,
                ACTIVATION,
                LABELLED,
                WIDE,
            )
            outside = no_score | no_target
            if ACTIVATION == "none":
                some = tl.max(no_score.to(tl.int32), 0) != 0
                take_note(note, some, number, tl.zeros_like(number), 0, NUMBER_OUTSIDE, LOSS)
            if not LABELLED:
                some = tl.max(no_target.to(tl.int32), 0) != 0
                take_note(note, some, number, tl.zeros_like(number) + 1, 0, NUMBER_OUTSIDE, LOSS)
            kept = kept & (outside == 0)
            p = tl.where(kept, p, 0.0).to(tl.float64)
            t = tl.where(kept, t, 0.0).to(tl.float64)
            outside = outside | (wrong[None, :] & (c < classes)[:, None])
            if ONCE:
                common += p * t
                predicted += p * p if SQUARED else p
                wanted += t * t if SQUARED else t
                count += kept.to(tl.int32)
                beyond += outside.to(tl.int32)
            else:
                place = sums + c.to(tl.int64) * SUMS
                tl.store(place, tl.sum(p * t, 1), c < classes)
                tl.store(place + 1, tl.sum(p * p if SQUARED else p, 1), c < classes)
                tl.store(place + 2, tl.sum(t * t if SQUARED else t, 1), c < classes)
                tl.store(place + 3, tl.sum(kept.to(tl.int32), 1).to(tl.float64), c < classes)
                tl.store(place + 4, tl.sum(outside.to(tl.int32), 1).to(tl.float64), c < classes)
    if ONCE:
        c = tl.arange(0, CLASSES)
        place = sums + c * SUMS
        tl.store(place, tl.sum(common, 1), c < classes)
        tl.store(place + 1, tl.sum(predicted, 1), c < classes)
        tl.store(place + 2, tl.sum(wanted, 1), c < classes)
        tl.store(place + 3, tl.sum(count, 1).to(tl.float64), c < classes)
        tl.store(place + 4, tl.sum(beyond, 1).to(tl.float64), c < classes)


@triton.jit(do_not_specialize=["regions", "pieces", "blocks"])
def judge_kernel(
    sums: tl.tensor,
    slopes: tl.tensor,
    value: tl.tensor,
    partials: tl.tensor,
    counts: tl.tensor,
    weight: tl.tensor,
    sample_weight: tl.tensor,
    mask: tl.tensor,
    note: tl.tensor,
    weight_stride: tl.tensor,
    sample_weight_strides: tl.tensor,
    mask_strides: tl.tensor,
    regions: tl.int64,
    classes: tl.tensor,
    pieces: tl.int32,
    blocks: tl.int32,
    number: tl.float64,
    others: tl.tensor,
    alpha: tl.float64,
    beta: tl.float64,
    smooth: tl.float64,
    gap: tl.float64,
    gamma: tl.float64,
    FORMULA: tl.constexpr,
    POWER: tl.constexpr,
    BACKGROUND: tl.constexpr,
    COUNTING: tl.constexpr,
    LOSS: tl.constexpr,
    ON_EMPTY: tl.constexpr,
    ALONE: tl.constexpr,
    REGIONS: tl.constexpr,
    PIECES: tl.constexpr,
) -> None:
    """The loss of each region out of its sums, its slopes, and of each program the sum of the losses and their count.

    COUNTING: what is counted: "number" (nothing), "regions" or "class weights". others: the divisor, if it is on the
    device already. ALONE: there is one program, which divides.
    """
    alpha = as_number(alpha, tl.float64)
    beta = as_number(beta, tl.float64)
    smooth = as_number(smooth, tl.float64)
    gap = as_number(gap, tl.float64)
    gamma = as_number(gamma, tl.float64)
    loss_total = tl.zeros((REGIONS,), tl.float64)
    count_total = tl.zeros((REGIONS,), tl.float64)
    for b in range(blocks):
        region = (tl.program_id(0).to(tl.int64) * blocks + b) * REGIONS + tl.arange(0, REGIONS)
        inside = region < regions
        sample = region // classes
        c = region % classes
        found = ()
        for k in tl.static_range(SUMS):
            total = tl.zeros((REGIONS, PIECES), tl.float64)
            for first in range(0, pieces, PIECES):
                piece = first + tl.arange(0, PIECES)
                place = ((sample * pieces)[:, None] + piece[None, :]) * classes + c[:, None]
                there = inside[:, None] & (piece < pieces)[None, :]
                total += tl.load(sums + place * SUMS + k, there, 0.0)
            found += (tl.sum(total, 1),)
        live = inside
        if not BACKGROUND:
            live = live & (c != 0)
        if mask is not None:
            live = live & (tl.load(mask + sample * mask_strides[0] + c * mask_strides[1], live, 0) != 0)
        counted = live & (found[3] > 0.0)
        spoiled = live & (found[4] > 0.0)
        common = tl.where(counted, found[0], 1.0)  # an index of nothing is not defined
        results = FORMULA(common, found[1] - common, found[2] - common, alpha, beta, smooth, gap)
        loss = results[0]
        of_excess = results[2]
        of_missed = results[3]
        of_common = results[1] - of_excess - of_missed
        factor = tl.full((REGIONS,), 1.0, tl.float64)
        if POWER:
            # a perfect region has no slope, where the power's would be infinite
            lack = tl.where(loss == 0.0, 1.0, loss)
            factor = tl.where(loss == 0.0, 0.0, gamma * exp((gamma - 1.0) * log(lack)))
            loss = tl.where(loss == 0.0, 0.0, exp(gamma * log(lack)))
        share = tl.full((REGIONS,), 1.0, tl.float64)
        if sample_weight is not None:
            place = sample_weight + sample * sample_weight_strides[0] + c * sample_weight_strides[1]
            share = tl.load(place, live, 0).to(tl.float64)
        weighed = share
        if weight is not None:
            weighed = share * tl.load(weight + c * weight_stride, live, 0).to(tl.float64)
        loss = tl.where(spoiled, float("nan"), loss)
        loss = tl.where(counted | spoiled, loss * weighed, 0.0)
        if COUNTING == "regions":
            count_total += tl.where(counted | spoiled, share, 0.0)
        elif COUNTING == "class weights":
            count_total += tl.where(counted | spoiled, weighed, 0.0)
        smooth_there = counted & (spoiled == 0)
        factor = factor * weighed
        place = slopes + region * SLOPES
        tl.store(place, tl.where(smooth_there, of_common * factor, 0.0), inside)
        tl.store(place + 1, tl.where(smooth_there, of_excess * factor, 0.0), inside)
        tl.store(place + 2, tl.where(smooth_there, of_missed * factor, 0.0), inside)
        if partials is not None or ALONE:
            loss_total += loss
        else:
            tl.store(value + region, rounded(loss, value), inside)
    count = tl.sum(count_total)
    if COUNTING != "number":
        tl.store(counts + tl.program_id(0), count)
    if ALONE and COUNTING != "number":
        number = as_number(number, tl.float64) * count
    leave(tl.sum(loss_total), value, partials, number, others, 1, note, ON_EMPTY, LOSS, ALONE)
