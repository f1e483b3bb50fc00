"""LM108: logits where NLLLoss wants log-probabilities."""

from ..card import Text
from ..rule import Call, Numbers, Rule, Values
from ._evidence import ACTIVATIONS, LAYERS, ROWS, above_logarithms, are_rows_of_probabilities, comes_from, is_written


def _says(call: Call, numbers: Numbers) -> Text | None:
    return None if are_rows_of_probabilities(numbers) else above_logarithms(call, numbers)


RULE = Rule(
    code="LM108",
    name="logits-into-nll",
    severity="error",
    losses=("nll_loss",),
    what=Text(
        "Logits are given to nll_loss, which takes log-probabilities.",
        "把 logits 传给 nll_loss，而它要的是对数概率。",
    ),
    why=Text(
        "The loss is minus the label's logit, and falls without end: -1000 at a logit of 1000. Each label pulls its "
        "logit with 1 for ever, right or wrong, and nothing pushes the other classes down, so the most frequent class "
        "wins everywhere.",
        "损失就是标签 logit 的相反数，可无限下降：logit 为 1000 时为 -1000。"
        "无论对错，每个标签都永远以 1 的力拉高自己的 logit，其他类别不受压制，于是处处都是最常见的类别胜出。",
    ),
    evidence=Text(
        "At run time a linear layer, a convolution or an activation that made the input or, where that is unknown, "
        "numbers above 0 in several batches. In source the last operation before the call.",
        "运行时看输入是否由线性层、卷积或激活函数产生；看不到时，看连续几个批次是否有大于 0 的数。"
        "源码中看调用前的最后一个运算。",
    ),
    fix=Text(
        "Take CrossEntropyLoss, or end the network in log_softmax.",
        "改用 CrossEntropyLoss，或让网络以 log_softmax 结束。",
    ),
    bad="""\
import torch
from torch import nn

model, criterion = nn.Linear(4, 3), nn.NLLLoss()
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
    at_once=comes_from("input", LAYERS | ACTIVATIONS),
    values=Values(ROWS, _says),
    in_source=is_written("input", LAYERS | ACTIVATIONS),
)
