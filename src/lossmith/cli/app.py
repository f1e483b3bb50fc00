"""The typer application: one file a command."""

from typing import Annotated

import typer

import lossmith

from .bench import bench
from .check import check
from .choose import choose
from .doctor import doctor
from .explain import explain
from .lint import lint
from .list import list_losses
from .plot import plot
from .rules import rules
from .tree import tree

app = typer.Typer(
    name="lossmith",
    help="The loss layer for PyTorch.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(bench)
app.command(context_settings={"allow_interspersed_args": False})(check)
app.command()(choose)
app.command()(doctor)
app.command()(explain)
app.command()(lint)
app.command("list")(list_losses)
app.command()(plot)
app.command()(rules)
app.command()(tree)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lossmith {lossmith.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Find, choose and check loss functions."""
