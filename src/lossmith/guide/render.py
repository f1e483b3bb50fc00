"""Prints a choice in the terminal."""

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
    steps = " → ".join(f"{step.asks} {'yes' if step.answer else 'no'}" for step in choice.path)
    return f"path through the tree: {steps} → {choice.leaf.task}"


def _recommended(choice: Choice) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row("loss", Text(f"lossmith.{choice.recommended.signature}", style="bold green"))
    table.add_row("last layer", Text(choice.final_layer))
    table.add_row("target", Text(choice.target))
    table.add_row("because", Text("; ".join((choice.leaf.why, *choice.computed))))
    return table


def _experiment(choice: Choice) -> Group:
    settings = choice.settings
    about = (
        f"The same small network ({settings.hidden} hidden units) under each loss, {settings.folds}-fold "
        f"cross-validation {settings.repeats} times; means over {settings.runs} test folds."
    )
    if choice.outputs > 1 and choice.leaf.decided_by in ("mae", "rmse"):
        about += " Errors are in standard deviations of each target."
    decides = (
        f"{METRICS[choice.leaf.decided_by].title} decides. The recommended loss (→) less each other one; the intervals "
        "allow for folds that share training rows (Nadeau and Bengio) and for several comparisons:"
    )
    return Group(
        Text(about), "", _scores(choice), "", Text(decides), _comparisons(choice), "", _bullets(choice.conclusion)
    )


def _scores(choice: Choice) -> Table:
    decided_by = choice.leaf.decided_by
    metrics = [name for name in METRICS if name in choice.recommended.metrics]
    metrics.sort(key=lambda name: name != decided_by)
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="underline")
    table.add_column("loss", overflow="fold")
    for name in metrics:
        arrow = "↑" if METRICS[name].higher_is_better else "↓"
        table.add_column(f"{METRICS[name].title}{arrow}", justify="right", no_wrap=True)
    ranked = sorted(
        choice.candidates, key=lambda each: each.metrics[decided_by], reverse=METRICS[decided_by].higher_is_better
    )
    for candidate in ranked:
        cells = [_figure(candidate.metrics.get(name)) for name in metrics]
        chosen = candidate is choice.recommended
        table.add_row(f"{'→' if chosen else ' '} {candidate.label}", *cells, style="bold" if chosen else "")
    return table


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:#.4g}".removesuffix(".")


def _comparisons(choice: Choice) -> Table:
    """The recommended loss less each rival, in the metric that decides."""
    assert choice.verdict is not None
    metric = METRICS[choice.leaf.decided_by]
    sign = 1 if metric.higher_is_better else -1
    names = {candidate.recipe: candidate.label for candidate in choice.candidates}
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="underline")
    table.add_column("→ against", overflow="fold")
    table.add_column("difference", justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_column("→ is")
    for each in choice.verdict.comparisons:
        low, high = sorted((sign * each.low, sign * each.high))
        table.add_row(
            f"  {names[each.rival]}",
            f"{sign * each.difference:+.2g}",
            f"{low:+.2g} to {high:+.2g}",
            Text("a tie" if each.outcome == "tie" else each.outcome, style=COLOURS[each.outcome]),
        )
    return table


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
