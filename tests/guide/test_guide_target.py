"""What the target is: every branch of the tree from a made table, and how the guide says that it knows."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from made_tables import BRANCHES, PARTS, binary, counts, distributions, outliers, plain

from lossmith.guide import BadData, choose
from lossmith.guide.whole_numbers import whole_numbers


@pytest.mark.parametrize("branch", BRANCHES)
def test_every_branch_is_found_in_a_made_table(chosen, branch: str) -> None:
    *_, task, loss = BRANCHES[branch]
    choice = chosen(branch)
    assert (choice.leaf.task.en, choice.recommended.loss) == (task, loss)
    assert choice.to_json()["recommended"]["loss"] == loss


@pytest.mark.parametrize(
    ("branch", "said"),
    [
        ("plain", "100% of them with a fraction: a quantity"),
        ("outliers", "of the residuals around a first robust fit (a robust line) lie beyond 3.5 robust"),
        ("outliers", "of the target itself (heavy-tailed from 1% of the residuals)"),
        ("growing noise", "the size of the residuals follows x0 with rank correlation +0.57, p = "),
        ("counts", "around a Poisson fit their variance is 1 times their mean"),
        ("several outputs", "2 columns of numbers that are neither 0/1 nor shares of one whole: 2 outputs"),
        ("binary names", "y holds exactly two values, 'benign' (175 rows) and 'malignant' (125 rows)"),
        ("binary names", "'malignant' is the positive one (the rarer one)"),
        ("binary -1/1", "1 is the positive one (the larger value)"),
        ("classes as names", "y holds 3 different names: classes"),
        ("many classes as integers", "y holds 8 different whole numbers from 1 to 8, without a gap"),
        ("classes one-hot", "every row has exactly one 1 in the 3 columns: classes, one-hot"),
        ("skewed classes", "the largest and the smallest class differ by a factor of 6.06 in rows (skewed from 3)"),
        ("labels", "labels that don't exclude each other"),
        ("rare labels", "the two sides of a label differ by a factor of 16.6"),
        ("distributions", "the 4 columns are never negative and sum to 1 in every row: distributions"),
        ("percentages", "sum to 100 in every row: distributions"),
    ],
)
def test_how_it_knows(chosen, branch: str, said: str) -> None:
    evidence = chosen(branch).evidence
    assert any(said in sentence.en for sentence in evidence), evidence


@pytest.mark.parametrize("values", [["no", "yes"], ["F", "T"], ["negative", "positive"], ["False", "True"]])
def test_the_positive_class_goes_by_its_name(saved, values: list[str]) -> None:
    choice = choose(saved(binary(values, share=0.65)), "y", train=False)
    assert choice.target.en.startswith("float32 of shape (N, 1), 1 for ")
    assert choice.recommended.arguments["pos_weight"] < 1  # the positive class is the frequent one here


def test_outliers_are_those_of_the_residuals(saved) -> None:
    """A few far rows that the inputs explain are none."""
    g = np.random.default_rng(0)
    wide = g.standard_t(1.5, size=400)
    table = pl.DataFrame({"x": wide, "z": g.normal(size=400), "y": 3 * wide + g.normal(size=400)})
    choice = choose(saved(table), "y", train=False)
    assert choice.leaf.task.en == "regression"
    assert "outliers: 0.0% of the residuals" in choice.evidence[1].en
    assert "0.0% of the target itself" not in choice.evidence[1].en


def test_an_exact_line_has_no_outliers(saved) -> None:
    table = plain()
    exact = table.with_columns(y=3 * table["x0"] - table["x1"])
    choice = choose(saved(exact), "y", train=False)
    assert choice.recommended.loss == "MSELoss"


NORMAL = np.random.default_rng(0).normal(size=(600, 4))


def _poisson(rate: float) -> np.ndarray:
    return np.random.default_rng(1).poisson(rate * np.exp(0.5 * NORMAL[:, 0])).astype(float)


@pytest.mark.parametrize(
    ("name", "numbers", "expected"),
    [
        ("y", _poisson(1), "counts"),
        ("y", _poisson(5), "counts"),
        ("y", _poisson(150), "counts"),
        ("y", np.random.default_rng(0).negative_binomial(2, 0.1, 600).astype(float), "counts"),
        ("n_visits", np.random.default_rng(0).integers(0, 3, 600).astype(float), "counts"),
        ("y", np.random.default_rng(0).integers(0, 3, 600).astype(float), "classes"),
        ("y", np.random.default_rng(0).integers(0, 26, 600).astype(float), "classes"),
        ("y", np.random.default_rng(0).integers(-1, 2, 600).astype(float), "classes"),
        ("y", np.random.default_rng(0).choice(6, 600, p=[0.5, 0.2, 0.12, 0.08, 0.06, 0.04]) * 10.0, "quantity"),
        ("soilType", _poisson(1), "classes"),
        ("y", np.round(np.random.default_rng(0).lognormal(5, 1.2, 600)), "quantity"),
        ("y", np.round(np.random.default_rng(0).normal(0, 30, 600)), "quantity"),
        ("y", np.round(np.random.default_rng(0).normal(170, 9, 600)), "quantity"),
    ],
)
def test_whole_numbers(name: str, numbers: np.ndarray, expected: str) -> None:
    classes, counted, why = whole_numbers(name, numbers, NORMAL, seed=0)
    assert ("classes" if classes else "counts" if counted else "quantity") == expected, why


def test_labels_that_thin_out_are_told_from_counts_by_their_order() -> None:
    """The same numbers, once in the order that the inputs give them and once in any order."""
    numbers = _poisson(1)
    shuffled = np.array([2, 4, 0, 5, 1, 3, 6, 7, 8, 9])[numbers.clip(0, 9).astype(int)].astype(float)
    assert whole_numbers("y", numbers, NORMAL, seed=0)[1]
    assert whole_numbers("y", shuffled, NORMAL, seed=0)[0]


def test_counts_and_labels_are_rarely_mistaken() -> None:
    """Many made columns: Poisson counts of all sizes, and labels in any order, skewed or even."""
    right = []
    for seed in range(10):
        g = np.random.default_rng(seed)
        x = g.normal(size=(500, 5))
        for rate in (0.7, 1.5, 3, 8, 40):
            counted = g.poisson(rate * np.exp(0.5 * x[:, 0])).astype(float)
            right.append(whole_numbers("y", counted, x, seed)[1])
        for shares in (np.ones(8), 0.5 ** np.arange(6), g.dirichlet(np.full(5, 2.0))):
            labels = g.choice(len(shares), size=500, p=shares / shares.sum())
            centres = 0.8 * g.normal(size=(len(shares), 5))
            right.append(whole_numbers("y", labels.astype(float), x + centres[labels], seed)[0])
    assert np.mean(right) >= 0.95


def _with(rows: int = 30, **columns: object) -> pl.DataFrame:
    g = np.random.default_rng(0)
    return pl.DataFrame({"a": g.normal(size=rows)} | columns)


@pytest.mark.parametrize(
    ("table", "target", "said"),
    [
        (_with(y=[7.0] * 30), "y", "target 'y' is constant (7.0 in every row); there is nothing to predict"),
        (_with(y=[None] * 30), "y", "target 'y' has no value at all; every row is missing"),
        (_with(y=[0.5, 1.5] * 15, z=[2.5] * 30), "y,z", "target 'z' is constant (2.5 in every row)"),
        (_with(y=[1e200, 2e200] * 15), "y", "target 'y' reaches 2e+200, which float32 can't hold"),
        (_with(y=["NaN"] * 30), "y", "target 'y' has no value at all; every row is missing"),
        (_with(y=[f"name {i}" for i in range(30)]), "y", "text with 30 different values in 30 rows"),
        (_with(y=["a"] * 14 + ["b"] * 13 + ["c"] * 3), "y", "class 'c' of target y has too few rows: 3, and 5"),
        (_with(y=[0] * 26 + [1] * 4), "y", "class 1 of target y has too few rows: 4, and 5 are needed"),
        (_with(y=[0, 1] * 15, z=[1] * 4 + [0] * 26), "y,z", "z = 1 of target y, z has too few rows: 4"),
        (_with(y=[0.5, 1.5] * 15, z=["u", "v"] * 15), "y,z", "must all be numbers, and 'z' holds text"),
        (_with(y=[1.5, None] * 9 + [2.5] * 12).head(9), "y", "5 rows have a target; at least 10 are needed"),
    ],
)
def test_targets_that_can_not_be_used(saved, table: pl.DataFrame, target: str, said: str) -> None:
    with pytest.raises(BadData) as error:
        choose(saved(table), target, train=False)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_targets_are_counted_and_left_out(saved) -> None:
    table = outliers()
    holed = table.with_columns(y=pl.when(pl.int_range(pl.len()) % 10 == 0).then(None).otherwise(table["y"]))
    choice = choose(saved(holed), "y", train=False)
    assert choice.notes[0].en.endswith("360 rows, 3 input columns; target column: y")
    assert choice.notes[1].en == "missing target values: 40 rows have none and are left out"
    assert choice.to_json()["reasons"][1] == choice.notes[1].en


def test_a_share_that_is_always_0_is_still_a_share(saved) -> None:
    table = distributions().with_columns(y4=pl.lit(0.0))
    assert choose(saved(table), [*PARTS, "y4"], train=False).leaf.task.en == "distributions"


@pytest.mark.parametrize("kind", [pl.Float32, pl.UInt8, pl.Decimal(10, 2), pl.Categorical, pl.Enum(["1", "2", "3"])])
def test_targets_of_every_type(tmp_path: Path, kind: pl.DataType) -> None:
    """A Parquet file knows more types than CSV."""
    text = pl.Series(["1", "2", "3"] * 10)
    column = text.cast(kind) if kind in (pl.Categorical, pl.Enum(["1", "2", "3"])) else text.cast(pl.Int8).cast(kind)
    path = tmp_path / "table.parquet"
    _with(y=column).write_parquet(path)
    choice = choose(path, "y", train=False)
    assert choice.leaf.task.en == "multi-class classification"
    exec(choice.snippet, {})


def test_counts_in_several_columns(saved) -> None:
    table = counts()
    both = table.with_columns(z=table["y"].reverse())
    choice = choose(saved(both), "y,z", train=False)
    assert (choice.leaf.task.en, choice.final_layer.en) == ("counts", "Linear(hidden, 2): the logarithm of the rate")
