"""LM103: a sigmoid before cross-entropy, which confines its logits."""

from ..card import Text
from ..rule import Call, Numbers, Rule, Values
from ..watch.statistics import row_error
from ._evidence import (
    OVERLAP,
    ROUNDING,
    SQUASHED,
    are_squashed,
    before_own,
    not_of_a_product,
    own_activation,
    squashed,
)

_at_once, _in_source = before_own("softmax", {"sigmoid"})


def _applies(call: Call) -> bool:
    return own_activation(call.loss, call.arguments) == "softmax" and not_of_a_product(call)


def _says(call: Call, numbers: Numbers) -> Text | None:
    return squashed(numbers) if are_squashed(numbers) and numbers["row_error"] > ROUNDING else None


RULE = Rule(
    code="LM103",
    name="sigmoid-into-cross-entropy",
    severity="error",
    losses=("cross_entropy", "focal_loss", "distillation_loss", *OVERLAP),
    what=Text(
        "Results of a sigmoid are given to cross_entropy, or another loss that takes a softmax, as logits.",
        "把 sigmoid 的输出当作 logits 传给 cross_entropy 或其他自己会做 softmax 的损失。",
    ),
    why=Text(
        "No logit is more than 1 above another, so no probability exceeds e / (e + C - 1): 0.73 for 2 classes, 0.23 "
        "for 10, 0.0027 for 1000. The loss can't fall below log(1 + (C - 1)/e), 1.461 for 10 classes, and a label at a "
        "logit of -10 pulls with 4e-5 where 1 is right.",
        "任何两个 logit 之差都不超过 1，因此概率最高只有 e / (e + C - 1)：2 类为 0.73，10 类为 0.23，1000 类为 "
        "0.0027。损失不可能低于 log(1 + (C - 1)/e)（10 类为 1.461），标签的 logit 为 -10 时拉力仅 4e-5，正确值为 1。",
    ),
    evidence=Text(
        "At run time the operation that made the input or, where that is unknown, values that crowd at 0 and at 1 and "
        "never leave [0, 1] in several batches; logits that happen to lie in between do not. In source the last "
        "operation before the call.",
        "运行时看输入由哪个运算产生；看不到时，看连续几个批次的值是否大量聚集在 0 和 1 附近却从不超出 [0, 1]"
        "（碰巧落在其间的 logits 并非如此）。源码中看调用前的最后一个运算。",
    ),
    fix=Text(
        "Give the logits to the loss. If several classes may hold at once, take BCEWithLogitsLoss, or "
        "DiceLoss(activation='sigmoid'), on the logits instead.",
        "把 logits 直接传给损失函数。若多个类别可以同时成立，则对 logits 使用 BCEWithLogitsLoss 或 "
        "DiceLoss(activation='sigmoid')。",
    ),
    bad="""\
import torch
from torch import nn

model = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid())
criterion = nn.CrossEntropyLoss()
for _ in range(4):
    loss = criterion(model(torch.randn(8, 4)), torch.randint(3, (8,)))
    loss.backward()
""",
    good="""\
import torch
from torch import nn

model, criterion = nn.Linear(4, 3), nn.CrossEntropyLoss()
for _ in range(4):
    loss = criterion(model(torch.randn(8, 4)), torch.randint(3, (8,)))
    loss.backward()
""",
    at_once=_at_once,
    values=Values({**SQUASHED, "row_error": row_error("input")}, _says, applies=_applies),
    in_source=_in_source,
)
