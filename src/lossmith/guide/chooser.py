"""Chooses a loss: reads the table, examines the target, walks the tree, runs the experiment."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from threadpoolctl import threadpool_limits

import lossmith

from ..card import Language, Text
from .cautions import cautions
from .experiment import Progress, Settings, experiment
from .inputs import Inputs, inputs
from .pairs import examine_pairs, examine_triplets, examples
from .read import BadData, Table, read
from .recipes import COMPUTED, RECIPES, TENSORS, from_training, signature, snippet, words
from .record import Experiment, Scores
from .ruled_out import ruled_out
from .target import Target, as_embedding, examine, with_interval
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
    experiment: Experiment | None = None
    partial: bool = False  # the experiment was interrupted: the scores are of the runs until then

    def criterion(self) -> torch.nn.Module:
        """The recommended loss, ready with its arguments."""
        given = {
            name: torch.tensor(np.atleast_1d(value).tolist()) if name in TENSORS else value
            for name, value in self.recommended.arguments.items()
        }
        module: torch.nn.Module = getattr(lossmith, self.recommended.loss)(**given)
        return module

    def report(self, path: str | Path, language: Language = "en") -> None:
        """Writes the choice as one HTML file, which asks for nothing outside itself."""
        from .report import write

        write(self, Path(path), language)

    @property
    def table(self) -> pl.DataFrame:
        """A row a candidate: loss, arguments, and of each metric the mean over the folds with its 95 % interval."""
        rows = []
        for each in self.candidates:
            row: dict[str, Any] = {"loss": each.loss, "arguments": each.signature.removeprefix(each.loss)[1:-1]}
            for name in self.recommended.metrics:
                ends: tuple[float | None, ...] = (None, None, None)
                if each.scores is not None and name in each.scores.folds:
                    ends = tuple(end if np.isfinite(end) else None for end in each.scores.interval(name))
                row |= dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
            rows.append(row)
        return pl.DataFrame(rows, infer_schema_length=None)

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
        if self.verdict is None or self.experiment is None:
            return ()
        names = {each.recipe: each.label for each in self.candidates}
        return sentences(self.verdict, self.leaf, names, self.experiment, self.found.level)

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
    data: Any,
    target: Any = None,
    *,
    pairs: Sequence[str] | None = None,
    label: Any = None,
    triplets: Sequence[str] | None = None,
    interval: float | None = None,
    embedding: bool = False,
    group: Any = None,
    time: Any = None,
    train: bool = True,
    seed: int = 0,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Choice:
    """Chooses a loss for a table.

    Args:
        data: a CSV, TSV or Parquet file, the name of a bundled set, a DataFrame (polars, pandas), a dictionary of
            columns, or the inputs alone as an array, a tensor or lists of shape (rows, columns).
        target: the column to predict, or several; or the values to predict themselves, of shape (rows) or (rows,
            columns). The bundled sets have one of their own.
        pairs: for pairs of examples, two prefixes: of the columns of the first example (a_0, a_1, ... or a0, a1, ...)
            and of the second.
        label: with pairs, the column (or the values) that says which pairs are alike, or that the first is better: 1
            and -1, or 1 and 0, or the prefix of the better one.
        triplets: for triplets, the three prefixes of anchor, positive and negative.
        interval: the share of the rows that an interval around the prediction of a quantity is to hold, such as 0.9.
        embedding: whether vectors are wanted instead of the target's classes: rows of one class become neighbours, also
            of classes that come later.
        group: a column, or one value a row: in the experiment no group is both learned from and judged by.
        time: a column, or one value a row: in the experiment what is judged comes after all that is learned from.
        train: whether to run the experiment.
        seed: fixes samples, folds and networks, and so every figure.
        settings: how the experiment splits and trains.
        progress: called before each network is trained and at the end: what is trained, networks done, networks in all.

    Returns:
        What was found: `recommended` (the loss, its arguments and scores), `criterion()` (its module, ready), `table`
        (every candidate with its metrics), `snippet`, `reasons`, `warnings`, `report(path)`. If the experiment is
        interrupted (Ctrl-C) after its first fold, the choice holds what was done until then and `partial` is true.

    Raises:
        BadData: the data can't be used; one line says why.

    >>> import lossmith
    >>> choice = lossmith.choose("iris", train=False)
    >>> choice.recommended.loss
    'CrossEntropyLoss'
    >>> choice.criterion()
    CrossEntropyLoss()
    >>> rows, spoiled = [[float(i % 7)] for i in range(40)], [i % 4 == 0 for i in range(40)]
    >>> lossmith.choose(rows, spoiled, train=False).criterion().pos_weight
    tensor([3.])
    """
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(f"choose: seed is {seed!r}, expected a whole number from 0 to {2**32 - 1}")
    prefixes = _prefixes(pairs, triplets, target, label)
    _asked(bool(prefixes), interval, embedding)
    settings = settings or Settings()
    with threadpool_limits(1):  # many small fits: threads would cost more than they bring
        table = read(data, label if pairs else target, group=group, time=time, seed=seed, without_target=bool(triplets))
        if prefixes:
            given = examples(table, prefixes)
            found = (
                examine_pairs(table.frame[table.target[0]], given, prefixes, seed) if pairs else examine_triplets(given)
            )
        else:
            given = inputs(table.frame.select(table.features))
            found = examine([table.frame[column] for column in table.target], given, seed)
            found = found if interval is None else with_interval(found, interval)
            found = as_embedding(found) if embedding else found
        choice = _by_the_tree(table, found, given, settings, seed)
        return _with_experiment(choice, table, given, seed, progress) if train else choice


def _prefixes(pairs: Any, triplets: Any, target: Any, label: Any) -> tuple[str, ...]:
    """The prefixes of the examples' columns; none where each row is one example."""
    if pairs is None and triplets is None:
        if label is not None:
            raise BadData("a label goes with pairs; name the column to predict as the target")
        return ()
    what, given, many = ("pairs", pairs, 2) if triplets is None else ("triplets", triplets, 3)
    if pairs is not None and triplets is not None:
        raise BadData("rows are either pairs or triplets; give one of the two")
    if isinstance(given, str) or len(given) != many or len(set(given)) != many:
        raise BadData(
            f"{what} take {many} different prefixes of columns, such as {['a', 'p', 'n'][-many:]}; got {given!r}"
        )
    if target is not None:
        raise BadData(f"{what} have no target; " + ("name their label instead" if pairs else "their order says all"))
    if pairs is not None and label is None:
        raise BadData("pairs need a label: the column that says which are alike, or which of the two is better")
    if triplets is not None and label is not None:
        raise BadData("triplets have no label; their order says all")
    return tuple(given)


def _asked(several: bool, interval: float | None, embedding: bool) -> None:
    """What is asked for besides a prediction must go together, and with the rows."""
    if interval is not None and embedding:
        raise BadData("ask for an interval, which is of a quantity, or for an embedding, which is of classes; not both")
    if several and (interval is not None or embedding):
        what = "an interval" if interval is not None else "an embedding of labelled rows"
        raise BadData(f"{what} goes with a target, not with pairs or triplets; leave one of the two out")


def _by_the_tree(table: Table, found: Target, given: Inputs, settings: Settings, seed: int) -> Choice:
    """The choice before any experiment."""
    path, leaf = walk(found.facts)
    numbers = from_training(found, given, np.arange(len(given.values)), seed)
    candidates = [
        Candidate(key, RECIPES[key].arguments(numbers), signature(RECIPES[key], numbers))
        for key in (leaf.recipe, *(rival for rival in leaf.rivals if rival != leaf.recipe))
        if key == leaf.recipe or not _idle(RECIPES[key].arguments(numbers))
    ]
    final_layer, form = words(RECIPES[leaf.recipe], found)
    kind = "interval" if found.level else "counts" if found.facts.get("counts") else found.kind
    return Choice(
        data=table.name,
        notes=(*table.notes, *given.notes),
        warnings=cautions(found, given, seed),
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


def _with_experiment(choice: Choice, table: Table, given: Inputs, seed: int, progress: Progress | None) -> Choice:
    """The choice with what the experiment found."""
    found, leaf, notes = choice.found, choice.leaf, choice.notes
    keys = tuple(candidate.recipe for candidate in choice.candidates)
    group, time = (None if column is None else table.frame[column] for column in (table.group, table.time))
    found_out = experiment(found, given, keys, leaf.decided_by, choice.settings, seed, progress, group=group, time=time)
    if (rows := len(found_out.rows) + len(found_out.held_out)) < len(found.values):
        notes = (*notes, Text(f"the experiment runs on a sample of {rows:,} rows", f"实验使用 {rows:,} 行的样本"))
    tried = tuple(replace(each, scores=score) for each, score in zip(choice.candidates, found_out.scores, strict=True))
    verdict = judge(found_out, leaf.recipe, leaf.decided_by)
    return replace(
        choice, notes=notes, candidates=tried, verdict=verdict, experiment=found_out, partial=found_out.partial
    )


def _idle(arguments: dict[str, Any]) -> bool:
    """Weights that are all 1 change nothing."""
    weights = arguments.get("weight", arguments.get("pos_weight", []))
    return bool(np.size(weights)) and bool(np.allclose(weights, 1, atol=0.01))
