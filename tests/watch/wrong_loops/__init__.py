"""Training loops that use a loss wrongly, as people do; each names the rule that it breaks."""

from . import classes, distributions, embeddings, graphs, numbers, overlap, pairs, teachers, transcripts

__all__ = [
    "classes",
    "distributions",
    "embeddings",
    "graphs",
    "numbers",
    "overlap",
    "pairs",
    "teachers",
    "transcripts",
]
