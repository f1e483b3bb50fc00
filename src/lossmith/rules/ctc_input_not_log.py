"""LM204: CTC's log_probs that are no log-probabilities."""

import torch
from torch import Tensor

from ..card import Text
from ..rule import Call, Numbers, Rule, Values
from ._evidence import ACTIVATIONS, LAYERS, PROBABILITIES, comes_from
from ._sequences import counted_samples, scores_of


def _total(call: Call) -> Tensor:
    """The logarithm of the sum of a first frame's probabilities, farthest from 0: first frames are never padding."""
    totals = scores_of(call).detach()[0].to(torch.float32).logsumexp(-1).reshape(-1)
    counted = counted_samples(call)
    totals = totals if counted is None else torch.where(counted, totals, 0.0)
    return totals.gather(0, totals.abs().argmax(0, keepdim=True))


def _says(call: Call, numbers: Numbers) -> Text | None:
    if not abs(numbers["total"]) > 0.1:
        return None
    return Text(
        f"the exponentials of log_probs do not sum to 1 over the classes: the logarithm of their sum is "
        f"{numbers['total']:.3g} in the first frame, not 0",
        f"log_probs 取指数后沿类别维之和不为 1：首帧之和的对数为 {numbers['total']:.3g}，而非 0",
    )


RULE = Rule(
    code="LM204",
    name="ctc-input-not-log",
    severity="error",
    losses=("ctc_loss",),
    what=Text(
        "ctc_loss is given logits or probabilities; it expects log-probabilities, as log_softmax gives them.",
        "把 logits 或概率传给 ctc_loss，而它要的是 log_softmax 给出的对数概率。",
    ),
    why=Text(
        "The value is no likelihood: for 50 frames, 30 classes and 10 labels, where 14.2 was right, probabilities give "
        "-3.8 and logits -5.6. It can be lowered without end by making all classes likely at once, and torch's "
        "gradient, which takes log_softmax for granted, is not the derivative of it.",
        "数值不再是似然：50 帧、30 类、10 个标签、正确值为 14.2 的例子中，传入概率得 -3.8，传入 logits 得 -5.6。"
        "只要让所有类别同时变得“可能”，它就能无限下降；而 torch 的梯度默认前面是 log_softmax，并不是它的导数。",
    ),
    evidence=Text(
        "At run time the operation that made log_probs (softmax, sigmoid, an activation, a layer) or, in "
        "several batches, first frames whose exponentials do not sum to 1 (within 10 %). "
        "Padding past the first frame may hold anything.",
        "运行时看 log_probs 由哪个运算产生（softmax、sigmoid、激活函数、线性层或卷积），"
        "或连续几个批次中首帧取指数后之和不为 1（相差超过 10%）。首帧之后的填充可以是任何值。",
    ),
    fix=Text(
        "Write F.log_softmax(logits, dim=-1), or give the logits to lossmith.CTCWithLogitsLoss.",
        "应写 F.log_softmax(logits, dim=-1)，或把 logits 交给 lossmith.CTCWithLogitsLoss。",
    ),
    bad="""\
import torch
from torch import nn

model, criterion = nn.GRU(8, 6), nn.CTCLoss()
for _ in range(4):
    scores, _ = model(torch.randn(12, 3, 8))
    targets, lengths = torch.randint(1, 6, (3, 4)), torch.full((3,), 4)
    loss = criterion(scores, targets, torch.full((3,), 12), lengths)
    loss.backward()
""",
    good="""\
import torch
from torch import nn
from torch.nn import functional as F

model, criterion = nn.GRU(8, 6), nn.CTCLoss()
for _ in range(4):
    scores, _ = model(torch.randn(12, 3, 8))
    targets, lengths = torch.randint(1, 6, (3, 4)), torch.full((3,), 4)
    loss = criterion(F.log_softmax(scores, dim=-1), targets, torch.full((3,), 12), lengths)
    loss.backward()
""",
    at_once=comes_from("log_probs", PROBABILITIES | ACTIVATIONS | LAYERS),
    values=Values({"total": _total}, _says, applies=lambda call: scores_of(call).numel() > 0),
)
