"""Softmax rows against labels or probabilities, along any dimension, without moving it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...backend import transforming
from ...formula import Formula, product
from .labels import ClassLabels, pick


@dataclass(frozen=True)
class Focus:
    """What a surprisal costs, where that is not the surprisal itself; finite at 0, with a finite slope."""

    formula: Formula
    parameters: tuple[float, ...] = ()

    def __call__(self, surprisal: Tensor) -> Tensor:
        value: Tensor = self.formula.value(surprisal, *self.parameters)
        return value


def softmax_with_labels(
    logits: Tensor, labels: ClassLabels, dim: int, weight: Tensor | None, smoothing: float, focus: Focus | None = None
) -> Tensor:
    """-log softmax(logits)[label] of each row, or the focus of it, weighted and smoothed as torch does.

    Value and gradient keep their relative accuracy when the row is almost certain (without smoothing). Rows that are
    not used get gradient 0; their values are left to the reduction, which drops them.
    """
    if transforming():
        of_label, of_all, *_ = _surprisals(labels.hide(logits, dim), labels.label, weight, dim, smoothing > 0)
    else:
        of_label, of_all, *_ = _Surprisals.apply(  # type: ignore[no-untyped-call]
            logits, labels.label, labels.used, weight, dim, smoothing > 0
        )
    values: Tensor = of_label
    if focus is not None:
        values = focus(labels.blank(values))
    if weight is not None:
        if labels.used is not None:  # NaN in an unused row would come through to the weight's gradient
            values = torch.where(labels.used, values, 0)
        values = values * labels.pick(weight)
    if smoothing > 0:
        values = (1 - smoothing) * values + smoothing / logits.shape[dim] * of_all
    return labels.spoil(values)


def _surprisals(
    logits: Tensor, label: Tensor, weight: Tensor | None, dim: int, all_classes: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of each row, the surprisal -log p of the label, and if asked the weighted sum of all classes' surprisals.

    With a the label's logit less the row's greatest and S the sum over the other classes of exp(x - greatest), the
    surprisal is log1p(S + expm1(a)) - a: when the label's logit is the greatest this is log1p(S), which keeps its
    relative accuracy. Returns besides these the sum of exp(x - greatest) less 1, and the greatest, which counts as a
    constant.
    """
    if logits.shape[dim] == 0:
        nothing = logits.sum(dim)
        return nothing, nothing.clone(), nothing.clone(), nothing.clone()
    positions = _along(torch.arange(logits.shape[dim], device=logits.device), logits, dim)
    greatest = logits.detach().amax(dim, keepdim=True)
    greatest = torch.where(greatest == -torch.inf, 0, greatest)
    lead = (logits.gather(dim, label.unsqueeze(dim)) - greatest).squeeze(dim)
    others = torch.where(positions == label.unsqueeze(dim), 0, torch.exp(logits - greatest)).sum(dim)
    rest = others + torch.expm1(lead)
    log_total = torch.log1p(rest)
    of_all = torch.zeros_like(lead)
    if all_classes:
        # each surprisal is log_total + (greatest - x), both at least 0: summed apart, in the same pass as exp
        below = greatest - logits
        if weight is None:
            of_all = logits.shape[dim] * log_total + below.sum(dim)
        else:
            of_all = weight.sum() * log_total + (below * _along(weight, logits, dim)).sum(dim)
    return log_total - lead, of_all, rest, greatest.squeeze(dim)


class _Surprisals(torch.autograd.Function):
    """`_surprisals` with its gradient written by hand: p off the label, p - 1 = expm1(-surprisal) on it.

    So the compiler makes one pass forward and one backward of it. The backward is made of differentiable steps: second
    and higher derivatives are right. Forward mode over forward mode is not possible for such a function, so under
    transforms the plain steps run.
    """

    @staticmethod
    def forward(
        logits: Tensor, label: Tensor, used: Tensor | None, weight: Tensor | None, dim: int, all_classes: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return _surprisals(logits, label, weight, dim, all_classes)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        logits, label, used, weight, ctx.dim, ctx.all_classes = inputs
        of_label, _, rest, greatest = output
        ctx.mark_non_differentiable(greatest)
        ctx.save_for_backward(logits, label, used, weight, of_label, rest, greatest)

    @staticmethod
    def backward(ctx: Any, of_label: Tensor, of_all: Tensor, of_rest: Tensor, _: Any) -> tuple[Tensor | None, ...]:
        logits, label, used, weight, surprisal, rest, greatest = ctx.saved_tensors
        dim = ctx.dim
        moved = logits - greatest.unsqueeze(dim)
        if used is not None:
            # hidden at the start: what comes in is 0 there, and so are derivatives of every order, NaN or not
            moved = torch.where(used.unsqueeze(dim), moved, 0)
            surprisal, rest = torch.where(used, surprisal, 0), torch.where(used, rest, 0)
        total = 1 + rest
        # the derivative of log(total) is p = exp(x - greatest) / total, which is 4 ulp exact as no exp(x - log) is
        through_log = of_label
        grad_weight = None
        share: Tensor | float = 0.0
        if ctx.all_classes:
            through_log = of_label + of_all * (logits.shape[dim] if weight is None else weight.sum())
            share = of_all.unsqueeze(dim) if weight is None else of_all.unsqueeze(dim) * _along(weight, logits, dim)
            if ctx.needs_input_grad[3]:
                costs = (torch.log1p(rest).unsqueeze(dim) - moved) * of_all.unsqueeze(dim)
                grad_weight = costs.movedim(dim, 0).flatten(1).sum(1)
        result = (through_log / total + of_rest).unsqueeze(dim) * torch.exp(moved) - share
        p_of_label = torch.exp(-surprisal)
        on_label = of_label * torch.expm1(-surprisal) + (through_log - of_label + of_rest * total) * p_of_label
        if ctx.all_classes:
            on_label = on_label - (of_all if weight is None else of_all * pick(weight, label))
        return result.scatter(dim, label.unsqueeze(dim), on_label.unsqueeze(dim)), None, None, grad_weight, None, None


def softmax_with_probabilities(
    logits: Tensor, target: Tensor, dim: int, weight: Tensor | None, focus: Focus | None = None
) -> Tensor:
    """-sum of p log softmax(logits) over the classes of each row; a class with p = 0 adds 0 even at a logit of -inf.

    With a focus, the sum of p times the focus of -log softmax(logits).
    """
    costs = -torch.log_softmax(logits, dim)
    if focus is not None:
        costs = focus(costs)
    if weight is not None:
        costs = costs * _along(weight, logits, dim)
    return product(target, costs).sum(dim)


def _along(weight: Tensor, logits: Tensor, dim: int) -> Tensor:
    """A vector over classes, shaped to go with the logits' class dimension."""
    return weight.reshape([-1] + [1] * (logits.dim() - 1 - dim))
