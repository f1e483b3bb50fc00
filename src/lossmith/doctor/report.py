"""The findings in the terminal."""

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .installation import Installation
from .kernels import Check


def report(installation: Installation, checks: Sequence[Check], out: Console) -> None:
    """Prints everything: what was found, the table, what is wrong, what should be changed."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, found in _facts(installation):
        facts.add_row(name, Text(found))
    out.print(facts)
    if checks:
        out.print(_table(installation, checks))
    for check in checks:
        if check.problems:
            first, *more = check.problems
            count = f" (and {len(more)} more; --json has all)" if more else ""
            out.print(Text.assemble((f"{_title(check)}: ", "red"), first, count))
    for warning in installation.warnings:
        out.print(Text.assemble(("warning: ", "yellow"), warning))
    out.print(Text(verdict(checks), style="bold"))


def verdict(checks: Sequence[Check]) -> str:
    """The end of the matter, in a line or two."""
    made = [check for check in checks if check.kernel or check.problems]
    wrong = {check.loss: None for check in made if not check.ok}
    if not checks:
        return "There is no kernel to check."
    if wrong:
        return (
            f"Something is wrong with {', '.join(wrong)}. Until that is mended, LOSSMITH_BACKEND=reference in the "
            "environment gives the right numbers."
        )
    return f"All kernels agree with the reference, in {len(made)} checks."


def _facts(installation: Installation) -> Iterator[tuple[str, str]]:
    for name, version in installation.versions.items():
        yield name, f"{version}, in {installation.location}" if name == "lossmith" else version
    yield "kernels", f"{installation.kernels or 'none'}" + (f": {installation.missing}" if installation.missing else "")
    if installation.instruction_sets:
        others = ", ".join(name for name in installation.instruction_sets if name != installation.instruction_set)
        yield "instruction set", f"{installation.instruction_set}" + (f" (also here: {others})" if others else "")
    used = "reference" if installation.missing else "native where a kernel fits, else reference"
    forced = installation.backend
    yield "backend", f"{forced}, by LOSSMITH_BACKEND" if forced else used
    yield "threads", f"{installation.threads}, on {installation.cores} cores"
    openmp = installation.openmp
    yield "OpenMP", "not known on this system" if openmp is None else "\n".join(openmp) or "none"
    yield "huge pages", installation.huge_pages or "not known on this system"


def _table(installation: Installation, checks: Sequence[Check]) -> Table:
    """A line for each loss, a column for each dtype."""
    ways = checks[0].ways
    result = Table(
        caption="ok: within torch.testing's tolerances, and the greatest difference between kernel and reference, over "
        f"value and gradients, mean and none, {', '.join(ways)}.",
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    result.add_column("loss", overflow="fold")
    columns = list(dict.fromkeys((check.dtype, check.large) for check in checks))
    for dtype, large in columns:
        more = "large" if ways == ("Triton",) else f"{installation.threads} threads"
        result.add_column(f"{dtype}, {more}" if large else dtype)
    cells = {(check.name, check.dtype, check.large): check for check in checks}
    for name in dict.fromkeys(check.name for check in checks):
        result.add_row(name, *(_cell(cells.get((name, *column))) for column in columns))
    return result


def _cell(check: Check | None) -> Text:
    if check is None:
        return Text("–", style="dim")
    if not check.ok:
        return Text(f"WRONG {check.difference:.1g}", style="red")
    if not check.kernel:
        return Text("no kernel", style="dim")
    return Text(f"ok {check.difference:.1g}", style="green")


def _title(check: Check) -> str:
    return f"{check.name}, {check.dtype}" + (", large" if check.large else "")
