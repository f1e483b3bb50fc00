"""The pairwise loop on a GPU: of each row's vectors the cosine or the distances, the loss of those, and the gradients.

One program has a tile of rows in its registers, or walks along one row that is too long for them: once for what is
summed along it, and once for the gradients (more often for float64, unit vectors and the rarer norms, whose greatest
number has to be known first). Squares of float32 are summed in float64, in which none overflows or vanishes; float64 is
scaled by a power of two.
"""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ...errors import NUMBER, note_on, number_of
from ...formula.triton import triton_function
from ...formula.vocabularies.triton import exp, log, minimum, sign, sqrt
from ..fused import summed
from ..triton import Divisor, Layout, as_number, divided, finish, gradient_scale, offsets, on, rounded, take_note, unless_one

if TYPE_CHECKING:
    from .native import _Call

TILE = 1024
"""So many numbers of each operand a program has in its registers, of rows that are not wider; of float64 half as many."""
IN_REGISTERS = 2048
"""The widest row that is kept in registers; of float64 half of that."""
ALONG = 512
"""So many numbers of a wider row are taken at a time."""
MOST_PARTIALS = 4096
"""So many programs leave partial sums at most; beyond, each walks over more tiles."""

COSINE_EPS = tl.constexpr(1e-12)
"""What torch adds to both squared lengths."""
INFINITY = tl.constexpr(math.inf)
NUMBER_OUTSIDE = tl.constexpr(NUMBER)
LEAST = tl.constexpr(torch.finfo(torch.float32).tiny)
MOST = tl.constexpr(torch.finfo(torch.float32).max)


# ----- along rows -----


@triton.jit
def numbers_at(
    vector: tl.tensor, columns: tl.tensor, kept: tl.tensor, width: tl.tensor, WIDE: tl.constexpr
) -> tl.tensor:
    """A tile of vectors, 0 where there is none of them.

    vector: the addresses of the rows, the step along them, and two numbers by which each row is multiplied, if it is
    wide.
    """
    inside = kept[:, None] & (columns < width)[None, :]
    x = tl.load(vector[0][:, None] + columns.to(tl.int64)[None, :] * vector[1], inside, 0.0)
    if WIDE:
        x = x.to(tl.float64) * vector[2][:, None] * vector[3][:, None]
    return x.to(tl.float64 if WIDE else tl.float32)


@triton.jit
def size_bits(x: tl.tensor, WIDE: tl.constexpr) -> tl.tensor:
    """Absolute numbers as integers, which are in the same order, with NaN above all."""
    if WIDE:
        bits = x.to(tl.int64, bitcast=True) & 0x7FFFFFFFFFFFFFFF
    else:
        bits = x.to(tl.int32, bitcast=True) & 0x7FFFFFFF
    return bits


@triton.jit
def greatest(most: tl.tensor, WIDE: tl.constexpr) -> tl.tensor:
    """The greatest of each row of `size_bits`, as a number, in float64."""
    return tl.max(most, 1).to(tl.float64 if WIDE else tl.float32, bitcast=True).to(tl.float64)


@triton.jit
def inverse_near(top: tl.tensor) -> tl.tensor:
    """A power of two near 1 / top, to scale by without rounding; it and its inverse are normal numbers."""
    exponent = (top.to(tl.int64, bitcast=True) >> 52) & 2047
    exponent = tl.where(exponent < 1, 1, tl.where(exponent > 2045, 2045, exponent))
    return ((2046 - exponent) << 52).to(tl.float64, bitcast=True)


@triton.jit
def greatest_of(
    vector: tl.tensor, kept: tl.tensor, width: tl.tensor, ROWS: tl.constexpr, BLOCK: tl.constexpr, ONCE: tl.constexpr
) -> tl.tensor:
    """The greatest absolute number of wide vectors."""
    most = tl.zeros((ROWS, BLOCK), tl.int64)
    for start in range(0, BLOCK if ONCE else width, BLOCK):
        x = numbers_at(vector, start + tl.arange(0, BLOCK), kept, width, True)
        most = tl.maximum(most, size_bits(x, True))
    return greatest(most, True)


@triton.jit
def squares_of(
    vector: tl.tensor, kept: tl.tensor, width: tl.tensor, ROWS: tl.constexpr, BLOCK: tl.constexpr, ONCE: tl.constexpr
) -> tl.tensor:
    """The sum of the squares of wide vectors."""
    total = tl.zeros((ROWS, BLOCK), tl.float64)
    for start in range(0, BLOCK if ONCE else width, BLOCK):
        x = numbers_at(vector, start + tl.arange(0, BLOCK), kept, width, True)
        total += x * x
    return tl.sum(total, 1)


@triton.jit
def products_of(
    x: tl.tensor,
    y: tl.tensor,
    kept: tl.tensor,
    width: tl.tensor,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    ONCE: tl.constexpr,
) -> tl.tensor:
    """x . y, x . x and y . y."""
    xy = tl.zeros((ROWS, BLOCK), tl.float64)
    xx = tl.zeros((ROWS, BLOCK), tl.float64)
    yy = tl.zeros((ROWS, BLOCK), tl.float64)
    for start in range(0, BLOCK if ONCE else width, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        a = numbers_at(x, columns, kept, width, WIDE).to(tl.float64)
        b = numbers_at(y, columns, kept, width, WIDE).to(tl.float64)
        xy += a * b
        xx += a * a
        yy += b * b
    return tl.sum(xy, 1), tl.sum(xx, 1), tl.sum(yy, 1)


# ----- distances -----


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
            unit = inverse_near(unit)
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


# ----- losses -----


@triton.jit
def fits_float32(x: tl.tensor) -> tl.tensor:
    """Whether float32 has a number to its full precision."""
    size = tl.abs(x)
    return (size == 0.0) | ((size >= LEAST) & (size <= MOST))


@triton.jit
def measured(apart: tl.tensor, slope: tl.tensor, NORM: tl.constexpr, SQUARED: tl.constexpr) -> tl.tensor:
    """A distance or its square, and the slope of that."""
    if SQUARED:
        slope = 2.0 * apart * slope
        if NORM == "euclidean":
            slope = tl.where(apart == INFINITY, 2.0, slope)  # of a sum of squares
        apart = apart * apart
    return apart, slope


@triton.jit
def derivatives(
    vectors: tl.tensor,
    columns: tl.tensor,
    kept: tl.tensor,
    width: tl.tensor,
    eps: tl.tensor,
    p: tl.tensor,
    factors: tl.tensor,
    units: tl.tensor,
    KIND: tl.constexpr,
    NORM: tl.constexpr,
    SWAP: tl.constexpr,
    WIDE: tl.constexpr,
) -> tl.tensor:
    """The derivatives of the loss in each of the vectors, as they are compared, in float64.

    factors: of a cosine, for either vector, those of the other and of itself; else those of the distances' directions.
    """
    x = numbers_at(vectors[0], columns, kept, width, WIDE)
    y = numbers_at(vectors[1], columns, kept, width, WIDE)
    if KIND == "cosine_embedding":
        x = x.to(tl.float64)
        y = y.to(tl.float64)
        of_x = factors[0][:, None] * y + factors[1][:, None] * x
        of_y = factors[2][:, None] * x + factors[3][:, None] * y
        found = (of_x, of_y)
    elif KIND == "contrastive":
        apart = factors[0][:, None] * direction(x, y, columns, width, eps, p, units[0], NORM)
        found = (apart, -apart)
    else:
        z = numbers_at(vectors[2], columns, kept, width, WIDE)
        near = factors[0][:, None] * direction(x, y, columns, width, eps, p, units[0], NORM)
        far = factors[1][:, None] * direction(x, z, columns, width, eps, p, units[1], NORM)
        if SWAP:
            other = factors[2][:, None] * direction(y, z, columns, width, eps, p, units[2], NORM)
            found = (near + far, other - near, -far - other)
        else:
            found = (near + far, -near, -far)
    return found


@triton.jit
def along_itself(
    vectors: tl.tensor,
    kept: tl.tensor,
    width: tl.tensor,
    eps: tl.tensor,
    p: tl.tensor,
    factors: tl.tensor,
    units: tl.tensor,
    i: tl.constexpr,
    KIND: tl.constexpr,
    NORM: tl.constexpr,
    SWAP: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    ONCE: tl.constexpr,
) -> tl.tensor:
    """How much of the derivatives in a unit vector goes along the vector, which does not turn it."""
    total = tl.zeros((ROWS, BLOCK), tl.float64)
    for start in range(0, BLOCK if ONCE else width, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        found = derivatives(vectors, columns, kept, width, eps, p, factors, units, KIND, NORM, SWAP, True)
        total += found[i] * numbers_at(vectors[i], columns, kept, width, True)
    return tl.sum(total, 1)


@triton.jit(do_not_specialize=["n", "blocks"])
def pairwise_kernel(
    operands: tl.tensor,
    gradients: tl.tensor,
    factors: tl.tensor,
    target: tl.tensor,
    mask: tl.tensor,
    value: tl.tensor,
    partials: tl.tensor,
    upstream: tl.tensor,
    note: tl.tensor,
    sizes: tl.tensor,
    operand_strides: tl.tensor,
    gradient_strides: tl.tensor,
    factor_strides: tl.tensor,
    target_strides: tl.tensor,
    mask_strides: tl.tensor,
    value_strides: tl.tensor,
    operand_steps: tl.tensor,
    gradient_steps: tl.tensor,
    n: tl.int64,
    width: tl.tensor,
    blocks: tl.int32,
    number: tl.float64,
    sums: tl.tensor,
    n_sums: tl.tensor,
    margin: tl.float64,
    positive_margin: tl.float64,
    p: tl.float64,
    limit: tl.float64,
    eps: tl.float64,
    similar: tl.float64,
    dissimilar: tl.float64,
    FORMULA: tl.constexpr,
    KIND: tl.constexpr,
    NORM: tl.constexpr,
    SWAP: tl.constexpr,
    SQUARED: tl.constexpr,
    NORMALIZE: tl.constexpr,
    WIDE: tl.constexpr,
    LOSS: tl.constexpr,
    LONG: tl.constexpr,
    STORED: tl.constexpr,
    ON_EMPTY: tl.constexpr,
    ALONE: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    ONCE: tl.constexpr,
) -> None:
    """Value and gradients of a loss of pairs or triplets of vectors, row by row.

    What is not described here is as in `pointwise_kernel`. strides: from row to row; steps: along a row. ONCE: a row is
    no wider than a block.
    """
    scale = gradient_scale(number, sums, n_sums, upstream, ON_EMPTY)
    n = unless_one(n, upstream, STORED)
    one = tl.full((ROWS,), 1.0, tl.float64)
    margin = one * as_number(margin, tl.float64)
    positive_margin = one * as_number(positive_margin, tl.float64)
    p = as_number(p, tl.float64)
    limit = as_number(limit, tl.float64)
    eps = as_number(eps, tl.float64)
    total = tl.zeros((ROWS,), tl.float64)
    start = tl.program_id(0).to(tl.int64) * blocks * ROWS
    for b in range(blocks):
        row = start + b * ROWS + tl.arange(0, ROWS)
        inside = row < n
        if not LONG:
            row = row.to(tl.int32)
        kept = inside
        if mask is not None:
            kept = inside & (tl.load(mask + offsets(row, sizes, mask_strides), inside, 0) != 0)
        weight = one
        for i in tl.static_range(len(factors)):
            weight *= tl.load(factors[i] + offsets(row, sizes, factor_strides[i]), kept, 0).to(tl.float64)
        vectors = ()
        for i in tl.static_range(len(operands)):
            place = operands[i] + offsets(row, sizes, operand_strides[i])
            vector = (place, operand_steps[i], one, one)
            if NORMALIZE or (WIDE and KIND == "cosine_embedding"):
                top = greatest_of(vector, kept, width, ROWS, BLOCK, ONCE)
                if NORMALIZE:
                    vector = (place, operand_steps[i], inverse_near(top), one)
                    square = squares_of(vector, kept, width, ROWS, BLOCK, ONCE)
                    # a vector of 0 has no direction
                    length = tl.where(square == 0.0, 0.0, 1.0 / sqrt(tl.where(square == 0.0, 1.0, square)))
                    vector = (place, operand_steps[i], inverse_near(top), length)
                else:
                    vector = (place, operand_steps[i], tl.where(top > 1.0, inverse_near(top), 1.0), one)
            vectors += (vector,)

        if KIND == "cosine_embedding":
            x = vectors[0]
            y = vectors[1]
            xy, xx, yy = products_of(x, y, kept, width, WIDE, ROWS, BLOCK, ONCE)
            xx += COSINE_EPS * x[2] * x[2]
            yy += COSINE_EPS * y[2] * y[2]
            lengths = sqrt(xx * yy)
            cosine = xy / lengths
            aim = tl.load(target + offsets(row, sizes, target_strides), kept, 0)
            aim = aim.to(tl.float64 if WIDE else tl.float32).to(tl.float64)
            results = FORMULA(cosine, aim, margin)
            loss = results[0]
            slope = results[1] * weight * scale
            across = slope / lengths
            along = -slope * cosine
            amounts = (across * x[2], along / xx * x[2], across * y[2], along / yy * y[2])
            units = ()
        elif KIND == "contrastive":
            apart, apart_slope, unit = distance(
                vectors[0], vectors[1], kept, width, eps, p, limit, NORM, WIDE, ROWS, BLOCK, ONCE
            )
            aim = tl.load(target + offsets(row, sizes, target_strides), kept, 0).to(tl.float64)
            known = (aim == similar) | (aim == dissimilar)
            take_note(note, kept & (known == 0), row, tl.full((ROWS,), 2, tl.int64), 0, NUMBER_OUTSIDE, LOSS)
            alike = tl.where(aim == similar, one, -one)
            results = FORMULA(apart, alike, margin, positive_margin)
            loss = results[0]
            slope = results[1]
            if NORM != "euclidean" and not WIDE:  # in the precision of the distances
                narrow = FORMULA(
                    apart.to(tl.float32), alike.to(tl.float32), margin.to(tl.float32), positive_margin.to(tl.float32)
                )
                fits = fits_float32(apart) & fits_float32(margin) & fits_float32(positive_margin)
                loss = tl.where(fits, narrow[0].to(tl.float64), loss)
                slope = tl.where(fits, narrow[1].to(tl.float64), slope)
            loss = tl.where(known, loss, float("nan"))
            amounts = (tl.where(known, slope * weight * scale * apart_slope, 0.0),)
            units = (unit,)
        else:
            x = vectors[0]
            y = vectors[1]
            z = vectors[2]
            near, near_slope, near_unit = distance(
                x, y, kept, width, eps, p, limit, NORM, WIDE, ROWS, BLOCK, ONCE
            )
            near, near_slope = measured(near, near_slope, NORM, SQUARED)
            far, far_slope, far_unit = distance(x, z, kept, width, eps, p, limit, NORM, WIDE, ROWS, BLOCK, ONCE)
            far, far_slope = measured(far, far_slope, NORM, SQUARED)
            nearest = far
            share = one
            fits = fits_float32(near) & fits_float32(far) & fits_float32(margin)
            narrow_far = far.to(tl.float32)
            if SWAP:
                other, other_slope, other_unit = distance(
                    y, z, kept, width, eps, p, limit, NORM, WIDE, ROWS, BLOCK, ONCE
                )
                other, other_slope = measured(other, other_slope, NORM, SQUARED)
                fits = fits & fits_float32(other)
                nearest = minimum(far, other)
                # as torch.minimum: each of two equal distances has half of the gradient
                share = tl.where(far < other, 1.0, tl.where(far == other, 0.5, 0.0)).to(tl.float64)
            results = FORMULA(near, nearest, margin)
            loss = results[0]
            of_near = results[1]
            of_far = results[2]
            if NORM != "euclidean" and not WIDE:  # in the precision of the distances
                if SWAP:
                    narrow_other = other.to(tl.float32)
                    narrow_share = tl.where(narrow_far < narrow_other, 1.0, 0.0)
                    narrow_share = tl.where(narrow_far == narrow_other, 0.5, narrow_share)
                    share = tl.where(fits, narrow_share.to(tl.float64), share)
                narrow = FORMULA(near.to(tl.float32), nearest.to(tl.float32), margin.to(tl.float32))
                loss = tl.where(fits, narrow[0].to(tl.float64), loss)
                of_near = tl.where(fits, narrow[1].to(tl.float64), of_near)
                of_far = tl.where(fits, narrow[2].to(tl.float64), of_far)
            of_near = of_near * weight * scale * near_slope
            of_far = of_far * weight * scale
            if SWAP:
                amounts = (of_near, of_far * share * far_slope, of_far * (1.0 - share) * other_slope)
                units = (near_unit, far_unit, other_unit)
            else:
                amounts = (of_near, of_far * far_slope)
                units = (near_unit, far_unit)

        loss = tl.where(kept, loss * weight, 0.0)
        if partials is not None or ALONE:
            total += loss
        elif value is not None:
            tl.store(value + offsets(row, sizes, value_strides), rounded(loss, value), inside)

        along = ()
        for i in tl.static_range(len(gradients)):
            if NORMALIZE and gradients[i] is not None:
                along += (
                    along_itself(
                        vectors, kept, width, eps, p, amounts, units, i, KIND, NORM, SWAP, ROWS, BLOCK, ONCE
                    ),
                )
            else:
                along += (one,)
        for first in range(0, BLOCK if ONCE else width, BLOCK):
            columns = first + tl.arange(0, BLOCK)
            found = derivatives(vectors, columns, kept, width, eps, p, amounts, units, KIND, NORM, SWAP, WIDE)
            slopes = ()  # all before the first is written, after which what was read would be read again
            for i in tl.static_range(len(gradients)):
                turn = found[i]
                if NORMALIZE and gradients[i] is not None:
                    turn -= along[i][:, None] * numbers_at(vectors[i], columns, kept, width, True)
                    turn = turn * vectors[i][3][:, None] * vectors[i][2][:, None]
                slopes += (tl.where(kept[:, None], turn, 0.0),)
            for i in tl.static_range(len(gradients)):
                if gradients[i] is not None:
                    place = gradients[i] + offsets(row, sizes, gradient_strides[i])
                    tl.store(
                        place[:, None] + columns.to(tl.int64)[None, :] * gradient_steps[i],
                        rounded(slopes[i], gradients[i]),
                        inside[:, None] & (columns < width)[None, :],
                    )
    if ALONE:
        quotient = divided(tl.sum(total), number, sums, n_sums, note, ON_EMPTY, LOSS)
        tl.store(value, rounded(quotient, value))
    elif partials is not None:
        tl.store(partials + tl.program_id(0), tl.sum(total))


# ----- around the kernel -----


def norm_of(p: float) -> str:
    """Which of the distances above a p-norm is."""
    named = {1.0: "manhattan", 2.0: "euclidean", math.inf: "greatest"}
    return named.get(p, "minkowski" if p > 1 else "concave")


def launch(
    call: "_Call",
    tensors: Sequence[Tensor],
    wanted: Sequence[bool],
    upstream: Tensor | None = None,
    into: Sequence[Tensor | None] | None = None,
) -> tuple[Tensor | None, list[Tensor | None]]:
    """`fused.DeviceKernel.launch` of a pairwise call."""
    vectors, target, factors, mask = call.apart(tensors)
    numbers, shape, width, device = call.numbers, call.shape, call.width, vectors[0].device
    divisor = call.divisor if isinstance(call.divisor, Divisor) else Divisor(call.divisor or 1.0)
    whole = torch.Size((*shape, width))
    asked = wanted[: call.count]
    gradients: list[Tensor | None] = [None] * len(tensors)
    # what is broadcast has to be summed, so it waits for backward
    if upstream is not None or all([not w or v.shape == whole for w, v in zip(asked, vectors, strict=True)]):
        for i, vector in enumerate(vectors):
            if asked[i] and into is not None and into[i] is not None:
                gradients[i] = into[i]
            elif asked[i]:
                same = vector.shape == whole
                gradients[i] = torch.empty_like(vector) if same else vector.new_empty(whole, dtype=call.compute)
    value = None
    if upstream is None:
        value = torch.empty(() if call.reduced else shape, dtype=call.result, device=device)
    elif not call.reduced:
        factors, upstream = (*factors, upstream), None

    n = shape.numel()
    wide = call.compute == torch.float64 or numbers.normalize
    once = width <= IN_REGISTERS >> wide
    block = triton.next_power_of_2(width) if once else ALONG
    rows = max(1, (TILE >> wide) // block)
    tiles = triton.cdiv(n, rows)
    blocks = triton.cdiv(tiles, MOST_PARTIALS) if call.reduced else 1
    programs = max(1, triton.cdiv(tiles, blocks)) if tiles else 1
    alone = call.reduced and value is not None and programs == 1
    partials = None
    if call.reduced and value is not None and not alone:
        partials = torch.empty(programs, dtype=torch.float64, device=device)
    pointers: tuple[tuple[Tensor | None, ...], ...] = vectors, tuple(gradients[: call.count]), factors
    each = target, mask, None if call.reduced else value
    starts = [[t if t is None or t.dim() == 0 else t.select(-1, 0) for t in given] for given in pointers[:2]]
    given = [*starts[0], *starts[1], *factors, *each]
    layout = Layout.of(shape, [t for t in given if t is not None])
    strides = iter(layout.strides)

    def of(given: Sequence[Any]) -> tuple[tuple[int, ...], ...]:
        return tuple([(0,) * len(layout.sizes) if t is None else next(strides) for t in given])

    def steps(given: Sequence[Tensor | None]) -> tuple[int, ...]:
        return tuple([0 if t is None or t.dim() == 0 else t.stride(-1) for t in given])

    noted = call.kind == "contrastive" or divisor.on_empty == "error"
    with on(vectors[0]):
        pairwise_kernel[(programs,)](
            *pointers,
            target,
            mask,
            value,
            partials,
            upstream,
            note_on(device) if noted else None,
            layout.sizes,
            *[of(given) for given in pointers],
            *of(each),
            steps(vectors),
            steps(pointers[1]),
            n,
            width,
            blocks,
            *divisor.arguments,
            numbers.margin,
            numbers.positive_margin,
            numbers.p,
            torch.finfo(call.compute).max ** (0.5 * numbers.p) if numbers.p < 1 else 0.0,
            numbers.eps,
            *numbers.labels,
            FORMULA=triton_function(call.formula),
            KIND=call.kind,
            NORM=norm_of(numbers.p),
            SWAP=numbers.swap,
            SQUARED=numbers.squared and call.kind == "triplet_margin",
            NORMALIZE=numbers.normalize,
            WIDE=wide,
            LOSS=number_of(call.loss) if noted else 0,
            LONG=n + rows >= 2**31,
            STORED=into is not None,
            ON_EMPTY=divisor.on_empty,
            ALONE=alone,
            ROWS=rows,
            BLOCK=block,
            ONCE=once,
            num_warps=rows * block // (256 >> wide) if once else 4,
        )
        if partials is not None and value is not None:
            finish(call.loss, partials, divisor, value)
    for i, gradient in enumerate(gradients):
        if gradient is not None and gradient.shape != tensors[i].shape:
            gradients[i] = summed(gradient, tensors[i])
    return value, gradients
