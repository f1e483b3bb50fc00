"""Hinges of a label against all other classes of its row, on a GPU; value and gradient at once."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

from collections.abc import Sequence
from typing import TYPE_CHECKING

import triton
import triton.language as tl
from torch import Tensor

from ...triton import as_number, gradient_scale, leave, rounded, take_note, unless_one
from .rows import (
    LABEL_OUTSIDE,
    Rows,
    Tile,
    classes_from,
    factor_of,
    number_of_row,
    place_of,
    read_labels,
    read_tile,
    rows_of,
    unmasked,
    wide_sum,
)

if TYPE_CHECKING:
    from ..native import Parts, _Call


@triton.jit(do_not_specialize=["each", "tiles"])
def margin_to_label_kernel(
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
    margin: tl.float64,
    POWER: tl.constexpr,
    LOSS: tl.constexpr,
    WIDE: tl.constexpr,
    STORED: tl.constexpr,
    ON_EMPTY: tl.constexpr,
    ALONE: tl.constexpr,
    ROWS: tl.constexpr,
    CLASSES: tl.constexpr,
) -> None:
    """Of each row w_y / C times the sum over i other than y of max(0, margin - x_y + x_i)^POWER; see `margins`.

    mask, weight, gradient, upstream: a pointer, or None. value: where each loss goes, or None; partials: where this
    program's sum goes, or None.
    """
    dtype: tl.constexpr = tl.float64 if WIDE else tl.float32
    scale = gradient_scale(number, sums, n_sums, upstream, ON_EMPTY).to(dtype)
    total = tl.zeros((ROWS,), tl.float64)
    first = tl.program_id(0).to(tl.int64) * each
    for t in range(unless_one(each, upstream, STORED)):
        run, inner, inside = rows_of(first + t, tiles, sizes, ROWS)
        unhidden = unmasked(mask, run, inner, inside, sizes, mask_strides)
        given, used, wrong = read_labels(
            target + place_of(run, inner, sizes, target_strides), unhidden, classes, 0, False
        )
        take_note(note, wrong, number_of_row(run, inner, sizes), given, classes, LABEL_OUTSIDE, LOSS)
        used = used & ~wrong
        label = tl.where(used, given, 0)
        share = factor_of(factors, run, inner, used, sizes, factor_strides, dtype) / classes
        if weight is not None:
            share *= tl.load(weight + label * weight_stride, used, 0).to(dtype)
        at = input + place_of(run, inner, sizes, input_strides)
        threshold = as_number(margin, dtype) - tl.load(at + label * input_step, used, 0).to(dtype)
        costs = tl.zeros((ROWS,), tl.float64)
        slopes = tl.zeros((ROWS,), tl.float64)
        slope = tl.where(used, share * scale * POWER, 0.0)
        to = at if gradient is None else gradient + place_of(run, inner, sizes, gradient_strides)
        for begin in range(0, classes, CLASSES):
            c, exists = classes_from(begin, classes, CLASSES)
            others = exists[None, :] & (c[None, :] != label[:, None])
            excess = threshold[:, None] + read_tile(at, used, c, exists, input_step, 0.0, dtype)
            # as in torch a hinge has slope 0 at its kink, and NaN adds nothing
            active = others & (excess > 0.0)
            cost = tl.where(active, excess, 0.0)
            pull = active.to(dtype) if POWER == 1 else cost
            costs += wide_sum(cost if POWER == 1 else cost * cost)
            if gradient is not None:
                slopes += wide_sum(pull)
                g = tl.where(active, pull * slope[:, None], 0.0)
                there = inside[:, None] & others
                tl.store(to[:, None] + (c.to(tl.int64) * gradient_step)[None, :], rounded(g, to), there)
        if gradient is not None:
            on_label = tl.where(used, -slopes * slope.to(tl.float64), 0.0)
            tl.store(to + label * gradient_step, rounded(on_label, to), inside)
        if value is not None:
            loss = tl.where(used, costs * share.to(tl.float64), tl.where(wrong, float("nan"), 0.0))
            if partials is not None or ALONE:
                total += loss
            else:
                tl.store(value + place_of(run, inner, sizes, value_strides), rounded(loss, value), inside)
    leave(tl.sum(total), value, partials, number, sums, n_sums, note, ON_EMPTY, LOSS, ALONE)


def launch(
    call: "_Call",
    parts: "Parts",
    wanted: Sequence[bool],
    upstream: Tensor | None,
    into: Sequence[Tensor | None] | None,
) -> tuple[Tensor | None, Sequence[Tensor | None]]:
    rows = Rows(call, parts, wanted, upstream, into)
    return rows.run(margin_to_label_kernel, Tile.of(rows), call.margin, POWER=call.power)
