"""Softmax rows against class probabilities on a GPU, cross-entropy and focal losses: value and gradients at once."""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

from collections.abc import Sequence
from typing import TYPE_CHECKING

import triton
import triton.language as tl
from torch import Tensor

from ....formula.triton import triton_function
from ....formula.vocabularies.triton import log1p
from ...triton import as_number, gradient_scale, leave, rounded, unless_one
from .rows import (
    Rows,
    Tile,
    class_weights,
    classes_from,
    exp_below,
    factor_of,
    greatest_of,
    multiple,
    place_of,
    raised,
    read_tile,
    rows_of,
    unmasked,
    wide_sum,
    write_tile,
)

if TYPE_CHECKING:
    from ..native import Parts, _Call


@triton.jit
def _terms(
    x: tl.tensor,
    q: tl.tensor,
    exists: tl.tensor,
    greatest: tl.tensor,
    log_total: tl.tensor,
    weights: tl.tensor,
    p0: tl.tensor,
    p1: tl.tensor,
    FOCUS: tl.constexpr,
    PARAMETERS: tl.constexpr,
) -> tl.tensor:
    """Of each class its loss w q c(-log p), its cost w c, and w q times the cost's slope; 0 where no class is."""
    surprisal = log_total[:, None] + (greatest[:, None] - x)
    if FOCUS is None:
        cost, slope = surprisal, tl.full(surprisal.shape, 1.0, surprisal.dtype)
    elif PARAMETERS == 0:
        cost, slope = FOCUS(surprisal)
    else:
        cost, slope = FOCUS(surprisal, p0, p1)
    cost *= weights
    nothing = ((q == 0.0) & (tl.abs(cost) == float("inf"))) | ~exists[None, :]
    return (
        tl.where(nothing, 0.0, q * cost),
        tl.where(nothing, 0.0, cost),
        tl.where(exists[None, :], q * slope * weights, 0.0),
    )


@triton.jit
def _read_probabilities(
    at: tl.tensor,
    used: tl.tensor,
    c: tl.tensor,
    exists: tl.tensor,
    step: tl.tensor,
    kept: tl.tensor,
    floor: tl.tensor,
    dtype: tl.constexpr,
) -> tl.tensor:
    """Smoothed."""
    return read_tile(at, used, c, exists, step, 0.0, dtype) * kept + floor


@triton.jit(do_not_specialize=["each", "tiles"])
def probabilities_kernel(
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
    target_gradient: tl.tensor,
    target_gradient_strides: tl.tensor,
    target_step: tl.tensor,
    target_gradient_step: tl.tensor,
    smoothing: tl.float64,
    p0: tl.float64,
    p1: tl.float64,
    FOCUS: tl.constexpr,
    PARAMETERS: tl.constexpr,
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
    """Of each row the sum of w q c(-log p); a class with q = 0 adds 0 even where that is infinite.

    mask, weight, gradient, target_gradient, upstream: a pointer, or None. value: where each loss goes, or None;
    partials: where this program's sum goes, or None. WHOLE: a row is in one tile; else it is read for the sum of
    exp(x - greatest), for the loss, and for the gradient of the input. FOCUS: the formula of a focal loss, or None.
    """
    dtype: tl.constexpr = tl.float64 if WIDE else tl.float32
    classes = multiple(classes, UNIT)
    scale = gradient_scale(number, sums, n_sums, upstream, ON_EMPTY).to(dtype)
    kept = (1.0 - as_number(smoothing, tl.float64)).to(dtype)
    floor = (as_number(smoothing, tl.float64) / classes).to(dtype)
    a, b = as_number(p0, dtype), as_number(p1, dtype)
    sum_of_losses = tl.zeros((ROWS,), tl.float64)
    first = tl.program_id(0).to(tl.int64) * each
    for t in range(unless_one(each, upstream, STORED)):
        run, inner, inside = rows_of(first + t, tiles, sizes, ROWS)
        used = unmasked(mask, run, inner, inside, sizes, mask_strides)
        read = inside if ACROSS else used
        factor = factor_of(factors, run, inner, used, sizes, factor_strides, dtype)
        coefficient = (factor * scale)[:, None]
        at = input + multiple(place_of(run, inner, sizes, input_strides), UNIT)
        q_at = target + multiple(place_of(run, inner, sizes, target_strides), UNIT)
        if WHOLE:
            c, exists = classes_from(0, classes, CLASSES)
            x = read_tile(at, read, c, exists, input_step, -float("inf"), dtype)
            greatest = greatest_of(x)
            powers = exp_below(x - greatest[:, None])
            total = wide_sum(powers)
        else:
            top = tl.full((ROWS,), -float("inf"), dtype)
            greatest = tl.zeros((ROWS,), dtype)
            total = tl.zeros((ROWS,), tl.float64)
            for begin in range(0, classes, CLASSES):
                c, exists = classes_from(begin, classes, CLASSES)
                x = read_tile(at, read, c, exists, input_step, -float("inf"), dtype)
                top, greatest, fewer = raised(top, x)
                total = total * fewer + wide_sum(exp_below(x - greatest[:, None]))
        log_total = log1p((total - 1.0).to(dtype))

        if target_gradient is not None:
            to_target = target_gradient + multiple(place_of(run, inner, sizes, target_gradient_strides), UNIT)
        if WHOLE:
            q = _read_probabilities(q_at, read, c, exists, target_step, kept, floor, dtype)
            weights = class_weights(weight, c, exists, weight_stride, dtype)
            terms, cost, pull = _terms(x, q, exists, greatest, log_total, weights, a, b, FOCUS, PARAMETERS)
            loss, mass = wide_sum(terms), wide_sum(pull)
            if target_gradient is not None:
                of_q = tl.where(used[:, None], cost * kept * coefficient, 0.0)
                write_tile(to_target, inside, c, exists, target_gradient_step, of_q)
        else:
            loss = tl.zeros((ROWS,), tl.float64)
            mass = tl.zeros((ROWS,), tl.float64)
            for begin in range(0, classes, CLASSES):
                c, exists = classes_from(begin, classes, CLASSES)
                x = read_tile(at, read, c, exists, input_step, -float("inf"), dtype)
                q = _read_probabilities(q_at, read, c, exists, target_step, kept, floor, dtype)
                weights = class_weights(weight, c, exists, weight_stride, dtype)
                terms, cost, pull = _terms(x, q, exists, greatest, log_total, weights, a, b, FOCUS, PARAMETERS)
                loss += wide_sum(terms)
                mass += wide_sum(pull)
                if target_gradient is not None:
                    of_q = tl.where(used[:, None], cost * kept * coefficient, 0.0)
                    write_tile(to_target, inside, c, exists, target_gradient_step, of_q)

        if value is not None:
            each_loss = tl.where(used, loss.to(dtype) * factor, 0.0)
            if partials is not None or ALONE:
                sum_of_losses += each_loss.to(tl.float64)
            else:
                tl.store(value + place_of(run, inner, sizes, value_strides), rounded(each_loss, value), inside)

        if gradient is not None:
            share = (mass / total).to(dtype)[:, None]
            to = gradient + multiple(place_of(run, inner, sizes, gradient_strides), UNIT)
            if WHOLE:
                g = tl.where(used[:, None], (powers * share - pull) * coefficient, 0.0)
                write_tile(to, inside, c, exists, gradient_step, g)
            else:
                for begin in range(0, classes, CLASSES):
                    c, exists = classes_from(begin, classes, CLASSES)
                    x = read_tile(at, read, c, exists, input_step, -float("inf"), dtype)
                    q = _read_probabilities(q_at, read, c, exists, target_step, kept, floor, dtype)
                    weights = class_weights(weight, c, exists, weight_stride, dtype)
                    _, _, pull = _terms(x, q, exists, greatest, log_total, weights, a, b, FOCUS, PARAMETERS)
                    g = tl.where(used[:, None], (exp_below(x - greatest[:, None]) * share - pull) * coefficient, 0.0)
                    write_tile(to, inside, c, exists, gradient_step, g)
    leave(tl.sum(sum_of_losses), value, partials, number, sums, n_sums, note, ON_EMPTY, LOSS, ALONE)


def launch(
    call: "_Call",
    parts: "Parts",
    wanted: Sequence[bool],
    upstream: Tensor | None,
    into: Sequence[Tensor | None] | None,
) -> tuple[Tensor | None, Sequence[Tensor | None]]:
    rows = Rows(call, parts, wanted, upstream, into)
    each = 8 if rows.wide else 16  # of a pair of numbers, which of float64 take twice the registers
    tile, focus, of_target = Tile.of(rows, 4096, each=each), call.focus, rows.gradients[1]
    parameters = () if focus is None else focus.parameters
    return rows.run(
        probabilities_kernel,
        tile,
        of_target,
        rows.strides(of_target),
        rows.step(parts.target),
        rows.step(of_target),
        call.smoothing,
        *[*parameters, 0.0, 0.0][:2],
        FOCUS=None if focus is None else triton_function(focus.formula),
        PARAMETERS=len(parameters),
        WHOLE=tile.classes >= rows.classes,
        UNIT=rows.unit,
        ACROSS=rows.across,
    )
