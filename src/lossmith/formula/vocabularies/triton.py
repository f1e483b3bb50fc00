"""The words for Triton, as functions that compile for a device and run in Triton's interpreter alike.

Written on the few functions that Triton has in both: its own libdevice has no interpreter, `tl.exp` in float32 rounds
`x * log2(e)` and so is 44 units in the last place off at 88, and `tl.minimum` drops NaN on a device unless asked.
Float32 and float64; half precision is to be cast before.
"""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import triton
import triton.language as tl

INFINITY = tl.constexpr(float("inf"))
PI = tl.constexpr(3.141592653589793)

# lgamma(2 + t) / t for t from -3/4 to 1/2: a Chebyshev fit made at 50 digits, to 9e-19; highest power first
LGAMMA_OVER_LEAD = tl.constexpr(
    (
        7.558472696788447e-08,
        5.025731736555141e-08,
        6.2426286817793866e-09,
        -1.9264000508094273e-07,
        2.0758927598859588e-07,
        -4.018330416059452e-07,
        9.670254916827003e-07,
        -2.052482416724873e-06,
        4.370089307840295e-06,
        -9.43727020655551e-06,
        2.0508175353649692e-05,
        -4.4926464931326535e-05,
        9.945740198894934e-05,
        -0.00022315474408602818,
        0.0005096695320648715,
        -0.0011927539122376619,
        0.002890510330482064,
        -0.007385551028663193,
        0.020580808427788703,
        -0.06735230105319819,
        0.3224670334241132,
        0.42278433509846713,
    )
)
# of Stirling's series, in 1 / x^2: Bernoulli numbers over 2 k (2 k - 1)
LGAMMA_SERIES = tl.constexpr(
    (
        0.00641025641025641,
        -0.0019175269175269176,
        0.0008417508417508417,
        -0.0005952380952380953,
        0.0007936507936507937,
        -0.002777777777777778,
        0.08333333333333333,
    )
)
# digamma(x) / (x - root) for x from 1 to 2, in x - 3/2: a Chebyshev fit made at 50 digits, to 2e-17
DIGAMMA_OVER_LEAD = tl.constexpr(
    (
        -0.00017312261802727394,
        0.00025968482126430747,
        -0.00015148586836773365,
        0.0002272331660987376,
        -0.0004821990530566789,
        0.0007233266279287554,
        -0.0010376374098418604,
        0.0015566317474486838,
        -0.002345267632540769,
        0.003519006401502276,
        -0.005279964873257405,
        0.007926944646403797,
        -0.011908218001568644,
        0.0179072524394512,
        -0.02697579675613825,
        0.04076083381242074,
        -0.061922133273064534,
        0.09498872445494122,
        -0.14840492305390884,
        0.2405424842407742,
        -0.4236274212814605,
        0.951055876031833,
    )
)
# of its series for large x, in 1 / x^2: Bernoulli numbers over 2 k
DIGAMMA_SERIES = tl.constexpr(
    (
        0.08333333333333333,
        -0.021092796092796094,
        0.007575757575757576,
        -0.004166666666666667,
        0.003968253968253968,
        -0.008333333333333333,
        0.08333333333333333,
    )
)


@triton.jit
def where(condition: tl.tensor, x: tl.tensor, y: tl.tensor) -> tl.tensor:
    return tl.where(condition, x, y)


@triton.jit
def abs(x: tl.tensor) -> tl.tensor:
    return tl.abs(x)


@triton.jit
def sign(x: tl.tensor) -> tl.tensor:
    return (x > 0.0).to(x.dtype) - (x < 0.0).to(x.dtype)


@triton.jit
def step(x: tl.tensor) -> tl.tensor:
    return (x >= 0.0).to(x.dtype)


@triton.jit
def minimum(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    return tl.minimum(x, y, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def maximum(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    return tl.maximum(x, y, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def hinge(x: tl.tensor) -> tl.tensor:
    return maximum(x, 0.0)


@triton.jit
def relu(x: tl.tensor) -> tl.tensor:
    return maximum(x, 0.0)


@triton.jit
def floor_at(x: tl.tensor, low: tl.tensor) -> tl.tensor:
    return maximum(x, low)


@triton.jit
def sqrt(x: tl.tensor) -> tl.tensor:
    if x.dtype == tl.float32:
        return tl.sqrt_rn(x)
    else:
        return tl.sqrt(x)


@triton.jit
def log(x: tl.tensor) -> tl.tensor:
    return tl.log(x)


@triton.jit
def _power_of_two(n: tl.tensor) -> tl.tensor:
    """2 to a whole number from -126 to 127, exactly, in float32."""
    return ((n.to(tl.int32) + 127) << 23).to(tl.float32, bitcast=True)


@triton.jit
def exp(x: tl.tensor) -> tl.tensor:
    if x.dtype == tl.float32:
        # outside of this range the result is 0 or infinite
        bounded = minimum(maximum(x, -110.0), 90.0)
        # log(2) in two parts, the first of them so short that its products with n are exact
        n = tl.floor(bounded * 1.4426950408889634 + 0.5)
        rest = (bounded - n * 0.693359375) - n * -0.00021219444005469057
        # in two steps, since the power of two may be subnormal or infinite where the result is not
        half = tl.floor(n * 0.5)
        return tl.exp(rest) * _power_of_two(half) * _power_of_two(n - half)
    else:
        return tl.exp(x)


@triton.jit
def expm1(x: tl.tensor) -> tl.tensor:
    power = exp(x)
    # near 0 the logarithm tells by how much rounding moved the power
    near = (power - 1.0) + power * (x - tl.log(power))
    return tl.where(tl.abs(x) < 1.0, near, power - 1.0)


@triton.jit
def log1p(x: tl.tensor) -> tl.tensor:
    total = 1.0 + x
    # what rounding took from the total, unless that is 0 or infinite
    lost = tl.where((total == 0.0) | (total == INFINITY), 0.0, x - (total - 1.0))
    return tl.log(total) + lost / tl.where(total == 0.0, 1.0, total)


@triton.jit
def sigmoid(x: tl.tensor) -> tl.tensor:
    small = exp(-tl.abs(x))
    return tl.where(x >= 0.0, 1.0, small) / (1.0 + small)


@triton.jit
def softplus(x: tl.tensor) -> tl.tensor:
    return maximum(x, 0.0) + log1p(exp(-tl.abs(x)))


@triton.jit
def product(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    return tl.where((x == 0.0) & (tl.abs(y) == INFINITY), 0.0, x * y)


@triton.jit
def xlogy(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    return tl.where((x == 0.0) & ((y <= 0.0) | (y == INFINITY)), 0.0, x * tl.log(y))


@triton.jit
def log_probability(p: tl.tensor) -> tl.tensor:
    return maximum(tl.log(p), -100.0)


@triton.jit
def log_complement(p: tl.tensor) -> tl.tensor:
    return maximum(log1p(-p), -100.0)


@triton.jit
def _polynomial(s: tl.tensor, coefficients: tl.constexpr, count: tl.constexpr) -> tl.tensor:
    total = tl.zeros_like(s)
    for i in tl.static_range(count):
        total = total * s + coefficients[i]
    return total


@triton.jit
def _lgamma_of_positive(x: tl.tensor) -> tl.tensor:
    inverse = 1.0 / x
    series = inverse * _polynomial(inverse * inverse, LGAMMA_SERIES, 7)
    large = (x - 0.5) * (tl.log(x) - 1.0) + 0.4189385332046727 + series
    # lgamma(x) = lgamma(2 + lead) + a logarithm; below 5/4 by steps up, which keep the lead of what is near 1 exact
    up = tl.where(x < 0.5, x * (x + 1.0), x)
    down = tl.zeros_like(x) + 1.0
    lead = tl.where(x < 0.5, x, tl.where(x < 1.25, x - 1.0, x - 2.0))
    for _ in tl.static_range(8):
        above = lead > 0.5
        down = tl.where(above, down * (lead + 1.0), down)
        lead = tl.where(above, lead - 1.0, lead)
    log_factor = tl.where(x < 1.25, -tl.log(up), tl.log(down))
    small = lead * _polynomial(lead, LGAMMA_OVER_LEAD, 22) + log_factor
    return tl.where(x == INFINITY, x, tl.where(x >= 10.0, large, small))


@triton.jit
def lgamma(x: tl.tensor) -> tl.tensor:
    y = tl.abs(x)
    part = y - tl.floor(y)
    sine = tl.sin(tl.where(part > 0.5, 1.0 - part, part) * PI)
    of_positive = _lgamma_of_positive(y)
    reflected = tl.where(part == 0.0, INFINITY, -tl.log(sine / PI) - tl.log(y) - of_positive)
    return tl.where((x < 0.0) & (y < INFINITY), reflected, of_positive)


@triton.jit
def _digamma_of_positive(x: tl.tensor) -> tl.tensor:
    inverse = 1.0 / x
    square = inverse * inverse
    large = tl.log(x) - 0.5 * inverse - square * _polynomial(square, DIGAMMA_SERIES, 7)
    # shifted into 1 to 2, where the root is taken out, so that the relative accuracy holds beside it
    base = tl.where(x < 1.0, x + 1.0, x)
    shift = tl.where(x < 1.0, -inverse, 0.0)
    for _ in tl.static_range(8):
        above = base > 2.0
        base = tl.where(above, base - 1.0, base)
        shift = tl.where(above, shift + 1.0 / base, shift)
    lead = (base - 1.4616320133209229) - 1.3164743948970015e-07
    small = lead * _polynomial(base - 1.5, DIGAMMA_OVER_LEAD, 22) + shift
    return tl.where(x >= 10.0, large, small)


@triton.jit
def digamma(x: tl.tensor) -> tl.tensor:
    y = tl.abs(x)
    part = y - tl.floor(y)
    angle = tl.where(part > 0.5, part - 1.0, part) * PI
    of_positive = _digamma_of_positive(tl.where(x < 0.0, y, x))
    reflected = of_positive + 1.0 / y + tl.cos(angle) / tl.sin(angle) * PI
    undefined = (part == 0.0) | (y == INFINITY)
    return tl.where(x < 0.0, tl.where(undefined, float("nan"), reflected), of_positive)
