"""All formulas of the losses, and one formula a word of the language, so that words run wherever formulas do."""

import linecache

from lossmith.formula import Formula, formula
from lossmith.formula.vocabulary import WORDS
from lossmith.losses import all_losses

FORMULAS: dict[str, Formula] = {f.name: f for loss in all_losses().values() for f in loss.formulas}


def define(source: str, name: str, module: str = __name__) -> Formula:
    """The formula of a text, as if it stood in a file."""
    file = f"<{module}.{name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    namespace: dict = {"__name__": module, "formula": formula}
    exec(compile(source, file, "exec"), namespace)
    return namespace[name]


def _of_word(word: str) -> Formula:
    names = ["x", "y"][: max(1, WORDS[word].arity - (word == "where"))]
    call = "where(x < y, x, y)" if word == "where" else f"{word}({', '.join(names)})"
    arguments, slopes = ", ".join(names), ", ".join(["0.0"] * len(names))
    return define(f"@formula\ndef word_{word}({arguments}):\n    return {call}, {slopes}\n", f"word_{word}")


OF_WORDS = {word: _of_word(word) for word in WORDS}
globals().update({f.name: f for f in OF_WORDS.values()})  # pickled by name, like any formula
