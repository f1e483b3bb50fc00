"""Vectors scaled to length 1, whatever their length is."""

import torch
from torch import Tensor


def unit(vectors: Tensor) -> Tensor:
    """x / |x| along the last dimension; a vector of zeros stays as it is."""
    # the scale cancels, so it counts as a constant: with it no square overflows or vanishes
    scale = vectors.detach().abs().amax(-1, keepdim=True)
    vectors = vectors / torch.where((scale > 0) & scale.isfinite(), scale, 1)
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / torch.where(length == 0, 1, length)
