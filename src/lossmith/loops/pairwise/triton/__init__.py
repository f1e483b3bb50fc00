"""The pairwise loop on a GPU: with which buffers its kernel is started, and in tiles of which size.

One program has a tile of rows in its registers, or walks along one row that is too long for them: once for what is
summed along it, and once for the gradients (more often for float64, unit vectors and the rarer norms, whose greatest
number has to be known first).
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import triton
from torch import Tensor

from ....errors import note_on, number_of
from ....formula.triton import triton_function
from ...fused import summed
from ...launches import enqueue, on
from ...triton import MOST_PARTIALS, divisor_of_call, finish, strided
from .kernel import pairwise_kernel

if TYPE_CHECKING:
    from ..native import _Call

TILE = 1024
"""So many numbers of each operand a program has in its registers, of rows no wider than that; of float64 half of it."""
IN_REGISTERS = 2048
"""The widest row that is kept in registers; of float64 half of that."""
ALONG = 512
"""So many numbers of a wider row are taken at a time."""
THREADS = 128
"""Of a program, unless its row is wide; not less than its rows, for each of which there are many numbers."""


def norm_of(p: float) -> str:
    """Which of the distances above a p-norm is."""
    named = {1.0: "manhattan", 2.0: "euclidean", math.inf: "greatest"}
    return named.get(p, "minkowski" if p > 1 else "concave")


def launch(
    call: "_Call",
    tensors: Sequence[Tensor],
    wanted: Sequence[bool],
    upstream: Tensor | None = None,
    into: Sequence[Tensor | None] | None = None,
) -> tuple[Tensor | None, list[Tensor | None]]:
    """`fused.DeviceKernel.launch` of a pairwise call."""
    vectors, target, factors, mask = call.apart(tensors)
    numbers, shape, width, device = call.numbers, call.shape, call.width, vectors[0].device
    divisor = divisor_of_call(call)
    whole = torch.Size((*shape, width))
    asked = wanted[: call.count]
    gradients: list[Tensor | None] = [None] * len(tensors)
    # what is broadcast has to be summed, so it waits for backward
    if upstream is not None or all([not w or v.shape == whole for w, v in zip(asked, vectors, strict=True)]):
        for i, vector in enumerate(vectors):
            if asked[i] and into is not None and into[i] is not None:
                gradients[i] = into[i]
            elif asked[i]:
                same = vector.shape == whole
                gradients[i] = torch.empty_like(vector) if same else vector.new_empty(whole, dtype=call.compute)
    value = None
    if upstream is None:
        value = torch.empty(() if call.reduced else shape, dtype=call.result, device=device)
    elif not call.reduced:
        factors, upstream = (*factors, upstream), None

    n = shape.numel()
    wide = call.compute == torch.float64 or numbers.normalize
    once = width <= IN_REGISTERS >> wide
    block = triton.next_power_of_2(width) if once else ALONG
    rows = max(1, min(THREADS, (TILE >> wide) // block))
    tiles = triton.cdiv(n, rows)
    blocks = triton.cdiv(tiles, MOST_PARTIALS) if call.reduced else 1
    programs = max(1, triton.cdiv(tiles, blocks)) if tiles else 1
    alone = call.reduced and value is not None and programs == 1
    partials = None
    if call.reduced and value is not None and not alone:
        partials = torch.empty(programs, dtype=torch.float64, device=device)
    pointers: tuple[tuple[Tensor | None, ...], ...] = vectors, tuple(gradients[: call.count]), factors
    each = target, mask, None if call.reduced else value
    starts = [[t if t is None or t.dim() == 0 else t.select(-1, 0) for t in given] for given in pointers[:2]]
    sizes, (*of_pointers, of_each) = strided(shape, *starts, factors, each)

    def steps(given: Sequence[Tensor | None]) -> tuple[int, ...]:
        return tuple([0 if t is None or t.dim() == 0 else t.stride(-1) for t in given])

    noted = call.kind == "contrastive" or divisor.on_empty == "error"
    with on(vectors[0]):
        enqueue(
            pairwise_kernel,
            (programs,),
            *pointers,
            target,
            mask,
            value,
            partials,
            upstream,
            note_on(device) if noted else None,
            sizes,
            *of_pointers,
            *of_each,
            steps(vectors),
            steps(pointers[1]),
            n,
            width,
            blocks,
            *divisor.arguments,
            numbers.margin,
            numbers.positive_margin,
            numbers.p,
            torch.finfo(call.compute).max ** (0.5 * numbers.p) if numbers.p < 1 else 0.0,
            numbers.eps,
            *numbers.labels,
            FORMULA=triton_function(call.formula),
            KIND=call.kind,
            NORM=norm_of(numbers.p),
            SWAP=numbers.swap,
            SQUARED=numbers.squared and call.kind == "triplet_margin",
            NORMALIZE=numbers.normalize,
            WIDE=wide,
            LOSS=number_of(call.loss) if noted else 0,
            LONG=n + rows >= 2**31,
            STORED=into is not None,
            ON_EMPTY=divisor.on_empty,
            ALONE=alone,
            ROWS=rows,
            BLOCK=block,
            ONCE=once,
            num_warps=(max(THREADS, block // (8 >> wide)) if once else THREADS) // 32,
        )
        if partials is not None and value is not None:
            finish(call.loss, partials, divisor, value)
    for i, gradient in enumerate(gradients):
        if gradient is not None and gradient.shape != tensors[i].shape:
            gradients[i] = summed(gradient, tensors[i])
    return value, gradients
