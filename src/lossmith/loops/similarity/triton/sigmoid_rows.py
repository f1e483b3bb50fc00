"""Losses of rows by a sigmoid of each pair, and their derivatives in place."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import triton
import triton.language as tl

from ....formula.vocabularies.triton import sigmoid, softplus
from ...triton import gradient_scale, rounded
from .numbers import number_of_call, weight_of
from .relation import MATCH, OWN, ROW_LABELS, entry, related, rows_kept


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
