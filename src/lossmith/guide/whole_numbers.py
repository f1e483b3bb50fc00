"""Whole numbers in one column: labels, counts or a quantity, and how that is known."""

import re
from itertools import permutations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import skew
from sklearn.linear_model import PoissonRegressor
from sklearn.model_selection import KFold, cross_val_predict

from ..card import Text
from .inputs import Array

MOST_LABELS = 30
DISPERSION = 30.0  # variance over mean of counts that scatter widely; amounts of money have thousands

COUNT_WORDS = {"count", "counts", "cnt", "num", "number", "n", "visits", "events", "claims"}
CLASS_WORDS = {"class", "label", "category", "species", "type", "kind", "cluster"}


def whole_numbers(name: str, numbers: Array, design: Array, seed: int) -> tuple[bool, bool, Text]:
    """Whether whole numbers are classes, or counts, and how that is known."""
    distinct, codes, rows = np.unique(numbers, return_inverse=True, return_counts=True)
    words = set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))
    low, high, many = int(distinct[0]), int(distinct[-1]), len(distinct)

    def said(en: str, zh: str) -> Text:
        return Text(
            f"{name} holds {many} different whole numbers from {low} to {high}{en}",
            f"{name} 含 {many} 个不同的整数，从 {low} 到 {high}{zh}",
        )

    if words & COUNT_WORDS and low >= 0:
        return False, True, said(", and its name says that they are counts", "，列名表明它们是计数")
    if words & CLASS_WORDS and many <= len(numbers) / 5:
        return True, False, said(", and its name says that they are classes", "，列名表明它们是类别")
    if many <= 4 and len(numbers) >= 5 * many:
        why = said(
            ": so few that they are labels (a column of counts can say so in its name, as n_visits does)",
            "：取值很少，因此是标签（计数列可以用列名说明，例如 n_visits）",
        )
        return True, False, why
    gapless = high - low + 1 == many
    falling = rows[-1] <= rows.max() / 5 and float(skew(numbers)) > 0.3
    testable = many <= 100 and len(numbers) >= 10 * many
    related, luck = _order(codes, design, seed) if testable else (False, 0.0)
    if testable and gapless:
        if low in (0, 1) and falling and (luck <= 0.02 or not related):
            order, ordered = ("put", "能") if luck <= 0.02 else ("don't put", "不能")
            why = said(
                f", without a gap, thinning out upwards ({rows[-1]} rows hold the largest, {rows.max()} the most "
                f"frequent), and the inputs {order} them in that order: counts",
                f"，中间没有空缺，越大越少（最大值有 {rows[-1]} 行，最常见的值有 {rows.max()} 行），"
                f"并且输入{ordered}把它们排成这个顺序：计数",
            )
            return False, True, why
        enough = many <= 10 or rows.min() >= 5
        if enough and (many <= MOST_LABELS or luck > 0.02):
            why = said(
                f", without a gap, each in {rows.min()} to {rows.max()} rows: labels",
                f"，中间没有空缺，每个值有 {rows.min()} 到 {rows.max()} 行：标签",
            )
            return True, False, why
    if testable and many <= MOST_LABELS and related and luck > 0.2:
        why = said(
            ", which the inputs explain, but not in their order: labels", "，输入能解释它们，但不按其大小顺序：标签"
        )
        return True, False, why
    if low < 0:
        why = said(
            ": a quantity (counts are never negative, labels are fewer)", "：数量（计数不会为负，标签的取值更少）"
        )
        return False, False, why
    if np.gcd.reduce(distinct.astype(np.int64)) > 1:
        return False, False, said(", all multiples of one number: a quantity", "，都是同一个数的倍数：数量")
    dispersion = _dispersion(numbers, design, seed)
    around = f"around a Poisson fit their variance is {dispersion:.2g} times their mean (1 for Poisson counts)"
    around_zh = f"围绕泊松拟合的方差是均值的 {dispersion:.2g} 倍（泊松计数为 1）"
    skewness = float(skew(numbers))
    from_zero = low <= 2 and (dispersion <= 3 or (dispersion <= DISPERSION and skewness > 0.5))
    like_poisson = 0.75 <= dispersion <= 1.35 and skewness > 0.2 and high >= 3 * low
    if from_zero or like_poisson:
        return False, True, said(f"; {around}: counts", f"；{around_zh}：计数")
    why = said(
        f": a quantity (too many values for labels; {around}, so no counts)",
        f"：数量（取值太多，不是标签；{around_zh}，所以不是计数）",
    )
    return False, False, why


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
