"""A rule: one way to hold a loss wrongly, how it is seen at run time and in source, and what to write instead.

A rule judges what others have gathered: the guard a `Call` (watch/), the linter a `Site` (lint/). So each rule is one
small file in rules/ that needs torch alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from torch import Tensor

from .card import Text

Severity = Literal["error", "warning", "info"]
"""error: the number is wrong. warning: it is probably not what was meant. info: redundant or harmless."""


# ----- what is known at run time -----


@dataclass(frozen=True)
class Origin:
    """The operation that a tensor comes from, seen through views, casts and copies."""

    op: str
    """Its plain name: softmax, log_softmax, sigmoid, logsigmoid, relu, tanh, log, exp, softplus, ..."""
    dim: int | None = None
    """The dimension of a softmax, counted from the end of its own result; None where there is none."""
    shape: tuple[int, ...] | None = None
    """The shape of its result, before what was seen through; None where it is not known."""


class Call(Protocol):
    """One call of a loss: of lossmith's, or of torch's by the same name."""

    loss: str
    """The function's name, a key of `losses.all_losses()`."""
    arguments: Mapping[str, Any]
    """All arguments of lossmith's function by name, with defaults: those that torch lacks included."""
    result: Tensor | None
    """None if the call raised an error."""

    def origin(self, argument: str) -> Origin | None:
        """Where an argument comes from; None where nothing is known."""

    def class_dim(self) -> int | None:
        """The dimension of the classes of the input, counted from 0; None for losses without classes."""


Numbers = Mapping[str, float]
"""Statistics of a call's tensors, by the names under which a rule asks for them."""


@dataclass(frozen=True)
class Values:
    """What a rule asks of the values of a call, and what it says to them.

    One batch proves nothing: the guard speaks when so many batches in a row say the same at one place in the program.
    """

    reads: Mapping[str, Callable[[Call], Tensor]]
    """Each gives one number, as a tensor on the call's device; `watch/statistics.py` has those that rules share."""
    says: Callable[[Call, Numbers], Text | None]
    """What the numbers of one batch show; None if they show nothing. The call's tensors are no longer there."""
    batches: int = 3


# ----- what is known from source -----


@dataclass(frozen=True)
class Known:
    """What the source tells of an expression: the last operation that made it, as far as it can be followed."""

    op: str = ""
    """As of `Origin`; also one_hot, argmax, detach, item, literal, parameter; empty where nothing is known."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The literal arguments of that operation; `dim` is missing where none was given."""
    of: "Known | None" = None
    """What the operation was applied to."""
    value: Any = None
    """Of a literal."""
    name: str = ""
    """The variable or attribute that was written."""


@dataclass(frozen=True)
class Site:
    """A place in the source that speaks of a loss."""

    kind: Literal["call", "constructor", "assignment"]
    """The loss is computed; its Module is made; a name is assigned that held the loss."""
    loss: str
    """The function's name, a key of `losses.all_losses()`."""
    settings: Mapping[str, Any]
    """The literal arguments of the criterion or of the functional call, by name; what is no literal is missing."""
    arguments: Mapping[str, Known] = field(default_factory=dict)
    """The tensors of a call (of a constructor: what was given where settings belong), by the function's names."""
    own: bool = False
    """Whether it is lossmith's and not torch's."""


# ----- the rule -----


@dataclass(frozen=True)
class Rule:
    """One way to hold a loss wrongly. Its name is part of the interface; its code goes into `# noqa`."""

    code: str
    name: str
    severity: Severity
    losses: tuple[str, ...]
    """The functions that it is about."""
    what: Text
    """What is done, in one sentence."""
    why: Text
    """Why that is bad, with the consequence in numbers."""
    evidence: Text
    """What the guard and the linter go by, and what they are silent about."""
    fix: Text
    """What to write instead."""
    bad: str
    """A program that does it: the tests run it, and each way of seeing it must see it."""
    good: str
    """The program put right: nothing is seen in it."""
    at_once: Callable[[Call], Text | None] | None = None
    """What one call shows by provenance, shapes, dtypes and arguments; None if it shows nothing."""
    values: Values | None = None
    """What the values of several batches show."""
    in_source: Callable[[Site], Text | None] | None = None
    """What a place in the source shows; None if it shows nothing."""
