"""Intervals over folds hold the truth as often as they say, on simulated tables where the truth is known."""

import numpy as np
import pytest

from lossmith.guide.record import Scores
from lossmith.guide.uncertainty import interval

SHRUNK = (0.0, 1000.0)
NOISE = np.array([0.01, -0.02, 0.03, -0.01, 0.0, 0.02, -0.03, 0.01, 0.0, -0.01])


def test_the_interval_is_corrected_for_shared_training_rows_and_several_rivals() -> None:
    low, high = interval(NOISE, ratio=0.25)
    naive = 2.262 * NOISE.std(ddof=1) / 10**0.5  # Student's t, nine degrees of freedom
    assert high - low == pytest.approx(2 * naive * (1 + 10 / 4) ** 0.5, rel=1e-3)
    assert np.subtract(*interval(NOISE, 0.25, comparisons=3)[::-1]) > high - low


def test_one_figure_says_nothing_of_its_uncertainty() -> None:
    assert interval(np.array([3.0]), 0.25) == (-np.inf, np.inf)
    assert Scores("mse", {"rmse": np.array([3.0])}).interval("rmse") == (3, 0, np.inf)
    assert Scores("binary", {"accuracy": np.array([0.5])}).interval("accuracy") == (0.5, 0, 1)


def test_an_interval_stays_within_what_the_metric_can_be() -> None:
    mean, low, high = Scores("binary", {"accuracy": np.array([1.0, 0.9, 1.0, 1.0, 1.0])}).interval("accuracy")
    assert mean == pytest.approx(0.98)
    assert low < mean < high == 1


def _error(learned: np.ndarray, judged: np.ndarray, shrink: float) -> float:
    """Squared error of a least-squares line, shrunk: a learner whose folds share training rows as ours do."""
    x, y = learned[:, :-1], learned[:, -1]
    weights = np.linalg.solve(x.T @ x + shrink * np.eye(x.shape[1]), x.T @ y)
    return float(np.mean((judged[:, -1] - judged[:, :-1] @ weights) ** 2))


def _table(generator: np.random.Generator, rows: int) -> np.ndarray:
    x = generator.normal(size=(rows, 5))
    return np.column_stack([x, x @ [0.5, 0.4, 0.2, 0, 0] + generator.normal(size=rows)])


@pytest.fixture(scope="module")
def simulated() -> tuple[np.ndarray, np.ndarray, float, float]:
    """For each of many tables the figures of all folds: of one learner, and of its difference from another; with what
    both are for new rows, after learning from as many rows.
    """
    generator = np.random.default_rng(0)
    rows, folds, repeats, tables = 60, 5, 3, 300
    own, differences, truth = [], [], []
    new = _table(generator, 4000)
    for _ in range(tables):
        table = _table(generator, rows)
        errors = []
        for _ in range(repeats):
            for judged in np.array_split(generator.permutation(rows), folds):
                learned = np.delete(np.arange(rows), judged)
                errors.append([_error(table[learned], table[judged], shrink) for shrink in SHRUNK])
        truth.append([_error(_table(generator, rows - rows // folds), new, shrink) for shrink in SHRUNK])
        errors = np.array(errors)
        own.append(errors[:, 0])
        differences.append(errors[:, 0] - errors[:, 1])
    expected, other = np.mean(truth, axis=0)
    return np.array(own), np.array(differences), float(expected), float(expected - other)


def _coverage(figures: np.ndarray, truth: float, ratio: float) -> float:
    ends = np.array([interval(each, ratio) for each in figures])
    return float(np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1])))


def test_the_mean_error_lies_in_its_interval(simulated) -> None:
    own, _, expected, _ = simulated
    assert _coverage(own, expected, 0.25) >= 0.93
    assert _coverage(own, expected, 0.0) < 0.75  # as if folds were independent: far too sure


def test_the_difference_lies_in_its_interval(simulated) -> None:
    _, differences, _, truth = simulated
    assert _coverage(differences, truth, 0.25) >= 0.93
    assert _coverage(differences, truth, 0.0) < 0.85
