"""The pairwise loop on the compiled kernels, and the choice between them and the reference."""

import functools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor

from ... import checks
from ...backend import TRITON, kernels
from ...formula import Formula
from ...native import core
from ...reduction import Reduction, wants_gradient
from ..fused import (
    Counted,
    Steps,
    divisor_for,
    empty_number,
    fused,
    fused_on_device,
    summed,
    widened,
)

if TYPE_CHECKING:
    from ..triton import Divisor

Kind = Literal["cosine_embedding", "contrastive", "triplet_margin"]
_KINDS = {"cosine_embedding": 0, "contrastive": 1, "triplet_margin": 2}


@dataclass(slots=True, frozen=True)
class Numbers:
    """What a pairwise loss has besides tensors."""

    margin: float
    p: float = 2.0
    eps: float = 0.0
    swap: bool = False
    squared: bool = False
    """Of a triplet its distances, of a contrastive pair what it lacks."""
    normalize: bool = False
    """Whether vectors are scaled to the length of 1."""
    positive_margin: float = 0.0
    labels: tuple[float, float] = (1.0, -1.0)
    """The targets of similar and of dissimilar contrastive pairs; another one raises what the steps raise."""


def pairwise(
    loss: str,
    kind: Kind,
    formula: Formula,
    vectors: tuple[Tensor, ...],
    target: Tensor | None,
    shape: torch.Size,
    how: Reduction,
    result: torch.dtype,
    steps: Steps,
    numbers: Numbers,
    unfit: str = "",
) -> Tensor:
    """A loss of pairs or triplets of vectors (the last dimension), reduced.

    formula: of the distances or of the cosine; the kernels of the CPU are built with it. shape: the unreduced loss's.
    result: the dtype of the result. unfit: why no kernel can run it.
    """
    targets = () if target is None else (target,)
    if not torch.compiler.is_compiling():
        widths = [v.shape[-1] if v.dim() else 1 for v in vectors]
        if any([not v.is_floating_point() for v in vectors]):
            unfit = unfit or "the arithmetic is not that of floats"
        elif 0 in widths:
            unfit = unfit or "the vectors are empty"
        elif min(widths) != max(widths):
            unfit = unfit or "the vectors differ in width"
        elif target is not None and target.requires_grad and torch.is_grad_enabled():
            unfit = unfit or "the target wants a gradient"
        factors = () if how.sample_weight is None else (how.sample_weight,)
        masks = () if how.mask is None else (how.mask,)
        found = kernels(loss, (*vectors, *targets, *factors, *masks), unfit)
        if found:
            compute = torch.float64 if any([v.dtype == torch.float64 for v in vectors]) else torch.float32
            call = _Call(loss, kind, formula, steps, numbers, shape, max(widths), compute, result)
            call.targeted = target is not None
            checks.fits(loss, "mask", how.mask, shape, "the unreduced loss")
            checks.fits(loss, "sample_weight", how.sample_weight, shape, "the unreduced loss")
            run = fused_on_device if found == TRITON else fused
            in_torch = wants_gradient(how) or (found == TRITON and not shape.numel())
            if how.reduction == "sum":
                call.divisor = 1.0
            elif how.reduction != "none" and not in_torch:
                divide = functools.partial(divisor_for(found), how, shape, wide=compute == torch.float64)
                if found == TRITON:
                    call.divisor = 1.0
                    call.count_by(divide, how)
                else:
                    call.divisor = divide()
                    in_torch = call.divisor == 0
            call.masked = bool(masks)
            if not in_torch:
                call.factors = len(factors)
                return run(call, (*vectors, *targets, *factors, *masks))
            # the kernel gives unreduced losses: on_empty, and weights that want a gradient, are for torch's operations
            call.divisor, call.divide, call.result, call.bare = 0.0, None, compute, True
            return steps.finish(run(call, (*widened(vectors), *targets, *masks)))
    return steps.finish(steps.of(*vectors, *targets))


def _as_rows(tensor: Tensor, shape: torch.Size) -> Tensor:
    """Vectors of any batch dimensions as a matrix, repeated ones as they are."""
    if tensor.dim() == 2:
        return tensor
    if tensor.dim() < 2:
        return tensor.reshape(1, -1)
    return tensor.expand(*shape, -1).reshape(-1, tensor.shape[-1])


def _as_numbers(tensor: Tensor, shape: torch.Size) -> Tensor:
    """One number for each row, or one for all."""
    return tensor if tensor.dim() < 2 and len(shape) < 2 else tensor.expand(shape).reshape(-1)


class Parts(NamedTuple):
    """The tensors of a call, by what they are."""

    vectors: tuple[Tensor, ...]
    target: Tensor | None
    factors: tuple[Tensor, ...]
    mask: Tensor | None


@dataclass(slots=True)
class _Call(Counted):
    """One call of the kernel."""

    loss: str
    kind: Kind
    formula: Formula
    steps: Steps
    numbers: Numbers
    shape: torch.Size
    width: int
    compute: torch.dtype
    result: torch.dtype
    divisor: float = 0.0
    targeted: bool = False
    factors: int = 0
    masked: bool = False
    bare: bool = False
    """Whether weighing and reducing are left to torch."""
    counted: "Divisor | None" = None
    normalizer: Tensor | None = None
    divide: "Callable[[], Divisor] | None" = None
    counting: Hashable = None

    @property
    def reduced(self) -> bool:
        return self.divisor != 0

    @property
    def count(self) -> int:
        """How many vectors each loss has."""
        return 3 if self.kind == "triplet_margin" else 2

    def apart(self, tensors: Sequence[Tensor]) -> Parts:
        """The call's tensors, in the order in which they are given."""
        at = self.count + self.targeted
        return Parts(
            tuple(tensors[: self.count]),
            tensors[self.count] if self.targeted else None,
            tuple(tensors[at : at + self.factors]),
            tensors[-1] if self.masked else None,
        )

    def run(
        self, tensors: Sequence[Tensor], wanted: Sequence[bool], upstream: Tensor | float | None
    ) -> tuple[Tensor, list[Tensor | None]]:
        numbers, count = self.numbers, self.count
        vectors, target, weights, mask = self.apart(tensors)
        target, mask = (None if t is None else _as_numbers(t, self.shape) for t in (target, mask))
        factors: list[Any] = [_as_numbers(f, self.shape) for f in weights]
        rows, divisor, scale = self.shape.numel(), self.divisor, 1.0
        if upstream is None and not self.reduced:
            value = torch.empty(rows, dtype=self.result)
        else:
            value = empty_number(self.result)
            if not self.reduced:
                divisor, factors = 1.0, [*factors, _as_numbers(upstream, self.shape)]  # type: ignore[arg-type]
            elif upstream is not None:
                scale = upstream / divisor  # type: ignore[assignment]
        places: list[Tensor | None] = [None] * count
        if upstream is not None:
            for i, vector in enumerate(vectors):
                if not wanted[i]:
                    continue
                if vector.dim() == 2 and vector.shape == (rows, self.width):
                    places[i] = torch.empty_like(vector)
                else:
                    # without elements a repeated vector has as many as its gradient
                    repeated = vector.numel() != rows * self.width or not rows * self.width
                    places[i] = torch.empty(rows, self.width, dtype=self.compute if repeated else vector.dtype)
        known = core.pairwise(
            _KINDS[self.kind],
            self.compute == torch.float64 or numbers.normalize,
            rows,
            self.width,
            tuple([_as_rows(v, self.shape) for v in vectors]),
            target,
            numbers.margin,
            numbers.positive_margin,
            numbers.p,
            numbers.eps,
            *numbers.labels,
            numbers.squared,
            numbers.swap,
            numbers.normalize,
            tuple(factors),
            mask,
            scale,
            divisor,
            value,
            tuple(places),
            torch.get_num_threads(),
        )
        if not known:
            self.steps.of(*tensors[: count + 1])  # raises, in words
            raise ValueError("a target is out of its domain")
        gradients: list[Tensor | None] = [None] * len(tensors)
        for i, place in enumerate(places):
            if place is not None and place.shape != vectors[i].shape:
                whole = place.reshape(*self.shape, self.width)
                place = summed(whole, vectors[i])
            gradients[i] = place
        return value if value.dim() == 0 else value.reshape(self.shape), gradients

    @property
    def key(self) -> Hashable:
        return (
            self.loss, self.kind, self.formula, self.numbers, self.shape, self.width, self.compute, self.result,
            self.divisor, self.counting, self.targeted, self.factors, self.masked, self.bare,
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
        values = self.steps.of(*tensors[: self.count + self.targeted])
        return values if self.bare else self.steps.finish(values)
