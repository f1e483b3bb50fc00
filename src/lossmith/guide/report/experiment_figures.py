"""Figures of the experiment: differences, metrics, calibration, learning curves."""

from collections.abc import Iterator

import numpy as np

from ...card import Language, Text
from ..chooser import Choice
from ..inputs import Array
from ..metrics import METRICS
from ..record import Curves
from .panel import Key, Panel, padded, whisker_rows
from .svg import Axis, Figure, number, shortened

LETTERS = 38  # of a loss with its arguments, before its figure


def of_learning(choice: Choice, language: Language) -> Iterator[Panel]:
    """How each candidate learned: in the metric that decides, then each loss itself."""
    found = ((i, each, each.scores.curves) for i, each in enumerate(choice.candidates) if each.scores)
    tried = [(i, each, curve) for i, each, curve in found if curve and _is_drawable(curve)]
    if not tried:
        return
    metric = METRICS[choice.leaf.decided_by]
    title = Text(f"{metric.title.en} while learning", f"学习过程中的{metric.title.zh}")(language)
    about = Text(
        "On the rows that decide when to stop, the mean over the folds; a thin line means that some folds had stopped.",
        "在决定何时停止的样本上，取各折的平均；细线表示部分折已经停止。",
    )(language)
    finite = np.concatenate([curve.metric[np.isfinite(curve.metric)] for _, _, curve in tried])
    settled = np.concatenate([curve.metric[len(curve.metric) // 10 :] for _, _, curve in tried])
    low, high = float(finite.min()), float(np.quantile(settled[np.isfinite(settled)], 0.98))
    if metric.higher_is_better:
        low, high = float(np.quantile(settled[np.isfinite(settled)], 0.02)), float(finite.max())
    longest = max(len(curve.metric) for _, _, curve in tried)
    figure = Figure("learning", title, about, Axis(1, longest, _EPOCH(language)), padded(Axis(low, high)))
    for i, _, curve in reversed(tried):
        _learned(figure, curve.metric, curve.trained, i)
    legend = tuple(Key(i, "line", each.label) for i, each, _ in tried)
    yield Panel(title, (figure.svg(),), about, legend)
    for i, each, curve in tried:
        values = np.concatenate([curve.training, curve.validation])
        values = values[np.isfinite(values)]
        best = int(np.nanargmin(curve.validation)) + 1
        caption = Text(
            f"On rows kept back the loss is least at epoch {best}; where it then rises while the other line falls, the "
            "network learns rows by heart.",
            f"在未参与训练的样本上，损失在第 {best} 轮最小；此后若它上升而另一条线下降，说明网络在死记样本。",
        )(language)
        figure = Figure(
            f"learning-{i}",
            Text(f"{each.label}: the loss while learning", f"{each.label}：学习过程中的损失")(language),
            caption,
            Axis(1, max(2, len(curve.training)), _EPOCH(language)),
            padded(Axis(float(values.min()), float(np.quantile(values, 0.98)))),
            height=180,
        )
        _learned(figure, curve.training, curve.trained, i, "dashed")
        _learned(figure, curve.validation, curve.trained, i)
        legend = (Key(i, "dashed", _LEARNED(language)), Key(i, "line", _KEPT(language)))
        yield Panel(each.label, (figure.svg(),), caption, legend)


def _is_drawable(curve: Curves) -> bool:
    """Whether there is a number in each line; a network may diverge."""
    return all(np.isfinite(line).any() for line in (curve.training, curve.validation, curve.metric))


_EPOCH = Text("epoch", "轮次")
_LEARNED = Text("rows learned from", "训练样本")
_KEPT = Text("rows kept back", "未参与训练的样本")


def _learned(figure: Figure, values: Array, trained: Array, colour: int, kind: str = "line") -> None:
    """A learning curve, thin where some folds had stopped."""
    epochs = np.arange(1, len(values) + 1)
    all_run = int(np.sum(np.asarray(trained) >= 1))
    if all_run > 1:
        figure.line(epochs[:all_run], values[:all_run], colour, kind)
    figure.line(epochs[max(all_run - 1, 0) :], values[max(all_run - 1, 0) :], colour, f"{kind} thin")


def of_metrics(choice: Choice, language: Language) -> Iterator[Panel]:
    """Every metric with its uncertainty, the one that decides first."""
    for name in metrics_of(choice):
        yield _whiskers(choice, name, language)


def metrics_of(choice: Choice) -> list[str]:
    """The metrics that the recommended loss has, the one that decides first."""
    return sorted(choice.recommended.metrics, key=lambda name: name != choice.leaf.decided_by)


def _whiskers(choice: Choice, name: str, language: Language) -> Panel:
    metric = METRICS[name]
    found = [
        (i, each.label, each.scores.interval(name))
        for i, each in enumerate(choice.candidates)
        if each.scores and name in each.scores.folds
    ]
    ends = np.array([[low, high] for _, _, (_, low, high) in found] + [[mean, mean] for _, _, (mean, _, _) in found])
    ends = ends[np.isfinite(ends)]
    right = metric.right(choice.found)
    nominal = [] if right is None else [right]
    axis = padded(Axis(min([*ends, *nominal]), max([*ends, *nominal])), 0.08)
    better = Text("more is better", "越大越好") if metric.higher_is_better else Text("less is better", "越小越好")
    if right is not None:
        better = Text(f"{right:g} is right", f"{right:g} 为正确值")
    title = metric.title(language)
    figure = whisker_rows(f"metric-{name}", title, metric.about(language), len(found), axis, better(language))
    if right is not None:
        figure.upright(right)
    for place, (i, label, (mean, low, high)) in enumerate(found):
        figure.whisker(max(low, axis.low), min(high, axis.high), -place - 0.18, mean, i)
        figure.word(
            axis.low,
            -place + 0.14,
            f"{shortened(label, LETTERS)}  {number(mean)}",
            kind=f"label{' strong' if i == 0 else ''}",
        )
    return Panel(title, (figure.svg(),), metric.about(language))


def of_differences(choice: Choice, language: Language) -> Iterator[Panel]:
    """The recommended loss against each other one, in the metric that decides: which side of 0 the interval lies on."""
    if choice.verdict is None or not choice.verdict.comparisons:
        return
    metric = METRICS[choice.leaf.decided_by]
    label = choice.recommended.label
    compared = choice.verdict.comparisons
    colours = {candidate.recipe: (i, candidate.label) for i, candidate in enumerate(choice.candidates)}
    ends = np.array([[each.low, each.high, each.difference] for each in compared]).ravel()
    ends = ends[np.isfinite(ends)]
    reach = float(np.abs(ends).max()) * 1.08 if len(ends) else 1.0
    axis = Axis(-(reach or 1.0), reach or 1.0)
    title = Text(f"{metric.title.en}: {label} against the others", f"{metric.title.zh}：{label} 与其他损失对比")(
        language
    )
    about = Text(
        f"How much better {label} is, fold by fold, with the 95 % interval that holds for all comparisons together. An "
        "interval right of 0: it is better; left: worse; across 0: the experiment can't tell.",
        f"逐折比较 {label} 好多少，95% 区间对所有比较同时成立。区间在 0 右侧：更好；左侧：更差；跨过 0："
        "实验分不出高下。",
    )(language)
    words = Text("← worse · difference · better →", "← 更差 · 差值 · 更好 →")
    figure = whisker_rows("differences", title, about, len(compared), axis, words(language))
    figure.upright(0.0)
    for place, each in enumerate(compared):
        i, name = colours[each.rival]
        figure.whisker(max(each.low, axis.low), min(each.high, axis.high), -place - 0.18, each.difference, i)
        figure.word(axis.low, -place + 0.14, f"{shortened(name, LETTERS)}  {number(each.difference, 3)}", kind="label")
    yield Panel(title, (figure.svg(),), about)


def of_calibration(choice: Choice, language: Language) -> Iterator[Panel]:
    """What was predicted with 80 % should come true in 80 % of the rows."""
    found = [
        (i, each.label, each.scores.calibration)
        for i, each in enumerate(choice.candidates)
        if each.scores and each.scores.calibration
    ]
    if not found:
        return
    title = Text("Calibration: are its probabilities true?", "校准：预测的概率可信吗？")(language)
    about = Text(
        "Rows in bins, by how sure the network was. On the diagonal, what is predicted with 80 % comes true in 80 % "
        "of the rows; below it the network is too sure.",
        "样本按网络的把握程度分箱。落在对角线上，说明以 80% 的概率预测的事确有 80% 成真；落在其下方，"
        "说明网络过于自信。",
    )(language)
    low = float(min(min(each.confidence.min(), each.observed.min()) for _, _, each in found))
    axis = padded(Axis(low, 1.0), 0.04)
    figure = Figure("calibration", title, about, Axis(axis.low, axis.high, _SURE(language)), axis, height=240)
    figure.line([axis.low, axis.high], [axis.low, axis.high], "d", "dashed")
    for i, _, each in reversed(found):
        figure.line(each.confidence, each.observed, i)
        figure.dots(each.confidence, each.observed, i, 3)
    legend = tuple(Key(i, "line", label) for i, label, _ in found)
    yield Panel(title, (figure.svg(),), about, legend)


_SURE = Text("predicted probability; upwards: share that came true", "预测概率；纵轴：成真的比例")
