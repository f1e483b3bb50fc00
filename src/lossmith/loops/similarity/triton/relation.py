"""Which pairs of rows and columns are positives and which negatives, as kernels find out."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

from typing import TYPE_CHECKING

import triton
import triton.language as tl

if TYPE_CHECKING:
    from ..relation import Relation

MATCH, ROW_LABELS, COLUMN_LABELS, OWN, KEPT_ROWS, KEPT_COLUMNS = (tl.constexpr(i) for i in range(6))
"""Places in what kernels know of a `Relation`: a tuple of pointers or None, and one of their strides."""


@triton.jit
def entry(relation: tl.tensor, strides: tl.tensor, which: tl.constexpr, row: tl.tensor, real: tl.tensor) -> tl.tensor:
    """What one tensor of a relation says of rows, a label or a column; -1 where there is no such tensor."""
    dtype: tl.constexpr = tl.int64 if which == ROW_LABELS else tl.int32
    found = tl.zeros_like(row).to(dtype) - 1
    if relation[which] is not None:
        found = tl.load(relation[which] + row * strides[which], real, -1).to(dtype)
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
    place = column.to(tl.int64)
    known = column < columns
    if relation[KEPT_COLUMNS] is not None:
        known = known & (tl.load(relation[KEPT_COLUMNS] + place * strides[KEPT_COLUMNS], known, 0) != 0)
    looked_at = kept[:, None] & known[None, :]
    if relation[OWN] is not None:
        looked_at = looked_at & (own[:, None] != column[None, :])
    alike = column[None, :] < tl.zeros_like(label)[:, None]  # nowhere
    if relation[ROW_LABELS] is not None:
        named = column < labelled
        of_column = tl.load(relation[COLUMN_LABELS] + place * strides[COLUMN_LABELS], named, 0)
        alike = named[None, :] & (of_column[None, :] == label[:, None])
    if relation[MATCH] is not None:
        positive = match[:, None] == column[None, :]
        alike = alike | positive
    else:
        positive = alike
    return positive & looked_at, looked_at & ~alike


class Known:
    """What kernels know of a relation."""

    def __init__(self, of: "Relation") -> None:
        tensors = (of.match, of.row_labels, of.column_labels, of.own, of.kept_rows, of.kept_columns)
        self.arguments = tensors, tuple([0 if t is None else t.stride(0) for t in tensors])
        self.device = next(t for t in tensors if t is not None).device
        self.labelled = 0 if of.column_labels is None else of.column_labels.shape[0]


def blocks_of(columns: int, wide: bool = False) -> dict[str, int]:
    """Rows and columns that a program looks at together: at most 4 numbers a thread of an NVIDIA GPU, or 2 doubles.

    What is known of a row is repeated in every thread: of two rows, registers spill.
    """
    block = min(1024, max(64, triton.next_power_of_2(columns)))
    return {"ROWS": 1, "BLOCK": block, "num_warps": max(4, block // (64 if wide else 128))}
