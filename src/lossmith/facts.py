"""What is declared of a loss and tested: shape, slope, domains, minimiser, denominator."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from .formula import Formula

Family = Literal["regression", "classification", "embedding and ranking", "distributions and sequences"]


@dataclass(frozen=True)
class Interval:
    """The real numbers from low to high; the ends belong to it unless it is open there."""

    low: float
    high: float
    open_low: bool = False
    open_high: bool = False


REALS = Interval(float("-inf"), float("inf"))
UNIT = Interval(0.0, 1.0)
NOT_NEGATIVE = Interval(0.0, float("inf"))
POSITIVE = Interval(0.0, float("inf"), open_low=True)
LOG_PROBABILITY = Interval(float("-inf"), 0.0)

Domain = Interval | Literal["labels", "label sets", "signs", "label sequences", "none"]
"""Numbers of an interval; or class labels, sets of labels padded with -1, -1 and 1, sequences of labels, no target."""


@dataclass(frozen=True)
class Facts:
    """Declared properties of the unreduced loss; `tests/test_facts.py` tries to falsify each."""

    convex: bool
    """Whether the loss is convex in the prediction, for every target of its domain."""
    lipschitz: Callable[..., float]
    """The least bound of the gradient's Euclidean norm in the prediction of one unreduced term, from the arguments."""
    prediction: Domain
    target: Domain
    minimiser: Callable[..., Tensor] | None
    """A prediction at which the loss is least, from the target and the arguments; None where there is none."""
    denominator: Literal["elements", "rows", "samples", "weights"]
    """What torch's mean counts: unreduced elements, rows of classes, samples, or the sum of the weights."""


@dataclass(frozen=True)
class Loss:
    """All that a loss is: its function, its Module, its formulas and its facts."""

    function: Callable[..., Tensor]
    module: type[Any]
    family: Family
    facts: Facts
    formulas: tuple[Formula, ...] = field(default=())

    @property
    def name(self) -> str:
        return self.function.__name__
