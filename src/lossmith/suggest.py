"""A loss's parameters from training data: Huber's delta, pos_weight, class weights, cosine margins.

Everything takes arrays, tensors, Series and lists, and returns what the loss takes: a float or a float32 tensor. Give
training data alone: whatever is computed from test rows has seen them.
"""

from typing import Any

import torch
from torch import Tensor

NORMAL = 1.4826  # the standard deviation of a normal distribution over its median absolute deviation
EFFICIENT = 1.345  # Huber's delta, in standard deviations, at 95 % efficiency under normal noise


def robust_scale(values: Any) -> float:
    """1.4826 times the median absolute deviation: the standard deviation where the values are normal, and hardly moved
    by outliers. Where half the values are equal it falls back to the standard deviation.

    Args:
        values: numbers of any shape.

    Raises:
        ValueError: there are none, or one is NaN or infinite.

    >>> import lossmith
    >>> lossmith.suggest.robust_scale([1.0, 2.0, 3.0, 4.0, 1000.0])
    1.4826
    """
    return _robust_scale("robust_scale", "values", values)


def delta(residuals: Any) -> float:
    r"""Huber's delta for the residuals of a first, robust fit: 1.345 robust standard deviations (:func:`robust_scale`).

    At 1.345 standard deviations the Huber estimate of a mean is 95 % as efficient as the mean under normal noise.
    The result is in the residuals' unit: divide both by the same scale if you standardise the target. Residuals that
    are all equal give 1, the loss's default.

    Source: Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics 35 (1964).

    Args:
        residuals: target less prediction, of any shape.

    Raises:
        ValueError: there are no residuals, or one is NaN or infinite.

    >>> import lossmith
    >>> round(lossmith.suggest.delta([-1.0, 0.0, 1.0, 2.0, 500.0]), 3)  # 1.345 * 1.4826 * 1
    1.994
    """
    return EFFICIENT * _robust_scale("delta", "residuals", residuals) or 1.0


def pos_weight(targets: Any) -> Tensor:
    """Negatives over positives, for each column of targets: in sum, both sides of a label then weigh the same.

    For :class:`lossmith.BCEWithLogitsLoss`. A side without a row counts as one row.

    Args:
        targets: 0 and 1 (or booleans), of shape (N) or (N, labels).

    Returns:
        A float32 tensor of shape (1), or (labels).

    Raises:
        ValueError: there are no targets, a target is neither 0 nor 1, or the shape is another.

    >>> import lossmith
    >>> lossmith.suggest.pos_weight([1, 0, 0, 0])
    tensor([3.])
    >>> lossmith.suggest.pos_weight([[1, 1], [0, 1], [0, 0]])
    tensor([2.0000, 0.5000])
    """
    values = _numbers("pos_weight", "targets", targets)
    if values.ndim not in (1, 2):
        raise ValueError(f"pos_weight: targets have shape {tuple(values.shape)}, expected (N) or (N, labels)")
    if wrong := values[(values != 0) & (values != 1)].tolist():
        raise ValueError(
            f"pos_weight: targets hold {wrong[0]:g}, expected 0 and 1; compare with the positive value first, as in "
            "targets == 1"
        )
    columns = values.reshape(len(values), -1)
    positives = columns.sum(dim=0)
    return ((len(columns) - positives).clamp(min=1) / positives.clamp(min=1)).float()


def class_weight(labels: Any, classes: int | None = None, beta: float = 1.0) -> Tensor:
    r"""The weight :math:`n / (K n_c)` for each of K classes: in sum, all classes then weigh the same, and the mean
    weight of a row is 1.

    With a ``beta`` below 1 the number of rows :math:`n_c` is replaced by the effective number
    :math:`E_c = (1 - \beta^{n_c}) / (1 - \beta)` of Cui et al., as rows are alike and a new one adds less and less:
    the weights go as :math:`1 / E_c`, and again the mean weight of a row is 1. Their betas are 0.9 to 0.9999: classes
    of many more than :math:`1 / (1 - \beta)` rows weigh alike; at 0 all do.

    For the ``weight`` of :class:`lossmith.CrossEntropyLoss` and :class:`lossmith.FocalLoss`. A class without a row
    counts as one row.

    Source: Cui et al., "Class-Balanced Loss Based on Effective Number of Samples" (2019), equations 2 and 4.

    Args:
        labels: class numbers from 0, of any shape; or names, whose classes are then in sorted order.
        classes: how many there are; by default as many as the labels tell: the largest number plus one, or the
            different names.
        beta: from 0 to 1, which is the limit: every row counts in full.

    Returns:
        A float32 tensor of shape (K).

    Raises:
        ValueError: there are no labels, a number is no whole number from 0 to K - 1, K is fewer than the names, or beta
            is not from 0 to 1.

    >>> import lossmith
    >>> lossmith.suggest.class_weight([0, 0, 0, 1])
    tensor([0.6667, 2.0000])
    >>> lossmith.suggest.class_weight(["cat", "dog", "cat", "cat"])
    tensor([0.6667, 2.0000])
    >>> lossmith.suggest.class_weight([0, 0, 0, 1], beta=0.5)  # 1 / 1.75 and 1, times 4 / (3 / 1.75 + 1)
    tensor([0.8421, 1.4737])
    """
    if not 0 <= beta <= 1:
        raise ValueError(f"class_weight: beta is {beta!r}, expected a number from 0 to 1; 0.999 is usual")
    numbers, found = _class_numbers(labels)
    many = found if classes is None else classes
    if many < found:
        raise ValueError(f"class_weight: the labels tell of {found} classes, more than classes={classes}")
    counts = torch.bincount(numbers, minlength=many).double()
    rows = counts.clamp(min=1)
    effective = rows if beta == 1 else (1 - beta**rows) / (1 - beta)
    return (len(numbers) / ((rows / effective).sum() * effective)).float()


def cosine_margin(first: Any, second: Any, label: Any) -> float:
    """The margin of :class:`lossmith.CosineEmbeddingLoss` from pairs: the median cosine of the unlike ones, between
    0 and 0.5.

    An unlike pair pays as long as its cosine is above the margin: the closer half of the unlike pairs is pushed to
    where the other half is. Below 0 not all unlike pairs could go (three vectors can't all point away from each
    other); above 0.5 little would be left between unlike pairs and alike ones, which go to 1.

    Args:
        first, second: the vectors of a pair, each of shape (N, D): embeddings, or standardised inputs.
        label: 1 for alike and -1 for unlike pairs, of shape (N).

    Raises:
        ValueError: the shapes don't fit, a label is neither 1 nor -1, or no pair is unlike.

    >>> import lossmith
    >>> first = [[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]]
    >>> second = [[2.0, 0.1], [1.0, 3.0], [1.0, 3.0]]
    >>> round(lossmith.suggest.cosine_margin(first, second, [1, -1, 1]), 3)  # 1 / sqrt(10)
    0.316
    """
    a, b = _numbers("cosine_margin", "first", first), _numbers("cosine_margin", "second", second)
    signs = _numbers("cosine_margin", "label", label)
    if a.ndim != 2 or a.shape != b.shape or signs.shape != a.shape[:1]:
        raise ValueError(
            f"cosine_margin: first, second and label have shapes {tuple(a.shape)}, {tuple(b.shape)} and "
            f"{tuple(signs.shape)}, expected (N, D), (N, D) and (N)"
        )
    if wrong := signs[(signs != 1) & (signs != -1)].tolist():
        raise ValueError(
            f"cosine_margin: label holds {wrong[0]:g}, expected 1 for alike and -1 for unlike pairs; write 2 * label "
            "- 1 for labels of 0 and 1"
        )
    if not (signs == -1).any():
        raise ValueError("cosine_margin: no pair is unlike (label -1), and the margin is theirs alone")
    cosines = torch.nn.functional.cosine_similarity(a, b, dim=1)
    return min(max(_median(cosines[signs == -1]), 0.0), 0.5)


def _robust_scale(function: str, name: str, values: Any) -> float:
    numbers = _numbers(function, name, values).flatten()
    scale = NORMAL * _median((numbers - _median(numbers)).abs())
    return scale if scale > 0 else float(numbers.std(correction=0))


def _median(values: Tensor) -> float:
    """The middle value, or the mean of the middle two (torch.median takes the lower one)."""
    ascending = values.sort().values
    return float(ascending[[(len(values) - 1) // 2, len(values) // 2]].mean())


def _numbers(function: str, name: str, values: Any) -> Tensor:
    """The values in float64."""
    if not isinstance(values, Tensor):
        values = values.to_numpy() if hasattr(values, "to_numpy") else values
        values = torch.as_tensor(values.copy() if hasattr(values, "dtype") else values)  # some arrays can't be written
    numbers: Tensor = values.detach().cpu().double()
    if not numbers.numel():
        raise ValueError(f"{function}: {name} hold no value")
    if not numbers.isfinite().all():
        raise ValueError(f"{function}: {name} hold NaN or an infinite number; leave those out")
    return numbers


def _class_numbers(labels: Any) -> tuple[Tensor, int]:
    """Each label's number, and how many classes the labels tell of."""
    listed = labels.tolist() if hasattr(labels, "tolist") else labels
    if len(listed) and all(isinstance(label, str) for label in listed):
        names = {name: number for number, name in enumerate(sorted(set(listed)))}
        return torch.tensor([names[label] for label in listed]), len(names)
    values = _numbers("class_weight", "labels", labels).flatten()
    if wrong := values[(values < 0) | (values != values.round())].tolist():
        raise ValueError(
            f"class_weight: labels hold {wrong[0]:g}, expected whole numbers from 0; leave out rows that are ignored "
            "(such as -100)"
        )
    return values.long(), int(values.max()) + 1
