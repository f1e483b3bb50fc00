"""Training loops that use a loss wrongly, as people do; each names the rule that it breaks."""

from . import classes, distributions, graphs, numbers, pairs, transcripts

__all__ = ["classes", "distributions", "graphs", "numbers", "pairs", "transcripts"]
