"""Figures as inline SVG, 360 units wide so that a phone shows them at full size; the style sheet gives the colours."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil, floor, isfinite, log10

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import ArrayLike, NDArray

WIDTH = 360
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 42
LETTER = 6.6  # the mean width of a letter; one of full width has two


@dataclass(frozen=True)
class Axis:
    """What one direction shows: its range, its name, and its ticks where they are not round numbers."""

    low: float
    high: float
    title: str = ""
    ticks: Sequence[tuple[float, str]] | None = None

    def __post_init__(self) -> None:
        if not (isfinite(self.low) and isfinite(self.high)):
            raise ValueError(f"an axis from {self.low} to {self.high} can't be drawn; expected two finite numbers")
        if not self.low < self.high:
            middle, reach = (self.low + self.high) / 2, abs(self.low) / 2 or 1.0
            object.__setattr__(self, "low", middle - reach)
            object.__setattr__(self, "high", middle + reach)

    def marks(self, most: int) -> Sequence[tuple[float, str]]:
        return round_ticks(self.low, self.high, most) if self.ticks is None else self.ticks


def round_ticks(low: float, high: float, most: int = 5) -> list[tuple[float, str]]:
    """Round numbers from low to high, at most so many, each as one writes it.

    >>> round_ticks(0.0, 1.0)
    [(0.0, '0'), (0.25, '0.25'), (0.5, '0.5'), (0.75, '0.75'), (1.0, '1')]
    """
    size = 10.0 ** floor(log10((high - low) / most))
    steps = (factor * size for factor in (1, 2, 2.5, 5, 10, 20))
    step = next(step for step in steps if floor(high / step + 1e-9) - ceil(low / step - 1e-9) < most)
    return [(step * i, number(step * i)) for i in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def number(value: float, digits: int = 4) -> str:
    """A number as a label writes it: few digits, a true minus.

    >>> number(-1234567.0), number(99999.0), number(0.1), number(2.5e-7), number(-0.0)
    ('−1.23e6', '99999', '0.1', '2.5e-7', '0')
    """
    size = abs(value)
    if size and not 1e-3 <= size < 99999.5:
        digit, power = f"{size:.{max(digits - 2, 1)}e}".split("e")
        text = f"{float(digit):g}e{int(power)}"
    else:
        text = f"{size:.0f}" if size >= 10**digits else f"{size:.{digits}g}"
    return f"−{text}" if value < 0 else text


def shortened(words: str, most: int) -> str:
    """The words cut to so many letters, those of full width counted twice."""
    width, kept = 0, ""
    for letter in words:
        width += 1 if ord(letter) < 0x2E80 else 2
        if width > most:
            return kept[:-1] + "…"
        kept += letter
    return kept


@dataclass
class Figure:
    """A drawing between two axes. `colour` is a number of the style sheet's palette, or a class of its own."""

    name: str  # unique in the page
    title: str
    description: str  # what it shows, for those who can't see it
    x: Axis
    y: Axis
    height: int = 220
    left: int = 0  # as wide as the ticks need
    top: int = TOP
    marks: list[str] = field(default_factory=list)  # inside the frame, which cuts them
    over: list[str] = field(default_factory=list)  # above the frame

    def __post_init__(self) -> None:
        longest = max((len(words) for _, words in self.y.marks(5)), default=0)
        self.left = self.left or max(LEFT, round(longest * LETTER) + 10)

    @property
    def inner(self) -> tuple[int, int]:
        return WIDTH - self.left - RIGHT, self.height - self.top - (BOTTOM if self.x.title else BOTTOM - 16)

    def across(self, values: ArrayLike) -> NDArray[np.float64]:
        return _share(values, self.x) * self.inner[0]

    def up(self, values: ArrayLike) -> NDArray[np.float64]:
        return (1 - _share(values, self.y)) * self.inner[1]

    def line(self, x: ArrayLike, y: ArrayLike, colour: object, kind: str = "line") -> None:
        """A line through the points that are numbers."""
        across, up = self.across(x), self.up(y)
        seen = ~(np.isnan(across) | np.isnan(up))
        across, up = across[seen], up[seen]
        self.marks.append(f'<polyline class="{kind} c{colour}" points="{_points(across, up)}"/>')

    def bars(self, edges: ArrayLike, heights: ArrayLike, colour: object = "d", gap: float = 1.0) -> None:
        """Upright bars between neighbouring edges, from the bottom of the frame."""
        across, up = self.across(edges), self.up(heights)
        ground = self.inner[1]
        path = "".join(
            f"M{_n(left + gap / 2)} "
            f"{_n(ground)}V{_n(top)}H{_n(max(right - gap / 2, left + gap / 2 + 0.5))}V{_n(ground)}z"
            for left, right, top in zip(across[:-1], across[1:], up, strict=True)
            if top < ground
        )
        self.marks.append(f'<path class="area c{colour}" d="{path}"/>')

    def lying(self, low: float, high: float, middle: float, thick: float, colour: object = "d") -> None:
        """One bar that lies, from low to high around the height `middle`; `thick` is in the unit of y."""
        left, right = self.across([low, high])
        top, bottom = self.up([middle + thick / 2, middle - thick / 2])
        size = f'width="{_n(max(right - left, 1))}" height="{_n(bottom - top)}"'
        self.marks.append(f'<rect class="area c{colour}" x="{_n(left)}" y="{_n(top)}" {size} rx="1.5"/>')

    def whisker(self, low: float, high: float, at: float, middle: float, colour: object) -> None:
        """An interval that lies at the height `at`, with a dot at its middle."""
        left, right, dot = self.across([low, high, middle])
        y = float(self.up(at))
        ends = f"M{_n(left)} {_n(y)}H{_n(right)}M{_n(left)} {_n(y - 4)}v8M{_n(right)} {_n(y - 4)}v8"
        self.marks.append(f'<path class="line c{colour}" d="{ends}"/>')
        self.marks.append(f'<circle class="dot c{colour}" cx="{_n(dot)}" cy="{_n(y)}" r="4.5"/>')

    def dots(self, x: ArrayLike, y: ArrayLike, colour: object = "d", radius: float = 2.0) -> None:
        """A cloud of dots: one path whose strokes of length 0 have round ends."""
        path = "".join(f"M{_n(a)} {_n(b)}h0" for a, b in zip(self.across(x), self.up(y), strict=True))
        self.marks.append(f'<path class="cloud c{colour}" stroke-width="{2 * radius:g}" d="{path}"/>')

    def upright(self, at: float, kind: str = "rule") -> None:
        x, height = float(self.across(at)), self.inner[1]
        self.marks.append(f'<path class="{kind}" d="M{_n(x)} 0V{height}"/>')

    def level(self, at: float, kind: str = "rule") -> None:
        y, width = float(self.up(at)), self.inner[0]
        self.marks.append(f'<path class="{kind}" d="M0 {_n(y)}H{width}"/>')

    def word(self, x: float, y: float, words: str, anchor: str = "start", kind: str = "") -> None:
        """Words at the height of a point of the drawing, in its units."""
        across, up = float(self.across(x)) + self.left, float(self.up(y)) + self.top + 4
        self.over.append(_text(across, up, words, anchor, kind))

    def note(self, words: str) -> None:
        """Words above the frame; it needs a `top` of 24."""
        self.over.append(_text(self.left, self.top - 9, words, kind="note"))

    def svg(self) -> Markup:
        width, height = self.inner
        identity = f"fig-{self.name}"
        titles = f'<title id="{identity}-t">{escape(self.title)}</title>'
        titles += f'<desc id="{identity}-d">{escape(self.description)}</desc>'
        labels: list[str] = []
        grid = ""
        for value, words in self.x.marks(5):
            at = float(self.across(value))
            grid += f"M{_n(at)} 0V{height}"
            half = len(words) * LETTER / 2
            x = min(max(at + self.left, half), WIDTH - half)
            labels.append(_text(x, self.top + height + 15, words, "middle"))
        for value, words in self.y.marks(5):
            at = float(self.up(value))
            grid += f"M0 {_n(at)}H{width}"
            labels.append(_text(self.left - 6, at + self.top + 4, words, "end"))
        if self.x.title:
            labels.append(_text(self.left + width / 2, self.height - 6, self.x.title, "middle", "axis"))
        frame = f'<svg x="{self.left}" y="{self.top}" width="{width}" height="{height}">'
        marks = f'<path class="grid" d="{grid}"/>{"".join(self.marks)}'
        return Markup(
            f'<svg class="figure" viewBox="0 0 {WIDTH} {self.height}" role="img" '
            f'aria-labelledby="{identity}-t {identity}-d">{titles}'
            f"{frame}{marks}</svg>{''.join(labels)}{''.join(self.over)}</svg>"
        )


def _share(values: ArrayLike, axis: Axis) -> NDArray[np.float64]:
    """How far along the axis the values lie, from 0 to 1; what is far outside is cut before SVG's numbers end."""
    span = axis.high - axis.low
    near = np.asarray(values, dtype=np.float64).clip(axis.low - 9 * span, axis.high + 9 * span)
    return np.asarray((near - axis.low) / span)


def _text(x: float, y: float, words: str, anchor: str = "start", kind: str = "") -> str:
    how = f' class="{kind}"' if kind else ""
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text{how} x="{_n(x)}" y="{_n(y)}"{where}>{escape(words)}</text>'


def _points(x: Iterable[float], y: Iterable[float]) -> str:
    return " ".join(f"{_n(a)},{_n(b)}" for a, b in zip(x, y, strict=True))


def _n(value: float) -> str:
    """A length with one decimal: a tenth of a pixel."""
    return f"{round(float(value), 1) + 0.0:g}"
