"""LM114: a target of kl_div that holds logarithms without log_target, or none with it."""

from ..card import Text
from ..rule import Call, Numbers, Rule, Site, Values
from ..watch.statistics import maximum, minimum
from ._evidence import ABOVE_LOGARITHMS, DIVERGENCES, LAYERS, LOGARITHMS, PROBABILITIES, comes_from, is_written

_BELOW_PROBABILITIES = -1e-3

_is_logarithm = comes_from("target", LOGARITHMS | LAYERS), is_written("target", LOGARITHMS | LAYERS)
_is_probability = comes_from("target", PROBABILITIES), is_written("target", PROBABILITIES | {"one_hot"})


def _at_once(call: Call) -> Text | None:
    return (_is_probability if call.arguments["log_target"] else _is_logarithm)[0](call)


def _in_source(site: Site) -> Text | None:
    log_target = site.settings.get("log_target", False)
    return None if log_target is ... else (_is_probability if log_target else _is_logarithm)[1](site)


def _says(call: Call, numbers: Numbers) -> Text | None:
    least, greatest = numbers["minimum"], numbers["maximum"]
    if call.arguments["log_target"]:
        if not greatest > ABOVE_LOGARITHMS:
            return None
        return Text(
            f"with log_target=True the target reaches {greatest:.3g}, and log-probabilities are at most 0",
            f"log_target=True 时目标最大达到 {greatest:.3g}，而对数概率不会大于 0",
        )
    if not least < _BELOW_PROBABILITIES:
        return None
    return Text(
        f"the target goes down to {least:.3g}, and no probability is below 0",
        f"目标最小为 {least:.3g}，而概率不会小于 0",
    )


RULE = Rule(
    code="LM114",
    name="kl-target-not-probability",
    severity="error",
    losses=DIVERGENCES,
    what=Text(
        "kl_div or js_div is given logarithms or logits as target, or probabilities with log_target=True.",
        "kl_div 或 js_div 的目标是对数概率或 logits，或者写了 log_target=True 却传入概率。",
    ),
    why=Text(
        "Logarithms as probabilities give NaN. Probabilities as logarithms are taken for exp(p), 1 to 2.72 for every "
        "class: equal classes, perfectly predicted, cost 11.05 nats for 5 of them instead of 0.",
        "把对数概率当作概率会得 NaN。把概率当作对数则取 exp(p)，每个类别都是 1 到 2.72："
        "5 个等概率类别的完美预测本应为 0 奈特，却得到 11.05 奈特。",
    ),
    evidence=Text(
        "At run time the operation that made the target or, where that is unknown, numbers below 0 (with "
        "log_target=True above 0) in several batches. In source the last operation before the call.",
        "运行时看目标由哪个运算产生；看不到时，看连续几个批次是否有小于 0 的数（log_target=True 时为大于 0 的数）。"
        "源码中看调用前的最后一个运算。",
    ),
    fix=Text(
        "Write log_target=True for a target from log_softmax, and leave it out for one from softmax. Logits become "
        "probabilities by softmax(logits, dim=1).",
        "目标来自 log_softmax 时写 log_target=True，来自 softmax 时不写。logits 用 softmax(logits, dim=1) 变为概率。",
    ),
    bad="""\
import torch
from torch import nn
from torch.nn import functional as F

student, teacher = nn.Linear(4, 3), nn.Linear(4, 3)
for _ in range(4):
    x = torch.randn(8, 4)
    target = F.log_softmax(teacher(x).detach(), dim=1)
    loss = F.kl_div(F.log_softmax(student(x), dim=1), target, reduction="batchmean")
    loss.backward()
""",
    good="""\
import torch
from torch import nn
from torch.nn import functional as F

student, teacher = nn.Linear(4, 3), nn.Linear(4, 3)
for _ in range(4):
    x = torch.randn(8, 4)
    target = F.log_softmax(teacher(x).detach(), dim=1)
    loss = F.kl_div(F.log_softmax(student(x), dim=1), target, reduction="batchmean", log_target=True)
    loss.backward()
""",
    at_once=_at_once,
    values=Values({"minimum": minimum("target"), "maximum": maximum("target")}, _says),
    in_source=_in_source,
)
