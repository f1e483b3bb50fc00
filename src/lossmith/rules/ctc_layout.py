"""LM203: CTC's scores with the batch in front of the frames."""

from torch import Tensor

from ..card import Text
from ..rule import Call, Rule
from ._sequences import scores_of


def _at_once(call: Call) -> Text | None:
    scores = scores_of(call)
    if call.error is None or scores.dim() != 3:
        return None
    samples = _samples(call)
    if samples is None or scores.shape[1] == samples or scores.shape[0] != samples:
        return None
    return Text(
        f"the scores are {tuple(scores.shape)}, and the targets are of {samples} samples: the first dimension, where "
        f"the frames belong",
        f"得分的形状为 {tuple(scores.shape)}，目标有 {samples} 个样本，即第一维是样本，而那里应是帧",
    )


def _samples(call: Call) -> int | None:
    """How many samples the targets are of, by their own shapes; None where those differ."""
    targets: Tensor = call.arguments["targets"]
    counts = {targets.shape[0]} if targets.dim() == 2 else set()
    for name in ("input_lengths", "target_lengths"):
        lengths = call.arguments[name]
        counts.add(lengths.numel() if isinstance(lengths, Tensor) else len(lengths))
    return counts.pop() if len(counts) == 1 else None


RULE = Rule(
    code="LM203",
    name="ctc-layout",
    severity="error",
    losses=("ctc_loss", "ctc_loss_with_logits"),
    what=Text(
        "CTC is given scores with the batch in front, (N, T, C); it reads (T, N, C).",
        "把批在前的得分 (N, T, C) 传给 CTC，而它按 (T, N, C) 读取。",
    ),
    why=Text(
        "Frames are taken for samples and samples for frames. It raises, in words that do not say so "
        "(`input_lengths must be of size batch_size`), unless N happens to equal T; then each target is read from one "
        "frame of every sample, and the loss falls all the same.",
        "帧被当作样本，样本被当作帧。通常会报错，但报错信息"
        "（input_lengths must be of size batch_size）并不点明原因；若 N 恰好等于 T 则不报错："
        "每个目标都在各样本的同一帧上对齐，损失照样下降。",
    ),
    evidence=Text(
        "At run time, of a call that raised: the targets and lengths are of as many samples as the first dimension of "
        "the scores has, and not the second. Where both are equal, nothing tells them apart, and it is silent.",
        "运行时，对报错的调用看：目标与各长度的样本数等于得分的第一维，而不等于第二维。"
        "两维相等时无从分辨，因而不作声。",
    ),
    fix=Text(
        "Write log_probs.transpose(0, 1), which copies nothing; (N, C, T) of a convolution is permute(2, 0, 1).",
        "应写 log_probs.transpose(0, 1)（不产生拷贝）；卷积输出的 (N, C, T) 写 permute(2, 0, 1)。",
    ),
    bad="""\
import torch
from torch import nn
from torch.nn import functional as F

model, criterion = nn.GRU(8, 6, batch_first=True), nn.CTCLoss()
for _ in range(4):
    scores, _ = model(torch.randn(3, 12, 8))
    targets, lengths = torch.randint(1, 6, (3, 4)), torch.full((3,), 4)
    loss = criterion(F.log_softmax(scores, dim=-1), targets, torch.full((3,), 12), lengths)
    loss.backward()
""",
    good="""\
import torch
from torch import nn
from torch.nn import functional as F

model, criterion = nn.GRU(8, 6, batch_first=True), nn.CTCLoss()
for _ in range(4):
    scores, _ = model(torch.randn(3, 12, 8))
    targets, lengths = torch.randint(1, 6, (3, 4)), torch.full((3,), 4)
    loss = criterion(F.log_softmax(scores, dim=-1).transpose(0, 1), targets, torch.full((3,), 12), lengths)
    loss.backward()
""",
    at_once=_at_once,
)
