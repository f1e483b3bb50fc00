"""Wasserstein distances: closed forms, SciPy and POT, linear programs, masses, slices, extremes, wrong calls."""

import itertools
import math
from typing import Any

import numpy
import ot
import pytest
import scipy.stats
import torch
from torch import Tensor

import lossmith
import lossmith.functional as LF
from lossmith import LossWarning, backend, explain_dispatch

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
POWERS = (1, 2, 3, 1.5)


def uniform(*shape: int, seed: int = 0, low: float = -2.0, high: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.empty(shape, dtype=torch.float64).uniform_(low, high, generator=generator)


def masses(*shape: int, seed: int) -> Tensor:
    return uniform(*shape, seed=seed, low=0.1, high=1.0)


def by_hand(x: list[float], y: list[float], p: float) -> float:
    """Of samples without masses: each repeated so often that there are as many of both."""
    whole = math.lcm(len(x), len(y))
    x = sorted(x * (whole // len(x)))
    y = sorted(y * (whole // len(y)))
    return sum(abs(a - b) ** p for a, b in zip(x, y, strict=True)) / whole


def both_ways(**arguments: Any) -> list[tuple[Tensor, list[Tensor]]]:
    """The loss and the gradients in all that wants one, by the kernel and by the reference."""
    found = []
    for forced in ("native", "reference"):
        before, backend.FORCED = backend.FORCED, forced
        try:
            loss = LF.wasserstein_loss(**arguments)
            wanted = [t for t in arguments.values() if isinstance(t, Tensor) and t.requires_grad]
            found.append((loss.detach(), list(torch.autograd.grad(loss.sum(), wanted))))
        finally:
            backend.FORCED = before
    return found


# ----- closed forms -----


@pytest.mark.parametrize("p", POWERS)
def test_a_shift_costs_its_length_to_the_power(p):
    x = uniform(5, 7)
    loss = LF.wasserstein_loss(x, x.flip(-1) + 3, p=p, reduction="none")
    torch.testing.assert_close(loss, torch.full((5,), 3.0**p, dtype=torch.float64))
    rooted = LF.wasserstein_loss(x, x.flip(-1) - 3, p=p, root=True)
    torch.testing.assert_close(rooted, torch.tensor(3.0, dtype=torch.float64))


@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 5), (4, 4), (4, 6), (7, 5), (9, 3), (60, 50)])
def test_samples_of_any_number(n, m, p):
    x, y = uniform(3, n, seed=1), uniform(3, m, seed=2)
    dispatch = explain_dispatch(LF.wasserstein_loss, x, y, p=p, reduction="none")
    assert dispatch.backend == "native"
    found = LF.wasserstein_loss(x, y, p=p, reduction="none")
    expected = torch.tensor([by_hand(a, b, p) for a, b in zip(x.tolist(), y.tolist(), strict=True)])
    torch.testing.assert_close(found, expected.double())
    torch.testing.assert_close(LF.wasserstein_loss(y, x, p=p, reduction="none"), found)


def test_histograms_differ_by_what_lies_between_their_sums():
    bins = torch.arange(6.0, dtype=torch.float64) * 0.5
    p, q = (uniform(4, 6, seed=s).softmax(-1) for s in (1, 2))
    found = LF.wasserstein_loss(bins, bins, p, q, reduction="none")
    torch.testing.assert_close(found, (p.cumsum(-1) - q.cumsum(-1)).abs().sum(-1) * 0.5)


def test_one_sample_is_drawn_to_the_median_or_to_the_mean():
    targets = torch.tensor([7.0, 1.0, 3.0, 6.0, 0.0], dtype=torch.float64)
    for p, best in ((1, 3.0), (2, 3.4)):
        x = torch.tensor([best], dtype=torch.float64, requires_grad=True)
        LF.wasserstein_loss(x, targets, p=p).backward()
        assert abs(x.grad.item()) < 1e-15


def test_a_sample_on_its_target_is_at_rest():
    x = torch.tensor([2.0, 0.0, 5.0], requires_grad=True)
    y = torch.tensor([0.0, 2.0, 4.0], requires_grad=True)
    LF.wasserstein_loss(x, y).backward()
    torch.testing.assert_close(x.grad, torch.tensor([0.0, 0.0, 1 / 3]))
    torch.testing.assert_close(y.grad, torch.tensor([0.0, 0.0, -1 / 3]))


def test_equal_samples_keep_their_order():
    x = torch.zeros(3, requires_grad=True)
    loss = LF.wasserstein_loss(x, torch.tensor([2.0, 1.0, -3.0]), p=2)
    loss.backward()
    torch.testing.assert_close(x.grad, torch.tensor([6.0, -2.0, -4.0]) / 3)


# ----- packages -----


@pytest.mark.parametrize("weighed", [False, True])
def test_scipy(weighed):
    for seed, (n, m) in enumerate([(1, 4), (5, 5), (6, 9), (40, 17)]):
        x, y = uniform(n, seed=seed), uniform(m, seed=seed + 50)
        weights = (masses(n, seed=seed + 100), masses(m, seed=seed + 150)) if weighed else (None, None)
        found = LF.wasserstein_loss(x, y, *weights)
        arrays = [None if w is None else w.numpy() for w in weights]
        assert found.item() == pytest.approx(scipy.stats.wasserstein_distance(x.numpy(), y.numpy(), *arrays), rel=1e-12)


@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize(("n", "m"), [(5, 5), (4, 7), (30, 20)])
def test_the_best_of_all_plans(n, m, p):
    """A linear program over all plans, which does not know that on a line the best one keeps the order."""
    x, y, a, b = uniform(n, seed=1), uniform(m, seed=2), masses(n, seed=3), masses(m, seed=4)
    cost = (x[:, None] - y).abs() ** p
    expected = ot.emd2((a / a.sum()).numpy(), (b / b.sum()).numpy(), cost.numpy())
    assert LF.wasserstein_loss(x, y, a, b, p=p).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.filterwarnings("ignore:The use of `x.T`:UserWarning")  # POT's own
@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("weighed", [False, True])
def test_pot_with_its_gradients(p, weighed):
    for seed, (n, m) in enumerate([(5, 5), (6, 4), (25, 33)]):
        x, y = uniform(n, seed=seed), uniform(m, seed=seed + 50)
        leaves = [x, y, *((masses(n, seed=seed + 100), masses(m, seed=seed + 150)) if weighed else ())]
        ours = [leaf.clone().requires_grad_() for leaf in leaves]
        theirs = [leaf.clone().requires_grad_() for leaf in leaves]
        loss = LF.wasserstein_loss(*ours, p=p)
        shares = [w / w.sum() for w in theirs[2:]] or [None, None]
        expected = ot.wasserstein_1d(*theirs[:2], *shares, p=p)
        torch.testing.assert_close(loss, expected.reshape(()))
        gradients = zip(torch.autograd.grad(loss, ours), torch.autograd.grad(expected.sum(), theirs), strict=True)
        for number, (found, wanted) in enumerate(gradients):
            torch.testing.assert_close(found, wanted, msg=lambda e, number=number: f"argument {number}: {e}")


def test_pot_sliced():
    x, y = uniform(20, 5, seed=1), uniform(30, 5, seed=2)
    directions = torch.nn.functional.normalize(uniform(12, 5, seed=3), dim=1)
    a, b = masses(20, seed=4), masses(30, seed=5)
    for p in (1, 2, 3):
        expected = ot.sliced_wasserstein_distance(
            x.numpy(), y.numpy(), (a / a.sum()).numpy(), (b / b.sum()).numpy(), projections=directions.T.numpy(), p=p
        )
        found = LF.wasserstein_loss(x, y, a, b, p=p, projections=directions, root=True)
        assert found.item() == pytest.approx(float(expected), rel=1e-9)
        power = LF.wasserstein_loss(x, y, a, b, p=p, projections=directions)
        assert power.item() == pytest.approx(float(expected) ** p, rel=1e-9)


def test_pot_sliced_with_its_gradients():
    x, y = (uniform(9, 3, seed=s).requires_grad_() for s in (1, 2))
    directions = torch.nn.functional.normalize(uniform(7, 3, seed=3), dim=1)
    expected = ot.sliced_wasserstein_distance(x, y, projections=directions.T, p=2)
    wanted = torch.autograd.grad(expected, (x, y))
    found = LF.wasserstein_loss(x, y, p=2, projections=directions, root=True)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found, (x, y)), wanted)


# ----- derivatives -----


WAYS: dict[str, dict[str, Any]] = {
    "p 1": {},
    "p 2": {"p": 2},
    "p 3": {"p": 3},
    "root": {"p": 2, "root": True},
    "sliced": {"projections": uniform(3, 2, seed=9), "p": 2},
    "sliced root": {"projections": uniform(3, 2, seed=9), "p": 3, "root": True},
}


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("way", WAYS)
def test_first_and_second_derivatives(way, reduction, weighed):
    keywords = WAYS[way]
    tail = (2,) if "projections" in keywords else ()
    points = [uniform(2, 3, *tail, seed=1), uniform(2, 4, *tail, seed=2)]
    points += [masses(2, 3, seed=3), masses(2, 4, seed=4)] if weighed else []
    points = [t.requires_grad_() for t in points]

    def loss(*given: Tensor) -> Tensor:
        return LF.wasserstein_loss(*given, **keywords, reduction=reduction)

    torch.autograd.gradcheck(loss, points)
    torch.autograd.gradgradcheck(loss, points)


def test_directions_that_are_learned():
    """The greatest distance over directions: along the axis in which the clouds are apart."""
    x, y = uniform(40, 3, seed=1), uniform(40, 3, seed=2) + torch.tensor([0.0, 4.0, 0.0])
    direction = torch.ones(1, 3, dtype=torch.float64, requires_grad=True)
    for _ in range(50):
        loss = LF.wasserstein_loss(x, y, p=2, projections=torch.nn.functional.normalize(direction, dim=1))
        (gradient,) = torch.autograd.grad(loss, direction)
        direction = (direction + 0.1 * gradient).detach().requires_grad_()
    found = torch.nn.functional.normalize(direction.detach(), dim=1)[0]
    assert found[1] > 0.98
    torch.autograd.gradcheck(lambda d: LF.wasserstein_loss(x, y, p=2, projections=d), direction)


def test_at_a_distance_of_0_the_root_is_at_rest():
    x = uniform(2, 3).requires_grad_()
    for p in (2, 3):
        (gradient,) = torch.autograd.grad(LF.wasserstein_loss(x, x.detach(), p=p, root=True), x)
        assert (gradient == 0).all()


def test_training_makes_the_samples_the_targets():
    x, y = uniform(30, seed=1), uniform(20, seed=2) * 3 + 1
    for _ in range(200):
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(LF.wasserstein_loss(x, y, p=2), x)
        x = x - 10 * gradient
    # each of 30 shares at the mean of those of 20 that it covers
    fine = y.sort().values.repeat_interleave(3).reshape(30, 2).mean(1)
    torch.testing.assert_close(x.detach().sort().values, fine, rtol=1e-6, atol=1e-6)


# ----- masses -----


def test_only_the_shares_count():
    x, y, a, b = uniform(2, 4, seed=1), uniform(2, 5, seed=2), masses(2, 4, seed=3), masses(2, 5, seed=4)
    found = LF.wasserstein_loss(x, y, a, b)
    torch.testing.assert_close(LF.wasserstein_loss(x, y, 1000 * a, b / 7), found)
    ones = LF.wasserstein_loss(x, y, torch.ones(4, dtype=torch.int64), torch.full((5,), 3.0))
    torch.testing.assert_close(ones, LF.wasserstein_loss(x, y))
    # a whole number is so many samples
    counts, expanded = torch.tensor([1, 3, 2]), torch.tensor([0.5, 1.0, 1.0, 1.0, -2.0, -2.0], dtype=torch.float64)
    several = LF.wasserstein_loss(torch.tensor([0.5, 1.0, -2.0], dtype=torch.float64), y[0], counts, p=2)
    torch.testing.assert_close(several, LF.wasserstein_loss(expanded, y[0], p=2))


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("padding", [0.0, 1e30, math.inf, -math.inf, math.nan])
def test_samples_without_mass_may_be_anything(padding, p):
    x, y = uniform(2, 4, seed=1), uniform(2, 3, seed=2)
    a, b = masses(2, 4, seed=3), masses(2, 3, seed=4)
    padded = torch.cat([torch.full((2, 2), padding, dtype=torch.float64), x], 1).requires_grad_()
    leaves = [padded, y.requires_grad_(), torch.cat([torch.zeros(2, 2), a], 1), torch.cat([b, torch.zeros(2, 1)], 1)]
    more = torch.cat([y.detach(), torch.full((2, 1), padding, dtype=torch.float64)], 1).requires_grad_()
    expected = LF.wasserstein_loss(x, y, a, b, p=p)
    (wanted,) = torch.autograd.grad(expected, y)
    for loss, gradients in both_ways(input=padded, target=more, input_weight=leaves[2], target_weight=leaves[3], p=p):
        torch.testing.assert_close(loss, expected.detach())
        assert (gradients[0][:, :2] == 0).all() and (gradients[1][:, 3:] == 0).all()
        torch.testing.assert_close(gradients[1][:, :3], wanted)


def test_all_mass_on_one_sample():
    x, y = torch.tensor([5.0, 1.0, 3.0]), torch.tensor([0.0, 2.0])
    assert LF.wasserstein_loss(x, y, torch.tensor([0.0, 1.0, 0.0])) == 1
    assert LF.wasserstein_loss(x, y, torch.tensor([0.0, 1.0, 0.0]), torch.tensor([1.0, 0.0]), p=2) == 1


def test_shares_that_end_together_agree_with_the_reference():
    """There are several derivatives in the masses; both ways give the same one."""
    x, y = uniform(3, 4, seed=1).requires_grad_(), uniform(3, 6, seed=2).requires_grad_()
    a = torch.ones(3, 4, dtype=torch.float64, requires_grad=True)
    b = torch.tensor([1.0, 1.0, 0.0, 0.0, 1.0, 0.0]).double().expand(3, 6).clone().requires_grad_()
    for p in (1, 2):
        native, reference = both_ways(input=x, target=y, input_weight=a, target_weight=b, p=p)
        torch.testing.assert_close(native, reference)


# ----- layouts and dtypes -----


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype(dtype):
    x, y, a, b = uniform(3, 5, seed=1), uniform(3, 4, seed=2), masses(3, 5, seed=3), masses(3, 4, seed=4)
    given = [t.to(dtype).requires_grad_() for t in (x, y, a, b)]
    wide = [t.detach().double().requires_grad_() for t in given]
    for reduction in ("mean", "none"):
        loss = LF.wasserstein_loss(*given, p=2, reduction=reduction)
        expected = LF.wasserstein_loss(*wide, p=2, reduction=reduction)
        assert loss.dtype == dtype
        torch.testing.assert_close(loss, expected.to(dtype))
        found = torch.autograd.grad(loss.sum(), given)
        for gradient, wanted in zip(found, torch.autograd.grad(expected.sum(), wide), strict=True):
            torch.testing.assert_close(gradient, wanted.to(dtype))


def test_whole_numbers_go_with_floats():
    x, y = torch.tensor([1.5, 2.0]), torch.tensor([3, 0])
    assert LF.wasserstein_loss(x, y).item() == pytest.approx((1.5 + 1.0) / 2)
    with pytest.raises(NotImplementedError, match=r"expected input of a floating dtype.*input\.float\(\)"):
        LF.wasserstein_loss(torch.tensor([1, 2]), y)


@pytest.mark.parametrize("p", [1, 2])
def test_one_distribution_goes_with_many(p):
    x, y = uniform(4, 2, 5, seed=1).requires_grad_(), uniform(6, seed=2).requires_grad_()
    weight = masses(2, 5, seed=3).requires_grad_()
    (loss, gradients), (again, others) = both_ways(input=x, target=y, input_weight=weight, p=p, reduction="none")
    assert loss.shape == (4, 2)
    expected = [[LF.wasserstein_loss(x[i, j], y, weight[j], p=p) for j in range(2)] for i in range(4)]
    torch.testing.assert_close(loss, torch.stack([torch.stack(row) for row in expected]).detach())
    torch.testing.assert_close(again, loss)
    torch.testing.assert_close(gradients, others)
    assert [g.shape for g in gradients] == [x.shape, y.shape, weight.shape]


def test_positions_of_bins_go_with_masses_of_many():
    bins, weight = torch.linspace(0, 1, 5), masses(3, 5, seed=1).float().requires_grad_()
    loss = LF.wasserstein_loss(bins, bins, weight, masses(5, seed=2), reduction="none")
    assert loss.shape == (3,)
    (gradient,) = torch.autograd.grad(loss.sum(), weight)
    assert gradient.shape == weight.shape and gradient.isfinite().all()


@pytest.mark.parametrize("n", [1, 2, 47, 48, 49, 300, 5000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_all_orders_of_magnitude_are_sorted(dtype, n):
    generator = torch.Generator().manual_seed(n)
    x = torch.randn(2, n, generator=generator, dtype=dtype)
    x = x * 10.0 ** torch.empty(2, n, dtype=dtype).uniform_(-44, 30, generator=generator)
    x[torch.rand(2, n, generator=generator) < 0.2] = 0.0
    x[torch.rand(2, n, generator=generator) < 0.2] *= -0.0
    y = torch.zeros(2, n, dtype=dtype)
    x, y = x.requires_grad_(), (y + torch.arange(n)).requires_grad_()
    for p in (1, 2):
        native, reference = both_ways(input=x, target=y, p=p, reduction="none")
        torch.testing.assert_close(native, reference)


def test_neither_inputs_nor_gradients_are_written():
    x, y, a = uniform(2, 3, seed=1).requires_grad_(), uniform(2, 4, seed=2), masses(2, 3, seed=3)
    kept = [t.detach().clone() for t in (x, y, a)]
    loss = LF.wasserstein_loss(x, y, a)
    (first,) = torch.autograd.grad(loss, x, retain_graph=True)
    saved = first.clone()
    torch.autograd.grad(loss, x, torch.tensor(3.0).double())
    for tensor, before in zip((x, y, a, first), (*kept, saved), strict=True):
        assert torch.equal(tensor.detach(), before)


def test_meta_tensors_compile_and_vmap():
    x, y = uniform(3, 4, seed=1).requires_grad_(), uniform(3, 5, seed=2)
    assert LF.wasserstein_loss(x.detach().to("meta"), y.to("meta"), reduction="none").shape == (3,)
    cloud = torch.empty(3, 4, 2, device="meta")
    assert LF.wasserstein_loss(cloud, cloud, projections=8, reduction="none").shape == (3,)
    weight = masses(3, 4, seed=3)
    expected = LF.wasserstein_loss(x, y, weight, p=2, reduction="none")
    compiled = torch.compile(LF.wasserstein_loss, backend="aot_eager", fullgraph=True)
    found = compiled(x, y, weight, p=2, reduction="none")
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found.sum(), x), torch.autograd.grad(expected.sum(), x))
    one = torch.func.vmap(lambda x, y, w: LF.wasserstein_loss(x, y, w, p=2))(x, y, weight)
    torch.testing.assert_close(one, expected)
    slope = torch.func.vmap(torch.func.grad(lambda x, y: LF.wasserstein_loss(x, y, p=2)))(x.detach(), y)
    torch.testing.assert_close(slope, torch.autograd.grad(LF.wasserstein_loss(x, y, p=2, reduction="sum"), x)[0])


# ----- extremes -----


@pytest.mark.parametrize("p", [1, 2, 3])
def test_nan_goes_through(p):
    x = torch.tensor([[1.0, math.nan, 0.0], [1.0, 2.0, 3.0]], requires_grad=True)
    for loss, gradients in both_ways(input=x, target=torch.zeros(2, 4), p=p, reduction="none"):
        assert loss[0].isnan() and loss[1].isfinite()
        assert gradients[0][1].isfinite().all()


def test_infinite_samples():
    far = torch.tensor([1.0, math.inf, 0.0], requires_grad=True)
    for loss, (gradient,) in both_ways(input=far, target=torch.zeros(3)):
        assert loss == math.inf
        torch.testing.assert_close(gradient, torch.tensor([1 / 3, 1 / 3, 0.0]))
    assert LF.wasserstein_loss(far, torch.zeros(3), p=2) == math.inf
    assert LF.wasserstein_loss(far, torch.tensor([1.0, 0.0, math.inf])).isnan()  # as l1_loss of both


def test_huge_and_tiny_samples():
    x, y = torch.tensor([3e38, -3e38]), torch.tensor([-3e38, 3e38])
    assert LF.wasserstein_loss(x, y) == 0
    assert LF.wasserstein_loss(x, torch.zeros(2)).item() == pytest.approx(3e38)
    assert LF.wasserstein_loss(1e-30 * x, torch.zeros(2), p=2, root=True).item() == pytest.approx(3e8)
    small = torch.tensor([1e-40, 3e-40])
    assert LF.wasserstein_loss(small, torch.zeros(2)).item() == pytest.approx(2e-40, rel=1e-4)


def test_no_pairs_at_all():
    x = torch.zeros(0, 3, requires_grad=True)
    assert LF.wasserstein_loss(x, torch.zeros(0, 2), reduction="none").shape == (0,)
    assert LF.wasserstein_loss(x, torch.zeros(0, 2)).isnan()
    loss = LF.wasserstein_loss(x, torch.zeros(2), on_empty="zero")
    loss.backward()
    assert loss == 0 and x.grad.shape == (0, 3)


# ----- masks -----


@pytest.mark.parametrize("reduction", ["mean", "none", "sum"])
@pytest.mark.parametrize("rubbish", [math.nan, math.inf])
def test_masked_clouds_and_learned_directions(rubbish, reduction):
    """Nothing of a masked pair reaches the directions, which all pairs share."""
    x, y, a = uniform(3, 4, 2, seed=1), uniform(3, 5, 2, seed=2), masses(3, 4, seed=3)
    mask = torch.tensor([True, False, True])
    spoiled = [torch.where(mask.reshape(3, *[1] * (t.dim() - 1)), t, rubbish).requires_grad_() for t in (x, y, a)]
    kept = [t[mask].requires_grad_() for t in (x, y, a)]
    directions = uniform(6, 2, seed=4).requires_grad_()
    loss = LF.wasserstein_loss(*spoiled, p=2, projections=directions, mask=mask, reduction=reduction)
    expected = LF.wasserstein_loss(*kept, p=2, projections=directions, reduction=reduction)
    torch.testing.assert_close(loss.sum(), expected.sum())
    found = torch.autograd.grad(loss.sum(), (*spoiled, directions))
    wanted = torch.autograd.grad(expected.sum(), (*kept, directions))
    for gradient, of_kept in zip(found[:3], wanted[:3], strict=True):
        torch.testing.assert_close(gradient[mask], of_kept)
        assert (gradient[~mask] == 0).all()
    torch.testing.assert_close(found[3], wanted[3])


# ----- slices -----


def test_a_number_of_directions():
    x = uniform(30, 4, seed=1)
    shift = torch.tensor([2.0, 0.0, 0.0, 0.0])
    draw = torch.Generator().manual_seed(0)
    first = LF.wasserstein_loss(x, x + shift, p=2, projections=20, generator=draw)
    assert LF.wasserstein_loss(x, x + shift, p=2, projections=20, generator=draw) != first
    again = LF.wasserstein_loss(x, x + shift, p=2, projections=20, generator=torch.Generator().manual_seed(0))
    assert first == again
    many = LF.wasserstein_loss(x, x + shift, p=2, projections=20_000, generator=draw)
    assert many.item() == pytest.approx(4 / 4, rel=0.03)  # a direction sees 1/D of the square
    line = LF.wasserstein_loss(x[:, :1], x[:, :1] + 3, projections=5)
    assert line.item() == pytest.approx(3, rel=1e-12)  # of unit length


def test_slices_along_the_axes_are_distances_of_coordinates():
    x, y = uniform(2, 6, 3, seed=1), uniform(2, 4, 3, seed=2)
    each = torch.stack([LF.wasserstein_loss(x[..., d], y[..., d], reduction="none") for d in range(3)])
    axes = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(LF.wasserstein_loss(x, y, projections=axes, reduction="none"), each.mean(0))
    torch.testing.assert_close(LF.wasserstein_loss(x, y, projections=axes, reduction="sum"), each.mean(0).sum())
    torch.testing.assert_close(LF.wasserstein_loss(x, y, projections=2 * axes, p=1), 2 * each.mean())


def test_autocast_leaves_projections_alone():
    x, y = uniform(50, 3, seed=1).float(), uniform(50, 3, seed=2).float()
    directions = torch.nn.functional.normalize(uniform(5, 3, seed=3).float(), dim=1)
    expected = LF.wasserstein_loss(x, y, projections=directions)
    with torch.autocast("cpu", torch.bfloat16):
        found = LF.wasserstein_loss(x, y, projections=directions)
    assert torch.equal(found, expected)


def test_the_module_keeps_directions_as_a_buffer():
    criterion = lossmith.WassersteinLoss(p=2, projections=torch.eye(2))
    assert list(criterion.state_dict()) == ["projections"]
    assert criterion.double().projections.dtype == torch.float64
    assert lossmith.WassersteinLoss(projections=7).projections == 7


# ----- threads -----


def test_many_pairs_give_the_same_bits_for_any_number_of_threads():
    x, y = uniform(300, 400, seed=1).float().requires_grad_(), uniform(300, 300, seed=2).float()
    before, found = torch.get_num_threads(), []
    try:
        for threads, _ in itertools.product((1, 2, 3), range(2)):
            torch.set_num_threads(threads)
            loss = LF.wasserstein_loss(x, y, p=2)
            found.append(torch.cat([loss.detach().reshape(1), torch.autograd.grad(loss, x)[0].reshape(-1)]))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(found[0], other) for other in found)
    expected = [by_hand(a, b, 2) for a, b in zip(x[:3].tolist(), y[:3].tolist(), strict=True)]
    torch.testing.assert_close(LF.wasserstein_loss(x[:3], y[:3], p=2), torch.tensor(numpy.mean(expected)).float())


# ----- wrong calls -----


def test_no_samples():
    with pytest.raises(
        ValueError, match=r"target is \(3, 0\) float32: a distribution without samples.*leave such rows"
    ):
        LF.wasserstein_loss(torch.zeros(3, 2), torch.zeros(3, 0))
    with pytest.raises(ValueError, match="a distribution without samples"):
        LF.wasserstein_loss(torch.zeros(0, 2), torch.zeros(4, 2), projections=3)


@pytest.mark.parametrize("p", [0, 0.5, -1, math.inf, math.nan, True, "2", None])
def test_a_power_that_is_none(p):
    with pytest.raises(ValueError, match=r"wasserstein_loss: p is .*expected a finite number of 1 or more.*write p=1"):
        LF.wasserstein_loss(torch.zeros(2), torch.zeros(2), p=p)
    with pytest.raises(ValueError, match="WassersteinLoss: p is"):
        lossmith.WassersteinLoss(p=p)


@pytest.mark.parametrize("weight", [[1.0, -1.0], [0.0, 0.0], [math.nan, 1.0], [math.inf, 1.0], [-1e-6, 1.0]], ids=str)
@pytest.mark.parametrize("name", ["input_weight", "target_weight"])
def test_masses_that_are_none(name, weight):
    x, wrong = torch.zeros(3, 2), torch.tensor([[1.0, 1.0], weight, [1.0, 1.0]])
    message = rf"{name} holds no masses in row \(1,\) of \(3, 2\) float32.*{name}\.softmax\(-1\)"
    for wanted in (False, True):
        leaf = wrong.clone().requires_grad_(wanted)
        for reduction in ("mean", "none"):
            with pytest.raises(ValueError, match=message):
                LF.wasserstein_loss(x, x, **{name: leaf}, reduction=reduction)
    mask = torch.tensor([True, False, True])
    assert LF.wasserstein_loss(x, x + 1, **{name: wrong}, mask=mask) == 1
    found = torch.func.vmap(lambda w: LF.wasserstein_loss(x[0], x[0] + 1, **{name: w}))(wrong)
    assert found.tolist()[::2] == [1, 1] and found[1].isnan()
    slope = torch.func.vmap(torch.func.grad(lambda x, w: LF.wasserstein_loss(x, x.detach() + 1, **{name: w})))(x, wrong)
    assert (slope[1] == 0).all()


def test_wrong_shapes():
    x, y = torch.zeros(3, 4), torch.zeros(3, 5)
    with pytest.raises(
        ValueError, match=r"input_weight is \(3, 5\).*one weight for each of the 4 samples.*sample_weight="
    ):
        LF.wasserstein_loss(x, y, torch.ones(3, 5))
    with pytest.raises(RuntimeError, match=r"can't be broadcast together: input \(3, 4\) float32, target \(2, 5\)"):
        LF.wasserstein_loss(x, torch.zeros(2, 5))
    with pytest.raises(ValueError, match=r"input is \(\) float32, expected \(\.\.\., n\)"):
        LF.wasserstein_loss(torch.tensor(1.0), y)
    with pytest.raises(ValueError, match=r"input is \(4,\).*expected \(\.\.\., n, D\).*projections=None"):
        LF.wasserstein_loss(torch.zeros(4), torch.zeros(4, 2), projections=3)
    with pytest.raises(ValueError, match="the same number of coordinates"):
        LF.wasserstein_loss(torch.zeros(4, 3), torch.zeros(4, 2), projections=3)
    with pytest.raises(ValueError, match=r"expected \(K, 2\).*as in POT, write projections\.T"):
        LF.wasserstein_loss(torch.zeros(4, 2), torch.zeros(4, 2), projections=torch.zeros(2, 9))
    for wrong in (0, -1, True, 2.0, "10"):
        with pytest.raises(ValueError, match=r"the number of directions, 1 or more.*write projections=50"):
            LF.wasserstein_loss(torch.zeros(4, 2), torch.zeros(4, 2), projections=wrong)
    with pytest.raises(NotImplementedError, match="expected real numbers"):
        LF.wasserstein_loss(torch.zeros(2, dtype=torch.complex64), torch.zeros(2))
    with pytest.raises(TypeError, match="input is a list"):
        LF.wasserstein_loss([1.0], torch.zeros(2))


@pytest.mark.parametrize("target", [(6, 1), (6,)])
def test_a_column_of_samples_is_warned_of(target):
    x, y = torch.arange(6.0)[:, None], torch.zeros(target)
    with pytest.warns(
        LossWarning, match=r"has size 1, so each row is a distribution of a single sample.*squeeze\(-1\)"
    ):
        LF.wasserstein_loss(x, y)
    LF.wasserstein_loss(x, y, reduction="none")
    LF.wasserstein_loss(x.squeeze(1), y.reshape(-1))
    LF.wasserstein_loss(x[:1], y[:1])
