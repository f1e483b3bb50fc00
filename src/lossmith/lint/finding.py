"""What is found: a rule's words at a place in a file."""

from dataclasses import dataclass, field
from typing import Any

from ..card import Language, Text
from ..rule import Severity


@dataclass(frozen=True, order=True)
class Finding:
    """A loss that is held wrongly at a place. Of each place and rule there is one."""

    path: str
    cell: int
    """Of a notebook the cell, counted from 1; else 0."""
    line: int
    column: int
    """Counted from 1, as lines are."""
    code: str
    rule: str = field(compare=False)
    severity: Severity = field(compare=False)
    text: Text = field(compare=False)
    """What the place shows."""
    fix: Text = field(compare=False)
    origin: str = field(compare=False)
    """Where the tensor was made; empty if in the same line, or unknown."""
    code_line: str = field(compare=False)

    @property
    def where(self) -> str:
        cell = f":cell {self.cell}" if self.cell else ""
        return f"{self.path}{cell}:{self.line}:{self.column}"

    def message(self, language: Language) -> str:
        shown = self.text(language)
        if self.origin:
            shown += Text(f" (made at {self.origin})", f"（产生于 {self.origin}）")(language)
        return shown

    def as_json(self, language: Language) -> dict[str, Any]:
        cell = {"cell": self.cell} if self.cell else {}
        return {
            "path": self.path,
            **cell,
            "line": self.line,
            "column": self.column,
            "code": self.code,
            "rule": self.rule,
            "severity": self.severity,
            "message": self.message(language),
            "fix": self.fix(language),
        }
