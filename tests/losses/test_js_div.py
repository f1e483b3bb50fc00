"""Jensen-Shannon divergence: SciPy and torch's kl_div, its bounds and limits, zeros and infinities, wrong calls."""

import math

import mpmath
import pytest
import torch
import torch.nn.functional as F
from scipy.spatial.distance import jensenshannon
from torch import Tensor

import lossmith
import lossmith.functional as LF
from lossmith import LossWarning, backend, explain_dispatch

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def distributions(*shape: int, seed: int, scale: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(shape, generator=generator, dtype=torch.float64)).softmax(-1)


def by_kl_div(log_p: Tensor, q: Tensor, beta: float) -> Tensor:
    """As it is composed in code for GKD, from torch's function."""
    log_m = torch.logaddexp(q.log() + math.log(beta), log_p + math.log1p(-beta))
    of_target = F.kl_div(log_m, q, reduction="none")
    return beta * of_target + (1 - beta) * F.kl_div(log_m, log_p, reduction="none", log_target=True)


def both_ways(function, *points: Tensor) -> list[tuple[Tensor, ...]]:
    """The losses and their slopes, by the kernel and by the reference."""
    found = []
    for forced in ("native", "reference"):
        before, backend.FORCED = backend.FORCED, forced
        try:
            leaves = [p.detach().clone().requires_grad_() for p in points]
            values = function(*leaves)
            found.append((values.detach(), *torch.autograd.grad(values, leaves, torch.ones_like(values))))
        finally:
            backend.FORCED = before
    return found


# ----- packages -----


def test_scipys_distance_is_the_root():
    p, q = distributions(9, 7, seed=1), distributions(9, 7, seed=2)
    p[0], q[0] = torch.eye(7)[0], torch.eye(7)[3]
    p[1], q[1] = torch.eye(7)[0], torch.eye(7)[0]
    p[2, 3:] = 0
    p[2] /= p[2].sum()
    rows = LF.js_div(p.log(), q, reduction="none").sum(-1)
    expected = jensenshannon(p.numpy(), q.numpy(), axis=1) ** 2
    torch.testing.assert_close(rows, torch.from_numpy(expected))
    batchmean = LF.js_div(p.log(), q, reduction="batchmean")
    torch.testing.assert_close(batchmean, rows.mean())
    torch.testing.assert_close(LF.js_div(p.log(), q), rows.mean() / 7)
    in_bits = jensenshannon(p.numpy(), q.numpy(), base=2, axis=1) ** 2
    torch.testing.assert_close(rows / math.log(2), torch.from_numpy(in_bits))


@pytest.mark.parametrize("beta", [0.5, 0.1, 0.9, 1e-3])
def test_torchs_kl_div_to_the_mixture(beta):
    logits, q = torch.randn(5, 8, dtype=torch.float64), distributions(5, 8, seed=3)
    for target, keywords in ((q, {}), (q.log(), {"log_target": True})):
        x, y = logits.log_softmax(-1).detach().requires_grad_(), target.clone().requires_grad_()
        assert explain_dispatch(LF.js_div, x, y, beta=beta, **keywords).backend == "native"
        found = LF.js_div(x, y, beta=beta, reduction="batchmean", **keywords)
        expected = by_kl_div(x, y.exp() if keywords else y, beta).sum() / 5
        torch.testing.assert_close(found, expected)
        gradients = torch.autograd.grad(found, (x, y))
        torch.testing.assert_close(gradients, torch.autograd.grad(expected, (x, y)))


# ----- what it is -----


def test_it_is_symmetric_and_at_most_log_2():
    p, q = distributions(200, 5, seed=1, scale=5), distributions(200, 5, seed=2, scale=5)
    there, back = (LF.js_div(a.log(), b, reduction="none") for a, b in ((p, q), (q, p)))
    torch.testing.assert_close(there, back)
    rows = there.sum(-1)
    assert (there >= 0).all() and (rows > 0).all() and (rows < math.log(2)).all() and rows.max() > 0.68
    sure = LF.js_div(torch.eye(3).log(), torch.eye(3).roll(1, 0), reduction="none").sum(-1)
    torch.testing.assert_close(sure, torch.full((3,), math.log(2)))


@pytest.mark.parametrize("beta", [0.1, 0.5, 0.8])
def test_beta_is_the_targets_share(beta):
    p, q = distributions(6, 5, seed=1), distributions(6, 5, seed=2)
    there = LF.js_div(p.log(), q, beta=beta, reduction="none")
    torch.testing.assert_close(there, LF.js_div(q.log(), p, beta=1 - beta, reduction="none"))
    apart = LF.js_div(torch.tensor([0.0, -math.inf]), torch.tensor([0.0, 1.0]), beta=beta, reduction="sum")
    torch.testing.assert_close(apart.item(), -beta * math.log(beta) - (1 - beta) * math.log(1 - beta))


def test_its_limits_are_kullback_leibler_divergences():
    p, q = distributions(6, 5, seed=1), distributions(6, 5, seed=2)
    forward = LF.js_div(p.log(), q, beta=1e-6, reduction="batchmean") / 1e-6
    torch.testing.assert_close(forward, LF.kl_div(p.log(), q, reduction="batchmean"), rtol=1e-4, atol=0)
    reverse = LF.js_div(p.log(), q, beta=1 - 1e-6, reduction="batchmean") / 1e-6
    torch.testing.assert_close(reverse, LF.kl_div(q.log(), p, reduction="batchmean"), rtol=1e-4, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_near_the_target_it_is_half_the_square_of_the_ratio(dtype):
    """Nothing of the logarithms of p and q themselves is lost in it."""
    q = torch.tensor([1e-4, 0.3, 0.9], dtype=dtype)
    for shift in (1e-2, 1e-3):
        log_p = (q.double().log() + shift).to(dtype)
        expected = torch.tensor([exactly(x, y) for x, y in zip(log_p.tolist(), q.tolist(), strict=True)], dtype=dtype)
        torch.testing.assert_close(expected, q * shift**2 / 8, rtol=2e-2, atol=0)
        # what is lost is the rounding of log p and log q against their difference
        rtol = 20 * torch.finfo(dtype).eps / shift
        for value, *_ in both_ways(lambda x: LF.js_div(x, q, reduction="none"), log_p):
            torch.testing.assert_close(value, expected, rtol=rtol, atol=0)


def exactly(x: float, q: float) -> float:
    """In as many digits as cancel."""
    with mpmath.workdps(50):
        p, q = mpmath.exp(x), mpmath.mpf(q)
        m = (p + q) / 2
        return float(q / 2 * mpmath.log(q / m) + p / 2 * mpmath.log(p / m))


# ----- derivatives -----


@pytest.mark.parametrize("beta", [0.5, 0.1])
@pytest.mark.parametrize("log_target", [False, True])
@pytest.mark.parametrize("reduction", ["none", "batchmean"])
def test_first_and_second_derivatives(log_target, beta, reduction):
    x = distributions(2, 3, seed=1).log().requires_grad_()
    q = distributions(2, 3, seed=2)
    y = (q.log() if log_target else q).requires_grad_()

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return LF.js_div(x, y, log_target, beta, reduction)

    torch.autograd.gradcheck(loss, (x, y))
    torch.autograd.gradgradcheck(loss, (x, y))


def test_at_the_target_the_slope_is_0_and_the_curvature_a_quarter_of_it():
    q = distributions(4, seed=1)
    x = q.log().requires_grad_()
    (slope,) = torch.autograd.grad(LF.js_div(x, q, reduction="sum"), x, create_graph=True)
    assert slope.abs().max() < 1e-16
    torch.testing.assert_close(torch.autograd.grad(slope.sum(), x)[0], q / 4)


# ----- zeros, infinities, tails -----


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("log_target", [False, True])
def test_what_is_impossible_on_either_side(log_target, dtype):
    p = torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0, 0.0], dtype=dtype)
    q = torch.tensor([0.0, 0.5, 0.0, 1.0, 0.0, 1.0], dtype=dtype)
    expected = torch.tensor([0.0, 0.25, 0.25, 0.0, 0.5, 0.5], dtype=torch.float64) * math.log(2)
    slopes = torch.tensor([0.0, 0.0, 0.25, 0.0, 0.5, 0.0], dtype=torch.float64) * math.log(2)
    of_target = torch.tensor([0.0, 0.5, 0.0, 0.0, 0.0, 0.5], dtype=torch.float64) * math.log(2)
    if log_target:
        of_target = of_target * q.double()
    found = both_ways(lambda x, y: LF.js_div(x, y, log_target, reduction="none"), p.log(), q.log() if log_target else q)
    for value, slope, slope_of_target in found:
        torch.testing.assert_close(value, expected.to(dtype))
        torch.testing.assert_close(slope, slopes.to(dtype))
        torch.testing.assert_close(slope_of_target, of_target.to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_all_ratios(dtype):
    """As far apart as numbers go, against the same in float64 by logarithms of both."""
    x = torch.tensor([-1e-8, -1.0, -20.0, -44.0, -46.0, -80.0, -100.0, -700.0, -1e30], dtype=dtype)
    log_p, log_q = (t.reshape(-1) for t in torch.meshgrid(x, x, indexing="ij"))
    p, q = log_p.double().exp(), log_q.double().exp()
    m = (p + q) / 2
    expected = torch.special.xlogy(q / 2, q / m.clamp(min=1e-320)) + torch.special.xlogy(p / 2, p / m.clamp(min=1e-320))
    ends = (p < 1e-300) | (q < 1e-300)
    expected = torch.where(ends, (p + q) / 2 * math.log(2), expected)
    for value, slope, of_target in both_ways(lambda x, y: LF.js_div(x, y, True, reduction="none"), log_p, log_q):
        torch.testing.assert_close(value, expected.to(dtype), rtol=2e-6, atol=1e-37)
        assert slope.isfinite().all() and of_target.isfinite().all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_and_mixed_ones(dtype):
    x, q = distributions(4, 5, seed=1).log().to(dtype).requires_grad_(), distributions(4, 5, seed=2).to(dtype)
    loss = LF.js_div(x, q, reduction="batchmean")
    wide = x.detach().double().requires_grad_()
    expected = LF.js_div(wide, q.double(), reduction="batchmean")
    assert loss.dtype == dtype
    torch.testing.assert_close(loss, expected.to(dtype))
    (gradient,) = torch.autograd.grad(loss, x)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, wide)[0].to(dtype))
    assert LF.js_div(x, q.double()).dtype == torch.float64


def test_no_elements():
    x = torch.zeros(0, 3, requires_grad=True)
    assert LF.js_div(x, torch.zeros(0, 3)).isnan()
    assert LF.js_div(x, torch.zeros(0, 3), reduction="sum") == 0


def test_nan_goes_through():
    for x, q in ((math.nan, 0.5), (-1.0, math.nan)):
        assert LF.js_div(torch.tensor([x]), torch.tensor([q])).isnan()


# ----- wrong calls -----


def test_logits_are_refused_and_said_what_to_write():
    logits, q = torch.tensor([[-1.0, -2.0], [0.5, -3.0]]), torch.tensor([[0.5, 0.5], [0.2, 0.8]])
    for wanted in (False, True):
        x = logits.clone().requires_grad_(wanted)
        message = r"js_div: input holds 0\.5 at position \(1, 0\) of \(2, 2\) float32.*write log_softmax of the logits"
        with pytest.raises(RuntimeError, match=message):
            LF.js_div(x, q)
        with pytest.raises(RuntimeError, match=r"target holds 0\.5"):
            LF.js_div(q.log(), x, log_target=True)
        with pytest.raises(RuntimeError, match=r"target holds -1 at position \(0, 0\).*or log_target=True"):
            LF.js_div(q.log(), x)
    mask = torch.tensor([[True, True], [False, True]])
    assert LF.js_div(logits, q, mask=mask).isfinite()
    rows = torch.func.vmap(lambda x, q: LF.js_div(x, q, reduction="none"))(logits, q)
    assert rows[1, 0].isnan() and rows[0].isfinite().all()


def test_rounding_beyond_1_is_taken():
    x = torch.tensor([1e-7, 4e-3])
    assert LF.js_div(x, x.exp(), reduction="none").abs().max() < 1e-6


@pytest.mark.parametrize("beta", [0, 1, 0.0, 1.0, -0.1, 1.5, math.nan, True, None, 1e-9])
def test_shares_that_are_none(beta):
    x = torch.zeros(2)
    with pytest.raises(ValueError, match=r"js_div: beta is .*a number from 1e-6 to 1 - 1e-6.*kl_div"):
        LF.js_div(x, x, beta=beta)
    with pytest.raises(ValueError, match="JSDivLoss: beta is"):
        lossmith.JSDivLoss(beta=beta)


def test_wrong_shapes_and_dtypes():
    x = torch.zeros(4, 3)
    with pytest.raises(RuntimeError, match=r"target is \(4,\) int64, expected a floating dtype.*cross_entropy"):
        LF.js_div(x, torch.zeros(4, dtype=torch.int64))
    with pytest.raises(RuntimeError, match="can't be broadcast together"):
        LF.js_div(x, torch.zeros(4, 2))
    with pytest.warns(LossWarning, match="broadcast to"):
        LF.js_div(torch.zeros(4, 1), torch.zeros(3))
