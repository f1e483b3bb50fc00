"""The command `lossmith tree`: the tree of the chooser, drawn and as JSON."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from lossmith.cli.app import app
from lossmith.guide.recipes import RECIPES
from lossmith.guide.tree import TREE, Leaf, Question


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["tree", *arguments])


def _nodes(node: Question | Leaf) -> list[Question | Leaf]:
    return [node] if isinstance(node, Leaf) else [node, *_nodes(node.yes), *_nodes(node.no)]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_draws_every_question_and_every_end(language: str) -> None:
    result = run("--lang", language)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    nodes = _nodes(TREE)
    assert len(lines) == len(nodes)  # in the same order: a question, what follows a yes, what follows a no
    for line, node in zip(lines, nodes, strict=True):
        if isinstance(node, Leaf):
            assert line.endswith(f"{node.task(language)} → {RECIPES[node.recipe].label}")
        else:
            assert line.endswith(node.asks(language))
    yes, no = ("yes: ", "no: ") if language == "en" else ("是：", "否：")
    assert sum(yes in line for line in lines) == sum(no in line for line in lines) == (len(nodes) - 1) / 2


def test_json_is_the_same_tree() -> None:
    result = run("--json")
    assert result.exit_code == 0

    def nodes(found: dict[str, Any]) -> list[str]:
        return [found["asks"], *nodes(found["yes"]), *nodes(found["no"])] if "asks" in found else [found["task"]]

    found = json.loads(result.stdout)
    assert nodes(found) == [node.task.en if isinstance(node, Leaf) else node.asks.en for node in _nodes(TREE)]
    first = found["yes"]["yes"]
    assert (first["loss"], first["decided_by"]) == ("TripletMarginLoss", "ordered")
    assert first["compared_with"] == ["TripletMarginLoss(swap)", "CosineEmbeddingLoss(margin)"]


def test_the_guide_s_tree_is_complete() -> None:
    """Regression, classification, distributions and embeddings, each with the losses that the guide names."""
    losses = {RECIPES[node.recipe].loss for node in _nodes(TREE) if isinstance(node, Leaf)}
    assert losses >= {
        "MSELoss",
        "HuberLoss",
        "L1Loss",
        "BCEWithLogitsLoss",
        "CrossEntropyLoss",
        "KLDivLoss",
        "CosineEmbeddingLoss",
        "TripletMarginLoss",
    }
