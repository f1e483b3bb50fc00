"""The lattice of each sample in one direction: its loss, and the states between segments."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import triton
import triton.language as tl

from ...triton import rounded
from .numbers import INFINITY, LN2, plus
from .plan import IMPOSSIBLE, LEFT_OUT, WRONG
from .states import begin_states, follow, labels_at, load_states, of_frame, score_at

SEGMENT = tl.constexpr(16)
"""Frames whose states are kept at once."""


@triton.jit
def slot_after(r: tl.tensor, size: tl.tensor, forward: tl.tensor, slots: tl.tensor, KEEP: tl.constexpr) -> tl.tensor:
    """Where the states after r frames lie: at the border of a segment in a slot of its own, else in one of two."""
    slot = slots - 2 + r % 2
    if KEEP:
        border = tl.where(forward, r, size - r)
        kept = (border % SEGMENT == 0) | (r == 0)
        slot = tl.where(kept, (border + SEGMENT - 1) // SEGMENT, slot)
    return slot


@triton.jit(do_not_specialize=["samples", "blank", "width", "slots"])
def sweep_kernel(
    scores: tl.tensor,
    targets: tl.tensor,
    weight: tl.tensor,
    tops: tl.tensor,
    logs: tl.tensor,
    states: tl.tensor,
    plan: tl.tensor,
    losses: tl.tensor,
    value: tl.tensor,
    partials: tl.tensor,
    strides: tl.tensor,
    step: tl.tensor,
    weight_stride: tl.tensor,
    samples: tl.tensor,
    blank: tl.tensor,
    width: tl.tensor,
    slots: tl.tensor,
    KEEP: tl.constexpr,
    ZERO_INFINITY: tl.constexpr,
    PER_LABEL: tl.constexpr,
    WHOLE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """A sample's lattice in one direction: the programs after the first `samples` go backward.

    Forward, the loss is left in `losses` as it is, and weighed in `value` or `partials`. KEEP: the states at the
    borders of segments are left in `states`. WHOLE: a block holds all states.
    """
    program = tl.program_id(0).to(tl.int64)
    n = program % samples
    forward = program < samples
    size, labels = tl.load(plan + n * 4), tl.load(plan + n * 4 + 1)
    begin, stands = tl.load(plan + n * 4 + 2), tl.load(plan + n * 4 + 3)

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
        loss = tl.where(stands == IMPOSSIBLE, INFINITY, loss)
        loss = tl.where(stands == WRONG, float("nan"), loss)
        loss = tl.where(stands == LEFT_OUT, 0.0, loss)
        if losses is not None:
            tl.store(losses + n, loss)
        if ZERO_INFINITY:
            loss = tl.where(loss == INFINITY, 0.0, loss)
        if PER_LABEL:
            loss = loss / tl.maximum(labels, 1).to(tl.float64)
        if weight is not None:
            loss = loss * tl.load(weight + n * weight_stride).to(tl.float64)
            loss = tl.where(stands == LEFT_OUT, 0.0, loss)
        if value is not None:
            tl.store(value + n, rounded(loss, value))
        if partials is not None:
            tl.store(partials + n, loss)
