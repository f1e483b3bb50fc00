"""Metrics that don't depend on the loss: what each kind of target is judged by."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..card import Text
from .calibration import Calibration, calibration
from .inputs import Array
from .pairs import KINDS, judge
from .target import Target


@dataclass(frozen=True)
class Metric:
    """A metric: its name in tables, what it says, which way is better, and who has an advantage in it."""

    title: Text
    about: Text
    higher_is_better: bool = False
    nominal: float | Literal["level"] | None = None
    """The value that it should have, where neither more nor less is better, or that it is the level of the interval
    that was asked for; such a metric is not compared."""
    alone: bool = True
    """Whether it says by itself which is better; such a metric as the width of intervals does not, and is not compared.
    """
    bounds: tuple[float, float] = (0.0, np.inf)
    optimised_by: tuple[str, ...] = ()
    """The recipes whose loss is this metric, up to scale: on it they have an advantage."""

    @property
    def compared(self) -> bool:
        return self.nominal is None and self.alone

    def right(self, target: Target) -> float | None:
        """The value that it should have for this target, where neither more nor less is better."""
        return target.level if self.nominal == "level" else self.nominal


METRICS = {
    "mae": Metric(
        Text("MAE", "MAE"),
        Text("mean absolute error, in the target's unit", "平均绝对误差，单位与目标相同"),
        optimised_by=("l1",),
    ),
    "rmse": Metric(
        Text("RMSE", "RMSE"),
        Text("root of the mean squared error, in the target's unit", "均方误差的平方根，单位与目标相同"),
        optimised_by=("mse",),
    ),
    "median_error": Metric(
        Text("median error", "误差中位数"),
        Text("median of the absolute errors: half of the rows are closer", "绝对误差的中位数：一半样本的误差比它小"),
    ),
    "crps": Metric(
        Text("CRPS", "CRPS"),
        Text(
            "continuous ranked probability score: how far the predicted distribution is from what came, in the "
            "target's unit; of a prediction without spread it is the MAE",
            "连续分级概率评分：预测分布与实际值相距多远，单位与目标相同；若预测没有离散度，它就是 MAE",
        ),
    ),
    "nll": Metric(
        Text("NLL", "NLL"),
        Text(
            "negative log-likelihood of a row under the predicted distribution",
            "样本在预测分布下的负对数似然（每个样本的平均值）",
        ),
        bounds=(-np.inf, np.inf),
        optimised_by=("gaussian", "poisson"),
    ),
    "coverage_50": Metric(
        Text("in 50 %", "50% 覆盖率"),
        Text("share of the rows within the central 50 % interval", "落在中央 50% 区间内的样本比例"),
        nominal=0.5,
        bounds=(0.0, 1.0),
    ),
    "coverage_90": Metric(
        Text("in 90 %", "90% 覆盖率"),
        Text("share of the rows within the central 90 % interval", "落在中央 90% 区间内的样本比例"),
        nominal=0.9,
        bounds=(0.0, 1.0),
    ),
    "interval_score": Metric(
        Text("interval score", "区间评分"),
        Text(
            "Winkler score of the interval: its width, and for a row outside of it the distance times 2 / (1 - level), "
            "in the target's unit",
            "区间的 Winkler 评分：区间宽度，若样本在区间外，再加上到区间的距离乘以 2 / (1 − 区间水平)；单位同目标",
        ),
        optimised_by=("quantiles",),
    ),
    "coverage": Metric(
        Text("coverage", "覆盖率"),
        Text(
            "share of the rows within their interval; the level that was asked for is right",
            "落在各自区间内的样本比例；应等于所要求的水平",
        ),
        nominal="level",
        bounds=(0.0, 1.0),
    ),
    "width": Metric(
        Text("width", "区间宽度"),
        Text(
            "mean width of the intervals, in the target's unit; less is better where the coverage is right",
            "区间的平均宽度，单位与目标相同；覆盖率正确时越小越好",
        ),
        alone=False,
    ),
    "accuracy": Metric(
        Text("accuracy", "准确率"),
        Text("share of the rows whose class is predicted rightly", "类别预测正确的样本比例"),
        higher_is_better=True,
        bounds=(0.0, 1.0),
    ),
    "subset_accuracy": Metric(
        Text("all labels right", "全部标签正确"),
        Text("share of the rows whose labels are all predicted rightly", "所有标签都预测正确的样本比例"),
        higher_is_better=True,
        bounds=(0.0, 1.0),
    ),
    "macro_f1": Metric(
        Text("macro F1", "宏平均 F1"),
        Text(
            "F1, the harmonic mean of precision and recall, of each class or label; their mean, so that rare ones "
            "count as much as frequent ones",
            "先求每个类别或标签的 F1（精确率与召回率的调和平均），再取平均；罕见类与常见类同样重要",
        ),
        higher_is_better=True,
        bounds=(0.0, 1.0),
    ),
    "log_loss": Metric(
        Text("log loss", "对数损失"),
        Text("negative logarithm of the probability given to what came true", "赋予真实结果的概率的负对数"),
        optimised_by=("binary", "cross_entropy", "labels"),
    ),
    "brier": Metric(
        Text("Brier", "Brier 分数"),
        Text(
            "Brier score: squared distance of the probabilities from 0 and 1, what came true",
            "Brier 分数：预测概率与实际结果（0 或 1）之差的平方",
        ),
        bounds=(0.0, 2.0),
        optimised_by=("mse_of_labels",),
    ),
    "calibration_error": Metric(
        Text("calibration", "校准误差"),
        Text(
            "expected calibration error: |share that came true - predicted probability|, the mean over bins of as many "
            "rows each",
            "期望校准误差：各个等样本量分箱中 |实际发生的比例 − 预测概率| 的平均",
        ),
        bounds=(0.0, 1.0),
    ),
    "kl_divergence": Metric(
        Text("KL divergence", "KL 散度"),
        Text(
            "Kullback-Leibler divergence of the predicted shares from the true ones", "真实分布相对预测分布的 KL 散度"
        ),
        optimised_by=("kl",),
    ),
    "total_variation": Metric(
        Text("total variation", "全变差距离"),
        Text(
            "the share that would have to be moved: half the sum of absolute differences",
            "需要挪动的份额：绝对差之和的一半",
        ),
        bounds=(0.0, 1.0),
        optimised_by=("l1_of_shares",),
    ),
    "mass_moved": Metric(
        Text("mass moved", "搬运距离"),
        Text(
            "Wasserstein distance: how many columns far the shares would have to be moved on average, if the columns "
            "are places in an order",
            "Wasserstein 距离：若各列是有顺序的位置，份额平均需要移动多少列",
        ),
        optimised_by=("wasserstein",),
    ),
    "recall_at_1": Metric(
        Text("recall at 1", "Recall@1"),
        Text(
            "share of the rows whose nearest other row, by the angle of their vectors, has the same class; a row whose "
            "class no other judged row has is left out",
            "按向量夹角，最近的另一行属于同一类别的样本比例；若被评判的样本中没有同类，则不计入",
        ),
        higher_is_better=True,
        bounds=(0.0, 1.0),
    ),
    "map_at_r": Metric(
        Text("MAP at R", "MAP@R"),
        Text(
            "of a row with R others of its class, the mean over its R nearest of the precision up to each that is of "
            "the class (Musgrave et al., 2020); their mean over the rows",
            "某行有 R 个同类样本时，在其最近的 R 个样本中，对每个同类样本处的精确率求和再除以 R"
            "（Musgrave 等，2020）；再对各行取平均",
        ),
        higher_is_better=True,
        bounds=(0.0, 1.0),
    ),
    "roc_auc": Metric(
        Text("ROC AUC", "ROC AUC"),
        Text(
            "how often an alike pair, or one whose first example is better, is rated above another",
            "相似的一对（或第一个更好的一对）得分高于其他样本对的频率",
        ),
        higher_is_better=True,
        bounds=(0.0, 1.0),
    ),
    "average_precision": Metric(
        Text("average precision", "平均精确率"),
        Text(
            "precision among the closest pairs, the mean over all shares of the alike pairs found",
            "最近的样本对中的精确率，对找回的相似对的各个比例取平均",
        ),
        higher_is_better=True,
        bounds=(0.0, 1.0),
    ),
    "ordered": Metric(
        Text("ordered rightly", "顺序正确率"),
        Text("share of the rows whose examples are put in the right order", "样本顺序排对的行所占的比例"),
        higher_is_better=True,
        bounds=(0.0, 1.0),
    ),
    "hellinger": Metric(
        Text("Hellinger", "Hellinger 距离"),
        Text("Hellinger distance: between the square roots of the shares", "Hellinger 距离：份额平方根之间的距离"),
        bounds=(0.0, 1.0),
    ),
}
NEED_PROBABILITIES = ("log_loss", "brier", "calibration_error")


def measure(target: Target, rows: NDArray[np.int64], predicted: Array, units: Array) -> dict[str, float]:
    """The metrics of the target's kind for the predictions of some rows. `units` scales each output of several, so that
    none drowns the others; for one output it is 1.
    """
    if target.kind == "numbers":
        return _numbers((np.asarray(target.values)[rows] - predicted) / units)
    if target.kind in KINDS:
        return judge(target.kind, None if target.codes is None else target.codes[rows], predicted)
    if target.kind == "embedding":
        return _neighbours(np.asarray(target.codes)[rows], predicted)
    if target.kind in ("binary", "classes"):
        return _classes(np.asarray(target.codes)[rows], predicted)
    truth = np.asarray(target.values)[rows]
    if target.kind == "labels":
        return _labels(truth, predicted)
    return _distributions(truth, predicted, target.facts.get("in order", False))


def _numbers(errors: Array) -> dict[str, float]:
    size = np.abs(errors)
    return {
        "mae": float(size.mean()),
        "rmse": float(np.sqrt((errors**2).mean())),
        "median_error": float(np.median(size)),
    }


def _classes(codes: NDArray[np.int64], probabilities: Array) -> dict[str, float]:
    chosen = probabilities.argmax(axis=1)
    truth = np.eye(probabilities.shape[1])[codes]
    return {
        "accuracy": float(np.mean(chosen == codes)),
        "macro_f1": macro_f1(truth, np.eye(probabilities.shape[1])[chosen]),
        "log_loss": float(-np.log(probabilities[np.arange(len(codes)), codes].clip(1e-15)).mean()),
        # Of two classes, as is the custom, the squared distance of the one probability.
        "brier": float(((probabilities - truth) ** 2).sum(axis=1).mean()) / (2 if probabilities.shape[1] == 2 else 1),
    }


def _labels(truth: Array, probabilities: Array) -> dict[str, float]:
    chosen = probabilities >= 0.5
    right = np.where(truth == 1, probabilities, 1 - probabilities)
    return {
        "macro_f1": macro_f1(truth, chosen),
        "subset_accuracy": float(np.mean((chosen == truth).all(axis=1))),
        "log_loss": float(-np.log(right.clip(1e-15)).mean()),
        "brier": float(((probabilities - truth) ** 2).mean()),
    }


def _distributions(truth: Array, shares: Array, in_order: bool) -> dict[str, float]:
    truth = truth / truth.sum(axis=1, keepdims=True)
    terms = truth * (np.log(truth.clip(1e-15)) - np.log(shares.clip(1e-15)))
    moved = np.abs(np.cumsum(truth - shares, axis=1)).sum(axis=1)
    return {
        "total_variation": float(np.abs(truth - shares).sum(axis=1).mean() / 2),
        "hellinger": float(np.sqrt(((np.sqrt(truth) - np.sqrt(shares)) ** 2).sum(axis=1) / 2).mean()),
        "kl_divergence": float(terms.sum(axis=1).mean()),
    } | ({"mass_moved": float(moved.mean())} if in_order else {})


def _neighbours(codes: NDArray[np.int64], vectors: Array) -> dict[str, float]:
    """Of vectors of length 1. Equally near rows keep their order."""
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    ranked = np.argsort(-cosines, axis=1, kind="stable")[:, :-1]
    same = codes[ranked] == codes[:, None]
    others = same.sum(axis=1)
    same, others = same[others > 0], others[others > 0]
    if not len(others):
        return {"recall_at_1": 0.0, "map_at_r": 0.0}
    places = np.arange(1, same.shape[1] + 1)
    found = same & (places <= others[:, None])
    precision = np.cumsum(found, axis=1) / places
    return {
        "recall_at_1": float(same[:, 0].mean()),
        "map_at_r": float(((precision * found).sum(axis=1) / others).mean()),
    }


def judge_intervals(truth: Array, low: Array, high: Array, level: float, units: Array) -> dict[str, float]:
    """Winkler's score, coverage and width of intervals, of shape (rows, outputs); means over both.

    Source: Gneiting and Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation" (2007), equation 43.
    """
    width = (high - low) / units
    outside = (np.maximum(low - truth, 0) + np.maximum(truth - high, 0)) / units
    return {
        "interval_score": float((width + 2 / (1 - level) * outside).mean()),
        "coverage": float((outside == 0).mean()),
        "width": float(width.mean()),
    }


def calibrate(kind: str, truth: Array, probabilities: Array) -> Calibration:
    """Calibration of the positive class, of the likeliest class where there are more than two, or of every label."""
    if kind == "binary":
        return calibration(probabilities[:, 1], truth[:, 1])
    if kind == "labels":
        return calibration(probabilities.ravel(), truth.ravel())
    chosen = probabilities.argmax(axis=1)
    return calibration(probabilities.max(axis=1), truth[np.arange(len(truth)), chosen])


def macro_f1(truth: Array, chosen: Array | NDArray[np.bool_]) -> float:
    """The mean of each column's F1, over the columns that occur in the truth or among the chosen."""
    both = (truth * chosen).sum(axis=0)
    either = truth.sum(axis=0) + chosen.sum(axis=0)
    return float(np.mean(2 * both[either > 0] / either[either > 0])) if either.any() else 1.0
