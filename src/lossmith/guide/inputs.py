"""The inputs: the columns that are no target, as numbers that a network takes."""

import re
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
MOST_CATEGORIES = 50  # of a column; the rarer ones count as one
LARGEST = 1e38  # float32 holds no more
WORDS = 3.0  # words in a value, on average, from which text is sentences and no name
ID_WORDS = {"id", "ids", "uid", "uuid", "guid", "key", "index", "idx", "rowid", "serial"}


@dataclass(frozen=True)
class Inputs:
    """One column of floats for each input: numbers, or codes of categories; NaN where missing.

    The values are of shape (rows, inputs); of pairs and triplets (rows, examples, inputs), and so is their design.
    """

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
        """All rows as a dense matrix: missing numbers as the median, numbers standardised, categories one-hot, the
        rarest of many as one. Medians, means, spreads and which are rare come from the rows in `train` alone.
        """
        is_category = np.array(self.categorical)
        categories = OneHotEncoder(max_categories=MOST_CATEGORIES, handle_unknown="infrequent_if_exist")
        steps = ColumnTransformer(
            [
                (
                    "numbers",
                    make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()),
                    np.flatnonzero(~is_category),
                ),
                ("categories", categories, np.flatnonzero(is_category)),
            ],
            sparse_threshold=0,
        )
        width = self.values.shape[-1]
        steps.fit(self.values[train].reshape(-1, width))
        design = np.asarray(steps.transform(self.values.reshape(-1, width)), dtype=np.float64)
        return design.reshape(*self.values.shape[:-1], -1)


def inputs(frame: pl.DataFrame) -> Inputs:
    """Every column of the frame that can inform a network; the notes say which were left out, what was made of dates
    and of many categories, and what was missing.
    """
    columns: list[_Column] = []
    left_out: list[tuple[str, Text]] = []
    dates: list[str] = []
    for column in frame:
        if column.dtype in (pl.Date, pl.Datetime) and column.n_unique() > 1:
            dates.append(column.name)
            parts = [_encode(part) for part in _parts(column)]
            columns += [part for part in parts if isinstance(part, _Column)]
            continue
        found = _encode(column)
        if isinstance(found, _Column):
            columns.append(found)
        else:
            left_out.append((column.name, found))
    en = ", ".join(f"{name} ({reason.en})" for name, reason in left_out)
    zh = "、".join(f"{name}（{reason.zh}）" for name, reason in left_out)
    if not columns:
        why = f": {en}" if left_out else "; the table has no column beside the target"
        raise BadData(f"no input column is left to learn from{why}")
    notes = [*_missing(columns), *_infinite(columns), *_made_of(dates), *_grouped(columns)]
    if left_out:
        notes.append(Text(f"inputs left out: {en}", f"未使用的输入：{zh}"))
    return Inputs(
        tuple(column.name for column in columns),
        tuple(column.categories > 0 for column in columns),
        np.stack([column.values for column in columns], axis=1),
        tuple(notes),
    )


@dataclass(frozen=True)
class _Column:
    """An input as floats; of a category the code, NaN where missing."""

    name: str
    values: Array
    categories: int = 0
    infinite: int = 0


def _encode(column: pl.Series) -> _Column | Text:
    """The column as floats, or why it is no input."""
    dtype = column.dtype
    if column.null_count() == len(column):
        return Text("no value at all", "没有任何值")
    if dtype.is_nested() or dtype in (pl.Object, pl.Binary):
        return Text(f"values of type {dtype}", f"值的类型为 {dtype}")
    distinct = column.n_unique()
    if distinct == 1:
        return Text("the same value in every row", "每行的值都相同")
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return _category(column.cast(pl.String))
    if not (dtype.is_numeric() or dtype == pl.Boolean or dtype.is_temporal()):
        return Text(f"values of type {dtype}", f"值的类型为 {dtype}")
    physical = column.to_physical() if dtype.is_temporal() else column
    values = physical.cast(pl.Float64).to_numpy().astype(np.float64)
    infinite = np.abs(values) >= LARGEST
    values[infinite] = np.nan
    if np.isnan(values).all():
        return Text("no finite value", "没有有限的值")
    if len(values) > 2 and dtype.is_integer():
        if _counts_rows(values):
            return Text("a row number", "行号")
        if distinct == len(values) and _named_id(column.name):
            return Text("an id: another number in every row", "编号：每行的数都不同")
    return _Column(column.name, values, infinite=int(infinite.sum()))


def _category(text: pl.Series) -> _Column | Text:
    """Text as codes of categories, unless it is free text or an id."""
    values = text.drop_nulls()
    categories = values.n_unique()
    if categories > max(2, len(text) // 3):
        if float(np.mean(values.str.count_matches(r"\S+").to_numpy())) >= WORDS:
            return Text(f"free text with {categories:,} different values", f"自由文本，有 {categories:,} 个不同的值")
        return Text(
            f"names or ids: text with {categories:,} different values", f"名称或编号：文本有 {categories:,} 个不同的值"
        )
    codes = text.rank("dense").cast(pl.Float64).to_numpy().astype(np.float64)
    return _Column(text.name, codes, categories)


def _named_id(name: str) -> bool:
    return bool(ID_WORDS & set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())))


def _counts_rows(values: Array) -> bool:
    """Whole numbers that only rise, with few left out: they would tell a sorted table's target by its place."""
    return bool(np.all(np.diff(values) >= 1) and values[-1] - values[0] < 2 * len(values))


def _parts(date: pl.Series) -> list[pl.Series]:
    """What a date tells: how late it is, and where in the week, the year and the day."""
    days = date.dt.epoch("d").cast(pl.Float64)  # floats: a day that only rises is no row number
    parts = {"day": days, "weekday": date.dt.weekday(), "month": date.dt.month()}
    if date.dtype == pl.Datetime:
        parts["hour"] = date.dt.hour() + date.dt.minute() / 60
    return [part.alias(f"{date.name} ({name})") for name, part in parts.items()]


# Notes


def _missing(columns: list[_Column]) -> list[Text]:
    holes = {column.name: int(np.isnan(column.values).sum()) - column.infinite for column in columns}
    holes = {name: count for name, count in holes.items() if count}
    if not holes:
        return []
    where = _listed([f"{name} {count}" for name, count in holes.items()])
    return [
        Text(
            f"missing input values: {sum(holes.values())} ({where.en}); numbers are filled with the median of the "
            "training rows, a missing category counts as a category of its own",
            f"缺失的输入值：{sum(holes.values())} 个（{where.zh}）；数值用训练行的中位数填补，缺失的类别自成一类",
        )
    ]


def _infinite(columns: list[_Column]) -> list[Text]:
    where = _listed([f"{column.name} {column.infinite}" for column in columns if column.infinite])
    if not where.en:
        return []
    return [
        Text(
            f"infinite input values, or too large for float32: {where.en}; they are treated as missing",
            f"无穷大或超出 float32 范围的输入值：{where.zh}；按缺失处理",
        )
    ]


def _made_of(dates: list[str]) -> list[Text]:
    where = _listed(dates)
    if not dates:
        return []
    return [
        Text(
            f"dates: {where.en} became day number, weekday and month (and hour, where there is a time)",
            f"日期：{where.zh} 转为天数、星期几和月份（有时刻的还有小时）",
        )
    ]


def _grouped(columns: list[_Column]) -> list[Text]:
    where = _listed(
        [f"{column.name} {column.categories:,}" for column in columns if column.categories > MOST_CATEGORIES]
    )
    if not where.en:
        return []
    return [
        Text(
            f"many categories: {where.en}; the {MOST_CATEGORIES - 1} most frequent of each are kept, the others count "
            "as one",
            f"类别很多：{where.zh}；各保留最常见的 {MOST_CATEGORIES - 1} 个，其余合为一类",
        )
    ]


def _listed(names: list[str], most: int = 6) -> Text:
    more = len(names) - most
    en, zh = ", ".join(names[:most]), "、".join(names[:most])
    return Text(f"{en} and {more} more", f"{zh} 等另外 {more} 列") if more > 0 else Text(en, zh)
