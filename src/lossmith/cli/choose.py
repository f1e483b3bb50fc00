"""`lossmith choose`: from a table to a loss, with reasons and an experiment."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..card import Language, Text

if TYPE_CHECKING:
    from ..guide import Choice

INTERRUPTED = 130  # as a shell reports Ctrl-C


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
    pairs: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="A B",
            help="Each row is a pair of examples, whose columns begin with A and B: a_0, a_1, b_0, b_1. Needs --label.",
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            metavar="COL", help="Which pairs are alike, or that the first is better: 1 and -1, 1 and 0, or a prefix."
        ),
    ] = None,
    triplets: Annotated[
        tuple[str, str, str] | None,
        typer.Option(metavar="A P N", help="Each row is an anchor, a positive and a negative, whose columns begin so."),
    ] = None,
    interval: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Ask for an interval around the prediction that holds this share: 0.9."),
    ] = None,
    embedding: Annotated[
        bool,
        typer.Option("--embedding", help="Ask for vectors by which rows of one class are neighbours, new classes too."),
    ] = False,
    group: Annotated[
        str | None, typer.Option(metavar="COL", help="In the experiment no group is both learned from and judged by.")
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(metavar="COL", help="In the experiment what is judged comes after all that is learned from."),
    ] = None,
    held_out: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="Keep this share of the rows for one last score of the best two, as in 0.2."
        ),
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How often cross-validation is repeated.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write one HTML page for people into this folder.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")] = False,
    no_train: Annotated[bool, typer.Option("--no-train", help="Skip the experiment.")] = False,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="The same seed gives the same figures.")] = 0,
    lang: Annotated[Language, typer.Option(help="The language of the report; JSON is English.")] = "en",
) -> None:
    """Recommend a loss for your data, with reasons, an experiment and a snippet to paste.

    Ctrl-C during the experiment leaves what is done until then: a partial table, and exit code 130.
    """
    try:
        from rich.console import Console

        from ..guide import BadData, Settings
        from ..guide.render import render
    except ModuleNotFoundError as error:
        typer.echo(f"lossmith: choose needs {error.name}; install it with: pip install 'lossmith[choose]'", err=True)
        raise typer.Exit(1) from None
    given = {"held_out": held_out, "repeats": repeats}
    changed: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    options: dict[str, Any] = {
        "target": target,
        "pairs": pairs,
        "label": label,
        "triplets": triplets,
        "interval": interval,
        "embedding": embedding,
        "group": group,
        "time": time,
        "train": not no_train,
        "seed": seed,
        "settings": Settings(**changed) if changed else None,
    }
    try:
        choice = _with_progress(data, lang, options)
    except BadData as error:
        typer.echo(f"lossmith: {error}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("lossmith: interrupted before there was anything to show", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        typer.echo(json.dumps(choice.to_json(), ensure_ascii=False, allow_nan=False, indent=2))
    else:
        render(choice, Console(), lang)
    if report:
        _write(choice, report, lang)
    if choice.partial:
        raise typer.Exit(INTERRUPTED)


def _with_progress(data: str, language: Language, options: dict[str, Any]) -> "Choice":
    """Chooses, with a bar on stderr while networks are trained."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from .. import guide

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    screen = Console(stderr=True)
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task(Text("reading", "读取数据")(language), total=None)

        def advance(stage: Text, done: int, total: int) -> None:
            bar.update(task, total=total, completed=done, description=stage(language))

        return guide.choose(data, progress=advance, **options)


def _write(choice: "Choice", folder: Path, language: Language) -> None:
    """Writes the page, named after the data, and says on stderr where it is."""
    page = folder / f"{Path(choice.data).stem}.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        choice.report(page, language)
    except OSError as error:
        typer.echo(f"lossmith: {page}: can't be written ({error.strerror or error})", err=True)
        raise typer.Exit(1) from None
    except ModuleNotFoundError as error:
        typer.echo(f"lossmith: --report needs {error.name}; install it with: pip install 'lossmith[choose]'", err=True)
        raise typer.Exit(1) from None
    typer.echo(Text(f"report: {page}", f"报告：{page}")(language), err=True)
