"""Files: what is read, what is passed over and why, imports among them, notebooks, and which folders are searched."""

import json
import os
from pathlib import Path

import pytest

from lossmith.lint.selection import BadRequest, Settings, files
from lossmith.lint.source import Source, Unreadable

from .made_up import checked, write

WRONG = "import torch.nn.functional as F\nF.cross_entropy(F.softmax(x, 1), y)\n"


def lines(folder: Path, contents: dict[str, str | bytes]) -> list[tuple[str, int]]:
    result = checked(folder, contents)
    assert result.passed_over == []
    return [(str(Path(finding.path).relative_to(folder)), finding.line) for finding in result.findings]


# ----- what can be read -----


@pytest.mark.parametrize(
    "content",
    [
        WRONG.encode(),
        b"\xef\xbb\xbf" + WRONG.encode(),
        WRONG.replace("\n", "\r\n").encode(),
        WRONG.replace("\n", "\r").encode(),
        WRONG.rstrip("\n").encode(),
        b"# -*- coding: latin-1 -*-\n# \xe9\n"
        + WRONG.split("\n", 1)[0].encode()
        + b"; F.nll_loss(F.softmax(x, 1), y)\n",
        "import torch.nn.functional as F  # 损失\nF.cross_entropy(F.softmax(x, 1), y)\n".encode("gbk").join(
            [b"# coding: gbk\n", b""]
        ),
    ],
    ids=["plain", "byte-order mark", "CRLF", "CR", "no newline at the end", "latin-1", "gbk"],
)
def test_it_is_read(content: bytes, tmp_path: Path) -> None:
    result = checked(tmp_path, {"code.py": content})
    assert (len(result.findings), result.passed_over) == (1, [])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"print 'loss'\n", "line 1: no Python 3 syntax"),
        (b"x = 1\ndef loss(:\n", "line 2: no Python 3 syntax"),
        (b"loss = 1\n\x00\n", "null bytes: no Python source"),
        (b"loss\xff\xfe\n", "invalid or missing encoding declaration"),
        (b"# coding: klingon\nloss = 1\n", "unknown encoding: klingon"),
        (b"pass\npass\nloss = '\xff'\n", "no utf-8 text"),
        (b"loss = " + b"(" * 500 + b")" * 500, "nested too deep"),
        (b"loss = " + b"[" * 100_000, "nested too deep"),
        (b"loss = " + b"-" * 100_000 + b"1", "nested too deep"),
        (b"loss = " + b"+".join([b"1"] * 100_000), "nested too deep"),
        (b"loss = a" + b".b" * 100_000, "nested too deep"),
        (b"loss = a" + b"()" * 100_000, "nested too deep"),
        (b"loss = a" + b"[0]" * 100_000, "nested too deep"),
        (
            b"loss = 1\n" + b"".join(b" " * i + b"if x:\n" for i in range(1500)) + b" " * 1500 + b"pass\n",
            "nested too deep",
        ),
        (b"if loss: pass\n" + b"elif x: pass\n" * 50_000, "nested too deep"),
        (b"loss = " + b"lambda: " * 50_000 + b"1", "nested too deep"),
        (b"loss = " + b"not " * 50_000 + b"1", "nested too deep"),
        (b"loss = " + b"1 if x else " * 50_000 + b"1", "nested too deep"),
        (b"loss = " + b"x = " * 50_000 + b"1", "nested too deep"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_it_is_passed_over(content: bytes, why: str, tmp_path: Path) -> None:
    result = checked(tmp_path, {"other.py": content, "code.py": WRONG})
    assert len(result.findings) == 1
    assert [reason for _, reason in result.passed_over] == [why]


def test_files_that_speak_of_no_loss_are_not_parsed(tmp_path: Path) -> None:
    assert checked(tmp_path, {"other.py": "this is no Python at all\n"}).passed_over == []


# ----- imports -----

NET = """\
import torch.nn as nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1))
    def forward(self, x):
        return self.layers(x)
"""
TRAIN = """\
import torch.nn as nn
{}
net, criterion = {}(), nn.CrossEntropyLoss()
for x, y in batches:
    loss = criterion(net(x), y)
"""


@pytest.mark.parametrize(
    ("statement", "name", "where", "train"),
    [
        ("from net import Net", "Net", "net.py", "train.py"),
        ("import net", "net.Net", "net.py", "train.py"),
        ("import net as n", "n.Net", "net.py", "train.py"),
        ("from net import *", "Net", "net.py", "train.py"),
        ("from net import Net as Model", "Model", "net.py", "train.py"),
        ("from models.net import Net", "Net", "models/net.py", "train.py"),
        ("from models import net", "net.Net", "models/net.py", "train.py"),
        ("import models.net", "models.net.Net", "models/net.py", "train.py"),
        ("from .net import Net", "Net", "pkg/net.py", "pkg/train.py"),
        ("from . import net", "net.Net", "pkg/net.py", "pkg/train.py"),
        ("from ..models.net import Net", "Net", "pkg/models/net.py", "pkg/scripts/train.py"),
        ("from pkg.models.net import Net", "Net", "pkg/models/net.py", "pkg/scripts/train.py"),
        ("from pkg.net import Net", "Net", "src/pkg/net.py", "tools/train.py"),
    ],
)
def test_import(statement: str, name: str, where: str, train: str, tmp_path: Path) -> None:
    assert lines(tmp_path, {train: TRAIN.format(statement, name), where: NET}) == [(train, 5)]


def test_import_through_a_package(tmp_path: Path) -> None:
    contents: dict[str, str | bytes] = {
        "train.py": TRAIN.format("from models import Net", "Net"),
        "models/__init__.py": "from .net import Net\n",
        "models/net.py": NET,
    }
    assert lines(tmp_path, contents) == [("train.py", 5)]
    contents["models/__init__.py"] = "from .net import *\n"
    assert lines(tmp_path, contents) == [("train.py", 5)]


def test_an_imported_file_is_read_though_it_is_not_checked(tmp_path: Path) -> None:
    write(tmp_path, {"net.py": NET + WRONG})
    assert lines(tmp_path, {"train.py": TRAIN.format("from net import Net", "Net")}) == [("train.py", 5)]


def test_a_file_shows_what_others_call_it_with(tmp_path: Path) -> None:
    contents: dict[str, str | bytes] = {
        "loop.py": "import torch\ndef train(net, loss_fn, x, y):\n    return loss_fn(net(x), y)\n",
        "main.py": "import torch.nn as nn\nfrom loop import train\nfrom net import Net\n"
        "def main(x, y):\n    train(Net(), nn.CrossEntropyLoss(), x, y)\n",
        "net.py": NET,
    }
    assert lines(tmp_path, contents) == [("loop.py", 3)]


def test_imports_in_a_circle(tmp_path: Path) -> None:
    contents: dict[str, str | bytes] = {
        "a.py": "import torch\nfrom b import loss\nfrom a import other\n" + WRONG,
        "b.py": "import torch\nfrom a import other\nfrom b import *\nloss = 1\n",
    }
    assert lines(tmp_path, contents) == [("a.py", 5)]


def test_a_folder_named_as_a_library_is_not_the_library(tmp_path: Path) -> None:
    contents: dict[str, str | bytes] = {"code.py": WRONG, "torch/nn/functional.py": "def softmax(x, dim): return x\n"}
    assert lines(tmp_path, contents) == [("code.py", 2)]


# ----- notebooks -----


def notebook(*cells: str | tuple[str, str]) -> str:
    found = [("code", cell) if isinstance(cell, str) else cell for cell in cells]
    content = [{"cell_type": kind, "source": text.splitlines(keepends=True)} for kind, text in found]
    return json.dumps({"cells": content, "nbformat": 4})


def test_a_notebook(tmp_path: Path) -> None:
    text = notebook(
        ("markdown", "# loss = softmax"),
        "%matplotlib inline\n!pip install torch\nimport torch.nn.functional as F",
        "%%bash\nrm loss",
        "p = F.softmax(x, 1)\n%time F.cross_entropy(p, y)\n\nF.cross_entropy(p, y)",
        "help?\nF.nll_loss(p, y)  # noqa",
    )
    (finding,) = checked(tmp_path, {"code.ipynb": text}).findings
    assert (finding.cell, finding.line, finding.column) == (4, 4, 1)
    assert finding.where.endswith("code.ipynb:cell 4:4:1")


@pytest.mark.parametrize(
    "content", ["loss", '{"cells": 3, "loss": 1}', '["loss"]', '{"loss": [}', "[" * 100_000 + "loss"]
)
def test_what_is_no_notebook(content: str, tmp_path: Path) -> None:
    assert [why for _, why in checked(tmp_path, {"code.ipynb": content}).passed_over] == ["no notebook"]


# ----- folders -----


def searched(folder: Path, settings: Settings | None = None) -> tuple[list[str], list[str]]:
    skipped: list[str] = []
    found = files([folder], lambda path: settings or Settings(folder), lambda path, why: skipped.append(path.name))
    return [str(path.relative_to(folder)) for path in found], skipped


def test_a_folder(tmp_path: Path) -> None:
    write(tmp_path, dict.fromkeys(["b.py", "a/c.pyi", "a/d.ipynb", "a/e.txt", "f.PY", ".git/g.py", "venv/h.py"], ""))
    write(tmp_path, dict.fromkeys(["mine/pyvenv.cfg", "mine/i.py", "node_modules/j.py", "a/__pycache__/k.py"], ""))
    assert searched(tmp_path) == (["a/c.pyi", "a/d.ipynb", "b.py"], [])


def test_links(tmp_path: Path) -> None:
    write(tmp_path, {"a/b.py": "", "c.py": ""})
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "again").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "nowhere.py").symlink_to(tmp_path / "missing.py")
    (tmp_path / "self.py").symlink_to(tmp_path / "self.py")
    found, skipped = searched(tmp_path)
    assert {"a/b.py", "c.py"} <= set(found)
    assert "again/b.py" not in found, "each file once"
    assert "up" in skipped


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may enter any folder")
def test_a_folder_that_may_not_be_entered(tmp_path: Path) -> None:
    write(tmp_path, {"closed/a.py": "", "b.py": ""})
    (tmp_path / "closed").chmod(0)
    try:
        assert searched(tmp_path) == (["b.py"], ["closed"])
    finally:
        (tmp_path / "closed").chmod(0o700)


def test_excluded(tmp_path: Path) -> None:
    write(tmp_path, dict.fromkeys(["a.py", "tests/b.py", "old/c.py", "old/d/e.py", "f_test.py"], ""))
    for patterns, expected in (
        (["tests"], ["a.py", "f_test.py", "old/c.py", "old/d/e.py"]),
        (["old/*", "*_test.py"], ["a.py", "tests/b.py"]),
        (["old/d/", "./tests"], ["a.py", "f_test.py", "old/c.py"]),
        (["*.py"], []),
    ):
        assert searched(tmp_path, Settings(tmp_path, exclude=tuple(patterns)))[0] == expected


def test_no_such_path(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"there is no file or folder '.*missing'"):
        files([tmp_path / "missing"], lambda path: Settings(tmp_path), lambda path, why: None)


def test_a_large_file(tmp_path: Path) -> None:
    (path,) = write(tmp_path, {"data.py": b"loss = '" + b"x" * 4_000_001 + b"'"})
    with pytest.raises(Unreadable, match="larger than 4 MB"):
        Source.read(path)
