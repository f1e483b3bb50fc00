"""LM116: targets of 0 and 1 where -1 and 1 are meant."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from ..card import Text
from ..rule import Call, Known, Numbers, Rule, Site, Values
from ..watch.statistics import minimum, near
from ..watch.statistics import numbers as of
from ._evidence import given, last_operation

_NEVER_NEGATIVE = ("compare", "one_hot", "zeros", "rand", "randint", "argmax")
_ONLY_SIGNS = ("hinge_embedding_loss", "cosine_embedding_loss", "contrastive_loss")
"""To them any other number is a 0. Elsewhere it scales the scores, which can be meant as a weight."""


def _fractions(call: Call) -> Tensor:
    size = of(call, "target").abs()
    return ((size > 0) & ((size - 1).abs() > 1e-3)).sum()


def _says(call: Call, numbers: Numbers) -> Text | None:
    zeros, fractions, total = int(numbers["zeros"]), int(numbers["fractions"]), call.arguments["target"].numel()
    if fractions > 0 and _reads_signs(call):
        return Text(
            f"{fractions} of {total} targets are neither -1, 0 nor 1",
            f"{total} 个目标中有 {fractions} 个既不是 -1、0，也不是 1",
        )
    # beside a -1, zeros are ties or padding; -1 throughout, or 1, are pairs of one kind
    if numbers["minimum"] >= 0 and zeros > 0:
        return Text(
            f"{zeros} of {total} targets are 0, and none is -1", f"{total} 个目标中有 {zeros} 个 0，没有一个 -1"
        )
    return None


def _applies(call: Call) -> bool:
    return bool(call.arguments.get("labels", "signs") == "signs")


def _reads_signs(call: Call) -> bool:
    """A ranking with a margin asks for a gap of margin / target, the greater the smaller the target is."""
    return call.loss in _ONLY_SIGNS or (call.loss == "margin_ranking_loss" and call.arguments["margin"] != 0)


def _in_source(site: Site) -> Text | None:
    if site.settings.get("labels", "signs") != "signs":
        return None
    known = given(site, "target")
    if known.op in _NEVER_NEGATIVE:
        return last_operation("target", known.op)
    if 0 in _numbers(known) and min(_numbers(known)) == 0:
        return Text("target holds zeros, and no -1", "target 中有 0 而没有 -1")
    return None


def _numbers(known: Known) -> list[float]:
    """What a literal target is written of."""
    if known.op == "full":
        return list(_flat(known.settings.get("fill_value")))
    return list(_flat(known.value)) if known.op == "literal" else []


def _flat(value: Any) -> Iterator[float]:
    if isinstance(value, list | tuple):
        for part in value:
            yield from _flat(part)
    elif isinstance(value, bool | int | float):
        yield value


RULE = Rule(
    code="LM116",
    name="target-not-plus-minus-one",
    severity="error",
    losses=("soft_margin_loss", "margin_ranking_loss", *_ONLY_SIGNS),
    what=Text(
        "Targets are 0 and 1, or numbers in between, where -1 and 1 are expected.",
        "目标取 0 与 1 或介于其间的数，而该损失要求 -1 与 1。",
    ),
    why=Text(
        "For a target of 0 SoftMarginLoss is log 2 = 0.693 whatever the score, MarginRankingLoss the margin and "
        "CosineEmbeddingLoss 0, all with a gradient of 0: negatives are never learned. HingeEmbeddingLoss is max(x, "
        "margin), which pulls dissimilar pairs together.",
        "目标为 0 时，SoftMarginLoss 无论得分如何都是 log 2 = 0.693，MarginRankingLoss 恒为 margin，"
        "CosineEmbeddingLoss 恒为 0，梯度都是 0：负样本永远学不到。"
        "HingeEmbeddingLoss 则为 max(x, margin)，会把不相似的对拉到一起。",
    ),
    evidence=Text(
        "At run time zeros and no -1, or fractions where only signs are read, in several batches. In source a target "
        "that a comparison, one_hot, randint, argmax, zeros or numbers without a -1 made. Silent are -1 throughout, 1 "
        "throughout, and zeros beside -1, which are ties or padding.",
        "运行时看连续几个批次是否有 0 而没有 -1，或在只看符号的损失中出现小数。源码中看目标是否由比较、one_hot、"
        "randint、argmax、zeros 或不含 -1 的数得来。全为 -1、全为 1，以及与 -1 并存的 0（平局或填充）都不提示。",
    ),
    fix=Text(
        "Write 2 * target - 1. Leave ties and padding out with mask=.",
        "写 2 * target - 1。平局与填充用 mask= 排除。",
    ),
    bad="""\
import torch
from torch import nn

torch.manual_seed(0)
model, criterion = nn.Linear(4, 8), nn.CosineEmbeddingLoss()
for _ in range(4):
    label, other = torch.randint(3, (16,)), torch.randint(3, (16,))
    same = (label == other).float()
    loss = criterion(model(torch.randn(16, 4)), model(torch.randn(16, 4)), same)
    loss.backward()
""",
    good="""\
import torch
from torch import nn

torch.manual_seed(0)
model, criterion = nn.Linear(4, 8), nn.CosineEmbeddingLoss()
for _ in range(4):
    label, other = torch.randint(3, (16,)), torch.randint(3, (16,))
    same = (label == other).float()
    loss = criterion(model(torch.randn(16, 4)), model(torch.randn(16, 4)), 2 * same - 1)
    loss.backward()
""",
    values=Values(
        {"minimum": minimum("target"), "zeros": near("target", 0, width=0), "fractions": _fractions},
        _says,
        applies=_applies,
    ),
    in_source=_in_source,
)
