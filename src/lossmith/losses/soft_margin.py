"""Soft margin: the logistic loss of a score and a sign."""

import torch
from torch import Tensor

from .. import checks
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..formula import Real, Reals, formula, sigmoid, softplus
from ..loops.pointwise import pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@formula
def soft_margin(prediction: Real, target: Real) -> Reals:
    opposed = -target * prediction
    slope = sigmoid(opposed)
    return softplus(opposed), -target * slope, -prediction * slope


@overridable
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Logistic loss of a score and a target of -1 or 1.

    .. math::
        \ell(x, y) = \log(1 + \exp(-y x)) \qquad \frac{\partial \ell}{\partial x} = -y\,\sigma(-y x)

    It never overflows, and keeps its relative accuracy on both sides. With targets of 0 and 1 use
    :func:`lossmith.functional.binary_cross_entropy_with_logits`, which is the same loss.

    Source: Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning" (2009), section 10.5.

    Args:
        input: scores :math:`x`, any shape, a floating dtype.
        target: :math:`y`, -1 or 1, of the same shape (others broadcast; a result larger than both warns); any dtype.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none``, ``mean`` (over the elements), ``sum`` or ``batchmean``; see :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Raises:
        RuntimeError: the shapes can't be broadcast together.
        ValueError: an unknown reduction.

    >>> import torch, lossmith
    >>> lossmith.functional.soft_margin_loss(torch.tensor([0.0, 100.0]), torch.tensor([1, -1]), reduction="none")
    tensor([  0.6931, 100.0000])
    """
    loss = "soft_margin_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    alike = checks.pair(loss, how.reduction, input, target, "input")
    return pointwise(loss, soft_margin, (input, target), (), how, like=input, alike=alike)


class SoftMarginLoss(Criterion, torch.nn.SoftMarginLoss):
    """:func:`lossmith.functional.soft_margin_loss` as a Module; a :class:`torch.nn.SoftMarginLoss` with more.

    Args:
        size_average, reduce, reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> lossmith.SoftMarginLoss()(torch.zeros(2), torch.tensor([-1, 1]))
    tensor(0.6931)
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        *,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
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
        return soft_margin_loss(input, target, **self._reduction(sample_weight, mask, normalizer, on_empty))


LOSS = Loss(
    function=soft_margin_loss,
    module=SoftMarginLoss,
    family="classification",
    formulas=(soft_margin,),
    facts=Facts(
        convex=True,
        lipschitz=lambda **_: 1.0,
        prediction=REALS,
        target="signs",
        minimiser=lambda target, **_: torch.inf * target,
        denominator="elements",
    ),
)
