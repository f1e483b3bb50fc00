"""LM109: logits where BCELoss wants probabilities."""

from ..card import Text
from ..rule import Call, Numbers, Rule, Values
from ..watch.statistics import maximum, minimum
from ._evidence import ACTIVATIONS, LAYERS, LOGARITHMS, OVERLAP, before_own, own_activation

_at_once, _in_source = before_own("", LAYERS | ACTIVATIONS | LOGARITHMS)

# what mixes probabilities may round to a little more than 1
SLACK = 0.01


def _applies(call: Call) -> bool:
    return own_activation(call.loss, call.arguments) == ""


def _says(call: Call, numbers: Numbers) -> Text | None:
    least, greatest = numbers["minimum"], numbers["maximum"]
    if not (least < -SLACK or greatest > 1 + SLACK):
        return None
    return Text(
        f"the input goes from {least:.3g} to {greatest:.3g}, and probabilities from 0 to 1",
        f"输入的范围是 {least:.3g} 到 {greatest:.3g}，而概率在 0 到 1 之间",
    )


RULE = Rule(
    code="LM109",
    name="logits-into-bce",
    severity="error",
    losses=("binary_cross_entropy", *OVERLAP),
    what=Text(
        "Logits are given to a loss that takes probabilities: binary_cross_entropy, or Dice with activation=None.",
        "把 logits 传给要求概率的损失：binary_cross_entropy，或 activation=None 的 Dice。",
    ),
    why=Text(
        "The first number outside of 0 to 1 raises an error on the CPU and stops the GPU (NaN with lossmith). While "
        "all lie inside, as with a last layer that starts near 0.5, it trains, until one leaves: at 0 and at 1 the "
        "gradient is up to 1e12.",
        "一旦有数超出 0 到 1，CPU 上就会报错，GPU 上则会中止（lossmith 为 NaN）。若恰好都在区间内"
        "（例如最后一层的初始输出接近 0.5），训练会一直进行到有数越界为止；在 0 与 1 处梯度可达 1e12。",
    ),
    evidence=Text(
        "At run time a linear layer, a convolution, an activation that is no sigmoid, or a logarithm that made the "
        "input; else one value outside of 0 to 1. In source the last operation before the call. A column of a softmax "
        "is a probability.",
        "运行时看输入是否由线性层、卷积、sigmoid 以外的激活函数或对数产生；看不到时，只要有一个值在 0 到 1 之外。"
        "源码中看调用前的最后一个运算。softmax 的一列是概率。",
    ),
    fix=Text(
        "Take BCEWithLogitsLoss on the logits; for Dice and Tversky write activation='sigmoid' or 'softmax'.",
        "对 logits 使用 BCEWithLogitsLoss；Dice 与 Tversky 写 activation='sigmoid' 或 'softmax'。",
    ),
    bad="""\
import torch
from torch import nn

model, criterion = nn.Linear(4, 1), nn.BCELoss()
nn.init.constant_(model.weight, 0.0)  # all inside of 0 to 1, for now
nn.init.constant_(model.bias, 0.5)
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
    values=Values({"minimum": minimum("input"), "maximum": maximum("input")}, _says, batches=1, applies=_applies),
    in_source=_in_source,
)
