"""Formulas as LaTeX."""

import re

import pytest

from lossmith.formula import formula
from lossmith.formula.latex import latex
from oracle.discovery import FORMULAS, OF_WORDS, define

HUBER = r"""
\begin{aligned}
r &= x - y \\
\text{clipped} &= \min\left(\delta, \max\left(- \delta, r\right)\right) \\
\ell &= \text{clipped} \, \left(- \frac{\text{clipped}}{2} + r\right) \\
\frac{\partial \ell}{\partial x} &= \text{clipped} \\
\frac{\partial \ell}{\partial y} &= - \text{clipped}
\end{aligned}
"""


def test_huber():
    assert latex(FORMULAS["huber"]) == HUBER.strip()


def test_letters_can_be_chosen():
    found = latex(FORMULAS["huber"], {"prediction": r"\hat y", "clipped": "c"})
    assert r"r &= \hat y - y" in found
    assert r"\frac{\partial \ell}{\partial \hat y} &= c" in found


def test_what_is_used_once_stands_where_it_is_used():
    @formula
    def loss(x, y):
        a = x * y
        b = a + 1.0
        return b * b, 2.0 * y * b, 2.0 * x * b

    assert r"a &=" not in latex(loss)
    assert r"b &= x \, y + 1 \\" in latex(loss)


def test_a_choice_is_a_list_of_cases():
    assert r"\ell &= \begin{cases} x & \text{for}\: x < y \\y & \text{otherwise} \end{cases}" in latex(
        OF_WORDS["where"]
    )


def test_a_choice_inside_of_a_choice_is_one_list():
    nested = "where(x < 0.0, 0.0 * x, where(x < 1.0, x, 2.0 * x))"
    found = latex(define(f"@formula\ndef f(x):\n    return {nested}, x\n", "f"))
    assert found.count(r"\begin{cases}") == 1
    assert found.count(r"\\x") + found.count(r"\\2") == 2


def test_an_equation_is_an_equation():
    found = latex(define("@formula\ndef f(x, y):\n    return where(x == y, x, 0.0), x, y\n", "f"))
    assert r"\text{for}\: x = y" in found


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("log(x)", r"\log{\left(x \right)}"),
        ("lgamma(x + 1.0)", r"\log \Gamma\left(x + 1\right)"),
        ("digamma(x)", r"\psi\left(x\right)"),
        ("digamma(x) * digamma(x)", r"\left(\psi\left(x\right)\right)^{2}"),
        ("hinge(x)", r"\max\left(0, x\right)"),
        ("softplus(x)", r"\log{\left(e^{x} + 1 \right)}"),
        ("sigmoid(x)", r"\frac{1}{1 + e^{- x}}"),
        ("abs(x)", r"\left|{x}\right|"),
        ("xlogy(x, x)", r"x \, \log{\left(x \right)}"),
        ("maximum(x, 1e-12)", r"\max\left(10^{-12}, x\right)"),
        ("0.5 * x", r"\frac{x}{2}"),
        ("0.9189385332046728 * x", r"0.9189385332046728 \, x"),
    ],
)
def test_words(call, expected):
    found = latex(define(f"@formula\ndef f(x):\n    return {call}, x\n", "f"))
    assert rf"\ell &= {expected} \\" in found


@pytest.mark.parametrize("name", FORMULAS)
def test_every_formula(name):
    """Balanced, a line for the value and for each derivative that there is, and nothing of Python or SymPy left."""
    formula, text = FORMULAS[name], latex(FORMULAS[name])
    assert text.count("{") == text.count("}")
    assert len(re.findall(r"\\begin", text)) == len(re.findall(r"\\end", text))
    assert text.count(r"\left") == text.count(r"\right")
    assert text.count(r"\frac{\partial \ell}") == sum(formula.differentiable)
    assert not re.search(r"Piecewise|Max|Min|operatorname\{(?!sign)|_[a-z]{2}|\bnan\b|zoo", text), text
