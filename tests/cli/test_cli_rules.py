"""The command `lossmith rules`: the table, and one rule in full, in both languages."""

import json

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner, Result

from lossmith.cli.app import app
from lossmith.rules import all_rules

RULES = all_rules()


@pytest.fixture(autouse=True)
def plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["rules", *arguments])


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_rule_is_in_the_table(language: str) -> None:
    result = run("--lang", language)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert max(cell_len(line) for line in lines) <= 120
    rows = [line.split() for line in lines if line.strip().startswith("LM")]
    assert [row[:2] for row in rows] == [[rule.code, rule.name] for rule in RULES.values()]
    words = "".join(result.stdout.split())
    for rule in RULES.values():
        assert rule.what(language).split()[0] in words


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", RULES)
def test_one_rule_in_full(name: str, language: str) -> None:
    rule = RULES[name]
    result = run(name, "--lang", language)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{rule.code} {name}\n")
    shown = "".join(result.stdout.split())
    for text in (rule.what, rule.why, rule.evidence, rule.fix):
        assert "".join(text(language).split()) in shown
    for code in (rule.bad, rule.good):
        assert all(f"  {line}" in result.stdout for line in code.splitlines())
    assert result.stdout == run(rule.code.lower(), "--lang", language).stdout


@pytest.mark.parametrize("language", ["en", "zh"])
def test_json(language: str) -> None:
    data = json.loads(run("--json", "--lang", language).stdout)
    assert [rule["name"] for rule in data] == list(RULES)
    for found in data:
        rule = RULES[found["name"]]
        assert found == json.loads(run("--json", "--lang", language, rule.code).stdout)
        assert (found["code"], found["severity"], found["losses"]) == (rule.code, rule.severity, list(rule.losses))
        assert (found["what"], found["fix"]) == (rule.what(language), rule.fix(language))
        seen_at_run_time = bool(rule.at_once or rule.values or rule.at_backward)
        assert ("run time" in found["seen"], "source" in found["seen"]) == (seen_at_run_time, bool(rule.in_source))


def test_an_unknown_rule_is_refused_with_a_suggestion() -> None:
    for name, words in (
        ("softmax", "softmax-into-cross-entropy"),
        ("outer-brodcast", "outer-broadcast"),
        ("zzz", "shows all"),
    ):
        result = run(name)
        assert (result.exit_code, result.stdout) == (2, "")
        assert words in result.stderr
