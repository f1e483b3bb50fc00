"""LM210: a weight in a mean over one row, where it cancels."""

from torch import Tensor

from ..card import Text
from ..rule import Call, Numbers, Rule, Values
from ..watch.statistics import numbers as read

OF_CLASSES = ("cross_entropy", "nll_loss", "focal_loss")


def _applies(call: Call) -> bool:
    weight = call.arguments["weight"]
    if (
        not isinstance(weight, Tensor)
        or call.arguments["reduction"] != "mean"
        or call.arguments["normalizer"] is not None
    ):
        return False
    labelled = call.loss not in OF_CLASSES or call.arguments["target"].shape != call.arguments["input"].shape
    return labelled and call.result is not None and call.result.requires_grad


def _effect(call: Call) -> Tensor:
    """How far the weights are from being equal, or the one weight from 1: what cancels."""
    weight: Tensor = call.arguments["weight"].detach()
    return weight.amax() - weight.amin() if call.loss in OF_CLASSES else (read(call, "weight") - 1).abs().amax()


def _says(call: Call, numbers: Numbers) -> Text | None:
    if call.arguments["target"].numel() != 1 or not numbers["effect"] > 0:
        return None
    return Text(
        "weight is given, the reduction is mean, and each batch holds one row",
        "给出了 weight，归约方式为 mean，而每个批次只有一行",
    )


RULE = Rule(
    code="LM210",
    name="weight-at-batch-size-one",
    severity="warning",
    losses=(*OF_CLASSES, "mse_loss", "l1_loss"),
    what=Text(
        "A weight is given at batch size 1, where the mean divides it away.",
        "批大小为 1 时给出了权重，而求均值会把它约掉。",
    ),
    why=Text(
        "The mean divides by the sum of the weights of its rows. Of one row that is its own weight: with 50 or with 1, "
        "the loss of a row of three equal logits is 1.099. Gradient accumulation over single rows then trains as if "
        "there were no weights.",
        "均值要除以各行权重之和；只有一行时就是它自己的权重：三个 logits 相等的一行，权重取 50 还是 1，损失都是 1.099。"
        "逐行累积梯度时，训练的效果与没有权重一样。",
    ),
    evidence=Text(
        "At run time, in several batches in a row: weights that differ, reduction='mean', no normalizer, and a single "
        "label or element. The last batch of an epoch, evaluation and class probabilities as targets (their mean "
        "divides by the rows) are silent.",
        "运行时看连续几个批次：权重不全相等、reduction='mean'、没有 normalizer，且只有一个标签或元素。"
        "一轮训练末尾的零头批次、评估阶段，以及概率目标（其均值除以行数）不作声。",
    ),
    fix=Text(
        'With lossmith write normalizer="count", which divides by the number of rows; with torch write '
        "reduction='sum' and divide by the number of rows yourself.",
        "lossmith 中写 normalizer=\"count\"，即除以行数；torch 中写 reduction='sum'，再自行除以行数。",
    ),
    bad="""\
import torch
from torch import nn

model, criterion = nn.Linear(4, 3), nn.CrossEntropyLoss(weight=torch.tensor([1.0, 1.0, 50.0]))
for _ in range(4):
    loss = criterion(model(torch.randn(1, 4)), torch.randint(3, (1,)))
    loss.backward()
""",
    good="""\
import torch
from torch import nn

model, criterion = nn.Linear(4, 3), nn.CrossEntropyLoss(weight=torch.tensor([1.0, 1.0, 50.0]), reduction="sum")
for _ in range(4):
    loss = criterion(model(torch.randn(1, 4)), torch.randint(3, (1,)))
    loss.backward()
""",
    values=Values({"effect": _effect}, _says, applies=_applies),
)
