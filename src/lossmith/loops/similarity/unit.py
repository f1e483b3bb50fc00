"""Vectors scaled to length 1 for their products, whatever their length is."""

import torch
from torch import Tensor


def unit(vectors: Tensor) -> Tensor:
    """x / |x| along the last dimension, in the vectors' own dtype; a vector of zeros stays 0, with a gradient of 0.

    `loops.pairwise.unit` is for differences: of nearly parallel float32 vectors it keeps more, in twice the memory.
    """
    # the scale cancels, so it counts as a constant: with it no square overflows or vanishes
    scale = vectors.detach().abs().amax(-1, keepdim=True)
    vectors = vectors / torch.where((scale > 0) & scale.isfinite(), scale, 1)
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return torch.where(length == 0, 0, vectors / torch.where(length == 0, 1, length))
