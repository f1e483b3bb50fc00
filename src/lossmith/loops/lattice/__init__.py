"""Losses over the alignments of two sequences."""

from ..fused import Steps
from .ctc import active_frames, ctc_nll
from .native import lattice
from .sequences import LabelSequences, Lengths, given_sequences

__all__ = ["LabelSequences", "Lengths", "Steps", "active_frames", "ctc_nll", "given_sequences", "lattice"]
