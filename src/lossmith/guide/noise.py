"""The noise around a first, robust fit of a numeric target: outliers, growth, and the residuals for Huber's delta."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter
from scipy.stats import spearmanr
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import HuberRegressor
from sklearn.model_selection import KFold, cross_val_predict

from ..card import Text
from ..suggest import NORMAL, robust_scale
from .inputs import Array

OUTLIER = 3.5  # robust standard deviations; a normal distribution has 0.05 % beyond
PREDICTION = Text("the prediction", "预测值")
FITS = {
    "median": Text("the median", "中位数"),
    "line": Text("a robust line", "稳健直线"),
    "trees": Text("boosted trees", "提升树"),
}
GROWS, SURELY = 0.3, 0.001  # rank correlation of |residual| with what it follows, and its p-value


@dataclass(frozen=True)
class FirstFit:
    """Out-of-fold predictions of one target column by the best of three robust fits."""

    name: Text
    target: Array
    fitted: Array

    @property
    def residuals(self) -> Array:
        return self.target - self.fitted

    @property
    def exact(self) -> bool:
        """Nothing but rounding is left over."""
        return robust_scale(self.residuals) <= 1e-6 * robust_scale(self.target)


def first_fit(design: Array, target: Array, seed: int) -> FirstFit:
    """The fit with the smallest median error out of fold: the median, a line (Huber) or boosted trees (absolute error).
    None of the three follows a few wild rows, and out of fold none can hide a residual by learning it.
    """
    center, scale = float(np.median(target)), robust_scale(target) or 1.0
    scaled = (target - center) / scale
    folds = KFold(5, shuffle=True, random_state=seed)
    fits: dict[str, Array] = {"median": np.zeros_like(scaled)}
    models: dict[str, Callable[[], object]] = {
        "line": lambda: HuberRegressor(max_iter=300, alpha=1e-2),
        "trees": lambda: HistGradientBoostingRegressor(
            loss="absolute_error", max_iter=60, early_stopping=False, random_state=seed
        ),
    }
    for name, model in models.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an unfinished line is judged by its predictions like any other fit
            try:
                fits[name] = cross_val_predict(model(), design, scaled, cv=folds)
            except ValueError:  # the line search broke down, as it does on degenerate columns
                continue
    name = min(fits, key=lambda fit: float(np.median(np.abs(scaled - fits[fit]))))
    return FirstFit(FITS[name], target, center + scale * fits[name])


@dataclass(frozen=True)
class Growth:
    """How the spread of the residuals follows the prediction or an input (Spearman's rank correlation)."""

    driver: Text
    correlation: float
    p_value: float  # corrected for the number of drivers tried
    order: Array  # what the spread follows, one value a row


def growth(fit: FirstFit, inputs: dict[str, Array]) -> Growth:
    """The strongest rank correlation of |residual| with the prediction or one of the inputs."""
    drivers = [(PREDICTION, fit.fitted), *((Text(name, name), values) for name, values in inputs.items())]
    spread = np.abs(fit.residuals - np.median(fit.residuals))
    found = [Growth(PREDICTION, 0.0, 1.0, fit.fitted)]
    for driver, values in drivers:
        if np.ptp(values) > 0 and np.ptp(spread) > 0:
            correlation, p_value = spearmanr(spread, values)
            found.append(Growth(driver, float(correlation), min(1.0, float(p_value) * len(drivers)), values))
    return max(found, key=lambda growth: abs(growth.correlation))


def outlier_share(values: Array, order: Array | None = None) -> float:
    """Share of values further than 3.5 robust standard deviations from their median. With `order`, the spread is
    measured among neighbours in that order, so that noise that grows isn't taken for outliers.
    """
    distance = np.abs(values - np.median(values))
    scale = np.full_like(distance, robust_scale(values))
    if order is not None:
        rows = np.argsort(order, kind="stable")
        local = NORMAL * median_filter(distance[rows], size=max(31, len(values) // 10), mode="nearest")
        scale[rows] = np.maximum(local, 0.05 * scale[rows])
    return float(np.mean(distance > OUTLIER * scale))


@dataclass(frozen=True)
class Noise:
    """What is left of one target column after a first fit."""

    fit: FirstFit
    growth: Growth
    grows: bool
    outliers: float  # share of the residuals
    target_outliers: float  # share of the target itself


def noise(design: Array, target: Array, inputs: dict[str, Array], seed: int) -> Noise:
    """Fits, then looks at the residuals; fewer than three outliers are none, and an exact fit has no noise."""
    fit = first_fit(design, target, seed)
    follows = growth(fit, inputs)
    grows = not fit.exact and abs(follows.correlation) >= GROWS and follows.p_value <= SURELY
    share = 0.0 if fit.exact else outlier_share(fit.residuals, follows.order if grows else None)
    return Noise(fit, follows, grows, share if share * len(target) >= 3 else 0.0, outlier_share(target))
