"""Losses with one formula for each element."""

from .compiled import unreduced
from .reference import pointwise

__all__ = ["pointwise", "unreduced"]
