"""The overlap loop on the compiled kernels, and the choice between them and the reference."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ... import checks
from ...backend import TRITON, dtypes, dtypes_of, kernels
from ...formula import Formula
from ...native import core
from ...reduction import Reduction, reduce, wants_gradient
from ..fused import empty_number, fused, fused_on_device, is_on_device, widened
from .regions import (
    Activation,
    Aims,
    Settings,
    check_element_mask,
    check_shapes,
    losses_of,
    read_aims,
)

if TYPE_CHECKING:
    from ..triton import Divisor

_ACTIVATIONS: dict[Activation, int] = {None: 0, "sigmoid": 1, "softmax": 2}
_NUMBER, _REGIONS, _CLASS_WEIGHTS = range(3)  # what a kernel's sum is divided by
_OUTSIDE, _EMPTY = 1, 2  # what a kernel returns besides 0


def overlap(
    loss: str,
    formula: Formula,
    input: Tensor,
    target: Tensor,
    activation: Activation,
    alpha: float,
    beta: float,
    smooth: tuple[float, float],
    gamma: float,
    squared: bool,
    batch: bool,
    include_background: bool,
    ignore_index: int,
    weight: Tensor | None,
    dim: int,
    element_mask: Tensor | None,
    how: Reduction,
) -> Tensor:
    """A loss of regions, reduced; its formula is that of `tversky`, with which the kernels are built.

    smooth: of numerator and denominator; the settings are checked.
    """
    alike = checks.alike_rows(input, target) if dim == 1 else 0
    if not alike or input.shape[1] == 1:
        dim, labelled = check_shapes(loss, input, target, dim, ignore_index)
    else:
        labelled = True
    checks.class_weight(loss, weight, input, dim)
    check_element_mask(loss, element_mask, input, dim)
    if activation == "softmax":
        checks.single_logit(loss, input, dim)
    of = Settings(activation, dim, alpha, beta, smooth, gamma, squared, batch, include_background, ignore_index)
    compute, result = dtypes_of(alike, input) if labelled else dtypes(input, target)
    shape = of.shape(input)
    checks.fits(loss, "mask", how.mask, shape, "the unreduced loss")
    checks.fits(loss, "sample_weight", how.sample_weight, shape, "the unreduced loss")
    if not torch.compiler.is_compiling():
        extras = (element_mask, how.sample_weight, how.mask, weight)
        given = tuple([t for t in extras if t is not None])
        unfit = ""
        if weight is not None and weight.requires_grad and torch.is_grad_enabled():
            unfit = "the class weights want a gradient"
        elif not input.shape[dim]:
            unfit = "there are no classes"
        found = kernels(loss, (input, target, *given), unfit, 0 if given else alike)
        if found:
            run = fused_on_device if found == TRITON else fused
            call = _Call(loss, formula, of, how, shape, (compute, result), (*[t is not None for t in extras],))
            in_torch = wants_gradient(how)
            if how.reduction == "sum":
                call.divisor = 1.0
            elif how.reduction != "none" and not in_torch:
                call.count(found == TRITON)
            if not in_torch:
                try:
                    return run(call, (input, target, *given))
                except _NothingCounts:
                    pass
            # the kernel gives unreduced losses: on_empty, and weights that want a gradient, are for torch's operations
            call.counting, call.divisor, call.bare = _NUMBER, 0.0, True
            call.given = (call.given[0], False, *call.given[2:])
            kept = tuple([t for t in (element_mask, how.mask, weight) if t is not None])
            # float64, for nothing is lost by one more rounding
            call.dtypes = (compute, torch.float64)
            aims = read_aims(loss, input, target, of, how, element_mask, compute)
            values = run(call, (*widened((input, target)), *kept))
            return call.finish(values, aims, weight, result, weighted=True)
    call = _Call(loss, formula, of, how, shape, (compute, result))
    aims = read_aims(loss, input, target, of, how, element_mask, compute)
    return call.finish(losses_of(input, aims, formula, of, compute), aims, weight, result)


class _NothingCounts(Exception):
    """The mean's denominator is 0, as a kernel of the CPU found."""


@dataclass(slots=True)
class _Call:
    """One call of the kernel. Its tensors are the input, the target, and what `given` says that there is."""

    loss: str
    formula: Formula
    of: Settings
    how: Reduction
    shape: torch.Size
    dtypes: tuple[torch.dtype, torch.dtype]
    given: tuple[bool, ...] = (False, False, False, False)
    """Whether there is an element mask, a sample weight, a mask, a class weight."""
    counting: int = _NUMBER
    divisor: float = 0.0
    bare: bool = False
    """Whether weighing and reducing are left to torch; the class weights are inside."""
    normalizer: Tensor | None = None
    """What the sum is divided by, if that is on a GPU."""
    judged: "tuple[Tensor, Divisor] | None" = None
    """The slopes of regions that forward found on a GPU, and what the result was divided by."""

    @property
    def reduced(self) -> bool:
        return self.counting != _NUMBER or self.divisor != 0

    @property
    def counted(self) -> str:
        """What the sum is divided by, in words."""
        return ("number", "regions", "class weights")[self.counting]

    def count(self, on_device: bool) -> None:
        """Settles what the sum is divided by."""
        normalizer = self.how.normalizer
        if on_device and is_on_device(normalizer):
            self.normalizer, self.divisor = normalizer.detach().reshape(1), 1.0
            return
        if normalizer is not None and not isinstance(normalizer, str):
            self.divisor = float(normalizer)
            if self.divisor == 0:  # which the kernel takes for none
                self.counting = _REGIONS
            return
        self.counting, self.divisor = _REGIONS, 1.0
        if normalizer is None and self.how.reduction == "batchmean":
            self.divisor = 1 / (self.shape[1:].numel() or 1)
        elif normalizer == "weight" and self.given[3]:
            self.counting = _CLASS_WEIGHTS

    def apart(self, tensors: Sequence[Tensor]) -> list[Tensor | None]:
        """The element mask, the sample weight, the mask and the class weight."""
        rest = iter(tensors[2:])
        return [next(rest) if there else None for there in self.given]

    def run(
        self, tensors: Sequence[Tensor], wanted: Sequence[bool], upstream: Tensor | float | None
    ) -> tuple[Tensor, list[Tensor | None]]:
        input, target = tensors[:2]
        element_mask, sample_weight, mask, weight = self.apart(tensors)
        compute, result = self.dtypes
        of, shape, divisor, scale = self.of, self.shape, self.divisor, 1.0
        factors: list[Tensor] = [] if sample_weight is None else [sample_weight.expand(shape)]
        if upstream is None and not self.reduced:
            value = torch.empty(shape, dtype=result)
        elif self.reduced:
            value = empty_number(result)
            scale = 1.0 if upstream is None else upstream  # type: ignore[assignment]
        else:
            value, divisor = empty_number(result), 1.0
            factors.append(upstream)  # type: ignore[arg-type]
        gradients = [
            torch.empty_like(t) if upstream is not None and w and t.is_floating_point() else None
            for t, w in ((input, wanted[0]), (target, wanted[1]))
        ]
        status = core.overlap(
            _ACTIVATIONS[of.activation],
            compute == torch.float64,
            of.squared,
            of.batch,
            of.include_background,
            (*of.parameters, of.gamma),
            input,
            of.dim,
            target,
            of.ignore_index,
            None if element_mask is None else element_mask.expand(input.shape),
            weight,
            tuple(factors),
            None if mask is None else mask.expand(shape),
            self.counting,
            divisor,
            scale,
            value,
            *gradients,
            torch.get_num_threads(),
        )
        if status == _OUTSIDE:
            read_aims(self.loss, input, target, of, self.how, element_mask, compute)  # raises, in words
            raise RuntimeError(f"{self.loss}: a number is out of its domain")
        if status == _EMPTY:
            raise _NothingCounts
        return value, gradients + [None] * (len(tensors) - 2)

    @property
    def key(self) -> Hashable:
        return (
            self.loss, self.formula, self.of, self.how.reduction, self.how.on_empty, self.shape, self.dtypes,
            self.given, self.counting, self.divisor, self.bare,
        )  # fmt: skip

    @property
    def beside(self) -> tuple[Tensor, ...]:
        if self.judged is None:
            return () if self.normalizer is None else (self.normalizer,)
        slopes, divisor = self.judged
        return (slopes,) if divisor.sums is None else (slopes, divisor.sums)

    @property
    def kept(self) -> tuple[float, str] | None:
        return None if self.judged is None else (self.judged[1].number, self.judged[1].on_empty)

    def keep(self, beside: tuple[Tensor, ...], kept: tuple[float, str]) -> None:
        from ..triton import Divisor

        slopes, *sums = beside
        self.judged = slopes, Divisor(kept[0], sums[0] if sums else None, kept[1])

    def launch(
        self,
        tensors: Sequence[Tensor],
        wanted: Sequence[bool],
        upstream: Tensor | None = None,
        into: Sequence[Tensor | None] | None = None,
    ) -> tuple[Tensor | None, Sequence[Tensor | None]]:
        from .triton import launch

        return launch(self, tensors, wanted, upstream)

    def finish(
        self, values: Tensor, aims: Aims, weight: Tensor | None, result: torch.dtype, weighted: bool = False
    ) -> Tensor:
        """The reduction of unreduced losses; weighted: they have the class weights inside."""
        if weight is not None:
            weight = weight.to(values.dtype)
            values = values if weighted else values * weight
        return reduce(self.loss, values, self.how, result, counted=aims.counted, weight=weight)

    def reference(self, tensors: Sequence[Tensor]) -> Tensor:
        input, target = tensors[:2]
        element_mask, _, _, weight = self.apart(tensors)
        aims = read_aims(self.loss, input, target, self.of, self.how, element_mask, self.dtypes[0])
        values = losses_of(input, aims, self.formula, self.of, self.dtypes[0])
        if not self.bare:
            return self.finish(values, aims, weight, self.dtypes[1])
        values = values if weight is None else values * weight.to(values.dtype)
        return values if aims.counted is None else torch.where(aims.counted, values, 0)
