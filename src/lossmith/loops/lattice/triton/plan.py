"""Which frames and labels each sample has: the sequences checked, and their classes put in order."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import triton
import triton.language as tl

from ....errors import IN_SEQUENCE, LENGTH, TOTAL
from ...triton import take_note, unless_one

COUNTED, LEFT_OUT, WRONG, IMPOSSIBLE = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2), tl.constexpr(3)
"""How a sample stands: masked, its loss is 0; with a wrong sequence, NaN; without an alignment, inf."""
COMPARED = tl.constexpr(8)
"""With how many columns others are compared at a time."""

LABEL_OUTSIDE, LENGTH_OUTSIDE, TOTAL_DIFFERS = tl.constexpr(IN_SEQUENCE), tl.constexpr(LENGTH), tl.constexpr(TOTAL)


@triton.jit
def class_of(targets: tl.tensor, step: tl.tensor, column: tl.tensor, columns: tl.tensor, blank: tl.tensor) -> tl.tensor:
    """Of the blank, column 0, and the labels, which follow."""
    label = tl.load(targets + (column - 1).to(tl.int64) * step, (column > 0) & (column < columns), 0).to(tl.int64)
    return tl.where(column == 0, blank, label)


@triton.jit(do_not_specialize=["samples", "most_frames", "most_labels", "classes", "blank", "width"])
def plan_kernel(
    targets: tl.tensor,
    frames: tl.tensor,
    lengths: tl.tensor,
    mask: tl.tensor,
    upstream: tl.tensor,
    plan: tl.tensor,
    order: tl.tensor,
    note: tl.tensor,
    target_strides: tl.tensor,
    frames_stride: tl.tensor,
    lengths_stride: tl.tensor,
    mask_stride: tl.tensor,
    samples: tl.tensor,
    most_frames: tl.tensor,
    most_labels: tl.tensor,
    classes: tl.tensor,
    blank: tl.tensor,
    width: tl.tensor,
    CONCATENATED: tl.constexpr,
    STORED: tl.constexpr,
    LOSS: tl.constexpr,
    WHOLE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Of each sample, in `plan`: how many frames and labels, where those begin, how it stands.

    order, if it is not None: the columns (the blank, then the labels) in the order of their classes, and those.
    """
    n = tl.program_id(0).to(tl.int64)
    size = tl.load(frames + n * frames_stride).to(tl.int64)
    count = tl.load(lengths + n * lengths_stride).to(tl.int64)
    counts = tl.full((), 1, tl.int32)
    if mask is not None:
        counts = tl.load(mask + n * mask_stride).to(tl.int32)
    fits = 1
    if CONCATENATED:
        begin = tl.zeros((), tl.int64)
        total = tl.zeros((), tl.int64)
        least = tl.zeros((), tl.int64)
        for start in range(0, samples, BLOCK):
            i = start + tl.arange(0, BLOCK)
            each = tl.load(lengths + i.to(tl.int64) * lengths_stride, i < samples, 0).to(tl.int64)
            begin += tl.sum(tl.where(i < n, each, 0))
            total += tl.sum(each)
            least = tl.minimum(least, tl.min(each))
        fits = tl.where(least >= 0, tl.where(total == most_labels, 1, 0), 0)
        begin = begin * target_strides[0]
        step = target_strides[0]
    else:
        begin = n * target_strides[0]
        step = target_strides[1]
    frames_fit = tl.where(size >= 0, tl.where(size <= most_frames, 1, 0), 0)
    labels_fit = tl.where(count >= 0, tl.where(count <= most_labels, 1, 0), 0)
    right = fits * frames_fit * labels_fit
    if note is not None:
        one = tl.zeros((1,), tl.int64)
        noted = one + counts
        take_note(note, noted > frames_fit, one + n, one + size, most_frames, LENGTH_OUTSIDE, LOSS)
        take_note(note, noted > labels_fit, one + n, one + count, most_labels, LENGTH_OUTSIDE, LOSS)
        if CONCATENATED:
            take_note(note, noted > fits, one + n, one + total, most_labels, TOTAL_DIFFERS, LOSS)
    used = counts * right
    wrong = tl.zeros((), tl.int32)
    checked = tl.where(used != 0, tl.minimum(count, most_labels), 0)
    for start in range(0, checked, BLOCK):
        i = start + tl.arange(0, BLOCK)
        label = tl.load(targets + begin + i.to(tl.int64) * step, i < checked, 0).to(tl.int64)
        outside = (i < checked) & ((label < 0) | (label >= classes))
        wrong = tl.maximum(wrong, tl.max(outside.to(tl.int32)))
        if note is not None:
            of_sample = tl.zeros_like(label) + n
            take_note(note, outside, of_sample, label, classes, LABEL_OUTSIDE, LOSS)
    right = right * (1 - wrong)
    stands = tl.where(count <= size, COUNTED, IMPOSSIBLE)
    stands = tl.where(right != 0, stands, WRONG)
    stands = tl.where(counts != 0, stands, LEFT_OUT)
    used = unless_one(tl.where(stands == COUNTED, 1, 0), upstream, STORED)
    labels = count * used
    tl.store(plan + n * 4, size * used)
    tl.store(plan + n * 4 + 1, labels)
    tl.store(plan + n * 4 + 2, begin)
    tl.store(plan + n * 4 + 3, stands)
    if order is not None:
        columns = (labels + 1) * used
        for start in range(0, BLOCK if WHOLE else columns, BLOCK):
            c = start + tl.arange(0, BLOCK)
            own = class_of(targets + begin, step, c, columns, blank)
            rank = tl.zeros((BLOCK,), tl.int32)
            for other in range(0, columns, COMPARED):
                k = other + tl.arange(0, COMPARED)
                label = class_of(targets + begin, step, k, columns, blank)
                earlier = (label[None, :] == own[:, None]) & (k[None, :] < c[:, None])
                lower = (k < columns)[None, :] & ((label[None, :] < own[:, None]) | earlier)
                rank += tl.sum(lower.to(tl.int32), 1)
            place = order + n * 2 * width + rank
            tl.store(place, c, c < columns)
            tl.store(place + width, own.to(tl.int32), c < columns)
