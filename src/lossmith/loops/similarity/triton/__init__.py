"""Tiles of similarities on a GPU: Triton kernels that turn products into losses and, in place, into derivatives.

The products around them are torch's (`tiled.sweep`). Which columns are a row's positives is found by comparing labels,
so nothing is sorted or selected, and no size depends on data.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import triton
from torch import Tensor

from ....errors import note_on, number_of
from ...launches import on
from ...triton import COUNTS, Divisor, divisor_on_device, finish, rescale
from ..rows import sigmoids
from ..tiled import asked_of, listed, sweep
from .directions import column_sums_kernel, derivatives_kernel, directions_kernel, row_sums_kernel
from .positives import positives_kernel
from .relation import Known, blocks_of
from .sigmoid_rows import sigmoids_kernel
from .softmax_rows import rows_kernel

if TYPE_CHECKING:
    from ..call import _Call


def divisor(call: "_Call") -> Divisor:
    """What the mean of a call divides by."""
    how, relation = call.how, call.relation
    losses = relation.rows // call.views
    by_positives = call.counted or call.share
    if not by_positives or how.reduction == "sum" or isinstance(how.normalizer, (int, float, Tensor)):
        return divisor_on_device(how, (losses,), wide=True)
    each = how.normalizer == "count" or (how.normalizer is None and how.reduction == "batchmean")
    blocks = blocks_of(relation.columns)
    programs = max(1, min(COUNTS.value, triton.cdiv(losses, blocks["ROWS"])))
    known = Known(relation)
    partials = torch.empty(programs, dtype=torch.float64, device=known.device)
    weights = _weights([how.sample_weight], losses)
    sizes = relation.rows, relation.columns, known.labelled
    with on(partials):
        positives_kernel[(programs,)](
            *known.arguments, *weights, partials, *sizes, SHARE=call.share and not each, **blocks
        )
    return Divisor(1.0, partials, how.on_empty)


def _weights(given: Sequence[Tensor | None], losses: int) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """Weights of unreduced losses, and their strides."""
    weights = tuple([t.detach() for t in given if t is not None])
    return weights, tuple([t.expand(losses).stride(0) for t in weights])


def _number(number: Tensor | float) -> tuple[Tensor | None, float]:
    """A number as kernels take it."""
    return (number, 0.0) if isinstance(number, Tensor) else (None, float(number))


def launch(
    call: "_Call",
    tensors: Sequence[Tensor],
    wanted: Sequence[bool],
    upstream: Tensor | None = None,
    into: Sequence[Tensor | None] | None = None,
) -> tuple[Tensor | None, Sequence[Tensor | None]]:
    """`fused.DeviceKernel.launch` of a call.

    Gradients of a reduced loss are in the dtype that is computed in, so they are stored and, in backward, multiplied in
    their place; a later backward goes through the same steps.
    """
    if into is not None:
        assert upstream is not None
        rescale(into, upstream)
        return None, into
    x, y, scale, bias = call.take(tensors)
    rows, columns, device = x.shape[0], y.shape[0], x.device
    losses = call.relation.rows // call.views
    (of_x, of_y), of_scale, of_bias = asked_of(call, wanted)
    derive = any(wanted)
    wide = x.dtype == torch.float64
    result = call.dtypes[0] if call.bare else call.dtypes[1]
    whole = call.divisor if isinstance(call.divisor, Divisor) else Divisor(call.divisor or 1.0)
    weights = _weights([None if call.bare else call.how.sample_weight, None if call.reduced else upstream], losses)
    known = Known(call.relation)
    direct = not call.reduced and call.views == 1
    each = torch.empty(rows, dtype=result if direct else torch.float64, device=device)
    slopes = [
        torch.empty(rows, dtype=torch.float64, device=device) if derive and w else None for w in (of_scale, of_bias)
    ]
    size = _number(scale)
    share = call.factor / call.views
    blocks = blocks_of(columns, wide)
    ruled = {"DERIVATIVES": derive, "ON_EMPTY": whole.on_empty}

    def heights(tile: Tensor) -> tuple[int]:
        return (triton.cdiv(tile.shape[0], blocks["ROWS"]),)

    with on(x):
        if call.both:
            gradients = _both(call, x, y, known, weights, size, share, whole, each, slopes[0], (of_x, of_y), derive)
        else:
            valid = call.valid
            note = None if valid is None else note_on(device)
            judged = [t for t in (valid, call.given) if t is not None] if valid is not None else []
            labels = (*judged, tuple([t.stride(0) for t in judged])) if judged else (None, None, (0, 0))
            kind, margin, easy = call.margin
            turn = 0.0 if easy else math.cos(math.pi - margin)
            bent = (margin, math.cos(margin), math.sin(margin), turn)

            def step(tile: Tensor, start: int, derivatives: bool) -> None:
                sizes = start, tile.shape[0], columns, known.labelled, losses
                if call.rows is sigmoids:
                    sigmoids_kernel[heights(tile)](
                        tile, *known.arguments, *weights, each, *slopes, *sizes, *size, *_number(bias), share,
                        *whole.arguments, WIDE=wide, **ruled, **blocks,
                    )  # fmt: skip
                else:
                    rows_kernel[heights(tile)](
                        tile, *known.arguments, *weights, *labels, each, slopes[0], note, *sizes, *size, *bent, share,
                        *whole.arguments, KIND=call.rows.number, MARGIN=kind, EASY=easy,
                        LOSS=0 if note is None else number_of(call.loss), WIDE=wide, **ruled, **blocks,
                    )  # fmt: skip

            gradients = sweep(x, y, step, (derive and of_x, derive and of_y), derive)
        value = None
        if call.reduced:
            value = torch.empty((), dtype=result, device=device)
            if upstream is None:
                finish(call.loss, each, whole, value)
        elif upstream is None:
            value = each if direct else each.view(call.views, losses).sum(0).to(call.dtypes[0]).to(result)
        found = listed(call, wanted, gradients, *[None if s is None else s.sum() for s in slopes])
        found += [None] * (len(tensors) - len(found))
        if call.reduced and upstream is not None:
            rescale(found, upstream)
    return value if upstream is None else None, found


def _both(
    call: "_Call",
    x: Tensor,
    y: Tensor,
    known: Known,
    weights: tuple[tuple[Tensor, ...], tuple[int, ...]],
    size: tuple[Tensor | None, float],
    share: float,
    whole: Divisor,
    each: Tensor,
    of_scale: Tensor | None,
    asked: tuple[bool, bool],
    derive: bool,
) -> tuple[Tensor | None, Tensor | None]:
    """The losses in both directions, and the vectors' gradients."""
    rows, columns = x.shape[0], y.shape[0]
    wide = x.dtype == torch.float64
    blocks, block = blocks_of(columns, wide), 128

    def room(count: int, dtype: torch.dtype = torch.float64) -> Tensor:
        return torch.empty(count, dtype=dtype, device=x.device)

    positives, row_log = room(rows), room(rows)
    column_top, column_total = room(columns, x.dtype), room(columns)
    row_factor, column_log, column_factor = [room(n, x.dtype) if derive else None for n in (rows, columns, columns)]

    def sums(tile: Tensor, start: int, derivatives: bool) -> None:
        sizes = start, tile.shape[0], columns, known.labelled, *size
        grid = (triton.cdiv(tile.shape[0], blocks["ROWS"]),)
        row_sums_kernel[grid](tile, *known.arguments, positives, row_log, *sizes, WIDE=wide, **blocks)
        grid = (triton.cdiv(columns, 64),)
        column_sums_kernel[grid](tile, *known.arguments, column_top, column_total, *sizes, WIDE=wide, ROWS=32, BLOCK=64)

    def slope(tile: Tensor, start: int, derivatives: bool) -> None:
        sizes = start, tile.shape[0], columns, known.labelled, *size
        grid = (triton.cdiv(tile.shape[0], blocks["ROWS"]),)
        parts = row_log, row_factor, column_log, column_factor, of_scale
        derivatives_kernel[grid](tile, *known.arguments, *parts, *sizes, WIDE=wide, **blocks)

    sweep(x, y, sums, (False, False))
    if rows:
        directions_kernel[(triton.cdiv(columns, block),)](
            *known.arguments, *weights, positives, row_log, column_top, column_total, each,
            row_factor, column_log, column_factor, rows, columns, rows, *size, share, *whole.arguments,
            DERIVATIVES=derive, ON_EMPTY=whole.on_empty, BLOCK=block,
        )  # fmt: skip
    return sweep(x, y, slope, asked, derive) if derive else (None, None)
