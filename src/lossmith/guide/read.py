"""Reads the table: a file or a bundled set through polars, with an error of one line for what cannot be used."""

import csv
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

MISSING = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "?")
SEPARATORS = (",", ";", "\t", "|")


class BadData(ValueError):
    """The data can't be used; the message is one line that says what was found and what to do."""


@dataclass(frozen=True)
class Table:
    """A table and the columns of it that are the target."""

    name: str
    frame: pl.DataFrame
    target: tuple[str, ...]

    @property
    def features(self) -> list[str]:
        return [name for name in self.frame.columns if name not in self.target]


def read(data: str | Path, target: str | Sequence[str] | None = None) -> Table:
    """The table of a CSV, TSV or Parquet file, or of a bundled set by its name."""
    if str(data) in BUNDLED:
        frame, default = _bundled(str(data))
        name = str(data)
    else:
        frame, default = _file(Path(data)), ()
        name = Path(data).name
    if frame.height == 0:
        raise BadData(f"{name}: has a header but no rows; give a table with at least one row for each example")
    return Table(name, frame, _columns(name, frame, target, default))


def _columns(
    name: str, frame: pl.DataFrame, target: str | Sequence[str] | None, default: tuple[str, ...]
) -> tuple[str, ...]:
    if target is None:
        if not default:
            raise BadData(f"{name}: say which column to predict with --target; its columns are {_listed(frame)}")
        return default
    if isinstance(target, str):
        target = (target,) if target in frame.columns else [part.strip() for part in target.split(",")]
    for column in target:
        if column not in frame.columns:
            near = difflib.get_close_matches(column, frame.columns, 1)
            hint = f"did you mean {near[0]!r}? Its" if near else "its"
            raise BadData(f"{name}: has no column {column!r}; {hint} columns are {_listed(frame)}")
        if list(target).count(column) > 1:
            raise BadData(f"{name}: column {column!r} is named twice in the target; name each column once")
    if not target:
        raise BadData(f"{name}: the target names no column; its columns are {_listed(frame)}")
    return tuple(target)


def _listed(frame: pl.DataFrame, most: int = 12) -> str:
    names = ", ".join(frame.columns[:most])
    more = len(frame.columns) - most
    return f"{names} and {more} more" if more > 0 else names


# Files


def _file(path: Path) -> pl.DataFrame:
    if not path.exists():
        sets = ", ".join(BUNDLED)
        raise BadData(f"{path}: no such file; give a CSV, TSV or Parquet file, or one of the bundled sets: {sets}")
    if path.is_dir():
        raise BadData(f"{path}: is a directory; give a CSV, TSV or Parquet file")
    kinds = {".csv": "CSV", ".tsv": "TSV", ".parquet": "Parquet"}
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise BadData(f"{path}: its name says neither CSV, TSV nor Parquet; give a .csv, .tsv or .parquet file")
    try:
        return pl.read_parquet(path) if kind == "Parquet" else _text(path, kind)
    except OSError as error:
        raise BadData(
            f"{path}: can't be opened ({error.strerror or error}); check the path and its permissions"
        ) from None
    except pl.exceptions.NoDataError:
        raise BadData(f"{path}: is empty; the first line must name the columns") from None
    except pl.exceptions.PolarsError as error:
        reason = str(error).strip().splitlines()[0]
        if "more fields" in reason:
            reason = "a row has more fields than the header has columns"
        raise BadData(f"{path}: can't be read as {kind} ({reason})") from None


def _text(path: Path, kind: str) -> pl.DataFrame:
    _require_utf8(path)
    frame = pl.read_csv(
        path,
        separator="\t" if kind == "TSV" else _separator(path),
        infer_schema_length=None,
        null_values=list(MISSING),
    )
    frame = frame.rename({name: name.strip() for name in frame.columns})
    return frame.with_columns(_trimmed(frame[name]) for name, dtype in frame.schema.items() if dtype == pl.String)


def _require_utf8(path: Path) -> None:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                found = f"byte 0x{line[error.start]:02X} in line {number}"
                raise BadData(f"{path}: is not UTF-8 ({found}); save it as UTF-8") from None


def _separator(path: Path) -> str:
    """The separator that splits the header into most columns; files named .csv often hold semicolons or tabs."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = file.readline()
    return max(SEPARATORS, key=lambda separator: len(next(csv.reader([header], delimiter=separator), [])))


def _trimmed(column: pl.Series) -> pl.Series:
    """Text without the blanks around it, as numbers where all of it is numbers ("a, b" files)."""
    column = column.str.strip_chars()
    column = column.set(column.is_in(list(MISSING)), None)
    for dtype in (pl.Int64, pl.Float64):
        try:
            return column.cast(dtype)
        except pl.exceptions.PolarsError:
            continue
    return column


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
