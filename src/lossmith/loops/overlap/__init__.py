"""Losses of how much predictions and targets overlap, region by region."""

from .native import overlap
from .regions import Activation, Smooth, check_settings

__all__ = ["Activation", "Smooth", "check_settings", "overlap"]
