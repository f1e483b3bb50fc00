"""Tiles of similarities on a GPU: Triton kernels that turn products into losses and, in place, into derivatives.

The products around them are torch's (`tiled.sweep`). Which columns are a row's positives is found by comparing labels,
so nothing is sorted or selected, and no size depends on data.
"""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl
from torch import Tensor

from ...errors import LABEL, note_on, number_of
from ...formula.vocabularies.triton import INFINITY, exp, log1p, maximum, sigmoid, softplus, sqrt
from ..triton import (
    COUNTS,
    Divisor,
    as_number,
    divisor_on_device,
    finish,
    gradient_scale,
    on,
    rescale,
    rounded,
    take_note,
)
from .rows import pairs, sigmoids, supcon_in
from .tiled import asked_of, listed, sweep

if TYPE_CHECKING:
    from .call import _Call
    from .relation import Relation

LABEL_OUTSIDE = tl.constexpr(LABEL)
PAIRS, SUPCON_IN = tl.constexpr(pairs.number), tl.constexpr(supcon_in.number)
MATCH, ROW_LABELS, COLUMN_LABELS, OWN, KEPT_ROWS, KEPT_COLUMNS = (tl.constexpr(i) for i in range(6))
"""Places in what kernels know of a `Relation`: a tuple of pointers or None, and one of their strides."""


# ----- which pairs are what -----


@triton.jit
def entry(relation: tl.tensor, strides: tl.tensor, which: tl.constexpr, row: tl.tensor, real: tl.tensor) -> tl.tensor:
    """What one tensor of a relation says of rows; -1 where there is no such tensor."""
    found = tl.zeros_like(row).to(tl.int64) - 1
    if relation[which] is not None:
        found = tl.load(relation[which] + row * strides[which], real, -1).to(tl.int64)
    return found


@triton.jit
def rows_kept(relation: tl.tensor, strides: tl.tensor, row: tl.tensor, real: tl.tensor) -> tl.tensor:
    kept = real
    if relation[KEPT_ROWS] is not None:
        kept = real & (tl.load(relation[KEPT_ROWS] + row * strides[KEPT_ROWS], real, 0) != 0)
    return kept


@triton.jit
def related(
    relation: tl.tensor,
    strides: tl.tensor,
    kept: tl.tensor,
    match: tl.tensor,
    label: tl.tensor,
    own: tl.tensor,
    column: tl.tensor,
    columns: tl.tensor,
    labelled: tl.tensor,
) -> tl.tensor:
    """Of some rows and columns, which pairs are positives and which negatives. labelled: how many columns have one."""
    column = column.to(tl.int64)
    known = column < columns
    if relation[KEPT_COLUMNS] is not None:
        known = known & (tl.load(relation[KEPT_COLUMNS] + column * strides[KEPT_COLUMNS], known, 0) != 0)
    looked_at = kept[:, None] & known[None, :]
    if relation[OWN] is not None:
        looked_at = looked_at & (own[:, None] != column[None, :])
    alike = column[None, :] < tl.zeros_like(label)[:, None]  # nowhere
    if relation[ROW_LABELS] is not None:
        named = column < labelled
        of_column = tl.load(relation[COLUMN_LABELS] + column * strides[COLUMN_LABELS], named, 0)
        alike = named[None, :] & (of_column[None, :] == label[:, None])
    if relation[MATCH] is not None:
        positive = match[:, None] == column[None, :]
        alike = alike | positive
    else:
        positive = alike
    return positive & looked_at, looked_at & ~alike


# ----- numbers of a call, and of a row -----


@triton.jit
def number_of_call(at: tl.tensor, number: tl.float64) -> tl.tensor:
    """A number that is on the device (at: a pointer), or that the host knows, in float64."""
    result = as_number(number, tl.float64)
    if at is not None:
        result = tl.load(at).to(tl.float64)
    return result


@triton.jit
def weight_of(
    weights: tl.tensor, strides: tl.tensor, share: tl.float64, row: tl.tensor, kept: tl.tensor, count: tl.tensor
) -> tl.tensor:
    """What each row's loss is multiplied with, in float64; of `count` unreduced losses, each may be two rows' mean."""
    weight = tl.zeros_like(row).to(tl.float64) + share
    row = tl.where(row < count, row, row - count)  # the remainder of 64 bits would be a call
    for i in tl.static_range(len(weights)):
        weight *= tl.load(weights[i] + row * strides[i], kept, 0.0).to(tl.float64)
    return weight


@triton.jit
def finite_or_zero(top: tl.tensor) -> tl.tensor:
    return tl.where(tl.abs(top) == INFINITY, 0.0, top)


@triton.jit
def summed_with(top: tl.tensor, total: tl.tensor, logits: tl.tensor, axis: tl.constexpr) -> tl.tensor:
    """The greatest logit, and the sum of exp(logit - it) in float64, with more logits along an axis."""
    high = maximum(top, tl.max(logits, axis))
    base = finite_or_zero(high)
    more = tl.sum(exp(logits - tl.expand_dims(base, axis)), axis)
    return high, total * exp(top - base).to(tl.float64) + more.to(tl.float64)


@triton.jit
def log_of_total(top: tl.tensor, total: tl.tensor) -> tl.tensor:
    return finite_or_zero(top).to(tl.float64) + tl.log(total)


@triton.jit
def log_of_sum(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    """log(exp(x) + exp(y))."""
    high = maximum(x, y)
    low = tl.where(x == high, y, x)
    return high + tl.where(tl.abs(high) == INFINITY, 0.0, log1p(exp(low - high)))


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


# ----- a tile of rows -----


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
    of_bias: tl.tensor,
    note: tl.tensor,
    start: tl.int64,
    rows: tl.int64,
    columns: tl.int64,
    labelled: tl.int64,
    count: tl.int64,
    scale_at: tl.tensor,
    scale: tl.float64,
    bias_at: tl.tensor,
    bias: tl.float64,
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
        sum_of_slopes = tl.zeros((ROWS,), tl.float64)
        for begin in range(0, columns, BLOCK):
            column = begin + tl.arange(0, BLOCK)
            positive, negative = related(relation, strides, kept, match, label, own, column, columns, labelled)
            place = tile + local[:, None] * columns + column[None, :]
            x = tl.load(place, positive | negative, 0.0)
            logit = x * by
            of_single = (-alone * slope).to(dtype)[:, None]
            if KIND == PAIRS:
                of_several = -sigmoid(base[:, None] - logit)
            elif KIND == SUPCON_IN:
                of_several = exp(logit - log_all.to(dtype)[:, None]) - exp(logit - log_near.to(dtype)[:, None])
            else:
                of_several = exp(logit - log_all.to(dtype)[:, None]) - wished[:, None]
            of_negative = exp(logit - floor[:, None]) * push[:, None]
            of_positive = tl.where(single[:, None], of_single, of_several)
            derivative = tl.where(positive, of_positive, tl.where(negative, of_negative, 0.0))
            if of_scale is not None:
                sum_of_slopes += tl.sum(derivative * x, 1).to(tl.float64)
            derivative = tl.where((kept & some)[:, None], derivative * factor[:, None], 0.0)
            tl.store(place, derivative, real[:, None] & (column < columns)[None, :])
        if of_scale is not None:
            tl.store(of_scale + row, tl.where(kept & some, sum_of_slopes * weight, 0.0), real)


@triton.jit(do_not_specialize=["start", "rows", "labelled", "count"])
def sigmoids_kernel(
    tile: tl.tensor,
    relation: tl.tensor,
    strides: tl.tensor,
    weights: tl.tensor,
    weight_strides: tl.tensor,
    losses: tl.tensor,
    of_scale: tl.tensor,
    of_bias: tl.tensor,
    start: tl.int64,
    rows: tl.int64,
    columns: tl.int64,
    labelled: tl.int64,
    count: tl.int64,
    scale_at: tl.tensor,
    scale: tl.float64,
    bias_at: tl.tensor,
    bias: tl.float64,
    share: tl.float64,
    number: tl.float64,
    sums: tl.tensor,
    n_sums: tl.tensor,
    DERIVATIVES: tl.constexpr,
    ON_EMPTY: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """The losses of rows by a sigmoid of each pair, and the derivatives where the similarities stood, in one pass."""
    dtype: tl.constexpr = tl.float64 if WIDE else tl.float32
    size = number_of_call(scale_at, scale)
    by = size.to(dtype)
    offset = number_of_call(bias_at, bias).to(dtype)
    local = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    row = start + local
    real = local < rows
    kept = rows_kept(relation, strides, row, real)
    match = entry(relation, strides, MATCH, row, real)
    label = entry(relation, strides, ROW_LABELS, row, real)
    own = entry(relation, strides, OWN, row, real)
    weight = weight_of(weights, weight_strides, share, row, kept, count)
    slope = weight
    if DERIVATIVES:
        slope = tl.where(kept, weight * gradient_scale(number, sums, n_sums, None, ON_EMPTY), 0.0)
    factor = (slope * size).to(dtype)

    loss = tl.zeros((ROWS,), tl.float64)
    by_scale = tl.zeros((ROWS,), tl.float64)
    by_bias = tl.zeros((ROWS,), tl.float64)
    for begin in range(0, columns, BLOCK):
        column = begin + tl.arange(0, BLOCK)
        positive, negative = related(relation, strides, kept, match, label, own, column, columns, labelled)
        place = tile + local[:, None] * columns + column[None, :]
        x = tl.load(place, positive | negative, 0.0)
        logit = x * by + offset
        against = tl.where(positive, -logit, logit)
        loss += tl.sum(tl.where(positive | negative, softplus(against), 0.0), 1).to(tl.float64)
        if DERIVATIVES:
            share_of = sigmoid(against)
            derivative = tl.where(positive, -share_of, tl.where(negative, share_of, 0.0))
            if of_scale is not None:
                by_scale += tl.sum(derivative * x, 1).to(tl.float64)
            if of_bias is not None:
                by_bias += tl.sum(derivative, 1).to(tl.float64)
            derivative = tl.where(kept[:, None], derivative * factor[:, None], 0.0)
            tl.store(place, derivative, real[:, None] & (column < columns)[None, :])
    tl.store(losses + row, rounded(tl.where(kept, loss * weight, 0.0), losses), real)
    if DERIVATIVES:
        if of_scale is not None:
            tl.store(of_scale + row, tl.where(kept, by_scale * slope, 0.0), real)
        if of_bias is not None:
            tl.store(of_bias + row, tl.where(kept, by_bias * slope, 0.0), real)


# ----- both directions: rows against columns, columns against rows -----


@triton.jit(do_not_specialize=["start", "rows", "labelled"])
def row_sums_kernel(
    tile: tl.tensor,
    relation: tl.tensor,
    strides: tl.tensor,
    positives: tl.tensor,
    row_log: tl.tensor,
    start: tl.int64,
    rows: tl.int64,
    columns: tl.int64,
    labelled: tl.int64,
    scale_at: tl.tensor,
    scale: tl.float64,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """The logit of each row's positive, and the logarithm of the row's sum over the negatives."""
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
    picked = tl.zeros((ROWS,), tl.float64)
    for begin in range(0, columns, BLOCK):
        column = begin + tl.arange(0, BLOCK)
        positive, negative = related(relation, strides, kept, match, label, own, column, columns, labelled)
        x = tl.load(tile + local[:, None] * columns + column[None, :], positive | negative, 0.0)
        top, total = summed_with(top, total, tl.where(negative, x * by, -float("inf")), 1)
        picked += tl.sum(tl.where(positive, x, 0.0), 1).to(tl.float64)
    tl.store(positives + row, picked * size, real)
    tl.store(row_log + row, log_of_total(top, total), real)


@triton.jit(do_not_specialize=["start", "rows", "labelled"])
def column_sums_kernel(
    tile: tl.tensor,
    relation: tl.tensor,
    strides: tl.tensor,
    column_top: tl.tensor,
    column_total: tl.tensor,
    start: tl.int64,
    rows: tl.int64,
    columns: tl.int64,
    labelled: tl.int64,
    scale_at: tl.tensor,
    scale: tl.float64,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Adds a tile's rows to each column's greatest logit and sum of exponentials; the first tile begins them."""
    dtype: tl.constexpr = tl.float64 if WIDE else tl.float32
    by = number_of_call(scale_at, scale).to(dtype)
    column = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = column < columns
    top = tl.where(start == 0, -float("inf"), tl.load(column_top + column, inside, 0.0))
    total = tl.where(start == 0, 0.0, tl.load(column_total + column, inside, 0.0))
    for begin in range(0, rows, ROWS):
        local = (begin + tl.arange(0, ROWS)).to(tl.int64)
        row = start + local
        real = local < rows
        kept = rows_kept(relation, strides, row, real)
        match = entry(relation, strides, MATCH, row, real)
        label = entry(relation, strides, ROW_LABELS, row, real)
        own = entry(relation, strides, OWN, row, real)
        _, negative = related(relation, strides, kept, match, label, own, column, columns, labelled)
        x = tl.load(tile + local[:, None] * columns + column[None, :], negative, 0.0)
        top, total = summed_with(top, total, tl.where(negative, x * by, -float("inf")), 0)
    tl.store(column_top + column, top, inside)
    tl.store(column_total + column, total, inside)


@triton.jit(do_not_specialize=["rows", "count"])
def directions_kernel(
    relation: tl.tensor,
    strides: tl.tensor,
    weights: tl.tensor,
    weight_strides: tl.tensor,
    positives: tl.tensor,
    row_log: tl.tensor,
    column_top: tl.tensor,
    column_total: tl.tensor,
    losses: tl.tensor,
    row_factor: tl.tensor,
    column_log: tl.tensor,
    column_factor: tl.tensor,
    rows: tl.int64,
    columns: tl.int64,
    count: tl.int64,
    scale_at: tl.tensor,
    scale: tl.float64,
    share: tl.float64,
    number: tl.float64,
    sums: tl.tensor,
    n_sums: tl.tensor,
    DERIVATIVES: tl.constexpr,
    ON_EMPTY: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """The losses of all rows, from the sums of both directions; and what the derivatives take of each row and column.

    Of columns that are no rows there is no loss: their factor is 0.
    """
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside, real = index < columns, index < rows
    kept = rows_kept(relation, strides, index, real)
    positive = tl.load(positives + index, kept, 0.0)
    across = log_of_total(tl.load(column_top + index, kept, 0.0), tl.load(column_total + index, kept, 1.0))
    lead, lead_across = tl.load(row_log + index, kept, 0.0) - positive, across - positive
    weight = weight_of(weights, weight_strides, share, index, kept, count)
    loss = tl.where(kept, (softplus(lead) + softplus(lead_across)) / 2 * weight, 0.0)
    tl.store(losses + index, rounded(loss, losses), real)
    if DERIVATIVES:
        half = weight / 2 * gradient_scale(number, sums, n_sums, None, ON_EMPTY) * number_of_call(scale_at, scale)
        dtype: tl.constexpr = column_log.dtype.element_ty
        tl.store(row_factor + index, tl.where(kept, half * sigmoid(lead), 0.0).to(dtype), real)
        tl.store(column_factor + index, tl.where(kept, half * sigmoid(lead_across), 0.0).to(dtype), inside)
        known = tl.where(kept, finite_or_zero(across), float("inf"))
        tl.store(column_log + index, known.to(dtype), inside)


@triton.jit(do_not_specialize=["start", "rows", "labelled"])
def derivatives_kernel(
    tile: tl.tensor,
    relation: tl.tensor,
    strides: tl.tensor,
    row_log: tl.tensor,
    row_factor: tl.tensor,
    column_log: tl.tensor,
    column_factor: tl.tensor,
    of_scale: tl.tensor,
    start: tl.int64,
    rows: tl.int64,
    columns: tl.int64,
    labelled: tl.int64,
    scale_at: tl.tensor,
    scale: tl.float64,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """The derivatives of both directions where the similarities stood.

    A negative's is exp(logit) (f_i / (r_i + p_i) + f_j / (c_j + p_j)), with the sums r of rows and c of columns.
    """
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
    by_row = tl.load(row_factor + row, real, 0.0)[:, None]
    base = finite_or_zero(tl.load(row_log + row, real, 0.0)).to(dtype)[:, None]
    sum_of_slopes = tl.zeros((ROWS,), tl.float64)
    for begin in range(0, columns, BLOCK):
        column = begin + tl.arange(0, BLOCK)
        inside = column < columns
        positive, negative = related(relation, strides, kept, match, label, own, column, columns, labelled)
        place = tile + local[:, None] * columns + column[None, :]
        x = tl.load(place, positive | negative, 0.0)
        logit = x * by
        by_column = tl.load(column_factor + column, inside, 0.0)[None, :]
        other = tl.load(column_log + column, inside, 0.0)[None, :]
        pushed = exp(logit - base) * by_row + exp(logit - other) * by_column
        derivative = tl.where(positive, -by_row - by_column, tl.where(negative, pushed, 0.0))
        if of_scale is not None:
            sum_of_slopes += tl.sum(derivative * x, 1).to(tl.float64)
        tl.store(place, derivative, real[:, None] & inside[None, :])
    if of_scale is not None:
        tl.store(of_scale + row, sum_of_slopes / size, real)


# ----- denominators -----


@triton.jit(do_not_specialize=["rows", "labelled"])
def positives_kernel(
    relation: tl.tensor,
    strides: tl.tensor,
    weights: tl.tensor,
    weight_strides: tl.tensor,
    partials: tl.tensor,
    rows: tl.int64,
    columns: tl.int64,
    labelled: tl.int64,
    SHARE: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Partial sums of the weights of rows with positives, once or (SHARE) for each positive."""
    sum_of_rows = tl.zeros((ROWS,), tl.float64)
    first = tl.program_id(0).to(tl.int64) * ROWS
    step = tl.num_programs(0).to(tl.int64) * ROWS
    while first < rows:
        row = first + tl.arange(0, ROWS)
        real = row < rows
        kept = rows_kept(relation, strides, row, real)
        match = entry(relation, strides, MATCH, row, real)
        label = entry(relation, strides, ROW_LABELS, row, real)
        own = entry(relation, strides, OWN, row, real)
        positives = tl.zeros((ROWS,), tl.float64)
        for begin in range(0, columns, BLOCK):
            column = begin + tl.arange(0, BLOCK)
            positive, _ = related(relation, strides, kept, match, label, own, column, columns, labelled)
            positives += tl.sum(positive.to(tl.int32), 1).to(tl.float64)
        weight = weight_of(weights, weight_strides, 1.0, row, kept, rows)
        if SHARE:
            weight = weight * positives
        sum_of_rows += tl.where(positives > 0.0, weight, 0.0)
        first += step
    tl.store(partials + tl.program_id(0), tl.sum(sum_of_rows))


# ----- around kernels -----


def divisor(call: "_Call") -> Divisor:
    """What the mean of a call divides by."""
    how, relation = call.how, call.relation
    losses = relation.rows // call.views
    by_positives = call.counted or call.share
    if not by_positives or how.reduction == "sum" or isinstance(how.normalizer, (int, float, Tensor)):
        return divisor_on_device(how, (losses,), wide=True)
    each = how.normalizer == "count" or (how.normalizer is None and how.reduction == "batchmean")
    blocks = _blocks(relation.columns)
    programs = max(1, min(COUNTS.value, triton.cdiv(losses, blocks["ROWS"])))
    known = _Known(relation)
    partials = torch.empty(programs, dtype=torch.float64, device=known.device)
    weights = _weights([how.sample_weight], losses)
    sizes = relation.rows, relation.columns, known.labelled
    positives_kernel[(programs,)](*known.arguments, *weights, partials, *sizes, SHARE=call.share and not each, **blocks)
    return Divisor(1.0, partials, how.on_empty)


class _Known:
    """What kernels know of a relation."""

    def __init__(self, relation: "Relation") -> None:
        of = relation
        tensors = (of.match, of.row_labels, of.column_labels, of.own, of.kept_rows, of.kept_columns)
        self.arguments = tensors, tuple([0 if t is None else t.stride(0) for t in tensors])
        self.labelled = 0 if of.column_labels is None else of.column_labels.shape[0]
        self.device = next(t for t in tensors if t is not None).device


def _weights(given: Sequence[Tensor | None], losses: int) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """Weights of unreduced losses, and their strides."""
    weights = tuple([t.detach() for t in given if t is not None])
    return weights, tuple([t.expand(losses).stride(0) for t in weights])


def _blocks(columns: int, wide: bool = False) -> dict[str, int]:
    """Rows and columns that a program looks at together: 4 numbers for each thread of an NVIDIA GPU, or 2 doubles.

    Two rows share the labels of the columns; what is known of each row is repeated in every thread, so they are no more.
    """
    block = min(1024, max(64, triton.next_power_of_2(columns)))
    return {"ROWS": 1 if wide else 2, "BLOCK": block, "num_warps": block // 64}


def _number(number: Tensor | float) -> tuple[Tensor | None, float]:
    """A number as kernels take it."""
    return (number, 0.0) if isinstance(number, Tensor) else (None, float(number))


def launch(
    call: "_Call",
    tensors: Sequence[Tensor],
    wanted: Sequence[bool],
    upstream: Tensor | None = None,
    into: Sequence[Tensor | None] | None = None,
) -> tuple[Tensor | None, Sequence[Tensor | None]]:
    """`fused.DeviceKernel.launch` of a call.

    Gradients of a reduced loss are in the dtype that is computed in, so they are stored and, in backward, multiplied in
    their place; a later backward goes through the same steps.
    """
    if into is not None:
        assert upstream is not None
        rescale(into, upstream)
        return None, into
    x, y, scale, bias = call.take(tensors)
    rows, columns, device = x.shape[0], y.shape[0], x.device
    losses = call.relation.rows // call.views
    (of_x, of_y), of_scale, of_bias = asked_of(call, wanted)
    derive = any(wanted)
    wide = x.dtype == torch.float64
    result = call.dtypes[0] if call.bare else call.dtypes[1]
    whole = call.divisor if isinstance(call.divisor, Divisor) else Divisor(call.divisor or 1.0)
    weights = _weights([None if call.bare else call.how.sample_weight, None if call.reduced else upstream], losses)
    known = _Known(call.relation)
    direct = not call.reduced and call.views == 1
    each = torch.empty(rows, dtype=result if direct else torch.float64, device=device)
    slopes = [
        torch.empty(rows, dtype=torch.float64, device=device) if derive and w else None for w in (of_scale, of_bias)
    ]
    size = _number(scale)
    share = call.factor / call.views
    blocks = _blocks(columns, wide)
    ruled = {"DERIVATIVES": derive, "ON_EMPTY": whole.on_empty}

    def heights(tile: Tensor) -> tuple[int]:
        return (triton.cdiv(tile.shape[0], blocks["ROWS"]),)

    with on(x):
        if call.both:
            gradients = _both(call, x, y, known, weights, size, share, whole, each, slopes[0], (of_x, of_y), derive)
        else:
            valid = call.valid
            note = None if valid is None else note_on(device)
            labels = (None, None, (0, 0))
            if valid is not None and call.given is not None:
                labels = (valid, call.given, (valid.stride(0), call.given.stride(0)))  # type: ignore[assignment]
            kind, margin, easy = call.margin
            turn = 0.0 if easy else math.cos(math.pi - margin)
            bent = (margin, math.cos(margin), math.sin(margin), turn)

            def step(tile: Tensor, start: int, derivatives: bool) -> None:
                sizes = start, tile.shape[0], columns, known.labelled, losses
                numbers = *size, *_number(bias)
                if call.rows is sigmoids:
                    sigmoids_kernel[heights(tile)](
                        tile, *known.arguments, *weights, each, *slopes, *sizes, *numbers, share, *whole.arguments,
                        WIDE=wide, **ruled, **blocks,
                    )  # fmt: skip
                else:
                    rows_kernel[heights(tile)](
                        tile, *known.arguments, *weights, *labels, each, *slopes, note, *sizes, *numbers, *bent, share,
                        *whole.arguments, KIND=call.rows.number, MARGIN=kind, EASY=easy,
                        LOSS=0 if note is None else number_of(call.loss), WIDE=wide, **ruled, **blocks,
                    )  # fmt: skip

            gradients = sweep(x, y, step, (derive and of_x, derive and of_y), derive)
        value = None
        if call.reduced:
            value = torch.empty((), dtype=result, device=device)
            if upstream is None:
                finish(call.loss, each, whole, value)
        elif upstream is None:
            value = each if direct else each.view(call.views, losses).sum(0).to(call.dtypes[0]).to(result)
        found = listed(call, wanted, gradients, *[None if s is None else s.sum() for s in slopes])
        found += [None] * (len(tensors) - len(found))
        if call.reduced and upstream is not None:
            rescale(found, upstream)
    return value if upstream is None else None, found


def _both(
    call: "_Call",
    x: Tensor,
    y: Tensor,
    known: _Known,
    weights: tuple[tuple[Tensor, ...], tuple[int, ...]],
    size: tuple[Tensor | None, float],
    share: float,
    whole: Divisor,
    each: Tensor,
    of_scale: Tensor | None,
    asked: tuple[bool, bool],
    derive: bool,
) -> tuple[Tensor | None, Tensor | None]:
    """The losses in both directions, and the vectors' gradients."""
    rows, columns = x.shape[0], y.shape[0]
    wide = x.dtype == torch.float64
    blocks, block = _blocks(columns, wide), 128

    def room(count: int, dtype: torch.dtype = torch.float64) -> Tensor:
        return torch.empty(count, dtype=dtype, device=x.device)

    positives, row_log = room(rows), room(rows)
    column_top, column_total = room(columns, x.dtype), room(columns)
    row_factor, column_log, column_factor = [room(n, x.dtype) if derive else None for n in (rows, columns, columns)]

    def sums(tile: Tensor, start: int, derivatives: bool) -> None:
        sizes = start, tile.shape[0], columns, known.labelled, *size
        grid = (triton.cdiv(tile.shape[0], blocks["ROWS"]),)
        row_sums_kernel[grid](tile, *known.arguments, positives, row_log, *sizes, WIDE=wide, **blocks)
        grid = (triton.cdiv(columns, 64),)
        column_sums_kernel[grid](tile, *known.arguments, column_top, column_total, *sizes, WIDE=wide, ROWS=32, BLOCK=64)

    def slope(tile: Tensor, start: int, derivatives: bool) -> None:
        sizes = start, tile.shape[0], columns, known.labelled, *size
        grid = (triton.cdiv(tile.shape[0], blocks["ROWS"]),)
        parts = row_log, row_factor, column_log, column_factor, of_scale
        derivatives_kernel[grid](tile, *known.arguments, *parts, *sizes, WIDE=wide, **blocks)

    sweep(x, y, sums, (False, False))
    if rows:
        directions_kernel[(triton.cdiv(columns, block),)](
            *known.arguments, *weights, positives, row_log, column_top, column_total, each,
            row_factor, column_log, column_factor, rows, columns, rows, *size, share, *whole.arguments,
            DERIVATIVES=derive, ON_EMPTY=whole.on_empty, BLOCK=block,
        )  # fmt: skip
    return sweep(x, y, slope, asked, derive) if derive else (None, None)
