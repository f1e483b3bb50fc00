"""Whether this installation is sound: what `lossmith doctor` looks at."""

from .installation import Installation, examine
from .kernels import Check, check_kernels

__all__ = ["Check", "Installation", "check_kernels", "examine"]
