"""Parameters in the chooser: in the unit of the standardised target, and no other row is looked at."""

import numpy as np
import polars as pl
import pytest
import torch
from made_tables import BRANCHES, outliers, plain, skewed_classes

from lossmith.guide import choose
from lossmith.guide.inputs import inputs
from lossmith.guide.recipes import from_training
from lossmith.guide.target import Target, examine


def _target(table: pl.DataFrame, columns: list[str]):
    given = inputs(table.drop(columns))
    return examine([table[column] for column in columns], given, seed=0), given


def test_delta_is_in_the_unit_of_the_standardised_target() -> None:
    """Noise of standard deviation 10 under a spread of about 37: delta in the target's unit is about 13."""
    found, given = _target(outliers(2000), ["y"])
    numbers = from_training(found, given, np.arange(2000), seed=0)
    assert numbers["delta"] * numbers["scale"][0] == pytest.approx(13.45, rel=0.15)
    in_other_units, given = _target(outliers(2000).with_columns(pl.col("y") * 1000), ["y"])
    assert from_training(in_other_units, given, np.arange(2000), seed=0)["delta"] == pytest.approx(
        numbers["delta"], rel=0.01
    )


def test_center_and_scale_hold_against_outliers() -> None:
    clean, given = _target(plain(), ["y"])
    wild, _ = _target(outliers(), ["y"])
    rows = np.arange(400)
    expected, found = (from_training(target, given, rows, seed=0) for target in (clean, wild))
    assert found["scale"][0] == pytest.approx(expected["scale"][0], rel=0.15)


@pytest.mark.parametrize("branch", ["outliers", "counts", "skewed classes", "binary names", "rare labels"])
def test_only_training_rows_are_looked_at(branch: str) -> None:
    make, columns, *_ = BRANCHES[branch]
    found, given = _target(make(), columns.split(","))
    rows = np.arange(200)
    expected = from_training(found, given, rows, seed=0)
    others = found.take(np.arange(len(found.values)))
    if isinstance(others.values, np.ndarray):
        others.values[200:] = 1
    if others.codes is not None:
        others.codes[200:] = 0
    elsewhere = given.take(np.arange(len(found.values)))
    elsewhere.values[200:] = 1e6
    assert from_training(others, elsewhere, rows, seed=0) == expected


def test_the_recommendation_carries_them(saved) -> None:
    choice = choose(saved(skewed_classes()), "y", train=False)
    rows = np.bincount(skewed_classes()["y"].rank("dense").to_numpy() - 1)
    assert choice.recommended.arguments == {"weight": pytest.approx((400 / 3 / rows).tolist(), rel=1e-3)}
    assert torch.tensor(choice.recommended.arguments["weight"]).shape == (3,)


def test_outputs_counts_classes_or_columns() -> None:
    assert Target("classes", ("y",), [], classes=("a", "b", "c")).outputs == 3
    assert Target("numbers", ("y", "z"), []).outputs == 2
