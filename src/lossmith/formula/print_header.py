"""Prints the header of all formulas, for the build of the kernels: `python print_header.py FILE`. Needs no torch."""

import hashlib
import importlib
import sys
import types
from pathlib import Path

HERE = Path(__file__).parent


def main(target: str) -> None:
    """Writes the header and its digest, unless they are up to date already, so that nothing is compiled again."""
    # lossmith itself imports torch, which a build does not have: packages of the same names, without their contents
    for name, folder in {"lossmith": HERE.parent, "lossmith.formula": HERE}.items():
        package = types.ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    definition = importlib.import_module("lossmith.formula.definition")
    printer = importlib.import_module("lossmith.formula.cpp")
    formulas = definition.read_formulas((HERE.parent / "losses").glob("*.py"))
    text = printer.header(formulas.values())
    digest = hashlib.sha256(text.encode()).hexdigest()
    for file, content in {
        Path(target): text,
        Path(target).with_suffix(".sha256.h"): f'#define LOSSMITH_FORMULAS_SHA256 "{digest}"\n',
    }.items():
        if not file.exists() or file.read_text() != content:
            file.write_text(content)


if __name__ == "__main__":
    main(sys.argv[1])
