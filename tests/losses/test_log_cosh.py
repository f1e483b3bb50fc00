"""The log-cosh loss: relative accuracy from 1e-30 to 1e30, all derivatives, and Keras's numbers."""

import math
import os

import numpy
import pytest
import torch
from mpmath import log1p, mp, mpf, sinh, tanh
from torch import Tensor
from torch.autograd import grad, gradcheck, gradgradcheck

import lossmith
import lossmith.functional as LF
from lossmith.backend import recorded
from oracle.accuracy import ulps

os.environ.setdefault("KERAS_BACKEND", "torch")  # read when keras is imported
mp.dps = 50

INF, NAN = math.inf, math.nan
each_backend = pytest.mark.parametrize("backend", ["native", "reference"])
ERRORS = [10.0**e * m for e in range(-18, 3) for m in (1.0, 1.7, 3.1, 5.9)] + [19.999, 20.0, 20.001, 88.0, 90.0, 710.0]


def leaf(*values: float, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.tensor(values, dtype=dtype, requires_grad=True)


@each_backend
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_value_and_gradient_are_relatively_exact(
    dtype: torch.dtype, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4 ulp of the results themselves, however small they are."""
    monkeypatch.setattr("lossmith.backend.FORCED", backend)
    x = leaf(*ERRORS, *(-e for e in ERRORS), dtype=dtype)
    loss = LF.log_cosh_loss(x, torch.zeros_like(x), reduction="none")
    (slope,) = grad(loss.sum(), x)
    kind = numpy.dtype(str(dtype).removeprefix("torch.")).type
    for e, value, s in zip(x.tolist(), loss.tolist(), slope.tolist(), strict=True):
        truth, tangent = log1p(2 * sinh(mpf(e) / 2) ** 2), tanh(mpf(e))
        assert ulps(value, truth, truth, kind) <= 4, (e, value, truth)
        assert ulps(s, tangent, abs(tangent), kind) <= 4, (e, s, tangent)


@each_backend
def test_far_off_it_is_the_absolute_error_less_log_2(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossmith.backend.FORCED", backend)
    x = leaf(100.0, -1e4, 1e30, -3.4e38, INF, -INF)
    loss = LF.log_cosh_loss(x, torch.zeros(6), reduction="none")
    assert loss.tolist() == pytest.approx([100 - math.log(2), 1e4 - math.log(2), 1e30, 3.4e38, INF, INF])
    assert grad(loss.sum(), x)[0].tolist() == [1, -1, 1, -1, 1, -1]


@each_backend
def test_ties_and_nan(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossmith.backend.FORCED", backend)
    x = leaf(0.0, -0.0, NAN)
    loss = LF.log_cosh_loss(x, torch.zeros(3), reduction="none")
    assert loss[:2].tolist() == [0, 0] and loss[2].isnan()
    (slope,) = grad(loss.sum(), x)
    assert slope[:2].tolist() == [0, 0] and slope[2].isnan()


def test_the_curvature_is_1_less_the_squared_tangent() -> None:
    """At 0, too, where an absolute value in the way would make it 0."""
    x = leaf(0.0, 0.5, -0.5, 3.0, -20.0, 25.0, dtype=torch.float64)
    (slope,) = grad(LF.log_cosh_loss(x, torch.zeros_like(x), "sum"), x, create_graph=True)
    (curvature,) = grad(slope.sum(), x, create_graph=True)
    torch.testing.assert_close(curvature, 1 - torch.tanh(x) ** 2, rtol=1e-7, atol=1e-15)
    (third,) = grad(curvature.sum(), x)
    torch.testing.assert_close(third[1:4], (-2 * torch.tanh(x) * (1 - torch.tanh(x) ** 2))[1:4])


@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_derivatives_against_finite_differences(reduction: str) -> None:
    x, y = leaf(0.3, -1.2, 4.0, 0.0, dtype=torch.float64), leaf(0.1, 0.7, -2.0, 0.0, dtype=torch.float64)
    for check in (gradcheck, gradgradcheck):
        check(lambda a, b: LF.log_cosh_loss(a, b, reduction), (x, y))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_values_and_gradients_are_keras() -> None:
    import keras

    assert keras.backend.backend() == "torch"
    x, y = 3 * torch.randn(40, 7), torch.randn(40, 7)
    x.requires_grad_()
    theirs = keras.losses.LogCosh()(y, x)
    with recorded() as records:
        ours = lossmith.LogCoshLoss()(x, y)
    assert [record.backend for record in records] == ["native"]
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(grad(ours, x), grad(theirs, x), rtol=1e-5, atol=1e-8)
    each = keras.losses.log_cosh(y, x)  # keras takes the mean over the last dimension
    torch.testing.assert_close(LF.log_cosh_loss(x, y, "none").mean(-1), each)


def test_what_the_card_says_of_it_by_hand() -> None:
    e = leaf(89.0, 90.0)
    by_hand = torch.log(torch.cosh(e))
    assert by_hand.isfinite().tolist() == [True, False]
    assert grad(by_hand.sum(), e)[0][1].isnan()
    small = torch.linspace(1e-5, 1.7e-4, 100)
    remedy = small + torch.nn.functional.softplus(-2 * small) - math.log(2)
    assert remedy.abs().max() < 1.3e-7 and (remedy == 0).sum() > 30
    assert (LF.log_cosh_loss(small, torch.zeros(100), "none") > 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_halves_are_computed_in_float32(dtype: torch.dtype) -> None:
    x, y = torch.randn(50).to(dtype).requires_grad_(), torch.randn(50).to(dtype)
    wide = x.detach().float().requires_grad_()
    for reduction in ("none", "mean"):
        ours, expected = LF.log_cosh_loss(x, y, reduction), LF.log_cosh_loss(wide, y.float(), reduction)
        assert torch.equal(ours, expected.to(dtype))
        assert torch.equal(grad(ours.sum(), x)[0], grad(expected.sum(), wide)[0].to(dtype))


def test_the_optimum_goes_from_mean_to_median_as_targets_scatter() -> None:
    y = torch.empty(1001, dtype=torch.float64).exponential_(generator=torch.Generator().manual_seed(0))
    median, mean = y.median().item(), y.mean().item()
    best = []
    for scale in (1e-3, 1.0, 1e4):
        x = torch.linspace(median - 0.1, mean + 0.1, 4001, dtype=torch.float64) * scale
        losses = LF.log_cosh_loss(x[:, None].expand(-1, 1001), (y * scale).expand(4001, 1001), "none").mean(1)
        best.append(x[losses.argmin()].item() / scale)
    assert best[0] == pytest.approx(mean, abs=1e-3)
    assert median + 0.01 < best[1] < mean - 0.01
    assert best[2] == pytest.approx(median, abs=0.01)


def test_wrong_inputs() -> None:
    x = torch.zeros(3)
    with pytest.raises(NotImplementedError, match=r"log_cosh_loss: .*floating dtype.*input.float"):
        LF.log_cosh_loss(torch.zeros(3, dtype=torch.int32), x)
    with pytest.raises(RuntimeError, match="log_cosh_loss: the shapes can't be broadcast together"):
        LF.log_cosh_loss(x, torch.zeros(2))
    with pytest.raises(TypeError, match="log_cosh_loss: target is a float"):
        LF.log_cosh_loss(x, 0.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="LogCoshLoss: 'avg' is not a valid value for reduction"):
        lossmith.LogCoshLoss("avg")
    assert LF.log_cosh_loss(torch.zeros(0, 3), torch.zeros(0, 3), "none").shape == (0, 3)
