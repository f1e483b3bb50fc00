"""What the target is, and how that is known: every fact comes with the sentence that proves it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..card import Text
from .inputs import LARGEST, Array, Inputs
from .noise import GROWS, OUTLIER, SURELY, noise
from .read import FEWEST_OF_A_CLASS, BadData
from .whole_numbers import whole_numbers

FEWEST_ROWS = 10
SAMPLE = 5_000  # rows that the fits look at; a share of 1 % is known well from as many

SKEWED = 3.0  # rows of the largest class over rows of the smallest
RARE = 0.05  # of the rows; a class or a label with fewer is rare
FEWEST_NEIGHBOURS = 2 * FEWEST_OF_A_CLASS
OUTLIERS, GROSS_OUTLIERS = 0.01, 0.10  # share of residuals beyond 3.5 robust standard deviations

POSITIVE_WORDS = ("true", "t", "yes", "y", "positive", "pos")


@dataclass
class Target:
    """The target of every row, with the facts that the decision tree asks for."""

    # numbers, binary, classes, labels (several columns of 0/1), distributions; embedding, where classes are asked to be
    # neighbours; pairs, ranking, triplets
    kind: str
    columns: tuple[str, ...]
    values: Array | list[Any]  # as the table has them: what the snippet's to_target takes
    codes: NDArray[np.int64] | None = None  # class numbers, where there are classes
    classes: tuple[Any, ...] = ()
    one_hot: bool = False
    level: float | None = None  # the share that an interval around the prediction is asked to hold
    facts: dict[str, bool] = field(default_factory=dict)
    statements: list[Text] = field(default_factory=list)

    @property
    def outputs(self) -> int:
        """Numbers to predict for each row: outputs, labels or classes."""
        return len(self.classes) if self.kind in ("binary", "classes", "embedding") else len(self.columns)

    def take(self, rows: NDArray[np.int64]) -> "Target":
        """The target of some rows, with the facts of all."""
        values = self.values[rows] if isinstance(self.values, np.ndarray) else [self.values[row] for row in rows]
        return replace(self, values=values, codes=None if self.codes is None else self.codes[rows])

    def know(self, fact: str, holds: bool, statement: Text) -> None:
        self.facts[fact] = holds
        self.statements.append(statement)


def examine(columns: Sequence[pl.Series], inputs: Inputs, seed: int) -> Target:
    """Finds what the columns, which have no missing values, ask a network to predict."""
    _usable(columns)
    sample = np.random.default_rng(seed).permutation(len(inputs.values))[:SAMPLE]
    design = inputs.take(sample).design(np.arange(len(sample)))
    if len(columns) == 1:
        target = _one(columns[0], sample, design, seed)
    else:
        target = _several(columns)
    target.facts |= {
        "several examples": False,
        "interval": False,
        "embedding": False,
        "quantities": target.kind == "numbers",
        "distributions": target.kind == "distributions",
        "several labels": target.kind == "labels",
        "two values": target.kind == "binary",
    }
    if target.kind == "numbers" and not target.facts["counts"]:
        _judge_noise(target, sample, design, inputs, seed)
    elif target.kind in ("binary", "classes", "labels"):
        _judge_balance(target)
    return target


def with_interval(target: Target, level: float) -> Target:
    """The target, of which an interval is asked for that holds this share of the rows."""
    if not 0.01 <= level <= 0.99:
        raise BadData(f"an interval that holds {level:g} of the rows was asked for; give a share from 0.01 to 0.99")
    if target.kind != "numbers":
        held = "labels" if target.kind == "labels" else "shares" if target.kind == "distributions" else "classes"
        raise BadData(
            f"an interval is for quantities, and target {_listed(target.columns)} holds {held}; leave the interval out"
        )
    asked = Text(
        f"an interval was asked for that holds {100 * level:.4g} % of the rows",
        f"要求给出包含 {100 * level:.4g}% 样本的区间",
    )
    return replace(target, level=level, facts=target.facts | {"interval": True}, statements=[*target.statements, asked])


def as_embedding(target: Target) -> Target:
    """The target, of which vectors are asked for: those of one class are to be near each other."""
    if target.kind not in ("binary", "classes"):
        held = {"numbers": "quantities", "labels": "several labels a row"}.get(target.kind, "distributions")
        raise BadData(
            f"an embedding brings rows of one class together, and target {_listed(target.columns)} holds {held}; name "
            "a column of classes"
        )
    rows = np.bincount(np.asarray(target.codes), minlength=len(target.classes))
    fewest = int(rows.argmin())
    if rows[fewest] < FEWEST_NEIGHBOURS:
        raise BadData(
            f"class {target.classes[fewest]!r} of target {_listed(target.columns)} has {rows[fewest]} rows, and an "
            f"embedding is judged by whether a row's nearest is of its class: {FEWEST_NEIGHBOURS} are needed, two for "
            "each fold; add rows or leave the class out"
        )
    asked = Text(
        "vectors were asked for, of which those of one class are neighbours, also of classes that come later",
        "要求给出向量，使同一类别的向量互为近邻，对以后才出现的类别也是如此",
    )
    return replace(
        target, kind="embedding", facts=target.facts | {"embedding": True}, statements=[*target.statements, asked]
    )


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(map(repr, columns[:6])) + ", ..." * (len(columns) > 6)


def _usable(columns: Sequence[pl.Series]) -> None:
    rows = len(columns[0])
    if rows < FEWEST_ROWS:
        raise BadData(f"{rows} rows have a target; at least {FEWEST_ROWS} are needed to train and to test")
    for column in columns:
        name = column.name
        if not (_is_text(column) or column.dtype.is_numeric() or column.dtype == pl.Boolean):
            raise BadData(f"target {name!r} holds values of type {column.dtype}; give numbers, booleans or names")
        largest = 0.0 if _is_text(column) else float(np.abs(_floats(column)).max())
        if largest and not 1 / LARGEST < largest < LARGEST:
            raise BadData(f"target {name!r} reaches {largest:.3g}, which float32 can't hold; give it in another unit")


def _not_constant(columns: Sequence[pl.Series]) -> None:
    for column in columns:
        if column.n_unique() == 1:
            value = repr(column[0])
            raise BadData(f"target {column.name!r} is constant ({value} in every row); there is nothing to predict")


def _is_text(column: pl.Series) -> bool:
    return column.dtype in (pl.String, pl.Categorical, pl.Enum)


def _floats(column: pl.Series) -> Array:
    return column.cast(pl.Float64).to_numpy().astype(np.float64)


# One column


def _one(column: pl.Series, sample: NDArray[np.int64], design: Array, seed: int) -> Target:
    _not_constant([column])
    name = column.name
    values = column.cast(pl.String) if _is_text(column) else column
    if values.dtype.is_float() or values.dtype.is_decimal():
        values = values.cast(pl.Float64)
    distinct = values.unique().sort().to_list()
    if len(distinct) == 2:
        return two_values(name, values.to_list(), distinct)
    if _is_text(column):
        if len(distinct) > len(values) / 2:
            shown = ", ".join(repr(value) for value in values.head(3))
            raise BadData(
                f"target {name!r} is text with {len(distinct)} different values in {len(values)} rows ({shown}, ...): "
                "neither numbers nor classes"
            )
        why = Text(
            f"{name} holds {len(distinct)} different names: classes", f"{name} 含 {len(distinct)} 个不同的名称：类别"
        )
        return _classes(name, values.to_list(), distinct, why)
    numbers = _floats(values)
    if np.all(numbers == np.round(numbers)):
        is_classes, is_counts, why = whole_numbers(name, numbers[sample], design, seed)
        if is_classes:
            return _classes(name, numbers.astype(int).tolist(), [int(value) for value in distinct], why)
    else:
        is_counts = False
        en = f"{name} holds {len(distinct)} different numbers from {distinct[0]:.4g} to {distinct[-1]:.4g}"
        zh = f"{name} 含 {len(distinct)} 个不同的数，从 {distinct[0]:.4g} 到 {distinct[-1]:.4g}"
        if len(distinct) <= 5 and len(values) >= 10 * len(distinct):
            why = Text(f"{en}: so few that they are labels", f"{zh}：取值很少，因此是标签")
            return _classes(name, numbers.tolist(), distinct, why)
        fractions = np.mean(numbers != np.round(numbers))
        why = Text(
            f"{en}, {fractions:.0%} of them with a fraction: a quantity", f"{zh}，其中 {fractions:.0%} 带小数：数量"
        )
    target = Target("numbers", (name,), numbers.reshape(-1, 1))
    target.know("counts", is_counts, why)
    return target


def two_values(name: str, values: list[Any], distinct: list[Any]) -> Target:
    rows = [values.count(value) for value in distinct]
    words = [value for value in distinct if str(value).lower() in POSITIVE_WORDS]
    if not isinstance(distinct[0], str):
        positive, because = distinct[1], Text("the larger value", "较大的值")
    elif len(words) == 1:
        positive, because = words[0], Text("by its name", "由名称可知")
    elif rows[0] != rows[1]:
        positive, because = distinct[int(rows[1] < rows[0])], Text("the rarer one", "较少的一类")
    else:
        positive, because = distinct[1], Text("the later name", "排序靠后的名称")
    classes = (distinct[0], distinct[1]) if positive == distinct[1] else (distinct[1], distinct[0])
    codes = np.array([value == positive for value in values], dtype=np.int64)
    target = Target("binary", (name,), values, codes, classes)
    (first, second), (some, others) = distinct, rows
    target.statements.append(
        Text(
            f"{name} holds exactly two values, {first!r} ({some} rows) and {second!r} ({others} rows); "
            f"{positive!r} is the positive one ({because.en})",
            f"{name} 恰好有两个取值：{first!r}（{some} 行）和 {second!r}（{others} 行）；"
            f"{positive!r} 为正类（{because.zh}）",
        )
    )
    return target


def _classes(name: str, values: list[Any], distinct: list[Any], why: Text) -> Target:
    place = {value: code for code, value in enumerate(distinct)}
    codes = np.array([place[value] for value in values], dtype=np.int64)
    return Target("classes", (name,), values, codes, tuple(distinct), statements=[why])


# Several columns


def _several(columns: Sequence[pl.Series]) -> Target:
    names = tuple(column.name for column in columns)
    for column in columns:
        if _is_text(column):
            raise BadData(f"several targets must all be numbers, and {column.name!r} holds text; give it alone")
    values = np.stack([_floats(column) for column in columns], axis=1)
    sums = values.sum(axis=1)
    total = 100.0 if abs(np.median(sums) - 100) < 1 else 1.0
    shares = (values >= 0).all() and np.allclose(sums, total, rtol=0, atol=0.01 * total)
    if shares and not np.isin(values, (0, 1)).all() and (np.ptp(values, axis=0) > 0).any():
        why = Text(
            f"the {len(names)} columns are never negative and sum to {total:g} in every row: distributions",
            f"这 {len(names)} 列都不为负，且每行之和为 {total:g}：分布",
        )
        target = Target("distributions", names, values, statements=[why])
        target.know("in order", *_in_order(names))
        return target
    _not_constant(columns)
    if np.isin(values, (0, 1)).all():
        return _zeros_and_ones(names, values)
    target = Target("numbers", names, values)
    counts = bool(np.all(values == np.round(values)) and np.all(values.min(axis=0) == 0))
    what = (
        Text("whole numbers from 0 upwards: counts", "从 0 开始的整数：计数")
        if counts
        else Text("numbers that are neither 0/1 nor shares of one whole", "既不是 0/1 也不是占比的数")
    )
    many = len(names)
    target.know(
        "counts", counts, Text(f"{many} columns of {what.en}: {many} outputs", f"{many} 列{what.zh}：{many} 个输出")
    )
    return target


def _in_order(names: Sequence[str]) -> tuple[bool, Text]:
    """Whether the names end in numbers that rise, as bins of a histogram do."""
    found = [re.search(r"[-+]?\d+(?:\.\d+)?$", name) for name in names]
    ends = [float(number[0]) for number in found if number]
    rising = len(ends) == len(names) > 2 and all(low < high for low, high in pairwise(ends))
    if rising:
        return True, Text(
            f"their names end in numbers that rise ({names[0]}, {names[1]}, ...): they may be bins in an order",
            f"列名末尾的数递增（{names[0]}、{names[1]}……）：可能是有顺序的分箱",
        )
    return False, Text("their names show no order", "列名看不出顺序")


def _zeros_and_ones(names: tuple[str, ...], values: Array) -> Target:
    ones = values.sum(axis=1)
    if (ones == 1).all():
        why = Text(
            f"every row has exactly one 1 in the {len(names)} columns: classes, one-hot",
            f"每行在这 {len(names)} 列中恰好有一个 1：one-hot 编码的类别",
        )
        return Target("classes", names, values, values.argmax(axis=1), names, one_hot=True, statements=[why])
    why = Text(
        f"the {len(names)} columns hold only 0 and 1, with {ones.min():.0f} to {ones.max():.0f} ones in a row "
        f"({ones.mean():.2g} on average): labels that don't exclude each other",
        f"这 {len(names)} 列只含 0 和 1，每行有 {ones.min():.0f} 到 {ones.max():.0f} 个 1"
        f"（平均 {ones.mean():.2g} 个）：互不排斥的标签",
    )
    return Target("labels", names, values, statements=[why])


# Facts


def _judge_balance(target: Target) -> None:
    """Skewed classes or labels; an error where there are too few rows of one."""
    if target.kind == "labels":
        ones = np.asarray(target.values).sum(axis=0).astype(int)
        sides = np.stack([len(target.values) - ones, ones])
        named = {f"{name} = {side}": int(sides[side, i]) for i, name in enumerate(target.columns) for side in (0, 1)}
        ratio, pair = (
            float((sides.max(axis=0) / sides.min(axis=0).clip(1)).max()),
            Text("the two sides of a label", "同一标签的两侧"),
        )
    else:
        rows = np.bincount(np.asarray(target.codes), minlength=len(target.classes))
        named = {f"class {name!r}": int(count) for name, count in zip(target.classes, rows, strict=True)}
        ratio = float(rows.max() / max(rows.min(), 1))
        pair = Text("the largest and the smallest class", "最大与最小的类别")
    fewest = min(named, key=lambda name: named[name])
    if named[fewest] < FEWEST_OF_A_CLASS:
        raise BadData(
            f"{fewest} of target {', '.join(target.columns)} has too few rows: {named[fewest]}, and "
            f"{FEWEST_OF_A_CLASS} are needed, one for each fold; add rows, merge it with another class, or drop it"
        )
    share = named[fewest] / len(target.values)
    statement = Text(
        f"{pair.en} differ by a factor of {ratio:.3g} in rows (skewed from {SKEWED:g}); the fewest, of {fewest}, are "
        f"{share:.2%} of all (rare, where skewed, below {RARE:.0%})",
        f"{pair.zh}的行数相差 {ratio:.3g} 倍（达到 {SKEWED:g} 倍即为不均衡）；最少的是 {fewest}，占全部的 {share:.2%}"
        f"（不均衡且低于 {RARE:.0%} 即为稀有）",
    )
    target.know("skewed", ratio >= SKEWED, statement)
    target.facts["rare"] = ratio >= SKEWED and share < RARE


def _judge_noise(target: Target, sample: NDArray[np.int64], design: Array, inputs: Inputs, seed: int) -> None:
    """Outliers and growing noise in the residuals of a first fit; of several outputs the worst one tells."""
    numeric = dict(zip(inputs.numbers, design.T, strict=False))  # the design starts with the numbers
    found = {
        name: noise(design, column, numeric, seed)
        for name, column in zip(target.columns, np.asarray(target.values)[sample].T, strict=True)
    }

    def of(name: str) -> tuple[str, str]:
        return (f" of {name}", f" {name} 的") if len(found) > 1 else ("", "")

    name, worst = max(found.items(), key=lambda item: item[1].outliers)
    en, zh = of(name)
    target.know(
        "outliers",
        worst.outliers >= OUTLIERS,
        Text(
            f"outliers: {worst.outliers:.1%} of the residuals{en} around a first robust fit ({worst.fit.name.en}) lie "
            f"beyond {OUTLIER} robust standard deviations, and {worst.target_outliers:.1%} of the target itself "
            f"(heavy-tailed from {OUTLIERS:.0%} of the residuals)",
            f"离群点：围绕初步稳健拟合（{worst.fit.name.zh}），{zh}残差中有 {worst.outliers:.1%} 超出 {OUTLIER} 个"
            f"稳健标准差，目标本身有 {worst.target_outliers:.1%}（残差达到 {OUTLIERS:.0%} 即为重尾）",
        ),
    )
    target.facts["gross outliers"] = worst.outliers >= GROSS_OUTLIERS
    name, worst = max(found.items(), key=lambda item: (item[1].grows, abs(item[1].growth.correlation)))
    follows = worst.growth
    en, zh = of(name)
    target.know(
        "growing noise",
        worst.grows,
        Text(
            f"noise: the size of the residuals{en} follows {follows.driver.en} with rank correlation "
            f"{follows.correlation:+.2f}, p = {follows.p_value:.1g} (growing from {GROWS} at p < {SURELY})",
            f"噪声：{zh}残差大小与{follows.driver.zh}的秩相关为 {follows.correlation:+.2f}，p = {follows.p_value:.1g}"
            f"（p < {SURELY} 且相关达到 {GROWS} 即为递增）",
        ),
    )
