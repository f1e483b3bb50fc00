"""LM118: a margin of cosine_embedding_loss that no pair of vectors, or every one, satisfies."""

from typing import Any

from ..card import Text
from ..rule import Call, Rule, Site


def _seen(margin: Any) -> Text | None:
    if isinstance(margin, bool) or not isinstance(margin, int | float) or 0 <= margin < 1:
        return None
    return Text(f"margin is {margin:g}", f"margin 为 {margin:g}")


def _at_once(call: Call) -> Text | None:
    return _seen(call.arguments["margin"])


def _in_source(site: Site) -> Text | None:
    written_here = site.kind == "constructor" or (site.kind == "call" and site.functional)
    return _seen(site.settings.get("margin")) if written_here else None


RULE = Rule(
    code="LM118",
    name="cosine-margin-out-of-range",
    severity="warning",
    losses=("cosine_embedding_loss",),
    what=Text(
        "The margin of cosine_embedding_loss, which is a cosine, is 1 or more, or below 0.",
        "cosine_embedding_loss 的 margin 是余弦值，却不小于 1 或小于 0。",
    ),
    why=Text(
        "Dissimilar pairs stop at a cosine of the margin. From 1 on they never have a loss, and all vectors fall onto "
        "one. Below 0 they are to point away from each other, which K classes can do only down to -1 / (K - 1), -0.11 "
        "for 10: the loss never gets to 0.",
        "不相似对在余弦不大于 margin 时停止。margin 不小于 1 时它们永远没有损失，所有向量会塌缩到一起。"
        "小于 0 时要求向量相背，而 K 个类别最多只能同时低到 -1 / (K - 1)（10 类为 -0.11）：损失永远到不了 0。",
    ),
    evidence=Text(
        "The margin, at run time and in source. 0 to 0.5 is useful; up to 1 it is silent.",
        "运行时和源码中都看 margin。0 到 0.5 较为合适；小于 1 时不作提示。",
    ),
    fix=Text(
        "Write margin=0 to 0.5. A greater margin asks for less here, other than in TripletMarginLoss.",
        "margin 取 0 到 0.5。与 TripletMarginLoss 不同，这里 margin 越大要求越低。",
    ),
    bad="""\
import torch
from torch import nn

model, criterion = nn.Linear(4, 8), nn.CosineEmbeddingLoss(margin=1.0)
for _ in range(4):
    sign = 2 * torch.randint(2, (16,)) - 1
    loss = criterion(model(torch.randn(16, 4)), model(torch.randn(16, 4)), sign)
    loss.backward()
""",
    good="""\
import torch
from torch import nn

model, criterion = nn.Linear(4, 8), nn.CosineEmbeddingLoss(margin=0.3)
for _ in range(4):
    sign = 2 * torch.randint(2, (16,)) - 1
    loss = criterion(model(torch.randn(16, 4)), model(torch.randn(16, 4)), sign)
    loss.backward()
""",
    at_once=_at_once,
    in_source=_in_source,
)
