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
        "missing input values: 2 (number 1, group 1); numbers are filled with the median of the training rows, "
        "a missing category counts as a category of its own",
        "infinite input values, or too large for float32: number 1; they are treated as missing",
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
        "name (names or ids: text with 4 different values), list (values of type List(Int64))"
    )
    with pytest.raises(BadData, match="no input column is left to learn from: same"):
        inputs(frame.select("same"))
    with pytest.raises(BadData, match="no column beside the target"):
        inputs(pl.DataFrame())


def _notes(frame: pl.DataFrame) -> str:
    return "\n".join(note.en for note in inputs(frame).notes)


def test_dates_become_numbers_with_a_word(saved) -> None:
    days = [f"2024-{month:02}-{day:02}" for month in range(1, 13) for day in (1, 9, 20)]
    text = "when,at,y\n" + "".join(f"{day},{day} {i % 24:02}:30:00,{i % 7}.5\n" for i, day in enumerate(days))
    frame = read(saved(text), "y").frame
    assert (frame.schema["when"], frame.schema["at"].base_type()) == (pl.Date, pl.Datetime)
    found = inputs(frame.drop("y"))
    parts = ("day", "weekday", "month", "hour")
    assert found.names == tuple([f"when ({part})" for part in parts[:3]] + [f"at ({part})" for part in parts])
    first = dict(zip(found.names, found.values[0], strict=True))
    assert first["when (day)"] == 19723  # 2024-01-01, a Monday
    assert (first["when (weekday)"], first["when (month)"], first["at (hour)"]) == (1, 1, 0.5)
    assert "dates: when, at became day number, weekday and month (and hour, where there is a time)" in _notes(
        frame.drop("y")
    )


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y"])
def test_dates_in_the_usual_forms(saved, form: str) -> None:
    dates = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 3, 1), eager=True)
    text = "when,y\n" + "".join(f"{date.strftime(form)},{i % 5}.5\n" for i, date in enumerate(dates))
    assert read(saved(text), "y").frame["when"].to_list() == dates.to_list()


def test_text_that_only_looks_like_a_date_stays_text(saved) -> None:
    assert read(saved("part,y\n" + "1-2-99999,1.5\n99-88-77,2.5\n" * 5), "y").frame.schema["part"] == pl.String


def test_many_categories_are_grouped_with_a_word() -> None:
    generator = np.random.default_rng(0)
    city = [f"city {i}" for i in (generator.pareto(1, 3000) * 10).astype(int).clip(0, 400)]
    frame = pl.DataFrame({"city": city})
    many = frame["city"].n_unique()
    assert f"many categories: city {many}; the 49 most frequent of each are kept, the others count as one" in _notes(
        frame
    )
    design = inputs(frame).design(np.arange(2000))
    assert design.shape == (3000, 50)
    assert (design.sum(axis=1) == 1).all()  # what the training rows never saw counts among the others
    frequent = frame["city"][:2000].value_counts(sort=True)["count"][:49].sum()
    assert design[:2000].sum(axis=0).max() >= frequent / 49
    assert np.sort(design[:2000].sum(axis=0))[:-1].sum() <= 2000


def test_free_text_and_ids_are_dropped_with_a_word() -> None:
    generator = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "x": generator.normal(size=60),
            "review": [f"it was a day of {i} hours" for i in range(60)],
            "code": [f"A{i:03}" for i in range(60)],
            "customerId": generator.permutation(60),
            "rank": generator.permutation(60),
        }
    )
    assert inputs(frame).names == ("x", "rank")  # whole numbers that differ are no id unless their name says so
    said = _notes(frame)
    assert "review (free text with 60 different values)" in said
    assert "code (names or ids: text with 60 different values)" in said
    assert "customerId (an id: another number in every row)" in said


def test_infinite_and_too_large_values_are_said() -> None:
    frame = pl.DataFrame({"a": [1.0, float("inf"), -float("inf"), 1e39, 2.0, None]})
    said = _notes(frame)
    assert "missing input values: 1 (a 1)" in said
    assert "infinite input values, or too large for float32: a 3; they are treated as missing" in said


def test_columns_of_the_same_name(saved) -> None:
    table = read(saved("a,b,a,y\n" + "1.5,2,3,4\n2.5,3,4,5\n"), "y")
    assert table.features == ["a", "b", "a_duplicated_0"]
    assert table.frame.row(0) == (1.5, 2, 3, 4)
    assert table.notes[1].en == "two columns are named 'a'; the later one is called 'a_duplicated_0' here"


def test_a_header_with_blanks_and_a_file_name_with_wildcards(saved) -> None:
    assert read(saved(" a ,y\n1,2\n3,4\n", "odd[1]*.csv"), "y").features == ["a"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_large_table_is_sampled_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr("lossmith.guide.read.MOST_ROWS", 200)
    generator = np.random.default_rng(0)
    place = np.arange(5000)
    rare = np.isin(place, generator.choice(5000, 7, replace=False))
    frame = pl.DataFrame(
        {"place": place * 0.5, "text": [f"t{i % 3}" for i in place], "y": np.where(rare, "rare", "common")}
    )
    path = tmp_path / f"table.{kind}"
    getattr(frame, f"write_{kind}")(path)
    table = read(path, "y")
    assert table.frame.height == 200
    assert table.frame.equals(frame[(table.frame["place"] * 2).cast(pl.Int64).to_list()])  # rows stay whole, in order
    assert table.frame["y"].value_counts().filter(y="rare")["count"].item() >= 5
    assert [note.en for note in table.notes] == [
        f"table.{kind}: 5,000 rows, 2 input columns; target column: y",
        "a sample of 200 of these rows is looked at; every number below comes from it",
    ]
    assert read(path, "y", seed=0).frame.equals(table.frame)
    assert not read(path, "y", seed=1).frame.equals(table.frame)


def test_rows_without_a_target_are_no_part_of_the_sample(saved, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossmith.guide.read.MOST_ROWS", 50)
    frame = pl.DataFrame({"x": np.arange(400) * 0.5, "y": [float(i) if i % 4 == 0 else None for i in range(400)]})
    table = read(saved(frame), "y")
    assert table.frame.height == 50
    assert table.frame["y"].null_count() == 0
    assert table.notes[1].en == "missing target values: 300 rows have none and are left out"


def test_types_are_told_by_all_rows_not_by_the_first(saved) -> None:
    """What looks whole for thousands of rows may have a fraction, or a word, at the end."""
    text = "a,b,y\n" + "1,1,1\n" * 3000 + "1.5,word,2\n"
    schema = read(saved(text), "y").frame.schema
    assert (schema["a"], schema["b"], schema["y"]) == (pl.Float64, pl.String, pl.Int64)


def test_one_column(saved) -> None:
    from lossmith.guide import choose

    with pytest.raises(BadData, match="no input column is left to learn from; the table has no column beside"):
        choose(saved("y\n" + "1.5\n2.5\n" * 10), "y", train=False)
