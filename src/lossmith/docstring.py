"""Docstrings in their parts, and the docstring of a Module: composed of its own, its function's and its card."""

import inspect
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .card import Card

FORMULA = ".. math::"


@dataclass(frozen=True)
class Docstring:
    """What a docstring of the reference holds, in its order; empty where a part is missing."""

    summary: str
    """The first paragraph."""
    body: str
    """What follows up to the arguments: mathematics, explanations, the source."""
    arguments: str
    errors: str
    example: str
    """As in an interactive session, with what it prints."""

    @classmethod
    def of(cls, documented: Callable[..., Any]) -> "Docstring":
        return cls.parse(documented.__doc__ or "")

    @classmethod
    def parse(cls, text: str) -> "Docstring":
        text, prompt, example = inspect.cleandoc(text).partition("\n>>> ")
        text, _, errors = text.partition("\nRaises:\n")
        text, _, arguments = text.partition("\nArgs:\n")
        summary, _, body = text.partition("\n\n")
        return cls(
            summary.strip(),
            body.strip(),
            textwrap.dedent(arguments).strip(),
            textwrap.dedent(errors).strip(),
            (prompt + example).strip(),
        )

    @property
    def latex(self) -> str:
        """The displayed formula, in one line."""
        formulas = (p.removeprefix(FORMULA) for p in self.body.split("\n\n") if p.startswith(FORMULA))
        return " ".join(next(formulas, "").split())

    @property
    def notes(self) -> list[str]:
        """The paragraphs around the formula, in the form of a card's texts."""
        return [plain(p) for p in self.body.split("\n\n") if not p.startswith((FORMULA, "Source: "))]


class ComposedDocstring:
    """The `__doc__` of a Module: made when somebody asks for it, so that importing costs nothing."""

    def __init__(self, own: str, function: Callable[..., Any], card: Card) -> None:
        self.own, self.function, self.card = own, function, card
        self.made = ""

    def __get__(self, instance: object, owner: type[Any]) -> str:
        self.made = self.made or compose(self.own, self.function, self.card)
        return self.made


def compose(own: str, function: Callable[..., Any], card: Card) -> str:
    """A Module's docstring: its summary, settings and example, the function's mathematics and errors, and the card."""
    module, called = Docstring.parse(own), Docstring.of(function)
    parts = [
        module.summary,
        module.body,
        _paragraph(card.summary.en),
        called.body,
        f"Shapes: input ``{card.input}``, target ``{card.target}``. Before it in the network: {card.activation.en}.",
        _list("When to use it:", *(text.en for text in card.use)),
        _list("When not:", *(text.en for text in card.avoid)),
        _list("Traps:", *(f"{trap.id}: {trap.text.en}" for trap in card.traps)),
        _section("Args:", module.arguments),
        _section("Raises:", called.errors),
        module.example,
    ]
    return "\n\n".join(part for part in parts if part)


def restructured(text: str) -> str:
    """A text of a card as reStructuredText: formulas between dollars become roles, the rest means itself."""
    parts = text.split("$")
    parts[::2] = [re.sub(r"([*`|\\]|_\b)", r"\\\1", part) for part in parts[::2]]
    parts[1::2] = [f":math:`{part}`" for part in parts[1::2]]
    return "".join(parts)


def plain(text: str) -> str:
    """ReStructuredText in the form of a card's texts: one line, formulas between dollars, code in single backquotes."""
    text = re.sub(r":math:`([^`]*)`", r"$\1$", " ".join(text.split()))
    text = re.sub(r":doc:`/?([^`]*)`", r"`docs/\1.md`", text)
    return re.sub(r":\w+:`~?([^`]*)`|``([^`]*)``", lambda found: f"`{found[1] or found[2]}`", text)


def entries(section: str) -> list[tuple[str, str]]:
    """The entries of a section by name, arguments or errors; without a name if it refers to another function's."""
    found = re.split(r"^(\w[\w, ]*): ", section, flags=re.M)
    if len(found) == 1:
        return [("", plain(section))] if section else []
    return [(name, plain(text)) for name, text in zip(found[1::2], found[2::2], strict=True)]


def _paragraph(text: str) -> str:
    return textwrap.fill(restructured(text), 100, break_long_words=False, break_on_hyphens=False)


def _list(title: str, *items: str) -> str:
    lines = [textwrap.indent(_paragraph(item), "  ").replace("  ", "- ", 1) for item in items]
    return "\n".join([title, "", *lines])


def _section(title: str, text: str) -> str:
    return f"{title}\n{textwrap.indent(text, '    ')}" if text else ""
