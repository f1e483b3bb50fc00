"""The torch path of pointwise losses: the formula's value on whole tensors, autograd for every derivative."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ... import checks
from ...backend import dtypes
from ...formula import Formula
from ...reduction import Reduction, reduce
from .compiled import unreduced


def pointwise(
    loss: str,
    formula: Formula,
    operands: Sequence[Tensor | float],
    parameters: Sequence[float],
    how: Reduction,
    *,
    weight: Tensor | None = None,
    weight_in_mean: bool = False,
    invalid: Tensor | None = None,
    batch: int | None = None,
    like: Tensor | None = None,
    composite: bool = False,
    integers: bool = False,
) -> Tensor:
    """Runs a formula over broadcast operands and reduces.

    weight multiplies the unreduced loss; weight_in_mean says that torch's mean divides by its sum. Where invalid
    holds, the loss is NaN and its gradient 0. batch is what batchmean divides by, if not the result's first size.
    like, composite and integers are for the dtypes, see `backend.dtypes`.
    """
    compute, result = dtypes(*operands, like=like, composite=composite, integers=integers)
    operands = [o.to(compute) if isinstance(o, Tensor) else o for o in operands]
    if invalid is not None:
        operands = [torch.where(invalid, 1, o) if isinstance(o, Tensor) else o for o in operands]
    if how.mask is not None:
        shape = torch.broadcast_shapes(*(o.shape for o in operands if isinstance(o, Tensor)))  # type: ignore[no-untyped-call]
        checks.fits(loss, "mask", how.mask, shape, "the unreduced loss")
        # 1 is a point where every formula is finite, with finite derivatives
        operands = [torch.where(how.mask, o, 1) if isinstance(o, Tensor) else o for o in operands]
    values = unreduced(formula, *operands, *parameters)
    if invalid is not None:
        values = torch.where(invalid, torch.nan, values)
    if weight is not None:
        weight = weight.to(values.dtype)
        if how.mask is not None:
            weight = torch.where(how.mask, weight, 0)
        values = values * weight
    share = None
    if weight is not None and weight_in_mean:
        # as in torch, the sum is over the weight as it is given, also where the operands broadcast to a larger loss
        share = weight if weight.shape == values.shape else weight * (weight.numel() / max(1, values.numel()))
    return reduce(loss, values, how, result, denominator=share, weight=weight, batch=batch)
