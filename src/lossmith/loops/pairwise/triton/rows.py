"""What is summed along the rows of a program: tiles of vectors, the greatest of their numbers, their products."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import triton
import triton.language as tl


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
