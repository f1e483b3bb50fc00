"""A call of a loss, as the guard sees it: which functions are losses, their arguments by name, where they come from."""

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple
from weakref import ReferenceType

import torch
from torch import Tensor
from torch.nn import _reduction as legacy
from torch.nn import functional as F

from ..losses import all_losses
from ..rule import Origin
from .provenance import origin


class Signature(NamedTuple):
    """What is known of a loss's arguments."""

    positional: tuple[str, ...]
    defaults: Mapping[str, Any]
    tensors: tuple[str, ...]
    """Those that must be tensors."""
    required: tuple[str, ...]


class Watched(NamedTuple):
    """A function that computes a loss."""

    loss: str
    positional: tuple[str, ...]
    own: bool


Form = tuple[Any, ...]


class WatchedCall:
    """See `rule.Call`."""

    __slots__ = ("_cut", "_origins", "arguments", "error", "loss", "own", "result")

    def __init__(
        self,
        loss: str,
        own: bool,
        arguments: Mapping[str, Any],
        result: Tensor | None,
        error: Exception | None,
        cut: Collection[ReferenceType[Tensor]] = (),
    ) -> None:
        self.loss, self.own, self.arguments, self.result, self.error = loss, own, arguments, result, error
        self._cut = cut
        self._origins: dict[str, Origin | None] = {}

    def origin(self, argument: str) -> Origin | None:
        if argument not in self._origins:
            given = self.arguments[argument]
            self._origins[argument] = origin(given) if isinstance(given, Tensor) else None
        return self._origins[argument]

    def detached(self, argument: str) -> bool:
        given = self.arguments[argument]
        return any((cut := reference()) is not None and (cut is given or cut is given._base) for reference in self._cut)

    def class_dim(self) -> int | None:
        if self.loss not in _CLASSES:
            return None
        given: Tensor = self.arguments[_CLASSES[self.loss]]
        dim = self.arguments.get("dim")
        if dim is None and self.loss in _CLASSES_SECOND:
            return 0 if given.dim() == 1 else 1
        return (-1 if dim is None else int(dim)) % max(given.dim(), 1)

    def form(self) -> Form:
        """What a call has in common with others from its place: shapes, dtypes, last operations, settings."""
        return tuple(
            [
                (value.shape, value.dtype, value.grad_fn and value.grad_fn.name())
                if isinstance(value, Tensor)
                else value
                if type(value) in _SETTINGS
                else None
                for value in self.arguments.values()
            ]
        )

    def tensors(self) -> Iterator[Tensor]:
        """All tensors of the call, its result included."""
        yield from (value for value in self.arguments.values() if isinstance(value, Tensor))
        if self.result is not None:
            yield self.result

    def faded(self) -> "WatchedCall":
        """The call without what its tensors hold: it can be kept without keeping them alive."""
        arguments = {name: _fade(value) for name, value in self.arguments.items()}
        return WatchedCall(self.loss, self.own, arguments, _fade(self.result), None)


def _fade(value: Any) -> Any:
    return torch.empty(value.shape, dtype=value.dtype, device="meta") if isinstance(value, Tensor) else value


def bind(watched: Watched, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
    """All arguments by the names of lossmith's function; None where they do not fit, or tensors are none."""
    signature = SIGNATURES[watched.loss]
    arguments = {**signature.defaults, **dict(zip(watched.positional, args, strict=False)), **kwargs}
    if "self" in kwargs:  # torch's compiled functions call it so
        arguments["input"] = arguments.pop("self")
    for name in signature.required:
        if name not in arguments:
            return None
    for name in signature.tensors:
        if not isinstance(arguments[name], Tensor) or arguments[name].is_nested:  # has no shape
            return None
    if arguments.get("size_average") is not None or arguments.get("reduce") is not None:
        arguments["reduction"] = legacy.legacy_get_string(arguments["size_average"], arguments["reduce"], False)
    elif isinstance(arguments["reduction"], int):
        arguments["reduction"] = {0: "none", 1: "mean", 2: "sum"}.get(arguments["reduction"], "mean")
    return arguments


def _signature(function: Callable[..., Tensor]) -> Signature:
    parameters = inspect.signature(function).parameters.values()
    required = tuple(p.name for p in parameters if p.default is p.empty)
    return Signature(
        positional=tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD),
        defaults={p.name: p.default for p in parameters if p.default is not p.empty},
        tensors=tuple(p.name for p in parameters if p.default is p.empty and p.annotation is Tensor),
        required=required,
    )


SIGNATURES = {name: _signature(loss.function) for name, loss in all_losses().items()}

_COMPILED = {
    "binary_cross_entropy": (torch._C._nn, "binary_cross_entropy", "input target weight reduction"),
    "binary_cross_entropy_with_logits": (
        torch,
        "binary_cross_entropy_with_logits",
        "input target weight pos_weight reduction",
    ),
    "cosine_embedding_loss": (torch, "cosine_embedding_loss", "input1 input2 target margin reduction"),
    "cross_entropy": (
        torch._C._nn,
        "cross_entropy_loss",
        "input target weight reduction ignore_index label_smoothing",
    ),
    "ctc_loss": (
        torch,
        "ctc_loss",
        "log_probs targets input_lengths target_lengths blank reduction zero_infinity",
    ),
    "hinge_embedding_loss": (torch, "hinge_embedding_loss", "input target margin reduction"),
    "huber_loss": (torch._C._nn, "huber_loss", "input target reduction delta"),
    "kl_div": (torch, "kl_div", "input target reduction log_target"),
    "l1_loss": (torch._C._nn, "l1_loss", "input target reduction"),
    "margin_ranking_loss": (torch, "margin_ranking_loss", "input1 input2 target margin reduction"),
    "mse_loss": (torch._C._nn, "mse_loss", "input target reduction"),
    "multi_margin_loss": (torch._C._nn, "multi_margin_loss", "input target p margin weight reduction"),
    "multilabel_margin_loss": (torch._C._nn, "multilabel_margin_loss", "input target reduction"),
    "nll_loss": (torch._C._nn, "nll_loss_nd", "input target weight reduction ignore_index"),
    "poisson_nll_loss": (torch, "poisson_nll_loss", "input target log_input full eps reduction"),
    "smooth_l1_loss": (torch._C._nn, "smooth_l1_loss", "input target reduction beta"),
    "soft_margin_loss": (torch._C._nn, "soft_margin_loss", "input target reduction"),
    "triplet_margin_loss": (torch, "triplet_margin_loss", "anchor positive negative margin p eps swap reduction"),
}
"""Torch's compiled functions, which `torch.nn.functional` calls and some programs too: where, and their own order."""


def _watched() -> dict[Callable[..., Any], Watched]:
    found: dict[Callable[..., Any], Watched] = {}
    for name, loss in all_losses().items():
        positional = SIGNATURES[name].positional
        found[loss.function] = Watched(name, positional, own=True)
        if hasattr(F, name):
            found[getattr(F, name)] = Watched(name, positional, own=False)
    for name, (module, attribute, order) in _COMPILED.items():
        found[getattr(module, attribute)] = Watched(name, tuple(order.split()), own=False)
    return found


WATCHED = _watched()
"""Every function that computes a loss, lossmith's and torch's."""

_SETTINGS = (bool, float, int, str, type(None))

_CLASSES_SECOND = ("cross_entropy", "nll_loss", "multi_margin_loss", "focal_loss", "distillation_loss")
_CLASSES_OTHERS = ("multilabel_margin_loss", "multilabel_soft_margin_loss", "dice_loss", "tversky_loss")
_CLASSES = dict.fromkeys((*_CLASSES_SECOND, *_CLASSES_OTHERS), "input") | {
    "ctc_loss": "log_probs",
    "ctc_loss_with_logits": "logits",
}
"""Losses of classes, and the argument that has them: in dimension 1 if there is a batch, or else the last."""
