"""Mean squared error: the squared error, with a gradient that grows in proportion to it."""

import math

import torch
from torch import Tensor

from .. import checks
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..formula import Real, Reals, formula
from ..loops.pointwise import pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@formula
def mse(prediction: Real, target: Real) -> Reals:
    error = prediction - target
    slope = 2.0 * error
    return error * error, slope, -slope


@overridable
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Squared error; its minimiser is the mean of the targets, and a single outlier can rule it.

    .. math::
        \ell(x, y) = w\,(x - y)^2 \qquad \frac{\partial \ell}{\partial x} = 2 w\,(x - y)

    It is the negative log-likelihood of Gaussian noise of constant variance, up to scale and a constant. An error
    beyond about 1.8e19 overflows in float32, to infinity and not to NaN, while its gradient stays finite: standardise
    the targets.

    Source: Gauss, "Theoria combinationis observationum erroribus minimis obnoxiae" (1823).

    Args:
        input: predictions :math:`x`, any shape, in the unit of the target; a floating dtype.
        target: :math:`y`, of the same shape (others broadcast; a result larger than both warns); any real dtype.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`. The result is in the target's
            unit squared.
        weight: torch's weights :math:`w`, of the shape of ``input``. They multiply the loss, and the mean divides by
            their sum (that of huber_loss does not); ``sample_weight`` follows one rule for every loss.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Raises:
        RuntimeError: the shapes can't be broadcast together.
        ValueError: weight has another shape than input; an unknown reduction.
        NotImplementedError: complex numbers, or integers for both.

    >>> import torch, lossmith
    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> loss = lossmith.functional.mse_loss(x, torch.tensor([0.0, 5.0]))  # (1 + 9) / 2
    >>> loss.backward()
    >>> loss.item(), x.grad
    (5.0, tensor([ 1., -3.]))
    """
    loss = "mse_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    checks.weight_of_input(loss, weight, input)
    alike = checks.pair(loss, how.reduction, input, target, "either")
    if weight is not None or not alike:
        alike = 0
        input, target = checks.broadcast(input, target, weight)
    return pointwise(loss, mse, (input, target), (), how, weight=weight, weight_in_mean=True, alike=alike)


class MSELoss(Criterion, torch.nn.MSELoss):
    """:func:`lossmith.functional.mse_loss` as a Module; a :class:`torch.nn.MSELoss` with weights and masks.

    Args:
        size_average, reduce, reduction: as the function's.
        weight, normalizer, on_empty: defaults for each call, as the function's; a call may give its own.

    >>> import torch, lossmith
    >>> lossmith.MSELoss()(torch.tensor([3.0, 1.0]), torch.tensor([0.0, 0.0]), mask=torch.tensor([True, False]))
    tensor(9.)
    """

    weight: Tensor | None

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        *,
        weight: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self._settle(normalizer, on_empty)

    def forward(
        self,
        input: Tensor,
        target: Tensor,
        *,
        weight: Tensor | None = None,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str | None = None,
    ) -> Tensor:
        return mse_loss(
            input,
            target,
            weight=self.weight if weight is None else weight,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


LOSS = Loss(
    function=mse_loss,
    module=MSELoss,
    family="regression",
    formulas=(mse,),
    facts=Facts(
        convex=True,
        lipschitz=lambda **_: math.inf,
        prediction=REALS,
        target=REALS,
        minimiser=lambda target, **_: target,
        denominator="weights",
    ),
)
