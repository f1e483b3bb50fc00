"""The static checker, `lossmith lint`: it needs LibCST and torch, and runs nothing of what it reads."""

from .finding import Finding
from .run import Report, lint
from .selection import BadRequest

__all__ = ["BadRequest", "Finding", "Report", "lint"]
