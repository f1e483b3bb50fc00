"""Losses of rows by a softmax, one direction, and their derivatives in place."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import triton
import triton.language as tl

from ....errors import LABEL
from ....formula.vocabularies.triton import exp, sigmoid, softplus, sqrt
from ...triton import gradient_scale, rounded, take_note
from ..rows import pairs, supcon_in
from .numbers import finite_or_zero, log_of_sum, log_of_total, number_of_call, summed_with, weight_of
from .relation import MATCH, OWN, ROW_LABELS, entry, related, rows_kept

LABEL_OUTSIDE = tl.constexpr(LABEL)
PAIRS, SUPCON_IN = tl.constexpr(pairs.number), tl.constexpr(supcon_in.number)


@triton.jit
def with_margin(
    x: tl.tensor,
    margin: tl.float64,
    cosine: tl.float64,
    sine: tl.float64,
    turn: tl.float64,
    KIND: tl.constexpr,
    EASY: tl.constexpr,
) -> tl.tensor:
    """What a positive's cosine becomes, and the slope of that. The same steps as `rows.Margin`."""
    result, slope = x, tl.zeros_like(x) + 1.0
    if KIND == 1:
        result = x - margin
    elif KIND == 2:
        turned = x > turn
        within = tl.where(x > 1.0, 1.0, tl.where(x < -1.0, -1.0, x))
        square = (1.0 - within) * (1.0 + within)
        root = sqrt(square)
        bend = tl.where(square > 1e-12, within / tl.where(square > 1e-12, root, 1.0) * sine, 0.0)
        beyond = x
        if not EASY:
            beyond = x - margin * sine
        result = tl.where(turned, within * cosine - root * sine, beyond)
        slope = tl.where(turned, tl.where(within == x, cosine + bend, 0.0), slope)
    return result, slope


@triton.jit(do_not_specialize=["start", "rows", "labelled", "count"])
def rows_kernel(
    tile: tl.tensor,
    relation: tl.tensor,
    strides: tl.tensor,
    weights: tl.tensor,
    weight_strides: tl.tensor,
    valid: tl.tensor,
    given: tl.tensor,
    valid_strides: tl.tensor,
    losses: tl.tensor,
    of_scale: tl.tensor,
    note: tl.tensor,
    start: tl.int64,
    rows: tl.int64,
    columns: tl.int64,
    labelled: tl.int64,
    count: tl.int64,
    scale_at: tl.tensor,
    scale: tl.float64,
    margin: tl.float64,
    cosine: tl.float64,
    sine: tl.float64,
    turn: tl.float64,
    share: tl.float64,
    number: tl.float64,
    sums: tl.tensor,
    n_sums: tl.tensor,
    KIND: tl.constexpr,
    MARGIN: tl.constexpr,
    EASY: tl.constexpr,
    DERIVATIVES: tl.constexpr,
    ON_EMPTY: tl.constexpr,
    LOSS: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """The losses of rows by a softmax (pairs, SupCon), and the derivatives where the similarities stood."""
    dtype: tl.constexpr = tl.float64 if WIDE else tl.float32
    size = number_of_call(scale_at, scale)
    by = size.to(dtype)
    local = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    row = start + local
    real = local < rows
    kept = rows_kept(relation, strides, row, real)
    match = entry(relation, strides, MATCH, row, real)
    label = entry(relation, strides, ROW_LABELS, row, real)
    own = entry(relation, strides, OWN, row, real)

    top = tl.full((ROWS,), -float("inf"), dtype)
    total = tl.zeros((ROWS,), tl.float64)
    near_top = tl.full((ROWS,), -float("inf"), dtype)
    near_total = tl.zeros((ROWS,), tl.float64)
    picked = tl.zeros((ROWS,), tl.float64)
    positives = tl.zeros((ROWS,), tl.float64)
    for begin in range(0, columns, BLOCK):
        column = begin + tl.arange(0, BLOCK)
        positive, negative = related(relation, strides, kept, match, label, own, column, columns, labelled)
        x = tl.load(tile + local[:, None] * columns + column[None, :], positive | negative, 0.0)
        top, total = summed_with(top, total, tl.where(negative, x * by, -float("inf")), 1)
        picked += tl.sum(tl.where(positive, x, 0.0), 1).to(tl.float64)
        positives += tl.sum(positive.to(tl.int32), 1).to(tl.float64)
        if KIND != PAIRS:
            near_top, near_total = summed_with(near_top, near_total, tl.where(positive, x * by, -float("inf")), 1)
    log_sum = log_of_total(top, total)
    base = log_sum.to(dtype)
    some = positives > 0.0
    single = positives == 1.0
    shifted, slope = with_margin(picked, margin, cosine, sine, turn, MARGIN, EASY)
    # of one positive its lead over the negatives, in float64; of several their mean's
    mean = shifted * size / tl.where(some, positives, 1.0)
    alone = sigmoid(log_sum - mean)
    log_near, log_all = mean, log_sum
    pull = alone
    if KIND == PAIRS:
        loss = softplus(log_sum - mean)
        if relation[MATCH] is None:
            loss = tl.where(single, loss, 0.0)
            pull = tl.where(single, pull, 0.0)
            several = kept & (positives > 1.0)
            for begin in range(0, columns, BLOCK):
                column = begin + tl.arange(0, BLOCK)
                positive, negative = related(relation, strides, several, match, label, own, column, columns, labelled)
                x = tl.load(tile + local[:, None] * columns + column[None, :], positive, 0.0)
                lead = base[:, None] - x * by
                loss += tl.sum(tl.where(positive, softplus(lead), 0.0), 1).to(tl.float64)
                pull += tl.sum(tl.where(positive, sigmoid(lead), 0.0), 1).to(tl.float64)
    else:
        log_near = tl.where(single, mean, log_of_total(near_top, near_total))
        log_all = log_of_sum(log_sum, log_near)
        pull = exp(log_sum - log_all)
        if KIND == SUPCON_IN:
            loss = softplus(log_sum - log_near) + tl.log(tl.where(some, positives, 1.0))
        else:
            loss = tl.where(single, softplus(log_sum - mean), log_all - mean)
    weight = weight_of(weights, weight_strides, share, row, kept, count)
    loss = tl.where(kept & some, loss * weight, 0.0)
    if valid is not None:
        wrong = real & (tl.load(valid + row * valid_strides[0], real, 1) == 0)
        label_given = tl.load(given + row * valid_strides[1], real, 0)
        take_note(note, wrong, row, label_given, columns, LABEL_OUTSIDE, LOSS)
        loss = tl.where(wrong, float("nan"), loss)
    tl.store(losses + row, rounded(loss, losses), real)

    if DERIVATIVES:
        weight = tl.where(kept & some, weight * gradient_scale(number, sums, n_sums, None, ON_EMPTY), 0.0)
        factor = (weight * size).to(dtype)
        push = tl.where(some, pull / tl.where(total == 0.0, 1.0, total), 0.0).to(dtype)
        floor = finite_or_zero(top)
        wished = (1.0 / tl.where(some, positives, 1.0)).to(dtype)
        of_single = (-alone * slope).to(dtype)[:, None]
        sum_of_slopes = tl.zeros((ROWS,), tl.float64)
        for begin in range(0, columns, BLOCK):
            column = begin + tl.arange(0, BLOCK)
            positive, negative = related(relation, strides, kept, match, label, own, column, columns, labelled)
            place = tile + local[:, None] * columns + column[None, :]
            x = tl.load(place, positive | negative, 0.0)
            logit = x * by
            of_positive = of_single
            if relation[MATCH] is None:
                if KIND == PAIRS:
                    of_several = -sigmoid(base[:, None] - logit)
                elif KIND == SUPCON_IN:
                    of_several = exp(logit - log_all.to(dtype)[:, None]) - exp(logit - log_near.to(dtype)[:, None])
                else:
                    of_several = exp(logit - log_all.to(dtype)[:, None]) - wished[:, None]
                of_positive = tl.where(single[:, None], of_single, of_several)
            of_negative = exp(logit - floor[:, None]) * push[:, None]
            derivative = tl.where(positive, of_positive, tl.where(negative, of_negative, 0.0))
            if of_scale is not None:
                sum_of_slopes += tl.sum(derivative * x, 1).to(tl.float64)
            derivative = tl.where((kept & some)[:, None], derivative * factor[:, None], 0.0)
            tl.store(place, derivative, real[:, None] & (column < columns)[None, :])
        if of_scale is not None:
            tl.store(of_scale + row, tl.where(kept & some, sum_of_slopes * weight, 0.0), real)
