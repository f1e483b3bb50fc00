"""CTC on the compiled kernel, and the choice between it and the reference."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...backend import HALVES, native
from ...native import core
from ...reduction import Reduction, wants_gradient
from ..fused import fused
from .sequences import LabelSequences


@dataclass(slots=True)
class Steps:
    """The same loss by torch's operations: what a kernel can't do, and what is differentiated again, goes through it."""

    of: Callable[[Tensor], Tensor]
    """The loss of each sample, of scores (T, N, C)."""
    finish: Callable[[Tensor], Tensor]
    """The reduction of the samples' losses."""


def lattice(
    loss: str, scores: Tensor, logits: bool, sequences: LabelSequences, blank: int, how: Reduction, steps: Steps
) -> Tensor:
    """CTC of scores (T, N, C), log-probabilities or logits, against checked label sequences, reduced."""
    if not torch.compiler.is_compiling():
        tensors = (scores, sequences.labels, sequences.frames, sequences.lengths)
        unfit = "" if sequences.valid is None else "the lengths or the labels could not be checked"
        if native(loss, tensors, unfit):
            if wants_gradient(how):
                # the kernel gives each sample's loss: weights that want a gradient get it from torch's operations
                return steps.finish(fused(_Call(logits, blank, _Same(steps.of), False), tensors))
            return fused(_Call(logits, blank, steps, how.reduction != "none"), tensors)
    return steps.finish(steps.of(scores))


class _Same(Steps):
    """No reduction."""

    def __init__(self, of: Callable[[Tensor], Tensor]) -> None:
        super().__init__(of, lambda values: values)


@dataclass(slots=True)
class _Call:
    """One call of the kernel. Its tensors are the scores, the labels, the numbers of frames and of labels."""

    logits: bool
    blank: int
    steps: Steps
    reduced: bool
    half: bool = False

    @property
    def rescales(self) -> bool:
        return not self.half

    def run(
        self, tensors: Sequence[Tensor], wanted: Sequence[bool], upstream: Tensor | float | None
    ) -> tuple[Tensor, list[Tensor | None]]:
        scores, labels, frames, lengths = tensors
        self.half = scores.dtype in HALVES
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
        with torch.enable_grad():
            finite = torch.zeros_like(losses).requires_grad_()
            value = self.steps.finish(finite)
            if not isinstance(upstream, Tensor):
                upstream = torch.full_like(value, upstream)
            return torch.autograd.grad(value, finite, upstream)[0].contiguous()

    def reference(self, tensors: Sequence[Tensor]) -> Tensor:
        return self.steps.finish(self.steps.of(tensors[0]))
