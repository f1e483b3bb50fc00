"""The quantile loss: its two prices, ties, shapes of several quantiles, refusals, and scikit-learn's numbers."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from sklearn.metrics import mean_pinball_loss
from torch import Tensor
from torch.autograd import grad, gradcheck, gradgradcheck

import lossmith
import lossmith.functional as LF
from lossmith.backend import recorded

INF, NAN = math.inf, math.nan
QUANTILES = (0.05, 0.5, 0.9)
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def leaf(*values: float, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.tensor(values, dtype=dtype, requires_grad=True)


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def by_hand(x: Tensor, y: Tensor, quantiles: tuple[float, ...]) -> list[Any]:
    """Row by row and quantile by quantile, in Python's numbers."""
    rows = zip(x.reshape(-1, len(quantiles)).tolist(), y.reshape(-1).tolist(), strict=True)
    return [
        [q * max(b - a, 0) + (1 - q) * max(a - b, 0) for a, q in zip(row, quantiles, strict=True)] for row, b in rows
    ]


def natively(call: Callable[[], Tensor]) -> Tensor:
    """The call's result, if the kernel gave it."""
    with recorded() as records:
        result = call()
    assert [record.backend for record in records] == ["native"], records
    return result


# ----- one quantile -----


def test_a_unit_above_costs_one_minus_q_and_a_unit_below_costs_q() -> None:
    x = leaf(3.0, -5.0, 1.0)
    loss = natively(lambda: LF.quantile_loss(x, torch.ones(3), 0.75, reduction="none"))
    assert loss.tolist() == [0.5, 4.5, 0.0]
    assert grad(loss.sum(), x)[0].tolist() == [0.25, -0.75, 0.0]


def test_the_default_is_half_of_l1_in_every_derivative() -> None:
    x, y = draw(50, dtype=torch.float32).requires_grad_(), draw(50, seed=1, dtype=torch.float32).requires_grad_()
    ours, l1 = LF.quantile_loss(x, y), LF.l1_loss(x, y) / 2
    torch.testing.assert_close(ours, l1)
    torch.testing.assert_close(grad(ours, (x, y)), grad(l1, (x, y)))


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_the_slope_at_a_tie_is_0_where_packages_have_others(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossmith.backend.FORCED", backend)
    x, y = leaf(2.0, -1.0), leaf(2.0, -1.0)
    for q in (0.1, 0.5, 0.9):
        assert [g.tolist() for g in grad(LF.quantile_loss(x, y, q, "sum"), (x, y))] == [[0, 0], [0, 0]]
        error = y - x
        as_torch_users_write_it = torch.maximum((q - 1) * error, q * error).sum()
        assert grad(as_torch_users_write_it, x)[0].tolist() == pytest.approx([0.5 - q, 0.5 - q])


@pytest.mark.parametrize("q", [0.01, 0.3, 0.5, 0.95])
def test_values_are_scikit_learns(q: float) -> None:
    x, y, w = draw(200), draw(200, seed=1), draw(200, seed=2).abs()
    assert LF.quantile_loss(x, y, q).item() == pytest.approx(mean_pinball_loss(y, x, alpha=q), rel=1e-12)
    weighted = mean_pinball_loss(y, x, alpha=q, sample_weight=w)
    assert LF.quantile_loss(x, y, q, sample_weight=w).item() == pytest.approx(weighted, rel=1e-12)
    columns = mean_pinball_loss(y.reshape(50, 4), x.reshape(50, 4), alpha=q, multioutput="raw_values")
    ours = LF.quantile_loss(x.reshape(50, 4), y.reshape(50, 4), q, reduction="none").mean(0)
    assert ours.tolist() == pytest.approx(columns.tolist(), rel=1e-12)


def test_values_and_gradients_are_half_of_pytorch_forecastings() -> None:
    """Its metrics.QuantileLoss: 2 (q e + (|e| - e) / 2) of e = y - x."""
    x, y = draw(40, 6, 3).requires_grad_(), draw(40, 6, seed=1)
    ours = natively(lambda: LF.quantile_loss(x, y, QUANTILES))
    error = y.unsqueeze(-1) - x
    theirs = (2 * (error * torch.tensor(QUANTILES, dtype=x.dtype) + (error.abs() - error) / 2)).mean()
    torch.testing.assert_close(2 * ours, theirs)
    torch.testing.assert_close(2 * grad(ours, x)[0], grad(theirs, x)[0])


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_the_light_side_is_right_in_float32(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """1 - 0.9999 in float32 would be off by 1 part in 6000 of a price of 0.0001."""
    monkeypatch.setattr("lossmith.backend.FORCED", backend)
    x, y = leaf(1.0), torch.zeros(1)
    for quantiles in (0.9999, (0.9999,), torch.tensor([0.9999], dtype=torch.float64)):
        target = y if isinstance(quantiles, float) else y.squeeze(0)
        loss = LF.quantile_loss(x, target, quantiles)
        assert loss.item() == pytest.approx(0.0001, rel=2e-7)
        assert grad(loss, x)[0].item() == pytest.approx(0.0001, rel=2e-7)


# ----- several quantiles -----


@pytest.mark.parametrize("rows", [(), (5,), (1,), (3,), (2, 4), (0,), (2, 3, 2, 2)], ids=str)
@pytest.mark.parametrize("kind", ["tuple", "list", "tensor", "array"])
def test_several_quantiles_by_hand(rows: tuple[int, ...], kind: str) -> None:
    made = {
        "tuple": QUANTILES,
        "list": list(QUANTILES),
        "tensor": torch.tensor(QUANTILES, dtype=torch.float64),
        "array": torch.tensor(QUANTILES, dtype=torch.float64).numpy(),
    }
    x, y = draw(*rows, 3), draw(*rows, seed=1)
    expected = torch.tensor(by_hand(x, y, QUANTILES), dtype=torch.float64).reshape(x.shape)
    targets = (y, y.unsqueeze(-1), y.unsqueeze(-1).expand_as(x))
    for target in targets:
        each = natively(lambda target=target: LF.quantile_loss(x, target, made[kind], "none"))
        torch.testing.assert_close(each, expected)
        if rows != (0,):
            torch.testing.assert_close(LF.quantile_loss(x, target, made[kind]), expected.mean())


def test_a_target_for_each_quantile() -> None:
    x, y = draw(4, 3), draw(4, 3, seed=1)
    each = LF.quantile_loss(x, y, QUANTILES, "none")
    for column, q in enumerate(QUANTILES):
        torch.testing.assert_close(each[:, column], LF.quantile_loss(x[:, column], y[:, column], q, "none"))


def test_the_gradient_of_a_target_is_summed_over_its_quantiles() -> None:
    x, y = draw(5, 3), draw(5, seed=1).requires_grad_()
    (found,) = grad(natively(lambda: LF.quantile_loss(x, y, QUANTILES, "sum")), y)
    expected = [sum(q if b > a else q - 1 for a, q in zip(row, QUANTILES, strict=True))
                for row, b in zip(x.tolist(), y.tolist(), strict=True)]  # fmt: skip
    assert found.tolist() == pytest.approx(expected)


def test_the_gradient_of_a_tensor_of_quantiles_is_the_error() -> None:
    x, y = draw(5, 3), draw(5, seed=1)
    q = torch.tensor(QUANTILES, dtype=torch.float64, requires_grad=True)
    (found,) = grad(natively(lambda: LF.quantile_loss(x, y, q, "sum")), q)
    torch.testing.assert_close(found, (y.unsqueeze(-1) - x).sum(0))
    one = torch.tensor(0.9, dtype=torch.float64, requires_grad=True)
    (found,) = grad(natively(lambda: LF.quantile_loss(x[:, 0], y, one)), one)
    torch.testing.assert_close(found, (y - x[:, 0]).mean())


def test_their_order_is_free() -> None:
    x, y = draw(6, 3), draw(6, seed=1)
    turned = LF.quantile_loss(x.flip(-1), y, QUANTILES[::-1], "none")
    torch.testing.assert_close(turned.flip(-1), LF.quantile_loss(x, y, QUANTILES, "none"))


def test_crossing_quantiles_are_no_error_and_both_remedies_order_them() -> None:
    x, y = torch.tensor([[5.0, 1.0]]), torch.tensor([3.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert LF.quantile_loss(x, y, (0.1, 0.9), "none").tolist() == [[pytest.approx(1.8), pytest.approx(1.8)]]
    assert LF.quantile_loss(x.sort(-1).values, y, (0.1, 0.9)) < LF.quantile_loss(x, y, (0.1, 0.9))
    low, steps = draw(9, 1), draw(9, 4, seed=1)
    ordered = torch.cat([low, low + torch.nn.functional.softplus(steps).cumsum(-1)], -1)
    assert (ordered.diff(dim=-1) > 0).all()


@pytest.mark.parametrize("q", [0.02, 0.25, 0.5, 0.9])
def test_the_best_constant_is_the_quantile_of_the_targets(q: float) -> None:
    """Of 1001 numbers, the one that as many lie below as a share q of them."""
    y = torch.empty(1001, dtype=torch.float64).exponential_(generator=torch.Generator().manual_seed(0))
    tried = y.sort().values
    losses = torch.stack([LF.quantile_loss(x.expand(1001), y, q) for x in tried])
    assert tried[losses.argmin()] == torch.quantile(y, q, interpolation="nearest")


def test_masks_and_weights_of_rows_and_of_quantiles() -> None:
    x, y = draw(4, 3).requires_grad_(), draw(4, seed=1)
    each = torch.tensor(by_hand(x, y, QUANTILES), dtype=torch.float64)
    rows = torch.tensor([True, False, True, True])
    spoiled = torch.where(rows, y, NAN)
    masked = natively(lambda: LF.quantile_loss(x, spoiled, QUANTILES, mask=rows[:, None]))
    torch.testing.assert_close(masked, each[rows].mean())
    assert (grad(masked, x)[0][1] == 0).all()
    w = torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64)
    weighed = natively(lambda: LF.quantile_loss(x, y, QUANTILES, sample_weight=w))
    torch.testing.assert_close(weighed, (each * w).sum() / (4 * w.sum()))
    with pytest.raises(ValueError, match=r"mask is \(4,\) bool.*mask\[:, None\]"):
        LF.quantile_loss(x, y, QUANTILES, mask=rows)


@each_dtype
@pytest.mark.parametrize("several", [2, 3, 7, 64, 65])
def test_rows_end_anywhere_in_the_blocks_and_pieces_of_the_kernel(
    several: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = draw(20011, several, dtype=dtype).requires_grad_(), draw(20011, seed=1, dtype=dtype)
    quantiles = torch.linspace(0.01, 0.99, several, dtype=torch.float64)
    mask, weight = y[:, None] > -1, draw(several, seed=2, dtype=dtype).abs()
    keywords: dict[str, Any] = {"reduction": "none", "mask": mask, "sample_weight": weight}
    found = natively(lambda: LF.quantile_loss(x, y, quantiles, **keywords))
    (slope,) = grad(found, x, torch.ones_like(found))
    monkeypatch.setattr("lossmith.backend.FORCED", "reference")
    expected = LF.quantile_loss(x, y, quantiles, **keywords)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(slope, grad(expected, x, torch.ones_like(expected))[0])


@pytest.mark.parametrize("reduction", ["batchmean", "mean"])
def test_the_sum_over_the_quantiles_is_q_times_the_mean(reduction: str) -> None:
    x, y = draw(4, 3), draw(4, seed=1)
    summed = torch.tensor(by_hand(x, y, QUANTILES), dtype=torch.float64).sum(1).mean()
    torch.testing.assert_close(LF.quantile_loss(x, y, QUANTILES, reduction), summed / (3 if reduction == "mean" else 1))


# ----- dtypes -----


@each_dtype
def test_the_result_has_the_dtype_of_input_and_target(dtype: torch.dtype) -> None:
    """Prices are not of half precision: in bfloat16, 0.999 would be 1."""
    x, y = draw(7, 2, dtype=dtype).requires_grad_(), draw(7, seed=1, dtype=dtype)
    for quantiles in ((0.5, 0.999), torch.tensor([0.5, 0.999])):
        loss = natively(lambda quantiles=quantiles: LF.quantile_loss(x, y, quantiles, "none"))
        assert loss.dtype == dtype
        (slope,) = grad(loss.sum(), x)
        assert slope.dtype == dtype
        if dtype in (torch.float16, torch.bfloat16):
            wide = x.detach().float().requires_grad_()
            expected = LF.quantile_loss(wide, y.float(), quantiles, "none")
            assert torch.equal(loss, expected.to(dtype))
            assert torch.equal(slope, grad(expected.sum(), wide)[0].to(dtype))
    above = LF.quantile_loss(torch.ones(1, dtype=dtype), torch.zeros((), dtype=dtype), (0.999,))
    assert above.item() == pytest.approx(0.001, rel=5e-3)


def test_dtypes_are_promoted_as_torchs_losses_do() -> None:
    x, y = draw(4, 2, dtype=torch.bfloat16), draw(4, seed=1, dtype=torch.float16)
    for quantiles in ((0.1, 0.9), torch.tensor([0.1, 0.9], dtype=torch.float64)):
        assert LF.quantile_loss(x, y, quantiles).dtype == torch.float32
        assert LF.quantile_loss(x, y.double(), quantiles).dtype == torch.float64
        assert LF.quantile_loss(x, torch.arange(4), quantiles).dtype == torch.bfloat16
    assert LF.quantile_loss(x[:, 0], y, 0.9).dtype == torch.float32


# ----- derivatives -----


@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_derivatives_against_finite_differences(reduction: str) -> None:
    x, y = draw(4, 3).requires_grad_(), draw(4, seed=1).requires_grad_()
    q = torch.tensor(QUANTILES, dtype=torch.float64, requires_grad=True)
    for inputs in ((x[:, 0], y, 0.9), (x, y, QUANTILES), (x, y, q)):
        for check in (gradcheck, gradgradcheck):
            check(lambda *given: LF.quantile_loss(*given, reduction=reduction), inputs)


def test_transforms_compilers_and_meta_tensors() -> None:
    x, y = draw(4, 3), draw(4, seed=1)
    expected = LF.quantile_loss(x, y, QUANTILES, "none")
    rows = torch.func.vmap(lambda a, b: LF.quantile_loss(a, b, QUANTILES, "none"))(x, y)
    torch.testing.assert_close(rows, expected)
    slopes = torch.func.grad(lambda a: LF.quantile_loss(a, y, QUANTILES))(x)
    leaf_of_x = x.clone().requires_grad_()
    torch.testing.assert_close(slopes, grad(LF.quantile_loss(leaf_of_x, y, QUANTILES), leaf_of_x)[0])
    for quantiles in (QUANTILES, torch.tensor(QUANTILES)):
        compiled = torch.compile(LF.quantile_loss, backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(compiled(x, y, quantiles, "none"), LF.quantile_loss(x, y, quantiles, "none"))
        torch.compiler.reset()
    assert LF.quantile_loss(x.to("meta"), y.to("meta"), QUANTILES, "none").shape == (4, 3)


# ----- extremes -----


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_infinities_and_huge_numbers(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossmith.backend.FORCED", backend)
    x, y = leaf(INF, -INF, 3e38, 1e-45, 0.0), torch.tensor([0.0, 0.0, 0.0, 0.0, NAN])
    loss = LF.quantile_loss(x, y, 0.75, "none")
    assert loss[:2].tolist() == [INF, INF]
    assert loss[2].item() == pytest.approx(0.75e38)
    assert loss[4].isnan()
    assert grad(loss.sum(), x)[0][:4].tolist() == [0.25, -0.75, 0.25, 0.25]


# ----- what is refused -----


@pytest.mark.parametrize(
    ("quantiles", "said"),
    [
        (0.0, "holds 0.0.*both excluded.*least at infinity"),
        (1, "holds 1.*both excluded.*least at infinity"),
        (-0.1, "holds -0.1"),
        (NAN, "holds nan"),
        (90, r"holds 90.0.*write 0.9 for 90 %"),
        ((0.5, 95.0), r"holds 95.0.*write 0.95 for 95 %"),
        ((0.5, 1.0), "holds 1.0"),
        ((), "quantiles is empty.*quantiles=0.5"),
        (torch.tensor([0.5, 1.5]), r"holds 1.5"),
        (torch.tensor([0.5, NAN]), "holds nan"),
        (torch.tensor(0.0), "holds 0.0"),
        (torch.tensor([0, 1]), "holds 0"),
        (torch.full((2, 2), 0.5), r"quantiles is \(2, 2\) float32, expected one number, or \(Q\)"),
        (torch.rand(0), r"quantiles is \(0,\) float32"),
    ],
    ids=str,
)
def test_what_is_no_quantile_is_refused(quantiles: Any, said: str) -> None:
    x = torch.zeros(4, 2)
    with pytest.raises(ValueError, match=f"quantile_loss: .*{said}"):
        LF.quantile_loss(x, x, quantiles)


@pytest.mark.parametrize("quantiles", ["median", None, ("low", "high"), {"a": 1}], ids=str)
def test_what_is_no_number_is_refused(quantiles: Any) -> None:
    with pytest.raises(TypeError, match=r"quantiles is .*expected a number between 0 and 1.*write quantiles=0.9"):
        LF.quantile_loss(torch.zeros(2), torch.zeros(2), quantiles)
    with pytest.raises(TypeError, match="QuantileLoss: quantiles is"):
        lossmith.QuantileLoss(quantiles)


def test_what_cannot_be_looked_at_is_nan_with_a_gradient_of_0() -> None:
    x, y = torch.ones(1, 2, requires_grad=True), torch.zeros(1)
    compiled = torch.compile(LF.quantile_loss, backend="aot_eager", fullgraph=True)
    loss = compiled(x, y, torch.tensor([0.5, 1.5]), "none")
    assert loss.isnan().tolist() == [[False, True]]
    (slope,) = grad(loss.nansum(), x)
    assert slope[0, 0] != 0 and slope[0, 1] == 0
    torch.compiler.reset()


@pytest.mark.parametrize(
    ("input", "target", "said"),
    [
        ((4,), (4,), r"input is \(4,\) float32, expected a last dimension of 3.*give the model 3 outputs"),
        ((4, 2), (4,), r"input is \(4, 2\)"),
        ((), (), r"input is \(\)"),
        ((4, 3), (3,), r"expected a target of \(4,\), \(4, 1\) or \(4, 3\); write target.reshape\(\(4,\)\)"),
        ((4, 3), (1, 3), r"target \(1, 3\)"),
        ((4, 3), (), r"target \(\)"),
        ((4, 5, 3), (5,), r"expected a target of \(4, 5\), \(4, 5, 1\) or \(4, 5, 3\)"),
    ],
    ids=str,
)
def test_shapes_of_several_quantiles(input: tuple[int, ...], target: tuple[int, ...], said: str) -> None:
    with pytest.raises(ValueError, match=f"quantile_loss: .*{said}"):
        LF.quantile_loss(torch.zeros(input), torch.zeros(target), QUANTILES)


def test_other_wrong_inputs() -> None:
    x = torch.zeros(3)
    with pytest.warns(lossmith.LossWarning, match=r"input \(3, 1\) float32, target \(3,\)"):
        LF.quantile_loss(torch.zeros(3, 1), x, 0.9)
    assert LF.quantile_loss(torch.zeros(3, 1), x, (0.9,), "none").shape == (3, 1)
    for quantiles, shape in ((0.9, (3,)), ((0.1, 0.5, 0.9), (3, 3))):
        with pytest.raises(NotImplementedError, match="floating dtype"):
            LF.quantile_loss(torch.zeros(shape, dtype=torch.int64), x, quantiles)
        with pytest.raises(NotImplementedError, match="expected real numbers"):
            LF.quantile_loss(torch.zeros(shape, dtype=torch.complex64), x, quantiles)
        with pytest.raises(TypeError, match="target is a list"):
            LF.quantile_loss(torch.zeros(shape), [0.0, 0.0, 0.0], quantiles)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="can't be broadcast"):
        LF.quantile_loss(x, torch.zeros(2), 0.9)


# ----- the Module -----


def test_the_module_keeps_numbers() -> None:
    x, y = draw(4, 2, dtype=torch.bfloat16), draw(4, seed=1, dtype=torch.bfloat16)
    for given in ((0.1, 0.999), [0.1, 0.999], torch.tensor([0.1, 0.999], dtype=torch.float64)):
        module = lossmith.QuantileLoss(given, "sum").to(torch.bfloat16)  # which would make 1 of 0.999
        assert module.quantiles == (0.1, 0.999)
        assert not module.state_dict()
        assert torch.equal(module(x, y), LF.quantile_loss(x, y, (0.1, 0.999), "sum"))
    assert lossmith.QuantileLoss(torch.tensor(0.25)).quantiles == 0.25
    assert repr(lossmith.QuantileLoss()) == "QuantileLoss(quantiles=0.5)"
    with pytest.raises(ValueError, match=r"QuantileLoss: quantiles holds 5.0.*write 0.05"):
        lossmith.QuantileLoss((5, 95))


def test_the_price_of_a_missing_and_of_a_surplus_unit_give_the_quantile() -> None:
    """The card's a / (a + b): 4 for a unit too few, 1 for one too many."""
    need = torch.empty(1001, dtype=torch.float64).exponential_(generator=torch.Generator().manual_seed(1))
    stock = torch.quantile(need, 4 / (4 + 1), interpolation="nearest")

    def cost(held: Tensor) -> float:
        return (4 * (need - held).clamp(min=0) + (held - need).clamp(min=0)).mean().item()

    assert all(cost(stock) <= cost(stock + step) for step in torch.linspace(-1, 1, 41))
