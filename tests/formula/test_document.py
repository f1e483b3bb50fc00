"""docs/formula-language.md: its examples run in their order, and its table of words is the language's."""

import doctest
import linecache
import re
from pathlib import Path

from lossmith.formula.vocabulary import WORDS

PAGE = Path(__file__).parents[2] / "docs" / "formula-language.md"


def test_examples():
    namespace: dict = {"__name__": "page"}
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    said: list[str] = []
    for number, block in enumerate(blocks):
        file = f"<{PAGE.name}, block {number}>"
        if block.startswith(">>>"):
            test = doctest.DocTestParser().get_doctest(block, namespace, file, str(PAGE), 0)
            runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
            assert not runner.run(test, out=said.append, clear_globs=False).failed, "".join(said)
            namespace.update(test.globs)
        else:
            linecache.cache[file] = (len(block), None, block.splitlines(keepends=True), file)
            exec(compile(block, file, "exec"), namespace)
    assert len(blocks) >= 6


def test_words():
    _, _, section = PAGE.read_text().partition("## Words")
    rows = re.findall(r"^\| `(\w+)\((.*?)\)` \| (.*) \|$", section.partition("##")[0], re.MULTILINE)
    assert rows == [(name, word.arguments, word.meaning.replace("|", r"\|")) for name, word in WORDS.items()]
