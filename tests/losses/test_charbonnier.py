"""The Charbonnier loss: no overflow, every eps, its relatives in SciPy and in papers."""

import math

import numpy
import pytest
import torch
from mpmath import mp, mpf, sqrt
from scipy.special import pseudo_huber
from torch import Tensor
from torch.autograd import grad, gradcheck, gradgradcheck

import lossmith
import lossmith.functional as LF
from lossmith.backend import recorded
from oracle.accuracy import ulps

mp.dps = 50

INF, NAN = math.inf, math.nan
each_backend = pytest.mark.parametrize("backend", ["native", "reference"])


def leaf(*values: float, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.tensor(values, dtype=dtype, requires_grad=True)


@each_backend
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("eps", [1e-30, 1e-10, 1e-3, 1.0, 1e10, 1e30])
def test_value_and_gradient_are_relatively_exact(
    eps: float, dtype: torch.dtype, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lossmith.backend.FORCED", backend)
    eps = float(numpy.float32(eps))
    errors = [eps * m for m in (1e-3, 0.3, 0.999, 1.0, 1.001, 3.0, 1e3)] + [1e-37, 1e-20, 1e-3, 1.0, 1e20, 1e30, 3e38]
    x = leaf(*errors, *(-e for e in errors), dtype=dtype)
    loss = LF.charbonnier_loss(x, torch.zeros_like(x), eps, "none")
    (slope,) = grad(loss.sum(), x)
    kind = numpy.dtype(str(dtype).removeprefix("torch.")).type
    for e, value, s in zip(x.tolist(), loss.tolist(), slope.tolist(), strict=True):
        truth = sqrt(mpf(e) ** 2 + mpf(eps) ** 2)
        assert ulps(value, truth, truth, kind) <= 4, (e, value, truth)
        assert ulps(s, mpf(e) / truth, abs(mpf(e) / truth), kind) <= 4, (e, s)


@each_backend
def test_it_is_finite_where_the_error_is(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossmith.backend.FORCED", backend)
    x = leaf(1e30, -3.4e38, INF, -INF, NAN, 0.0)
    loss = LF.charbonnier_loss(x, torch.zeros(6), reduction="none")
    assert loss[:4].tolist() == [torch.tensor(1e30).item(), torch.tensor(3.4e38).item(), INF, INF]
    assert loss[4].isnan() and loss[5].item() == pytest.approx(1e-3)
    (slope,) = grad(loss.sum(), x)
    assert slope[:4].tolist() == [1, -1, 1, -1]
    assert slope[4].isnan() and slope[5] == 0
    assert not torch.sqrt(x[:1] ** 2 + 1e-6).isfinite()  # as it is written by hand


@each_backend
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("eps", [1e-30, 1e-40, 1e-300, 5e-324])
def test_the_smallest_eps_is_l1_with_a_slope_of_0_at_0(
    eps: float, dtype: torch.dtype, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lossmith.backend.FORCED", backend)
    x = leaf(0.0, 2.0, -0.5, dtype=dtype)
    loss = LF.charbonnier_loss(x, torch.zeros_like(x), eps, "none")
    assert loss.tolist() == pytest.approx([0, 2, 0.5], abs=1e-29)
    assert grad(loss.sum(), x)[0].tolist() == [0, 1, -1]


def test_the_curvature_is_eps_squared_over_the_cubed_loss() -> None:
    x = leaf(0.0, 0.5, -0.7, 0.7, 3.0, dtype=torch.float64)
    loss = LF.charbonnier_loss(x, torch.zeros_like(x), 0.7, "none")
    (slope,) = grad(loss.sum(), x, create_graph=True)
    (curvature,) = grad(slope.sum(), x)
    torch.testing.assert_close(curvature, (0.49 / loss**3).detach())


@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("eps", [1e-2, 0.4, 10.0])
def test_derivatives_against_finite_differences(eps: float, reduction: str) -> None:
    x, y = leaf(0.3, -1.2, 4.0, 0.0, 0.5, dtype=torch.float64), leaf(0.1, 0.7, -2.0, 0.0, 0.1, dtype=torch.float64)
    for check in (gradcheck, gradgradcheck):
        check(lambda a, b: LF.charbonnier_loss(a, b, eps, reduction), (x, y))


def test_values_and_gradients_are_lapsrns() -> None:
    """Lai et al.: rho(x) = sqrt(x^2 + eps^2), summed over an image and averaged over the images."""
    x, y = torch.rand(5, 3, 8, 8, requires_grad=True), torch.rand(5, 3, 8, 8)
    theirs = torch.sqrt((x - y) ** 2 + 1e-3**2).sum() / 5
    with recorded() as records:
        ours = lossmith.CharbonnierLoss(reduction="batchmean")(x, y)
    assert [record.backend for record in records] == ["native"]
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(grad(ours, x), grad(theirs, x))


@pytest.mark.parametrize("delta", [0.3, 1.0, 5.0])
def test_the_pseudo_huber_loss_of_scipy_is_a_multiple_less_a_constant(delta: float) -> None:
    x = torch.linspace(-6, 6, 101, dtype=torch.float64)
    ours = delta * LF.charbonnier_loss(x, torch.zeros_like(x), delta, "none") - delta**2
    torch.testing.assert_close(ours, torch.from_numpy(pseudo_huber(delta, x.numpy())))


@pytest.mark.parametrize("scale", [0.3, 1.0, 5.0])
def test_barrons_general_loss_at_alpha_1(scale: float) -> None:
    """Equation 1 of the paper, with alpha = 1."""
    x, alpha = torch.linspace(-6, 6, 101, dtype=torch.float64), 1
    barron = abs(alpha - 2) / alpha * (((x / scale) ** 2 / abs(alpha - 2) + 1) ** (alpha / 2) - 1)
    torch.testing.assert_close(LF.charbonnier_loss(x, torch.zeros_like(x), scale, "none") / scale - 1, barron)


def test_what_the_card_says_of_other_code() -> None:
    x = torch.linspace(-0.01, 0.01, 101)
    bare = torch.sqrt(x * x + 1e-6)
    torch.testing.assert_close(LF.charbonnier_loss(x, torch.zeros(101), reduction="none"), bare)
    e = torch.linspace(-5, 5, 101, dtype=torch.float64)
    powered = (e**2 + 1e-6) ** 0.45
    assert (powered.diff().diff() < -1e-9).any()  # not convex
    assert (LF.charbonnier_loss(e, torch.zeros_like(e), reduction="none").diff().diff() > -1e-9).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_halves_are_computed_in_float32(dtype: torch.dtype) -> None:
    x, y = torch.randn(50).to(dtype).requires_grad_(), torch.randn(50).to(dtype)
    wide = x.detach().float().requires_grad_()
    for reduction in ("none", "mean"):
        ours = LF.charbonnier_loss(x, y, 1e-6, reduction)
        expected = LF.charbonnier_loss(wide, y.float(), 1e-6, reduction)
        assert torch.equal(ours, expected.to(dtype))
        assert torch.equal(grad(ours.sum(), x)[0], grad(expected.sum(), wide)[0].to(dtype))


def test_the_optimum_goes_from_median_to_mean() -> None:
    y = torch.empty(1001, dtype=torch.float64).exponential_(generator=torch.Generator().manual_seed(0))
    median, mean = y.median().item(), y.mean().item()
    x = torch.linspace(median - 0.1, mean + 0.1, 2001, dtype=torch.float64)
    best = [
        x[LF.charbonnier_loss(x[:, None].expand(-1, 1001), y.expand(2001, 1001), eps, "none").mean(1).argmin()].item()
        for eps in (1e-3, 0.5, 2.0, 1e3)
    ]
    assert best == sorted(best)
    assert best[0] == pytest.approx(median, abs=0.01)
    assert best[3] == pytest.approx(mean, abs=1e-3)


@pytest.mark.parametrize("eps", [0.0, -1e-3, NAN, INF])
def test_an_eps_that_is_no_width_is_refused(eps: float) -> None:
    with pytest.raises(ValueError, match=r"charbonnier_loss: eps is .*expected a finite number above 0.*l1_loss"):
        LF.charbonnier_loss(torch.zeros(2), torch.zeros(2), eps)


def test_wrong_inputs() -> None:
    x = torch.zeros(3)
    with pytest.raises(NotImplementedError, match=r"charbonnier_loss: .*floating dtype.*input.float"):
        LF.charbonnier_loss(torch.zeros(3, dtype=torch.int32), x)
    with pytest.raises(RuntimeError, match="charbonnier_loss: the shapes can't be broadcast together"):
        LF.charbonnier_loss(x, torch.zeros(2))
    with pytest.warns(lossmith.LossWarning, match=r"broadcast to \(3, 3\)"):
        LF.charbonnier_loss(torch.zeros(3, 1), x)
    assert LF.charbonnier_loss(torch.zeros(0, 3), torch.zeros(0, 3), reduction="none").shape == (0, 3)
