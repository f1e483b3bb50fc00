"""Reads the table: a file, a bundled set or what Python holds, with an error of one line for what cannot be used."""

import csv
import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from ..card import Text

MISSING = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "?")
SEPARATORS = (",", ";", "\t", "|")
DATES = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y")
MOST_ROWS = 100_000  # of larger tables a sample is drawn before anything else is done
MOST_CLASSES = 1_000  # of a target with no more different values the sample keeps a few rows of each
FEWEST_OF_A_CLASS = 5  # one for each fold
PLACE = "place in the table"  # a name that no column of a table has


class BadData(ValueError):
    """The data can't be used; the message is one line that says what was found and what to do."""


@dataclass(frozen=True)
class Table:
    """The rows that have a target, or a sample of them; the notes say what was left out on the way."""

    name: str
    frame: pl.DataFrame
    target: tuple[str, ...]
    group: str | None = None
    time: str | None = None
    notes: tuple[Text, ...] = ()

    @property
    def features(self) -> list[str]:
        return [name for name in self.frame.columns if name not in (*self.target, self.group, self.time)]


def read(
    data: Any, target: Any = None, *, group: Any = None, time: Any = None, seed: int = 0, without_target: bool = False
) -> Table:
    """The table of a CSV, TSV or Parquet file, of a bundled set by its name, or of what Python holds.

    Args:
        data: a path, a bundled set's name, a DataFrame (polars, pandas), a dictionary of columns, or rows: an array, a
            tensor, a list.
        target: the name of a column, or several names; or the values, one (or several) for each row.
        group: a column's name, or one value for each row.
        time: likewise.
        seed: fixes the sample that is drawn of a table with more than 100,000 rows.
        without_target: whether the rows, such as triplets, have no target.

    Raises:
        BadData: the table can't be read or doesn't fit the target.
    """
    source = _source(data)
    try:
        source, named = source.with_values(target=target, group=group, time=time)
        chosen = () if without_target else _columns(source, named["target"])
        group, time = (_column(source, named[option], option) for option in ("group", "time"))
        return _rows(source, chosen, group, time, seed)
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise BadData(f"{data}: can't be opened ({reason}); check the path and its permissions") from None
    except pl.exceptions.PolarsError as error:
        reason = str(error).strip().splitlines()[0]
        if "more fields" in reason:
            reason = "a row has more fields than the header has columns"
        raise BadData(f"{data}: can't be read as {source.kind} ({reason})") from None


@dataclass(frozen=True)
class _Source:
    """Where rows come from, before they are read."""

    name: str
    kind: str
    rows: pl.LazyFrame
    target: tuple[str, ...] = ()  # what is predicted if nobody says what
    text: bool = False  # whether every value is text that has to be understood
    notes: tuple[Text, ...] = ()

    @property
    def columns(self) -> list[str]:
        return self.rows.collect_schema().names()

    def with_values(self, **given: Any) -> tuple["_Source", dict[str, Any]]:
        """Values that Python holds become columns; what is given then names columns alone."""
        named = {option: what for option, what in given.items() if what is None or self._names(what)}
        if len(named) == len(given):
            return self, named
        frame = self.rows.collect()
        for option, what in given.items():
            if option in named:
                continue
            default = "y" if option == "target" else option
            values, notes = _frame(what, option, default)
            if values.height != frame.height:
                raise BadData(
                    f"the {option} has {values.height} rows and the data has {frame.height}; give one for each row"
                )
            taken = set(frame.columns)
            values = values.rename({name: _free(name, taken) for name in values.columns})
            frame = frame.hstack(values)
            named[option] = values.columns if option == "target" else values.columns[0]
        return _Source(self.name, self.kind, frame.lazy(), self.target, self.text, (*self.notes, *notes)), named

    def _names(self, given: Any) -> bool:
        """Whether it names columns, rather than holding values."""
        if isinstance(given, str):
            return True
        strings = isinstance(given, list | tuple) and all(isinstance(each, str) for each in given)
        return strings and (self.kind != "data" or set(given) <= set(self.columns))

    def collect(self, rows: pl.LazyFrame) -> pl.DataFrame:
        frame = rows.collect(engine="streaming")
        return frame.with_columns(_understood(column) for column in frame) if self.text else frame


def _free(name: str, taken: set[str]) -> str:
    """The name, or one like it that no other column has."""
    number, free = 0, name
    while free in taken:
        free, number = f"{name}_duplicated_{number}", number + 1
    taken.add(free)
    return free


def _columns(source: _Source, target: str | Sequence[str] | None) -> tuple[str, ...]:
    if target is None:
        if not source.target:
            how, listed = "target=" if source.kind == "data" else "--target", _listed(source.columns)
            raise BadData(f"{source.name}: say which column to predict with {how}; its columns are {listed}")
        return source.target
    if isinstance(target, str):
        target = (target,) if target in source.columns else [part.strip() for part in target.split(",")]
    for column in target:
        _column(source, column, "target")
        if list(target).count(column) > 1:
            raise BadData(f"{source.name}: column {column!r} is named twice in the target; name each column once")
    if not target:
        raise BadData(f"{source.name}: the target names no column; its columns are {_listed(source.columns)}")
    return tuple(target)


def _column(source: _Source, name: str | None, option: str) -> str | None:
    """The name, which must be a column's."""
    if name is None or name in source.columns:
        return name
    columns = {column.lower(): column for column in source.columns}
    near = difflib.get_close_matches(name.lower(), columns, 1)
    hint = f"did you mean {columns[near[0]]!r}? Its" if near else "its"
    raise BadData(f"{source.name}: has no column {name!r}; {hint} columns are {_listed(source.columns)}")


def _listed(columns: Sequence[str], most: int = 12) -> str:
    names = ", ".join(columns[:most])
    more = len(columns) - most
    return f"{names} and {more} more" if more > 0 else names


# Rows


def _rows(source: _Source, target: tuple[str, ...], group: str | None, time: str | None, seed: int) -> Table:
    """The rows that have a target; of many, a sample. Only the target is read for all rows."""
    wanted = source.collect(source.rows.select(target))
    height = wanted.height if target else int(source.rows.select(pl.len()).collect().item())
    if height == 0:
        raise BadData(f"{source.name}: has a header but no rows; give a table with at least one row for each example")
    present = np.ones(height, dtype=bool)
    for column in wanted:
        has = column.is_not_null()
        if column.dtype.is_float():
            has &= column.is_finite().fill_null(False)
        if not has.any():
            raise BadData(f"target {column.name!r} has no value at all; every row is missing")
        present &= has.to_numpy()
    rows = np.flatnonzero(present)
    kept = _sample(rows, wanted, seed) if len(rows) > MOST_ROWS else rows
    if len(kept) < height:
        numbered = source.rows.with_row_index(PLACE)
        chosen = pl.Series(kept, dtype=pl.get_index_type())
        frame = source.collect(numbered.filter(pl.col(PLACE).is_in(chosen.implode())).sort(PLACE).drop(PLACE))
    else:
        frame = source.collect(source.rows)
    frame = frame.with_columns(wanted[kept] if target else [])
    inputs = frame.width - len({*target, group, time} - {None})
    en = f"; {_plural('target column', len(target))}: {', '.join(target)}" if target else ""
    zh = f"；目标列：{'、'.join(target)}" if target else ""
    notes = [
        Text(
            f"{source.name}: {len(rows):,} rows, {inputs} {_plural('input column', inputs)}{en}",
            f"{source.name}：{len(rows):,} 行，{inputs} 个输入列{zh}",
        )
    ]
    for option, chinese, splits in (("group", "分组", group), ("time", "时间", time)):
        if splits:
            notes.append(
                Text(
                    f"{option} column: {splits}; it splits the rows and is no input",
                    f"{chinese}列：{splits}；它用于划分行，不作为输入",
                )
            )
    if missing := height - len(rows):
        notes.append(
            Text(
                f"missing target values: {missing:,} rows have none and are left out",
                f"缺失的目标值：{missing:,} 行没有目标值，已略去",
            )
        )
    if len(kept) < len(rows):
        notes.append(
            Text(
                f"a sample of {len(kept):,} of these rows is looked at; every number below comes from it",
                f"只查看其中 {len(kept):,} 行的样本；下面的所有数字都来自这个样本",
            )
        )
    return Table(source.name, frame, target, group, time, (*notes, *source.notes))


def _plural(noun: str, number: int) -> str:
    return noun if number == 1 else f"{noun}s"


def _sample(rows: NDArray[np.int64], wanted: pl.DataFrame, seed: int) -> NDArray[np.int64]:
    """A random sample of the rows that keeps a few of each class."""
    shuffled = np.random.default_rng(seed).permutation(rows)
    first: NDArray[np.int64] = shuffled[:0]
    if wanted.width == 1 and wanted.to_series().n_unique() <= MOST_CLASSES:
        values = wanted.to_series().rank("dense").fill_null(0).to_numpy()[shuffled]
        order = np.argsort(values, kind="stable")
        within = np.arange(len(order)) - np.searchsorted(values[order], values[order])
        first = shuffled[order[within < FEWEST_OF_A_CLASS]]
    others = shuffled[~np.isin(shuffled, first)]
    return np.sort(np.concatenate([first, others])[:MOST_ROWS])


# Files


def _source(data: Any) -> _Source:
    if isinstance(data, str) and data in BUNDLED:
        frame, default = _bundled(data)
        return _Source(data, "a bundled set", frame.lazy(), default)
    if isinstance(data, str | Path):
        return _file(Path(data))
    frame, notes = _frame(data, "data", "x")
    return _Source("data", "data", frame.lazy(), notes=notes)


def _file(path: Path) -> _Source:
    if not path.exists():
        sets = ", ".join(BUNDLED)
        raise BadData(f"{path}: no such file; give a CSV, TSV or Parquet file, or one of the bundled sets: {sets}")
    if path.is_dir():
        raise BadData(f"{path}: is a directory; give a CSV, TSV or Parquet file")
    kinds = {".csv": "CSV", ".tsv": "TSV", ".parquet": "Parquet"}
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise BadData(f"{path}: its name says neither CSV, TSV nor Parquet; give a .csv, .tsv or .parquet file")
    if kind == "Parquet":
        return _Source(path.name, kind, pl.scan_parquet(path, glob=False))
    try:
        _require_utf8(path)
        separator, names = _header(path, "\t" if kind == "TSV" else None)
    except OSError as error:
        raise BadData(f"{path}: can't be opened ({error.strerror}); check the path and its permissions") from None
    if not names:
        raise BadData(f"{path}: is empty; the first line must name the columns")
    taken: set[str] = set()
    free = [_free(name.strip(), taken) for name in names]
    # Everything is read as text and understood by the sample: a type that is guessed from the first rows may be wrong.
    rows = pl.scan_csv(path, separator=separator, infer_schema=False, glob=False, with_column_names=lambda _: free)
    return _Source(path.name, kind, rows, text=True, notes=_duplicates(names, free))


def _duplicates(names: Sequence[str], free: Sequence[str]) -> tuple[Text, ...]:
    again = [(name.strip(), new) for name, new in zip(names, free, strict=True) if name.strip() != new]
    return tuple(
        Text(
            f"two columns are named {name!r}; the later one is called {new!r} here",
            f"有两列都叫 {name!r}；这里把后一列称为 {new!r}",
        )
        for name, new in again
    )


def _require_utf8(path: Path) -> None:
    with path.open("rb") as file:
        for number, lines in _blocks(file):
            try:
                lines.decode()
            except UnicodeDecodeError as error:
                line = number + lines[: error.start].count(b"\n")
                found = f"byte 0x{lines[error.start]:02X} in line {line}"
                raise BadData(f"{path}: is not UTF-8 ({found}); save it as UTF-8") from None


def _blocks(file: Any, size: int = 1 << 24) -> Iterator[tuple[int, bytes]]:
    """Whole lines of a file, many at once, with the number of the first."""
    number = 1
    while block := file.read(size) + file.readline():
        yield number, block
        number += block.count(b"\n")


def _header(path: Path, separator: str | None) -> tuple[str, list[str]]:
    """The separator that splits the header into most columns, and their names; files named .csv often hold semicolons
    or tabs.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = file.readline()

    def names(separator: str) -> list[str]:
        return next(csv.reader([header], delimiter=separator), [])

    separator = separator or max(SEPARATORS, key=lambda each: len(names(each)))
    return separator, names(separator)


def _understood(column: pl.Series) -> pl.Series:
    """Text without the blanks around it; as numbers, booleans or dates where all of it is."""
    column = column.str.strip_chars()
    column = column.set(column.is_in(list(MISSING)), None)
    for dtype in (pl.Int64, pl.Float64):
        try:
            return column.cast(dtype)
        except pl.exceptions.PolarsError:
            continue
    values = column.drop_nulls()
    if values.str.to_lowercase().is_in(["true", "false"]).all():
        return column.str.to_lowercase() == "true"
    if not values.head(20).str.contains(r"^\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}").all():
        return column
    for form in DATES:
        try:
            return column.str.to_date(form)
        except pl.exceptions.PolarsError:
            continue
    for zone in (None, "UTC"):
        try:
            return column.str.to_datetime(time_zone=zone)
        except pl.exceptions.PolarsError:
            continue
    return column


# What Python holds


def _frame(data: Any, option: str, default: str) -> tuple[pl.DataFrame, tuple[Text, ...]]:
    """Rows or columns as a polars DataFrame; columns without a name are called `default` and numbered from 0."""
    if isinstance(data, pl.LazyFrame):
        data = data.collect()
    if isinstance(data, pl.DataFrame):
        return data, ()
    if isinstance(data, pl.Series):
        return data.to_frame(data.name or default), ()
    if hasattr(data, "iloc"):
        return _pandas(data if hasattr(data, "columns") else data.to_frame(data.name or default))
    if isinstance(data, Mapping):
        named = {str(name): _frame(values, option, default)[0].to_series() for name, values in data.items()}
        if len(lengths := {column.len() for column in named.values()}) > 1:
            raise BadData(
                f"the columns have different lengths, from {min(lengths)} to {max(lengths)}; give as many rows"
            )
        return pl.DataFrame(named), ()
    array = _array(data, option)
    if array.ndim not in (1, 2):
        hint = "; flatten each example, as in X.reshape(len(X), -1)" if array.ndim > 2 else ""
        raise BadData(f"the {option} has shape {array.shape}, expected (rows, columns){hint}")
    columns = list(array.T) if array.ndim == 2 else [array]
    alone = len(columns) == 1 and default != "x"
    named = {default if alone else f"{default}{place}": _series(values) for place, values in enumerate(columns)}
    return pl.DataFrame(named), ()


def _array(data: Any, option: str) -> NDArray[Any]:
    if isinstance(data, torch.Tensor):
        data = data.detach().cpu()
        return np.asarray(data.float() if data.dtype in (torch.bfloat16, torch.float16) else data)
    try:
        array = np.asarray(data)
        return np.asarray(data, dtype=object) if array.dtype.kind in "US" and isinstance(data, list | tuple) else array
    except ValueError:
        raise BadData(f"the {option} has rows of different lengths; give the same columns in each") from None


def _series(values: NDArray[Any]) -> pl.Series:
    return (
        pl.Series(values.tolist(), strict=False)
        if values.dtype.kind in "OUS"
        else pl.Series(np.ascontiguousarray(values))
    )


def _pandas(data: Any) -> tuple[pl.DataFrame, tuple[Text, ...]]:
    """Column by column: polars converts pandas' own types with pyarrow alone, which few have."""
    taken: set[str] = set()
    names = [str(name) for name in data.columns]
    free = [_free(name, taken) for name in names]
    columns = {}
    for place, name in enumerate(free):
        column = data.iloc[:, place]
        values = column.to_numpy()
        if values.dtype.kind not in "biufM":
            holes = column.isna().to_numpy()
            listed = [None if hole else value for hole, value in zip(holes, values.tolist(), strict=True)]
            columns[name] = pl.Series(listed, strict=False)
        else:
            columns[name] = pl.Series(values)
    return pl.DataFrame(columns), _duplicates(names, free)


# Bundled sets


def _bundled(name: str) -> tuple[pl.DataFrame, tuple[str, ...]]:
    import sklearn.datasets

    options: dict[str, Any] = {"scaled": False} if name == "diabetes" else {}
    loaded = getattr(sklearn.datasets, f"load_{name}")(**options)
    values: dict[str, Any] = dict(zip(loaded.feature_names, np.asarray(loaded.data, dtype=float).T, strict=True))
    if name == "linnerud":
        default = tuple(loaded.target_names)
        values.update(zip(default, loaded.target.T, strict=True))
    else:
        default = ("target",)
        named = name in ("breast_cancer", "wine", "iris")
        values["target"] = [str(loaded.target_names[code]) for code in loaded.target] if named else loaded.target
    return pl.DataFrame(values), default


BUNDLED = ("diabetes", "breast_cancer", "digits", "wine", "iris", "linnerud")
