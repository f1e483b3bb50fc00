"""The distances of vectors on a GPU, and which way each number of a vector moves them.

Squares of float32 are summed in float64, in which none overflows or vanishes; float64 is scaled by a power of two.
"""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import math

import triton
import triton.language as tl

from ....formula.vocabularies.triton import exp, log, minimum, sign, sqrt
from .rows import greatest, inverse_near, numbers_at, size_bits

INFINITY = tl.constexpr(math.inf)


@triton.jit
def difference(
    x: tl.tensor, y: tl.tensor, columns: tl.tensor, width: tl.tensor, eps: tl.tensor, NORM: tl.constexpr
) -> tl.tensor:
    """x - y + eps, 0 beyond the rows. For squares in float64, for others rounded as torch's are."""
    if NORM == "euclidean":
        x = x.to(tl.float64)
        y = y.to(tl.float64)
    return tl.where((columns < width)[None, :], x - y + eps.to(x.dtype), 0.0)


@triton.jit
def power(x: tl.tensor, exponent: tl.tensor) -> tl.tensor:
    """Of numbers of 0 or more, to an exponent that is not 0; in float64."""
    return exp(exponent * log(x))


@triton.jit
def powers(difference: tl.tensor, unit: tl.tensor, p: tl.tensor, NORM: tl.constexpr) -> tl.tensor:
    """|difference / unit| ** p, and its direction: the power with an exponent less by 1, with the difference's sign."""
    difference = difference.to(tl.float64)
    share = tl.abs(difference) / unit[:, None]
    if NORM == "concave":
        whole = power(share, p)
        # next to 0 the directions have no bound, and are 0
        below = tl.where((share <= 1e-12) | (share == INFINITY), 0.0, whole / tl.where(share == 0.0, 1.0, share))
    else:
        below = power(share, p - 1.0)
        whole = below * share
    return whole, tl.where(difference < 0.0, -below, below)


@triton.jit
def distance(
    x: tl.tensor,
    y: tl.tensor,
    kept: tl.tensor,
    width: tl.tensor,
    eps: tl.tensor,
    p: tl.tensor,
    limit: tl.tensor,
    NORM: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    ONCE: tl.constexpr,
) -> tl.tensor:
    """The distance of vectors, its slope, and a unit, in float64: the derivative in x is the slope times `direction`.

    limit: what a sum of powers is at most, if p is below 1.
    """
    unit = tl.full((ROWS,), 1.0, tl.float64)
    if NORM == "greatest" or NORM == "minkowski" or NORM == "concave" or (NORM == "euclidean" and WIDE):
        most = tl.zeros((ROWS, BLOCK), tl.int64 if WIDE else tl.int32)
        for start in range(0, BLOCK if ONCE else width, BLOCK):
            columns = start + tl.arange(0, BLOCK)
            a = numbers_at(x, columns, kept, width, WIDE)
            b = numbers_at(y, columns, kept, width, WIDE)
            most = tl.maximum(most, size_bits(difference(a, b, columns, width, eps, NORM), WIDE))
        unit = greatest(most, WIDE)
        if NORM == "euclidean":
            unit = tl.where(unit < INFINITY, inverse_near(unit), 1.0)
        elif NORM != "greatest":
            unit = tl.where((unit > 0.0) & (unit < INFINITY), unit, 1.0)
    total = tl.zeros((ROWS, BLOCK), tl.float64)
    for start in range(0, BLOCK if ONCE else width, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        a = numbers_at(x, columns, kept, width, WIDE)
        b = numbers_at(y, columns, kept, width, WIDE)
        apart = difference(a, b, columns, width, eps, NORM)
        if NORM == "euclidean":
            apart = apart * unit[:, None]
            total += apart * apart
        elif NORM == "manhattan":
            total += tl.abs(apart).to(tl.float64)
        elif NORM == "greatest":
            total += ((tl.abs(apart).to(tl.float64) == unit[:, None]) & (columns < width)[None, :]).to(tl.float64)
        else:
            total += powers(apart, unit, p, NORM)[0]
    found = tl.sum(total, 1)
    if NORM == "euclidean":
        root = sqrt(found)
        apart = root / unit
        slope = tl.where(found == 0.0, 0.0, 1.0 / tl.where(found == 0.0, 1.0, root))
    elif NORM == "manhattan":
        apart = found
        slope = tl.full((ROWS,), 1.0, tl.float64)
    elif NORM == "greatest":
        apart = unit
        slope = tl.where(unit == 0.0, 0.0, 1.0 / found)  # ties share it evenly
    else:
        slope = tl.where(found == 0.0, 0.0, power(tl.where(found == 0.0, 1.0, found), 1.0 / p - 1.0))
        if NORM == "concave":
            # the root may overflow; the difference of two infinite distances would be NaN
            slope = tl.where(found <= limit, slope, 0.0)
            found = minimum(found, limit)
        apart = unit * tl.where(found == 0.0, 0.0, power(tl.where(found == 0.0, 1.0, found), 1.0 / p))
    return apart, slope, unit


@triton.jit
def direction(
    x: tl.tensor,
    y: tl.tensor,
    columns: tl.tensor,
    width: tl.tensor,
    eps: tl.tensor,
    p: tl.tensor,
    unit: tl.tensor,
    NORM: tl.constexpr,
) -> tl.tensor:
    """The derivatives of a distance in the numbers of x, but for its slope, in float64."""
    apart = difference(x, y, columns, width, eps, NORM)
    if NORM == "euclidean":
        towards = apart * unit[:, None]
    elif NORM == "manhattan":
        towards = sign(apart).to(tl.float64)
    elif NORM == "greatest":
        apart = apart.to(tl.float64)
        towards = (apart == unit[:, None]).to(tl.float64) - ((apart == -unit[:, None]) & (apart != 0.0)).to(tl.float64)
    else:
        towards = powers(apart, unit, p, NORM)[1]
    return towards
