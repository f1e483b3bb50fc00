"""The run-time guard, public as `lossmith.guard`: it sees the calls of losses and asks the rules about them."""

from .guard import LossMisuse, guard
from .report import Finding, Report

__all__ = ["Finding", "LossMisuse", "Report", "guard"]
