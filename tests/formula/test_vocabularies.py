"""Every vocabulary has every word with its arguments, and the slopes of torch's words are those that are promised."""

import builtins
import inspect
import math
import re

import pytest
import sympy
import torch
from torch.autograd import forward_ad

import lossmith.formula
from lossmith.formula.cpp import VOCABULARY
from lossmith.formula.vocabularies import mpmath as mpmath_words
from lossmith.formula.vocabularies import sympy as sympy_words
from lossmith.formula.vocabularies import torch as torch_words
from lossmith.formula.vocabularies import triton as triton_words
from lossmith.formula.vocabulary import WORDS

each_word = pytest.mark.parametrize("word", WORDS)


@each_word
@pytest.mark.parametrize("vocabulary", [torch_words, mpmath_words, sympy_words], ids=lambda v: v.__name__)
def test_python_vocabularies(vocabulary, word):
    function = getattr(vocabulary, word)
    if isinstance(function, type(torch.exp)) and not inspect.isfunction(function):
        assert WORDS[word].arity == 1  # torch's own, which have no signature
    else:
        assert ", ".join(inspect.signature(function).parameters) == WORDS[word].arguments


@each_word
def test_triton_vocabulary(word):
    assert ", ".join(getattr(triton_words, word).arg_names) == WORDS[word].arguments


@each_word
def test_cpp_vocabulary(word):
    found = re.findall(rf"template <typename T>\ninline T {word}\((.*?)\) {{", VOCABULARY.read_text())
    assert len(found) == 1
    arguments = [argument.split()[-1] for argument in found[0].split(", ")]
    assert ", ".join(arguments) == WORDS[word].arguments


@each_word
def test_words_can_be_imported(word):
    assert word in lossmith.formula.__all__ or word in vars(builtins)


@each_word
def test_sympy_means_what_mpmath_means(word):
    """At points where neither is at a limit."""
    for x, y in ((0.25, 0.75), (0.75, 0.25), (0.5, 0.5)):
        numbers = [x, y][: WORDS[word].arity] if word != "where" else [x, y]
        exact = [mpmath_words.number(number) for number in numbers]
        symbols = [sympy_words.Expression(sympy.Rational(number)) for number in numbers]
        if word == "where":
            exact, symbols = [exact[0] <= exact[1], *exact], [symbols[0] <= symbols[1], *symbols]
        expected = getattr(mpmath_words, word)(*exact)
        found = getattr(sympy_words, word)(*symbols).sympy
        assert abs(float(sympy.N(found, 30)) - float(expected)) <= 1e-15 * abs(float(expected)), (x, y)


# the slope of each word of one operand at its kinks and at the ends of its domain
INF, NAN = math.inf, math.nan
SLOPES = {
    "abs": {0.0: 0, 2.0: 1, -2.0: -1, INF: 1, -INF: -1},
    "sign": {0.0: 0, 2.0: 0, -INF: 0, NAN: 0},
    "step": {0.0: 0, 2.0: 0, -2.0: 0, -INF: 0, NAN: 0},
    "sqrt": {0.0: INF, 4.0: 0.25, INF: 0},
    "exp": {0.0: 1, -INF: 0, INF: INF},
    "expm1": {0.0: 1, -INF: 0, INF: INF},
    "log": {0.0: INF, 2.0: 0.5, INF: 0},
    "log1p": {-1.0: INF, 0.0: 1, INF: 0},
    "lgamma": {1.0: -0.5772156649015329, INF: INF},
    "digamma": {1.0: math.pi**2 / 6},
    "sigmoid": {0.0: 0.25, INF: 0, -INF: 0},
    "softplus": {0.0: 0.5, INF: 1, -INF: 0, 1e4: 1, -1e4: 0},
    "hinge": {0.0: 1, 2.0: 1, -2.0: 0, INF: 1, -INF: 0},
    "relu": {0.0: 0, 2.0: 1, -2.0: 0, INF: 1, -INF: 0},
    "log_probability": {0.0: 1e12, 1e-14: (1 - 1e-14) / 1e-12, 0.5: 2, 1.0: 0},
    "log_complement": {0.0: 0, 1e-14: -1e-2, 0.5: -2, 1 - 2**-47: -(1 - 2**-47) / 1e-12, 1.0: -1e12},
}
# of two: the slopes in both
SLOPES_OF_TWO = {
    "minimum": {(1.0, 1.0): (0.5, 0.5), (1.0, 2.0): (1, 0), (INF, 2.0): (0, 1)},
    "maximum": {(1.0, 1.0): (0.5, 0.5), (1.0, 2.0): (0, 1), (-INF, 2.0): (0, 1)},
    "product": {(0.0, 2.0): (2, 0), (0.0, INF): (0, 0), (0.0, -INF): (0, 0), (2.0, INF): (INF, 2)},
    "xlogy": {(0.0, 0.0): (0, 0), (0.0, 2.0): (math.log(2), 0), (0.0, INF): (0, 0), (2.0, 4.0): (math.log(4), 0.5)},
}


def slopes(word: str, point: tuple[float, ...]) -> list[float]:
    operands = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in point]
    value = getattr(torch_words, word)(*operands)
    if not value.requires_grad:
        return [0.0] * len(operands)
    return [g.item() for g in torch.autograd.grad(value, operands)]


def test_slopes_of_all_words_are_tried():
    others = {"where", "floor_at"}
    assert SLOPES.keys() | SLOPES_OF_TWO.keys() | others == WORDS.keys()


@pytest.mark.parametrize("word", SLOPES)
def test_slopes(word):
    accuracy = 1e-9 if word == "digamma" else 1e-14  # torch's trigamma is no better
    for x, expected in SLOPES[word].items():
        assert slopes(word, (x,)) == [pytest.approx(expected, rel=accuracy)], x


@pytest.mark.parametrize("word", SLOPES_OF_TWO)
def test_slopes_of_two(word):
    for point, expected in SLOPES_OF_TWO[word].items():
        assert slopes(word, point) == [pytest.approx(e, rel=1e-14) for e in expected], point


@pytest.mark.parametrize("word", ["minimum", "maximum"])
def test_a_tie_with_a_number_has_slope_1(word):
    for function in (lambda x: getattr(torch_words, word)(x, 1.0), lambda x: getattr(torch_words, word)(1.0, x)):
        x = torch.tensor(1.0, requires_grad=True)
        function(x).backward()
        assert x.grad == 1


def test_where_hides_the_slope_of_what_it_does_not_take():
    x, y = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([3.0, 1.0], requires_grad=True)
    torch_words.where(x < y, x, y).sum().backward()
    assert x.grad.tolist() == [1, 0] and y.grad.tolist() == [0, 1]


def test_a_floor_lets_every_gradient_through():
    x = torch.tensor([-1.0, 0.5, 2.0], requires_grad=True)
    floored = torch_words.floor_at(x, 0.5)
    assert floored.tolist() == [0.5, 0.5, 2.0]
    (floored * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [1, 2, 3]


@pytest.mark.parametrize("with_grad", [True, False])
@pytest.mark.parametrize("word", ["log_probability", "log_complement"])
def test_slopes_of_floored_logarithms_in_forward_mode(word, with_grad):
    points = torch.tensor(list(SLOPES[word]), dtype=torch.float64)
    with torch.set_grad_enabled(with_grad):
        _, found = torch.func.jvp(getattr(torch_words, word), (points,), (torch.ones_like(points),))
        with forward_ad.dual_level():
            dual = getattr(torch_words, word)(forward_ad.make_dual(points, torch.ones_like(points)))
            torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, found)
    torch.testing.assert_close(found, torch.tensor(list(SLOPES[word].values()), dtype=torch.float64))


def test_second_slopes_are_finite_at_kinks():
    for word in ("abs", "sigmoid", "softplus", "hinge", "relu"):
        x = torch.tensor([0.0, 40.0, -40.0], dtype=torch.float64, requires_grad=True)
        (first,) = torch.autograd.grad(getattr(torch_words, word)(x).sum(), x, create_graph=True)
        if first.requires_grad:
            assert torch.autograd.grad(first.sum(), x)[0].isfinite().all(), word


def test_numbers_keep_the_dtype_of_the_operand():
    x = torch.tensor([0.1, 2.0], dtype=torch.float64)
    for result in (
        torch_words.minimum(x, 0.3),
        torch_words.maximum(0.3, x),
        torch_words.where(x > 1, x, 0.3),
        torch_words.product(0.3, x),
        torch_words.xlogy(x, 0.3),
        torch_words.floor_at(x, 0.3),
    ):
        assert result.dtype == torch.float64
    assert torch_words.minimum(x, 0.3)[1].item() == 0.3
    assert torch_words.xlogy(x, 0.3)[1].item() == pytest.approx(2 * math.log(0.3), rel=1e-15)
