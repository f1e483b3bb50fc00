"""Comments that silence a finding, and those that do not."""

from pathlib import Path

import pytest

from .made_up import checked

HEAD = "import torch.nn.functional as F\n"
CALL = "F.cross_entropy(F.softmax(x, 1), y)"


@pytest.mark.parametrize(
    "comment",
    [
        "# noqa",
        "#noqa",
        "# NOQA",
        "# noqa: LM999",
        "# noqa:LM999",
        "# noqa : lm999",
        "# noqa: E501, LM999",
        "# noqa: LM999 E501",
        "# noqa: E501,LM999,F401",
        "# noqa: made-up",
        "# lossmith: noqa",
        "# lossmith: noqa: LM999",
        "# teacher's probabilities  # noqa: LM999",
        "# type: ignore # noqa: LM999 because the paper does it",
    ],
)
def test_silenced(comment: str, tmp_path: Path) -> None:
    assert checked(tmp_path, {"code.py": f"{HEAD}{CALL}  {comment}\n"}).findings == []


@pytest.mark.parametrize(
    "comment", ["# noqa: E501", "# noqa: LM998", "# nothing", "# noqa: LM99", "# ruff: noqa: E501"]
)
def test_not_silenced(comment: str, tmp_path: Path) -> None:
    assert len(checked(tmp_path, {"code.py": f"{HEAD}{CALL}  {comment}\n"}).findings) == 1


def test_any_line_of_the_call(tmp_path: Path) -> None:
    code = HEAD + "F.cross_entropy(\n    F.softmax(x, 1),{}\n    y,\n){}\n{}\n"
    for comments in (("  # noqa", "", ""), ("", "  # noqa", "")):
        assert checked(tmp_path, {"code.py": code.format(*comments)}).findings == []
    assert len(checked(tmp_path, {"code.py": code.format("", "", "# noqa")}).findings) == 1


def test_one_line_alone(tmp_path: Path) -> None:
    (finding,) = checked(tmp_path, {"code.py": f"{HEAD}{CALL}  # lossmith: noqa\n{CALL}\n"}).findings
    assert finding.line == 3


@pytest.mark.parametrize(("comment", "count"), [("", 0), (": LM999", 0), (": made-up", 0), (": LM998", 2)])
def test_a_whole_file(comment: str, count: int, tmp_path: Path) -> None:
    code = f"{HEAD}{CALL}\n{CALL}\n# lossmith: noqa{comment}\n"
    assert len(checked(tmp_path, {"code.py": code}).findings) == count
