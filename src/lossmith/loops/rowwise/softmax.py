"""Softmax rows against labels or probabilities, along any dimension, without moving it."""

from typing import Any

import torch
from torch import Tensor

from ...formula import product
from .labels import ClassLabels


def softmax_with_labels(
    logits: Tensor, labels: ClassLabels, dim: int, weight: Tensor | None, smoothing: float
) -> Tensor:
    """-log softmax(logits)[label] of each row, weighted and smoothed as torch does.

    Without smoothing, value and gradient keep their relative accuracy when the row is almost certain. Rows that are
    not used get gradient 0; their values are left to the reduction, which drops them.
    """
    if smoothing == 0:
        # the compiler refuses functions with a forward-mode rule
        surprisal = _Surprisal if torch.compiler.is_compiling() else _SurprisalWithForwardMode
        values: Tensor = surprisal.apply(logits, labels.label, labels.used, dim)[0]  # type: ignore[no-untyped-call]
        if weight is not None:
            values = values * labels.pick(weight)
        return labels.spoil(values)
    costs = -torch.log_softmax(labels.hide(logits, dim), dim)
    if weight is not None:
        costs = costs * _along(weight, logits, dim)
    values = (1 - smoothing) * costs.gather(dim, labels.label.unsqueeze(dim)).squeeze(dim)
    return labels.spoil(values + smoothing / logits.shape[dim] * costs.sum(dim))


class _Surprisal(torch.autograd.Function):
    """-log p of the label, and logsumexp, of each row; differentiable to any order.

    With a the label's logit less the row's greatest and S the sum over the other classes of exp(x - greatest), the
    surprisal is log1p(S + expm1(a)) - a: when the label's logit is the greatest this is log1p(S), which keeps its
    relative accuracy. Its gradient is p off the label and p - 1 = expm1(-surprisal) on it.

    Written by hand since the compiler makes the best of it: one pass forward, one pass backward.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(logits: Tensor, label: Tensor, used: Tensor | None, dim: int) -> tuple[Tensor, Tensor]:
        if logits.shape[dim] == 0:
            nothing = logits.sum(dim)
            return nothing, nothing
        shape = [-1] + [1] * (logits.dim() - 1 - dim)
        own = torch.arange(logits.shape[dim], device=logits.device).reshape(shape) == label.unsqueeze(dim)
        greatest = logits.amax(dim, keepdim=True)
        greatest = torch.where(greatest == -torch.inf, 0, greatest)
        others = torch.where(own, 0, torch.exp(logits - greatest)).sum(dim)
        lead = (logits.gather(dim, label.unsqueeze(dim)) - greatest).squeeze(dim)
        normalised = torch.log1p(others + torch.expm1(lead))
        return normalised - lead, normalised + greatest.squeeze(dim)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        logits, label, used, ctx.dim = inputs
        ctx.save_for_backward(logits, label, used, *output)
        ctx.save_for_forward(logits, label, used, *output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, grad_logsumexp: Tensor) -> tuple[Tensor, None, None, None]:
        logits, label, used, surprisal, logsumexp = ctx.saved_tensors
        dim = ctx.dim
        p = torch.exp(logits - logsumexp.unsqueeze(dim))
        all_classes = (grad + grad_logsumexp).unsqueeze(dim) * p
        of_label = grad * torch.expm1(-surprisal) + grad_logsumexp * torch.exp(-surprisal)
        result = all_classes.scatter(dim, label.unsqueeze(dim), of_label.unsqueeze(dim))
        if used is not None:
            result = torch.where(used.unsqueeze(dim), result, 0)
        return result, None, None, None


class _SurprisalWithForwardMode(_Surprisal):
    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
        logits, label, used, _, logsumexp = ctx.saved_tensors
        dim = ctx.dim
        moved = torch.exp(logits - logsumexp.unsqueeze(dim)) * tangent
        if used is not None:
            moved = torch.where(used.unsqueeze(dim), moved, 0)
        moved = moved.sum(dim)
        return moved - tangent.gather(dim, label.unsqueeze(dim)).squeeze(dim), moved


def softmax_with_probabilities(logits: Tensor, target: Tensor, dim: int, weight: Tensor | None) -> Tensor:
    """-sum of p log softmax(logits) over the classes of each row; a class with p = 0 adds 0 even at a logit of -inf."""
    costs = -torch.log_softmax(logits, dim)
    if weight is not None:
        costs = costs * _along(weight, logits, dim)
    return product(target, costs).sum(dim)


def _along(weight: Tensor, logits: Tensor, dim: int) -> Tensor:
    return weight.reshape([-1] + [1] * (logits.dim() - 1 - dim))
