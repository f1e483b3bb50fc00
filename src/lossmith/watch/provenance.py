"""Where a tensor comes from: autograd's graph, walked back to the operation that made its numbers.

Of a node only its name, its whole numbers and the shape of its result are looked at: the tensors that it saved may be
packed away by hooks, as checkpoints do.
"""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from torch import Tensor

from ..rule import Origin

Shape = tuple[int, ...]

DEEPEST = 64
"""Views and casts that are seen through, at most."""
WIDEST = 8
"""Parts of a concatenation that are looked at, at most."""
MOST_NODES = 64
"""Nodes that a search for leaves visits, at most."""


def origin(tensor: Tensor) -> Origin | None:
    """The operation that made the tensor's numbers; None of leaves, of Python's own functions, of compiled graphs."""
    return _origin(tensor.grad_fn, tensor.output_nr, deeper=True)


def leaves(tensor: Tensor) -> list[Tensor] | None:
    """The leaves that backward() from here reaches, the tensor itself if it is one; None where they are far or many."""
    if tensor.grad_fn is None:
        return [tensor]
    found, seen, waiting = [], set(), [tensor.grad_fn]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if len(seen) > MOST_NODES:
            return None
        leaf = getattr(node, "variable", None)  # of AccumulateGrad
        if isinstance(leaf, Tensor):
            found.append(leaf)
        waiting += [parent for parent, _ in node.next_functions if parent is not None]
    return found


def _origin(node: Any, output: int, deeper: bool) -> Origin | None:
    passed: list[tuple[str, Any, Shape | None]] = []
    name = _plain(node)
    while name in _THROUGH and len(passed) < DEEPEST:
        passed.append((name, node, _shape(node, output)))
        node, output = node.next_functions[0]
        name = _plain(node)
    if not name:
        return None
    shape = _shape(node, output)
    made = Origin(op=_operation(node, name), shape=shape)
    if name in ("cat", "stack"):
        made = _joined(node, name, made, deeper)
    elif deeper and node.next_functions:
        parent, place = node.next_functions[0]
        made = replace(made, of=_origin(parent, place, deeper=False))
    if name in ("softmax", "log_softmax") and shape is not None:
        dim = _signed(node._saved_dim, len(shape))
        made = replace(made, dim=dim, own_dim=dim)
    if made.own_dim is None:
        return made
    left, whole, before = made.dim, made.whole, shape
    for name, node, after in reversed(passed):
        if left is not None:
            left = _THROUGH[name](node, left, before, after) if before is not None and after is not None else None
        if left == BROKEN:
            left, whole = None, False
        before = after
    return replace(made, dim=left, whole=whole)


def _joined(node: Any, name: str, made: Origin, deeper: bool) -> Origin:
    """Of concatenated tensors: the operation that all come from, or else the concatenation."""
    parts = [_origin(part, place, deeper) for part, place in node.next_functions[:WIDEST]]
    first = parts[0]
    if first is None or any(other is None or (other.op, other.dim) != (first.op, first.dim) for other in parts):
        return made
    if first.dim is None or made.shape is None:
        return first
    at = _signed(node._saved_dim, len(made.shape))
    if name == "stack":
        return replace(first, dim=first.dim if at < first.dim else first.dim - 1)
    return replace(first, dim=None, whole=False) if at == first.dim else first


# ----- where views and selections leave a dimension; dimensions are counted from the end -----

BROKEN = 0
"""No longer all of what stood along the dimension, or not in its order."""


def _kept(node: Any, dim: int, before: Shape, after: Shape) -> int | None:
    return dim


def _reshaped(node: Any, dim: int, before: Shape, after: Shape) -> int | None:
    """A view in other sizes keeps a dimension which has as many numbers before and behind it as it had."""
    behind = math.prod(before[len(before) + dim + 1 :])
    for other in range(-1, -len(after) - 1, -1):
        if after[other] == before[dim] and math.prod(after[len(after) + other + 1 :]) == behind:
            return other
    return None


def _transposed(node: Any, dim: int, before: Shape, after: Shape) -> int | None:
    first, second = _signed(node._saved_dim0, len(before)), _signed(node._saved_dim1, len(before))
    return {first: second, second: first}.get(dim, dim)


def _turned(node: Any, dim: int, before: Shape, after: Shape) -> int | None:
    return -3 - dim if len(before) == 2 else dim


def _permuted(node: Any, dim: int, before: Shape, after: Shape) -> int | None:
    return [_signed(d, len(before)) for d in node._saved_dims].index(dim) - len(before)


def _selected(node: Any, dim: int, before: Shape, after: Shape) -> int | None:
    return _without(_signed(node._saved_dim, len(before)), dim)


def _without(gone: int, dim: int) -> int:
    """A dimension after another one is gone."""
    return BROKEN if gone == dim else dim + 1 if gone > dim else dim


def _cut(node: Any, dim: int, before: Shape, after: Shape) -> int | None:
    return BROKEN if before[dim] != after[dim] else dim


def _picked(node: Any, dim: int, before: Shape, after: Shape) -> int | None:
    return BROKEN if _signed(node._saved_dim, len(before)) == dim else dim


def _indexed(node: Any, dim: int, before: Shape, after: Shape) -> int | None:
    """Rows that were picked have the last dimensions that they had; where single numbers were picked, one is left."""
    return dim if -dim < len(after) and before[dim:] == after[dim:] else BROKEN


def _broken(node: Any, dim: int, before: Shape, after: Shape) -> int | None:
    return BROKEN


_THROUGH: dict[str, Callable[[Any, int, Shape, Shape], int | None]] = {
    **dict.fromkeys(("alias", "clone", "contiguous", "expand", "lazy_clone", "lift_fresh", "to_copy"), _kept),
    **dict.fromkeys(("view", "unsafe_view", "reshape_alias", "squeeze", "unsqueeze"), _reshaped),
    "transpose": _transposed,
    "t": _turned,
    "permute": _permuted,
    "select": _selected,
    "unbind": _selected,
    **dict.fromkeys(("slice", "split", "unsafe_split", "split_with_sizes", "unsafe_split_with_sizes"), _cut),
    **dict.fromkeys(("index_select", "gather"), _picked),
    **dict.fromkeys(("index", "unsafe_index"), _indexed),
    **dict.fromkeys(("masked_select", "take"), _broken),
}
"""What is seen through, and where it leaves a dimension: None where that can't be told."""


# ----- nodes -----


def _shape(node: Any, output: int) -> Shape | None:
    """The shape of what the node's operation gave."""
    results = node._input_metadata
    return tuple(results[output].shape) if output < len(results) else None


def _signed(dim: int, rank: int) -> int:
    """A saved dimension, counted from the end. Torch saves it as an unsigned number: -1 reads 2^64 - 1."""
    dim = dim - 2**64 if dim >= 2**63 else dim
    return dim if dim < 0 else dim - rank


def _plain(node: Any) -> str:
    """`LogSoftmaxBackward0` as `log_softmax`; empty where there is no node, or one that is not torch's."""
    return "" if node is None else _snake_case(node.name())


@cache
def _snake_case(name: str) -> str:
    found = re.fullmatch(r"(\w+?)Backward\d+", name)  # Python's own functions have no number
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", found[1]).lower() if found else ""


def _operation(node: Any, name: str) -> str:
    if node.name() in ("ClampBackward1", "ClampMinBackward0"):  # by numbers, not by tensors
        return "relu" if node._saved_min == 0 and getattr(node, "_saved_max", None) is None else "clamp"
    if name == "hardtanh" and (node._saved_min_val, node._saved_max_val) == (0, 6):
        return "relu6"
    return _NAMES.get(name, name)


_NAMES = {
    "clamp_max": "clamp",
    "clamp_min": "clamp",
    "hardtanh": "clamp",
    "log1_p": "log1p",
    "log_sigmoid": "logsigmoid",
}
