"""Distances of distributions on a line: both are sorted, and their quantile functions merged."""

from .native import transport
from .quantiles import costs

__all__ = ["costs", "transport"]
