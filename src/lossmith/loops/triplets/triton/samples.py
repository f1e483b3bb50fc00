"""Samples of a batch in kernels: which count, their vectors at full length or scaled, their distances."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import triton
import triton.language as tl

from ....formula.vocabularies.triton import sqrt

INFINITE = tl.constexpr(float("inf"))


@triton.jit
def counts(mask: tl.tensor, stride: tl.tensor, sample: tl.tensor, real: tl.tensor) -> tl.tensor:
    """Whether samples are there at all: no mask hides them."""
    if mask is not None:
        real = real & (tl.load(mask + sample * stride, real, 0) != 0)
    return real


@triton.jit
def component(
    vectors: tl.tensor,
    place: tl.tensor,
    real: tl.tensor,
    greatest: tl.tensor,
    inverse: tl.tensor,
    NORMALIZE: tl.constexpr,
    WIDE: tl.constexpr,
) -> tl.tensor:
    """Components of vectors, scaled to length 1 if that is asked for, in float64."""
    x = tl.load(vectors + place, real, 0.0).to(tl.float64)
    if NORMALIZE:
        if WIDE:
            x = x / greatest
        x = x * inverse
    return x


@triton.jit(do_not_specialize=["rows"])
def lengths_kernel(
    vectors: tl.tensor,
    mask: tl.tensor,
    greatest: tl.tensor,
    inverse: tl.tensor,
    rows: tl.int64,
    width: tl.int64,
    row_stride: tl.int64,
    stride: tl.int64,
    mask_stride: tl.int64,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """What each vector is divided by, so that no square is out of range, and 1 over its length then.

    Squares of float32 never are. The second is NaN if a number of the vector is not finite, and 0 if all are 0.
    """
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    real = row < rows
    kept = counts(mask, mask_stride, row, real)
    top = tl.zeros((ROWS,), tl.float64)
    spoiled = tl.zeros((ROWS,), tl.int32)
    for begin in range(0, width, BLOCK):
        k = (begin + tl.arange(0, BLOCK)).to(tl.int64)
        inside = kept[:, None] & (k < width)[None, :]
        x = tl.abs(tl.load(vectors + row[:, None] * row_stride + k[None, :] * stride, inside, 0.0).to(tl.float64))
        bad = ~(x < INFINITE)
        spoiled += tl.sum(bad.to(tl.int32), 1)
        top = tl.maximum(top, tl.max(tl.where(bad, 0.0, x), 1))
    scale = tl.full((ROWS,), 1.0, tl.float64)
    if WIDE:
        scale = tl.where(top > 0.0, top, 1.0)
    squares = tl.zeros((ROWS,), tl.float64)
    for begin in range(0, width, BLOCK):
        k = (begin + tl.arange(0, BLOCK)).to(tl.int64)
        inside = kept[:, None] & (k < width)[None, :]
        x = tl.load(vectors + row[:, None] * row_stride + k[None, :] * stride, inside, 0.0).to(tl.float64)
        x = x / scale[:, None]
        squares += tl.sum(x * x, 1)
    length = tl.where(top > 0.0, 1.0 / sqrt(tl.where(top > 0.0, squares, 1.0)), 0.0)
    tl.store(greatest + row, scale, real)
    tl.store(inverse + row, tl.where(spoiled > 0, float("nan"), length), real)


@triton.jit(do_not_specialize=["begin", "anchors", "rows"])
def distances_kernel(
    vectors: tl.tensor,
    greatest: tl.tensor,
    inverse: tl.tensor,
    distances: tl.tensor,
    begin: tl.int64,
    anchors: tl.int64,
    rows: tl.int64,
    width: tl.int64,
    row_stride: tl.int64,
    stride: tl.int64,
    SQUARED: tl.constexpr,
    NORMALIZE: tl.constexpr,
    WIDE: tl.constexpr,
    ANCHORS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """The distances of some anchors to all samples, or their squares."""
    across = tl.cdiv(rows, BLOCK)
    local = (tl.program_id(0) // across).to(tl.int64) * ANCHORS + tl.arange(0, ANCHORS)
    sample = (tl.program_id(0) % across).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    anchor = begin + local
    is_anchor, is_sample = local < anchors, sample < rows
    top_a, length_a = tl.load(greatest + anchor, is_anchor, 1.0), tl.load(inverse + anchor, is_anchor, 0.0)
    top_b, length_b = tl.load(greatest + sample, is_sample, 1.0), tl.load(inverse + sample, is_sample, 0.0)
    scale = tl.full((ANCHORS, BLOCK), 1.0, tl.float64)
    if WIDE:
        if not SQUARED:  # squares of float64 may be out of its range
            most = tl.zeros((ANCHORS, BLOCK), tl.float64)
            for k in range(0, width):
                a = component(vectors, anchor * row_stride + k * stride, is_anchor, top_a, length_a, NORMALIZE, WIDE)
                b = component(vectors, sample * row_stride + k * stride, is_sample, top_b, length_b, NORMALIZE, WIDE)
                most = tl.maximum(most, tl.abs(a[:, None] - b[None, :]))
            scale = tl.where((most > 0.0) & (most < INFINITE), most, 1.0)
    total = tl.zeros((ANCHORS, BLOCK), tl.float64)
    for k in range(0, width):
        a = component(vectors, anchor * row_stride + k * stride, is_anchor, top_a, length_a, NORMALIZE, WIDE)
        b = component(vectors, sample * row_stride + k * stride, is_sample, top_b, length_b, NORMALIZE, WIDE)
        difference = a[:, None] - b[None, :]
        if WIDE:
            if not SQUARED:
                difference = difference / scale
        total += difference * difference
    if not SQUARED:
        total = sqrt(total) * scale
    place = distances + local[:, None] * rows + sample[None, :]
    tl.store(place, total, is_anchor[:, None] & is_sample[None, :])
