"""LM208: a variance that can be 0 or less."""

from torch import Tensor

from ..card import Text
from ..rule import Call, Numbers, Rule, Values
from ..watch.statistics import minimum
from ._evidence import MAY_BE_NEGATIVE


def _at_once(call: Call) -> Text | None:
    made = call.origin("var")
    if made is None:
        return None
    if made.op == "relu":
        return Text(
            "var is the result of a relu, which is exactly 0 for every input below 0",
            "var 是 relu 的结果，凡输入小于 0 处都恰好为 0",
        )
    if made.op in MAY_BE_NEGATIVE:
        return Text(
            f"var is the result of {made.op}, which may be negative",
            f"var 是 {made.op} 的结果，可能为负",
        )
    return None


def _says(call: Call, numbers: Numbers) -> Text | None:
    if not numbers["least"] < 0:
        return None
    return Text(f"the least variance is {numbers['least']:.3g}", f"方差的最小值为 {numbers['least']:.3g}")


RULE = Rule(
    code="LM208",
    name="gaussian-variance-not-positive",
    severity="error",
    losses=("gaussian_nll_loss",),
    what=Text(
        "var is not positive by its making: a bare layer, which becomes negative, or a relu, which becomes 0.",
        "var 的来历不能保证为正：不带激活的输出层会变负，relu 会变成 0。",
    ),
    why=Text(
        "A negative variance is a ValueError on the CPU and NaN elsewhere. One of 0 is raised to 1e-6, and an error of "
        "1 then costs 5e5, with a gradient of -5e11 in the variance and 1e6 in the mean: the step destroys the "
        "network, or behind a relu the variance never leaves 0.",
        "负方差在 CPU 上报 ValueError，在其他设备上为 NaN。为 0 的方差被提升到 1e-6，此时误差 1 的损失为 5e5，"
        "对方差的梯度为 -5e11，对均值为 1e6：一步更新就毁掉网络；若在 relu 之后，方差则永远离不开 0。",
    ),
    evidence=Text(
        "At run time the operation that made var (a layer, relu, tanh, a logarithm of probabilities), or one negative "
        "value. What is masked or weighted by 0 is not looked at, and a relu to which something was added is silent.",
        "运行时看 var 由哪个运算产生（线性层或卷积、relu、tanh、对数概率），或是否有一个负值。"
        "被掩蔽或权重为 0 的部分不看；relu 之后又加了正数的不作声。",
    ),
    fix=Text(
        "Write var = F.softplus(raw) + 1e-4, or predict the logarithm and write var = log_var.exp().",
        "应写 var = F.softplus(raw) + 1e-4；或预测对数方差，写 var = log_var.exp()。",
    ),
    bad="""\
import torch
from torch import nn
from torch.nn import functional as F

model, criterion = nn.Linear(4, 2), nn.GaussianNLLLoss()
for _ in range(4):
    mean, raw = model(torch.randn(8, 4)).unbind(dim=1)
    loss = criterion(mean, torch.randn(8), F.relu(raw))
    loss.backward()
""",
    good="""\
import torch
from torch import nn
from torch.nn import functional as F

model, criterion = nn.Linear(4, 2), nn.GaussianNLLLoss()
for _ in range(4):
    mean, raw = model(torch.randn(8, 4)).unbind(dim=1)
    loss = criterion(mean, torch.randn(8), F.softplus(raw) + 1e-4)
    loss.backward()
""",
    at_once=_at_once,
    values=Values(
        {"least": minimum("var")},
        _says,
        batches=1,
        applies=lambda call: isinstance(call.arguments["var"], Tensor),
    ),
)
