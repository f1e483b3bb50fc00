"""Numbers of any range: m, in 1 to 2, and the exponent e of a power of two; 0 is 0 * 2^-inf."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import triton
import triton.language as tl

from ....formula.vocabularies.triton import maximum

INFINITY = tl.constexpr(float("inf"))
LN2, INVERSE_LN2 = tl.constexpr(0.6931471805599453), tl.constexpr(1.4426950408889634)
# ln 2 in two parts, the first of them so short that its products with whole numbers are exact
LN2_HIGH, LN2_LOW = tl.constexpr(0.6931471803691238), tl.constexpr(1.9082149292705877e-10)
MOST_EXACT = tl.constexpr(-(2.0**51))
LOST = tl.constexpr(-200.0)
MANTISSA, ONE = tl.constexpr(0x000FFFFFFFFFFFFF), tl.constexpr(0x3FF0000000000000)


@triton.jit
def power_of_two(n: tl.tensor) -> tl.tensor:
    """2 to a whole number from -1022 to 1023."""
    return ((n.to(tl.int64) + 1023) << 52).to(tl.float64, bitcast=True)


@triton.jit
def plus(a_m: tl.tensor, a_e: tl.tensor, b_m: tl.tensor, b_e: tl.tensor) -> tl.tensor:
    """A sum. What is 2^-200 of the other is lost beside it."""
    e = tl.where(a_e > b_e, a_e, b_e)
    # of two that are 0 the difference of the exponents would be NaN
    of_a = maximum(tl.where(a_e == e, 0.0, a_e - e), LOST)
    of_b = maximum(tl.where(b_e == e, 0.0, b_e - e), LOST)
    m = a_m * power_of_two(of_a) + b_m * power_of_two(of_b)
    return m, e


@triton.jit
def times(a_m: tl.tensor, a_e: tl.tensor, b_m: tl.tensor, b_e: tl.tensor) -> tl.tensor:
    """A product, with m in 1 to 2."""
    m, e = a_m * b_m, a_e + b_e
    bits = m.to(tl.int64, bitcast=True)
    scaled = ((bits & MANTISSA) | ONE).to(tl.float64, bitcast=True)
    return tl.where(e > -INFINITY, scaled, 0.0), e + ((bits >> 52) - 1023).to(tl.float64)


@triton.jit
def exponential(x: tl.tensor) -> tl.tensor:
    e = tl.floor(x * INVERSE_LN2 + 0.5)
    rest = tl.where(e > MOST_EXACT, x - e * LN2_HIGH - e * LN2_LOW, 0.0)  # from there on it is all rounding
    return tl.where(e > -INFINITY, tl.exp(rest), 0.0), e
