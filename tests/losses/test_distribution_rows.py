"""Poisson and Gaussian likelihoods and KL divergence: their rows of the list of pains, and the numbers of textbooks."""

import math
import warnings

import pytest
import torch
from torch.autograd import grad

import lossmith
import lossmith.functional as LF

# the compiler makes an instance of what keeps a formula's gradient, and torch warns about itself
pytestmark = pytest.mark.filterwarnings("ignore:.*Function.* should not be instantiated:DeprecationWarning")

INF, NAN = math.inf, math.nan


def leaf(*values: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.tensor(values, dtype=dtype, requires_grad=True)


def compiled(function):
    torch.compiler.reset()
    return torch.compile(function, backend="aot_eager", fullgraph=True)


def by_name(loss):
    return loss.__name__ if callable(loss) else None


def gaussian_of_one(x, y, **keywords):
    return LF.gaussian_nll_loss(x, y, 1.0, **keywords)


# ----- all three -----


@pytest.mark.parametrize("loss", [LF.poisson_nll_loss, gaussian_of_one, LF.kl_div], ids=by_name)
def test_p27_a_column_against_a_row_warns(loss):
    column, row = torch.zeros(3, 1), torch.ones(3)
    for reduction in ("mean", "sum", "batchmean"):
        with pytest.warns(lossmith.LossWarning, match=r"input \(3, 1\) float32, target \(3,\).*to \(3, 3\)"):
            loss(column, row, reduction=reduction)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert loss(column, row, reduction="none").shape == (3, 3)
        loss(torch.zeros(2, 3), row)
    with pytest.raises(RuntimeError, match=r"can't be broadcast together: input \(4,\).*target \(3,\)"):
        loss(torch.zeros(4), row)


@pytest.mark.parametrize("loss", [LF.poisson_nll_loss, gaussian_of_one, LF.kl_div], ids=by_name)
def test_p28_p29_masks_and_weights(loss):
    x, y = leaf(-1.0, NAN, -2.0, -INF), torch.tensor([0.5, 0.5, 0.25, NAN])
    mask, s = torch.tensor([True, False, True, False]), leaf(1.0, NAN, 3.0, 7.0)
    value = loss(x, y, mask=mask, sample_weight=s)
    first, _, third, _ = loss(x, y, reduction="none", mask=mask).tolist()
    assert value.item() == pytest.approx((first + 3 * third) / 4)
    slope, to_weights = grad(value, (x, s))
    assert not slope.isnan().any()
    assert slope[1].item() == slope[3].item() == 0
    expected = [(first - value.item()) / 4, 0, (third - value.item()) / 4, 0]
    assert to_weights.tolist() == pytest.approx(expected, rel=1e-5)


# ----- KL divergence -----


def test_p42_a_zero_target_costs_nothing_and_its_gradients_are_finite():
    x, q = leaf(-INF, -1.0, -200.0, -1.0), leaf(0.0, 0.0, 0.0, 0.5)
    for loss in (LF.kl_div, compiled(LF.kl_div)):
        value = loss(x, q, reduction="none")
        assert value[:3].tolist() == [0, 0, 0]
        to_input, to_target = grad(value.sum(), (x, q))
        assert to_input.tolist() == [0, 0, 0, -0.5]
        # q log q counts as 0 there with a slope of 0, so -x is left; of -inf, nothing
        assert to_target.tolist() == pytest.approx([0, 1, 200, math.log(0.5) + 2])


def test_p42_second_derivatives_at_a_zero_target():
    x, q = leaf(-1.0, -2.0), leaf(0.0, 0.5)
    slopes = grad(LF.kl_div(x, q, reduction="sum"), (x, q), create_graph=True)
    second = grad(slopes[0].sum() + slopes[1].sum(), (x, q))
    assert second[0].tolist() == [-1, -1]
    assert second[1].tolist() == [-1, 1]  # 1 / q - 1


def test_p42_log_targets_of_minus_infinity():
    x, t = leaf(-INF, -1.0, -1.0), leaf(-INF, -INF, -2.0)
    for loss in (LF.kl_div, compiled(LF.kl_div)):
        value = loss(x, t, reduction="none", log_target=True)
        assert value.tolist() == pytest.approx([0, 0, -math.exp(-2)])
        to_input, to_target = grad(value.sum(), (x, t))
        assert to_input.tolist() == pytest.approx([0, 0, -math.exp(-2)])
        assert to_target.tolist() == pytest.approx([0, 0, 0])


def test_p42_what_is_impossible_where_it_is_expected_costs_infinity():
    x, q = leaf(-INF), torch.tensor([0.5])
    assert LF.kl_div(x, q).item() == INF
    assert LF.kl_div(x, q.log(), log_target=True).item() == INF


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("log_target", [False, True])
def test_p06_p42_half_precision_is_the_float32_result_rounded_once(dtype, log_target):
    rows, classes = 64, 2048
    x = torch.full((rows, classes), -2000.0, dtype=dtype, requires_grad=True)  # a total of 128,000: inf in float16
    q = torch.full((rows, classes), 1 / classes, dtype=dtype)
    target = q.float().log().to(dtype) if log_target else q
    value = LF.kl_div(x, target, reduction="batchmean", log_target=log_target)
    expected = LF.kl_div(x.float(), target.float(), reduction="batchmean", log_target=log_target)
    assert value.dtype == dtype
    assert value.item() == expected.to(dtype).item()
    assert value.isfinite()
    (slope,) = grad(value, x)
    torch.testing.assert_close(slope, (-(target.float().exp() if log_target else q.float()) / rows).to(dtype))


def test_batchmean_is_the_divergence():
    p, q = torch.tensor([[0.25, 0.75], [0.5, 0.5]]), torch.tensor([[0.5, 0.5], [0.9, 0.1]])
    divergences = [
        sum(b * math.log(b / a) for a, b in zip(rows[0], rows[1], strict=True))
        for rows in zip(p.tolist(), q.tolist(), strict=True)
    ]
    truth = pytest.approx(sum(divergences) / 2)
    assert LF.kl_div(p.log(), q, reduction="batchmean").item() == truth
    assert LF.kl_div(p.log(), q.log(), reduction="batchmean", log_target=True).item() == truth
    assert 2 * LF.kl_div(p.log(), q).item() == truth  # mean is C times smaller; no warning here, the guard tells
    steps = [t.expand(3, 2, 2).transpose(0, 1) for t in (p.log(), q)]  # (N, T, C)
    assert LF.kl_div(*steps, reduction="batchmean").item() / 3 == truth


def test_batchmean_divides_as_torch():
    one, many = torch.zeros(3), torch.full((2, 3), 0.5)
    for x, q in ((one, many), (many, one), (one[0], many), (one[:0], one[:0])):
        expected = torch.nn.functional.kl_div(x, q, reduction="batchmean")
        torch.testing.assert_close(LF.kl_div(x, q, reduction="batchmean"), expected, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64], ids=str)
def test_kl_div_refuses_what_is_not_floating(dtype):
    x, q = torch.zeros(2), torch.ones(2)
    with pytest.raises(RuntimeError, match=r"kl_div: target is \(2,\) .*floating.*cross_entropy"):
        LF.kl_div(x, q.to(dtype))
    with pytest.raises(RuntimeError, match="kl_div: input is"):
        LF.kl_div(x.to(dtype), q)


# ----- Poisson -----


@pytest.mark.parametrize("log_input", [True, False])
def test_p50_the_stirling_term_has_no_gradient_up_to_1(log_input):
    x, y = leaf(*[0.5] * 5), leaf(0.0, 0.5, 1.0, 2.0, 3.0)
    for loss in (LF.poisson_nll_loss, compiled(LF.poisson_nll_loss)):
        without = loss(x, y, log_input=log_input, reduction="none")
        full = loss(x, y, log_input=log_input, full=True, reduction="none")
        term = (full - without).tolist()
        assert term[:3] == [0, 0, 0]
        assert term[3:] == pytest.approx(
            [n * math.log(n) - n + math.log(2 * math.pi * n) / 2 for n in (2, 3)], rel=1e-5
        )
        slopes = [grad(value.sum(), (x, y)) for value in (without, full)]
        assert torch.equal(slopes[0][0], slopes[1][0])
        difference = (slopes[1][1] - slopes[0][1]).tolist()
        assert difference == pytest.approx([0, 0, 0, math.log(2) + 1 / 4, math.log(3) + 1 / 6])


@pytest.mark.parametrize("log_input", [True, False])
def test_p50_exact(log_input):
    x, y = leaf(*[0.5] * 6, dtype=torch.float64), leaf(0.0, 1.0, 2.0, 3.0, 10.0, 2.5, dtype=torch.float64)
    exact = LF.poisson_nll_loss(x, y, log_input=log_input, full="exact", reduction="none", eps=0)
    rate = [math.exp(v) if log_input else v for v in x.tolist()]
    truth = [r - k * math.log(r) + math.lgamma(k + 1) for r, k in zip(rate, y.tolist(), strict=True)]
    assert exact.tolist() == pytest.approx(truth, rel=1e-14)
    assert torch.autograd.gradcheck(lambda a, b: LF.poisson_nll_loss(a, b, log_input, "exact"), (x, y))
    module = lossmith.PoissonNLLLoss(log_input, full="exact", eps=0)
    torch.testing.assert_close(module(x, y), exact.mean())


def test_p50_a_negative_rate_is_nan_as_in_torch():
    x, y = torch.tensor([-1.0, 2.0]), torch.tensor([1.0, 2.0])
    ours, torchs = (
        f(x, y, False, reduction="none") for f in (LF.poisson_nll_loss, torch.nn.functional.poisson_nll_loss)
    )
    torch.testing.assert_close(ours, torchs, equal_nan=True)
    assert ours[0].isnan()


@pytest.mark.parametrize("full", [None, "stirling", 2])
def test_p50_other_ways_to_be_full_are_refused(full):
    with pytest.raises(ValueError, match=r"full is .*'exact'"):
        LF.poisson_nll_loss(torch.zeros(1), torch.zeros(1), full=full)
    with pytest.raises(ValueError, match="PoissonNLLLoss: full is"):
        lossmith.PoissonNLLLoss(full=full)


@pytest.mark.parametrize("full", [False, True, "exact"])
def test_a_count_of_zero_at_a_rate_of_zero(full):
    x, y = leaf(-INF), leaf(0.0)
    for loss in (LF.poisson_nll_loss, compiled(LF.poisson_nll_loss)):
        value = loss(x, y, full=full)
        to_input, to_target = grad(value, (x, y))
        assert value.item() == to_input.item() == 0
        assert to_target.isfinite()
        assert loss(x, y + 2, full=full).item() == INF


# ----- Gaussian -----


def test_gaussian_by_hand():
    # the density of N(1, 4) at 3 is exp(-1/2) / sqrt(2 pi 4)
    density = math.exp(-0.5) / math.sqrt(8 * math.pi)
    for var in (4, 4.0, torch.tensor([4.0])):
        value = LF.gaussian_nll_loss(torch.tensor([1.0]), torch.tensor([3.0]), var, full=True)
        assert value.item() == pytest.approx(-math.log(density))


@pytest.mark.parametrize(
    "shape", [(4, 3, 2, 2), (4, 3, 1, 1), (1, 1, 1, 1), (4, 3, 2), (3, 1, 1), (2,), (1,), ()], ids=str
)
def test_p51_any_variance_that_broadcasts(shape):
    x, y = torch.randn(4, 3, 2, 2), torch.randn(4, 3, 2, 2)
    var = torch.rand(shape) + 0.1
    whole = (var.unsqueeze(-1) if shape == (4, 3, 2) else var).expand(4, 3, 2, 2)
    torch.testing.assert_close(
        LF.gaussian_nll_loss(x, y, var, reduction="none"),
        torch.nn.functional.gaussian_nll_loss(x, y, whole, reduction="none"),
    )


@pytest.mark.parametrize("shape", [(3,), (4, 3), (5, 3, 1, 1), (1, 4, 3, 2, 2)], ids=str)
def test_p51_other_shapes_are_refused(shape):
    x = torch.zeros(4, 3, 2, 2)
    with pytest.raises(ValueError, match=r"gaussian_nll_loss: var is .*broadcasts to input and target \(4, 3, 2, 2\)"):
        LF.gaussian_nll_loss(x, x, torch.ones(shape))


@pytest.mark.parametrize("var", [0, 2, 0.5, 1e-9])
def test_p51_a_number(var):
    x, y = leaf(1.0, -2.0), torch.tensor([0.5, 0.0])
    expected = torch.nn.functional.gaussian_nll_loss(x, y, float(var), full=True)
    for loss in (LF.gaussian_nll_loss, compiled(LF.gaussian_nll_loss)):
        value = loss(x, y, var, full=True)
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(grad(value, x), grad(expected, x, retain_graph=True))
    half = LF.gaussian_nll_loss(x.half(), y.half(), 1e5)  # no half, and so inf in torch
    assert half.item() == pytest.approx(math.log(1e5) / 2, rel=1e-3)


def test_p51_a_negative_variance_is_refused_where_it_can_be_read():
    x, var = torch.zeros(2, 2), torch.tensor([[1.0, 1.0], [-0.5, 1.0]])
    with pytest.raises(ValueError, match=r"negative entry, -0.5 at position \(1, 0\).*softplus"):
        LF.gaussian_nll_loss(x, x, var)
    for number in (-1, -0.5):
        with pytest.raises(ValueError, match=f"var is {number}, expected a variance of 0 or more"):
            LF.gaussian_nll_loss(x, x, number)
    with pytest.raises(TypeError, match="var is a list"):
        LF.gaussian_nll_loss(x, x, [1.0])
    with pytest.raises(ValueError, match="mask is"):
        LF.gaussian_nll_loss(x, x, var, mask=torch.ones(3, dtype=torch.bool))
    # nobody looks at what is masked
    assert LF.gaussian_nll_loss(x, x, var, mask=var > 0).item() == 0
    assert LF.gaussian_nll_loss(x, x, torch.where(var > 0, 1.0, NAN), mask=var > 0).item() == 0


@pytest.mark.parametrize("way", [compiled, torch.vmap], ids=["compiled", "vmap"])
def test_p51_elsewhere_a_negative_variance_is_nan_without_a_gradient(way):
    x, y, var = leaf(1.0, 2.0, 3.0), leaf(0.0, 0.0, 0.0), leaf(1.0, -1.0, 4.0)
    value = way(lambda *a: LF.gaussian_nll_loss(*a, reduction="none"))(x, y, var)
    assert value.isnan().tolist() == [False, True, False]
    slopes = grad(value.nansum(), (x, y, var))
    assert [slope[1].item() for slope in slopes] == [0, 0, 0]
    assert slopes[0].tolist() == [1, 0, 0.75]
    masked = way(lambda *a: LF.gaussian_nll_loss(*a[:3], mask=a[3], reduction="none"))(x, y, var, var > 0)
    torch.testing.assert_close(masked, value.nan_to_num())


def test_p51_no_value_is_read_on_a_device():
    x = torch.zeros(3, device="meta", requires_grad=True)  # there is nothing to read here
    LF.gaussian_nll_loss(x, x, x, mask=torch.ones(3, device="meta", dtype=torch.bool)).backward()


def test_p51_vmap_of_the_gradient():
    x, y, var = torch.randn(5, 3), torch.randn(5, 3), torch.rand(5, 3) + 0.1
    slopes = torch.vmap(torch.func.grad(LF.gaussian_nll_loss, (0, 2)))(x, y, var)
    for row in range(5):
        expected = torch.func.grad(torch.nn.functional.gaussian_nll_loss, (0, 2))(x[row], y[row], var[row])
        torch.testing.assert_close(tuple(slope[row] for slope in slopes), expected)


def test_p52_the_gradient_of_the_clamp():
    x, y, var = torch.ones(4), torch.zeros(4), leaf(0.0, 1e-9, 1e-6, 1.0)
    for loss in (LF.gaussian_nll_loss, compiled(LF.gaussian_nll_loss)):
        through, clamped = (loss(x, y, var, reduction="none", clamp_gradient=c) for c in (False, True))
        assert torch.equal(through, clamped)
        assert grad(through.sum(), var)[0].tolist() == pytest.approx([-5e11, -5e11, -5e11, 0], rel=1e-5)
        assert grad(clamped.sum(), var)[0].tolist() == pytest.approx([0, 0, -5e11, 0], rel=1e-5)
    module = lossmith.GaussianNLLLoss(clamp_gradient=True)
    assert grad(module(x[:1], y[:1], var[:1]), var)[0].tolist() == [0, 0, 0, 0]
