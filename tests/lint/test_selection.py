"""Which rules are looked for: options and pyproject.toml."""

from pathlib import Path

import pytest

from lossmith.lint import lint
from lossmith.lint.selection import BadRequest, Settings, chosen, named
from lossmith.rules import all_rules

from .made_up import write

RULES = all_rules()
WRONG = "import torch.nn.functional as F\nF.cross_entropy(F.softmax(x, 1), y)\n"


def found(folder: Path, **options: list[str]) -> list[tuple[str, str]]:
    return [(Path(finding.path).name, finding.code) for finding in lint([folder], **options).findings]


def test_names_codes_and_beginnings() -> None:
    every = set(RULES)
    assert named(RULES, ["softmax-into-cross-entropy"]) == {"softmax-into-cross-entropy"}
    assert named(RULES, ["LM101", "lm102"]) == {rule.name for rule in RULES.values() if rule.code in ("LM101", "LM102")}
    assert named(RULES, ["LM1"]) == {rule.name for rule in RULES.values() if rule.code.startswith("LM1")}
    assert named(RULES, ["ALL"]) == named(RULES, ["LM"]) == every
    assert named(RULES, []) == set()


@pytest.mark.parametrize(
    ("word", "help"),
    [
        ("softmax-into-crossentropy", "did you mean 'softmax-into-cross-entropy'"),
        ("E501", "there is no rule 'E501'"),
        ("LM9999", "`lossmith rules` lists them"),
        ("L", "there is no rule 'L'"),
    ],
)
def test_no_such_rule(word: str, help: str) -> None:
    with pytest.raises(BadRequest, match=help):
        named(RULES, [word])


def test_options_go_before_settings() -> None:
    settings = Settings(Path(), select=("LM101", "LM102"), ignore=("LM102",))
    assert [rule.code for rule in chosen(RULES, settings, [], []).values()] == ["LM101"]
    assert [rule.code for rule in chosen(RULES, settings, ["LM103", "LM102"], []).values()] == ["LM103"]
    assert list(chosen(RULES, settings, [], ["LM101"])) == []
    assert list(chosen(RULES, Settings(Path()), [], [])) == list(RULES)


def test_a_project(tmp_path: Path) -> None:
    write(tmp_path, dict.fromkeys(["a.py", "tests/b.py", "old/c.py"], WRONG))
    write(tmp_path, {"pyproject.toml": "[tool.lossmith.lint]\n"})
    assert found(tmp_path) == [("a.py", "LM101"), ("c.py", "LM101"), ("b.py", "LM101")]
    write(
        tmp_path,
        {"pyproject.toml": '[tool.lossmith.lint]\nexclude = ["old"]\nper-file-ignores = {"tests/*" = ["LM1"]}\n'},
    )
    assert found(tmp_path) == [("a.py", "LM101")]
    assert found(tmp_path / "old") == []
    assert found(tmp_path / "tests") == []
    write(tmp_path, {"pyproject.toml": '[tool.lossmith.lint]\nignore = ["softmax-into-cross-entropy"]\n'})
    assert found(tmp_path) == []
    write(tmp_path, {"pyproject.toml": '[tool.lossmith.lint]\nselect = ["LM102"]\n'})
    assert found(tmp_path / "a.py") == []
    assert found(tmp_path / "a.py", select=["LM101"]) == [("a.py", "LM101")]


def test_the_nearest_settings_count(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": '[tool.lossmith.lint]\nignore = ["ALL"]\n', "a/b/c.py": WRONG})
    write(tmp_path, {"a/pyproject.toml": "[tool.ruff]\n"})
    assert found(tmp_path / "a" / "b") == []
    write(tmp_path, {"a/pyproject.toml": "[tool.lossmith.lint]\n"})
    assert found(tmp_path / "a" / "b") == [("c.py", "LM101")]


@pytest.mark.parametrize(
    ("content", "help"),
    [
        ("[tool.lossmith.lint]\nselekt = []", "there is no setting 'selekt'; did you mean 'select'"),
        ('[tool.lossmith.lint]\nselect = "LM101"', "select: expected a list of strings, got 'LM101'"),
        ("[tool.lossmith.lint]\nignore = [101]", "ignore: expected a list of strings"),
        ('[tool.lossmith.lint]\nignore = ["LM1010"]', "there is no rule 'LM1010'"),
        ('[tool.lossmith.lint]\nper-file-ignores = ["LM101"]', "per-file-ignores must be a table"),
        ('[tool.lossmith.lint]\nper-file-ignores = {"a" = ["X"]}', "there is no rule 'X'"),
        ("[tool.lossmith]\nlint = 3", "expected a table, got 3"),
        ("[tool.lossmith.lint", "pyproject.toml: "),
        ("tool = 3", "expected a table"),
    ],
)
def test_bad_settings(content: str, help: str, tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": content, "a.py": WRONG})
    with pytest.raises(BadRequest, match=help):
        lint([tmp_path])


def test_each_file_once(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": WRONG})
    report = lint([tmp_path, tmp_path / "a.py", tmp_path])
    assert (len(report.findings), report.files) == (1, 1)


def test_several_processes_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossmith.lint.run.SMALL", 0)
    net = "import torch.nn as nn\nclass Net(nn.Module):\n    def forward(self, x):\n        return x.softmax(1)\n"
    use = "import torch.nn as nn\nfrom net import Net\nnn.CrossEntropyLoss()(Net()(x), y)\n"
    write(tmp_path, {"net.py": net, **{f"use{i}.py": use for i in range(20)}, "bad.py": "loss loss\n"})
    told: list[tuple[int, int]] = []
    one = lint([tmp_path], processes=1)
    two = lint([tmp_path], processes=2, progress=lambda done, total: told.append((done, total)))
    assert len(one.findings) == 20
    assert one == two
    assert told[-1] == (22, 22)
