"""Statements: what is run, in which order, and what branches leave behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import libcst as cst

from .machine import (
    MISSING,
    MOST_UNROLLED,
    Frame,
    Loop,
    Machine,
    Written,
    dotted,
)
from .values import (
    Class,
    Data,
    Function,
    Instance,
    Items,
    Literal,
    Scope,
    Value,
    each,
)


class Statements(Machine):
    def _block(self, statements: Iterable[cst.CSTNode]) -> bool:
        """Runs statements in their order; whether they left for good (return, raise, break, continue)."""
        frame = self._frame
        before = len(frame.assumed)
        for statement in statements:
            for part in statement.body if isinstance(statement, cst.SimpleStatementLine) else (statement,):
                self._steps += 1
                run = getattr(self, f"_run_{type(part).__name__}", None)
                if run is not None and run(part):
                    del frame.assumed[before:]
                    return True
        del frame.assumed[before:]
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
        runs = [lambda: self._suite(node.body), lambda: self._orelse(node.orelse)]
        return self._branches(runs, [self._guard(node.test, True), self._guard(node.test, False)])

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
        runs += [partial(self._suite, handler.body) for handler in node.handlers]
        ended = self._branches(runs)
        if node.finalbody is not None and self._suite(node.finalbody.body):
            return True
        return ended

    _run_TryStar = _run_Try

    def _run_Match(self, node: cst.Match) -> bool:
        self._evaluate(node.subject)
        runs: list[Callable[[], bool]] = [partial(self._suite, case.body) for case in node.cases]
        if not any(_matches_all(case) for case in node.cases):
            runs.append(lambda: False)
        return self._branches(runs)

    def _run_FunctionDef(self, node: cst.FunctionDef) -> bool:
        frame = self._frame
        applied = (part.decorator for part in node.decorators)
        decorators = tuple(dotted(part.func if isinstance(part, cst.Call) else part) for part in applied)
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


def _matches_all(case: cst.MatchCase) -> bool:
    """Whether it is the case of all that no other took: `case _`."""
    return case.guard is None and isinstance(case.pattern, cst.MatchAs) and case.pattern.pattern is None
