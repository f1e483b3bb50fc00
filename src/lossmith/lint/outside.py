"""What is not among the files: what torch's and Python's own functions, methods and layers give."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch

import lossmith

from ..rule import Known
from .values import (
    Chain,
    Choice,
    Criterion,
    Data,
    Instance,
    Items,
    Layer,
    Literal,
    Made,
    Method,
    Outside,
    Partial,
    Place,
    Table,
    Value,
    each,
    join,
    known,
    operation,
    options,
    plain,
    setting,
)
from .vocabulary import (
    CASTS,
    CLASSES,
    CREATED,
    DETACHING,
    ELEMENTWISE,
    OPERATIONS,
    PARAMETERS,
    PROBABILITIES,
    SEEN_THROUGH,
    VIEWS,
    WRAPPERS,
    snake,
)

BUILTINS = frozenset(vars(builtins))
OF_DICTIONARIES = frozenset({"get", "pop"})
"""Methods with a default that something unknown may have."""
TENSOR_METHODS = frozenset(dir(torch.Tensor)) | {"softmax", "log_softmax"}
LIBRARIES = frozenset(sys.stdlib_module_names) | {
    "torch", "lossmith", "torchvision", "numpy", "scipy", "sklearn", "matplotlib", "pandas", "tqdm", "PIL", "cv2",
    "transformers", "pytorch_lightning", "lightning", "accelerate", "timm", "tensorflow", "keras", "jax",
}  # fmt: skip
"""What an import finds outside of the files, whatever lies beside them."""


def is_library(name: str) -> bool:
    return name.split(".")[0] in LIBRARIES


@cache
def exports(module: str, name: str) -> bool:
    """Whether `from module import *` brings a name."""
    known_modules = {
        "torch": torch,
        "torch.nn": torch.nn,
        "torch.nn.functional": torch.nn.functional,
        "torch.special": torch.special,
        "torch.nn.modules": torch.nn.modules,
        "lossmith": lossmith,
        "lossmith.functional": lossmith.functional,
    }
    return module in known_modules and not name.startswith("_") and hasattr(known_modules[module], name)


# ----- tensors -----


def both_losses(loss: Value, other: Value) -> Value:
    """Arithmetic on a loss is a loss, with a gradient if one of its parts has one."""
    assert isinstance(loss, Data)
    if loss.known.detached and not isinstance(other, Literal):
        attached = isinstance(other, Data) and (other.known.op == "loss" and not other.known.detached)
        unsure = isinstance(other, Data) and other.known.op != "loss"
        if unsure:
            return Data()
        if attached:
            return other
    return loss


def tensor_attribute(value: Data, name: str) -> Value:
    """`tensor.name`."""
    if name == "data":
        return replace(value, known=replace(value.known, detached=True))
    if name in ("T", "mT", "H"):
        return reshaped(value)
    if name == "module":
        return value
    if name in OF_DICTIONARIES:
        return Method(value, name)
    if name in TENSOR_METHODS and name not in ("shape", "grad", "device", "dtype", "ndim", "names"):
        return Method(value, name)
    if value.known.op in ("max", "min", "topk", "sort") and name in ("values", "indices"):
        return value if name == "values" else operation("argmax", value, value.place, dtype="long", detached=True)
    return Data(name=name)


def indexed(value: Data, columns: Sequence[Value | None], key: Any, place: Place) -> Value:
    """`tensor[...]`: rows and elementwise results stay what they are, a column of classes does not."""
    if isinstance(key, str):
        return Data(name=key)
    if value.known.op in ("max", "min", "topk", "sort") and key in (0, 1):
        return value if key == 0 else operation("argmax", value, value.place, dtype="long", detached=True)
    if value.known.op in ("call", "parameter", "") or value.known.op in _STATEFUL:
        return Data(name=value.name)
    if value.known.op in CLASSES:
        chosen = [c for c in columns[1:] if c is not None and not _keeps_dimension(c)]
        return operation("select", value, place) if chosen else reshaped(value)
    return reshaped(value)


def reshaped(value: Value) -> Value:
    """The same numbers in other sizes, as far as can be told."""
    return replace(value, known=replace(value.known, reshaped=True)) if isinstance(value, Data) else value


_STATEFUL = frozenset({"lstm", "gru", "rnn", "multihead_attention", "multi_head_attention_forward"})


def _keeps_dimension(index: Value) -> bool:
    return plain(index) is None or (isinstance(index, Outside) and index.name == "builtins.Ellipsis")


def applied(op: str, value: Value, settings: Mapping[str, Any], place: Place) -> Value:
    """What an operation, a function of torch or a layer makes of its first operand."""
    if isinstance(value, Choice):
        filled = [option for option in value.options if option != Items()]
        return join([applied(op, option, settings, place) for option in filled or value.options])
    tensor = known(value)
    if tensor.op == "loss" and op not in DETACHING and op != "item":
        return value
    if op in SEEN_THROUGH:
        return reshaped(value) if op in VIEWS else value
    if op == "clamp":
        if tensor.op in PROBABILITIES:
            return value
        low, high = settings.get("min"), settings.get("max")
        if low is not ... and high is None and low == 0:
            return operation("relu", value, place)
    if op in ("stack", "cat"):
        return _stacked(op, value, settings, place)
    flags: dict[str, Any] = {"detached": tensor.detached}
    if op == "one_hot":
        flags["dtype"] = "long"
    if op in ("argmax", "argmin"):
        flags |= {"dtype": "long", "detached": True}
    if op == "compare":
        flags["dtype"] = "bool"
    if op == "item":
        flags["detached"] = True
    return operation(op, value, place, **{**settings, **flags})


def _stacked(op: str, value: Value, settings: Mapping[str, Any], place: Place) -> Value:
    """Several tensors in one: what all of them are."""
    if not isinstance(value, Items) or not value.items:
        return operation(op, None, place, **settings)
    combined = [
        Data(known(option), option.place if isinstance(option, Data) else None)
        for item in value.items
        for option in options(item)
    ]
    first = combined[0]
    if any(other.known.op != first.known.op for other in combined) or not first.known.op:
        return operation(op, None, place, **settings)
    stays = first.known.op in ELEMENTWISE or (first.known.op in CLASSES and (op == "stack" or not settings.get("dim")))
    return first if stays or first.known.op == "loss" else operation(op, first, place, **settings)


def with_gradient(value: Data) -> Data:
    """A tensor that begins a graph of its own; a loss is none the better for it."""
    return value if value.known.op == "loss" else replace(value, known=replace(value.known, detached=False))


def _cast(value: Value, dtype: str) -> Value:
    if isinstance(value, Data):
        return replace(value, known=replace(value.known, dtype=dtype))
    if isinstance(value, Literal | Items):
        return Data(replace(known(value), dtype=dtype))
    return value


def _dtype(value: Value | None) -> str:
    """The dtype that an argument names."""
    if isinstance(value, Outside):
        return CASTS.get(value.name.rsplit(".", 1)[-1], "")
    name = plain(value) if value is not None else None
    return CASTS.get(name.removeprefix("torch."), "") if isinstance(name, str) else ""


def tensor_method(
    receiver: Data, name: str, positional: Sequence[Value], named: Mapping[str, Value], place: Place
) -> Value:
    """`tensor.name(...)`."""
    tensor = receiver.known
    if name in CASTS:
        return _cast(receiver, CASTS[name])
    if name in ("to", "type", "astype"):
        for argument in (*positional, named.get("dtype")):
            if argument is not None and (dtype := _dtype(argument)):
                return _cast(receiver, dtype)
        return receiver
    if name in DETACHING:
        return replace(receiver, known=replace(tensor, detached=True))
    if name in OF_DICTIONARIES and len(positional) == 2:
        return join([Data(), positional[1]])
    if name == "requires_grad_":
        return with_gradient(receiver)
    if name == "new_tensor" and positional:
        return called("torch.tensor", positional, named, place, False)
    if name in ("item", "tolist"):
        return applied("item", receiver, {}, place)
    if name in ("scatter_", "scatter") and tensor.op == "zeros":
        source = plain(positional[-1]) if positional else ...
        if source in (1, 1.0):
            return operation("one_hot", None, place, dtype=tensor.dtype or "float")
    if name == "random_" and positional:
        bounds = [0, *map(setting, positional)][-2:]
        return operation("randint", None, place, low=bounds[0], high=bounds[1], dtype=tensor.dtype or "float")
    if name in ("fill_", "copy_", "random_", "uniform_", "normal_", "bernoulli_", "zero_"):
        return Data(name=receiver.name)
    if name not in TENSOR_METHODS and OPERATIONS.get(name, name) not in PARAMETERS:
        return operation("call", None, place, function=name)
    return _function(name, receiver, positional, named, place)


def _function(
    name: str, operand: Value, positional: Sequence[Value], named: Mapping[str, Value], place: Place
) -> Value:
    """A function or method of torch by its name, with its operand and what follows it."""
    op = OPERATIONS.get(name, name)
    settings = {key: setting(value) for key, value in zip(PARAMETERS.get(op, ()), positional, strict=False)}
    settings |= {key: setting(value) for key, value in named.items() if key not in ("input", "out", "self")}
    if "axis" in settings:
        settings["dim"] = settings.pop("axis")
    if name == "softmax2d":
        settings["dim"] = -3
    if name == "clamp_min":
        settings.setdefault("min", settings.get("max"))
    dtype = _dtype(named.get("dtype"))
    settings.pop("dtype", None)
    result = applied(op, operand, settings, place)
    return _cast(result, dtype) if dtype else result


# ----- functions and classes -----


def called(name: str, positional: Sequence[Value], named: Mapping[str, Value], place: Place, more: bool) -> Value:
    """What something by this qualified name gives."""
    first = positional[0] if positional else None
    package, _, tail = name.rpartition(".")
    if package == "torch.nn" and tail[:1].isupper():
        return module(tail, positional, named, place)
    if package in ("torch", "torch.nn.functional", "torch.special", "torch.linalg", "torch.autograd"):
        return _torch_function(package, tail, positional, named, place, more)
    if tail in WRAPPERS and first is not None:
        return first
    if name == "functools.partial" and first is not None:
        return Partial(first, tuple(positional[1:]), dict(named))
    if package == "builtins":
        return _python_function(tail, positional, named)
    if name in ("collections.OrderedDict", "typing.OrderedDict"):
        return _table(positional, named)
    if tail in ("rearrange", "reduce") and package == "einops" and first is not None:
        return first
    if tail.endswith("Output") and named:
        return Table(dict(named))
    if package == "copy" and first is not None:
        return first
    if tail == "initialize" and len(positional) == 2:  # apex.amp
        return Items(tuple(positional))
    if name in ("itertools.chain", "itertools.chain.from_iterable"):
        return Items((Data(),), open=True)
    return Made(tail)


def module(tail: str, positional: Sequence[Value], named: Mapping[str, Value], place: Place | None) -> Value:
    """An object of a class of torch.nn."""
    first = positional[0] if positional else None
    if tail == "Sequential":
        if len(positional) == 1 and isinstance(first, Table):
            return Chain(tuple(first.entries.values()))
        if len(positional) == 1 and isinstance(first, Choice):
            return each(first, lambda option: module(tail, [option], named, place))
        if len(positional) == 1 and isinstance(first, Items):
            return Chain(first.items)
        return Chain(tuple(positional))
    if tail in ("ModuleList", "ParameterList"):
        return first if isinstance(first, Items | Choice) else Items()
    if tail in ("ModuleDict", "ParameterDict"):
        return first if isinstance(first, Table | Choice) else Table(dict(named))
    if tail in ("Parameter", *WRAPPERS) and first is not None:
        return first
    op = snake(tail)
    op = OPERATIONS.get(op, op)
    settings = {key: setting(value) for key, value in zip(PARAMETERS.get(op, ()), positional, strict=False)}
    settings |= {key: setting(value) for key, value in named.items()}
    if tail == "Softmax2d":
        settings["dim"] = -3
    return Layer(op, settings, place)


def _torch_function(
    package: str, tail: str, positional: Sequence[Value], named: Mapping[str, Value], place: Place, more: bool
) -> Value:
    """A function of torch or torch.nn.functional."""
    first = next((named[key] for key in ("input", "self", "tensors", "data") if key in named), None)
    rest = list(positional)
    if first is None and rest:
        first = rest.pop(0)
    op = OPERATIONS.get(tail, tail)
    if tail in ("tensor", "as_tensor", "asarray", "scalar_tensor") or tail.endswith("Tensor"):
        return _tensor_of(tail, first, named, rest)
    if op in CREATED and not tail.endswith("_like"):
        names = PARAMETERS.get(op, ())
        settings = {key: setting(value) for key, value in zip(names, positional, strict=False)}
        if op == "randint":
            settings = _bounds(positional)
        settings |= {key: setting(value) for key, value in named.items() if key not in ("dtype", "device")}
        return operation(op, None, place, **settings, dtype=_dtype(named.get("dtype")))
    if tail.endswith("_like") and op in CREATED:
        settings = (
            {key: setting(value) for key, value in zip(("fill_value",), rest, strict=False)} if op == "full" else {}
        )
        if op == "randint":
            settings = {k: v for k, v in _bounds(rest).items() if k != "size"}
        settings |= {key: setting(value) for key, value in named.items() if key in ("fill_value", "low", "high")}
        return operation(op, None, place, **settings, dtype=_dtype(named.get("dtype")))
    if tail in WRAPPERS and first is not None:
        return first
    if tail in ("load", "device", "einsum"):
        return Made(tail)
    if first is None or more or not (tail in TENSOR_METHODS | SEEN_THROUGH or exports(package, tail)):
        return operation("call", None, place, function=tail)
    if tail == "where" and len(rest) == 2:
        return operation("where", None, place, values=[setting(value) for value in rest])
    return _function(tail, first, rest, named, place)


def _bounds(positional: Sequence[Value]) -> dict[str, Any]:
    """What `torch.randint` is given by position: (high, size) or (low, high, size)."""
    numbers = [setting(value) for value in positional]
    if len(numbers) >= 2 and isinstance(numbers[1], list | tuple):
        return {"low": 0, "high": numbers[0], "size": numbers[1]}
    if len(numbers) == 2:
        return {"low": 0, "high": numbers[0], "size": numbers[1]}
    return dict(zip(("low", "high", "size"), numbers, strict=False))


def _tensor_of(tail: str, first: Value | None, named: Mapping[str, Value], rest: Sequence[Value]) -> Value:
    """A tensor of what is given: the same numbers, cut from their gradient."""
    dtype = _dtype(named.get("dtype")) or CASTS.get(tail, "")
    if first is None:
        return Data(Known(dtype=dtype))
    if tail.endswith("Tensor") and (rest or isinstance(first, Literal)):  # sizes
        return Data(Known(op="empty", dtype=dtype))
    content = each(first, lambda value: Data(known(value), value.place if isinstance(value, Data) else None))
    if tail == "as_tensor":
        return each(content, lambda value: _cast(value, dtype)) if dtype else content

    leaf = plain(named.get("requires_grad", Literal(False))) is True

    def cut(value: Value) -> Value:
        assert isinstance(value, Data)
        lost = value.known.op == "loss" or (value.known.op != "literal" and not leaf)
        return replace(value, known=replace(value.known, dtype=dtype or value.known.dtype, detached=lost))

    return each(content, cut)


def _python_function(tail: str, positional: Sequence[Value], named: Mapping[str, Value]) -> Value:
    first = positional[0] if positional else None
    match tail:
        case "list" | "tuple" | "iter" | "reversed" | "sorted" | "set":
            if first is None:
                return Items()
            return Items(first.layers) if isinstance(first, Chain) else first if isinstance(first, Items) else Data()
        case "dict":
            return _table(positional, named)
        case "enumerate" if first is not None:
            return each(first, _enumerated)
        case "zip" if positional and all(isinstance(v, Items) and not v.open for v in positional):
            rows = zip(*(v.items for v in positional if isinstance(v, Items)), strict=False)
            return Items(tuple(Items(row) for row in rows))
        case "zip":
            return Items((Items(tuple(_any_item(value) for value in positional)),), open=True)
        case "range":
            bounds = [plain(value) for value in positional]
            if bounds and all(isinstance(b, int) for b in bounds) and 0 < len(range(*bounds)) <= 8:
                return Items(tuple(Literal(i) for i in range(*bounds)))
            return Data()
        case "len" if isinstance(first, Items) and not first.open:
            return Literal(len(first.items))
        case "sum" if isinstance(first, Items) and first.items:
            parts = {known(item).op for item in first.items}
            return first.items[0] if parts == {"loss"} else Data()
        case "next" if isinstance(first, Items) and first.items:
            return first.items[0]
        case "isinstance" if len(positional) == 2:
            return _is_instance(positional[0], positional[1])
        case "float" | "int" if first is not None:
            number = plain(first)
            if isinstance(first, Literal) and isinstance(number, int | float):
                return Literal(float(number) if tail == "float" else int(number))
            return operation("item", first, None, detached=True) if isinstance(first, Data) else Data()
        case _:
            return Data()


def _is_instance(value: Value, kind: Value) -> Value:
    names = {
        v.name.rsplit(".", 1)[-1] for v in (kind.items if isinstance(kind, Items) else [kind]) if isinstance(v, Outside)
    }
    if isinstance(value, Items) and names & {"tuple", "list"}:
        return Literal(True)
    if isinstance(value, Data) and value.known.op not in ("", "call", "parameter", "literal", *_STATEFUL):
        if names and names <= {"tuple", "list", "dict", "Mapping", "Sequence"}:
            return Literal(False)
        if names == {"Tensor"}:
            return Literal(True)
    return Data()


def _any_item(value: Value) -> Value:
    return join(value.items) if isinstance(value, Items) and value.items else Data()


def _enumerated(value: Value) -> Value:
    if isinstance(value, Chain):
        value = Items(value.layers)
    if isinstance(value, Items) and not value.open:
        return Items(tuple(Items((Literal(i), item)) for i, item in enumerate(value.items)))
    return Items((Items((Data(), _any_item(value))),), open=True)


def _table(positional: Sequence[Value], named: Mapping[str, Value]) -> Value:
    entries: dict[Any, Value] = {}
    first = positional[0] if positional else None
    if isinstance(first, Table):
        entries |= first.entries
    elif isinstance(first, Items):
        for i, pair in enumerate(first.items):
            if isinstance(pair, Items) and len(pair.items) == 2:
                key = plain(pair.items[0])
                entries[key if isinstance(key, str | int) else (i, "unknown key")] = pair.items[1]
    elif first is not None:
        entries[0, "unknown key"] = Data()
    return Table({**entries, **named})


def method(receiver: Value, name: str, positional: Sequence[Value], place: Place) -> Value:
    """A method that does not change what it is called on."""
    first = positional[0] if positional else None
    if isinstance(receiver, Instance) and name in ("children", "modules"):
        return Items(tuple(v for v in receiver.names.values() if _is_module(v)))
    if isinstance(receiver, Instance) and name in ("named_children", "named_modules"):
        return Items(tuple(Items((Literal(key), v)) for key, v in receiver.names.items() if _is_module(v)))
    if isinstance(receiver, Chain) and name in ("children", "modules"):
        return Items(receiver.layers)
    if isinstance(receiver, Chain) and name in ("named_children", "named_modules"):
        return Items(tuple(Items((Literal(str(i)), layer)) for i, layer in enumerate(receiver.layers)))
    if isinstance(receiver, Table):
        known_keys = not any(isinstance(key, tuple) for key in receiver.entries)
        match name:
            case "values":
                return Items(tuple(receiver.entries.values()), open=not known_keys)
            case "items":
                pairs = tuple(Items((Literal(key) if known_keys else Data(), v)) for key, v in receiver.entries.items())
                return Items(pairs, open=not known_keys)
            case "get" | "pop" if first is not None:
                key = plain(first)
                if key is ...:
                    return join(receiver.entries.values()) if receiver.entries else Data()
                default = positional[1] if len(positional) > 1 else Literal(None)
                return (
                    receiver.entries.get(key, default if known_keys else Data())
                    if isinstance(key, str | int)
                    else Data()
                )
    if isinstance(receiver, Items) and name in ("pop", "__getitem__") and receiver.items and not positional:
        return receiver.items[-1]
    if isinstance(receiver, Made) and name in ("prepare", "setup", "setup_module", "prepare_model"):
        return positional[0] if len(positional) == 1 else Items(tuple(positional))
    if isinstance(receiver, Literal) and isinstance(receiver.value, str) and name in ("lower", "upper", "strip"):
        return Literal(getattr(receiver.value, name)())
    if isinstance(receiver, Outside | Made | Literal | Items | Table):
        return Made(name)
    return operation("call", None, place, function=name)


def _is_module(value: Value) -> bool:
    return isinstance(value, Layer | Chain | Instance | Criterion | Made)


def changed(receiver: Value, name: str, positional: Sequence[Value], named: Mapping[str, Value]) -> Value | None:
    """What a list, dictionary or Sequential has become after a method that changes it; None if it does not."""
    last = positional[-1] if positional else None
    if isinstance(receiver, Chain):
        if name in ("append", "add_module") and last is not None:
            return Chain((*receiver.layers, last))
        if name == "extend" and isinstance(last, Items | Chain):
            return Chain((*receiver.layers, *(last.items if isinstance(last, Items) else last.layers)))
        return None
    if isinstance(receiver, Items):
        match name:
            case "append" | "add_module" if last is not None:
                return Items((*receiver.items, last), receiver.open)
            case "extend" if isinstance(last, Items):
                return Items(receiver.items + last.items, receiver.open or last.open)
            case "extend" if last is not None:
                return Items((*receiver.items, Data()), open=True)
            case "insert" if len(positional) == 2 and last is not None:
                place = plain(positional[0])
                if isinstance(place, int) and not receiver.open:
                    items = list(receiver.items)
                    items.insert(place, last)
                    return Items(tuple(items))
                return Items((last, *receiver.items), open=True)
            case "clear":
                return Items()
        return None
    if isinstance(receiver, Table):
        if name == "update" and isinstance(last, Table):
            return Table({**receiver.entries, **last.entries, **named})
        if name == "update":
            return Table({**receiver.entries, **named, (len(receiver.entries), "unknown key"): Data()})
        if name == "add_module" and len(positional) == 2 and isinstance(key := plain(positional[0]), str):
            return Table({**receiver.entries, key: positional[1]})
    return None
