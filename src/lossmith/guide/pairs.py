"""Pairs and triplets of examples: their columns, what they ask for, the margin, and how a network is judged."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from .. import suggest
from ..card import Text
from .inputs import Array, Inputs, inputs
from .read import FEWEST_OF_A_CLASS, BadData, Table
from .target import FEWEST_ROWS, Target, two_values

KINDS = ("pairs", "ranking", "triplets")
SAMPLE = 5_000  # rows that the fits look at
CLEARLY = 0.02  # ROC AUC by which one way of comparing must be ahead of the other

RANKING_WORDS = {
    "better",
    "best",
    "prefer",
    "preferred",
    "winner",
    "wins",
    "won",
    "rank",
    "ranking",
    "chosen",
    "higher",
}
ALIKE_WORDS = {"same", "similar", "similarity", "alike", "match", "matches", "duplicate", "equal", "related"}


def examples(table: Table, prefixes: Sequence[str]) -> Inputs:
    """The examples of each row, whose columns begin with the prefixes, side by side: (rows, examples, inputs)."""
    frame = table.frame
    groups = [_group(table, prefix) for prefix in prefixes]
    for prefix, group in zip(prefixes[1:], groups[1:], strict=True):
        if alone := sorted(groups[0].keys() ^ group.keys()):
            sizes = f"{prefixes[0]!r} has {len(groups[0])} columns and {prefix!r} has {len(group)}"
            where = prefixes[0] if alone[0] in groups[0] else prefix
            raise BadData(
                f"{table.name}: the groups differ: {sizes}, and {alone[0]!r} is in {where!r} alone; give each example "
                "the same columns"
            )
    names = list(groups[0])
    stacked = pl.concat(
        [frame.select(pl.col(group[name]).alias(name) for name in names) for group in groups], how="vertical_relaxed"
    )
    found = inputs(stacked)
    values = found.values.reshape(len(groups), frame.height, -1).swapaxes(0, 1)
    said = [
        f"{prefix} ({', '.join(list(group.values())[:3])}{', ...' * (len(group) > 3)})"
        for prefix, group in zip(prefixes, groups, strict=True)
    ]
    unused = [name for name in table.features if not any(name in group.values() for group in groups)]
    notes = [Text(f"examples of a row: {', '.join(said)}", f"每行的样本：{'、'.join(said)}")]
    if unused:
        listed = ", ".join(unused[:6]) + ", ..." * (len(unused) > 6)
        notes.append(Text(f"columns of no example, left out: {listed}", f"不属于任何样本、未使用的列：{listed}"))
    return replace(found, values=values, notes=(*notes, *found.notes))


def _group(table: Table, prefix: str) -> dict[str, str]:
    """The columns that begin with a prefix, by what follows it."""
    for flags in (0, re.IGNORECASE):
        pattern = re.compile(rf"{re.escape(prefix)}(?:[_.\- ](.+)|(\d*))", flags)
        matches = [(name, pattern.fullmatch(name)) for name in table.features]
        found = {match[1] or match[2] or "value": name for name, match in matches if match}
        if found:
            return found
    columns = ", ".join(table.features[:12]) + ", ..." * (len(table.features) > 12)
    raise BadData(
        f"{table.name}: no column belongs to {prefix!r}: expected {prefix}_0, {prefix}_1, ... or {prefix}0, {prefix}1, "
        f"...; its columns are {columns}"
    )


def examine_pairs(column: pl.Series, given: Inputs, prefixes: Sequence[str], seed: int) -> Target:
    """What the label of each pair asks for: an order of the two, or how alike they are."""
    _enough(len(given.values))
    target = _labels(column, prefixes)
    _balanced(target)
    ranking, why = _is_ranking(target, given, prefixes, seed)
    target = replace(target, kind="ranking" if ranking else "pairs")
    target.facts |= {"several examples": True, "triplets": False, "ranking": ranking}
    target.statements.append(why)
    if not ranking:
        angle, distance = _tell_alike(target, given)
        statement = Text(
            f"on the standardised inputs themselves, the cosine of a pair tells alike from unlike with a ROC AUC of "
            f"{angle:.3f}, its distance with {distance:.3f}",
            f"直接在标准化后的输入上，用一对样本的余弦区分相似与不相似，ROC AUC 为 {angle:.3f}，"
            f"用距离则为 {distance:.3f}",
        )
        target.know("distance", distance > angle + CLEARLY, statement)
    return target


def examine_triplets(given: Inputs) -> Target:
    """Triplets ask for their order, and for nothing else."""
    _enough(len(given.values))
    near, far = (_distances(given, 0, place).mean() for place in (1, 2))
    right = float(np.mean(_distances(given, 0, 1) < _distances(given, 0, 2)))
    target = Target("triplets", (), list(range(len(given.values))))
    target.facts |= {"several examples": True, "triplets": True}
    target.statements.append(
        Text(
            f"each row is an anchor, a positive and a negative; on the standardised inputs the positive lies "
            f"{near:.3g} away, the negative {far:.3g}, and {right:.0%} of the triplets are in order already",
            f"每行是锚点、正例和负例；在标准化后的输入上，正例平均距离 {near:.3g}，负例 {far:.3g}，"
            f"已有 {right:.0%} 的三元组顺序正确",
        )
    )
    return target


def margin(target: Target, given: Inputs) -> float:
    """The margin of the cosine for some rows: of a triplet, anchor and negative are the unlike pair."""
    design = given.design(np.arange(len(given.values)))
    if target.kind == "triplets":
        unlike = design[:, [0, 2]]
        return suggest.cosine_margin(unlike[:, 0], unlike[:, 1], -np.ones(len(unlike)))
    if target.codes is None or (target.codes == 1).all():
        return 0.0
    return suggest.cosine_margin(design[:, 0], design[:, 1], 2 * target.codes - 1)


def judge(kind: str, codes: NDArray[np.int64] | None, predicted: Array) -> dict[str, float]:
    """The metrics of pairs from how close (or how far ahead) each was predicted to be; of triplets, from how close the
    positive and the negative are.
    """
    if kind == "triplets":
        near = np.repeat([1, 0], len(predicted))
        order = predicted[:, 0] - predicted[:, 1]
        return {"ordered": _share(order > 0, order == 0), "roc_auc": float(roc_auc_score(near, predicted.T.ravel()))}
    score, truth = predicted[:, 0], np.asarray(codes)
    if kind == "ranking":
        return {"ordered": _share((score > 0) == (truth == 1), score == 0), "roc_auc": _roc_auc(truth, score)}
    precision = float(average_precision_score(truth, score)) if truth.any() else 0.0
    return {"roc_auc": _roc_auc(truth, score), "average_precision": precision}


def _share(right: NDArray[np.bool_], tied: NDArray[np.bool_]) -> float:
    return float(np.mean(np.where(tied, 0.5, right)))


def _roc_auc(truth: NDArray[np.int64], score: Array) -> float:
    return float(roc_auc_score(truth, score)) if 0 < truth.sum() < len(truth) else 0.5


# Labels of pairs


def _enough(rows: int) -> None:
    if rows < FEWEST_ROWS:
        raise BadData(f"{rows} rows can be used; at least {FEWEST_ROWS} are needed to train and to test")


def _balanced(target: Target) -> None:
    rows = np.bincount(np.asarray(target.codes), minlength=2)
    if rows.min() < FEWEST_OF_A_CLASS:
        raise BadData(
            f"label {target.columns[0]!r} is {target.classes[int(rows.argmin())]!r} in {rows.min()} rows, and "
            f"{FEWEST_OF_A_CLASS} are needed, one for each fold; add such pairs"
        )


def _labels(column: pl.Series, prefixes: Sequence[str]) -> Target:
    """The two values of the label; 1 stands for the alike pairs, or for the first example being better."""
    values = column.cast(pl.Float64) if column.dtype.is_decimal() else column
    values = values.cast(pl.String) if values.dtype in (pl.Categorical, pl.Enum) else values
    distinct = values.unique().sort().to_list()
    name = column.name
    if len(distinct) != 2:
        held = ", ".join(repr(value) for value in distinct[:5]) + ", ..." * (len(distinct) > 5)
        hint = "; leave ties out" if len(distinct) == 3 else ""
        raise BadData(f"label {name!r} holds {len(distinct)} different values ({held}), expected two, 1 and -1{hint}")
    listed = values.to_list()
    if _named(distinct, prefixes):
        first = next(value for value in distinct if value.lower() == prefixes[0].lower())
        classes = (next(value for value in distinct if value != first), first)
        target = Target("pairs", (name,), listed, np.array([value == first for value in listed], np.int64), classes)
        target.statements.append(
            Text(
                f"{name} names one of the two, {distinct[0]!r} or {distinct[1]!r}; {first!r} is taken as 1, the other "
                "as -1",
                f"{name} 指出两者之一：{distinct[0]!r} 或 {distinct[1]!r}；{first!r} 记为 1，另一个记为 -1",
            )
        )
        return target
    target = two_values(name, listed, distinct)
    negative, positive = target.classes
    if (negative, positive) != (-1, 1):
        target.statements.append(
            Text(
                f"the losses of pairs take 1 and -1: {positive!r} is taken as 1 and {negative!r} as -1",
                f"成对损失的标签为 1 和 -1：{positive!r} 记为 1，{negative!r} 记为 -1",
            )
        )
    return target


def _named(distinct: Sequence[object], prefixes: Sequence[str]) -> bool:
    """Whether the label's values are the examples' names."""
    return {str(value).lower() for value in distinct} == {prefix.lower() for prefix in prefixes}


def _is_ranking(target: Target, given: Inputs, prefixes: Sequence[str], seed: int) -> tuple[bool, Text]:
    name = target.columns[0]
    words = set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))
    if _named(target.classes, prefixes) or words & RANKING_WORDS:
        return True, Text(f"{name} says which of the two is better: a ranking", f"{name} 说明两者谁更好：排序")
    if words & ALIKE_WORDS:
        return False, Text(
            f"{name} says by its name whether a pair is alike", f"{name} 的列名表明它说的是一对样本是否相似"
        )
    rows = np.random.default_rng(seed).permutation(len(given.values))[:SAMPLE]
    design, codes = given.take(rows).design(np.arange(len(rows))), np.asarray(target.codes)[rows]
    difference = design[:, 0] - design[:, 1]
    ordered = _out_of_fold(difference, codes, seed)
    alike = _out_of_fold(np.hstack([np.abs(difference), design[:, 0] * design[:, 1]]), codes, seed)
    ranking = ordered > alike + CLEARLY
    en, zh = ("a ranking", "排序") if ranking else ("alike or unlike", "相似与否")
    return ranking, Text(
        f"{name} follows first less second with a ROC AUC of {ordered:.3f}, and what is the same when the two change "
        f"places with {alike:.3f}: {en} (a column can say so in its name, as `same` or `better` do)",
        f"用“第一个减第二个”预测 {name} 的 ROC AUC 为 {ordered:.3f}，用交换两者后不变的量为 {alike:.3f}：{zh}"
        "（也可以用列名说明，例如 same 或 better）",
    )


def _out_of_fold(design: Array, codes: NDArray[np.int64], seed: int) -> float:
    folds = StratifiedKFold(min(5, int(np.bincount(codes).min())), shuffle=True, random_state=seed)
    line = LogisticRegression(C=0.1, max_iter=500)
    return float(roc_auc_score(codes, cross_val_predict(line, design, codes, cv=folds, method="decision_function")))


def _tell_alike(target: Target, given: Inputs) -> tuple[float, float]:
    """How well cosine and distance of the inputs tell alike pairs from unlike ones, as ROC AUC."""
    design = given.design(np.arange(len(given.values)))
    first, second = design[:, 0], design[:, 1]
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosine = (first * second).sum(axis=1) / lengths.clip(1e-12)
    codes = np.asarray(target.codes)
    return _roc_auc(codes, cosine), _roc_auc(codes, -_distances(given, 0, 1))


def _distances(given: Inputs, one: int, other: int) -> Array:
    design = given.design(np.arange(len(given.values)))
    found: Array = np.linalg.norm(design[:, one] - design[:, other], axis=1)
    return found
