"""The pointwise loop on kernels, and the choice between them and the reference."""

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ... import checks
from ...backend import TRITON, dtypes, kernels
from ...formula import Formula
from ...native import core
from ...reduction import Reduction, reduce, wants_gradient
from ..fused import Counted, divisor_for, empty_number, fused, fused_on_device, summed, widened
from ..masking import hide_rows
from . import reference
from .compiled import unreduced
from .reference import Domain

if TYPE_CHECKING:
    from ..triton import Divisor


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
    alike: int = 0,
) -> Tensor:
    """Runs a formula over broadcast operands and reduces; see `reference.pointwise`, which runs what this can't.

    alike: what `checks.alike` found of the operands.
    """
    if not torch.compiler.is_compiling():
        tensors, numbers = _apart(operands)
        extras: tuple[Tensor, ...] = ()
        if weight is not None or how.sample_weight is not None or how.mask is not None:
            extras = tuple([t for t in (weight, how.sample_weight, how.mask) if t is not None])
        unfit = ""
        if (
            integers
            and not alike
            and not tensors[0].is_floating_point()
            and not any([t.is_floating_point() for t in tensors])
        ):
            unfit = "the arithmetic is that of integers"
        found = kernels(formula.name, tensors + extras, unfit, 0 if extras else alike, _uncompiled(formula))
        if found:
            if not all(formula.differentiable):  # what only chooses a branch asks for no gradient
                tensors = tuple([t if d else t.detach() for t, d in zip(tensors, formula.differentiable, strict=False)])
            if found == 2 or found == 3:  # float32 or float64 throughout
                compute = result = tensors[0].dtype
            else:
                compute, result = dtypes(*operands, like=like, composite=composite, integers=integers)
            shape = tensors[0].shape
            if found == 1 or found == TRITON:
                # torch.broadcast_shapes of plain sizes, in a hundredth of its time
                for tensor in tensors[1:]:
                    shape = torch._C._infer_size(shape, tensor.shape)
            tail = (weight, weight_in_mean, batch)
            call = _Call(loss, formula, len(tensors), numbers, parameters, how, domain, compute, result, shape, tail)
            elements = shape.numel()
            call.on_device = found == TRITON
            if extras or how.normalizer is not None or how.reduction == "none" or not elements:
                checks.fits(loss, "mask", how.mask, shape, "the unreduced loss")
                checks.fits(loss, "sample_weight", how.sample_weight, shape, "the unreduced loss")
                wide = compute == torch.float64
                divide = divisor_for(found)
                call.settle(
                    lambda: divide(how, shape, wide=wide, weight=weight, weight_in_mean=weight_in_mean, batch=batch),
                    wants_gradient(how, weight),
                    extras[: len(extras) - (how.mask is not None)],
                    how.mask,
                )
                return call.finished(tensors)
            if how.reduction == "mean":
                call.divisor = elements
            elif how.reduction == "sum":
                call.divisor = 1.0
            else:
                call.divisor = float(batch if batch is not None else shape[0] if shape else 1)
            return fused_on_device(call, tensors) if found == TRITON else fused(call, tensors)
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
        tensors, numbers = _apart(operands)
        extras = tuple([t for t in (weight, how.sample_weight, how.mask) if t is not None])
        each = _shape(tensors)
        unfit = ""
        if weight is not None and torch.broadcast_shapes(each, weight.shape) != each:  # type: ignore[no-untyped-call]
            unfit = "the weight enlarges the loss"
        found = kernels(formula.name, tensors + extras, unfit, 0, _uncompiled(formula))
        if found:
            classes = each[-1]
            checks.fits(loss, "sample_weight", how.sample_weight, shape, "the unreduced loss")
            scale, mask = (None if t is None else t.unsqueeze(-1) for t in (how.sample_weight, how.mask))
            of_rows = how._replace(sample_weight=scale, mask=mask)
            call = _Call(loss, formula, len(tensors), numbers, parameters, of_rows, None, compute, result, each, finish)
            call.on_device = found == TRITON
            divide = divisor_for(found)
            call.settle(
                lambda: divide(of_rows, (*shape, 1), wide=compute == torch.float64),
                wants_gradient(how, weight) or how.reduction == "none" or classes == 0,
                tuple([t for t in (weight, scale) if t is not None]),
                mask,
                terms=classes,
            )
            return call.finished(tensors)
    rows = [hide_rows(o.to(compute), how.mask, 1.0) if isinstance(o, Tensor) else o for o in operands]
    values = unreduced(formula, *rows, *parameters)
    classes = values.shape[-1]
    return finish(values)


def _apart(operands: Sequence[Tensor | float]) -> tuple[tuple[Tensor, ...], tuple[float, ...]]:
    """The operands that are tensors, and the numbers, which come after them."""
    if type(operands[-1]) is float:
        tensors, numbers = _apart(operands[:-1])
        return tensors, (*numbers, operands[-1])
    return operands, ()  # type: ignore[return-value]


def _shape(tensors: tuple[Tensor, ...]) -> torch.Size:
    return torch.broadcast_shapes(*(t.shape for t in tensors))  # type: ignore[no-untyped-call, no-any-return]


def _uncompiled(formula: Formula) -> str:
    """Why the kernels of the CPU can't run a formula: those of a GPU are made of it on the spot."""
    return "the formula is not among those that are compiled" if _place(formula) is None else ""


@functools.cache
def _place(formula: Formula) -> int | None:
    """A formula's place among those that are compiled; one of the user's own is not."""
    if core is None or not formula.__module__.startswith("lossmith.losses."):
        return None
    place: int | None = core.formulas().get(formula.name)
    return place


Tail = tuple[Tensor | None, bool, int | None] | Callable[[Tensor], Tensor]
"""What `reference.finish` gets besides (weight, weight_in_mean, batch), or what to call instead of it."""


class _Call(Counted):
    """One call of the kernel. Its tensors come apart: the operands, the factors, the mask."""

    __slots__ = (
        "bare", "compute", "count", "counted", "counting", "divide", "divisor", "domain", "factors", "formula", "how",
        "loss", "mask", "normalizer", "numbers", "on_device", "parameters", "result", "shape", "tail",
    )  # fmt: skip

    def __init__(
        self,
        loss: str,
        formula: Formula,
        count: int,
        numbers: tuple[float, ...],
        parameters: Sequence[float],
        how: Reduction,
        domain: Domain | None,
        compute: torch.dtype,
        result: torch.dtype,
        shape: torch.Size,
        tail: Tail,
    ) -> None:
        self.loss, self.formula, self.count, self.numbers, self.parameters = loss, formula, count, numbers, parameters
        self.how, self.domain, self.compute, self.result, self.shape = how, domain, compute, result, shape
        self.tail = tail
        self.divisor = 0.0
        """What the sum of the losses is divided by; 0 where each stays by itself."""
        self.on_device = False
        """Whether a Triton kernel runs."""
        self.counted: Divisor | None = None
        self.normalizer: Tensor | None = None
        self.divide: Callable[[], Divisor] | None = None
        self.counting: Hashable = None
        self.factors: tuple[Tensor, ...] = ()
        self.mask: Tensor | None = None
        self.bare = False
        """Whether weighing and reducing are left to torch."""

    def settle(
        self,
        divisor: Callable[[], Any],
        in_torch: bool,
        factors: tuple[Tensor, ...],
        mask: Tensor | None,
        terms: int = 1,
    ) -> None:
        """Decides how a call with weights, a mask or a normaliser, or without a reduction, is divided.

        terms: over how many elements each unreduced loss is a mean.
        """
        self.mask = mask
        if not in_torch and self.how.reduction != "none":
            in_torch = not self.shape.numel()
            if self.how.reduction == "sum":
                self.divisor = float(terms)
            elif self.on_device:
                self.divisor = 1.0
                self.count_by(lambda: divisor() * terms, self.how)
            elif not in_torch:
                self.divisor = divisor() * terms
                # a divisor of 0 is ruled by `on_empty`, in torch
                in_torch = self.divisor == 0
        if in_torch:
            # the kernel gives the unreduced loss; weights that want a gradient get theirs from torch's operations
            self.divisor, self.bare = 0.0, True
        else:
            self.factors = factors

    def finished(self, tensors: tuple[Tensor, ...]) -> Tensor:
        """The reduced loss of the operands."""
        if self.bare:
            tensors = widened(tensors)
        run = fused_on_device if self.on_device else fused
        value = run(self, (*tensors, *self.factors, *(() if self.mask is None else (self.mask,))))
        return self.finish(value) if self.bare else value

    def finish(self, values: Tensor) -> Tensor:
        """Weighs and reduces unreduced losses by torch's operations."""
        if callable(self.tail):
            return self.tail(values)
        return reference.finish(self.loss, values, self.how, self.result, *self.tail)

    @property
    def reduced(self) -> bool:
        return self.divisor != 0

    def run(
        self, tensors: Sequence[Tensor], wanted: Sequence[bool], upstream: Tensor | float | None
    ) -> tuple[Tensor, Sequence[Tensor | None]]:
        shape, compute, count = self.shape, self.compute, self.count
        result = compute if self.bare else self.result
        operands = tensors[:count]
        gradients: list[Tensor | None] = [None] * (count + len(self.numbers))
        if upstream is not None:
            for i, operand in enumerate(operands):
                if wanted[i] and self.formula.differentiable[i]:
                    whole = operand.shape == shape
                    gradients[i] = torch.empty_like(operand) if whole else torch.empty(shape, dtype=compute)
        factors: tuple[Any, ...] = ()
        mask = None
        if len(tensors) > count:
            factors = tuple(tensors[count : count + len(self.factors)])
            mask = None if self.mask is None else tensors[-1]
        divisor, scale = self.divisor, 1.0
        if divisor:
            value = empty_number(result)
            if upstream is not None:
                scale = upstream / divisor  # type: ignore[assignment]
        elif upstream is not None:
            value = empty_number(result)
            divisor, factors = 1.0, (*factors, upstream)
        else:
            first = operands[0]
            whole = first.shape == shape
            value = torch.empty_like(first, dtype=result) if whole else torch.empty(shape, dtype=result)
        inside = core.pointwise(
            _place(self.formula),
            compute is torch.float64,
            (*operands, *self.numbers),
            self.parameters,
            () if self.domain is None else self.domain.bounds,
            factors,
            mask,
            scale,
            divisor,
            value,
            gradients,
            torch.get_num_threads(),
        )
        if not inside and self.domain is not None:
            self.domain.outside(operands)
        if len(gradients) != len(tensors):
            gradients = gradients[:count] + [None] * (len(tensors) - count)
        for i, gradient in enumerate(gradients):
            if gradient is not None and gradient.shape != tensors[i].shape:
                gradients[i] = summed(gradient, tensors[i])
        return value, gradients

    @property
    def key(self) -> Hashable:
        bounds = None if self.domain is None else self.domain.bounds
        counting = self.counting, self.tail[1:] if isinstance(self.tail, tuple) else None
        return (
            self.loss, self.formula, self.numbers, self.parameters, bounds, self.compute, self.result, self.shape,
            self.divisor, counting, len(self.factors), self.how.sample_weight is None, self.mask is None, self.bare,
        )  # fmt: skip

    def launch(
        self,
        tensors: Sequence[Tensor],
        wanted: Sequence[bool],
        upstream: Tensor | None = None,
        into: Sequence[Tensor | None] | None = None,
    ) -> tuple[Tensor | None, Sequence[Tensor | None]]:
        from .triton import launch

        return launch(self, tensors, wanted, upstream, into)

    def reference(self, tensors: Sequence[Tensor]) -> Tensor:
        operands: list[Tensor | float] = [*tensors[: self.count], *self.numbers]
        values = reference.unreduced_losses(
            self.loss, self.formula, operands, self.parameters, self.how.mask, self.domain, self.compute
        )
        return values if self.bare else self.finish(values)
