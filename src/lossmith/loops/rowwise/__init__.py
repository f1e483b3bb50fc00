"""Losses over rows of classes."""

from .gather import negative_pick
from .labels import ClassLabels, LabelSets, class_labels, label_sets
from .margins import margins_of_set, margins_to_label
from .native import Steps, label_steps, rowwise
from .softmax import softmax_with_labels, softmax_with_probabilities

__all__ = [
    "ClassLabels",
    "LabelSets",
    "Steps",
    "class_labels",
    "label_sets",
    "label_steps",
    "margins_of_set",
    "margins_to_label",
    "negative_pick",
    "rowwise",
    "softmax_with_labels",
    "softmax_with_probabilities",
]
