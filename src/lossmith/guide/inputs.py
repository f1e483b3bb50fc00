"""The inputs: the columns that are no target, as numbers that a network takes."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ..card import Text
from .read import BadData

Array = NDArray[np.float64]
MOST_CATEGORIES = 50
LARGEST = 1e38  # float32 holds no more


@dataclass(frozen=True)
class Inputs:
    """One column of floats for each input: numbers, or codes of categories; NaN where missing."""

    names: tuple[str, ...]
    categorical: tuple[bool, ...]
    values: Array
    notes: tuple[Text, ...]

    @property
    def numbers(self) -> list[str]:
        """The inputs that are no categories; the design's first columns, in this order."""
        return [name for name, category in zip(self.names, self.categorical, strict=True) if not category]

    def take(self, rows: NDArray[np.int64]) -> "Inputs":
        return Inputs(self.names, self.categorical, self.values[rows], self.notes)

    def design(self, train: NDArray[np.int64]) -> Array:
        """All rows as a dense matrix: missing numbers as the median, numbers standardised, categories one-hot.
        Medians, means and spreads come from the rows in `train` alone.
        """
        is_category = np.array(self.categorical)
        steps = ColumnTransformer(
            [
                (
                    "numbers",
                    make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()),
                    np.flatnonzero(~is_category),
                ),
                ("categories", OneHotEncoder(handle_unknown="ignore"), np.flatnonzero(is_category)),
            ],
            sparse_threshold=0,
        )
        steps.fit(self.values[train])
        return np.asarray(steps.transform(self.values), dtype=np.float64)


def inputs(frame: pl.DataFrame) -> Inputs:
    """Every column of the frame that can inform a network; the notes say which were left out and what was missing."""
    names, categorical, columns, left_out = [], [], [], []
    for column in frame:
        values, is_category, reason = _encode(column)
        if values is None:
            left_out.append((column.name, reason))
            continue
        names.append(column.name)
        categorical.append(is_category)
        columns.append(values)
    en = ", ".join(f"{name} ({reason.en})" for name, reason in left_out)
    zh = "、".join(f"{name}（{reason.zh}）" for name, reason in left_out)
    if not columns:
        why = f": {en}" if left_out else "; the table has no column beside the target"
        raise BadData(f"no input column is left to learn from{why}")
    values = np.stack(columns, axis=1)
    notes = _missing(names, values)
    if left_out:
        notes.append(Text(f"inputs left out: {en}", f"未使用的输入：{zh}"))
    return Inputs(tuple(names), tuple(categorical), values, tuple(notes))


NO_REASON = Text("", "")


def _encode(column: pl.Series) -> tuple[Array | None, bool, Text]:
    """The column's floats, whether they are codes of categories, and why there are none."""
    dtype = column.dtype
    if column.null_count() == len(column):
        return None, False, Text("no value at all", "没有任何值")
    if column.n_unique() == 1:
        return None, False, Text("the same value in every row", "每行的值都相同")
    if dtype.is_numeric() or dtype == pl.Boolean or dtype.is_temporal():
        physical = column.to_physical() if dtype.is_temporal() else column
        values = physical.cast(pl.Float64).to_numpy().astype(np.float64)
        values[~(np.abs(values) < LARGEST)] = np.nan
        if np.isnan(values).all():
            return None, False, Text("no finite value", "没有有限的值")
        if len(values) > 2 and dtype.is_integer() and _counts_rows(values):
            return None, False, Text("a row number", "行号")
        return values, False, NO_REASON
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        text = column.cast(pl.String)
        categories = text.drop_nulls().n_unique()
        if categories > min(MOST_CATEGORIES, max(2, len(text) // 3)):
            return None, True, Text(f"text with {categories} different values", f"文本，有 {categories} 个不同的值")
        codes = text.rank("dense").cast(pl.Float64).to_numpy().astype(np.float64)
        return codes, True, NO_REASON
    return None, False, Text(f"values of type {dtype}", f"值的类型为 {dtype}")


def _counts_rows(values: Array) -> bool:
    """Whole numbers that only rise, with few left out: they would tell a sorted table's target by its place."""
    return bool(np.all(np.diff(values) >= 1) and values[-1] - values[0] < 2 * len(values))


def _missing(names: list[str], values: Array) -> list[Text]:
    holes = np.isnan(values).sum(axis=0)
    if not holes.any():
        return []
    where = [f"{name} {count}" for name, count in zip(names, holes, strict=True) if count]
    more = len(where) - 6
    en = ", ".join(where[:6]) + (f" and {more} more" if more > 0 else "")
    zh = "、".join(where[:6]) + (f" 等另外 {more} 列" if more > 0 else "")
    return [
        Text(
            f"missing input values: {holes.sum()} ({en}); numbers are filled with the median of the training rows, "
            "a missing category counts as a category of its own",
            f"缺失的输入值：{holes.sum()} 个（{zh}）；数值用训练行的中位数填补，缺失的类别自成一类",
        )
    ]
