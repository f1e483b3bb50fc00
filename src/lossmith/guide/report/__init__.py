"""The report: a choice as one HTML page that needs nothing else."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import lossmith

from ...card import Language, Text
from ..chooser import Choice
from ..metrics import METRICS
from ..recipes import RECIPES
from ..tree import TREE, Leaf, Question
from . import experiment_figures, loss_figures, target_figures
from .glossary import GLOSSARY
from .panel import Panel
from .svg import number

__all__ = ["page", "write"]


def write(choice: Choice, path: str | Path, language: Language = "en") -> Path:
    """Writes the report and returns its path; folders that are missing are made.

    The page is one file of well under a megabyte: figures, style and script are inside, and it asks for nothing from
    outside. The same choice gives the same bytes.

    Args:
        choice: what `choose` found.
        path: where the page goes, such as `reports/houses.html`.
        language: `en` or `zh`.

    Raises:
        ValueError: another language.
        OSError: the path can't be written.
    """
    text = page(choice, language)
    written = Path(path)
    written.parent.mkdir(parents=True, exist_ok=True)
    written.write_text(text, encoding="utf-8", newline="\n")
    return written


def page(choice: Choice, language: Language = "en") -> str:
    """The report as HTML."""
    if language not in ("en", "zh"):
        raise ValueError(f"report: language is {language!r}, expected 'en' or 'zh'")
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "text": lambda words: words(language)}
    return environment.get_template("page.html").render(
        choice=choice,
        language=language,
        say=lambda en, zh: en if language == "en" else zh,
        version=lossmith.__version__,
        figures={name: list(draw(choice, language)) for name, draw in FIGURES.items()},
        tree=list(_branches(TREE, "", [step.answer for step in choice.path])),
        table=_table(choice),
        metrics={name: METRICS[name] for name in experiment_figures.metrics_of(choice)},
        ruled_out=_by_reason(choice.ruled_out, language),
        glossary=sorted(((term(language), meaning(language)) for term, meaning in GLOSSARY)),
    )


FIGURES: dict[str, Callable[[Choice, Language], Iterator[Panel]]] = {
    "target": target_figures.of_target,
    "residuals": target_figures.of_residuals,
    "candidates": loss_figures.of_candidates,
    "differences": experiment_figures.of_differences,
    "metrics": experiment_figures.of_metrics,
    "learning": experiment_figures.of_learning,
    "calibration": experiment_figures.of_calibration,
}


@dataclass(frozen=True)
class Branch:
    """One node of the drawn tree."""

    answer: str  # of the question above: yes, no, or empty at the root
    taken: bool
    asks: Text | None  # None at a leaf
    task: Text | None
    loss: str
    below: tuple["Branch", ...]


def _branches(node: Question | Leaf, answer: str, answers: list[bool] | None) -> Iterator[Branch]:
    """The tree from a node on; `answers` are those that lie ahead, None where the path has gone another way."""
    if isinstance(node, Leaf):
        yield Branch(answer, answers is not None, None, node.task, RECIPES[node.recipe].loss, ())
        return
    ahead = {True: None, False: None} | ({answers[0]: answers[1:]} if answers else {})
    below = (*_branches(node.yes, "yes", ahead[True]), *_branches(node.no, "no", ahead[False]))
    yield Branch(answer, answers is not None, node.asks, None, "", below)


def _table(choice: Choice) -> list[dict[str, Any]]:
    """The rows of the table of metrics: each candidate with (mean, low, high) or nothing, and its held-out values."""
    return [
        {
            "label": candidate.label,
            "cells": {
                name: candidate.scores.interval(name) if name in candidate.scores.folds else None
                for name in experiment_figures.metrics_of(choice)
            },
            "held_out": dict(candidate.scores.held_out),
        }
        for candidate in choice.candidates
        if candidate.scores is not None
    ]


def _by_reason(ruled_out: dict[str, Text], language: Language) -> dict[str, list[str]]:
    """Losses with the same reason share a line."""
    reasons: dict[str, list[str]] = {}
    for loss, reason in ruled_out.items():
        reasons.setdefault(reason(language), []).append(loss)
    return reasons
