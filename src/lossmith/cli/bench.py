"""`lossmith bench`: lossmith against torch, in pairs."""

import shlex
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..bench import Request, Row

LIST = "NAME[,NAME...]"


def bench(
    loss: Annotated[
        list[str] | None,
        typer.Option(metavar=LIST, help="Losses by function or Module: mse, MSELoss, cross_entropy. Default: all."),
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SIZE[,SIZE...]",
            help="Numbers of elements (64, 64K, 1M, 16M, 100000), or shapes: 256x1000, 4096x32000 (classes), "
            "8x21x512x512 (segmentation), 65536x256 (embeddings), 4096x256, 16384x256 (batches), 400x32x80 (CTC). "
            "Default: all of these.",
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar=LIST,
            help="eager: torch.nn; compile: torch.nn inside torch.compile, lossmith outside; labels: cross_entropy "
            "with probabilities over itself with labels; liger, flag_gems, flash_attn, quack: their cross_entropy on a "
            "GPU, where they are installed. Default: eager,labels.",
        ),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            metavar=LIST,
            help="plain: forward and backward; forward: alone; upstream: with an upstream gradient of 0.37; consumer: "
            "with a second consumer of the input; target: the target wants a gradient too; compile: both inside "
            "torch.compile. Default: plain.",
        ),
    ] = None,
    dtype: Annotated[str, typer.Option(metavar="NAME", help="float32, bfloat16, float16 or float64.")] = "float32",
    device: Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda or cuda:1.")] = "cpu",
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads of the CPU. Default: torch's.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.0, metavar="S", help="Measuring time of each row; at least 7 rounds are made.")
    ] = 0.5,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write everything to this file.")] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the ratios into this .png, .svg or .pdf file.")
    ] = None,
) -> None:
    """Measure lossmith against torch in paired rounds: time, bandwidth, memory."""
    try:
        import rich  # noqa: F401

        if plot:
            import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        typer.echo(f"lossmith: bench needs {error.name}; install it with: pip install 'lossmith[bench]'", err=True)
        raise typer.Exit(1) from None
    import torch

    from ..bench import BadRequest, Record, Request
    from ..bench.request import PICTURES, writable

    try:
        losses, sizes, opponents, variants = (_split(option) for option in (loss, size, against, variant))
        request = Request.of(losses, sizes, opponents, variants, dtype, device, seconds)
        if json:
            writable(json)
        if plot:
            writable(plot, PICTURES)
    except BadRequest as error:
        typer.echo(f"lossmith: {error}", err=True)
        raise typer.Exit(2) from None
    options = {"--loss": losses, "--size": sizes, "--against": opponents, "--variant": variants}
    command = _command(options, dtype, device, threads, seconds)
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    rows: list[Row] = []
    try:
        for complete in _tables(request):
            rows = complete
            record = Record.of(command, request, rows)
            if json:
                record.write(json)  # after each table: what was measured before an interruption is kept
    finally:
        torch.set_num_threads(before)
    if plot:
        from ..bench.plot import plot as draw

        draw(record, plot)
    if any(row.failed for row in rows):
        raise typer.Exit(1)


def _split(option: list[str] | None) -> list[str]:
    return [name.strip() for one in option or () for name in one.split(",") if name.strip()]


def _command(options: dict[str, list[str]], dtype: str, device: str, threads: int | None, seconds: float) -> str:
    """The command that measures the same again."""
    words = ["lossmith", "bench"]
    for option, names in options.items():
        words += [option, ",".join(names)] if names else []
    words += ["--dtype", dtype] if dtype != "float32" else []
    words += ["--device", device] if device != "cpu" else []
    words += ["--threads", str(threads)] if threads else []
    words += ["--seconds", f"{seconds:g}"]
    return shlex.join(words)


def _tables(request: "Request") -> Iterator[list["Row"]]:
    """Measures, with a bar on stderr; prints each table, then gives all rows so far; prints the summary at the end."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from ..bench import measure
    from ..bench.summary import groups
    from ..bench.table import LEGEND, summary, table

    screen, out = Console(stderr=True), Console()
    if not out.is_terminal:
        out = Console(width=120)
    count, minutes = len(request.tasks), round(request.estimate / 60)
    screen.print(
        f"{count} measurements, {f'about {minutes} min' if minutes else 'less than a minute'}", highlight=False
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    rows: list[Row] = []
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        shown = bar.add_task("", total=count)
        for _, together in groupby(request.tasks, lambda task: (task.workload.size, task.against, task.variant)):
            bar.start()
            for task in together:
                bar.update(shown, completed=len(rows), description=f"{task.workload.size} {task.workload.case.name}")
                rows.append(measure(task, request))
            bar.stop()
            out.print(table(groups(rows)[-1]), highlight=False)
            yield rows
    out.print(LEGEND, highlight=False)
    out.print(summary(groups(rows)))
