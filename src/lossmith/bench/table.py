"""The figures in the terminal."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group as RenderableGroup
from rich.table import Table
from rich.text import Text

from .measure import Row
from .peers import PEERS
from .request import AGAINST
from .steps import VARIANTS
from .summary import Group, memory


def table(group: Group) -> RenderableGroup:
    """One group's rows; what is missing is explained below."""
    theirs = PEERS[group.against].title if group.against in PEERS else "torch"
    theirs, ours = ("probabilities", "labels") if group.against == "labels" else (theirs, "lossmith")
    explained = [f"{name}: {reason}" for name, reason in group.missing.items()]
    if without := [row.name for row in group.rows if row.backend == "reference"]:
        explained.append(f"without a kernel of lossmith's: {', '.join(without)}")
    result = Table(
        caption="\n".join(explained) or None,
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    result.add_column("loss", overflow="fold")
    for column in (f"{theirs}, ms", f"{ours}, ms", "ratio", "quartiles"):
        result.add_column(column, justify="right", no_wrap=True)
    more = {
        column: cells
        for column, cell in {"GB/s": _bandwidth, "of copy": _share, "memory": _memory}.items()
        if any(cells := [cell(row) for row in group.rows])
    }
    for column in more:
        result.add_column(column, justify="right", no_wrap=True)
    for i, row in enumerate(group.rows):
        result.add_row(*_times(row), *(cells[i] for cells in more.values()))
    return RenderableGroup(Text(title(group), style="bold"), result)


def title(group: Group) -> str:
    unit = "" if "x" in group.size else " elements"
    return f"{group.size}{unit}, {group.dtype}, {VARIANTS[group.variant]}, against {AGAINST[group.against]}"


def _times(row: Row) -> list[str | Text]:
    if not (row.ratio and row.theirs_ms and row.ours_ms):
        return [row.name, "", "", Text("–", style="dim"), ""]
    style = "green" if row.ratio.low > 1 else "red" if row.ratio.high < 1 else ""
    return [
        row.name,
        f"{row.theirs_ms.median:#.3g}",
        f"{row.ours_ms.median:#.3g}",
        Text(f"{row.ratio.median:.2f}", style=style),
        f"{row.ratio.low:.2f}–{row.ratio.high:.2f}",
    ]


def _bandwidth(row: Row) -> str:
    return f"{row.gb_per_s:.1f}" if row.gb_per_s else ""


def _share(row: Row) -> str:
    return f"{row.of_copy.median:.0%}" if row.of_copy else ""


def _memory(row: Row) -> str:
    grown = memory(row)
    return f"{grown[0]:.1f} → {grown[1]:.1f}" if grown else ""


LEGEND = (
    "ratio: torch's time over lossmith's in the same round, median and quartiles; above 1 lossmith is faster. "
    "GB/s: each input read once and each gradient written once, over lossmith's time; of copy: the share of a copy's "
    "GB/s in the same rounds. memory: peak growth, torch's → lossmith's, in sizes of the gradients."
)


def summary(found: Sequence[Group]) -> Table:
    """A line for each group."""
    result = Table(title="Summary", title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for column in ("size", "against", "variant"):
        result.add_column(column)
    for column in ("losses", "geometric mean", "lowest"):
        result.add_column(column, justify="right")
    result.add_column("which")
    for group in found:
        mean, lowest = group.geometric_mean, group.lowest
        result.add_row(
            group.size,
            group.against,
            group.variant,
            str(len(group.measured)),
            f"{mean:.2f}" if mean else "–",
            f"{lowest[1]:.2f}" if lowest else "–",
            lowest[0] if lowest else "",
        )
    return result
