"""Losses with one formula for each element."""

from .reference import pointwise

__all__ = ["pointwise"]
