"""The losses of rows of logits, by torch's operations: to be differentiated to any order, whole or tile by tile."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ...formula.vocabularies.torch import softplus


class RowLoss(NamedTuple):
    """A loss of each row, given its logits and where its positives and negatives stand."""

    number: int
    """The kernels'."""
    of: Callable[[Tensor, Tensor, Tensor], Tensor]


class Margin(NamedTuple):
    """What the cosine of a positive becomes: less a margin (CosFace), or that of an angle with a margin (ArcFace)."""

    kind: int
    size: float
    easy: bool = False
    """An angular margin where the cosine is above 0 alone."""

    def __call__(self, cosine: Tensor) -> Tensor:
        if self.kind == 0:
            return cosine
        if self.kind == 1:
            return cosine - self.size
        turn = 0.0 if self.easy else math.cos(math.pi - self.size)
        turned = cosine > turn
        within = torch.where(turned, cosine, 0.5).clamp(-1, 1)
        square = (1 - within) * (1 + within)
        # at the pole the angle has no derivative; there the sine counts as a constant
        pole = ~(square > 1e-12)
        sine = torch.where(pole, square.detach().sqrt(), torch.where(pole, 1, square).sqrt())
        angular = within * math.cos(self.size) - sine * math.sin(self.size)
        return torch.where(turned, angular, cosine if self.easy else cosine - self.size * math.sin(self.size))


NO_MARGIN = Margin(0, 0.0)


def _log_sum(logits: Tensor, where: Tensor) -> Tensor:
    some = where.any(-1, keepdim=True)
    # of nothing at all there would be no second derivative
    total = torch.where(where | ~some, logits, -math.inf).logsumexp(-1, keepdim=True)
    return torch.where(some, total, -math.inf)


def _pairs(logits: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    return torch.where(positive, softplus(_log_sum(logits, negative) - logits), 0).sum(-1)


def _supcon_out(logits: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    count = positive.sum(-1, keepdim=True)
    mean = torch.where(positive, logits, 0).sum(-1, keepdim=True) / count.clamp(min=1)
    return torch.where(count > 0, _log_sum(logits, positive | negative) - mean, 0).squeeze(-1)


def _supcon_in(logits: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    count = positive.sum(-1, keepdim=True)
    above = softplus(_log_sum(logits, negative) - _log_sum(logits, positive | (count == 0)))
    return torch.where(count > 0, above + count.clamp(min=1).to(logits.dtype).log(), 0).squeeze(-1)


def _sigmoids(logits: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    return torch.where(positive, softplus(-logits), torch.where(negative, softplus(logits), 0)).sum(-1)


pairs = RowLoss(0, _pairs)
"""Of each positive -log(exp(it) / (exp(it) + the negatives' sum)), added up."""
supcon_out = RowLoss(1, _supcon_out)
"""The mean over the positives of -log(exp(it) / the sum of all)."""
supcon_in = RowLoss(2, _supcon_in)
"""-log of the mean over the positives of exp(it) / the sum of all."""
sigmoids = RowLoss(3, _sigmoids)
"""softplus of each negative, and of each positive's opposite."""
