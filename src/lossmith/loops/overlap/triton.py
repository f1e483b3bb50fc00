"""The overlap loop on a GPU: sums over the pixels of regions, the loss of each region, and the gradient in backward.

A first kernel sums over pieces of pixels, a second makes losses and slopes of the sums; those are kept, and backward is
one more kernel, through the activation to the scores. Both that read scores have tiles of classes and pixels, whatever
the order in memory; where the classes are too many for one tile, they are walked through.
"""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ...errors import LABEL, NUMBER, note_on, number_of
from ...formula.triton import triton_function
from ...formula.vocabularies.triton import exp, log, sigmoid
from ..triton import COUNTS, Divisor, Layout, as_number, divided, finish, gradient_scale, offsets, on, rounded, take_note
from .regions import Settings

if TYPE_CHECKING:
    from .native import _Call

TILE = 1024
"""So many elements a program takes at a time."""
MOST_CLASSES = 128
"""So many classes are in one tile at most."""
MOST_PIECES = 2048
"""So many programs sum over regions whose classes are in one tile; beyond, each walks over more tiles."""
JUDGED = 1024
"""So many sums of regions one program takes at a time."""

INFINITY = tl.constexpr(math.inf)
OUT_OF_RANGE = tl.constexpr(LABEL)
NUMBER_OUTSIDE = tl.constexpr(NUMBER)
SUMS = tl.constexpr(5)
"""Of p t, of p, of t (of the squares of the last two, if asked for), of 1, and of what is out of its domain."""
SLOPES = tl.constexpr(3)
"""The derivatives of a region's loss in the first three of them."""


# ----- tiles of classes and pixels -----


@triton.jit
def numbers_at(c: tl.tensor, rows: tl.tensor, step: tl.tensor, there: tl.tensor, WIDE: tl.constexpr) -> tl.tensor:
    """A tile of a tensor, 0 where nothing is to be read. rows: the addresses of the pixels in class 0."""
    x = tl.load(rows[None, :] + (c.to(tl.int64) * step)[:, None], there, 0)
    return x.to(tl.float64 if WIDE else tl.float32)


@triton.jit
def kept_at(
    c: tl.tensor,
    inside: tl.tensor,
    classes: tl.tensor,
    sample: tl.tensor,
    mask: tl.tensor,
    mask_strides: tl.tensor,
    element_mask: tl.tensor,
    element_step: tl.tensor,
    BACKGROUND: tl.constexpr,
) -> tl.tensor:
    """Which elements of a tile neither the mask of regions nor that of elements leaves out."""
    live = c < classes
    if not BACKGROUND:
        live = live & (c != 0)
    if mask is not None:
        place = mask + sample * mask_strides[0] + c.to(tl.int64) * mask_strides[1]
        live = live & (tl.load(place, live, 0) != 0)
    kept = live[:, None] & inside[None, :]
    if element_mask is not None:
        place = element_mask[None, :] + (c.to(tl.int64) * element_step)[:, None]
        kept = kept & (tl.load(place, kept, 0) != 0)
    return kept


@triton.jit
def used_pixels(
    inside: tl.tensor,
    target: tl.tensor,
    ignored: tl.tensor,
    classes: tl.tensor,
    sample: tl.tensor,
    mask: tl.tensor,
    mask_strides: tl.tensor,
    element_mask: tl.tensor,
    element_step: tl.tensor,
    LABELLED: tl.constexpr,
    BACKGROUND: tl.constexpr,
    CLASSES: tl.constexpr,
    PIXELS: tl.constexpr,
    ONCE: tl.constexpr,
) -> tl.tensor:
    """Which pixels enter some region, their labels, and which of those are out of range."""
    if mask is None and element_mask is None and BACKGROUND:
        used = inside
    else:
        some = tl.zeros((PIXELS,), tl.int32)
        for first in range(0, CLASSES if ONCE else classes, CLASSES):
            c = first + tl.arange(0, CLASSES)
            kept = kept_at(
                c, inside, classes, sample, mask, mask_strides, element_mask, element_step, BACKGROUND
            )
            some = tl.maximum(some, tl.max(kept.to(tl.int32), 0))
        used = some != 0
    label = tl.zeros((PIXELS,), tl.int64)
    wrong = label != 0
    if LABELLED:
        label = tl.load(target, used, 0).to(tl.int64)
        used = used & (label != ignored)
        wrong = used & ((label < 0) | (label >= classes))
        used = used & (wrong == 0)
    return used, label, wrong


@triton.jit
def softmax_of(
    rows: tl.tensor,
    step: tl.tensor,
    used: tl.tensor,
    classes: tl.tensor,
    WIDE: tl.constexpr,
    CLASSES: tl.constexpr,
    PIXELS: tl.constexpr,
    ONCE: tl.constexpr,
) -> tl.tensor:
    """The greatest score of each pixel (0 for -inf), and one over the sum of the exponentials of what is above it."""
    dtype: tl.constexpr = tl.float64 if WIDE else tl.float32
    top = tl.full((PIXELS,), -INFINITY, dtype)
    total = tl.zeros((PIXELS,), dtype)
    for first in range(0, CLASSES if ONCE else classes, CLASSES):
        c = first + tl.arange(0, CLASSES)
        there = (c < classes)[:, None] & used[None, :]
        x = tl.where(there, numbers_at(c, rows, step, there, WIDE), -INFINITY)
        greatest = tl.maximum(top, tl.max(x, 0))
        above = tl.where(greatest == -INFINITY, 0.0, greatest)
        # NaN, which the greatest may leave out, is in the sum
        total = total * exp(top - above) + tl.sum(exp(x - above[None, :]), 0)
        top = greatest
    return tl.where(top == -INFINITY, 0.0, top), 1.0 / total


@triton.jit
def tile_of(
    c: tl.tensor,
    kept: tl.tensor,
    used: tl.tensor,
    label: tl.tensor,
    input: tl.tensor,
    input_step: tl.tensor,
    target: tl.tensor,
    target_step: tl.tensor,
    top: tl.tensor,
    inverse: tl.tensor,
    classes: tl.tensor,
    ACTIVATION: tl.constexpr,
    LABELLED: tl.constexpr,
    WIDE: tl.constexpr,
) -> tl.tensor:
    """Scores, predictions and targets of a tile, the last two 0 where they are not kept, and what is not from 0 to 1."""
    if ACTIVATION == "softmax":
        x = numbers_at(c, input, input_step, (c < classes)[:, None] & used[None, :], WIDE)
        p = exp(x - top[None, :]) * inverse[None, :]
    else:
        x = numbers_at(c, input, input_step, kept, WIDE)
        p = sigmoid(x) if ACTIVATION == "sigmoid" else x
    no_score = tl.zeros_like(kept)
    if ACTIVATION == "none":
        no_score = kept & (((p >= 0.0) & (p <= 1.0)) == 0)
    no_target = tl.zeros_like(kept)
    if LABELLED:
        t = (kept & (label[None, :] == c[:, None])).to(p.dtype)
    else:
        t = numbers_at(c, target, target_step, kept, WIDE)
        no_target = kept & (((t >= 0.0) & (t <= 1.0)) == 0)
    return x, p, t, no_score, no_target


# ----- the kernels -----


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
            top, inverse = softmax_of(scores, steps[0], used, classes, WIDE, CLASSES, PIXELS, ONCE)
        for first in range(0, CLASSES if ONCE else classes, CLASSES):
            c = first + tl.arange(0, CLASSES)
            kept = kept_at(c, used, classes, sample, mask, mask_strides, masked, steps[2], BACKGROUND)
            x, p, t, no_score, no_target = tile_of(
                c, kept, used, label, scores, steps[0], aims, steps[1], top, inverse, classes, ACTIVATION, LABELLED, WIDE
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
    if ALONE:
        if COUNTING != "number":
            number = as_number(number, tl.float64) * count
        quotient = divided(tl.sum(loss_total), number, others, 1, note, ON_EMPTY, LOSS)
        tl.store(value, rounded(quotient, value))
    elif partials is not None:
        tl.store(partials + tl.program_id(0), tl.sum(loss_total))


@triton.jit(do_not_specialize=["pieces"])
def differentiate_kernel(
    input: tl.tensor,
    target: tl.tensor,
    element_mask: tl.tensor,
    mask: tl.tensor,
    slopes: tl.tensor,
    gradient: tl.tensor,
    target_gradient: tl.tensor,
    upstream: tl.tensor,
    sizes: tl.tensor,
    pixel_strides: tl.tensor,
    samples: tl.tensor,
    steps: tl.tensor,
    mask_strides: tl.tensor,
    upstream_strides: tl.tensor,
    n: tl.int64,
    classes: tl.tensor,
    ignored: tl.int64,
    pieces: tl.int32,
    number: tl.float64,
    sums: tl.tensor,
    n_sums: tl.tensor,
    ACTIVATION: tl.constexpr,
    LABELLED: tl.constexpr,
    SQUARED: tl.constexpr,
    BACKGROUND: tl.constexpr,
    REDUCED: tl.constexpr,
    ON_EMPTY: tl.constexpr,
    WIDE: tl.constexpr,
    LONG: tl.constexpr,
    CLASSES: tl.constexpr,
    PIXELS: tl.constexpr,
    ONCE: tl.constexpr,
) -> None:
    """The gradients in a block of pixels of a sample, out of the slopes of its regions.

    Strides are of input, target, element mask, gradient and the target's gradient. upstream: one number if the loss is
    reduced, else one for each region.
    """
    dtype: tl.constexpr = tl.float64 if WIDE else tl.float32
    scale = gradient_scale(number, sums, n_sums, upstream if REDUCED else None, ON_EMPTY)
    piece = tl.program_id(0).to(tl.int64)
    sample = piece // pieces
    pixel = (piece % pieces) * PIXELS + tl.arange(0, PIXELS)
    inside = pixel < n
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
    top = 0.0
    inverse = 1.0
    along = tl.zeros((PIXELS,), dtype)
    if ACTIVATION == "softmax":
        top, inverse = softmax_of(scores, steps[0], used, classes, WIDE, CLASSES, PIXELS, ONCE)
        if gradient is not None:
            for first in range(0, CLASSES if ONCE else classes, CLASSES):
                c = first + tl.arange(0, CLASSES)
                kept = kept_at(c, used, classes, sample, mask, mask_strides, masked, steps[2], BACKGROUND)
                x, p, t, no_score, no_target = tile_of(
                    c, kept, used, label, scores, steps[0], aims, steps[1], top, inverse, classes, ACTIVATION, LABELLED,
                    WIDE,
                )  # fmt: skip
                kept = kept & (no_target == 0)
                of_common, of_predicted, _ = slopes_of(
                    c, classes, sample, slopes, upstream, upstream_strides, scale, REDUCED, dtype
                )
                slope = slope_at(p, t, of_common, of_predicted, SQUARED)
                along += tl.sum(tl.where(kept, p * slope, 0.0), 0)
    for first in range(0, CLASSES if ONCE else classes, CLASSES):
        c = first + tl.arange(0, CLASSES)
        kept = kept_at(c, used, classes, sample, mask, mask_strides, masked, steps[2], BACKGROUND)
        x, p, t, no_score, no_target = tile_of(
            c, kept, used, label, scores, steps[0], aims, steps[1], top, inverse, classes, ACTIVATION, LABELLED, WIDE
        )
        kept = kept & ((no_score | no_target) == 0)
        of_common, of_predicted, of_wanted = slopes_of(
            c, classes, sample, slopes, upstream, upstream_strides, scale, REDUCED, dtype
        )
        there = (c < classes)[:, None] & inside[None, :]
        if gradient is not None:
            slope = tl.where(kept, slope_at(p, t, of_common, of_predicted, SQUARED), 0.0)
            if ACTIVATION == "softmax":
                slope = tl.where(used[None, :], p * (slope - along[None, :]), 0.0)
            elif ACTIVATION == "sigmoid":
                # p (1 - p), which keeps its relative accuracy in both tails
                small = exp(-tl.abs(x))
                part = 1.0 / (1.0 + small)
                slope = tl.where(kept, slope * (small * part * part), 0.0)
            place = gradient + sample * samples[3] + offsets(pixel, sizes, pixel_strides[3])
            place = place[None, :] + (c.to(tl.int64) * steps[3])[:, None]
            tl.store(place, rounded(slope, gradient), there)
        if target_gradient is not None:
            slope = tl.where(kept, slope_at(t, p, of_common, of_wanted, SQUARED), 0.0)
            place = target_gradient + sample * samples[4] + offsets(pixel, sizes, pixel_strides[4])
            place = place[None, :] + (c.to(tl.int64) * steps[4])[:, None]
            tl.store(place, rounded(slope, target_gradient), there)


@triton.jit
def slopes_of(
    c: tl.tensor,
    classes: tl.tensor,
    sample: tl.tensor,
    slopes: tl.tensor,
    upstream: tl.tensor,
    upstream_strides: tl.tensor,
    scale: tl.tensor,
    REDUCED: tl.constexpr,
    dtype: tl.constexpr,
) -> tl.tensor:
    """The derivatives of the result in the sums of classes."""
    there = c < classes
    if not REDUCED:
        place = upstream + sample * upstream_strides[0] + c.to(tl.int64) * upstream_strides[1]
        scale = scale * tl.load(place, there, 0).to(tl.float64)
    place = slopes + (sample * classes + c) * SLOPES
    of_common = tl.load(place, there, 0.0) * scale
    of_predicted = tl.load(place + 1, there, 0.0) * scale
    of_wanted = tl.load(place + 2, there, 0.0) * scale
    return of_common.to(dtype), of_predicted.to(dtype), of_wanted.to(dtype)


@triton.jit
def slope_at(
    own: tl.tensor, other: tl.tensor, of_common: tl.tensor, of_own: tl.tensor, SQUARED: tl.constexpr
) -> tl.tensor:
    """The derivative of the result in the predictions or targets of a tile, out of those in the sums."""
    rest = of_own[:, None]
    if SQUARED:
        rest = 2.0 * rest * own
    return of_common[:, None] * other + rest


# ----- around the kernels -----


def launch(
    call: "_Call", tensors: Sequence[Tensor], wanted: Sequence[bool], upstream: Tensor | None = None
) -> tuple[Tensor | None, list[Tensor | None]]:
    """`fused.DeviceKernel.launch` of an overlap call; gradients are all made in backward."""
    input, target = tensors[:2]
    element_mask, sample_weight, mask, weight = call.apart(tensors)
    of, shape, device, dim = call.of, call.shape, input.device, call.of.dim
    compute, result = call.dtypes
    classes, n = input.shape[dim], math.prod([input.shape[d] for d in of.pixels(input)])
    samples = 1 if of.batch else input.shape[0]
    labelled = target.dim() < input.dim()
    gradients: list[Tensor | None] = [None] * len(tensors)
    if upstream is not None:
        for i, tensor in enumerate((input, target)):
            gradients[i] = torch.empty_like(tensor) if wanted[i] and tensor.is_floating_point() else None
    if element_mask is not None:
        element_mask = element_mask.expand(input.shape)

    once = classes <= MOST_CLASSES
    if once:
        tile = triton.next_power_of_2(classes)
    else:  # along what lies side by side
        tile = MOST_CLASSES if input.stride(dim) == 1 else 8
    pixels = max(1, min(TILE // tile, triton.next_power_of_2(max(1, n))))
    pieces = triton.cdiv(n, pixels)
    fields = (input, target, element_mask, gradients[0], gradients[1])
    sizes, pixel_strides, sample_strides, steps = _apart(fields, input, of)
    common: dict[str, Any] = {
        "ACTIVATION": of.activation or "none",
        "LABELLED": labelled,
        "SQUARED": of.squared,
        "BACKGROUND": of.include_background,
        "WIDE": compute == torch.float64,
        "LONG": n + pixels >= 2**31,
        "CLASSES": tile,
        "PIXELS": pixels,
        "ONCE": once,
        "num_warps": max(1, min(4, tile * pixels // 128)),
    }
    with on(input):
        if upstream is not None:
            slopes, divisor = call.judged
            if n * samples:
                differentiate_kernel[(samples * pieces,)](
                    input,
                    target,
                    element_mask,
                    mask,
                    slopes,
                    *gradients[:2],
                    upstream,
                    sizes,
                    pixel_strides,
                    sample_strides,
                    steps,
                    _of_regions(mask, shape),
                    (0, 0) if call.reduced else _of_regions(upstream, shape),
                    n,
                    classes,
                    of.ignore_index,
                    pieces,
                    *divisor.arguments,
                    REDUCED=call.reduced,
                    ON_EMPTY=divisor.on_empty,
                    **common,
                )
            return None, gradients

        blocks = triton.cdiv(samples * pieces, MOST_PIECES) if once and samples else 1
        pieces = triton.cdiv(pieces, blocks)
        sums = torch.empty(samples * pieces * classes * SUMS.value, dtype=torch.float64, device=device)
        if sums.numel():
            measure_kernel[(samples * pieces,)](
                input,
                target,
                element_mask,
                mask,
                sums,
                note_on(device),
                sizes,
                pixel_strides[:3],
                sample_strides[:3],
                steps[:3],
                _of_regions(mask, shape),
                n,
                classes,
                of.ignore_index,
                blocks,
                pieces,
                LOSS=number_of(call.loss),
                **common,
            )
        return _judged(call, sums, pieces, sample_weight, mask, weight), gradients


def _judged(
    call: "_Call", sums: Tensor, pieces: int, sample_weight: Tensor | None, mask: Tensor | None, weight: Tensor | None
) -> Tensor:
    """The value out of the sums of pieces; the slopes of regions, and what the result was divided by, stay in the call."""
    shape, of, counting = call.shape, call.of, call.counted
    regions, device = shape.numel(), sums.device
    value = torch.empty(() if call.reduced else shape, dtype=call.dtypes[1], device=device)
    slopes = torch.empty(regions * SLOPES.value, dtype=torch.float64, device=device)
    at_once = min(256, triton.next_power_of_2(max(1, pieces)))
    tile = min(JUDGED // at_once, triton.next_power_of_2(max(1, regions)))
    tiles = max(1, triton.cdiv(regions, tile))
    blocks = triton.cdiv(tiles, COUNTS.value)
    programs = triton.cdiv(tiles, blocks)
    alone = call.reduced and programs == 1
    partials = counts = None
    if call.reduced and not alone:
        partials = torch.empty(programs, dtype=torch.float64, device=device)
    if counting != "number":
        counts = torch.empty(programs, dtype=torch.float64, device=device)
    rule = call.how.on_empty if call.reduced and call.how.reduction != "sum" else "nan"
    divisor = Divisor(call.divisor if call.reduced else 1.0, call.normalizer if counts is None else counts, rule)
    judge_kernel[(programs,)](
        sums,
        slopes,
        value,
        partials,
        counts,
        weight,
        sample_weight,
        mask,
        note_on(device),
        0 if weight is None else weight.stride(0),
        _of_regions(sample_weight, shape),
        _of_regions(mask, shape),
        regions,
        shape[-1],
        pieces,
        blocks,
        divisor.number,
        call.normalizer,
        *of.parameters,
        of.gamma,
        FORMULA=triton_function(call.formula),
        POWER=of.gamma != 1,
        BACKGROUND=of.include_background,
        COUNTING=counting,
        LOSS=number_of(call.loss),
        ON_EMPTY=rule,
        ALONE=alone,
        REGIONS=tile,
        PIECES=at_once,
    )
    if partials is not None:
        finish(call.loss, partials, divisor, value)
    call.judged = slopes, divisor
    return value


def _of_regions(tensor: Tensor | None, shape: torch.Size) -> tuple[int, int]:
    """The strides of what broadcasts to the regions, from sample to sample and from class to class."""
    if tensor is None:
        return 0, 0
    strides = tensor.expand(shape).stride()
    return (0, strides[0]) if len(strides) == 1 else (strides[0], strides[1])


def _apart(
    fields: Sequence[Tensor | None], input: Tensor, of: Settings
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...], tuple[int, ...], tuple[int, ...]]:
    """How tensors lie: the sizes of the pixels, and for each tensor strides of pixels, of samples and of classes."""
    dims = of.pixels(input)
    views, samples, steps = [], [], []
    for t in fields:
        if t is None or not input.numel():
            samples.append(0)
            steps.append(0)
            continue
        samples.append(0 if of.batch else t.stride(0))
        steps.append(t.stride(of.dim) if t.dim() == input.dim() else 0)
        t = t.select(of.dim, 0) if t.dim() == input.dim() else t
        views.append(t if of.batch else t.select(0, 0))
    layout = Layout.of([input.shape[d] for d in dims] if views else [], views)
    strides = iter(layout.strides)
    none = (0,) * len(layout.sizes)
    every = tuple([none if t is None or not views else next(strides) for t in fields])
    return layout.sizes, every, tuple(samples), tuple(steps)
