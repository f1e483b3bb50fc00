"""Multi-class hinge: the score of the label is to exceed every other score by a margin."""

import math

import torch
from torch import Tensor

from .. import checks
from ..backend import dtypes_of
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..loops.rowwise import ClassLabels, Steps, label_steps, margins_to_label, rowwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@overridable
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
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
    r"""Multi-class hinge: what the label's score lacks to exceed each other score by a margin, over the classes.

    .. math::
        \ell(x, y) = \frac{w_y}{C} \sum_{i \ne y} \max(0, m - x_y + x_i)^p \qquad
        \frac{\partial \ell}{\partial x_i} = \frac{w_y}{C}\, p \max(0, m - x_y + x_i)^{p-1}
        \,[\,m - x_y + x_i > 0\,] = -\frac{\partial \ell_i}{\partial x_y}

    It divides by all C classes, the label's among them, as torch does. As there, the slope at the kink is 0, and a
    difference that is NaN adds nothing.

    Source: Crammer and Singer, "On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines" (2001),
    whose loss takes the largest term of the sum; the sum itself: Weston and Watkins, "Support Vector Machines for
    Multi-Class Pattern Recognition" (1999).

    Args:
        input: scores :math:`x`, (N, C), or (C) for one row; a floating dtype.
        target: labels from 0 to C - 1 of any integer dtype, (N), or () or (1) for one row.
        p: 1 or 2.
        margin: :math:`m`, in the unit of the scores.
        weight: a weight for each class, (C). As in torch, it does not enter the denominator of the mean.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none`` gives (N), or the target's shape for one row; or ``mean``, ``sum``, ``batchmean``; see
            :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: per row; see :doc:`/reductions`.

    Raises:
        IndexError: a label is out of range (CPU, eager; elsewhere that row's loss is NaN and its gradient 0).
        ValueError: p is neither 1 nor 2; weight is no vector; an unknown reduction.
        RuntimeError: shapes or dtypes that do not go together.

    >>> import torch, lossmith
    >>> scores = torch.tensor([[0.1, 0.2, 0.4, 0.8]])
    >>> lossmith.functional.multi_margin_loss(scores, torch.tensor([3]))  # (0.3 + 0.4 + 0.6 + 0) / 4
    tensor(0.3250)
    """
    loss = "multi_margin_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    _check_settings(loss, p, weight)
    alike = checks.alike_rows(input, target) if weight is None and input.dim() == 2 else 0
    classes, rows = input.shape[-1] if input.dim() else 1, input
    if not alike:
        checks.score_rows(loss, input, target)
        target = _label_shape(loss, input, target)
        rows = input.reshape(*target.shape, classes)
        checks.class_weight(loss, weight, rows, rows.dim() - 1)
    compute, result = dtypes_of(alike, input)

    def steps() -> Steps:
        per_class = None if weight is None else weight.to(compute)

        def of(rows: Tensor, labels: ClassLabels) -> Tensor:
            values = margins_to_label(rows.to(compute), labels, p, margin)
            return values if per_class is None else values * labels.pick(per_class)

        return label_steps(loss, how, classes, result, None, per_class, False, of)

    return rowwise(
        loss,
        "margin_to_label",
        rows,
        target,
        rows.dim() - 1,
        how,
        (compute, result),
        steps,
        weight=weight,
        margin=margin,
        power=p,
        alike=alike,
    )


def _check_settings(loss: str, p: float, weight: Tensor | None) -> None:
    if p not in (1, 2):
        raise ValueError(f"{loss}: only p == 1 and p == 2 supported, got p={p!r}; 1 is the hinge, 2 its square")
    if weight is not None and weight.dim() != 1:
        raise ValueError(
            f"{loss}: weight must be one-dimensional, one number for each class, got {checks.describe(weight)}; "
            f"for weights of rows write sample_weight="
        )


def _label_shape(loss: str, input: Tensor, target: Tensor) -> Tensor:
    """Labels as int64: (N) for (N, C); () or (1) for one row, whatever the shape of its scores."""
    one_row = input.dim() < 2 or input.shape[0] == 1
    if target.shape != input.shape[:-1] and not (one_row and target.shape in ((), (1,))):
        raise RuntimeError(
            f"{loss}: target tensor should be 1-D, one label for each row of the input, {tuple(input.shape[:-1])}, got "
            f"{checks.shapes(input=input, target=target)}; write target.argmax(-1) for one-hot rows"
        )
    return checks.integers(loss, "target", target)


class MultiMarginLoss(Criterion, torch.nn.MultiMarginLoss):
    """:func:`lossmith.functional.multi_margin_loss` as a Module; a :class:`torch.nn.MultiMarginLoss` with more.

    Args:
        p, margin, weight, size_average, reduce, reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> lossmith.MultiMarginLoss(p=2)(torch.tensor([[1.0, 0.5]]), torch.tensor([0]))  # 0.5**2 / 2
    tensor(0.1250)
    """

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        *,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        _check_settings(type(self).__name__, p, weight)
        super().__init__(p, margin, weight, size_average, reduce, reduction)
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
        return multi_margin_loss(
            input,
            target,
            self.p,
            self.margin,
            self.weight,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


def _minimiser(input: Tensor, target: Tensor, margin: float = 1.0, **_: object) -> Tensor:
    """The label's score above all others by the margin."""
    return torch.zeros_like(input).scatter(-1, target.unsqueeze(-1), max(margin, 0.0))


LOSS = Loss(
    function=multi_margin_loss,
    module=MultiMarginLoss,
    family="classification",
    facts=Facts(
        convex=True,
        lipschitz=lambda input, p=1, **_: math.inf if p == 2 else (1 - 1 / input.shape[-1]) ** 0.5,
        prediction=REALS,
        target="labels",
        minimiser=_minimiser,
        denominator="rows",
    ),
)
