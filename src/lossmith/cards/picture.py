"""Losses side by side in a picture, with matplotlib."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import font_manager, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..card import Language, Text
from ..facts import Loss
from .curves import Line, NoCurve, combinations, curve_of, lines

ENDINGS = (".png", ".svg")
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999", "#000000")
"""Okabe and Ito's, which colour-blind readers can tell apart."""
STYLES = ("-", "--", ":", "-.")
CHINESE_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "PingFang SC",
    "Hiragino Sans GB",
    "Heiti SC",
    "STHeiti",
    "Microsoft YaHei",
    "SimHei",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "Arial Unicode MS",
    "Noto Sans CJK JP",
)
"""Sans-serif fonts that have Chinese letters, the best first."""


class Unwritable(ValueError):
    """The picture can't be written to this file."""


def plot(
    losses: Sequence[Loss], wanted: Mapping[str, Sequence[Any]], file: Path, language: Language, gradient: bool
) -> str:
    """Writes the picture: a column for each loss, a line for each combination of the wanted parameters' values.

    Returns what one should know about it, if there is anything.
    """
    _check(file)
    font = chinese_font() if language == "zh" else None
    warning = ""
    if language == "zh" and font is None:
        language = "en"
        warning = (
            f"no Chinese font is installed, so the labels are English; install one of: {', '.join(CHINESE_FONTS[:3])}"
        )
    drawn = [_drawn(loss, wanted) for loss in losses]
    with rc_context(
        {"font.sans-serif": [*([font] if font else []), "DejaVu Sans"], "axes.unicode_minus": font is None}
    ):
        figure = Figure(figsize=(0.6 + 3.6 * len(losses), 3.4 + 2.2 * gradient), layout="constrained")
        rows = figure.subplots(1 + gradient, len(losses), squeeze=False, sharex="col")
        for column, (loss, found) in enumerate(zip(losses, drawn, strict=True)):
            _panel(rows[0][column], found, [line.values for _, _, line in found])
            if gradient:
                _panel(rows[1][column], found, [line.slopes for _, _, line in found])
            rows[0][column].set_title(loss.module.__name__, fontsize=11)
            rows[-1][column].set_xlabel(curve_of(loss).axis(language))
            if len(found) > 1:
                rows[0][column].legend(fontsize=8, frameon=False)
        rows[0][0].set_ylabel(Text("loss", "损失")(language))
        if gradient:
            rows[1][0].set_ylabel(Text("gradient", "梯度")(language))
        try:
            figure.savefig(file, dpi=150)
        except OSError as error:
            raise Unwritable(f"{file} can't be written: {error.strerror}") from None
    return warning


def chinese_font() -> str | None:
    """The name of an installed font with Chinese letters."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return next((font for font in CHINESE_FONTS if font in installed), None)


def _check(file: Path) -> None:
    if file.suffix.lower() not in ENDINGS:
        raise Unwritable(f"{file} ends in {file.suffix or 'nothing'}, expected {' or '.join(ENDINGS)}")
    if not file.absolute().parent.is_dir():
        raise Unwritable(f"{file} can't be written: there is no folder {file.parent}")


def _drawn(loss: Loss, wanted: Mapping[str, Sequence[Any]]) -> list[tuple[int, int, Line]]:
    """The lines, each with the number of its setting and of its target."""
    found = []
    for number, settings in enumerate(combinations(loss, wanted)):
        try:
            made = lines(loss, settings)
        except (ValueError, RuntimeError, TypeError) as error:
            if isinstance(error, NoCurve):
                raise
            raise NoCurve(str(error)) from error
        of = ", ".join(f"{name} = {value:g}" if not isinstance(value, bool) else f"{name} = {value}"
                       for name, value in settings.items())  # fmt: skip
        for target, line in enumerate(made):
            label = ", ".join(part for part in (line.label, of) if part)
            found.append((number, target, Line(label, line.points, line.values, line.slopes)))
    return found


def _panel(axis: Axes, found: Sequence[tuple[int, int, Line]], curves: Sequence[Sequence[float]]) -> None:
    several = len({number for number, _, _ in found}) > 1
    for (number, target, line), ys in zip(found, curves, strict=True):
        colour, style = (number, target) if several else (target, 0)
        shown = [y if math.isfinite(y) else math.nan for y in ys]
        pen, dashes = COLOURS[colour % len(COLOURS)], STYLES[style % len(STYLES)]
        axis.plot(line.points, shown, label=line.label, color=pen, linestyle=dashes)
    axis.axhline(0, color="#bbbbbb", linewidth=0.8, zorder=0)
    axis.grid(color="#eeeeee", linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
