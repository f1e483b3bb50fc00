"""Where the tails of a loss keep their relative accuracy: the losses as they are called, against 50 digits."""

import math

import numpy
import pytest
import torch
from mpmath import exp, log, log1p, mp, mpf

from lossmith import functional

from .accuracy import ulps

mp.dps = 50
LIMIT = 4.0
# until exp(-x) underflows
TAILS = [float(numpy.float32(x)) for x in (0.0, 1e-30, 1e-8, 1e-3, 0.5, 1.0, 3.0, 10.0, 17.0, 20.0, 37.0, 60.0, 87.0)]
each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def hold(got: torch.Tensor, truths: list[mpf]) -> None:
    dtype = got.detach().numpy().dtype.type
    for x, truth in zip(got.tolist(), truths, strict=True):
        assert ulps(x, truth, abs(truth), dtype) <= LIMIT, (x, mp.nstr(truth, 17))


def softplus(x: float) -> mpf:
    return log1p(exp(mpf(x)))


def sigmoid(x: float) -> mpf:
    return 1 / (1 + exp(-mpf(x)))


@each_dtype
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_p23_bce_with_logits_keeps_both_tails(target, dtype):
    points = [*TAILS, *(-x for x in TAILS)]
    x = torch.tensor(points, dtype=dtype, requires_grad=True)
    loss = functional.binary_cross_entropy_with_logits(x, torch.full_like(x, target), reduction="none")
    loss.sum().backward()
    sign = 1 if target == 0 else -1
    hold(loss, [softplus(sign * point) for point in points])
    hold(x.grad, [sign * sigmoid(sign * point) for point in points])


@pytest.mark.parametrize("pos_weight", [None, 3.0])
def test_p22_bce_with_logits_of_a_right_and_infinite_logit_is_0(pos_weight):
    x = torch.tensor([math.inf, -math.inf], requires_grad=True)
    weight = None if pos_weight is None else torch.tensor(pos_weight)
    target = torch.tensor([1.0, 0.0])
    loss = functional.binary_cross_entropy_with_logits(x, target, pos_weight=weight, reduction="none")
    loss.sum().backward()
    assert loss.tolist() == [0, 0]
    assert x.grad.tolist() == [0, 0]


@each_dtype
def test_p33_soft_margin_keeps_both_tails(dtype):
    points = [*TAILS, *(-x for x in TAILS), 1e4, -1e4, 1e30, -1e30]
    for target in (1.0, -1.0):
        x = torch.tensor(points, dtype=dtype, requires_grad=True)
        loss = functional.soft_margin_loss(x, torch.full_like(x, target), reduction="none")
        loss.sum().backward()
        exactly = x.tolist()
        hold(loss, [softplus(-target * point) for point in exactly])
        hold(x.grad, [-target * sigmoid(-target * point) for point in exactly])


@each_dtype
@pytest.mark.parametrize("lead", TAILS)
def test_cross_entropy_is_exact_near_0(lead, dtype):
    """Of two classes it is softplus(-lead), and so is its gradient a sigmoid."""
    x = torch.tensor([[lead, 0.0]], dtype=dtype, requires_grad=True)
    loss = functional.cross_entropy(x, torch.tensor([0]), reduction="none")
    loss.sum().backward()
    hold(loss, [softplus(-lead)])
    hold(x.grad[0, :1], [-sigmoid(-lead)])
    hold(x.grad[0, 1:], [sigmoid(-lead)])


@each_dtype
def test_cross_entropy_over_extreme_rows(dtype):
    """At most 4 ulp of the result, and of what the rounding of a difference of logits does to it."""
    numbers = [float(numpy.float32(x)) for x in (0, 1e-30, 1e-3, 1.0, 20.0, 80.0, 1e4, 1e30)]
    rows = [(a, -b, c) for a in numbers for b in numbers for c in numbers]
    x = torch.tensor(rows, dtype=dtype, requires_grad=True)
    kind = x.detach().numpy().dtype.type
    for label in range(3):
        x.grad = None
        loss = functional.cross_entropy(x, torch.full((len(rows),), label), reduction="none")
        loss.sum().backward()
        for row, got, slopes in zip(rows, loss.tolist(), x.grad.tolist(), strict=True):
            exponentials = [exp(mpf(z)) for z in row]
            others, total = sum(exponentials) - exponentials[label], sum(exponentials)
            # what rounding does to a difference of logits, exp multiplies
            size = max(map(abs, row))
            scale = log1p(others / exponentials[label]) + others / total * size
            assert ulps(got, log1p(others / exponentials[label]), scale, kind) <= LIMIT, (row, label, got)
            for c, slope in enumerate(slopes):
                expected = (-others if c == label else exponentials[c]) / total
                assert ulps(slope, expected, abs(expected) * (1 + size), kind) <= LIMIT, (row, label, c, slope)


def test_p42_kl_div_of_what_can_not_happen_is_0():
    x = torch.tensor([-1.0, -math.inf, 0.0, -50.0], requires_grad=True)
    q = torch.zeros(4, requires_grad=True)
    loss = functional.kl_div(x, q, reduction="none")
    loss.sum().backward()
    assert loss.tolist() == [0, 0, 0, 0]
    assert x.grad.tolist() == [0, 0, 0, 0]
    assert q.grad.tolist() == [1, 0, 0, 50]  # of x log x it is 0, of what it can cost the cost, unless that is infinite

    x = torch.tensor([-1.0, -math.inf], requires_grad=True)
    log_q = torch.full((2,), -math.inf, requires_grad=True)
    loss = functional.kl_div(x, log_q, reduction="none", log_target=True)
    loss.sum().backward()
    assert loss.tolist() == [0, 0]
    assert x.grad.tolist() == [0, 0]
    assert log_q.grad.tolist() == [0, 0]


@each_dtype
def test_p42_kl_div_of_small_probabilities_keeps_relative_accuracy(dtype):
    """At a log-probability of 0 the loss is q log q alone."""
    points = [float(numpy.float32(q)) for q in (1e-37, 1e-30, 1e-10, 1e-3, 0.3, 0.9)]
    q = torch.tensor(points, dtype=dtype, requires_grad=True)
    loss = functional.kl_div(torch.zeros_like(q), q, reduction="none")
    loss.sum().backward()
    hold(loss, [mpf(p) * log(mpf(p)) for p in points])
    dtype = q.detach().numpy().dtype.type
    for got, p in zip(q.grad.tolist(), points, strict=True):
        assert ulps(got, log(mpf(p)) + 1, abs(log(mpf(p))) + 1, dtype) <= LIMIT
