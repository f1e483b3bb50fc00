"""Gradients from the weights of triplets."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import triton
import triton.language as tl

from ...triton import gradient_scale, rounded
from .samples import component, counts


@triton.jit(do_not_specialize=["first_target", "targets", "first_source", "sources"])
def pulls_kernel(
    vectors: tl.tensor,
    greatest: tl.tensor,
    inverse: tl.tensor,
    weights: tl.tensor,
    gradient: tl.tensor,
    first_target: tl.int64,
    targets: tl.int64,
    target_stride: tl.int64,
    first_source: tl.int64,
    sources: tl.int64,
    source_stride: tl.int64,
    width: tl.int64,
    row_stride: tl.int64,
    stride: tl.int64,
    NORMALIZE: tl.constexpr,
    WIDE: tl.constexpr,
    TARGETS: tl.constexpr,
    SOURCES: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Adds weighted differences of some vectors from others to their gradients; what has no weight is passed over."""
    along = tl.cdiv(width, BLOCK)
    local = (tl.program_id(0) // along).to(tl.int64) * TARGETS + tl.arange(0, TARGETS)
    k = (tl.program_id(0) % along).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    target = first_target + local
    real = local < targets
    top, length = tl.load(greatest + target, real, 1.0)[:, None], tl.load(inverse + target, real, 0.0)[:, None]
    inside = real[:, None] & (k < width)[None, :]
    own = component(vectors, target[:, None] * row_stride + k[None, :] * stride, inside, top, length, NORMALIZE, WIDE)
    total = tl.zeros((TARGETS, BLOCK), tl.float64)
    for begin in range(0, sources, SOURCES):
        there = begin + tl.arange(0, SOURCES)
        pair = real[:, None] & (there < sources)[None, :]
        place = local[:, None] * target_stride + there[None, :].to(tl.int64) * source_stride
        weight = tl.load(weights + place, pair, 0.0)
        weighs = weight != 0.0
        if tl.sum(tl.sum(weighs.to(tl.int32), 1), 0) > 0:
            source = first_source + there.to(tl.int64)
            known = there < sources
            top, length = (
                tl.load(greatest + source, known, 1.0)[:, None],
                tl.load(inverse + source, known, 0.0)[:, None],
            )
            inside_source = known[:, None] & (k < width)[None, :]
            other = component(
                vectors, source[:, None] * row_stride + k[None, :] * stride, inside_source, top, length, NORMALIZE, WIDE
            )
            terms = weight[:, :, None] * (own[:, None, :] - other[None, :, :])
            total += tl.sum(tl.where(weighs[:, :, None], terms, 0.0), 1)
    at = gradient + target[:, None] * width + k[None, :]
    tl.store(at, tl.load(at, inside, 0.0) + total, inside)


@triton.jit(do_not_specialize=["rows"])
def hand_out_kernel(
    vectors: tl.tensor,
    mask: tl.tensor,
    greatest: tl.tensor,
    inverse: tl.tensor,
    sums_of: tl.tensor,
    gradient: tl.tensor,
    rows: tl.int64,
    width: tl.int64,
    row_stride: tl.int64,
    stride: tl.int64,
    to_row_stride: tl.int64,
    to_stride: tl.int64,
    mask_stride: tl.int64,
    number: tl.float64,
    sums: tl.tensor,
    n_sums: tl.tensor,
    ON_EMPTY: tl.constexpr,
    NORMALIZE: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """The gradients of the caller's vectors, from those of the scaled ones; all are NaN if any number is not finite."""
    scale = gradient_scale(number, sums, n_sums, None, ON_EMPTY)
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    real = row < rows
    kept = counts(mask, mask_stride, row, real)
    spoiled = tl.zeros((BLOCK,), tl.int32)
    for begin in range(0, rows, BLOCK):
        sample = (begin + tl.arange(0, BLOCK)).to(tl.int64)
        state = tl.load(inverse + sample, counts(mask, mask_stride, sample, sample < rows), 0.0)
        spoiled += (state != state).to(tl.int32)
    bad = tl.sum(spoiled) > 0
    top, length = tl.load(greatest + row, real, 1.0)[:, None], tl.load(inverse + row, real, 0.0)[:, None]
    along = tl.zeros((ROWS,), tl.float64)
    if NORMALIZE:
        for begin in range(0, width, BLOCK):
            k = (begin + tl.arange(0, BLOCK)).to(tl.int64)
            inside = kept[:, None] & (k < width)[None, :]
            x = component(vectors, row[:, None] * row_stride + k[None, :] * stride, inside, top, length, True, WIDE)
            along += tl.sum(x * tl.load(sums_of + row[:, None] * width + k[None, :], inside, 0.0), 1)
    for begin in range(0, width, BLOCK):
        k = (begin + tl.arange(0, BLOCK)).to(tl.int64)
        inside = kept[:, None] & (k < width)[None, :]
        slope = tl.load(sums_of + row[:, None] * width + k[None, :], inside, 0.0)
        if NORMALIZE:
            x = component(vectors, row[:, None] * row_stride + k[None, :] * stride, inside, top, length, True, WIDE)
            slope = (slope - along[:, None] * x) * length / top
        # the sum of nothing has no slope, whatever it is divided by
        slope = tl.where(slope == 0.0, 0.0, slope * scale)
        slope = tl.where(inside, tl.where(bad, float("nan"), slope), 0.0)
        place = gradient + row[:, None] * to_row_stride + k[None, :] * to_stride
        tl.store(place, rounded(slope, gradient), real[:, None] & (k < width)[None, :])
