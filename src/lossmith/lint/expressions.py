"""Expressions: what each may be."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import libcst as cst

from . import outside
from .machine import (
    MOST_UNROLLED,
    Arguments,
    Machine,
    asked,
)
from .values import (
    Chain,
    Choice,
    Class,
    Criterion,
    Data,
    File,
    Function,
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
    Table,
    Value,
    chosen_by,
    each,
    hashable,
    in_one,
    is_loss,
    join,
    meeting,
    named,
    operation,
    options,
    plain,
)


class Expressions(Machine):
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
                entries[key if key is not ... and hashable(key) else (len(entries), "unknown key")] = value
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
        branches = []
        for branch, taken in ((node.body, True), (node.orelse, False)):
            guard = self._guard(node.test, taken)
            self._frame.assumed.append(guard)
            branches.append((self._evaluate(branch), frozenset({guard})))
            self._frame.assumed.pop()
        return meeting(branches)

    def _value_BooleanOperation(self, node: cst.BooleanOperation) -> Value:
        left = self._evaluate(node.left)
        holds = truth(left)
        if holds is not None:
            return left if holds is isinstance(node.operator, cst.Or) else self._evaluate(node.right)
        return join([left, self._evaluate(node.right)])

    def _value_UnaryOperation(self, node: cst.UnaryOperation) -> Value:
        sign = type(node.operator).__name__
        if sign == "Minus":
            self._negated.add(id(node.expression))
        value = self._evaluate(node.expression)
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
        if is_loss(value):
            return value
        return operation(name, value, place)

    def _value_BinaryOperation(self, node: cst.BinaryOperation) -> Value:
        if isinstance(node.operator, cst.Multiply):
            for one, other in ((node.left, node.right), (node.right, node.left)):
                if isinstance(one, cst.UnaryOperation) and isinstance(one.operator, cst.Minus):
                    self._negated.add(id(other))
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
            if is_loss(loss):
                return outside.both_losses(loss, other)
        name = ARITHMETIC.get(sign)
        if name is None:
            return Data()
        if isinstance(left, Literal | Items) and isinstance(right, Data):
            return operation(
                {"sub": "rsub", "div": "rdiv", "pow": "rpow"}.get(name, name), right, place, other=plain(left)
            )
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
        found = each(receiver, lambda value: self.attribute(value, node.attr.value))
        return named(found.under(self._assumed()) if isinstance(found, Choice) else found, node.attr.value)

    def attribute(self, value: Value, name: str) -> Value:
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
            method = member.of(instance)
            is_property = any(d.split(".")[-1] in ("property", "cached_property") for d in member.decorators)
            return self._invoke(method, Arguments()) if is_property else method
        if member is not None:
            return member
        for part in instance.cls.lineage():
            for method_name, setter in part.names.items() if isinstance(part, Class) else ():
                if not isinstance(setter, Function) or not isinstance(setter.node, cst.FunctionDef):
                    continue
                if method_name in instance.methods_called or name not in self._written_in(setter.node):
                    continue
                instance.methods_called.add(method_name)
                self._lastingly(partial(self._invoke, setter.bound(instance), Arguments(more=True)))
                if name in instance.names:
                    return instance.names[name]
        return Method(instance, name)

    def _index(self, node: cst.Subscript) -> Value:
        if len(node.slice) == 1 and isinstance(node.slice[0].slice, cst.Index):
            return self._evaluate(node.slice[0].slice.value)
        return Data()

    def _value_Subscript(self, node: cst.Subscript) -> Value:
        receiver = self._evaluate(node.value)
        index = self._index(node)
        found = each(receiver, lambda value: self._item_at(value, index, node))
        return chosen_by(found, frozenset(name for element in node.slice for name in asked(element)))

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
                if key is ... or not hashable(key):
                    return join(value.entries.values()) if value.entries else Data()
                unknown = [entry for name, entry in value.entries.items() if isinstance(name, tuple)]
                found = value.entries.get(key)
                if found is None:
                    found = join(unknown) if unknown else Data(name=str(key))
                return named(found, str(key))
            case Data():
                columns = [
                    self._evaluate(e.slice.value) if isinstance(e.slice, cst.Index) else None for e in node.slice
                ]
                return outside.indexed(value, columns, key, self._place(node))
            case Instance() if value.cls.member("__getitem__") is not None:
                return self.call(self.attribute(value, "__getitem__"), Arguments((index,)), node)
            case _:
                return Data()


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
