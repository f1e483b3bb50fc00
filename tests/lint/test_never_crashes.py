"""Whatever the file: it is checked, or named as passed over. Python's own library, mutated, and made-up text."""

import keyword
import os
import random
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossmith.lint.check import Checked, Checker
from lossmith.losses import all_losses
from lossmith.rules import all_rules

from .made_up import write

RULES = list(all_rules().values())
EVERY = os.environ.get("LOSSMITH_TESTS") == "all"
LIBRARY = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")) + sorted(
    Path(sysconfig.get_paths()["stdlib"], "asyncio").glob("*.py")
)
KEYWORDS = [*keyword.kwlist, "match", "case", "self", "super().__init__()", "x", "loss", "0", "1.5e3", "'a'", "f'{x}'"]
CALLS = [
    "nn.CrossEntropyLoss()",
    "F.cross_entropy(",
    "F.softmax(x, 1)",
    ".softmax(1)",
    "nn.Sequential(",
    "nn.Softmax()",
]
SIGNS = [*"()[]{},:;.*@=#", "+=", ":=", "==", "**", "->", "...", "\n", "\n    ", "\n\t", "# noqa", "'''", "\\\n"]


def checked(folder: Path, files: Mapping[str, str | bytes]) -> Checked:
    paths = write(folder, files)
    return Checker(RULES, paths).check(paths)


@pytest.mark.parametrize("path", LIBRARY if EVERY else LIBRARY[::12], ids=lambda path: path.name)
def test_the_standard_library(path: Path, tmp_path: Path) -> None:
    """As it is, and with lines left out, doubled, moved and indented; each speaks of a loss, so that it is read."""
    source = random.Random(path.name)
    lines = path.read_text("utf-8", errors="replace").splitlines()[:400]
    files: dict[str, str | bytes] = {"plain.py": "\n".join(lines) + "\nloss = 1\n"}
    for number in range(3):
        changed = list(lines)
        for _ in range(source.randint(1, 6)):
            at, other = source.randrange(len(changed)), source.randrange(len(changed))
            change = source.choice(["drop", "double", "swap", "indent", "cut", "loss"])
            if change == "drop" and len(changed) > 2:
                del changed[at]
            elif change == "double":
                changed.insert(at, changed[other % len(changed)])
            elif change == "swap":
                changed[at], changed[other % len(changed)] = changed[other % len(changed)], changed[at]
            elif change == "indent":
                changed[at] = "    " + changed[at]
            elif change == "cut":
                changed[at] = changed[at][: len(changed[at]) // 2]
            else:
                changed.insert(at, changed[at][: len(changed[at]) - len(changed[at].lstrip())] + "loss = loss(x, y)")
        files[f"changed{number}.py"] = "\n".join(changed) + "\nloss = 1\n"
    checked(tmp_path, files)


@given(text=st.lists(st.sampled_from([*KEYWORDS, *CALLS, *SIGNS]), max_size=60).map(" ".join))
def test_words(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    checked(tmp_path_factory.mktemp("words"), {"code.py": f"loss = 1\n{text}\n"})


@given(content=st.binary(max_size=200), name=st.sampled_from(["code.py", "code.ipynb"]))
def test_bytes(content: bytes, name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    checked(tmp_path_factory.mktemp("bytes"), {name: b"loss" + content})


LOSSES = list(all_losses())
MODULES = [loss.module.__name__ for loss in all_losses().values()]
EXPRESSIONS = st.recursive(
    st.sampled_from(
        ["x", "self", "nn", "F.softmax", "nn.CrossEntropyLoss", "3", "'a'", "[]", "{}", "()", "None", "Net"]
    ),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("{0[0]}({0[1]})".format),
        st.tuples(inner, inner, inner).map("{0[0]}({0[1]}, *{0[2]})".format),
        st.tuples(inner, inner).map("{0[0]}(**{0[1]}, k={0[1]})".format),
        st.tuples(inner, inner).map("{0[0]}[{0[1]}]".format),
        st.tuples(inner, inner).map("{0[0]}[{0[1]}:, ..., None, -1]".format),
        st.tuples(inner, st.sampled_from(["softmax", "append", "forward", "items", "add_module", "T", "backward"])).map(
            "({0[0]}).{0[1]}".format
        ),
        st.tuples(inner, st.sampled_from(["+", "*", "@", "%", "**", "==", "<", "and", "or", "in", "is"]), inner).map(
            "({0[0]} {0[1]} {0[2]})".format
        ),
        st.tuples(inner, inner, inner).map("({0[0]} if {0[1]} else {0[2]})".format),
        st.tuples(inner, inner).map("[{0[0]}, *{0[1]}]".format),
        st.tuples(inner, inner).map("{{'a': {0[0]}, **{0[1]}}}".format),
        st.tuples(inner, inner).map("[{0[0]} for x in {0[1]}]".format),
        inner.map("(lambda x, *a, y=1, **k: {0})".format),
        st.tuples(inner, inner).map("nn.Sequential({0[0]}, {0[1]})".format),
        st.tuples(inner, st.sampled_from(LOSSES), inner).map("F.{0[1]}({0[0]}, {0[2]})".format),
        st.tuples(inner, st.sampled_from(MODULES), inner).map("nn.{0[1]}({0[0]})({0[2]}, {0[0]})".format),
    ),
    max_leaves=12,
)
STATEMENTS = st.one_of(
    EXPRESSIONS,
    EXPRESSIONS.map("x = y = {0}".format),
    EXPRESSIONS.map("x, (y, *z) = {0}".format),
    EXPRESSIONS.map("x.y[0].z = {0}".format),
    EXPRESSIONS.map("x[1] += {0}".format),
    EXPRESSIONS.map("for x in {0}:\n    loss = loss(x)\n    if x: break\nelse: pass".format),
    EXPRESSIONS.map("while {0}:\n    x = x(x)\n    continue".format),
    EXPRESSIONS.map("if {0}:\n    x = nn.Softmax()\nelse:\n    x = [x]".format),
    EXPRESSIONS.map("def Net(x, /, y={0}, *z, k=2, **w):\n    nonlocal_ = yield x\n    return {0}".format),
    EXPRESSIONS.map("class Net({0}, nn.Module):\n    x: int = {0}\n    def forward(self, x): return {0}".format),
    EXPRESSIONS.map("with {0} as x, x as (y, z):\n    return_ = {0}".format),
    EXPRESSIONS.map("try:\n    x = {0}\nexcept (A, B) as y:\n    raise\nfinally:\n    x = {0}".format),
    EXPRESSIONS.map("match {0}:\n    case [x, *_]:\n        y = x\n    case {{'a': x}}:\n        y = {0}".format),
)


@given(statements=st.lists(STATEMENTS, max_size=6))
def test_programs(statements: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    head = "import torch, torch.nn as nn, torch.nn.functional as F\nloss = nn.MSELoss()\n"
    result = checked(tmp_path_factory.mktemp("programs"), {"code.py": head + "\n".join(statements) + "\n"})
    assert result.passed_over == []
