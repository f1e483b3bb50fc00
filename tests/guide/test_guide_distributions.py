"""Likelihood, CRPS and coverage against numerical integration and sampling; calibration against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from lossmith.guide.calibration import calibration
from lossmith.guide.metrics import METRICS, calibrate, measure
from lossmith.guide.predictive import judge_distributions
from lossmith.guide.recipes import RECIPES
from lossmith.guide.target import Target

ONE = np.ones(1)
MODERATE = st.floats(-5, 5)
WIDTH = st.floats(0.05, 5)


def judged(truth: float, mean: float, std: float | None, counts: bool = False) -> dict[str, float]:
    array = None if std is None else np.array([[std]])
    return judge_distributions(np.array([[truth]]), np.array([[mean]]), array, counts, ONE)


def integrated(cdf, truth: float, low: float, high: float) -> float:
    """CRPS by its definition: the integral of (F(x) - 1{x >= truth})²."""
    below = integrate.quad(lambda x: cdf(x) ** 2, low, truth, limit=200)[0]
    return below + integrate.quad(lambda x: (1 - cdf(x)) ** 2, truth, high, limit=200)[0]


@settings(max_examples=60, deadline=None)
@given(MODERATE, MODERATE, WIDTH)
def test_normal(truth: float, mean: float, std: float) -> None:
    found = judged(truth, mean, std)
    normal = stats.norm(mean, std)
    assert found["nll"] == pytest.approx(-normal.logpdf(truth), abs=1e-9)
    reach = 12 * std + abs(truth - mean)
    assert found["crps"] == pytest.approx(integrated(normal.cdf, truth, mean - reach, mean + reach), abs=1e-5)
    for level in (50, 90):
        low, high = normal.interval(level / 100)
        assert found[f"coverage_{level}"] == (low <= truth <= high)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.floats(0.01, 30))
def test_poisson(truth: int, rate: float) -> None:
    found = judged(truth, rate, None, counts=True)
    poisson = stats.poisson(rate)
    assert found["nll"] == pytest.approx(-poisson.logpmf(truth), abs=1e-7)
    steps = np.arange(0, 400)  # between whole numbers F is constant
    assert found["crps"] == pytest.approx(np.sum((poisson.cdf(steps) - (steps >= truth)) ** 2), abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.1, 30), st.one_of(st.none(), WIDTH))
def test_of_counts_the_probabilities_sum_to_one_and_coverage_is_nominal(mean: float, std: float | None) -> None:
    """What is foretold comes true on average: over all counts, weighted by their own probability."""
    found = [judged(count, mean, std, counts=True) for count in range(200)]
    mass = np.exp([-each["nll"] for each in found])
    assert mass.sum() == pytest.approx(1, abs=1e-9)
    for level in (50, 90):
        inside = np.array([each[f"coverage_{level}"] for each in found])
        assert (mass * inside).sum() == pytest.approx(level / 100, abs=1e-6)


@pytest.mark.parametrize(("truth", "mean", "std"), [(0, 1e30, 1.0), (3, -1e30, 1.0), (10**6, 0.0, 1e-3), (5, 5, 1e30)])
def test_likelihoods_stay_finite_and_tails_keep_their_digits(truth: int, mean: float, std: float) -> None:
    assert all(np.isfinite(value) for value in judged(truth, mean, std, counts=True).values())
    assert all(np.isfinite(value) for value in judged(truth, max(mean, 0), None, counts=True).values())
    # log(Φ(-59.5) - Φ(-60.5)), of which the second is e-60 of the first
    assert judged(60, 0.0, 1.0, counts=True)["nll"] == pytest.approx(-stats.norm.logsf(59.5))


def test_units_divide_crps_and_shift_the_likelihood() -> None:
    generator = np.random.default_rng(0)
    truth, mean = generator.normal(size=(2, 50, 2))
    std, units = np.full((50, 2), 0.7), np.array([2.0, 10.0])
    found = judge_distributions(truth, mean, std, False, units)
    scaled = judge_distributions(truth / units, mean / units, std / units, False, np.ones(2))
    assert found == pytest.approx(scaled)


@pytest.mark.parametrize("wrong", ["mean", "narrow", "wide"])
def test_likelihood_and_crps_are_proper(wrong: str) -> None:
    """The distribution that the truth came from is better than any other."""
    truth = np.random.default_rng(0).normal(2, 3, (20_000, 1))
    mean = np.full_like(truth, 2 + (wrong == "mean"))
    std = np.full_like(truth, {"mean": 3, "narrow": 2, "wide": 4}[wrong])
    right = judge_distributions(truth, np.full_like(truth, 2), np.full_like(truth, 3), False, ONE)
    other = judge_distributions(truth, mean, std, False, ONE)
    assert right["nll"] < other["nll"]
    assert right["crps"] < other["crps"]
    assert right["coverage_90"] == pytest.approx(0.9, abs=0.01)
    assert right["coverage_50"] == pytest.approx(0.5, abs=0.01)


# Calibration


def test_by_hand() -> None:
    """Two bins: 0.2 and 0.4 came true never, 0.7 and 0.9 once of twice; (0.3 + 0.3) / 2."""
    found = calibration([0.9, 0.2, 0.7, 0.4], [1, 0, 0, 0], bins=2)
    assert found.confidence.tolist() == pytest.approx([0.3, 0.8])
    assert found.observed.tolist() == [0, 0.5]
    assert found.rows.tolist() == [2, 2]
    assert found.error == pytest.approx(0.3)


def test_equal_confidences_share_a_bin_whatever_their_order() -> None:
    assert calibration(np.full(4, 0.75), [1, 1, 1, 0]).error == 0
    assert calibration(np.full(4, 0.75), [0, 1, 1, 1]).error == 0
    assert calibration(np.ones(4), [1, 0, 0, 0]).error == 0.75


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(15, 300))
def test_bins_are_scikit_learns(seed: int, bins: int, rows: int) -> None:
    generator = np.random.default_rng(seed)
    probability = np.round(generator.random(rows), 2)  # with ties
    truth = generator.random(rows) < probability
    if truth.all() or not truth.any():
        truth[0] = not truth[0]
    observed, confidence = calibration_curve(truth, probability, n_bins=bins, strategy="quantile")
    found = calibration(probability, truth, bins)
    np.testing.assert_allclose(found.observed, observed)
    np.testing.assert_allclose(found.confidence, confidence)
    assert found.rows.sum() == rows


def test_true_probabilities_are_calibrated_and_overconfident_ones_are_not() -> None:
    generator = np.random.default_rng(0)
    probability = generator.random(20_000)
    truth = generator.random(20_000) < probability
    assert calibration(probability, truth).error < 0.015
    assert calibration(np.round(probability), truth).error == pytest.approx(0.25, abs=0.02)


def test_what_is_calibrated() -> None:
    generator = np.random.default_rng(0)
    truth, probabilities = np.eye(3)[generator.integers(0, 3, 100)], generator.dirichlet([1, 1, 1], 100)
    right = truth[np.arange(100), probabilities.argmax(axis=1)]
    assert calibrate("classes", truth, probabilities).error == calibration(probabilities.max(axis=1), right).error
    two, both = np.eye(2)[generator.integers(0, 2, 100)], generator.dirichlet([1, 1], 100)
    assert calibrate("binary", two, both).error == calibration(both[:, 1], two[:, 1]).error
    assert calibrate("labels", truth, probabilities).error == calibration(probabilities.ravel(), truth.ravel()).error


@pytest.mark.parametrize("classes", [2, 3])
def test_brier_scores_are_scikit_learns(classes: int) -> None:
    generator = np.random.default_rng(0)
    codes, probabilities = generator.integers(0, classes, 200), generator.dirichlet(np.ones(classes), 200)
    kind = "binary" if classes == 2 else "classes"
    found = measure(Target(kind, ("y",), codes, codes, tuple(range(classes))), np.arange(200), probabilities, ONE)
    theirs = brier_score_loss(codes, probabilities[:, 1] if classes == 2 else probabilities)
    assert found["brier"] == pytest.approx(theirs)


def test_who_optimises_a_metric_is_a_recipe() -> None:
    assert {recipe for metric in METRICS.values() for recipe in metric.optimised_by} <= set(RECIPES)
