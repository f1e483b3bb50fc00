"""One entry of each row, along any dimension, without moving it."""

from typing import Any

import torch
from torch import Tensor

from ...backend import transforming
from .labels import ClassLabels, own_class


def negative_pick(scores: Tensor, labels: ClassLabels, dim: int, weight: Tensor | None, dtype: torch.dtype) -> Tensor:
    """-w_y x_y of each row, computed in `dtype`. A row that is not used is 0 and gets gradient 0, whatever it holds."""
    if scores.shape[dim] == 0:
        return labels.spoil(scores.to(dtype).sum(dim))
    compiled = torch.compiler.is_compiling() and not transforming()
    pick = _CompiledPick.apply if compiled else _pick
    # picked before it is converted: only the entries of the labels are touched
    values = -labels.blank(pick(scores, labels.label, dim).to(dtype))
    if weight is not None:
        values = values * labels.pick(weight)
    return labels.spoil(values)


def _pick(scores: Tensor, label: Tensor, dim: int) -> Tensor:
    # the power of 1 is in the graph of the gradient, so that a second derivative is 0, as torch's, and not an error
    return scores.gather(dim, label.unsqueeze(dim)).squeeze(dim) ** 1


class _CompiledPick(torch.autograd.Function):
    """As `_pick`; the compiler makes one pass of this backward, and a fill and a scatter of that of gather."""

    @staticmethod
    def forward(scores: Tensor, label: Tensor, dim: int) -> Tensor:
        return scores.gather(dim, label.unsqueeze(dim)).squeeze(dim)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        scores, label, ctx.dim = inputs
        ctx.classes = scores.shape[ctx.dim]
        ctx.save_for_backward(label)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (label,) = ctx.saved_tensors
        own = own_class(label, ctx.classes, ctx.dim)
        return torch.where(own, grad.unsqueeze(ctx.dim), 0), None, None
