"""LM105: a ReLU as the last operation before what is to be a logit."""

from collections.abc import Mapping
from typing import Any

from ..card import Text
from ..rule import Call, Known, Numbers, Origin, Rule, Site, Values
from ..watch.statistics import maximum, minimum, near
from ._evidence import OVERLAP, PROOF, TAKE_SIGMOID, given, last_operation, not_of_a_product, own_activation

RECTIFIERS = ("relu", "relu6")
SQUASHERS = ("sigmoid", "log_softmax")
"""What makes probabilities of logits, for losses that take those."""
TAKE_LOGITS = ("cross_entropy", "focal_loss", "distillation_loss", *TAKE_SIGMOID)
TAKE_PROBABILITIES = ("binary_cross_entropy", "nll_loss")


def _seen(loss: str, settings: Mapping[str, Any], made: Origin | Known | None) -> Text | None:
    if made is None:
        return None
    activation = own_activation(loss, settings)
    if activation in ("softmax", "sigmoid") and made.op in RECTIFIERS:
        return last_operation("input", made.op)
    if activation == "" and made.op in SQUASHERS and made.of is not None and made.of.op in RECTIFIERS:
        return Text(
            f"input is {made.op} of the result of {made.of.op}", f"input 是对 {made.of.op} 的结果再做 {made.op} 得到的"
        )
    return None


def _at_once(call: Call) -> Text | None:
    return _seen(call.loss, call.arguments, call.origin("input"))


def _in_source(site: Site) -> Text | None:
    return _seen(site.loss, site.settings, given(site, "input"))


def _takes_logits(call: Call) -> bool:
    return own_activation(call.loss, call.arguments) != "" and not_of_a_product(call)


def _says(call: Call, numbers: Numbers) -> Text | None:
    zeros = int(numbers["zeros"])
    positive = call.arguments["input"].numel() - zeros
    # what stays below 1 may be probabilities, of which some vanished
    if numbers["minimum"] != 0 or not numbers["maximum"] > 1 or zeros < PROOF or positive < PROOF:
        return None
    return Text(
        f"no number of the input is below 0, and {zeros} of {zeros + positive} are exactly 0, as behind a ReLU",
        f"输入中没有小于 0 的数，且 {zeros + positive} 个数中有 {zeros} 个恰好为 0，与经过 ReLU 的结果无异",
    )


RULE = Rule(
    code="LM105",
    name="relu-before-logits",
    severity="warning",
    losses=(*TAKE_LOGITS, *TAKE_PROBABILITIES, *OVERLAP),
    what=Text(
        "A ReLU is the last operation before logits.",
        "logits 之前的最后一个运算是 ReLU。",
    ),
    why=Text(
        "No logit is below 0. For BCEWithLogitsLoss no probability is below 0.5, and a no costs at least 0.693. For "
        "CrossEntropyLoss a label is surer than 0.99 of 10 classes only from a logit of 6.8 on, and a row whose logits "
        "are all cut off has a loss of log C, 2.303 for 10 classes, and no gradient at all.",
        "logit 不会小于 0。对 BCEWithLogitsLoss，概率不会低于 0.5，负样本的损失至少为 0.693。对 CrossEntropyLoss，"
        "10 类时标签的 logit 要到 6.8 以上概率才超过 0.99；若一行的 logit 全被截断，损失为 log C（10 类为 2.303），"
        "且完全没有梯度。",
    ),
    evidence=Text(
        "At run time the operation that made the input or, where that is unknown, many numbers that are exactly 0 and "
        "none below, in several batches. In source the last operation before the call. For NLLLoss and BCELoss, the "
        "operation before their log_softmax or sigmoid. A ReLU inside the network is not meant.",
        "运行时看输入由哪个运算产生；看不到时，看连续几个批次中是否有许多数恰好为 0 而没有更小的数。"
        "源码中看调用前的最后一个运算。对 NLLLoss 与 BCELoss，看其 log_softmax 或 sigmoid 之前的运算。"
        "网络内部的 ReLU 不算。",
    ),
    fix=Text(
        "Leave the last ReLU out: a network ends in a bare linear layer.",
        "去掉最后的 ReLU：网络应以不带激活函数的线性层结束。",
    ),
    bad="""\
import torch
from torch import nn

model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3), nn.ReLU())
criterion = nn.CrossEntropyLoss()
for _ in range(4):
    loss = criterion(model(torch.randn(8, 4)), torch.randint(3, (8,)))
    loss.backward()
""",
    good="""\
import torch
from torch import nn

model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
criterion = nn.CrossEntropyLoss()
for _ in range(4):
    loss = criterion(model(torch.randn(8, 4)), torch.randint(3, (8,)))
    loss.backward()
""",
    at_once=_at_once,
    values=Values(
        {"minimum": minimum("input"), "maximum": maximum("input"), "zeros": near("input", 0, width=0)},
        _says,
        applies=_takes_logits,
    ),
    in_source=_in_source,
)
