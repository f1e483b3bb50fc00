"""What the pages that are made from the source share: how they are written, and texts as Markdown."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path


def write_pages(root: Path, folders: Sequence[str], pages: Mapping[str, str]) -> None:
    """Writes what differs from what is there, so that Sphinx reads no more anew; deletes pages of what is long gone."""
    wanted = {root / name: text for name, text in pages.items()}
    for folder in folders:
        for old in set((root / folder).glob("*.md")) - set(wanted):
            old.unlink()
    for path, text in wanted.items():
        if not path.exists() or path.read_text("utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")


def escaped(text: str) -> str:
    """A card's text as Markdown: formulas between dollars and code between backquotes stay, the rest means itself."""
    parts = re.split(r"(\$[^$]*\$|`[^`]*`)", text)
    parts[::2] = [re.sub(r"([\\*_{}\[\]<>#|~])", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)
