"""Distances and similarities of pairs of rows."""

from .cosine import cosine
from .distance import PairwiseDistance, distance, full_precision

__all__ = ["PairwiseDistance", "cosine", "distance", "full_precision"]
