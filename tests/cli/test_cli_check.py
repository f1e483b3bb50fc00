"""The command `lossmith check`: scripts run as they are, findings, reports and exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

LOOP = """
import sys
import torch
from torch import nn
from helper import classes

assert __name__ == "__main__"
torch.manual_seed(0)
model, criterion = nn.Linear(4, classes), nn.CrossEntropyLoss()
for _ in range(4):
    scores = model(torch.randn(8, 4))
    loss = criterion({scores}, torch.randint(classes, (8,)))
    loss.backward()
print("arguments", *sys.argv[1:])
{end}
"""
RIGHT, WRONG = "scores", "scores.softmax(1)"
LINE = 12


@pytest.fixture
def script(tmp_path: Path):
    def write(scores: str, end: str = "") -> str:
        (tmp_path / "helper.py").write_text("classes = 3\n")
        (tmp_path / "train.py").write_text(LOOP.format(scores=scores, end=end))
        return str(tmp_path / "train.py")

    return write


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from lossmith.cli import main; main()", "check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", cwd=cwd)


def test_a_script_without_fault_runs_as_it_would_alone(script) -> None:
    path = script(RIGHT)
    result = run(path, "--epochs", "3", "--lang", "x", "-m")
    alone = subprocess.run([sys.executable, path, "--epochs", "3", "--lang", "x", "-m"], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, alone.stdout)
    assert result.stdout == "arguments --epochs 3 --lang x -m\n"
    assert result.stderr == "lossmith: nothing found in 4 calls of losses\n"


def test_a_finding_is_shown_when_it_comes_and_is_counted(script) -> None:
    path = script(WRONG, "print('end', file=sys.stderr)")
    result = run(path)
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    assert lines[0].startswith(f"{path}:{LINE}: LM101 softmax-into-cross-entropy (error): ")
    assert [line[:12] for line in lines[1:3]] == ["    evidence", "    write in"]
    assert lines[3:] == ["end", "lossmith: 1 error in 4 calls of losses"]


def test_json_is_alone_on_stdout(script) -> None:
    path = script(WRONG)
    result = run("--format", "json", path)
    assert result.returncode == 1
    data = json.loads(result.stdout)
    assert (data["calls"], data["exit_code"]) == (4, 0)
    (finding,) = data["findings"]
    assert list(finding) == ["where", "code", "rule", "severity", "message", "evidence", "fix"]
    assert (finding["where"], finding["code"]) == (f"{path}:{LINE}", "LM101")
    assert "arguments" in result.stderr


def test_chinese(script) -> None:
    result = run("--lang", "zh", script(WRONG))
    assert "依据：" in result.stderr and "改法：" in result.stderr
    assert result.stderr.splitlines()[-1] == "lossmith：共检查 4 次损失调用，发现 1 个 error"


@pytest.mark.parametrize(
    ("end", "code", "words"),
    [
        ("sys.exit(3)", 3, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit('stopped')", 1, "stopped"),
        ("raise ValueError('broken')", 1, "ValueError: broken"),
        ("raise KeyboardInterrupt", 130, "KeyboardInterrupt"),
    ],
)
def test_how_a_script_ends(script, end: str, code: int, words: str) -> None:
    result = run(script(RIGHT, end))
    assert result.returncode == code
    assert words in result.stderr
    assert result.stderr.endswith("lossmith: nothing found in 4 calls of losses\n")
    assert "check.py" not in result.stderr and "runpy" not in result.stderr
    assert run(script(WRONG, end)).returncode == 1


def test_modules_run_as_of_python_m(script, tmp_path: Path) -> None:
    script(WRONG)
    result = run("-m", "train", "one", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (1, "arguments one\n")


def test_a_script_without_losses_is_said_to_have_none(tmp_path: Path) -> None:
    path = tmp_path / "empty.py"
    path.write_text("")
    result = run(str(path))
    assert result.returncode == 0
    assert result.stderr.startswith("lossmith: no loss was computed")


def test_what_can_not_run(tmp_path: Path) -> None:
    for arguments in ((str(tmp_path / "none.py"),), ("--format", "xml", "train.py"), ()):
        assert run(*arguments).returncode == 2
    assert "no such file" in run("none.py").stderr


def test_classes_of_the_script_can_be_pickled(script) -> None:
    end = "import pickle\nclass A: pass\nassert isinstance(pickle.loads(pickle.dumps(A())), A)"
    assert run(script(RIGHT, end)).returncode == 0


def test_modes_that_the_script_leaves_behind(script) -> None:
    assert (
        run(script(RIGHT, "torch.set_default_device('cpu')\nimport lossmith\nlossmith.guard.enable()")).returncode == 0
    )
