"""Tiles of classes and pixels on a GPU: what of them counts, and their predictions and targets."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import math

import triton
import triton.language as tl

from ....formula.vocabularies.triton import exp, sigmoid

INFINITY = tl.constexpr(math.inf)


@triton.jit
def numbers_at(
    c: tl.tensor, rows: tl.tensor, step: tl.tensor, within: tl.tensor, used: tl.tensor, WIDE: tl.constexpr
) -> tl.tensor:
    """A tile of a tensor, 0 where it is not used. rows: the addresses of the pixels in class 0.

    within: where there is a tensor. It is loaded there, for what varies from pixel to pixel would narrow the loads.
    """
    x = tl.load(rows[None, :] + (c.to(tl.int64) * step)[:, None], within, 0)
    return tl.where(used, x.to(tl.float64 if WIDE else tl.float32), 0.0)


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
            kept = kept_at(c, inside, classes, sample, mask, mask_strides, element_mask, element_step, BACKGROUND)
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
    inside: tl.tensor,
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
        within = (c < classes)[:, None] & inside[None, :]
        x = tl.where(within, numbers_at(c, rows, step, within, used[None, :], WIDE), -INFINITY)
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
    inside: tl.tensor,
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
    """Scores, predictions and targets of a tile, and what of the last two is not from 0 to 1."""
    within = (c < classes)[:, None] & inside[None, :]
    if ACTIVATION == "softmax":
        x = numbers_at(c, input, input_step, within, used[None, :], WIDE)
        p = exp(x - top[None, :]) * inverse[None, :]
    else:
        x = numbers_at(c, input, input_step, within, kept, WIDE)
        p = sigmoid(x) if ACTIVATION == "sigmoid" else x
    no_score = tl.zeros_like(kept)
    if ACTIVATION == "none":
        no_score = kept & (((p >= 0.0) & (p <= 1.0)) == 0)
    no_target = tl.zeros_like(kept)
    if LABELLED:
        t = (kept & (label[None, :] == c[:, None])).to(p.dtype)
    else:
        t = numbers_at(c, target, target_step, within, kept, WIDE)
        no_target = kept & (((t >= 0.0) & (t <= 1.0)) == 0)
    return x, p, t, no_score, no_target
