"""Figures of the candidates: each loss and its gradient over what came out."""

from collections.abc import Iterator, Sequence

import numpy as np
from markupsafe import Markup

from ...card import Language, Text
from ...suggest import robust_scale
from ..chooser import Candidate, Choice
from ..inputs import Array
from ..pairs import KINDS
from ..recipes import (
    COSINES_OF_PAIRS,
    COSINES_OF_TRIPLETS,
    DISTANCES_OF_PAIRS,
    DISTANCES_OF_TRIPLETS,
    LOG_RATE,
    RECIPES,
    VECTORS_OF_PAIRS,
)
from ..record import OutOfFold
from ..target import Target
from .curves import Line, curves, typical_count, typical_share
from .panel import ERROR, POINTS, Key, Panel, joined, out_of_fold, padded, robust_width
from .svg import Axis, Figure, number

FAR = 0.05  # the share of errors that are called the largest


def of_candidates(choice: Choice, language: Language) -> Iterator[Panel]:
    """Each candidate's loss and pull, over the errors or log-odds that came out of fold."""
    recommended = _actual(choice, choice.recommended)
    unit = _unit(choice)
    spread = unit if recommended is None else robust_width(recommended)
    tried = out_of_fold(choice.recommended) is not None
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
        caption = joined(language, *said)
        yield Panel(candidate.signature, drawings, caption, tuple(legend))


_TRIED = Text("how often each occurs, out of fold", "各取值出现的频率（折外）")
_UNTRIED = Text("how far targets lie from their median", "目标到其中位数的距离")


def _curve(
    what: str, candidate: Candidate, lines: Sequence[Line], x: Text, actual: Array | None, i: int, language: Language
) -> Markup:
    """The loss of the i-th candidate, or its derivative, over the density of what came out."""
    values = [line.loss if what == "loss" else line.pull for line in lines]
    finite = np.concatenate([value[np.isfinite(value)] for value in values])
    y = padded(Axis(min(float(finite.min()), 0.0), max(float(finite.max()), 0.0)), 0.06)
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
        figure.line(line.x, value, i, "dashed" if j else "line")
    figure.note(words(language))
    return figure.svg()


_LOSS_IS = Text("loss of one row", "单个样本的损失")


def _pull_is(candidate: Candidate, x: Text) -> Text:
    if RECIPES[candidate.recipe].head.examples == 1 and "cosine" not in x.en:
        return Text("pull: gradient in the network's output", "拉力：对网络输出的梯度")
    return Text(f"pull: gradient in the {x.en.split(':')[0]}", f"拉力：对{x.zh.split('：')[0]}的梯度")


def _actual(choice: Choice, candidate: Candidate) -> Array | None:
    """What came out of fold: errors of quantities and shares, log-odds of the right answer of classes and labels. Of
    quantities without an experiment, the distances of the target from its median; the rest has none.
    """
    found, out = choice.found, out_of_fold(candidate)
    if out is None:
        if found.kind != "numbers":
            return None
        values = np.asarray(found.values)
        return np.asarray(((np.median(values, axis=0) - values) / _units(choice)).ravel())
    if found.kind == "embedding":
        return None  # vectors of different folds can't be compared
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
    if head in (DISTANCES_OF_PAIRS, VECTORS_OF_PAIRS):
        return np.asarray(-out.predicted[:, 0])
    if found.kind == "triplets":
        return np.asarray(out.predicted[:, 0] - out.predicted[:, 1])
    return np.asarray(out.predicted[:, 0] * (2 * np.asarray(found.codes)[out.rows] - 1))


def _grid(choice: Choice, candidate: Candidate, actual: Array | None) -> tuple[Array, Text]:
    """The numbers that curves are drawn over, and what they are."""
    found = choice.found
    if found.kind == "numbers":
        values = np.zeros(1) if actual is None else actual
        reach = float(max(4 * robust_width(values), np.quantile(np.abs(values), 0.99)))
        low = max(-reach, -0.9 * typical_count(found)) if found.facts.get("counts") else -reach
        several = Text(f"{ERROR.en}, in standard deviations", f"{ERROR.zh}（以标准差为单位）")
        return np.linspace(low, reach, POINTS), several if found.outputs > 1 else ERROR
    if found.kind == "distributions":
        share = typical_share(found)
        return np.linspace(0.005 - share, 0.995 - share, POINTS), Text("share: predicted − true", "份额：预测 − 真实")
    if found.kind in KINDS:
        title = _looked_at(candidate)
        if title.en == "cosine":
            return np.linspace(-0.999, 0.999, POINTS), title
        reach = 3.0 if actual is None else max(3.0, float(np.quantile(np.abs(actual), 0.99)))
        return np.linspace(0.0 if title.en == "distance" else -reach, reach, POINTS), title
    if found.kind == "embedding":
        return np.linspace(-0.999, 0.999, POINTS), Text("cosine: to a row of its class", "余弦：与同类样本之间")
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
    which = (
        Text("largest errors", "最大的 {} 误差") if is_quantity else Text("most wrong answers", "错得最多的 {} 答案")
    )
    return Text(
        f"The {FAR:.0%} {which.en} exert {largest:.0%} of the whole pull.",
        f"{which.zh.format(f'{FAR:.0%}')}占全部拉力的 {largest:.0%}。",
    )


def _beyond(actual: Array, x: Array) -> Text | None:
    """What a drawing over x leaves out."""
    share = float(np.mean((actual < x[0]) | (actual > x[-1])))
    if share < 0.01:
        return None
    return Text(f"{share:.0%} lie beyond the drawing.", f"另有 {share:.0%} 在图外。")


def _looked_at(candidate: Candidate) -> Text:
    """What a candidate for pairs or triplets looks at."""
    head = RECIPES[candidate.recipe].head
    if head in (COSINES_OF_PAIRS, COSINES_OF_TRIPLETS):
        return Text("cosine", "余弦")
    if head in (DISTANCES_OF_PAIRS, VECTORS_OF_PAIRS):
        return Text("distance", "距离")
    if head == DISTANCES_OF_TRIPLETS:
        return Text("lead: distance of the negative − of the positive", "领先：负例的距离 − 正例的距离")
    return Text("lead: score of the better − of the other", "领先：更好者的分数 − 另一个的分数")
