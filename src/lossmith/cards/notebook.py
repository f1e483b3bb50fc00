"""The card of a loss Module in a notebook: self-contained HTML about this instance, with its settings."""

import inspect
import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import torch

from ..docstring import Docstring
from ..facts import Loss
from ..losses import all_losses
from .content import facts, shapes, traps
from .curves import adjustable, curve_of, lines, settings_of
from .svg import svg
from .words import FAMILIES


def page(module: torch.nn.Module) -> str | None:
    """The HTML, if the Module is one of lossmith's; MathJax, which notebooks have, sets what stands between dollars."""
    loss = loss_of(module)
    if loss is None:
        return None
    card = loss.card
    parts = [
        f"<h3>{escape(type(module).__name__)}</h3>",
        f"<p><code>{escape(', '.join(_settings(module)))}</code></p>",
        f"<p>{words(card.summary.en)} ({escape(FAMILIES[loss.family].en)})</p>",
        f"<p>$${escape(Docstring.of(loss.function).latex)}$$</p>",
        _curve(loss, module),
        _table([*shapes(loss, "en"), *facts(loss, "en", settings_of(loss, module))]),
        _list("When to use it", [("", text.en) for text in card.use]),
        _list("When not", [("", text.en) for text in card.avoid]),
        _list("Traps", list(traps(loss, "en"))),
    ]
    return f'<div class="lossmith-card" style="max-width:60em">{"".join(parts)}</div>'


def loss_of(module: torch.nn.Module) -> Loss | None:
    """The loss of a Module, or of the nearest class that it inherits from."""
    known = {loss.module: loss for loss in all_losses().values()}
    return next((known[base] for base in type(module).__mro__ if base in known), None)


def words(text: str) -> str:
    """A text of a card as HTML: formulas stay between dollars, what stands between backquotes becomes code."""
    parts = text.split("$")
    parts[::2] = [re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(part)) for part in parts[::2]]
    parts[1::2] = [f"${escape(part)}$" for part in parts[1::2]]
    return "".join(parts)


def _settings(module: torch.nn.Module) -> Iterator[str]:
    """The settings of the instance, by the names that its constructor has for them."""
    for name in inspect.signature(type(module)).parameters:
        value = getattr(module, name, None)
        if isinstance(value, torch.Tensor):
            yield f"{name}: {tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
        elif value is not None:
            yield f"{name}={value!r}"


def _curve(loss: Loss, module: torch.nn.Module) -> str:
    if loss.card.curve is None:
        return ""
    defaults, settings = settings_of(loss), settings_of(loss, module)
    changed = {name: settings[name] for name in adjustable(loss) if _differs(settings.get(name), defaults.get(name))}
    try:
        drawn = svg(lines(loss, changed), "en")
    except (RuntimeError, ValueError) as error:  # settings with which no call would succeed
        return f"<p>{escape(str(error))}</p>"
    return f"{drawn}<p>{words(curve_of(loss).axis.en)}</p>"


def _differs(value: Any, default: Any) -> bool:
    return isinstance(value, (bool, int, float)) and value != default


def _table(rows: Sequence[tuple[str, str]]) -> str:
    cells = (f'<tr><th style="text-align:left">{words(name)}</th>'
             f'<td style="text-align:left">{words(text)}</td></tr>' for name, text in rows)  # fmt: skip
    return f"<table>{''.join(cells)}</table>"


def _list(title: str, items: Sequence[tuple[str, str]]) -> str:
    points = (f"<li>{f'<code>{escape(name)}</code>: ' if name else ''}{words(text)}</li>" for name, text in items)
    return f"<p><strong>{title}</strong></p><ul>{''.join(points)}</ul>"
