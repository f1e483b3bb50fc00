"""What an expression can be, as far as the source tells: the values that the interpreter calculates with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import libcst as cst

from ..rule import Known

if TYPE_CHECKING:
    from .source import Source

MOST_OPTIONS = 8
"""A value with more alternatives than these is as good as unknown."""
NOTHING = Known()
PARAMETER = Known(op="parameter")
DEEPEST = 6
"""So many operations back a tensor is followed."""


class Value:
    """One of the classes below."""


@dataclass(frozen=True)
class Place:
    """A node of a file."""

    source: Source
    node: cst.CSTNode = field(repr=False)


@dataclass(frozen=True)
class Data(Value):
    """A tensor, a number, or anything of which no more is known than this."""

    known: Known = NOTHING
    """What made it; its name stands beside it."""
    place: Place | None = field(default=None, compare=False)
    """Where its last operation stands."""
    name: str = field(default="", compare=False)
    """Under which it was met last."""


@dataclass(frozen=True)
class Literal(Value):
    """None, a truth value, a number or a string."""

    value: Any


@dataclass(frozen=True)
class Items(Value):
    """A list, tuple or ModuleList."""

    items: tuple[Value, ...] = ()
    open: bool = False
    """Whether more items, like these, may stand before them."""


@dataclass(frozen=True)
class Table(Value):
    """A dictionary or ModuleDict, or an object of which only the fields are known."""

    entries: Mapping[Any, Value]


@dataclass(frozen=True)
class Outside(Value):
    """What is imported and not among the files, by its qualified name."""

    name: str


@dataclass(frozen=True)
class Layer(Value):
    """A Module of torch that applies one operation."""

    op: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Chain(Value):
    """`nn.Sequential`."""

    layers: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Criterion(Value):
    """A Module that is a loss."""

    loss: str
    settings: Mapping[str, Any]
    own: bool


@dataclass(frozen=True)
class Partial(Value):
    """`functools.partial`."""

    function: Value
    positional: tuple[Value, ...]
    named: Mapping[str, Value]


@dataclass(frozen=True)
class Method(Value):
    """A method of something that is no class of the files."""

    receiver: Value
    name: str


@dataclass(frozen=True)
class Guard:
    """A condition under which something holds."""

    test: str
    """As it is written."""
    holds: bool
    names: frozenset[str]
    """What it asks."""


@dataclass(frozen=True)
class Choice(Value):
    """One of several: branches that met."""

    options: tuple[Value, ...]
    guards: tuple[frozenset[Guard], ...] = field(default=(), compare=False)
    """For each option the conditions under which it is the one; empty where they are not known."""

    def under(self, assumed: Iterable[Guard]) -> Value:
        """What is left of it where conditions are assumed."""
        if not self.guards:
            return self
        opposite = {(guard.test, not guard.holds) for guard in assumed}
        left = [
            (option, guards)
            for option, guards in zip(self.options, self.guards, strict=True)
            if not any((guard.test, guard.holds) in opposite for guard in guards)
        ]
        if not left or len(left) == len(self.options):
            return self
        if len(left) == 1:
            return left[0][0]
        return Choice(tuple(option for option, _ in left), tuple(guards for _, guards in left))

    @property
    def asked(self) -> frozenset[str]:
        """What the choice depends on, as far as that is known."""
        return frozenset(name for guards in self.guards for guard in guards for name in guard.names)


@dataclass(eq=False)
class Scope(Value):
    """The names of a file, of a function's call or of a class."""

    names: dict[str, Value] = field(default_factory=dict)
    outer: Scope | None = None
    stars: list[Value] = field(default_factory=list)
    """Modules of which everything was imported."""
    elsewhere: dict[str, Scope] = field(default_factory=dict)
    """Names that `global` or `nonlocal` sent to another scope."""


@dataclass(eq=False)
class File(Value):
    """A module among the files."""

    source: Source
    names: dict[str, Value]


@dataclass(eq=False)
class Function(Value):
    """A function, method or lambda of the files."""

    node: cst.FunctionDef | cst.Lambda
    source: Source
    scope: Scope
    owner: Class | None = None
    receiver: Value | None = None
    decorators: tuple[str, ...] = ()
    called: bool = False

    @property
    def name(self) -> str:
        """Empty for a lambda."""
        return self.node.name.value if isinstance(self.node, cst.FunctionDef) else ""

    def bound(self, receiver: Value) -> Function:
        return replace(self, receiver=receiver)

    def of(self, receiver: Value) -> Function:
        """The method of an object or a class, as its decorators bind it."""
        if "staticmethod" in self.decorators:
            return self
        if "classmethod" in self.decorators and isinstance(receiver, Instance):
            return self.bound(receiver.cls)
        return self.bound(receiver)


@dataclass(eq=False)
class Class(Value):
    """A class of the files."""

    node: cst.ClassDef
    source: Source
    scope: Scope
    bases: tuple[Value, ...]
    names: dict[str, Value] = field(default_factory=dict)
    fields: tuple[str, ...] = ()
    """Annotated names, as of a dataclass."""
    instance: Instance | None = None
    """One of which nothing but the class is known."""

    def lineage(self) -> Iterator[Value]:
        """The class, then its bases and theirs."""
        seen: list[Value] = []
        waiting: list[Value] = [self]
        while waiting:
            value = waiting.pop(0)
            if any(value is other for other in seen):
                continue
            seen.append(value)
            yield value
            if isinstance(value, Class):
                waiting = [*value.bases, *waiting]

    def member(self, name: str) -> Value | None:
        for value in self.lineage():
            if isinstance(value, Class) and name in value.names:
                return value.names[name]
        return None


@dataclass(eq=False)
class Instance(Value):
    """An object of a class of the files."""

    cls: Class
    names: dict[str, Value] = field(default_factory=dict)
    core: Value | None = None
    """What it is by a base that is not among the files: a Criterion, a Chain or a Layer."""
    methods_called: set[str] = field(default_factory=set)
    made_with: dict[str, Value] = field(default_factory=dict)
    """Its attributes when it had been made."""


@dataclass(frozen=True)
class Super(Value):
    """`super()`."""

    receiver: Value
    owner: Class


@dataclass(eq=False)
class Made(Value):
    """What an unknown function made, such as a pretrained model, with the attributes that it was given since."""

    function: str
    names: dict[str, Value] = field(default_factory=dict)


Holder = Scope | Class | Instance | Made | File
"""What has names that can be written."""


def meeting(branches: Iterable[tuple[Value, frozenset[Guard]]]) -> Value:
    """What is known where branches meet, each under its conditions."""
    found: list[Value] = []
    conditions: list[frozenset[Guard]] = []
    for value, under in branches:
        inner = value.guards if isinstance(value, Choice) and value.guards else [frozenset()] * len(options(value))
        for option, guards in zip(options(value), inner, strict=True):
            same = next((i for i, other in enumerate(found) if option is other or _same(option, other)), None)
            if same is None:
                found.append(option)
                conditions.append(guards | under)
            else:
                conditions[same] &= guards | under
    if len(found) < 2 or len(found) > MOST_OPTIONS:
        return join(found)
    return Choice(tuple(found), tuple(conditions))


def chosen_by(value: Value, names: frozenset[str]) -> Value:
    """A choice that depends on what these names hold."""
    if not isinstance(value, Choice) or not names:
        return value
    guard = Guard("", True, names)
    return Choice(
        value.options, tuple(guards | {guard} for guards in value.guards or (frozenset(),) * len(value.options))
    )


def in_one(value: Value) -> Value:
    """Of lists that branches or loops have made differently one, open, with the items at their common end."""
    if not isinstance(value, Choice):
        return value
    lists = [option.items for option in value.options if isinstance(option, Items)]
    if len(lists) < len(value.options):
        return value
    end: list[Value] = []
    for items in zip(*(reversed(items) for items in lists), strict=False):
        if any(item != items[0] for item in items):
            break
        end.insert(0, items[0])
    return Items(tuple(end), open=True)


def options(value: Value) -> tuple[Value, ...]:
    return value.options if isinstance(value, Choice) else (value,)


def join(values: Iterable[Value]) -> Value:
    """What is known where branches meet."""
    different: list[Value] = []
    for value in values:
        for option in options(value):
            if not any(option is other or _same(option, other) for other in different):
                different.append(option)
    if not different:
        return Data()
    if len(different) == 1:
        return different[0]
    return Choice(tuple(different)) if len(different) <= MOST_OPTIONS else Data()


def _same(one: Value, other: Value) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, Literal) and isinstance(other, Literal):  # 1 == True == 1.0
        return type(one.value) is type(other.value) and bool(one.value == other.value)
    return one == other


def each(value: Value, function: Callable[[Value], Value]) -> Value:
    """The function of every alternative."""
    if not isinstance(value, Choice):
        return function(value)
    guards = value.guards or (frozenset(),) * len(value.options)
    return meeting([(function(option), under) for option, under in zip(value.options, guards, strict=True)])


def plain(value: Value) -> Any:
    """The Python object that a literal is, lists of literals included; `...` for anything else."""
    if isinstance(value, Literal):
        return value.value
    if isinstance(value, Items) and not value.open:
        found = [plain(item) for item in value.items]
        return ... if any(item is ... for item in found) else found
    if isinstance(value, Data) and value.known.op == "literal" and value.known.of is None:
        return value.known.value
    return ...


def setting(value: Value) -> Any:
    """What is told of an argument that is no tensor: the literal that all alternatives agree in, else `...`."""
    found = {repr(plain(option)): plain(option) for option in options(value)}
    return next(iter(found.values())) if len(found) == 1 else ...


def is_loss(value: Value) -> bool:
    return isinstance(value, Data) and value.known.op == "loss"


def hashable(key: Any) -> bool:
    """Whether the key of a dictionary is told by its value."""
    return isinstance(key, str | int | float | bool | None | bytes)


def known(value: Value) -> Known:
    """What a rule is told of a value that is no Choice."""
    if isinstance(value, Data):
        return replace(value.known, name=value.name) if value.name else value.known
    content = plain(value)
    return NOTHING if content is ... else Known(op="literal", value=content)


def operation(op: str, of: Value | None = None, place: Place | None = None, **settings: Any) -> Data:
    """The result of an operation on one tensor; `dtype` and `detached` are set, and not passed on."""
    fields = {name: settings.pop(name) for name in ("dtype", "detached") if name in settings}
    inner = None if of is None else shortened(known(of), DEEPEST)
    return Data(Known(op=op, settings=settings, of=inner, **fields), place)


def named(value: Value, name: str) -> Value:
    """The value as it is met under a name."""
    if isinstance(value, Data):
        return value if value.name == name else Data(value.known, value.place, name)
    if isinstance(value, Choice):
        return Choice(tuple(named(option, name) for option in value.options), value.guards)
    return value


def shortened(tensor: Known, depth: int) -> Known:
    if tensor.of is None:
        return tensor
    return replace(tensor, of=shortened(tensor.of, depth - 1) if depth > 0 else None)
