"""Every loss's formula as a textbook has it, in plain mpmath at 50 digits, with torch's constants and subgradients.

Each definition gives, for the value and for the derivative in each operand, the terms of a sum: the result is the sum
of the terms, and what rounding may cost is measured in the sum of their magnitudes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from mpmath import digamma, exp, expm1, inf, isinf, log, log1p, loggamma, mp, mpf, nan, pi, polygamma, sinh, sqrt, tanh

mp.dps = 50


class Sum:
    """A sum of terms.

    rounding: by how many ulps of 1 the rounding of an inner sum, such as y + 1, moves the result.
    through: numbers on the way to it, which must not overflow or underflow for a promise to be made.
    """

    def __init__(self, *terms: Any, rounding: Any = 0, through: Sequence[Any] = ()) -> None:
        self.value = sum(terms, mpf(0))
        self.scale = sum(map(abs, terms), mpf(abs(rounding)))
        self.through = through


UNDEFINED = Sum(nan)
SKIPPED = None
"""No promise is made of this result."""

Results = list[Sum | None]


@dataclass(frozen=True)
class Definition:
    """A textbook definition, the points of each operand's domain, and the sets of parameters to try."""

    results: Callable[..., Results]
    domains: tuple[Sequence[float], ...]
    parameters: Sequence[tuple[float, ...]] = ((),)


TEXTBOOK: dict[str, Definition] = {}


def single(*points: float) -> list[float]:
    """Numbers that float32 has exactly, so that all backends and both dtypes are asked the same question."""
    return [float(numpy.float32(point)) for point in points]


def both_signs(*points: float) -> list[float]:
    return [0.0, *single(*points), *single(*(-p for p in points))]


BEYOND = (1e-30, 1e-10, 1e-3, 0.3, 0.5, 1.0, 1.5, 7.0, 20.0, 50.0, 80.0, 87.0, 1e3, 1e5, 1e10, 1e20, 1e30, inf)
REALS = both_signs(*BEYOND)
NOT_NEGATIVE = [0.0, *single(*BEYOND)]
COUNTS = [*single(0, 1e-30, 1e-3, 0.3, 0.46, 1, 1.5, 2, 3, 7, 10, 30, 1000, 1e6, 1e10, 1e30)]
SIGNS = [-1.0, 1.0]
UNIT = single(0, 1e-30, 1e-14, 1e-12, 1e-7, 1e-3, 0.3, 0.5, 0.7, 0.999, 1 - 2**-23, 1 - 2**-24, 1)
LOGS = single(0, *(-p for p in BEYOND))


def define(*domains: Sequence[float], parameters: Sequence[tuple[float, ...]] = ((),)) -> Callable[[Any], Any]:
    def register(results: Callable[..., Results]) -> Callable[..., Results]:
        TEXTBOOK[results.__name__] = Definition(results, domains, [tuple(single(*row)) for row in parameters])
        return results

    return register


def sgn(x: Any) -> int:
    return (x > 0) - (x < 0)


def times(x: Any, y: Any) -> Any:
    """0 times infinity is 0: what does not count costs nothing, whatever its cost."""
    return mpf(0) if x == 0 and isinf(y) else x * y


def softplus(x: Any) -> Any:
    return log1p(exp(x)) if not isinf(x) else max(x, mpf(0))


def sigmoid(x: Any) -> Any:
    return 1 / (1 + exp(-x)) if not isinf(x) else mpf(x > 0)


def near_tie(x: Any, *terms: Any) -> bool:
    """Rounding may put x on the other side of 0."""
    return x != 0 and abs(x) < mpf(2) ** -20 * sum(map(abs, terms))


@define(REALS, REALS)
def l1(x, y):
    return [Sum(abs(x - y)), Sum(sgn(x - y)), Sum(-sgn(x - y))]


@define(REALS, REALS)
def mse(x, y):
    return [Sum((x - y) ** 2), Sum(2 * (x - y)), Sum(2 * (y - x))]


@define(REALS, REALS, parameters=[(1.0,), (0.3,), (1e-10,), (1e10,)])
def huber(x, y, delta):
    e = x - y
    if e != e:
        return [UNDEFINED] * 3
    if abs(e) <= delta:
        return [Sum(e**2 / 2), Sum(e), Sum(-e)]
    return [Sum(delta * abs(e), -(delta**2) / 2), Sum(delta * sgn(e)), Sum(-delta * sgn(e))]


@define(REALS, REALS, parameters=[(1.0,), (0.3,), (1e-10,), (1e10,)])
def smooth_l1(x, y, beta):
    e = x - y
    if e != e:
        return [UNDEFINED] * 3
    if abs(e) < beta:
        return [Sum(e**2 / (2 * beta)), Sum(e / beta), Sum(-e / beta)]
    return [Sum(abs(e), -beta / 2), Sum(sgn(e)), Sum(-sgn(e))]


PRICES = single(0.001, 0.1, 0.5, 0.999)


@define(REALS, REALS, PRICES, PRICES)
def pinball(x, y, over, under):
    e = x - y
    if e != e:
        return [UNDEFINED, SKIPPED, SKIPPED, UNDEFINED, UNDEFINED]
    slope = over if e > 0 else -under if e < 0 else mpf(0)
    return [Sum(abs(e * slope)), Sum(slope), Sum(-slope), Sum(max(e, mpf(0))), Sum(max(-e, mpf(0)))]


@define(REALS, REALS)
def log_cosh(x, y):
    """Relatively exact: one term."""
    e = x - y
    if e != e:
        return [UNDEFINED] * 3
    value = log1p(2 * sinh(e / 2) ** 2) if not isinf(e) else mpf(inf)
    return [Sum(value), Sum(tanh(e)), Sum(-tanh(e))]


@define(REALS, REALS, parameters=[(1e-3,), (1.0,), (1e-30,), (1e30,)])
def charbonnier(x, y, eps):
    e = x - y
    if e != e:
        return [UNDEFINED] * 3
    value = sqrt(e**2 + eps**2)
    slope = e / value if not isinf(e) else mpf(sgn(e))
    return [Sum(value), Sum(slope), Sum(-slope)]


@define(UNIT, UNIT)
def bce(p, y):
    log_p = max(log(p), mpf(-100)) if p > 0 else mpf(-100)
    log_q = max(log1p(-p), mpf(-100)) if p < 1 else mpf(-100)
    spread = max(p * (1 - p), mpf(10) ** -12)
    return [Sum(-y * log_p, -(1 - y) * log_q), Sum(p / spread, -y / spread), Sum(-log_p, log_q)]


@define(REALS, UNIT, single(0, 0.3, 1, 2.5, 100))
def bce_with_logits(x, y, w):
    if_one, if_zero = softplus(-x), softplus(x)
    return [
        Sum(times(w * y, if_one), times(1 - y, if_zero)),
        Sum((1 - y) * sigmoid(x), -w * y * sigmoid(-x)),
        Sum(times(w, if_one), -if_zero) if not isinf(x) else SKIPPED,
        Sum(times(y, if_one)) if not isinf(x) or y == 0 else SKIPPED,
    ]


GAMMAS = [(0.0, 1.0), (0.5, 0.0), (1.0, 0.0), (2.5, 0.0), (5.0, 0.0)]
"""With 0 to the gamma."""


def focal_results(s, gamma) -> Results:
    if isinf(s):
        return [Sum(s), Sum(1)]
    miss = -expm1(-s)
    power = miss**gamma
    pull = gamma * miss ** (gamma - 1) * exp(-s) * s if miss > 0 else mpf(0)
    return [Sum(power * s), Sum(power, pull, through=(miss, power, power * s))]


@define([s for s in NOT_NEGATIVE if s != 1e30], parameters=GAMMAS)
def focal(s, gamma, _):
    """Rounding the logarithm of the power, gamma log(1 - p), moves the power by as much."""
    moved = 1 + abs(gamma * log(-expm1(-s))) if s > 0 else 1
    return [rounded(result, moved) for result in focal_results(s, gamma)]


@define(NOT_NEGATIVE)
def focal_squared(s):
    return focal_results(s, mpf(2))


def rounded(result: Sum, times: Any) -> Sum:
    """The same, where rounding costs a multiple of what it costs elsewhere."""
    return Sum(result.value, rounding=times * result.scale - abs(result.value), through=result.through)


def sigmoid_focal_results(x, t, of_ones, of_zeros, gamma) -> Results:
    one, zero, p, q = softplus(-x), softplus(x), sigmoid(x), sigmoid(-x)
    weight = of_ones * t + of_zeros * (1 - t)
    cost = times(t, one) + times(1 - t, zero)
    miss = p * (1 - t) + q * t
    power = miss**gamma if miss > 0 else mpf(gamma == 0)
    if isinf(x):
        # a right answer costs nothing, with no slope; of a wrong one the power is (t or 1 - t)^gamma
        in_target = Sum(0) if cost == 0 and gamma > 0 else SKIPPED
        value = Sum(weight * power * cost if cost else 0, through=(power,))
        return [value, Sum(weight * power * (p - t)), in_target]
    slope = gamma * miss ** (gamma - 1) if miss > 0 else mpf(0)
    passed = (power, miss, weight * cost, weight * power * cost, slope * cost)
    return [
        Sum(weight * power * cost, through=passed),
        Sum(weight * power * p * (1 - t), -weight * power * q * t, weight * slope * p * q * (1 - 2 * t) * cost,
            through=passed),
        Sum((of_ones - of_zeros) * power * cost, -weight * power * x, weight * slope * q * cost,
            -weight * slope * p * cost, through=passed),
    ]  # fmt: skip


WEIGHTS = [(0.25, 0.75), (1.0, 1.0)]


@define(REALS, UNIT, parameters=[(*w, *g) for w in WEIGHTS for g in GAMMAS])
def sigmoid_focal(x, t, of_ones, of_zeros, gamma, _):
    miss = sigmoid(x) * (1 - t) + sigmoid(-x) * t
    moved = 1 + abs(gamma * log(miss)) if miss > 0 else 1
    return [result and rounded(result, moved) for result in sigmoid_focal_results(x, t, of_ones, of_zeros, gamma)]


@define(REALS, UNIT, parameters=WEIGHTS)
def sigmoid_focal_squared(x, t, of_ones, of_zeros):
    return sigmoid_focal_results(x, t, of_ones, of_zeros, mpf(2))


PIXELS = single(0, 1e-10, 1e-3, 0.5, 1, 7, 1e3, 1e6, 1e10)


@define(PIXELS, PIXELS, PIXELS, parameters=[(0.5, 0.5, 0.5, 0), (0.3, 0.7, 1e-5, 0), (1, 0, 0, 1e-5), (2, 1, 1, -0.5)])
def tversky(tp, fp, fn, alpha, beta, smooth, gap):
    index = (tp + smooth) / (tp + alpha * fp + beta * fn + smooth + gap)
    whole = (tp + smooth) / index if index else alpha * fp + beta * fn + gap
    lack = Sum(alpha * fp / whole, beta * fn / whole, gap / whole)
    in_common = Sum(-lack.value / whole, rounding=(lack.scale - abs(lack.value)) / whole)
    return [lack, in_common, Sum(alpha * index / whole), Sum(beta * index / whole)]


@define(REALS, SIGNS)
def soft_margin(x, y):
    return [Sum(softplus(-y * x)), Sum(-y * sigmoid(-y * x)), Sum(-x * sigmoid(-y * x)) if not isinf(x) else SKIPPED]


@define(NOT_NEGATIVE, SIGNS, parameters=[(1.0,), (0.3,), (1e10,)])
def hinge_embedding(d, y, margin):
    if y == 1:
        return [Sum(d), Sum(1), Sum(0)]
    lead = margin - d
    slope = SKIPPED if near_tie(lead, margin, d) else Sum(-1 if lead >= 0 else 0)
    return [Sum(max(lead, mpf(0))), slope, Sum(0)]


@define(REALS, REALS, SIGNS, parameters=[(0.0,), (0.3,), (1e10,), (-1.0,)])
def margin_ranking(a, b, y, margin):
    lead = a - b
    shortfall = margin - y * lead
    if lead != lead:
        return [UNDEFINED, Sum(0), Sum(0), UNDEFINED]
    if near_tie(shortfall, lead, margin):
        return [Sum(max(shortfall, mpf(0)), rounding=abs(lead) + abs(margin)), SKIPPED, SKIPPED, SKIPPED]
    if shortfall < 0:
        return [Sum(0), Sum(0), Sum(0), Sum(0) if not isinf(lead) else SKIPPED]
    return [Sum(margin, -y * lead), Sum(-y), Sum(y), Sum(-lead) if not isinf(lead) else SKIPPED]


@define(single(-1, -0.5, -1e-10, 0, 1e-30, 1e-3, 0.3, 0.5, 0.999, 1), SIGNS, parameters=[(0.0,), (0.3,), (-0.5,)])
def cosine_embedding(cosine, y, margin):
    if y == 1:
        return [Sum(1 - cosine), Sum(-1), Sum(0)]
    excess = cosine - margin
    return [Sum(max(excess, mpf(0))), Sum(1 if excess >= 0 else 0), Sum(0)]


MARGINS = [(1.0, 0.0), (0.3, 0.3), (1e10, 1.5)]


@define(NOT_NEGATIVE, SIGNS, parameters=MARGINS)
def contrastive(d, y, margin, positive_margin):
    """Y of the paper is 0 for y = 1 here, and 1 for y = -1."""
    lack = max(d - positive_margin if y == 1 else margin - d, mpf(0))
    return [Sum(lack**2 / 2), Sum(y * lack), Sum(0)]


@define(NOT_NEGATIVE, SIGNS, parameters=MARGINS)
def contrastive_hinge(d, y, margin, positive_margin):
    lack = d - positive_margin if y == 1 else margin - d
    return [Sum(max(lack, mpf(0))), Sum(y if lack >= 0 else 0), Sum(0)]


@define(NOT_NEGATIVE, NOT_NEGATIVE, parameters=[(1.0,), (0.3,), (1e10,)])
def triplet(positive, negative, margin):
    terms = (margin, positive, -negative)
    shortfall = sum(terms)
    if shortfall != shortfall:
        return [UNDEFINED, Sum(0), Sum(0)]
    value = Sum(*terms) if shortfall > 0 else Sum(0, rounding=sum(map(abs, terms)) if not isinf(shortfall) else 0)
    if near_tie(shortfall, *terms):
        return [value, SKIPPED, SKIPPED]
    return [value, Sum(int(shortfall >= 0)), Sum(-int(shortfall >= 0))]


@define(LOGS, UNIT)
def kl(x, q):
    if q == 0:  # what can't happen costs nothing
        return [Sum(0), Sum(0), Sum(-x if not isinf(x) else 0)]
    return [Sum(q * log(q), -q * x), Sum(-q), Sum(log(q), 1, -x)]


@define(LOGS, LOGS)
def kl_of_logs(x, log_q):
    q = exp(log_q)
    if isinf(x) and -800 < log_q < -80:  # float32 has no such probability, float64 does
        return [SKIPPED, Sum(-q), SKIPPED]
    if isinf(log_q) or (isinf(x) and log_q < -80):
        return [Sum(0), Sum(0), Sum(0)]
    return [Sum(q * (log_q - x)), Sum(-q), Sum(q * (log_q - x), q)]


def js_results(p, q, log_p, log_q, beta, rest) -> Results:
    """The value, and the derivatives in p and q themselves.

    Through the logarithm of p / q come a rounding, and what cancels in a derivative: over e to its size, 45 at most.
    """
    if not p or not q:
        return [Sum(-beta * q * log(beta), -rest * p * log(rest)), Sum(-rest * log(rest) if p else 0),
                Sum(-beta * log(beta) if q else 0)]  # fmt: skip
    mixture = beta * q + rest * p
    over_p, over_q, ratio = log(p / mixture), log(q / mixture), min(abs(log_p - log_q), mpf(45))
    moved = beta * rest * (abs(log_p) + abs(log_q) + max(p, q) / mixture)
    passed = [min(p, q) * exp(-ratio)]
    return [
        Sum(beta * q * over_q, rest * p * over_p),
        Sum(rest * over_p, rounding=moved, through=passed),
        Sum(beta * over_q, rounding=moved, through=passed),
    ]


def scaled(result: Sum, factor: Any) -> Sum:
    """A derivative, times another."""
    value = factor * result.value
    return Sum(value, rounding=factor * result.scale - abs(value), through=result.through)


SHARES = [(0.5, 0.5), (0.125, 0.875), (0.75, 0.25)]


@define(LOGS, UNIT, parameters=SHARES)
def js(x, q, beta, rest):
    p = exp(x)
    value, slope, of_target = js_results(p, q, x, log(q) if q else -inf, beta, rest)
    return [value, scaled(slope, p), of_target]


@define(LOGS, LOGS, parameters=SHARES)
def js_of_logs(x, log_q, beta, rest):
    p, q = exp(x), exp(log_q)
    value, slope, of_target = js_results(p, q, x, log_q, beta, rest)
    return [value, scaled(slope, p), scaled(of_target, q)]


@define(REALS, REALS)
def wasserstein_critic(fake, real):
    return [Sum(fake, -real), Sum(1), Sum(-1)]


@define(REALS, REALS, NOT_NEGATIVE, parameters=[(10.0,), (0.0,)])
def penalised_wasserstein_critic(fake, real, penalty, weight):
    return [Sum(fake, -real, weight * penalty), Sum(1), Sum(-1), Sum(weight)]


GAUSSIAN = [(1e-6, 0.0), (1e-6, 0.9189385), (0.5, 0.0)]


def gaussian_results(x, y, variance, eps, constant) -> Results:
    e, v = x - y, max(variance, eps)
    if isinf(v):
        return [Sum(inf if not isinf(e) else nan), Sum(e / v), Sum(-e / v), Sum(0 if not isinf(e) else nan)]
    square, step = e**2 / v, e / v**2
    slope = Sum(1 / (2 * v), -square / (2 * v), through=(square, step) if not isinf(e) else ())
    return [Sum(log(v) / 2, square / 2, constant, through=(square,)), Sum(e / v), Sum(-e / v), slope]


@define(REALS, REALS, NOT_NEGATIVE, parameters=GAUSSIAN)
def gaussian(x, y, variance, eps, constant):
    """torch's number: the derivative in the variance passes the floor."""
    return gaussian_results(x, y, variance, eps, constant)


@define(REALS, REALS, NOT_NEGATIVE, parameters=GAUSSIAN)
def gaussian_clamped(x, y, variance, eps, constant):
    *others, slope = gaussian_results(x, y, variance, eps, constant)
    return [*others, Sum(0) if variance < eps else slope]


@define(REALS, REALS, parameters=[(1e-6, 0.0), (1.0, 0.9189385), (1e10, 0.0)])
def gaussian_of_one_variance(x, y, variance, constant):
    e = x - y
    return [Sum(e**2 / (2 * variance), constant), Sum(e / variance), Sum(-e / variance)]


def stirling_terms(k) -> tuple[list, list]:
    """log(k!) as torch has it: nothing up to 1."""
    return ([k * log(k), -k, log(2 * pi * k) / 2], [log(k), 1 / (2 * k)]) if k > 1 else ([], [])


def factorial_terms(k) -> tuple[list, list, Any, Any]:
    """log(k!) exactly; k + 1 is rounded on the way."""
    n = k + 1
    return [loggamma(n)], [digamma(n)], abs(digamma(n)) * n, polygamma(1, n) * n


@define(COUNTS)
def stirling(k):
    value, slope = stirling_terms(k)
    return [Sum(*value), Sum(*slope)]


def of_log(x, k) -> tuple[list, list, list]:
    return [exp(x), -times(k, x)], [exp(x), -k], [-x if k != 0 or not isinf(x) else mpf(0)]


@define(REALS, COUNTS)
def poisson_of_log(x, k):
    return [Sum(*terms) for terms in of_log(x, k)]


@define(REALS, COUNTS)
def poisson_of_log_stirling(x, k):
    (value, slope, of_count), (more, slope_of_more) = of_log(x, k), stirling_terms(k)
    return [Sum(*value, *more), Sum(*slope), Sum(*of_count, *slope_of_more)]


@define(REALS, COUNTS)
def poisson_of_log_exact(x, k):
    (value, slope, of_count), (more, slope_of_more, lost, slope_lost) = of_log(x, k), factorial_terms(k)
    return [Sum(*value, *more, rounding=lost), Sum(*slope), Sum(*of_count, *slope_of_more, rounding=slope_lost)]


def of_rate(rate, k, eps) -> tuple[list, list, list]:
    """torch adds 1e-8 to the rate inside the logarithm."""
    return [rate, -times(k, log(rate + eps))], [mpf(1), -k / (rate + eps)], [-log(rate + eps)]


RATES = [rate for rate in NOT_NEGATIVE if rate != inf]


@define(RATES, COUNTS, parameters=[(1e-8,), (0.5,)])
def poisson(rate, k, eps):
    value, slope, of_count = of_rate(rate, k, eps)
    return [Sum(*value, rounding=k), Sum(*slope), Sum(*of_count, rounding=1)]


@define(RATES, COUNTS, parameters=[(1e-8,)])
def poisson_stirling(rate, k, eps):
    (value, slope, of_count), (more, slope_of_more) = of_rate(rate, k, eps), stirling_terms(k)
    return [Sum(*value, *more, rounding=k), Sum(*slope), Sum(*of_count, *slope_of_more, rounding=1)]


@define(RATES, COUNTS, parameters=[(1e-8,)])
def poisson_exact(rate, k, eps):
    (value, slope, of_count), (more, slope_of_more, lost, slope_lost) = of_rate(rate, k, eps), factorial_terms(k)
    return [
        Sum(*value, *more, rounding=k + lost),
        Sum(*slope),
        Sum(*of_count, *slope_of_more, rounding=1 + slope_lost),
    ]
