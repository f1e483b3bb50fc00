"""LM219: a sigmoid at the end of a Wasserstein critic."""

from ..card import Text
from ..rule import Call, Rule, Site
from ._evidence import PROBABILITIES, comes_from, is_written

SCORES = ("fake", "real")
BOUNDED = PROBABILITIES | {"tanh", "logsigmoid"}


def _at_once(call: Call) -> Text | None:
    found = (comes_from(argument, BOUNDED)(call) for argument in SCORES)
    return next((text for text in found if text is not None), None)


def _in_source(site: Site) -> Text | None:
    found = (is_written(argument, BOUNDED)(site) for argument in SCORES)
    return next((text for text in found if text is not None), None)


RULE = Rule(
    code="LM219",
    name="critic-squashed",
    severity="error",
    losses=("wasserstein_critic_loss",),
    what=Text(
        "The scores of a Wasserstein critic come from a sigmoid, or another function with a bound.",
        "Wasserstein 判别器的得分来自 sigmoid 或其他有界函数。",
    ),
    why=Text(
        "Scores are to be any numbers: their difference estimates a distance. Behind a sigmoid it is at most 1 however "
        "far the samples are, and the better the critic, the smaller the gradient that it gives the generator: 4.5e-5 "
        "at a score of 10 before the sigmoid, where 1 is right.",
        "得分应可取任意数值：两者之差是对距离的估计。经过 sigmoid 之后，无论样本相距多远，差值都不超过 1；"
        "判别器越好，传给生成器的梯度越小：sigmoid 之前的得分为 10 时仅 4.5e-5，正确值为 1。",
    ),
    evidence=Text(
        "At run time the operation that made either score, in source the last operation before the call: sigmoid, "
        "logsigmoid, tanh or softmax.",
        "运行时看任一得分由哪个运算产生，源码中看调用前的最后一个运算：sigmoid、logsigmoid、tanh 或 softmax。",
    ),
    fix=Text(
        "End the critic in a linear layer, and bound its slope instead: penalty=lossmith.gradient_penalty(...).",
        "判别器应以线性层结束，并改为约束其斜率：penalty=lossmith.gradient_penalty(...)。",
    ),
    bad="""\
import torch
from torch import nn

from lossmith import WassersteinCriticLoss, gradient_penalty

critic = nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(), nn.Linear(8, 1), nn.Sigmoid())
criterion = WassersteinCriticLoss()
for _ in range(4):
    fake, real = torch.randn(8, 4), 1 + torch.randn(8, 4)
    loss = criterion(critic(fake), critic(real), gradient_penalty(critic, fake, real))
    loss.backward()
""",
    good="""\
import torch
from torch import nn

from lossmith import WassersteinCriticLoss, gradient_penalty

critic = nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(), nn.Linear(8, 1))
criterion = WassersteinCriticLoss()
for _ in range(4):
    fake, real = torch.randn(8, 4), 1 + torch.randn(8, 4)
    loss = criterion(critic(fake), critic(real), gradient_penalty(critic, fake, real))
    loss.backward()
""",
    at_once=_at_once,
    in_source=_in_source,
)
