"""LM113: an input of kl_div that holds no log-probabilities."""

from ..card import Text
from ..rule import Call, Rule, Values
from ..watch.statistics import maximum
from ._evidence import ACTIVATIONS, DIVERGENCES, LAYERS, PROBABILITIES, above_logarithms, comes_from, is_written

_NO_LOGARITHM = PROBABILITIES | LAYERS | ACTIVATIONS | {"one_hot"}


def _is_no_logarithm(call: Call) -> bool:
    """The logarithm of a density may be above 0."""
    origin = call.origin("input")
    return origin is None or origin.op != "log"


RULE = Rule(
    code="LM113",
    name="kl-input-not-log",
    severity="error",
    losses=DIVERGENCES,
    what=Text(
        "kl_div or js_div is given probabilities or logits as input, which holds log-probabilities.",
        "把概率或 logits 传给 kl_div 或 js_div 的 input，而它应为对数概率。",
    ),
    why=Text(
        "Given probabilities, a perfect prediction of 5 equal classes costs -1.81 instead of 0, and the least loss "
        "puts everything on the likeliest class. Given logits there is no least: 10 more on each takes 10 off "
        "the loss.",
        "若传入概率，对 5 个等概率类别的完美预测得 -1.81 而不是 0，且最小值处全部概率都压在最可能的类别上。"
        "若传入 logits，损失没有下界：每个都加 10，损失就减 10。",
    ),
    evidence=Text(
        "At run time the operation that made the input or, where that is unknown, numbers above 0 in several batches. "
        "In source the last operation before the call. What a logarithm made is taken as it is.",
        "运行时看输入由哪个运算产生；看不到时，看连续几个批次是否有大于 0 的数。源码中看调用前的最后一个运算。"
        "由对数得来的输入一概不提示。",
    ),
    fix=Text(
        "Write kl_div(log_softmax(logits, dim=1), target, reduction='batchmean').",
        "写 kl_div(log_softmax(logits, dim=1), target, reduction='batchmean')。",
    ),
    bad="""\
import torch
from torch import nn
from torch.nn import functional as F

student, teacher = nn.Linear(4, 3), nn.Linear(4, 3)
for _ in range(4):
    x = torch.randn(8, 4)
    target = F.softmax(teacher(x).detach(), dim=1)
    loss = F.kl_div(F.softmax(student(x), dim=1), target, reduction="batchmean")
    loss.backward()
""",
    good="""\
import torch
from torch import nn
from torch.nn import functional as F

student, teacher = nn.Linear(4, 3), nn.Linear(4, 3)
for _ in range(4):
    x = torch.randn(8, 4)
    target = F.softmax(teacher(x).detach(), dim=1)
    loss = F.kl_div(F.log_softmax(student(x), dim=1), target, reduction="batchmean")
    loss.backward()
""",
    at_once=comes_from("input", _NO_LOGARITHM),
    values=Values({"maximum": maximum("input")}, above_logarithms, applies=_is_no_logarithm),
    in_source=is_written("input", _NO_LOGARITHM),
)
