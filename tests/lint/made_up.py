"""A rule that is made up for the tests: a softmax is given to a loss, whichever it is."""

from collections.abc import Mapping
from pathlib import Path

from lossmith.card import Text
from lossmith.lint.check import Checked, Checker
from lossmith.lint.interpreter import Interpreter
from lossmith.lint.source import Source
from lossmith.losses import all_losses
from lossmith.rule import Rule, Site


def _softmax(site: Site) -> Text | None:
    given = next(iter(site.arguments.values())) if site.kind == "call" else None
    return Text("softmax", "softmax") if given is not None and given.op == "softmax" else None


_NOTHING = Text("", "")

RULE = Rule(
    code="LM999",
    name="made-up",
    severity="error",
    losses=tuple(all_losses()),
    what=_NOTHING,
    why=_NOTHING,
    evidence=_NOTHING,
    fix=Text("leave it out", "去掉它"),
    bad="",
    good="",
    in_source=_softmax,
)


def write(folder: Path, files: Mapping[str, str | bytes]) -> list[Path]:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return [folder / name for name in files]


def checked(folder: Path, files: Mapping[str, str | bytes]) -> Checked:
    """What is found in files of these contents."""
    paths = write(folder, files)
    return Checker([RULE], paths).check(paths)


def sites(folder: Path, code: str) -> list[list[Site]]:
    """Each place of a file that speaks of a loss, in the order of the text, with its alternatives."""
    (path,) = write(folder, {"code.py": code})
    found: dict[tuple[int, int, str], list[Site]] = {}

    def report(place, alternatives, origin) -> None:
        start = place.source.range(place.node).start
        found[start.line, start.column, alternatives[0].kind] = list(alternatives)

    Interpreter(lambda path: None, report).run(Source.read(path))
    return [found[key] for key in sorted(found)]
