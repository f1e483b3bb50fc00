"""Runs source without its numbers: what each name may hold at each place, and what is given to each loss.

Branches whose condition is known are taken, others all; where they meet, a name holds a `Choice`. Functions and classes
of the files are followed into, with what they are called with. What a loop or a long chain of calls would change
further is left open: unknown is silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import libcst as cst

from ..rule import Site
from .assignments import Assignments
from .calls import Calls
from .expressions import Expressions
from .imports import Imports
from .machine import (
    MOST_INSTANCES,
    MOST_STEPS,
    MOST_STEPS_OF_A_FILE,
    Arguments,
    Frame,
    walk,
)
from .source import SPEAKS, Source
from .statements import Statements
from .values import (
    Class,
    Data,
    File,
    Function,
    Instance,
    Literal,
    Place,
    Scope,
)


class Interpreter(Statements, Imports, Assignments, Expressions, Calls):
    """Runs files; `report` is told of each place that speaks of a loss, with the alternatives of what is there."""

    def __init__(
        self,
        open_file: Callable[[Path], Source | None],
        report: Callable[[Place, Sequence[Site], Data | None], None],
    ) -> None:
        super().__init__(open_file, report)
        self._files: dict[Path, File] = {}
        self._functions: dict[Source, list[Function]] = {}
        self._speaking: dict[int, bool] = {}

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
        self._attempt(partial(self._invoke, function, Arguments(more=True)))

    def _run_methods(self, cls: Class, instance: Instance, without: Iterable[str] = ()) -> None:
        done = set(without) | {"__init__"}
        for part in cls.lineage():
            if not isinstance(part, Class):
                continue
            for name, member in part.names.items():
                if isinstance(member, Function) and name not in done:
                    done.add(name)
                    if part is cls or self._speaks(member.node):
                        self._as_root(member.of(instance))

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
            self._lastingly(partial(self._fill, instance, Arguments(more=True), None))
        return cls.instance
