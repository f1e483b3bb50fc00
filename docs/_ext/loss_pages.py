"""Writes the cheat sheet and a page for each loss, made of its card, in English and Chinese."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pages import escaped, write_pages
from sphinx.application import Sphinx

from lossmith.card import Language, Text
from lossmith.cards.content import Block, Example, Formula, Items, Picture, Prose, cheat_sheet, sections
from lossmith.cards.curves import curve_of, lines
from lossmith.cards.svg import svg
from lossmith.cards.words import FAMILIES
from lossmith.facts import Loss
from lossmith.losses import all_losses

FOLDERS: dict[Language, str] = {"en": "losses", "zh": "losses/zh"}


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write(app: Sphinx) -> None:
    pages = {}
    for language, folder in FOLDERS.items():
        pages[f"{folder}/index.md"] = overview(language)
        for loss in all_losses().values():
            pages[f"{folder}/{loss.name}.md"] = page(loss, language)
    write_pages(Path(app.srcdir), list(FOLDERS.values()), pages)


def overview(language: Language) -> str:
    """The cheat sheet."""
    columns = {
        "loss": Text("loss", "损失"),
        "input": Text("input", "输入"),
        "target": Text("target", "目标"),
        "activation": Text("activation before it", "之前的激活"),
        "typical": Text("typical use", "典型用途"),
    }
    parts = [f"# {Text('Cheat sheet', '速查表')(language)}"]
    parts.append("[中文](zh/index.md)" if language == "en" else "[English](../index.md)")
    for family, title in FAMILIES.items():
        rows = cheat_sheet(language, family)
        table = [list(columns[name](language) for name in columns), ["---"] * len(columns)]
        for row in rows:
            first = f"[{row['loss']}]({row['function']}.md)"
            table.append([first, *(escaped(row[name]) for name in columns if name != "loss")])
        parts.append(f"## {title(language)}")
        parts.append("\n".join(f"| {' | '.join(cells)} |" for cells in table))
    names = [row["function"] for row in cheat_sheet(language)]
    children = [*names, "zh/index"] if language == "en" else names
    parts.append("\n".join(["```{toctree}", ":hidden:", "", *children, "```"]))
    return "\n\n".join(parts) + "\n"


def page(loss: Loss, language: Language) -> str:
    """The page of a loss."""
    card = loss.card
    other = f"[中文](zh/{loss.name}.md)" if language == "en" else f"[English](../{loss.name}.md)"
    parts = [
        f"# {loss.module.__name__}" if language == "en" else f"# {loss.module.__name__}：{card.title('zh')}",
        f"{FAMILIES[loss.family](language)} · {{py:class}}`lossmith.{loss.module.__name__}` · "
        f"{{py:func}}`lossmith.functional.{loss.name}` · {other}",
        escaped(card.summary(language)),
    ]
    for section in sections(loss, language):
        parts.append(f"## {section.title(language)}")
        for block in section.blocks:
            parts += shown(block, language)
    return "\n\n".join(parts) + "\n"


def shown(block: Block, language: Language) -> Iterator[str]:
    """A block in MyST's Markdown."""
    match block:
        case Prose(text):
            yield escaped(text)
        case Formula(latex):
            yield f"$$\n{latex}\n$$"
        case Items(items):
            yield "\n".join(f"- {named(name, language)}{escaped(text)}" for name, text in items)
        case Picture(loss):
            yield f"```{{raw}} html\n{svg(lines(loss), language)}\n```"
            yield escaped(curve_of(loss).axis(language))
        case Example(steps):
            yield "\n".join(["```pycon", *(line for step in steps for line in session(step.code, step.output)), "```"])


def session(code: str, output: str) -> Iterator[str]:
    first, *more = code.split("\n")
    yield f">>> {first}"
    yield from (f"... {line}" for line in more)
    if output:
        yield output


def named(name: str, language: Language) -> str:
    """A name in bold, of a loss with a link to its page."""
    if not name:
        return ""
    loss = next((loss for loss in all_losses().values() if loss.module.__name__ == name), None)
    return (f"[{name}]({loss.name}.md)" if loss else f"**{escaped(name)}**") + Text(": ", "：")(language)
