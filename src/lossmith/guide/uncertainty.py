"""How sure a mean over folds is: folds share training rows, so their figures are no independent sample."""

import numpy as np
from scipy.stats import t as student

from .inputs import Array


def interval(values: Array, ratio: float, comparisons: int = 1, level: float = 0.95) -> tuple[float, float]:
    """A t interval for the mean of figures over the folds of (repeated) cross-validation.

    The variance of the mean is s² (1/k + ratio), with k figures and `ratio` test rows for each training row: the
    corrected resampled t-test of Nadeau and Bengio, "Inference for the Generalization Error" (2003). The level holds
    for all comparisons together (Bonferroni). A single figure says nothing of its uncertainty; its
    interval is infinite.
    """
    mean, runs = float(values.mean()), len(values)
    if runs < 2:
        return -np.inf, np.inf
    variance = (1 / runs + ratio) * float(np.var(values, ddof=1))
    reach = float(student.ppf(1 - (1 - level) / 2 / comparisons, runs - 1)) * variance**0.5
    return mean - reach, mean + reach
