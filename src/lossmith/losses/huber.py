"""Huber loss: quadratic up to delta, linear beyond."""

import torch
from torch import Tensor

from .. import checks
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..formula import Real, Reals, formula, maximum, minimum
from ..loops.pointwise import pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@formula
def huber(prediction: Real, target: Real, delta: Real) -> Reals:
    error = prediction - target
    clipped = minimum(maximum(error, -delta), delta)
    return clipped * (error - 0.5 * clipped), clipped, -clipped


@overridable
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Huber loss: half the squared error up to :math:`\delta`, linear beyond.

    .. math::
        \ell(x, y) = \begin{cases}
            \tfrac12 (x - y)^2 & |x - y| \le \delta \\
            \delta\,(|x - y| - \tfrac12 \delta) & \text{otherwise}
        \end{cases}
        \qquad \frac{\partial \ell}{\partial x} = \min(\max(x - y, -\delta), \delta)

    Source: Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics 35 (1964).

    Args:
        input: predictions :math:`x`, any shape, in the unit of the target; a floating dtype.
        target: :math:`y`, of the same shape (others broadcast; a result larger than both warns).
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`.
        delta: where the quadratic ends, in the unit of the target; above 0.
        weight: torch's weights, of the shape of ``input``. They multiply the loss and, as in torch, do not enter the
            denominator of the mean (those of l1_loss and mse_loss do); ``sample_weight`` does for every loss.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Raises:
        RuntimeError: delta is not above 0, or the shapes can't be broadcast together.
        ValueError: weight has another shape than input; an unknown reduction.

    >>> import torch, lossmith
    >>> x = torch.tensor([0.1, 5.0], requires_grad=True)
    >>> loss = lossmith.functional.huber_loss(x, torch.zeros(2))
    >>> round(loss.item(), 4)  # (0.5 * 0.1**2 + 1 * (5 - 0.5)) / 2
    2.2525
    >>> loss.backward()
    >>> x.grad
    tensor([0.0500, 0.5000])
    """
    loss = "huber_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    if not delta > 0:
        raise RuntimeError(f"{loss}: delta is {delta!r}, expected a number greater than 0, in the unit of the target")
    alike = checks.pair(loss, how.reduction, input, target, "input")
    checks.weight_of_input(loss, weight, input)
    if weight is not None:
        alike = 0
        input = input.to(torch.promote_types(input.dtype, weight.dtype))
    return pointwise(loss, huber, (input, target), (delta,), how, weight=weight, like=input, alike=alike)


class HuberLoss(Criterion, torch.nn.HuberLoss):
    """:func:`lossmith.functional.huber_loss` as a Module; a :class:`torch.nn.HuberLoss` with weights and masks.

    Args:
        reduction, delta: as the function's.
        weight, normalizer, on_empty: defaults for each call, as the function's; a call may give its own.

    >>> import torch, lossmith
    >>> lossmith.HuberLoss(delta=2.0)(torch.tensor([3.0]), torch.tensor([0.0]))
    tensor(4.)
    """

    weight: Tensor | None

    def __init__(
        self,
        reduction: str = "mean",
        delta: float = 1.0,
        *,
        weight: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        if not isinstance(delta, (int, float)):
            raise TypeError(
                f"HuberLoss: delta is {delta!r}, expected a number (torch's: 'delta must be a float or int')"
            )
        super().__init__(reduction, delta)
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
        return huber_loss(
            input,
            target,
            delta=self.delta,
            weight=self.weight if weight is None else weight,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


LOSS = Loss(
    function=huber_loss,
    module=HuberLoss,
    family="regression",
    formulas=(huber,),
    facts=Facts(
        convex=True,
        lipschitz=lambda delta=1.0, **_: delta,
        prediction=REALS,
        target=REALS,
        minimiser=lambda target, **_: target,
        denominator="elements",
    ),
)
