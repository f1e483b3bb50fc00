"""What is mined, and how: the settings that the kernel and the reference share."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

Miner = Literal["batch_all", "batch_hard", "semi_hard", "distance_weighted"]
MINERS: tuple[str, ...] = get_args(Miner)
Average = Literal["triplets", "active"]


class Triplets(NamedTuple):
    """Indices of samples of a batch: three int64 tensors of one length."""

    anchor: Tensor
    positive: Tensor
    negative: Tensor


@dataclass(slots=True, frozen=True)
class Mining:
    """Which triplets are mined, and what they cost."""

    miner: Miner
    margin: float = 0.0
    soft: bool = False
    """ln(1 + exp(d(a, p) - d(a, n))) instead of a margin."""
    squared: bool = False
    normalize: bool = False
    every_pair: bool = False
    """Of semi-hard: a negative beyond the margin will do, and where none is farther than the positive, the farthest."""
    cutoff: float = 0.5
    nonzero_loss_cutoff: float = 1.4
    seed: Tensor | None = None
    """Of distance-weighted: one int64 number, from which each pair has its random number."""


def seed_of(miner: str, generator: torch.Generator | None = None) -> Tensor | None:
    """What torch's generator gives a miner that draws."""
    if miner != "distance_weighted":
        return None
    return torch.randint(2**63 - 1, (), generator=generator, device="cpu")
