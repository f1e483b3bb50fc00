"""Triplets mined in a batch: their losses and indices, without the matrix of distances."""

from .native import mined, mined_indices, mined_sums
from .settings import MINERS, Average, Miner, Mining, Triplets, seed_of

__all__ = [
    "MINERS",
    "Average",
    "Miner",
    "Mining",
    "Triplets",
    "mined",
    "mined_indices",
    "mined_sums",
    "seed_of",
]
