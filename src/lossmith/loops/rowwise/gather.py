"""One entry of each row, along any dimension, without moving it."""

import torch
from torch import Tensor

from .labels import ClassLabels


def negative_pick(scores: Tensor, labels: ClassLabels, dim: int, weight: Tensor | None, dtype: torch.dtype) -> Tensor:
    """-w_y x_y of each row, computed in `dtype`. A row that is not used is 0 and gets gradient 0, whatever it holds."""
    if scores.shape[dim] == 0:
        return labels.spoil(scores.to(dtype).sum(dim))
    # gathered before it is converted: only the picked entries are touched
    picked = labels.blank(scores.gather(dim, labels.label.unsqueeze(dim)).squeeze(dim).to(dtype))
    # the power of 1 is in the graph of the gradient, so that a second derivative is 0, as torch's, and not an error
    values = -(picked**1)
    if weight is not None:
        values = values * labels.pick(weight)
    return labels.spoil(values)
