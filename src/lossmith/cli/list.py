"""`lossmith list`: the cheat sheet."""

import json
from typing import Annotated, Literal

import typer


def list_losses(
    family: Annotated[
        str | None,
        typer.Option(metavar="F", help="regression, classification, embedding, ranking, distributions or sequences."),
    ] = None,
    lang: Annotated[Literal["en", "zh"], typer.Option(help="The language of the table.")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")] = False,
) -> None:
    """Show every loss in a table: input, target, activation before it, typical use."""
    from ..cards.content import cheat_sheet
    from ..cards.names import UnknownName
    from ..cards.names import family as find

    try:
        rows = cheat_sheet(lang, find(family) if family else None)
    except UnknownName as error:
        typer.echo(f"lossmith: {error}", err=True)
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    try:
        from rich.console import Console

        from ..cards import terminal
    except ModuleNotFoundError as error:
        typer.echo(f"lossmith: list needs {error.name}; install it with: pip install 'lossmith[cli]'", err=True)
        raise typer.Exit(1) from None
    out = Console()
    terminal.cheat_sheet(rows, lang, out if out.is_terminal else Console(width=120))
