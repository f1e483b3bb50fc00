"""Distributions on a line on a GPU: torch sorts them, and a program for each pair merges their quantile functions.

Where a share of the one ends, a binary search finds what of the other it is moved to. So all ends are looked at side by
side: a point's force is that at its own end and, summed over runs of neighbours, at those ends of the other that lie
within its share. Sums and costs are computed in float64, in which a float's square has room.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
import triton
from torch import Tensor

from ....backend import HALVES
from ....errors import note_on, number_of
from ...fused import summed
from ...launches import on
from ...triton import Divisor, Layout, finish, rescale, strided
from .ends import ends_kernel
from .gradient import gradient_kernel
from .loss import transport_kernel

if TYPE_CHECKING:
    from ..native import _Call

MOST_AT_ONCE = 1024
"""So many points are looked at side by side at most."""
SCRATCH = 2**25
"""So many numbers are kept at most, three for each point, of the pairs that run at once."""


class Sorted(NamedTuple):
    """One distribution of each pair, in order: what backward needs of forward's work."""

    points: Tensor
    order: Tensor
    ends: Tensor | None = None
    """Sums of weights up to each point, of each row of points and weights; float64."""
    valid: Tensor | None = None
    """Whether the weights of each row are masses; int32."""

    @classmethod
    def of(cls, points: Tensor, weights: Tensor | None) -> "Sorted":
        values, order = points.sort(dim=-1, stable=True)
        if weights is None:
            return cls(values, order)
        size = points.shape[-1]
        shape = torch.broadcast_shapes(points.shape[:-1], weights.shape[:-1])  # type: ignore[no-untyped-call]
        ends = torch.empty(*shape, size, dtype=torch.float64, device=points.device)
        valid = torch.empty(shape, dtype=torch.int32, device=points.device)
        layout = Layout.of(shape, [_rows(weights, shape), _rows(order, shape), valid])
        if valid.numel():
            ends_kernel[(valid.numel(),)](
                weights,
                order,
                ends,
                valid,
                layout.sizes,
                *layout.strides,
                weights.stride(-1),
                order.stride(-1),
                size,
                BLOCK=_block(size),
            )
        return cls(values, order, ends, valid)


def _rows(tensor: Tensor, shape: torch.Size) -> Tensor:
    """The first number of each row of a batch."""
    return tensor.expand(*shape, tensor.shape[-1])[..., 0]


def _block(size: int) -> int:
    return max(16, min(MOST_AT_ONCE, int(triton.next_power_of_2(size))))


def launch(
    call: "_Call",
    tensors: Sequence[Tensor],
    wanted: Sequence[bool],
    upstream: Tensor | None = None,
    into: Sequence[Tensor | None] | None = None,
) -> tuple[Tensor | None, list[Tensor | None]]:
    """`fused.DeviceKernel.launch` of a call of transport."""
    shape, count = call.shape, 2 + sum(call.weighed)
    asked = [i for i in range(count) if wanted[i]]
    again = upstream is not None and call.reduced and all([tensors[i].dtype not in HALVES for i in asked])
    if again and upstream is not None and into is not None:
        rescale(into, upstream)
        return None, [*into]
    factors: tuple[Tensor, ...] = tuple(tensors[count : count + call.factors])
    mask = tensors[count + call.factors] if call.masked else None
    device = tensors[0].device
    with on(tensors[0]):
        weights = call.weights(tensors)
        if call.order is None:
            call.order = [Sorted.of(x, w) for x, w in zip(tensors[:2], weights, strict=True)]
        x, y = call.order
        gradients: list[Tensor | None] = [None] * len(tensors)
        whole = all([tensors[i].shape[:-1] == shape for i in asked])
        if upstream is not None or whole:  # what is broadcast has to be summed, so it waits for backward
            for i in asked:
                if into is not None:
                    gradients[i] = into[i]
                elif tensors[i].shape[:-1] == shape:
                    gradients[i] = torch.empty_like(tensors[i])
                else:
                    gradients[i] = tensors[i].new_empty(*shape, tensors[i].shape[-1], dtype=call.compute)
        rows, sizes = shape.numel(), (tensors[0].shape[-1], tensors[1].shape[-1])
        made = [gradients[0], gradients[1], *call.weights(gradients)]
        forces, jumps = (any([g is not None for g in pair]) for pair in (made[:2], made[2:]))
        at_once, scratch = rows, None
        if forces or jumps:
            at_once = min(rows, max(1, SCRATCH // (3 * sum(sizes))))
            scratch = torch.empty(at_once, 3 * sum(sizes), dtype=torch.float64, device=device)
        value = partials = None
        first = upstream is None
        if first and call.reduced:
            value = torch.empty((), dtype=call.result, device=device)
            partials = torch.empty(rows, dtype=torch.float64, device=device)
        elif first:
            value = torch.empty(shape, dtype=call.result, device=device)
        elif not call.reduced and upstream is not None:
            factors, upstream = (*factors, upstream), None
        number = None if again else upstream
        each = None if call.reduced else value
        divisor = call.divisor if isinstance(call.divisor, Divisor) else Divisor(call.divisor or 1.0)
        starts = [[None if t is None else _rows(t, shape) for t in given] for given in ((x.points, y.points), made)]
        of_shape, (own, of_made, of_valid, of_factors, (of_mask, of_each)) = strided(
            shape, *starts, (x.valid, y.valid), factors, (mask, each)
        )
        ends, valid, steps = (x.ends, y.ends), (x.valid, y.valid), (x.points.stride(-1), y.points.stride(-1))
        block, stored = _block(max(sizes)), into is not None
        for begin in range(0, rows, max(1, at_once)):
            grid = (min(at_once, rows - begin),)
            transport_kernel[grid](
                (x.points, y.points),
                ends,
                valid,
                factors,
                mask,
                number,
                each,
                partials,
                scratch,
                note_on(device) if first and count > 2 else None,
                of_shape,
                own,
                of_valid,
                of_factors,
                of_mask,
                of_each,
                steps,
                sizes,
                begin,
                call.p,
                P=int(call.p) if call.p in (1, 2) else 0,
                LOSS=number_of(call.loss),
                STORED=stored,
                FORCES=forces,
                JUMPS=jumps,
                BLOCK=block,
                num_warps=max(1, min(8, block // 64)),
            )
            if scratch is not None:
                gradient_kernel[grid](
                    (x.order, y.order),
                    ends,
                    valid,
                    tuple(made),
                    factors,
                    mask,
                    number,
                    scratch,
                    of_shape,
                    own,
                    of_valid,
                    of_made,
                    of_factors,
                    of_mask,
                    steps,
                    tuple([0 if g is None else g.stride(-1) for g in made]),
                    sizes,
                    begin,
                    *divisor.arguments,
                    ON_EMPTY=divisor.on_empty,
                    STORED=stored,
                    BLOCK=block,
                )
        if partials is not None and value is not None:
            finish(call.loss, partials, divisor, value)
        if again and upstream is not None:  # a later backward goes through the same steps, for the same bits
            rescale(gradients, upstream)
    for i, gradient in enumerate(gradients):
        if gradient is not None and gradient.shape != tensors[i].shape:
            gradients[i] = summed(gradient, tensors[i])
    return value, gradients
