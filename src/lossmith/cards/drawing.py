"""A small drawing of a curve in the terminal: loss and gradient side by side, in dots of braille."""

import math
from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text as Styled

from ..card import Language, Text
from ..facts import Loss
from .curves import curve_of, lines
from .mathematics import inline

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bit of each dot in a cell of braille, four rows of two."""
COLOURS = ("cyan", "magenta", "yellow", "green", "red", "blue")


def draw(loss: Loss, language: Language, width: int, height: int = 9) -> Styled:
    """The drawing, as wide as that; a line's label stands at its end. Long labels leave room for one panel a row."""
    labels = [inline(label) for label in curve_of(loss).lines]
    margin = 8 + 1 + max(map(cell_len, labels))
    abreast = margin <= 20
    columns = (width - 3) // 2 - margin if abreast else min(width - margin, 50)
    found = lines(loss, points=8 * columns + 1)
    panels = [
        _panel(title(language), found[0].points, values, labels, columns, height)
        for title, values in (
            (Text("loss", "损失"), [line.values for line in found]),
            (Text("gradient", "梯度"), [line.slopes for line in found]),
        )
    ]
    axis = inline(curve_of(loss).axis(language))
    below = Styled(" " * max(0, 8 + (columns - cell_len(axis)) // 2) + axis, style="dim")
    if not abreast:
        return Styled("\n").join([*panels[0], *panels[1], below])
    room = columns + margin + 3
    for left, right in zip(*panels, strict=True):
        left.append(" " * (room - cell_len(left.plain))).append(right)
    return Styled("\n").join([*panels[0], below])


def _panel(
    title: str, x: Sequence[float], curves: Sequence[Sequence[float]], labels: Sequence[str], columns: int, rows: int
) -> list[Styled]:
    finite = [y for ys in curves for y in ys if math.isfinite(y)]
    low, high = min(finite), max(finite)
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 1, high + 1
    cells = [[0] * columns for _ in range(rows)]
    colours = [[""] * columns for _ in range(rows)]
    ends: dict[int, int] = {}
    for number, ys in enumerate(curves):
        levels = [round((high - y) / (high - low) * (4 * rows - 1)) if math.isfinite(y) else None for y in ys]
        before = None
        for i, level in enumerate(levels):
            across = round(i / (len(levels) - 1) * (2 * columns - 1))
            if level is not None:
                start = level if before is None else before + (level > before) - (level < before)
                for y in range(min(start, level), max(start, level) + 1):
                    cells[y // 4][across // 2] |= DOTS[y % 4][across % 2]
                    colours[y // 4][across // 2] = COLOURS[number % len(COLOURS)]
            before = level
        last = next((level for level in reversed(levels) if level is not None), 0) // 4
        free = [row for row in range(rows) if row not in ends]
        if free:
            ends[min(free, key=lambda row: abs(row - last))] = number
    drawn = [Styled(f"{'':8}{title}", style="bold")]
    for row in range(rows):
        value = {0: _number(high), rows - 1: _number(low)}.get(row, "")
        line = Styled(f"{value:>7}┤" if value else f"{'':7}│", style="dim")
        for bits, colour in zip(cells[row], colours[row], strict=True):
            line.append(chr(0x2800 + bits) if bits else " ", style=colour)
        if row in ends:
            line.append(" " + labels[ends[row]], style=COLOURS[ends[row] % len(COLOURS)])
        drawn.append(line)
    first, last_x = _number(x[0]), _number(x[-1])
    drawn.append(Styled(f"{'':7}└{'─' * columns}", style="dim"))
    drawn.append(Styled(f"{'':8}{first:<{columns - len(last_x)}}{last_x}", style="dim"))
    return drawn


def _number(value: float) -> str:
    return f"{round(value, 9):.3g}"
