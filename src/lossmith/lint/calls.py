"""Calls: functions and classes of the files are followed into, losses are told of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

import libcst as cst

from ..rule import Known, Site
from . import outside
from .losses import Form, forms, qualified, with_reduction
from .machine import (
    DEEPEST_CALLS,
    MOST_SITES,
    Arguments,
    Frame,
    Machine,
    asked,
)
from .values import (
    PARAMETER,
    Chain,
    Choice,
    Class,
    Criterion,
    Data,
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
    Super,
    Table,
    Value,
    chosen_by,
    each,
    in_one,
    is_loss,
    join,
    known,
    operation,
    options,
    plain,
    setting,
)
from .vocabulary import HEADS, MODULE_METHODS, TRAINERS


class Calls(Machine):
    def _value_Call(self, node: cst.Call) -> Value:
        if isinstance(node.func, cst.Name) and node.func.value == "super" and self._frame.function is not None:
            owner, receiver = self._frame.function.owner, self._frame.function.receiver
            if owner is not None and receiver is not None:
                return Super(receiver, owner)
        callee = self._evaluate(node.func)
        arguments = self._arguments(node.args)
        if isinstance(node.func, cst.Attribute) and self._changes(node.func, callee, arguments):
            return Literal(None)
        if isinstance(callee, Choice) and self._chosen_alike(callee):
            result = self._call_together(callee, arguments, node)
        else:
            result = each(callee, lambda value: self.call(value, arguments, node))
        return chosen_by(result, frozenset(name for argument in node.args for name in asked(argument.value)))

    def _chosen_alike(self, callee: Choice) -> bool:
        """Whether a branch that the program is in asks for what the choice depends on: not all are called here."""
        return any(guard.names & callee.asked for guard in self._assumed())

    def _call_together(self, callee: Choice, arguments: Arguments, node: cst.CSTNode) -> Value:
        """Calls every option; only what they all show is told of."""
        told: list[list[Site]] = []
        report = self._report

        def listen(place: Place, sites: Sequence[Site], origin: Data | None) -> None:
            if place.node is node and sites[0].kind == "call":
                told[-1] += sites

        def call(value: Value) -> Value:
            told.append([])
            return self.call(value, arguments, node)

        self._report = listen
        try:
            result = each(callee, call)
        finally:
            self._report = report
        if all(told):
            report(self._place(node), [site for sites in told for site in sites], None)
        return result

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
            return each(
                given, lambda value: outside.applied(layer.op, value, layer.settings, layer.place or self._place(node))
            )
        if isinstance(layer, Chain):
            for inner in layer.layers:
                given = self.through(inner, given, node)
            return given
        return self.call(layer, Arguments((given,)), node)

    def _invoke(self, function: Function, arguments: Arguments) -> Value:
        function.called = True
        running = [frame.function.node for frame in self._frames if frame.function is not None]
        name = function.name
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
                    self._attempt(partial(self._invoke, inner, Arguments(more=True)))
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
                return self._invoke(method.of(instance), arguments)
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
                return self._invoke(member.of(parent.receiver), arguments)
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
        if name == "backward" and is_loss(receiver):
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
        if name.rsplit(".", 1)[-1] in TRAINERS:
            self._train(arguments, node)
        if name == "builtins.map" and len(arguments.positional) == 2:
            function_value, over = arguments.positional
            items = over.items if isinstance(over, Items) else (Data(),)
            is_open = not isinstance(over, Items) or over.open
            return Items(tuple(self.call(function_value, Arguments((item,)), node) for item in items), is_open)
        return outside.called(name, arguments.positional, arguments.named, self._place(node), arguments.more)

    def _train(self, arguments: Arguments, node: cst.CSTNode) -> None:
        """A trainer calls the criterion that it is given with what the model that it is given makes."""
        given = [*arguments.positional, *arguments.named.values()]
        models = [value for value in given if isinstance(value, Instance | Chain | Made)]
        criteria = [value for value in given if isinstance(value, Criterion)]
        if len(models) == len(criteria) == 1:
            output = self.call(models[0], Arguments((Data(),)), node)
            self.call(criteria[0], Arguments((output, Data())), node)

    # ----- losses -----

    def _criterion(self, form: Form, arguments: Arguments, node: cst.CSTNode) -> Criterion:
        """A Module that is a loss is made."""
        settings = dict(form.settings)
        if arguments.more:
            settings = dict.fromkeys(settings, ...)
        for name, value in zip(form.settings, arguments.positional, strict=False):
            settings[name] = setting(value)
        settings |= {name: setting(value) for name, value in arguments.named.items() if name in settings}
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
            settings[name] = setting(value)
        settings |= {name: setting(value) for name, value in arguments.named.items() if name in settings}
        return self._computed(
            form.loss, form.tensors, with_reduction(settings), arguments, node, form.own, functional=True
        )

    def _loss(self, criterion: Criterion, arguments: Arguments, node: cst.CSTNode) -> Value:
        """A loss is computed by its Module."""
        tensors = next(form.tensors for form in forms().values() if form.loss == criterion.loss)
        return self._computed(
            criterion.loss, tensors, criterion.settings, arguments, node, criterion.own, functional=False
        )

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
        in_loop, negated = bool(self._frame.loops), id(node) in self._negated
        sites = [
            Site(
                "call",
                loss,
                settings,
                dict(zip(tensors, map(known, values), strict=True)),
                own=own,
                functional=functional,
                in_loop=in_loop,
                negated=negated,
            )
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


def _are_cut(tensors: Sequence[Known]) -> bool:
    """Whether a loss of these has no gradient: its prediction is detached, and no other comes from a network."""
    return tensors[0].detached and all(other.detached or other.op in NOT_LEARNED for other in tensors[1:])


def _product_of_lengths(lists: Iterable[Sequence[Any]]) -> int:
    count = 1
    for one in lists:
        count *= len(one)
    return count
