"""The documentation's pages of losses and rules, which are written from the source."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from lossmith.losses import all_losses
from lossmith.rule import SEVERITIES
from lossmith.rules import all_rules

LOSSES, RULES = all_losses(), all_rules()
EXTENSIONS = Path(__file__).parent.parent / "docs" / "_ext"


@pytest.fixture(scope="module")
def extensions() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXTENSIONS)
        yield


@pytest.fixture(scope="module")
def pages(extensions: None) -> ModuleType:
    return importlib.import_module("loss_pages")


@pytest.fixture(scope="module")
def rule_pages(extensions: None) -> ModuleType:
    return importlib.import_module("rule_pages")


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


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_page_holds_the_rule(rule_pages: ModuleType, language: str) -> None:
    table = rule_pages.overview(language)
    for name, rule in RULES.items():
        text = rule_pages.page(rule, language)
        assert text.startswith(f"# {rule.code} {name}\n\n{SEVERITIES[rule.severity](language)} · ")
        for words in (rule.what, rule.why, rule.evidence, rule.fix):
            assert rule_pages.escaped(words(language)) in text
        assert rule.bad.rstrip() in text and rule.good.rstrip() in text
        assert f"| {rule.code} | [{name}]({name}.md) |" in table
        assert f"\n{name}\n" in table


def test_pages_of_rules_are_written(rule_pages: ModuleType, tmp_path: Path) -> None:
    rule_pages.write(SimpleNamespace(srcdir=tmp_path))
    assert len(list(tmp_path.rglob("*.md"))) == 2 * (len(RULES) + 1)
