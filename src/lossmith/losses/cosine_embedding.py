"""Cosine embedding: the angle between two vectors is to be small for similar pairs and large for others."""

import torch
from torch import Tensor

from .. import checks
from ..backend import dtypes
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..formula import Real, Reals, formula, hinge, where
from ..loops.masking import hide_rows
from ..loops.pairwise import Numbers, Steps, cosine, pairwise
from ..overrides import overridable
from ..reduction import Normalizer, plan
from ..reduction import reduce as reduced


@formula
def cosine_embedding(cosine: Real, target: Real, margin: Real) -> Reals:
    excess = cosine - margin
    pushed = where(excess >= 0, -target, 0.0)
    return (
        where(target == 1.0, 1.0 - cosine, 0.0) + where(target == -1.0, hinge(excess), 0.0),
        where(target == 1.0, -target, where(target == -1.0, pushed, 0.0)),
        0.0,
    )


@overridable
def cosine_embedding_loss(
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
    r"""What the cosine of two vectors lacks to 1 for similar pairs, by how much it exceeds a margin for others.

    .. math::
        \ell(u, v, y) = \begin{cases} 1 - c & y = 1 \\ \max(0, c - m) & y = -1 \end{cases} \qquad
        c = \frac{u \cdot v}{\sqrt{(u \cdot u + 10^{-12})(v \cdot v + 10^{-12})}} \qquad
        \frac{\partial c}{\partial u} \approx \frac{1}{|u|} \Bigl( \frac{v}{|v|} - c\,\frac{u}{|u|} \Bigr)

    The loss is in cosines: 0 to 2 for similar pairs, 0 to 1 - m for others. Vectors of any length are in its domain: of
    0 (c is 0) and so long that their squares overflow. At the kink the slope is torch's, 1; another target gives 0.

    Source: torch.nn.CosineEmbeddingLoss; the pair loss of Bromley et al., "Signature Verification using a 'Siamese'
    Time Delay Neural Network" (1993), with a margin.

    Args:
        input1, input2: vectors :math:`u, v`, (N, D), or (D) for one pair; sizes of 1 broadcast. Floating, integer or
            bool.
        target: :math:`y`, 1 (similar) or -1, (N), or () for one pair; any dtype.
        margin: :math:`m`, a cosine from -1 to 1; 0 to 0.5 is usual.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none`` gives (N), or () for one pair; or ``mean``, ``sum``, ``batchmean``; see :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: per pair; see :doc:`/reductions`.

    Raises:
        RuntimeError: shapes that do not go together.
        ValueError: an unknown reduction.

    >>> import torch, lossmith
    >>> u, v = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 2.0], [3.0, 4.0]])
    >>> lossmith.functional.cosine_embedding_loss(u, v, torch.tensor([1, -1]), margin=0.5, reduction="none")
    tensor([1.0000, 0.1000])
    """
    loss = "cosine_embedding_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    unreduced = _shape(loss, how.reduction, input1, input2, target)
    checks.fits(loss, "mask", how.mask, unreduced, "the unreduced loss")
    compute, result = dtypes(input1, input2)

    def of(input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        first, second = (hide_rows(rows.to(compute), how.mask, 1.0) for rows in (input1, input2))
        values: Tensor = cosine_embedding.value(cosine(first, second), target.to(compute), margin)
        return values

    steps = Steps(of, lambda values: reduced(loss, values, how, result))
    return pairwise(
        loss, "cosine_embedding", (input1, input2), target, unreduced, how, result, steps, Numbers(float(margin))
    )


def _shape(loss: str, reduction: str, input1: Tensor, input2: Tensor, target: Tensor) -> torch.Size:
    """The shape of the unreduced loss, or torch's kinds of error in better words."""
    tensors = {"input1": input1, "input2": input2, "target": target}
    for name, value in tensors.items():
        checks.tensor(loss, name, value)
    if target.dim() > 1:
        raise RuntimeError(
            f"{loss}: 0D or 1D target tensor expected, one target for each pair of vectors, got "
            f"{checks.shapes(**tensors)}; write target.squeeze(-1), or flatten other dimensions into N"
        )
    if not input1.dim() == input2.dim() == target.dim() + 1:
        raise RuntimeError(
            f"{loss}: {target.dim()}D target tensor expects {target.dim() + 1}D input tensors: vectors (D) with a "
            f"target (), or (N, D) with (N), got {checks.shapes(**tensors)}"
        )
    if input1.is_complex() or input2.is_complex():
        raise NotImplementedError(f"{loss}: expected real vectors, got {checks.shapes(**tensors)}")
    checks.broadcastable(loss, input1=input1, input2=input2)
    if input1.shape == input2.shape and input1.shape[:-1] == target.shape:
        return target.shape
    checks.outer_broadcast(loss, reduction, input1=input1, input2=input2)
    pairs = input1.shape[0] if input1.dim() == 2 and input1.shape[0] != 1 else input2.shape[0]
    if target.dim() == 1 and pairs != target.shape[0] and 1 not in (pairs, target.shape[0]):
        raise RuntimeError(
            f"{loss}: expected one target for each pair of vectors, or one for all, got {checks.shapes(**tensors)}"
        )
    return target.shape if pairs == 1 or target.dim() == 0 else torch.Size([pairs])


class CosineEmbeddingLoss(Criterion, torch.nn.CosineEmbeddingLoss):
    """:func:`lossmith.functional.cosine_embedding_loss` as a Module; a :class:`torch.nn.CosineEmbeddingLoss` with more.

    Args:
        margin, size_average, reduce, reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> criterion = lossmith.CosineEmbeddingLoss(margin=0.2)
    >>> criterion(torch.tensor([3.0, 4.0]), torch.tensor([1.0, 0.0]), torch.tensor(-1))  # 0.6 - 0.2
    tensor(0.4000)
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
        return cosine_embedding_loss(
            input1, input2, target, self.margin, **self._reduction(sample_weight, mask, normalizer, on_empty)
        )


def _minimiser(input1: Tensor, input2: Tensor, target: Tensor, **_: object) -> tuple[Tensor, Tensor]:
    """Parallel for similar pairs, antiparallel for others."""
    first = torch.ones_like(input1)
    return first, torch.ones_like(input2) * target.unsqueeze(-1)


LOSS = Loss(
    function=cosine_embedding_loss,
    module=CosineEmbeddingLoss,
    family="embedding and ranking",
    formulas=(cosine_embedding,),
    facts=Facts(
        convex=False,
        lipschitz=lambda **_: 1e6,  # next to a vector of 0: 1 / sqrt(1e-12)
        prediction=REALS,
        target="signs",
        minimiser=_minimiser,
        denominator="rows",
    ),
)
