"""LM220: masks without a single pixel of an object."""

from torch import Tensor

from ..card import Text
from ..rule import Call, Numbers, Rule, Values
from ..watch.statistics import numbers as of
from ._evidence import OVERLAP

BATCHES = 10


def _applies(call: Call) -> bool:
    given = call.arguments
    whole = given["mask"] is None and given["sample_weight"] is None
    return whole and call.result is not None and bool(call.result.requires_grad) and given["target"].numel() > 0


def _pixels(call: Call) -> Tensor:
    """How many pixels belong to another class than the background, which is the first of several under a softmax."""
    target, input, dim = of(call, "target", hidden=0.0), call.arguments["input"], call.class_dim() or 0
    if target.shape != input.shape:
        ignored: int = call.arguments["ignore_index"]
        return ((target > 0) & (target != ignored)).sum()
    if call.arguments["activation"] == "softmax" and input.shape[dim] > 1:
        target = target.narrow(dim, 1, input.shape[dim] - 1)
    return (target > 0).sum()


def _says(call: Call, numbers: Numbers) -> Text | None:
    if numbers["pixels"] != 0:
        return None
    return Text(
        f"in {BATCHES} batches, over a window of the training, no pixel of a target belongs to anything but the "
        f"background",
        f"训练中先后查看的 {BATCHES} 个批次里，目标中除背景外没有任何像素",
    )


RULE = Rule(
    code="LM220",
    name="no-positive-pixel",
    severity="warning",
    losses=OVERLAP,
    what=Text(
        "Batch after batch the target of an overlap loss holds no pixel of an object.",
        "一批又一批，重合度损失的目标中没有任何目标像素。",
    ),
    why=Text(
        "Without the object the loss of its region is 1 - s / (P + s) of what is predicted, P in all: it only drives "
        "predictions to 0, and with a small smooth it is 1, with next to no gradient, whatever is predicted. Often the "
        "mask was lost on the way: 255 divided by 255 after a resize and made whole is 1 for few pixels, 0 to 1 made "
        "long is 0 for nearly all.",
        "没有目标像素时，该区域的损失为 1 - s / (P + s)，P 为预测之和：它只会把预测压到 0；smooth 很小时，"
        "无论预测如何都约为 1，几乎没有梯度。掩码往往是在途中丢失的：缩放后除以 255 再取整，只有少数像素为 1；"
        "0 到 1 之间的数转成 long，几乎全是 0。",
    ),
    evidence=Text(
        f"At run time the labels above 0, or under a softmax the classes after the first, or any positive number, in "
        f"{BATCHES} in a row of the batches that are looked at, the first ones and then ever rarer ones. Masks and "
        "weights of regions, ignored pixels and evaluation are not looked at.",
        f"运行时看大于 0 的标签（softmax 时为第一类以外的各类，否则为任意正数），在所查看的批次"
        f"（最初若干个，此后逐渐稀疏）中连续 {BATCHES} 个都没有。区域带掩码或权重的批次、被忽略的像素与评估阶段不看。",
    ),
    fix=Text(
        "Look at the masks as the loss gets them: target.unique(). Threshold before the cast, (mask > 127).long(), and "
        "draw batches that hold the object.",
        "检查损失实际收到的掩码：target.unique()。转换类型之前先取阈值：(mask > 127).long()；并抽取含有目标的批次。",
    ),
    bad="""\
import torch
from torch import nn

from lossmith import DiceLoss

model, criterion = nn.Conv2d(3, 2, 1), DiceLoss()
for _ in range(40):
    mask = torch.rand(4, 8, 8)  # resized, 0 to 1
    loss = criterion(model(torch.randn(4, 3, 8, 8)), mask.long())
    loss.backward()
""",
    good="""\
import torch
from torch import nn

from lossmith import DiceLoss

model, criterion = nn.Conv2d(3, 2, 1), DiceLoss()
for _ in range(40):
    mask = torch.rand(4, 8, 8)  # resized, 0 to 1
    loss = criterion(model(torch.randn(4, 3, 8, 8)), (mask > 0.5).long())
    loss.backward()
""",
    values=Values({"pixels": _pixels}, _says, batches=BATCHES, applies=_applies),
)
