"""LM102: a log_softmax before cross-entropy, which changes nothing."""

from ..card import Text
from ..rule import Call, Rule, Site
from ._evidence import OVERLAP, TAKE_SOFTMAX, along_classes, given, last_operation, own_activation, score_arguments


def _at_once(call: Call) -> Text | None:
    if own_activation(call.loss, call.arguments) != "softmax":
        return None
    for argument in score_arguments(call.loss):
        origin = call.origin(argument)
        if origin is None or origin.op != "log_softmax" or not origin.whole or along_classes(call, argument) is False:
            continue
        return last_operation(argument, "log_softmax")
    return None


def _in_source(site: Site) -> Text | None:
    if own_activation(site.loss, site.settings) != "softmax":
        return None
    for argument in score_arguments(site.loss):
        known = given(site, argument)
        if known.op == "log_softmax" and known.settings.get("dim") != 0:
            return last_operation(argument, "log_softmax")
    return None


RULE = Rule(
    code="LM102",
    name="log-softmax-into-cross-entropy",
    severity="info",
    losses=(*TAKE_SOFTMAX, *OVERLAP),
    what=Text(
        "Log-probabilities from a log_softmax are given to a loss that takes the softmax itself, such as "
        "cross_entropy.",
        "把 log_softmax 输出的对数概率传给自己就会做 softmax 的损失，如 cross_entropy。",
    ),
    why=Text(
        "The log_softmax of log-probabilities is themselves: loss and gradient stay the same. It costs one more pass "
        "over the logits forward, another backward, and memory for as many numbers again: 2 GB for 4096 tokens and "
        "128,000 classes in float32.",
        "对数概率的 log_softmax 仍是它自身：损失与梯度都不变。只是前向、反向各多扫描一遍 logits，"
        "并多占一份同样大小的内存：4096 个 token、12.8 万个类别的 float32 logits 为 2 GB。",
    ),
    evidence=Text(
        "At run time the operation that made the input, in source the last operation before the call. One along "
        "another dimension than the classes does change the loss: that is softmax-wrong-dim. Logarithms of "
        "probabilities that were mixed or averaged are not meant.",
        "运行时看输入由哪个运算产生，源码中看调用前的最后一个运算。沿类别维以外的维做 log_softmax 会改变损失，"
        "属于 softmax-wrong-dim。对混合或平均后的概率取对数不算。",
    ),
    fix=Text(
        "Leave the log_softmax out, or keep it and take NLLLoss (CTCLoss for CTCWithLogitsLoss).",
        "去掉 log_softmax；或保留它，改用 NLLLoss（CTCWithLogitsLoss 则改用 CTCLoss）。",
    ),
    bad="""\
import torch
from torch import nn

model = nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(dim=1))
criterion = nn.CrossEntropyLoss()
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
    at_once=_at_once,
    in_source=_in_source,
)
