"""Hinge embedding: a distance that is to be small for similar pairs and beyond a margin for others."""

import torch
from torch import Tensor

from .. import checks
from ..criterion import Criterion
from ..facts import NOT_NEGATIVE, Facts, Loss
from ..formula import Real, Reals, formula, hinge, where
from ..loops.pointwise import pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@formula
def hinge_embedding(distance: Real, target: Real, margin: Real) -> Reals:
    shortfall = margin - distance
    # the slopes of both parts: 0 where the target switches the part off, else 1 (torch has both on at other targets)
    pulled = where(target == -1.0, 1.0 + target, 1.0)
    pushed = where(target == 1.0, 1.0 - target, 1.0)
    return (
        where(target != -1.0, distance, 0.0) + where(target != 1.0, hinge(shortfall), 0.0),
        pulled - where(shortfall >= 0, pushed, 0.0),
        0.0,
    )


@overridable
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""A distance itself for similar pairs, what it lacks to a margin for dissimilar ones.

    .. math::
        \ell(x, y) = \begin{cases} x & y = 1 \\ \max(0, m - x) & y = -1 \end{cases}
        \qquad \frac{\partial \ell}{\partial x} = \begin{cases} 1 & y = 1 \\ -[m - x \ge 0] & y = -1 \end{cases}

    At the kink the slope is torch's, -1. For a target that is neither, torch adds both parts, and so does this.

    Source: the hinge form of Hadsell, Chopra and LeCun, "Dimensionality Reduction by Learning an Invariant Mapping"
    (2006), without its square; torch.nn.HingeEmbeddingLoss.

    Args:
        input: distances :math:`x` (such as the L1 distance of two embeddings), any shape, a floating dtype.
        target: :math:`y`, 1 (similar) or -1, of the same shape (others broadcast; a result larger than both warns).
        margin: :math:`m`, how far apart dissimilar pairs are to be, in the unit of the distance.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Raises:
        RuntimeError: the shapes can't be broadcast together.
        ValueError: an unknown reduction.

    >>> import torch, lossmith
    >>> x, y = torch.tensor([0.3, 0.3, 2.0]), torch.tensor([1, -1, -1])
    >>> lossmith.functional.hinge_embedding_loss(x, y, reduction="none")
    tensor([0.3000, 0.7000, 0.0000])
    """
    loss = "hinge_embedding_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    alike = checks.pair(loss, how.reduction, input, target, "")
    return pointwise(loss, hinge_embedding, (input, target), (margin,), how, like=input, alike=alike)


class HingeEmbeddingLoss(Criterion, torch.nn.HingeEmbeddingLoss):
    """:func:`lossmith.functional.hinge_embedding_loss` as a Module; a :class:`torch.nn.HingeEmbeddingLoss` with more.

    Args:
        margin, size_average, reduce, reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> lossmith.HingeEmbeddingLoss(margin=2.0)(torch.tensor([0.5]), torch.tensor([-1]))
    tensor(1.5000)
    """

    def __init__(
        self,
        margin: float = 1.0,
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
        input: Tensor,
        target: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str | None = None,
    ) -> Tensor:
        return hinge_embedding_loss(
            input, target, self.margin, **self._reduction(sample_weight, mask, normalizer, on_empty)
        )


LOSS = Loss(
    function=hinge_embedding_loss,
    module=HingeEmbeddingLoss,
    family="embedding and ranking",
    formulas=(hinge_embedding,),
    facts=Facts(
        convex=True,
        lipschitz=lambda **_: 1.0,
        prediction=NOT_NEGATIVE,
        target="signs",
        minimiser=lambda target, margin=1.0, **_: torch.where(target == 1, 0.0, max(margin, 0.0)).to(target.dtype),
        denominator="elements",
    ),
)
