"""Each formula against the textbook over extreme points: at most 4 ulp of the sum of the terms' magnitudes."""

import math
from typing import Any

import numpy
import pytest
from mpmath import mp, mpf

from lossmith.facts import Interval
from lossmith.formula.vocabularies import mpmath as exact
from lossmith.losses import all_losses

from .accuracy import answers, questions, worst
from .discovery import FORMULAS, OF_WORDS
from .runners import by_autograd, compiled, on_torch
from .textbook import SIGNS, TEXTBOOK

LIMIT = 4.0
each_formula = pytest.mark.parametrize("name", FORMULAS)
each_dtype = pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64], ids=lambda dtype: dtype.__name__)


def hold(found: list[tuple[float, str]]) -> None:
    beyond = [f"{error:.3g} ulp, {where}" for error, where in found if error > LIMIT]
    assert not beyond, "\n".join(beyond)


def test_every_formula_has_a_textbook_definition():
    assert not FORMULAS.keys() - TEXTBOOK.keys()
    called = {name for formula in FORMULAS.values() for name in formula.subformulas}
    assert not TEXTBOOK.keys() - FORMULAS.keys() - called


def is_within(points: list[float], domain: Any) -> bool:
    """Whether the points lie in a domain, and hold its closed ends."""
    if domain == "signs":
        return list(points) == SIGNS
    named = {"log-probabilities": Interval(-math.inf, 0.0), "probabilities": Interval(0.0, 1.0)}
    domain = named.get(domain, domain) if isinstance(domain, str) else domain
    inside = all(domain.low <= point <= domain.high for point in points)
    ends = [domain.low] * (not domain.open_low) + [domain.high] * (not domain.open_high)
    return inside and all(end in points or (end == math.inf and max(points) >= 1e30) for end in ends)


@pytest.mark.parametrize("loss", [loss for loss in all_losses().values() if loss.formulas], ids=lambda loss: loss.name)
def test_points_are_those_of_the_declared_domains(loss):
    for formula in loss.formulas:
        points = dict(zip(formula.operands, TEXTBOOK[formula.name].domains, strict=True))
        arguments = {"log_input": "log_rate" in points, "log_target": "log_target" in points}
        for role, operands in {
            "prediction": ("prediction", "log_prediction", "probability", "log_rate", "rate", "first", "second"),
            "target": ("target", "log_target"),
        }.items():
            declared = getattr(loss.facts, role)
            for operand in points.keys() & set(operands):
                domain = declared(**arguments) if callable(declared) else declared
                assert is_within(list(points[operand]), domain), (formula, operand, domain)


@each_formula
def test_at_50_digits(name):
    """The formula itself is right: what is left of its error is that its literals are doubles."""
    formula = FORMULAS[name]
    bound = formula.bind(vars(exact))
    for question in questions(name):
        parameters = [exact.number(p) for p in question.parameters]
        for point, truths in zip(question.operands, answers(name, question), strict=True):
            if any(map(math.isinf, point)):
                continue
            for k, (truth, got) in enumerate(zip(truths, bound(*map(exact.number, point), *parameters), strict=True)):
                if truth is not None:
                    error = abs(mp.make_mpf(mpf(got)._mpf_) - truth.value)
                    assert error <= mpf(10) ** -15 * truth.scale, (name, k, point, question.parameters, got)


@each_dtype
@each_formula
def test_torch(name, dtype):
    formula = FORMULAS[name]
    for question in questions(name):
        hold(worst(formula, question, on_torch(formula, question.columns(dtype), question.parameters), dtype))


@each_dtype
@each_formula
def test_autograd(name, dtype):
    formula = FORMULAS[name]
    for question in questions(name):
        hold(worst(formula, question, by_autograd(formula, question.columns(dtype), question.parameters), dtype))


@each_dtype
@each_formula
def test_printed_cpp(name, dtype):
    formula, run = FORMULAS[name], compiled(*FORMULAS.values(), *OF_WORDS.values())
    for question in questions(name):
        hold(worst(formula, question, run(formula, question.columns(dtype), question.parameters), dtype))


@each_formula
def test_nan_goes_through(name):
    """But for a target that is a sign, which is compared: there torch's value is kept."""
    formula, definition = FORMULAS[name], TEXTBOOK[name]
    run = compiled(*FORMULAS.values(), *OF_WORDS.values())
    inside = [sorted(points)[len(points) // 2] for points in definition.domains]
    for position, points in enumerate(definition.domains):
        if list(points) == SIGNS:
            continue
        operands = [numpy.full(9, math.nan if position == p else x, numpy.float32) for p, x in enumerate(inside)]
        for runner in (on_torch, by_autograd, run):
            value = runner(formula, operands, definition.parameters[0])[0]
            assert numpy.isnan(value).all(), (name, formula.operands[position], runner)


def test_the_limit_is_missed_by_a_careless_formula():
    formula, question = FORMULAS["soft_margin"], next(questions("soft_margin"))
    x, y = question.columns(numpy.float32)
    with numpy.errstate(over="ignore"):
        careless = numpy.log(1 + numpy.exp(-x * y))
    (error, _), *_ = worst(formula, question, [careless, *on_torch(formula, [x, y], ())[1:]], numpy.float32)
    assert error > LIMIT
