"""The torch path of pointwise losses: the formula's value on whole tensors, autograd for every derivative."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ... import checks
from ...backend import dtypes
from ...formula import Formula
from ...reduction import Reduction, reduce
from .compiled import unreduced

Bounds = tuple[float, float, bool] | None


class Domain(NamedTuple):
    """Where operands must lie. Outside, eager CPU calls raise; elsewhere the loss is NaN and its gradient 0."""

    bounds: tuple[Bounds, ...]
    """For each operand None or the least, the greatest number, and whether NaN is allowed: what a kernel looks for."""
    outside: Callable[[Sequence[Any]], Tensor | None]
    """Given the operands, raises the error, or returns where one lies outside (None: nowhere)."""


def pointwise(
    loss: str,
    formula: Formula,
    operands: Sequence[Tensor | float],
    parameters: Sequence[float],
    how: Reduction,
    *,
    weight: Tensor | None = None,
    weight_in_mean: bool = False,
    domain: Domain | None = None,
    batch: int | None = None,
    like: Tensor | None = None,
    composite: bool = False,
    integers: bool = False,
) -> Tensor:
    """Runs a formula over broadcast operands and reduces.

    weight multiplies the unreduced loss; weight_in_mean says that torch's mean divides by its sum. Where an operand is
    outside of its domain, the loss is NaN and its gradient 0. batch is what batchmean divides by, if not the result's
    first size. like, composite and integers are for the dtypes, see `backend.dtypes`.
    """
    compute, result = dtypes(*operands, like=like, composite=composite, integers=integers)
    values = unreduced_losses(loss, formula, operands, parameters, how.mask, domain, compute)
    return finish(loss, values, how, result, weight, weight_in_mean, batch)


def unreduced_losses(
    loss: str,
    formula: Formula,
    operands: Sequence[Tensor | float],
    parameters: Sequence[float],
    mask: Tensor | None,
    domain: Domain | None,
    compute: torch.dtype,
) -> Tensor:
    """The formula's value for each element, in the dtype that it is computed in."""
    invalid = None if domain is None else domain.outside(operands)
    operands = [o.to(compute) if isinstance(o, Tensor) else o for o in operands]
    if invalid is not None:
        operands = [torch.where(invalid, 1, o) if isinstance(o, Tensor) else o for o in operands]
    if mask is not None:
        shape = torch.broadcast_shapes(*(o.shape for o in operands if isinstance(o, Tensor)))  # type: ignore[no-untyped-call]
        checks.fits(loss, "mask", mask, shape, "the unreduced loss")
        # 1 is a point where every formula is finite, with finite derivatives
        operands = [torch.where(mask, o, 1) if isinstance(o, Tensor) else o for o in operands]
    values = unreduced(formula, *operands, *parameters)
    return values if invalid is None else torch.where(invalid, torch.nan, values)


def finish(
    loss: str,
    values: Tensor,
    how: Reduction,
    result: torch.dtype,
    weight: Tensor | None,
    weight_in_mean: bool,
    batch: int | None,
) -> Tensor:
    """Weighs and reduces unreduced losses."""
    share = None
    if weight is not None:
        weight, given = weight.to(values.dtype), weight
        if how.mask is not None:
            weight = torch.where(how.mask, weight, 0)
        values = values * weight
        if weight_in_mean:
            # as in torch, the sum is over the weight as it is given, also where the operands broadcast to a larger loss
            share = weight if given.shape == values.shape else weight * (given.numel() / max(1, values.numel()))
    return reduce(loss, values, how, result, denominator=share, weight=weight, batch=batch)
