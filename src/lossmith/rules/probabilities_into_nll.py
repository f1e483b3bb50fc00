"""LM107: probabilities where NLLLoss wants their logarithms."""

from ..card import Text
from ..rule import Call, Numbers, Rule, Site, Values
from ._evidence import PROBABILITIES, PROBABILITY_ROWS, ROWS, are_rows_of_probabilities, comes_from, is_written


def _says(call: Call, numbers: Numbers) -> Text | None:
    return PROBABILITY_ROWS if are_rows_of_probabilities(numbers) else None


def _in_source(site: Site) -> Text | None:
    """A loss that is negated at once is the way to pick out the probabilities of the labels."""
    return None if site.negated else is_written("input", PROBABILITIES)(site)


RULE = Rule(
    code="LM107",
    name="probabilities-into-nll",
    severity="error",
    losses=("nll_loss",),
    what=Text(
        "Probabilities are given to nll_loss, which takes their logarithms.",
        "把概率传给 nll_loss，而它要的是对数概率。",
    ),
    why=Text(
        "The loss is -p, between -1 and 0, and not -log p. Behind a softmax a surely wrong row hardly pulls: 4.5e-5 at "
        "a lead of 10, where 1 is right; a row at 0.01 pulls with 0.0099 instead of 0.99.",
        "损失是介于 -1 与 0 之间的 -p，而不是 -log p。经 softmax 反传后，错得很确定的样本几乎没有拉力："
        "领先 10 时为 4.5e-5，正确值为 1；概率为 0.01 的样本拉力为 0.0099 而不是 0.99。",
    ),
    evidence=Text(
        "At run time a softmax or sigmoid that made the input or, where that is unknown, values in [0, 1] that sum to "
        "1 over the classes in several batches. In source the last operation before the call. The logarithm of "
        "probabilities, torch.log(p), is what it takes.",
        "运行时看输入是否由 softmax 或 sigmoid 产生；看不到时，看连续几个批次的值是否都在 [0, 1] 内且沿类别维之和为 "
        "1。源码中看调用前的最后一个运算。概率的对数 torch.log(p) 正是它要的。",
    ),
    fix=Text(
        "Write log_softmax instead of softmax; or leave the softmax out and take CrossEntropyLoss.",
        "把 softmax 换成 log_softmax；或去掉 softmax，改用 CrossEntropyLoss。",
    ),
    bad="""\
import torch
from torch import nn

model = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1))
criterion = nn.NLLLoss()
for _ in range(4):
    loss = criterion(model(torch.randn(8, 4)), torch.randint(3, (8,)))
    loss.backward()
""",
    good="""\
import torch
from torch import nn

model = nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(dim=1))
criterion = nn.NLLLoss()
for _ in range(4):
    loss = criterion(model(torch.randn(8, 4)), torch.randint(3, (8,)))
    loss.backward()
""",
    at_once=comes_from("input", PROBABILITIES),
    values=Values(ROWS, _says),
    in_source=_in_source,
)
