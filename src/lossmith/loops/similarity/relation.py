"""Which pairs of rows and columns are positives, which negatives, and which are left out."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...native import core


@dataclass(slots=True)
class Relation:
    """Rows against columns. A row's positive is its match; without matches all columns of its label are."""

    rows: int
    columns: int
    match: Tensor | None = None
    """For each row the column of its positive. If there are labels, other columns of the row's are then left out."""
    row_labels: Tensor | None = None
    column_labels: Tensor | None = None
    """Where columns are more than these, the rest has no label."""
    own: Tensor | None = None
    """For each row the column that is the row itself, which is left out."""
    kept_rows: Tensor | None = None
    """Bool: the others have no loss."""
    kept_columns: Tensor | None = None
    """Bool: the others are left out of every row."""

    def add_columns(self, count: int) -> None:
        """Columns at the end that are nobody's positive."""
        self.columns += count
        if self.kept_columns is not None:
            self.kept_columns = torch.nn.functional.pad(self.kept_columns, (0, count), value=True)

    def masks(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """For some rows, where the positives and where the negatives stand."""
        given = self.match if self.match is not None else self.row_labels
        assert given is not None
        columns = torch.arange(self.columns, device=given.device)
        alike = None
        if self.row_labels is not None and self.column_labels is not None:
            alike = self.row_labels[start:stop, None] == self.column_labels
            rest = self.columns - alike.shape[1]
            alike = torch.nn.functional.pad(alike, (0, rest)) if rest else alike
        if self.match is None:
            assert alike is not None
            positive, negative = alike, ~alike
        else:
            positive = self.match[start:stop, None] == columns
            negative = ~positive if alike is None else ~(positive | alike)
        if self.own is not None:
            other = self.own[start:stop, None] != columns
            positive, negative = positive & other, negative & other
        if self.kept_columns is not None:
            positive, negative = positive & self.kept_columns, negative & self.kept_columns
        if self.kept_rows is not None:
            kept = self.kept_rows[start:stop, None]
            positive, negative = positive & kept, negative & kept
        return positive, negative

    def turned(self) -> "Relation":
        """The columns that are rows too as rows, and the rows as columns; each matches its own."""
        return Relation(
            self.rows,
            self.rows,
            self.match,
            None if self.column_labels is None else self.column_labels[: self.rows],
            self.row_labels,
            None,
            None if self.kept_columns is None else self.kept_columns[: self.rows],
            self.kept_rows,
        )

    def positives(self) -> Tensor:
        """How many positives each row has."""
        if self.match is not None:
            count = torch.ones_like(self.match)
        else:
            assert self.row_labels is not None and self.column_labels is not None
            order, first, last = self._ranges(self.column_labels)
            if self.kept_columns is None:
                count = last - first
            else:  # without a selection, whose size a device or a transform does not know
                kept = torch.nn.functional.pad(self.kept_columns[order].cumsum(0), (1, 0))
                count = kept[last] - kept[first]
            if self.own is not None:
                count = count - (self.own >= 0).to(count.dtype)
        return count if self.kept_rows is None else torch.where(self.kept_rows, count, 0)

    def compiled(self) -> Any:
        """What the kernels know of it."""
        order = first = last = None
        if self.row_labels is not None and self.column_labels is not None:
            order, first, last = self._ranges(self.column_labels)
            rest = self.columns - order.shape[0]
            if rest:
                order = torch.cat([order, torch.arange(self.columns - rest, self.columns)])
        hidden = None
        if self.kept_columns is not None:
            hidden = (~self.kept_columns).nonzero().flatten()
            if self.match is None and order is not None:
                order, first, last = self._without_hidden(order)
        kept = None if self.kept_rows is None else self.kept_rows.contiguous()
        return core.Relation(self.rows, self.columns, self.match, order, first, last, self.own, kept, hidden)

    def _ranges(self, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Columns by label, and where those of each row's label begin and end."""
        assert self.row_labels is not None
        ordered, order = labels.sort(stable=True)
        rows = self.row_labels.contiguous()
        return order, torch.searchsorted(ordered, rows), torch.searchsorted(ordered, rows, right=True)

    def _without_hidden(self, order: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same where columns that are left out are no positives either: they come last, in nobody's range."""
        assert self.kept_columns is not None and self.column_labels is not None
        known = self.kept_columns[: self.column_labels.shape[0]]
        kept, hidden = known.nonzero().flatten(), (~known).nonzero().flatten()
        among, first, last = self._ranges(self.column_labels[kept])
        return torch.cat([kept[among], hidden, order[known.shape[0] :]]), first, last
