"""`lossmith choose`: from a table to a loss, with reasons and an experiment."""

import json
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from ..card import Text
    from ..guide import Choice


def choose(
    data: Annotated[
        str,
        typer.Argument(
            help="A CSV, TSV or Parquet file, or a bundled set: diabetes, breast_cancer, digits, wine, iris, linnerud."
        ),
    ],
    target: Annotated[
        str | None,
        typer.Option(metavar="COL[,COL...]", help="The column to predict, or several; bundled sets have a default."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")] = False,
    no_train: Annotated[bool, typer.Option("--no-train", help="Skip the experiment.")] = False,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="The same seed gives the same figures.")] = 0,
    lang: Annotated[Literal["en", "zh"], typer.Option(help="The language of the report.")] = "en",
) -> None:
    """Recommend a loss for your data, with reasons, an experiment and a snippet to paste."""
    try:
        from rich.console import Console

        from ..guide import BadData
        from ..guide.render import render
    except ModuleNotFoundError as error:
        typer.echo(f"lossmith: choose needs {error.name}; install it with: pip install 'lossmith[choose]'", err=True)
        raise typer.Exit(1) from None
    try:
        choice = _with_progress(data, target, train=not no_train, seed=seed)
    except BadData as error:
        typer.echo(f"lossmith: {error}", err=True)
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(json.dumps(choice.to_json(), ensure_ascii=False, allow_nan=False, indent=2))
    else:
        render(choice, Console(), lang)


def _with_progress(data: str, target: str | None, train: bool, seed: int) -> "Choice":
    """Chooses, with a bar on stderr while networks are trained."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from .. import guide

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    screen = Console(stderr=True)
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task("reading", total=None)

        def advance(stage: "Text", done: int, total: int) -> None:
            bar.update(task, total=total, completed=done, description=stage.en)

        return guide.choose(data, target, train=train, seed=seed, progress=advance)
