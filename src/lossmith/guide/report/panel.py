"""What all figures share: panels with their words, ranges and frames."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from ...card import Language, Text
from ...suggest import robust_scale
from ..chooser import Candidate
from ..inputs import Array
from ..record import OutOfFold
from .svg import Axis, Figure, number, shortened

ROWS = Text("rows", "样本数")
ERROR = Text("error: prediction − target", "误差：预测 − 目标")
POINTS = 161  # of a curve
SEEN = 6.0  # robust standard deviations on each side of the median that a histogram shows


@dataclass(frozen=True)
class Key:
    """One entry of a legend."""

    colour: object
    kind: str  # line, dashed or area
    words: str


@dataclass(frozen=True)
class Panel:
    """Drawings that belong together, with their title, legend and caption."""

    title: str
    drawings: tuple[Markup, ...]
    caption: str = ""
    legend: tuple[Key, ...] = ()


def joined(language: Language, *sentences: Text | None) -> str:
    """Sentences, one after the other."""
    return (" " if language == "en" else "").join(words(language) for words in sentences if words)


def binned(values: Array) -> tuple[Array, Array, Text | None]:
    """A histogram of what lies within a few robust standard deviations, and a word on the rest. Whole numbers of a
    short span have bars of their own.
    """
    low, high = window(values)
    inside = values[(values >= low) & (values <= high)]
    if np.all(inside == np.round(inside)) and high - low <= 40:
        edges = np.arange(np.floor(low) - 0.5, np.ceil(high) + 1)
    else:
        bars = len(np.histogram_bin_edges(inside, "fd")) - 1 if np.ptp(inside) else 1
        edges = np.linspace(low, high, min(max(bars, 8), 40) + 1)
    beyond = len(values) - len(inside)
    if not beyond:
        return edges, np.histogram(inside, edges)[0], None
    ends = f"{number(float(values.min()))}", f"{number(float(values.max()))}"
    words = Text(
        f"{beyond:,} lie beyond the drawing: the least is {ends[0]}, the greatest {ends[1]}.",
        f"另有 {beyond:,} 个在图外：最小 {ends[0]}，最大 {ends[1]}。",
    )
    return edges, np.histogram(inside, edges)[0], words


def window(values: Array) -> tuple[float, float]:
    """The range of the values, but no more than a few robust standard deviations around their median."""
    center, reach = float(np.median(values)), SEEN * robust_width(values)
    return max(float(values.min()), center - reach), min(float(values.max()), center + reach)


def robust_width(values: Array) -> float:
    return robust_scale(values) or 1.0


def upright(heights: Array) -> Axis:
    return Axis(0.0, float(np.max(heights)) * 1.08)


def padded(axis: Axis, share: float = 0.04) -> Axis:
    reach = (axis.high - axis.low) * share
    return Axis(axis.low - reach, axis.high + reach, axis.title, axis.ticks)


def lying_bars(name: str, title: str, description: str, names: Sequence[str], x: Axis) -> Figure:
    """A frame for bars that lie, with their names on the left, the first at the top."""
    letters = 15
    ticks = [(-place, shortened(words, letters)) for place, words in enumerate(names)]
    y = Axis(-len(names) + 0.4, 0.6, ticks=ticks)
    widest = max(len(words) for _, words in ticks)
    return Figure(name, title, description, x, y, height=58 + 21 * max(len(names), 2), left=24 + 6 * widest)


def whisker_rows(name: str, title: str, description: str, rows: int, x: Axis, words: str) -> Figure:
    """A frame for whiskers, each under its label."""
    axis = Axis(x.low, x.high, words)
    return Figure(name, title, description, axis, Axis(-rows + 0.4, 0.6, ticks=()), height=54 + 42 * rows, left=12)


def out_of_fold(candidate: Candidate) -> OutOfFold | None:
    return None if candidate.scores is None else candidate.scores.out_of_fold
