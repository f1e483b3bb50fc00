"""What is written of a loss for people, in English and Chinese: its card."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

Language = Literal["en", "zh"]


@dataclass(frozen=True)
class Text:
    """The same words in English and in Chinese. A formula in them stands between dollars, as LaTeX."""

    en: str
    zh: str

    def __call__(self, language: Language) -> str:
        words: str = getattr(self, language)
        return words


@dataclass(frozen=True)
class Trap:
    """One way to hold the loss wrongly."""

    id: str
    """Stable: rules, reports and tests refer to it. It begins with the loss's short name: `huber-delta-unit`."""
    text: Text
    """What goes wrong, with the consequence, and what to write instead."""
    rule: str = ""
    """The rule of the guard that sees it; empty where none can."""


@dataclass(frozen=True)
class Sibling:
    """A loss that one could take instead, and how it differs."""

    loss: str
    """The name of its Module."""
    text: Text


@dataclass(frozen=True)
class Curve:
    """How the loss is drawn: along one number, for one or several targets."""

    axis: Text
    """What the number is."""
    span: tuple[float, float]
    lines: Mapping[str, Callable[[Tensor], dict[str, Any]]]
    """By its label (such as `y = 1`; empty for a single line), the arguments of the function for the points of a line.

    They are given a vector; with them and `reduction="none"` the loss is a vector of the same length.
    """


@dataclass(frozen=True)
class Card:
    """What one should know of a loss before taking it. Mathematics, errors and the example are its docstring's."""

    title: Text
    summary: Text
    """What it measures, in one sentence."""
    gradient: Text
    """How it pulls: the derivative in words."""
    robustness: Text
    """What an outlier, a wrong label or a far sample does to it."""
    sparsity: Text
    """What becomes exactly 0 under it, errors or gradients; or that nothing does."""
    smoothness: Text
    sensitivity: Text
    """What it reacts to most, scales and hyperparameters included."""
    minimiser: Text
    """What a perfect fit predicts; where targets scatter for the same input, which of their statistics."""
    use: tuple[Text, ...]
    avoid: tuple[Text, ...]
    traps: tuple[Trap, ...]
    stability: Text
    """What over- or underflows, what the stable form is, and what dtype it is computed in."""
    activation: Text
    """What stands before it in the network: a cell of the cheat sheet, such as `none (logits)`."""
    input: str
    """Its shape, such as `(N, C)`: a cell of the cheat sheet."""
    target: str
    typical: Text
    """Where it is met: a cell of the cheat sheet."""
    siblings: tuple[Sibling, ...]
    sources: tuple[str, ...]
    """Paper or page, in the form `Author, "Title", where (year)`."""
    curve: Curve | None
    """None where no single number shows it, as for sequences and for batches whose rows know each other."""
    aliases: tuple[str, ...] = ()
    """What else it is called: by Keras, scikit-learn and others, in lower case with underscores."""
