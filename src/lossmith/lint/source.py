"""A file of source: its text, its tree, and where its imports lead."""

import json
import re
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import libcst as cst
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider

LARGEST = 4_000_000
"""Bytes; larger files are data."""
DEEPEST = 200
"""Brackets in brackets, as many as Python's own parser takes; LibCST's ends the process at some thousands."""
LONGEST = 1_000
"""Operators, calls and attributes between two commas, or `elif` after `elif`; the same."""
_SIGNS = re.compile(r"\n[ \t]*(?:el)?(?:if\b)?|[][(){}]|[-+*/%@&|^~<>=.,]|\b(?:and|or|not|if|lambda|await|in|is)\b")
FARTHEST = 6
"""How many folders up an absolute import is looked for."""

SPEAKS = re.compile(rb"loss|criterion|entropy|kl_?div", re.IGNORECASE)
"""What no file is without that computes a loss."""

CONCERNS = re.compile(rb"torch|lossmith")
"""What no file is without that defines a network or makes a loss."""


class Unreadable(Exception):
    """The file can't be read as Python 3; the words say why."""


@dataclass(eq=False)
class Source:
    """A file that could be parsed."""

    path: Path
    text: str = field(repr=False)
    tree: cst.Module = field(repr=False)
    cells: tuple[tuple[int, int], ...] = ()
    """Of a notebook: for each code cell its number, and how many lines of text are before it."""

    @classmethod
    def read(cls, path: Path) -> "Source":
        """The file's source.

        Raises:
            Unreadable: It is no Python 3.
        """
        content = load(path)
        cells: tuple[tuple[int, int], ...] = ()
        if path.suffix == ".ipynb":
            text, cells = notebook(content)
        else:
            text = decoded(content)
        return cls(path, text, parsed(text), cells)

    @cached_property
    def lines(self) -> list[str]:
        return re.split(r"\r\n|\r|\n", self.text)

    @cached_property
    def _positions(self) -> Mapping[cst.CSTNode, CodeRange]:
        wrapper = MetadataWrapper(self.tree, unsafe_skip_copy=True)
        return wrapper.resolve(PositionProvider)

    def range(self, node: cst.CSTNode) -> CodeRange:
        return self._positions[node]

    def cell_of(self, line: int) -> tuple[int, int]:
        """The cell of a line of the text and the line in it; 0 and the line itself if this is no notebook."""
        return max(
            ((number, line - before) for number, before in self.cells if before < line),
            default=(0, line),
        )


def load(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST:
            raise Unreadable(f"larger than {LARGEST // 1_000_000} MB")
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from None


def decoded(content: bytes) -> str:
    """The text, by its byte-order mark or its coding cookie."""
    if b"\0" in content:
        raise Unreadable("null bytes: no Python source")
    lines = iter(content.splitlines(keepends=True))
    try:
        encoding, _ = tokenize.detect_encoding(lambda: next(lines, b""))
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise Unreadable(f"no {error.encoding} text") from None
    except (SyntaxError, LookupError) as error:
        raise Unreadable(str(error)) from None


def parsed(text: str) -> cst.Module:
    if _too_deep(text):
        raise Unreadable("nested too deep")
    try:
        return cst.parse_module(text)
    except cst.ParserSyntaxError as error:
        if "indentation levels" in str(error):
            raise Unreadable("nested too deep") from None
        raise Unreadable(f"line {error.raw_line}: no Python 3 syntax") from None
    except RecursionError:
        raise Unreadable("nested too deep") from None
    except Exception as error:  # the parser's own failures, whatever they are
        raise Unreadable(f"the parser gave up ({type(error).__name__})") from None


def _too_deep(text: str) -> bool:
    """Whether the parser, which recurses on the stack, would run out of it. Signs in strings count too."""
    depth = chained = branches = 0
    for match in _SIGNS.finditer(text):
        sign = match[0]
        if sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth = max(0, depth - 1)
        if sign[0] == "\n":
            chained = 0 if depth == 0 else chained
            branches = branches + 1 if sign.endswith("elif") else 0 if sign.endswith("if") else branches
        elif sign == ",":
            chained = 0
        else:
            chained += 1
        if depth > DEEPEST or chained > LONGEST or branches > LONGEST:
            return True
    return False


_MAGIC = re.compile(r"^(\s*)(?:[%!?].*|[\w.]+\?{1,2}\s*$)")
"""Lines of a notebook that are for IPython."""


def notebook(content: bytes) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The code cells as one text, with what is no Python (magics, shell lines) left out; where each cell begins."""
    try:
        cells = json.loads(content.decode("utf-8-sig"))["cells"]
        codes = [
            (number, "".join(cell["source"]) if isinstance(cell["source"], list) else str(cell["source"]))
            for number, cell in enumerate(cells, 1)
            if cell["cell_type"] == "code"
        ]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Unreadable("no notebook") from None
    text, starts = "", []
    for number, code in codes:
        starts.append((number, text.count("\n")))
        lines = [] if re.match(r"\s*%%(?!time|capture)", code) else code.splitlines()
        text += "\n".join(_MAGIC.sub(r"\1pass", line) for line in lines) + "\n"
    return text, tuple(starts)


def relative_module(path: Path, level: int, name: str) -> Iterator[Path]:
    """Where `from ..name import x` in the file may lead."""
    folder = path.parent
    for _ in range(level - 1):
        folder = folder.parent
    yield from _candidates(folder, name)


def absolute_module(path: Path, name: str) -> Iterator[Path]:
    """Where `import name` in the file may lead: beside it, or in a folder above it, down from where the name begins."""
    folder = path.parent
    for _ in range(FARTHEST):
        yield from _candidates(folder, name)
        yield from _candidates(folder / "src", name)
        if folder == folder.parent or (folder / ".git").exists() or (folder / "pyproject.toml").exists():
            return
        folder = folder.parent


def _candidates(folder: Path, name: str) -> Iterator[Path]:
    base = folder.joinpath(*name.split(".")) if name else folder
    if name:
        yield base.with_name(base.name + ".py")
    yield base / "__init__.py"
