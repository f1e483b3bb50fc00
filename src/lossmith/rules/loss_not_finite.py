"""LM212: a loss that is NaN or infinite, and which operand brought it."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..card import Text
from ..losses import all_losses
from ..rule import Call, Numbers, Rule, Values


def _operands(call: Call) -> list[str]:
    return [name for name, given in call.arguments.items() if isinstance(given, Tensor) and given.is_floating_point()]


def _which(call: Call, is_so: Callable[[Tensor], Tensor]) -> Tensor:
    """The operands that hold such a number, as the bits of one: the first is 1, the second 2, the third 4."""
    device = _result(call).device
    operands = (call.arguments[name].detach() for name in _operands(call))
    bits = [is_so(given).any().to(device, non_blocking=True) * 2**place for place, given in enumerate(operands)]
    return torch.stack(bits).sum()


def _nan(call: Call) -> Tensor:
    return _which(call, torch.isnan)


def _infinite(call: Call) -> Tensor:
    return _which(call, torch.isinf)


def _result(call: Call) -> Tensor:
    assert call.result is not None
    return call.result.detach()


PAIRED = {"supcon_loss": "target", "mined_triplet_margin_loss": "target", "info_nce_loss": "labels"}
"""Losses of vectors and the labels by which they are paired."""


def _counted(call: Call) -> Tensor:
    """How many labels are not ignored, or occur again where they make pairs; 1 where neither is asked."""
    labels = call.arguments.get(PAIRED.get(call.loss, ""))
    if isinstance(labels, Tensor) and call.arguments.get("keys") is None:
        return _again(labels, call.arguments["mask"])
    target = call.arguments.get("target")
    if not isinstance(target, Tensor) or "ignore_index" not in call.arguments or target.is_floating_point():
        return torch.ones(())
    ignored: int = call.arguments["ignore_index"]
    return (target != ignored).sum()


def _again(labels: Tensor, mask: Tensor | None) -> Tensor:
    labels = labels.detach().to(torch.int64)
    if mask is not None and labels.numel() > 0:
        alone = labels.amin() - 1 - torch.arange(len(labels), device=labels.device)
        labels = torch.where(mask, labels, alone)
    labels = labels.sort().values
    return (labels[1:] == labels[:-1]).sum()


def _applies(call: Call) -> bool:
    return call.result is not None and call.result.dim() == 0 and call.result.requires_grad


def _says(call: Call, numbers: Numbers) -> Text | None:
    if math.isfinite(numbers["result"]):
        return None
    value = "NaN" if math.isnan(numbers["result"]) else f"{numbers['result']}"
    found = Text(f"the loss is {value}, ", f"损失为 {value}，")
    cause = _cause(call, numbers)
    return Text(found.en + cause.en, found.zh + cause.zh)


def _cause(call: Call, numbers: Numbers) -> Text:
    operands = _operands(call)
    if any(call.arguments[name].numel() == 0 for name in operands):
        return Text("for an operand has no elements: the mean is 0/0", "因为有操作数不含任何元素：均值为 0/0")
    if numbers["counted"] == 0 and call.loss in PAIRED:
        return Text(
            "for no label of the batch occurs twice: there is no pair, and the mean is 0/0",
            "因为批内没有任何标签出现两次：没有同类样本对，均值为 0/0",
        )
    if numbers["counted"] == 0:
        return Text(
            "for every label is ignored: the mean is 0/0, with a gradient of 0",
            "因为所有标签都被忽略：均值为 0/0，梯度为 0",
        )
    for kind, what in (("nan", Text("NaN", "NaN")), ("infinite", Text("infinite numbers", "无穷大"))):
        names = [name for place, name in enumerate(operands) if int(numbers[kind]) >> place & 1]
        if names:
            return Text(f"and {' and '.join(names)} had {what.en} before", f"而 {'、'.join(names)} 中此前已有{what.zh}")
    return Text(
        "though all operands are finite: it overflowed, took the logarithm of 0, or divided by 0",
        "而所有操作数都是有限值：是计算中溢出、对 0 取对数，或除以 0",
    )


RULE = Rule(
    code="LM212",
    name="loss-not-finite",
    severity="error",
    losses=tuple(all_losses()),
    what=Text(
        "The loss that is trained on is NaN or infinite.",
        "用于训练的损失为 NaN 或无穷大。",
    ),
    why=Text(
        "A NaN in one element makes the gradient of every weight behind it NaN, and one step makes the weights NaN: "
        "nothing that the network computes after it is a number. An infinite loss often comes a few steps before: "
        "a squared error of 2e19 is inf in float32, while its gradient is still finite. "
        "A mean over nothing is 0/0, and so is every sum that it enters.",
        "一个元素为 NaN，参与它的所有权重的梯度都是 NaN，走一步之后权重也成为 NaN，此后网络算不出任何数。"
        "损失为 inf 往往早几步出现：float32 下误差 2e19 的平方就是 inf，而梯度仍是有限值。"
        "空集的均值是 0/0，凡与之相加的总损失也都成为 NaN。",
    ),
    evidence=Text(
        "At run time a mean or sum that has a gradient, and then which operand held NaN or infinite numbers before. "
        "Infinite or NaN operands with a finite loss (masked logits, masked rows, zero_infinity) are silent; so are "
        "reduction='none', from which they may be dropped, and evaluation.",
        "运行时看带梯度的均值或总和，再看哪个操作数此前已含 NaN 或无穷大。操作数中虽有它们而损失有限"
        "（被掩蔽的 logits 或行、zero_infinity）不作声；reduction='none'（可自行剔除）与评估阶段也不作声。",
    ),
    fix=Text(
        "Look where the named operand is made (torch.autograd.set_detect_anomaly(True) names the operation); log of a "
        "softmax is log_softmax; standardise targets; for batches in which nothing counts write lossmith's "
        'on_empty="zero"; for losses of pairs draw several samples of a label.',
        "检查所指操作数的来历（torch.autograd.set_detect_anomaly(True) 会指出运算）；"
        "对 softmax 取对数应写 log_softmax；"
        '目标应标准化；可能没有任何有效样本的批次，用 lossmith 的 on_empty="zero"；'
        "成对的损失则应每个标签取多个样本。",
    ),
    bad="""\
import torch
from torch import nn
from torch.nn import functional as F

model, criterion = nn.Linear(4, 3), nn.NLLLoss()
nn.init.constant_(model.bias, 0.0)
nn.init.constant_(model.weight, 100.0)
model.weight.data[0] = -100.0
for _ in range(4):
    log_p = torch.log(F.softmax(model(torch.rand(8, 4)), dim=1))
    loss = criterion(log_p, torch.zeros(8, dtype=torch.long))
    loss.backward()
""",
    good="""\
import torch
from torch import nn
from torch.nn import functional as F

model, criterion = nn.Linear(4, 3), nn.NLLLoss()
nn.init.constant_(model.bias, 0.0)
nn.init.constant_(model.weight, 100.0)
model.weight.data[0] = -100.0
for _ in range(4):
    log_p = F.log_softmax(model(torch.rand(8, 4)), dim=1)
    loss = criterion(log_p, torch.zeros(8, dtype=torch.long))
    loss.backward()
""",
    values=Values(
        {"result": _result, "nan": _nan, "infinite": _infinite, "counted": _counted},
        _says,
        batches=1,
        applies=_applies,
    ),
)
