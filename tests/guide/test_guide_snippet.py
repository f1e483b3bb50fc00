"""The snippet: it runs as it is, it is what the experiment trains, and it converts targets rightly."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from made_tables import BRANCHES

import lossmith
from lossmith.guide import choose
from lossmith.guide.inputs import inputs
from lossmith.guide.recipes import RECIPES, definitions, from_training, snippet, words
from lossmith.guide.target import examine


def _run(source: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(source, "snippet", "exec"), names)
    return names


@pytest.mark.parametrize("branch", BRANCHES)
def test_it_can_be_pasted(chosen, branch: str, capsys: pytest.CaptureFixture[str]) -> None:
    choice = chosen(branch)
    names = _run(choice.snippet)
    assert type(names["criterion"]) is getattr(lossmith, choice.recommended.loss)
    assert torch.isfinite(names["loss"])
    assert names["last_layer"].weight.grad is not None
    assert capsys.readouterr().out
    assert max(len(line) for line in choice.snippet.splitlines()) <= 120


# One table for each kind of target; every recipe is tried on each table that it is a candidate for.
TABLES = ("plain", "several outputs", "outliers", "counts", "binary names", "classes one-hot", "skewed classes")
TABLES += ("labels", "distributions", "bins", "rare class", "rare value", "very rare labels")


def _cases() -> list[tuple[str, str]]:
    from lossmith.guide.tree import walk

    cases = []
    for branch in TABLES:
        make, columns, *_ = BRANCHES[branch]
        table = make()
        target = examine(
            [table[column] for column in columns.split(",")], inputs(table.drop(columns.split(","))), seed=0
        )
        cases += [(branch, recipe) for recipe in walk(target.facts)[1].rivals]
    return cases


@pytest.mark.parametrize(("branch", "key"), _cases())
def test_every_recipe_learns(branch: str, key: str) -> None:
    make, columns, *_ = BRANCHES[branch]
    table, recipe = make(), RECIPES[key]
    given = inputs(table.drop(columns.split(",")))
    target = examine([table[column] for column in columns.split(",")], given, seed=0)
    numbers = from_training(target, given, np.arange(table.height), seed=0)
    _run(snippet(recipe, target, numbers))
    names = _run(definitions(recipe, target, numbers, hidden=given.design(np.arange(table.height)).shape[1]))
    x = torch.as_tensor(given.design(np.arange(table.height)), dtype=torch.float32)
    y = names["to_target"](target.values)
    optimizer = torch.optim.Adam(names["last_layer"].parameters(), lr=0.05)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = names["to_loss"](names["last_layer"](x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    predicted = names["to_prediction"](names["last_layer"](x))
    wide = 1 if recipe.head.final_layer.en.startswith("Linear(hidden, 1)") else target.outputs
    assert predicted.shape == (table.height, wide)
    final_layer, form = words(recipe, target)
    assert final_layer.en.startswith("Linear(hidden") and final_layer.zh.startswith("Linear(hidden")
    assert "{" not in final_layer.en + form.en + final_layer.zh + form.zh


@pytest.fixture
def pasted(chosen) -> Callable[[str], dict[str, Any]]:
    """What the snippet of a branch defines."""
    return lambda branch: _run(chosen(branch).snippet)


def test_quantities_are_standardised_and_given_back(pasted) -> None:
    names = pasted("plain")
    values = BRANCHES["plain"][0]()["y"].to_list()
    target = names["to_target"](values)
    assert target.shape == (400, 1)
    assert target.mean().item() == pytest.approx(0, abs=1e-3)
    assert target.std(unbiased=False).item() == pytest.approx(1, abs=1e-3)
    assert names["to_prediction"](target).flatten().tolist() == pytest.approx(values, rel=1e-3, abs=1e-2)


def test_a_target_far_from_zero_keeps_its_digits(saved) -> None:
    table = BRANCHES["plain"][0]().with_columns(pl.col("y") + 1.7e9)
    names = _run(choose(saved(table), "y", train=False).snippet)
    target = names["to_target"](table["y"].to_list())
    assert target.std(unbiased=False).item() == pytest.approx(1, abs=1e-3)
    assert (
        names["to_prediction"](target).flatten() - torch.tensor(table["y"].to_list(), dtype=torch.float64)
    ).abs().max() < 1e-2


def test_many_long_names_stay_readable(saved) -> None:
    names = [f"class number {i}, 'so called'" for i in range(30)]
    table = pl.DataFrame({"x": np.random.default_rng(0).normal(size=300), "y": names * 10})
    source = choose(saved(table), "y", train=False).snippet
    assert _run(source)["classes"] == sorted(names)
    assert max(len(line) for line in source.splitlines()) <= 120


def test_several_outputs_each_have_their_scale(pasted) -> None:
    names = pasted("several outputs")
    target = names["to_target"](BRANCHES["several outputs"][0]()[["y0", "y1"]].to_numpy())
    assert target.std(dim=0, unbiased=False).tolist() == pytest.approx([1, 1], abs=1e-3)


def test_counts_stay_counts_and_start_at_their_mean(pasted) -> None:
    names = pasted("counts")
    assert names["to_target"]([0, 3, 7]).tolist() == [[0.0], [3.0], [7.0]]
    mean = BRANCHES["counts"][0]()["y"].mean()
    assert names["last_layer"].bias.exp().item() == pytest.approx(mean, rel=0.01)


def test_two_values_become_zero_and_one(pasted) -> None:
    names = pasted("binary names")
    assert names["to_target"](["malignant", "benign"]).tolist() == [[1.0], [0.0]]
    assert pasted("binary -1/1")["to_target"]([1, -1]).tolist() == [[1.0], [0.0]]
    assert pasted("binary bools")["to_target"]([True, False]).tolist() == [[1.0], [0.0]]


def test_classes_become_their_numbers(pasted) -> None:
    assert pasted("classes as names")["to_target"](["c", "a"]).tolist() == [2, 0]
    assert pasted("many classes as integers")["to_target"]([1, 8]).tolist() == [0, 7]
    assert pasted("classes as floats")["to_target"]([1.0, 3.0]).tolist() == [0, 2]
    assert pasted("classes one-hot")["to_target"]([[0, 0, 1], [1, 0, 0]]).tolist() == [2, 0]


def test_shares_sum_to_one(pasted) -> None:
    target = pasted("percentages")["to_target"]([[10, 20, 30, 40]])
    assert target.tolist() == [pytest.approx([0.1, 0.2, 0.3, 0.4])]


def test_the_variance_is_positive_and_the_mean_comes_back(pasted) -> None:
    names = pasted("growing noise")
    output = torch.tensor([[0.0, -200.0], [1.0, 5.0]])
    assert torch.isfinite(names["to_loss"](output, torch.zeros(2, 1)))
    assert names["to_prediction"](output)[0].item() == pytest.approx(names["center"], rel=1e-3)
