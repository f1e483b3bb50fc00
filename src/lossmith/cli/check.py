"""`lossmith check`: a training script, run as it is, under the guard."""

import json
import os
import runpy
import sys
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..card import Language, Text

if TYPE_CHECKING:
    from ..watch import Finding, Report

INTERRUPTED = 130  # as a shell reports Ctrl-C


def check(
    script: Annotated[str, typer.Argument(help="A Python script.")],
    arguments: Annotated[list[str] | None, typer.Argument(metavar="ARGS", help="The script's own.")] = None,
    *,
    form: Annotated[
        Literal["text", "json"],
        typer.Option("--format", help="json: the report alone on stdout; what the script prints goes to stderr."),
    ] = "text",
    lang: Annotated[Language, typer.Option(help="The language of the findings.")] = "en",
    module: Annotated[bool, typer.Option("-m", help="SCRIPT is a module's name, as of python -m.")] = False,
) -> None:
    """Run a training script as it is, and tell of each loss that is held wrongly.

    Options stand before the script. Findings are shown on stderr as they come, and counted at the end. What the script
    computes in other threads and processes is not seen.

    Exit code 1: a finding is an error; else the script's own.
    """
    from ..watch.judge import Judge
    from ..watch.mode import Watch

    if not (module or Path(script).exists()):
        typer.echo(f"lossmith: {script}: there is no such file", err=True)
        raise typer.Exit(2)
    stdout = _stdout_to_stderr() if form == "json" else None
    judge = Judge(lambda finding, *_: typer.echo(_told(finding, lang), err=True), lang)
    watch = Watch(judge)
    watch.start()
    code = _run(script, arguments or [], module)
    watch.stop()
    judge.close()
    report = judge.report
    if stdout is None:
        typer.echo(_total(report)(lang), err=True)
    else:
        with open(stdout, "w", encoding="utf-8") as out:
            out.write(json.dumps(_data(report, code), ensure_ascii=False, indent=2) + "\n")
    raise typer.Exit(1 if any(finding.severity == "error" for finding in report.findings) else code)


def _run(script: str, arguments: list[str], module: bool) -> int:
    """Runs it as `python` would; the exit code that it would have there. An exception is shown, without our frames."""
    sys.argv = [script, *arguments]
    sys.path[0] = os.getcwd() if module else os.path.dirname(os.path.realpath(script))
    try:
        if module:
            runpy.run_module(script, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(script, run_name="__main__")
    except SystemExit as leaving:
        if leaving.code is None or isinstance(leaving.code, int):
            return leaving.code or 0
        print(leaving.code, file=sys.stderr)
        return 1
    except BaseException as error:
        error = error.with_traceback(_of_script(error.__traceback__))
        sys.excepthook(type(error), error, error.__traceback__)
        return INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _of_script(traceback: TracebackType | None) -> TracebackType | None:
    """What is left without the frames of this file and of runpy."""
    ours = (__file__, runpy.__file__, "<frozen runpy>")
    while traceback is not None and traceback.tb_frame.f_code.co_filename in ours:
        traceback = traceback.tb_next
    return traceback


def _stdout_to_stderr() -> int:
    """Sends all that is printed to stderr; gives the stdout that was."""
    sys.stdout.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)
    return stdout


def _told(finding: "Finding", language: Language) -> str:
    fix = Text("write instead", "改法")(language)
    evidence = Text("evidence", "依据")(language)
    colon = Text(": ", "：")(language)
    return (
        f"{finding.where}: {finding.code} {finding.rule} ({finding.severity}){colon}{finding.message}\n"
        f"    {evidence}{colon}{finding.evidence}\n"
        f"    {fix}{colon}{finding.fix}"
    )


def _total(report: "Report") -> Text:
    if not report.calls:
        return Text(
            "lossmith: no loss was computed with gradients on in the main thread, so nothing was judged",
            "lossmith：主线程中没有在启用梯度时计算过损失，因此未作任何判断",
        )
    calls = Text(f"in {report.calls} calls of losses", f"共检查 {report.calls} 次损失调用")
    if not report.findings:
        return Text(f"lossmith: nothing found {calls.en}", f"lossmith：{calls.zh}，未发现问题")
    found = Counter(finding.severity for finding in report.findings)
    en = ", ".join(f"{number} {severity}{'s' if number > 1 else ''}" for severity, number in found.items())
    zh = "、".join(f"{number} 个 {severity}" for severity, number in found.items())
    return Text(f"lossmith: {en} {calls.en}", f"lossmith：{calls.zh}，发现 {zh}")


def _data(report: "Report", code: int) -> dict[str, Any]:
    names = ("where", "code", "rule", "severity", "message", "evidence", "fix")
    findings = [{name: getattr(finding, name) for name in names} for finding in report.findings]
    return {"calls": report.calls, "exit_code": code, "findings": findings}
