"""Chooses a loss: reads the table, examines the target, walks the tree, runs the experiment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from .experiment import Scores, Settings, experiment, sample
from .inputs import Inputs, inputs
from .read import BadData, Table, read
from .recipes import COMPUTED, RECIPES, from_training, signature, snippet, words
from .ruled_out import ruled_out
from .target import Target, examine
from .tree import Leaf, Step, walk
from .verdict import Verdict, judge, sentences


@dataclass(frozen=True)
class Candidate:
    """A loss with its arguments, and what the experiment found for it (nothing without one)."""

    recipe: str
    arguments: dict[str, Any]
    signature: str
    scores: Scores | None = None

    @property
    def loss(self) -> str:
        return RECIPES[self.recipe].loss

    @property
    def label(self) -> str:
        return RECIPES[self.recipe].label

    @property
    def metrics(self) -> dict[str, float]:
        """Means over the test folds."""
        return {} if self.scores is None else {name: float(values.mean()) for name, values in self.scores.folds.items()}


@dataclass(frozen=True)
class Choice:
    """What `choose` found: the recommended loss comes first among the candidates."""

    data: str
    table: tuple[str, ...]  # rows, inputs, what is missing
    evidence: tuple[str, ...]  # what the target is, and how that is known
    path: tuple[Step, ...]
    leaf: Leaf
    final_layer: str
    target: str
    candidates: tuple[Candidate, ...]
    ruled_out: dict[str, str]
    snippet: str
    outputs: int
    settings: Settings
    verdict: Verdict | None = None

    @property
    def recommended(self) -> Candidate:
        return self.candidates[0]

    @property
    def computed(self) -> tuple[str, ...]:
        """How the recommended loss's arguments came from the data."""
        return tuple(COMPUTED[name] for name in RECIPES[self.leaf.recipe].computed)

    @property
    def conclusion(self) -> tuple[str, ...]:
        """What the experiment says of the tree's choice; nothing without one."""
        if self.verdict is None:
            return ()
        return sentences(self.verdict, self.leaf, {each.recipe: each.label for each in self.candidates})

    def to_json(self) -> dict[str, Any]:
        """What `lossmith choose --json` prints."""
        return {
            "task": self.leaf.task,
            "recommended": {
                "loss": self.recommended.loss,
                "arguments": self.recommended.arguments,
                "final_layer": self.final_layer,
                "target": self.target,
            },
            "reasons": [*self.table, *self.evidence, self.leaf.why, *self.computed, *self.conclusion],
            "candidates": [
                {"loss": each.loss, "arguments": each.arguments, "metrics": each.metrics} for each in self.candidates
            ],
            "ruled_out": [{"loss": loss, "reason": reason} for loss, reason in self.ruled_out.items()],
        }


def choose(
    data: str | Path,
    target: str | Sequence[str] | None = None,
    *,
    train: bool = True,
    seed: int = 0,
    settings: Settings | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> Choice:
    """Chooses a loss for a table.

    Args:
        data: a CSV, TSV or Parquet file, or the name of a bundled set.
        target: the column to predict, or several; the bundled sets have one of their own.
        train: whether to run the experiment.
        seed: fixes samples, folds and networks, and so every figure.
        settings: how the experiment trains.
        progress: called before each network is trained, with the loss and the number of networks in all.

    Raises:
        BadData: the data can't be used; one line says why.
    """
    with threadpool_limits(1):  # many small fits: threads would cost more than they bring
        choice, found, given = _by_the_tree(read(data, target), settings or Settings(), seed)
        return _with_experiment(choice, found, given, seed, progress) if train else choice


def _by_the_tree(table: Table, settings: Settings, seed: int) -> tuple[Choice, Target, Inputs]:
    """The choice before any experiment, with the target and the inputs that one would need."""
    frame, notes = _complete(table)
    given = inputs(frame.select(table.features))
    found = examine([frame[column] for column in table.target], given, seed)
    path, leaf = walk(found.facts)
    numbers = from_training(found, given, np.arange(frame.height), seed)
    candidates = [
        Candidate(key, RECIPES[key].arguments(numbers), signature(RECIPES[key], numbers))
        for key in (leaf.recipe, *(rival for rival in leaf.rivals if rival != leaf.recipe))
        if key == leaf.recipe or not _idle(RECIPES[key].arguments(numbers))
    ]
    final_layer, form = words(RECIPES[leaf.recipe], found)
    kind = "counts" if found.facts.get("counts") else found.kind
    choice = Choice(
        data=table.name,
        table=(*notes, *given.notes),
        evidence=tuple(found.statements),
        path=tuple(path),
        leaf=leaf,
        final_layer=final_layer,
        target=form,
        candidates=tuple(candidates),
        ruled_out=ruled_out(kind, (candidate.loss for candidate in candidates)),
        snippet=snippet(RECIPES[leaf.recipe], found, numbers),
        outputs=found.outputs,
        settings=settings,
    )
    return choice, found, given


def _with_experiment(
    choice: Choice, found: Target, given: Inputs, seed: int, progress: Callable[[str, int], None] | None
) -> Choice:
    """The choice with what the experiment found."""
    settings, leaf, table = choice.settings, choice.leaf, choice.table
    rows = sample(found, settings, seed)
    if len(rows) < len(found.values):
        table = (*table, f"the experiment runs on a sample of {len(rows):,} rows")
    keys = tuple(candidate.recipe for candidate in choice.candidates)
    scores = experiment(found.take(rows), given.take(rows), keys, leaf.decided_by, settings, seed, progress)
    tried = tuple(replace(each, scores=score) for each, score in zip(choice.candidates, scores, strict=True))
    return replace(choice, table=table, candidates=tried, verdict=judge(scores, leaf.recipe, leaf.decided_by, settings))


def _complete(table: Table) -> tuple[pl.DataFrame, list[str]]:
    """The rows that have a target, with a note on the table and on those that don't."""
    frame = table.frame
    has_target = pl.Series([True] * frame.height)
    for name in table.target:
        column = frame[name]
        present = column.is_not_null()
        if column.dtype.is_float():
            present &= column.is_finite().fill_null(False)
        if not present.any():
            raise BadData(f"target {name!r} has no value at all; every row is missing")
        has_target &= present
    complete = frame.filter(has_target)
    features, targets = _plural("input column", len(table.features)), _plural("target column", len(table.target))
    counted = f"{complete.height:,} rows, {len(table.features)} {features}"
    notes = [f"{table.name}: {counted}; {targets}: {', '.join(table.target)}"]
    if missing := frame.height - complete.height:
        notes.append(f"missing target values: {missing:,} rows have none and are left out")
    return complete, notes


def _plural(noun: str, number: int) -> str:
    return noun if number == 1 else f"{noun}s"


def _idle(arguments: dict[str, Any]) -> bool:
    """Weights that are all 1 change nothing."""
    weights = arguments.get("weight", arguments.get("pos_weight", []))
    return bool(np.size(weights)) and bool(np.allclose(weights, 1, atol=0.01))
