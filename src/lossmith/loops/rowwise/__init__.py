"""Losses over rows of classes."""

from .labels import ClassLabels, class_labels
from .softmax import softmax_with_labels, softmax_with_probabilities

__all__ = ["ClassLabels", "class_labels", "softmax_with_labels", "softmax_with_probabilities"]
