"""What a program's run holds: names, branches that are tried and taken back, and where it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import libcst as cst

from ..rule import Site
from . import outside
from .source import Source
from .values import (
    Choice,
    Class,
    Data,
    File,
    Function,
    Guard,
    Holder,
    Instance,
    Outside,
    Place,
    Scope,
    Value,
    meeting,
)

DEEPEST_CALLS = 12
"""Calls inside calls that are followed."""
MOST_STEPS = 2_000
"""Statements that are run for one function of a file whose callers are not seen; further calls are not followed."""
MOST_STEPS_OF_A_FILE = 10_000
"""Statements that are run for what a file does when it is imported or started."""
MOST_UNROLLED = 24
"""A loop over a list with more items is run once."""
MOST_SITES = 32
"""A call whose tensors have more alternatives together is passed over."""
MOST_INSTANCES = 20
"""Objects of a file whose methods are run with what the objects were made of."""

MISSING = object()
Written = dict[tuple[int, str], tuple[Holder, Any]]
"""What was written to a holder's name: the value before, or after."""


@dataclass(frozen=True)
class Arguments:
    """What a call is given."""

    positional: tuple[Value, ...] = ()
    named: Mapping[str, Value] = field(default_factory=dict)
    more: bool = False
    """Whether a `*` or `**` gave arguments that are not known."""

    def get(self, place: int, name: str) -> Value | None:
        """One argument, by position or by name."""
        if name in self.named:
            return self.named[name]
        return self.positional[place] if place < len(self.positional) else None


@dataclass
class Loop:
    """A loop that is being run."""

    level: int
    """How many logs of writing there were when it began."""
    exits: list[Written] = field(default_factory=list)
    """What was written where `break` and `continue` left it."""


@dataclass
class Frame:
    """A function that is being run, or the top of a file or of a class."""

    scope: Scope
    source: Source
    function: Function | None = None
    in_class: bool = False
    returns: list[Value] = field(default_factory=list)
    yields: list[Value] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)
    """Those that it defines."""
    assumed: list[Guard] = field(default_factory=list)
    """The conditions of the branches that it is in."""


class Machine(ABC):
    """The state of a run. Statements, expressions and calls are what its subclasses add."""

    def __init__(
        self,
        open_file: Callable[[Path], Source | None],
        report: Callable[[Place, Sequence[Site], Data | None], None],
    ) -> None:
        """
        open_file: The source of a file; None if there is none, or it has nothing to do with losses.
        report: Told of each place that speaks of a loss, with the alternatives of what is there, and with the tensor
            that comes first in one of them.
        """
        self._open_file = open_file
        self._report = report
        self._frames: list[Frame] = []
        self._logs: list[Written] = []
        self._steps = 0
        self._limit = 0
        self._classes: dict[Source, list[Class]] = {}
        self._instances: dict[Source, list[Instance]] = {}
        self._negated: set[int] = set()
        """Calls, by their nodes' ids, with a minus before them."""
        self._names_written: dict[int, frozenset[str]] = {}
        self._tests: dict[int, tuple[str, frozenset[str]]] = {}

    @abstractmethod
    def _suite(self, body: cst.BaseSuite) -> bool: ...

    @abstractmethod
    def _evaluate(self, node: cst.CSTNode) -> Value: ...

    @abstractmethod
    def _assign(self, target: cst.CSTNode, value: Value) -> None: ...

    @abstractmethod
    def _truth(self, node: cst.BaseExpression) -> bool | None: ...

    @abstractmethod
    def attribute(self, value: Value, name: str) -> Value: ...

    @abstractmethod
    def call(self, value: Value, arguments: Arguments, node: cst.CSTNode) -> Value: ...

    @abstractmethod
    def _invoke(self, function: Function, arguments: Arguments) -> Value: ...

    @abstractmethod
    def _generic(self, cls: Class) -> Instance: ...

    @abstractmethod
    def _shadowing(self, target: cst.BaseExpression, value: cst.BaseExpression) -> None: ...

    @abstractmethod
    def _annotated(self, annotation: cst.Annotation | None, otherwise: Value) -> Value: ...

    @abstractmethod
    def _binary(self, sign: str, left: Value, right: Value, place: Place) -> Value: ...

    @abstractmethod
    def _item(self, value: Value) -> Value: ...

    @abstractmethod
    def _index(self, node: cst.Subscript) -> Value: ...

    @abstractmethod
    def file(self, source: Source) -> File: ...

    @abstractmethod
    def _from_stars_of(self, file: File, name: str) -> Value | None: ...

    @abstractmethod
    def _module(self, name: str, level: int = 0, source: Source | None = None) -> Value: ...

    @property
    def _frame(self) -> Frame:
        return self._frames[-1]

    def _place(self, node: cst.CSTNode) -> Place:
        return Place(self._frame.source, node)

    def _write(self, holder: Holder, name: str, value: Value) -> None:
        if self._logs:
            self._logs[-1].setdefault((id(holder), name), (holder, holder.names.get(name, MISSING)))
        holder.names[name] = value

    def _attempt(self, run: Callable[[], object]) -> tuple[bool, Written]:
        """Runs something and takes back what it wrote; whether it was left for good (True), and what it wrote."""
        self._logs.append({})
        ended = run() is True
        log = self._logs.pop()
        after: Written = {key: (holder, holder.names.get(key[1], MISSING)) for key, (holder, _) in log.items()}
        for (_, name), (holder, before) in log.items():
            if before is MISSING:
                holder.names.pop(name, None)
            else:
                holder.names[name] = before
        return ended, after

    def _lastingly(self, run: Callable[[], object]) -> None:
        """Runs something whose writing no branch takes back."""
        logs, self._logs = self._logs, []
        try:
            run()
        finally:
            self._logs = logs

    def _written_in(self, node: cst.CSTNode) -> frozenset[str]:
        """The names and attributes that are assigned anywhere in a node."""
        if id(node) not in self._names_written:
            found: set[str] = set()
            for part in walk(node):
                if isinstance(part, cst.AssignTarget | cst.AugAssign | cst.AnnAssign | cst.For | cst.NamedExpr):
                    found |= {n.value for n in walk(part.target) if isinstance(n, cst.Name)}
            self._names_written[id(node)] = frozenset(found)
        return self._names_written[id(node)]

    def _meet(self, branches: Sequence[Written], conditions: Sequence[frozenset[Guard]] = ()) -> None:
        """Writes what names hold after any one of the branches, each taken under its conditions."""
        keys = {key: branch[key][0] for branch in branches for key in branch}
        conditions = conditions or [frozenset()] * len(branches)
        for key, holder in keys.items():
            name = key[1]
            before = holder.names.get(name, MISSING)
            found = [branch[key][1] if key in branch else before for branch in branches]
            there = [(value, under) for value, under in zip(found, conditions, strict=True) if isinstance(value, Value)]
            if there:
                self._write(holder, name, meeting(there))

    def _branches(self, runs: Sequence[Callable[[], bool]], conditions: Sequence[Guard] = ()) -> bool:
        """Runs alternatives from the same start, each under its condition; whether all of them left for good.

        If only one did not, its condition is assumed for what follows.
        """
        going_on: list[Written] = []
        under: list[frozenset[Guard]] = []
        for i, run in enumerate(runs):
            guards = frozenset(conditions[i : i + 1])
            before = len(self._frame.assumed)
            self._frame.assumed += guards
            ended, after = self._attempt(run)
            del self._frame.assumed[before:]
            if not ended:
                going_on.append(after)
                under.append(guards)
        self._meet(going_on, under)
        if len(going_on) == 1 < len(runs):
            self._frame.assumed += under[0]
        return not going_on

    def _assumed(self) -> Iterator[Guard]:
        """The conditions that hold where the program is."""
        for frame in self._frames:
            yield from frame.assumed

    def _guard(self, node: cst.CSTNode, holds: bool) -> Guard:
        """A condition as it is written; one that asks a function's own names is another in each function."""
        if id(node) not in self._tests:
            self._tests[id(node)] = cst.Module([]).code_for_node(node), asked(node)
        test, names = self._tests[id(node)]
        function = self._frame.function
        if function is not None and any(name in self._frame.scope.names for name in names):
            test = f"{test} in {id(function.node)}"
        return Guard(test, holds, names)

    def _lookup(self, name: str) -> Value:
        """What a name holds, as far as the conditions here leave a choice."""
        value = self._held(name)
        return value.under(self._assumed()) if isinstance(value, Choice) else value

    def _held(self, name: str) -> Value:
        scope: Scope | None = self._frame.scope
        while scope is not None:
            if name in scope.elsewhere:
                scope = scope.elsewhere[name]
            if name in scope.names:
                return scope.names[name]
            for star in scope.stars:
                found = self._from_star(star, name)
                if found is not None:
                    return found
            scope = scope.outer
        if name in outside.BUILTINS:
            return Outside(f"builtins.{name}")
        return Data(name=name)

    def _from_star(self, star: Value, name: str) -> Value | None:
        if isinstance(star, File):
            return star.names.get(name)
        assert isinstance(star, Outside)
        return Outside(f"{star.name}.{name}") if outside.exports(star.name, name) else None

    def _scope_of(self, name: str) -> Scope:
        return self._frame.scope.elsewhere.get(name, self._frame.scope)


def walk(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """The node and everything in it."""
    waiting = [node]
    while waiting:
        part = waiting.pop()
        yield part
        waiting += part.children


def asked(node: cst.CSTNode) -> frozenset[str]:
    """What an expression asks: its names, and of `self.args.loss` the last."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, cst.Name):
            found.add(part.value)
        elif isinstance(part, cst.Attribute):
            found.add(part.attr.value)
            if not isinstance(part.value, cst.Name | cst.Attribute):
                waiting.append(part.value)
        else:
            waiting += part.children
    return frozenset(found - {"True", "False", "None", "len", "isinstance", "hasattr"})


def dotted(node: cst.CSTNode) -> str:
    """A name with its attributes, as written; a question mark stands for anything else."""
    if isinstance(node, cst.Name):
        return node.value
    if isinstance(node, cst.Attribute):
        return f"{dotted(node.value)}.{node.attr.value}"
    return "?"
