"""The kernel that makes the gradients: out of the slopes of regions, through the activation to the scores."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import triton
import triton.language as tl

from ....formula.vocabularies.triton import exp
from ...triton import gradient_scale, offsets, rounded
from .sums import SLOPES
from .tiles import kept_at, softmax_of, tile_of, used_pixels


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
    used, label, _wrong = used_pixels(
        inside, aims, ignored, classes, sample, mask, mask_strides, masked, steps[2], LABELLED, BACKGROUND, CLASSES,
        PIXELS, ONCE,
    )  # fmt: skip
    top = 0.0
    inverse = 1.0
    along = tl.zeros((PIXELS,), dtype)
    if ACTIVATION == "softmax":
        top, inverse = softmax_of(scores, steps[0], inside, used, classes, WIDE, CLASSES, PIXELS, ONCE)
        if gradient is not None:
            for first in range(0, CLASSES if ONCE else classes, CLASSES):
                c = first + tl.arange(0, CLASSES)
                kept = kept_at(c, used, classes, sample, mask, mask_strides, masked, steps[2], BACKGROUND)
                _x, p, t, _no_score, no_target = tile_of(
                    c, kept, inside, used, label, scores, steps[0], aims, steps[1], top, inverse, classes, ACTIVATION,
                    LABELLED, WIDE,
                )  # fmt: skip
                kept = kept & (no_target == 0)
                of_common, of_predicted, _of_wanted = slopes_of(
                    c, classes, sample, slopes, upstream, upstream_strides, scale, REDUCED, dtype
                )
                slope = slope_at(p, t, of_common, of_predicted, SQUARED)
                along += tl.sum(tl.where(kept, p * slope, 0.0), 0)
    for first in range(0, CLASSES if ONCE else classes, CLASSES):
        c = first + tl.arange(0, CLASSES)
        kept = kept_at(c, used, classes, sample, mask, mask_strides, masked, steps[2], BACKGROUND)
        x, p, t, no_score, no_target = tile_of(
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
