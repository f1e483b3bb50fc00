"""The pointwise loop on a GPU: one Triton kernel for all formulas, which it is given."""

# mypy: disable-error-code="untyped-decorator, assignment"
# Triton comes without types, and its tuples grow in loops that are unrolled.

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl
from torch import Tensor

from ...errors import NUMBER, note_on, number_of
from ...formula.triton import triton_function
from ..fused import summed
from ..launches import enqueue, on
from ..triton import (
    MOST_PARTIALS,
    as_number,
    divisor_of_call,
    finish,
    gradient_scale,
    leave,
    offsets,
    rounded,
    strided,
    take_note,
    unless_one,
)

if TYPE_CHECKING:
    from .native import _Call


@triton.jit(do_not_specialize=["blocks"])
def pointwise_kernel(
    operands: tl.tensor,
    gradients: tl.tensor,
    factors: tl.tensor,
    mask: tl.tensor,
    value: tl.tensor,
    partials: tl.tensor,
    upstream: tl.tensor,
    note: tl.tensor,
    sizes: tl.tensor,
    operand_strides: tl.tensor,
    gradient_strides: tl.tensor,
    factor_strides: tl.tensor,
    mask_strides: tl.tensor,
    value_strides: tl.tensor,
    n: tl.int64,
    blocks: tl.int32,
    number: tl.float64,
    sums: tl.tensor,
    n_sums: tl.tensor,
    p0: tl.float64,
    p1: tl.float64,
    p2: tl.float64,
    p3: tl.float64,
    x0: tl.float64,
    x1: tl.float64,
    FORMULA: tl.constexpr,
    PARAMETERS: tl.constexpr,
    NUMBERS: tl.constexpr,
    BOUNDS: tl.constexpr,
    LOSS: tl.constexpr,
    WIDE: tl.constexpr,
    LONG: tl.constexpr,
    STORED: tl.constexpr,
    ON_EMPTY: tl.constexpr,
    ALONE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Value and gradients of a formula, element by element.

    gradients: a pointer or None for each operand. value: where each loss goes, or None; partials: where this program's
    sum goes, or None. upstream: a pointer to one number, or None. BOUNDS: of each operand None or (low, high, whether
    NaN is allowed). ALONE: there is one program, which divides the sum and writes it to `value`.
    """
    dtype: tl.constexpr = tl.float64 if WIDE else tl.float32
    parameters = (as_number(p0, dtype), as_number(p1, dtype), as_number(p2, dtype), as_number(p3, dtype))
    numbers = (as_number(x0, dtype), as_number(x1, dtype))
    scale = gradient_scale(number, sums, n_sums, upstream, ON_EMPTY).to(dtype)
    n = unless_one(n, upstream, STORED)
    total = tl.zeros((BLOCK,), tl.float64)
    start = tl.program_id(0).to(tl.int64) * blocks * BLOCK
    for b in range(blocks):
        index = start + b * BLOCK + tl.arange(0, BLOCK)
        inside = index < n
        if not LONG:
            index = index.to(tl.int32)
        kept = inside
        if mask is not None:
            kept = inside & (tl.load(mask + offsets(index, sizes, mask_strides), inside, 0) != 0)
        outside = tl.zeros((BLOCK,), tl.int1)
        values = ()
        for i in tl.static_range(len(operands)):
            # 1 is a point where every formula is finite, with finite derivatives
            x = tl.load(operands[i] + offsets(index, sizes, operand_strides[i]), kept, 1).to(dtype)
            if BOUNDS is not None:
                if BOUNDS[i] is not None:
                    beyond = (x < BOUNDS[i][0]) | (x > BOUNDS[i][1])
                    if not BOUNDS[i][2]:
                        beyond = beyond | (x != x)
                    take_note(note, beyond & kept, index, tl.full((BLOCK,), i, tl.int64), 0, NUMBER_OUTSIDE, LOSS)
                    outside = outside | beyond
            values += (x,)
        if BOUNDS is not None:
            spoiled = ()
            for i in tl.static_range(len(operands)):
                spoiled += (tl.where(outside, 1.0, values[i]),)
            values = spoiled
        for i in tl.static_range(NUMBERS):
            values += (tl.zeros((BLOCK,), dtype) + numbers[i],)
        if PARAMETERS == 0:
            results = FORMULA(*values)
        elif PARAMETERS == 1:
            results = FORMULA(*values, parameters[0])
        elif PARAMETERS == 2:
            results = FORMULA(*values, parameters[0], parameters[1])
        elif PARAMETERS == 3:
            results = FORMULA(*values, parameters[0], parameters[1], parameters[2])
        else:
            results = FORMULA(*values, parameters[0], parameters[1], parameters[2], parameters[3])
        weight = tl.full((BLOCK,), 1.0, dtype)
        for i in tl.static_range(len(factors)):
            weight *= tl.load(factors[i] + offsets(index, sizes, factor_strides[i]), kept, 0).to(dtype)
        loss = results[0] * weight
        if BOUNDS is not None:
            loss = tl.where(outside, float("nan"), loss)
        loss = tl.where(kept, loss, 0.0)
        if partials is not None or ALONE:
            total += loss.to(tl.float64)
        elif value is not None:
            tl.store(value + offsets(index, sizes, value_strides), rounded(loss, value), inside)
        for i in tl.static_range(len(operands)):
            if gradients[i] is not None:
                slope = results[1 + i] * weight * scale
                slope = tl.where(kept & ~outside, slope, 0.0)
                place = gradients[i] + offsets(index, sizes, gradient_strides[i])
                tl.store(place, rounded(slope, gradients[i]), inside)
    leave(tl.sum(total), value, partials, number, sums, n_sums, note, ON_EMPTY, LOSS, ALONE)


NUMBER_OUTSIDE = tl.constexpr(NUMBER)


def launch(
    call: "_Call",
    tensors: Sequence[Tensor],
    wanted: Sequence[bool],
    upstream: Tensor | None = None,
    into: Sequence[Tensor | None] | None = None,
) -> tuple[Tensor | None, list[Tensor | None]]:
    """`fused.DeviceKernel.launch` of a pointwise call."""
    shape, count = call.shape, call.count
    operands = tuple(tensors[:count])
    device = operands[0].device
    result = call.compute if call.bare else call.result
    factors: tuple[Tensor, ...] = tuple(tensors[count : count + len(call.factors)])
    mask = None if call.mask is None else tensors[-1]
    divisor = divisor_of_call(call)
    reduced = call.reduced
    gradients: list[Tensor | None] = [None] * len(tensors)
    asked = [w and d for w, d in zip(wanted[:count], call.formula.differentiable, strict=False)]
    whole = all([not w or operand.shape == shape for w, operand in zip(asked, operands, strict=True)])
    if any(asked) and (upstream is not None or whole):  # what is broadcast has to be summed, so it waits for backward
        for i, operand in enumerate(operands):
            if asked[i] and (into is None or into[i] is None):
                same = operand.shape == shape
                gradients[i] = torch.empty_like(operand) if same else operand.new_empty(shape, dtype=call.compute)
            elif asked[i] and into is not None:
                gradients[i] = into[i]
    value = None
    if upstream is None:
        first = operands[0]
        if reduced:
            value = torch.empty((), dtype=result, device=device)
        elif first.shape == shape:
            value = torch.empty_like(first, dtype=result)
        else:
            value = torch.empty(shape, dtype=result, device=device)
    elif not reduced:
        factors, upstream = (*factors, upstream), None

    n = shape.numel()
    # registers hold half as many elements in float64, or of more operands and gradients
    block = 1024 if count + sum([g is not None for g in gradients]) <= 5 else 512
    block = block // 2 if call.compute == torch.float64 else block
    programs = triton.cdiv(n, block)
    blocks = triton.cdiv(programs, MOST_PARTIALS) if reduced else 1
    programs = max(1, triton.cdiv(programs, blocks))
    alone = reduced and value is not None and programs == 1
    partials = None
    if reduced and value is not None and not alone:
        partials = torch.empty(programs, dtype=torch.float64, device=device)
    pointers = operands, tuple(gradients[:count]), factors
    sizes, (*of_pointers, of_others) = strided(shape, *pointers, (mask, None if reduced else value))
    bounds = None if call.domain is None or not any(call.domain.bounds) else call.domain.bounds
    note = None if bounds is None and divisor.on_empty != "error" else note_on(device)
    numbers, parameters = [*call.numbers, 0.0, 0.0], [*call.parameters, 0.0, 0.0, 0.0, 0.0]
    if programs:
        with on(operands[0]):
            enqueue(
                pointwise_kernel,
                (programs,),
                *pointers,
                mask,
                value,
                partials,
                upstream,
                note,
                sizes,
                *of_pointers,
                *of_others,
                n,
                blocks,
                *divisor.arguments,
                *parameters[:4],
                *numbers[:2],
                FORMULA=triton_function(call.formula),
                PARAMETERS=len(call.parameters),
                NUMBERS=len(call.numbers),
                BOUNDS=bounds,
                LOSS=0 if note is None else number_of(call.loss),
                WIDE=call.compute == torch.float64,
                LONG=n + block >= 2**31,
                STORED=into is not None,
                ON_EMPTY=divisor.on_empty,
                ALONE=alone,
                BLOCK=block,
            )
            if partials is not None and value is not None:
                finish(call.loss, partials, divisor, value)
    for i, gradient in enumerate(gradients):
        if gradient is not None and gradient.shape != tensors[i].shape:
            gradients[i] = summed(gradient, tensors[i])
    return value, gradients
