"""Prints the header of all formulas, for the build of the kernels: `python print_header.py FILE`. Needs no torch."""

import importlib
import sys
import types
from pathlib import Path

HERE = Path(__file__).parent


def main(target: str) -> None:
    """Writes the header to a file, unless that is up to date already, so that nothing is compiled again."""
    # lossmith itself imports torch, which a build does not have: packages of the same names, without their contents
    for name, folder in {"lossmith": HERE.parent, "lossmith.formula": HERE}.items():
        package = types.ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    definition = importlib.import_module("lossmith.formula.definition")
    printer = importlib.import_module("lossmith.formula.cpp")
    formulas = definition.read_formulas((HERE.parent / "losses").glob("*.py"))
    text = printer.header(formulas.values())
    file = Path(target)
    if not file.exists() or file.read_text() != text:
        file.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1])
