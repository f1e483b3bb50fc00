"""Multi-label hinge: every score of a set of labels is to exceed every score outside of it by 1."""

import torch
from torch import Tensor

from .. import checks
from ..backend import dtypes_of
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..loops.rowwise import LabelSets, Steps, label_sets, margins_of_set, rowwise
from ..overrides import overridable
from ..reduction import Normalizer, plan
from ..reduction import reduce as reduced


@overridable
def multilabel_margin_loss(
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
    r"""Multi-label hinge: what each label's score lacks to exceed each score outside of the set by 1, over the classes.

    .. math::
        \ell(x, Y) = \frac1C \sum_{j \in Y} \sum_{i \notin Y} \max(0, 1 - x_j + x_i) \qquad
        \frac{\partial \ell}{\partial x_i} = \frac1C \,\bigl|\{ j \in Y : 1 - x_j + x_i > 0 \}\bigr|
        \text{ for } i \notin Y

    and for :math:`j \in Y` the same count over :math:`i \notin Y`, negative. As in torch, the slope at the kink is 0,
    a label that is listed twice counts twice, and a difference that is NaN adds nothing. Time grows with C log C and
    memory with C, not with the number of pairs.

    Source: Weston and Watkins, "Support Vector Machines for Multi-Class Pattern Recognition" (1999), for sets of
    labels; torch.nn.MultiLabelMarginLoss.

    Args:
        input: scores :math:`x`, (N, C), or (C) for one row; a floating dtype.
        target: the labels of each row, of the input's shape and any integer dtype: class indices from 0 to C - 1, then
            -1; what comes after the first -1 is not read. Not a row of zeros and ones.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none`` gives (N), or () for one row; or ``mean``, ``sum``, ``batchmean``; see :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: per row; see :doc:`/reductions`.

    Raises:
        IndexError: a label is out of range, -1 excepted (CPU, eager; elsewhere that row's loss is NaN and its
            gradient 0).
        RuntimeError: shapes or dtypes that do not go together.
        ValueError: an unknown reduction.

    >>> import torch, lossmith
    >>> scores = torch.tensor([[0.1, 0.2, 0.4, 0.8]])
    >>> labels = torch.tensor([[3, 0, -1, 1]])  # classes 3 and 0; the last 1 is not read
    >>> lossmith.functional.multilabel_margin_loss(scores, labels)  # (0.4 + 0.6 + 1.1 + 1.3) / 4
    tensor(0.8500)
    """
    loss = "multilabel_margin_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    alike = checks.alike_rows(input, target, sets=True) if input.dim() == 2 else 0
    rows = input
    if not alike:
        checks.score_rows(loss, input, target)
        target = _label_shape(loss, input, target)
        rows = input if input.dim() else input.reshape(1)
        target = target.reshape(rows.shape)
    compute, result = dtypes_of(alike, input)

    def steps() -> Steps:
        def of(rows: Tensor, sets: LabelSets) -> Tensor:
            return margins_of_set(rows.to(compute), sets)

        def finish(values: Tensor, sets: LabelSets) -> Tensor:
            return reduced(loss, values, how, result)

        return Steps(lambda target: label_sets(loss, target, how.mask), of, finish)

    return rowwise(loss, "margins_of_set", rows, target, rows.dim() - 1, how, (compute, result), steps, alike=alike)


def _label_shape(loss: str, input: Tensor, target: Tensor) -> Tensor:
    one_score = input.dim() < 2 and input.numel() == 1
    if target.shape != input.shape and not (one_score and target.shape in ((), (1,))):
        raise RuntimeError(
            f"{loss}: inconsistent target size: expected rows of labels, padded with -1 to the input's shape, got "
            f"{checks.shapes(input=input, target=target)}; write "
            f"torch.nn.functional.pad(target, (0, input.shape[-1] - target.shape[-1]), value=-1) for shorter rows"
        )
    return checks.integers(loss, "target", target)


class MultiLabelMarginLoss(Criterion, torch.nn.MultiLabelMarginLoss):
    """:func:`lossmith.functional.multilabel_margin_loss` as a Module.

    Args:
        size_average, reduce, reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> lossmith.MultiLabelMarginLoss()(torch.tensor([[1.0, 0.5]]), torch.tensor([[0, -1]]))  # 0.5 / 2
    tensor(0.2500)
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
        return multilabel_margin_loss(input, target, **self._reduction(sample_weight, mask, normalizer, on_empty))


def _lipschitz(input: Tensor, **_: object) -> float:
    """All hinges above 0, half of the classes in the set."""
    classes = input.shape[-1]
    inside = classes // 2
    return float((inside * (classes - inside) / classes) ** 0.5)


def _minimiser(input: Tensor, target: Tensor, **_: object) -> Tensor:
    """1 in the set, 0 outside."""
    listed = (target < 0).cumsum(-1) == 0
    times = torch.zeros_like(target).scatter_add(-1, torch.where(listed, target, 0), listed.long())
    return (times > 0).to(input.dtype)


LOSS = Loss(
    function=multilabel_margin_loss,
    module=MultiLabelMarginLoss,
    family="classification",
    facts=Facts(
        convex=True,
        lipschitz=_lipschitz,
        prediction=REALS,
        target="label sets",
        minimiser=_minimiser,
        denominator="rows",
    ),
)
