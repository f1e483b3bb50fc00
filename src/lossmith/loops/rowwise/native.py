"""The rowwise loop on the compiled kernels, and the choice between them and the reference."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor

from ... import checks
from ...backend import TRITON, kernels
from ...native import core
from ...reduction import Reduction, reduce, wants_gradient
from ..fused import Counted, empty_number, fused, fused_on_device, widened
from .distillation import Distillation
from .labels import ClassLabels, class_labels
from .softmax import Focus

if TYPE_CHECKING:
    from ..triton import Divisor

Kind = Literal[
    "softmax_labels",
    "softmax_probabilities",
    "pick",
    "margin_to_label",
    "margins_of_set",
    "distillation",
    "focal_labels",
    "focal_probabilities",
]
_KINDS = {
    "softmax_labels": 0,
    "softmax_probabilities": 1,
    "pick": 2,
    "margin_to_label": 3,
    "margins_of_set": 4,
    "distillation": 5,
    "focal_labels": 6,
    "focal_probabilities": 7,
}

NUMBER, ROWS, CLASS_WEIGHTS = range(3)  # what a kernel's sum is divided by
_OUTSIDE, _EMPTY = 1, 2  # what a kernel returns besides 0


@dataclass(slots=True)
class Steps:
    """The same loss by torch's operations: what a kernel can't do, or is differentiated again, goes through them."""

    read: Callable[[Tensor], Any]
    """Reads and checks the target: raises where a label is out of range."""
    of: Callable[[Tensor, Any], Tensor]
    """The unreduced loss of an input."""
    finish: Callable[[Tensor, Any], Tensor]
    """The reduction of unreduced losses."""


def label_steps(
    loss: str,
    how: Reduction,
    classes: int,
    result: torch.dtype,
    ignore_index: int | None,
    per_class: Tensor | None,
    weight_in_mean: bool,
    of: Callable[[Tensor, ClassLabels], Tensor],
) -> Steps:
    """The steps of a loss against one label for each row, whose class weights are in torch's denominator or not."""

    def read(target: Tensor) -> ClassLabels:
        return class_labels(loss, target, classes, how.mask, ignore_index)

    def finish(values: Tensor, labels: ClassLabels) -> Tensor:
        of_label = None if per_class is None else labels.pick(per_class)
        share = of_label if weight_in_mean else None
        return reduce(loss, values, how, result, counted=labels.counted, denominator=share, weight=of_label)

    return Steps(read, of, finish)


def rowwise(
    loss: str,
    kind: Kind,
    input: Tensor,
    target: Tensor,
    dim: int,
    how: Reduction,
    dtypes: tuple[torch.dtype, torch.dtype],
    steps: Callable[[], Steps],
    *,
    weight: Tensor | None = None,
    weight_in_mean: bool = False,
    ignore_index: int | None = None,
    smoothing: float = 0.0,
    gamma: float = 0.0,
    focus: Focus | None = None,
    margin: float = 1.0,
    power: int = 1,
    distillation: Distillation | None = None,
    unfit: str = "",
    alike: int = 0,
) -> Tensor:
    """A loss of rows along `dim`, reduced. dtypes: what it is computed in, and the result's.

    weight: for each class; weight_in_mean says that torch's mean divides by the weights of the labels. gamma, focus: of
    a focal loss, as a number for the kernels of the CPU and as a formula for those of a GPU. unfit: why no kernel can
    run it. alike: what `checks.alike_rows` found.
    """
    if not torch.compiler.is_compiling():
        extras: tuple[Tensor, ...] = ()
        labels = None if distillation is None else distillation.labels
        if weight is not None or how.sample_weight is not None or how.mask is not None or labels is not None:
            extras, alike = tuple([t for t in (how.sample_weight, how.mask, labels, weight) if t is not None]), 0
            if weight is not None and weight.requires_grad and torch.is_grad_enabled():
                unfit = "the class weights want a gradient"
        if not alike and (input.dim() == 0 or input.shape[dim] == 0):
            unfit = "there are no classes"
        found = kernels(loss, (input, target, *extras), unfit, alike)
        if found:
            call = _Call(kind, dim, steps, dtypes, ignore_index, smoothing, gamma, margin, power, weight is not None)
            call.masked, call.distillation = how.mask is not None, distillation
            run: Callable[[_Call, Sequence[Tensor]], Tensor] = fused
            in_torch = False
            if found == TRITON:
                call.on_device, call.loss, call.focus, call.on_empty = True, loss, focus, how.on_empty
                run, in_torch = fused_on_device, input.numel() == 0
            if extras or how.normalizer is not None:
                shape = input.shape[:dim] + input.shape[dim + 1 :]
                checks.fits(loss, "mask", how.mask, shape, "the unreduced loss")
                checks.fits(loss, "sample_weight", how.sample_weight, shape, "the unreduced loss")
                in_torch = in_torch or wants_gradient(how) or (how.normalizer == "weight" and "probabilities" in kind)
            if how.reduction == "sum":
                call.divisor, call.on_empty = 1.0, "nan"
            elif how.reduction != "none" and not in_torch:
                _count(call, input, how, weighed=bool(extras), weight_in_mean=weight_in_mean)
                in_torch = not call.reduced
            if not in_torch:
                call.factors = how.sample_weight is not None
                try:
                    return run(call, (input, target, *extras))
                except _NothingCounts:
                    pass
            # the kernel gives unreduced losses: on_empty, and weights that want a gradient, are for torch's operations
            compute = dtypes[0]
            call.counting, call.divisor, call.factors = NUMBER, 0.0, False
            call.dtypes, call.bare = (compute, compute), True
            way = steps()
            kept = extras if how.sample_weight is None else extras[1:]
            input, target = widened((input, target))
            return way.finish(run(call, (input, target, *kept)), way.read(target))
    way = steps()
    aims = way.read(target)
    return way.finish(way.of(input, aims), aims)


def _count(call: "_Call", input: Tensor, how: Reduction, *, weighed: bool, weight_in_mean: bool) -> None:
    """Settles what the sum is divided by."""
    normalizer = how.normalizer
    if call.on_device and isinstance(normalizer, Tensor) and normalizer.device == input.device:
        call.normalizer, call.divisor = normalizer.detach().reshape(1), 1.0
        return
    if normalizer is not None and not isinstance(normalizer, str):
        call.divisor = float(normalizer)
        return
    call.counting, call.divisor = ROWS, 1.0
    rows = input.numel() // input.shape[call.dim]
    if normalizer is None and how.reduction == "batchmean":
        batch = (input.shape[0] if call.dim else input.shape[1]) if input.dim() > 1 else 1
        call.divisor = batch / rows if rows else 1.0
    elif call.weighted and (weight_in_mean if normalizer is None else normalizer == "weight"):
        call.counting = CLASS_WEIGHTS
    if call.counting == ROWS and not weighed and call.ignore_index is None:
        call.counting, call.divisor = NUMBER, rows * call.divisor


class _NothingCounts(Exception):
    """The mean's denominator is 0, as a kernel of the CPU found."""


class Parts(NamedTuple):
    """The tensors of a call, by what they are."""

    input: Tensor
    target: Tensor
    factors: tuple[Tensor, ...]
    mask: Tensor | None
    labels: Tensor | None
    """Those of distillation."""
    weight: Tensor | None


@dataclass(slots=True)
class _Call(Counted):
    """One call of the kernel."""

    kind: Kind
    dim: int
    steps: Callable[[], Steps]
    dtypes: tuple[torch.dtype, torch.dtype]
    ignore_index: int | None
    smoothing: float
    gamma: float
    margin: float
    power: int
    weighted: bool
    counting: int = NUMBER
    divisor: float = 0.0
    factors: bool = False
    """Whether there is a sample weight."""
    masked: bool = False
    distillation: Distillation | None = None
    bare: bool = False
    """Whether weighing and reducing are left to torch."""
    on_device: bool = False
    """Whether a Triton kernel runs; what follows is for those alone."""
    loss: str = ""
    focus: Focus | None = None
    normalizer: Tensor | None = None
    on_empty: str = "nan"
    counted: "Divisor | None" = None

    @property
    def reduced(self) -> bool:
        return self.counting != NUMBER or self.divisor != 0

    def parts(self, tensors: Sequence[Tensor]) -> Parts:
        """The call's tensors, in the order in which they are given."""
        at = 2 + self.factors
        mask = tensors[at] if self.masked else None
        labelled = self.distillation is not None and self.distillation.labels is not None
        labels = tensors[at + self.masked] if labelled else None
        weight = tensors[-1] if self.weighted else None
        return Parts(tensors[0], tensors[1], tuple(tensors[2:at]), mask, labels, weight)

    def run(
        self, tensors: Sequence[Tensor], wanted: Sequence[bool], upstream: Tensor | float | None
    ) -> tuple[Tensor, list[Tensor | None]]:
        input, target, given, mask, labels, weight = self.parts(tensors)
        compute, result = self.dtypes
        factors: tuple[Any, ...] = given
        distillation = () if self.distillation is None else (labels, *self.distillation.settings)
        counting, divisor, scale = self.counting, self.divisor, 1.0
        if upstream is None and not self.reduced:
            value = torch.empty(input.shape[: self.dim] + input.shape[self.dim + 1 :], dtype=result)
        else:
            value = empty_number(result)
            if not self.reduced:
                divisor, factors = 1.0, (*factors, upstream)
            elif upstream is not None:
                scale = upstream  # type: ignore[assignment]
        gradients = [
            torch.empty_like(t) if upstream is not None and w and t.is_floating_point() else None
            for t, w in ((input, wanted[0]), (target, wanted[1]))
        ]
        status = core.rowwise(
            _KINDS[self.kind],
            compute == torch.float64,
            input,
            self.dim,
            target,
            weight,
            self.ignore_index,
            self.smoothing,
            self.gamma,
            self.margin,
            self.power,
            distillation,
            factors,
            mask,
            counting,
            divisor,
            scale,
            value,
            *gradients,
            torch.get_num_threads(),
        )
        if status == _OUTSIDE:
            self.steps().read(target)  # raises, in words
            raise IndexError("a label is out of range")
        if status == _EMPTY:
            raise _NothingCounts
        return value, gradients + [None] * (len(tensors) - 2)

    @property
    def key(self) -> Hashable:
        distillation: Any = self.distillation
        if distillation is not None:
            distillation = distillation._replace(labels=None), distillation.labels is None
        return (
            self.loss, self.kind, self.dim, self.dtypes, self.ignore_index, self.smoothing, self.focus, self.margin,
            self.power, self.weighted, self.counting, self.divisor, self.factors, self.masked, distillation, self.bare,
            self.on_empty,
        )  # fmt: skip

    def launch(
        self,
        tensors: Sequence[Tensor],
        wanted: Sequence[bool],
        upstream: Tensor | None = None,
        into: Sequence[Tensor | None] | None = None,
    ) -> tuple[Tensor | None, Sequence[Tensor | None]]:
        from .triton import launch

        value, gradients = launch(self, self.parts(tensors), wanted, upstream, into)
        return value, [*gradients, *[None] * (len(tensors) - 2)]

    def reference(self, tensors: Sequence[Tensor]) -> Tensor:
        way = self.steps()
        aims = way.read(tensors[1])
        values = way.of(tensors[0], aims)
        return values if self.bare else way.finish(values, aims)
