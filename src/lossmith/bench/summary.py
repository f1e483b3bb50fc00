"""What a table comes to: geometric mean and lowest ratio, share of a copy's bandwidth, memory."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from .measure import Row


@dataclass(frozen=True)
class Group:
    """Rows of one size, variant and dtype, against one opponent."""

    size: str
    against: str
    variant: str
    dtype: str
    rows: tuple[Row, ...]

    @property
    def measured(self) -> dict[str, float]:
        """Ratios by row."""
        return {row.name: row.ratio.median for row in self.rows if row.ratio}

    @property
    def missing(self) -> dict[str, str]:
        return {row.name: row.missing for row in self.rows if row.missing}

    @property
    def geometric_mean(self) -> float | None:
        return statistics.geometric_mean(self.measured.values()) if self.measured else None

    @property
    def lowest(self) -> tuple[str, float] | None:
        return min(self.measured.items(), key=lambda item: item[1]) if self.measured else None

    @property
    def of_copy(self) -> dict[str, float]:
        """Shares of a copy's bandwidth, of the pointwise losses."""
        return {row.name: row.of_copy.median for row in self.rows if row.of_copy and row.layout == "flat"}

    @property
    def memory(self) -> tuple[float, float] | None:
        """The largest peak growth of theirs and of ours, in sizes of the gradients."""
        found = [both for row in self.rows if (both := memory(row))]
        return (max(theirs for theirs, _ in found), max(ours for _, ours in found)) if found else None


def memory(row: Row) -> tuple[float, float] | None:
    """Peak growth of theirs and of ours, in sizes of the gradients that must be there in the end."""
    if row.theirs_memory is None or row.ours_memory is None or not row.gradient_bytes:
        return None
    return row.theirs_memory / row.gradient_bytes, row.ours_memory / row.gradient_bytes


def groups(rows: Iterable[Row]) -> list[Group]:
    """Neighbouring rows that belong to one table."""

    def key(row: Row) -> tuple[str, str, str, str]:
        return row.size, row.against, row.variant, row.dtype

    return [Group(*together, tuple(found)) for together, found in groupby(rows, key)]
