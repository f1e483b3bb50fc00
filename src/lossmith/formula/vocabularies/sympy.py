"""The words as SymPy expressions, for reading: mathematics without the care for overflow, NaN and slopes at kinks.

SymPy compares with `==` whether two expressions are written alike; here, as in a formula, `==` is an equation. So a
formula that is bound to this vocabulary computes with what `symbol` makes.
"""

from fractions import Fraction
from typing import Any

import sympy

from ..vocabulary import Real


class Expression:
    """A SymPy expression with the operators of the formula language."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, expression: Any) -> None:
        self.sympy = expression

    def __repr__(self) -> str:
        return f"Expression({self.sympy})"

    def __neg__(self) -> "Expression":
        return Expression(-self.sympy)

    def __add__(self, other: Real) -> "Expression":
        return Expression(self.sympy + to_sympy(other))

    def __sub__(self, other: Real) -> "Expression":
        return Expression(self.sympy - to_sympy(other))

    def __mul__(self, other: Real) -> "Expression":
        return Expression(self.sympy * to_sympy(other))

    def __truediv__(self, other: Real) -> "Expression":
        return Expression(self.sympy / to_sympy(other))

    def __radd__(self, other: Real) -> "Expression":
        return Expression(to_sympy(other) + self.sympy)

    def __rsub__(self, other: Real) -> "Expression":
        return Expression(to_sympy(other) - self.sympy)

    def __rmul__(self, other: Real) -> "Expression":
        return Expression(to_sympy(other) * self.sympy)

    def __rtruediv__(self, other: Real) -> "Expression":
        return Expression(to_sympy(other) / self.sympy)

    def __lt__(self, other: Real) -> Any:
        return sympy.Lt(self.sympy, to_sympy(other))

    def __le__(self, other: Real) -> Any:
        return sympy.Le(self.sympy, to_sympy(other))

    def __gt__(self, other: Real) -> Any:
        return sympy.Gt(self.sympy, to_sympy(other))

    def __ge__(self, other: Real) -> Any:
        return sympy.Ge(self.sympy, to_sympy(other))

    def __eq__(self, other: Real) -> Any:
        return sympy.Eq(self.sympy, to_sympy(other))

    def __ne__(self, other: Real) -> Any:
        return sympy.Ne(self.sympy, to_sympy(other))


def symbol(name: str) -> Expression:
    """A real variable."""
    return Expression(sympy.Symbol(name, real=True))


def to_sympy(x: Real) -> Any:
    """The SymPy expression of an `Expression` or of a number; simple fractions are written as such."""
    if isinstance(x, Expression):
        return x.sympy
    exact = Fraction(str(x))
    return sympy.Rational(exact) if exact.denominator <= 100 else sympy.Float(str(x))


def abs(x: Real) -> Expression:
    return Expression(sympy.Abs(to_sympy(x)))


def sign(x: Real) -> Expression:
    return Expression(sympy.sign(to_sympy(x)))


def step(x: Real) -> Expression:
    return Expression(sympy.Piecewise((1, to_sympy(x) >= 0), (0, True)))


def sqrt(x: Real) -> Expression:
    return Expression(sympy.sqrt(to_sympy(x)))


def exp(x: Real) -> Expression:
    return Expression(sympy.exp(to_sympy(x)))


def expm1(x: Real) -> Expression:
    return exp(x) - 1


def log(x: Real) -> Expression:
    return Expression(sympy.log(to_sympy(x)))


def log1p(x: Real) -> Expression:
    return log(1 + x)


def lgamma(x: Real) -> Expression:
    return Expression(sympy.loggamma(to_sympy(x)))


def digamma(x: Real) -> Expression:
    return Expression(sympy.digamma(to_sympy(x)))


def sigmoid(x: Real) -> Expression:
    return 1 / (1 + exp(-x))


def softplus(x: Real) -> Expression:
    return log(1 + exp(x))


def minimum(x: Real, y: Real) -> Expression:
    return Expression(sympy.Min(to_sympy(x), to_sympy(y)))


def maximum(x: Real, y: Real) -> Expression:
    return Expression(sympy.Max(to_sympy(x), to_sympy(y)))


def hinge(x: Real) -> Expression:
    return maximum(x, 0)


def relu(x: Real) -> Expression:
    return maximum(x, 0)


def floor_at(x: Real, low: Real) -> Expression:
    return maximum(x, low)


def where(condition: Any, x: Real, y: Real) -> Expression:
    return Expression(sympy.Piecewise((to_sympy(x), condition), (to_sympy(y), True)))


def product(x: Real, y: Real) -> Expression:
    return Expression(to_sympy(x) * to_sympy(y))


def xlogy(x: Real, y: Real) -> Expression:
    return product(x, log(y))


def log_probability(p: Real) -> Expression:
    return maximum(log(p), -100)


def log_complement(p: Real) -> Expression:
    return maximum(log(1 - p), -100)
