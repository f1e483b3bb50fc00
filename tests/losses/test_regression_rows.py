"""L1, MSE, Huber and smooth L1: their rows of the list of pains, and the numbers of textbooks."""

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
MODULES = (lossmith.L1Loss, lossmith.MSELoss, lossmith.HuberLoss, lossmith.SmoothL1Loss)
LOSSES = (LF.l1_loss, LF.mse_loss, LF.huber_loss, LF.smooth_l1_loss)
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda f: f.__name__)
each_module = pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__)


def leaf(*values: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.tensor(values, dtype=dtype, requires_grad=True)


def compiled(function):
    torch.compiler.reset()
    return torch.compile(function, backend="aot_eager", fullgraph=True)


# ----- broadcasting -----


@each_module
@pytest.mark.parametrize("reduction", ["mean", "sum", "batchmean"])
def test_p26_a_column_against_a_row_warns(module, reduction):
    with pytest.warns(
        lossmith.LossWarning, match=r"input \(3, 1\) float32, target \(3,\).*to \(3, 3\).*view_as"
    ) as seen:
        module(reduction=reduction)(torch.zeros(3, 1), torch.ones(3))
    assert len(seen) == 1
    assert seen[0].filename == __file__


@each_loss
def test_p26_pairs_and_plain_broadcasts_are_silent(loss):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert loss(torch.zeros(3, 1), torch.ones(3), reduction="none").shape == (3, 3)
        loss(torch.zeros(3, 4), torch.ones(4))
        loss(torch.zeros(()), torch.ones(4))


@each_loss
def test_p26_what_cannot_broadcast_is_an_error(loss):
    with pytest.raises(
        RuntimeError, match=rf"{loss.__name__}.*input \(3, 4\).*target \(2, 4\).*dimension -2.*unsqueeze"
    ):
        loss(torch.zeros(3, 4), torch.zeros(2, 4))


# ----- weights and masks -----


@each_loss
@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "batchmean"])
def test_p28_p29_a_masked_nan_enters_nothing(loss, reduction):
    x, y = leaf(1.0, NAN, 3.0, 0.5), torch.tensor([2.0, 5.0, NAN, 0.0])
    mask = torch.tensor([True, False, False, True])
    value = loss(x, y, reduction=reduction, mask=mask)
    kept = loss(x[mask], y[mask], reduction=reduction)
    assert torch.equal(value[mask] if reduction == "none" else value, kept)
    (slope,) = grad(value.sum(), x)
    assert slope[1:3].tolist() == [0, 0]
    assert torch.equal(slope, grad(kept.sum(), x)[0].nan_to_num())


@each_loss
def test_p29_a_weighted_mean_and_the_gradient_of_its_weights(loss):
    x, y = torch.tensor([1.0, -2.0, 0.25]), torch.zeros(3)
    s = leaf(1.0, 2.0, 5.0)
    each, share = loss(x, y, reduction="none").tolist(), s.tolist()
    mean = sum(a * b for a, b in zip(share, each, strict=True)) / 8
    value = loss(x, y, sample_weight=s)
    assert value.item() == pytest.approx(mean)
    # d/ds_i sum(s l) / sum(s) = (l_i - mean) / sum(s)
    assert grad(value, s)[0].tolist() == pytest.approx([(a - mean) / 8 for a in each])


@pytest.mark.parametrize("name", ["l1_loss", "mse_loss", "huber_loss"])
def test_p30_the_module_takes_the_functions_weight(name):
    function = getattr(torch.nn.functional, name)
    module = {"l1_loss": lossmith.L1Loss, "mse_loss": lossmith.MSELoss, "huber_loss": lossmith.HuberLoss}[name]
    x, y, w, v = torch.randn(3, 4), torch.randn(3, 4), torch.rand(3, 4), torch.rand(3, 4)
    for reduction in ("none", "sum", "mean"):
        expected = function(x, y, reduction=reduction, weight=w)
        torch.testing.assert_close(module(reduction=reduction, weight=w)(x, y), expected)
        torch.testing.assert_close(module(reduction=reduction, weight=v)(x, y, weight=w), expected)
    made = module(weight=w)
    assert torch.equal(made.state_dict()["weight"], w)
    assert not module().state_dict()
    assert made.double().weight.dtype == torch.float64
    with pytest.raises(ValueError, match=r"weight must have the shape of input.*sample_weight="):
        module(weight=torch.ones(4))(x, y)


def test_p31_whose_mean_divides_by_its_weights():
    x, y, w = torch.tensor([1.0, 1.0]), torch.zeros(2), torch.tensor([3.0, 1.0])
    assert LF.l1_loss(x, y, weight=w).item() == 1  # (3 + 1) / (3 + 1)
    assert LF.mse_loss(x, y, weight=w).item() == 1
    assert LF.huber_loss(x, y, weight=w).item() == 1  # (3 + 1) / 2 of half the square
    for loss in LOSSES:
        plain = loss(x, y)
        assert torch.equal(loss(x, y, sample_weight=w), plain)
    for loss in LOSSES[:3]:
        assert torch.equal(loss(x, y, weight=w, normalizer="weight"), loss(x, y))
        assert torch.equal(loss(x, y, weight=w, normalizer="count"), 2 * loss(x, y))


def test_a_wider_weight_widens_the_result_as_in_torch():
    x, y, w = torch.randn(3), torch.randn(3), torch.rand(3, dtype=torch.float64)
    for ours, torchs in ((LF.l1_loss, torch.nn.functional.l1_loss), (LF.mse_loss, torch.nn.functional.mse_loss)):
        torch.testing.assert_close(ours(x, y, weight=w), torchs(x, y, weight=w), rtol=1e-6, atol=0)


# ----- smooth L1 and Huber -----


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("beta", [0, 5e-324, 1e-45, 1e-38, 1e-30])
def test_p32_finite_for_the_smallest_beta(beta, dtype):
    x, y = leaf(0.0, 1e-4, -2.0, INF, dtype=dtype), torch.zeros(4, dtype=dtype)
    value = LF.smooth_l1_loss(x, y, beta=beta, reduction="none")
    assert torch.equal(value, x.abs())
    (slope,) = grad(value.sum(), x, create_graph=True)
    assert slope.tolist() == [0, 1, -1, 1]
    if slope.requires_grad:
        assert not grad(slope[:3].sum(), x)[0].isnan().any()


def test_p32_the_smallest_beta_compiled():
    x, y = leaf(0.0, 1e-4, -2.0), torch.zeros(3)
    loss = compiled(LF.smooth_l1_loss)
    for beta in (0.0, 1e-45, 1e-30):
        assert grad(loss(x, y, beta=beta, reduction="sum"), x)[0].tolist() == [0, 1, -1]


def test_p32_a_parabola_below_beta_is_torchs():
    x, y = leaf(0.5, -0.5, 1.5, -4.0, 2.0), torch.zeros(5)
    for beta in (1, 1.5, 2.0, 1e30, INF):
        ours = LF.smooth_l1_loss(x, y, beta=beta, reduction="none")
        torchs = torch.nn.functional.smooth_l1_loss(x, y, beta=beta, reduction="none")
        torch.testing.assert_close(ours, torchs)
        torch.testing.assert_close(grad(ours.sum(), x), grad(torchs.sum(), x))


@pytest.mark.parametrize("beta", [-1.0, -1e-300, NAN])
def test_p32_a_negative_beta_is_refused(beta):
    with pytest.raises(RuntimeError, match=r"smooth_l1_loss: beta is .*expected a number of 0 or more"):
        LF.smooth_l1_loss(torch.zeros(2), torch.zeros(2), beta=beta)


def test_smooth_l1_and_huber():
    x, y = leaf(*torch.linspace(-3, 3, 41).tolist()), torch.zeros(41)
    assert torch.equal(LF.smooth_l1_loss(x, y), LF.huber_loss(x, y))
    for beta in (0.3, 1.0, 2.5):
        scaled, huber = beta * LF.smooth_l1_loss(x, y, beta=beta), LF.huber_loss(x, y, delta=beta)
        torch.testing.assert_close(scaled, huber)
        torch.testing.assert_close(grad(scaled, x), grad(huber, x))
    torch.testing.assert_close(LF.huber_loss(x, y, delta=10.0), LF.mse_loss(x, y) / 2)
    assert torch.equal(LF.smooth_l1_loss(x, y, beta=0), LF.l1_loss(x, y))


# ----- textbook numbers -----


def test_l1_of_the_guide():
    x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
    y = torch.tensor([[1.5, 2.0, 4.5], [3.0, 5.0, 8.0]])
    loss = lossmith.L1Loss()(x, y)
    assert loss.item() == pytest.approx(5 / 6)
    assert torch.equal(grad(loss, x)[0] * 6, torch.tensor([[-1.0, 0.0, -1.0], [1.0, 0.0, -1.0]]))
    assert lossmith.L1Loss(reduction="batchmean")(x, y).item() == 5 / 2


def test_huber_of_the_guide():
    x, y = leaf(0.1, 5.0), torch.zeros(2)
    loss = lossmith.HuberLoss(delta=1.0)(x, y)
    assert loss.item() == pytest.approx(2.2525)
    assert grad(loss, x)[0].tolist() == pytest.approx([0.05, 0.5])


def test_mse_grows_squared_and_its_gradient_in_proportion():
    x, y = leaf(1.0, 2.0, 4.0), torch.zeros(3)
    value = LF.mse_loss(x, y, reduction="none")
    assert value.tolist() == [1, 4, 16]
    assert grad(value.sum(), x)[0].tolist() == [2, 4, 8]


def test_mse_overflows_to_infinity_with_a_finite_gradient():
    x, y = leaf(1e20), torch.zeros(1)
    loss = LF.mse_loss(x, y)
    assert loss.item() == INF
    assert grad(loss, x)[0].item() == pytest.approx(2e20)


# ----- dtypes -----


def test_l1_of_complex_numbers_is_the_modulus():
    x, y = torch.tensor([3 + 4j, 1j], requires_grad=True), torch.tensor([0.0, 0.0])
    value = LF.l1_loss(x, y, reduction="none", sample_weight=torch.tensor([2.0, 1.0]))
    assert value.dtype == torch.float32
    assert value.tolist() == [10, 1]
    assert grad(value.sum(), x)[0].tolist() == pytest.approx([2 * (0.6 + 0.8j), 1j])
    torch.testing.assert_close(grad(compiled(LF.l1_loss)(x, y), x), grad(LF.l1_loss(x, y), x))


@pytest.mark.parametrize("loss", [LF.mse_loss, LF.huber_loss, LF.smooth_l1_loss], ids=lambda f: f.__name__)
def test_complex_numbers_are_refused_elsewhere(loss):
    with pytest.raises(NotImplementedError, match=r"input is \(2,\) complex64, expected real numbers"):
        loss(torch.zeros(2, dtype=torch.complex64), torch.zeros(2))


@pytest.mark.parametrize("name", ["l1_loss", "mse_loss", "smooth_l1_loss"])
def test_the_dtype_of_a_0_dim_target_counts_as_in_torch(name):
    x, y = torch.zeros(3), torch.tensor(0.1, dtype=torch.float64)
    ours = getattr(LF, name)(x, y, reduction="none")
    assert ours.dtype == torch.float64
    with warnings.catch_warnings(action="ignore"):
        torch.testing.assert_close(ours, getattr(torch.nn.functional, name)(x, y, reduction="none"))
