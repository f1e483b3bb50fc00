"""Distillation on a GPU: the softened softmaxes of a student (the input) and of a teacher (the target), and labels.

Value and both gradients at once; the logarithm of a ratio of probabilities comes from differences of logits.
"""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

from collections.abc import Sequence
from typing import TYPE_CHECKING

import triton
import triton.language as tl
from torch import Tensor

from ....formula.vocabularies.triton import expm1, log1p
from ...triton import as_number, gradient_scale, leave, rounded, take_note, unless_one
from .rows import (
    LABEL_OUTSIDE,
    Rows,
    Tile,
    classes_from,
    exp_below,
    factor_of,
    greatest_of,
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
def _excess(x: tl.tensor) -> tl.tensor:
    """exp(-x) - 1 + x for |x| < 0.41, with its relative accuracy: x^2 / 2 (1 - x / 3 (1 - x / 4 (1 - ...)))."""
    TERMS: tl.constexpr = 14 if x.dtype == tl.float64 else 8
    nested = tl.zeros_like(x) + 1.0
    for i in tl.static_range(TERMS):
        nested = 1.0 - x * (1.0 / (TERMS + 2 - i)) * nested
    return 0.5 * x * x * nested


@triton.jit
def _times(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    """The product, and 0 where x is 0: what can't happen costs nothing."""
    return tl.where(x == 0.0, 0.0, x * y)


@triton.jit
def _term(u: tl.tensor, v: tl.tensor, log_ratio: tl.tensor) -> tl.tensor:
    """u log(u / v) - u + v, of which no term is negative, so that nothing cancels where u is nearly v."""
    far = v - u + u * log_ratio
    return tl.where(u == 0.0, v, tl.where(tl.abs(log_ratio) < 0.4, u * _excess(log_ratio), far))


@triton.jit
def _terms(q: tl.tensor, p: tl.tensor, log_ratio: tl.tensor, beta: tl.tensor, DIVERGENCE: tl.constexpr) -> tl.tensor:
    """What a class adds to the divergence, and its probabilities times the divergence's derivatives in them.

    Of the teacher's probabilities q and the student's p, with the logarithm of q / p. With S the sum of the student's
    over the classes, the derivative in a logit of the student is student - p S, and so for the teacher.
    """
    if DIVERGENCE == "forward":
        value = _term(q, p, log_ratio)
        student = -q
        teacher = _times(q, log_ratio)
    elif DIVERGENCE == "reverse":
        value = _term(p, q, -log_ratio)
        student = -_times(p, log_ratio)
        teacher = -p
    else:
        # with the mixture m = beta q + (1 - beta) p, the logarithms of q / m and p / m; exp of what is not positive
        above = log_ratio > 0.0
        rest = 1.0 - beta
        log_greater = -log1p(tl.where(above, rest, beta) * expm1(-tl.abs(log_ratio)))
        of_teacher = tl.where(above, log_greater, log_greater + log_ratio)
        of_student = tl.where(above, log_greater - log_ratio, log_greater)
        teacher = beta * _times(q, of_teacher)
        student = rest * _times(p, of_student)
        near = beta * (q * _excess(of_teacher)) + rest * (p * _excess(of_student))
        value = tl.where(tl.abs(log_ratio) < 0.4, near, teacher + student)
    return value, student, teacher


@triton.jit
def _softened(x: tl.tensor, greatest: tl.tensor, coldness: tl.tensor) -> tl.tensor:
    return exp_below((x - greatest[:, None]) * coldness)


@triton.jit
def _fewer(before: tl.tensor, greatest: tl.tensor, coldness: tl.tensor) -> tl.tensor:
    """What a sum of softened exponentials is to be multiplied with when the greatest score is another, in float64."""
    return exp_below((before.to(tl.float64) - greatest.to(tl.float64)) * coldness)


@triton.jit
def _terms_of_tile(
    s: tl.tensor,
    taught: tl.tensor,
    e: tl.tensor,
    e_taught: tl.tensor,
    share: tl.tensor,
    share_taught: tl.tensor,
    shift: tl.tensor,
    offset: tl.tensor,
    coldness: tl.tensor,
    beta: tl.tensor,
    DIVERGENCE: tl.constexpr,
) -> tl.tensor:
    # from a difference of logits, which is exact where they are near
    log_ratio = ((taught - s) - shift) * coldness - offset
    return _terms(e_taught * share_taught, e * share, log_ratio, beta, DIVERGENCE)


@triton.jit
def _slopes_of_student(
    pull: tl.tensor,
    e: tl.tensor,
    centre: tl.tensor,
    slope: tl.tensor,
    s: tl.tensor,
    greatest: tl.tensor,
    is_label: tl.tensor,
    on_label: tl.tensor,
    hard_slope: tl.tensor,
    SOFT: tl.constexpr,
    HARD: tl.constexpr,
) -> tl.tensor:
    g = tl.zeros_like(s)
    if SOFT:
        g += (pull - e * centre) * slope
    if HARD:
        g += tl.where(is_label, on_label, exp_below(s - greatest[:, None]) * hard_slope)
    return g


@triton.jit(do_not_specialize=["each", "tiles", "ignored"])
def distillation_kernel(
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
    labels: tl.tensor,
    target_gradient: tl.tensor,
    label_strides: tl.tensor,
    target_gradient_strides: tl.tensor,
    target_step: tl.tensor,
    target_gradient_step: tl.tensor,
    ignored: tl.int64,
    coldness: tl.float64,
    soft: tl.float64,
    soft_slope: tl.float64,
    hard: tl.float64,
    beta: tl.float64,
    DIVERGENCE: tl.constexpr,
    SOFT: tl.constexpr,
    HARD: tl.constexpr,
    WHOLE: tl.constexpr,
    LOSS: tl.constexpr,
    WIDE: tl.constexpr,
    STORED: tl.constexpr,
    ON_EMPTY: tl.constexpr,
    ALONE: tl.constexpr,
    ROWS: tl.constexpr,
    CLASSES: tl.constexpr,
) -> None:
    """Of each row alpha T^2 times the divergence, and (1 - alpha) w_y times the student's surprisal at its label.

    mask, weight, gradient, target_gradient, labels, upstream: a pointer, or None. value: where each loss goes, or None;
    partials: where this program's sum goes, or None. coldness: 1 / T. soft, hard: the factors of both terms, of which
    there are SOFT and HARD; soft_slope: alpha T. WHOLE: a row is in one tile; else it is read for sums of exponentials,
    for the divergence, and for the gradients.
    """
    dtype: tl.constexpr = tl.float64 if WIDE else tl.float32
    scale = gradient_scale(number, sums, n_sums, upstream, ON_EMPTY).to(dtype)
    cold = as_number(coldness, tl.float64)
    colder = cold.to(dtype)
    mixed = as_number(beta, dtype)
    sum_of_losses = tl.zeros((), tl.float64)
    first = tl.program_id(0).to(tl.int64) * each
    for t in range(unless_one(each, upstream, STORED)):
        run, inner, inside = rows_of(first + t, tiles, sizes, ROWS)
        used = unmasked(mask, run, inner, inside, sizes, mask_strides)
        wrong = tl.zeros((ROWS,), tl.int1)
        label = tl.zeros((ROWS,), tl.int64)
        if labels is not None:
            given, used, wrong = read_labels(
                labels + place_of(run, inner, sizes, label_strides), used, classes, ignored, True
            )
            take_note(note, wrong, number_of_row(run, inner, sizes), given, classes, LABEL_OUTSIDE, LOSS)
            used = used & ~wrong
            label = tl.where(used, given, 0)
        factor = factor_of(factors, run, inner, used, sizes, factor_strides, dtype)
        at = input + place_of(run, inner, sizes, input_strides)
        taught_at = target + place_of(run, inner, sizes, target_strides)

        # the greatest scores, the sums of softened exp(x - greatest), and over the other classes than the label's that
        # of the student's unsoftened ones
        others = tl.zeros((ROWS,), tl.float64)
        if WHOLE:
            c, exists = classes_from(0, classes, CLASSES)
            is_label = c[None, :] == label[:, None]
            s = read_tile(at, used, c, exists, input_step, -float("inf"), dtype)
            taught = read_tile(taught_at, used, c, exists, target_step, -float("inf"), dtype)
            greatest, greatest_taught = greatest_of(s), greatest_of(taught)
            e, e_taught = _softened(s, greatest, colder), _softened(taught, greatest_taught, colder)
            total, total_taught = wide_sum(e), wide_sum(e_taught)
            if HARD:
                others = wide_sum(tl.where(is_label, 0.0, exp_below(s - greatest[:, None])))
        else:
            top = tl.full((ROWS,), -float("inf"), dtype)
            top_taught = top
            greatest = tl.zeros((ROWS,), dtype)
            greatest_taught = greatest
            total = tl.zeros((ROWS,), tl.float64)
            total_taught = total
            for begin in range(0, classes, CLASSES):
                c, exists = classes_from(begin, classes, CLASSES)
                s = read_tile(at, used, c, exists, input_step, -float("inf"), dtype)
                before = top
                top, greatest, fewer = raised(top, s)
                total = total * _fewer(before, greatest, cold) + wide_sum(_softened(s, greatest, colder))
                if HARD:
                    is_label = c[None, :] == label[:, None]
                    others = others * fewer + wide_sum(tl.where(is_label, 0.0, exp_below(s - greatest[:, None])))
                taught = read_tile(taught_at, used, c, exists, target_step, -float("inf"), dtype)
                before = top_taught
                top_taught, greatest_taught, fewer = raised(top_taught, taught)
                total_taught *= _fewer(before, greatest_taught, cold)
                total_taught += wide_sum(_softened(taught, greatest_taught, colder))
        share, share_taught = (1.0 / total).to(dtype)[:, None], (1.0 / total_taught).to(dtype)[:, None]
        shift, offset = (greatest_taught - greatest)[:, None], tl.log(total_taught / total).to(dtype)[:, None]

        loss = tl.zeros((ROWS,), tl.float64)
        pulls = tl.zeros((ROWS,), tl.float64)
        pulls_taught = tl.zeros((ROWS,), tl.float64)
        if WHOLE:
            term, pull, pull_taught = _terms_of_tile(
                s, taught, e, e_taught, share, share_taught, shift, offset, colder, mixed, DIVERGENCE
            )
            loss, pulls, pulls_taught = wide_sum(term), wide_sum(pull), wide_sum(pull_taught)
        else:
            for begin in range(0, classes, CLASSES):
                c, exists = classes_from(begin, classes, CLASSES)
                s = read_tile(at, used, c, exists, input_step, -float("inf"), dtype)
                taught = read_tile(taught_at, used, c, exists, target_step, -float("inf"), dtype)
                e, e_taught = _softened(s, greatest, colder), _softened(taught, greatest_taught, colder)
                term, pull, pull_taught = _terms_of_tile(
                    s, taught, e, e_taught, share, share_taught, shift, offset, colder, mixed, DIVERGENCE
                )
                loss += wide_sum(term)
                pulls += wide_sum(pull)
                pulls_taught += wide_sum(pull_taught)
        loss = loss * as_number(soft, tl.float64) if SOFT else tl.zeros_like(loss)
        centre, centre_taught = pulls.to(dtype)[:, None] * share, pulls_taught.to(dtype)[:, None] * share_taught
        upstream_factor = factor * scale
        slope = tl.where(used, as_number(soft_slope, dtype) * upstream_factor, 0.0)[:, None]
        on_label = tl.zeros((ROWS, 1), dtype)
        hard_slope = on_label
        if HARD:
            of_label = tl.zeros((ROWS,), dtype) + as_number(hard, dtype)
            if weight is not None:
                of_label *= tl.load(weight + label * weight_stride, used, 0).to(dtype)
            lead = tl.load(at + label * input_step, used, 0).to(dtype) - greatest
            rest = (others + expm1(lead).to(tl.float64)).to(dtype)
            surprisal = log1p(rest) - lead
            loss += (of_label * surprisal).to(tl.float64)
            of_label *= upstream_factor
            hard_slope = (of_label / (1.0 + rest))[:, None]
            on_label = (of_label * expm1(-surprisal))[:, None]
        if value is not None:
            loss = tl.where(used, loss * factor.to(tl.float64), tl.where(wrong, float("nan"), 0.0))
            if partials is not None or ALONE:
                sum_of_losses += tl.sum(loss)
            else:
                tl.store(value + place_of(run, inner, sizes, value_strides), rounded(loss, value), inside)

        to = at if gradient is None else gradient + place_of(run, inner, sizes, gradient_strides)
        to_taught = taught_at
        if target_gradient is not None:
            to_taught = target_gradient + place_of(run, inner, sizes, target_gradient_strides)
        if WHOLE:
            if gradient is not None:
                g = _slopes_of_student(pull, e, centre, slope, s, greatest, is_label, on_label, hard_slope, SOFT, HARD)
                write_tile(to, inside, c, exists, gradient_step, tl.where(used[:, None], g, 0.0))
            if target_gradient is not None:
                g = (pull_taught - e_taught * centre_taught) * slope if SOFT else tl.zeros_like(taught)
                write_tile(to_taught, inside, c, exists, target_gradient_step, tl.where(used[:, None], g, 0.0))
        elif gradient is not None or target_gradient is not None:
            for begin in range(0, classes, CLASSES):
                c, exists = classes_from(begin, classes, CLASSES)
                is_label = c[None, :] == label[:, None]
                s = read_tile(at, used, c, exists, input_step, -float("inf"), dtype)
                taught = read_tile(taught_at, used, c, exists, target_step, -float("inf"), dtype)
                e, e_taught = _softened(s, greatest, colder), _softened(taught, greatest_taught, colder)
                term, pull, pull_taught = _terms_of_tile(
                    s, taught, e, e_taught, share, share_taught, shift, offset, colder, mixed, DIVERGENCE
                )
                if gradient is not None:
                    g = _slopes_of_student(
                        pull, e, centre, slope, s, greatest, is_label, on_label, hard_slope, SOFT, HARD
                    )
                    write_tile(to, inside, c, exists, gradient_step, tl.where(used[:, None], g, 0.0))
                if target_gradient is not None:
                    g = (pull_taught - e_taught * centre_taught) * slope if SOFT else tl.zeros_like(taught)
                    write_tile(to_taught, inside, c, exists, target_gradient_step, tl.where(used[:, None], g, 0.0))
    leave(sum_of_losses, value, partials, number, sums, n_sums, note, ON_EMPTY, LOSS, ALONE)


def launch(
    call: "_Call",
    parts: "Parts",
    wanted: Sequence[bool],
    upstream: Tensor | None,
    into: Sequence[Tensor | None] | None,
) -> tuple[Tensor | None, Sequence[Tensor | None]]:
    rows, how = Rows(call, parts, wanted, upstream, into), call.distillation
    assert how is not None
    # what is known of each row takes many registers where a thread has several rows
    long = not rows.across and rows.classes > 512
    tile = Tile.of(rows, 2048, 8) if long else Tile.of(rows, 1024, 4)
    of_target = rows.gradients[1]
    return rows.run(
        distillation_kernel,
        tile,
        parts.labels,
        of_target,
        rows.strides(parts.labels),
        rows.strides(of_target),
        rows.step(parts.target),
        rows.step(of_target),
        -1 if call.ignore_index is None else call.ignore_index,
        1 / how.temperature,
        how.alpha * how.temperature**2,
        how.alpha * how.temperature,
        1 - how.alpha,
        how.beta,
        DIVERGENCE=how.divergence,
        SOFT=how.alpha > 0,
        HARD=parts.labels is not None and how.alpha < 1,
        WHOLE=tile.classes >= rows.classes,
    )
