"""Losses over rows of classes."""

from .classes import softmax_loss
from .distillation import Distillation, Divergence, softened_divergence
from .gather import negative_pick
from .labels import ClassLabels, LabelSets, class_labels, label_sets
from .margins import margins_of_set, margins_to_label
from .native import Steps, label_steps, rowwise
from .softmax import Focus, softmax_with_labels

__all__ = [
    "ClassLabels",
    "Distillation",
    "Divergence",
    "Focus",
    "LabelSets",
    "Steps",
    "class_labels",
    "label_sets",
    "label_steps",
    "margins_of_set",
    "margins_to_label",
    "negative_pick",
    "rowwise",
    "softened_divergence",
    "softmax_loss",
    "softmax_with_labels",
]
