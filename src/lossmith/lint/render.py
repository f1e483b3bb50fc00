"""Findings as people, programs and GitHub read them."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping

from rich.cells import cell_len
from rich.text import Text as Styled

from ..card import Language, Text
from ..rule import Severity
from .finding import Finding
from .run import Report

COLOURS = {"error": "bold red", "warning": "bold yellow", "info": "bold blue"}
COUNTED: Mapping[Severity, tuple[Text, Text]] = {
    "error": (Text("error", "个错误"), Text("errors", "个错误")),
    "warning": (Text("warning", "个警告"), Text("warnings", "个警告")),
    "info": (Text("info", "个提示"), Text("infos", "个提示")),
}
ANNOTATION = {"error": "error", "warning": "warning", "info": "notice"}
WIDEST = 160
"""A code line is cut there."""


def text(report: Report, language: Language) -> Iterator[Styled]:
    """One block a finding, then the counts."""
    for finding in report.findings:
        yield _block(finding, language)
    yield Styled(_summary(report, language), style="bold" if report.findings else "bold green")


def _block(finding: Finding, language: Language) -> Styled:
    number = str(finding.line)
    margin = " " * len(number)
    code = finding.code_line.expandtabs(1)
    indent = len(code) - len(code.lstrip())
    code, column = code[indent:][:WIDEST], finding.column - 1 - indent
    caret = " " * cell_len(code[:column]) + "^"
    return Styled.assemble(
        (finding.where, "bold"),
        " ",
        (finding.code, COLOURS[finding.severity]),
        f" {finding.rule}: {finding.message(language)}\n",
        (f"{margin} |\n{number} | ", "blue"),
        f"{code}\n",
        (f"{margin} | ", "blue"),
        (f"{caret}\n", COLOURS[finding.severity]),
        (f"{margin} = ", "blue"),
        Text("fix: ", "改法：")(language),
        f"{finding.fix(language)}\n",
    )


def _summary(report: Report, language: Language) -> str:
    checked = report.files
    if not report.findings:
        files = "1 file" if checked == 1 else f"{checked} files"
        return Text(f"Nothing found in {files}.", f"{checked} 个文件中未发现问题。")(language)
    counts = Counter(finding.severity for finding in report.findings)
    join = Text(", ", "、")(language)
    parts = join.join(f"{counts[s]} {COUNTED[s][counts[s] != 1](language)}" for s in COUNTED if counts[s])
    where = len({finding.path for finding in report.findings})
    files = "1 file" if checked == 1 else f"{checked} files"
    return Text(f"Found {parts} in {where} of {files}.", f"{checked} 个文件中有 {where} 个存在问题：{parts}。")(
        language
    )


def as_json(report: Report, language: Language) -> str:
    return json.dumps([finding.as_json(language) for finding in report.findings], ensure_ascii=False, indent=2)


def github(report: Report, language: Language) -> Iterator[str]:
    """Annotations: GitHub shows them beside the lines of a pull request."""
    for finding in report.findings:
        place = f"file={_property(finding.path)},line={finding.line},col={finding.column}"
        title = _property(f"{finding.code} {finding.rule}")
        words = _escaped(f"{finding.message(language)}\n{finding.fix(language)}")
        yield f"::{ANNOTATION[finding.severity]} {place},title={title}::{words}"


def _escaped(words: str) -> str:
    return words.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(words: str) -> str:
    return _escaped(words).replace(":", "%3A").replace(",", "%2C")
