"""The cosine of pairs of rows, for vectors of any length."""

import torch
from torch import Tensor

from ...backend import wide

EPS = 1e-12
"""What torch adds to both squared lengths."""


def cosine(x: Tensor, y: Tensor) -> Tensor:
    """x . y / sqrt((x . x + eps) (y . y + eps)) along the last dimension; finite for vectors of 0 and huge ones."""
    x, eps_x = _in_range(x)
    y, eps_y = _in_range(y)
    return (x * y).sum(-1) / torch.sqrt(((x * x).sum(-1) + eps_x) * ((y * y).sum(-1) + eps_y))


def _in_range(rows: Tensor) -> tuple[Tensor, Tensor | float]:
    """The rows so that their squares do not overflow, and eps in their unit: in float64, or scaled if they are that.

    A scale cancels in the cosine, so it counts as a constant. Float64 is one pass less for the compiler.
    """
    wider = wide(rows)
    if wider.dtype != rows.dtype or rows.shape[-1] == 0:
        return wider, EPS
    scale = torch.linalg.vector_norm(rows.detach(), torch.inf, -1)
    scale = torch.where((scale > 1) & scale.isfinite(), scale, 1)
    return rows / scale.unsqueeze(-1), EPS / scale / scale
