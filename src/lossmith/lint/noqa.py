"""Comments that silence a finding: `# noqa`, `# noqa: LM101`, `# lossmith: noqa`."""

import re
from collections.abc import Iterable, Sequence

from ..rule import Rule

_CODES = r"(?:\s*:\s*(?P<codes>[\w-]+(?:[,\s]+[A-Za-z]+[\d-][\w-]*)*))?"
_AT_A_LINE = re.compile(rf"#\s*(?:lossmith:\s*)?noqa{_CODES}", re.IGNORECASE)
_OF_A_FILE = re.compile(rf"\s*#\s*lossmith:\s*noqa{_CODES}\s*", re.IGNORECASE)


def silenced(rule: Rule, lines: Sequence[str], first: int, last: int) -> bool:
    """Whether a comment silences the rule from line `first` to line `last`, counted from 1.

    Such a comment stands in one of these lines. `# lossmith: noqa` in a line of its own silences the whole file.
    """
    here = (_AT_A_LINE.search(line) for line in lines[first - 1 : last])
    everywhere = (_OF_A_FILE.fullmatch(line) for line in lines)
    return any(_names(match, rule) for match in (*here, *everywhere))


def _names(match: re.Match[str] | None, rule: Rule) -> bool:
    if match is None:
        return False
    codes: Iterable[str] = re.split(r"[,\s]+", match["codes"] or "")
    return match["codes"] is None or any(code.upper() == rule.code or code.lower() == rule.name for code in codes)
