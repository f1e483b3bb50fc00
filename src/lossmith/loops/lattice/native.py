"""CTC on the compiled kernel, and the choice between it and the reference."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...backend import kernels
from ...native import core
from ...reduction import Reduction, wants_gradient
from ..fused import Steps, fused
from .sequences import LabelSequences


def lattice(
    loss: str, scores: Tensor, logits: bool, sequences: LabelSequences, blank: int, how: Reduction, steps: Steps
) -> Tensor:
    """CTC of scores (T, N, C), log-probabilities or logits, against checked label sequences, reduced."""
    if not torch.compiler.is_compiling():
        tensors = (scores, sequences.labels, sequences.frames, sequences.lengths)
        unfit = "" if sequences.valid is None else "the lengths or the labels could not be checked"
        if kernels(loss, tensors, unfit):
            if wants_gradient(how):
                # the kernel gives each sample's loss: weights that want a gradient get it from torch's operations
                return steps.finish(fused(_Call(logits, blank, Steps(steps.of, lambda values: values), False), tensors))
            return fused(_Call(logits, blank, steps, how.reduction != "none"), tensors)
    return steps.finish(steps.of(scores))


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
