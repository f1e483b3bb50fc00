"""Figures of the target: its values, and what a network makes of them."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, poisson

from ...card import Language, Text
from ..chooser import Choice
from ..inputs import Array
from ..pairs import KINDS
from ..recipes import (
    COSINES_OF_PAIRS,
    COSINES_OF_TRIPLETS,
    DISTANCES_OF_PAIRS,
    DISTANCES_OF_TRIPLETS,
    RECIPES,
    VECTORS_OF_PAIRS,
)
from ..record import OutOfFold
from .panel import (
    ERROR,
    POINTS,
    ROWS,
    Key,
    Panel,
    binned,
    joined,
    lying_bars,
    out_of_fold,
    padded,
    robust_width,
    upright,
    window,
)
from .svg import Axis, Figure, number, round_ticks, shortened

MOST_COLUMNS = 6  # drawn of several targets
MOST_BARS = 16  # classes or labels drawn, the most frequent ones
MOST_DOTS = 500


def of_target(choice: Choice, language: Language) -> Iterator[Panel]:
    """How the target looks."""
    found = choice.found
    if found.kind == "numbers":
        values = np.asarray(found.values)
        for i, name in enumerate(found.columns[:MOST_COLUMNS]):
            draw = _counts if found.facts.get("counts") else _histogram
            yield draw(choice, i, name, values[:, i], language)
    elif found.codes is not None:
        rows = np.bincount(found.codes, minlength=len(found.classes)).astype(np.int64)
        names = [str(name) for name in found.classes]
        yield _bars(Text("Rows of each class", "各类别的样本数"), names, rows, int(rows.max()), language)
    elif found.kind == "labels":
        rows = np.asarray(found.values).sum(axis=0).astype(np.int64)
        title = Text("Rows to which each label applies", "具有各标签的样本数")
        yield _bars(title, found.columns, rows, len(found.values), language)
    elif found.kind == "distributions":
        yield _shares(found.columns, np.asarray(found.values), language)


def _histogram(choice: Choice, i: int, name: str, values: Array, language: Language) -> Panel:
    edges, heights, rest = binned(values)
    title = Text(f"How the values of {name} lie", f"{name} 的取值分布")(language)
    description = Text(
        f"Histogram of {len(values):,} values; their median is {number(float(np.median(values)))}.",
        f"{len(values):,} 个取值的直方图，中位数为 {number(float(np.median(values)))}。",
    )
    figure = Figure(
        f"target-{i}", title, description(language), Axis(edges[0], edges[-1], shortened(name, 40)), upright(heights)
    )
    figure.bars(edges, heights)
    return Panel(title, (figure.svg(),), joined(language, description, rest))


def _counts(choice: Choice, i: int, name: str, values: Array, language: Language) -> Panel:
    """How often each count occurs, against Poisson distributions with the predicted rates, or else with one mean."""
    edges, heights, rest = binned(values)
    out = out_of_fold(choice.recommended)
    rates = out.predicted[:, i].clip(1e-9) if out else values.mean(keepdims=True)
    expected = np.diff(poisson.cdf(edges[:, None], rates), axis=0).mean(axis=1) * len(values)
    fitted = (
        Text("expected of Poisson counts with the predicted rates", "以预测速率为均值的 Poisson 计数的期望次数")
        if out
        else Text("expected of Poisson counts with the same mean", "均值相同的 Poisson 计数的期望次数")
    )
    title = Text(f"How often each {name} occurs", f"{name} 各取值出现的次数")(language)
    mean, variance = number(float(values.mean()), 3), number(float(values.var()), 3)
    description = Text(
        f"{len(values):,} counts with mean {mean} and variance {variance}.",
        f"{len(values):,} 个计数，均值 {mean}，方差 {variance}。",
    )
    tallest = np.maximum(heights, expected)
    figure = Figure(
        f"target-{i}", title, description(language), Axis(edges[0], edges[-1], shortened(name, 40)), upright(tallest)
    )
    figure.bars(edges, heights)
    middles = (edges[:-1] + edges[1:]) / 2
    figure.line(middles, expected, 1)
    figure.dots(middles, expected, 1, 2.5)
    legend = (Key("d", "area", ROWS(language)), Key(1, "line", fitted(language)))
    return Panel(title, (figure.svg(),), joined(language, description, rest), legend)


def _bars(title: Text, names: Sequence[str], rows: NDArray[np.int64], full: int, language: Language) -> Panel:
    """Lying bars up to `full` rows; where there are too many to draw all, the greatest."""
    shown = np.sort(np.argsort(-rows, kind="stable")[:MOST_BARS])
    ends = Text(f"{rows.min():,} to {rows.max():,} rows each.", f"每个有 {rows.min():,} 到 {rows.max():,} 个样本。")
    part = Text(f"The {MOST_BARS} greatest of {len(names)}.", f"共 {len(names)} 个，只画出最多的 {MOST_BARS} 个。")
    caption = joined(language, part if len(names) > MOST_BARS else None, ends)
    axis = Axis(0, 1.16 * full, ROWS(language), round_ticks(0, full))
    figure = lying_bars("classes", title(language), caption, [names[i] for i in shown], axis)
    for place, i in enumerate(shown):
        figure.lying(0, float(rows[i]), -place, 0.68)
        figure.word(float(rows[i]) + 0.015 * full, -place, f"{rows[i]:,}", kind="value")
    return Panel(title(language), (figure.svg(),), caption)


def _shares(names: Sequence[str], values: Array, language: Language) -> Panel:
    """Mean shares, with the range of the middle four fifths of the rows."""
    shares = values / values.sum(axis=1, keepdims=True)
    title = Text(
        "Shares of the whole: mean, and the middle 80 % of the rows", "各列占整体的份额：均值与中间 80% 的样本"
    )
    description = Text(
        "Bars: mean share of each column. Whiskers: 10 % to 90 % quantile.",
        "条：各列的平均份额；须：10% 到 90% 分位数。",
    )
    low, high = np.quantile(shares, [0.1, 0.9], axis=0)
    axis = Axis(0, float(high.max()) * 1.08, Text("share", "份额")(language))
    figure = lying_bars("shares", title(language), description(language), names[:MOST_BARS], axis)
    for place in range(len(names[:MOST_BARS])):
        mean = float(shares[:, place].mean())
        figure.lying(0, mean, -place, 0.68)
        figure.whisker(float(low[place]), float(high[place]), -place, mean, 0)
    return Panel(title(language), (figure.svg(),), description(language))


# The residuals


def of_residuals(choice: Choice, language: Language) -> Iterator[Panel]:
    """The errors out of fold against a normal distribution, and along the prediction; of one quantity."""
    out = out_of_fold(choice.recommended)
    if out is not None and choice.found.kind in KINDS:
        yield _told_apart(choice, out, language)
    if out is None or choice.found.kind != "numbers" or choice.found.outputs > 1 or choice.found.facts.get("counts"):
        return
    errors = -out.residuals[:, 0]
    yield _against_normal(errors, language)
    yield _quantiles(errors, language)
    yield _along_prediction(out.predicted[:, 0], errors, language)


def _against_normal(errors: Array, language: Language) -> Panel:
    edges, heights, rest = binned(errors)
    center, spread = float(np.median(errors)), robust_width(errors)
    expected = np.diff(norm.cdf(edges, center, spread)) * len(errors)
    fine = np.linspace(edges[0], edges[-1], POINTS)
    curve = norm.pdf(fine, center, spread) * (edges[1] - edges[0]) * len(errors)
    title = Text("Errors against a normal distribution", "误差与正态分布的对比")(language)
    beyond = float(np.mean(np.abs(errors - center) > 3 * spread))
    description = Text(
        f"{beyond:.1%} of the errors lie beyond three robust standard deviations; of a normal distribution 0.3% do.",
        f"{beyond:.1%} 的误差超出三倍稳健标准差；正态分布只有 0.3%。",
    )
    tallest = np.maximum(heights, expected)
    figure = Figure(
        "normal", title, description(language), Axis(edges[0], edges[-1], ERROR(language)), upright(tallest)
    )
    figure.bars(edges, heights)
    figure.line(fine, curve, 1)
    same = Text("a normal distribution of the same robust width", "稳健宽度相同的正态分布")(language)
    legend = (Key("d", "area", ROWS(language)), Key(1, "line", same))
    return Panel(title, (figure.svg(),), joined(language, description, rest), legend)


def _quantiles(errors: Array, language: Language) -> Panel:
    ordered = np.sort(errors)
    places = np.unique(np.linspace(0, len(ordered) - 1, min(len(ordered), 200)).round().astype(int))
    expected = norm.ppf((places + 0.5) / len(ordered))
    seen = ordered[places]
    title = Text("Quantile by quantile", "逐分位数对比")(language)
    description = Text(
        "Each dot is a quantile of the errors above that of a standard normal distribution. Normal errors lie on the "
        "line; where the ends bend away from it, gross errors are more frequent.",
        "每个点把误差的一个分位数与标准正态分布的同一分位数相对照。正态误差落在直线上；两端偏离直线，"
        "说明大误差更常见。",
    )(language)
    reach = float(max(-expected[0], expected[-1])) * 1.05
    y = Axis(float(min(seen[0], 0)), float(max(seen[-1], 0)))
    figure = Figure(
        "quantiles",
        title,
        description,
        Axis(-reach, reach, Text("normal quantile", "正态分位数")(language)),
        padded(y),
    )
    line = np.array([-reach, reach])
    figure.line(line, float(np.median(errors)) + line * robust_width(errors), 1)
    figure.dots(expected, seen, "t", 1.8)
    return Panel(title, (figure.svg(),), description)


def _along_prediction(predicted: Array, errors: Array, language: Language) -> Panel:
    """Errors above predictions, with the running size of the middle four fifths."""
    order = np.argsort(predicted, kind="stable")
    parts = [part for part in np.array_split(order, min(12, max(2, len(order) // 25))) if len(part)]
    middles = np.array([np.median(predicted[part]) for part in parts])
    low, high = np.array([np.quantile(errors[part], [0.1, 0.9]) for part in parts]).T
    title = Text("Errors along the prediction", "误差随预测值的变化")(language)
    description = Text(
        "Dots: rows. Lines: four fifths of the errors lie between them. Where they open like a funnel, the noise "
        "grows.",
        "点：样本；两条线之间是五分之四的误差。若两线像漏斗一样张开，说明噪声在增大。",
    )(language)
    places = np.linspace(0, len(order) - 1, min(len(order), MOST_DOTS)).round().astype(int)
    shown = order[np.unique(places)]
    x = window(predicted)
    y = window(errors)
    figure = Figure("along", title, description, Axis(*x, Text("prediction", "预测值")(language)), padded(Axis(*y)))
    figure.dots(predicted[shown], errors[shown], "t", 1.5)
    figure.level(0.0)
    figure.line(middles, low, 1)
    figure.line(middles, high, 1)
    return Panel(title, (figure.svg(),), description)


def _told_apart(choice: Choice, out: OutOfFold, language: Language) -> Panel:
    """What the network puts out for the two kinds of pairs: the less they overlap, the better it tells them apart."""
    found = choice.found
    if found.kind == "triplets":
        values, second = out.predicted.T.ravel(), np.repeat([False, True], len(out.predicted))
        names = (Text("anchor and positive", "锚点与正例"), Text("anchor and negative", "锚点与负例"))
    else:
        values, second = out.predicted[:, 0], np.asarray(found.codes)[out.rows] == 0
        no, yes = map(str, found.classes)
        names = Text(yes, yes), Text(no, no)
    head = RECIPES[choice.recommended.recipe].head
    if head in (DISTANCES_OF_PAIRS, VECTORS_OF_PAIRS, DISTANCES_OF_TRIPLETS):
        what, values = Text("distance", "距离"), -values
    elif head in (COSINES_OF_PAIRS, COSINES_OF_TRIPLETS):
        what = Text("cosine", "余弦")
    else:
        what = Text("score: first − second", "分数：第一个 − 第二个")
    low, high = window(values)
    edges = np.linspace(low, high, 31)
    heights = [np.histogram(values[kind], edges)[0] for kind in (~second, second)]
    title = Text("How well it tells them apart", "区分得如何")(language)
    about = Text(
        "Rows that the network was not trained on. The less the two overlap, the better it tells them apart.",
        "未参与训练的样本。两者重叠越少，说明网络区分得越好。",
    )(language)
    figure = Figure("apart", title, about, Axis(low, high, what(language)), upright(np.maximum(*heights)))
    figure.bars(edges, heights[0], 0)
    figure.line(np.repeat(edges, 2)[1:-1], np.repeat(heights[1], 2), 1)
    legend = (Key(0, "area", names[0](language)), Key(1, "line", names[1](language)))
    return Panel(title, (figure.svg(),), about, legend)
