"""LM106: a softmax along another dimension than the classes."""

import torch
from torch import Tensor

from ..card import Text
from ..rule import Call, Known, Numbers, Rule, Site, Values
from ..watch.statistics import log_error
from ._evidence import DIVERGENCES, ROUNDING, along_classes, given

# A softmax that should not be there at all is another rule's: softmax-into-cross-entropy, probabilities-into-nll.
LOGARITHMS = {"nll_loss": "input", "ctc_loss": "log_probs", "cross_entropy": "input"}
"""Losses of which the dimension of the classes is fixed, and what they take the result of a log_softmax for."""


def _at_once(call: Call) -> Text | None:
    if call.loss in DIVERGENCES:
        return _along_batch(call, "input") or _along_batch(call, "target")
    argument = LOGARITHMS[call.loss]
    origin = call.origin(argument)
    if origin is None or origin.op != "log_softmax" or along_classes(call, argument) is not False:
        return None
    shape, classes = tuple(call.arguments[argument].shape), call.class_dim()
    if _may_be_pairs(shape):
        return None
    return Text(
        f"log_softmax did not run along the classes, dimension {classes} of {argument} {shape}",
        f"log_softmax 没有沿类别维进行，即 {argument} {shape} 的第 {classes} 维",
    )


def _may_be_pairs(shape: tuple[int, ...]) -> bool:
    """A contrast of two batches, whose labels are the diagonal, is also taken along the first dimension."""
    return len(shape) == 2 and len(set(shape)) == 1


def _off_diagonal(call: Call) -> Tensor:
    """How many labels are not the number of their row."""
    target: Tensor = call.arguments["target"]
    return (target != torch.arange(target.shape[0], device=target.device)).sum()


def _along_batch(call: Call, argument: str) -> Text | None:
    """Divergences have no fixed dimension of classes, but their means divide by the first one, as by a batch."""
    origin, tensor = call.origin(argument), call.arguments[argument]
    if origin is None or origin.op not in ("softmax", "log_softmax") or not origin.whole or tensor.dim() < 2:
        return None
    as_many_columns = tensor.numel() == tensor.shape[0] ** 2  # then it is the same mean
    if origin.dim != -tensor.dim() or as_many_columns or call.arguments["reduction"] not in ("mean", "batchmean"):
        return None
    return Text(
        f"{origin.op} ran along dimension 0 of {argument} {tuple(tensor.shape)}, by whose size the mean divides",
        f"{origin.op} 沿 {argument} {tuple(tensor.shape)} 的第 0 维进行，而平均时除以的正是这一维的大小",
    )


def _has_rows(call: Call) -> bool:
    if call.loss not in ("nll_loss", "cross_entropy"):
        return False
    classes, input, target = call.class_dim(), call.arguments["input"], call.arguments["target"]
    return bool(classes) and input.dim() == 2 and input.shape[0] > 1 and target.dim() == 1


def _says(call: Call, numbers: Numbers) -> Text | None:
    if not numbers["of_the_batch"] <= ROUNDING or not numbers["of_the_classes"] > 0.05:
        return None
    if _may_be_pairs(call.arguments["input"].shape) and numbers["off_diagonal"] == 0:
        return None
    return Text(
        "the exponentials of the input sum to 1 over the batch, and not over the classes",
        "输入的指数沿批维之和为 1，沿类别维之和却不为 1",
    )


def _in_source(site: Site) -> Text | None:
    if site.loss in DIVERGENCES:
        return _written(site, given(site, "input")) or _written(site, given(site, "target"))
    if given(site, "target").op == "arange":
        return None
    known = given(site, LOGARITHMS[site.loss])
    if known.op == "log_softmax" or (known.op == "log" and known.of is not None and known.of.op == "softmax"):
        return _written(site, known)
    return None


def _written(site: Site, known: Known) -> Text | None:
    if known.op == "log" and known.of is not None:
        known = known.of
    if known.op not in ("softmax", "log_softmax"):
        return None
    dim = known.settings.get("dim")
    # cross_entropy undoes a log_softmax along the classes; one row of a divergence is only right with a sum
    if dim is None and site.loss != "cross_entropy":
        return Text(f"{known.op} has no dim", f"{known.op} 没有写 dim")
    if dim == 0 and (site.loss not in DIVERGENCES or site.settings.get("reduction") == "batchmean"):
        return Text(f"{known.op} runs along dimension 0", f"{known.op} 沿第 0 维进行")
    return None


RULE = Rule(
    code="LM106",
    name="softmax-wrong-dim",
    severity="error",
    losses=(*LOGARITHMS, *DIVERGENCES),
    what=Text(
        "A softmax or log_softmax runs along the batch, or another dimension than the classes; or no dim is written.",
        "softmax 或 log_softmax 沿批维（或类别维以外的其他维）进行，或没有写 dim。",
    ),
    why=Text(
        "Samples compete with each other instead of classes. Of 8 rows each class gives away 1 in all: equal logits of "
        "3 classes cost log 8 = 2.079 instead of log 3 = 1.099, and a prediction depends on what else is in the batch. "
        "Without dim torch takes 0 for tensors of 1 or 3 dimensions and 1 for those of 2 or 4, and warns.",
        "相互竞争的是样本而不是类别。8 行一批时，每个类别的概率在各行之间之和为 1：3 类 logits 全部相等时损失为 "
        "log 8 = 2.079，而不是 log 3 = 1.099；预测还取决于同一批里的其他样本。不写 dim 时，torch 对 1 维和 3 维张量取 "
        "0，对 2 维和 4 维取 1，并给出警告。",
    ),
    evidence=Text(
        "At run time the dimension along which it ran, followed through views, or how many numbers it normalised "
        "together; else exponentials that sum to 1 over the batch and not over the classes, in several batches. In "
        "source dim=0, or no dim. A divergence along dimension 0 is told only with a mean, which divides by that "
        "dimension; a row without a batch, (C), rightly has dim=0, and so has one direction of a contrast whose labels "
        "are the diagonal.",
        "运行时看它实际沿哪一维进行（跟踪视图变换）或一次归一化了多少个数；看不到时，看连续几个批次的指数是否沿批维"
        "之和为 1 而沿类别维不为 1。源码中看 dim=0 或未写 dim。KL 散度沿第 0 维时，只在取平均（除以该维大小）时提示；"
        "没有批维的一行 (C) 用 dim=0 是对的，"
        "以对角线为标签的对比损失的一个方向也是。",
    ),
    fix=Text(
        "Write dim=1, the dimension of the classes in (N, C) and (N, C, H, W); dim=-1 where they are last, as in "
        "(N, C) and in CTC's (T, N, C).",
        "写 dim=1，即 (N, C) 与 (N, C, H, W) 的类别维；类别在最后一维时写 dim=-1，如 (N, C) 与 CTC 的 (T, N, C)。",
    ),
    bad="""\
import torch
from torch import nn

model = nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(dim=0))
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
    at_once=_at_once,
    values=Values(
        {"of_the_batch": log_error("input", 0), "of_the_classes": log_error("input"), "off_diagonal": _off_diagonal},
        _says,
        applies=_has_rows,
    ),
    in_source=_in_source,
)
