"""The documentation's pages of losses, which are written from the cards."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from lossmith.losses import all_losses

LOSSES = all_losses()
SOURCE = Path(__file__).parent.parent / "docs" / "_ext" / "loss_pages.py"


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("loss_pages", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_page_holds_the_card(pages: ModuleType, language: str) -> None:
    for name, loss in LOSSES.items():
        text = pages.page(loss, language)
        assert text.startswith(f"# {loss.module.__name__}")
        card = loss.card
        for words in (card.summary, *card.use, *card.avoid, *(trap.text for trap in card.traps)):
            assert pages.escaped(words(language)) in text
        for trap in card.traps:
            assert f"**{trap.id}**" in text
        assert len(re.findall(r"^\$\$$", text, re.M)) == 2 * (1 + bool(loss.formulas))
        assert ("<svg" in text) == (card.curve is not None)
        assert "```pycon\n>>> import torch, lossmith\n" in text, name


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_cheat_sheet_leads_to_every_page(pages: ModuleType, language: str) -> None:
    text = pages.overview(language)
    for name, loss in LOSSES.items():
        assert f"| [{loss.module.__name__}]({name}.md) |" in text
        assert f"\n{name}\n" in text


def test_pages_are_written_where_they_differ(pages: ModuleType, tmp_path: Path) -> None:
    app = SimpleNamespace(srcdir=tmp_path)
    pages.write(app)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.md")}
    assert len(written) == 2 * (len(LOSSES) + 1)
    (tmp_path / "losses" / "gone_loss.md").write_text("old")
    changed = tmp_path / "losses" / "huber_loss.md"
    changed.write_text("old")
    pages.write(app)
    again = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.md")}
    assert {path for path in again if again[path] != written[path]} == {changed}


def test_marks_of_markdown_mean_themselves(pages: ModuleType) -> None:
    assert pages.escaped("(N, *) a_b <x> $x_1 * y$ `a*b`") == r"(N, \*) a\_b \<x\> $x_1 * y$ `a*b`"
