"""LM217: predicted quantiles that are not in their order."""

from itertools import pairwise

import torch
from torch import Tensor

from ..card import Text
from ..rule import Call, Numbers, Rule, Values
from ..watch.statistics import numbers as of

OFTEN = 0.1
"""The share of rows."""
BATCHES = 15


def _applies(call: Call) -> bool:
    quantiles = call.arguments["quantiles"]
    if call.result is None or not call.result.requires_grad or isinstance(quantiles, int | float):
        return False
    return (quantiles.numel() if isinstance(quantiles, Tensor) else len(quantiles)) > 1


def _crossed(call: Call) -> Tensor:
    """The share of rows in which a higher quantile is predicted below a lower one."""
    input, quantiles = of(call, "input"), call.arguments["quantiles"]
    if isinstance(quantiles, Tensor):
        columns = list(input.index_select(-1, quantiles.argsort()).unbind(-1))
    else:
        columns = [input[..., place] for place in sorted(range(len(quantiles)), key=quantiles.__getitem__)]
    below = torch.stack([higher < lower for lower, higher in pairwise(columns)])
    return below.any(0).to(torch.float32).mean()


def _says(call: Call, numbers: Numbers) -> Text | None:
    if not numbers["crossed"] > OFTEN:
        return None
    return Text(
        f"in {BATCHES} batches, over a window of the training, more than {OFTEN:.0%} of the rows have a higher "
        f"quantile below a lower one ({numbers['crossed']:.0%} in the last)",
        f"训练中先后查看的 {BATCHES} 个批次里，都有超过 {OFTEN:.0%} 的行，其较高的分位数低于较低的分位数"
        f"（最后一批为 {numbers['crossed']:.0%}）",
    )


RULE = Rule(
    code="LM217",
    name="quantiles-cross",
    severity="warning",
    losses=("quantile_loss",),
    what=Text(
        "Predicted quantiles cross: a higher one lies below a lower one in many rows, and goes on to.",
        "预测的分位数互相交叉：许多行中较高的分位数低于较低的分位数，且一直如此。",
    ),
    why=Text(
        "The loss judges each quantile by itself and does not mind. An interval whose upper end is below its lower one "
        "covers nothing, whatever the share that was asked for, and means and samples that are taken from crossed "
        "quantiles are those of no distribution.",
        "损失分别评判每个分位数，并不在意次序。上端低于下端的区间什么也覆盖不了，无论要求的覆盖率是多少；"
        "由交叉的分位数算出的均值与样本不属于任何分布。",
    ),
    evidence=Text(
        f"At run time more than one row in ten, in {BATCHES} in a row of the batches that are looked at, the first "
        "ones and then ever rarer ones: at the start outputs have no order yet. Masked rows and evaluation are silent.",
        f"运行时看所查看的批次（最初若干个，此后逐渐稀疏）中是否连续 {BATCHES} 个都有超过十分之一的行交叉："
        "训练之初各输出本无次序。被掩蔽的行与评估阶段不看。",
    ),
    fix=Text(
        "Predict the lowest quantile and positive steps: torch.cat([low, low + softplus(steps).cumsum(-1)], -1); or "
        "sort the predictions before they are used: x.sort(-1).values.",
        "预测最低的分位数与正的增量：torch.cat([low, low + softplus(steps).cumsum(-1)], -1)；"
        "或在使用预测之前排序：x.sort(-1).values。",
    ),
    bad="""\
import torch
from torch import nn

from lossmith import QuantileLoss

model, criterion = nn.Linear(4, 3), QuantileLoss((0.1, 0.5, 0.9))
optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
for _ in range(1100):
    loss = criterion(model(torch.randn(16, 4)), torch.randn(16))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
    good="""\
import torch
from torch import nn
from torch.nn.functional import softplus

from lossmith import QuantileLoss

model, criterion = nn.Linear(4, 3), QuantileLoss((0.1, 0.5, 0.9))
optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
for _ in range(1100):
    low, steps = model(torch.randn(16, 4)).split((1, 2), dim=-1)
    ordered = torch.cat([low, low + softplus(steps).cumsum(-1)], -1)
    loss = criterion(ordered, torch.randn(16))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
    values=Values({"crossed": _crossed}, _says, batches=BATCHES, applies=_applies),
)
