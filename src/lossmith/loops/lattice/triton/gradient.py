"""The gradients in the scores of all segments, each of which is followed again from its borders."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import triton
import triton.language as tl

from ....formula.vocabularies.triton import maximum
from ...triton import gradient_scale, rounded, unless_one
from .numbers import INFINITY, power_of_two, times
from .softmax import probability
from .states import follow, into_states, labels_at, load_states, multiply_and_store, of_frame, score_at, store_states
from .sweep import SEGMENT


@triton.jit
def share_of(used: tl.tensor, width: tl.tensor, j: tl.tensor, inside: tl.tensor, greatest: tl.tensor) -> tl.tensor:
    m, e = load_states(used, width, j, inside)
    power = e - greatest
    return tl.where(power > -1022.0, m * power_of_two(maximum(power, -1022.0)), 0.0)


@triton.jit
def add_of_one_class(a: tl.tensor, a_class: tl.tensor, b: tl.tensor, b_class: tl.tensor) -> tl.tensor:
    """Of two neighbouring runs, in the order of classes: the sum over the last class."""
    return b + tl.where(a_class == b_class, a, 0.0), b_class


@triton.jit(do_not_specialize=["samples", "most_frames", "classes", "blank", "width", "slots", "segments"])
def gradient_kernel(
    scores: tl.tensor,
    targets: tl.tensor,
    weight: tl.tensor,
    upstream: tl.tensor,
    tops: tl.tensor,
    logs: tl.tensor,
    states: tl.tensor,
    scratch: tl.tensor,
    plan: tl.tensor,
    order: tl.tensor,
    losses: tl.tensor,
    gradient: tl.tensor,
    strides: tl.tensor,
    gradient_strides: tl.tensor,
    target_step: tl.tensor,
    weight_stride: tl.tensor,
    upstream_stride: tl.tensor,
    samples: tl.tensor,
    most_frames: tl.tensor,
    classes: tl.tensor,
    blank: tl.tensor,
    width: tl.tensor,
    slots: tl.tensor,
    segments: tl.tensor,
    number: tl.float64,
    sums: tl.tensor,
    n_sums: tl.tensor,
    REDUCED: tl.constexpr,
    PER_LABEL: tl.constexpr,
    ON_EMPTY: tl.constexpr,
    WIDE: tl.constexpr,
    STORED: tl.constexpr,
    WHOLE: tl.constexpr,
    ALL_CLASSES: tl.constexpr,
    BLOCK: tl.constexpr,
    ACROSS: tl.constexpr,
) -> None:
    """The gradient in the scores of a segment of a sample's frames, then of the next segment that is this program's.

    upstream: a pointer to the number for the reduced loss (or None), or to the numbers for each sample. WHOLE,
    ALL_CLASSES: a block holds all states, all classes.
    """
    tasks = unless_one(segments * samples, upstream, STORED)
    frame_size = 4 * width
    scratch += tl.program_id(0).to(tl.int64) * (SEGMENT + 3) * frame_size
    ring = scratch + SEGMENT * frame_size
    used = ring + 2 * frame_size
    for task in range(tl.program_id(0), tasks, tl.num_programs(0)):
        n, segment = (task % samples).to(tl.int64), (task // samples).to(tl.int64)
        size, labels = tl.load(plan + n * 4), tl.load(plan + n * 4 + 1)
        first = targets + tl.load(plan + n * 4 + 2)
        loss = tl.load(losses + n)
        size = tl.where(loss == INFINITY, 0, size)
        spoiled = loss != loss
        if REDUCED:
            factor = gradient_scale(number, sums, n_sums, upstream, ON_EMPTY)
        else:
            factor = tl.load(upstream + n * upstream_stride).to(tl.float64)
        if weight is not None:
            factor = factor * tl.load(weight + n * weight_stride).to(tl.float64)
        if PER_LABEL:
            factor = factor / tl.maximum(labels, 1).to(tl.float64)
        begin = segment * SEGMENT
        stop = tl.minimum(begin + SEGMENT, most_frames)
        end = tl.maximum(begin, tl.minimum(stop, size))

        past = states + (n * slots + segment) * frame_size
        for step in range(0, end - begin):
            t = begin + step  # of 64 bits, as addresses need
            source = tl.where(step == 0, past, scratch + (t - 1 - begin) * frame_size)
            to = scratch + (t - begin) * frame_size
            at = scores + t * strides[0] + n * strides[1]
            top = of_frame(tops, t * samples + n)
            blank_x = score_at(at + blank * strides[2], True, top)
            for start in range(0, BLOCK if WHOLE else labels + 1, BLOCK):
                j = start + tl.arange(0, BLOCK)
                place, skip = labels_at(first, target_step, j, labels, strides[2])
                label_x = score_at(at + place, j < labels, top)
                follow(source, to, width, j, j <= labels, labels, skip, blank_x, label_x)
            tl.debug_barrier()

        future = states + ((samples + n) * slots + (end + SEGMENT - 1) // SEGMENT) * frame_size
        last = first + (labels - 1) * target_step
        for back in range(0, end - begin):
            t = end - 1 - back
            source = tl.where(back == 0, future, ring + (back + 1) % 2 * frame_size)
            to = ring + back % 2 * frame_size
            here = scratch + (t - begin) * frame_size
            at = scores + t * strides[0] + n * strides[1]
            top = of_frame(tops, t * samples + n)
            blank_x = score_at(at + blank * strides[2], True, top)
            greatest = tl.full((BLOCK,), -INFINITY, tl.float64)
            for start in range(0, BLOCK if WHOLE else labels + 1, BLOCK):
                j = start + tl.arange(0, BLOCK)
                inside = j <= labels
                place, skip = labels_at(last, -target_step, j, labels, strides[2])
                label_x = score_at(at + place, j < labels, top)
                blank_m, blank_e, label_m, label_e = into_states(source, width, j, inside, skip)
                multiply_and_store(to, width, j, inside, blank_m, blank_e, label_m, label_e, blank_x, label_x)
                # how likely a state is used: all ways that lead there by all that lead on
                m, e = load_states(here, width, labels - j, inside)
                blank_m, blank_e = times(blank_m, blank_e, m, e)
                m, e = load_states(here + 2 * width, width, labels - 1 - j, j < labels)
                label_m, label_e = times(label_m, label_e, m, e)
                store_states(used, width, labels - j, inside, blank_m, blank_e)
                store_states(used + 2 * width, width, labels - 1 - j, j < labels, label_m, label_e)
                e = tl.where(blank_e > label_e, blank_e, label_e)
                greatest = tl.where(e > greatest, e, greatest)
            tl.debug_barrier()
            # compared by a softmax, so that they sum to 1 whatever was rounded before
            greatest = tl.reduce(greatest, 0, maximum)
            greatest = tl.where(greatest == -INFINITY, 0.0, greatest)
            blanks = tl.zeros((BLOCK,), tl.float64)
            others = tl.zeros((BLOCK,), tl.float64)
            for start in range(0, BLOCK if WHOLE else labels + 1, BLOCK):
                j = start + tl.arange(0, BLOCK)
                blanks += share_of(used, width, j, j <= labels, greatest)
                others += share_of(used + 2 * width, width, j, j < labels, greatest)
            blanks = tl.sum(blanks)
            everything = blanks + tl.sum(others)
            everything = tl.where(everything == 0.0, 1.0, everything)
            everything = tl.where(spoiled, float("nan"), everything)

            to = gradient + t * gradient_strides[0] + n * gradient_strides[1]
            log = of_frame(logs, t * samples + n)
            for start in range(0, ACROSS if ALL_CLASSES else classes, ACROSS):
                c = start + tl.arange(0, ACROSS)
                slope = tl.zeros((ACROSS,), tl.float64)
                if logs is not None:
                    slope = probability(at + c.to(tl.int64) * strides[2], c < classes, top, log, spoiled, WIDE) * factor
                place = to + c.to(tl.int64) * gradient_strides[2]
                tl.store(place, rounded(slope, gradient), c < classes)
            tl.debug_barrier()
            carried = tl.zeros((), tl.float64)
            of_class = tl.full((), -1, tl.int32)
            for start in range(0, BLOCK if WHOLE else labels + 1, BLOCK):
                p = start + tl.arange(0, BLOCK)
                inside = p <= labels
                place = order + n * 2 * width + p
                column = tl.load(place, inside, 0)
                own = tl.load(place + width, inside, -2)
                following = tl.load(place + width + 1, p < labels, -2)
                is_label = inside & (column > 0)
                share = share_of(used + 2 * width, width, column - 1, is_label, greatest)
                share = tl.where(inside & (column == 0), blanks, share) / everything
                share, _ = tl.associative_scan((share, own), 0, add_of_one_class)
                share += tl.where(own == of_class, carried, 0.0)
                ends = inside & (own != following)
                slope = -share
                if logs is not None:
                    slope += probability(at + own.to(tl.int64) * strides[2], ends, top, log, spoiled, WIDE)
                place = to + own.to(tl.int64) * gradient_strides[2]
                tl.store(place, rounded(slope * factor, gradient), ends)
                is_last = p == start + BLOCK - 1
                carried = tl.sum(tl.where(is_last, share, 0.0))
                of_class = tl.sum(tl.where(is_last, own, 0))
            tl.debug_barrier()

        for step in range(0, stop - end):
            t = end + step
            to = gradient + t * gradient_strides[0] + n * gradient_strides[1]
            for start in range(0, ACROSS if ALL_CLASSES else classes, ACROSS):
                c = start + tl.arange(0, ACROSS)
                nothing = tl.zeros((ACROSS,), gradient.dtype.element_ty)
                tl.store(to + c.to(tl.int64) * gradient_strides[2], nothing, c < classes)
