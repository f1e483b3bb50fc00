"""Negative log-likelihood of labels, from log-probabilities."""

import torch
from torch import Tensor

from .. import checks
from ..backend import dtypes_of
from ..criterion import Criterion
from ..facts import Facts, Loss
from ..loops.rowwise import ClassLabels, Steps, label_steps, negative_pick, rowwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@overridable
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    dim: int | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Negative log-likelihood: what the log-probability of the label lacks to 0.

    .. math::
        \ell(x, y) = -w_y\, x_y \qquad \frac{\partial \ell}{\partial x_c} = -w_y\,[c = y]

    On ``log_softmax`` of logits this is :func:`cross_entropy`, which takes the logits themselves and is more accurate.

    Source: Goodfellow, Bengio and Courville, "Deep Learning" (2016), section 5.5.

    Args:
        input: log-probabilities :math:`x` (natural logarithm, so at most 0; that is not checked): (C), (N, C) or
            (N, C, d1, ...); a floating dtype.
        target: labels from 0 to C - 1 of any integer dtype, with the input's shape less the class dimension.
        weight: a weight for each class, (C).
        size_average, reduce: torch's legacy arguments.
        ignore_index: a label that leaves its row out.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``. The mean divides by the sum of the rows' class
            weights, as torch does; see :doc:`/reductions`.
        dim: the class dimension; by default 1, or 0 for a row without a batch.
        sample_weight, mask, normalizer, on_empty: per row (they broadcast to the unreduced loss); see
            :doc:`/reductions`.

    Raises:
        IndexError: a label is out of range (CPU, eager; elsewhere that row's loss is NaN and its gradient 0).
        ValueError: the batch sizes of input and target differ; an unknown reduction.
        RuntimeError: other shapes or dtypes that do not go together.

    >>> import torch, lossmith
    >>> p = torch.tensor([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]])
    >>> lossmith.functional.nll_loss(p.log(), torch.tensor([0, 1]), reduction="none")  # log 2 and log 8
    tensor([0.6931, 2.0794])
    """
    loss = "nll_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    alike = checks.alike_rows(input, target) if dim is None and weight is None else 0
    if alike:
        dim = 1
    else:
        dim = checks.class_dim(loss, input, target, dim, probabilities=False)
        checks.class_weight(loss, weight, input, dim)
        target = checks.label_shape(loss, input, target, dim, "give one label for each row of log-probabilities")
    compute, result = dtypes_of(alike, input)
    classes = input.shape[dim]

    def steps() -> Steps:
        per_class = None if weight is None or classes == 0 else weight.to(compute)

        def of(input: Tensor, labels: ClassLabels) -> Tensor:
            return negative_pick(input, labels, dim, per_class, compute)

        return label_steps(loss, how, classes, result, ignore_index, per_class, True, of)

    return rowwise(
        loss,
        "pick",
        input,
        target,
        dim,
        how,
        (compute, result),
        steps,
        weight=weight,
        weight_in_mean=True,
        ignore_index=ignore_index,
        alike=alike,
    )


class NLLLoss(Criterion, torch.nn.NLLLoss):
    """:func:`lossmith.functional.nll_loss` as a Module; a :class:`torch.nn.NLLLoss` with more.

    Args:
        weight, size_average, ignore_index, reduce, reduction, dim: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> criterion = lossmith.NLLLoss(ignore_index=-1)
    >>> criterion(torch.tensor([[-1.0, -2.0], [-3.0, -4.0]]), torch.tensor([1, -1]))
    tensor(2.)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        *,
        dim: int | None = None,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__(weight, size_average, ignore_index, reduce, reduction)
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
        return nll_loss(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            dim=self.dim,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


def _minimiser(input: Tensor, target: Tensor, dim: int | None = None, **_: object) -> Tensor:
    """All probability on the label."""
    dim = dim if dim is not None else min(input.dim() - 1, 1)
    return torch.full_like(input, -torch.inf).scatter(dim, target.unsqueeze(dim), 0.0)


LOSS = Loss(
    function=nll_loss,
    module=NLLLoss,
    family="classification",
    facts=Facts(
        convex=True,
        lipschitz=lambda **_: 1.0,
        prediction="log-probabilities",
        target="labels",
        minimiser=_minimiser,
        denominator="weights",
    ),
)
