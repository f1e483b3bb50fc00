"""LM111: cross-entropy over a single class, whose probability is always 1."""

from ..card import Text
from ..rule import Call, Rule, Site
from ._evidence import OVERLAP, given, own_activation

_LAYERS = {"linear": "out_features", "conv1d": "out_channels", "conv2d": "out_channels", "conv3d": "out_channels"}
_KEEP_SHAPE = ("softmax", "log_softmax", "sigmoid", "relu", "tanh")


def _at_once(call: Call) -> Text | None:
    scores, classes = call.arguments["input"], call.class_dim()
    # a batch of one row may be the rest of a similarity matrix: (1, 1) is right there
    if own_activation(call.loss, call.arguments) != "softmax":
        return None
    if classes is None or scores.shape[classes] != 1 or scores.numel() < 2:
        return None
    return Text(
        f"dimension {classes} of input {tuple(scores.shape)}, that of the classes, has size 1",
        f"输入 {tuple(scores.shape)} 的类别维（第 {classes} 维）大小为 1",
    )


def _in_source(site: Site) -> Text | None:
    if own_activation(site.loss, site.settings) != "softmax":
        return None
    known = given(site, "input")
    while known.op in _KEEP_SHAPE and known.of is not None and not known.reshaped:
        known = known.of
    size = _LAYERS.get(known.op)
    if size is None or known.reshaped or known.settings.get(size) != 1:
        return None
    return Text(f"input comes from {known.op} with {size}=1", f"input 来自 {size}=1 的 {known.op}")


RULE = Rule(
    code="LM111",
    name="single-logit-cross-entropy",
    severity="error",
    losses=("cross_entropy", "focal_loss", "distillation_loss", *OVERLAP),
    what=Text(
        "cross_entropy, or another loss that takes a softmax, is given a single logit for each sample.",
        "传给 cross_entropy（或其他自己会做 softmax 的损失）的每个样本只有一个 logit。",
    ),
    why=Text(
        "The softmax of one logit is 1, whatever the logit: loss and gradient are 0 from the first step on, and "
        "nothing is learned. Label 1 is refused as out of range, but labels of 0 pass, and so does a float "
        "target of (N, 1).",
        "单个 logit 的 softmax 恒为 1，与其取值无关：损失和梯度从第一步起就是 0，什么也学不到。标签 1 会因越界报错，"
        "但全 0 的标签以及形状为 (N, 1) 的浮点目标都能通过。",
    ),
    evidence=Text(
        "At run time the size of the class dimension, in a batch of more than one row; in source a last layer with one "
        "output. A layer that scores candidates, reshaped to (N, candidates), is not meant.",
        "运行时看多于一行的批次中类别维的大小；源码中看只有一个输出的最后一层。"
        "为候选项打分、再变形为 (N, 候选数) 的层不算。",
    ),
    fix=Text(
        "For two classes take BCEWithLogitsLoss and a float target of the logits' shape; or give the network an output "
        "for each class.",
        "两类时用 BCEWithLogitsLoss，目标为与 logits 同形状的浮点数；或让网络为每个类别各给一个输出。",
    ),
    bad="""\
import torch
from torch import nn

model, criterion = nn.Linear(4, 1), nn.CrossEntropyLoss()
for _ in range(4):
    loss = criterion(model(torch.randn(8, 4)), torch.randint(2, (8, 1)).float())
    loss.backward()
""",
    good="""\
import torch
from torch import nn

model, criterion = nn.Linear(4, 1), nn.BCEWithLogitsLoss()
for _ in range(4):
    loss = criterion(model(torch.randn(8, 4)), torch.randint(2, (8, 1)).float())
    loss.backward()
""",
    at_once=_at_once,
    in_source=_in_source,
)
