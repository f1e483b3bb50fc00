"""The kernel of the pairwise loop: of each row the distances or the cosine, the loss of those, and the gradients."""

# mypy: disable-error-code="untyped-decorator, assignment, misc"
# Triton comes without types, and a tuple grows in a loop that it unrolls.

import torch
import triton
import triton.language as tl

from ....errors import NUMBER
from ....formula.vocabularies.triton import minimum, sqrt
from ...triton import as_number, gradient_scale, leave, offsets, rounded, take_note, unless_one
from .distances import direction, distance
from .rows import greatest_of, inverse_near, numbers_at, products_of, squares_of

COSINE_EPS = tl.constexpr(1e-12)
"""What torch adds to both squared lengths."""
NUMBER_OUTSIDE = tl.constexpr(NUMBER)
LEAST = tl.constexpr(torch.finfo(torch.float32).tiny)
MOST = tl.constexpr(torch.finfo(torch.float32).max)


@triton.jit
def fits_float32(x: tl.tensor) -> tl.tensor:
    """Whether float32 has a number to its full precision."""
    size = tl.abs(x)
    return (size == 0.0) | ((size >= LEAST) & (size <= MOST))


@triton.jit
def measured(
    apart: tl.tensor, slope: tl.tensor, unit: tl.tensor, NORM: tl.constexpr, SQUARED: tl.constexpr
) -> tl.tensor:
    """A distance or its square, and the slope of that."""
    if SQUARED:
        if NORM == "euclidean":  # that of a sum of squares, also where it is infinite
            slope = 2.0 / unit
        else:
            slope = 2.0 * apart * slope
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
            inward = -slope * cosine
            amounts = (across * x[2], inward / xx * x[2], across * y[2], inward / yy * y[2])
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
            near, near_slope, near_unit = distance(x, y, kept, width, eps, p, limit, NORM, WIDE, ROWS, BLOCK, ONCE)
            near, near_slope = measured(near, near_slope, near_unit, NORM, SQUARED)
            far, far_slope, far_unit = distance(x, z, kept, width, eps, p, limit, NORM, WIDE, ROWS, BLOCK, ONCE)
            far, far_slope = measured(far, far_slope, far_unit, NORM, SQUARED)
            if SWAP:
                other, other_slope, other_unit = distance(
                    y, z, kept, width, eps, p, limit, NORM, WIDE, ROWS, BLOCK, ONCE
                )
                other, other_slope = measured(other, other_slope, other_unit, NORM, SQUARED)
            else:
                other = far
            fits = fits_float32(near) & fits_float32(far) & fits_float32(other) & fits_float32(margin)
            if NORM != "euclidean" and not WIDE:  # in the precision of the distances
                far = tl.where(fits, far.to(tl.float32).to(tl.float64), far)
                other = tl.where(fits, other.to(tl.float32).to(tl.float64), other)
            nearest = minimum(far, other)
            # as torch.minimum: each of two equal distances has half of the gradient
            share = tl.where(far < other, 1.0, tl.where(far == other, 0.5, 0.0)).to(tl.float64)
            results = FORMULA(near, nearest, margin)
            loss = results[0]
            of_near = results[1]
            of_far = results[2]
            if NORM != "euclidean" and not WIDE:
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
        for i in tl.static_range(len(operands)):
            if NORMALIZE and gradients[i] is not None:
                along += (
                    along_itself(vectors, kept, width, eps, p, amounts, units, i, KIND, NORM, SWAP, ROWS, BLOCK, ONCE),
                )
            else:
                along += (one,)
        for first in range(0, BLOCK if ONCE else width, BLOCK):
            columns = first + tl.arange(0, BLOCK)
            found = derivatives(vectors, columns, kept, width, eps, p, amounts, units, KIND, NORM, SWAP, WIDE)
            slopes = ()  # all before the first is written, after which what was read would be read again
            for i in tl.static_range(len(operands)):
                turn = found[i]
                if NORMALIZE and gradients[i] is not None:
                    turn -= along[i][:, None] * numbers_at(vectors[i], columns, kept, width, True)
                    turn = turn * vectors[i][3][:, None] * vectors[i][2][:, None]
                slopes += (tl.where(kept[:, None], turn, 0.0),)
            for i in tl.static_range(len(operands)):
                if gradients[i] is not None:
                    # under no name: in a loop a name has one type, but not all gradients have one dtype
                    tl.store(
                        (gradients[i] + offsets(row, sizes, gradient_strides[i]))[:, None]
                        + columns.to(tl.int64)[None, :] * gradient_steps[i],
                        rounded(slopes[i], gradients[i]),
                        inside[:, None] & (columns < width)[None, :],
                    )
    leave(tl.sum(total), value, partials, number, sums, n_sums, note, ON_EMPTY, LOSS, ALONE)
