"""Cards in the terminal, through rich."""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text as Styled

from ..card import Language, Text
from ..facts import Loss
from .content import Block, Example, Formula, Items, Picture, Prose, sections
from .drawing import draw
from .example import Step
from .mathematics import display, inline
from .words import FAMILIES

INDENT = 2
WIDEST = 100
"""Longer lines are hard to read."""
LONGEST_SHAPE = 20
"""In one line of the cheat sheet."""

GLUE = "\ue000"
"""Stands for a space at which no line is broken."""


def explain(loss: Loss, language: Language, out: Console) -> None:
    """Prints the card."""
    width = min(out.width, WIDEST)
    card = loss.card
    out.print(Styled(card.title(language), style="bold"))
    names = f"lossmith.{loss.module.__name__}, lossmith.functional.{loss.name}"
    out.print(Styled(f"{FAMILIES[loss.family](language)} · {names}", style="dim"))
    out.print()
    out.print(Styled(wrapped(card.summary(language), width)))
    for section in sections(loss, language):
        out.print()
        out.print(Styled(section.title(language), style="bold cyan"))
        for number, block in enumerate(section.blocks):
            if number:
                out.print()
            shown = Padding(_shown(block, language, width - INDENT), (0, 0, 0, INDENT), expand=False)
            out.print(shown, crop=False)


def cheat_sheet(rows: Sequence[dict[str, str]], language: Language, out: Console) -> None:
    """Prints a table, family by family; the columns of words share what the names and shapes leave."""
    names = max(len(row["loss"]) for row in rows)
    shapes = [min(LONGEST_SHAPE, max(len(row[name]) for row in rows)) for name in ("input", "target")]
    phrase = max(14, (out.width - names - sum(shapes) - 14) // 2)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for title, width in (
        (Text("loss", "损失"), names),
        (Text("input", "输入"), shapes[0]),
        (Text("target", "目标"), shapes[1]),
        (Text("activation before", "之前的激活"), phrase),
        (Text("typical use", "典型用途"), phrase),
    ):
        table.add_column(title(language), max_width=width, overflow="fold")
    for name, family in groupby(rows, lambda row: row["family"]):
        table.add_row(Styled(name, style="bold cyan"))
        for row in family:
            cells = zip(("input", "target", "activation", "typical"), (*shapes, phrase, phrase), strict=True)
            table.add_row(row["loss"], *(Styled(wrapped(row[column], width)) for column, width in cells))
        table.add_section()
    out.print(table, crop=False)


def wrapped(text: str, width: int) -> str:
    """The text in lines of this width; Chinese is broken between signs, formulas and what closes a clause are not."""
    lines = [""]
    for unit in _units(inline(text, GLUE)):
        if cell_len(lines[-1]) + cell_len(unit.rstrip()) > width and lines[-1]:
            lines[-1] = lines[-1].rstrip()
            lines.append("")
        lines[-1] += unit
    return "\n".join(lines).replace(GLUE, " ")


def _units(text: str) -> Iterator[str]:
    """What must not be broken: words, and single Chinese signs with the punctuation that belongs to them."""
    wide = "\u3000-\u303f\u4e00-\u9fff\uff00-\uffef"
    closing = "，。；：、！？）》」』”’"
    for match in re.finditer(rf"[（《「『“‘]*[{wide}][{closing}]*\s*|[^\s{wide}]+[{closing}]*\s*|\s+", text):
        yield match[0]


def _shown(block: Block, language: Language, width: int) -> Styled | Table | Syntax:
    match block:
        case Prose(text):
            return Styled(wrapped(text, width))
        case Formula(latex):
            return Styled("\n".join(display(latex)), no_wrap=True, overflow="ignore")
        case Picture(loss):
            return draw(loss, language, min(width, 84))
        case Items(items):
            return _items(items, width)
        case Example(steps):
            return Styled("\n", no_wrap=True, overflow="ignore").join(_steps(steps))
    raise TypeError(f"no form for {block!r}")


def _items(items: Sequence[tuple[str, str]], width: int) -> Styled | Table:
    """Names in a column of their own if they are short, else above the words."""
    names = max(cell_len(name) for name, _ in items)
    if 0 < names <= 30:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="bold", no_wrap=True)
        grid.add_column()
        for name, text in items:
            grid.add_row(name, Styled(wrapped(text, width - names - 2)))
        return grid
    parts = []
    for name, text in items:
        lines = wrapped(text, width - 2).splitlines()
        head = [Styled(name, style="bold"), *(Styled("  " + line) for line in lines)] if name else [
            Styled(("• " if i == 0 else "  ") + line) for i, line in enumerate(lines)
        ]  # fmt: skip
        parts += head
    return Styled("\n").join(parts)


def _steps(steps: Sequence[Step]) -> Iterator[Styled]:
    for step in steps:
        first, *more = step.code.split("\n")
        yield Styled.assemble((">>> ", "dim"), first)
        yield from (Styled.assemble(("... ", "dim"), line) for line in more)
        if step.output:
            yield Styled(step.output, style="green")
