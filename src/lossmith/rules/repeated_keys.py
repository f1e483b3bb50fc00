"""LM215: keys that occur twice in a contrastive batch, each a negative of the other's query."""

import torch
from torch import Tensor

from ..card import Text
from ..rule import Call, Numbers, Rule, Values

ENOUGH = 4
"""Keys in a batch."""


def _applies(call: Call) -> bool:
    given = call.arguments
    keys = given["keys"]
    if call.result is None or not call.result.requires_grad or not isinstance(keys, Tensor):
        return False
    return given["labels"] is None and given["mask"] is None and len(keys) >= ENOUGH


def _repeated(call: Call) -> Tensor:
    """How many keys equal another one that is counted already; vectors of zeros, as of padding, are not."""
    keys: Tensor = call.arguments["keys"].detach()
    wide = keys.to(torch.float64 if keys.dtype == torch.float64 else torch.float32)
    # equal rows have equal sums, whichever the weights, and are neighbours when sorted by them
    weights = (1 + torch.arange(keys.shape[-1], device=keys.device, dtype=wide.dtype)).sqrt()
    rows = wide[(wide * weights).sum(-1).argsort()]
    return ((rows[1:] == rows[:-1]).all(-1) & (rows[1:] != 0).any(-1)).sum()


def _says(call: Call, numbers: Numbers) -> Text | None:
    repeated, total = int(numbers["repeated"]), len(call.arguments["keys"])
    if not 0 < repeated < total - 1:  # all of them: the encoder tells nothing apart
        return None
    return Text(
        f"{repeated} of {total} keys equal another key of the batch to the last digit, and no labels are given",
        f"{total} 个键中有 {repeated} 个与批内另一个键逐位相同，且没有给出 labels",
    )


RULE = Rule(
    code="LM215",
    name="repeated-keys",
    severity="warning",
    losses=("info_nce_loss", "siglip_loss"),
    what=Text(
        "Keys occur twice in a batch without labels: a sample is told to be far from its own key.",
        "批内的键有重复而没有给出标签：样本被要求远离自己的键。",
    ),
    why=Text(
        "A key that occurs k times is the positive of its query once and a negative k - 1 times: InfoNCE of it can't "
        "fall below log k, 0.693 for two, and SigLIP asks the pair to be near and far at once. Being nearest, such "
        "negatives push hardest.",
        "出现 k 次的键，对其查询来说一次是正样本，k - 1 次是负样本：InfoNCE 不可能低于 log k（两次为 0.693），"
        "SigLIP 则同时要求该样本对既近又远。这些负样本离得最近，推力也最大。",
    ),
    evidence=Text(
        "At run time keys that are equal to the last digit, in several batches in a row. With labels=, with a mask and "
        "in evaluation it is silent; so is a batch whose keys are all one vector.",
        "运行时看连续几个批次中是否有逐位相同的键。给出 labels=、带掩码、评估阶段，以及所有键都相同的批次不作声。",
    ),
    fix=Text(
        "Give labels=, equal numbers for what belongs together (the caption's, the class's), or draw batches without "
        "repeats.",
        "给出 labels=：同组（同一标题、同一类别）取同一整数；或采样时避免重复。",
    ),
    bad="""\
import torch
from torch import nn

from lossmith import InfoNCELoss

images, captions, criterion = nn.Linear(8, 4), nn.Embedding(3, 4), InfoNCELoss(pairing="symmetric")
for _ in range(4):
    caption = torch.randint(3, (16,))
    loss = criterion(images(torch.randn(16, 8)), captions(caption))
    loss.backward()
""",
    good="""\
import torch
from torch import nn

from lossmith import InfoNCELoss

images, captions, criterion = nn.Linear(8, 4), nn.Embedding(3, 4), InfoNCELoss(pairing="symmetric")
for _ in range(4):
    caption = torch.randint(3, (16,))
    loss = criterion(images(torch.randn(16, 8)), captions(caption), labels=caption)
    loss.backward()
""",
    values=Values({"repeated": _repeated}, _says, applies=_applies),
)
