"""`lossmith explain`: the card of a loss."""

import json
from typing import Annotated, Literal

import typer


def explain(
    name: Annotated[
        str,
        typer.Argument(
            help="A loss: HuberLoss, huber_loss, huber, nn.HuberLoss, or Keras' and scikit-learn's name: log_loss, "
            "categorical_crossentropy, mae."
        ),
    ],
    lang: Annotated[Literal["en", "zh"], typer.Option(help="The language of the card.")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")] = False,
) -> None:
    """Explain a loss: definition, curve, properties, when to use it, traps, and an example that runs."""
    from ..cards.content import as_json as data
    from ..cards.names import UnknownName, find

    try:
        loss = find(name)
    except UnknownName as error:
        typer.echo(f"lossmith: {error}", err=True)
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(json.dumps(data(loss, lang), ensure_ascii=False, allow_nan=False, indent=2))
        return
    try:
        from rich.console import Console

        from ..cards import terminal
    except ModuleNotFoundError as error:
        typer.echo(f"lossmith: explain needs {error.name}; install it with: pip install 'lossmith[cli]'", err=True)
        raise typer.Exit(1) from None
    out = Console(highlight=False)
    terminal.explain(loss, lang, out if out.is_terminal else Console(width=100, highlight=False))
