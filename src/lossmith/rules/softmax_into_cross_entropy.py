"""LM101: a softmax before cross-entropy, which takes one itself."""

from ..card import Text
from ..rule import Call, Numbers, Rule, Site, Values
from ..watch.statistics import maximum, minimum, row_error


def _at_once(call: Call) -> Text | None:
    origin = call.origin("input")
    if origin is None or origin.op != "softmax":
        return None
    return Text("the input is the result of a softmax", "输入是 softmax 的结果")


def _says(call: Call, numbers: Numbers) -> Text | None:
    if numbers["minimum"] < 0 or numbers["maximum"] > 1 or numbers["row_error"] > 1e-3:
        return None
    return Text(
        "the input lies between 0 and 1 and sums to 1 over the classes, as probabilities do",
        "输入都在 0 与 1 之间，且沿类别维之和为 1，与概率无异",
    )


def _in_source(site: Site) -> Text | None:
    if site.kind != "call" or site.arguments["input"].op != "softmax":
        return None
    return Text("the input is the result of a softmax", "输入是 softmax 的结果")


RULE = Rule(
    code="LM101",
    name="softmax-into-cross-entropy",
    severity="error",
    losses=("cross_entropy",),
    what=Text(
        "Probabilities from a softmax are given to cross_entropy, which applies log_softmax itself.",
        "把 softmax 输出的概率传给 cross_entropy，而它自己就会做 log_softmax。",
    ),
    why=Text(
        "The softmax is taken twice. The loss can't fall below log(1 + (C - 1)/e), 1.461 for 10 classes, and the "
        "gradient of a row that is surely wrong vanishes (1e-4 at a lead of 10): it still learns, a little, so nobody "
        "notices.",
        "softmax 做了两次。损失不可能低于 log(1 + (C - 1)/e)（10 类为 1.461），"
        "错得很确定的样本梯度消失（领先 10 时仅 1e-4）："
        "模型仍能学到一点，因此难以察觉。",
    ),
    evidence=Text(
        "At run time the operation that made the input or, where that is unknown, values in [0, 1] that sum to 1 "
        "over the classes in several batches. In source the last operation before the call. A softmax that feeds "
        "something else (metrics, attention) is not meant.",
        "运行时看输入由哪个运算产生；看不到时，看连续几个批次的值是否都在 [0, 1] 内"
        "且沿类别维之和为 1。源码中看调用前的最后一个运算。"
        "用于其他目的（指标、注意力）的 softmax 不算。",
    ),
    fix=Text(
        "Give the logits to cross_entropy; take the softmax only for what is shown or measured.",
        "把 logits 直接传给 cross_entropy；softmax 只用于展示或计算指标。",
    ),
    bad="""\
import torch
from torch import nn
from torch.nn import functional as F

model, criterion = nn.Linear(4, 3), nn.CrossEntropyLoss()
for _ in range(4):
    logits = model(torch.randn(8, 4))
    loss = criterion(F.softmax(logits, dim=1), torch.randint(3, (8,)))
    loss.backward()
""",
    good="""\
import torch
from torch import nn

model, criterion = nn.Linear(4, 3), nn.CrossEntropyLoss()
for _ in range(4):
    logits = model(torch.randn(8, 4))
    loss = criterion(logits, torch.randint(3, (8,)))
    loss.backward()
""",
    at_once=_at_once,
    values=Values({"minimum": minimum("input"), "maximum": maximum("input"), "row_error": row_error("input")}, _says),
    in_source=_in_source,
)
