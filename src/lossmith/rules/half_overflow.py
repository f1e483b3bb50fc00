"""LM213: half precision at the end of its range."""

import torch
from torch import Tensor

from ..card import Text
from ..losses import all_losses
from ..rule import Call, Numbers, Rule, Values

HALF = (torch.float16, torch.bfloat16)
TWO_SIDED = (
    *("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "quantile_loss", "log_cosh_loss", "charbonnier_loss"),
)
"""Where a number far below 0 is as bad as one far above. Logits are masked by -inf and by the least number there is."""


def _operands(call: Call) -> list[Tensor]:
    return [given for given in call.arguments.values() if isinstance(given, Tensor) and given.dtype in HALF]


def _applies(call: Call) -> bool:
    return bool(_operands(call)) and call.result is not None and call.result.requires_grad


def _filled(call: Call) -> Tensor:
    """The share of its dtype's range that an operand fills, at most."""
    shares = []
    for given in _operands(call):
        if given.numel() > 0:
            wide = given.detach().to(torch.float32)
            top = wide.abs().amax() if call.loss in TWO_SIDED else wide.amax()
            shares.append(top / torch.finfo(given.dtype).max)
    return torch.stack(shares).amax() if shares else torch.zeros(())


def _result(call: Call) -> Tensor:
    """The share that the loss fills; 0 where it is no half number, or one of many that may be dropped."""
    assert call.result is not None
    if call.result.dtype not in HALF or call.result.dim() > 0:
        return torch.zeros(())
    return call.result.detach().to(torch.float32).abs() / torch.finfo(call.result.dtype).max


def _gradient(call: Call) -> Tensor:
    """The share that a Gaussian's greatest gradient in a half variance fills; 0 for other losses."""
    var = call.arguments.get("var")
    if not isinstance(var, Tensor) or var.dtype not in HALF or not var.requires_grad:
        return torch.zeros(())
    error = call.arguments["input"].detach().to(torch.float32) - call.arguments["target"].detach()
    variance = var.detach().to(torch.float32).clamp(min=call.arguments["eps"])
    if variance.shape != error.shape and variance.shape == error.shape[:-1]:
        variance = variance.unsqueeze(-1)
    slope: Tensor = (error / variance).square() / 2
    elements = slope.numel() if call.arguments["reduction"] == "mean" else 1
    return slope.amax() / elements / torch.finfo(var.dtype).max


def _says(call: Call, numbers: Numbers) -> Text | None:
    names = sorted({str(t.dtype).removeprefix("torch.") for t in _operands(call)})
    dtype = " / ".join(names)
    for what, en, zh in (
        ("operand", "an operand", "操作数"),
        ("result", "the loss", "损失"),
        ("gradient", "the gradient in var", "对 var 的梯度"),
    ):
        if numbers[what] == float("inf"):
            return Text(f"{en} in {dtype} holds inf", f"{dtype} 的{zh}中出现 inf")
        if numbers[what] > 0.5:
            return Text(
                f"{en} fills {numbers[what]:.0%} of the range of {dtype}",
                f"{zh}已达到 {dtype} 可表示范围的 {numbers[what]:.0%}",
            )
    return None


RULE = Rule(
    code="LM213",
    name="half-overflow",
    severity="warning",
    losses=tuple(all_losses()),
    what=Text(
        "Numbers of half precision are at the end of their range, or beyond.",
        "半精度的数值已到达或超出其可表示的范围。",
    ),
    why=Text(
        "float16 ends at 65504. A squared error overflows from 256 on, a Poisson loss from a log rate of 11.09, a "
        "Gaussian's gradient in the variance, for an error of 1, from a variance of 0.0027 down. The loss is then inf, "
        "and the next step makes weights NaN. bfloat16 reaches as far as float32.",
        "float16 的上限是 65504：误差从 256 起平方即溢出，泊松损失从对数期望 11.09 起溢出；"
        "误差为 1 时，高斯损失对方差的梯度从方差 0.0027 往下溢出。此时损失为 inf，下一步权重变成 NaN。"
        "bfloat16 的范围与 float32 相同。",
    ),
    evidence=Text(
        "At run time, of losses that have a gradient: operands of float16 or bfloat16, a scalar loss of them, or a "
        "Gaussian's gradient in the variance, beyond half of what the dtype holds. Logits far below 0, as masks write "
        "them (-inf, finfo.min), and evaluation are silent.",
        "运行时，对带梯度的损失看：float16 或 bfloat16 的操作数、相应的标量损失、高斯损失对方差的梯度，"
        "是否超过该类型上限的一半。掩码写入的极小 logits（-inf、finfo.min）与评估阶段不作声。",
    ),
    fix=Text(
        "Give the loss float32: criterion(output.float(), target.float()); autocast does so for most losses. "
        "Standardise targets.",
        "以 float32 计算损失：criterion(output.float(), target.float())；autocast 对多数损失会自动如此。"
        "并对目标标准化。",
    ),
    bad="""\
import torch
from torch import nn

model, criterion = nn.Linear(4, 1).half(), nn.MSELoss()
for _ in range(4):
    output = 500 * model(torch.randn(8, 4).half())
    loss = criterion(output, 500 * torch.randn(8, 1).half())
    loss.backward()
""",
    good="""\
import torch
from torch import nn

model, criterion = nn.Linear(4, 1).half(), nn.MSELoss()
for _ in range(4):
    output = 500 * model(torch.randn(8, 4).half())
    loss = criterion(output.float(), 500 * torch.randn(8, 1))
    loss.backward()
""",
    values=Values({"operand": _filled, "result": _result, "gradient": _gradient}, _says, batches=1, applies=_applies),
)
