"""LaTeX for the terminal: read by pylatexenc, laid out in Unicode with SymPy's boxes."""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache, reduce
from typing import Any

from pylatexenc import latex2text, latexwalker
from pylatexenc.macrospec import std_macro
from sympy.printing.pretty.pretty_symbology import pretty_use_unicode
from sympy.printing.pretty.stringpict import stringPict as Box

RAISED = str.maketrans("0123456789+-()niTx", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱᵀˣ")
LOWERED = str.maketrans("0123456789+-", "₀₁₂₃₄₅₆₇₈₉₊₋")
SPACES = {",": " ", ":": " ", ";": " ", " ": " ", "!": "", "quad": "  ", "qquad": "    "}
OPENING, CLOSING = ("left", "bigl", "Bigl"), ("right", "bigr", "Bigr")
NAMES = ("text", "mathrm", "mathbf", "operatorname")
ACCENTS = {"hat": "\N{COMBINING CIRCUMFLEX ACCENT}", "bar": "\N{COMBINING MACRON}", "tilde": "\N{COMBINING TILDE}"}
OWN = {"lVert": "‖", "rVert": "‖", "|": "‖", "lvert": "|", "rvert": "|", "mid": "|", "ne": "≠"}


class Unreadable(ValueError):
    """LaTeX that has no form in the terminal here."""


def display(latex: str) -> list[str]:
    """A displayed formula, line by line: each equation on its own, fractions on two levels, cases behind a brace."""
    equations = [part for part in re.split(r"(?:,\s*)?\\q?quad\b", latex) if part.strip()]
    before = pretty_use_unicode(True)
    try:
        boxes = [_box(_read(_tight(equation)), flat=False) for equation in equations]
    finally:
        pretty_use_unicode(before)
    tall = any(box.height() > 1 for box in boxes)
    rows: list[str] = []
    for box in boxes:
        rows += [*([""] if tall and rows else []), *(row.rstrip() for row in box.picture)]
    return rows


def inline(text: str, space: str = " ") -> str:
    """A text with its formulas, which stand between dollars, in one line; in these a space is what is asked for."""
    parts = text.split("$")
    parts[1::2] = [
        "".join(_box(_read(_tight(part)), flat=True).picture).strip().replace(" ", space) for part in parts[1::2]
    ]
    return "".join(parts)


def _tight(latex: str) -> str:
    """Without the space that SymPy writes after a sign."""
    return re.sub(r"((?:^|[&=({,]|\\left\(|\\\\|\\begin\{cases\})\s*)- ", r"\1-", " ".join(latex.split()))


@cache
def _language() -> tuple[Any, dict[str, str]]:
    """What pylatexenc knows of commands' arguments, and of their signs."""
    known = latexwalker.get_default_latex_context_db()
    macros = [std_macro(name, False, arguments) for name, arguments in (("tfrac", 2), ("operatorname", 1))]
    known.add_context_category("mathematics", prepend=True, macros=macros)
    signs = {
        spec.macroname: spec.simplify_repl
        for category in latex2text.get_default_latex_context_db().d.values()
        for spec in category["macros"].values()
        if isinstance(spec.simplify_repl, str) and "%" not in spec.simplify_repl
    }
    return known, signs | OWN


def _read(latex: str) -> list[Any]:
    nodes, _, _ = latexwalker.LatexWalker(latex, latex_context=_language()[0], tolerant_parsing=False).get_latex_nodes()
    return _atoms(nodes)


def _atoms(nodes: Sequence[Any]) -> list[Any]:
    """The nodes, of which text is single letters, and of which groups that only group are dissolved in scripts."""
    atoms: list[Any] = []
    for node in nodes:
        if isinstance(node, latexwalker.LatexCharsNode):
            atoms += node.chars
        elif node is not None:
            atoms.append(node)
    return atoms


def _box(atoms: Sequence[Any], flat: bool) -> Box:
    pieces: list[Box] = []
    at = 0
    while at < len(atoms):
        atom = atoms[at]
        at += 1
        if isinstance(atom, str) and atom in "^_":
            script = _strip(_box([atoms[at]], flat))
            base = pieces.pop() if pieces else Box("")
            pieces.append(_script(base, script, atom == "^", flat))
            if getattr(atoms[at], "macro_post_space", ""):
                pieces.append(Box(" "))
            at += 1
        elif _macro(atom) in OPENING:
            end = _closing(atoms, at)
            inner = _box(atoms[at + 1 : end], flat)
            pieces.append(_fenced(_strip(inner), _delimiter(atoms[at]), _delimiter(atoms[end + 1])))
            at = end + 2
        else:
            piece = _piece(atom, flat)
            if piece.picture != [" "] or (pieces and not _spaced(pieces[-1])):
                pieces.append(piece)
    return _beside(pieces)


def _piece(atom: Any, flat: bool) -> Box:
    if isinstance(atom, str):
        return Box(atom)
    if isinstance(atom, latexwalker.LatexGroupNode):
        return _box(_atoms(atom.nodelist), flat)
    if isinstance(atom, latexwalker.LatexEnvironmentNode):
        return _rows(atom, flat)
    if isinstance(atom, latexwalker.LatexSpecialsNode):
        return Box({"~": " "}.get(atom.specials_chars, atom.specials_chars))
    name = atom.macroname
    arguments = [
        _box(_atoms([argument]), flat) for argument in (atom.nodeargd.argnlist if atom.nodeargd else ()) if argument
    ]
    if name in SPACES:
        return Box(SPACES[name])
    if name in NAMES:
        return arguments[0]
    if name in ("frac", "tfrac"):
        return _fraction(arguments[0], arguments[1], flat or name == "tfrac")
    if name == "sqrt":
        single = arguments[-1].width() == 1
        return _beside([Box("√"), arguments[-1] if single else _fenced(arguments[-1], "(", ")")])
    if name in ACCENTS:
        return Box(unicodedata.normalize("NFC", arguments[0].picture[0] + ACCENTS[name]))
    sign = _language()[1].get(name)
    if sign is None:
        raise Unreadable(f"\\{name} has no sign here; known are those of pylatexenc, \\frac, \\sqrt, cases, aligned")
    return Box(sign + (atom.macro_post_space and " ") if name not in ("partial", "lVert", "lvert") else sign)


def _script(base: Box, script: Box, raised: bool, flat: bool) -> Box:
    text = script.picture[0]
    if not flat and not raised and base.picture[0].strip() in ("∑", "∏"):
        return Box(*base.below(script))
    small = text.translate(RAISED if raised else LOWERED)
    if script.height() == 1 and all(a != b for a, b in zip(text, small, strict=True)):
        return _beside([base, Box(small)])
    if raised and not flat:
        above = _beside([Box(" " * base.width()), script])
        return Box("\n".join([*above.picture, *(row.ljust(above.width()) for row in base.picture)]),
                   above.height() + base.baseline)  # fmt: skip
    mark = "^" if raised else "_"
    grouped = " " in text or (raised and len(text) > 1)
    return _beside([base, Box(f"{mark}({text})" if grouped else mark + text)])


def _fraction(above: Box, below: Box, flat: bool) -> Box:
    if flat:
        above, below = _operand(above, r"[^(][-+ /]"), _operand(below, r"[^(][-+ /]|\d[^\W\d_]")
        text = f"{above.picture[0]}/{below.picture[0]}"
        return Box("½" if text == "1/2" else text)
    return Box(*Box.stack(above, Box.LINE, below))


def _operand(box: Box, compound: str) -> Box:
    """What stands beside a slash: in parentheses if it would be read otherwise."""
    box = _strip(box)
    return _fenced(box, "(", ")") if re.search(compound, box.picture[0]) else box


def _rows(environment: Any, flat: bool) -> Box:
    """Cases behind a brace, or equations one below another."""
    rows: list[list[list[Any]]] = [[[]]]
    for atom in _atoms(environment.nodelist):
        if _macro(atom) == "\\":
            rows.append([[]])
        elif getattr(atom, "specials_chars", "") == "&":
            rows[-1].append([])
        else:
            rows[-1][-1].append(atom)
    cells = [[_strip(_box(cell, flat)) for cell in row] for row in rows]
    cases = environment.environmentname == "cases"
    if flat and cases:
        return Box("{" + "; ".join(", ".join(cell.picture[0] for cell in row) for row in cells) + "}")
    width = max(row[0].width() for row in cells)
    laid = [_beside([_padded(row[0], width, left=not cases), Box("  " if cases else " "), *row[1:]]) for row in cells]
    table = reduce(_below, laid)
    table.baseline = (table.height() - 1) // 2 if cases else laid[0].baseline
    return _fenced(table, "{", "") if cases else table


def _below(first: Box, second: Box) -> Box:
    width = max(first.width(), second.width())
    tall = first.height() > 1 and second.height() > 1
    rows = [*first.picture, *([""] if tall else []), *second.picture]
    return Box("\n".join(row.ljust(width) for row in rows))


def _padded(box: Box, width: int, left: bool) -> Box:
    blank = Box(" " * (width - box.width()))
    return _beside([blank, box] if left else [box, blank])


def _beside(boxes: Sequence[Box]) -> Box:
    return Box(*Box.next(*boxes)) if boxes else Box("")


def _fenced(box: Box, left: str, right: str) -> Box:
    if left == "{" and box.height() == 2:  # SymPy's brace has three parts
        return Box(*box.left(Box("⎧\n⎩", box.baseline)))
    return Box(*box.parens(left, right))


def _strip(box: Box) -> Box:
    rows = box.picture
    start = min((len(row) - len(row.lstrip()) for row in rows if row.strip()), default=0)
    end = max((len(row.rstrip()) for row in rows), default=0)
    return Box("\n".join(row[start:end].ljust(end - start) for row in rows), box.baseline)


def _macro(atom: Any) -> str:
    return str(getattr(atom, "macroname", ""))


def _spaced(box: Box) -> bool:
    return bool(box.height() == 1 and box.picture[0].endswith(" "))


def _delimiter(atom: Any) -> str:
    text = atom if isinstance(atom, str) else _language()[1].get(_macro(atom), _macro(atom))
    return "" if text == "." else text


def _closing(atoms: Sequence[Any], start: int) -> int:
    depth = 1
    for at in range(start, len(atoms)):
        depth += (_macro(atoms[at]) in OPENING) - (_macro(atoms[at]) in CLOSING)
        if not depth:
            return at
    raise Unreadable("\\left has no \\right")
