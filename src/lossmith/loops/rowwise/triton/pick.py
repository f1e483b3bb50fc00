"""One score of each row, that of its label, on a GPU; the gradient is written as a whole, its zeros too."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

from collections.abc import Sequence
from typing import TYPE_CHECKING

import triton
import triton.language as tl
from torch import Tensor

from ...triton import gradient_scale, leave, rounded, take_note, unless_one
from .rows import LABEL_OUTSIDE, Rows, Tile, factor_of, number_of_row, place_of, read_labels, rows_of, unmasked

if TYPE_CHECKING:
    from ..native import Parts, _Call

SHARES = 64
"""So many programs share the classes of a row at most."""


@triton.jit(do_not_specialize=["each", "tiles", "ignored"])
def pick_kernel(
    input: tl.tensor,
    target: tl.tensor,
    mask: tl.tensor,
    factors: tl.tensor,
    weight: tl.tensor,
    gradient: tl.tensor,
    value: tl.tensor,
    partials: tl.tensor,
    upstream: tl.tensor,
    note: tl.tensor,
    sizes: tl.tensor,
    input_strides: tl.tensor,
    target_strides: tl.tensor,
    mask_strides: tl.tensor,
    factor_strides: tl.tensor,
    gradient_strides: tl.tensor,
    value_strides: tl.tensor,
    input_step: tl.tensor,
    gradient_step: tl.tensor,
    weight_stride: tl.tensor,
    classes: tl.tensor,
    each: tl.int32,
    tiles: tl.int64,
    number: tl.float64,
    sums: tl.tensor,
    n_sums: tl.tensor,
    ignored: tl.int64,
    IGNORES: tl.constexpr,
    LOSS: tl.constexpr,
    WIDE: tl.constexpr,
    STORED: tl.constexpr,
    ON_EMPTY: tl.constexpr,
    ALONE: tl.constexpr,
    ROWS: tl.constexpr,
    CLASSES: tl.constexpr,
) -> None:
    """-w_y x_y of each row.

    mask, weight, gradient, upstream: a pointer, or None. value: where each loss goes, or None; partials: where this
    program's sum goes, or None. The programs along the grid's second axis share the classes of a row's gradient; the
    first of them has the value.
    """
    dtype: tl.constexpr = tl.float64 if WIDE else tl.float32
    scale = gradient_scale(number, sums, n_sums, upstream, ON_EMPTY).to(dtype)
    total = tl.zeros((ROWS,), tl.float64)
    first = tl.program_id(0).to(tl.int64) * each
    for t in range(unless_one(each, upstream, STORED)):
        run, inner, inside = rows_of(first + t, tiles, sizes, ROWS)
        unhidden = unmasked(mask, run, inner, inside, sizes, mask_strides)
        label, counted, wrong = read_labels(
            target + place_of(run, inner, sizes, target_strides), unhidden, classes, ignored, IGNORES
        )
        used = counted & ~wrong
        slope = -factor_of(factors, run, inner, used, sizes, factor_strides, dtype)
        if weight is not None:
            slope *= tl.load(weight + label * weight_stride, used, 0).to(dtype)
        if tl.program_id(1) == 0:
            take_note(note, wrong, number_of_row(run, inner, sizes), label, classes, LABEL_OUTSIDE, LOSS)
            if value is not None:
                at = input + place_of(run, inner, sizes, input_strides) + label * input_step
                loss = slope * tl.load(at, used, 0).to(dtype)
                loss = tl.where(used, loss, tl.where(wrong, float("nan"), 0.0))
                if partials is not None or ALONE:
                    total += loss.to(tl.float64)
                else:
                    tl.store(value + place_of(run, inner, sizes, value_strides), rounded(loss, value), inside)
        if gradient is not None:
            on_label = rounded(tl.where(used, slope * scale, 0.0), gradient)
            to = gradient + place_of(run, inner, sizes, gradient_strides)
            begin = tl.program_id(1).to(tl.int64) * CLASSES
            while begin < classes:
                c = begin + tl.arange(0, CLASSES)
                g = tl.where(c[None, :] == label[:, None], on_label[:, None], tl.zeros_like(on_label)[:, None])
                there = inside[:, None] & (c < classes)[None, :]
                tl.store(to[:, None] + (c * gradient_step)[None, :], g, there)
                begin += tl.num_programs(1) * CLASSES
    if tl.program_id(1) == 0:
        leave(tl.sum(total), value, partials, number, sums, n_sums, note, ON_EMPTY, LOSS, ALONE)


def launch(
    call: "_Call",
    parts: "Parts",
    wanted: Sequence[bool],
    upstream: Tensor | None,
    into: Sequence[Tensor | None] | None,
) -> tuple[Tensor | None, Sequence[Tensor | None]]:
    rows = Rows(call, parts, wanted, upstream, into)
    whole = rows.gradients[0] is None
    tile = Tile(1024, 1, 4) if whole else Tile.of(rows, 4096)
    return rows.run(
        pick_kernel,
        tile,
        -1 if call.ignore_index is None else call.ignore_index,
        shares=1 if whole else min(SHARES, triton.cdiv(rows.classes, tile.classes)),
        IGNORES=call.ignore_index is not None,
    )
