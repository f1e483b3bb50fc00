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

SEVERITIES: Mapping[Severity, Text] = {
    "error": Text("error", "错误"),
    "warning": Text("warning", "警告"),
    "info": Text("info", "提示"),
}


# ----- what is known at run time -----


@dataclass(frozen=True)
class Origin:
    """The operation that a tensor comes from, seen through views, selections, casts and copies."""

    op: str
    """Its plain name: softmax, log_softmax, sigmoid, logsigmoid, relu, tanh, log, exp, softplus, clamp, ...

    Other operations go by torch's node: mul, add, addmm, convolution.
    """
    dim: int | None = None
    """The dimension of the tensor along which a softmax ran, counted from its end; None where there is none, and where
    views hid it."""
    whole: bool = True
    """Whether the tensor still holds all that a softmax gave along its dimension. A column of a softmax, or a slice of
    its classes, is a number between 0 and 1 like any other."""
    own_dim: int | None = None
    """The dimension of a softmax, counted from the end of its own result."""
    shape: tuple[int, ...] | None = None
    """The shape of its result, before what was seen through; None where it is not known."""
    of: "Origin | None" = None
    """Where its first operand comes from: one step more, no further."""


class Call(Protocol):
    """One call of a loss, of lossmith's or of torch's by the same name, with gradients switched on.

    It is judged after the loss was computed; in mode "error" the result is then thrown away.
    """

    loss: str
    """The function's name, a key of `losses.all_losses()`."""
    own: bool
    """Whether it is lossmith's and not torch's."""
    arguments: Mapping[str, Any]
    """All arguments of lossmith's function by name, with defaults: those that torch lacks included.

    What the function requires as a tensor is one. `reduction` is what torch's legacy arguments make of it.
    """
    result: Tensor | None
    """None if the call raised an error."""
    error: Exception | None
    """What the call raised. It goes on to the caller once the findings are noted."""

    def origin(self, argument: str) -> Origin | None:
        """Where an argument comes from; None where nothing is known, as of leaves and of compiled graphs."""

    def detached(self, argument: str) -> bool:
        """Whether `detach` or `data` cut an argument from a gradient not long ago."""

    def class_dim(self) -> int | None:
        """The dimension of the classes of the input, counted from 0; None for losses without classes."""


class Backward(Protocol):
    """One `tensor.backward()`, before it runs."""

    tensor: Tensor
    losses: tuple[str, ...]
    """The losses computed in this thread since the last backward(), by their functions' names."""
    differentiable: bool
    """Whether one of their results had a gradient to give."""

    def leaves(self) -> list[Tensor] | None:
        """The leaves that it reaches, the tensor itself included if it is one; None where they are many."""


Numbers = Mapping[str, float]
"""Statistics of a call's tensors, by the names under which a rule asks for them."""


def _always(call: Call) -> bool:
    return True


@dataclass(frozen=True)
class Values:
    """What a rule asks of the values of a call, and what it says to them.

    One batch proves nothing: the guard speaks when so many batches in a row say the same at one place in the program.
    It looks at the first calls from there and then ever more rarely, so a rule that wants many batches sees a window of
    the training. Only plain tensors are read, and never in a way that waits for a device.
    """

    reads: Mapping[str, Callable[[Call], Tensor]]
    """Each gives one number, as a tensor on the call's device; `watch/statistics.py` has those that rules share.

    The loss's value is read as the argument `result`.
    """
    says: Callable[[Call, Numbers], Text | None]
    """What the numbers of one batch show; None if they show nothing. The call's tensors are then on the meta device:
    they have shapes and dtypes, no values and no origin."""
    batches: int = 3
    """1 where a value is proof, as one outside of the loss's domain: only such a rule is asked if the call raised."""
    applies: Callable[[Call], bool] = _always
    """Whether these numbers can be asked of this call, by its shapes and dtypes; where not, it does not count."""


# ----- what is known from source -----


@dataclass(frozen=True)
class Known:
    """What the source tells of an expression: the last operation that made it, as far as it can be followed.

    Seen through, as if they were not there: views (`view`, `squeeze`, `permute`, slices, masks), casts, devices,
    copies, `detach`, dropout, and a clamp or a stack of probabilities.
    """

    op: str = ""
    """Its plain name, as of `Origin`: softmax, log_softmax, sigmoid, logsigmoid, relu, tanh, log, exp, softplus, ...

    Layers go by their function: linear, conv2d, batch_norm2d, leaky_relu. Arithmetic is add, sub, rsub (`1 - x`), mul,
    div, rdiv, pow, neg; a comparison compare; a column (`x[:, 1]`) of a softmax select. Further one_hot, argmax, zeros,
    ones, full, rand, randn, randint, where, stack, item (a Python number), loss (the result of a loss), literal,
    parameter (of a function whose callers are not seen), call (of something unknown). Empty where nothing is known.
    """
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What was given to that operation besides the tensor, by name: literals as their value, `...` for anything else.

    `dim` of a softmax is missing where none was given; `other` is the second operand of arithmetic, `function` the
    written name of what was called, `loss` which loss it is the result of.
    """
    of: "Known | None" = None
    """What the operation was applied to; of arithmetic on two tensors the left one."""
    value: Any = None
    """Of a literal (Python's, or `torch.tensor` of one): numbers, strings, nested lists of them."""
    name: str = ""
    """The variable, attribute or key that was written: `y` of `self.y`, `batch["y"]`, `y.view(-1)`."""
    dtype: str = ""
    """What it was cast to last (`float()`, `to(torch.long)`, `dtype=`): float, double, half, bfloat16, int, long, bool,
    ..., torch's own shorter names; empty where that is unknown."""
    detached: bool = False
    """Whether `detach`, `data`, `item`, `numpy`, `torch.tensor(...)` or an argmax cut it from its gradient."""
    reshaped: bool = False
    """Whether a view or an index that may change its sizes was seen through since."""


@dataclass(frozen=True)
class Site:
    """A place in the source that speaks of a loss."""

    kind: Literal["call", "constructor", "assignment", "backward"]
    """The loss is computed; its Module is made; a name that held the criterion is assigned the loss's result (`loss =
    loss(...)`); `backward()` is called on what was a loss's result."""
    loss: str
    """The function's name, a key of `losses.all_losses()`."""
    settings: Mapping[str, Any]
    """All settings of the criterion or of the functional call by the function's names, with defaults: literals as their
    value, `...` for what is given but is no literal."""
    arguments: Mapping[str, Known] = field(default_factory=dict)
    """The tensors of a call by the function's names. Of a constructor: what stands by position where settings belong
    and is no literal, by the names it would have in the call (`nn.MSELoss(a, b)`: input and target). Of `backward`:
    `result`, what it is called on."""
    own: bool = False
    """Whether it is lossmith's and not torch's."""
    functional: bool = False
    """Whether a call is of the function itself. Else a criterion is called, whose constructor was a place too."""
    in_loop: bool = False
    """Whether it stands in a loop: an assignment there is met again."""
    negated: bool = False
    """Whether the result of a call is negated at once: `-nll_loss(p, y)` picks out the probabilities of the labels."""


# ----- the rule -----


@dataclass(frozen=True)
class Rule:
    """One way to hold a loss wrongly. Its name is part of the interface; its code goes into `# noqa`."""

    code: str
    name: str
    severity: Severity
    """Of a finding it is `severity_of(loss)`."""
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
    at_backward: Callable[[Backward], Text | None] | None = None
    """What a call of backward() shows: such a finding is told at its line."""
    in_source: Callable[[Site], Text | None] | None = None
    """What a place in the source shows; None if it shows nothing."""
    harmless: tuple[str, ...] = ()
    """Those of the functions whose numbers it leaves as they are: with them it is no more than an info."""

    @property
    def seen(self) -> list[Text]:
        """Where it is seen: at run time, in source, or both."""
        ways = (
            (Text("run time", "运行时"), self.at_once or self.values or self.at_backward),
            (Text("source", "源码"), self.in_source),
        )
        return [way for way, judge in ways if judge]

    def severity_of(self, loss: str) -> Severity:
        """How bad it is with that function: the severity of a finding."""
        return "info" if loss in self.harmless else self.severity
