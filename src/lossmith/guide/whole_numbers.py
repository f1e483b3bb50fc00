"""Whole numbers in one column: labels, counts or a quantity, and how that is known."""

import re
from itertools import permutations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import skew
from sklearn.linear_model import PoissonRegressor
from sklearn.model_selection import KFold, cross_val_predict

from .inputs import Array

MOST_LABELS = 30
DISPERSION = 30.0  # variance over mean of counts that scatter widely; amounts of money have thousands

COUNT_WORDS = {"count", "counts", "cnt", "num", "number", "n", "visits", "events", "claims"}
CLASS_WORDS = {"class", "label", "category", "species", "type", "kind", "cluster"}


def whole_numbers(name: str, numbers: Array, design: Array, seed: int) -> tuple[bool, bool, str]:
    """Whether whole numbers are classes, or counts, and how that is known."""
    distinct, codes, rows = np.unique(numbers, return_inverse=True, return_counts=True)
    words = set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))
    low, high, many = int(distinct[0]), int(distinct[-1]), len(distinct)
    span = f"{name} holds {many} different whole numbers from {low} to {high}"
    if words & COUNT_WORDS and low >= 0:
        return False, True, f"{span}, and its name says that they are counts"
    if words & CLASS_WORDS and many <= len(numbers) / 5:
        return True, False, f"{span}, and its name says that they are classes"
    if many <= 4 and len(numbers) >= 5 * many:
        why = "so few that they are labels (a column of counts can say so in its name, as n_visits does)"
        return True, False, f"{span}: {why}"
    gapless = high - low + 1 == many
    falling = rows[-1] <= rows.max() / 5 and float(skew(numbers)) > 0.3
    testable = many <= 100 and len(numbers) >= 10 * many
    related, luck = _order(codes, design, seed) if testable else (False, 0.0)
    in_order = "the inputs put them in that order" if luck <= 0.02 else "the inputs don't put them in that order"
    if testable and gapless:
        if low in (0, 1) and falling and (luck <= 0.02 or not related):
            tail = f"{rows[-1]} rows hold the largest, {rows.max()} the most frequent"
            return False, True, f"{span}, without a gap, thinning out upwards ({tail}), and {in_order}: counts"
        enough = many <= 10 or rows.min() >= 5
        if enough and (many <= MOST_LABELS or luck > 0.02):
            return True, False, f"{span}, without a gap, each in {rows.min()} to {rows.max()} rows: labels"
    if testable and many <= MOST_LABELS and related and luck > 0.2:
        return True, False, f"{span}, which the inputs explain, but not in their order: labels"
    if low < 0:
        return False, False, f"{span}: a quantity (counts are never negative, labels are fewer)"
    if np.gcd.reduce(distinct.astype(np.int64)) > 1:
        return False, False, f"{span}, all multiples of one number: a quantity"
    dispersion = _dispersion(numbers, design, seed)
    around = f"around a Poisson fit their variance is {dispersion:.2g} times their mean (1 for Poisson counts)"
    skewness = float(skew(numbers))
    from_zero = low <= 2 and (dispersion <= 3 or (dispersion <= DISPERSION and skewness > 0.5))
    like_poisson = 0.75 <= dispersion <= 1.35 and skewness > 0.2 and high >= 3 * low
    if from_zero or like_poisson:
        return False, True, f"{span}; {around}: counts"
    return False, False, f"{span}: a quantity (too many values for labels; {around}, so no counts)"


def _order(codes: NDArray[np.int64], design: Array, seed: int) -> tuple[bool, float]:
    """Whether a line through the inputs explains any order of the numbers, and the share of all orders that it explains
    as well as their own. The order of labels is arbitrary, that of counts is not.
    """
    generator = np.random.default_rng(seed)
    many = int(codes.max()) + 1
    membership = np.eye(many)[codes]
    centered = np.column_stack([np.ones(len(design)), design])
    fitted = centered @ np.linalg.lstsq(centered, membership, rcond=None)[0]
    rows = membership.sum(axis=0)
    explained = (fitted - fitted.mean(axis=0)).T @ (fitted - fitted.mean(axis=0))

    def share(order: NDArray[np.int64]) -> float:
        ranks = np.empty(many)
        ranks[order] = np.cumsum(rows[order]) - rows[order] / 2
        ranks -= ranks @ rows / rows.sum()
        return float(ranks @ explained @ ranks / (ranks**2 @ rows))

    natural = np.arange(many)
    others = (
        [np.array(order) for order in permutations(range(many))]
        if many <= 5
        else [generator.permutation(many) for _ in range(499)] + [natural]
    )
    shares = np.array([share(order) for order in others])
    as_well = float(np.mean(shares >= share(natural) - 1e-12))
    # The most that inputs without any relation explain of any order: the largest canonical correlation of noise.
    unrelated = (np.sqrt(design.shape[1]) + np.sqrt(many - 1)) ** 2 / len(codes)
    return bool(shares.max() > 1.5 * unrelated), as_well


def _dispersion(numbers: Array, design: Array, seed: int) -> float:
    """Pearson's dispersion around an out-of-fold Poisson fit: 1 for Poisson counts, more for scattered ones."""
    rate = cross_val_predict(
        PoissonRegressor(alpha=1e-2, max_iter=300), design, numbers, cv=KFold(5, shuffle=True, random_state=seed)
    ).clip(1e-6)
    return float(np.mean((numbers - rate) ** 2 / rate))
