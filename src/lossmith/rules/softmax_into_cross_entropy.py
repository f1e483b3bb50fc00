"""LM101: a softmax before cross-entropy, which takes one itself."""

from collections.abc import Mapping
from typing import Any

from ..card import Text
from ..rule import Call, Numbers, Rule, Site, Values
from ._evidence import PROBABILITY_ROWS, ROWS, are_rows_of_probabilities, given, last_operation


def _at_once(call: Call) -> Text | None:
    origin = call.origin(_scores(call.arguments))
    if origin is None or origin.op != "softmax" or not origin.whole:
        return None
    return last_operation(_scores(call.arguments), "softmax")


def _several_classes(call: Call) -> bool:
    classes = call.class_dim()
    return call.loss == "cross_entropy" and classes is not None and call.arguments["input"].shape[classes] > 1


def _says(call: Call, numbers: Numbers) -> Text | None:
    return PROBABILITY_ROWS if are_rows_of_probabilities(numbers) else None


def _in_source(site: Site) -> Text | None:
    argument = _scores(site.arguments)
    return last_operation(argument, "softmax") if given(site, argument).op == "softmax" else None


def _scores(arguments: Mapping[str, Any]) -> str:
    return "logits" if "logits" in arguments else "input"


RULE = Rule(
    code="LM101",
    name="softmax-into-cross-entropy",
    severity="error",
    losses=("cross_entropy", "ctc_loss_with_logits"),
    what=Text(
        "Probabilities from a softmax are given to a cross-entropy, which takes a log_softmax itself.",
        "把 softmax 输出的概率传给交叉熵，而它自己就会做 log_softmax。",
    ),
    why=Text(
        "The softmax is taken twice. The loss can't fall below log(1 + (C - 1)/e), 1.461 for 10 classes, and the "
        "gradient of a row that is surely wrong vanishes (1e-4 at a lead of 10, where 1 is right): it still learns, a "
        "little, so nobody notices.",
        "softmax 做了两次。损失不可能低于 log(1 + (C - 1)/e)（10 类为 1.461），"
        "错得很确定的样本梯度消失（领先 10 时仅 1e-4，正确值为 1）："
        "模型仍能学到一点，因此难以察觉。",
    ),
    evidence=Text(
        "At run time the operation that made the input or, where that is unknown, values in [0, 1] that sum to 1 "
        "over the classes in several batches. In source the last operation before the call. A softmax that feeds "
        "something else (metrics, attention) is not meant, nor one column of it.",
        "运行时看输入由哪个运算产生；看不到时，看连续几个批次的值是否都在 [0, 1] 内"
        "且沿类别维之和为 1。源码中看调用前的最后一个运算。"
        "用于其他目的（指标、注意力）的 softmax 不算，只取其中一列也不算。",
    ),
    fix=Text(
        "Give the logits to the loss; take the softmax only for what is shown or measured.",
        "把 logits 直接传给损失函数；softmax 只用于展示或计算指标。",
    ),
    bad="""\
import torch
from torch import nn
from torch.nn import functional as F

model, criterion = nn.Linear(4, 3), nn.CrossEntropyLoss()
for _ in range(4):
    logits = model(torch.randn(8, 4))
    loss = criterion(F.softmax(logits, dim=1), torch.randint(3, (8,)))
    loss.backward()
""",
    good="""\
import torch
from torch import nn

model, criterion = nn.Linear(4, 3), nn.CrossEntropyLoss()
for _ in range(4):
    logits = model(torch.randn(8, 4))
    loss = criterion(logits, torch.randint(3, (8,)))
    loss.backward()
""",
    at_once=_at_once,
    values=Values(ROWS, _says, applies=_several_classes),
    in_source=_in_source,
)
