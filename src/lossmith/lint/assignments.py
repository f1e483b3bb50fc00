"""Assignments: to names, attributes and items, with what is unpacked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import libcst as cst

from ..rule import Site
from . import outside
from .losses import forms, qualified
from .machine import (
    Machine,
    dotted,
)
from .values import (
    Chain,
    Class,
    Criterion,
    Data,
    File,
    Instance,
    Items,
    Layer,
    Made,
    Method,
    Outside,
    Table,
    Value,
    hashable,
    join,
    operation,
    options,
    plain,
)


class Assignments(Machine):
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
        if (
            isinstance(value, Data)
            and count == 2
            and value.known.op in ("max", "min", "topk", "sort", "mode", "median")
        ):
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
            elif hashable(key):
                entries[key] = value
            self._assign(target.value, Table(entries))
        elif isinstance(holder, Items | Chain) and isinstance(key, int) and not isinstance(key, bool):
            items = list(holder.items if isinstance(holder, Items) else holder.layers)
            if -len(items) <= key < len(items):
                items[key] = value
                changed = replace(holder, items=tuple(items)) if isinstance(holder, Items) else Chain(tuple(items))
                self._assign(target.value, changed)
        elif (
            isinstance(holder, Data)
            and isinstance(target.value, cst.Attribute)
            and isinstance(value, Layer | Chain | Instance)
            and key not in (0, ...)
        ):  # the last layer of a pretrained model's classifier
            self._assign(target.value, Chain((value,)))

    def _shadowing(self, target: cst.BaseExpression, value: cst.BaseExpression) -> None:
        """Tells of `loss = loss(...)`, where a criterion is lost."""
        if not isinstance(value, cst.Call) or not isinstance(target, cst.Name | cst.Attribute):
            return
        if dotted(target) != dotted(value.func) or "?" in dotted(target):
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
            return function is None or function.name != "__init__"
        if not self._frame.loops:
            return False
        key = (id(self._scope_of(target.value)), target.value)
        return not any(key in log for log in self._logs[self._frame.loops[-1].level :])


def _unknown_part(value: Value) -> Value:
    """An attribute of something unknown, where it is no method after all."""
    return Data(name=value.name) if isinstance(value, Method) and isinstance(value.receiver, Made | Data) else value
