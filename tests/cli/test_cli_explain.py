"""The command `lossmith explain`: the whole card, a drawing, an example that runs, and helpful refusals."""

import doctest
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.cells import cell_len
from typer.testing import CliRunner, Result

import lossmith
from lossmith.cards import example
from lossmith.cards.mathematics import Unreadable, display, inline
from lossmith.cards.terminal import wrapped
from lossmith.cli.app import app
from lossmith.docstring import Docstring
from lossmith.losses import all_losses

LOSSES = all_losses()
each = pytest.mark.parametrize("name", LOSSES)
both = pytest.mark.parametrize("language", ["en", "zh"])


@pytest.fixture(autouse=True)
def plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["explain", *arguments])


@cache
def shown(name: str, language: str) -> str:
    """What is printed; made once for all tests that look at it."""
    result = run(name, "--lang", language)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


@cache
def data(*arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout, parse_constant=pytest.fail)  # no NaN, no Infinity


def squeezed(text: str) -> str:
    """Without spaces and ends of lines, which wrapping moves."""
    return "".join(text.split())


@each
@both
def test_the_card_is_shown_whole(name: str, language: str) -> None:
    printed, card = squeezed(shown(name, language)), LOSSES[name].card
    texts = [card.title, card.summary, card.gradient, card.robustness, card.sparsity, card.smoothness]
    texts += [card.sensitivity, card.minimiser, card.stability, card.activation, *card.use, *card.avoid]
    texts += [trap.text for trap in card.traps] + [sibling.text for sibling in card.siblings]
    for text in texts:
        assert squeezed(inline(text(language))) in printed, text(language)
    rules = [trap.rule for trap in card.traps if trap.rule]
    for word in (*(trap.id for trap in card.traps), *rules, *card.sources, *card.aliases, card.input, card.target):
        assert squeezed(word) in printed, word


@each
@both
def test_lines_fit(name: str, language: str) -> None:
    text, _, code = shown(name, language).partition(">>> ")
    assert max(cell_len(line.rstrip()) for line in text.splitlines()) <= 100
    assert code


@each
@both
def test_json_holds_everything(name: str, language: str) -> None:
    found, loss = data(name, "--lang", language), LOSSES[name]
    assert found["loss"] == loss.module.__name__
    assert found["function"] == name
    assert found["summary"] == loss.card.summary(language)
    assert found["definition"] in " ".join((loss.function.__doc__ or "").split())
    assert set(found["formulas"]) == {formula.name for formula in loss.formulas}
    assert [trap["id"] for trap in found["traps"]] == [trap.id for trap in loss.card.traps]
    assert found["traps"][0]["text"] == loss.card.traps[0].text(language)
    assert [sibling["loss"] for sibling in found["siblings"]] == [sibling.loss for sibling in loss.card.siblings]
    assert found["errors"]
    assert found["arguments"]
    assert all(found[key] is not None for key in found)


@each
def test_the_example_is_executed_and_prints_what_the_docstring_says(name: str) -> None:
    steps = data(name, "--lang", "en")["example"]
    expected = doctest.DocTestParser().get_examples(Docstring.of(LOSSES[name].function).example)
    assert [step["code"] for step in steps] == [one.source.rstrip("\n") for one in expected]
    checker = doctest.OutputChecker()
    for step, one in zip(steps, expected, strict=True):
        got = step["output"] + "\n" if step["output"] else ""
        want = one.want if one.exc_msg is None else one.exc_msg
        assert checker.check_output(want, got, doctest.NORMALIZE_WHITESPACE), f"{step['code']}: {got!r}, not {want!r}"


def test_the_example_is_executed_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not copied: a changed loss prints a changed number."""
    right = lossmith.functional.huber_loss
    monkeypatch.setattr(lossmith.functional, "huber_loss", lambda *a, **k: right(*a, **k) + 1)
    assert "3.2525" in [step.output for step in example.run(LOSSES["huber_loss"])]


def test_an_example_leaves_the_random_numbers_as_they_were() -> None:
    before = torch.get_rng_state()
    for loss in LOSSES.values():
        example.run(loss)
    assert torch.equal(before, torch.get_rng_state())


def test_tested_facts_are_told() -> None:
    english, chinese = data("huber")["facts"], data("huber", "--lang", "zh")["facts"]
    assert english["convex"] == "yes, in the prediction"
    assert english["norm of a term's gradient"] == "at most 1 with these settings; delta decides"
    assert english["best constant prediction"] == "between the median and the mean of the targets"
    assert english["mean divides by"] == "the number of elements"
    assert list(chinese) != list(english)
    assert len(chinese) == len(english)
    assert data("mse")["facts"]["norm of a term's gradient"] == "unbounded"
    assert data("l1")["facts"]["gradient"] == "jumps at a kink"
    assert data("cosine_embedding")["facts"]["convex"] == "no"
    assert data("bce")["facts"]["values of the target"] == "[0, 1]"


def test_the_drawing_shows_the_curve() -> None:
    """Of Huber: from 3.5 down to 0 and up again, the slope from -1 to 1."""
    rows = shown("huber", "en").partition("Curve\n")[2].partition("Gradient\n")[0].splitlines()
    assert re.search(r"\bloss +gradient$", rows[0].rstrip())
    assert re.search(r"3\.5┤.* 1┤", rows[1])
    assert re.search(r" 0┤.* -1┤", rows[9])
    assert rows[12].split() == ["error", "x", "-", "y"]
    dots = [[ord(sign) - 0x2800 for sign in row.partition("┤")[2] or row.partition("│")[2]] for row in rows[1:10]]
    assert all(any(0 < dot < 256 for dot in row) for row in dots)  # neither curve has a gap between rows


def test_long_labels_get_a_drawing_below_the_other() -> None:
    text = shown("cross_entropy", "en").partition("Curve\n")[2].partition("Gradient\n")[0]
    assert text.count("label_smoothing = 0.1") == 2
    assert text.index("loss\n" if "loss\n" in text else "loss") < text.index("gradient")


@pytest.mark.parametrize("width", ["40", "60", "200"])
def test_any_width_will_do(monkeypatch: pytest.MonkeyPatch, width: str) -> None:
    monkeypatch.setenv("COLUMNS", width)
    for name in ("huber", "cross_entropy", "bce_with_logits", "ctc"):
        assert run(name).exit_code == 0


@pytest.mark.parametrize("name", ["HuberLoss", "huber", "nn.HuberLoss", "torch.nn.functional.huber_loss", "HUBER-LOSS"])
def test_names(name: str) -> None:
    assert data(name)["loss"] == "HuberLoss"


def test_an_unknown_name_is_one_line_and_exit_code_2() -> None:
    for arguments in (["hubert"], ["hubert", "--json"]):
        result = run(*arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == "lossmith: there is no loss 'hubert'; did you mean huber?\n"


@pytest.mark.parametrize(
    ("latex", "lines"),
    [
        (r"\frac{a + b}{c}", ["a + b", "─────", "  c"]),
        (r"x_1^2", ["x₁²"]),
        (r"e^{-x}", ["e⁻ˣ"]),
        (r"\sum_{c \in Y} p_c", ["  ∑   p_c", "c ∈ Y"]),
        (r"\begin{cases} a & x < 0 \\ bc & \text{otherwise} \end{cases}", ["⎧a   x < 0", "⎩bc  otherwise"]),
        (r"a = b \qquad c = d", ["a = b", "c = d"]),
        (r"\left|{r}\right| \le \sqrt{x}", ["│r│ ≤ √x"]),
    ],
)
def test_mathematics(latex: str, lines: list[str]) -> None:
    assert display(latex) == lines


@pytest.mark.parametrize(
    ("latex", "line"),
    [
        (r"\frac{x-y}{2\sigma}", "(x-y)/(2σ)"),
        (r"\frac{1}{2} x", "½ x"),
        (r"e^{x - y}", "e^(x - y)"),
        (r"\sum_c q_c", "∑_c q_c"),
    ],
)
def test_mathematics_in_a_line(latex: str, line: str) -> None:
    assert inline(f"so ${latex}$.") == f"so {line}."


def test_unknown_latex_is_refused() -> None:
    with pytest.raises(Unreadable, match="nosuchsign"):
        inline(r"$\nosuchsign x$")


def test_chinese_is_wrapped_between_signs() -> None:
    text = "误差不超过阈值 delta 时，取平方误差的一半；超过后按线性增长。"
    for width in range(8, 40):
        lines = wrapped(text, width).splitlines()
        assert squeezed("".join(lines)) == squeezed(text)
        assert not any(line[0] in "，；。" for line in lines)
        assert max(map(cell_len, lines)) <= width


def _python(code: str) -> subprocess.CompletedProcess[str]:
    source = Path(lossmith.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(source), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)


def test_the_extra_cli_is_enough() -> None:
    hidden = "import sys\nfor name in ('polars', 'sklearn', 'scipy', 'matplotlib'): sys.modules[name] = None\n"
    done = _python(f"{hidden}from lossmith.cli import main\nsys.argv = ['lossmith', 'explain', 'huber']\nmain()")
    assert done.returncode == 0, done.stderr
    assert "Half the squared error" in done.stdout


@pytest.mark.parametrize("missing", ["rich", "pylatexenc"])
def test_a_missing_extra_is_named(missing: str) -> None:
    hidden = f"import sys\nfrom lossmith.cli import app, main\nsys.modules['{missing}'] = None\n"
    forget = f"for name in [n for n in sys.modules if n.startswith('{missing}.')]: sys.modules[name] = None\n"
    done = _python(f"{hidden}{forget}sys.argv = ['lossmith', 'explain', 'huber']\nmain()")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].endswith("install it with: pip install 'lossmith[cli]'")
