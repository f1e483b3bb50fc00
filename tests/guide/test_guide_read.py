"""Reading tables: formats, bundled sets, missing values, and errors of one line."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lossmith.guide.inputs import inputs
from lossmith.guide.read import BUNDLED, BadData, read

ROWS = {"a": [1.5, 2.5, 3.5], "b": ["u", "v", "u"], "y": [1, 2, 3]}


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "CSV"])
def test_a_file_is_read_by_its_kind(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"table.{kind}"
    frame = pl.DataFrame(ROWS)
    if kind == "parquet":
        frame.write_parquet(path)
    else:
        frame.write_csv(path, separator="\t" if kind == "tsv" else ",")
    table = read(path, "y")
    assert table.frame.to_dict(as_series=False) == ROWS
    assert table.features == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    [
        "a,b,y\n1.5,u,1\n2.5,v,2\n3.5,u,3\n",
        "\ufeffa,b,y\n1.5,u,1\n2.5,v,2\n3.5,u,3\n",
        "a;b;y\r\n1.5;u;1\r\n2.5;v;2\r\n3.5;u;3\r\n",
        "a\tb\ty\n1.5\tu\t1\n2.5\tv\t2\n3.5\tu\t3\n",
        "a, b, y\n1.5, u, 1\n2.5, v, 2\n3.5, u, 3\n",
        '"a","b","y"\n"1.5","u","1"\n"2.5","v","2"\n"3.5","u","3"\n',
    ],
    ids=["commas", "byte order mark", "semicolons", "tabs", "blanks", "quotes"],
)
def test_a_csv_file_as_programs_write_it(saved, text: str) -> None:
    assert read(saved(text), "y").frame.to_dict(as_series=False) == ROWS


@pytest.mark.parametrize("hole", ["", "NA", "NaN", "nan", "N/A", "NULL", "null", "?"])
def test_missing_values(saved, hole: str) -> None:
    table = read(saved(f"a,b,y\n1.5,u,1\n{hole},{hole},2\n7,{hole},{hole}\n"), "y")
    assert table.frame.row(1) == (None, None, 2)
    assert table.frame.height == 2  # a row without a target is left out
    assert table.notes[1].en == "missing target values: 1 rows have none and are left out"
    assert table.frame.schema["a"] == pl.Float64


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_sets_have_a_target(name: str) -> None:
    table = read(name)
    assert table.target == (("Weight", "Waist", "Pulse") if name == "linnerud" else ("target",))
    assert set(table.target) <= set(table.frame.columns)
    assert not any(table.frame.null_count().row(0))


def test_a_target_may_be_chosen() -> None:
    assert read("diabetes", "bmi").target == ("bmi",)
    assert read("linnerud", "Weight, Pulse").target == ("Weight", "Pulse")
    assert read("linnerud", ["Weight", "Pulse"]).features == ["Chins", "Situps", "Jumps", "Waist"]


def test_a_column_with_a_comma_in_its_name(saved) -> None:
    assert read(saved('a,"x,y"\n1,2\n3,4\n'), "x,y").target == ("x,y",)


@pytest.mark.parametrize(
    ("content", "target", "said"),
    [
        ("", "y", "is empty; the first line must name the columns"),
        ("a,y\n", "y", "has a header but no rows"),
        ("a,y\n1,2\n", None, "say which column to predict with --target; its columns are a, y"),
        ("a,price\n1,2\n", "pirce", "has no column 'pirce'; did you mean 'price'? Its columns are a, price"),
        ("a,y\n1,2\n", "zzz", "has no column 'zzz'; its columns are a, y"),
        ("a,y\n1,2\n", "y,y", "column 'y' is named twice"),
        ("a,y\n1,2\n", "y,zzz", "has no column 'zzz'"),
        (b"a,y\n1,caf\xe9\n", "y", "is not UTF-8 (byte 0xE9 in line 2); save it as UTF-8"),
        ("a,y\n1,2\n".encode("utf-16"), "y", "is not UTF-8 (byte 0xFF in line 1)"),
        ("a,y\n1,2\n3,4,5\n", "y", "a row has more fields than the header has columns"),
    ],
)
def test_what_can_not_be_read_is_said_in_one_line(saved, content: str | bytes, target: str | None, said: str) -> None:
    path = saved(content)
    with pytest.raises(BadData) as error:
        read(path, target)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_none(tmp_path: Path, saved) -> None:
    with pytest.raises(BadData, match=r"no such file.*bundled sets: diabetes"):
        read(tmp_path / "none.csv", "y")
    with pytest.raises(BadData, match="is a directory"):
        read(tmp_path, "y")
    with pytest.raises(BadData, match=r"give a \.csv, \.tsv or \.parquet file"):
        read(saved("a", "table.xlsx"), "y")
    with pytest.raises(BadData, match="can't be read as Parquet"):
        read(saved("not parquet", "table.parquet"), "y")


def test_inputs_become_numbers() -> None:
    frame = pl.DataFrame(
        {
            "number": [1.0, None, 3.0, 5.0, 7.0, float("inf")],
            "flag": [True, False, True, True, False, True],
            "group": ["u", "v", None, "u", "v", "u"],
        }
    )
    found = inputs(frame)
    assert found.numbers == ["number", "flag"]
    assert tuple(note.en for note in found.notes) == (
        "missing input values: 3 (number 2, group 1); numbers are filled with the median of the training rows, "
        "a missing category counts as a category of its own",
    )
    train = np.array([0, 2, 3])
    design = found.design(train)
    assert design.shape == (6, 4)  # two numbers, and the categories of the training rows: u and missing
    assert np.isfinite(design).all()
    assert design[train].mean(axis=0)[:2] == pytest.approx(0)
    assert design[1, 0] == pytest.approx(0)  # the median of 1, 3 and 5 is their mean
    assert design[4, 2:].tolist() == [0, 0]  # v is unknown to the training rows


def test_inputs_that_say_nothing_are_left_out_with_a_word() -> None:
    frame = pl.DataFrame(
        {
            "use": [3.0, 1.0, 2.0, 5.0],
            "same": [1, 1, 1, 1],
            "none": [None] * 4,
            "row": [10, 11, 13, 14],
            "name": ["a", "b", "c", "d"],
            "list": [[1], [2], [3], [4]],
        }
    )
    found = inputs(frame)
    assert found.names == ("use",)
    assert found.notes[-1].en == (
        "inputs left out: same (the same value in every row), none (no value at all), row (a row number), "
        "name (text with 4 different values), list (values of type List(Int64))"
    )
    with pytest.raises(BadData, match="no input column is left to learn from: same"):
        inputs(frame.select("same"))
    with pytest.raises(BadData, match="no column beside the target"):
        inputs(pl.DataFrame())
