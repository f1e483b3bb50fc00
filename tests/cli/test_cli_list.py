"""The command `lossmith list`: the cheat sheet in both languages, for people and for programs."""

import json

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner, Result

from lossmith.cards.words import FAMILIES
from lossmith.cli.app import app
from lossmith.losses import all_losses

LOSSES = all_losses()
MODULES = [loss.module.__name__ for loss in LOSSES.values()]


@pytest.fixture(autouse=True)
def plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["list", *arguments])


def rows(*arguments: str) -> list[dict[str, str]]:
    result = run("--json", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_loss_is_in_the_table_under_its_family(language: str) -> None:
    result = run("--lang", language)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert max(cell_len(line) for line in result.stdout.splitlines()) <= 120
    heads = {title(language): family for family, title in FAMILIES.items()}
    family, found = None, {}
    for line in lines:
        family = heads.get(line, family)
        if line.split(" ")[0] in MODULES:
            found[line.split(" ")[0]] = family
    assert found == {loss.module.__name__: loss.family for loss in LOSSES.values()}


def test_cells_are_whole_in_the_table() -> None:
    words = run().stdout.split()
    for loss in LOSSES.values():
        for cell in (loss.card.input, loss.card.target, loss.card.activation.en, loss.card.typical.en):
            assert set(cell.split()) <= set(words), cell


@pytest.mark.parametrize("language", ["en", "zh"])
def test_json_has_every_cell(language: str) -> None:
    found = {row["function"]: row for row in rows("--lang", language)}
    assert set(found) == set(LOSSES)
    for name, row in found.items():
        card = LOSSES[name].card
        assert row == {
            "loss": LOSSES[name].module.__name__,
            "function": name,
            "family": FAMILIES[LOSSES[name].family](language),
            "input": card.input,
            "target": card.target,
            "activation": card.activation(language),
            "typical": card.typical(language),
        }


@pytest.mark.parametrize(
    ("word", "family"),
    [
        ("regression", "regression"),
        ("Classification", "classification"),
        ("embedding", "embedding and ranking"),
        ("ranking", "embedding and ranking"),
        ("distributions and sequences", "distributions and sequences"),
        ("回归", "regression"),
        ("排序", "embedding and ranking"),
    ],
)
def test_one_family(word: str, family: str) -> None:
    expected = {name for name, loss in LOSSES.items() if loss.family == family}
    assert {row["function"] for row in rows("--family", word)} == expected


def test_an_unknown_family_is_one_line_and_exit_code_2() -> None:
    result = run("--family", "regresion", "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert "there is no family 'regresion'; there are: regression, classification" in result.stderr


def test_help_names_every_option() -> None:
    text = run("--help").stdout
    assert all(option in text for option in ("--family", "--lang", "--json"))
