"""Binary cross-entropy of sigmoid(logit): for two classes, or many labels that do not exclude one another."""

import torch
from torch import Tensor

from .. import checks
from ..criterion import Criterion
from ..facts import REALS, UNIT, Facts, Loss
from ..formula import Real, Reals, exp, formula, log1p, product, where
from ..loops.pointwise import pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@formula
def bce_with_logits(prediction: Real, target: Real, positive_weight: Real) -> Reals:
    # both costs, softplus(-x) and softplus(x), are |x| or 0 more than the tail log(1 + exp(-|x|)); |x| is written with
    # `where`, so that derivatives of every order are right at 0 too
    toward_zero = where(prediction >= 0, -prediction, prediction)
    small = exp(toward_zero)
    tail = log1p(small)
    one = positive_weight * target
    zero = 1.0 - target
    scale = 1.0 / (1.0 + small)
    return (
        (one + zero) * tail - product(where(prediction >= 0, zero, one), toward_zero),
        where(prediction >= 0, zero - one * small, zero * small - one) * scale,
        (positive_weight - 1.0) * tail - where(prediction >= 0, -toward_zero, positive_weight * toward_zero),
        product(target, tail - where(prediction >= 0, 0.0, toward_zero)),
    )


@overridable
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
    *,
    dim: int | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Binary cross-entropy between a target and :math:`\sigma(x)`, from logits.

    .. math::
        \ell(x, y) = -w\,[\,p\,y \log \sigma(x) + (1 - y) \log(1 - \sigma(x))\,] \qquad
        \frac{\partial \ell}{\partial x} = w\,[(1 - y)\,\sigma(x) - p\,y\,\sigma(-x)]

    with :math:`p` the ``pos_weight`` of the element's class. Value and gradient keep their relative accuracy for
    confident predictions on both sides, and a right answer at an infinite logit costs 0.

    Source: Goodfellow, Bengio and Courville, "Deep Learning" (2016), section 6.2.2.2.

    Args:
        input: logits :math:`x`, any shape, a floating dtype; no sigmoid before it.
        target: :math:`y` from 0 to 1, of the input's shape; floating, integer or bool.
        weight: multiplies the loss; it broadcasts to the input. As in torch, it does not enter the denominator.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`.
        pos_weight: the weight of positives, which broadcasts to the input: (C,) goes with the last dimension.
        dim: the class dimension that a ``pos_weight`` of shape (C,) goes with, such as 1 for (N, C, H, W).
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Raises:
        ValueError: input and target differ in shape; an unknown reduction.
        RuntimeError: weight or pos_weight does not broadcast to the input.

    >>> import torch, lossmith
    >>> x, y = torch.tensor([0.5, -1.0]), torch.tensor([1.0, 0.0])
    >>> with_logits = lossmith.functional.binary_cross_entropy_with_logits(x, y)
    >>> torch.allclose(with_logits, lossmith.functional.binary_cross_entropy(x.sigmoid(), y))
    True
    """
    loss = "binary_cross_entropy_with_logits"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    alike = checks.alike(input, target)
    if not alike:
        checks.real(loss, input=input, target=target)
        checks.must_float(loss, input=input)
        checks.same_shape(loss, ValueError, input=input, target=target)
    checks.fits(loss, "weight", weight, input.shape, "input", RuntimeError)
    if pos_weight is not None:
        pos_weight = _along(loss, pos_weight, input, dim)
    return pointwise(
        loss,
        bce_with_logits,
        (input, target, 1.0 if pos_weight is None else pos_weight.to(input.dtype)),
        (),
        how,
        weight=weight,
        like=target if target.is_floating_point() else input,
        alike=alike if pos_weight is None else 0,
    )


def _along(loss: str, pos_weight: Tensor, input: Tensor, dim: int | None) -> Tensor:
    """pos_weight with dimensions of 1 behind it, so that it goes with the class dimension."""
    if dim is not None:
        if not -input.dim() <= dim < input.dim():
            raise IndexError(f"{loss}: dim={dim} is out of range for input {checks.describe(input)}; write dim=1")
        if pos_weight.dim() != 1:
            raise RuntimeError(f"{loss}: dim= goes with a pos_weight of shape (C,), got {checks.describe(pos_weight)}")
        pos_weight = pos_weight.reshape([-1] + [1] * (input.dim() - 1 - dim % input.dim()))
    classes = [d for d, size in enumerate(input.shape) if pos_weight.dim() == 1 and size == pos_weight.shape[0]]
    if classes and classes[-1] != input.dim() - 1 and pos_weight.shape[0] != 1:
        raise RuntimeError(
            f"{loss}: pos_weight goes with the last dimension, got "
            f"{checks.shapes(pos_weight=pos_weight, input=input)}; "
            f"write dim={classes[-1]} for weights of dimension {classes[-1]}"
        )
    checks.fits(loss, "pos_weight", pos_weight, input.shape, "input", RuntimeError)
    return pos_weight


class BCEWithLogitsLoss(Criterion, torch.nn.BCEWithLogitsLoss):
    """:func:`lossmith.functional.binary_cross_entropy_with_logits` as a Module.

    Args:
        weight, size_average, reduce, reduction, pos_weight, dim: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> criterion = lossmith.BCEWithLogitsLoss(pos_weight=torch.tensor([3.0]))
    >>> criterion(torch.tensor([[0.0]]), torch.tensor([[1.0]]))  # 3 log 2
    tensor(2.0794)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
        *,
        dim: int | None = None,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction, pos_weight)
        self.dim = dim
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
        return binary_cross_entropy_with_logits(
            input,
            target,
            self.weight,
            pos_weight=self.pos_weight,
            dim=self.dim,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


def _log(pos_weight: Tensor | None) -> Tensor | float:
    return 0.0 if pos_weight is None else torch.log(pos_weight)


LOSS = Loss(
    function=binary_cross_entropy_with_logits,
    module=BCEWithLogitsLoss,
    family="classification",
    formulas=(bce_with_logits,),
    facts=Facts(
        convex=True,
        lipschitz=lambda pos_weight=None, **_: 1.0 if pos_weight is None else max(1.0, pos_weight.max().item()),
        prediction=REALS,
        target=UNIT,
        minimiser=lambda target, pos_weight=None, **_: torch.logit(target) + _log(pos_weight),
        denominator="elements",
    ),
)
