"""LM112: shapes that broadcast to a table of all pairs."""

import math
from typing import Any

import torch
from torch import Tensor

from ..card import Text
from ..checks import shapes
from ..rule import Call, Rule

_REGRESSION = (
    *("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "poisson_nll_loss", "gaussian_nll_loss"),
    *("quantile_loss", "log_cosh_loss", "charbonnier_loss"),
)
_OTHERS = ("kl_div", "js_div", "hinge_embedding_loss", "soft_margin_loss", "multilabel_soft_margin_loss")
_OPERANDS = dict.fromkeys((*_REGRESSION, *_OTHERS), ("input", "target")) | {
    "gaussian_nll_loss": ("input", "target", "var"),
    "margin_ranking_loss": ("input1", "input2", "target"),
    "wasserstein_critic_loss": ("fake", "real"),
}


def _at_once(call: Call) -> Text | None:
    if call.loss == "wasserstein_loss":
        return _single_samples(call)
    if call.loss == "quantile_loss" and not _is_one(call.arguments["quantiles"]):
        return None  # (N, Q) against (N) is what it takes
    given = {name: call.arguments[name] for name in _OPERANDS[call.loss]}
    tensors = {name: tensor for name, tensor in given.items() if isinstance(tensor, Tensor)}
    sizes = [tensor.shape for tensor in tensors.values()]
    if call.arguments["reduction"] == "none" or all(size == sizes[0] for size in sizes) or call.error is not None:
        return None
    result: torch.Size = torch.broadcast_shapes(*sizes)  # type: ignore[no-untyped-call]
    if all(size.numel() < result.numel() for size in sizes):
        return Text(
            f"{shapes(**tensors)} broadcast to {tuple(result)}, larger than each of them",
            f"{shapes(**tensors)} 广播为 {tuple(result)}，比其中任何一个都大",
        )
    if call.loss in _REGRESSION and _column_against_table(*sizes[:2]):
        return Text(
            f"{shapes(**tensors)}: the one number of a row is compared with each of the {result[1]} of the other",
            f"{shapes(**tensors)}：一方每行的一个数与另一方的 {result[1]} 个数逐一相比",
        )
    return None


def _column_against_table(input: torch.Size, target: torch.Size) -> bool:
    """(B, 1) against (B, A), as of Q values of which the action was not picked."""
    return len(input) == len(target) == 2 and input[0] == target[0] > 1 and (input[1] == 1) != (target[1] == 1)


def _is_one(quantiles: Any) -> bool:
    return isinstance(quantiles, int | float) or (isinstance(quantiles, Tensor) and quantiles.numel() == 1)


def _single_samples(call: Call) -> Text | None:
    """(N, 1) as samples of distributions: of N distributions, each of one sample."""
    if call.error is not None or call.arguments["reduction"] == "none":
        return None
    dim = -1 if call.arguments["projections"] is None else -2
    for name in ("input", "target"):
        samples: Tensor = call.arguments[name]
        if samples.shape[dim] == 1 and math.prod(samples.shape[:dim]) > 1:
            return Text(
                f"{name} is {tuple(samples.shape)}: each row is a distribution of a single sample",
                f"{name} 为 {tuple(samples.shape)}：每一行都是只有一个样本的分布",
            )
    return None


RULE = Rule(
    code="LM112",
    name="outer-broadcast",
    severity="error",
    losses=(*_OPERANDS, "wasserstein_loss"),
    what=Text(
        "Shapes such as (N, 1) and (N) are broadcast: every row is compared with every other row.",
        "(N, 1) 与 (N) 之类的形状发生广播：每一行都与其他所有行相比。",
    ),
    why=Text(
        "(N, 1) against (N) is a table of N x N pairs, (B, 1, H, W) against (B, H, W) one of B x B images. The loss "
        "still falls, toward the variance of the targets, and every row learns their mean; with 1024 rows it takes "
        "1024 times the memory. (B, 1) against (B, A), as of Q values whose action was not picked, pulls all A numbers "
        "to one.",
        "(N, 1) 与 (N) 成为 N x N 的配对表，(B, 1, H, W) 与 (B, H, W) 成为 B x B 张图像的配对。损失照样下降，"
        "最终降到目标的方差，每一行都只学到目标的均值；1024 行时占用 1024 倍内存。(B, 1) 与 (B, A)"
        "（例如没有取出对应动作的 Q 值）则把 A 个数都拉向同一个值。",
    ),
    evidence=Text(
        "The shapes of a call whose result is larger than each tensor; in regression also one column against several. "
        "With reduction='none', which is how tables of pairs are written, it is silent, and so it is where one number "
        "or one row is compared with all.",
        "看广播结果是否比每个张量都大；回归损失还看是否为一列对多列。reduction='none' 是书写两两配对的方式，不作提示；"
        "一个数或一行与全部相比时也不作提示。",
    ),
    fix=Text(
        "Give both one shape: input.squeeze(1), target.unsqueeze(1) or target.view_as(input); for Q values "
        "q.gather(1, action).",
        "使两者形状一致：input.squeeze(1)、target.unsqueeze(1) 或 target.view_as(input)；"
        "Q 值则用 q.gather(1, action)。",
    ),
    bad="""\
import torch
from torch import nn

model, criterion = nn.Linear(4, 1), nn.MSELoss()
for _ in range(4):
    loss = criterion(model(torch.randn(8, 4)), torch.randn(8))
    loss.backward()
""",
    good="""\
import torch
from torch import nn

model, criterion = nn.Linear(4, 1), nn.MSELoss()
for _ in range(4):
    loss = criterion(model(torch.randn(8, 4)).squeeze(1), torch.randn(8))
    loss.backward()
""",
    at_once=_at_once,
)
