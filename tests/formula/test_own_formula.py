"""A user's own formula does what the losses do: reductions, weights, masks, dtypes, derivatives, the compiler."""

import math

import pytest
import torch

from lossmith.formula import Real, Reals, expm1, formula, log1p, step
from lossmith.loops.pointwise import pointwise
from lossmith.reduction import plan


@formula
def log_cosh(prediction: Real, target: Real, scale: Real) -> Reals:
    error = (prediction - target) / scale
    side = 2.0 * step(error) - 1.0
    size = side * error
    shrunk = expm1(-2.0 * size)
    slope = -side * shrunk / (2.0 + shrunk) / scale
    return size + log1p(0.5 * shrunk), slope, -slope


def log_cosh_loss(input, target, scale=1.0, reduction="mean", sample_weight=None, mask=None):
    how = plan("log_cosh_loss", reduction, sample_weight, mask, None, "nan")
    return pointwise("log_cosh_loss", log_cosh, (input, target), (scale,), how)


def tensors(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(4, 3, dtype=torch.float64, generator=generator).to(dtype) for _ in range(2))
    return x.requires_grad_(), y.requires_grad_()


def test_value():
    x, y = tensors()
    expected = [math.log(math.cosh(error / 0.5)) for error in (x - y).flatten().tolist()]
    for reduction, reduced in {
        "mean": sum(expected) / 12,
        "sum": sum(expected),
        "batchmean": sum(expected) / 4,
    }.items():
        assert log_cosh_loss(x, y, 0.5, reduction).item() == pytest.approx(reduced, rel=1e-14)


def test_far_away_and_at_0():
    x = torch.tensor([0.0, 1e4, -1e4, math.inf, -math.inf, math.nan], requires_grad=True)
    loss = log_cosh_loss(x, torch.zeros(6), reduction="none")
    torch.testing.assert_close(loss[:3], torch.tensor([0, 1e4 - math.log(2), 1e4 - math.log(2)]))
    assert loss[3:].tolist()[:2] == [math.inf, math.inf] and loss[5].isnan()
    (slope,) = torch.autograd.grad(loss[:3].sum(), x)
    assert slope[:3].tolist() == [0, 1, -1]


def test_weights_and_masks():
    x, y = tensors()
    weight, mask = torch.rand(4, 1, dtype=torch.float64), torch.rand(4, 3) > 0.4
    plain = log_cosh_loss(x, y, reduction="none")
    expected = (plain * weight * mask).sum() / (weight * mask).sum()
    torch.testing.assert_close(log_cosh_loss(x, y, sample_weight=weight, mask=mask), expected)


def test_derivatives_of_every_order():
    x, y = tensors()
    x.data[0, 0] = y.data[0, 0]  # where abs would have no second derivative
    assert torch.autograd.gradcheck(log_cosh_loss, (x, y))
    assert torch.autograd.gradgradcheck(log_cosh_loss, (x, y))
    curvature = torch.func.hessian(log_cosh_loss)(x, y).sum()
    torch.testing.assert_close(curvature, (1 / torch.cosh(x - y) ** 2).mean())
    assert torch.func.vmap(log_cosh_loss)(x, y).shape == (4,)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_dtypes(dtype):
    x, y = tensors(dtype)
    loss = log_cosh_loss(x, y)
    assert loss.dtype == dtype
    torch.testing.assert_close(loss, log_cosh_loss(x.double(), y.double()).to(dtype))


def test_compiled():
    x, y = tensors()
    compiled = torch.compile(log_cosh_loss, fullgraph=True, backend="aot_eager")
    for fn in (log_cosh_loss, compiled):
        loss = fn(x, y, 0.5)
        gradient = torch.autograd.grad(loss, (x, y))
        torch.testing.assert_close(loss, log_cosh.value(x, y, 0.5).mean())
        torch.testing.assert_close(gradient[0], log_cosh(x, y, 0.5)[1] / 12)
        torch.testing.assert_close(gradient[1], -gradient[0])
