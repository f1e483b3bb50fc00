"""Multi-label cross-entropy: a binary cross-entropy for each class, from logits, averaged over the classes."""

import torch
from torch import Tensor

from .. import checks
from ..backend import dtypes
from ..criterion import Criterion
from ..facts import REALS, UNIT, Facts, Loss
from ..loops.pointwise import pointwise_rows
from ..overrides import overridable
from ..reduction import Normalizer, plan
from .bce_with_logits import bce_with_logits


@overridable
def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Binary cross-entropy of each class between a target and :math:`\sigma(x)`, averaged over the classes.

    .. math::
        \ell(x, y) = -\frac1C \sum_{c} w_c\,[\,y_c \log \sigma(x_c) + (1 - y_c) \log(1 - \sigma(x_c))\,] \qquad
        \frac{\partial \ell}{\partial x_c} = \frac{w_c}{C}\,(\sigma(x_c) - y_c)

    :func:`binary_cross_entropy_with_logits` is the same for each element, before the average over the classes. A right
    answer at an infinite logit costs 0.

    Source: Goodfellow, Bengio and Courville, "Deep Learning" (2016), section 6.2.2.2, for each class.

    Args:
        input: logits :math:`x`, (..., C); a floating dtype; no sigmoid before it.
        target: :math:`y` from 0 to 1, of the same shape (others broadcast; a result larger than both warns). A row of
            zeros and ones, not of labels padded with -1.
        weight: multiplies the terms: (C), or another shape that broadcasts. It does not enter the denominator.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none`` gives the input's shape less its last dimension; or ``mean``, ``sum``, ``batchmean``; see
            :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: per row; see :doc:`/reductions`.

    Raises:
        RuntimeError: the shapes can't be broadcast together.
        IndexError: input has no dimension.
        ValueError: an unknown reduction.

    >>> import torch, lossmith
    >>> x, y = torch.tensor([[0.5, -1.0, 2.0]]), torch.tensor([[1.0, 0.0, 1.0]])
    >>> each = lossmith.functional.binary_cross_entropy_with_logits(x, y, reduction="none")
    >>> torch.allclose(lossmith.functional.multilabel_soft_margin_loss(x, y), each.mean())
    True
    """
    loss = "multilabel_soft_margin_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    shape = _shape(loss, how.reduction, input, target, weight)
    checks.fits(loss, "mask", how.mask, shape, "the unreduced loss")
    return pointwise_rows(
        loss,
        bce_with_logits,
        (input, target, 1.0),
        (),
        how,
        dtypes(input, target, weight, composite=True),
        shape,
        weight,
    )


def _shape(loss: str, reduction: str, input: Tensor, target: Tensor, weight: Tensor | None) -> torch.Size:
    """The shape of the unreduced loss, or torch's kinds of error in better words."""
    checks.tensor(loss, "input", input)
    checks.tensor(loss, "target", target)
    if input.dim() == 0:
        raise IndexError(f"{loss}: input is {checks.describe(input)}, expected (..., C); write input.reshape(1)")
    if not input.is_floating_point():
        raise NotImplementedError(
            f"{loss}: input is {checks.describe(input)}, expected logits of a floating dtype; write input.float()"
        )
    weights = {} if weight is None else {"weight": weight}
    checks.broadcastable(loss, input=input, target=target, **weights)
    checks.outer_broadcast(loss, reduction, input=input, target=target)
    shapes = [t.shape for t in (input, target, weight) if t is not None]
    result: torch.Size = torch.broadcast_shapes(*shapes)[:-1]  # type: ignore[no-untyped-call]
    return result


class MultiLabelSoftMarginLoss(Criterion, torch.nn.MultiLabelSoftMarginLoss):
    """:func:`lossmith.functional.multilabel_soft_margin_loss` as a Module.

    Args:
        weight, size_average, reduce, reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> lossmith.MultiLabelSoftMarginLoss()(torch.zeros(1, 3), torch.tensor([[1, 0, 1]]))  # log 2
    tensor(0.6931)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        *,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
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
        return multilabel_soft_margin_loss(
            input, target, self.weight, **self._reduction(sample_weight, mask, normalizer, on_empty)
        )


LOSS = Loss(
    function=multilabel_soft_margin_loss,
    module=MultiLabelSoftMarginLoss,
    family="classification",
    formulas=(bce_with_logits,),
    facts=Facts(
        convex=True,
        lipschitz=lambda input, **_: float(input.shape[-1] ** -0.5),
        prediction=REALS,
        target=UNIT,
        minimiser=lambda target, **_: torch.logit(target),
        denominator="rows",
    ),
)
