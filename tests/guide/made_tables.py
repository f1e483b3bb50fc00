"""Made tables, one for each branch of the tree; the rule that made a table is the rule that the guide has to find."""

from collections.abc import Callable

import numpy as np
import polars as pl


def _inputs(generator: np.random.Generator, rows: int, columns: int = 3) -> np.ndarray:
    return generator.normal(size=(rows, columns))


def _table(x: np.ndarray, **targets: object) -> pl.DataFrame:
    return pl.DataFrame({f"x{i}": column for i, column in enumerate(x.T)} | targets)


def plain(rows: int = 400, seed: int = 0) -> pl.DataFrame:
    g = np.random.default_rng(seed)
    x = _inputs(g, rows)
    return _table(x, y=100 + 30 * x[:, 0] - 20 * x[:, 1] + g.normal(size=rows) * 10)


def outliers(rows: int = 400, seed: int = 0, share: float = 0.05) -> pl.DataFrame:
    g = np.random.default_rng(seed)
    table = plain(rows, seed)
    wild = (g.random(rows) < share) * g.normal(size=rows) * 400
    return table.with_columns(y=table["y"] + wild)


def gross_outliers(rows: int = 400, seed: int = 0) -> pl.DataFrame:
    return outliers(rows, seed, share=0.3)


def growing_noise(rows: int = 400, seed: int = 0) -> pl.DataFrame:
    g = np.random.default_rng(seed)
    x = _inputs(g, rows)
    x[:, 0] = g.uniform(0, 5, rows)
    return _table(x, y=2 * x[:, 0] + x[:, 1] + x[:, 0] * g.normal(size=rows))


def counts(rows: int = 400, seed: int = 0) -> pl.DataFrame:
    g = np.random.default_rng(seed)
    x = _inputs(g, rows)
    return _table(x, y=g.poisson(np.exp(1 + 0.6 * x[:, 0] - 0.4 * x[:, 1])))


def _codes(rows: int, seed: int, shares: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Classes around centres of their own."""
    g = np.random.default_rng(seed)
    codes = g.choice(len(shares), size=rows, p=shares)
    codes[: 8 * len(shares)] = np.repeat(np.arange(len(shares)), 8)
    return _inputs(g, rows) + 2 * g.normal(size=(len(shares), 3))[codes], codes


def binary(values: list[object], rows: int = 300, share: float = 0.35) -> pl.DataFrame:
    x, codes = _codes(rows, 0, [1 - share, share])
    return _table(x, y=[values[code] for code in codes])


def classes(values: list[object], rows: int = 300) -> pl.DataFrame:
    x, codes = _codes(rows, 0, [1 / len(values)] * len(values))
    return _table(x, y=[values[code] for code in codes])


def skewed_classes(rows: int = 400) -> pl.DataFrame:
    x, codes = _codes(rows, 0, [0.8, 0.12, 0.08])
    return _table(x, y=[("common", "rare", "rarer")[code] for code in codes])


def rare_class(rows: int = 800) -> pl.DataFrame:
    x, codes = _codes(rows, 0, [0.8, 0.18, 0.02])
    return _table(x, y=[("common", "rare", "rarer")[code] for code in codes])


def labels(rows: int = 300, at: float = 0.0) -> pl.DataFrame:
    g = np.random.default_rng(0)
    x = _inputs(g, rows)
    on = {f"y{i}": (x[:, i] + 0.3 * g.normal(size=rows) > at).astype(int) for i in range(3)}
    return _table(x, **on)


def one_hot(rows: int = 300) -> pl.DataFrame:
    x, codes = _codes(rows, 0, [1 / 3] * 3)
    return _table(x, **{f"y{i}": (codes == i).astype(int) for i in range(3)})


PARTS = ("clay", "sand", "silt", "stone")


def distributions(rows: int = 300, total: float = 1.0, names: tuple[str, ...] = PARTS) -> pl.DataFrame:
    g = np.random.default_rng(0)
    x = _inputs(g, rows)
    shares = np.exp(x @ g.normal(size=(3, 4)) + 0.3 * g.normal(size=(rows, 4)))
    shares *= total / shares.sum(axis=1, keepdims=True)
    return _table(x, **dict(zip(names, shares.T, strict=True)))


def bins(rows: int = 300) -> pl.DataFrame:
    """Histograms of a value whose middle depends on the inputs."""
    g = np.random.default_rng(0)
    x = _inputs(g, rows)
    values = 2.5 + 1.2 * x[:, :1] + 0.5 * g.normal(size=(rows, 40))
    counts = np.stack([np.bincount(row.round().clip(0, 5).astype(int), minlength=6) for row in values])
    return _table(x, **{f"age_{10 * i}": counts[:, i] / 40 for i in range(6)})


def several_outputs(rows: int = 300) -> pl.DataFrame:
    g = np.random.default_rng(0)
    x = _inputs(g, rows)
    return _table(x, y0=x[:, 0] + 0.2 * g.normal(size=rows), y1=1000 * x[:, 1] + 300 * g.normal(size=rows))


# Each branch: its table, its target columns, and where the tree must end.
BRANCHES: dict[str, tuple[Callable[[], pl.DataFrame], str, str, str]] = {
    "plain": (plain, "y", "regression", "MSELoss"),
    "several outputs": (several_outputs, "y0,y1", "regression", "MSELoss"),
    "outliers": (outliers, "y", "regression with outliers", "HuberLoss"),
    "gross outliers": (gross_outliers, "y", "regression with gross outliers", "L1Loss"),
    "growing noise": (growing_noise, "y", "regression with growing noise", "GaussianNLLLoss"),
    "counts": (counts, "y", "counts", "PoissonNLLLoss"),
    "binary names": (lambda: binary(["benign", "malignant"]), "y", "binary classification", "BCEWithLogitsLoss"),
    "binary bools": (lambda: binary([False, True]), "y", "binary classification", "BCEWithLogitsLoss"),
    "binary 0/1": (lambda: binary([0, 1]), "y", "binary classification", "BCEWithLogitsLoss"),
    "binary -1/1": (lambda: binary([-1, 1]), "y", "binary classification", "BCEWithLogitsLoss"),
    "classes as names": (lambda: classes(["a", "b", "c"]), "y", "multi-class classification", "CrossEntropyLoss"),
    "classes as integers": (lambda: classes([0, 1, 2]), "y", "multi-class classification", "CrossEntropyLoss"),
    "many classes as integers": (
        lambda: classes(list(range(1, 9))),
        "y",
        "multi-class classification",
        "CrossEntropyLoss",
    ),
    "classes as floats": (lambda: classes([1.0, 2.0, 3.0]), "y", "multi-class classification", "CrossEntropyLoss"),
    "classes one-hot": (one_hot, "y0,y1,y2", "multi-class classification", "CrossEntropyLoss"),
    "skewed classes": (skewed_classes, "y", "multi-class classification, skewed", "CrossEntropyLoss"),
    "labels": (labels, "y0,y1,y2", "multi-label classification", "BCEWithLogitsLoss"),
    "rare labels": (
        lambda: labels(at=1.5),
        "y0,y1,y2",
        "multi-label classification, skewed",
        "BCEWithLogitsLoss",
    ),
    "distributions": (distributions, ",".join(PARTS), "distributions", "KLDivLoss"),
    "percentages": (lambda: distributions(total=100), ",".join(PARTS), "distributions", "KLDivLoss"),
    "bins": (bins, ",".join(f"age_{10 * i}" for i in range(6)), "distributions over bins in an order", "KLDivLoss"),
    "rare class": (rare_class, "y", "multi-class classification, a class rare", "FocalLoss"),
    "rare value": (
        lambda: binary(["ok", "broken"], rows=1000, share=0.03),
        "y",
        "binary classification, one value rare",
        "SigmoidFocalLoss",
    ),
    "very rare labels": (
        lambda: labels(rows=600, at=2.0),
        "y0,y1,y2",
        "multi-label classification, a label rare",
        "SigmoidFocalLoss",
    ),
}


# Tables where what the tree goes by is there, and yet another loss does better.


def _far_from_the_rest(rows: int, classes: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Rare classes that one can tell by themselves: weights then only raise false alarms."""
    g = np.random.default_rng(0)
    rare = rows // 20
    codes = np.repeat(np.arange(classes), [rows - rare * (classes - 1)] + [rare] * (classes - 1))
    x = _inputs(g, rows)
    x[np.arange(rows), codes] += shift * (codes > 0)
    return x, codes


def rare_and_plain() -> pl.DataFrame:
    x, codes = _far_from_the_rest(3000, 2, 3.0)
    return _table(x, y=codes)


def skewed_and_plain() -> pl.DataFrame:
    x, codes = _far_from_the_rest(3000, 3, 3.0)
    return _table(x, y=[("a", "b", "c")[code] for code in codes])


def growing_noise_on_a_wave() -> pl.DataFrame:
    """A mean that is hard to learn: GaussianNLLLoss explains what it has not learned yet as noise, and rests there."""
    g = np.random.default_rng(0)
    x = g.uniform(0, 5, (1500, 2))
    return _table(x, y=5 * np.sin(2.5 * x[:, 0]) * x[:, 0] + 0.6 * x[:, 0] * g.normal(size=1500))
