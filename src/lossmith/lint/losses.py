"""The losses by the names under which source speaks of them, with what each takes."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from ..facts import Loss
from ..losses import all_losses


@dataclass(frozen=True)
class Form:
    """One way to write a loss: its function or its Module, torch's or lossmith's."""

    loss: str
    own: bool
    tensors: tuple[str, ...]
    """The tensors of a call, by the function's names and in their order."""
    settings: Mapping[str, Any]
    """All settings that can be given, with their defaults: of a Module, those of its constructor, in their order."""
    is_module: bool


@cache
def forms() -> dict[str, Form]:
    """Every way to write a loss by its qualified name."""
    found = {}
    for name, loss in all_losses().items():
        module = loss.module.__name__
        written = [(f"lossmith.functional.{name}", loss.function, False), (f"lossmith.{module}", loss.module, True)]
        if hasattr(torch.nn, module):
            written.append((f"torch.nn.{module}", getattr(torch.nn, module), True))
        if hasattr(torch.nn.functional, name):
            function = getattr(torch.nn.functional, name)
            written.append((f"torch.nn.functional.{name}", function, False))
            if hasattr(torch, name):
                written.append((f"torch.{name}", function, False))
        for qualified, what, is_module in written:
            found[qualified] = _form(loss, what, is_module, own=qualified.startswith("lossmith"))
    return found


def _form(loss: Loss, what: Any, is_module: bool, own: bool) -> Form:
    tensors = _tensors(loss)
    given = inspect.signature(what.__init__ if is_module else what).parameters
    settings = {
        name: None if parameter.default is parameter.empty else parameter.default
        for name, parameter in given.items()
        if name != "self"
        and name not in tensors
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    return Form(loss.name, own, tensors, settings, is_module)


def _tensors(loss: Loss) -> tuple[str, ...]:
    """What a call can't do without."""
    parameters = inspect.signature(loss.function).parameters.values()
    return tuple(p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD)


def with_reduction(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, with the reduction that torch's legacy arguments stand for."""
    size_average, reduce = settings.get("size_average"), settings.get("reduce")
    if size_average is None and reduce is None:
        return dict(settings)
    if size_average is ... or reduce is ...:
        return {**settings, "reduction": ...}
    if reduce is not None and not reduce:
        return {**settings, "reduction": "none"}
    return {**settings, "reduction": "mean" if size_average is None or size_average else "sum"}


def qualified(name: str) -> str:
    """The public name of something in torch or lossmith: torch.nn.modules.loss.BCELoss is torch.nn.BCELoss.

    >>> qualified("torch.nn.modules.loss.BCELoss"), qualified("lossmith.losses.mse.mse_loss")
    ('torch.nn.BCELoss', 'lossmith.functional.mse_loss')
    """
    parts = name.split(".")
    if name.startswith("torch.nn.modules.") and len(parts) > 4:
        return f"torch.nn.{parts[-1]}"
    if parts[0] == "lossmith" and len(parts) == 4 and parts[1] == "losses":
        return f"lossmith.{parts[-1]}" if parts[-1][0].isupper() else f"lossmith.functional.{parts[-1]}"
    if parts[:2] == ["lossmith", "nn"]:
        return ".".join(["lossmith", *parts[2:]])
    return name
