"""LM201: labels that are no labels: out of range, of the wrong dtype, one-hot or multi-hot."""

import math

import torch
from torch import Tensor

from ..card import Text
from ..rule import Call, Numbers, Rule, Values
from ..watch.statistics import numbers as read
from ._evidence import OVERLAP
from ._sequences import is_ctc, scores_of, sequences

LABELS = ("cross_entropy", "nll_loss", "multi_margin_loss", "focal_loss", "distillation_loss", *OVERLAP)
"""One label a row, or pixel."""
VECTORS = ("arcface_loss", "cosface_loss")
"""One label a vector, of as many classes as there are class vectors."""
PROBABILITIES_TOO = ("cross_entropy", "focal_loss", *OVERLAP)
"""Their targets may have the input's shape."""


def _at_once(call: Call) -> Text | None:
    """What a call that raised an error was given."""
    target = call.arguments.get("target")
    if call.error is None or target is None or is_ctc(call):
        return None
    scores: Tensor = call.arguments["input"]
    given = f"{tuple(target.shape)} {str(target.dtype).removeprefix('torch.')}"
    if call.loss == "multilabel_margin_loss":
        if target.shape != scores.shape or not target.is_floating_point():
            return None
        return Text(
            f"the target {given} is not of an integer dtype: rows of labels are expected, padded with -1",
            f"目标为 {given}，不是整数类型：应为逐行列出的标签，以 -1 填充",
        )
    if scores.dim() == 0 or (call.loss in OVERLAP and target.shape == scores.shape):
        return None
    labels = _shape_of_labels(call)
    whole = not target.is_floating_point() and target.dtype != torch.bool
    if target.shape == labels and not whole:
        return Text(
            f"the target {given} has the shape of labels, but not an integer dtype",
            f"目标为 {given}，形状是标签的形状，但不是整数类型",
        )
    if scores.dim() > 1 and target.shape == scores.shape and (whole or call.loss not in PROBABILITIES_TOO):
        return Text(
            f"the target {given} has the input's shape, as one-hot rows have; labels would be {labels}",
            f"目标为 {given}，与输入同形，像是 one-hot；标签的形状应为 {labels}",
        )
    if target.dim() == len(labels) + 1 and labels in (target.shape[:-1], target.shape[:1] + target.shape[2:]):
        return Text(
            f"the target {given} has a dimension too many; labels would be {labels}",
            f"目标为 {given}，多了一个维度；标签的形状应为 {labels}",
        )
    return None


def _shape_of_labels(call: Call) -> tuple[int, ...]:
    shape: torch.Size = call.arguments["input"].shape
    dim = len(shape) - 1 if call.loss in VECTORS else call.class_dim() or 0
    return (*shape[:dim], *shape[dim + 1 :])


def _classes(call: Call) -> int:
    if call.loss in VECTORS:
        return int(call.arguments["linear_weight"].shape[0])
    scores: Tensor = scores_of(call) if is_ctc(call) else call.arguments["input"]
    return scores.shape[call.class_dim() or 0]


def _applies(call: Call) -> bool:
    if is_ctc(call):
        return sequences(call) is not None
    target, input = call.arguments["target"], call.arguments["input"]
    if target is None or target.is_floating_point() or target.is_complex() or input.dim() == 0:
        return False
    # of several classes at once, or one-hot
    return call.loss not in OVERLAP or target.shape != input.shape


def _least(call: Call) -> Tensor:
    return _counted(call, math.inf).amin()


def _greatest(call: Call) -> Tensor:
    return _counted(call, -math.inf).amax()


def _counted(call: Call, hidden: float) -> Tensor:
    """The labels that are read, and `hidden` in place of the others."""
    if is_ctc(call):
        found = sequences(call)
        assert found is not None
        if found.labels.numel() == 0:
            return found.labels.new_full((1,), math.nan, dtype=torch.float32)
        return torch.where(found.inside, found.labels.to(torch.float32), hidden)
    labels = read(call, "target", hidden)
    if "ignore_index" in call.arguments:
        labels = torch.where(labels == call.arguments["ignore_index"], hidden, labels)
    return labels


def _says(call: Call, numbers: Numbers) -> Text | None:
    least, greatest = numbers["least"], numbers["greatest"]
    classes = _classes(call)
    sets = call.loss == "multilabel_margin_loss"
    if sets and least >= 0 and greatest <= 1 and classes > 2:
        return Text(
            f"the target of {classes} classes holds 0 and 1 alone and no -1, as multi-hot rows do",
            f"目标有 {classes} 类，却只含 0 与 1，没有 -1，像是 multi-hot",
        )
    if not math.isfinite(least) or (least >= (-1 if sets else 0) and greatest < classes):
        return None
    return Text(
        f"labels lie between {least:.0f} and {greatest:.0f}, expected 0 to {classes - 1}",
        f"标签介于 {least:.0f} 与 {greatest:.0f} 之间，应为 0 到 {classes - 1}",
    )


RULE = Rule(
    code="LM201",
    name="index-target-invalid",
    severity="error",
    losses=(*LABELS, *VECTORS, "multilabel_margin_loss", "ctc_loss", "ctc_loss_with_logits"),
    what=Text(
        "The target does not hold class labels as the loss reads them: out of range, floats, one-hot or multi-hot.",
        "目标不是损失所要求的类别标签：越界、浮点、one-hot 或 multi-hot。",
    ),
    why=Text(
        "On the CPU most of these raise, on a GPU a label out of range ends the process or is NaN. Some pass: "
        "multilabel_margin_loss reads a multi-hot row [1, 0, 1, 0] as the labels 1, 0, 1, 0, so classes 0 and 1 are "
        "the only ones that are ever right, and torch's ctc_loss reads label 9 of 5 classes from a neighbour's "
        "memory. Labels counted from 1 raise only when the last class comes; until then each is taken for the next "
        "class.",
        "在 CPU 上这类目标大多会报错；在 GPU 上越界的标签会使进程崩溃或得到 NaN。有些却能通过："
        "multilabel_margin_loss 把 multi-hot 行 [1, 0, 1, 0] 读作标签 1、0、1、0，于是只有第 0、1 类算作正确；"
        "torch 的 ctc_loss 遇到 5 类中的标签 9，会去读相邻的内存。"
        "从 1 数起的标签，要等最后一类出现才报错，此前每个标签都被当作下一类。",
    ),
    evidence=Text(
        "At run time: dtype and shape of the target of a call that raised; the least and greatest label of the batch, "
        "without ignore_index, padding and what is masked; for multilabel_margin_loss, of three classes or more, rows "
        "of 0 and 1 without a -1. Probabilities are a legal target of cross_entropy, focal, Dice and Tversky losses "
        "and are not looked at.",
        "运行时看：报错的调用中目标的 dtype 与形状；一个批次中标签的最小值与最大值（不计 ignore_index、"
        "填充与被掩蔽的部分）；对于 multilabel_margin_loss，类别不少于 3 时，看各行是否只有 0 与 1 而没有 -1。"
        "cross_entropy、focal、Dice 与 Tversky 的概率目标是合法的，不作检查。",
    ),
    fix=Text(
        "Write target.long() for floats, target.argmax(1) for one-hot rows, target.squeeze(1) for (N, 1), target - 1 "
        "for labels counted from 1, ignore_index= for a padding label; take BCEWithLogitsLoss for multi-hot rows.",
        "浮点写 target.long()，one-hot 写 target.argmax(1)，(N, 1) 写 target.squeeze(1)，从 1 数起写 target - 1，"
        "填充标签用 ignore_index=；multi-hot 目标应改用 BCEWithLogitsLoss。",
    ),
    bad="""\
import torch
from torch import nn

model, criterion = nn.Linear(8, 5), nn.MultiLabelMarginLoss()
for _ in range(4):
    multi_hot = (torch.rand(16, 5) > 0.5).long()
    loss = criterion(model(torch.randn(16, 8)), multi_hot)
    loss.backward()
""",
    good="""\
import torch
from torch import nn

model, criterion = nn.Linear(8, 5), nn.BCEWithLogitsLoss()
for _ in range(4):
    multi_hot = (torch.rand(16, 5) > 0.5).float()
    loss = criterion(model(torch.randn(16, 8)), multi_hot)
    loss.backward()
""",
    at_once=_at_once,
    values=Values({"least": _least, "greatest": _greatest}, _says, batches=1, applies=_applies),
)
