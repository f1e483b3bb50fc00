"""Chooses a loss: reads the table, examines the target, walks the tree, runs the experiment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from threadpoolctl import threadpool_limits

import lossmith

from ..card import Language, Text
from .experiment import Scores, Settings, experiment, sample
from .inputs import Inputs, inputs
from .read import BadData, Table, read
from .recipes import COMPUTED, RECIPES, TENSORS, from_training, signature, snippet, words
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
    notes: tuple[Text, ...]  # rows, inputs, what is missing
    warnings: tuple[Text, ...]  # what one should look at before training
    evidence: tuple[Text, ...]  # what the target is, and how that is known
    path: tuple[Step, ...]
    leaf: Leaf
    final_layer: Text
    target: Text
    candidates: tuple[Candidate, ...]
    ruled_out: dict[str, Text]
    snippet: str
    found: Target
    settings: Settings
    verdict: Verdict | None = None
    partial: bool = False  # the experiment was interrupted: the scores are of the runs until then

    def criterion(self) -> torch.nn.Module:
        """The recommended loss, ready with its arguments."""
        given = {
            name: torch.tensor(value) if name in TENSORS else value
            for name, value in self.recommended.arguments.items()
        }
        module: torch.nn.Module = getattr(lossmith, self.recommended.loss)(**given)
        return module

    def report(self, path: str | Path, language: Language = "en") -> None:
        """Writes the choice as one HTML file, which asks for nothing outside itself."""
        from .report import write

        write(self, Path(path), language)

    @property
    def recommended(self) -> Candidate:
        return self.candidates[0]

    @property
    def computed(self) -> tuple[Text, ...]:
        """How the recommended loss's arguments came from the data."""
        return tuple(COMPUTED[name] for name in RECIPES[self.leaf.recipe].computed)

    @property
    def conclusion(self) -> tuple[Text, ...]:
        """What the experiment says of the tree's choice; nothing without one."""
        if self.verdict is None:
            return ()
        return sentences(self.verdict, self.leaf, {each.recipe: each.label for each in self.candidates})

    @property
    def reasons(self) -> tuple[Text, ...]:
        """Everything that led to the recommendation, from the table to the experiment."""
        return (*self.notes, *self.evidence, self.leaf.why, *self.computed, *self.conclusion)

    def to_json(self) -> dict[str, Any]:
        """What `lossmith choose --json` prints."""
        return {
            "task": self.leaf.task.en,
            "recommended": {
                "loss": self.recommended.loss,
                "arguments": self.recommended.arguments,
                "final_layer": self.final_layer.en,
                "target": self.target.en,
            },
            "reasons": [reason.en for reason in self.reasons],
            "warnings": [warning.en for warning in self.warnings],
            "candidates": [
                {"loss": each.loss, "arguments": each.arguments, "metrics": each.metrics} for each in self.candidates
            ],
            "ruled_out": [{"loss": loss, "reason": reason.en} for loss, reason in self.ruled_out.items()],
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
        notes=(*notes, *given.notes),
        warnings=(),
        evidence=tuple(found.statements),
        path=tuple(path),
        leaf=leaf,
        final_layer=final_layer,
        target=form,
        candidates=tuple(candidates),
        ruled_out=ruled_out(kind, (candidate.loss for candidate in candidates)),
        snippet=snippet(RECIPES[leaf.recipe], found, numbers),
        found=found,
        settings=settings,
    )
    return choice, found, given


def _with_experiment(
    choice: Choice, found: Target, given: Inputs, seed: int, progress: Callable[[str, int], None] | None
) -> Choice:
    """The choice with what the experiment found."""
    settings, leaf, notes = choice.settings, choice.leaf, choice.notes
    rows = sample(found, settings, seed)
    if len(rows) < len(found.values):
        sampled = Text(f"the experiment runs on a sample of {len(rows):,} rows", f"实验使用 {len(rows):,} 行的样本")
        notes = (*notes, sampled)
    keys = tuple(candidate.recipe for candidate in choice.candidates)
    scores = experiment(found.take(rows), given.take(rows), keys, leaf.decided_by, settings, seed, progress)
    tried = tuple(replace(each, scores=score) for each, score in zip(choice.candidates, scores, strict=True))
    return replace(choice, notes=notes, candidates=tried, verdict=judge(scores, leaf.recipe, leaf.decided_by, settings))


def _complete(table: Table) -> tuple[pl.DataFrame, list[Text]]:
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
    rows, width = f"{complete.height:,}", len(table.features)
    notes = [
        Text(
            f"{table.name}: {rows} rows, {width} {_plural('input column', width)}; "
            f"{_plural('target column', len(table.target))}: {', '.join(table.target)}",
            f"{table.name}：{rows} 行，{width} 个输入列；目标列：{'、'.join(table.target)}",
        )
    ]
    if missing := frame.height - complete.height:
        notes.append(
            Text(
                f"missing target values: {missing:,} rows have none and are left out",
                f"缺失的目标值：{missing:,} 行没有目标值，已略去",
            )
        )
    return complete, notes


def _plural(noun: str, number: int) -> str:
    return noun if number == 1 else f"{noun}s"


def _idle(arguments: dict[str, Any]) -> bool:
    """Weights that are all 1 change nothing."""
    weights = arguments.get("weight", arguments.get("pos_weight", []))
    return bool(np.size(weights)) and bool(np.allclose(weights, 1, atol=0.01))
