"""Training loops that use their losses rightly, each as some field writes them."""

from . import (
    adversarial,
    binary,
    classification,
    ctc,
    distributions,
    images,
    keywords,
    mechanics,
    metric,
    regression,
    reinforcement,
    sequences,
)

__all__ = [
    "adversarial",
    "binary",
    "classification",
    "ctc",
    "distributions",
    "images",
    "keywords",
    "mechanics",
    "metric",
    "regression",
    "reinforcement",
    "sequences",
]
