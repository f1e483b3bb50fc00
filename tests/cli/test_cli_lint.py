"""The command `lossmith lint`: what people, programs and GitHub read, exit codes, and what it says of bad requests."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lossmith.cli.app import app

WRONG = """\
import torch.nn as nn
import torch.nn.functional as F

criterion = nn.CrossEntropyLoss()
for x, y in batches:
    p = F.softmax(net(x), dim=1)
    loss = criterion(p, y)
"""
RIGHT = WRONG.replace("F.softmax(net(x), dim=1)", "net(x)")
INFO = WRONG.replace("F.softmax", "F.log_softmax")


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["lint", *arguments])


def test_findings_for_people(folder: Path) -> None:
    (folder / "train.py").write_text(WRONG)
    result = run(".")
    assert (result.exit_code, result.stderr) == (1, "")
    first, *block, _, last = result.stdout.splitlines()
    assert first.startswith("train.py:7:12 LM101 softmax-into-cross-entropy: ")
    assert first.endswith("(made at train.py:6)")
    assert block[:4] == ["  |", "7 | loss = criterion(p, y)", "  |        ^", block[3]]
    assert block[3].startswith("  = fix: ")
    assert last == "Found 1 error in 1 of 1 file."


def test_findings_in_chinese(folder: Path) -> None:
    (folder / "train.py").write_text(WRONG)
    result = run(".", "--lang", "zh")
    assert "（产生于 train.py:6）" in result.stdout
    assert "  = 改法：" in result.stdout
    assert result.stdout.splitlines()[-1] == "1 个文件中有 1 个存在问题：1 个错误。"


def test_nothing_found(folder: Path) -> None:
    (folder / "train.py").write_text(RIGHT)
    result = run("train.py")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "Nothing found in 1 file.\n", "")
    assert run("train.py", "--lang", "zh").stdout == "1 个文件中未发现问题。\n"
    assert (run("train.py", "--format", "json").stdout, run("train.py", "--format", "github").stdout) == ("[]\n", "")


def test_an_info_is_no_failure(folder: Path) -> None:
    (folder / "train.py").write_text(INFO)
    result = run("train.py")
    assert "log-softmax-into-cross-entropy" in result.stdout
    assert result.stdout.splitlines()[-1] == "Found 1 info in 1 of 1 file."
    assert result.exit_code == 0


def test_json(folder: Path) -> None:
    (folder / "train.py").write_text(WRONG)
    result = run(".", "--format", "json")
    assert (result.exit_code, result.stderr) == (1, "")
    (finding,) = json.loads(result.stdout)
    assert list(finding) == ["path", "line", "column", "code", "rule", "severity", "message", "fix"]
    assert finding["fix"] and finding["message"]
    assert {key: finding[key] for key in ("path", "line", "column", "code", "rule", "severity")} == {
        "path": "train.py",
        "line": 7,
        "column": 12,
        "code": "LM101",
        "rule": "softmax-into-cross-entropy",
        "severity": "error",
    }


def test_annotations(folder: Path) -> None:
    name = "100%,a:b.py"
    (folder / name).write_text(WRONG)
    (line,) = run(".", "--format", "github").stdout.splitlines()
    head, _, words = line.removeprefix("::").partition("::")
    assert head == "error file=100%25%2Ca%3Ab.py,line=7,col=12,title=LM101 softmax-into-cross-entropy"
    assert "%0A" in words and "made at 100%25,a:b.py:6" in words
    (folder / name).write_text(INFO)
    assert run(".", "--format", "github").stdout.startswith("::notice ")


def test_select_and_ignore(folder: Path) -> None:
    (folder / "train.py").write_text(WRONG)
    assert run(".", "--select", "LM102,LM103").exit_code == 0
    assert run(".", "--select", "LM102, LM101").exit_code == 1
    assert run(".", "--ignore", "softmax-into-cross-entropy").exit_code == 0
    assert run(".", "--ignore", "LM1").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing"], "lossmith: there is no file or folder 'missing'\n"),
        ([".", "--select", "softmax-into-crossentropy"], "did you mean 'softmax-into-cross-entropy'?"),
        ([".", "--ignore", "LM777"], "there is no rule 'LM777'"),
        ([".", "--format", "xml"], "xml"),
        ([], "PATH"),
    ],
)
def test_it_could_not_run(arguments: list[str], words: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr


def test_bad_settings(folder: Path) -> None:
    (folder / "pyproject.toml").write_text('[tool.lossmith.lint]\nselect = ["LM777"]\n')
    result = run(".")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no rule 'LM777'" in result.stderr


def test_what_is_passed_over_is_named(folder: Path) -> None:
    (folder / "old.py").write_text("print 'loss'\n")
    (folder / "train.py").write_text(WRONG)
    result = run(".", "--format", "json")
    assert len(json.loads(result.stdout)) == 1
    assert result.stderr == "lossmith: old.py is passed over: line 1: no Python 3 syntax\n"
    assert run("old.py").exit_code == 0


def test_long_and_wide_lines(folder: Path) -> None:
    (folder / "train.py").write_text(
        WRONG.replace("criterion(p, y)", "print('损失', criterion(p, y), " + "0, " * 99 + ")")
    )
    lines = run(".").stdout.splitlines()
    code, caret = lines[2], lines[3]
    assert len(code) < 200
    assert caret.index("^") == code.index("criterion") + 2, "a Chinese sign is two columns wide"
