"""Splits of the rows into those that a network learns from and those that it is judged by."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold, StratifiedGroupKFold

from .read import BadData
from .record import Rows

FEWEST_TO_LEARN = 6  # five to fit to, and one that decides when to stop


@dataclass(frozen=True, eq=False)
class Splitter:
    """Splits that keep what belongs together on one side, and the future out of the past."""

    rows: int
    codes: Rows | None = None
    """The class of each row: every split has its share of each."""
    groups: Rows | None = None
    """The group of each row, numbered from 0: no group is on both sides of a split."""
    moments: Rows | None = None
    """The place of each row's moment in time, numbered from 0: what is judged comes after all that is learned from."""

    @property
    def split(self) -> str:
        """How folds are made: `random`, `group`, `time` or `group and time`."""
        names = [("group", self.groups), ("time", self.moments)]
        return " and ".join(name for name, given in names if given is not None) or "random"

    def take(self, rows: Rows) -> "Splitter":
        """Of some rows alone, which are then numbered from 0."""
        codes, groups, moments = (
            None if given is None else np.unique(given[rows], return_inverse=True)[1]
            for given in (self.codes, self.groups, self.moments)
        )
        return Splitter(len(rows), codes, groups, moments)

    def sample(self, most: int, of_each: int, seed: int) -> Rows:
        """At most as many rows, in their order; of each class at least `of_each`, or all that there are."""
        rows = np.random.default_rng(seed).permutation(self.rows)
        if self.codes is not None:
            codes = self.codes[rows]
            order = np.argsort(codes, kind="stable")
            place = np.empty(self.rows, dtype=np.int64)
            place[order] = np.arange(self.rows) - np.searchsorted(codes[order], codes[order])
            rows = rows[np.argsort(place >= of_each, kind="stable")]
        return np.sort(rows[:most])

    def part(self, share: float, seed: int) -> tuple[Rows, Rows]:
        """The rest, and about a share of the rows to judge by: the latest moments, whole groups, or a share of each
        class. Neither is empty; where all rows are of one moment or group, rows are drawn.
        """
        generator = np.random.default_rng(seed)
        if self.moments is not None and self.moments.any():
            judged = self.moments >= _cuts(self.moments, [1 - share])[0]
        elif self.groups is not None and self.groups.any():
            shuffled = generator.permutation(self.groups.max() + 1)[self.groups]
            judged = shuffled < _cuts(shuffled, [share])[0]
            if abs(judged.mean() - share) > abs(1 - judged.mean() - share):  # the first was a large one
                judged = ~judged
        else:
            rows = generator.permutation(self.rows)
            if self.codes is not None:
                rows = rows[np.argsort(self.codes[rows], kind="stable")]
            judged = np.empty(self.rows, dtype=bool)
            judged[rows] = np.diff(np.floor(np.arange(self.rows + 1) * share)) > 0
        return np.flatnonzero(~judged), np.flatnonzero(judged)

    def apart(self, learned: Rows, judged: Rows) -> Rows:
        """The rows to learn from without those of a group that is judged by."""
        return learned if self.groups is None else learned[~np.isin(self.groups[learned], self.groups[judged])]

    def folds(self, folds: int, repeats: int, seed: int) -> list[tuple[Rows, Rows]]:
        """The rows to learn from and those to judge by, for each fold of each repeat. Time has one order, hence one
        repeat: of folds + 1 windows each but the first is judged after learning from all before it.
        """
        self._check(folds, repeats)
        if self.moments is not None:
            window = np.searchsorted(_cuts(self.moments, np.arange(1, folds + 1) / (folds + 1)), self.moments, "right")
            pairs = [(np.flatnonzero(window < each), np.flatnonzero(window == each)) for each in range(1, folds + 1)]
            pairs = [(self.apart(learned, judged), judged) for learned, judged in pairs]
        elif self.groups is not None:
            codes = np.zeros(self.rows, dtype=np.int64) if self.codes is None else self.codes
            pairs = []
            for repeat in range(repeats):
                splits = StratifiedGroupKFold(folds, shuffle=True, random_state=seed + repeat)
                pairs += list(splits.split(np.zeros(self.rows), codes, self.groups))
        else:
            kind = RepeatedKFold if self.codes is None else RepeatedStratifiedKFold
            splits = kind(n_splits=folds, n_repeats=repeats, random_state=seed)
            pairs = list(splits.split(np.zeros(self.rows), self.codes))
        fewest = min(len(learned) for learned, _ in pairs)
        if fewest < FEWEST_TO_LEARN:
            why = "; most groups are both in a window and before it: give the group or the time, not both"
            raise BadData(
                f"a fold has {fewest} rows to learn from, and at least {FEWEST_TO_LEARN} are needed"
                + (why if self.split == "group and time" else f"; ask for fewer than {folds} folds or give more rows")
            )
        return pairs

    def _check(self, folds: int, repeats: int) -> None:
        if repeats < 1:
            raise BadData(f"{repeats} repeats leave nothing to compare; ask for at least 1")
        if folds < 2:
            raise BadData(f"{folds} folds can't be told apart; ask for at least 2")
        if self.rows < folds:
            raise BadData(f"{self.rows} rows are fewer than the {folds} folds; ask for fewer folds or give more rows")
        if self.moments is not None:
            if (moments := int(self.moments.max()) + 1) <= folds:
                raise BadData(
                    f"the time has {moments} different values, and {folds} folds need {folds + 1}: one to learn from "
                    f"and one for each fold; ask for fewer folds or give a finer time"
                )
        elif self.groups is not None and (groups := int(self.groups.max()) + 1) < folds:
            raise BadData(
                f"the rows compared have {groups} groups, fewer than the {folds} folds; ask for at most {groups} folds "
                "or give a finer group"
            )
        elif self.codes is not None and (fewest := int(np.bincount(self.codes).min())) < folds:
            raise BadData(
                f"a class has {fewest} rows to compare on, fewer than the {folds} folds; ask for fewer folds, hold out "
                "fewer rows, or merge it with another class"
            )


def splitter(rows: int, codes: Rows | None, group: Any = None, time: Any = None) -> Splitter:
    """Reads one label for each row as its group, and one number or date as its time."""
    groups, moments = _places("group", group, rows), _places("time", time, rows)
    return Splitter(rows, codes, groups, moments)


def _places(name: str, given: Any, rows: int) -> Rows | None:
    """Each row's place among the different values, in their order, from 0."""
    if given is None:
        return None
    values = given if isinstance(given, pl.Series | list | tuple) else np.asarray(given)
    if isinstance(values, np.ndarray) and values.dtype == object:
        values = values.tolist()
    column = values if isinstance(values, pl.Series) else pl.Series(values, strict=False)
    if column.dtype.is_nested():
        raise BadData(f"the {name} holds {column.dtype} for each row; give one value for each")
    if len(column) != rows:
        raise BadData(f"the {name} has {len(column)} values for {rows} rows; give one for each row")
    missing = column.null_count() + (int(column.is_nan().sum()) if column.dtype.is_float() else 0)
    if missing:
        raise BadData(f"the {name} is missing in {missing} of {rows} rows; fill it in or leave those rows out")
    if name == "time" and not (column.dtype.is_numeric() or column.dtype.is_temporal()):
        raise BadData(
            f"the time holds values of type {column.dtype}; give numbers, dates or times, which have an order"
        )
    if column.n_unique() < 2:
        raise BadData(f"the {name} is {column[0]!r} in every row, which splits nothing; leave it out or give another")
    places: Rows = column.rank("dense").cast(pl.Int64).to_numpy() - 1
    return places


def _cuts(places: Rows, shares: Any) -> Rows:
    """For each share, ascending, a place with about that share of the rows before it; no two cuts are the same, and
    rows are left on both sides of each. There must be more places than shares.
    """
    before = np.bincount(places).cumsum()[:-1]
    wanted = np.asarray(shares) * len(places)
    nearest = np.array([np.abs(before - each).argmin() + 1 for each in wanted])
    steps = np.arange(len(wanted))
    rising = np.maximum.accumulate(nearest - steps) + steps
    last = len(before) - len(wanted) + 1
    cuts: Rows = np.minimum(rising, last + steps)
    return cuts
