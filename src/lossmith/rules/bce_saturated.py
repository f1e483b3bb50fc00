"""LM110: probabilities of exactly 0 or 1 where the target says the opposite: BCELoss gives them no gradient."""

import torch
from torch import Tensor

from ..card import Text
from ..rule import Call, Numbers, Rule, Values
from ..watch.statistics import numbers as of


def _lost(call: Call) -> Tensor:
    input, target = of(call, "input"), of(call, "target")
    # below 1e-12 torch's clamp in the gradient replaces x (1 - x)
    return (((input >= 1) & (target <= 0)) | ((input <= 1e-12) & (target >= 1))).sum()


def _learns(call: Call) -> bool:
    input = call.arguments["input"]
    return bool(input.requires_grad) and torch.is_floating_point(input)


def _says(call: Call, numbers: Numbers) -> Text | None:
    lost, total = int(numbers["lost"]), call.arguments["input"].numel()
    if lost < 1:
        return None
    return Text(
        f"{lost} of {total} probabilities are 0 or 1 to the last digit where the target says the opposite",
        f"{total} 个概率中有 {lost} 个已舍入为 0 或 1，而目标恰好相反",
    )


RULE = Rule(
    code="LM110",
    name="bce-saturated",
    severity="warning",
    losses=("binary_cross_entropy",),
    what=Text(
        "The sigmoid before binary_cross_entropy has saturated on samples that it gets wrong.",
        "binary_cross_entropy 之前的 sigmoid 在预测错误的样本上已经饱和。",
    ),
    why=Text(
        "In float32 a sigmoid rounds to 1 above a logit of 16.6. At 20 against a target of 0 the loss is 100 where 20 "
        "is right, and the gradient 0 where 1 is right: the surest mistakes are never corrected. Below -27.6 the clamp "
        "on the gradient does the same (0.09 at -30). Half precision gets there at 8.3 (float16) and 6.2 (bfloat16).",
        "float32 下 logit 超过 16.6 时 sigmoid 舍入为 1。logit 为 20 而目标为 0 时，损失为 100（正确值为 20），"
        "梯度为 0（正确值为 1）：最确定的错误永远得不到纠正。logit 低于 -27.6 时，梯度的截断造成同样后果"
        "（-30 处为 0.09）。半精度下分别始于 8.3（float16）和 6.2（bfloat16）。",
    ),
    evidence=Text(
        "Values of 1, or below 1e-12, where the target is 0, or 1, in several batches of an input that wants a "
        "gradient. Evaluation is not meant, and no probability that is right.",
        "需要梯度的输入在连续几个批次中出现目标为 0 而值为 1、或目标为 1 而值低于 1e-12 的情况。"
        "评估不算，预测正确的概率也不算。",
    ),
    fix=Text(
        "Leave the sigmoid out and take BCEWithLogitsLoss, whose gradient is right at any logit.",
        "去掉 sigmoid，改用 BCEWithLogitsLoss：它在任何 logit 处梯度都正确。",
    ),
    bad="""\
import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())
criterion = nn.BCELoss()
for _ in range(4):
    loss = criterion(model(100 * torch.randn(64, 4)), torch.randint(2, (64, 1)).float())
    loss.backward()
""",
    good="""\
import torch
from torch import nn

torch.manual_seed(0)
model, criterion = nn.Linear(4, 1), nn.BCEWithLogitsLoss()
for _ in range(4):
    loss = criterion(model(100 * torch.randn(64, 4)), torch.randint(2, (64, 1)).float())
    loss.backward()
""",
    values=Values({"lost": _lost}, _says, applies=_learns),
)
