"""A loss's parameters from training data: Huber's delta, pos_weight, class weights."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

NORMAL = 1.4826  # the standard deviation of a normal distribution over its median absolute deviation
EFFICIENT = 1.345  # Huber's delta, in standard deviations, at 95 % efficiency under normal noise


def robust_scale(values: ArrayLike) -> float:
    """1.4826 x the median absolute deviation: the standard deviation where the values are normal, and hardly moved by
    outliers. Where half the values are equal it falls back to the standard deviation.

    >>> robust_scale([1.0, 2.0, 3.0, 4.0, 1000.0])
    1.4826
    """
    array = np.asarray(values, dtype=np.float64)
    scale = NORMAL * float(np.median(np.abs(array - np.median(array))))
    return scale if scale > 0 else float(array.std())


def delta(residuals: ArrayLike) -> float:
    """Huber's delta for residuals of a first, robust fit: 1.345 robust standard deviations, in the residuals' unit.

    >>> round(delta([-1.0, 0.0, 1.0, 2.0, 500.0]), 3)
    1.994
    """
    return EFFICIENT * robust_scale(residuals) or 1.0


def pos_weight(targets: ArrayLike) -> NDArray[np.float64]:
    """Negatives over positives, for each column of 0/1 targets: both classes then weigh the same.

    >>> pos_weight([1, 0, 0, 0])
    array([3.])
    """
    array = np.asarray(targets, dtype=np.float64)
    array = array.reshape(len(array), -1)
    positives = array.sum(axis=0)
    return np.asarray((len(array) - positives).clip(1) / positives.clip(1), dtype=np.float64)


def class_weight(labels: ArrayLike, classes: int) -> NDArray[np.float64]:
    """n / (K n_c) for each of K classes: all classes then weigh the same, and the mean weight of a row is 1.

    >>> class_weight([0, 0, 0, 1], 2)
    array([0.66666667, 2.        ])
    """
    counts = np.bincount(np.asarray(labels), minlength=classes)
    return np.asarray(len(np.asarray(labels)) / (classes * counts.clip(1)), dtype=np.float64)
