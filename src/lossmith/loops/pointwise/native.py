"""The pointwise loop on the compiled kernel."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ... import checks
from ...backend import HALVES, dtypes, native
from ...formula import Formula
from ...native import core
from ...reduction import Reduction, divisor_of, wants_gradient
from ..fused import empty_number, fused
from . import reference
from .reference import Domain


def pointwise(
    loss: str,
    formula: Formula,
    operands: Sequence[Tensor | float],
    parameters: Sequence[float],
    how: Reduction,
    *,
    weight: Tensor | None = None,
    weight_in_mean: bool = False,
    domain: Domain | None = None,
    batch: int | None = None,
    like: Tensor | None = None,
    composite: bool = False,
    integers: bool = False,
) -> Tensor:
    """Runs a formula over broadcast operands and reduces; see `reference.pointwise`, which runs what this can't."""
    if not torch.compiler.is_compiling():
        place = _place(formula)
        tensors = tuple([o for o in operands if isinstance(o, Tensor)])
        extras = tuple([t for t in (weight, how.sample_weight, how.mask) if t is not None])
        unfit = ""
        if place is None:
            unfit = "the formula is not among those that are compiled"
        elif integers and not any([t.is_floating_point() for t in tensors]):
            unfit = "the arithmetic is that of integers"
        found = native(formula.name, tensors + extras, unfit)
        if found:
            if found == 2 or found == 3:  # float32 or float64 throughout
                compute = result = tensors[0].dtype
            else:
                compute, result = dtypes(*operands, like=like, composite=composite, integers=integers)
            shape = tensors[0].shape
            if found == 1:
                shape = torch.broadcast_shapes(*(t.shape for t in tensors))  # type: ignore[no-untyped-call]
            call = _Call(loss, formula, place, operands, parameters, how, domain, compute, shape, weight)  # type: ignore[arg-type]
            if extras or how.normalizer is not None or how.reduction == "none" or not shape.numel():
                return _weighed(call, tensors, result, weight_in_mean, batch)
            if how.reduction == "batchmean":
                call.divisor = float(batch if batch is not None else shape[0] if shape else 1)
            else:
                call.divisor = float(shape.numel()) if how.reduction == "mean" else 1.0
            call.result = result
            return fused(call, tensors)
    return reference.pointwise(
        loss,
        formula,
        operands,
        parameters,
        how,
        weight=weight,
        weight_in_mean=weight_in_mean,
        domain=domain,
        batch=batch,
        like=like,
        composite=composite,
        integers=integers,
    )


@functools.cache
def _place(formula: Formula) -> int | None:
    """A formula's place among those that are compiled; one of the user's own is not."""
    if core is None or not formula.__module__.startswith("lossmith.losses."):
        return None
    place: int | None = core.formulas().get(formula.name)
    return place


def _weighed(
    call: "_Call", tensors: tuple[Tensor, ...], result: torch.dtype, weight_in_mean: bool, batch: int | None
) -> Tensor:
    """The call with weights, a mask or a normaliser, or without a reduction."""
    loss, how, weight, shape = call.loss, call.how, call.weight, call.shape
    checks.fits(loss, "mask", how.mask, shape, "the unreduced loss")
    checks.fits(loss, "sample_weight", how.sample_weight, shape, "the unreduced loss")
    factors = tuple([t for t in (weight, how.sample_weight) if t is not None])
    masks = () if how.mask is None else (how.mask,)
    divisor = 0.0
    in_torch = wants_gradient(how, weight)
    if how.reduction == "sum":
        divisor = 1.0
    elif how.reduction != "none" and not in_torch:
        divisor = divisor_of(
            how, shape, wide=call.compute == torch.float64, weight=weight, weight_in_mean=weight_in_mean, batch=batch
        )
        in_torch = divisor == 0  # which `on_empty` rules
    if in_torch or (how.reduction != "none" and not shape.numel()):
        # the kernel gives the unreduced loss; weights that want a gradient get theirs from torch's operations
        call.masked, call.result, call.bare = bool(masks), call.compute, True
        return reference.finish(loss, fused(call, tensors + masks), how, result, weight, weight_in_mean, batch)
    call.factors, call.masked = len(factors), bool(masks)
    call.divisor, call.result = divisor, result
    call.weight_in_mean, call.batch = weight_in_mean, batch
    return fused(call, tensors + factors + masks)


@dataclass(slots=True)
class _Call:
    """One call of the kernel. Its tensors come apart: the operands, the factors, the mask."""

    loss: str
    formula: Formula
    place: int
    operands: Sequence[Tensor | float]
    parameters: Sequence[float]
    how: Reduction
    domain: Domain | None
    compute: torch.dtype
    shape: torch.Size
    weight: Tensor | None
    result: torch.dtype = torch.float32
    divisor: float = 0.0
    """What the sum of the losses is divided by; 0 where each stays by itself."""
    factors: int = 0
    masked: bool = False
    bare: bool = False
    """Whether weighing and reducing are left to torch."""
    weight_in_mean: bool = False
    batch: int | None = None

    @property
    def reduced(self) -> bool:
        return self.divisor != 0

    @property
    def rescales(self) -> bool:
        return all([o.dtype not in HALVES for o in self.operands if isinstance(o, Tensor)])

    def run(
        self, tensors: Sequence[Tensor], wanted: Sequence[bool], upstream: Tensor | float | None
    ) -> tuple[Tensor, list[Tensor | None]]:
        shape, compute = self.shape, self.compute
        operands: list[Any] = []
        gradients: list[Tensor | None] = []
        position = 0
        for operand, differentiable in zip(self.operands, self.formula.differentiable, strict=True):
            if not isinstance(operand, Tensor):
                operands.append(operand)
                gradients.append(None)
                continue
            operand = tensors[position]
            operands.append(operand)
            if not (upstream is not None and wanted[position] and differentiable):
                gradients.append(None)
            elif operand.shape == shape:
                gradients.append(torch.empty_like(operand))
            else:
                gradients.append(torch.empty(shape, dtype=compute))
            position += 1
        factors = tensors[position : position + self.factors]
        mask = tensors[position + self.factors] if self.masked else None
        divisor, scale = self.divisor, 1.0
        if upstream is None and not self.reduced:
            first = tensors[0]
            value = (
                torch.empty_like(first, dtype=self.result)
                if first.shape == shape
                else torch.empty(shape, dtype=self.result)
            )
        else:
            value = empty_number(self.result)
            if not self.reduced:
                divisor, factors = 1.0, (*factors, upstream)  # type: ignore[arg-type]
            elif upstream is not None:
                scale = upstream / divisor  # type: ignore[assignment]
        inside = core.pointwise(
            self.place,
            compute == torch.float64,
            tuple(operands),
            tuple(self.parameters),
            () if self.domain is None else self.domain.bounds,
            tuple(factors),
            mask,
            scale,
            divisor,
            value,
            tuple(gradients),
            torch.get_num_threads(),
        )
        if not inside and self.domain is not None:
            self.domain.outside()
        found = [g for g, o in zip(gradients, self.operands, strict=True) if isinstance(o, Tensor)]
        for i, gradient in enumerate(found):
            if gradient is not None and gradient.shape != tensors[i].shape:
                found[i] = gradient.sum_to_size(tensors[i].shape).to(tensors[i].dtype)
        return value, found + [None] * (len(tensors) - len(found))

    def reference(self, tensors: Sequence[Tensor]) -> Tensor:
        rest = iter(tensors)
        operands = [next(rest) if isinstance(o, Tensor) else o for o in self.operands]
        values = reference.unreduced_losses(
            self.loss, self.formula, operands, self.parameters, self.how.mask, self.domain, self.compute
        )
        if self.bare:
            return values
        return reference.finish(
            self.loss, values, self.how, self.result, self.weight, self.weight_in_mean, self.batch
        )
