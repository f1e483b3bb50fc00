"""Prints a choice in the terminal."""

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from .chooser import Choice
from .metrics import METRICS

COLOURS = {"better": "green", "worse": "red", "tie": "yellow"}


def render(choice: Choice, console: Console) -> None:
    """The whole report: data, evidence, recommendation, experiment, what was ruled out, snippet."""
    _section(console, "Data", _bullets(choice.table))
    _section(console, "What the target is", _bullets((*choice.evidence, _path(choice))))
    _section(console, "Recommended", _recommended(choice))
    if choice.verdict is None:
        _section(console, "Candidates", _bullets([candidate.signature for candidate in choice.candidates]))
    else:
        _section(console, "Experiment", _experiment(choice))
    _section(console, "Ruled out", _ruled_out(choice))
    console.print("[bold]Snippet[/bold] (runs as it is)\n")
    code = Syntax(choice.snippet.rstrip(), "python", theme="ansi_dark", background_color="default")
    console.print(code.highlight(code.code), soft_wrap=True)  # unbroken lines, so that it can be pasted


def _section(console: Console, title: str, body: RenderableType) -> None:
    console.print(f"[bold]{title}[/bold]", highlight=False)
    console.print(Padding(body, (0, 0, 1, 2)))


def _bullets(lines: tuple[str, ...] | list[str]) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    for line in lines:
        table.add_row("•", Text(line))
    return table


def _path(choice: Choice) -> str:
    steps = " ".join(f"{step.asks} {'yes' if step.answer else 'no'}." for step in choice.path)
    return f"path through the tree: {steps}"


def _recommended(choice: Choice) -> Group:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row("loss", Text(f"lossmith.{choice.recommended.signature}", style="bold green"))
    table.add_row("last layer", Text(choice.final_layer))
    table.add_row("target", Text(choice.target))
    table.add_row("because", Text(choice.leaf.why))
    return Group(table)


def _experiment(choice: Choice) -> Group:
    assert choice.verdict is not None
    settings, decisive = choice.settings, METRICS[choice.leaf.decided_by]
    about = (
        f"The same small network ({settings.hidden} hidden units) under each loss; {settings.folds}-fold cross-validation, "
        f"{settings.repeats} times; means over the {settings.runs} test folds (± standard deviation)."
    )
    metrics = [name for name in METRICS if name in choice.recommended.metrics]
    scores = Table(box=None, padding=(0, 2, 0, 0), header_style="underline")
    scores.add_column("loss", overflow="fold")
    for name in metrics:
        arrow = "↑" if METRICS[name].higher_is_better else "↓"
        scores.add_column(f"{METRICS[name].title} {arrow}", justify="right")
    ranked = sorted(
        choice.candidates, key=lambda each: each.metrics[choice.leaf.decided_by], reverse=decisive.higher_is_better
    )
    for candidate in ranked:
        cells = []
        for name in metrics:
            value = candidate.metrics.get(name)
            cell = "-" if value is None else f"{value:.4g}"
            if name == choice.leaf.decided_by and candidate.scores:
                cell += f" ± {np.std(candidate.scores.folds[name], ddof=1):.2g}"
            cells.append(cell)
        chosen = candidate is choice.recommended
        scores.add_row(candidate.signature + (" *" if chosen else ""), *cells, style="bold" if chosen else "")

    better = "higher" if decisive.higher_is_better else "lower"
    compared = Table(box=None, padding=(0, 2, 0, 0), header_style="underline")
    compared.add_column(f"{decisive.title} decides ({better} is better): * against", overflow="fold")
    compared.add_column("difference", justify="right")
    compared.add_column("95 % interval", justify="right")
    compared.add_column("*")
    names = {candidate.recipe: candidate.signature for candidate in choice.candidates}
    sign = 1 if decisive.higher_is_better else -1
    for each in choice.verdict.comparisons:
        low, high = sorted((sign * each.low, sign * each.high))
        compared.add_row(
            names[each.rival],
            f"{sign * each.difference:+.3g}",
            f"{low:+.3g} to {high:+.3g}",
            Text(each.outcome, style=COLOURS[each.outcome]),
        )
    return Group(Text(about), "", scores, "", compared, "", _bullets(choice.conclusion))


def _ruled_out(choice: Choice) -> Table:
    """Losses with the same reason share a line."""
    reasons: dict[str, list[str]] = {}
    for loss, reason in choice.ruled_out.items():
        reasons.setdefault(reason, []).append(loss)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(overflow="fold", ratio=2)
    table.add_column(ratio=3)
    for reason, losses in reasons.items():
        table.add_row(Text(", ".join(losses)), Text(reason, style="dim"))
    return table
