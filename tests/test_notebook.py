"""The card of a Module in a notebook: its own settings, well-formed and escaped HTML, nothing from outside."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
import torch

import lossmith
from lossmith.criterion import Criterion
from lossmith.losses import all_losses

LOSSES = all_losses()
each = pytest.mark.parametrize("name", LOSSES)
VOID = {"br", "line", "path"}


class Reader(HTMLParser):
    """Reads tags and text; an end without its beginning is an error."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.text: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(html: str) -> tuple[str, Reader]:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return "".join(reader.text), reader


@each
def test_a_module_shows_its_card(name: str) -> None:
    loss = LOSSES[name]
    html = loss.module()._repr_html_()
    text, reader = read(html)
    assert text.startswith(loss.module.__name__)
    assert loss.card.summary.en in text
    for trap in loss.card.traps:
        assert trap.id in text
        assert trap.text.en.replace("`", "") in text
    assert re.search(r"\$\$\\ell.*?\$\$", text)
    assert ("<svg" in html) == (loss.card.curve is not None)
    assert not re.search(r"<script|<link|<img|url\(|@import", html)
    outside = [value for _, value in reader.attributes if value and "//" in value]
    assert set(outside) <= {"http://www.w3.org/2000/svg"}  # a name, not an address


def settings(module: torch.nn.Module) -> str:
    return read(module._repr_html_())[0]


def test_the_settings_are_the_instances() -> None:
    text = settings(lossmith.HuberLoss(delta=2.5, reduction="sum", weight=torch.ones(3)))
    assert "reduction='sum', delta=2.5, weight: (3,) float32, on_empty='nan'" in text
    assert "at most 2.5 with these settings; delta decides" in text
    assert "normalizer='count'" in settings(lossmith.NLLLoss(normalizer="count"))


def curve(module: torch.nn.Module) -> str:
    return module._repr_html_().partition("<svg")[2].partition("</svg>")[0]


def test_the_curve_is_the_instances() -> None:
    assert curve(lossmith.HuberLoss()) != curve(lossmith.HuberLoss(delta=2.0))
    assert ">3.5<" in curve(lossmith.HuberLoss())
    assert ">6<" in curve(lossmith.HuberLoss(delta=2.0))  # 2 (4 - 1)


def test_a_curve_has_no_break_inside_of_its_panel() -> None:
    for path in re.findall(r' d="(M[^"]*)"', curve(lossmith.HuberLoss())):
        numbers = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", path)]
        assert min(numbers) >= 0
        assert max(numbers) <= 540


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("HuberLoss", {"delta": -1.0}),  # the constructor takes it as torch's does; each call refuses it
        ("HuberLoss", {"delta": float("inf")}),
        ("BCEWithLogitsLoss", {"pos_weight": torch.tensor([1.0, 2.0, 3.0])}),
        ("CrossEntropyLoss", {"weight": torch.ones(7), "label_smoothing": 1.0}),
        ("MultiMarginLoss", {"p": 2}),
        ("PoissonNLLLoss", {"log_input": False, "full": "exact"}),
        ("TripletMarginWithDistanceLoss", {"distance_function": lambda u, v: (u - v).abs().sum(-1)}),
    ],
)
def test_any_settings_can_be_shown(module: str, arguments: dict[str, Any]) -> None:
    assert read(getattr(lossmith, module)(**arguments)._repr_html_())[0]


def test_a_setting_that_no_call_takes_is_said() -> None:
    assert "delta is -1.0, expected a number greater than 0" in settings(lossmith.HuberLoss(delta=-1.0))


def test_everything_is_escaped() -> None:
    class Distance:
        def __call__(self, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            return (u - v).norm(dim=-1)

        def __repr__(self) -> str:
            return "<script>alert('&')</script>"

    html = lossmith.TripletMarginWithDistanceLoss(distance_function=Distance())._repr_html_()
    assert "<script" not in html
    assert "<script>alert('&')</script>" in read(html)[0]


def test_a_module_of_ones_own_shows_its_repr() -> None:
    """None makes a notebook print it."""

    class Mine(Criterion):
        pass

    assert Mine()._repr_html_() is None


def test_a_subclass_shows_the_card_of_its_loss() -> None:
    class Mine(lossmith.HuberLoss):
        pass

    text = settings(Mine(delta=3.0))
    assert text.startswith("Mine")
    assert "delta=3.0" in text
    assert "Half the squared error" in text
