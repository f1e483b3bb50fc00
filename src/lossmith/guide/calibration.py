"""Calibration: whether what is predicted with 80 % comes true in 80 % of the rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .inputs import Array

BINS = 10


@dataclass(frozen=True, eq=False)
class Calibration:
    """Rows in bins of about as many rows each, by what the network was sure of; empty bins are left out."""

    confidence: Array
    """The mean predicted probability of each bin, ascending."""
    observed: Array
    """The share of its rows in which the prediction came true."""
    rows: NDArray[np.int64]

    @property
    def error(self) -> float:
        """The expected calibration error: the mean distance of the two, each bin weighted by its rows."""
        return float(np.abs(self.observed - self.confidence) @ self.rows / self.rows.sum())


def calibration(confidence: ArrayLike, came_true: ArrayLike, bins: int = BINS) -> Calibration:
    """Bins with equal mass: edges are quantiles of the confidence, and equal confidences share a bin.

    >>> calibration([0.2, 0.4, 0.8, 0.8], [0, 0, 1, 1], bins=2)
    Calibration(confidence=array([0.3, 0.8]), observed=array([0., 1.]), rows=array([2, 2]))
    """
    given, true = np.asarray(confidence, dtype=np.float64), np.asarray(came_true, dtype=np.float64)
    edges = np.percentile(given, 100 * np.linspace(0, 1, bins + 1)[1:-1])
    place = np.searchsorted(edges, given)
    rows = np.bincount(place, minlength=bins)
    filled = rows > 0
    sums = (np.bincount(place, weights=values, minlength=bins)[filled] for values in (given, true))
    mean, share = (each / rows[filled] for each in sums)
    return Calibration(mean, share, rows[filled])
