"""`lossmith doctor`: is this installation sound?"""

import json
from dataclasses import asdict
from typing import Annotated

import typer


def doctor(
    device: Annotated[str, typer.Option(metavar="NAME", help="Whose kernels to check: cpu, cuda or cuda:1.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")] = False,
) -> None:
    """Print versions, backends and settings, and check every kernel against the reference.

    Exit code 1: a kernel is wrong, did not run, or can't be loaded.
    """
    from ..bench.request import BadRequest, device_named
    from ..doctor import check_kernels, examine

    try:
        where = device_named(device)
    except BadRequest as error:
        typer.echo(f"lossmith: {error}", err=True)
        raise typer.Exit(2) from None
    installation = examine()
    checks = check_kernels(where)
    if as_json:
        found = asdict(installation) | {
            "warnings": installation.warnings,
            "checks": [asdict(check) | {"ok": check.ok} for check in checks],
        }
        typer.echo(json.dumps(found, ensure_ascii=False, allow_nan=False, indent=2))
    else:
        try:
            from rich.console import Console
        except ModuleNotFoundError as error:
            typer.echo(f"lossmith: doctor needs {error.name}; install it with: pip install 'lossmith[cli]'", err=True)
            raise typer.Exit(1) from None
        from ..doctor.report import report

        out = Console()
        report(installation, checks, out if out.is_terminal else Console(width=120))
    if installation.broken or any(not check.ok for check in checks):
        raise typer.Exit(1)
