"""Losses of softmax rows against classes: what a target is, labels or probabilities, and how it is run and reduced."""

from torch import Tensor

from ... import checks
from ...backend import dtypes, dtypes_of
from ...reduction import Reduction, reduce
from ..masking import hide_rows
from .labels import ClassLabels
from .native import Steps, label_steps, rowwise
from .softmax import Focus, softmax_with_labels, softmax_with_probabilities


def softmax_loss(
    loss: str,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    dim: int | None,
    how: Reduction,
    *,
    smoothing: float = 0.0,
    gamma: float = 0.0,
    focus: Focus | None = None,
) -> Tensor:
    """The class-weighted cost of the surprisal -log softmax(input) of a label, or its sum over class probabilities.

    The cost is the surprisal itself (smoothed, if asked), or `focus` of it: a focal loss with this gamma. dim is the
    class dimension; by default 1, or 0 for a row without a batch. As in torch, the mean divides by the weights of the
    labels, and for probabilities by the number of rows.
    """
    alike = checks.alike_rows(input, target) if dim is None and weight is None else 0
    if alike:
        return _against_labels(loss, input, target, None, ignore_index, 1, how, smoothing, gamma, focus, alike)
    checks.tensor(loss, "input", input)
    checks.tensor(loss, "target", target)
    probabilities = target.shape == input.shape and not (input.dim() == 1 and not target.is_floating_point())
    dim = checks.class_dim(loss, input, target, dim, probabilities)
    checks.class_weight(loss, weight, input, dim)
    if probabilities:
        return _against_probabilities(loss, input, target, weight, ignore_index, dim, how, smoothing, gamma, focus)
    target = checks.label_shape(loss, input, target, dim)
    return _against_labels(loss, input, target, weight, ignore_index, dim, how, smoothing, gamma, focus)


def _against_labels(
    loss: str,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    dim: int,
    how: Reduction,
    smoothing: float,
    gamma: float,
    focus: Focus | None,
    alike: int = 0,
) -> Tensor:
    compute, result = dtypes_of(alike, input)
    classes = input.shape[dim]
    if classes == 1:
        checks.single_logit(loss, input, dim)

    def steps() -> Steps:
        per_class = None if weight is None else weight.to(compute)

        def of(input: Tensor, labels: ClassLabels) -> Tensor:
            return softmax_with_labels(input.to(compute), labels, dim, per_class, smoothing, focus)

        return label_steps(loss, how, classes, result, ignore_index, per_class, True, of)

    return rowwise(
        loss,
        "softmax_labels" if focus is None else "focal_labels",
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
        gamma=gamma,
        focus=focus,
        alike=alike,
    )


def _against_probabilities(
    loss: str,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    dim: int,
    how: Reduction,
    smoothing: float,
    gamma: float,
    focus: Focus | None,
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
    if classes == 1:
        checks.single_logit(loss, input, dim)

    def steps() -> Steps:
        per_class = None if weight is None else weight.to(compute)

        def read(target: Tensor) -> Tensor:
            target = hide_rows(target.to(compute), how.mask, 0.0, dim=dim)
            return target * (1 - smoothing) + smoothing / classes if smoothing > 0 else target

        def of(input: Tensor, target: Tensor) -> Tensor:
            rows = hide_rows(input.to(compute), how.mask, 0.0, dim=dim)
            return softmax_with_probabilities(rows, target, dim, per_class, focus)

        def finish(values: Tensor, target: Tensor) -> Tensor:
            per_row = None
            if per_class is not None and how.normalizer == "weight":
                per_row = (target.movedim(dim, -1) * per_class).sum(-1)
            return reduce(loss, values, how, result, weight=per_row)

        return Steps(read, of, finish)

    return rowwise(
        loss,
        "softmax_probabilities" if focus is None else "focal_probabilities",
        input,
        target,
        dim,
        how,
        (compute, result),
        steps,
        weight=weight,
        smoothing=smoothing,
        gamma=gamma,
        focus=focus,
    )
