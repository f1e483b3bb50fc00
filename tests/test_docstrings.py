"""Docstrings of Modules are composed of their own, their function's and their card; parts are found again."""

import inspect
import os
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from docutils.core import publish_doctree
from docutils.nodes import literal, system_message
from docutils.parsers.rst import roles

import lossmith
from lossmith.docstring import Docstring, entries, plain, restructured
from lossmith.losses import all_losses

LOSSES = all_losses()
each = pytest.mark.parametrize("name", LOSSES)


def flat(text: str) -> str:
    return " ".join(text.split())


@each
def test_help_tells_everything(name: str) -> None:
    loss = LOSSES[name]
    function = Docstring.of(loss.function)
    text = flat(pydoc.plain(pydoc.render_doc(loss.module)).replace("|  ", ""))
    for part in (function.latex, function.body, function.errors, loss.card.input, loss.card.target):
        assert flat(part) in text, part
    for words in (loss.card.summary, *loss.card.use, *loss.card.avoid, *(trap.text for trap in loss.card.traps)):
        assert flat(restructured(words.en)) in text
    for trap in loss.card.traps:
        assert f"- {trap.id}: " in text
    assert ">>> " in text


@each
def test_the_example_is_the_modules_own_and_stands_there_once(name: str) -> None:
    """The function's is run with the function."""
    composed = Docstring.of(LOSSES[name].module)
    assert f"lossmith.{LOSSES[name].module.__name__}" in composed.example
    assert Docstring.of(LOSSES[name].function).example not in inspect.getdoc(LOSSES[name].module)
    assert inspect.getdoc(LOSSES[name].module).count(composed.example) == 1


@each
def test_a_composed_docstring_is_restructured_text(name: str) -> None:
    for role in ("func", "class", "doc", "math"):
        roles.register_local_role(role, lambda name, raw, text, *_, **__: ([literal(raw, text)], []))
    sections = re.compile(r"^(Args|Raises):\n", re.M)  # napoleon's; to docutils they are shown as code
    text = sections.sub(r"\1::\n\n", inspect.getdoc(LOSSES[name].module) or "")
    tree = publish_doctree(text, settings_overrides={"report_level": 2, "warning_stream": False})
    assert [message.astext() for message in tree.findall(system_message)] == []


def test_it_is_made_when_asked_for_and_kept() -> None:
    assert lossmith.HuberLoss.__doc__ is lossmith.HuberLoss.__doc__
    assert lossmith.HuberLoss().__doc__ is lossmith.HuberLoss.__doc__


def test_a_subclass_has_its_own() -> None:
    class Mine(lossmith.HuberLoss):
        """Mine."""

    class Bare(lossmith.HuberLoss):
        pass

    assert Mine.__doc__ == "Mine."
    assert Bare.__doc__ is None
    assert torch.nn.HuberLoss.__doc__ != lossmith.HuberLoss.__doc__


def test_parts_of_a_docstring() -> None:
    found = Docstring.parse(
        """First words,
        in two lines.

        .. math::
            a \\\\
            b

        A note on :math:`x` and ``y``, see :doc:`/reductions` and :func:`lossmith.functional.l1_loss`.

        Source: somebody.

        Args:
            x, y: two
                lines.
            z: one.

        Raises:
            ValueError: never.

        >>> 1
        1
        """
    )
    assert found.summary == "First words,\nin two lines."
    assert found.latex == "a \\\\ b"
    assert found.notes == ["A note on $x$ and `y`, see `docs/reductions.md` and `lossmith.functional.l1_loss`."]
    assert entries(found.arguments) == [("x, y", "two lines."), ("z", "one.")]
    assert entries(found.errors) == [("ValueError", "never.")]
    assert found.example == ">>> 1\n1"
    assert Docstring.parse("") == Docstring("", "", "", "", "")
    assert entries("") == []


def test_signs_of_restructured_text_mean_themselves() -> None:
    assert restructured("(N, *) and $x * y$ and a_ and `b`") == r"(N, \*) and :math:`x * y` and a\_ and \`b\`"
    assert plain(":math:`x`  and\n ``y``") == "$x$ and `y`"


def _python(*arguments: str) -> str:
    source = Path(lossmith.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(source), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, check=True)
    return done.stdout


def test_composing_needs_the_core_alone() -> None:
    asks = "print([name for name in ('rich', 'pylatexenc', 'lossmith.cards') if name in sys.modules])"
    assert _python("-c", f"import sys, lossmith; lossmith.HuberLoss.__doc__; {asks}") == "[]\n"


def test_without_docstrings_there_is_none() -> None:
    assert _python("-OO", "-c", "import lossmith; print(lossmith.HuberLoss.__doc__)") == "None\n"
