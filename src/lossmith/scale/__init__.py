"""Losses over more than one process or batch."""

from .counts import global_count

__all__ = ["global_count"]
