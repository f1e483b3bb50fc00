"""How far a float is from the truth, in units in the last place."""

import functools
import itertools
import math
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy
from mpmath import mp, mpf

from lossmith.formula import Formula

from .textbook import TEXTBOOK, Results


@dataclass(frozen=True)
class Question:
    """Points at which a formula is evaluated, one row a point, and its parameters."""

    operands: tuple[tuple[float, ...], ...]
    parameters: tuple[float, ...]

    def columns(self, dtype: type) -> list[numpy.ndarray]:
        return [numpy.array(column, dtype) for column in zip(*self.operands, strict=True)]


POINTS = 4000 if os.environ.get("LOSSMITH_TESTS") == "all" else 200


def questions(name: str) -> Iterator[Question]:
    """For each set of parameters some points of the grid of the operands' domains (a fixed choice)."""
    definition = TEXTBOOK[name]
    for parameters in definition.parameters:
        grid = list(itertools.product(*definition.domains))
        share = POINTS // len(definition.parameters)
        if len(grid) > share:
            grid = random.Random(name).sample(grid, share)
        yield Question(tuple(grid), parameters)


@functools.cache
def answers(name: str, question: Question) -> list[Results]:
    """The textbook's results at each point."""
    results = TEXTBOOK[name].results
    parameters = [mpf(p) for p in question.parameters]
    return [results(*map(mpf, point), *parameters) for point in question.operands]


def ulps(got: float, truth: mpf, scale: mpf, dtype: type) -> float:
    """The error in ulps of the scale; infinite if a NaN, an infinity or a sign of one is wrong.

    Where the terms overflow, infinities of both signs may have met; and a result below the smallest normal number is
    as good as 0, since many devices flush it.
    """
    limits = numpy.finfo(dtype)
    if truth != truth:
        return 0.0 if got != got else math.inf
    if not math.isfinite(got):
        overflows = abs(truth) > limits.max and got == math.copysign(math.inf, truth)
        return 0.0 if overflows or (scale > limits.max and got != got) else math.inf
    if mp.isinf(truth):
        return math.inf
    if max(abs(got), abs(truth)) < float(limits.smallest_normal):
        return 0.0
    error = abs(mpf(got) - truth)
    return float(error / (mpf(float(limits.eps)) * max(scale, mpf(float(limits.smallest_normal)))))


def beyond(number: mpf, dtype: type) -> bool:
    """Whether a number overflows or underflows."""
    limits = numpy.finfo(dtype)
    return not mp.isinf(number) and number != 0 and not float(limits.smallest_normal) < abs(number) < float(limits.max)


def worst(
    formula: Formula, question: Question, results: Sequence[numpy.ndarray], dtype: type
) -> list[tuple[float, str]]:
    """The greatest error of each result of a formula, and where it is."""
    found = [(0.0, "")] * len(results)
    for row, (point, truths) in enumerate(zip(question.operands, answers(formula.name, question), strict=True)):
        for k, (truth, column) in enumerate(zip(truths, results, strict=True)):
            if truth is None or any(beyond(number, dtype) for number in truth.through):
                continue
            got = float(column[row])
            error = ulps(got, truth.value, truth.scale, dtype)
            if error > found[k][0]:
                names = (*formula.operands, *formula.parameters)
                given = dict(zip(names, (*point, *question.parameters), strict=True))
                what = "value" if k == 0 else f"derivative in {formula.operands[k - 1]}"
                said = f"got {got!r}, expected {mp.nstr(truth.value, 17)}"
                found[k] = (error, f"{formula.name}: {what} at {given}: {said}")
    return found
