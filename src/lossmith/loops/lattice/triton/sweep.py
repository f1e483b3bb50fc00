"""The lattice of each sample in one direction: its sequences checked, its loss, and the states between segments."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import triton
import triton.language as tl

from ....errors import IN_SEQUENCE, LENGTH, TOTAL
from ...triton import rounded, take_note, unless_one
from .numbers import INFINITY, LN2, plus
from .states import begin_states, follow, labels_at, load_states, of_frame, score_at

SEGMENT = tl.constexpr(16)
"""Frames whose states are kept at once."""
COMPARED = tl.constexpr(16)
"""With how many columns others are compared at a time."""

LABEL_OUTSIDE, LENGTH_OUTSIDE, TOTAL_DIFFERS = tl.constexpr(IN_SEQUENCE), tl.constexpr(LENGTH), tl.constexpr(TOTAL)


@triton.jit
def slot_after(r: tl.tensor, size: tl.tensor, forward: tl.tensor, slots: tl.tensor, KEEP: tl.constexpr) -> tl.tensor:
    """Where the states after r frames lie: at the border of a segment in a slot of its own, else in one of two."""
    slot = slots - 2 + r % 2
    if KEEP:
        border = tl.where(forward, r, size - r)
        kept = (border % SEGMENT == 0) | (r == 0)
        slot = tl.where(kept, (border + SEGMENT - 1) // SEGMENT, slot)
    return slot


@triton.jit
def class_of(targets: tl.tensor, step: tl.tensor, column: tl.tensor, columns: tl.tensor, blank: tl.tensor) -> tl.tensor:
    """Of the blank, column 0, and the labels, which follow."""
    label = tl.load(targets + (column - 1).to(tl.int64) * step, (column > 0) & (column < columns), 0).to(tl.int64)
    return tl.where(column == 0, blank, label)


@triton.jit(do_not_specialize=["samples", "most_frames", "most_labels", "classes", "blank", "width", "slots", "pairs"])
def sweep_kernel(
    scores: tl.tensor,
    targets: tl.tensor,
    frames: tl.tensor,
    lengths: tl.tensor,
    weight: tl.tensor,
    mask: tl.tensor,
    upstream: tl.tensor,
    tops: tl.tensor,
    logs: tl.tensor,
    states: tl.tensor,
    plan: tl.tensor,
    order: tl.tensor,
    losses: tl.tensor,
    value: tl.tensor,
    partials: tl.tensor,
    note: tl.tensor,
    strides: tl.tensor,
    target_strides: tl.tensor,
    frames_stride: tl.tensor,
    lengths_stride: tl.tensor,
    weight_stride: tl.tensor,
    mask_stride: tl.tensor,
    samples: tl.tensor,
    most_frames: tl.tensor,
    most_labels: tl.tensor,
    classes: tl.tensor,
    blank: tl.tensor,
    width: tl.tensor,
    slots: tl.tensor,
    CONCATENATED: tl.constexpr,
    KEEP: tl.constexpr,
    ZERO_INFINITY: tl.constexpr,
    PER_LABEL: tl.constexpr,
    STORED: tl.constexpr,
    LOSS: tl.constexpr,
    WHOLE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """A sample's lattice in one direction: the programs after the first `samples` go backward.

    Forward, the loss is left in `losses` as it is, and weighed in `value` or `partials`. KEEP: the states at the
    borders of segments are left in `states`, in `plan` how many frames, labels and where those begin, and in `order`
    the columns (the blank, then the labels) in the order of their classes. WHOLE: a block holds all states.
    """
    program = tl.program_id(0).to(tl.int64)
    n = program % samples
    forward = program < samples
    size = tl.load(frames + n * frames_stride).to(tl.int64)
    count = tl.load(lengths + n * lengths_stride).to(tl.int64)
    counts = tl.full((), 1, tl.int32)
    if mask is not None:
        counts = tl.load(mask + n * mask_stride).to(tl.int32)

    # which samples are right
    most = most_labels
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
    labels_fit = tl.where(count >= 0, tl.where(count <= most, 1, 0), 0)
    right = fits * frames_fit * labels_fit
    if note is not None:
        one = tl.zeros((1,), tl.int64)
        noted = one + tl.where(forward, counts, 0)
        take_note(note, noted > frames_fit, one + n, one + size, most_frames, LENGTH_OUTSIDE, LOSS)
        take_note(note, noted > labels_fit, one + n, one + count, most, LENGTH_OUTSIDE, LOSS)
        if CONCATENATED:
            take_note(note, noted > fits, one + n, one + total, most_labels, TOTAL_DIFFERS, LOSS)
    used = counts * right
    wrong = tl.zeros((), tl.int32)
    checked = tl.where(used != 0, tl.minimum(count, most), 0)
    for start in range(0, checked, BLOCK):
        i = start + tl.arange(0, BLOCK)
        label = tl.load(targets + begin + i.to(tl.int64) * step, i < checked, 0).to(tl.int64)
        outside = (i < checked) & ((label < 0) | (label >= classes))
        wrong = tl.maximum(wrong, tl.max(outside.to(tl.int32)))
        if note is not None:
            of_sample = tl.zeros_like(label) + n
            take_note(note, outside & (of_sample == program), of_sample, label, classes, LABEL_OUTSIDE, LOSS)
    right = right * (1 - wrong)
    used = unless_one(counts * right, upstream, STORED).to(tl.int64)
    possible = (count <= size).to(tl.int64)
    size = size * used * possible
    labels = count * used * possible

    if KEEP:
        if forward:
            tl.store(plan + n * 3, size)
            tl.store(plan + n * 3 + 1, labels)
            tl.store(plan + n * 3 + 2, begin)
        columns = tl.where(forward, 0, (labels + 1) * used)
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

    # the recursion
    if KEEP:
        first = begin + tl.where(forward, 0, (labels - 1) * step)
        step = tl.where(forward, step, -step)
    else:
        first = begin
    states += program * slots * 4 * width
    begin_states(states + 4 * width * slot_after(size * 0, size, forward, slots, KEEP), width, labels, WHOLE, BLOCK)
    tl.debug_barrier()
    lost = tl.zeros((BLOCK,), tl.int32)  # where a score is NaN or infinite
    if WHOLE:
        j = tl.arange(0, BLOCK)
        inside = j <= labels
        place, skip = labels_at(targets + first, step, j, labels, strides[2])
        row = tl.where(forward, 0, size - 1)
        at = scores + row * strides[0] + n * strides[1]
        top = of_frame(tops, tl.maximum(row, 0) * samples + n)
        blank_x = score_at(at + blank * strides[2], size > 0, top)
        label_x = score_at(at + place, (j < labels) & (size > 0), top)
    for r in range(0, size):
        source = states + 4 * width * slot_after(r, size, forward, slots, KEEP)
        to = states + 4 * width * slot_after(r + 1, size, forward, slots, KEEP)
        if WHOLE:
            # the next scores are on their way while these are worked on
            ahead = tl.minimum(r + 1, size - 1)
            row = tl.where(forward, ahead, size - 1 - ahead)
            at = scores + row * strides[0] + n * strides[1]
            top = of_frame(tops, row * samples + n)
            next_blank = score_at(at + blank * strides[2], True, top)
            next_label = score_at(at + place, j < labels, top)
            lost |= follow(source, to, width, j, inside, labels, skip, blank_x, label_x)
            blank_x, label_x = next_blank, next_label
        else:
            row = tl.where(forward, r, size - 1 - r)
            at = scores + row * strides[0] + n * strides[1]
            top = of_frame(tops, row * samples + n)
            blank_x = score_at(at + blank * strides[2], True, top)
            for start in range(0, labels + 1, BLOCK):
                j = start + tl.arange(0, BLOCK)
                place, skip = labels_at(targets + first, step, j, labels, strides[2])
                label_x = score_at(at + place, j < labels, top)
                lost |= follow(source, to, width, j, j <= labels, labels, skip, blank_x, label_x)
        tl.debug_barrier()

    # what goes into the last blank
    if forward:
        last = states + 4 * width * slot_after(size, size, forward, slots, KEEP)
        blank_m, blank_e = load_states(last, width, labels, True)
        label_m, label_e = load_states(last + 2 * width, width, labels - 1, labels > 0)
        m, e = plus(blank_m, blank_e, label_m, label_e)
        common = tl.zeros((BLOCK,), tl.float64)
        if logs is not None:
            for early in range(0, size, BLOCK):
                t = early + tl.arange(0, BLOCK)
                common += tl.load(logs + t.to(tl.int64) * samples + n, t < size, 0.0)
        loss = 0.0 - (tl.log(m) + e * LN2 - tl.sum(common))
        loss = tl.where(tl.max(lost) != 0, float("nan"), loss)
        loss = tl.where(possible == 0, INFINITY, loss)
        loss = tl.where(right == 0, float("nan"), loss)
        loss = tl.where(counts == 0, 0.0, loss)
        if losses is not None:
            tl.store(losses + n, loss)
        if ZERO_INFINITY:
            loss = tl.where(loss == INFINITY, 0.0, loss)
        if PER_LABEL:
            loss = loss / tl.maximum(count, 1).to(tl.float64)
        if weight is not None:
            loss = loss * tl.load(weight + n * weight_stride).to(tl.float64)
            loss = tl.where(counts == 0, 0.0, loss)
        if value is not None:
            tl.store(value + n, rounded(loss, value))
        if partials is not None:
            tl.store(partials + n, loss)
