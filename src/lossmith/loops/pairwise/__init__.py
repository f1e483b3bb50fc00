"""Distances and similarities of pairs of rows."""

from .cosine import cosine
from .distance import PairwiseDistance, distance

__all__ = ["PairwiseDistance", "cosine", "distance"]
