"""L1 loss: the absolute error."""

import torch
from torch import Tensor

from .. import checks
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..formula import Real, Reals, formula, sign
from ..loops.pointwise import pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@formula
def l1(prediction: Real, target: Real) -> Reals:
    error = prediction - target
    direction = sign(error)
    return abs(error), direction, -direction


@overridable
def l1_loss(
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
    r"""Absolute error; its minimiser is the median of the targets, so a few outliers move it little.

    .. math::
        \ell(x, y) = w\,|x - y| \qquad \frac{\partial \ell}{\partial x} = w\,\mathrm{sign}(x - y)

    The slope at an error of 0 is 0, as in torch. Of complex numbers it is the modulus of the error, a real number.

    Source: Koenker and Bassett, "Regression Quantiles", Econometrica 46 (1978), of which this is the median's.

    Args:
        input: predictions :math:`x`, any shape, in the unit of the target; a floating or complex dtype.
        target: :math:`y`, of the same shape (others broadcast; a result larger than both warns); any dtype.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`.
        weight: torch's weights :math:`w`, of the shape of ``input``. They multiply the loss, and the mean divides by
            their sum (that of huber_loss does not); ``sample_weight`` follows one rule for every loss.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Raises:
        RuntimeError: the shapes can't be broadcast together; a mean of integers alone.
        ValueError: weight has another shape than input; an unknown reduction.

    >>> import torch, lossmith
    >>> x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
    >>> loss = lossmith.functional.l1_loss(x, torch.tensor([[1.5, 2.0, 4.5], [3.0, 5.0, 8.0]]))
    >>> round(loss.item(), 4)  # (0.5 + 0 + 1.5 + 1 + 0 + 2) / 6
    0.8333
    >>> loss.backward()
    >>> x.grad * 6
    tensor([[-1.,  0., -1.],
            [ 1.,  0., -1.]])
    """
    loss = "l1_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    checks.weight_of_input(loss, weight, input)
    alike = 0 if weight is not None else checks.alike(input, target)
    if not alike:
        if how.reduction in ("mean", "batchmean") and not (input.is_complex() or target.is_complex()):
            checks.must_float(loss, input=input, target=target)
        checks.broadcastable(loss, input=input, target=target)
        checks.outer_broadcast(loss, how.reduction, input=input, target=target)
        input, target = checks.broadcast(input, target, weight)
    return pointwise(loss, l1, (input, target), (), how, weight=weight, weight_in_mean=True, alike=alike)


class L1Loss(Criterion, torch.nn.L1Loss):
    """:func:`lossmith.functional.l1_loss` as a Module; a :class:`torch.nn.L1Loss` with weights and masks.

    Args:
        size_average, reduce, reduction: as the function's.
        weight, normalizer, on_empty: defaults for each call, as the function's; a call may give its own.

    >>> import torch, lossmith
    >>> lossmith.L1Loss(weight=torch.tensor([3.0, 1.0]))(torch.tensor([1.0, 5.0]), torch.zeros(2))  # (3 + 5) / 4
    tensor(2.)
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
        return l1_loss(
            input,
            target,
            weight=self.weight if weight is None else weight,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


LOSS = Loss(
    function=l1_loss,
    module=L1Loss,
    family="regression",
    formulas=(l1,),
    facts=Facts(
        convex=True,
        lipschitz=lambda **_: 1.0,
        prediction=REALS,
        target=REALS,
        minimiser=lambda target, **_: target,
        denominator="weights",
    ),
)
