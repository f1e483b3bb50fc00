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
    slopes = _slopes(scores.detach(), sets.times)
    shifted = wide(scores) - (sets.times > 0).to(slopes.dtype)
    centre = _product(slopes.abs(), shifted.detach()).sum(-1, keepdim=True) / slopes.abs().sum(-1, keepdim=True)
    centre = torch.where(centre.isfinite(), centre, 0)
    return sets.spoil(_product(slopes, shifted - centre).sum(-1) / scores.shape[-1])


def _product(slopes: Tensor, scores: Tensor) -> Tensor:
    return torch.where(slopes == 0, 0, slopes * scores)


def _slopes(scores: Tensor, times: Tensor) -> Tensor:
    """How many hinges above 0 each class takes part in: counted positive outside of the set, negative inside.

    A hinge of j and i is above 0 where x_i is above x_j - 1. So one sort of the scores outside, and of the scores
    inside less 1, brings the partners of each class to one side of it.
    """
    inside = times > 0
    key = torch.where(inside, scores - 1, scores)
    key = torch.where(key.isnan(), torch.where(inside, torch.inf, -torch.inf), key)
    ordered, order = key.sort(-1)
    times = times.gather(-1, order)
    outside = (times == 0).to(times.dtype)
    inside_below = times.cumsum(-1, dtype=times.dtype) - times
    outside_above = outside.sum(-1, keepdim=True) - outside.cumsum(-1, dtype=times.dtype)
    # equal keys are at the kink, so they don't count: each has the count of the first, or the last, of its equals
    step = ordered[..., 1:] != ordered[..., :-1]
    first, last = (torch.nn.functional.pad(step, ends, value=True) for ends in ((1, 0), (0, 1)))
    inside_below = torch.where(first, inside_below, 0).cummax(-1).values
    outside_above = torch.where(last, outside_above, 0).flip(-1).cummax(-1).values.flip(-1)
    slopes = torch.where(times > 0, -wide(times) * outside_above, wide(inside_below))
    return torch.empty_like(slopes).scatter(-1, order, slopes)
