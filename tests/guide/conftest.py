"""What the tests of the guide share: tables on disk."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest


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
