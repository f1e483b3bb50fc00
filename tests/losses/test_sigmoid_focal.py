"""Sigmoid focal loss: torchvision's formula, MONAI and keras, closed forms, both tails, infinities, wrong calls."""

import math
import os

os.environ.setdefault("KERAS_BACKEND", "torch")  # read when keras is imported

import numpy
import pytest
import torch
import torch.nn.functional as F
from mpmath import exp, log1p, mpf
from torch import Tensor

import lossmith
import lossmith.functional as LF
from kernels import HALVES, reference
from lossmith.backend import recorded
from native.conftest import ISAS, instruction_set, ran_natively
from oracle.accuracy import ulps

GAMMAS = (0, 0.3, 0.5, 1, 2, 2.0, 3.3, 5)
ALPHAS = (None, -1, 0, 0.25, 1)
TAILS = (0.0, 1e-8, 1e-3, 0.5, 1.0, 3.0, 10.0, 17.0, 20.0)
each_gamma = pytest.mark.parametrize("gamma", GAMMAS)
each_backend = pytest.mark.parametrize("backend", [ran_natively, reference], ids=["native", "reference"])


def torchvisions(input: Tensor, target: Tensor, alpha: float, gamma: float, reduction: str = "none") -> Tensor:
    """torchvision.ops.sigmoid_focal_loss, as its documentation and source state it."""
    p = torch.sigmoid(input)
    cost = F.binary_cross_entropy_with_logits(input, target, reduction="none")
    p_t = p * target + (1 - p) * (1 - target)
    loss = cost * ((1 - p_t) ** gamma)
    if alpha >= 0:
        loss = (alpha * target + (1 - alpha) * (1 - target)) * loss
    return {"none": loss, "mean": loss.mean(), "sum": loss.sum()}[reduction]


def points(hard: bool = False, *shape: int) -> tuple[Tensor, Tensor]:
    shape = shape or (40, 3)
    x, t = 3 * torch.randn(shape, dtype=torch.float64), torch.rand(shape, dtype=torch.float64)
    return x.requires_grad_(), (t.round() if hard else t).requires_grad_()


def gradients(loss: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
    upstream = torch.linspace(1, 2, loss.numel(), dtype=loss.dtype).view(loss.shape)
    return torch.autograd.grad(loss, leaves, upstream, retain_graph=True)


# ----- other packages -----


@each_backend
@pytest.mark.parametrize("hard", [True, False], ids=["hard", "soft"])
@pytest.mark.parametrize("alpha", ALPHAS)
@each_gamma
def test_torchvisions_formula(gamma, alpha, hard, backend):
    x, t = points(hard)
    for reduction in ("none", "mean", "sum"):
        with backend():
            loss = LF.sigmoid_focal_loss(x, t, alpha, gamma, reduction)
            found = gradients(loss, x, t)
        theirs = torchvisions(x, t, -1 if alpha is None else alpha, gamma, reduction)
        torch.testing.assert_close(loss, theirs)
        torch.testing.assert_close(found, gradients(theirs, x, t))


@pytest.mark.parametrize("alpha", [None, 0.25])
@each_gamma
def test_monai(gamma, alpha):
    from monai.losses import FocalLoss

    x, t = points(True, 5, 2, 4)
    theirs = FocalLoss(gamma=gamma, alpha=alpha, reduction="mean")(x, t.detach())
    ours = lossmith.SigmoidFocalLoss(alpha, gamma)(x, t.detach())
    # MONAI computes in float32
    torch.testing.assert_close(ours, theirs.double(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradients(ours, x), gradients(theirs, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("alpha", [None, 0.25])
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_keras(gamma, alpha):
    import keras

    x, t = points(True, 6, 3)
    x, t = x.detach().float().requires_grad_(), t.detach().float()
    criterion = keras.losses.BinaryFocalCrossentropy(
        apply_class_balancing=alpha is not None, alpha=alpha or 0.25, gamma=gamma, from_logits=True
    )
    theirs, ours = criterion(t, x), LF.sigmoid_focal_loss(x, t, alpha, gamma)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(gradients(ours, x), gradients(theirs, x), rtol=1e-4, atol=1e-6)


def test_the_papers_normaliser_is_the_number_of_ones():
    x, t = points(True)
    whole = torchvisions(x, t, 0.25, 2.0, "sum") / t.sum()
    torch.testing.assert_close(LF.sigmoid_focal_loss(x, t, normalizer=t.detach().sum()), whole)


# ----- closed forms -----


@each_backend
def test_a_gamma_of_0_is_bce_times_alpha(backend):
    x, t = points()
    weight = 0.3 * t + 0.7 * (1 - t)
    expected = weight * F.binary_cross_entropy_with_logits(x, t, reduction="none")
    with backend():
        loss = LF.sigmoid_focal_loss(x, t, 0.3, 0, "none")
        found = gradients(loss, x, t)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(found, gradients(expected, x, t))


@each_backend
@each_gamma
def test_at_even_odds(gamma, backend):
    x = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    with backend():
        loss = LF.sigmoid_focal_loss(x, torch.tensor([1, 0]), None, gamma, "none")
        (slope,) = gradients(loss.sum(), x)
    value = 0.5**gamma * math.log(2)
    torch.testing.assert_close(loss, torch.full_like(loss, value))
    steepness = 0.5**gamma * (0.5 + gamma * 0.5 * math.log(2))
    torch.testing.assert_close(slope, torch.tensor([-steepness, steepness], dtype=torch.float64))


@pytest.mark.parametrize("target", [0.3, 0.7, 0.99])
def test_a_soft_target_is_overshot(target):
    """Beyond it lies the least loss, where the slope is 0."""
    t = torch.tensor(target, dtype=torch.float64)
    least = lossmith.losses.all_losses()["sigmoid_focal_loss"].facts.minimiser(input=t, target=t)
    x = least.requires_grad_()
    (slope,) = gradients(LF.sigmoid_focal_loss(x, t), x)
    assert abs(slope) < 1e-12
    assert (torch.sigmoid(x) > t) == (t > 0.5)


# ----- the tails -----


@each_backend
@each_gamma
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_both_tails_keep_their_relative_accuracy(dtype, gamma, backend):
    numbers = [float(numpy.float32(sign * x)) for x in TAILS for sign in (1, -1)]
    kind, g = numpy.float32 if dtype == torch.float32 else numpy.float64, mpf(float(gamma))
    for target in (0.0, 1.0):
        x = torch.tensor(numbers, dtype=dtype, requires_grad=True)
        with backend():
            loss = LF.sigmoid_focal_loss(x, torch.full_like(x, target), None, gamma, "none")
            (slopes,) = torch.autograd.grad(loss, x, torch.ones_like(x))
        for number, value, slope in zip(numbers, loss.tolist(), slopes.tolist(), strict=True):
            lead = mpf(number) * (1 if target else -1)
            cost, miss = log1p(exp(-lead)), 1 / (1 + exp(lead))
            # where gamma is not 2 the exponent is rounded, and with it the power
            limit = 4 * (1 if gamma == 2 else 1 + abs(gamma * float(lead)))
            truth = miss**g * cost
            assert ulps(value, truth, truth, kind) <= limit, (number, target)
            steep = miss**g * (miss + g * (1 - miss) * cost)
            assert ulps(slope, -steep if target else steep, steep, kind) <= limit, (number, target)


@each_backend
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, *HALVES], ids=str)
@each_gamma
def test_a_right_answer_at_an_infinite_logit_costs_nothing(gamma, dtype, backend):
    x = torch.tensor([math.inf, -math.inf], dtype=dtype, requires_grad=True)
    t = torch.tensor([1.0, 0.0], dtype=dtype, requires_grad=True)
    with backend():
        loss = LF.sigmoid_focal_loss(x, t, 0.25, gamma, "none")
        in_input, in_target = torch.autograd.grad(loss, (x, t), torch.ones_like(loss))
    assert loss.tolist() == [0, 0] and in_input.tolist() == [0, 0]
    if gamma > 0:
        assert in_target.tolist() == [0, 0]


@each_backend
@each_gamma
def test_a_wrong_answer_at_an_infinite_logit_pulls_by_alpha(gamma, backend):
    x = torch.tensor([math.inf, -math.inf], requires_grad=True)
    with backend():
        loss = LF.sigmoid_focal_loss(x, torch.tensor([0.0, 1.0]), 0.25, gamma, "none")
        (slope,) = torch.autograd.grad(loss, x, torch.ones_like(loss))
    assert loss.tolist() == [math.inf, math.inf]
    assert slope.tolist() == [0.75, -0.25]


@each_gamma
def test_second_derivatives_are_finite_everywhere(gamma):
    x = torch.tensor([0.0, 1e-30, 20, 50, 90, 100, 104, 1e4, 1e30, math.inf], requires_grad=True)
    for target in (torch.ones_like(x), torch.zeros_like(x), torch.full_like(x, 0.3)):
        t = target.requires_grad_()
        ends = x if target[0] != 0 else -x
        loss = LF.sigmoid_focal_loss(ends, t, 0.25, gamma, "sum")
        first = torch.autograd.grad(loss, (x, t), create_graph=True)
        second = torch.autograd.grad(first[0].sum(), x)[0]
        finite = slice(None, -1) if target[0] == 0.3 else slice(None)
        assert first[0][finite].isfinite().all() and second[finite].isfinite().all()


@pytest.mark.parametrize("gamma", [0.1, 0.5])
def test_a_gamma_below_1_has_a_finite_slope_where_the_answer_is_right(gamma):
    """(1 - p)^gamma has an infinite slope at p = 1, the loss has not: it is about (1 - p)^(gamma + 1)."""
    x = torch.tensor([30.0], dtype=torch.float64, requires_grad=True)
    (slope,) = gradients(LF.sigmoid_focal_loss(x, torch.ones(1), None, gamma), x)
    expected = -(1 + gamma) * math.exp(-30 * (1 + gamma))
    torch.testing.assert_close(slope.item(), expected, rtol=1e-12, atol=0)


# ----- derivatives, transforms, kernels -----


@pytest.mark.parametrize("gamma", [0, 0.5, 2, 3.3])
def test_derivatives_of_first_and_second_order(gamma):
    x, t = points(False, 4)

    def loss(x: Tensor, t: Tensor) -> Tensor:
        return LF.sigmoid_focal_loss(x, t, 0.25, gamma, "none")

    torch.autograd.gradcheck(loss, (x, t))
    torch.autograd.gradgradcheck(loss, (x, t))


@pytest.mark.parametrize("gamma", [0.5, 2])
def test_transforms_and_compiled_graphs(gamma):
    x, t = points(True, 4, 3)
    x, t = x.detach(), t.detach()
    grad = torch.func.grad(lambda x, t: LF.sigmoid_focal_loss(x, t, gamma=gamma))
    one = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(LF.sigmoid_focal_loss(one, t, gamma=gamma) * 4, one)
    torch.testing.assert_close(torch.func.vmap(grad)(x, t), expected)
    assert LF.sigmoid_focal_loss(x.to("meta"), t.to("meta"), gamma=gamma).shape == ()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("gamma", [0.5, 2])
def test_the_kernel_runs_it(gamma, isa):
    x, t = points()
    with instruction_set(isa), recorded() as records:
        loss = LF.sigmoid_focal_loss(x, t, gamma=gamma)
    assert [record.backend for record in records] == ["native"]
    assert records[0].kernel == ("sigmoid_focal_squared" if gamma == 2 else "sigmoid_focal")
    torch.testing.assert_close(loss, torchvisions(x, t, 0.25, gamma, "mean"))


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.uint8, torch.float16, torch.float32], ids=str)
def test_targets_of_any_dtype(dtype):
    x, t = points(True)
    torch.testing.assert_close(LF.sigmoid_focal_loss(x, t.detach().to(dtype)), LF.sigmoid_focal_loss(x, t))


def test_nothing():
    x = torch.zeros(0, 3, requires_grad=True)
    assert LF.sigmoid_focal_loss(x, torch.zeros(0, 3)).isnan()
    assert LF.sigmoid_focal_loss(x, torch.zeros(0, 3), on_empty="zero") == 0
    assert LF.sigmoid_focal_loss(x, torch.zeros(0, 3), reduction="none").shape == (0, 3)


# ----- wrong calls -----


@pytest.mark.parametrize("gamma", [-1, math.inf, math.nan, "2", None, True])
def test_a_wrong_gamma(gamma):
    said = r"gamma is .*, expected a finite number of 0 or more; 2 is usual"
    with pytest.raises(ValueError, match="sigmoid_focal_loss: " + said):
        LF.sigmoid_focal_loss(torch.zeros(2), torch.zeros(2), gamma=gamma)
    with pytest.raises(ValueError, match="SigmoidFocalLoss: " + said):
        lossmith.SigmoidFocalLoss(gamma=gamma)


@pytest.mark.parametrize("alpha", [1.5, math.nan, "auto", torch.tensor(0.5)])
def test_a_wrong_alpha(alpha):
    said = r"alpha is .*, expected a number from 0 to 1, the weight of ones .*sample_weight="
    with pytest.raises(ValueError, match="sigmoid_focal_loss: " + said):
        LF.sigmoid_focal_loss(torch.zeros(2), torch.zeros(2), alpha)
    with pytest.raises(ValueError, match="SigmoidFocalLoss: " + said):
        lossmith.SigmoidFocalLoss(alpha)


def test_wrong_tensors():
    x = torch.zeros(3, 1)
    with pytest.raises(ValueError, match=r"sigmoid_focal_loss: expected tensors of one shape, got input \(3, 1\)"):
        LF.sigmoid_focal_loss(x, torch.zeros(3))
    with pytest.raises(NotImplementedError, match=r"expected input of a floating dtype.*write input.float\(\)"):
        LF.sigmoid_focal_loss(x.long(), x)
    with pytest.raises(TypeError, match=r"target is a list, expected a torch\.Tensor"):
        LF.sigmoid_focal_loss(x, [[0.0]])
