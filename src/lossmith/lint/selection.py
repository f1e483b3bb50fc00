"""What is looked for and where: the options and `[tool.lossmith.lint]` of pyproject.toml."""

import difflib
import fnmatch
import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..rule import Rule

SUFFIXES = (".py", ".pyi", ".ipynb")
NEVER = frozenset(
    {
        *("__pycache__", "node_modules", "site-packages", "venv", "env", "build", "dist", "_build", "buck-out"),
        *("__pypackages__", "checkpoints"),
    }
)
"""Folders that are not searched, like all that begin with a dot, unless they are asked for by name."""


class BadRequest(Exception):
    """A path, a rule or a setting that there is none of; the words say what to write instead."""


@dataclass(frozen=True)
class Settings:
    """The table `[tool.lossmith.lint]`."""

    folder: Path
    """Where the file lies; patterns are relative to it."""
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    """Patterns of files and folders, such as `tests`, `old/*.py`."""
    per_file_ignores: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def around(cls, path: Path) -> "Settings":
        """The settings of the nearest pyproject.toml, from the path upwards, that has some.

        Raises:
            BadRequest: It can't be read, or says what it must not.
        """
        path = path.resolve()
        for folder in (path, *path.parents):
            file = folder / "pyproject.toml"
            if not file.is_file():
                continue
            try:
                content = tomllib.loads(file.read_text("utf-8"))
            except (OSError, ValueError) as error:
                raise BadRequest(f"{file}: {error}") from None
            table: Any = content
            for key in ("tool", "lossmith", "lint"):
                if not isinstance(table, dict):
                    raise BadRequest(f"{file}: [tool.lossmith.lint]: expected a table, got {table!r}")
                table = table.get(key, {} if key != "lint" else None)
            if table is not None:
                return cls._of(table, file)
        return cls(Path.cwd())

    @classmethod
    def _of(cls, table: Any, file: Path) -> "Settings":
        where = f"{file}: [tool.lossmith.lint]"
        if not isinstance(table, dict):
            raise BadRequest(f"{where}: expected a table, got {table!r}")
        names = ("select", "ignore", "exclude", "per-file-ignores")
        for key in table:
            if key not in names:
                raise BadRequest(f"{where}: there is no setting {key!r}{_instead(key, names)}")
        ignores = table.get("per-file-ignores", {})
        if not isinstance(ignores, dict):
            raise BadRequest(f"{where}: per-file-ignores must be a table of pattern = [rules], got {ignores!r}")
        select, ignore, exclude = (_strings(table.get(name, []), f"{where}: {name}") for name in names[:3])
        of_files = {pattern: _strings(rules, f"{where}: per-file-ignores") for pattern, rules in ignores.items()}
        return cls(file.parent, select, ignore, exclude, of_files)

    def excludes(self, path: Path) -> bool:
        return any(self._matches(path, pattern) for pattern in self.exclude)

    def ignored_in(self, path: Path) -> Iterator[str]:
        """The rules that are ignored in this file."""
        for pattern, rules in self.per_file_ignores.items():
            if self._matches(path, pattern):
                yield from rules

    def _matches(self, path: Path, pattern: str) -> bool:
        """Whether a pattern names the path or a folder that it is in, by its name or from the settings' folder."""
        try:
            parts = path.resolve().relative_to(self.folder).parts
        except ValueError:
            parts = path.resolve().parts[1:]
        pattern = pattern.removeprefix("./").rstrip("/")
        whole = ("/".join(parts[: i + 1]) for i in range(len(parts)))
        return any(fnmatch.fnmatch(name, pattern) for name in (*parts, *whole))


def chosen(
    rules: Mapping[str, Rule], settings: Settings, select: Sequence[str], ignore: Sequence[str]
) -> dict[str, Rule]:
    """The rules to go by: those that the options or else the settings select, without those that either ignores.

    Raises:
        BadRequest: No such rule.
    """
    selected = named(rules, select or settings.select) if select or settings.select else set(rules)
    selected -= named(rules, [*settings.ignore, *ignore])
    for ignored in settings.per_file_ignores.values():
        named(rules, ignored)
    return {name: rule for name, rule in rules.items() if name in selected}


def named(rules: Mapping[str, Rule], words: Iterable[str]) -> set[str]:
    """The names of the rules that are meant: by name, by code, by the beginning of codes, or ALL.

    Raises:
        BadRequest: No such rule.
    """
    found: set[str] = set()
    for word in words:
        meant = {
            name
            for name, rule in rules.items()
            if word.upper() == "ALL"
            or name == word.lower()
            or (word.upper().startswith("LM") and rule.code.startswith(word.upper()))
        }
        if not meant:
            names = [*rules, *(rule.code for rule in rules.values())]
            raise BadRequest(f"there is no rule {word!r}{_instead(word, names)}; `lossmith rules` lists them")
        found |= meant
    return found


def files(
    paths: Sequence[Path], settings: Callable[[Path], Settings], skipped: Callable[[Path, str], None]
) -> list[Path]:
    """The files that the paths mean, each once: files themselves, and Python and notebooks of folders.

    skipped: Told of what can't be entered, and why.

    Raises:
        BadRequest: No such path.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        if not path.exists() and not path.is_symlink():
            raise BadRequest(f"there is no file or folder {str(path)!r}")
        within = settings(path)
        for file in _walk(path, within, set(), skipped) if path.is_dir() else [path]:
            if not within.excludes(file):
                found.setdefault(file.resolve() if file.exists() else file, file)
    return list(found.values())


def _walk(folder: Path, settings: Settings, above: set[Path], skipped: Callable[[Path, str], None]) -> Iterator[Path]:
    try:
        real = folder.resolve(strict=True)
        if real in above:
            skipped(folder, "a link to a folder that it is in")
            return
        entries = sorted(folder.iterdir())
    except (OSError, RuntimeError) as error:
        skipped(folder, getattr(error, "strerror", None) or str(error))
        return
    for entry in entries:
        try:
            is_folder = entry.is_dir()
        except OSError as error:
            skipped(entry, error.strerror or str(error))
            continue
        if is_folder:
            hidden = entry.name.startswith(".") or entry.name in NEVER or entry.name.endswith(".egg-info")
            if not hidden and not (entry / "pyvenv.cfg").exists() and not settings.excludes(entry):
                yield from _walk(entry, settings, {*above, real}, skipped)
        elif entry.suffix in SUFFIXES:
            yield entry


def shown(path: Path) -> str:
    """A path as it is printed: from the working folder if it is below that."""
    try:
        return os.path.relpath(path) if path.resolve().is_relative_to(Path.cwd()) else str(path)
    except (OSError, ValueError, RuntimeError):
        return str(path)


def _strings(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise BadRequest(f"{where}: expected a list of strings, got {value!r}")
    return tuple(value)


def _instead(word: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
