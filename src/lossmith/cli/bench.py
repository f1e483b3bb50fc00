"""`lossmith bench`: lossmith against torch, in pairs."""

import shlex
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
            "8x21x512x512 (segmentation), 65536x256 (embeddings), 400x32x80 (CTC). Default: all of these.",
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar=LIST,
            help="eager: torch.nn; compile: torch.nn inside torch.compile, lossmith outside; labels: cross_entropy "
            "with probabilities over itself with labels. Default: all.",
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
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16 or float64.")] = "float32",
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:1.")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the CPU. Default: torch's.")] = None,
    seconds: Annotated[
        float, typer.Option(min=0.0, help="Measuring time of each row; at least 7 rounds are made.")
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
    from ..bench.request import writable

    try:
        losses, sizes, opponents, variants = (_split(option) for option in (loss, size, against, variant))
        request = Request.of(losses, sizes, opponents, variants, dtype, device, seconds)
        if plot and plot.suffix not in (".pdf", ".png", ".svg"):
            raise BadRequest(f"can't draw into {plot}: write a name that ends in .png, .svg or .pdf")
        for file in (json, plot):
            if file:
                writable(file)
    except BadRequest as error:
        typer.echo(f"lossmith: {error}", err=True)
        raise typer.Exit(2) from None
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads or before)
        rows = _with_progress(request)
        options = {"--loss": losses, "--size": sizes, "--against": opponents, "--variant": variants}
        record = Record.of(_command(options, dtype, device, threads, seconds), request, rows)
    finally:
        torch.set_num_threads(before)
    if json:
        record.write(json)
    if plot:
        from ..bench.plot import plot as draw

        machine = record.machine
        where = machine.get("gpu") or f"{machine['processor']}, {machine['threads']} threads"
        draw(rows, plot, f"{where}, torch {machine['torch']}, {dtype}, {record.date.partition('T')[0]}")
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


def _with_progress(request: "Request") -> list["Row"]:
    """Measures, with a bar on stderr; prints each table when it is complete, and the summary."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from ..bench import measure
    from ..bench.summary import groups
    from ..bench.table import LEGEND, summary, table

    out, screen = Console(), Console(stderr=True)
    if not out.is_terminal:
        out = Console(width=120)
    count, minutes = len(request.tasks), request.estimate / 60
    screen.print(f"{count} measurements, about {max(1, round(minutes))} min", highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    rows: list[Row] = []
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        shown = bar.add_task("", total=count)
        for i, task in enumerate(request.tasks):
            bar.update(shown, completed=i, description=f"{task.workload.size} {task.workload.case.name}")
            rows.append(measure(task, request))
            complete = groups(rows)
            following = request.tasks[i + 1] if i + 1 < count else None
            last = rows[-1]
            if following is None or (last.size, last.against, last.variant) != (
                following.workload.size,
                following.against,
                following.variant,
            ):
                bar.stop()
                out.print(table(complete[-1]), highlight=False)
                if following:
                    bar.start()
    out.print(LEGEND, highlight=False)
    out.print(summary(groups(rows)))
    return rows
