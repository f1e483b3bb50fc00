"""LM209: a Poisson rate below 0."""

from ..card import Text
from ..rule import Call, Numbers, Rule, Values
from ..watch.statistics import minimum
from ._evidence import MAY_BE_NEGATIVE


def _at_once(call: Call) -> Text | None:
    made = call.origin("input")
    if call.arguments["log_input"] or made is None or made.op not in MAY_BE_NEGATIVE:
        return None
    return Text(
        f"log_input=False, and the rate is the result of {made.op}, which may be negative",
        f"log_input=False，而期望计数是 {made.op} 的结果，可能为负",
    )


def _says(call: Call, numbers: Numbers) -> Text | None:
    if not numbers["least"] < -call.arguments["eps"]:
        return None
    return Text(
        f"log_input=False, and the least rate is {numbers['least']:.3g}",
        f"log_input=False，而期望计数的最小值为 {numbers['least']:.3g}",
    )


RULE = Rule(
    code="LM209",
    name="poisson-rate-negative",
    severity="error",
    losses=("poisson_nll_loss",),
    what=Text(
        "With log_input=False the input is the rate itself, and it is or can be negative.",
        "log_input=False 时输入就是期望计数本身，而它是负数或可能为负。",
    ),
    why=Text(
        "A rate below -1e-8 has no logarithm: its loss is NaN, and so is the mean of the batch. The gradient 1 - y/x "
        "is finite and pushes it further down: 3 at a rate of -0.5 and a count of 1.",
        "小于 -1e-8 的期望计数没有对数：该项损失为 NaN，整批均值也随之为 NaN。"
        "梯度 1 - y/x 却是有限的，还会把它推得更低：期望计数为 -0.5、观测为 1 时梯度为 3。",
    ),
    evidence=Text(
        "At run time, only with log_input=False: the operation that made the input (a layer, tanh, a logarithm of "
        "probabilities), or one value below -eps. What is masked or weighted by 0 is not looked at.",
        "仅在 log_input=False 时，运行时看输入由哪个运算产生（线性层或卷积、tanh、对数概率），或是否有一个值小于 -eps。"
        "被掩蔽或权重为 0 的部分不看。",
    ),
    fix=Text(
        "Leave log_input=True and let the network predict the logarithm of the rate, or end it with F.softplus.",
        "保留 log_input=True，让网络预测期望计数的对数；或以 F.softplus 结尾。",
    ),
    bad="""\
import torch
from torch import nn

model, criterion = nn.Linear(4, 1), nn.PoissonNLLLoss(log_input=False)
for _ in range(4):
    loss = criterion(model(torch.randn(8, 4)), torch.poisson(torch.full((8, 1), 3.0)))
    loss.backward()
""",
    good="""\
import torch
from torch import nn

model, criterion = nn.Linear(4, 1), nn.PoissonNLLLoss()
for _ in range(4):
    loss = criterion(model(torch.randn(8, 4)), torch.poisson(torch.full((8, 1), 3.0)))
    loss.backward()
""",
    at_once=_at_once,
    values=Values({"least": minimum("input")}, _says, batches=1, applies=lambda call: not call.arguments["log_input"]),
)
