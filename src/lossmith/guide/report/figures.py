"""The report's figures: the target, the residuals, each candidate over them, learning curves, metrics, calibration."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from scipy.stats import norm, poisson

from ...card import Language, Text
from ...suggest import robust_scale
from ..chooser import Candidate, Choice
from ..inputs import Array
from ..metrics import METRICS
from ..pairs import KINDS
from ..recipes import COSINES_OF_PAIRS, COSINES_OF_TRIPLETS, DISTANCES_OF_PAIRS, LOG_RATE, RECIPES
from ..record import OutOfFold
from ..target import Target
from .curves import Line, curves, typical_count, typical_share
from .svg import Axis, Figure, number, round_ticks, shortened

MOST_COLUMNS = 6  # drawn of several targets
MOST_BARS = 16  # classes or labels drawn, the most frequent ones
MOST_DOTS = 500
POINTS = 161  # of a curve
SEEN = 6.0  # robust standard deviations on each side of the median that a histogram shows
FAR = 0.05  # the share of errors that are called the largest


@dataclass(frozen=True)
class Key:
    """One entry of a legend."""

    colour: object
    kind: str  # line, dashed or area
    words: str


@dataclass(frozen=True)
class Panel:
    """Drawings that belong together, with their title, legend and caption."""

    title: str
    drawings: tuple[Markup, ...]
    caption: str = ""
    legend: tuple[Key, ...] = ()


_ROWS = Text("rows", "样本数")
_ERROR = Text("error: prediction − target", "误差：预测 − 目标")


# The target


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
    edges, heights, rest = _binned(values)
    title = Text(f"How the values of {name} lie", f"{name} 的取值分布")(language)
    description = Text(
        f"Histogram of {len(values):,} values; their median is {number(float(np.median(values)))}.",
        f"{len(values):,} 个取值的直方图，中位数为 {number(float(np.median(values)))}。",
    )
    figure = Figure(
        f"target-{i}", title, description(language), Axis(edges[0], edges[-1], shortened(name, 40)), _upright(heights)
    )
    figure.bars(edges, heights)
    return Panel(title, (figure.svg(),), _said(language, description, rest))


def _counts(choice: Choice, i: int, name: str, values: Array, language: Language) -> Panel:
    """How often each count occurs, against Poisson distributions with the predicted rates, or else with one mean."""
    edges, heights, rest = _binned(values)
    out = _out_of_fold(choice.recommended)
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
        f"target-{i}", title, description(language), Axis(edges[0], edges[-1], shortened(name, 40)), _upright(tallest)
    )
    figure.bars(edges, heights)
    middles = (edges[:-1] + edges[1:]) / 2
    figure.line(middles, expected, 1)
    figure.dots(middles, expected, 1, 2.5)
    legend = (Key("d", "area", _ROWS(language)), Key(1, "line", fitted(language)))
    return Panel(title, (figure.svg(),), _said(language, description, rest), legend)


def _bars(title: Text, names: Sequence[str], rows: NDArray[np.int64], full: int, language: Language) -> Panel:
    """Lying bars up to `full` rows; where there are too many to draw all, the greatest."""
    shown = np.sort(np.argsort(-rows, kind="stable")[:MOST_BARS])
    ends = Text(f"{rows.min():,} to {rows.max():,} rows each.", f"每个有 {rows.min():,} 到 {rows.max():,} 个样本。")
    part = Text(f"The {MOST_BARS} greatest of {len(names)}.", f"共 {len(names)} 个，只画出最多的 {MOST_BARS} 个。")
    caption = _said(language, part if len(names) > MOST_BARS else None, ends)
    axis = Axis(0, 1.16 * full, _ROWS(language), round_ticks(0, full))
    figure = _lying("classes", title(language), caption, [names[i] for i in shown], axis)
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
    figure = _lying("shares", title(language), description(language), names[:MOST_BARS], axis)
    for place in range(len(names[:MOST_BARS])):
        mean = float(shares[:, place].mean())
        figure.lying(0, mean, -place, 0.68)
        figure.whisker(float(low[place]), float(high[place]), -place, mean, 0)
    return Panel(title(language), (figure.svg(),), description(language))


# The residuals


def of_residuals(choice: Choice, language: Language) -> Iterator[Panel]:
    """The errors out of fold against a normal distribution, and along the prediction; of one quantity."""
    out = _out_of_fold(choice.recommended)
    if out is not None and choice.found.kind in KINDS:
        yield _told_apart(choice, out, language)
    if out is None or choice.found.kind != "numbers" or choice.found.outputs > 1 or choice.found.facts.get("counts"):
        return
    errors = -out.residuals[:, 0]
    yield _against_normal(errors, language)
    yield _quantiles(errors, language)
    yield _along_prediction(out.predicted[:, 0], errors, language)


def _against_normal(errors: Array, language: Language) -> Panel:
    edges, heights, rest = _binned(errors)
    center, spread = float(np.median(errors)), _spread(errors)
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
        "normal", title, description(language), Axis(edges[0], edges[-1], _ERROR(language)), _upright(tallest)
    )
    figure.bars(edges, heights)
    figure.line(fine, curve, 1)
    same = Text("a normal distribution of the same robust width", "稳健宽度相同的正态分布")(language)
    legend = (Key("d", "area", _ROWS(language)), Key(1, "line", same))
    return Panel(title, (figure.svg(),), _said(language, description, rest), legend)


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
        _padded(y),
    )
    line = np.array([-reach, reach])
    figure.line(line, float(np.median(errors)) + line * _spread(errors), 1)
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
    x = _window(predicted)
    y = _window(errors)
    figure = Figure(
        "along", title, description, Axis(*x, Text("prediction", "预测值")(language)), _padded(Axis(*y)), marks=[]
    )
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
    what = _looked_at(choice.recommended)
    values = np.abs(values) if RECIPES[choice.recommended.recipe].head == DISTANCES_OF_PAIRS else values
    low, high = _window(values)
    edges = np.linspace(low, high, 31)
    heights = [np.histogram(values[kind], edges)[0] for kind in (~second, second)]
    title = Text("What the network makes of them", "网络给出的结果")(language)
    about = Text(
        "Rows that the network was not trained on. The less the two overlap, the better it tells them apart.",
        "未参与训练的样本。两者重叠越少，说明网络区分得越好。",
    )(language)
    figure = Figure("apart", title, about, Axis(low, high, what(language)), _upright(np.maximum(*heights)))
    figure.bars(edges, heights[0], 0)
    figure.line(np.repeat(edges, 2)[1:-1], np.repeat(heights[1], 2), 1)
    legend = (Key(0, "area", names[0](language)), Key(1, "line", names[1](language)))
    return Panel(title, (figure.svg(),), about, legend)


def _looked_at(candidate: Candidate) -> Text:
    """What a candidate for pairs or triplets looks at."""
    head = RECIPES[candidate.recipe].head
    if head in (COSINES_OF_PAIRS, COSINES_OF_TRIPLETS):
        return Text("cosine", "余弦")
    if head == DISTANCES_OF_PAIRS:
        return Text("distance", "距离")
    if candidate.loss.startswith("Triplet"):
        return Text("lead: distance of the negative − of the positive", "领先：负例的距离 − 正例的距离")
    return Text("lead: score of the better − of the other", "领先：更好者的分数 − 另一个的分数")


# The candidates


def of_candidates(choice: Choice, language: Language) -> Iterator[Panel]:
    """Each candidate's loss and pull, over the errors or log-odds that came out of fold."""
    recommended = _actual(choice, choice.recommended)
    unit = _unit(choice)
    spread = unit if recommended is None else _spread(recommended)
    tried = _out_of_fold(choice.recommended) is not None
    for i, candidate in enumerate(choice.candidates):
        actual = _actual(choice, candidate)
        of_its_own = choice.found.kind in KINDS  # each looks at another number
        x, title = _grid(choice, candidate, actual if of_its_own else recommended)
        lines = curves(candidate, choice.found, x, unit, spread)
        drawings = tuple(_curve(what, candidate, lines, title, actual, i, language) for what in ("loss", "pull"))
        legend = [] if actual is None else [Key("d", "area", (_TRIED if tried else _UNTRIED)(language))]
        labels = [line.label for line in lines if line.label]
        legend += [Key(i, "dashed" if j else "line", label(language)) for j, label in enumerate(labels)]
        said = [] if actual is None else [_largest(choice, candidate, actual, unit, spread), _beyond(actual, x)]
        caption = _said(language, *said)
        yield Panel(candidate.signature, drawings, caption, tuple(legend))


_TRIED = Text("how often each occurs, out of fold", "各取值出现的频率（折外）")
_UNTRIED = Text("how far targets lie from their median", "目标到其中位数的距离")


def _curve(
    what: str, candidate: Candidate, lines: Sequence[Line], x: Text, actual: Array | None, i: int, language: Language
) -> Markup:
    """The loss of the i-th candidate, or its derivative, over the density of what came out."""
    values = [line.loss if what == "loss" else line.pull for line in lines]
    finite = np.concatenate([value[np.isfinite(value)] for value in values])
    y = _padded(Axis(min(float(finite.min()), 0.0), max(float(finite.max()), 0.0)), 0.06)
    words = _LOSS_IS if what == "loss" else _pull_is(candidate, x)
    is_last = what == "pull"
    low, high = number(float(finite.min()), 3), number(float(finite.max()), 3)
    figure = Figure(
        f"{what}-{i}",
        f"{candidate.signature}: {words(language)}",
        Text(f"From {low} to {high}.", f"从 {low} 到 {high}。")(language),
        Axis(float(lines[0].x[0]), float(lines[0].x[-1]), x(language) if is_last else ""),
        y,
        height=178 if is_last else 162,
        top=24,
    )
    if actual is not None:
        edges = np.linspace(figure.x.low, figure.x.high, 49)
        heights = np.histogram(actual, edges)[0]
        figure.bars(edges, y.low + heights / max(1, heights.max()) * 0.9 * (y.high - y.low), gap=0.0)
    figure.level(0.0)
    for j, (line, value) in enumerate(zip(lines, values, strict=True)):
        seen = np.isfinite(value)
        figure.line(line.x[seen], value[seen], i, "dashed" if j else "line")
    figure.note(words(language))
    return figure.svg()


_LOSS_IS = Text("loss of one row", "单个样本的损失")


def _pull_is(candidate: Candidate, x: Text) -> Text:
    if RECIPES[candidate.recipe].head.examples == 1:
        return Text("pull: gradient in the network's output", "拉力：对网络输出的梯度")
    return Text(f"pull: gradient in the {x.en.split(':')[0]}", f"拉力：对{x.zh.split('：')[0]}的梯度")


def _out_of_fold(candidate: Candidate) -> OutOfFold | None:
    return None if candidate.scores is None else candidate.scores.out_of_fold


def _actual(choice: Choice, candidate: Candidate) -> Array | None:
    """What came out of fold: errors of quantities and shares, log-odds of the right answer of classes and labels. Of
    quantities without an experiment, the distances of the target from its median; the rest has none.
    """
    found, out = choice.found, _out_of_fold(candidate)
    if out is None:
        if found.kind != "numbers":
            return None
        values = np.asarray(found.values)
        return np.asarray(((np.median(values, axis=0) - values) / _units(choice)).ravel())
    if found.kind == "numbers":
        return np.asarray((-out.residuals / _units(choice)).ravel())
    if found.kind == "distributions":
        return np.asarray(-out.residuals.ravel())
    if found.kind in KINDS:
        return _seen_by(candidate, found, out)
    right = out.predicted[out.truth == 1] if found.kind != "labels" else np.abs(1 - out.truth - out.predicted).ravel()
    right = right.clip(1e-6, 1 - 1e-6)
    return np.asarray(np.log(right) - np.log1p(-right))


def _seen_by(candidate: Candidate, found: Target, out: OutOfFold) -> Array:
    """What a candidate for pairs or triplets looked at: cosines, distances, or leads."""
    head = RECIPES[candidate.recipe].head
    if head in (COSINES_OF_PAIRS, COSINES_OF_TRIPLETS):
        return np.asarray(out.predicted.ravel())
    if head == DISTANCES_OF_PAIRS:
        return np.asarray(-out.predicted[:, 0])
    if found.kind == "triplets":
        return np.asarray(out.predicted[:, 0] - out.predicted[:, 1])
    return np.asarray(out.predicted[:, 0] * (2 * np.asarray(found.codes)[out.rows] - 1))


def _grid(choice: Choice, candidate: Candidate, actual: Array | None) -> tuple[Array, Text]:
    """The numbers that curves are drawn over, and what they are."""
    found = choice.found
    if found.kind == "numbers":
        values = np.zeros(1) if actual is None else actual
        reach = float(max(4 * _spread(values), np.quantile(np.abs(values), 0.99)))
        low = max(-reach, -0.9 * typical_count(found)) if found.facts.get("counts") else -reach
        several = Text(f"{_ERROR.en}, in standard deviations", f"{_ERROR.zh}（以标准差为单位）")
        return np.linspace(low, reach, POINTS), several if found.outputs > 1 else _ERROR
    if found.kind == "distributions":
        share = typical_share(found)
        return np.linspace(0.005 - share, 0.995 - share, POINTS), Text("share: predicted − true", "份额：预测 − 真实")
    if found.kind in KINDS:
        title = _looked_at(candidate)
        if title.en == "cosine":
            return np.linspace(-0.999, 0.999, POINTS), title
        reach = 3.0 if actual is None else max(3.0, float(np.quantile(np.abs(actual), 0.99)))
        return np.linspace(0.0 if title.en == "distance" else -reach, reach, POINTS), title
    low, high = (-5.0, 5.0) if actual is None else np.quantile(actual, [0.01, 0.99]).clip(-8.0, 8.0)
    odds = Text("log-odds given to the right answer", "赋予正确答案的对数几率")
    return np.linspace(min(low, -5.0), max(high, 5.0), POINTS), odds


def _scales(choice: Choice) -> Array:
    """What the target's columns are standardised with."""
    values = np.asarray(choice.found.values, dtype=np.float64)
    if choice.found.facts.get("outliers"):
        scales = np.array([robust_scale(column) for column in values.T])
    else:
        scales = values.std(axis=0)
    return np.where(scales > 0, scales, 1.0)


def _units(choice: Choice) -> Array:
    """Errors of one column are drawn in its unit, those of several in what each is standardised with."""
    return _scales(choice) if choice.found.outputs > 1 else np.ones(1)


def _unit(choice: Choice) -> float:
    """What an error as it is drawn is divided by before the network's loss sees it."""
    return float(_scales(choice)[0]) if choice.found.kind == "numbers" and choice.found.outputs == 1 else 1.0


def _largest(choice: Choice, candidate: Candidate, actual: Array, unit: float, spread: float) -> Text | None:
    """How much of the whole pull the largest errors, or the most wrong answers, exert, where they alone decide it."""
    found = choice.found
    others_matter = (candidate.loss == "MultiMarginLoss" and found.outputs > 2) or "swap" in candidate.arguments
    if len(actual) < 1 / FAR or found.kind == "distributions" or others_matter:
        return None
    if RECIPES[candidate.recipe].head == LOG_RATE:
        pull = np.abs(actual)  # rate - count, whatever the count is
    else:
        lines = curves(candidate, found, actual, unit, spread)
        if len(lines) > 1:
            return None
        pull = np.abs(lines[0].pull)
    is_quantity = found.kind == "numbers"
    order = np.argsort(np.abs(actual) if is_quantity else -actual, kind="stable")
    largest = pull[order[-max(1, round(FAR * len(order))) :]].sum() / max(pull.sum(), 1e-300)
    which = Text("largest errors", "最大的误差") if is_quantity else Text("most wrong answers", "错得最多的答案")
    return Text(
        f"The {FAR:.0%} {which.en} exert {largest:.0%} of the whole pull.",
        f"{FAR:.0%} {which.zh}占全部拉力的 {largest:.0%}。",
    )


def _beyond(actual: Array, x: Array) -> Text | None:
    """What a drawing over x leaves out."""
    share = float(np.mean((actual < x[0]) | (actual > x[-1])))
    if share < 0.01:
        return None
    return Text(f"{share:.0%} lie beyond the drawing.", f"另有 {share:.0%} 在图外。")


# The experiment


def of_learning(choice: Choice, language: Language) -> Iterator[Panel]:
    """How each candidate learned: in the metric that decides, then each loss itself."""
    tried = [
        (i, each, each.scores.curves) for i, each in enumerate(choice.candidates) if each.scores and each.scores.curves
    ]
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
    figure = Figure("learning", title, about, Axis(1, longest, _EPOCH(language)), _padded(Axis(low, high)))
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
            _padded(Axis(float(values.min()), float(np.quantile(values, 0.98)))),
            height=180,
        )
        _learned(figure, curve.training, curve.trained, i, "dashed")
        _learned(figure, curve.validation, curve.trained, i)
        legend = (Key(i, "dashed", _LEARNED(language)), Key(i, "line", _KEPT(language)))
        yield Panel(each.label, (figure.svg(),), caption, legend)


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
    nominal = [] if metric.nominal is None else [metric.nominal]
    axis = _padded(Axis(min([*ends, *nominal]), max([*ends, *nominal])), 0.08)
    better = Text("more is better", "越大越好") if metric.higher_is_better else Text("less is better", "越小越好")
    if metric.nominal is not None:
        better = Text(f"{metric.nominal:g} is right", f"{metric.nominal:g} 为正确值")
    title = metric.title(language)
    figure = _rows(f"metric-{name}", title, metric.about(language), len(found), axis, better(language))
    if metric.nominal is not None:
        figure.upright(metric.nominal)
    for place, (i, label, (mean, low, high)) in enumerate(found):
        figure.whisker(max(low, axis.low), min(high, axis.high), -place - 0.18, mean, i)
        figure.word(axis.low, -place + 0.14, f"{label}  {number(mean)}", kind=f"label{' strong' if i == 0 else ''}")
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
    figure = _rows("differences", title, about, len(compared), axis, words(language))
    figure.upright(0.0)
    for place, each in enumerate(compared):
        i, name = colours[each.rival]
        figure.whisker(max(each.low, axis.low), min(each.high, axis.high), -place - 0.18, each.difference, i)
        figure.word(axis.low, -place + 0.14, f"{name}  {number(each.difference, 3)}", kind="label")
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
    axis = _padded(Axis(low, 1.0), 0.04)
    figure = Figure("calibration", title, about, Axis(axis.low, axis.high, _SURE(language)), axis, height=240)
    figure.line([axis.low, axis.high], [axis.low, axis.high], "d", "dashed")
    for i, _, each in reversed(found):
        figure.line(each.confidence, each.observed, i)
        figure.dots(each.confidence, each.observed, i, 3)
    legend = tuple(Key(i, "line", label) for i, label, _ in found)
    yield Panel(title, (figure.svg(),), about, legend)


_SURE = Text("predicted probability; upwards: share that came true", "预测概率；纵轴：成真的比例")


# Words and frames


def _said(language: Language, *sentences: Text | None) -> str:
    """Sentences, one after the other."""
    return (" " if language == "en" else "").join(words(language) for words in sentences if words)


def _binned(values: Array) -> tuple[Array, Array, Text | None]:
    """A histogram of what lies within a few robust standard deviations, and a word on the rest. Whole numbers of a
    short span have bars of their own.
    """
    low, high = _window(values)
    inside = values[(values >= low) & (values <= high)]
    if np.all(inside == np.round(inside)) and high - low <= 40:
        edges = np.arange(np.floor(low) - 0.5, np.ceil(high) + 1)
    else:
        bars = len(np.histogram_bin_edges(inside, "fd")) - 1 if np.ptp(inside) else 1
        edges = np.linspace(low, high, min(max(bars, 8), 40) + 1)
    beyond = len(values) - len(inside)
    if not beyond:
        return edges, np.histogram(inside, edges)[0], None
    ends = f"{number(float(values.min()))}", f"{number(float(values.max()))}"
    words = Text(
        f"{beyond:,} lie beyond the drawing: the least is {ends[0]}, the greatest {ends[1]}.",
        f"另有 {beyond:,} 个在图外：最小 {ends[0]}，最大 {ends[1]}。",
    )
    return edges, np.histogram(inside, edges)[0], words


def _window(values: Array) -> tuple[float, float]:
    """The range of the values, but no more than a few robust standard deviations around their median."""
    center, reach = float(np.median(values)), SEEN * _spread(values)
    return max(float(values.min()), center - reach), min(float(values.max()), center + reach)


def _spread(values: Array) -> float:
    return robust_scale(values) or 1.0


def _upright(heights: Array) -> Axis:
    return Axis(0.0, float(np.max(heights)) * 1.08)


def _padded(axis: Axis, share: float = 0.04) -> Axis:
    reach = (axis.high - axis.low) * share
    return Axis(axis.low - reach, axis.high + reach, axis.title, axis.ticks)


def _lying(name: str, title: str, description: str, names: Sequence[str], x: Axis) -> Figure:
    """A frame for bars that lie, with their names on the left, the first at the top."""
    letters = 15
    ticks = [(-place, shortened(words, letters)) for place, words in enumerate(names)]
    y = Axis(-len(names) + 0.4, 0.6, ticks=ticks)
    widest = max(len(words) for _, words in ticks)
    return Figure(name, title, description, x, y, height=58 + 21 * max(len(names), 2), left=24 + 6 * widest)


def _rows(name: str, title: str, description: str, rows: int, x: Axis, words: str) -> Figure:
    """A frame for whiskers, each under its label."""
    axis = Axis(x.low, x.high, words)
    return Figure(name, title, description, axis, Axis(-rows + 0.4, 0.6, ticks=()), height=54 + 42 * rows, left=12)
