"""The p-norm distance of pairs of rows, whose numbers may be so large or small that their powers are not."""

import math

import torch
from torch import Tensor

from ...backend import dtypes, wide


def full_precision(vectors: Tensor) -> Tensor:
    """Half precision as float32, once for all distances that a vector takes part in: its gradient is rounded once."""
    return vectors.float() if vectors.dtype in (torch.float16, torch.bfloat16) else vectors


def distance(x: Tensor, y: Tensor, p: float = 2.0, eps: float = 1e-6) -> Tensor:
    """The p-norm of x - y + eps along the last dimension, as torch.pairwise_distance.

    Where the distance is 0 its gradient is 0, for every p. Integers are subtracted as integers, as torch does.
    """
    compute, _ = dtypes(x, y, integers=True)
    x, y = x.to(compute), y.to(compute)
    if p == 2 and compute in (torch.float32, torch.complex64):
        # the squares are in the range of float64: no need to scale, and one pass less for the compiler
        x, y = wide(x), wide(y)
    difference = x - y + eps
    if p == 1 or difference.shape[-1:] == (0,):
        return difference.abs().sum(-1)
    if p == math.inf:
        return difference.abs().amax(-1)
    if difference.dtype in (torch.float64, torch.complex128) and compute != difference.dtype:
        return _norm(difference, p)
    # the norm of a multiple is the multiple of the norm, so the scale counts as a constant
    scale = torch.linalg.vector_norm(difference.detach(), math.inf, -1)
    scale = torch.where((scale > 0) & scale.isfinite(), scale, 1)
    return scale * _norm(difference / scale.unsqueeze(-1), p)


def _norm(rows: Tensor, p: float) -> Tensor:
    """The p-norm of rows whose powers are in range."""
    powers = _squares(rows) if p == 2 else _powers(rows.abs(), p)
    total = powers.sum(-1)
    if p < 1:
        # the root may overflow; the difference of two infinite distances would be NaN
        total = total.clamp(max=torch.finfo(total.dtype).max ** (p / 2))
    apart = total != 0
    safe = torch.where(apart, total, 1)
    return torch.where(apart, safe.sqrt() if p == 2 else safe ** (1 / p), 0)


def _squares(rows: Tensor) -> Tensor:
    return rows.real * rows.real + rows.imag * rows.imag if rows.is_complex() else rows * rows


def _powers(sizes: Tensor, p: float) -> Tensor:
    """sizes ** p, without gradient where that would be without bound: at 0, and for p below 1 also next to 0."""
    near = sizes <= (0 if p >= 1 else 1e-12)
    powers = torch.where(near, 1, sizes) ** p
    return torch.where(near, 0 if p >= 1 else sizes.detach() ** p, powers)


class PairwiseDistance(torch.nn.PairwiseDistance):
    """:func:`distance` as a Module."""

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        result = distance(x1, x2, self.norm, self.eps)
        return result.unsqueeze(-1) if self.keepdim else result
