"""lossmith: the loss layer for PyTorch. Every loss of torch.nn, written once as mathematics."""

from . import functional
from .checks import LossWarning
from .losses.huber import HuberLoss

__version__ = "0.1.0"

__all__ = ["HuberLoss", "LossWarning", "functional"]
