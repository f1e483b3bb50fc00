"""The cosine of pairs of rows, for vectors of any length."""

import torch
from torch import Tensor

EPS = 1e-12
"""What torch adds to both squared lengths."""


def cosine(x: Tensor, y: Tensor) -> Tensor:
    """x . y / sqrt((x . x + eps) (y . y + eps)) along the last dimension; finite for vectors of 0 and huge ones."""
    x, eps_x = _scaled(x)
    y, eps_y = _scaled(y)
    return (x * y).sum(-1) / torch.sqrt(((x * x).sum(-1) + eps_x) * ((y * y).sum(-1) + eps_y))


def _scaled(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The rows divided by their largest entry, where that is above 1, and eps in the new unit.

    The scale cancels in the cosine, so it counts as a constant.
    """
    if rows.shape[-1] == 0:
        return rows, rows.new_full((), EPS)
    scale = torch.linalg.vector_norm(rows.detach(), torch.inf, -1)
    scale = torch.where((scale > 1) & scale.isfinite(), scale, 1)
    return rows / scale.unsqueeze(-1), EPS / scale / scale
