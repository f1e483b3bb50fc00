"""LM206: triplets that are nearly all easy, so that nothing is learned from them."""

import torch
from torch import Tensor

from ..card import Text
from ..losses.triplet_margin import triplet_margin_loss
from ..mining import statistics
from ..rule import Call, Numbers, Rule, Values

MINED = "mined_triplet_margin_loss"
TRIPLET = ("anchor", "positive", "negative")
FEW = 0.02
"""The share of active triplets that is held for none."""
ENOUGH = 8
"""Triplets in a batch, so that all batches together show what share is active."""
BATCHES = 10


def _applies(call: Call) -> bool:
    if call.result is None or not call.result.requires_grad:
        return False
    if call.loss == MINED:
        # a soft margin is never kept, and a mean over the active ones does not fade with them
        hardest = call.arguments["miner"] != "batch_all" or call.arguments["average"] == "triplets"
        return hardest and call.arguments["margin"] != "soft" and len(call.arguments["input"]) >= ENOUGH
    rows: list[int] = [call.arguments[name].shape[:-1].numel() for name in TRIPLET]
    return max(rows) >= ENOUGH


def _active(call: Call) -> Tensor:
    """The share of triplets with a loss above 0.

    A distance function of one's own may have effects, so it is not called again: then a mean or sum tells whether any
    is active.
    """
    assert call.result is not None
    if call.loss == MINED:
        return _hardest(call)
    losses = call.result.detach()
    if call.loss == "triplet_margin_loss" and call.arguments["reduction"] != "none":
        names = ("margin", "p", "eps", "swap", "squared", "normalize", "mask")
        settings = {name: call.arguments[name] for name in names}
        anchor, positive, negative = (call.arguments[name].detach() for name in TRIPLET)
        losses = triplet_margin_loss(anchor, positive, negative, **settings, reduction="none")
    active = (losses > 0).to(torch.float32)
    mask = call.arguments["mask"]
    if not isinstance(mask, Tensor) or losses.dim() == 0:
        return active.mean()
    return active.sum() / mask.expand(active.shape).sum()


def _hardest(call: Call) -> Tensor:
    """Of all triplets of a batch the share that is active, or if fewer are mined, of each anchor's hardest ones."""
    miner = "batch_all" if call.arguments["miner"] == "batch_all" else "batch_hard"
    settings = {name: call.arguments[name] for name in ("margin", "squared", "normalize", "mask")}
    return statistics(call.arguments["input"].detach(), call.arguments["target"], miner, **settings).active


def _says(call: Call, numbers: Numbers) -> Text | None:
    if not numbers["active"] <= FEW:
        return None
    return Text(
        f"in all of {BATCHES} batches, over a window of the training, at most {FEW:.0%} of the triplets had a loss "
        f"above 0 ({numbers['active']:.1%} in the last)",
        f"训练中先后查看的 {BATCHES} 个批次里，损失大于 0 的三元组都不超过 {FEW:.0%}"
        f"（最后一批为 {numbers['active']:.1%}）",
    )


RULE = Rule(
    code="LM206",
    name="easy-triplets",
    severity="warning",
    losses=("triplet_margin_loss", "triplet_margin_with_distance_loss", MINED),
    what=Text(
        "Hardly any triplet is active: the negatives are already a margin farther than the positives.",
        "几乎没有有效的三元组：负样本早已比正样本远出一个间隔。",
    ),
    why=Text(
        "A triplet with a loss of 0 has a gradient of 0, and it still counts in the mean: with 2 % active the gradient "
        "is 50 times smaller than that of the active ones. Of random unit vectors in 128 dimensions 1 in 1,500 is "
        "nearer than 1.2 to an anchor, so with positives at 1.0 and a margin of 0.2 no more triplets than that teach "
        "anything.",
        "损失为 0 的三元组梯度也为 0，却仍计入均值：若只有 2% 有效，梯度就只有有效三元组均值的五十分之一。"
        "128 维随机单位向量中，离锚点近于 1.2 的只有 1/1500：正样本距离为 1.0、间隔为 0.2 时，"
        "只有这么多三元组能提供梯度。",
    ),
    evidence=Text(
        f"At run time the share of triplets with a loss above 0, in {BATCHES} in a row of the batches that are looked "
        f"at, the first ones and then ever rarer ones. Batches of fewer than {ENOUGH} triplets and evaluation are not "
        "looked at. With a distance function of one's own and a mean, only a loss of exactly 0 tells. Where lossmith "
        "mines, it is the share of all triplets (batch_all) or of each anchor's hardest one; a soft margin, and "
        "batch_all averaged over the active ones, are silent.",
        f"运行时看损失大于 0 的三元组所占比例：在所查看的批次（最初若干个，此后逐渐稀疏）中连续 {BATCHES} 个都极低。"
        f"少于 {ENOUGH} 个三元组的批次与评估阶段不看。自定义距离函数且取均值时，只有损失恰为 0 才算。"
        "由 lossmith 挖掘时，看的是全部三元组（batch_all）或每个锚点最难的三元组；软间隔不看，"
        "batch_all 只对有效三元组取平均时也不看。",
    ),
    fix=Text(
        "Mine triplets in each batch: semi-hard negatives, d(a, p) < d(a, n) < d(a, p) + margin, or each anchor's "
        "farthest positive and nearest negative (lossmith.mining); average over the active ones (mask=losses > 0). "
        "Where the hardest ones are easy, take a greater margin, or samples of more labels that are alike.",
        "在批内挖掘三元组：取半难负样本 d(a, p) < d(a, n) < d(a, p) + margin，或每个锚点最远的正样本和最近的负样本；"
        "（lossmith.mining）；"
        "并只对有效三元组求平均（mask=losses > 0）。若最难的也已容易，应加大间隔，或让批次包含更多相近的类别。",
    ),
    bad="""\
import torch
from torch import nn

model, criterion = nn.Linear(16, 8), nn.TripletMarginLoss(margin=0.2)
for _ in range(32):
    anchor = torch.randn(16, 16)
    positive, negative = anchor + 0.05 * torch.randn(16, 16), torch.randn(16, 16)
    loss = criterion(model(anchor), model(positive), model(negative))
    loss.backward()
""",
    good="""\
import torch
from torch import nn

model, criterion = nn.Linear(16, 8), nn.TripletMarginLoss(margin=0.2)
for _ in range(32):
    anchor = torch.randn(16, 16)
    positive = anchor + torch.randn(16, 16)
    a, p, n = model(anchor), model(positive), model(torch.randn(64, 16))
    nearest = torch.cdist(a, n).argmin(dim=1)
    loss = criterion(a, p, n[nearest])
    loss.backward()
""",
    values=Values({"active": _active}, _says, batches=BATCHES, applies=_applies),
)
