"""Losses over the alignments of two sequences."""

from .ctc import active_frames, ctc_nll
from .sequences import LabelSequences, Lengths, label_sequences

__all__ = ["LabelSequences", "Lengths", "active_frames", "ctc_nll", "label_sequences"]
