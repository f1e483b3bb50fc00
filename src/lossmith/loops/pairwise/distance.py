"""The p-norm distance of pairs of rows, and rows of length 1, for numbers whose powers are out of any range."""

import math

import torch
from torch import Tensor

from ...backend import dtypes, wide


def full_precision(vectors: Tensor) -> Tensor:
    """Half precision as float32, once for all distances that a vector takes part in: its gradient is rounded once."""
    return vectors.float() if vectors.dtype in (torch.float16, torch.bfloat16) else vectors


def unit(rows: Tensor) -> Tensor:
    """The rows scaled to the length of 1, those of float32 in float64. A row of 0 stays 0, with a gradient of 0."""
    compute, _ = dtypes(rows)
    rows = rows.to(compute)
    wider = wide(rows)
    if wider.dtype == rows.dtype and rows.shape[-1] != 0:
        # a multiple has the same direction, so the scale counts as a constant
        wider = rows / _greatest(rows).unsqueeze(-1)
    square = _squares(wider).sum(-1, keepdim=True)
    apart = square != 0
    return torch.where(apart, wider / torch.where(apart, square, 1).sqrt(), 0)


def distance(x: Tensor, y: Tensor, p: float = 2.0, eps: float = 1e-6, squared: bool = False) -> Tensor:
    """The p-norm of x - y + eps along the last dimension, as torch.pairwise_distance, or its square.

    Where the distance is 0 its gradient is 0, for every p. Integers are subtracted as integers, as torch does.
    """
    compute, _ = dtypes(x, y, integers=True)
    x, y = x.to(compute), y.to(compute)
    if p == 2 and compute in (torch.float32, torch.complex64):
        # the squares are in the range of float64: no need to scale, and one pass less for the compiler
        x, y = wide(x), wide(y)
    difference = x - y + eps
    if squared and p == 2:
        return _squares(difference).sum(-1)
    scaled = difference.dtype not in (torch.float64, torch.complex128) or compute == difference.dtype
    size = _size(difference, p, scaled)
    return size * size if squared else size


def _size(difference: Tensor, p: float, scaled: bool) -> Tensor:
    """The p-norm. scaled: whether powers may be out of range."""
    if p == 1 or difference.shape[-1:] == (0,):
        return difference.abs().sum(-1)
    if p == math.inf:
        return difference.abs().amax(-1)
    if not scaled:
        return _norm(difference, p)
    # the norm of a multiple is the multiple of the norm, so the scale counts as a constant
    scale = _greatest(difference)
    return scale * _norm(difference / scale.unsqueeze(-1), p)


def _greatest(rows: Tensor) -> Tensor:
    """The greatest absolute number of each row, as a constant; 1 where that is 0 or infinite."""
    greatest: Tensor = torch.linalg.vector_norm(rows.detach(), math.inf, -1)
    return torch.where((greatest > 0) & greatest.isfinite(), greatest, 1)


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
