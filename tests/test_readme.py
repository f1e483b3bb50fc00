"""The tour in the READMEs runs, and both languages show the same code."""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
READMES = ["README.md", "README.zh-CN.md"]


@pytest.mark.parametrize("name", READMES)
def test_the_tour_runs(name):
    result = doctest.testfile(str(ROOT / name), module_relative=False, encoding="utf-8")
    assert result.attempted > 10
    assert result.failed == 0


def test_the_chinese_readme_shows_the_same_code():
    english, chinese = (re.findall(r"```\w+\n(.*?)```", (ROOT / name).read_text("utf-8"), re.S) for name in READMES)
    without_comments = [re.sub(r" +#.*", "", block) for block in english]
    assert without_comments == [re.sub(r" +#.*| --lang zh", "", block) for block in chinese]
