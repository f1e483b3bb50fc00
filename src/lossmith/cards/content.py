"""What a card shows and in which order: sections of blocks, for the terminal, a notebook and a page alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..card import Language, Text
from ..docstring import Docstring, entries
from ..facts import Loss
from ..losses import all_losses
from .curves import settings_of
from .example import Step, run
from .words import FAMILIES, tested


@dataclass(frozen=True)
class Prose:
    """A paragraph; formulas stand between dollars, code between backquotes."""

    text: str


@dataclass(frozen=True)
class Items:
    """Points, each under a name or, where that is empty, under a bullet."""

    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Formula:
    """LaTeX, displayed."""

    latex: str


@dataclass(frozen=True)
class Example:
    steps: Sequence[Step]


@dataclass(frozen=True)
class Picture:
    """The curve of the loss, with these settings."""

    loss: Loss
    settings: dict[str, Any]


Block = Prose | Items | Formula | Example | Picture


@dataclass(frozen=True)
class Section:
    title: Text
    blocks: Sequence[Block]


def sections(loss: Loss, language: Language) -> Iterator[Section]:
    """Everything that is known of a loss; the example is executed when its section is asked for."""
    from ..formula.latex import latex

    card, doc = loss.card, Docstring.of(loss.function)
    notes = [Prose(note) for note in doc.notes if language == "en"]  # a docstring is in English alone
    yield Section(Text("Definition", "定义"), [Formula(doc.latex), *notes])
    if card.curve is not None:
        yield Section(Text("Curve", "曲线"), [Picture(loss, {})])
    yield Section(Text("Gradient", "梯度"), [Prose(card.gradient(language))])
    yield Section(Text("Properties", "性质"), [Items(list(properties(loss, language)))])
    yield Section(Text("Tested facts", "经测试验证的事实"), [Items(list(facts(loss, language)))])
    yield Section(Text("When to use it", "何时使用"), [Items([("", text(language)) for text in card.use])])
    yield Section(Text("When not", "何时不用"), [Items([("", text(language)) for text in card.avoid])])
    yield Section(Text("Traps", "陷阱"), [Items(list(traps(loss, language)))])
    yield Section(Text("Numerical stability", "数值稳定性"), [Prose(card.stability(language))])
    if loss.formulas:
        yield Section(Text("As it is computed", "实际计算的公式"), [Formula(latex(loss.formulas[0]))])
    yield Section(Text("Shapes", "形状"), [Items(list(shapes(loss, language)))])
    yield Section(Text("Siblings", "相近的损失"), [Items([(s.loss, s.text(language)) for s in card.siblings])])
    yield Section(Text("Arguments", "参数（英文）"), [Items(entries(doc.arguments))])
    yield Section(Text("Errors", "报错（英文）"), [Items(entries(doc.errors))])
    yield Section(Text("Example, and what it prints here", "示例及其在此处的输出"), [Example(run(loss))])
    yield Section(Text("Sources", "来源"), [Items([("", source) for source in card.sources])])
    if card.aliases:
        yield Section(Text("Also called", "别名"), [Prose(", ".join(card.aliases))])


def properties(loss: Loss, language: Language) -> Iterator[tuple[str, str]]:
    """What outliers do, what becomes 0, ...: the words of the card."""
    card = loss.card
    for title, text in (
        (Text("robustness", "鲁棒性"), card.robustness),
        (Text("sparsity", "稀疏性"), card.sparsity),
        (Text("smoothness", "光滑性"), card.smoothness),
        (Text("sensitivity", "敏感性"), card.sensitivity),
        (Text("minimiser", "最小值点"), card.minimiser),
    ):
        yield title(language), text(language)


def facts(loss: Loss, language: Language, settings: dict[str, Any] | None = None) -> Iterator[tuple[str, str]]:
    """What the tests hold the loss to, with these settings instead of its defaults."""
    arguments = settings_of(loss)
    if loss.card.curve is not None:
        points = torch.linspace(*loss.card.curve.span, 3, dtype=torch.float64)
        arguments |= next(iter(loss.card.curve.lines.values()))(points)
    for title, text in tested(loss.facts, arguments | (settings or {})):
        yield title(language), text(language)


def traps(loss: Loss, language: Language) -> Iterator[tuple[str, str]]:
    """The traps by their ids, with the rule that sees them."""
    for trap in loss.card.traps:
        rule = Text(f" (rule {trap.rule})", f"（规则 {trap.rule}）")(language) if trap.rule else ""
        yield trap.id, trap.text(language) + rule


def shapes(loss: Loss, language: Language) -> Iterator[tuple[str, str]]:
    """Input, target, and what stands before the loss in the network."""
    card = loss.card
    yield Text("input", "输入")(language), card.input
    yield Text("target", "目标")(language), card.target
    yield Text("activation before it", "之前的激活")(language), card.activation(language)


def cheat_sheet(language: Language, family: str | None = None) -> list[dict[str, str]]:
    """A row for each loss, family by family."""
    losses = sorted(all_losses().values(), key=lambda loss: list(FAMILIES).index(loss.family))
    return [
        {
            "loss": loss.module.__name__,
            "function": loss.name,
            "family": FAMILIES[loss.family](language),
            "input": loss.card.input,
            "target": loss.card.target,
            "activation": loss.card.activation(language),
            "typical": loss.card.typical(language),
        }
        for loss in losses
        if family in (None, loss.family)
    ]


def as_json(loss: Loss, language: Language) -> dict[str, Any]:
    """The card as data, in one language."""
    from ..formula.latex import latex

    card, doc = loss.card, Docstring.of(loss.function)
    return {
        "loss": loss.module.__name__,
        "function": loss.name,
        "family": FAMILIES[loss.family](language),
        "title": card.title(language),
        "summary": card.summary(language),
        "definition": doc.latex,
        "formulas": {formula.name: latex(formula) for formula in loss.formulas},
        "gradient": card.gradient(language),
        "properties": {
            name: getattr(card, name)(language)
            for name in ("robustness", "sparsity", "smoothness", "sensitivity", "minimiser")
        },
        "facts": dict(facts(loss, language)),
        "use": [text(language) for text in card.use],
        "avoid": [text(language) for text in card.avoid],
        "traps": [{"id": trap.id, "text": trap.text(language), "rule": trap.rule or None} for trap in card.traps],
        "stability": card.stability(language),
        "activation": card.activation(language),
        "input": card.input,
        "target": card.target,
        "typical": card.typical(language),
        "siblings": [{"loss": s.loss, "text": s.text(language)} for s in card.siblings],
        "arguments": dict(entries(doc.arguments)),
        "errors": [{"error": name, "text": text} for name, text in entries(doc.errors)],
        "example": [{"code": step.code, "output": step.output} for step in run(loss)],
        "sources": list(card.sources),
        "aliases": list(card.aliases),
    }
