"""What one should look at before training: inputs that give the target away, targets out of scale."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, skew
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from ..card import Text
from .inputs import Array, Inputs
from .pairs import KINDS
from .target import Target

SAMPLE = 2_000  # rows that leaks are looked for in
FEWEST = 30  # rows that have the input: of fewer, an accident looks like a leak
GIVEN_AWAY = 0.999  # share of the target's ranks that one input explains
MISSED = 0.02  # errors that one input leaves, over those of always guessing the largest class
ROOT_OF_LARGEST = float(np.sqrt(np.finfo(np.float32).max))  # 1.8e19: squares beyond overflow float32


def cautions(target: Target, inputs: Inputs, seed: int) -> tuple[Text, ...]:
    """Every caution, leaks first; pairs and triplets have none of these."""
    if target.kind in KINDS:
        return ()
    return (*_leaks(target, inputs, seed), *_scales(target))


# Leaks


def _leaks(target: Target, inputs: Inputs, seed: int) -> list[Text]:
    """Inputs that predict a target nearly perfectly on their own: copies of it, transforms, what came after it."""
    rows = np.random.default_rng(seed).permutation(len(inputs.values))[:SAMPLE]
    values = np.asarray(target.values if target.codes is None else target.codes).reshape(len(inputs.values), -1)[rows]
    names = target.columns if values.shape[1] == len(target.columns) else (", ".join(target.columns),)
    tells = _tells_classes if target.kind in ("binary", "classes", "labels", "embedding") else _tells_numbers
    found = []
    for column, given in zip(inputs.names, inputs.values[rows].T, strict=True):
        known = ~np.isnan(given)
        if known.sum() >= min(FEWEST, len(given)) and np.ptp(given[known]) > 0:
            told = tells(given[known], values[known], seed)
            found += [(column, names[output]) for output in np.flatnonzero(told)]
    return [
        Text(
            f"{column} alone predicts {name} nearly perfectly: if it is made from the target, or known only after it, "
            "leave it out, or every figure here is too good",
            f"仅凭 {column} 就几乎能完美预测 {name}：如果它由目标算出，或在目标之后才知道，请去掉它，"
            "否则这里的所有数字都偏好",
        )
        for column, name in found
    ]


def _tells_classes(given: Array, truth: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """For each column of classes, whether a tree on one input tells nearly all of them out of fold."""
    guessed = np.array([1 - np.unique(column, return_counts=True)[1].max() / len(column) for column in truth.T])
    missed = _out_of_fold(DecisionTreeClassifier(random_state=seed), given, truth, seed) != truth
    return np.asarray((missed.mean(axis=0) <= MISSED * guessed) & (guessed > 0))


def _tells_numbers(given: Array, truth: Array, seed: int) -> NDArray[np.bool_]:
    """For each column of numbers, whether one input puts them in their order, or a tree on it tells their ranks."""
    ranks = rankdata(truth, axis=0)
    tree = DecisionTreeRegressor(min_samples_leaf=2, random_state=seed)
    left = ((ranks - _out_of_fold(tree, given, ranks, seed)) ** 2).mean(axis=0)
    place = rankdata(given)
    together = np.cov(np.column_stack([place, ranks]).T)[0, 1:] ** 2
    in_order = together >= GIVEN_AWAY**2 * place.var(ddof=1) * ranks.var(axis=0, ddof=1)
    learned = left <= (1 - GIVEN_AWAY) * ranks.var(axis=0)
    return np.asarray((in_order | learned) & (np.ptp(ranks, axis=0) > 0))


def _out_of_fold(tree: object, given: Array, truth: NDArray[np.generic], seed: int) -> NDArray[Any]:
    folds = KFold(5, shuffle=True, random_state=seed)
    column, wanted = given.reshape(-1, 1), truth[:, 0] if truth.shape[1] == 1 else truth
    found: NDArray[Any] = cross_val_predict(tree, column, wanted, cv=folds).reshape(truth.shape)
    return found


# Scales


def _scales(target: Target) -> list[Text]:
    if target.kind != "numbers" or target.facts["counts"]:
        return []
    columns = list(zip(target.columns, np.asarray(target.values).T, strict=True))
    found = [_not_standardised(name, values) for name, values in columns]
    found += [_heavy(name, values) for name, values in columns]
    return [caution for caution in found if caution]


def _not_standardised(name: str, values: Array) -> Text | None:
    mean, spread = float(values.mean()), float(values.std())
    if 0.1 <= spread <= 10 and abs(mean) <= 10 * spread:
        return None
    mean = mean if abs(mean) > 1e-9 * spread else 0.0  # what is left of a mean of 0 by rounding
    overflow = np.abs(values).max() >= ROOT_OF_LARGEST
    en = f" (and overflows float32 to inf: squares do beyond {ROOT_OF_LARGEST:.2g})" if overflow else ""
    zh = f"（并在 float32 中溢出为 inf：超过 {ROOT_OF_LARGEST:.2g} 的数平方后会溢出）" if overflow else ""
    return Text(
        f"{name} is not standardised (mean {mean:.4g}, standard deviation {spread:.4g}): as it is, MSELoss would start "
        f"at about {mean**2 + spread**2:.2g} instead of 1{en}, with gradients to match; the snippet standardises it",
        f"{name} 没有标准化（均值 {mean:.4g}，标准差 {spread:.4g}）：直接使用时 MSELoss 的初始值约为 "
        f"{mean**2 + spread**2:.2g} 而不是 1{zh}，梯度也随之失衡；下面的代码会将其标准化",
    )


def _heavy(name: str, values: Array) -> Text | None:
    """A positive target whose logarithm is far more even than itself."""
    low, high = np.quantile(values, [0.01, 0.99])
    zeros = values.min() == 0
    if values.min() < 0 or high < 100 * low or (zeros and high < 100):
        return None
    logs = np.log1p(values) if zeros else np.log(values)
    raw, even = float(skew(values)), float(skew(logs))
    if raw < 2 or abs(even) > raw / 3:
        return None
    log, back = ("log1p", "expm1") if zeros else ("log", "exp")
    return Text(
        f"{name} has a heavy scale: from {low:.3g} to {high:.3g} (1 % and 99 % of the rows), with skewness {raw:.2g}, "
        f"and {even:.2g} after a logarithm; where relative errors count, learn {log}({name}) and give {back} of the "
        "prediction; where absolute ones do, take a robust loss",
        f"{name} 的尺度很重：从 {low:.3g} 到 {high:.3g}（1% 和 99% 分位），偏度为 {raw:.2g}，取对数后为 {even:.2g}；"
        f"若看重相对误差，请学习 {log}({name})，再对预测取 {back}；若看重绝对误差，请用稳健损失",
    )
