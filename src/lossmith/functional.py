"""The losses as functions, by torch's names."""

from .losses.bce import binary_cross_entropy
from .losses.bce_with_logits import binary_cross_entropy_with_logits
from .losses.cross_entropy import cross_entropy
from .losses.hinge_embedding import hinge_embedding_loss
from .losses.huber import huber_loss
from .losses.margin_ranking import margin_ranking_loss
from .losses.soft_margin import soft_margin_loss

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "hinge_embedding_loss",
    "huber_loss",
    "margin_ranking_loss",
    "soft_margin_loss",
]
