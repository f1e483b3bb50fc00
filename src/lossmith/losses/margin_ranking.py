"""Margin ranking: of two scores, the right one is to be greater by a margin."""

import torch
from torch import Tensor

from .. import checks
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..formula import Real, Reals, formula, hinge, step
from ..loops.pointwise import pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@formula
def margin_ranking(first: Real, second: Real, target: Real, margin: Real) -> Reals:
    lead = first - second
    shortfall = -target * lead + margin
    reached = step(shortfall)
    slope = target * reached
    return hinge(shortfall), -slope, slope, -lead * reached


@overridable
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Of two scores, the first is to be greater (y = 1) or smaller (y = -1) than the second, by a margin.

    .. math::
        \ell(x_1, x_2, y) = \max(0, -y\,(x_1 - x_2) + m) \qquad
        \frac{\partial \ell}{\partial x_1} = -y\,[\,m - y\,(x_1 - x_2) \ge 0\,] = -\frac{\partial \ell}{\partial x_2}

    Source: Herbrich, Graepel and Obermayer, "Large Margin Rank Boundaries for Ordinal Regression" (2000).

    Args:
        input1, input2: scores, of the same shape; floating, or integer (then with the arithmetic of
            integers, as torch has it: unsigned ones wrap).
        target: :math:`y`, 1 or -1; as many dimensions as the scores, sizes of 1 broadcast.
        margin: :math:`m`, in the unit of the scores.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Raises:
        RuntimeError: different numbers of dimensions; shapes that can't be broadcast together.
        ValueError: an unknown reduction.

    >>> import torch, lossmith
    >>> better, worse = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 0.2])
    >>> lossmith.functional.margin_ranking_loss(better, worse, torch.ones(2), margin=0.5, reduction="none")
    tensor([0.0000, 0.7000])
    """
    loss = "margin_ranking_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    alike = checks.alike(input1, input2, target)
    if not alike:
        checks.real(loss, input1=input1, input2=input2, target=target)
        if input1.dim() != input2.dim() or input1.dim() != target.dim():
            raise RuntimeError(
                f"{loss}: All input tensors should have the same number of dimensions, got "
                f"{checks.shapes(input1=input1, input2=input2, target=target)}; write target.unsqueeze(-1) for one "
                f"target a row"
            )
        checks.broadcastable(loss, input1=input1, input2=input2, target=target)
        checks.outer_broadcast(loss, how.reduction, input1=input1, input2=input2, target=target)
    return pointwise(loss, margin_ranking, (input1, input2, target), (float(margin),), how, integers=True, alike=alike)


class MarginRankingLoss(Criterion, torch.nn.MarginRankingLoss):
    """:func:`lossmith.functional.margin_ranking_loss` as a Module; a :class:`torch.nn.MarginRankingLoss` with more.

    Args:
        margin, size_average, reduce, reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> lossmith.MarginRankingLoss(margin=0.1)(torch.tensor([0.2]), torch.tensor([0.4]), torch.tensor([1.0]))
    tensor(0.3000)
    """

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        *,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__(margin, size_average, reduce, reduction)
        self._settle(normalizer, on_empty)

    def forward(
        self,
        input1: Tensor,
        input2: Tensor,
        target: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str | None = None,
    ) -> Tensor:
        return margin_ranking_loss(
            input1, input2, target, self.margin, **self._reduction(sample_weight, mask, normalizer, on_empty)
        )


LOSS = Loss(
    function=margin_ranking_loss,
    module=MarginRankingLoss,
    family="embedding and ranking",
    formulas=(margin_ranking,),
    facts=Facts(
        convex=True,
        lipschitz=lambda **_: 2**0.5,
        prediction=REALS,
        target="signs",
        minimiser=lambda target, margin=0.0, **_: (margin * target, torch.zeros_like(target)),
        denominator="elements",
    ),
)
