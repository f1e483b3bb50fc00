"""What a rule is told of a tensor: the last operation, its settings, casts, gradients and names."""

from pathlib import Path
from typing import Any

import pytest

from lossmith.rule import Known

from .made_up import sites

HEAD = """\
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.autograd import Variable
from torchvision import models

x, y = torch.randn(8, 4), undefined()
linear, lstm = nn.Linear(4, 1), nn.LSTM(4, 3)
resnet = models.resnet18()
"""


def told(expression: str, tmp_path: Path) -> Known:
    """What is known of an expression that is given to a loss."""
    places = sites(tmp_path, f"{HEAD}F.huber_loss({expression}, y)\n")
    (site,) = next(place for place in places if place[0].loss == "huber_loss")
    return site.arguments["input"]


@pytest.mark.parametrize(
    ("expression", "op", "settings"),
    [
        ("F.softmax(x)", "softmax", {}),
        ("F.softmax(x, 1)", "softmax", {"dim": 1}),
        ("F.softmax(x, dim=-1)", "softmax", {"dim": -1}),
        ("torch.softmax(x, axis=0)", "softmax", {"dim": 0}),
        ("F.softmax(x, dim=x.dim() - 1)", "softmax", {"dim": ...}),
        ("x.softmax(0)", "softmax", {"dim": 0}),
        ("nn.Softmax()(x)", "softmax", {}),
        ("nn.Softmax(dim=None)(x)", "softmax", {"dim": None}),
        ("nn.Softmax2d()(x)", "softmax", {"dim": -3}),
        ("torch.special.softmax(x, 1)", "softmax", {"dim": 1}),
        ("nn.LogSoftmax(1)(x)", "log_softmax", {"dim": 1}),
        ("x.log_softmax(-1)", "log_softmax", {"dim": -1}),
        ("x.sigmoid()", "sigmoid", {}),
        ("torch.special.expit(x)", "sigmoid", {}),
        ("nn.Sigmoid()(x)", "sigmoid", {}),
        ("F.logsigmoid(x)", "logsigmoid", {}),
        ("nn.LogSigmoid()(x)", "logsigmoid", {}),
        ("F.relu(x, inplace=True)", "relu", {"inplace": True}),
        ("nn.ReLU(inplace=True)(x)", "relu", {"inplace": True}),
        ("x.relu_()", "relu", {}),
        ("x.clamp(min=0)", "relu", {}),
        ("torch.clamp(x, 0)", "relu", {}),
        ("x.clamp(0, 1)", "clamp", {"min": 0, "max": 1}),
        ("nn.LeakyReLU(0.1)(x)", "leaky_relu", {}),
        ("x.tanh()", "tanh", {}),
        ("torch.log(x + 1e-8)", "log", {}),
        ("x.exp()", "exp", {}),
        ("nn.Softplus()(x)", "softplus", {}),
        ("linear(x)", "linear", {"in_features": 4, "out_features": 1}),
        ("nn.Conv2d(3, 1, 3)(x)", "conv2d", {"in_channels": 3, "out_channels": 1}),
        ("nn.BatchNorm2d(3)(x)", "batch_norm2d", {}),
        ("x + 1", "add", {"other": 1}),
        ("1 - x", "rsub", {"other": 1}),
        ("x / 0.5", "div", {"other": 0.5}),
        ("x * x", "mul", {"other": ...}),
        ("-x", "neg", {}),
        ("x @ x.T", "matmul", {"other": ...}),
        ("x > 0.5", "compare", {}),
        ("x.eq(1)", "compare", {}),
        ("x.softmax(1)[:, 1]", "select", {}),
        ("x.softmax(1)[..., -1]", "select", {}),
        ("F.one_hot(x, 3)", "one_hot", {"num_classes": 3}),
        ("torch.zeros(8, 3).scatter_(1, x, 1)", "one_hot", {}),
        ("x.argmax(1)", "argmax", {"dim": 1}),
        ("x.max(1)[1]", "argmax", {}),
        ("torch.max(x, 1)[0]", "max", {"dim": 1}),
        ("torch.zeros(8)", "zeros", {"size": 8}),
        ("torch.ones_like(x)", "ones", {}),
        ("torch.full((8,), -1.0)", "full", {"size": [8], "fill_value": -1.0}),
        ("torch.full_like(x, 0.5)", "full", {"fill_value": 0.5}),
        ("torch.rand(8, 3)", "rand", {"size": 8}),
        ("torch.randint(0, 2, (8,))", "randint", {"low": 0, "high": 2, "size": [8]}),
        ("torch.FloatTensor(8).random_(2)", "randint", {"low": 0, "high": 2}),
        ("torch.empty(8).random_(1, 4)", "randint", {"low": 1, "high": 4}),
        ("torch.randint(2, (8,))", "randint", {"low": 0, "high": 2, "size": [8]}),
        ("torch.randint(high=2, size=(8,))", "randint", {"high": 2, "size": [8]}),
        ("torch.where(x > 0, 1, -1)", "where", {"values": [1, -1]}),
        ("torch.stack([x, y])", "stack", {}),
        ("x.mean(1)", "mean", {"dim": 1}),
        ("F.cross_entropy(x, y)", "loss", {"loss": "cross_entropy"}),
        ("nn.L1Loss()(x, y).mean() * 0.5 + 1", "loss", {"loss": "l1_loss"}),
        ("resnet(x)", "call", {"function": "resnet18"}),
        ("undefined(x)", "call", {"function": "undefined"}),
        ("lstm(x)[0]", "", {}),
    ],
)
def test_operation(expression: str, op: str, settings: dict[str, Any], tmp_path: Path) -> None:
    found = told(expression, tmp_path)
    assert (found.op, dict(found.settings)) == (op, settings)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("torch.tensor([0, 1, 1])", [0, 1, 1]),
        ("torch.tensor([[1.0], [-1.0]])", [[1.0], [-1.0]]),
        ("torch.FloatTensor([1, -1])", [1, -1]),
        ("Variable(torch.Tensor([-1]))", [-1]),
        ("torch.LongTensor([2]).cuda()", [2]),
        ("-1", -1),
        ("torch.tensor(1)", 1),
    ],
)
def test_literal(expression: str, value: Any, tmp_path: Path) -> None:
    found = told(expression, tmp_path)
    assert (found.op, found.value) == ("literal", value)


@pytest.mark.parametrize(
    ("expression", "dtype"),
    [
        ("y.float()", "float"),
        ("y.long().view(-1)", "long"),
        ("y.to(torch.float32)", "float"),
        ("y.to(device='cuda', dtype=torch.int64)", "long"),
        ("y.type(torch.FloatTensor)", "float"),
        ("y.type('torch.LongTensor')", "long"),
        ("torch.zeros(8, dtype=torch.long)", "long"),
        ("torch.tensor([1], dtype=torch.float)", "float"),
        ("torch.FloatTensor([1])", "float"),
        ("F.one_hot(y)", "long"),
        ("F.one_hot(y).float()", "float"),
        ("(y > 0).float()", "float"),
        ("y > 0", "bool"),
        ("x.argmax(1)", "long"),
        ("x.softmax(1, dtype=torch.float64)", "double"),
        ("y", ""),
    ],
)
def test_dtype(expression: str, dtype: str, tmp_path: Path) -> None:
    assert told(expression, tmp_path).dtype == dtype


@pytest.mark.parametrize(
    ("expression", "detached"),
    [
        ("linear(x)", False),
        ("linear(x).detach()", True),
        ("linear(x).data", True),
        ("linear(x).detach().softmax(1)", True),
        ("linear(x).cpu().numpy()", True),
        ("linear(x).argmax(1)", True),
        ("torch.tensor(linear(x))", True),
        ("torch.tensor([1.0], requires_grad=True)", False),
        ("linear(x).detach().requires_grad_()", False),
        ("F.mse_loss(linear(x), y)", False),
    ],
)
def test_gradient(expression: str, detached: bool, tmp_path: Path) -> None:
    places = sites(tmp_path, f"{HEAD}F.l1_loss({expression}, y)\n")
    assert places[0][0].arguments["input"].detached == detached


@pytest.mark.parametrize(
    ("expression", "name"),
    [
        ("y", "y"),
        ("undefined.y", "y"),
        ("undefined['labels']", "labels"),
        ("y.view(-1).float()", "y"),
        ("y[0]", "y"),
        ("F.softmax(y, 1)", ""),
    ],
)
def test_name(expression: str, name: str, tmp_path: Path) -> None:
    assert told(expression, tmp_path).name == name


@pytest.mark.parametrize(
    ("expression", "reshaped"),
    [
        ("linear(x)", False),
        ("linear(x).float()", False),
        ("linear(x).view(2, 4)", True),
        ("linear(x).squeeze()", True),
        ("linear(x).T", True),
        ("nn.Flatten()(linear(x))", True),
        ("linear(x)[0]", True),
    ],
)
def test_reshaped(expression: str, reshaped: bool, tmp_path: Path) -> None:
    assert told(expression, tmp_path).reshaped == reshaped


def test_what_it_was_applied_to(tmp_path: Path) -> None:
    found = told("torch.log(nn.Softmax(1)(linear(x)))", tmp_path)
    ops = []
    while found is not None:
        ops.append(found.op)
        found = found.of
    assert ops == ["log", "softmax", "linear", "randn"]


def test_a_parameter(tmp_path: Path) -> None:
    ((site,),) = sites(tmp_path, "import torch.nn.functional as F\ndef f(out, y):\n    F.mse_loss(out, y)\n")
    assert (site.arguments["input"].op, site.arguments["input"].name) == ("parameter", "out")


def test_long_chains_are_cut(tmp_path: Path) -> None:
    found = told("x" + ".exp()" * 50, tmp_path)
    depth = 0
    while found is not None:
        found, depth = found.of, depth + 1
    assert 2 < depth < 12
