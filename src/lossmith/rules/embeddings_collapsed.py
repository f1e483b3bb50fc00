"""LM214: vectors that are nearly alike, all of a batch."""

import torch
from torch import Tensor

from ..card import Text
from ..rule import Call, Numbers, Rule, Values
from ._vectors import similarity_scale

BY_COSINE = ("info_nce_loss", "supcon_loss", "siglip_loss", "arcface_loss", "cosface_loss")
BY_DISTANCE = {
    "contrastive_loss": ("input1", "input2"),
    "triplet_margin_loss": ("anchor", "positive", "negative"),
    "mined_triplet_margin_loss": ("input",),
}
"""Losses with a margin of distances, and their vectors."""
CLOSE = 0.01
"""How far from 1 the mean cosine is, or from 0 the mean distance in margins, at most."""
FLAT = 0.1
"""What such cosines make of logits: differences that no softmax sees."""
ENOUGH = 8
"""Vectors in a batch."""
BATCHES = 12


def _applies(call: Call) -> bool:
    given = call.arguments
    if call.result is None or not call.result.requires_grad or given["mask"] is not None:
        return False
    if call.loss in BY_COSINE:
        return bool(given.get("normalize", True)) and given["input"].dim() == 2 and len(given["input"]) >= ENOUGH
    vectors = [given[name] for name in BY_DISTANCE[call.loss]]
    rows = min(v.shape[:-1].numel() if v.dim() > 0 else 0 for v in vectors)
    same = all(v.shape[-1] == vectors[0].shape[-1] and v.is_floating_point() for v in vectors)
    return same and rows >= ENOUGH and not isinstance(given["margin"], str)


def _apart(call: Call) -> Tensor:
    """The mean squared distance of two vectors of the batch, of unit vectors if the loss makes them so."""
    names = BY_DISTANCE.get(call.loss, ("input",))
    vectors = torch.cat([_rows(call.arguments[name]) for name in names])
    if call.loss in BY_COSINE or call.arguments["normalize"]:
        vectors = vectors / torch.linalg.vector_norm(vectors, dim=-1, keepdim=True).clamp_min(1e-30)
    centred = vectors - vectors.mean(0)
    return 2 * centred.square().sum(-1).mean() * (len(vectors) / (len(vectors) - 1))


def _rows(vectors: Tensor) -> Tensor:
    wide = vectors.detach().to(torch.float64 if vectors.dtype == torch.float64 else torch.float32)
    return wide.reshape(-1, wide.shape[-1])


def _labels(call: Call) -> Tensor:
    """By how much labels differ: those of one label are to be alike. 1 where there are none."""
    labels = call.arguments.get("labels", call.arguments.get("target"))
    if call.loss == "contrastive_loss" or not isinstance(labels, Tensor) or labels.numel() == 0:
        return torch.ones(())
    return labels.amax() - labels.amin()


def _says(call: Call, numbers: Numbers) -> Text | None:
    if numbers["labels"] == 0:
        return None
    apart = numbers["apart"]
    if call.loss in BY_COSINE:
        turned = apart / 2
        if not (turned < CLOSE and turned * numbers["scale"] < FLAT):
            return None
        return Text(
            f"in {BATCHES} batches, over a window of the training, the vectors have a mean cosine of "
            f"{1 - turned:.4f} with each other",
            f"训练中先后查看的 {BATCHES} 个批次里，向量两两的平均余弦都接近 1（最后一批为 {1 - turned:.4f}）",
        )
    squared = call.loss != "contrastive_loss" and call.arguments["squared"]
    margins = (apart if squared else apart**0.5) / call.arguments["margin"]
    if not margins < CLOSE:
        return None
    return Text(
        f"in {BATCHES} batches, over a window of the training, the vectors are {margins:.2g} margins from each other "
        f"on average",
        f"训练中先后查看的 {BATCHES} 个批次里，向量两两的平均距离都极小（最后一批为间隔的 {margins:.2g} 倍）",
    )


RULE = Rule(
    code="LM214",
    name="embeddings-collapsed",
    severity="warning",
    losses=(*BY_COSINE, *BY_DISTANCE),
    what=Text(
        "All embeddings of a batch are nearly one vector: the encoder has collapsed, or never told its inputs apart.",
        "一个批次的嵌入几乎是同一个向量：编码器已经坍缩，或从未区分过不同的输入。",
    ),
    why=Text(
        "Where all vectors are one, every softmax over them is uniform: InfoNCE rests at log N, 5.55 for 256, and a "
        "triplet loss at its margin. At a distance of exactly 0 no direction leads apart and the gradient is 0.",
        "所有向量重合时，对它们的 softmax 是均匀的：InfoNCE 停在 log N（256 个时为 5.55），三元组损失停在间隔值。"
        "距离恰为 0 时没有任何方向可走，梯度为 0。",
    ),
    evidence=Text(
        f"At run time the mean cosine of all vectors of a batch: within 0.01 of 1, and so near that the logits differ "
        f"by less than 0.1; for losses with a margin of distances the mean distance, below 0.01 margins. It has to be "
        f"so in {BATCHES} in a row of the batches that are looked at, the first ones and then ever rarer ones, for "
        f"many encoders begin alike. Batches of one label, of fewer than {ENOUGH} vectors or with a mask, vectors "
        f"that the loss does not scale to length 1 where it compares directions, and evaluation are silent.",
        f"运行时看一个批次所有向量的平均余弦：与 1 之差小于 0.01，且使 logits 之差小于 0.1；"
        f"以距离间隔定义的损失则看平均距离是否小于间隔的 0.01 倍。许多编码器起步时各向量就相近，"
        f"因此要在所查看的批次（最初若干个，此后逐渐稀疏）中连续 {BATCHES} 个都如此。"
        f"只有一个标签、少于 {ENOUGH} 个向量或带掩码的批次、按方向比较而损失不做归一化的向量，以及评估阶段都不看。",
    ),
    fix=Text(
        "Centre and scale the inputs; look for dead ReLUs and for a last layer whose bias outweighs all else; lower "
        "the learning rate; mine semi-hard triplets before the hardest ones.",
        "对输入做中心化与缩放；检查是否有失活的 ReLU，或最后一层的偏置盖过了其余一切；降低学习率；"
        "三元组应先用半难样本，再用最难样本。",
    ),
    bad="""\
import torch
from torch import nn

from lossmith import InfoNCELoss

encoder, criterion = nn.Linear(8, 4), InfoNCELoss()
optimizer = torch.optim.SGD(encoder.parameters(), lr=1e-3)
for _ in range(200):
    x = 300 + torch.randn(16, 8)
    loss = criterion(encoder(x), encoder(x + 0.1 * torch.randn(16, 8)))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
    good="""\
import torch
from torch import nn

from lossmith import InfoNCELoss

encoder, criterion = nn.Linear(8, 4), InfoNCELoss()
optimizer = torch.optim.SGD(encoder.parameters(), lr=1e-3)
for _ in range(200):
    x = 300 + torch.randn(16, 8)
    x = x - x.mean(0)
    loss = criterion(encoder(x), encoder(x + 0.1 * torch.randn(16, 8)))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
    values=Values(
        {"apart": _apart, "labels": _labels, "scale": similarity_scale}, _says, batches=BATCHES, applies=_applies
    ),
)
