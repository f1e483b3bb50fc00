"""A picture of the ratios: a panel for each size, a dot for each loss, on a logarithmic axis. Needs matplotlib."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from .measure import Row
from .record import Record
from .workloads import SHAPES

TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999", "#000000")
"""Okabe and Ito's, which colour-blind readers can tell apart."""

Series = tuple[str, str]


def plot(record: Record, path: Path) -> None:
    """Writes the picture, with a line below it that says where the figures are from."""
    shown = [row for row in record.rows if row.ratio and row.against != "labels"]
    series = list(dict.fromkeys((row.against, row.variant) for row in shown))
    sizes = list(dict.fromkeys(row.size for row in shown if row.size not in SHAPES))
    panels = [(f"{size} elements", [row for row in shown if row.size == size]) for size in sizes]
    shapes = [row for row in shown if row.size in SHAPES]
    if shapes:
        panels.append(("shapes", shapes))
    labels = [list(dict.fromkeys(_label(row) for row in found)) for _, found in panels]
    height = max((len(found) for found in labels), default=1)
    columns = max(1, len(panels))
    figure = Figure(figsize=(2.6 + 3.1 * columns + 1.4 * bool(shapes), 1.9 + 0.24 * height), layout="constrained")
    ends = [end for row in shown if row.ratio for end in (row.ratio.low, row.ratio.high)]
    limits = min([0.8, *ends]) / 1.15, max([1.25, *ends]) * 1.15
    ticks = [tick for tick in TICKS if limits[0] <= tick <= limits[1]]
    ticks = ticks if len(ticks) < 8 else [tick for tick in ticks if tick in (0.01, 0.1, 1, 10, 100)]
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for axis, (title, found), names in zip(axes, panels, labels, strict=False):
        _panel(axis, found, names, series)
        axis.set_title(title, fontsize=10)
        axis.set_xticks(ticks)
        axis.set_xlim(limits)
        if title != "shapes" and names == labels[0] and axis is not axes[0]:
            axis.tick_params(labelleft=False)
    keys = [Line2D([], [], color=COLOURS[i % 8], marker="o", linestyle="") for i in range(len(series))]
    names = [_name(one) for one in series]
    figure.legend(keys, names, loc="outside upper center", ncols=min(4, max(1, len(names))), frameon=False, fontsize=9)
    figure.supxlabel(f"torch's time / lossmith's time: right of 1× lossmith is faster\n{record.about}", fontsize=8)
    figure.savefig(path, dpi=150)


def _panel(axis: Axes, rows: Sequence[Row], names: Sequence[str], series: Sequence[Series]) -> None:
    axis.axvline(1, color="black", linewidth=1)
    for row, (i, one) in product(rows, enumerate(series)):
        if row.ratio and (row.against, row.variant) == one:
            y = names.index(_label(row)) + (i - (len(series) - 1) / 2) * 0.6 / len(series)
            colour = COLOURS[i % 8]
            axis.plot([row.ratio.low, row.ratio.high], [y, y], color=colour, linewidth=1.2)
            axis.plot(row.ratio.median, y, "o", color=colour, markersize=4)
    axis.set_xscale("log")
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.tick_params(axis="x", labelsize=8)
    axis.grid(axis="both", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _label(row: Row) -> str:
    return f"{row.name}, {row.size}" if row.size in SHAPES else row.name


def _name(series: Series) -> str:
    against, variant = series
    if variant == "compile":
        return "both inside torch.compile"
    opponent = {"eager": "against torch eager", "compile": "against torch.compile"}[against]
    return opponent if variant == "plain" else f"{opponent}, {variant}"
