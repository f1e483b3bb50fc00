"""A whole run: the files of some paths, checked in one process or in several."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

from ..rules import all_rules
from .check import Checked, Checker
from .finding import Finding
from .selection import Settings, chosen, files, named, shown

SMALL = 400_000
"""Bytes that are checked before other processes would have begun."""
SHARES = 8
"""So many parts of the work for each process, so that none ends long after the others."""

Progress = Callable[[int, int], None]
"""Told how many files are done, and of how many."""


@dataclass
class Report:
    """What a run found."""

    findings: list[Finding] = field(default_factory=list)
    files: int = 0
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    """Files and folders that could not be read, and why."""

    @property
    def failed(self) -> bool:
        """Whether anything found is more than an info."""
        return any(finding.severity != "info" for finding in self.findings)


def lint(
    paths: Sequence[Path],
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    progress: Progress = lambda done, total: None,
    processes: int | None = None,
) -> Report:
    """Checks files and folders.

    Args:
        select, ignore: Rules by name, code or the beginning of codes; they go before those of pyproject.toml.
        processes: As many as there are processors, by default.

    Raises:
        BadRequest: A path, rule or setting that there is none of.
    """
    rules = all_rules()
    report = Report()
    settings = {path: Settings.around(path) for path in paths}
    chosen_names = {path: tuple(chosen(rules, found, select, ignore)) for path, found in settings.items()}
    groups: dict[tuple[str, ...], list[Path]] = {}
    of_file: dict[str, Settings] = {}
    taken: set[Path] = set()
    for path in paths:
        for file in files([path], settings.__getitem__, lambda p, why: report.passed_over.append((shown(p), why))):
            real = file.resolve()
            if real not in taken:
                taken.add(real)
                groups.setdefault(chosen_names[path], []).append(file)
                of_file[shown(file)] = settings[path]
    report.files = len(taken)
    for names, group in groups.items():
        for part in _checked(group, names, progress, processes or os.cpu_count() or 1):
            report.passed_over += part.passed_over
            report.findings += part.findings
    unique = dict.fromkeys(sorted(report.findings))
    ignored = {
        name: named(rules, found.ignored_in(Path(name))) for name, found in of_file.items() if found.per_file_ignores
    }
    report.findings = [f for f in unique if f.rule not in ignored.get(f.path, ())]
    report.passed_over.sort()
    return report


def _checked(group: Sequence[Path], names: Sequence[str], progress: Progress, processes: int) -> Iterator[Checked]:
    done = 0

    def advance(count: int = 1) -> None:
        nonlocal done
        done += count
        progress(done, len(group))

    size = sum(path.stat().st_size for path in group if path.is_file())
    if processes == 1 or size < SMALL:
        yield _checker(names, group).check(group, advance)
        return
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(processes, _context(), _begin, (names, group))
    try:
        futures = {pool.submit(_check, part): part for part in _parts(group, processes * SHARES)}
        for future in as_completed(futures):
            part = futures[future]
            advance(len(part))
            try:
                yield future.result()
            except BrokenProcessPool:
                yield Checked(
                    passed_over=[(shown(path), "a process that checked others with it ended") for path in part]
                )
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _parts(group: Sequence[Path], count: int) -> list[Sequence[Path]]:
    """The files in their order, in parts of about equal size: neighbours import each other."""
    sizes = [path.stat().st_size if path.is_file() else 0 for path in group]
    share = sum(sizes) / count
    parts: list[list[Path]] = [[]]
    filled = 0
    for path, size in zip(group, sizes, strict=True):
        if filled >= share:
            parts.append([])
            filled = 0
        parts[-1].append(path)
        filled += size
    return list(parts)


def _checker(names: Sequence[str], group: Sequence[Path]) -> Checker:
    rules = all_rules()
    return Checker([rules[name] for name in names], group, shown)


_own: list[Checker] = []
"""The checker of a process that checks parts: what it has parsed serves all of them."""


def _begin(names: Sequence[str], group: Sequence[Path]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits
    _own.append(_checker(names, group))


def _check(part: Sequence[Path]) -> Checked:
    return _own[-1].check(part)


def _context() -> multiprocessing.context.BaseContext:
    """Processes that need not import torch again, where that is safe: none of its threads runs yet."""
    return multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
