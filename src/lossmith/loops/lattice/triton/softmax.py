"""The softmax of a frame's logits: its sum for all frames at once, and its value for some classes."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import triton
import triton.language as tl

from ....formula.vocabularies.triton import exp, maximum
from ...triton import unless_one
from .numbers import INFINITY


@triton.jit(do_not_specialize=["samples", "classes", "rows"])
def normalise_kernel(
    scores: tl.tensor,
    frames: tl.tensor,
    mask: tl.tensor,
    upstream: tl.tensor,
    tops: tl.tensor,
    logs: tl.tensor,
    strides: tl.tensor,
    frames_stride: tl.tensor,
    mask_stride: tl.tensor,
    samples: tl.tensor,
    classes: tl.tensor,
    rows: tl.tensor,
    WIDE: tl.constexpr,
    STORED: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Of each frame the greatest logit, and the logarithm of the sum of exp(logit - greatest)."""
    dtype: tl.constexpr = tl.float64 if WIDE else tl.float32
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    active = row < unless_one(rows, upstream, STORED)
    t, n = row // samples, row % samples
    active = active & (t < tl.load(frames + n * frames_stride, active, 0).to(tl.int64))
    if mask is not None:
        active = active & (tl.load(mask + n * mask_stride, active, 0) != 0)
    place = scores + t * strides[0] + n * strides[1]
    top = tl.full((ROWS,), -INFINITY, dtype)
    total = tl.zeros((ROWS,), dtype)
    for start in range(0, classes, BLOCK):
        c = start + tl.arange(0, BLOCK)
        inside = active[:, None] & (c < classes)[None, :]
        x = tl.load(place[:, None] + c.to(tl.int64)[None, :] * strides[2], inside, -INFINITY).to(dtype)
        higher = maximum(top, tl.reduce(x, 1, maximum))
        shift = tl.where(higher == -INFINITY, 0.0, higher)
        total = total * exp(top - shift) + tl.sum(exp(x - shift[:, None]), 1)
        top = higher
    log = tl.log(total.to(tl.float64))
    tl.store(tops + row, top.to(tl.float64), active)
    tl.store(logs + row, tl.where(total == 0.0, float("nan"), log), active)


@triton.jit
def probability(
    address: tl.tensor,
    inside: tl.tensor,
    top: tl.tensor,
    log: tl.tensor,
    spoiled: tl.tensor,
    WIDE: tl.constexpr,
) -> tl.tensor:
    """The softmax of logits, in float64."""
    dtype: tl.constexpr = tl.float64 if WIDE else tl.float32
    x = tl.load(address, inside, -INFINITY).to(dtype) - top.to(dtype)
    return tl.where(spoiled, float("nan"), exp(x - log.to(dtype)).to(tl.float64))
