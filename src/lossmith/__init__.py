"""lossmith: the loss layer for PyTorch. Every loss of torch.nn, written once as mathematics."""

from . import functional
from .checks import LossWarning
from .losses.bce import BCELoss
from .losses.bce_with_logits import BCEWithLogitsLoss
from .losses.cross_entropy import CrossEntropyLoss
from .losses.hinge_embedding import HingeEmbeddingLoss
from .losses.huber import HuberLoss
from .losses.margin_ranking import MarginRankingLoss
from .losses.soft_margin import SoftMarginLoss

__version__ = "0.1.0"

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "LossWarning",
    "MarginRankingLoss",
    "SoftMarginLoss",
    "functional",
]
