"""Every word of the language on every backend, to the last place."""

import itertools
import math

import numpy
import pytest
from mpmath import mp, mpf

from lossmith.formula.vocabularies import mpmath as exact

from .accuracy import POINTS, questions, ulps, worst
from .discovery import FORMULAS, OF_WORDS
from .runners import compiled, on_torch, on_triton
from .test_formulas import hold

LIMIT = 4.0
PROBABILITIES = {"log_probability", "log_complement"}
DTYPES = [numpy.float32, numpy.float64]
each_word = pytest.mark.parametrize("word", OF_WORDS)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)

EDGES = [0.0, 1.0, -1.0, 2.0, -2.0, 0.5, 1.4616321, 88.7, 89.0, -87.3, -87.4, -103.0, math.inf, -math.inf, math.nan]


def points(word: str) -> list[numpy.ndarray]:
    """Numbers of all sizes that float32 has exactly, and the edges; each with each for the words of two."""
    random = numpy.random.default_rng(0)
    if word in PROBABILITIES:
        tails = 10.0 ** random.uniform(-30, 0, POINTS)
        return [numpy.float32(numpy.concatenate([tails, 1 - tails, [0, 1, math.nan]]))]
    sizes = numpy.concatenate([10.0 ** random.uniform(-30, 30, POINTS // 2), 10.0 ** random.uniform(-8, 2.5, POINTS)])
    near = numpy.concatenate([random.uniform(0, 3, POINTS), 1 + random.uniform(-1e-3, 1e-3, POINTS // 4)])
    numbers = numpy.float32(numpy.concatenate([sizes, -sizes, near, EDGES]))
    if len(OF_WORDS[word].operands) == 1:
        return [numbers]
    edges = numpy.float32(list(itertools.product(EDGES, EDGES))).T
    return [numpy.concatenate([random.permutation(numbers), edges[0]]), numpy.concatenate([numbers, edges[1]])]


def errors(word: str, operands: list[numpy.ndarray], results: numpy.ndarray, backend: str = "") -> list[str]:
    """Where the results are more than the limit off."""
    bound, found = OF_WORDS[word].bind(vars(exact)), []
    for *point, result in zip(*operands, results, strict=True):
        truth = mp.make_mpf(bound(*(exact.number(float(x)) for x in point))[0]._mpf_)
        scale = abs(truth)
        if word in ("lgamma", "digamma") and point[0] < 0:  # by reflection, a sum with what it is at -x
            scale += mpf(1) + abs(mp.make_mpf(bound(exact.number(-float(point[0])))[0]._mpf_))
        if word == "digamma" and backend == "torch":  # a sum from log(10) down, which cancels at its zero
            scale += 2
        error = ulps(float(result), truth, scale, operands[0].dtype.type)
        if error > LIMIT:
            where = f"{word}{tuple(map(float, point))}"
            found.append(f"{where}: {error:.3g} ulp, got {result}, expected {mp.nstr(truth, 17)}")
    return found


@each_dtype
@each_word
def test_torch(word, dtype):
    operands = [column.astype(dtype) for column in points(word)]
    if word == "digamma":  # torch's own; no loss takes it of negative numbers
        operands = [column[~(column < 0)] for column in operands]
    if word == "floor_at":  # of finite numbers, since its slope is made of x - x
        operands = [column[operands[0] > -math.inf] for column in operands]
    assert not errors(word, operands, on_torch(OF_WORDS[word], operands, ())[0], "torch")


@each_dtype
@each_word
def test_printed_cpp(word, dtype):
    operands = [column.astype(dtype) for column in points(word)]
    run = compiled(*FORMULAS.values(), *OF_WORDS.values())
    assert not errors(word, operands, run(OF_WORDS[word], operands, ())[0])


def test_triton():
    """All words and all formulas in Triton's interpreter, in one process, since Triton takes its time to start."""
    words = [(word, [column.astype(dtype) for column in points(word)]) for word in OF_WORDS for dtype in DTYPES]
    formulas = [(formula, question) for name, formula in FORMULAS.items() for question in questions(name)]
    results = on_triton(
        [(OF_WORDS[word], operands, ()) for word, operands in words]
        + [(formula, question.columns(numpy.float32), question.parameters) for formula, question in formulas]
    )
    assert not [line for (word, x), (found, *_) in zip(words, results, strict=False) for line in errors(word, x, found)]
    for (formula, question), found in zip(formulas, results[len(words) :], strict=True):
        hold(worst(formula, question, found, numpy.float32))
