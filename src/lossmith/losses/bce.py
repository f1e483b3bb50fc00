"""Binary cross-entropy of probabilities."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .. import checks
from ..criterion import Criterion
from ..facts import UNIT, Facts, Loss
from ..formula import Real, Reals, formula, log_complement, log_probability, maximum
from ..loops.pointwise import Domain, pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@formula
def bce(probability: Real, target: Real) -> Reals:
    log_one = log_probability(probability)
    log_zero = log_complement(probability)
    spread = maximum(probability * (1.0 - probability), 1e-12)
    return (
        (target - 1.0) * log_zero - target * log_one,
        (probability - target) / spread,
        log_zero - log_one,
    )


@overridable
def binary_cross_entropy(
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
    r"""Binary cross-entropy between a target and a probability. From logits, use
    :func:`lossmith.functional.binary_cross_entropy_with_logits`: its gradient neither explodes nor vanishes.

    .. math::
        \ell(x, y) = -w\,[\,y \log x + (1 - y) \log(1 - x)\,] \qquad
        \frac{\partial \ell}{\partial x} = w\,\frac{x - y}{\max(x (1 - x), 10^{-12})}

    As in torch, the logarithms are clamped at -100, so the loss is at most 100 w, and the gradient at most 1e12 w.

    Source: Goodfellow, Bengio and Courville, "Deep Learning" (2016), section 6.2.2.2; the clamps: torch.nn.BCELoss.

    Args:
        input: probabilities :math:`x` from 0 to 1, any shape, a floating dtype.
        target: :math:`y` from 0 to 1, of the input's shape; floating, integer or bool.
        weight: multiplies the loss; it broadcasts to the input. As in torch, it does not enter the denominator.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Under autocast it runs in float32.

    Raises:
        ValueError: input and target differ in shape; an unknown reduction.
        RuntimeError: a value outside of 0 to 1 (CPU, eager; elsewhere that element's loss is NaN and its gradient 0);
            a weight that does not broadcast to the input.

    >>> import torch, lossmith
    >>> lossmith.functional.binary_cross_entropy(torch.tensor([0.5]), torch.tensor([1]))  # log 2
    tensor(0.6931)
    """
    loss = "binary_cross_entropy"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    alike = checks.alike(input, target)
    if not alike:
        checks.real(loss, input=input, target=target)
        checks.must_float(loss, input=input)
        checks.same_shape(loss, ValueError, input=input, target=target)
    checks.fits(loss, "weight", weight, input.shape, "input", RuntimeError)
    checks.fits(loss, "mask", how.mask, input.shape, "the unreduced loss")

    def outside(operands: Sequence[Tensor]) -> Tensor | None:
        input, target = operands
        invalid = checks.within_unit(
            loss, "input", input, how.mask, "write torch.sigmoid(input), or better binary_cross_entropy_with_logits"
        )
        beyond = checks.within_unit(loss, "target", target, how.mask, "targets are probabilities, or 0 and 1")
        return beyond if invalid is None else invalid if beyond is None else invalid | beyond

    domain = Domain(((0.0, 1.0, False), (0.0, 1.0, False)), outside)
    return pointwise(loss, bce, (input, target), (), how, weight=weight, domain=domain, alike=alike)


class BCELoss(Criterion, torch.nn.BCELoss):
    """:func:`lossmith.functional.binary_cross_entropy` as a Module; a :class:`torch.nn.BCELoss` with more.

    Args:
        weight, size_average, reduce, reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> lossmith.BCELoss()(torch.tensor([1.0]), torch.tensor([0.0]))  # clamped
    tensor(100.)
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
        return binary_cross_entropy(
            input, target, self.weight, **self._reduction(sample_weight, mask, normalizer, on_empty)
        )


LOSS = Loss(
    function=binary_cross_entropy,
    module=BCELoss,
    family="classification",
    formulas=(bce,),
    facts=Facts(
        convex=True,
        lipschitz=lambda **_: 1e12,
        prediction=UNIT,
        target=UNIT,
        minimiser=lambda target, **_: target,
        denominator="elements",
    ),
)
