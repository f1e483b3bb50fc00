"""Triplets mined in a batch: their losses and indices, without the matrix of distances."""

from .native import mined, mined_indices, mined_sums
from .reference import gathered
from .settings import AVERAGES, MINERS, Mining, Triplets, seed_of, settings_of

__all__ = [
    "AVERAGES",
    "MINERS",
    "Mining",
    "Triplets",
    "gathered",
    "mined",
    "mined_indices",
    "mined_sums",
    "seed_of",
    "settings_of",
]
