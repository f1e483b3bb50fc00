"""The words at 50 digits, with NaN, infinity and division by zero as IEEE arithmetic has them: the oracle of the tests.

A formula that is bound to this vocabulary computes with what `number` makes; floats are taken exactly.
"""

from typing import Any

from mpmath.ctx_mp import MPContext

from ..vocabulary import Real

context = MPContext()
context.dps = 50

nan, inf = context.nan, context.inf


def number(x: float) -> Real:
    """A float as it is, to its last bit."""
    return context.mpf(x)


def _divide(x: Real, y: Real) -> Real:
    if y == 0:
        return nan if x == 0 or x != x else inf if x > 0 else -inf
    return _finite_division(x, y)


# mpmath raises where a number is divided by zero; this context's numbers, which are its own, do as floats do
_finite_division: Any = context.mpf.__truediv__
context.mpf.__truediv__ = _divide
context.mpf.__rtruediv__ = lambda y, x: _divide(context.convert(x), y)


def abs(x: Real) -> Real:
    return context.fabs(x)


def sign(x: Real) -> Real:
    return context.mpf((x > 0) - (x < 0))


def step(x: Real) -> Real:
    return context.mpf(x >= 0)


def sqrt(x: Real) -> Real:
    return nan if x < 0 else context.sqrt(x)


def exp(x: Real) -> Real:
    return context.exp(x)


def expm1(x: Real) -> Real:
    return context.expm1(x) if context.isfinite(x) else exp(x) - 1


def log(x: Real) -> Real:
    return nan if x < 0 else context.log(x)


def log1p(x: Real) -> Real:
    return context.log1p(x) if context.isfinite(x) and x > -1 else log(1 + x)


def lgamma(x: Real) -> Real:
    if context.isinf(x) or (x <= 0 and context.isint(x)):
        return inf
    return context.re(context.loggamma(x))


def digamma(x: Real) -> Real:
    if x == 0:
        return -inf
    return nan if x < 0 and (context.isinf(x) or context.isint(x)) else context.digamma(x)


def sigmoid(x: Real) -> Real:
    return 1 / (1 + exp(-x))


def softplus(x: Real) -> Real:
    return log1p(exp(x))


def minimum(x: Real, y: Real) -> Real:
    return x if x < y or x != x else y


def maximum(x: Real, y: Real) -> Real:
    return x if x > y or x != x else y


def hinge(x: Real) -> Real:
    return maximum(x, context.zero)


def relu(x: Real) -> Real:
    return maximum(x, context.zero)


def floor_at(x: Real, low: Real) -> Real:
    return maximum(x, low)


def where(condition: Any, x: Real, y: Real) -> Real:
    return x if condition else y


def product(x: Real, y: Real) -> Real:
    return context.zero if x == 0 and context.isinf(y) else x * y


def xlogy(x: Real, y: Real) -> Real:
    return context.zero if x == 0 and (y <= 0 or y == inf) else x * log(y)


def log_probability(p: Real) -> Real:
    return maximum(log(p), context.mpf(-100))


def log_complement(p: Real) -> Real:
    return maximum(log1p(-p), context.mpf(-100))
