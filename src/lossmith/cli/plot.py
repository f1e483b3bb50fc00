"""`lossmith plot`: losses side by side, in a picture."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def plot(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Losses, by any name that explain knows.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="A .png or .svg file.")],
    param: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE[,VALUE...]", help="A parameter of the loss; each value is a line: delta=0.5,1,2."
        ),
    ] = None,
    gradient: Annotated[bool, typer.Option("--gradient", help="Draw the gradient below the loss.")] = False,
    lang: Annotated[Literal["en", "zh"], typer.Option(help="The language of the labels.")] = "en",
) -> None:
    """Draw losses side by side into a picture."""
    try:
        from ..cards import picture
    except ModuleNotFoundError as error:
        typer.echo(f"lossmith: plot needs {error.name}; install it with: pip install 'lossmith[plot]'", err=True)
        raise typer.Exit(1) from None
    from ..cards.curves import NoCurve, variants
    from ..cards.names import UnknownName, find

    try:
        losses = list({loss.name: loss for loss in map(find, names)}.values())
        warning = picture.plot(losses, variants(losses, param or ()), output, lang, gradient)
    except (UnknownName, NoCurve, picture.Unwritable) as error:
        typer.echo(f"lossmith: {error}", err=True)
        raise typer.Exit(2) from None
    if warning:
        typer.echo(f"lossmith: {warning}", err=True)
