"""Hinges of each label of a set against the classes outside of it, row by row, on a GPU; value and gradient at once."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl
from torch import Tensor

from ...triton import gradient_scale, leave, rounded, take_note, unless_one
from .rows import (
    LABEL_OUTSIDE,
    Rows,
    Tile,
    classes_from,
    factor_of,
    number_of_row,
    place_of,
    read_tile,
    rows_of,
    unmasked,
    wide_sum,
    write_tile,
)

if TYPE_CHECKING:
    from ..native import Parts, _Call

LONG_PROGRAMS = 256
"""So many programs at most run over rows that do not stay in registers: each has room for flags of all classes."""


@triton.jit
def _label(at: tl.tensor, k: tl.tensor, step: tl.tensor, listed: tl.tensor) -> tl.tensor:
    """The k-th label of each row, -1 where the row lists fewer."""
    return tl.load(at + k * step, listed, -1).to(tl.int64)


@triton.jit
def _excess(
    at: tl.tensor, label: tl.tensor, step: tl.tensor, listed: tl.tensor, outside: tl.tensor, dtype: tl.constexpr
) -> tl.tensor:
    """1 - x_j + x_i of the rows' labels j and classes i, and which of it counts: slope 0 at the kink, NaN adds nothing.

    outside: the scores of the classes outside of the set, -inf elsewhere.
    """
    threshold = 1.0 - tl.load(at + label * step, listed, 0).to(dtype)
    excess = threshold[:, None] + outside
    return excess, listed[:, None] & (excess > 0.0)


@triton.jit(do_not_specialize=["each", "tiles"])
def margins_of_set_kernel(
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
    target_step: tl.tensor,
    flags: tl.tensor,
    LOSS: tl.constexpr,
    WIDE: tl.constexpr,
    STORED: tl.constexpr,
    ON_EMPTY: tl.constexpr,
    ALONE: tl.constexpr,
    ROWS: tl.constexpr,
    CLASSES: tl.constexpr,
) -> None:
    """Of each row the sum over labels j of the set and classes i outside of max(0, 1 - x_j + x_i), by classes.

    One label after the other meets all classes. The slope of a class outside is the number of its hinges above 0; that
    of a label, negative, the number of hinges of all the places where it is listed.

    mask, gradient, upstream: a pointer, or None. value: where each loss goes, or None; partials: where this program's
    sum goes, or None. flags: None where a row is in one tile; else room of this program for which classes are in the
    set. There is no weight.
    """
    dtype: tl.constexpr = tl.float64 if WIDE else tl.float32
    scale = gradient_scale(number, sums, n_sums, upstream, ON_EMPTY).to(dtype)
    total = tl.zeros((ROWS,), tl.float64)
    first = tl.program_id(0).to(tl.int64) * each
    for t in range(unless_one(each, upstream, STORED)):
        run, inner, inside = rows_of(first + t, tiles, sizes, ROWS)
        unhidden = unmasked(mask, run, inner, inside, sizes, mask_strides)
        at = input + place_of(run, inner, sizes, input_strides)
        labels_at = target + place_of(run, inner, sizes, target_strides)

        # the first negative label ends the set; past it only -1 pads, and other numbers there must be labels
        end = tl.zeros((ROWS,), tl.int64) + classes
        wrong = tl.zeros((ROWS,), tl.int1)
        found = tl.zeros((ROWS,), tl.int64)
        for begin in range(0, classes, CLASSES):
            c, exists = classes_from(begin, classes, CLASSES)
            label = read_tile(labels_at, unhidden, c, exists, target_step, -1, tl.int64)
            end = tl.minimum(end, tl.min(tl.where(label < 0, c[None, :], classes), 1))
            none = (label < -1) | (label >= classes)
            place = tl.min(tl.where(none, c[None, :], classes), 1)
            here = ~wrong & (place < classes)
            found = tl.where(here, tl.sum(tl.where(c[None, :] == place[:, None], label, 0), 1), found)
            wrong = wrong | here
        take_note(note, wrong, number_of_row(run, inner, sizes), found, classes, LABEL_OUTSIDE, LOSS)
        used = unhidden & ~wrong
        end = tl.where(used, end, 0)
        longest = tl.max(end)
        share = factor_of(factors, run, inner, used, sizes, factor_strides, dtype) / classes
        unit = tl.where(used, share * scale, 0.0)[:, None]
        costs = tl.zeros((ROWS,), tl.float64)
        to = at if gradient is None else gradient + place_of(run, inner, sizes, gradient_strides)

        if flags is None:
            c, exists = classes_from(0, classes, CLASSES)
            in_set = tl.zeros((ROWS, CLASSES), tl.int1)
            for k in range(longest):
                in_set = in_set | (c[None, :] == _label(labels_at, k, target_step, k < end)[:, None])
            outside = tl.where(in_set, -float("inf"), read_tile(at, used, c, exists, input_step, -float("inf"), dtype))
            slopes = tl.zeros((ROWS, CLASSES), tl.int32)
            for k in range(longest):
                label = _label(labels_at, k, target_step, k < end)
                excess, active = _excess(at, label, input_step, k < end, outside, dtype)
                costs += wide_sum(tl.where(active, excess, 0.0))
                if gradient is not None:
                    hinges = tl.sum(active.to(tl.int32), 1)
                    slopes += active.to(tl.int32) - tl.where(c[None, :] == label[:, None], hinges[:, None], 0)
            if gradient is not None:
                write_tile(to, inside, c, exists, gradient_step, slopes.to(dtype) * unit)
        else:
            row_of_program = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
            flags_at = flags + row_of_program * classes
            for begin in range(0, classes, CLASSES):
                c, exists = classes_from(begin, classes, CLASSES)
                write_tile(flags_at, inside, c, exists, 1, tl.zeros((ROWS, CLASSES), tl.int8))
            tl.debug_barrier()
            for begin in range(0, longest, CLASSES):
                c, exists = classes_from(begin, classes, CLASSES)
                label = read_tile(labels_at, used, c, exists, target_step, -1, tl.int64)
                tl.store(flags_at[:, None] + label, 1, c[None, :] < end[:, None])
            tl.debug_barrier()
            for begin in range(0, classes, CLASSES):
                c, exists = classes_from(begin, classes, CLASSES)
                in_set = read_tile(flags_at, used, c, exists, 1, 0, tl.int8) != 0
                x = read_tile(at, used, c, exists, input_step, -float("inf"), dtype)
                outside = tl.where(in_set, -float("inf"), x)
                slopes = tl.zeros((ROWS, CLASSES), tl.int32)
                for k in range(longest):
                    label = _label(labels_at, k, target_step, k < end)
                    excess, active = _excess(at, label, input_step, k < end, outside, dtype)
                    costs += wide_sum(tl.where(active, excess, 0.0))
                    slopes += active.to(tl.int32)
                if gradient is not None:
                    there = inside[:, None] & exists[None, :] & ~in_set
                    g = rounded(slopes.to(dtype) * unit, to)
                    tl.store(to[:, None] + (c.to(tl.int64) * gradient_step)[None, :], g, there)
            if gradient is not None:
                for k in range(longest):
                    label = _label(labels_at, k, target_step, k < end)
                    hinges = tl.zeros((ROWS,), tl.int64)
                    times = tl.zeros((ROWS,), tl.int64)
                    for begin in range(0, classes, CLASSES):
                        c, exists = classes_from(begin, classes, CLASSES)
                        in_set = read_tile(flags_at, used, c, exists, 1, 0, tl.int8) != 0
                        x = read_tile(at, used, c, exists, input_step, -float("inf"), dtype)
                        outside = tl.where(in_set, -float("inf"), x)
                        _, active = _excess(at, label, input_step, k < end, outside, dtype)
                        hinges += tl.sum(active.to(tl.int32), 1)
                        others = read_tile(labels_at, used, c, exists, target_step, -1, tl.int64)
                        again = (others == label[:, None]) & (c[None, :] < end[:, None])
                        times += tl.sum(again.to(tl.int32), 1)
                    g = (-hinges * times).to(dtype)[:, None] * unit
                    tl.store(to[:, None] + (label * gradient_step)[:, None], rounded(g, to), (k < end)[:, None])
            # the next rows' flags come to the same place
            tl.debug_barrier()

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
    tile = Tile.of(rows, 4096, 16)
    step = rows.step(parts.target)
    if tile.classes >= rows.classes:
        return rows.run(margins_of_set_kernel, tile, step, None)
    room = LONG_PROGRAMS * tile.rows, rows.classes
    flags = torch.empty(room, dtype=torch.int8, device=parts.input.device)
    return rows.run(margins_of_set_kernel, tile, step, flags, most=LONG_PROGRAMS)
