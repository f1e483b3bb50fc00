"""The curve of a card in numbers: loss and gradient along the axis, by autograd."""

import ast
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch

from ..card import Curve
from ..facts import Loss
from .names import UnknownName

REDUCTION = ("size_average", "reduce", "reduction", "sample_weight", "mask", "normalizer", "on_empty")
TENSORS = ("pos_weight", "var")
"""Arguments that are tensors, for which a number can stand."""


@dataclass(frozen=True)
class Line:
    """One line of a picture; a value is infinite where the loss is."""

    label: str
    points: tuple[float, ...]
    values: tuple[float, ...]
    slopes: tuple[float, ...]


class NoCurve(ValueError):
    """The loss has no curve, or not with these settings; the message says why."""


def lines(loss: Loss, settings: Mapping[str, Any] | None = None, points: int = 401) -> list[Line]:
    """The card's lines, of the loss with these settings instead of its defaults."""
    curve = curve_of(loss)
    changed = {name: _tensor(name, value) for name, value in (settings or {}).items()}
    drawn = []
    for label, arguments in curve.lines.items():
        x = torch.linspace(*curve.span, points, dtype=torch.float64, requires_grad=True)
        drawn.append((label, x, arguments(x)))
    if any(name in given and not isinstance(given[name], torch.Tensor) for name in changed for _, _, given in drawn):
        drawn = [("", *drawn[0][1:])]  # what tells the card's lines apart is set
    found = []
    for label, x, given in drawn:
        values = loss.function(**(given | changed), reduction="none")
        (slopes,) = torch.autograd.grad(values.sum(), x)
        found.append(Line(label, *(tuple(t.detach().tolist()) for t in (x, values, slopes))))
    return found


def curve_of(loss: Loss) -> Curve:
    if loss.card.curve is None:
        raise NoCurve(f"{loss.module.__name__} has no curve: no single number shows it")
    return loss.card.curve


def settings_of(loss: Loss, module: torch.nn.Module | None = None) -> dict[str, Any]:
    """The settings of a loss that are no tensors of the data and not about the reduction: defaults, or a Module's."""
    parameters = inspect.signature(loss.function).parameters.values()
    return {
        p.name: getattr(module, p.name, p.default)
        for p in parameters
        if p.default is not p.empty and p.name not in (*REDUCTION, "weight", "ignore_index", "dim")
    }


def variants(losses: Sequence[Loss], options: Iterable[str]) -> dict[str, list[Any]]:
    """What `--param name=1,2,3` asks for, checked against the signatures of the losses."""
    wanted: dict[str, list[Any]] = {}
    for option in options:
        name, equals, values = option.partition("=")
        name = name.strip()
        if not equals or not values.strip():
            raise UnknownName(f"--param is {option!r}, expected NAME=VALUE[,VALUE...], such as delta=0.5,1,2")
        known = {parameter: None for loss in losses for parameter in adjustable(loss)}
        if name not in known:
            of = " and ".join(loss.module.__name__ for loss in losses)
            raise UnknownName(f"{of} has no parameter {name!r} to vary; there is: {', '.join(known) or 'none'}")
        wanted[name] = [_number(name, value) for value in values.split(",")]
    return wanted


def adjustable(loss: Loss) -> list[str]:
    """The parameters of a loss that are numbers or switches, or can be."""
    parameters = inspect.signature(loss.function).parameters.values()
    return [
        p.name
        for p in parameters
        if p.name not in (*REDUCTION, "dim", "ignore_index")
        and (isinstance(p.default, (bool, int, float)) or p.name in TENSORS)
    ]


def combinations(loss: Loss, wanted: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Each combination of the wanted values of those parameters that the loss has."""
    own = {name: values for name, values in wanted.items() if name in adjustable(loss)}
    return [dict(zip(own, chosen, strict=True)) for chosen in product(*own.values())]


def _number(name: str, text: str) -> Any:
    text = text.strip()
    try:
        value = {"true": True, "false": False, "inf": float("inf")}.get(text.lower())
        value = ast.literal_eval(text) if value is None else value
    except (ValueError, SyntaxError):
        value = None
    if not isinstance(value, (bool, int, float)):
        raise UnknownName(f"--param {name}: {text!r} is neither a number nor true or false")
    return value


def _tensor(name: str, value: Any) -> Any:
    return (
        torch.tensor(float(value), dtype=torch.float64)
        if name in TENSORS and isinstance(value, (int, float))
        else value
    )
