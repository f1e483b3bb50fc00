"""Chooses a loss: reads the table, examines the target, walks the tree, runs the experiment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from .experiment import Scores, Settings, experiment
from .inputs import inputs
from .read import BadData, Table, read
from .recipes import RECIPES, from_training, signature, snippet, words
from .ruled_out import ruled_out
from .target import examine
from .tree import Leaf, Step, walk
from .verdict import Verdict, judge, sentences


@dataclass(frozen=True)
class Candidate:
    """A loss with its arguments, and what the experiment found for it (nothing without one)."""

    recipe: str
    loss: str
    arguments: dict[str, Any]
    signature: str
    scores: Scores | None = None

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
    settings: Settings
    verdict: Verdict | None = None

    @property
    def recommended(self) -> Candidate:
        return self.candidates[0]

    @property
    def conclusion(self) -> tuple[str, ...]:
        """What the experiment says of the tree's choice; nothing without one."""
        if self.verdict is None:
            return ()
        return sentences(self.verdict, self.leaf, {each.recipe: each.signature for each in self.candidates})

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
            "reasons": [*self.table, *self.evidence, self.leaf.why, *self.conclusion],
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
        progress: called before each network is trained, with the candidate and the number of networks in all.

    Raises:
        BadData: the data can't be used; one line says why.
    """
    settings = settings or Settings()
    table = read(data, target)
    frame, notes = _complete(table)
    given = inputs(frame.select(table.features))
    found = examine([frame[column] for column in table.target], given, seed)
    path, leaf = walk(found.facts)

    everything = np.arange(frame.height)
    numbers = from_training(found, given.design(everything), everything, seed)
    candidates = [
        Candidate(key, RECIPES[key].loss, RECIPES[key].arguments(numbers), signature(RECIPES[key], numbers))
        for key in leaf.rivals
        if key == leaf.recipe or not _idle(RECIPES[key].arguments(numbers))
    ]
    candidates.sort(key=lambda candidate: candidate.recipe != leaf.recipe)
    verdict = None
    if train:
        rows = np.sort(np.random.default_rng(seed).permutation(frame.height)[: settings.most_rows])
        if len(rows) < frame.height:
            notes.append(f"the experiment runs on a sample of {len(rows):,} rows")
        keys = tuple(candidate.recipe for candidate in candidates)
        report = progress or (lambda candidate, networks: None)
        networks = len(keys) * settings.runs
        scores = experiment(
            found.take(rows), given.take(rows), keys, leaf.decided_by, settings, seed,
            lambda key: report(next(each.signature for each in candidates if each.recipe == key), networks),
        )
        verdict = judge(scores, leaf.recipe, leaf.decided_by, settings)
        candidates = [
            Candidate(each.recipe, each.loss, each.arguments, each.signature, score)
            for each, score in zip(candidates, scores, strict=True)
        ]
    final_layer, form = words(RECIPES[leaf.recipe], found)
    kind = "counts" if found.facts.get("counts") else found.kind
    return Choice(
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
        settings=settings,
        verdict=verdict,
    )


def _complete(table: Table) -> tuple[pl.DataFrame, list[str]]:
    """The rows that have a target, with a note on the table and on those that don't."""
    frame = table.frame
    columns = ", ".join(table.target)
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
    inputs = len(table.features)
    notes = [f"{table.name}: {complete.height:,} rows, {inputs} input column{'s' * (inputs != 1)}, target {columns}"]
    if missing := frame.height - complete.height:
        notes.append(f"missing target values: {missing:,} rows have none and are left out")
    return complete, notes


def _idle(arguments: dict[str, Any]) -> bool:
    """Weights that are all 1 change nothing."""
    weights = arguments.get("weight") or arguments.get("pos_weight") or []
    return bool(weights) and all(abs(weight - 1) < 0.01 for weight in weights)
