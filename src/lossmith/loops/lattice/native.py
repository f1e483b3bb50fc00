"""CTC on kernels, and the choice between them and the reference."""

import functools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ... import checks
from ...backend import TRITON, kernels
from ...native import core
from ...reduction import Reduction, wants_gradient
from ..fused import Counted, Steps, fused, fused_on_device
from .sequences import GivenSequences, LabelSequences, label_sequences

if TYPE_CHECKING:
    from ..triton import Divisor


def lattice(
    loss: str,
    scores: Tensor,
    logits: bool,
    given: GivenSequences,
    blank: int,
    shape: torch.Size,
    how: Reduction,
    zero_infinity: bool,
    result: torch.dtype,
    steps: Callable[[LabelSequences], Steps],
) -> Tensor:
    """CTC of scores (T, N, C), log-probabilities or logits, reduced.

    shape: the unreduced loss's, (N) or (). result: the dtype of the result. steps: the same loss by torch's operations,
    for sequences that are checked.
    """
    size, device = scores.shape, scores.device

    def checked() -> LabelSequences:
        return label_sequences(loss, given, size, device, blank)

    if not torch.compiler.is_compiling():
        extras = [t for t in (how.sample_weight, given.mask) if t is not None]
        beside = [t for t in given[:3] if t.device == scores.device]
        unchecked = "" if given.readable else "the lengths or the labels could not be checked"
        found = kernels(loss, (scores, *beside, *extras), uncompiled=unchecked)
        if found == TRITON:
            given = given.on(scores.device, loss, scores.shape[0])
            masks = () if given.mask is None else (given.mask,)
            on_device = _CallOnDevice(loss, logits, blank, lambda: steps(checked()), masked=bool(masks))
            if wants_gradient(how):  # as below
                return steps(checked()).finish(fused_on_device(on_device, (scores, *given[:3], *masks)))
            weights = on_device.settle(how._replace(mask=given.mask), shape, zero_infinity, result)
            return fused_on_device(on_device, (scores, *given[:3], *weights, *masks))
        if found:
            sequences = checked()
            tensors = (scores, sequences.labels, sequences.frames, sequences.lengths)
            known = steps(sequences)
            if wants_gradient(how):
                # the kernel gives each sample's loss: weights that want a gradient get it from torch's operations
                return known.finish(fused(_Call(logits, blank, Steps(known.of, lambda values: values), False), tensors))
            return fused(_Call(logits, blank, known, how.reduction != "none"), tensors)
    known = steps(checked())
    return known.finish(known.of(scores))


@dataclass(slots=True)
class _Call:
    """One call of the kernel. Its tensors are the scores, the labels, the numbers of frames and of labels."""

    logits: bool
    blank: int
    steps: Steps
    reduced: bool

    def run(
        self, tensors: Sequence[Tensor], wanted: Sequence[bool], upstream: Tensor | float | None
    ) -> tuple[Tensor, list[Tensor | None]]:
        scores, labels, frames, lengths = tensors
        losses = torch.empty(scores.shape[1], dtype=torch.float64)
        gradient = factors = None
        if upstream is not None and wanted[0]:
            gradient = torch.empty_like(scores)
            factors = self._factors(losses, upstream)
        core.lattice(
            scores,
            self.logits,
            labels.contiguous(),
            frames.contiguous(),
            lengths.contiguous(),
            self.blank,
            losses,
            gradient,
            factors,
            torch.get_num_threads(),
        )
        with torch.no_grad():
            value = self.steps.finish(losses)
        return value, [gradient, None, None, None]

    def _factors(self, losses: Tensor, upstream: Tensor | float) -> Tensor:
        """The derivative of the reduced loss in each sample's, which is the same for all finite losses."""
        # what is saved here is no business of a caller's hooks (a checkpoint would compute it all again)
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
            finite = torch.zeros_like(losses).requires_grad_()
            value = self.steps.finish(finite)
            if not isinstance(upstream, Tensor):
                upstream = torch.full_like(value, upstream)
            return torch.autograd.grad(value, finite, upstream)[0].contiguous()

    def reference(self, tensors: Sequence[Tensor]) -> Tensor:
        return self.steps.finish(self.steps.of(tensors[0]))


@dataclass(slots=True)
class _CallOnDevice(Counted):
    """One call on a GPU. Its tensors are the scores, targets and lengths as given, and a weight and mask of samples."""

    loss: str
    logits: bool
    blank: int
    steps: Callable[[], Steps]
    masked: bool
    weighed: bool = False
    bare: bool = True
    """Whether zero_infinity, weighing and reducing are left to torch."""
    shape: torch.Size | None = None
    """The unreduced loss's, if it is not (N)."""
    result: torch.dtype = torch.float64
    zero_infinity: bool = False
    per_label: bool = False
    """Whether each sample's loss is divided by its number of labels."""
    divisor: float = 0.0
    counted: "Divisor | None" = None
    normalizer: Tensor | None = None
    divide: "Callable[[], Divisor] | None" = None
    counting: Hashable = None

    def settle(self, how: Reduction, shape: torch.Size, zero_infinity: bool, result: torch.dtype) -> tuple[Tensor, ...]:
        """Leaves weighing and reducing to the kernel; gives the weights of the samples, if there are any."""
        from ..triton import divisor_on_device

        checks.fits(self.loss, "sample_weight", how.sample_weight, shape, "the unreduced loss")
        self.bare, self.shape, self.result, self.zero_infinity = False, shape, result, zero_infinity
        if how.sample_weight is not None:
            self.weighed, how = True, how._replace(sample_weight=how.sample_weight.expand(shape).reshape(-1))
        if how.reduction != "none":
            self.per_label = how.reduction == "mean"
            self.count_by(functools.partial(divisor_on_device, how, shape, wide=True), how)
        return () if how.sample_weight is None else (how.sample_weight,)

    @property
    def reduced(self) -> bool:
        return self.divide is not None

    @property
    def key(self) -> Hashable:
        return (
            self.loss, self.logits, self.blank, self.masked, self.weighed, self.bare, self.shape, self.result,
            self.zero_infinity, self.per_label, self.counting,
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
        steps = self.steps()
        values = steps.of(tensors[0])
        return values if self.bare else steps.finish(values)
