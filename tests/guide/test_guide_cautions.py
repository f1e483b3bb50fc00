"""Cautions: inputs that give the target away are found, honest ones are not; scales are told."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from made_tables import BRANCHES, binary, classes, labels, plain

from lossmith.guide import BUNDLED, choose


def _said(frame: pl.DataFrame, target: str = "y") -> list[str]:
    return [warning.en for warning in choose(frame, target, train=False).warnings]


LEAKS: dict[str, Callable[[pl.Series], pl.Series]] = {
    "copy": lambda y: y,
    "other unit": lambda y: y * 0.0254 - 3,
    "reciprocal": lambda y: 1 / (y + 1000),
    "square around the middle": lambda y: (y - y.min()) ** 2,
    "rounded": lambda y: y.round(1),
    "with a little noise": lambda y: y + 0.1 * np.random.default_rng(1).normal(size=len(y)),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_transform_of_a_number_is_found(leak: str) -> None:
    table = plain()
    said = _said(table.with_columns(leak=LEAKS[leak](table["y"])))
    assert [line for line in said if "nearly perfectly" in line] == [
        "leak alone predicts y nearly perfectly: if it is made from the target, or known only after it, leave it out, "
        "or every figure here is too good"
    ]


def test_one_that_no_order_tells_is_found() -> None:
    """A function that goes up and down gives the target away all the same."""
    x = np.random.default_rng(0).uniform(0, 3, 2000)
    said = _said(pl.DataFrame({"angle": x, "noise": np.random.default_rng(1).normal(size=2000), "y": np.sin(3 * x)}))
    assert any(line.startswith("angle alone predicts y") for line in said)


def test_with_holes_it_is_still_found() -> None:
    table = plain(2000)
    holed = pl.when(pl.int_range(pl.len()) % 5000 == 7).then(None).otherwise(table["y"] * 2)
    assert any("leak alone" in line for line in _said(table.with_columns(leak=holed)))


def test_a_column_that_few_rows_have_is_no_leak() -> None:
    table = plain()
    few = pl.when(pl.int_range(pl.len()) < 5).then(table["y"])
    assert not [line for line in _said(table.with_columns(few=few)) if "nearly perfectly" in line]


@pytest.mark.parametrize("make", [lambda: binary(["benign", "malignant"]), lambda: classes(["a", "b", "c"])])
def test_a_class_under_another_name_is_found(make: Callable[[], pl.DataFrame]) -> None:
    table = make()
    leak = table["y"].rank("dense") * 7.5
    assert [line.split(":")[0] for line in _said(table.with_columns(leak=leak))] == [
        "leak alone predicts y nearly perfectly"
    ]
    assert any("word alone" in line for line in _said(table.with_columns(word="is " + table["y"])))


def test_a_label_that_is_given_away_is_named() -> None:
    table = labels()
    said = [
        warning.en for warning in choose(table.with_columns(leak=1 - table["y1"]), "y0,y1,y2", train=False).warnings
    ]
    assert [line.split(":")[0] for line in said] == ["leak alone predicts y1 nearly perfectly"]


@pytest.mark.parametrize("branch", BRANCHES)
def test_honest_tables_leak_nothing(chosen, branch: str) -> None:
    assert not [line for line in chosen(branch).warnings if "nearly perfectly" in line.en]


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_sets_leak_nothing(name: str) -> None:
    assert not [line for line in choose(name, train=False).warnings if "nearly perfectly" in line.en]


# Scales


def _scaled(center: float, spread: float) -> pl.DataFrame:
    table = plain()
    y = (table["y"] - table["y"].mean()) / table["y"].std(ddof=0)
    return table.with_columns(y=center + spread * y)


@pytest.mark.parametrize(("center", "spread"), [(150.0, 77.0), (0.0, 1e-4), (1000.0, 1.0), (-3e5, 2e4)])
def test_a_target_that_was_never_standardised_is_told(center: float, spread: float) -> None:
    (said,) = _said(_scaled(center, spread))
    assert said == (
        f"y is not standardised (mean {center:.4g}, standard deviation {spread:.4g}): as it is, MSELoss would start at "
        f"about {center**2 + spread**2:.2g} instead of 1, with gradients to match; the snippet standardises it"
    )


def test_the_overflow_of_squares_is_told_where_it_happens() -> None:
    """MSE overflows in float32 to inf beyond the root of its largest number, and not before."""
    import torch

    for spread, overflows in ((1e17, False), (1e20, True)):
        frame = _scaled(0.0, spread)
        (said,) = _said(frame)
        assert ("overflows float32 to inf" in said) == overflows
        raw = torch.tensor(frame["y"].to_list(), dtype=torch.float32)
        assert torch.isinf((raw**2).max()).item() == overflows


def test_a_standardised_target_is_fine() -> None:
    assert _said(_scaled(0.3, 1.2)) == []


@pytest.mark.parametrize(("zeros", "log"), [(False, "log"), (True, "log1p")])
def test_a_heavy_scale_is_told(zeros: bool, log: str) -> None:
    g = np.random.default_rng(0)
    x = g.normal(size=(600, 2))
    y = np.exp(4 + 1.5 * x[:, 0] + 0.5 * g.normal(size=600))
    if zeros:
        y[:5] = 0.0
    said = _said(pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": y}))
    assert any(f"learn {log}(y)" in line and line.startswith("y has a heavy scale: from ") for line in said), said


def test_wild_rows_on_both_sides_are_no_heavy_scale() -> None:
    g = np.random.default_rng(0)
    said = _said(pl.DataFrame({"a": g.normal(size=400), "y": g.standard_t(1.5, size=400)}))
    assert not [line for line in said if "heavy scale" in line]
