"""Losses with one formula for each element."""

from .native import pointwise, pointwise_rows
from .reference import Domain

__all__ = ["Domain", "pointwise", "pointwise_rows"]
