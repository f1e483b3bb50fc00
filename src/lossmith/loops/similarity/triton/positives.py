"""How many positives rows have, for the denominators of means."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import triton
import triton.language as tl

from .numbers import weight_of
from .relation import MATCH, OWN, ROW_LABELS, entry, related, rows_kept


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
