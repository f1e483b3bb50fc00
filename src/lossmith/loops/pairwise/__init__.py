"""Distances and similarities of pairs of rows."""

from ..fused import Steps
from .cosine import cosine
from .distance import PairwiseDistance, distance, full_precision, unit
from .native import Numbers, pairwise

__all__ = ["Numbers", "PairwiseDistance", "Steps", "cosine", "distance", "full_precision", "pairwise", "unit"]
