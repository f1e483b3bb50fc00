"""LM104: a sigmoid before a loss that takes one itself."""

from ..card import Text
from ..rule import Call, Numbers, Rule, Values
from ._evidence import (
    OVERLAP,
    PROBABILITIES,
    SQUASHED,
    TAKE_SIGMOID,
    are_squashed,
    before_own,
    not_of_a_product,
    own_activation,
    squashed,
)

_at_once, _in_source = before_own("sigmoid", PROBABILITIES)


def _applies(call: Call) -> bool:
    return own_activation(call.loss, call.arguments) == "sigmoid" and not_of_a_product(call)


def _says(call: Call, numbers: Numbers) -> Text | None:
    return squashed(numbers) if are_squashed(numbers) else None


RULE = Rule(
    code="LM104",
    name="sigmoid-into-bce-with-logits",
    severity="error",
    losses=(*TAKE_SIGMOID, *OVERLAP),
    what=Text(
        "Probabilities, from a sigmoid or a softmax, are given to a loss that takes the sigmoid itself.",
        "把 sigmoid 或 softmax 输出的概率传给自己就会做 sigmoid 的损失。",
    ),
    why=Text(
        "Two sigmoids confine a probability to 0.5 to 0.731: a yes costs at least 0.313, a no at least 0.693. No "
        "gradient exceeds 0.157, and that of a sure mistake vanishes (2e-5 for a yes at -10, where 1 is right). A "
        "focal loss finds no element easy: its factor for a no never falls below 0.25.",
        "两次 sigmoid 把概率限制在 0.5 与 0.731 之间：正样本的损失至少 0.313，负样本至少 0.693。"
        "梯度不超过 0.157，错得很确定时则消失（正样本的 logit 为 -10 时仅 2e-5，正确值为 1）。"
        "focal 损失则不再有易分样本：负样本的因子不低于 0.25。",
    ),
    evidence=Text(
        "At run time the operation that made the input or, where that is unknown, values that crowd at 0 and at 1 and "
        "never leave [0, 1] in several batches; logits that happen to lie in between do not. In source the last "
        "operation before the call.",
        "运行时看输入由哪个运算产生；看不到时，看连续几个批次的值是否大量聚集在 0 和 1 附近却从不超出 [0, 1]"
        "（碰巧落在其间的 logits 并非如此）。源码中看调用前的最后一个运算。",
    ),
    fix=Text(
        "Give the logits to the loss; take the sigmoid only for what is shown or measured. Or keep the sigmoid and "
        "take BCELoss, which saturates; for Dice and Tversky write activation=None.",
        "把 logits 直接传给损失函数，sigmoid 只用于展示或计算指标。也可保留 sigmoid 而改用 BCELoss，但它会饱和；"
        "Dice 与 Tversky 则写 activation=None。",
    ),
    bad="""\
import torch
from torch import nn

model = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())
criterion = nn.BCEWithLogitsLoss()
for _ in range(4):
    loss = criterion(model(torch.randn(8, 4)), torch.randint(2, (8, 1)).float())
    loss.backward()
""",
    good="""\
import torch
from torch import nn

model, criterion = nn.Linear(4, 1), nn.BCEWithLogitsLoss()
for _ in range(4):
    loss = criterion(model(torch.randn(8, 4)), torch.randint(2, (8, 1)).float())
    loss.backward()
""",
    at_once=_at_once,
    values=Values(SQUASHED, _says, applies=_applies),
    in_source=_in_source,
)
