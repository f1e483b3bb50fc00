"""Losses of rows against columns and of columns against rows: sums of both, then derivatives in place."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import triton
import triton.language as tl

from ....formula.vocabularies.triton import exp, sigmoid, softplus
from ...triton import gradient_scale, rounded
from .numbers import finite_or_zero, log_of_total, number_of_call, summed_with, weight_of
from .relation import MATCH, OWN, ROW_LABELS, entry, related, rows_kept


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
