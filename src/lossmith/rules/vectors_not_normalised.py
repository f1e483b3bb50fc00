"""LM216: long vectors whose products are divided by a temperature for cosines."""

import torch
from torch import Tensor

from ..card import Text
from ..rule import Call, Numbers, Rule, Values
from ._vectors import similarity_scale

LONG = 10.0
"""The product of two vectors' lengths from which on they are no unit vectors."""
SHARP = 5.0
"""The scale from which on it is one for cosines: a temperature of 0.2."""
ONE_HOT = 100.0
"""Logits of such a size leave one class of the softmax."""


def _applies(call: Call) -> bool:
    if call.result is None or not call.result.requires_grad or call.arguments["normalize"]:
        return False
    return call.arguments["mask"] is None and len(call.arguments["input"]) > 1


def _lengths(call: Call) -> Tensor:
    """The product of the lengths of two vectors that are compared, on average."""
    input, keys = call.arguments["input"], call.arguments.get("keys")
    lengths = _length(input)
    products: Tensor = lengths * (lengths if keys is None else _length(keys))
    return products.mean()


def _length(vectors: Tensor) -> Tensor:
    wide = vectors.detach().to(torch.float64 if vectors.dtype == torch.float64 else torch.float32)
    length: Tensor = torch.linalg.vector_norm(wide, dim=-1)
    return length


def _says(call: Call, numbers: Numbers) -> Text | None:
    lengths, scale = numbers["lengths"], numbers["scale"]
    if not (lengths >= LONG and scale >= SHARP and lengths * scale >= ONE_HOT):
        return None
    return Text(
        f"normalize=False, the lengths of two vectors have a product of {lengths:.3g}, and similarities are multiplied "
        f"by {scale:.3g}",
        f"normalize=False，两个向量长度之积约为 {lengths:.3g}，相似度还要乘以 {scale:.3g}",
    )


RULE = Rule(
    code="LM216",
    name="vectors-not-normalised",
    severity="warning",
    losses=("info_nce_loss", "siglip_loss", "supcon_loss"),
    what=Text(
        "Vectors of any length are compared by their products, over a temperature that is meant for cosines.",
        "用内积比较任意长度的向量，却除以了为余弦而设的温度。",
    ),
    why=Text(
        "Random vectors of 128 standard normal numbers have products of about 11; over a temperature of 0.07 logits "
        "are about 160 apart, the softmax is one-hot and most rows have no gradient. The longest key wins every row, "
        "and a loss can fall by longer vectors alone.",
        "128 维标准正态随机向量的内积约为 11，除以温度 0.07 后 logits 相差约 160：softmax 成为 one-hot，"
        "多数行没有梯度。最长的键会赢得每一行，而只要把向量拉长，损失就能下降。",
    ),
    evidence=Text(
        "At run time, in several batches: normalize=False, a temperature of 0.2 or less (a scale of 5 or more), a "
        "product of two vectors' lengths of 10 or more, and logits of 100 or more. Unit vectors that the encoder "
        "makes, temperatures near 1, masks and evaluation are silent.",
        "运行时看连续几个批次：normalize=False，温度不大于 0.2（scale 不小于 5），两个向量长度之积不小于 10，"
        "且 logits 可达 100。编码器自己归一化的向量、接近 1 的温度、带掩码的批次以及评估阶段不作声。",
    ),
    fix=Text(
        "Leave normalize=True. For plain products write temperature=1, or the square root of the width.",
        "保留 normalize=True。若要用内积本身，应写 temperature=1 或维数的平方根。",
    ),
    bad="""\
import torch
from torch import nn

from lossmith import InfoNCELoss

encoder, criterion = nn.Linear(8, 128), InfoNCELoss(temperature=0.07, normalize=False)
for _ in range(4):
    x = torch.randn(16, 8)
    loss = criterion(encoder(x), encoder(x + 0.1 * torch.randn(16, 8)))
    loss.backward()
""",
    good="""\
import torch
from torch import nn

from lossmith import InfoNCELoss

encoder, criterion = nn.Linear(8, 128), InfoNCELoss(temperature=0.07)
for _ in range(4):
    x = torch.randn(16, 8)
    loss = criterion(encoder(x), encoder(x + 0.1 * torch.randn(16, 8)))
    loss.backward()
""",
    values=Values({"lengths": _lengths, "scale": similarity_scale}, _says, applies=_applies),
)
