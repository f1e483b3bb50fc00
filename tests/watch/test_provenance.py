"""Where a tensor comes from: through every view, selection, cast and copy, and which dimension a softmax is left in."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from lossmith.rule import Origin
from lossmith.watch.provenance import leaves, origin

X = torch.randn(2, 3, 4, 5, requires_grad=True)


def of(tensor: Tensor) -> Origin:
    found = origin(tensor)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("op", "function"),
    [
        ("softmax", lambda x: x.softmax(-1)),
        ("softmax", lambda x: F.softmin(x, 1)),
        ("softmax", lambda x: F.gumbel_softmax(x, dim=1)),
        ("softmax", nn.Softmax(1)),
        ("softmax", nn.Softmax2d()),
        ("log_softmax", lambda x: F.log_softmax(x, 1)),
        ("log_softmax", nn.LogSoftmax(1)),
        ("sigmoid", torch.sigmoid),
        ("sigmoid", torch.special.expit),
        ("logsigmoid", F.logsigmoid),
        ("relu", F.relu),
        ("relu", nn.ReLU()),
        ("relu", lambda x: x.clone().relu_()),
        ("relu", lambda x: x.clamp(min=0)),
        ("relu", lambda x: x.clamp_min(0)),
        ("clamp", lambda x: x.clamp(1e-7, 1 - 1e-7)),
        ("clamp", lambda x: x.clamp(0, 1)),
        ("clamp", lambda x: x.clamp_min(1e-8)),
        ("clamp", lambda x: x.clamp_max(1)),
        ("clamp", lambda x: x.clamp(min=torch.zeros(5))),
        ("clamp", F.hardtanh),
        ("relu6", F.relu6),
        ("tanh", torch.tanh),
        ("log", torch.log),
        ("log1p", torch.log1p),
        ("exp", torch.exp),
        ("expm1", torch.expm1),
        ("softplus", F.softplus),
        ("leaky_relu", F.leaky_relu),
        ("elu", F.elu),
        ("gelu", F.gelu),
        ("silu", F.silu),
        ("mul", lambda x: x * 2),
        ("add", lambda x: x + 1),
        ("sub", lambda x: x - 1),
        ("rsub", lambda x: 1 - x),
        ("div", lambda x: x / 2),
        ("pow", lambda x: x**2),
        ("linalg_vector_norm", lambda x: x.norm(dim=1)),
        ("mean", lambda x: x.mean(1)),
        ("sum", lambda x: x.sum(1)),
        ("convolution", nn.Conv2d(3, 2, 1)),
        ("addmm", lambda x: nn.Linear(5, 2)(x[0, 0])),
    ],
)
def test_the_operation_has_its_plain_name(op: str, function: Callable[[Tensor], Tensor]) -> None:
    assert of(function(X)).op == op


@pytest.mark.parametrize("autocast", [torch.bfloat16, torch.float16])
def test_layers_under_autocast(autocast: torch.dtype) -> None:
    with torch.autocast("cpu", dtype=autocast):
        logits = nn.Linear(5, 3)(X[0, 0])
        assert of(logits.softmax(1)).op == "softmax"
        assert of(logits.softmax(1).float()).op == "softmax"
        assert of(logits.float()).op == "addmm"


@pytest.mark.parametrize(
    ("view", "dim"),
    [
        # softmax over dimension 1 of (2, 3, 4, 5); where its three numbers stand then, from the end
        (lambda p: p, -3),
        (lambda p: p.clone(), -3),
        (lambda p: p.contiguous(memory_format=torch.channels_last), -3),
        (lambda p: p.double(), -3),
        (lambda p: p.half().float(), -3),
        (lambda p: p.bfloat16(), -3),
        (lambda p: p.type(torch.float64), -3),
        (lambda p: p.to(torch.float64, copy=True), -3),
        (lambda p: p.view_as(p), -3),
        (lambda p: p.expand(7, 2, 3, 4, 5), -3),
        (lambda p: p.unsqueeze(0), -3),
        (lambda p: p.unsqueeze(-1), -4),
        (lambda p: p.unsqueeze(2).squeeze(2), -3),
        (lambda p: p.unsqueeze(2).squeeze(), -3),
        (lambda p: p[None, ..., None], -4),
        (lambda p: p.transpose(1, 3), -1),
        (lambda p: p.transpose(-1, -3), -1),
        (lambda p: p.transpose(0, 2), -3),
        (lambda p: p.permute(0, 2, 3, 1), -1),
        (lambda p: p.permute(1, 0, -1, 2), -4),
        (lambda p: p.movedim(1, -1), -1),
        (lambda p: p.swapaxes(0, 1), -4),
        (lambda p: p.mT, -3),
        (lambda p: p.permute(0, 2, 3, 1).reshape(-1, 3), -1),
        (lambda p: p.permute(0, 2, 3, 1).contiguous().view(40, 3).t(), -2),
        (lambda p: p.permute(0, 2, 3, 1).contiguous().view(40, 3).T, -2),
        (lambda p: p.flatten(2), -2),
        (lambda p: p.reshape(2, 3, 20), -2),
        (lambda p: p.flatten(2).unflatten(2, (4, 5)), -3),
        (lambda p: p.reshape(2, 3, 2, 2, 5), -4),
        (lambda p: p.flatten(), None),
        (lambda p: p.reshape(6, 20), None),
        (lambda p: p.flatten(1), None),
        (lambda p: p[0], -3),
        (lambda p: p[:, :, 0], -2),
        (lambda p: p[..., 2], -2),
        (lambda p: p.select(-1, 0), -2),
        (lambda p: p[:1], -3),
        (lambda p: p[..., 1:3], -3),
        (lambda p: p[:, :], -3),
        (lambda p: p.narrow(0, 1, 1), -3),
        (lambda p: p.unbind(0)[1], -3),
        (lambda p: p.unbind(2)[1], -2),
        (lambda p: p.split(2, dim=2)[1], -3),
        (lambda p: p.split([1, 4], dim=3)[1], -3),
        (lambda p: p.chunk(2)[0], -3),
        (lambda p: p[torch.tensor([1, 0, 0])], -3),
        (lambda p: p[torch.tensor([True, False])], -3),
        (lambda p: p.permute(0, 2, 3, 1)[torch.ones(2, 4, 5, dtype=torch.bool)], -1),
        (lambda p: p.index_select(0, torch.tensor([1])), -3),
        (lambda p: p.index_select(3, torch.tensor([1])), -3),
        (lambda p: torch.cat([p, p]), -3),
        (lambda p: torch.cat([p, p.clone()], dim=2), -3),
        (lambda p: torch.stack([p, p]), -3),
        (lambda p: torch.stack([p, p], dim=-1), -4),
        (lambda p: torch.stack([p, p], dim=2), -4),
        (lambda p: torch.stack([p, p], dim=1), -3),
    ],
)
def test_views_casts_and_copies_are_seen_through(view: Callable[[Tensor], Tensor], dim: int | None) -> None:
    for given in (1, -3):
        seen = of(view(X.softmax(given)))
        assert (seen.op, seen.dim, seen.whole) == ("softmax", dim, True)
        assert (seen.own_dim, seen.shape) == (-3, (2, 3, 4, 5))
    if dim is not None:  # the sums over that dimension are 1
        result = view(X.softmax(1)).float()
        torch.testing.assert_close(result.sum(dim), torch.ones_like(result.sum(dim)), rtol=0.02, atol=0)


@pytest.mark.parametrize(
    "select",
    [
        lambda p: p[:, 1],
        lambda p: p[:, -1:],
        lambda p: p[:, 1:],
        lambda p: p.select(1, 0),
        lambda p: p.narrow(1, 0, 2),
        lambda p: p.unbind(1)[0],
        lambda p: p.split(1, dim=1)[0],
        lambda p: p.chunk(3, dim=1)[0],
        lambda p: p.index_select(1, torch.tensor([2, 0])),
        lambda p: p.gather(1, torch.zeros(2, 1, 4, 5, dtype=torch.long)).squeeze(1),
        lambda p: p[:, torch.tensor([0, 2])],
        lambda p: p[:, torch.tensor([True, False, True])],
        lambda p: p[torch.arange(2), torch.tensor([0, 2])],
        lambda p: p.permute(0, 2, 3, 1).reshape(-1, 3)[torch.arange(40), torch.zeros(40, dtype=torch.long)],
        lambda p: p.masked_select(p > 0.5),
        lambda p: p[p > 0.5],
        lambda p: torch.cat([p, p], dim=1),
        lambda p: p[:, 1].unsqueeze(1).double().flatten(),
    ],
)
def test_a_selection_of_classes_is_no_distribution(select: Callable[[Tensor], Tensor]) -> None:
    seen = of(select(X.softmax(1)))
    assert (seen.op, seen.dim, seen.whole) == ("softmax", None, False)


def test_what_is_put_together_of_different_operations_is_a_concatenation() -> None:
    p = X[0, 0].sigmoid()
    assert of(torch.stack([p, 1 - p], dim=1)).op == "stack"
    assert of(torch.cat([p, p.detach()])).op == "cat"
    assert of(torch.cat([p, X[0, 1].sigmoid()])).op == "sigmoid"


def test_the_operation_before_is_known_too() -> None:
    for result, ops in (
        (X.softmax(1).log(), ("log", "softmax")),
        (X.relu().flatten(1).softmax(1), ("softmax", "relu")),
        (X.sigmoid()[:, 1].double().clamp(1e-7, 1), ("clamp", "sigmoid")),
        ((X.softmax(1) + 1e-9).log(), ("log", "add")),
    ):
        seen = of(result)
        assert seen.of is not None
        assert (seen.op, seen.of.op) == ops
    assert of(X.softmax(1)).of is None
    under = of(X.softmax(1).permute(0, 2, 3, 1).log()).of
    assert under is not None and under.dim == -1


class Double(torch.autograd.Function):
    @staticmethod
    def forward(context: object, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(context: object, gradient: Tensor) -> Tensor:
        return gradient * 2


def test_nothing_is_known_of_leaves_and_of_python_functions() -> None:
    assert origin(X) is None
    assert origin(X.detach()) is None
    assert origin(X.softmax(1).detach()) is None
    assert origin(nn.Parameter(torch.ones(2))) is None
    assert origin(X.view(-1)) is None
    assert origin(Double.apply(X.softmax(1))) is None
    with torch.no_grad():
        assert origin(X.softmax(1)) is None


def test_checkpoints() -> None:
    assert of(checkpoint(lambda x: x.softmax(1), X, use_reentrant=False)).dim == -3
    assert origin(checkpoint(lambda x: x.softmax(1), X, use_reentrant=True)) is None


def test_saved_tensors_are_never_unpacked() -> None:
    def refuse(_: object) -> Tensor:
        raise AssertionError("unpacked")

    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, refuse):
        for result in (X.softmax(1)[:, torch.tensor([0])], X.sigmoid().clamp(min=torch.zeros(5)), X.relu().log()):
            of(result)


def test_a_long_way_is_given_up() -> None:
    x = X.softmax(1)
    for _ in range(1000):
        x = x.view(x.shape)
    assert origin(x) is None or of(x).op == "view"


def test_leaves() -> None:
    w, b = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(()))
    reached = leaves((w * b).sum() + b)
    assert reached is not None and {id(leaf) for leaf in reached} == {id(w), id(b)}
    detached = torch.tensor(1.0, requires_grad=True)
    assert leaves(detached) == [detached]
    assert leaves(detached / 4) == [detached]
    long = detached
    for _ in range(1000):
        long = long * 1
    assert leaves(long) is None
