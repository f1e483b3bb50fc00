"""LM207: a squared error against targets that were never standardised."""

import math

from torch import Tensor

from ..card import Text
from ..rule import Call, Numbers, Rule, Values
from ..watch.statistics import Statistic
from ..watch.statistics import numbers as read

LARGE = 100.0
"""A typical target from which on the scale is told of."""
BOUNDED = ("log_cosh_loss", "charbonnier_loss")
"""No error pulls by more than 1. Their bend has a width in the target's unit, and is lost beside such errors."""
FAR = 10.0
"""So many times smaller or larger than the targets, predictions are on another scale."""


def _typical(argument: str) -> Statistic:
    """The root mean square."""

    def typical(call: Call) -> Tensor:
        return read(call, argument).square().nanmean().sqrt()

    return typical


def _applies(call: Call) -> bool:
    return call.result is not None and call.result.requires_grad and not call.arguments["target"].requires_grad


def _says(call: Call, numbers: Numbers) -> Text | None:
    input, target = numbers["input"], numbers["target"]
    if not target >= LARGE or math.isnan(input) or target <= FAR * input <= FAR**2 * target:
        return None
    if call.loss in BOUNDED:
        return Text(
            f"targets are typically {target:.3g} and predictions {input:.3g} (root mean squares), and no error pulls "
            f"by more than 1",
            f"目标的典型大小为 {target:.3g}，预测为 {input:.3g}（均方根），而任何误差的拉力都不超过 1",
        )
    return Text(
        f"targets are typically {target:.3g} and predictions {input:.3g} (root mean squares): a squared error of about "
        f"{max(input, target) ** 2:.1g}",
        f"目标的典型大小为 {target:.3g}，预测为 {input:.3g}（均方根）：平方误差约 {max(input, target) ** 2:.1g}",
    )


RULE = Rule(
    code="LM207",
    name="unscaled-regression-target",
    severity="warning",
    losses=("mse_loss", *BOUNDED),
    what=Text(
        "Targets of a squared error, or of one that is squared near 0, are far from the scale of the predictions: they "
        "were never standardised.",
        "平方误差（或在 0 附近为平方的误差）的目标与预测值的量级相差悬殊：目标没有标准化。",
    ),
    why=Text(
        "Near 200,000 the first loss is 4e10 and the gradient in each prediction, before the division by N, 4e5: a "
        "small network under SGD at a learning rate of 0.001 is NaN within six steps, and under Adam at 0.001 has "
        "hardly moved after 500. In float16 an error of 256 is an overflow. With log-cosh and Charbonnier no error "
        "pulls by more than 1, so a bias needs 2e8 steps of SGD at 0.001 to get there, and the bend of a width near 1, "
        "or of eps, is lost.",
        "目标在 20 万附近时，初始损失约 4e10，对每个预测值的梯度（除以 N 之前）约 4e5："
        "小网络用学习率 0.001 的 SGD 六步之内就变成 NaN，用学习率 0.001 的 Adam 走 500 步仍几乎没动。"
        "float16 下误差达到 256 即溢出。对 log-cosh 与 Charbonnier，任何误差的拉力都不超过 1："
        "偏置用学习率 0.001 的 SGD 要走 2e8 步才能到位，而宽度约为 1（或 eps）的弯折形同虚设。",
    ),
    evidence=Text(
        "At run time, in several batches, targets with a root mean square of 100 or more and predictions ten times "
        "smaller or larger than that. Predictions that are on the targets' scale, as those that a network scales back "
        "by mean and standard deviation, are silent, and so is evaluation.",
        "运行时看连续几个批次：目标的均方根不小于 100，而预测值与之相差十倍以上。"
        "预测值与目标同量级（例如网络输出已按均值和标准差还原）以及评估阶段不作声。",
    ),
    fix=Text(
        "Train on (y - mean) / std, each column by its own, and undo it on the prediction: pred * std + mean.",
        "在 (y - mean) / std 上训练（逐列标准化），再把预测值还原：pred * std + mean。",
    ),
    bad="""\
import torch
from torch import nn

model, criterion = nn.Linear(4, 1), nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for _ in range(4):
    price = 200_000 + 50_000 * torch.randn(8, 1)
    loss = criterion(model(torch.randn(8, 4)), price)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
    good="""\
import torch
from torch import nn

model, criterion = nn.Linear(4, 1), nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for _ in range(4):
    price = 200_000 + 50_000 * torch.randn(8, 1)
    loss = criterion(model(torch.randn(8, 4)), (price - 200_000) / 50_000)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
    values=Values({"input": _typical("input"), "target": _typical("target")}, _says, applies=_applies),
)
