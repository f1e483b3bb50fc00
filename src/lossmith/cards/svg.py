"""The curve of a loss as SVG, for notebooks and pages: loss and gradient side by side, without any library."""

import math
from collections.abc import Iterator, Sequence
from html import escape

from ..card import Language, Text
from .curves import Line

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
WIDTH, HEIGHT = 270, 170
LEFT, TOP, RIGHT, BOTTOM = 44, 22, 8, 24


def svg(lines: Sequence[Line], language: Language) -> str:
    """Two panels; the lines' labels stand below. Text takes the colour of its surroundings."""
    curves = {
        Text("loss", "损失"): [(line.points, line.values) for line in lines],
        Text("gradient", "梯度"): [(line.points, line.slopes) for line in lines],
    }
    panels = ("".join(_panel(at * WIDTH, title(language), drawn)) for at, (title, drawn) in enumerate(curves.items()))
    labels = [line.label for line in lines if line.label]
    height = HEIGHT + 16 * len(labels)
    legend = (
        f'<line x1="{LEFT}" x2="{LEFT + 18}" y1="{HEIGHT + 16 * i + 2}" y2="{HEIGHT + 16 * i + 2}" '
        f'stroke="{COLOURS[i % len(COLOURS)]}" stroke-width="2"/>'
        f'<text x="{LEFT + 24}" y="{HEIGHT + 16 * i + 6}">{escape(label.replace("$", ""))}</text>'
        for i, label in enumerate(labels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {height}" width="{2 * WIDTH}" '
        f'height="{height}" font-family="sans-serif" font-size="11" fill="currentColor" role="img" '
        f'style="max-width:100%">{"".join(panels)}{"".join(legend)}</svg>'
    )


def _panel(at: float, title: str, curves: Sequence[tuple[Sequence[float], Sequence[float]]]) -> Iterator[str]:
    finite = [y for _, ys in curves for y in ys if math.isfinite(y)]
    low, high = min(finite), max(finite)
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 1, high + 1
    points = curves[0][0]
    x0, x1, y0, y1 = at + LEFT, at + WIDTH - RIGHT, HEIGHT - BOTTOM, TOP

    def px(x: float) -> float:
        return x0 + (x - points[0]) / (points[-1] - points[0]) * (x1 - x0)

    def py(y: float) -> float:
        return y0 + (y - low) / (high - low) * (y1 - y0)

    yield f'<text x="{(x0 + x1) / 2:.0f}" y="12" text-anchor="middle" font-weight="bold">{escape(title)}</text>'
    yield f'<path d="M{x0} {y1}V{y0}H{x1}" fill="none" stroke="currentColor" stroke-opacity="0.4"/>'
    if low < 0 < high:
        yield f'<path d="M{x0} {py(0):.1f}H{x1}" fill="none" stroke="currentColor" stroke-opacity="0.2"/>'
    for value in (low, high):
        yield f'<text x="{x0 - 4}" y="{py(value) + 4:.1f}" text-anchor="end">{round(value, 9):.3g}</text>'
    for value in (points[0], points[-1]):
        yield f'<text x="{px(value):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{round(value, 9):.3g}</text>'
    for number, (xs, ys) in enumerate(curves):
        path, pen = [], "M"
        for x, y in zip(xs, ys, strict=True):
            if math.isfinite(y):
                path.append(f"{pen}{px(x):.1f} {py(y):.1f}")
                pen = "L"
            else:
                pen = "M"
        colour = COLOURS[number % len(COLOURS)]
        yield f'<path d="{"".join(path)}" fill="none" stroke="{colour}" stroke-width="1.6" stroke-linejoin="round"/>'
