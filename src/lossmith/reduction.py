"""From the unreduced loss to the result: the only place that knows what "mean" divides by.

`docs/reductions.md` has the whole table. With the unreduced loss l, the mask m, the sample weight s, and of each
element its count c (0 where ignored, else 1) and its share d in torch's denominator (a class weight, or c):

    none       m s l, and 0 where masked even if l is NaN
    sum        sum(m s l)
    mean       sum(m s l) / sum(m s d)
    batchmean  sum(m s l) / (sum(m s c) / elements in a row of the batch)
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import _reduction as legacy

from . import checks
from .backend import readable
from .native import core

Normalizer: TypeAlias = float | Tensor | Literal["count", "weight"] | None
"""What replaces the denominator of a mean: a number, a tensor of one element, or a way of counting."""


class Reduction(NamedTuple):
    """How a loss is to be reduced, checked."""

    reduction: str
    sample_weight: Tensor | None = None
    mask: Tensor | None = None
    normalizer: Normalizer = None
    on_empty: str = "nan"


_PLAIN = {reduction: Reduction(reduction) for reduction in ("none", "mean", "sum", "batchmean")}


def plan(
    loss: str,
    reduction: str,
    sample_weight: Tensor | None,
    mask: Tensor | None,
    normalizer: Normalizer,
    on_empty: str,
    size_average: bool | None = None,
    reduce: bool | None = None,
) -> Reduction:
    """Checks what a caller asked for; torch's legacy `size_average` and `reduce` mean what they mean there."""
    if size_average is None and reduce is None and sample_weight is None and mask is None and normalizer is None:
        plain = _PLAIN.get(reduction) if on_empty == "nan" and isinstance(reduction, str) else None
        if plain is not None:
            return plain
    if size_average is not None or reduce is not None:
        reduction = legacy.legacy_get_string(size_average, reduce)
    check_settings(loss, reduction, normalizer, on_empty)
    if mask is not None:
        checks.tensor(loss, "mask", mask)
        if mask.dtype != torch.bool:
            raise TypeError(
                f"{loss}: mask is {checks.describe(mask)}, expected bool (True counts); write mask.bool(), "
                f"or sample_weight= for weights"
            )
    if sample_weight is not None:
        checks.tensor(loss, "sample_weight", sample_weight)
        if sample_weight.is_complex():
            raise TypeError(f"{loss}: sample_weight is {checks.describe(sample_weight)}, expected real numbers")
    return Reduction(reduction, sample_weight, mask, normalizer, on_empty)


def check_settings(loss: str, reduction: str, normalizer: Normalizer, on_empty: str) -> None:
    """Raises ValueError for a reduction, normalizer or on_empty that does not exist or does not go together."""
    # the choices stand here, not in globals: a compiled graph would guard on each
    if reduction not in ("none", "mean", "sum", "batchmean"):
        raise ValueError(
            f"{loss}: {reduction!r} is not a valid value for reduction; write one of 'none', 'mean', 'sum', 'batchmean'"
        )
    if on_empty not in ("nan", "zero", "error"):
        raise ValueError(f"{loss}: {on_empty!r} is not a valid value for on_empty; write one of 'nan', 'zero', 'error'")
    if normalizer is None:
        return
    if reduction in ("none", "sum"):
        raise ValueError(
            f"{loss}: normalizer replaces the denominator of a mean, and reduction={reduction!r} has none; "
            f"write reduction='mean', or leave normalizer out"
        )
    if isinstance(normalizer, Tensor):
        if normalizer.numel() != 1:
            raise ValueError(f"{loss}: normalizer is {checks.describe(normalizer)}, expected a tensor of one element")
    elif isinstance(normalizer, str):
        if normalizer not in ("count", "weight"):
            raise ValueError(f"{loss}: normalizer is {normalizer!r}, expected a number, a tensor, 'count' or 'weight'")
    elif isinstance(normalizer, bool) or not 0 <= normalizer < math.inf:
        raise ValueError(f"{loss}: normalizer is {normalizer!r}, expected a finite number of 0 or more")


def reduce(
    loss: str,
    values: Tensor,
    how: Reduction,
    dtype: torch.dtype,
    *,
    counted: Tensor | None = None,
    denominator: Tensor | None = None,
    weight: Tensor | None = None,
    batch: int | None = None,
) -> Tensor:
    """Reduces the unreduced loss `values`, which has torch's own weights inside, and rounds once to `dtype`.

    counted: False where an element is left out as if masked (ignore_index). denominator: each element's share in
    torch's denominator of the mean, if that is not its count; what is not counted has no share. weight: what
    normalizer="weight" sums, if not the share. batch: the size that batchmean divides by, if not that of `values`.
    """
    if dtype.is_complex:
        dtype = values.dtype  # of complex numbers too, a loss is real
    mask, scale = how.mask, how.sample_weight
    checks.fits(loss, "mask", mask, values.shape, "the unreduced loss")
    checks.fits(loss, "sample_weight", scale, values.shape, "the unreduced loss")
    if counted is not None:
        mask = counted if mask is None else mask & counted
    if mask is not None:
        values = torch.where(mask, values, 0)
    if scale is not None:
        scale = scale.to(values.dtype)
        if mask is not None:
            scale = torch.where(mask, scale, 0)
        values = values * scale
    if how.reduction == "none":
        return values.to(dtype)
    total = values.sum()
    if how.reduction == "sum":
        return total.to(dtype)

    divisor = denominator_of(
        how,
        values.shape,
        weighed=mask is not None or scale is not None,
        count=lambda: _count(values, mask, scale, None),
        share=lambda: _count(values, mask, scale, denominator),
        weight=lambda: _count(values, mask, scale, denominator if weight is None else weight),
        batch=batch,
    )
    return _divide(loss, total, divisor, how.on_empty).to(dtype)


def wants_gradient(how: Reduction, *weights: Tensor | None) -> bool:
    """Whether a weight or the normaliser is to be differentiated, which is left to torch's operations."""
    if not torch.is_grad_enabled():
        return False
    given = (how.sample_weight, how.normalizer, *weights)
    return any([isinstance(t, Tensor) and t.requires_grad for t in given])


def denominator_of(
    how: Reduction,
    shape: Sequence[int],
    *,
    weighed: bool,
    count: Callable[[], float | Tensor],
    share: Callable[[], float | Tensor],
    weight: Callable[[], float | Tensor],
    batch: int | None = None,
) -> float | Tensor:
    """What a mean divides by, out of the sums of m s c, of m s d and of what normalizer="weight" sums.

    shape: that of the unreduced loss. weighed: whether there is any m, s or c.
    """
    if isinstance(how.normalizer, str):
        return count() if how.normalizer == "count" else weight()
    if how.normalizer is not None:
        return how.normalizer.reshape(()) if isinstance(how.normalizer, Tensor) else how.normalizer
    if how.reduction == "mean":
        return share()
    if not weighed:
        return batch if batch is not None else shape[0] if len(shape) > 0 else 1
    return count() / (math.prod(shape[1:]) or math.nan)


def divisor_of(
    how: Reduction,
    shape: Sequence[int],
    *,
    wide: bool,
    weight: Tensor | None = None,
    weight_in_mean: bool = False,
    batch: int | None = None,
) -> float:
    """The same as a number, before there are any losses, for a kernel; weights and mask must be plain CPU tensors.

    wide: whether the products of weights are taken in float64, else in float32 (they are summed in float64). weight:
    torch's elementwise weight; weight_in_mean: whether it is in torch's denominator.
    """
    elements = math.prod(shape)

    def total(*factors: Tensor | None) -> float:
        given = tuple([f for f in factors if f is not None])
        parts = given if how.mask is None else (*given, how.mask)
        if not parts:
            return float(elements)
        covered = math.prod(torch.broadcast_shapes(*(t.shape for t in parts)))  # type: ignore[no-untyped-call]
        # what is repeated is summed once
        return core.weigh(given, how.mask, wide, torch.get_num_threads()) * (elements / covered) if covered else 0.0

    def share() -> float:
        if weight is None or not weight_in_mean:
            return total(how.sample_weight)
        # as in torch, the sum is over the weight as it is given, also where the operands broadcast to a larger loss
        return total(how.sample_weight, weight) * (weight.numel() / max(1, elements))

    return float(
        denominator_of(
            how,
            shape,
            weighed=how.mask is not None or how.sample_weight is not None,
            count=lambda: total(how.sample_weight),
            share=share,
            weight=lambda: total(how.sample_weight, weight),
            batch=batch,
        )
    )


def _count(values: Tensor, mask: Tensor | None, scale: Tensor | None, share: Tensor | None) -> float | Tensor:
    """sum(m s d) over all elements of the unreduced loss."""
    if mask is None and scale is None and share is None:
        return values.numel()
    parts = [part for part in (scale, share) if part is not None]
    if mask is not None:
        parts = [torch.where(mask, part, 0) for part in parts] or [mask]
    product = parts[0] if len(parts) == 1 else parts[0] * parts[1]
    return torch.broadcast_to(product, values.shape).sum()


def _divide(loss: str, total: Tensor, divisor: float | Tensor, on_empty: str) -> Tensor:
    if on_empty == "nan":
        return total / divisor
    if not isinstance(divisor, Tensor):
        if divisor != 0:
            return total / divisor
        divisor = torch.zeros((), dtype=total.dtype, device=total.device)
    empty = divisor == 0
    if on_empty == "zero":
        return torch.where(empty, 0.0, total / torch.where(empty, 1, divisor))
    if readable(divisor) and bool(empty):
        raise ValueError(
            f"{loss}: nothing counts towards the mean (every element is ignored or masked, or the weights sum to 0); "
            f"skip this batch, or write on_empty='zero'"
        )
    return total / divisor
