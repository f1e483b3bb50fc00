"""Training loops that use their losses rightly, each as some field writes them."""

from . import (
    adversarial,
    binary,
    classification,
    ctc,
    distributions,
    embeddings,
    images,
    intervals,
    keywords,
    mechanics,
    metric,
    overlap,
    regression,
    reinforcement,
    sequences,
    transport,
)

__all__ = [
    "adversarial",
    "binary",
    "classification",
    "ctc",
    "distributions",
    "embeddings",
    "images",
    "intervals",
    "keywords",
    "mechanics",
    "metric",
    "overlap",
    "regression",
    "reinforcement",
    "sequences",
    "transport",
]
