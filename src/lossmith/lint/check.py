"""Files are checked one by one: the places that speak of a loss are shown to the rules."""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..card import Text
from ..rule import Rule, Site
from .finding import Finding
from .interpreter import Interpreter
from .noqa import silenced
from .source import CONCERNS, SPEAKS, Source, Unreadable, load
from .values import Data, Place

RECURSION = 10_000
"""Python calls in calls: the longest sum that is parsed needs about six for each operator."""


@dataclass
class Checked:
    """What a run over some files gave."""

    findings: list[Finding] = field(default_factory=list)
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    """Files that could not be read, and why."""


class Checker:
    """Checks files, and reads those that they import; each is parsed once."""

    def __init__(self, rules: Sequence[Rule], among: Iterable[Path], shown: Callable[[Path], str] = str) -> None:
        """
        among: The files that are reported of.
        shown: How a path is written.
        """
        self._rules = [rule for rule in rules if rule.in_source is not None]
        self._shown = shown
        self._wanted = {path.resolve(): path for path in among}
        self._sources: dict[Path, Source | Unreadable] = {}
        self._unconcerned: set[Path] = set()
        self._found: set[Finding] = set()
        self._interpreter = Interpreter(self._imported, self._report)

    def check(self, paths: Iterable[Path], advance: Callable[[], None] = lambda: None) -> Checked:
        """Checks some of its files, and reads those that they import; what these do with others is reported too."""
        checked = Checked()
        self._found = set()
        allowed = sys.getrecursionlimit()
        sys.setrecursionlimit(max(allowed, RECURSION))
        try:
            for path in paths:
                try:
                    if SPEAKS.search(load(path)):
                        self._interpreter.run(self._read(path))
                except Unreadable as error:
                    checked.passed_over.append((self._shown(path), str(error)))
                except RecursionError:
                    checked.passed_over.append((self._shown(path), "nested too deep"))
                advance()
        finally:
            sys.setrecursionlimit(allowed)
        checked.findings = sorted(self._found)
        return checked

    def _read(self, path: Path) -> Source:
        real = path.resolve()
        if real not in self._sources:
            try:
                self._sources[real] = Source.read(real)
            except Unreadable as error:
                self._sources[real] = error
        found = self._sources[real]
        if isinstance(found, Source):
            return found
        raise found

    def _imported(self, path: Path) -> Source | None:
        """The source of a file that an import means, if it may have to do with losses."""
        real = path.resolve()
        if real in self._unconcerned or not path.is_file():
            return None
        try:
            if real not in self._sources and path.name != "__init__.py" and not CONCERNS.search(load(path)):
                self._unconcerned.add(real)
                return None
            return self._read(path)
        except Unreadable:
            return None

    def _report(self, place: Place, sites: Sequence[Site], origin: Data | None) -> None:
        """Takes what every alternative of a place shows."""
        path = self._wanted.get(place.source.path)
        if path is None:
            return
        for rule in self._rules:
            text = self._judged(rule, sites)
            if text is not None:
                where = place.source.range(place.node)
                if not silenced(rule, place.source.lines, where.start.line, where.end.line):
                    self._found.add(self._finding(path, place, rule, sites[0].loss, text, origin))

    def _judged(self, rule: Rule, sites: Sequence[Site]) -> Text | None:
        first = None
        for site in sites:
            judge = rule.in_source if site.loss in rule.losses else None
            text = None if judge is None else judge(site)
            if text is None:
                return None
            first = first or text
        return first

    def _finding(self, path: Path, place: Place, rule: Rule, loss: str, text: Text, origin: Data | None) -> Finding:
        made = origin.place if origin is not None and origin.known.op in text.en else None
        start = place.source.range(place.node).start
        cell, line = place.source.cell_of(start.line)
        return Finding(
            path=self._shown(path),
            cell=cell,
            line=line,
            column=start.column + 1,
            code=rule.code,
            rule=rule.name,
            severity=rule.severity_of(loss),
            text=text,
            fix=rule.fix,
            origin="" if made is None else self._origin(made, place),
            code_line=place.source.lines[start.line - 1],
        )

    def _origin(self, origin: Place, place: Place) -> str:
        """Where the tensor was made, if that is another line."""
        made, called = (p.source.range(p.node).start.line for p in (origin, place))
        if origin.source is place.source and made == called:
            return ""
        path = self._wanted.get(origin.source.path, origin.source.path)
        cell, line = origin.source.cell_of(made)
        return f"{self._shown(path)}{f':cell {cell}' if cell else ''}:{line}"
