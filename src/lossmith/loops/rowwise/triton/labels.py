"""Softmax rows against labels on a GPU, cross-entropy and focal losses: value and gradient at once."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

from collections.abc import Sequence
from typing import TYPE_CHECKING

import triton
import triton.language as tl
from torch import Tensor

from ....formula.triton import triton_function
from ....formula.vocabularies.triton import exp, expm1, log1p
from ...triton import as_number, gradient_scale, leave, rounded, take_note, unless_one
from .rows import (
    LABEL_OUTSIDE,
    Rows,
    Tile,
    class_weights,
    classes_from,
    exp_below,
    factor_of,
    greatest_of,
    multiple,
    number_of_row,
    place_of,
    raised,
    read_labels,
    read_tile,
    rows_of,
    unmasked,
    wide_sum,
    write_tile,
)

if TYPE_CHECKING:
    from ..native import Parts, _Call


@triton.jit
def _below(x: tl.tensor, greatest: tl.tensor, weights: tl.tensor, exists: tl.tensor) -> tl.tensor:
    """Of each row the sum of what its scores lie below the greatest, weighted."""
    return wide_sum(tl.where(exists[None, :], weights * (greatest[:, None] - x), 0.0))


@triton.jit(do_not_specialize=["each", "tiles", "ignored"])
def labels_kernel(
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
    smoothing: tl.float64,
    p0: tl.float64,
    p1: tl.float64,
    FOCUS: tl.constexpr,
    PARAMETERS: tl.constexpr,
    IGNORES: tl.constexpr,
    SMOOTHED: tl.constexpr,
    WHOLE: tl.constexpr,
    UNIT: tl.constexpr,
    ACROSS: tl.constexpr,
    LOSS: tl.constexpr,
    WIDE: tl.constexpr,
    STORED: tl.constexpr,
    ON_EMPTY: tl.constexpr,
    ALONE: tl.constexpr,
    ROWS: tl.constexpr,
    CLASSES: tl.constexpr,
) -> None:
    """Of each row log1p(S + expm1(a)) - a: see `softmax._surprisals`.

    mask, weight, gradient, upstream: a pointer, or None. value: where each loss goes, or None; partials: where this
    program's sum goes, or None. WHOLE: a row is in one tile; else it is read once for its sums, which are rescaled
    whenever a greater score is met, and once more for its gradient. FOCUS: the formula of a focal loss, or None.
    """
    dtype: tl.constexpr = tl.float64 if WIDE else tl.float32
    classes = multiple(classes, UNIT)
    scale = gradient_scale(number, sums, n_sums, upstream, ON_EMPTY).to(dtype)
    kept = (1.0 - as_number(smoothing, tl.float64)).to(dtype)
    floor = (as_number(smoothing, tl.float64) / classes).to(dtype)
    total = tl.zeros((ROWS,), tl.float64)
    first = tl.program_id(0).to(tl.int64) * each
    for t in range(unless_one(each, upstream, STORED)):
        run, inner, inside = rows_of(first + t, tiles, sizes, ROWS)
        unhidden = unmasked(mask, run, inner, inside, sizes, mask_strides)
        given, counted, wrong = read_labels(
            target + place_of(run, inner, sizes, target_strides), unhidden, classes, ignored, IGNORES
        )
        take_note(note, wrong, number_of_row(run, inner, sizes), given, classes, LABEL_OUTSIDE, LOSS)
        used = counted & ~wrong
        read = inside if ACROSS else used
        label = tl.where(used, given, 0)
        own = tl.zeros((ROWS,), dtype) + kept
        if weight is not None:
            own *= tl.load(weight + label * weight_stride, used, 0).to(dtype)
        factor = factor_of(factors, run, inner, used, sizes, factor_strides, dtype)
        at = input + multiple(place_of(run, inner, sizes, input_strides), UNIT)
        x_of_label = tl.load(at + label * input_step, used, 0).to(dtype)

        # the greatest score, the sum of exp(x - greatest) over the other classes; if smoothed, over all classes the
        # weighted sum of greatest - x, and that of the weights
        below = tl.zeros((ROWS,), tl.float64)
        all_weights = tl.zeros((1,), tl.float64)
        if WHOLE:
            c, exists = classes_from(0, classes, CLASSES)
            is_label = c[None, :] == label.to(c.dtype)[:, None]
            x = read_tile(at, read, c, exists, input_step, -float("inf"), dtype)
            greatest = greatest_of(x)
            powers = exp_below(x - greatest[:, None])
            others = wide_sum(tl.where(is_label, 0.0, powers))
            if SMOOTHED:
                weights = class_weights(weight, c, exists, weight_stride, dtype)
                below = _below(x, greatest, weights, exists)
                all_weights = wide_sum(weights)
        else:
            top = tl.full((ROWS,), -float("inf"), dtype)
            greatest = tl.zeros((ROWS,), dtype)
            others = tl.zeros((ROWS,), tl.float64)
            for begin in range(0, classes, CLASSES):
                c, exists = classes_from(begin, classes, CLASSES)
                is_label = c[None, :] == label.to(c.dtype)[:, None]
                x = read_tile(at, read, c, exists, input_step, -float("inf"), dtype)
                base = greatest
                top, greatest, fewer = raised(top, x)
                others = others * fewer + wide_sum(tl.where(is_label, 0.0, exp_below(x - greatest[:, None])))
                if SMOOTHED:
                    weights = class_weights(weight, c, exists, weight_stride, dtype)
                    below += all_weights * (greatest.to(tl.float64) - base.to(tl.float64))
                    below += _below(x, greatest, weights, exists)
                    all_weights += wide_sum(weights)

        lead = x_of_label - greatest
        rest = (others + expm1(lead).to(tl.float64)).to(dtype)
        log_total = log1p(rest)
        surprisal = log_total - lead
        cost, steepness = surprisal, tl.full((ROWS,), 1.0, dtype)
        if FOCUS is not None:
            if PARAMETERS == 0:
                cost, steepness = FOCUS(surprisal)
            else:
                cost, steepness = FOCUS(surprisal, as_number(p0, dtype), as_number(p1, dtype))
        loss = own * cost
        if SMOOTHED:
            every = all_weights.to(dtype)
            loss += floor * (every * log_total + below.to(dtype))
        loss = tl.where(used, loss * factor, tl.where(wrong, float("nan"), 0.0))
        if partials is not None or ALONE:
            total += loss.to(tl.float64)
        elif value is not None:
            tl.store(value + place_of(run, inner, sizes, value_strides), rounded(loss, value), inside)

        if gradient is not None:
            coefficient = factor * scale * steepness
            through_log = own
            on_label = own * expm1(-surprisal)
            share = tl.zeros((ROWS,), dtype)
            if SMOOTHED:
                through_log += floor * every
                on_label += floor * every * exp(-surprisal)
                share += floor
                if weight is None:
                    on_label -= floor
                else:
                    on_label -= floor * tl.load(weight + label * weight_stride, used, 0).to(dtype)
            slope = (coefficient * through_log / (1.0 + rest))[:, None]
            share = (coefficient * share)[:, None]
            on_label = (coefficient * on_label)[:, None]
            to = gradient + multiple(place_of(run, inner, sizes, gradient_strides), UNIT)
            if WHOLE:
                g = powers * slope
                if SMOOTHED:
                    g -= share * weights
                g = tl.where(used[:, None], tl.where(is_label, on_label, g), 0.0)
                write_tile(to, inside, c, exists, gradient_step, g)
            else:
                for begin in range(0, classes, CLASSES):
                    c, exists = classes_from(begin, classes, CLASSES)
                    x = read_tile(at, read, c, exists, input_step, -float("inf"), dtype)
                    g = exp_below(x - greatest[:, None]) * slope
                    if SMOOTHED:
                        g -= share * class_weights(weight, c, exists, weight_stride, dtype)
                    g = tl.where(used[:, None], tl.where(c[None, :] == label.to(c.dtype)[:, None], on_label, g), 0.0)
                    write_tile(to, inside, c, exists, gradient_step, g)
    leave(tl.sum(total), value, partials, number, sums, n_sums, note, ON_EMPTY, LOSS, ALONE)


def launch(
    call: "_Call",
    parts: "Parts",
    wanted: Sequence[bool],
    upstream: Tensor | None,
    into: Sequence[Tensor | None] | None,
) -> tuple[Tensor | None, Sequence[Tensor | None]]:
    rows = Rows(call, parts, wanted, upstream, into)
    tile, focus = Tile.of(rows), call.focus
    parameters = () if focus is None else focus.parameters
    return rows.run(
        labels_kernel,
        tile,
        -1 if call.ignore_index is None else call.ignore_index,
        call.smoothing,
        *[*parameters, 0.0, 0.0][:2],
        FOCUS=None if focus is None else triton_function(focus.formula),
        PARAMETERS=len(parameters),
        IGNORES=call.ignore_index is not None,
        SMOOTHED=call.smoothing > 0,
        WHOLE=tile.classes >= rows.classes,
        UNIT=rows.unit,
        ACROSS=rows.across,
    )
