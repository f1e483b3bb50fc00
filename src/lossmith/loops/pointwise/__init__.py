"""Losses with one formula for each element."""

from .compiled import unreduced
from .native import pointwise
from .reference import Domain

__all__ = ["Domain", "pointwise", "unreduced"]
