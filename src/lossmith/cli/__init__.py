"""The command line: `lossmith`."""

import sys


def main() -> None:
    """The entry point; says which extra is missing where the libraries of the command line are."""
    try:
        from .app import app
    except ModuleNotFoundError as error:
        sys.exit(f"lossmith: the command line needs {error.name}; install it with: pip install 'lossmith[cli]'")
    app(prog_name="lossmith")
