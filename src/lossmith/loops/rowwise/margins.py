"""Hinges between the scores of a row: of one label against all other classes, and of a set against all others.

As in torch, a hinge has slope 0 at its kink, and a pair whose difference is NaN adds nothing.
"""

import torch
from torch import Tensor

from ...backend import wide
from .labels import ClassLabels, LabelSets, own_class


def margins_to_label(scores: Tensor, labels: ClassLabels, p: int, margin: float) -> Tensor:
    """The sum over the other classes of max(0, margin - x_y + x_i)^p of each row (the last dimension), by classes."""
    classes = scores.shape[-1]
    scores = labels.hide(scores, -1)
    own = own_class(labels.label, classes, labels.label.dim())
    # a sum and not a gather: its backward goes into the same pass as the rest
    excess = margin - torch.where(own, scores, 0).sum(-1, keepdim=True) + scores
    excess = torch.where((excess > 0) & ~own, excess, 0)
    costs = excess if p == 1 else excess * excess
    return labels.spoil(labels.blank(costs.sum(-1) / classes))


def margins_of_set(scores: Tensor, sets: LabelSets) -> Tensor:
    """The sum over labels j of the set and classes i outside of max(0, 1 - x_j + x_i) of each row, by classes.

    The loss is linear between kinks: it is the sum of slope times score, with slopes from counts, so the pairs are
    never laid out. The slopes sum to 0, so the scores may be counted from anywhere: from the middle of those that have
    a slope, so that large scores do not cancel, and in float64.
    """
    slopes = _slopes(scores.detach(), sets)
    shifted = wide(scores) - sets.inside.to(slopes.dtype)
    centre = _product(slopes.abs(), shifted.detach()).sum(-1, keepdim=True) / slopes.abs().sum(-1, keepdim=True)
    centre = torch.where(centre.isfinite(), centre, 0)
    return sets.spoil(_product(slopes, shifted - centre).sum(-1) / scores.shape[-1])


def _product(slopes: Tensor, scores: Tensor) -> Tensor:
    return torch.where(slopes == 0, 0, slopes * scores)


def _slopes(scores: Tensor, sets: LabelSets) -> Tensor:
    """How many hinges above 0 each class takes part in: counted positive outside of the set, negative inside.

    A hinge of j and i is above 0 where x_i is above the threshold x_j - 1. So a class outside has as many as there are
    thresholds below it, and the r-th threshold (from 0) as many as there are classes with more than r below them.
    """
    classes, places = scores.shape[-1], sets.label.shape[-1]
    thresholds = scores.gather(-1, sets.label) - 1
    thresholds, order = torch.where(sets.listed & ~thresholds.isnan(), thresholds, torch.inf).sort(-1)
    outside = torch.where(sets.inside | scores.isnan(), -torch.inf, scores)
    below = torch.searchsorted(thresholds.contiguous(), outside.contiguous())
    each = torch.ones((), dtype=torch.int32, device=scores.device).expand(scores.shape)
    reached = scores.new_zeros((*scores.shape[:-1], places + 1), dtype=torch.int32).scatter_add(-1, below, each)
    above = classes - reached.cumsum(-1, dtype=torch.int32)[..., :-1]
    return wide(below).scatter_add(-1, sets.label.gather(-1, order), -wide(above))
