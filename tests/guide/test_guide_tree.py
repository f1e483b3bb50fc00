"""The decision tree: data that is complete, and reasons for every loss that is no candidate."""

import inspect
from collections.abc import Iterator

import pytest
import torch

import lossmith
from lossmith.guide.metrics import METRICS
from lossmith.guide.recipes import RECIPES
from lossmith.guide.ruled_out import RULED_OUT, ruled_out
from lossmith.guide.tree import TREE, Leaf, Question, walk

FAMILY = {
    "regression with an interval": "interval",
    "embedding of labelled rows": "embedding",
    "counts": "counts",
    "distributions": "distributions",
    "binary classification": "binary",
    "multi-class classification": "classes",
    "multi-label classification": "labels",
    "regression": "numbers",
    "ranking of pairs": "ranking",
    "embedding of pairs": "pairs",
    "embedding of triplets": "triplets",
}


def _leaves(node: Question | Leaf, facts: dict[str, bool]) -> Iterator[tuple[dict[str, bool], Leaf]]:
    if isinstance(node, Leaf):
        yield facts, node
    else:
        yield from _leaves(node.yes, facts | {node.fact: True})
        yield from _leaves(node.no, facts | {node.fact: False})


LEAVES = list(_leaves(TREE, {}))


@pytest.mark.parametrize(("facts", "leaf"), LEAVES, ids=[leaf.task.en for _, leaf in LEAVES])
class TestLeaf:
    def test_facts_lead_to_it(self, facts: dict[str, bool], leaf: Leaf) -> None:
        path, reached = walk(facts)
        assert reached is leaf
        assert [step.answer for step in path] == list(facts.values())

    def test_it_names_recipes_and_a_metric(self, facts: dict[str, bool], leaf: Leaf) -> None:
        assert leaf.recipe in leaf.rivals
        assert set(leaf.rivals) <= set(RECIPES)
        assert leaf.decided_by in METRICS
        assert RECIPES[leaf.recipe].loss in leaf.why.en

    def test_every_loss_is_a_candidate_or_ruled_out_with_a_reason(self, facts: dict[str, bool], leaf: Leaf) -> None:
        tried = {RECIPES[key].loss for key in leaf.rivals}
        reasons = ruled_out(_kind(leaf), tried)
        assert tried | set(reasons) == _losses()
        assert not tried & set(reasons)
        assert all(len(reason.en) > 20 and len(reason.zh) > 8 for reason in reasons.values())


def _kind(leaf: Leaf) -> str:
    return next(kind for task, kind in FAMILY.items() if leaf.task.en.startswith(task))


@pytest.mark.parametrize("kind", RULED_OUT)
def test_every_reason_is_given_at_some_leaf(kind: str) -> None:
    candidates = [{RECIPES[key].loss for key in leaf.rivals} for _, leaf in LEAVES if _kind(leaf) == kind]
    assert not set.intersection(*candidates) & set(RULED_OUT[kind])


def _losses() -> set[str]:
    """The loss modules of lossmith."""
    return {
        name
        for name, value in vars(lossmith).items()
        if inspect.isclass(value) and issubclass(value, torch.nn.Module) and name.endswith("Loss")
    }


def test_the_tree_ends_at_different_tasks() -> None:
    tasks = [leaf.task.en for _, leaf in LEAVES]
    assert len(tasks) == len(set(tasks)) == 21
