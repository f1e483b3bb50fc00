"""What the experiment records: the figures of every fold, learning curves, predictions out of fold."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .calibration import Calibration
from .inputs import Array
from .metrics import METRICS
from .uncertainty import interval

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Curves:
    """Learning curves: one value for each epoch, the mean over folds; one that has stopped stays at its last value."""

    training: Array
    """The loss itself over the training rows, as they were seen; each loss has a scale of its own."""
    validation: Array
    """The same over the rows that decide when to stop."""
    metric: Array
    """The metric that decides, over those rows."""
    trained: Array
    """The share of the folds that had not stopped yet."""


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Predictions by the network that was not trained on the row: those of the first repeat, so that no row counts
    twice.
    """

    rows: Rows
    """Their places in the table that the experiment was given; split by time, the first window is not among them."""
    truth: Array
    """(rows, outputs), in the target's own unit; of classes, labels and distributions 0/1 and shares."""
    predicted: Array
    """(rows, outputs) likewise; of classes probabilities, or the softmax of scores where a loss gives no
    probabilities; of an embedding the vectors, which compare within a fold alone."""
    std: Array | None = None
    """(rows, outputs), only of numbers: the standard deviation of the predictive distribution."""

    @property
    def residuals(self) -> Array:
        return self.truth - self.predicted


@dataclass(frozen=True, eq=False)
class Scores:
    """What the experiment found for one candidate."""

    recipe: str
    folds: Mapping[str, Array]
    """By metric, one value for each fold; the folds of a repeat stand together. A loss without probabilities lacks the
    metrics that need them."""
    ratio: float = 0.25
    """Test rows for each training row, the mean over the folds."""
    curves: Curves | None = None
    out_of_fold: OutOfFold | None = None
    calibration: Calibration | None = None
    """Of the predictions out of fold, where the loss gives probabilities of classes or labels."""
    held_out: Mapping[str, float] = field(default_factory=dict)
    """By metric, the value on the rows held out: of the recommended loss and the runner-up, if any were held out."""

    def interval(self, metric: str) -> tuple[float, float, float]:
        """The mean over the folds with its 95 % interval: (mean, low, high). Where one fold alone is done the interval
        is all that the metric can be.
        """
        values = self.folds[metric]
        low, high = np.clip(interval(values, self.ratio), *METRICS[metric].bounds)
        return float(values.mean()), float(low), float(high)


@dataclass(frozen=True, eq=False)
class Experiment:
    """All that was tried: every candidate on the same folds."""

    scores: tuple[Scores, ...]
    """In the candidates' order."""
    split: str
    """How folds were made: `random`, `group`, `time` or `group and time`."""
    folds: int
    """Folds in a repeat."""
    planned: int
    """Folds in all repeats; the scores hold fewer if the experiment is partial."""
    rows: Rows
    """The rows that were compared on; of a large table a sample."""
    held_out: Rows
    """The rows that the comparison never saw; none without `Settings.held_out`."""
    runner_up: str | None = None
    """The recipe of the best rival in the metric that decides, over the folds."""
    partial: bool = False
    """Whether it was interrupted: some folds, or the score on the rows held out, are missing."""

    @property
    def done(self) -> int:
        return len(next(iter(self.scores[0].folds.values())))
