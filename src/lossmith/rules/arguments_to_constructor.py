"""LM302: prediction and target given to the Module's constructor."""

from ..card import Text
from ..losses import all_losses
from ..rule import Rule, Site
from ._names import is_prediction, is_target

SETTINGS_FIRST = (
    "cross_entropy",
    "nll_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "multilabel_soft_margin_loss",
    "ctc_loss",
    "ctc_loss_with_logits",
    "triplet_margin_loss",
    "arcface_loss",
    "contrastive_loss",
    "cosface_loss",
    "distillation_loss",
    "focal_loss",
    "info_nce_loss",
    "js_div",
    "mined_triplet_margin_loss",
    "quantile_loss",
    "siglip_loss",
    "sigmoid_focal_loss",
    "supcon_loss",
    "tversky_loss",
    "wasserstein_loss",
)
"""Their constructors take weights or numbers by position, which may be variables."""


def _in_source(site: Site) -> Text | None:
    if site.kind != "constructor" or len(site.arguments) < 2:
        return None
    first, second = list(site.arguments.values())[:2]
    named = is_prediction(first) or is_target(first) or is_prediction(second) or is_target(second)
    if site.loss in SETTINGS_FIRST and not named:
        return None
    return Text(
        f"{first.name or 'a tensor'} and {second.name or 'a tensor'} are given where the settings belong",
        f"{first.name or '张量'} 与 {second.name or '张量'} 传到了本该是设置的位置",
    )


RULE = Rule(
    code="LM302",
    name="arguments-to-constructor",
    severity="error",
    losses=tuple(all_losses()),
    what=Text(
        "Prediction and target are given to the constructor, `nn.MSELoss(output, target)`, which computes nothing.",
        "把预测值与目标传给了构造函数：nn.MSELoss(output, target)，它什么也不计算。",
    ),
    why=Text(
        "The tensors are taken for size_average, reduce or weight. It raises 'Boolean value of Tensor with more than "
        "one value is ambiguous', or, with one number each, nothing at all: the result is a Module, and backward() is "
        "no attribute of it.",
        "张量被当作 size_average、reduce 或 weight。会报 Boolean value of Tensor with more than one value is "
        "ambiguous；若各只含一个数则不报错，得到的是一个 Module，并没有 backward()。",
    ),
    evidence=Text(
        "In source two arguments by position that are no literals, where the constructor takes settings; for Modules "
        "that take weights or numbers there, only if they are named as predictions or targets are.",
        "源码中看：构造函数按位置收到两个非字面量的参数，而那里应是设置；"
        "对于按位置接收权重或数值的损失，只有参数以预测值或目标的常用名称命名时才算。",
    ),
    fix=Text(
        "Make the criterion, then call it: nn.MSELoss()(output, target), or F.mse_loss(output, target).",
        "先创建再调用：nn.MSELoss()(output, target)，或写 F.mse_loss(output, target)。",
    ),
    bad="""\
import torch
from torch import nn

model = nn.Linear(4, 1)
output = model(torch.randn(8, 4))
target = torch.randn(8, 1)
loss = nn.MSELoss(output, target)
loss.backward()
""",
    good="""\
import torch
from torch import nn

model = nn.Linear(4, 1)
output = model(torch.randn(8, 4))
target = torch.randn(8, 1)
loss = nn.MSELoss()(output, target)
loss.backward()
""",
    in_source=_in_source,
)
