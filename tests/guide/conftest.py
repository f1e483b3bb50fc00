"""What the tests of the guide share: tables on disk, and what is chosen for them."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from made_tables import BRANCHES

from lossmith.guide import Choice, choose


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[pl.DataFrame | str | bytes], Path]:
    """Writes a table, or a file's text or bytes, to a CSV file of its own."""
    written: list[Path] = []

    def save(content: pl.DataFrame | str | bytes, name: str = "") -> Path:
        path = tmp_path / (name or f"table{len(written)}.csv")
        written.append(path)
        if isinstance(content, pl.DataFrame):
            content.write_csv(path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return save


@pytest.fixture(scope="session")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Choice]:
    """What the tree chooses for the made table of a branch, without an experiment."""
    found: dict[str, Choice] = {}

    def choose_for(branch: str) -> Choice:
        if branch not in found:
            make, target, *_ = BRANCHES[branch]
            path = tmp_path_factory.mktemp("branch") / "table.csv"
            make().write_csv(path)
            found[branch] = choose(path, target, train=False)
        return found[branch]

    return choose_for
