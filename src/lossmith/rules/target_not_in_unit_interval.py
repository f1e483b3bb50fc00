"""LM117: targets outside of 0 to 1 for a loss of probabilities."""

from ..card import Text
from ..rule import Call, Numbers, Rule, Values
from ..watch.statistics import maximum, minimum
from ._evidence import OVERLAP

_OVERSHOOT = 0.1
"""Masks that were resized with a cubic kernel go so far beyond 0 and 1."""


def _means(call: Call) -> bool:
    """Unreduced losses are often multiplied by a mask, and then a target of -1 or 255 is what it hides."""
    labels = call.loss in OVERLAP and call.arguments["target"].shape != call.arguments["input"].shape
    return bool(call.arguments["reduction"] != "none") and not labels


def _says(call: Call, numbers: Numbers) -> Text | None:
    least, greatest = numbers["minimum"], numbers["maximum"]
    if not (least < -_OVERSHOOT or greatest > 1 + _OVERSHOOT):
        return None
    return Text(f"targets go from {least:.3g} to {greatest:.3g}", f"目标的范围是 {least:.3g} 到 {greatest:.3g}")


RULE = Rule(
    code="LM117",
    name="target-not-in-unit-interval",
    severity="error",
    losses=(
        *("binary_cross_entropy", "binary_cross_entropy_with_logits", "multilabel_soft_margin_loss"),
        *("sigmoid_focal_loss", *OVERLAP),
    ),
    what=Text(
        "Targets lie outside of 0 to 1: -1 and 1, masks of 0 and 255, or padding that is not masked.",
        "目标超出 0 到 1：取 -1 与 1、取值 0 与 255 的掩码，或未排除的填充值。",
    ),
    why=Text(
        "The loss falls without end: a mask of 255 gives -1270 at a logit of 5, and at a target of -1 the slope stays "
        "between 1 and 2 and never fades. binary_cross_entropy refuses them on the CPU.",
        "损失可无限下降：取值 255 的掩码在 logit 为 5 时给出 -1270；目标为 -1 时斜率始终在 1 与 2 之间，永不消退。"
        "binary_cross_entropy 在 CPU 上会报错。",
    ),
    evidence=Text(
        "Values of the target below -0.1 or above 1.1, weights of 0 and masks apart. With reduction='none' it is "
        "silent: what is hidden may follow.",
        "目标中有小于 -0.1 或大于 1.1 的值，权重为 0 或被掩码排除的除外。reduction='none' 时不作提示："
        "之后可能再作屏蔽。",
    ),
    fix=Text(
        "Write (target + 1) / 2 for signs and target / 255 for masks; leave padding out with mask= or a weight of 0.",
        "符号目标写 (target + 1) / 2，掩码写 target / 255；填充用 mask= 或权重 0 排除。",
    ),
    bad="""\
import torch
from torch import nn

torch.manual_seed(0)
model, criterion = nn.Linear(4, 1), nn.BCEWithLogitsLoss()
for _ in range(4):
    sign = 2.0 * torch.randint(2, (8, 1)) - 1
    loss = criterion(model(torch.randn(8, 4)), sign)
    loss.backward()
""",
    good="""\
import torch
from torch import nn

torch.manual_seed(0)
model, criterion = nn.Linear(4, 1), nn.BCEWithLogitsLoss()
for _ in range(4):
    sign = 2.0 * torch.randint(2, (8, 1)) - 1
    loss = criterion(model(torch.randn(8, 4)), (sign + 1) / 2)
    loss.backward()
""",
    values=Values({"minimum": minimum("target"), "maximum": maximum("target")}, _says, batches=1, applies=_means),
)
