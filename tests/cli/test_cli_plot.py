"""The command `lossmith plot`: pictures of losses side by side, and refusals that help."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib import font_manager
from matplotlib.image import imread
from typer.testing import CliRunner, Result

from lossmith import functional
from lossmith.cards import picture
from lossmith.cards.curves import adjustable, lines
from lossmith.cards.names import find
from lossmith.cli.app import app
from lossmith.losses import all_losses

DRAWN = [name for name, loss in all_losses().items() if loss.card.curve is not None]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["plot", *map(str, arguments)])


def words(svg: Path) -> str:
    """matplotlib draws text as paths, and names it in a comment before them."""
    return "\n".join(re.findall(r"<!-- (.*?) -->", svg.read_text("utf-8")))


def test_a_png(tmp_path: Path) -> None:
    file = tmp_path / "huber.png"
    result = run("huber", "mse", "-o", file)
    assert (result.exit_code, result.output) == (0, "")
    pixels = imread(file)
    assert pixels.shape[1] > pixels.shape[0] > 300  # two columns
    assert len({tuple(pixel) for pixel in pixels[::4, ::4].reshape(-1, pixels.shape[2]).tolist()}) > 10


def test_an_svg_has_the_words(tmp_path: Path) -> None:
    file = tmp_path / "huber.svg"
    result = run("huber", "l1", "--param", "delta=0.5,1,2", "--gradient", "-o", file)
    assert (result.exit_code, result.output) == (0, "")
    text = words(file)
    for word in ("HuberLoss", "L1Loss", "delta = 0.5", "delta = 1", "delta = 2", "loss", "gradient"):
        assert word in text, word
    assert "beta" not in text


@pytest.mark.parametrize("name", DRAWN)
def test_every_curve_can_be_drawn(tmp_path: Path, name: str) -> None:
    file = tmp_path / "loss.svg"
    assert run(name, "--gradient", "-o", file).exit_code == 0
    assert find(name).module.__name__ in words(file)


# what a parameter may be, where 0.5 and 1.5 are not
VARIED: dict[Any, list[Any]] = {
    "p": [1, 2],
    "label_smoothing": [0.0, 0.2],
    "quantiles": [0.1, 0.9],
    ("distillation_loss", "beta"): [0.1, 0.9],
    ("js_div", "beta"): [0.1, 0.9],
    ("js_div", "log_target"): [False],  # the curve's target is probabilities
    ("sigmoid_focal_loss", "alpha"): [0.25, 0.75],
}


@pytest.mark.parametrize("name", DRAWN)
def test_every_parameter_can_be_varied(name: str) -> None:
    loss = find(name)
    parameters = inspect.signature(loss.function).parameters
    for parameter in adjustable(loss):
        switch = isinstance(parameters[parameter].default, bool)
        values = VARIED.get((name, parameter)) or VARIED.get(parameter, [True, False] if switch else [0.5, 1.5])
        for value in values:
            assert lines(loss, {parameter: value}, points=5)


def test_lines_are_the_loss_with_the_parameter() -> None:
    (line,) = lines(find("huber"), {"delta": 0.5}, points=9)
    x = torch.linspace(-4, 4, 9, dtype=torch.float64)
    expected = functional.huber_loss(x, torch.zeros_like(x), delta=0.5, reduction="none")
    assert line.points == pytest.approx(x.tolist())
    assert line.values == pytest.approx(expected.tolist())
    assert line.slopes == pytest.approx(x.clamp(-0.5, 0.5).tolist())


def test_a_parameter_that_tells_the_cards_lines_apart_leaves_one() -> None:
    assert len(lines(find("cross_entropy"))) == 2
    (line,) = lines(find("cross_entropy"), {"label_smoothing": 0.5})
    assert line.label == ""


def test_a_positive_weight_is_a_number(tmp_path: Path) -> None:
    found = lines(find("bce_with_logits"), {"pos_weight": 10.0}, points=3)
    plain = lines(find("bce_with_logits"), points=3)
    assert found[0].values == pytest.approx([10 * value for value in plain[0].values])
    assert found[1].values == pytest.approx(plain[1].values)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["hubert"], "there is no loss 'hubert'; did you mean huber?"),
        (["ctc"], "CTCLoss has no curve"),
        (["huber", "--param", "gamma=1"], "HuberLoss has no parameter 'gamma' to vary; there is: delta"),
        (["huber", "mse", "--param", "beta=1"], "HuberLoss and MSELoss has no parameter 'beta'"),
        (["huber", "--param", "delta"], "--param is 'delta', expected NAME=VALUE[,VALUE...]"),
        (["huber", "--param", "delta="], "expected NAME=VALUE[,VALUE...]"),
        (["huber", "--param", "delta=big"], "'big' is neither a number nor true or false"),
        (["huber", "--param", "delta=__import__('os')"], "is neither a number nor true or false"),
        (["huber", "--param", "delta=-1"], "delta is -1, expected a number greater than 0"),
        (["huber", "--param", "reduction=1"], "has no parameter 'reduction'"),
    ],
)
def test_what_can_not_be_drawn_is_one_line_and_exit_code_2(tmp_path: Path, arguments: list[str], said: str) -> None:
    file = tmp_path / "loss.png"
    result = run(*arguments, "-o", file)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert said in result.stderr
    assert result.stderr.startswith("lossmith: ")
    assert result.stderr.count("\n") == 1
    assert not file.exists()


@pytest.mark.parametrize("name", ["loss.jpg", "loss", "loss.pdf", "no/such/folder/loss.png"])
def test_files_that_can_not_be_written(tmp_path: Path, name: str) -> None:
    result = run("huber", "-o", tmp_path / name)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert ("expected .png or .svg" in result.stderr) != ("there is no folder" in result.stderr)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "loss.png").mkdir()
    result = run("huber", "-o", tmp_path / "loss.png")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "can't be written" in result.stderr


def test_without_a_chinese_font_labels_are_english(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "chinese_font", lambda: None)
    file = tmp_path / "huber.svg"
    result = run("huber", "--lang", "zh", "-o", file)
    assert result.exit_code == 0
    assert "no Chinese font is installed, so the labels are English" in result.stderr
    assert "loss" in words(file)


def test_a_chinese_font_is_used_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its glyphs may be missing here, but the words are asked for in its name."""
    asked: list[object] = []
    monkeypatch.setattr(picture, "chinese_font", lambda: "DejaVu Sans Mono")
    real = picture.rc_context
    monkeypatch.setattr(picture, "rc_context", lambda settings: asked.append(settings) or real(settings))
    file = tmp_path / "huber.svg"
    with pytest.warns(UserWarning, match="missing from font"):
        assert run("huber", "--lang", "zh", "-o", file).exit_code == 0
    assert "损失" in words(file)
    assert asked[0]["font.sans-serif"][0] == "DejaVu Sans Mono"


def test_a_font_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = font_manager.FontEntry(fname="/x.ttf", name="WenQuanYi Zen Hei")
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [entry])
    assert picture.chinese_font() == "WenQuanYi Zen Hei"
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [])
    assert picture.chinese_font() is None


def test_help_names_every_option() -> None:
    text = run("--help").stdout
    assert all(option in text for option in ("--param", "--gradient", "--output", "--lang"))
