"""The places that speak of a loss: calls, constructors, assignments, backward(), and the settings there."""

from pathlib import Path

import pytest

from lossmith.losses import all_losses
from lossmith.rule import Site

from .made_up import sites

HEAD = "import torch, lossmith\nfrom torch import nn\nimport torch.nn.functional as F\n"


def of_kind(kind: str, code: str, folder: Path) -> list[Site]:
    return [place[0] for place in sites(folder, HEAD + code) if place[0].kind == kind]


@pytest.mark.parametrize(
    ("code", "settings"),
    [
        ("nn.KLDivLoss()", {"reduction": "mean", "log_target": False}),
        ("nn.KLDivLoss(reduction='batchmean')", {"reduction": "batchmean"}),
        ("nn.KLDivLoss(None, None, 'sum')", {"reduction": "sum"}),
        ("nn.KLDivLoss(size_average=False)", {"reduction": "sum"}),
        ("nn.KLDivLoss(False)", {"reduction": "sum"}),
        ("nn.KLDivLoss(size_average=True)", {"reduction": "mean"}),
        ("nn.KLDivLoss(reduce=False)", {"reduction": "none"}),
        ("nn.KLDivLoss(reduction=unknown)", {"reduction": ...}),
        ("nn.KLDivLoss(size_average=unknown)", {"reduction": ...}),
        ("nn.KLDivLoss(**unknown)", {"reduction": ..., "log_target": ...}),
        ("nn.KLDivLoss(**{'reduction': 'sum'})", {"reduction": "sum", "log_target": False}),
        ("nn.CosineEmbeddingLoss(1.5)", {"margin": 1.5, "reduction": "mean"}),
        ("nn.CosineEmbeddingLoss(margin=-0.5)", {"margin": -0.5}),
        ("m = 2\nnn.CosineEmbeddingLoss(margin=m * 0.5)", {"margin": 1.0}),
        ("lossmith.KLDivLoss(normalizer='count')", {"reduction": "mean", "normalizer": "count"}),
        ("nn.CrossEntropyLoss(weight=torch.ones(3))", {"weight": ..., "ignore_index": -100}),
    ],
)
def test_settings_of_a_constructor(code: str, settings: dict[str, object], tmp_path: Path) -> None:
    (site,) = of_kind("constructor", code, tmp_path)
    assert {name: site.settings[name] for name in settings} == settings
    assert site.own == code.startswith("lossmith")


@pytest.mark.parametrize(
    ("code", "settings"),
    [
        ("F.kl_div(a, b)", {"reduction": "mean"}),
        ("F.kl_div(a, b, None, None, 'sum')", {"reduction": "sum"}),
        ("F.kl_div(a, b, size_average=False)", {"reduction": "sum"}),
        ("F.kl_div(a, b, reduction='batchmean', log_target=True)", {"reduction": "batchmean", "log_target": True}),
        ("F.kl_div(a, b, **unknown)", {"reduction": ...}),
        ("nn.KLDivLoss(reduction='sum')(a, b)", {"reduction": "sum"}),
        ("c = nn.KLDivLoss()\nc.reduction = 'sum'\nc(a, b)", {"reduction": "sum"}),
        ("torch.kl_div(a, b)", {"reduction": "mean"}) if hasattr(__import__("torch"), "kl_div") else
        ("F.kl_div(input=a, target=b)", {"reduction": "mean"}),
    ],
)  # fmt: skip
def test_settings_of_a_call(code: str, settings: dict[str, object], tmp_path: Path) -> None:
    (site,) = of_kind("call", code, tmp_path)
    assert {name: site.settings[name] for name in settings} == settings
    assert site.functional == ("Loss" not in code)


@pytest.mark.parametrize("name", all_losses())
def test_every_loss_is_met_by_its_names(name: str, tmp_path: Path) -> None:
    loss = all_losses()[name]
    module = loss.module.__name__
    code = f"lossmith.functional.{name}(a, b, c, d)\nlossmith.{module}()\n"
    import torch

    if hasattr(torch.nn, module):
        code += f"nn.{module}()\nF.{name}(a, b, c, d)\n"
    found = sites(tmp_path, HEAD + code)
    assert [place[0].loss for place in found] == [name] * code.count("\n")
    assert all(place[0].arguments.keys() >= set(loss.prediction) for place in found if place[0].kind == "call")


def test_arguments_by_position_and_by_name(tmp_path: Path) -> None:
    code = "nn.TripletMarginLoss()(a, negative=n, positive=p)\nF.gaussian_nll_loss(m, t, v)\n"
    triplet, gaussian = of_kind("call", code, tmp_path)
    assert {key: known.name for key, known in triplet.arguments.items()} == {
        "anchor": "a",
        "positive": "p",
        "negative": "n",
    }
    assert {key: known.name for key, known in gaussian.arguments.items()} == {"input": "m", "target": "t", "var": "v"}


def test_arguments_that_are_not_given_are_unknown(tmp_path: Path) -> None:
    one, other = of_kind("call", "F.cross_entropy(*unknown)\nF.cross_entropy()\n", tmp_path)
    assert {known.op for site in (one, other) for known in site.arguments.values()} == {""}


def test_tensors_in_a_constructor(tmp_path: Path) -> None:
    code = "nn.MSELoss(a, b)\nnn.MSELoss()\nnn.CrossEntropyLoss(weights, reduction='sum')\nnn.MSELoss(None, True)\n"
    found = of_kind("constructor", code, tmp_path)
    assert [{key: known.name for key, known in site.arguments.items()} for site in found] == [
        {"input": "a", "target": "b"},
        {},
        {"input": "weights"},
        {},
    ]


@pytest.mark.parametrize(
    ("code", "in_loop"),
    [
        ("loss = nn.MSELoss()\nfor a, b in data:\n    loss = loss(a, b)\n", [True]),
        ("for a, b in data:\n    loss = nn.MSELoss()\n    loss = loss(a, b)\n", [False]),
        ("loss = nn.MSELoss()\nloss = loss(a, b)\n", [False]),
        ("loss = nn.MSELoss()\nwhile True:\n    loss = loss(a, b)\n", [True]),
        ("for e in epochs:\n    loss = nn.MSELoss()\n    for a in data:\n        loss = loss(a, e)\n", [True]),
        ("def train(loss=nn.MSELoss()):\n    for a, b in data:\n        loss = loss(a, b)\n", [True]),
        ("def step(a, b, loss=nn.MSELoss()):\n    loss = loss(a, b)\n", [False]),
        ("mse_loss = F.mse_loss\nfor a, b in data:\n    mse_loss = mse_loss(a, b)\n", [True]),
        (
            "class T:\n    def __init__(self):\n        self.loss = nn.MSELoss()\n"
            "    def step(self, a, b):\n        self.loss = self.loss(a, b)\n",
            [True],
        ),
        ("criterion = nn.MSELoss()\nfor a, b in data:\n    loss = criterion(a, b)\n", []),
        ("for a, b in data:\n    loss = loss(a, b)\n", []),
    ],
)
def test_assignment(code: str, in_loop: list[bool], tmp_path: Path) -> None:
    assert [site.in_loop for site in of_kind("assignment", code, tmp_path)] == in_loop


@pytest.mark.parametrize(
    ("code", "detached"),
    [
        ("loss = F.mse_loss(nn.Linear(1, 1)(x), y)\nloss.backward()", [False]),
        ("loss = F.mse_loss(nn.Linear(1, 1)(x), y)\nloss = loss.detach()\nloss.backward()", [True]),
        ("loss = torch.tensor(F.mse_loss(model(x), y), requires_grad=True)\nloss.backward()", [True]),
        ("(F.mse_loss(model(x), y) + 0.1 * F.l1_loss(model(x).detach(), y)).mean().backward()", [False]),
        ("F.mse_loss(model(x).argmax(1).float(), y).backward()", [True]),
        ("total = 0\nfor x in data:\n    total = total + F.mse_loss(model(x), x)\ntotal.backward()", [False]),
        ("model(x).sum().backward()", []),
    ],
)
def test_backward(code: str, detached: list[bool], tmp_path: Path) -> None:
    assert [site.arguments["result"].detached for site in of_kind("backward", code, tmp_path)] == detached


def test_negated(tmp_path: Path) -> None:
    code = "-F.nll_loss(p, y)\n-1 * F.nll_loss(p, y)\nF.nll_loss(p, y) * -1.0\nF.nll_loss(p, y)\n1 - F.nll_loss(p, y)\n"
    assert [site.negated for site in of_kind("call", code, tmp_path)] == [True, True, True, False, False]


def test_alternatives(tmp_path: Path) -> None:
    code = "out = a.softmax(1) if flag else a\nF.mse_loss(out, y)\n"
    (place,) = [place for place in sites(tmp_path, HEAD + code) if place[0].kind == "call"]
    assert [site.arguments["input"].op for site in place] == ["softmax", ""]
