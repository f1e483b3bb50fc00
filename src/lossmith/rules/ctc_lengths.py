"""LM205: CTC's lengths and targets that do not fit: too few frames, too long, the blank among the labels."""

import torch
from torch import Tensor

from ..card import Text
from ..rule import Call, Numbers, Rule, Values
from ._sequences import Sequences, scores_of, sequences


def _of(call: Call) -> Sequences:
    found = sequences(call)
    assert found is not None
    return found


def _longest_input(call: Call) -> Tensor:
    return _of(call).frames.amax()


def _surplus(call: Call) -> Tensor:
    """How much longer target_lengths are than the targets."""
    lengths, targets = _of(call).lengths, call.arguments["targets"]
    held: int = targets.shape[-1]
    return (lengths.amax() if targets.dim() == 2 else lengths.sum()) - held


def _blanks(call: Call) -> Tensor:
    """How many samples have the blank among their labels."""
    found = _of(call)
    blank: int = call.arguments["blank"]
    return ((found.labels == blank) & found.inside).any(1).sum()


def _short(call: Call) -> Tensor:
    """How many samples have too few frames for an alignment."""
    found = _of(call)
    repeats = (found.labels[:, 1:] == found.labels[:, :-1]) & found.inside[:, 1:]
    needed = found.inside.sum(1) + repeats.sum(1)
    return (needed > torch.where(found.inside.any(1), found.frames, needed)).sum()


def _says(call: Call, numbers: Numbers) -> Text | None:
    scores, blank = scores_of(call), call.arguments["blank"]
    samples = scores.shape[1] if scores.dim() == 3 else 1
    if numbers["longest_input"] > scores.shape[0]:
        return Text(
            f"input_lengths go up to {numbers['longest_input']:.0f}, but there are {scores.shape[0]} frames",
            f"input_lengths 最大为 {numbers['longest_input']:.0f}，而总共只有 {scores.shape[0]} 帧",
        )
    if numbers["surplus"] > 0:
        return Text(
            f"target_lengths count {numbers['surplus']:.0f} labels more than the targets hold",
            f"target_lengths 比目标中的标签多出 {numbers['surplus']:.0f} 个",
        )
    if numbers["blanks"] > 0:
        return Text(
            f"{numbers['blanks']:.0f} of {samples} targets hold {blank}, the blank, within their length",
            f"{samples} 个目标中有 {numbers['blanks']:.0f} 个在其长度之内含有 blank（{blank}）",
        )
    if numbers["short"] > 0 and not call.arguments["zero_infinity"] and call.arguments["reduction"] != "none":
        return Text(
            f"{numbers['short']:.0f} of {samples} samples have fewer frames than their labels and adjacent equal "
            f"labels, so no alignment",
            f"{samples} 个样本中有 {numbers['short']:.0f} 个的帧数少于标签数加相邻重复数，不存在任何对齐",
        )
    return None


RULE = Rule(
    code="LM205",
    name="ctc-lengths",
    severity="error",
    losses=("ctc_loss", "ctc_loss_with_logits"),
    what=Text(
        "CTC's lengths and targets do not go together: more frames or labels than there are, the blank among the "
        "labels, or too few frames for the labels.",
        "CTC 的长度与目标不相容：长度超过实有的帧或标签、标签中含有 blank，或帧数不够容纳标签。",
    ),
    why=Text(
        "Labels 1 1 2 2 need 6 frames, one for each and a blank between equal ones: with 5 the sample's loss and the "
        "batch's mean are inf, and in torch the gradient is NaN. The blank as a label gives a finite loss for a "
        "sequence that no decoder can return. input_lengths counted before the network's strides (800 where 200 are "
        "left) are refused.",
        "标签 1 1 2 2 需要 6 帧：每个标签一帧，相同标签之间还要一个 blank。"
        "只有 5 帧时，该样本的损失与整批均值都是 inf，torch 中梯度为 NaN。"
        "把 blank 当作标签，损失是有限值，对应的却是任何解码都得不到的序列。"
        "按下采样之前计数的 input_lengths（实剩 200 帧却写 800）会被拒绝。",
    ),
    evidence=Text(
        "At run time the lengths and the labels within them, of one batch. Padding past a length may hold the blank. "
        "Too few frames are silent with zero_infinity=True and with reduction='none', where inf can be dropped.",
        "运行时看一个批次的长度及长度之内的标签。长度之外的填充可以是 blank。"
        "zero_infinity=True，或 reduction='none'（可自行剔除 inf）时，帧数不足不作声。",
    ),
    fix=Text(
        "Compute input_lengths as the network computes its output's length; number labels from 1 where the blank is "
        "0, or write blank=C - 1; give true target_lengths; drop samples with T < S + repeats, or reduce time less.",
        "input_lengths 应按网络的输出长度公式计算；blank 为 0 时标签从 1 编号，否则写 blank=C - 1；"
        "target_lengths 应为真实长度；剔除 T < S + 相邻重复数的样本，或减小时间下采样。",
    ),
    bad="""\
import torch
from torch import nn
from torch.nn import functional as F

model, criterion = nn.GRU(8, 6), nn.CTCLoss()
for _ in range(4):
    scores, _ = model(torch.randn(12, 3, 8))
    padded = torch.tensor([[1, 2, 3, 0], [4, 0, 0, 0], [5, 1, 5, 2]])
    loss = criterion(F.log_softmax(scores, dim=-1), padded, torch.full((3,), 12), torch.full((3,), 4))
    loss.backward()
""",
    good="""\
import torch
from torch import nn
from torch.nn import functional as F

model, criterion = nn.GRU(8, 6), nn.CTCLoss()
for _ in range(4):
    scores, _ = model(torch.randn(12, 3, 8))
    padded = torch.tensor([[1, 2, 3, 0], [4, 0, 0, 0], [5, 1, 5, 2]])
    loss = criterion(F.log_softmax(scores, dim=-1), padded, torch.full((3,), 12), torch.tensor([3, 1, 4]))
    loss.backward()
""",
    values=Values(
        {"longest_input": _longest_input, "surplus": _surplus, "blanks": _blanks, "short": _short},
        _says,
        batches=1,
        applies=lambda call: sequences(call) is not None,
    ),
)
