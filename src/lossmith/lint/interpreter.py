"""Runs source without its numbers: what each name may hold at each place, and what is given to each loss.

Branches whose condition is known are taken, others all; where they meet, a name holds a `Choice`. Functions and classes
of the files are followed into, with what they are called with. What a loop or a long chain of calls would change
further is left open: unknown is silent.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import libcst as cst

from ..rule import Known, Site
from . import outside
from .losses import Form, forms, qualified, with_reduction
from .source import SPEAKS, Source, absolute_module, relative_module
from .values import (
    PARAMETER,
    Chain,
    Choice,
    Class,
    Criterion,
    Data,
    File,
    Function,
    Holder,
    Instance,
    Items,
    Layer,
    Literal,
    Made,
    Method,
    Outside,
    Partial,
    Place,
    Scope,
    Super,
    Table,
    Value,
    each,
    in_one,
    join,
    known,
    named,
    operation,
    options,
    plain,
)
from .vocabulary import HEADS, MODULE_METHODS

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


class Interpreter:
    """Runs files; `report` is told of each place that speaks of a loss, with the alternatives of what is there."""

    def __init__(
        self,
        open_file: Callable[[Path], Source | None],
        report: Callable[[Place, Sequence[Site], Data | None], None],
    ) -> None:
        self._open_file = open_file
        self._report = report
        self._files: dict[Path, File] = {}
        self._frames: list[Frame] = []
        self._logs: list[Written] = []
        self._steps = 0
        self._limit = 0
        self._classes: dict[Source, list[Class]] = {}
        self._functions: dict[Source, list[Function]] = {}
        self._instances: dict[Source, list[Instance]] = {}
        self._names_written: dict[int, frozenset[str]] = {}
        self._speaking: dict[int, bool] = {}

    # ----- files -----

    def run(self, source: Source) -> None:
        """Runs a file: what it does by itself, then every function and method as if called with something unknown."""
        self.file(source)
        for function in self._functions.get(source, []):
            self._as_root(function)
        for cls in self._classes.get(source, []):
            self._run_methods(cls, self._generic(cls))
        for instance in self._instances.get(source, [])[:MOST_INSTANCES]:
            instance.names = instance.made_with | instance.names
            self._run_methods(instance.cls, instance, without=instance.methods_called)

    def file(self, source: Source) -> File:
        """The file, after it has done what it does when it is imported."""
        if source.path in self._files:
            return self._files[source.path]
        scope = Scope({"__name__": Literal("__main__")})
        file = self._files[source.path] = File(source, scope.names)
        outer_frames, outer_logs, self._frames, self._logs = self._frames, self._logs, [Frame(scope, source)], []
        steps, limit = self._steps, self._limit
        self._steps, self._limit = 0, MOST_STEPS_OF_A_FILE
        try:
            self._block(source.tree.body)
            self._functions[source] = self._frames[0].functions
        finally:
            self._frames, self._logs = outer_frames, outer_logs
            self._steps, self._limit = steps, limit
        return file

    def _as_root(self, function: Function) -> None:
        self._steps, self._limit = 0, MOST_STEPS
        self._frames, self._logs = [Frame(function.scope, function.source)], []
        self._attempt(lambda: bool(self._invoke(function, Arguments(more=True))) and False)

    def _run_methods(self, cls: Class, instance: Instance, without: Iterable[str] = ()) -> None:
        done = set(without) | {"__init__"}
        for part in cls.lineage():
            if not isinstance(part, Class):
                continue
            for name, member in part.names.items():
                if isinstance(member, Function) and name not in done:
                    done.add(name)
                    if part is cls or self._speaks(member.node):
                        self._as_root(self._method(member, instance))

    def _speaks(self, node: cst.CSTNode) -> bool:
        """Whether a function names anything as losses are named."""
        if id(node) not in self._speaking:
            names = (part.value for part in walk(node) if isinstance(part, cst.Name))
            self._speaking[id(node)] = any(SPEAKS.search(name.encode()) for name in names)
        return self._speaking[id(node)]

    def _generic(self, cls: Class) -> Instance:
        """An object of which nothing but its class is known."""
        if cls.instance is None:
            instance = cls.instance = Instance(cls)
            self._lastingly(lambda: self._fill(instance, Arguments(more=True), None))
        return cls.instance

    # ----- names -----

    @property
    def _frame(self) -> Frame:
        return self._frames[-1]

    def _place(self, node: cst.CSTNode) -> Place:
        return Place(self._frame.source, node)

    def _write(self, holder: Holder, name: str, value: Value) -> None:
        if self._logs:
            self._logs[-1].setdefault((id(holder), name), (holder, holder.names.get(name, MISSING)))
        holder.names[name] = value

    def _attempt(self, run: Callable[[], bool]) -> tuple[bool, Written]:
        """Runs something and takes back what it wrote; whether it was left for good, and what it wrote."""
        self._logs.append({})
        ended = run()
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

    def _meet(self, branches: Sequence[Written]) -> None:
        """Writes what names hold after any one of the branches."""
        keys = {key: branch[key][0] for branch in branches for key in branch}
        for key, holder in keys.items():
            name = key[1]
            before = holder.names.get(name, MISSING)
            found = [branch[key][1] if key in branch else before for branch in branches]
            there = [value for value in found if value is not MISSING]
            if there:
                self._write(holder, name, join(there))

    def _branches(self, runs: Sequence[Callable[[], bool]]) -> bool:
        """Runs alternatives from the same start; whether all of them left for good."""
        results = [self._attempt(run) for run in runs]
        going_on = [after for ended, after in results if not ended]
        self._meet(going_on)
        return not going_on

    def _lookup(self, name: str) -> Value:
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

    # ----- statements -----

    def _block(self, statements: Iterable[cst.CSTNode]) -> bool:
        """Runs statements in their order; whether they left for good (return, raise, break, continue)."""
        for statement in statements:
            if isinstance(statement, cst.SimpleStatementLine):
                if self._block(statement.body):
                    return True
                continue
            self._steps += 1
            run = getattr(self, f"_run_{type(statement).__name__}", None)
            if run is not None and run(statement):
                return True
        return False

    def _suite(self, body: cst.BaseSuite) -> bool:
        return self._block(body.body)

    def _run_Expr(self, node: cst.Expr) -> bool:
        self._evaluate(node.value)
        return False

    def _run_Assign(self, node: cst.Assign) -> bool:
        for target in node.targets:
            self._shadowing(target.target, node.value)
        value = self._evaluate(node.value)
        for target in node.targets:
            self._assign(target.target, value)
        return False

    def _run_AnnAssign(self, node: cst.AnnAssign) -> bool:
        if node.value is not None:
            self._assign(node.target, self._evaluate(node.value))
        elif self._frame.in_class and isinstance(node.target, cst.Name):
            self._assign(node.target, self._annotated(node.annotation, Data(name=node.target.value)))
        return False

    def _run_AugAssign(self, node: cst.AugAssign) -> bool:
        old, new = self._evaluate(node.target), self._evaluate(node.value)
        sign = type(node.operator).__name__.removesuffix("Assign")
        self._assign(node.target, self._binary(sign, old, new, self._place(node)))
        return False

    def _run_Return(self, node: cst.Return) -> bool:
        self._frame.returns.append(Literal(None) if node.value is None else self._evaluate(node.value))
        return True

    def _run_Raise(self, node: cst.Raise) -> bool:
        return True

    def _run_Assert(self, node: cst.Assert) -> bool:
        self._evaluate(node.test)
        return False

    def _run_Break(self, node: cst.Break) -> bool:
        return self._leave_loop()

    def _run_Continue(self, node: cst.Continue) -> bool:
        return self._leave_loop()

    def _leave_loop(self) -> bool:
        if self._frame.loops:
            loop = self._frame.loops[-1]
            loop.exits.append(
                {
                    key: (holder, holder.names.get(key[1], MISSING))
                    for log in self._logs[loop.level :]
                    for key, (holder, _) in log.items()
                }
            )
        return True

    def _run_Global(self, node: cst.Global) -> bool:
        top = self._frame.scope
        while top.outer is not None:
            top = top.outer
        for item in node.names:
            self._frame.scope.elsewhere[item.name.value] = top
        return False

    def _run_Nonlocal(self, node: cst.Nonlocal) -> bool:
        for item in node.names:
            scope = self._frame.scope.outer
            while scope is not None and item.name.value not in scope.names:
                scope = scope.outer
            if scope is not None:
                self._frame.scope.elsewhere[item.name.value] = scope
        return False

    def _run_If(self, node: cst.If) -> bool:
        holds = self._truth(node.test)
        if holds is not None:
            return self._suite(node.body) if holds else self._orelse(node.orelse)
        return self._branches([lambda: self._suite(node.body), lambda: self._orelse(node.orelse)])

    def _orelse(self, node: cst.If | cst.Else | None) -> bool:
        if node is None:
            return False
        return self._run_If(node) if isinstance(node, cst.If) else self._suite(node.body)

    def _run_For(self, node: cst.For) -> bool:
        found = self._evaluate(node.iter)
        if isinstance(found, Items) and not found.open and 0 < len(found.items) <= MOST_UNROLLED:
            return self._unrolled(node, found.items)
        item = each(found, self._item)

        def body() -> bool:
            self._assign(node.target, item)
            return self._suite(node.body)

        self._loop(node, body, surely=False)
        if node.orelse is not None:
            return self._suite(node.orelse.body)
        return False

    def _unrolled(self, node: cst.For, items: Sequence[Value]) -> bool:
        """Runs the loop for each item, as the program does."""
        for item in items:

            def body(item: Value = item) -> bool:
                self._assign(node.target, item)
                return self._suite(node.body)

            loop = Loop(len(self._logs))
            self._frame.loops.append(loop)
            ended, after = self._attempt(body)
            self._frame.loops.pop()
            self._meet([*loop.exits, *([] if ended else [after])])
            if ended and not loop.exits:
                return True
        return False

    def _run_While(self, node: cst.While) -> bool:
        always = self._truth(node.test) is True
        self._loop(node, lambda: self._suite(node.body), surely=always)
        return False

    def _loop(self, node: cst.For | cst.While, body: Callable[[], bool], surely: bool) -> None:
        before = self._forget(node.body)
        loop = Loop(len(self._logs))
        self._frame.loops.append(loop)
        ended, after = self._attempt(body)
        self._frame.loops.pop()
        self._meet([*([] if surely else [before]), *loop.exits, *([] if ended else [after])])

    def _forget(self, body: cst.BaseSuite) -> Written:
        """Takes from names that a loop will write the literals that they hold before it, and gives these back."""
        written = self._written_in(body)
        receiver = self._frame.function.receiver if self._frame.function else None
        before: Written = {}
        for holder in (self._frame.scope, receiver):
            if isinstance(holder, Scope | Instance):
                for name in written & holder.names.keys():
                    if isinstance(holder.names[name], Literal):
                        before[id(holder), name] = (holder, holder.names[name])
                        self._write(holder, name, Data(name=name))
        return before

    def _written_in(self, node: cst.CSTNode) -> frozenset[str]:
        """The names and attributes that are assigned anywhere in a node."""
        if id(node) not in self._names_written:
            found: set[str] = set()
            for part in walk(node):
                if isinstance(part, cst.AssignTarget | cst.AugAssign | cst.AnnAssign | cst.For | cst.NamedExpr):
                    found |= {n.value for n in walk(part.target) if isinstance(n, cst.Name)}
            self._names_written[id(node)] = frozenset(found)
        return self._names_written[id(node)]

    def _run_With(self, node: cst.With) -> bool:
        for item in node.items:
            value = self._evaluate(item.item)
            if item.asname is not None:
                self._assign(item.asname.name, value)
        return self._suite(node.body)

    def _run_Try(self, node: cst.Try | cst.TryStar) -> bool:
        def body() -> bool:
            ended = self._suite(node.body)
            return ended or (node.orelse is not None and self._suite(node.orelse.body))

        runs: list[Callable[[], bool]] = [body]
        runs += [lambda handler=handler: self._suite(handler.body) for handler in node.handlers]  # type: ignore[misc]
        ended = self._branches(runs)
        if node.finalbody is not None and self._suite(node.finalbody.body):
            return True
        return ended

    _run_TryStar = _run_Try

    def _run_Match(self, node: cst.Match) -> bool:
        self._evaluate(node.subject)
        runs: list[Callable[[], bool]] = [
            lambda case=case: self._suite(case.body)  # type: ignore[misc]
            for case in node.cases
        ]
        last = node.cases[-1] if node.cases else None
        exhaustive = last is not None and last.guard is None and isinstance(last.pattern, cst.MatchAs) and (
            last.pattern.pattern is None
        )  # fmt: skip
        return self._branches(runs if exhaustive else [*runs, lambda: False])

    def _run_FunctionDef(self, node: cst.FunctionDef) -> bool:
        frame = self._frame
        decorators = tuple(_dotted(d.decorator.func if isinstance(d.decorator, cst.Call) else d.decorator) for d in node.decorators)  # fmt: skip
        scope = frame.scope.outer if frame.in_class and frame.scope.outer is not None else frame.scope
        function = Function(node, frame.source, scope, decorators=decorators)
        if not frame.in_class:
            frame.functions.append(function)
        self._write(frame.scope, node.name.value, function)
        return False

    def _run_ClassDef(self, node: cst.ClassDef) -> bool:
        bases = tuple(self._evaluate(argument.value) for argument in node.bases)
        scope = Scope(outer=self._frame.scope)
        frame = Frame(scope, self._frame.source, in_class=True)
        self._frames.append(frame)
        try:
            self._suite(node.body)
        finally:
            self._frames.pop()
        fields = tuple(
            line.target.value
            for statement in node.body.body
            if isinstance(statement, cst.SimpleStatementLine)
            for line in statement.body
            if isinstance(line, cst.AnnAssign) and isinstance(line.target, cst.Name)
        )
        cls = Class(node, frame.source, self._frame.scope, bases, scope.names, fields)
        for member in cls.names.values():
            if isinstance(member, Function) and member.owner is None:
                member.owner = cls
        self._classes.setdefault(frame.source, []).append(cls)
        self._write(self._frame.scope, node.name.value, cls)
        return False

    def _run_Import(self, node: cst.Import) -> bool:
        for alias in node.names:
            name = _dotted(alias.name)
            if alias.asname is not None:
                self._assign(alias.asname.name, self._module(name))
            else:
                first = name.split(".")[0]
                module = self._module(first)
                if isinstance(module, Outside) and "." in name and (whole := self._module(name)) != Outside(name):
                    module = Table({})  # a package without a file of its own
                    self._nest(module, name.split(".")[1:], whole)
                self._write(self._scope_of(first), first, module)
        return False

    def _nest(self, table: Table, path: list[str], value: Value) -> None:
        entries = table.entries
        assert isinstance(entries, dict)
        if len(path) == 1:
            entries[path[0]] = value
        else:
            self._nest(entries.setdefault(path[0], Table({})), path[1:], value)

    def _run_ImportFrom(self, node: cst.ImportFrom) -> bool:
        name = "" if node.module is None else _dotted(node.module)
        level = len(node.relative)
        module = self._module(name, level)
        if isinstance(node.names, cst.ImportStar):
            if isinstance(module, File | Outside):
                self._frame.scope.stars.insert(0, module)
            return False
        for alias in node.names:
            what = _dotted(alias.name)
            value: Value | None = None
            if isinstance(module, File):
                value = module.names.get(what) or self._from_stars_of(module, what)
            if value is None and (isinstance(module, File) or level or self._is_package(name)):
                found = self._module(f"{name}.{what}" if name else what, level)
                value = found if isinstance(found, File) else None
            if value is None:
                value = Outside(f"{module.name}.{what}") if isinstance(module, Outside) else Data(name=what)
            bound = what if alias.asname is None else None
            if bound is not None:
                self._write(self._scope_of(bound), bound, value)
            elif alias.asname is not None:
                self._assign(alias.asname.name, value)
        return False

    def _from_stars_of(self, file: File, name: str) -> Value | None:
        """What a file holds by a star import."""
        for statement in file.source.tree.body:
            for line in statement.body if isinstance(statement, cst.SimpleStatementLine) else ():
                if isinstance(line, cst.ImportFrom) and isinstance(line.names, cst.ImportStar) and line.module:
                    module = self._module(_dotted(line.module), len(line.relative), file.source)
                    if isinstance(module, File | Outside) and module is not file:
                        found = self._from_star(module, name)
                        if found is not None:
                            return found
        return None

    def _is_package(self, name: str) -> bool:
        return not outside.is_library(name)

    def _module(self, name: str, level: int = 0, source: Source | None = None) -> Value:
        """A module by the name in an import statement."""
        path = (source or self._frame.source).path
        if not level and outside.is_library(name):
            return Outside(name)
        for candidate in relative_module(path, level, name) if level else absolute_module(path, name):
            found = self._open_file(candidate)
            if found is not None:
                return self.file(found)
        return Outside("." * level + name)

    # ----- assignment -----

    def _assign(self, target: cst.CSTNode, value: Value) -> None:
        match target:
            case cst.Name(value=name):
                self._write(self._scope_of(name), name, value)
            case cst.Tuple() | cst.List():
                for element, part in zip(target.elements, self._unpacked(value, target.elements), strict=True):
                    self._assign(element.value, part)
            case cst.Attribute():
                self._assign_attribute(target.value, target.attr.value, value)
            case cst.Subscript():
                self._assign_item(target, value)
            case cst.StarredElement():
                self._assign(target.value, value)
            case _:
                pass

    def _unpacked(self, value: Value, elements: Sequence[cst.BaseElement]) -> list[Value]:
        count = len(elements)
        star = next((i for i, element in enumerate(elements) if isinstance(element, cst.StarredElement)), None)
        parts = [self._parts(option, count, star) for option in options(value)]
        return [join([part[i] for part in parts]) for i in range(count)]

    def _parts(self, value: Value, count: int, star: int | None) -> list[Value]:
        if isinstance(value, Items) and not value.open:
            if star is None and len(value.items) == count:
                return list(value.items)
            if star is not None and len(value.items) >= count - 1:
                after = count - star - 1
                end = len(value.items) - after
                return [*value.items[:star], Items(value.items[star:end]), *value.items[end:]]
        if isinstance(value, Data) and count == 2 and value.known.op in ("max", "min", "topk", "sort", "mode", "median"):
            return [value, operation("argmax", value, value.place, dtype="long", detached=True)]
        return [Data() for _ in range(count)]

    def _assign_attribute(self, receiver: cst.BaseExpression, name: str, value: Value) -> None:
        for holder in map(_unknown_part, options(self._evaluate(receiver))):
            if isinstance(holder, Instance | Class | Made | File):
                self._write(holder, name, value)
            elif isinstance(holder, Criterion) and name in holder.settings:
                self._assign(receiver, replace(holder, settings={**holder.settings, name: plain(value)}))
            elif isinstance(holder, Data) and name == "requires_grad":
                self._assign(receiver, outside.with_gradient(holder))
            elif isinstance(holder, Data) and isinstance(value, Layer | Chain | Instance | Made):
                made = Made(holder.name)
                made.names[name] = value
                self._assign(receiver, made)

    def _assign_item(self, target: cst.Subscript, value: Value) -> None:
        holder = _unknown_part(self._evaluate(target.value))
        key = plain(self._index(target))
        if isinstance(holder, Table):
            entries = dict(holder.entries)
            if key is ...:
                entries[len(entries), "unknown key"] = value
            elif _hashable(key):
                entries[key] = value
            self._assign(target.value, Table(entries))
        elif isinstance(holder, Items | Chain) and isinstance(key, int) and not isinstance(key, bool):
            items = list(holder.items if isinstance(holder, Items) else holder.layers)
            if -len(items) <= key < len(items):
                items[key] = value
                changed = replace(holder, items=tuple(items)) if isinstance(holder, Items) else Chain(tuple(items))
                self._assign(target.value, changed)
        elif isinstance(holder, Data) and isinstance(value, Layer | Chain | Instance) and key not in (0, ...):
            if isinstance(target.value, cst.Attribute):  # the last layer of a pretrained model's classifier
                self._assign(target.value, Chain((value,)))

    def _shadowing(self, target: cst.BaseExpression, value: cst.BaseExpression) -> None:
        """Tells of `loss = loss(...)`, where a criterion is lost."""
        if not isinstance(value, cst.Call) or not isinstance(target, cst.Name | cst.Attribute):
            return
        if _dotted(target) != _dotted(value.func) or "?" in _dotted(target):
            return
        for callee in options(self._evaluate(value.func)):
            form = forms().get(qualified(callee.name)) if isinstance(callee, Outside) else None
            core = callee.core if isinstance(callee, Instance) else callee
            if isinstance(core, Criterion):
                site = Site("assignment", core.loss, core.settings, own=core.own, in_loop=self._met_again(target))
            elif form is not None and not form.is_module:
                site = Site("assignment", form.loss, form.settings, own=form.own, in_loop=self._met_again(target))
            else:
                continue
            self._report(self._place(value), [site], None)

    def _met_again(self, target: cst.Name | cst.Attribute) -> bool:
        """Whether the name is called again with what it is assigned: the criterion was made before this loop."""
        if isinstance(target, cst.Attribute):
            function = self._frame.function
            made_in = isinstance(function and function.node, cst.FunctionDef) and function.node.name.value == "__init__"  # type: ignore[union-attr]  # fmt: skip
            return not made_in
        if not self._frame.loops:
            return False
        key = (id(self._scope_of(target.value)), target.value)
        return not any(key in log for log in self._logs[self._frame.loops[-1].level :])

    # ----- conditions -----

    def _truth(self, node: cst.BaseExpression) -> bool | None:
        """Whether a condition holds; None where that is not known."""
        match node:
            case cst.UnaryOperation(operator=cst.Not(), expression=inner):
                holds = self._truth(inner)
                return None if holds is None else not holds
            case cst.BooleanOperation():
                is_and = isinstance(node.operator, cst.And)
                left = self._truth(node.left)
                if left is not None and left is not is_and:
                    return left
                right = self._truth(node.right)
                if right is not None and right is not is_and:
                    return right
                return None if left is None or right is None else is_and
            case _:
                return truth(self._evaluate(node))

    # ----- expressions -----

    def _evaluate(self, node: cst.CSTNode) -> Value:
        evaluate = getattr(self, f"_value_{type(node).__name__}", None)
        return Data() if evaluate is None else evaluate(node)

    def _value_Name(self, node: cst.Name) -> Value:
        if node.value in ("True", "False", "None"):
            return Literal({"True": True, "False": False, "None": None}[node.value])
        return named(self._lookup(node.value), node.value)

    def _value_Integer(self, node: cst.Integer) -> Value:
        return Literal(node.evaluated_value)

    def _value_Float(self, node: cst.Float) -> Value:
        return Literal(node.evaluated_value)

    def _value_SimpleString(self, node: cst.SimpleString) -> Value:
        try:
            return Literal(node.evaluated_value)
        except (ValueError, SyntaxError):
            return Data()

    def _value_ConcatenatedString(self, node: cst.ConcatenatedString) -> Value:
        try:
            value = node.evaluated_value
        except (ValueError, SyntaxError):
            value = None
        return Data() if value is None else Literal(value)

    def _value_FormattedString(self, node: cst.FormattedString) -> Value:
        for part in node.parts:
            if isinstance(part, cst.FormattedStringExpression):
                self._evaluate(part.expression)
        return Data()

    def _value_Tuple(self, node: cst.Tuple | cst.List) -> Value:
        items: list[Value] = []
        is_open = False
        for element in node.elements:
            value = self._evaluate(element.value)
            if isinstance(element, cst.StarredElement):
                value = in_one(value)
            if not isinstance(element, cst.StarredElement):
                items.append(value)
            elif isinstance(value, Items | Chain):
                inner = value.items if isinstance(value, Items) else value.layers
                is_open = is_open or (isinstance(value, Items) and value.open)
                items += inner
            else:
                items.append(Data())
                is_open = True
        return Items(tuple(items), is_open)

    _value_List = _value_Tuple

    def _value_Dict(self, node: cst.Dict) -> Value:
        entries: dict[Any, Value] = {}
        for element in node.elements:
            value = self._evaluate(element.value)
            if isinstance(element, cst.DictElement):
                key = plain(self._evaluate(element.key))
                entries[key if key is not ... and _hashable(key) else (len(entries), "unknown key")] = value
            elif isinstance(value, Table):
                entries |= value.entries
        return Table(entries)

    def _value_ListComp(self, node: cst.ListComp | cst.GeneratorExp | cst.SetComp) -> Value:
        scope = Scope(outer=self._frame.scope)
        self._frames.append(replace(self._frame, scope=scope, in_class=False))
        try:
            found = self._evaluate(node.for_in.iter)
            simple = node.for_in.inner_for_in is None and not node.for_in.ifs
            if simple and isinstance(found, Items) and not found.open and len(found.items) <= MOST_UNROLLED:
                values = []
                for item in found.items:
                    self._assign(node.for_in.target, item)
                    values.append(self._evaluate(node.elt))
                return Items(tuple(values))
            self._comprehension(node.for_in)
            return Items((self._evaluate(node.elt),), open=True)
        finally:
            self._frames.pop()

    _value_GeneratorExp = _value_ListComp
    _value_SetComp = _value_ListComp

    def _value_DictComp(self, node: cst.DictComp) -> Value:
        scope = Scope(outer=self._frame.scope)
        self._frames.append(replace(self._frame, scope=scope, in_class=False))
        try:
            self._comprehension(node.for_in)
            return Table({(0, "unknown key"): self._evaluate(node.value)})
        finally:
            self._frames.pop()

    def _comprehension(self, clause: cst.CompFor | None) -> None:
        while clause is not None:
            self._assign(clause.target, each(self._evaluate(clause.iter), self._item))
            for condition in clause.ifs:
                self._evaluate(condition.test)
            clause = clause.inner_for_in

    def _item(self, value: Value) -> Value:
        """Any one item of what is run over."""
        if isinstance(value, Items) and value.items:
            return join(value.items)
        if isinstance(value, Chain) and value.layers:
            return join(value.layers)
        return Data()

    def _value_IfExp(self, node: cst.IfExp) -> Value:
        holds = self._truth(node.test)
        if holds is not None:
            return self._evaluate(node.body if holds else node.orelse)
        return join([self._evaluate(node.body), self._evaluate(node.orelse)])

    def _value_BooleanOperation(self, node: cst.BooleanOperation) -> Value:
        left = self._evaluate(node.left)
        holds = truth(left)
        if holds is not None:
            return left if holds is isinstance(node.operator, cst.Or) else self._evaluate(node.right)
        return join([left, self._evaluate(node.right)])

    def _value_UnaryOperation(self, node: cst.UnaryOperation) -> Value:
        value = self._evaluate(node.expression)
        sign = type(node.operator).__name__
        if sign == "Not":
            holds = truth(value)
            return Data() if holds is None else Literal(not holds)
        if isinstance(value, Literal) and isinstance(value.value, int | float):
            if sign == "Minus":
                return Literal(-value.value)
            return value if sign == "Plus" else Data()
        name = {"Minus": "neg", "BitInvert": "compare"}.get(sign)
        return value if name is None else each(value, lambda v: self._unary(name, v, self._place(node)))

    def _unary(self, name: str, value: Value, place: Place) -> Value:
        if _is_loss(value):
            return value
        return operation(name, value, place)

    def _value_BinaryOperation(self, node: cst.BinaryOperation) -> Value:
        left, right = self._evaluate(node.left), self._evaluate(node.right)
        return self._binary(type(node.operator).__name__, left, right, self._place(node))

    def _binary(self, sign: str, left: Value, right: Value, place: Place) -> Value:
        if isinstance(left, Choice) or isinstance(right, Choice):
            return join([self._binary(sign, a, b, place) for a, b in product(options(left), options(right))])
        if sign == "Add" and isinstance(left, Items) and isinstance(right, Items):
            return Items(left.items + right.items, left.open or right.open)
        if sign == "Add" and isinstance(left, Items):
            return Items((*left.items, Data()), open=True)
        if sign == "BitOr" and isinstance(left, Table) and isinstance(right, Table):
            return Table({**left.entries, **right.entries})
        if isinstance(left, Literal) and isinstance(right, Literal):
            return _arithmetic(sign, left.value, right.value)
        for loss, other in ((left, right), (right, left)):
            if _is_loss(loss):
                return outside.both_losses(loss, other)
        name = ARITHMETIC.get(sign)
        if name is None:
            return Data()
        if isinstance(left, Literal | Items) and isinstance(right, Data):
            return operation({"sub": "rsub", "div": "rdiv", "pow": "rpow"}.get(name, name), right, place, other=plain(left))
        return operation(name, left, place, other=plain(right))

    def _value_Comparison(self, node: cst.Comparison) -> Value:
        left = self._evaluate(node.left)
        decided: bool | None = True
        for target in node.comparisons:
            right = self._evaluate(target.comparator)
            decided = None if decided is None else compared(type(target.operator).__name__, left, right)
            if decided is False:
                return Literal(False)
            last, left = left, right
        if decided is not None:
            return Literal(True)
        return operation("compare", last, self._place(node), dtype="bool")

    def _value_Lambda(self, node: cst.Lambda) -> Value:
        function = Function(node, self._frame.source, self._frame.scope)
        self._frame.functions.append(function)
        return function

    def _value_Await(self, node: cst.Await) -> Value:
        return self._evaluate(node.expression)

    def _value_Yield(self, node: cst.Yield) -> Value:
        if node.value is not None and not isinstance(node.value, cst.From):
            self._frame.yields.append(self._evaluate(node.value))
        else:
            self._frame.yields.append(Data())
        return Data()

    def _value_NamedExpr(self, node: cst.NamedExpr) -> Value:
        value = self._evaluate(node.value)
        self._assign(node.target, value)
        return value

    def _value_Attribute(self, node: cst.Attribute) -> Value:
        receiver = self._evaluate(node.value)
        return named(each(receiver, lambda value: self.attribute(value, node.attr.value, node)), node.attr.value)

    def attribute(self, value: Value, name: str, node: cst.CSTNode | None = None) -> Value:
        """What `value.name` is."""
        match value:
            case Outside():
                return Outside(f"{value.name}.{name}")
            case File():
                found = value.names.get(name) or self._from_stars_of(value, name)
                if found is None:
                    found = self._module(name, 1, value.source) if value.source.path.name == "__init__.py" else Data()
                return Data(name=name) if isinstance(found, Outside) and found.name.startswith(".") else found
            case Instance():
                return self._instance_attribute(value, name)
            case Class():
                member = value.member(name)
                if isinstance(member, Function) and "classmethod" in member.decorators:
                    return member.bound(value)
                return Method(value, name) if member is None else member
            case Made() if name in value.names:
                return value.names[name]
            case Table() if name in value.entries:
                return value.entries[name]
            case Data():
                return outside.tensor_attribute(value, name)
            case _:
                return Method(value, name)

    def _instance_attribute(self, instance: Instance, name: str) -> Value:
        if name in instance.names:
            return instance.names[name]
        member = instance.cls.member(name)
        if isinstance(member, Function):
            method = self._method(member, instance)
            is_property = any(d.split(".")[-1] in ("property", "cached_property") for d in member.decorators)
            return self._invoke(method, Arguments()) if is_property else method
        if member is not None:
            return member
        for part in instance.cls.lineage():
            for method_name, method in part.names.items() if isinstance(part, Class) else ():
                if not isinstance(method, Function) or not isinstance(method.node, cst.FunctionDef):
                    continue
                if method_name in instance.methods_called or name not in self._written_in(method.node):
                    continue
                instance.methods_called.add(method_name)
                bound = method.bound(instance)
                self._lastingly(lambda bound=bound: self._invoke(bound, Arguments(more=True)))  # type: ignore[misc]
                if name in instance.names:
                    return instance.names[name]
        return Method(instance, name)

    def _method(self, function: Function, receiver: Value) -> Function:
        if "staticmethod" in function.decorators:
            return function
        if "classmethod" in function.decorators and isinstance(receiver, Instance):
            return function.bound(receiver.cls)
        return function.bound(receiver)

    def _index(self, node: cst.Subscript) -> Value:
        if len(node.slice) == 1 and isinstance(node.slice[0].slice, cst.Index):
            return self._evaluate(node.slice[0].slice.value)
        return Data()

    def _value_Subscript(self, node: cst.Subscript) -> Value:
        receiver = self._evaluate(node.value)
        index = self._index(node)
        return each(receiver, lambda value: self._item_at(value, index, node))

    def _item_at(self, value: Value, index: Value, node: cst.Subscript) -> Value:
        key = plain(index)
        match value:
            case Items() if isinstance(key, int) and not value.open:
                return value.items[key] if -len(value.items) <= key < len(value.items) else Data()
            case Items() if key == -1 and value.items:
                return value.items[-1]
            case Items() if isinstance(node.slice[0].slice, cst.Slice) and len(node.slice) == 1:
                bounds = [
                    None if bound is None else plain(self._evaluate(bound))
                    for bound in (node.slice[0].slice.lower, node.slice[0].slice.upper, node.slice[0].slice.step)
                ]
                if value.open or any(bound is ... for bound in bounds):
                    return Items(value.items, open=True)
                return Items(value.items[slice(*bounds)])
            case Items() if value.items:
                return join(value.items)
            case Chain() if isinstance(key, int):
                return value.layers[key] if -len(value.layers) <= key < len(value.layers) else Data()
            case Table():
                if key is ... or not _hashable(key):
                    return join(value.entries.values()) if value.entries else Data()
                unknown = [entry for name, entry in value.entries.items() if isinstance(name, tuple)]
                found = value.entries.get(key)
                if found is None:
                    found = join(unknown) if unknown else Data(name=str(key))
                return named(found, str(key))
            case Data():
                columns = [self._evaluate(e.slice.value) if isinstance(e.slice, cst.Index) else None for e in node.slice]
                return outside.indexed(value, columns, key, self._place(node))
            case Instance() if value.cls.member("__getitem__") is not None:
                return self.call(self.attribute(value, "__getitem__"), Arguments((index,)), node)
            case _:
                return Data()

    # ----- calls -----

    def _value_Call(self, node: cst.Call) -> Value:
        if isinstance(node.func, cst.Name) and node.func.value == "super" and self._frame.function is not None:
            owner, receiver = self._frame.function.owner, self._frame.function.receiver
            if owner is not None and receiver is not None:
                return Super(receiver, owner)
        callee = self._evaluate(node.func)
        arguments = self._arguments(node.args)
        if isinstance(node.func, cst.Attribute) and self._changes(node.func, callee, arguments):
            return Literal(None)
        return each(callee, lambda value: self.call(value, arguments, node))

    def _arguments(self, nodes: Sequence[cst.Arg]) -> Arguments:
        positional: list[Value] = []
        named: dict[str, Value] = {}
        more = False
        for node in nodes:
            value = self._evaluate(node.value)
            if node.star == "*":
                value = in_one(value)
            if node.keyword is not None:
                named[node.keyword.value] = value
            elif node.star == "*":
                if isinstance(value, Items) and not value.open:
                    positional += value.items
                elif isinstance(value, Items | Chain):
                    positional += value.items if isinstance(value, Items) else value.layers
                    more = True
                else:
                    more = True
            elif node.star == "**":
                if isinstance(value, Table) and all(isinstance(name, str) for name in value.entries):
                    named |= value.entries
                else:
                    more = True
            else:
                positional.append(value)
        return Arguments(tuple(positional), named, more)

    def _changes(self, func: cst.Attribute, callee: Value, arguments: Arguments) -> bool:
        """Does what a method does to the list, dictionary or Sequential that it is called on."""
        changed = []
        for method in options(callee):
            if not isinstance(method, Method):
                return False
            new = outside.changed(method.receiver, method.name, arguments.positional, arguments.named)
            if new is None:
                return False
            changed.append(new)
        self._assign(func.value, join(changed))
        return True

    def call(self, value: Value, arguments: Arguments, node: cst.CSTNode) -> Value:
        """What a call gives; the losses in it are told of."""
        match value:
            case Function():
                return self._invoke(value, arguments)
            case Class():
                return self._construct(value, arguments, node)
            case Instance():
                return self._call_instance(value, arguments, node)
            case Layer() | Chain():
                given = arguments.get(0, "input")
                return Data() if given is None else self.through(value, given, node)
            case Criterion():
                return self._loss(value, arguments, node)
            case Partial():
                merged = Arguments(
                    value.positional + arguments.positional, {**value.named, **arguments.named}, arguments.more
                )
                return self.call(value.function, merged, node)
            case Method():
                return self._call_method(value, arguments, node)
            case Outside():
                return self._call_outside(value, arguments, node)
            case Made():
                return self._call_made(value, node)
            case Choice():
                return each(value, lambda option: self.call(option, arguments, node))
            case Data():
                return operation("call", None, self._place(node), function=value.name)
            case _:
                return Data()

    def through(self, layer: Value, given: Value, node: cst.CSTNode) -> Value:
        """What a layer makes of a tensor."""
        if isinstance(layer, Layer):
            return each(given, lambda value: outside.applied(layer.op, value, layer.settings, layer.place or self._place(node)))
        if isinstance(layer, Chain):
            for inner in layer.layers:
                given = self.through(inner, given, node)
            return given
        return self.call(layer, Arguments((given,)), node)

    def _invoke(self, function: Function, arguments: Arguments) -> Value:
        function.called = True
        running = [frame.function.node for frame in self._frames if frame.function is not None]
        name = function.node.name.value if isinstance(function.node, cst.FunctionDef) else ""
        if len(running) >= DEEPEST_CALLS or self._steps > self._limit or function.node in running:
            return operation("call", None, None, function=name)
        if isinstance(function.receiver, Instance) and name:
            function.receiver.methods_called.add(name)
        frame = Frame(Scope(outer=function.scope), function.source, function)
        self._frames.append(frame)
        try:
            self._bind(function, arguments)
            self._steps += 1
            if isinstance(function.node, cst.Lambda):
                return self._evaluate(function.node.body)
            self._suite(function.node.body)
            for inner in frame.functions:
                if not inner.called:
                    self._attempt(lambda inner=inner: bool(self._invoke(inner, Arguments(more=True))) and False)  # type: ignore[misc]  # fmt: skip
        finally:
            self._frames.pop()
        if frame.yields:
            return Items((join(frame.yields),), open=True)
        return join(frame.returns) if frame.returns else Literal(None)

    def _bind(self, function: Function, arguments: Arguments) -> None:
        """Gives the parameters of a function their values."""
        node = function.node.params
        positional = list(arguments.positional)
        if function.receiver is not None:
            positional.insert(0, function.receiver)
        names = self._frame.scope.names
        named = dict(arguments.named)
        for parameter in [*node.posonly_params, *node.params]:
            name = parameter.name.value
            if positional:
                names[name] = positional.pop(0)
            else:
                names[name] = self._parameter(parameter, named, arguments.more)
        for parameter in node.kwonly_params:
            names[parameter.name.value] = self._parameter(parameter, named, arguments.more)
        if isinstance(node.star_arg, cst.Param):
            names[node.star_arg.name.value] = Items(tuple(positional), open=arguments.more)
        if node.star_kwarg is not None:
            names[node.star_kwarg.name.value] = Data() if arguments.more else Table(named)

    def _parameter(self, parameter: cst.Param, named: dict[str, Value], unknown: bool) -> Value:
        name = parameter.name.value
        if name in named:
            return named.pop(name)
        default = None if parameter.default is None else self._evaluate(parameter.default)
        if default is not None and not (unknown and isinstance(default, Literal | Data | Items | Table)):
            return default
        return self._annotated(parameter.annotation, Data(PARAMETER, name=name))

    def _annotated(self, annotation: cst.Annotation | None, otherwise: Value) -> Value:
        """An object of the class that an annotation names."""
        if annotation is None:
            return otherwise
        written = annotation.annotation
        if isinstance(written, cst.SimpleString):
            text = written.evaluated_value
            written = cst.parse_expression(text) if isinstance(text, str) and text.isidentifier() else written
        if not isinstance(written, cst.Name | cst.Attribute):
            return otherwise
        value = self._evaluate(written)
        if isinstance(value, Class) and value.member("forward") is not None:
            return self._generic(value)
        form = forms().get(qualified(value.name)) if isinstance(value, Outside) else None
        if form is not None and form.is_module:
            return Criterion(form.loss, dict.fromkeys(form.settings, ...), form.own)
        return otherwise

    # ----- objects -----

    def _construct(self, cls: Class, arguments: Arguments, node: cst.CSTNode) -> Value:
        if self._steps > self._limit or len(self._frames) > DEEPEST_CALLS:
            return self._generic(cls) if cls.instance is not None else Data()
        instance = Instance(cls)
        self._fill(instance, arguments, node)
        instance.made_with = dict(instance.names)
        self._instances.setdefault(self._frame.source, []).append(instance)
        return instance

    def _fill(self, instance: Instance, arguments: Arguments, node: cst.CSTNode | None) -> Instance:
        """Runs `__init__`."""
        cls = instance.cls
        base = next((part for part in cls.lineage() if isinstance(part, Outside)), None)
        if base is not None:
            instance.core = self._core(base, Arguments(), None)
        init = cls.member("__init__")
        if isinstance(init, Function):
            instance.methods_called.add("__init__")
            self._invoke(init.bound(instance), arguments)
        elif cls.fields:
            for place, name in enumerate(cls.fields):
                given = arguments.get(place, name)
                if given is not None:
                    instance.names[name] = given
        elif base is not None and node is not None:
            instance.core = self._core(base, arguments, node)
        return instance

    def _core(self, base: Outside, arguments: Arguments, node: cst.CSTNode | None) -> Value | None:
        """What an object is by a base of torch's."""
        name = qualified(base.name)
        form = forms().get(name)
        if form is not None and form.is_module:
            if node is None:
                return Criterion(form.loss, dict(form.settings), form.own)
            return self._criterion(form, arguments, node)
        if name.startswith(("torch.nn.", "lossmith.nn.")) and name != "torch.nn.Module":
            made = outside.module(name.rsplit(".", 1)[-1], arguments.positional, arguments.named, None)
            return made if isinstance(made, Layer | Chain) else None
        return None

    def _call_instance(self, instance: Instance, arguments: Arguments, node: cst.CSTNode) -> Value:
        for name in ("__call__", "forward"):
            method = instance.cls.member(name)
            if isinstance(method, Function):
                return self._invoke(self._method(method, instance), arguments)
            if name in instance.names:
                return self.call(instance.names[name], arguments, node)
        if instance.core is not None:
            return self.call(instance.core, arguments, node)
        return operation("call", None, self._place(node), function=instance.cls.node.name.value)

    def _call_made(self, made: Made, node: cst.CSTNode) -> Value:
        """What a pretrained model gives: what its last layer, if that was exchanged, makes of something unknown."""
        for name in HEADS:
            head = made.names.get(name)
            if head is not None:
                return self.call(head, Arguments((Data(),)), node)
        return operation("call", None, self._place(node), function=made.function)

    def _call_method(self, method: Method, arguments: Arguments, node: cst.CSTNode) -> Value:
        receiver, name = method.receiver, method.name
        if isinstance(receiver, Super):
            return self._call_super(receiver, name, arguments, node)
        if isinstance(receiver, Data):
            return self._call_on_tensor(receiver, name, arguments, node)
        if name in ("forward", "__call__") and isinstance(receiver, Criterion | Layer | Chain | Instance):
            core = receiver.core if isinstance(receiver, Instance) else receiver
            return Data() if core is None else self.call(core, arguments, node)
        if name == "__init__" and isinstance(receiver, Class):
            return Literal(None)
        if isinstance(receiver, Instance) and name == "add_module" and len(arguments.positional) == 2:
            key, layer = arguments.positional
            if isinstance(receiver.core, Chain):
                receiver.core = Chain((*receiver.core.layers, layer))
            if isinstance(key, Literal):
                self._write(receiver, str(key.value), layer)
            return Literal(None)
        if name in MODULE_METHODS and isinstance(receiver, Criterion | Layer | Chain | Instance | Made | Items | Table):
            return receiver
        return outside.method(receiver, name, arguments.positional, self._place(node))

    def _call_super(self, parent: Super, name: str, arguments: Arguments, node: cst.CSTNode) -> Value:
        for base in parent.owner.bases:
            member = base.member(name) if isinstance(base, Class) else None
            if isinstance(member, Function):
                return self._invoke(self._method(member, parent.receiver), arguments)
        receiver = parent.receiver
        if not isinstance(receiver, Instance):
            return Data()
        if name == "__init__":
            outer = next((part for part in parent.owner.lineage() if isinstance(part, Outside)), None)
            if outer is not None:
                receiver.core = self._core(outer, arguments, node)
            return Literal(None)
        return self._call_method(Method(receiver, name), arguments, node)

    def _call_on_tensor(self, receiver: Data, name: str, arguments: Arguments, node: cst.CSTNode) -> Value:
        if name == "backward" and _is_loss(receiver):
            settings: Mapping[str, Any] = {}
            site = Site("backward", receiver.known.settings["loss"], settings, {"result": known(receiver)})
            self._report(self._place(node), [site], receiver)
            return Literal(None)
        return outside.tensor_method(receiver, name, arguments.positional, arguments.named, self._place(node))

    # ----- what is not among the files -----

    def _call_outside(self, function: Outside, arguments: Arguments, node: cst.CSTNode) -> Value:
        name = qualified(function.name)
        form = forms().get(name)
        if form is not None:
            return self._criterion(form, arguments, node) if form.is_module else self._function(form, arguments, node)
        if name == "builtins.getattr" and len(arguments.positional) >= 2:
            key = plain(arguments.positional[1])
            found = [self.attribute(v, key) for v in options(arguments.positional[0])] if isinstance(key, str) else []
            return join(found) if found else Data()
        if name == "builtins.setattr" and len(arguments.positional) == 3:
            holder, key = arguments.positional[0], plain(arguments.positional[1])
            if isinstance(holder, Instance | Made | Class) and isinstance(key, str):
                self._write(holder, key, arguments.positional[2])
            return Literal(None)
        if name == "builtins.map" and len(arguments.positional) == 2:
            function_value, over = arguments.positional
            items = over.items if isinstance(over, Items) else (Data(),)
            is_open = not isinstance(over, Items) or over.open
            return Items(tuple(self.call(function_value, Arguments((item,)), node) for item in items), is_open)
        return outside.called(name, arguments.positional, arguments.named, self._place(node), arguments.more)

    # ----- losses -----

    def _criterion(self, form: Form, arguments: Arguments, node: cst.CSTNode) -> Criterion:
        """A Module that is a loss is made."""
        settings = dict(form.settings)
        if arguments.more:
            settings = dict.fromkeys(settings, ...)
        for name, value in zip(form.settings, arguments.positional, strict=False):
            settings[name] = _setting(value)
        settings |= {name: _setting(value) for name, value in arguments.named.items() if name in settings}
        settings = with_reduction(settings)
        given = {
            name: known(value)
            for name, value in zip(form.tensors, arguments.positional, strict=False)
            if plain(value) is ... and not isinstance(value, Choice)
        }
        self._report(self._place(node), [Site("constructor", form.loss, settings, given, form.own)], None)
        return Criterion(form.loss, settings, form.own)

    def _function(self, form: Form, arguments: Arguments, node: cst.CSTNode) -> Value:
        """A loss is computed by its function."""
        settings = dict.fromkeys(form.settings, ...) if arguments.more else dict(form.settings)
        for name, value in zip(form.settings, arguments.positional[len(form.tensors) :], strict=False):
            settings[name] = _setting(value)
        settings |= {name: _setting(value) for name, value in arguments.named.items() if name in settings}
        return self._computed(form.loss, form.tensors, with_reduction(settings), arguments, node, form.own, functional=True)

    def _loss(self, criterion: Criterion, arguments: Arguments, node: cst.CSTNode) -> Value:
        """A loss is computed by its Module."""
        tensors = next(form.tensors for form in forms().values() if form.loss == criterion.loss)
        return self._computed(criterion.loss, tensors, criterion.settings, arguments, node, criterion.own, functional=False)

    def _computed(
        self,
        loss: str,
        tensors: Sequence[str],
        settings: Mapping[str, Any],
        arguments: Arguments,
        node: cst.CSTNode,
        own: bool,
        functional: bool,
    ) -> Value:
        given = {name: arguments.get(place, name) or Data() for place, name in enumerate(tensors)}
        alternatives = [[o for o in options(v) if o != Literal(None)] or [Data()] for v in given.values()]
        found = list(product(*alternatives)) if _product_of_lengths(alternatives) <= MOST_SITES else []
        sites = [
            Site("call", loss, settings, dict(zip(tensors, map(known, values), strict=True)), own, functional, bool(self._frame.loops))  # fmt: skip
            for values in found
        ]
        first = found[0][0] if found else None
        if sites:
            self._report(self._place(node), sites, first if isinstance(first, Data) else None)
        detached = bool(found) and all(_are_cut([known(value) for value in values]) for values in found)
        return operation("loss", first, self._place(node), loss=loss, detached=detached)


NOT_LEARNED = frozenset(
    {"", "parameter", "literal", "one_hot", "argmax", "zeros", "ones", "full", "rand", "randn", "randint"}
)
"""What a target may be whose making is no network's."""

ARITHMETIC = {
    "Add": "add",
    "Subtract": "sub",
    "Multiply": "mul",
    "Divide": "div",
    "FloorDivide": "div",
    "Power": "pow",
    "MatrixMultiply": "matmul",
    "Modulo": "remainder",
    "BitAnd": "compare",
    "BitOr": "compare",
}

PYTHON: Mapping[str, Callable[[Any, Any], Any]] = {
    "Add": operator.add,
    "Subtract": operator.sub,
    "Multiply": operator.mul,
    "Divide": operator.truediv,
    "FloorDivide": operator.floordiv,
    "Modulo": operator.mod,
}

COMPARED: Mapping[str, Callable[[Any, Any], Any]] = {
    "Equal": operator.eq,
    "NotEqual": operator.ne,
    "LessThan": operator.lt,
    "LessThanEqual": operator.le,
    "GreaterThan": operator.gt,
    "GreaterThanEqual": operator.ge,
    "In": lambda a, b: a in b,
    "NotIn": lambda a, b: a not in b,
}


def walk(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """The node and everything in it."""
    waiting = [node]
    while waiting:
        part = waiting.pop()
        yield part
        waiting += part.children


def truth(value: Value) -> bool | None:
    """Whether a value is true in a condition; None where that is not known."""
    match value:
        case Literal():
            return bool(value.value)
        case Items() if not value.open:
            return bool(value.items)
        case Function() | Class() | Layer() | Chain() | Criterion() | Partial() | Instance():
            return True
        case _:
            return None


def compared(sign: str, left: Value, right: Value) -> bool | None:
    """What a comparison gives; None where that is not known."""
    if sign in ("Is", "IsNot"):
        same: bool | None = None
        for one, other in ((left, right), (right, left)):
            if isinstance(one, Literal) and one.value is None:
                if isinstance(other, Literal):
                    same = other.value is None
                elif not isinstance(other, Data | Choice | Method):
                    same = False
        return None if same is None else same is (sign == "Is")
    one, other = plain(left), plain(right)
    if one is ... or other is ... or sign not in COMPARED or isinstance(left, Data) or isinstance(right, Data):
        return None
    try:
        return bool(COMPARED[sign](one, other))
    except TypeError:
        return None


def _arithmetic(sign: str, left: Any, right: Any) -> Value:
    numbers = isinstance(left, int | float) and isinstance(right, int | float)
    if sign not in PYTHON or not (numbers or (sign == "Add" and isinstance(left, str) and isinstance(right, str))):
        return Data()
    try:
        return Literal(PYTHON[sign](left, right))
    except (ArithmeticError, TypeError, ValueError):
        return Data()


def _unknown_part(value: Value) -> Value:
    """An attribute of something unknown, where it is no method after all."""
    return Data(name=value.name) if isinstance(value, Method) and isinstance(value.receiver, Made | Data) else value


def _setting(value: Value) -> Any:
    found = {repr(plain(option)): plain(option) for option in options(value)}
    return next(iter(found.values())) if len(found) == 1 else ...


def _are_cut(tensors: Sequence[Known]) -> bool:
    """Whether a loss of these has no gradient: its prediction is detached, and no other comes from a network."""
    return tensors[0].detached and all(other.detached or other.op in NOT_LEARNED for other in tensors[1:])


def _is_loss(value: Value) -> bool:
    return isinstance(value, Data) and value.known.op == "loss"


def _hashable(key: Any) -> bool:
    return isinstance(key, str | int | float | bool | None | bytes)


def _product_of_lengths(lists: Iterable[Sequence[Any]]) -> int:
    count = 1
    for one in lists:
        count *= len(one)
    return count


def _dotted(node: cst.CSTNode) -> str:
    """A name with its attributes, as written; a question mark stands for anything else."""
    if isinstance(node, cst.Name):
        return node.value
    if isinstance(node, cst.Attribute):
        return f"{_dotted(node.value)}.{node.attr.value}"
    return "?"
