"""Smooth L1 loss: the absolute error, rounded off below beta."""

import math

import torch
from torch import Tensor

from .. import checks
from ..backend import dtypes
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..formula import Real, Reals, formula, maximum, minimum
from ..loops.pointwise import pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan
from .l1 import l1


@formula
def smooth_l1(prediction: Real, target: Real, beta: Real) -> Reals:
    error = prediction - target
    # clipped before it is divided: no quotient overflows, whatever the error and beta
    clipped = minimum(maximum(error, -beta), beta)
    slope = clipped / beta
    return slope * (error - 0.5 * clipped), slope, -slope


@overridable
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""The absolute error less half of :math:`\beta`; below :math:`\beta`, a parabola that meets it smoothly.

    .. math::
        \ell(x, y) = \begin{cases}
            \tfrac12 (x - y)^2 / \beta & |x - y| < \beta \\
            |x - y| - \tfrac12 \beta & \text{otherwise}
        \end{cases}
        \qquad \frac{\partial \ell}{\partial x} = \min(\max((x - y) / \beta, -1), 1)

    It is huber_loss with ``delta=beta``, divided by :math:`\beta`: its slope far off is 1 for every :math:`\beta`,
    where that of huber_loss is ``delta``. At :math:`\beta = 0` it is l1_loss.

    Source: Girshick, "Fast R-CNN", ICCV (2015), equation 3, with :math:`\beta = 1`.

    Args:
        input: predictions :math:`x`, any shape, in the unit of the target; a floating dtype.
        target: :math:`y`, of the same shape (others broadcast; a result larger than both warns); any real dtype.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`.
        beta: where the parabola ends, in the unit of the target; 0 or more.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Raises:
        RuntimeError: beta is below 0, or the shapes can't be broadcast together.
        ValueError: an unknown reduction.
        NotImplementedError: complex numbers, or integers for both.

    >>> import torch, lossmith
    >>> x, y = torch.tensor([0.1, 5.0]), torch.zeros(2)
    >>> lossmith.functional.smooth_l1_loss(x, y)  # (0.5 * 0.1**2 + (5 - 0.5)) / 2
    tensor(2.2525)
    >>> lossmith.functional.smooth_l1_loss(x, y, beta=2.0) * 2 == lossmith.functional.huber_loss(x, y, delta=2.0)
    tensor(True)
    """
    loss = "smooth_l1_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    if not beta >= 0:
        raise RuntimeError(f"{loss}: beta is {beta!r}, expected a number of 0 or more, in the unit of the target")
    alike = checks.pair(loss, how.reduction, input, target, "either")
    if not alike:
        input, target = checks.broadcast(input, target)
    if not 1e-30 < beta < 1e30:
        limits = torch.finfo(dtypes(input, target)[0])
        if beta < limits.tiny:
            # 1 / beta may overflow there, and l1 differs by less than half of beta
            return pointwise(loss, l1, (input, target), (), how, alike=alike)
        if beta > limits.max:
            beta = math.inf
    return pointwise(loss, smooth_l1, (input, target), (beta,), how, alike=alike)


class SmoothL1Loss(Criterion, torch.nn.SmoothL1Loss):
    """:func:`lossmith.functional.smooth_l1_loss` as a Module; a :class:`torch.nn.SmoothL1Loss` with more.

    Args:
        size_average, reduce, reduction, beta: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> lossmith.SmoothL1Loss(beta=0.5)(torch.tensor([3.0]), torch.tensor([0.0]))
    tensor(2.7500)
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
        *,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__(size_average, reduce, reduction, beta)
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
        return smooth_l1_loss(
            input, target, beta=self.beta, **self._reduction(sample_weight, mask, normalizer, on_empty)
        )


LOSS = Loss(
    function=smooth_l1_loss,
    module=SmoothL1Loss,
    family="regression",
    formulas=(smooth_l1,),
    facts=Facts(
        convex=True,
        lipschitz=lambda **_: 1.0,
        prediction=REALS,
        target=REALS,
        minimiser=lambda target, **_: target,
        denominator="elements",
    ),
)
