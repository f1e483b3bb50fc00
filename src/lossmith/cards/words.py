"""The words around a card, in English and Chinese: headings, families, and what the tested facts say."""

import inspect
import math
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from ..card import Text
from ..facts import Domain, Facts, Family, Interval, Optimum

FAMILIES: Mapping[Family, Text] = {
    "regression": Text("regression", "回归"),
    "classification": Text("classification", "分类"),
    "embedding and ranking": Text("embedding and ranking", "嵌入与排序"),
    "distributions and sequences": Text("distributions and sequences", "分布与序列"),
}

OPTIMA: Mapping[Optimum, Text] = {
    "mean": Text("the mean of the targets", "目标的均值"),
    "median": Text("the median of the targets", "目标的中位数"),
    "quantile": Text("the quantile asked for of the targets (default: the median)", "目标的指定分位数（默认为中位数）"),
    "between median and mean": Text("between the median and the mean of the targets", "介于目标的中位数与均值之间"),
    "logarithm of the mean": Text("the logarithm of the targets' mean", "目标均值的对数"),
    "mean and variance": Text("the mean and the variance of the targets", "目标的均值与方差"),
    "frequencies": Text("the frequencies in the targets", "目标中的频率"),
    "logarithm of the frequencies": Text("the logarithms of the frequencies in the targets", "目标中各频率的对数"),
    "log-odds": Text("the log-odds of the frequencies in the targets", "目标中频率的对数几率"),
    "most frequent label": Text("the most frequent label", "出现最多的标签"),
}

DOMAINS: Mapping[str, Text] = {
    "log-probabilities": Text("log-probabilities over the classes", "各类别的对数概率"),
    "probabilities": Text("probabilities over the classes", "各类别的概率"),
    "labels": Text("class labels", "类别标签"),
    "group labels": Text("any integers: equal ones belong together", "任意整数，相等者为同一组"),
    "label sets": Text("sets of labels, padded with -1", "以 -1 填充的标签集合"),
    "signs": Text("-1 and 1", "-1 和 1"),
    "label sequences": Text("sequences of labels", "标签序列"),
    "none": Text("none", "无"),
}

DENOMINATORS: Mapping[str, Text] = {
    "elements": Text("the number of elements", "元素个数"),
    "rows": Text("the number of rows", "行数"),
    "samples": Text("the number of samples", "样本数"),
    "regions": Text("the number of regions", "区域数"),
    "weights": Text(
        "the sum of the weights where `weight` is given, else the count",
        "给出 `weight` 时为权重之和，否则为个数",
    ),
}

BY_SHAPE = Text("bounded; the shape decides by what", "有界，界由形状决定")


def tested(facts: Facts, arguments: Mapping[str, Any]) -> Iterator[tuple[Text, Text]]:
    """What is declared and tested of a loss, a line each: what it is, what it is for this loss.

    arguments: a call, for facts that arguments decide.
    """
    yield (
        Text("convex", "凸性"),
        _convexity(facts, arguments),
    )
    yield (
        Text("gradient", "梯度"),
        Text("continuous", "处处连续") if facts.smooth else Text("jumps at a kink", "有尖点，梯度在该处跳变"),
    )
    yield Text("norm of a term's gradient", "单项梯度的范数"), _bound(facts, arguments)
    if facts.optimum is not None:
        yield Text("best constant prediction", "最优的常数预测"), OPTIMA[facts.optimum]
    yield Text("values of the prediction", "预测值的取值"), _domain(facts.prediction, arguments)
    yield Text("values of the target", "目标的取值"), _domain(facts.target, arguments)
    yield Text("mean divides by", "mean 的分母"), DENOMINATORS[facts.denominator]


def _convexity(facts: Facts, arguments: Mapping[str, Any]) -> Text:
    decided = callable(facts.convex)
    convex = facts.convex(**arguments) if callable(facts.convex) else facts.convex
    text = Text("yes, in the prediction", "关于预测值是凸的") if convex else Text("no", "非凸")
    return Text(f"{text.en}, with these arguments", f"{text.zh}（就这些参数而言）") if decided else text


def _bound(facts: Facts, arguments: Mapping[str, Any]) -> Text:
    try:
        bound = facts.lipschitz(**arguments)
    except TypeError:  # it is a matter of tensors that are not at hand
        return BY_SHAPE
    if math.isinf(bound):
        return Text("unbounded", "无界")
    deciding = [
        name for name, p in inspect.signature(facts.lipschitz).parameters.items() if p.kind is not p.VAR_KEYWORD
    ]
    if not deciding:
        return Text(f"at most {bound:.4g}", f"不超过 {bound:.4g}")
    if any(isinstance(arguments.get(name), Tensor) for name in deciding):
        return BY_SHAPE
    by = ", ".join(deciding)
    return Text(
        f"at most {bound:.4g} with these settings; {by} decides", f"在这组设置下不超过 {bound:.4g}，由 {by} 决定"
    )


def _domain(domain: Domain | Any, arguments: Mapping[str, Any]) -> Text:
    if callable(domain):
        try:
            domain = domain(**arguments)
        except TypeError:
            return Text("the other arguments decide", "由其他参数决定")
        inner = _domain(domain, arguments)
        return Text(f"{inner.en}, with these arguments", f"{inner.zh}（就这些参数而言）")
    if isinstance(domain, Interval):
        return _interval(domain)
    return DOMAINS[domain]


def _interval(domain: Interval) -> Text:
    if math.isinf(domain.low) and math.isinf(domain.high):
        return Text("any real number", "任意实数")
    low = "(" if domain.open_low or math.isinf(domain.low) else "["
    high = ")" if domain.open_high or math.isinf(domain.high) else "]"
    text = f"{low}{domain.low:g}, {domain.high:g}{high}".replace("inf", "∞")
    return Text(text, text)
