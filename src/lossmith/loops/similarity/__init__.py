"""Similarities of all pairs of two sets of vectors, in tiles of rows: the matrix of a whole batch never exists."""

from .call import similarity
from .relation import Relation
from .rows import Margin, RowLoss, pairs, sigmoids, supcon_in, supcon_out
from .unit import unit

__all__ = ["Margin", "Relation", "RowLoss", "pairs", "sigmoids", "similarity", "supcon_in", "supcon_out", "unit"]
