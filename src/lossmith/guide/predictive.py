"""Predictive distributions of numbers: likelihood, CRPS and coverage of a normal or Poisson distribution a row."""

import numpy as np
from numpy.typing import NDArray
from scipy import special

from .inputs import Array

SMALLEST = 1e-15


def judge_distributions(truth: Array, mean: Array, std: Array | None, counts: bool, units: Array) -> dict[str, float]:
    """How well distributions foretell what came; means over rows and outputs.

    Args:
        truth: (rows, outputs).
        mean: (rows, outputs), the mean of each distribution.
        std: (rows, outputs), the standard deviation of normal distributions; None stands for Poisson distributions.
        counts: whether the truth is counts. The likelihood of a count under a normal distribution is then the
            probability of what is rounded to it (to 0, of all below 0.5), so that it compares with Poisson's.
        units: (outputs,), the unit in which likelihood and CRPS are measured.
    """
    if std is None:
        rate = mean.clip(SMALLEST)
        low, high = special.pdtr(truth - 1, rate), special.pdtr(truth, rate)
        low = np.where(truth > 0, low, 0.0)
        nll = rate - special.xlogy(truth, rate) + special.gammaln(truth + 1)
        crps = _crps_of_poisson(truth, rate)
    else:
        z = (truth - mean) / std
        crps = std * (z * special.erf(z / np.sqrt(2)) + np.sqrt(2 / np.pi) * np.exp(-(z**2) / 2) - 1 / np.sqrt(np.pi))
        if counts:
            below = np.where(truth > 0, (truth - 0.5 - mean) / std, -np.inf)
            above = (truth + 0.5 - mean) / std
            low, high = special.ndtr(below), special.ndtr(above)
            nll = -_log_probability(below, above)
        else:
            low = high = special.ndtr(z)
            nll = z**2 / 2 + np.log(std / units) + np.log(2 * np.pi) / 2
    found = {"crps": float((crps / units).mean()), "nll": float(nll.mean())}
    for level in (50, 90):
        found[f"coverage_{level}"] = float(_within(low, high, level / 100).mean())
    return found


def _crps_of_poisson(y: Array, rate: Array) -> Array:
    """(y - λ)(2 F(y) - 1) + 2 λ f(y) - λ exp(-2λ) (I0(2λ) + I1(2λ)); Wei and Held, "Calibration tests for count data"
    (2014).
    """
    mass = np.exp(special.xlogy(y, rate) - rate - special.gammaln(y + 1))
    spread = rate * (special.i0e(2 * rate) + special.i1e(2 * rate))
    crps: Array = (y - rate) * (2 * special.pdtr(y, rate) - 1) + 2 * rate * mass - spread
    return crps


def _log_probability(low: Array, high: Array) -> Array:
    """log(Φ(high) - Φ(low)), from the tail in which both are small, so that no digit is lost."""
    flipped = low > 0
    low, high = np.where(flipped, -high, low), np.where(flipped, -low, high)
    larger = special.log_ndtr(high)
    gap = np.minimum(special.log_ndtr(low) - larger, -1e-300)  # at most 0, and -inf would be no likelihood
    difference: Array = larger + np.log(-np.expm1(gap))
    return difference


def _within(low: Array, high: Array, level: float) -> Array | NDArray[np.bool_]:
    """Whether the row lies within the central interval. A count holds all probability between `low` and `high`: it lies
    within in part, so that the mean of a true distribution is the level (Czado, Gneiting and Held 2009).
    """
    first, last = (1 - level) / 2, (1 + level) / 2
    mass = high - low
    inside = (np.minimum(high, last) - np.maximum(low, first)).clip(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(mass > 0, inside / mass, (first <= high) & (high <= last))
