"""What a mask leaves out of losses over rows: of vectors, or of whatever one unreduced loss is made from."""

import torch
from torch import Tensor


def hide_rows(rows: Tensor, mask: Tensor | None, instead: float, dims: int = 1, dim: int | None = None) -> Tensor:
    """The rows with a constant where the mask is False, so that nothing there enters value or gradient.

    dims: how many last dimensions make a row, which the mask lacks. dim: the one that it lacks, if it is not the last.
    """
    if mask is None:
        return rows
    if mask.dim():
        if dim is None:
            mask = mask.reshape(mask.shape + (1,) * dims)
        elif dim - rows.dim() >= -1 - mask.dim():  # a mask of fewer dimensions lacks it by itself
            mask = mask.unsqueeze(dim - rows.dim())
    return torch.where(mask, rows, rows.new_full((), instead))
