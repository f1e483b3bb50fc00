"""The transport loop on the compiled kernel, and the choice between it and the reference."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ... import checks
from ...backend import TRITON, kernels
from ...native import core
from ...reduction import Reduction, wants_gradient
from ..fused import Steps, divisor_for, empty_number, fused, fused_on_device, summed, widened

if TYPE_CHECKING:
    from ..triton import Divisor
    from .triton import Sorted


def transport(
    loss: str,
    points: tuple[Tensor, Tensor],
    weights: tuple[Tensor | None, Tensor | None],
    p: float,
    shape: torch.Size,
    how: Reduction,
    dtypes: tuple[torch.dtype, torch.dtype],
    steps: Steps,
    outside: Callable[[Sequence[Tensor | None]], object],
    directions: int | None = None,
    bare: bool = False,
) -> Tensor:
    """A loss of pairs of distributions on a line (points along the last dimension), reduced.

    shape: the unreduced loss's. dtypes: what it is computed in, and the result's. outside: raises what is to be said of
    weights that are none. directions: over how many lines, the dimension before the points', the loss is a mean. bare:
    the reduction is left to torch.
    """
    given = tuple([w for w in weights if w is not None])
    if not torch.compiler.is_compiling():
        factors: tuple[Tensor, ...] = () if how.sample_weight is None else (how.sample_weight,)
        masks: tuple[Tensor, ...] = () if how.mask is None else (how.mask,)
        found = kernels(loss, (*points, *given, *factors, *masks))
        if found:
            compute, result = dtypes
            checks.fits(loss, "mask", how.mask, shape, "the unreduced loss")
            checks.fits(loss, "sample_weight", how.sample_weight, shape, "the unreduced loss")
            rows = shape if directions is None else torch.Size((*shape, directions))
            if directions is not None:
                factors, masks = tuple([_of_lines(t) for t in factors]), tuple([_of_lines(t) for t in masks])
            weighed = (weights[0] is not None, weights[1] is not None)
            call = _Call(loss, steps, outside, p, rows, compute, result, weighed, masked=bool(masks))
            in_torch = bare or wants_gradient(how) or (directions is not None and how.reduction == "none")
            run: Callable[..., Tensor] = fused
            if found == TRITON:
                run, in_torch = fused_on_device, in_torch or not rows.numel()
            if how.reduction == "sum":
                call.divisor = float(directions or 1)
            elif how.reduction != "none" and not in_torch:
                call.divisor = divisor_for(found)(how, shape, wide=compute == torch.float64) * (directions or 1)
                in_torch = call.divisor == 0
            if not in_torch:
                call.factors = len(factors)
                return run(call, (*points, *given, *factors, *masks))
            call.divisor, call.result, call.bare = 0.0, compute, True
            return steps.finish(run(call, (*widened(points), *widened(given), *masks)))
    return steps.finish(steps.of(*points, *weights))


def _of_lines(tensor: Tensor) -> Tensor:
    """What a pair of distributions has, for each of the lines that it is projected on."""
    return tensor.unsqueeze(-1) if tensor.dim() else tensor


def _as_rows(tensor: Tensor, shape: torch.Size) -> Tensor:
    """Points of any batch dimensions as a matrix, repeated ones as they are."""
    if tensor.dim() == 1:
        return tensor.unsqueeze(0)
    if tensor.dim() == 2 and len(shape) == 1:
        return tensor
    return tensor.expand(*shape, -1).reshape(-1, tensor.shape[-1])


def _as_numbers(tensor: Tensor, shape: torch.Size) -> Tensor:
    """One number for each row, or one for all."""
    return tensor if tensor.dim() < 2 and len(shape) < 2 else tensor.expand(shape).reshape(-1)


@dataclass(slots=True)
class _Call:
    """One call of the kernel. Its tensors are both points, the weights that are given, the factors and the mask."""

    loss: str
    steps: Steps
    outside: Callable[[Sequence[Tensor | None]], object]
    p: float
    shape: torch.Size
    compute: torch.dtype
    result: torch.dtype
    weighed: tuple[bool, bool]
    divisor: "float | Divisor" = 0.0
    factors: int = 0
    masked: bool = False
    bare: bool = False
    """Whether weighing and reducing are left to torch."""
    order: "list[Sorted] | None" = None
    """Both distributions in order, once a GPU has sorted them."""

    @property
    def reduced(self) -> bool:
        return self.divisor != 0

    def weights(self, tensors: Sequence[Any]) -> list[Any]:
        """What of the tensors goes with the weights of both distributions; None where they have none."""
        rest = iter(tensors[2:])
        return [next(rest) if weighed else None for weighed in self.weighed]

    def run(
        self, tensors: Sequence[Tensor], wanted: Sequence[bool], upstream: Tensor | float | None
    ) -> tuple[Tensor, list[Tensor | None]]:
        count = 2 + sum(self.weighed)
        factors: list[Any] = [_as_numbers(f, self.shape) for f in tensors[count : count + self.factors]]
        mask = _as_numbers(tensors[count + self.factors], self.shape) if self.masked else None
        rows, divisor, scale = self.shape.numel(), self.divisor, 1.0
        if upstream is None and not self.reduced:
            value = torch.empty(rows, dtype=self.result)
        else:
            value = empty_number(self.result)
            if not self.reduced:
                divisor, factors = 1.0, [*factors, _as_numbers(upstream, self.shape)]  # type: ignore[arg-type]
            elif upstream is not None:
                scale = upstream / divisor  # type: ignore[assignment, operator]
        places: list[Tensor | None] = [None] * count
        if upstream is not None:
            places = [
                self.room(tensor) if want else None
                for tensor, want in zip(tensors[:count], wanted[:count], strict=True)
            ]
        inside = core.transport(
            self.compute == torch.float64,
            rows,
            self.p,
            tuple([_as_rows(t, self.shape) for t in tensors[:2]]),
            tuple([None if w is None else _as_rows(w, self.shape) for w in self.weights(tensors)]),
            tuple(factors),
            mask,
            scale,
            divisor,
            value,
            (*places[:2], *self.weights(places)),
            torch.get_num_threads(),
        )
        if not inside:
            self.outside(self.weights(tensors))
        gradients: list[Tensor | None] = [None] * len(tensors)
        for i, place in enumerate(places):
            if place is not None and place.shape != tensors[i].shape:
                place = summed(place.reshape(*self.shape, place.shape[-1]), tensors[i])
            gradients[i] = place
        return value if value.dim() == 0 else value.reshape(self.shape), gradients

    key = None

    def launch(
        self,
        tensors: Sequence[Tensor],
        wanted: Sequence[bool],
        upstream: Tensor | None = None,
        into: Sequence[Tensor | None] | None = None,
    ) -> tuple[Tensor | None, Sequence[Tensor | None]]:
        from .triton import launch

        return launch(self, tensors, wanted, upstream, into)

    def room(self, tensor: Tensor) -> Tensor:
        """For the gradient in a tensor, one distribution a row; of what is repeated, in the dtype of the arithmetic."""
        rows, size = self.shape.numel(), tensor.shape[-1]
        if tensor.dim() == 2 and tensor.shape[0] == rows:
            return torch.empty_like(tensor)
        repeated = tensor.numel() != rows * size or not rows
        return torch.empty(rows, size, dtype=self.compute if repeated else tensor.dtype)

    def reference(self, tensors: Sequence[Tensor]) -> Tensor:
        values = self.steps.of(*tensors[:2], *self.weights(tensors))
        return values if self.bare else self.steps.finish(values)
