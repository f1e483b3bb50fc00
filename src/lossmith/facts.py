"""What is declared of a loss and tested: shape, slope, domains, minimiser, denominator."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Literal

from torch import Tensor

from .card import Card
from .docstring import ComposedDocstring
from .formula import Formula

Family = Literal["regression", "classification", "embedding and ranking", "distributions and sequences"]


@dataclass(frozen=True)
class Interval:
    """The real numbers from low to high; finite ends belong to it unless it is open there."""

    low: float
    high: float
    open_low: bool = False
    open_high: bool = False


REALS = Interval(float("-inf"), float("inf"))
UNIT = Interval(0.0, 1.0)
NOT_NEGATIVE = Interval(0.0, float("inf"))

Domain = (
    Interval
    | Literal[
        "log-probabilities",
        "probabilities",
        "labels",
        "group labels",
        "label sets",
        "signs",
        "label sequences",
        "none",
    ]
)
"""What a tensor may hold: numbers of an interval; rows of (log-)probabilities over the classes; class labels; any
integers, of which equal ones belong together; sets of labels padded with -1; -1 and 1; sequences of labels; or there is
no such tensor.

Outside of its domain a loss is refused, is NaN, or can fall below the least value that it has inside (of signs torch
takes others too). A domain that other arguments decide is a function of them.
"""


Optimum = Literal[
    "mean",
    "median",
    "quantile",
    "between median and mean",
    "logarithm of the mean",
    "mean and variance",
    "frequencies",
    "logarithm of the frequencies",
    "log-odds",
    "most frequent label",
]


@dataclass(frozen=True)
class Facts:
    """Declared properties of the unreduced loss; `tests/test_facts.py` tries to falsify each.

    They are about the loss without weights, inside its domains, for all values of the other arguments unless a
    function gets them: by name, those of the loss itself included.
    """

    convex: bool | Callable[..., bool]
    """Whether the loss is convex in the prediction, for every target (torch's clamps at the edge of a domain aside);
    a function of the other arguments where those decide."""
    lipschitz: Callable[..., float]
    """The least bound of the Euclidean norm of one unreduced term's gradient in the prediction; may be infinite."""
    prediction: Domain | Callable[..., Domain]
    target: Domain | Callable[..., Domain]
    minimiser: Callable[..., Tensor | tuple[Tensor, ...]] | None
    """The prediction (a tuple if it is several tensors) at which the loss is least, infinities included.

    None where the loss has no lower bound; and where rows can't all be at their least, as they know each other or share
    a part of the prediction.
    """
    denominator: Literal["elements", "rows", "samples", "regions", "weights"]
    """What torch's mean divides by: the number of unreduced losses, each of an element, of a row over the last or the
    class dimension, of a whole sample, or of a region of pixels; or the sum of the weights of elements or labels, where
    `weight` is given. A row's loss that adds up pairs or triplets of a batch counts as so many.
    """
    smooth: bool
    """Whether the gradient in the prediction is continuous everywhere inside the domain, with the default arguments."""
    optimum: Optimum | None
    """What statistic of the targets one constant prediction is, when it minimises the mean over targets that scatter;
    with the default arguments.

    None where targets don't scatter around a prediction (ranks, pairs and sequences) or where no statistic of them is
    it (sets of labels under a hinge). The most frequent label has the highest score; others may share it.
    """


@dataclass(frozen=True)
class Loss:
    """All that a loss is: its function, its Module, its formulas and its facts."""

    function: Callable[..., Tensor]
    module: type[Any]
    family: Family
    facts: Facts
    card: Card
    formulas: tuple[Formula, ...] = field(default=())

    def __post_init__(self) -> None:
        own = self.module.__dict__.get("__doc__")
        if isinstance(own, str):  # neither composed before nor taken out by -OO
            self.module.__doc__ = ComposedDocstring(own, self.function, self.card)  # type: ignore[assignment]

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def prediction(self) -> tuple[str, ...]:
        """The arguments that are the prediction: the tensors before the target."""
        required = takewhile(lambda p: p.default is p.empty, inspect.signature(self.function).parameters.values())
        return tuple(takewhile(lambda name: name not in ("target", "targets", "teacher"), (p.name for p in required)))
