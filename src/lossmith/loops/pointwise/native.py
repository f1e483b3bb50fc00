"""The pointwise loop on the compiled kernel."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ... import checks
from ...backend import HALVES, dtypes, native
from ...formula import Formula
from ...native import core
from ...reduction import Reduction, divisor_of, reduce, wants_gradient
from ..fused import empty_number, fused, widened
from ..masking import hide_rows
from . import reference
from .compiled import unreduced
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
        tensors = tuple([o for o in operands if isinstance(o, Tensor)])
        extras = tuple([t for t in (weight, how.sample_weight, how.mask) if t is not None])
        unfit = ""
        if integers and not any([t.is_floating_point() for t in tensors]):
            unfit = "the arithmetic is that of integers"
        found = _runs(formula, tensors + extras, unfit)
        if found:
            if found == 2 or found == 3:  # float32 or float64 throughout
                compute = result = tensors[0].dtype
            else:
                compute, result = dtypes(*operands, like=like, composite=composite, integers=integers)
            shape = _shape(tensors, found)

            def finish(values: Tensor) -> Tensor:
                return reference.finish(loss, values, how, result, weight, weight_in_mean, batch)

            call = _Call(loss, formula, operands, parameters, how, domain, compute, shape, finish)
            if extras or how.normalizer is not None or how.reduction == "none" or not shape.numel():
                checks.fits(loss, "mask", how.mask, shape, "the unreduced loss")
                checks.fits(loss, "sample_weight", how.sample_weight, shape, "the unreduced loss")
                wide = compute == torch.float64
                call.settle(
                    result,
                    lambda: divisor_of(
                        how, shape, wide=wide, weight=weight, weight_in_mean=weight_in_mean, batch=batch
                    ),
                    wants_gradient(how, weight),
                    extras[: len(extras) - (how.mask is not None)],
                    how.mask,
                )
                return call.finished(tensors)
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


def pointwise_rows(
    loss: str,
    formula: Formula,
    operands: Sequence[Tensor | float],
    parameters: Sequence[float],
    how: Reduction,
    dtypes: tuple[torch.dtype, torch.dtype],
    shape: torch.Size,
    weight: Tensor | None,
) -> Tensor:
    """A loss whose unreduced loss is a formula's mean over the last dimension, weighed in it by `weight`.

    shape: the unreduced loss's. dtypes: what it is computed in, and the result's.
    """
    compute, result = dtypes

    def finish(values: Tensor) -> Tensor:
        if weight is not None:
            values = values * weight.to(compute)
        return reduce(loss, values.sum(-1) / classes, how, result)

    if not torch.compiler.is_compiling():
        tensors = tuple([o for o in operands if isinstance(o, Tensor)])
        extras = tuple([t for t in (weight, how.sample_weight, how.mask) if t is not None])
        each = _shape(tensors)
        fits = weight is None or torch.broadcast_shapes(each, weight.shape) == each  # type: ignore[no-untyped-call]
        unfit = "" if fits else "the weight enlarges the loss"
        if _runs(formula, tensors + extras, unfit):
            classes = each[-1]
            scale, mask = (None if t is None else t.unsqueeze(-1) for t in (how.sample_weight, how.mask))
            factors = tuple([t for t in (weight, scale) if t is not None])
            checks.fits(loss, "sample_weight", how.sample_weight, shape, "the unreduced loss")
            of_rows = how._replace(mask=mask)
            call = _Call(loss, formula, operands, parameters, of_rows, None, compute, each, finish)
            in_torch = wants_gradient(how, weight) or how.reduction == "none" or classes == 0
            call.settle(
                result,
                lambda: classes * divisor_of(how, shape, wide=compute == torch.float64),
                in_torch,
                factors,
                mask,
                sum_divisor=float(classes),
            )
            return call.finished(tensors)
    rows = [hide_rows(o.to(compute), how.mask, 1.0) if isinstance(o, Tensor) else o for o in operands]
    values = unreduced(formula, *rows, *parameters)
    classes = values.shape[-1]
    return finish(values)


def _runs(formula: Formula, tensors: tuple[Tensor, ...], unfit: str) -> int:
    """Whether the kernel runs a formula; see `backend.native`."""
    if _place(formula) is None:
        unfit = "the formula is not among those that are compiled"
    return native(formula.name, tensors, unfit)


def _shape(tensors: tuple[Tensor, ...], found: int = 1) -> torch.Size:
    if found > 1:
        return tensors[0].shape
    return torch.broadcast_shapes(*(t.shape for t in tensors))  # type: ignore[no-untyped-call, no-any-return]


@functools.cache
def _place(formula: Formula) -> int | None:
    """A formula's place among those that are compiled; one of the user's own is not."""
    if core is None or not formula.__module__.startswith("lossmith.losses."):
        return None
    place: int | None = core.formulas().get(formula.name)
    return place


@dataclass(slots=True)
class _Call:
    """One call of the kernel. Its tensors come apart: the operands, the factors, the mask."""

    loss: str
    formula: Formula
    operands: Sequence[Tensor | float]
    parameters: Sequence[float]
    how: Reduction
    domain: Domain | None
    compute: torch.dtype
    shape: torch.Size
    finish: Callable[[Tensor], Tensor]
    """Weighs and reduces unreduced losses by torch's operations."""
    result: torch.dtype = torch.float32
    divisor: float = 0.0
    """What the sum of the losses is divided by; 0 where each stays by itself."""
    factors: tuple[Tensor, ...] = ()
    mask: Tensor | None = None
    bare: bool = False
    """Whether weighing and reducing are left to torch."""

    def settle(
        self,
        result: torch.dtype,
        divisor: Callable[[], float],
        in_torch: bool,
        factors: tuple[Tensor, ...],
        mask: Tensor | None,
        sum_divisor: float = 1.0,
    ) -> None:
        """Decides how a call with weights, a mask or a normaliser, or without a reduction, is divided."""
        self.mask = mask
        if not in_torch and self.how.reduction != "none":
            self.divisor = sum_divisor if self.how.reduction == "sum" else divisor()
            # a divisor of 0 is ruled by `on_empty`, in torch
            in_torch = self.divisor == 0 or not self.shape.numel()
        if in_torch:
            # the kernel gives the unreduced loss; weights that want a gradient get theirs from torch's operations
            self.divisor, self.result, self.bare = 0.0, self.compute, True
        else:
            self.factors, self.result = factors, result

    def finished(self, tensors: tuple[Tensor, ...]) -> Tensor:
        """The reduced loss of the operands."""
        if self.bare:
            tensors = widened(tensors)
        value = fused(self, (*tensors, *self.factors, *(() if self.mask is None else (self.mask,))))
        return self.finish(value) if self.bare else value

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
        factors = tensors[position : position + len(self.factors)]
        mask = None if self.mask is None else tensors[-1]
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
            _place(self.formula),
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
        return values if self.bare else self.finish(values)
