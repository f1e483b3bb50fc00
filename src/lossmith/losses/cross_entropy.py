"""Cross-entropy of softmax(logits), against labels or class probabilities."""

import torch
from torch import Tensor

from .. import checks
from ..backend import dtypes, dtypes_of
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..loops.masking import hide_rows
from ..loops.rowwise import (
    ClassLabels,
    Steps,
    label_steps,
    rowwise,
    softmax_with_labels,
    softmax_with_probabilities,
)
from ..overrides import overridable
from ..reduction import Normalizer, Reduction, plan, reduce


@overridable
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    *,
    dim: int | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Cross-entropy between a target and :math:`p = \mathrm{softmax}(x)`, from logits.

    .. math::
        \ell(x, y) = -w_y \log \frac{\exp x_y}{\sum_c \exp x_c} \qquad
        \ell(x, q) = -\sum_c w_c\, q_c \log p_c \qquad
        \frac{\partial \ell}{\partial x_c} = p_c - [c = y] \text{ for } w = 1

    With ``label_smoothing`` :math:`\varepsilon`, :math:`q = (1 - \varepsilon)[c = y] + \varepsilon / C`. The value near
    0 and the gradient of an almost certain row keep their relative accuracy (labels without smoothing). A class with
    :math:`q_c = 0` adds 0, even at a logit of :math:`-\infty`.

    Source: Goodfellow, Bengio and Courville, "Deep Learning" (2016), section 6.2.2; label smoothing: Szegedy et al.,
    "Rethinking the Inception Architecture for Computer Vision" (2016), section 7.

    Args:
        input: logits :math:`x`: (C), (N, C) or (N, C, d1, ...); a floating dtype; no softmax before it.
        target: labels from 0 to C - 1 of any integer dtype, with the input's shape less the class dimension; or
            probabilities, floating, of the input's shape.
        weight: a weight for each class, (C).
        size_average, reduce: torch's legacy arguments.
        ignore_index: a label that leaves its row out; for labels only.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``. For labels the mean divides by the sum of the rows'
            class weights, for probabilities by the number of rows, as torch does; ``normalizer="weight"`` or
            ``"count"`` makes both the same. See :doc:`/reductions`.
        label_smoothing: from 0 to 1.
        dim: the class dimension; by default 1, or 0 for a row without a batch.
        sample_weight, mask, normalizer, on_empty: per row (they broadcast to the unreduced loss); see
            :doc:`/reductions`. ``mask`` works with every kind of target.

    Raises:
        IndexError: a label is out of range (CPU, eager; elsewhere that row's loss is NaN and its gradient 0).
        ValueError: the batch sizes of input and target differ; an unknown reduction.
        RuntimeError: other shapes or dtypes that do not go together; label_smoothing out of range.

    >>> import torch, lossmith
    >>> x = torch.tensor([[2.0, 1.0, 0.0]], requires_grad=True)
    >>> loss = lossmith.functional.cross_entropy(x, torch.tensor([0]))
    >>> loss.backward()
    >>> p = x.detach().softmax(1)
    >>> torch.allclose(x.grad, p - torch.tensor([[1.0, 0.0, 0.0]]))  # p - y
    True
    """
    loss = "cross_entropy"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    checks.smoothing(loss, label_smoothing)
    alike = checks.alike_rows(input, target) if dim is None and weight is None else 0
    if alike:
        return _against_labels(loss, input, target, None, ignore_index, label_smoothing, 1, how, alike)
    checks.tensor(loss, "input", input)
    checks.tensor(loss, "target", target)
    probabilities = target.shape == input.shape and not (input.dim() == 1 and not target.is_floating_point())
    dim = checks.class_dim(loss, input, target, dim, probabilities)
    checks.class_weight(loss, weight, input, dim)
    if probabilities:
        return _against_probabilities(loss, input, target, weight, ignore_index, label_smoothing, dim, how)
    target = checks.label_shape(loss, input, target, dim)
    return _against_labels(loss, input, target, weight, ignore_index, label_smoothing, dim, how)


def _against_labels(
    loss: str,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    smoothing: float,
    dim: int,
    how: Reduction,
    alike: int = 0,
) -> Tensor:
    compute, result = dtypes_of(alike, input)
    classes = input.shape[dim]

    def steps() -> Steps:
        per_class = None if weight is None else weight.to(compute)

        def of(input: Tensor, labels: ClassLabels) -> Tensor:
            return softmax_with_labels(input.to(compute), labels, dim, per_class, smoothing)

        return label_steps(loss, how, classes, result, ignore_index, per_class, True, of)

    return rowwise(
        loss,
        "softmax_labels",
        input,
        target,
        dim,
        how,
        (compute, result),
        steps,
        weight=weight,
        weight_in_mean=True,
        ignore_index=ignore_index,
        smoothing=smoothing,
        alike=alike,
    )


def _against_probabilities(
    loss: str,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    smoothing: float,
    dim: int,
    how: Reduction,
) -> Tensor:
    if not target.is_floating_point():
        raise RuntimeError(
            f"{loss}: target has the input's shape, so it is taken for class probabilities, but its dtype is not "
            f"floating: {checks.shapes(input=input, target=target)}; write target.float() for probabilities (one-hot "
            f"rows too), or give labels of shape {tuple(s for d, s in enumerate(input.shape) if d != dim)}"
        )
    if ignore_index >= 0:
        raise RuntimeError(
            f"{loss}: ignore_index={ignore_index} needs labels, but target holds class probabilities: "
            f"{checks.shapes(input=input, target=target)}; write mask= (False leaves a row out)"
        )
    compute, result = dtypes(input, target)
    classes = input.shape[dim]

    def steps() -> Steps:
        per_class = None if weight is None else weight.to(compute)

        def read(target: Tensor) -> Tensor:
            target = hide_rows(target.to(compute), how.mask, 0.0, dim=dim)
            return target * (1 - smoothing) + smoothing / classes if smoothing > 0 else target

        def of(input: Tensor, target: Tensor) -> Tensor:
            rows = hide_rows(input.to(compute), how.mask, 0.0, dim=dim)
            return softmax_with_probabilities(rows, target, dim, per_class)

        def finish(values: Tensor, target: Tensor) -> Tensor:
            per_row = None
            if per_class is not None and how.normalizer == "weight":
                per_row = (target.movedim(dim, -1) * per_class).sum(-1)
            return reduce(loss, values, how, result, weight=per_row)

        return Steps(read, of, finish)

    return rowwise(
        loss,
        "softmax_probabilities",
        input,
        target,
        dim,
        how,
        (compute, result),
        steps,
        weight=weight,
        smoothing=smoothing,
    )


class CrossEntropyLoss(Criterion, torch.nn.CrossEntropyLoss):
    """:func:`lossmith.functional.cross_entropy` as a Module; a :class:`torch.nn.CrossEntropyLoss` with more.

    Args:
        weight, size_average, ignore_index, reduce, reduction, label_smoothing, dim: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> criterion = lossmith.CrossEntropyLoss(ignore_index=-1, on_empty="zero")
    >>> criterion(torch.zeros(2, 4), torch.tensor([-1, -1]))
    tensor(0.)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        *,
        dim: int | None = None,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__(weight, size_average, ignore_index, reduce, reduction, label_smoothing)
        checks.smoothing(type(self).__name__, label_smoothing)
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
        return cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            dim=self.dim,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


def _least(input: Tensor, target: Tensor, dim: int | None = None, label_smoothing: float = 0.0, **_: object) -> Tensor:
    """The logits of the (smoothed) target itself."""
    dim = dim if dim is not None else 0 if input.dim() == 1 else 1
    if target.shape != input.shape:
        target = torch.nn.functional.one_hot(target, input.shape[dim]).movedim(-1, dim)
    return torch.log((1 - label_smoothing) * target.to(input.dtype) + label_smoothing / input.shape[dim])


LOSS = Loss(
    function=cross_entropy,
    module=CrossEntropyLoss,
    family="classification",
    facts=Facts(
        convex=True,
        lipschitz=lambda **_: 2**0.5,
        prediction=REALS,
        target=lambda input, target, **_: "probabilities" if target.shape == input.shape else "labels",
        minimiser=_least,
        denominator="weights",
    ),
)
