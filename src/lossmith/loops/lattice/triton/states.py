"""The states of a frame: blanks 0 ... S, then labels 0 ... S - 1; label i stands between blanks i and i + 1.

A block of them is loaded, followed to the next frame, and stored. Backward, the labels are given in reverse, and all is
the same.
"""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import triton
import triton.language as tl

from .numbers import INFINITY, exponential, plus, times


@triton.jit
def load_states(states: tl.tensor, width: tl.tensor, index: tl.tensor, inside: tl.tensor) -> tl.tensor:
    return tl.load(states + index, inside, 0.0), tl.load(states + width + index, inside, -INFINITY)


@triton.jit
def store_states(
    states: tl.tensor, width: tl.tensor, index: tl.tensor, inside: tl.tensor, m: tl.tensor, e: tl.tensor
) -> None:
    tl.store(states + index, m, inside)
    tl.store(states + width + index, e, inside)


@triton.jit
def begin_states(
    states: tl.tensor, width: tl.tensor, labels: tl.tensor, WHOLE: tl.constexpr, BLOCK: tl.constexpr
) -> None:
    """Before the first frame only blank 0 is occupied."""
    for start in range(0, BLOCK if WHOLE else labels + 1, BLOCK):
        j = start + tl.arange(0, BLOCK)
        inside = j <= labels
        nothing = tl.zeros((BLOCK,), tl.float64)
        store_states(states, width, j, inside, tl.where(j == 0, 1.0, nothing), tl.where(j == 0, nothing, -INFINITY))
        store_states(states + 2 * width, width, j, inside, nothing, nothing - INFINITY)


@triton.jit
def into_states(states: tl.tensor, width: tl.tensor, j: tl.tensor, inside: tl.tensor, skip: tl.tensor) -> tl.tensor:
    """What leads into blanks j and labels j. skip: whether label j may follow label j - 1 at once."""
    blank_m, blank_e = load_states(states, width, j, inside)
    label_m, label_e = load_states(states + 2 * width, width, j, inside)
    before_m, before_e = load_states(states + 2 * width, width, j - 1, inside & (j > 0))
    both_m, both_e = plus(blank_m, blank_e, before_m, before_e)
    label_m, label_e = plus(label_m, label_e, tl.where(skip, both_m, blank_m), tl.where(skip, both_e, blank_e))
    return both_m, both_e, label_m, label_e


@triton.jit
def labels_at(
    targets: tl.tensor, step: tl.tensor, j: tl.tensor, labels: tl.tensor, scores_step: tl.tensor
) -> tl.tensor:
    """Where scores of labels j lie in a frame, and whether each may follow the label before it at once."""
    place = targets + j.to(tl.int64) * step
    own = tl.load(place, j < labels, 0).to(tl.int64)
    before = tl.load(place - step, (j > 0) & (j < labels), 0).to(tl.int64)
    return own * scores_step, (j > 0) & (j < labels) & (own != before)


@triton.jit
def score_at(address: tl.tensor, inside: tl.tensor, top: tl.tensor) -> tl.tensor:
    """Scores less the greatest of their frame, in float64."""
    return tl.load(address, inside, -INFINITY).to(tl.float64) - top


@triton.jit
def of_frame(numbers: tl.tensor, row: tl.tensor) -> tl.tensor:
    """What was found of a frame's logits; log-probabilities stay as they are."""
    if numbers is not None:
        return tl.load(numbers + row)
    else:
        return tl.zeros((), tl.float64)


@triton.jit
def multiply_and_store(
    to: tl.tensor,
    width: tl.tensor,
    j: tl.tensor,
    inside: tl.tensor,
    blank_m: tl.tensor,
    blank_e: tl.tensor,
    label_m: tl.tensor,
    label_e: tl.tensor,
    blank_x: tl.tensor,
    label_x: tl.tensor,
) -> None:
    """The states j, once their scores are multiplied in; what is no number counts as nothing."""
    score_m, score_e = exponential(tl.where(blank_x < INFINITY, blank_x, -INFINITY))
    blank_m, blank_e = times(blank_m, blank_e, score_m, score_e)
    score_m, score_e = exponential(tl.where(label_x < INFINITY, label_x, -INFINITY))
    label_m, label_e = times(label_m, label_e, score_m, score_e)
    store_states(to, width, j, inside, blank_m, blank_e)
    store_states(to + 2 * width, width, j, inside, label_m, label_e)


@triton.jit
def follow(
    source: tl.tensor,
    to: tl.tensor,
    width: tl.tensor,
    j: tl.tensor,
    inside: tl.tensor,
    labels: tl.tensor,
    skip: tl.tensor,
    blank_x: tl.tensor,
    label_x: tl.tensor,
) -> tl.tensor:
    """The states j of the next frame, from its scores; gives 1 where a score is NaN or infinite."""
    blank_m, blank_e, label_m, label_e = into_states(source, width, j, inside, skip)
    multiply_and_store(to, width, j, inside, blank_m, blank_e, label_m, label_e, blank_x, label_x)
    label_lost = tl.where((label_x < INFINITY) | (j >= labels), 0, 1)
    return tl.where(inside, tl.where(blank_x < INFINITY, label_lost, 1), 0)
