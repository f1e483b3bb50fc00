"""What is mined, and how: the settings that the kernel and the reference share."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

Miner = Literal["batch_all", "batch_hard", "semi_hard", "distance_weighted"]
MINERS: tuple[str, ...] = get_args(Miner)
AVERAGES = ("triplets", "active")
"""What a mean divides by: the number of triplets, or of those that cost something."""


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


def settings_of(
    loss: str, miner: str, margin: float | str, squared: bool, normalize: bool, seeded: bool = True
) -> Mining:
    """The settings of a loss; raises ValueError for a miner or a margin that does not exist or does not go with it."""
    if miner not in MINERS:
        raise ValueError(
            f"{loss}: miner is {miner!r}, expected one of {', '.join(map(repr, MINERS))}, or a function that returns "
            f"lossmith.mining.Triplets"
        )
    soft = margin == "soft"
    if not (soft if isinstance(margin, str) else margin > 0):
        raise ValueError(
            f"{loss}: margin is {margin!r}, expected a number above 0, by which the negative is to be farther, or "
            f"'soft' for ln(1 + exp(d(a, p) - d(a, n))); write margin=0.2 for squared distances of unit vectors"
        )
    if soft and miner == "batch_all":
        raise ValueError(
            f"{loss}: margin='soft' has a term of its own for each of the triplets, which batch_all does not make; "
            f"write miner='batch_hard', or a number as margin"
        )
    seed = seed_of(miner) if seeded else None
    return Mining(miner, 0.0 if soft else float(margin), soft, squared, normalize, seed=seed)  # type: ignore[arg-type]
