"""Metrics that don't depend on the loss: what each kind of target is judged by."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .inputs import Array
from .target import Target

BINS = 10


@dataclass(frozen=True)
class Metric:
    """A metric's name in tables and which way is better."""

    title: str
    higher_is_better: bool = False


METRICS = {
    "mae": Metric("MAE"),
    "rmse": Metric("RMSE"),
    "median_error": Metric("median error"),
    "accuracy": Metric("accuracy", higher_is_better=True),
    "subset_accuracy": Metric("all labels right", higher_is_better=True),
    "macro_f1": Metric("macro F1", higher_is_better=True),
    "log_loss": Metric("log loss"),
    "calibration_error": Metric("calibration"),
    "kl_divergence": Metric("KL divergence"),
    "total_variation": Metric("total variation"),
}
NEED_PROBABILITIES = ("log_loss", "calibration_error")


def measure(target: Target, rows: NDArray[np.int64], predicted: Array, units: Array) -> dict[str, float]:
    """Every metric of the target's kind for the predictions of some rows. `units` scales each output of several, so
    that none drowns the others; for one output it is 1.
    """
    if target.kind == "numbers":
        return _numbers((np.asarray(target.values)[rows] - predicted) / units)
    if target.kind in ("binary", "classes"):
        return _classes(np.asarray(target.codes)[rows], predicted)
    truth = np.asarray(target.values)[rows]
    return _labels(truth, predicted) if target.kind == "labels" else _distributions(truth, predicted)


def _numbers(errors: Array) -> dict[str, float]:
    size = np.abs(errors)
    return {
        "mae": float(size.mean()),
        "rmse": float(np.sqrt((errors**2).mean())),
        "median_error": float(np.median(size)),
    }


def _classes(codes: NDArray[np.int64], probabilities: Array) -> dict[str, float]:
    chosen = probabilities.argmax(axis=1)
    truth = probabilities[np.arange(len(codes)), codes]
    return {
        "accuracy": float(np.mean(chosen == codes)),
        "macro_f1": macro_f1(np.eye(probabilities.shape[1])[codes], np.eye(probabilities.shape[1])[chosen]),
        "log_loss": float(-np.log(truth.clip(1e-15)).mean()),
        "calibration_error": calibration_error(probabilities.max(axis=1), chosen == codes),
    }


def _labels(truth: Array, probabilities: Array) -> dict[str, float]:
    chosen = probabilities >= 0.5
    right = np.where(truth == 1, probabilities, 1 - probabilities)
    return {
        "macro_f1": macro_f1(truth, chosen),
        "subset_accuracy": float(np.mean((chosen == truth).all(axis=1))),
        "log_loss": float(-np.log(right.clip(1e-15)).mean()),
        "calibration_error": calibration_error(probabilities.ravel(), truth.ravel() == 1),
    }


def _distributions(truth: Array, shares: Array) -> dict[str, float]:
    truth = truth / truth.sum(axis=1, keepdims=True)
    terms = truth * (np.log(truth.clip(1e-15)) - np.log(shares.clip(1e-15)))
    return {
        "total_variation": float(np.abs(truth - shares).sum(axis=1).mean() / 2),
        "kl_divergence": float(terms.sum(axis=1).mean()),
    }


def macro_f1(truth: Array, chosen: Array | NDArray[np.bool_]) -> float:
    """The mean of each column's F1, over the columns that occur in the truth or among the chosen."""
    both = (truth * chosen).sum(axis=0)
    either = truth.sum(axis=0) + chosen.sum(axis=0)
    return float(np.mean(2 * both[either > 0] / either[either > 0])) if either.any() else 1.0


def calibration_error(confidence: Array, right: NDArray[np.bool_]) -> float:
    """Expected calibration error: |share that is right - mean confidence| over ten bins, weighted by their rows."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(confidence))
