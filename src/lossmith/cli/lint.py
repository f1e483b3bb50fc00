"""`lossmith lint`: losses that are held wrongly, found in source."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..card import Language, Text

if TYPE_CHECKING:
    from ..lint import Report

INTERRUPTED = 130  # as a shell reports Ctrl-C
RULES = "RULE[,RULE...]"


def lint(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files and folders; notebooks too.")],
    output: Annotated[
        Literal["text", "json", "github"],
        typer.Option("--format", help="text for people, json for programs, github for annotations of a pull request."),
    ] = "text",
    select: Annotated[
        list[str] | None,
        typer.Option(metavar=RULES, help="Look for these alone: names, codes, or beginnings of codes (LM1)."),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar=RULES, help="Do not look for these; goes before --select.")
    ] = None,
    lang: Annotated[Language, typer.Option(help="The language of what is said.")] = "en",
) -> None:
    """Find losses that are held wrongly, without running the code.

    `# noqa: LM101` at a line silences a rule there, `# lossmith: noqa` in a line of its own silences the file.
    pyproject.toml may hold select, ignore, exclude and per-file-ignores in [tool.lossmith.lint].

    Exit code 1: there is a finding that is an error or a warning; 2: it could not run.
    """
    try:
        from ..lint import BadRequest, render
    except ModuleNotFoundError as error:
        typer.echo(f"lossmith: lint needs {error.name}; install it with: pip install 'lossmith[lint]'", err=True)
        raise typer.Exit(2) from None
    try:
        report = _with_progress(paths, _split(select), _split(ignore), lang)
    except BadRequest as error:
        typer.echo(f"lossmith: {error}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("lossmith: interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from None
    for path, why in report.passed_over:
        typer.echo(Text(f"lossmith: {path} is passed over: {why}", f"lossmith: 跳过 {path}：{why}")(lang), err=True)
    if output == "json":
        typer.echo(render.as_json(report, lang))
    elif output == "github":
        for line in render.github(report, lang):
            typer.echo(line)
    else:
        from rich.console import Console

        out = Console(highlight=False, soft_wrap=True)
        for block in render.text(report, lang):
            out.print(block)
    if report.failed:
        raise typer.Exit(1)


def _split(words: list[str] | None) -> list[str]:
    return [part.strip() for word in words or [] for part in word.split(",") if part.strip()]


def _with_progress(paths: list[Path], select: list[str], ignore: list[str], language: Language) -> "Report":
    """Checks, with a bar on stderr if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from ..lint import lint as run

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    screen = Console(stderr=True)
    bar = Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal, auto_refresh=False)
    with bar:
        task = bar.add_task(Text("files", "文件")(language), total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, refresh=True)

        return run(paths, select, ignore, advance)
