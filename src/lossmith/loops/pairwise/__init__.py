"""Distances and similarities of pairs of rows."""

from .cosine import cosine
from .distance import PairwiseDistance, distance, full_precision
from .native import Numbers, Steps, pairwise

__all__ = ["Numbers", "PairwiseDistance", "Steps", "cosine", "distance", "full_precision", "pairwise"]
