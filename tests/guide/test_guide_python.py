"""`lossmith.choose` in Python: what it takes, and what its result gives."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars as pl
import pytest
import torch
from made_tables import outliers, plain

import lossmith
from lossmith.guide import BadData, Choice, Settings

QUICK = Settings(folds=2, repeats=1, epochs=2, hidden=8)
TABLE = plain(120)
X, Y = TABLE.drop("y").to_numpy(), TABLE["y"].to_numpy()

HELD: dict[str, Callable[[], tuple[Any, Any]]] = {
    "arrays": lambda: (X, Y),
    "a column": lambda: (X, Y.reshape(-1, 1)),
    "tensors": lambda: (torch.tensor(X), torch.tensor(Y, requires_grad=True)),
    "lists": lambda: (X.tolist(), Y.tolist()),
    "a mixture": lambda: (torch.tensor(X), pl.Series(Y)),
    "polars": lambda: (TABLE.drop("y"), TABLE["y"]),
    "a lazy frame": lambda: (TABLE.lazy(), "y"),
    "the name": lambda: (TABLE, "y"),
    "names": lambda: (TABLE, ["y"]),
    "a dictionary": lambda: ({name: TABLE[name].to_list() for name in TABLE.columns}, "y"),
}


@pytest.mark.parametrize("kind", HELD)
def test_what_python_holds(kind: str) -> None:
    data, target = HELD[kind]()
    choice = lossmith.choose(data, target, train=False)
    assert choice.leaf.task.en == "regression"
    assert choice.notes[0].en == "data: 120 rows, 3 input columns; target column: y"
    expected = lossmith.choose(TABLE, "y", train=False).snippet
    assert choice.snippet == expected


def test_a_file_as_a_string_or_a_path(tmp_path: Path) -> None:
    TABLE.write_csv(tmp_path / "table.csv")
    for path in (tmp_path / "table.csv", str(tmp_path / "table.csv")):
        assert lossmith.choose(path, target="y", train=False).data == "table.csv"


def test_columns_of_pandas() -> None:
    words = np.array(["u", None, "v"] * 40, dtype=object)
    days = np.arange(120).astype("datetime64[D]").astype("datetime64[ns]")
    frame = pandas.DataFrame({0: X[:, 0], 1: words, "day": days, "y": Y})
    choice = lossmith.choose(frame, "y", train=False)
    assert choice.notes[0].en == "data: 120 rows, 3 input columns; target column: y"
    assert "missing input values: 40 (1 40)" in choice.notes[1].en
    assert any(note.en.startswith("dates: day became day number") for note in choice.notes)


def test_dtypes_of_pandas() -> None:
    frame = pandas.DataFrame({"a": X[:, 0], "b": pandas.Categorical(["u", "v", None] * 40), "y": Y})
    frame["n"] = pandas.array([1, None, 3] * 40, dtype="Int64")
    choice = lossmith.choose(frame, "y", train=False)
    assert "missing input values: 80 (b 40, n 40)" in choice.notes[1].en
    assert (
        lossmith.choose(frame[["a"]], frame["y"], train=False).notes[0].en.endswith("1 input column; target column: y")
    )


def test_names_of_classes_are_values_unless_they_name_columns() -> None:
    kinds = ["cat", "dog", "cow", "cat"] * 30
    for target in (kinds, tuple(kinds), np.array(kinds), pl.Series("pet", kinds)):
        assert lossmith.choose(X, target, train=False).found.classes == ("cat", "cow", "dog")
    assert lossmith.choose(TABLE, ["x0", "y"], train=False).found.columns == ("x0", "y")


def test_several_targets_at_once() -> None:
    both = np.column_stack([Y, X[:, 0]])
    choice = lossmith.choose(X, both, train=False)
    assert choice.found.columns == ("y0", "y1")
    labels = lossmith.choose(X, (X > 0).astype(int), train=False)
    assert labels.leaf.task.en == "multi-label classification"


def test_mixed_rows_of_words_and_numbers() -> None:
    rows = [[float(x), "u" if i % 3 else "v", None if i % 10 == 0 else i % 4] for i, x in enumerate(X[:, 0])]
    choice = lossmith.choose(rows, Y, train=False)
    assert "missing input values: 12 (x2 12)" in choice.notes[1].en


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64, torch.bool])
def test_tensors_of_other_dtypes(dtype: torch.dtype) -> None:
    target = (torch.arange(120) % 3 == 0).to(dtype)
    assert (
        lossmith.choose((10 * torch.tensor(X)).relu().to(dtype), target, train=False).leaf.task.en
        == "binary classification"
    )


@pytest.mark.parametrize(
    ("data", "target", "said"),
    [
        (X, Y[:-1], "the target has 119 rows and the data has 120; give one for each row"),
        (X, None, "say which column to predict with target=; its columns are x0, x1, x2"),
        (X, "z", "has no column 'z'"),
        (X.reshape(40, 3, 3), Y[:40], r"the data has shape (40, 3, 3), expected (rows, columns); flatten each example"),
        (np.float64(3.0), Y, "the data has shape (), expected (rows, columns)"),
        ([[1.0, 2.0], [3.0]], [1, 2], "the data has rows of different lengths; give the same columns in each"),
        (X, Y.reshape(-1, 2, 1)[:, :, :], "the target has shape (60, 2, 1), expected (rows, columns)"),
        (X[:0], Y[:0], "has a header but no rows"),
        ({"a": [1.0, 2.0], "b": [1.0]}, "a", "the columns have different lengths"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(data: Any, target: Any, said: str) -> None:
    with pytest.raises(BadData) as error:
        lossmith.choose(data, target, train=False)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "0"])
def test_a_seed_that_is_none(seed: Any) -> None:
    with pytest.raises(ValueError, match=r"seed is .*, expected a whole number from 0"):
        lossmith.choose("iris", seed=seed, train=False)


# The result


@pytest.fixture(scope="module")
def tried() -> Choice:
    return lossmith.choose(outliers(150), "y", settings=QUICK)


def test_the_criterion_is_the_module_with_its_arguments(tried: Choice) -> None:
    criterion = tried.criterion()
    assert type(criterion) is lossmith.HuberLoss
    assert criterion.delta == tried.recommended.arguments["delta"]
    weighted = lossmith.choose(X, np.quantile(Y, 0.9) < Y, train=False).criterion()
    assert weighted.pos_weight.tolist() == [9.0]
    assert torch.isfinite(weighted(torch.zeros(4, 1), torch.ones(4, 1)))


def test_the_table_has_every_metric_with_its_interval(tried: Choice) -> None:
    table = tried.table
    assert table["loss"].to_list() == [candidate.loss for candidate in tried.candidates]
    assert table["arguments"][0] == f"delta={tried.recommended.arguments['delta']!r}"
    for metric in tried.recommended.metrics:
        assert table[metric][0] == pytest.approx(tried.recommended.metrics[metric])
        assert (table[f"{metric}_low"] <= table[metric]).all()
        assert (table[metric] <= table[f"{metric}_high"]).all()


def test_without_an_experiment_the_table_has_no_metrics() -> None:
    assert lossmith.choose("iris", train=False).table.columns == ["loss", "arguments"]


def test_a_metric_that_a_loss_lacks_is_missing() -> None:
    table = lossmith.choose("iris", settings=QUICK).table
    assert table.filter(loss="MultiMarginLoss")["log_loss"].to_list() == [None]


def test_the_report_is_written(tried: Choice, tmp_path: Path) -> None:
    tried.report(tmp_path / "deep" / "page.html", language="zh")
    assert "HuberLoss" in (tmp_path / "deep" / "page.html").read_text(encoding="utf-8")


def test_everything_is_said_in_both_languages(tried: Choice, chosen: Callable[[str], Choice]) -> None:
    from made_tables import BRANCHES

    for choice in (tried, *(chosen(branch) for branch in BRANCHES)):
        texts = [*choice.reasons, *choice.warnings, choice.final_layer, choice.target, choice.leaf.task]
        texts += [*choice.ruled_out.values(), *(step.asks for step in choice.path)]
        for text in texts:
            assert text.en != text.zh
            assert any("\u4e00" <= letter <= "\u9fff" for letter in text.zh), text
            assert not any("\u4e00" <= letter <= "\u9fff" for letter in text.en), text


# Splits


def test_group_and_time_split_the_rows_and_are_no_inputs() -> None:
    frame = TABLE.with_columns(
        user=pl.int_range(120) % 12, day=pl.date(2024, 1, 1) + pl.duration(days=pl.int_range(120))
    )
    by_group = lossmith.choose(frame, "y", group="user", settings=QUICK)
    assert by_group.experiment.split == "group"
    assert by_group.notes[1].en == "group column: user; it splits the rows and is no input"
    by_time = lossmith.choose(frame.drop("user"), "y", time="day", settings=QUICK)
    assert by_time.experiment.split == "time"
    assert by_time.notes[0].en == "data: 120 rows, 3 input columns; target column: y"
    values = lossmith.choose(X, Y, group=np.arange(120) // 10, time=np.arange(120), settings=QUICK)
    assert values.experiment.split == "group and time"
    assert values.notes[0].en == "data: 120 rows, 3 input columns; target column: y"
    with pytest.raises(BadData, match="has no column 'users'; did you mean 'user'"):
        lossmith.choose(frame, "y", group="users", train=False)
    with pytest.raises(BadData, match="the group has 5 rows and the data has 120"):
        lossmith.choose(X, Y, group=np.arange(5), train=False)
