"""Mined triplets against plain loops, and against pytorch-metric-learning: indices as sets, values and gradients."""

import copy
import functools
import itertools
import math
from collections import Counter

import pytest
import torch
from pytorch_metric_learning import distances, losses, miners, reducers
from torch import Tensor

import lossmith
import lossmith.functional as LF
from lossmith import backend, mining
from lossmith.backend import recorded
from lossmith.loops.triplets import reference

MINERS = ("batch_all", "batch_hard", "semi_hard", "distance_weighted")
loss = LF.mined_triplet_margin_loss


def drawn(rows: int = 24, width: int = 5, labels: int = 6, seed: int = 0, dtype=torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, width, generator=generator, dtype=torch.float64).to(dtype)
    return x, torch.randint(0, labels, (rows,), generator=generator)


@pytest.fixture(params=["native", "reference"])
def ran(request, monkeypatch):
    """On the kernel and on the reference."""
    if request.param == "native" and backend.missing:
        pytest.skip(backend.missing)
    if request.param == "reference":
        monkeypatch.setattr(backend, "FORCED", "reference")
    with recorded() as records:
        yield request.param
    assert records and all(record.backend == request.param for record in records)


# ----- plain loops -----


def distance(u: Tensor, v: Tensor, squared: bool) -> Tensor:
    square = ((u - v) ** 2).sum()
    if squared:
        return square
    return torch.sqrt(square) if square > 0 else 0 * square


def by_hand(x, y, miner, margin, squared=False, normalize=False, every_pair=False) -> list[tuple[int, int, int]]:
    """The triplets of a miner that does not draw."""
    if normalize:
        x = x / x.norm(dim=1, keepdim=True)
    d = [[distance(u, v, squared).item() for v in x] for u in x]
    found = []
    for a in range(len(x)):
        near = [p for p in range(len(x)) if p != a and y[p] == y[a]]
        far = [n for n in range(len(x)) if y[n] != y[a]]
        if miner == "batch_all":
            found += [(a, p, n) for p in near for n in far]
        elif miner == "batch_hard":
            if near and far:
                found.append((a, max(near, key=lambda p: d[a][p]), min(far, key=lambda n: d[a][n])))
        elif far:
            for p in near:
                farther = [n for n in far if d[a][n] > d[a][p]]
                within = farther if every_pair else [n for n in farther if d[a][p] - d[a][n] + margin > 0]
                if within:
                    found.append((a, p, min(within, key=lambda n: d[a][n])))
                elif every_pair:
                    found.append((a, p, max(far, key=lambda n: d[a][n])))
    return found


def cost(x, triplets, margin, squared=False, normalize=False) -> Tensor:
    """The loss of each triplet."""
    if normalize:
        x = x / x.norm(dim=1, keepdim=True)
    each = [distance(x[a], x[p], squared) - distance(x[a], x[n], squared) for a, p, n in triplets]
    lead = torch.stack(each) if each else x.new_zeros(0)
    return torch.log1p(lead.exp()) if margin == "soft" else torch.relu(lead + margin)


def as_set(triplets) -> set[tuple[int, ...]]:
    rows = torch.stack(tuple(triplets)).T.tolist()
    found = {tuple(row) for row in rows}
    assert len(found) == len(rows), "a triplet is given twice"
    return found


SETTINGS = [
    {"squared": squared, "normalize": normalize} for squared, normalize in itertools.product((False, True), repeat=2)
]
each_setting = pytest.mark.parametrize("settings", SETTINGS, ids=str)


@each_setting
@pytest.mark.parametrize("miner", MINERS[:3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_the_loss_is_that_of_plain_loops(miner, settings, dtype, ran):
    for seed in range(2):
        x, y = drawn(15, labels=4, seed=seed)
        triplets = by_hand(x.to(dtype).double(), y, miner, 0.6, **settings)
        z = x.to(dtype).double().requires_grad_()
        costs = cost(z, triplets, 0.6, **settings)
        assert len(costs) and not (miner == "batch_all" and (costs > 0).all())
        pulls = torch.autograd.grad(costs, z, torch.eye(len(costs)).double(), retain_graph=True, is_grads_batched=True)
        most = pulls[0].abs().sum(0).max().item()
        each = torch.stack([costs[[i for i, t in enumerate(triplets) if t[0] == a]].sum() for a in range(len(x))])
        upstream = torch.linspace(-1, 1, len(x), dtype=torch.float64)
        for expected, factor, keywords in (
            (costs.mean(), None, {}),
            (costs.sum() / (costs > 0).sum(), None, {"average": "active"}),
            (costs.sum(), None, {"reduction": "sum"}),
            (costs.sum() / len(x), None, {"reduction": "batchmean"}),
            (costs.sum() / len(x), None, {"normalizer": "count"}),
            (each, upstream, {"reduction": "none"}),
        ):
            w = x.to(dtype).requires_grad_()
            found = loss(w, y, miner, 0.6, **settings, **keywords)
            assert found.dtype == dtype
            torch.testing.assert_close(found, expected.to(dtype))
            (gradient,) = torch.autograd.grad(found, w, None if factor is None else factor.to(dtype))
            (right,) = torch.autograd.grad(expected, z, factor, retain_graph=True)
            # rounding is in the unit of what is added up, which may cancel
            share = (expected / costs.sum()).item() if factor is None else 1
            rounding = max(1e-5 if dtype == torch.float32 else 1e-7, 4 * torch.finfo(dtype).eps * share * most)
            torch.testing.assert_close(gradient, right.to(dtype), rtol=1.3e-6, atol=rounding)


@pytest.mark.parametrize("miner", ["batch_hard", "semi_hard"])
def test_a_soft_margin(miner, ran):
    x, y = drawn()
    triplets = by_hand(x, y, miner, math.inf)
    x.requires_grad_()
    found, expected = loss(x, y, miner, "soft"), cost(x, triplets, "soft").mean()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found, x), torch.autograd.grad(expected, x))


@pytest.mark.parametrize("miner", MINERS[:3])
def test_a_mask_and_weights_of_anchors(miner, ran):
    x, y = drawn()
    mask, weight = torch.arange(len(x)) % 5 != 1, torch.linspace(0.2, 2, len(x), dtype=torch.float64)
    kept = mask.nonzero()[:, 0]
    triplets = [tuple(kept[i].item() for i in t) for t in by_hand(x[mask], y[mask], miner, 0.6)]
    z = x.clone().requires_grad_()
    anchors = torch.tensor([t[0] for t in triplets])
    expected = (weight[anchors] * cost(z, triplets, 0.6)).sum() / weight[anchors].sum()
    w = torch.where(mask[:, None], x, math.nan).requires_grad_()
    found = loss(w, y, miner, 0.6, mask=mask, sample_weight=weight)
    torch.testing.assert_close(found, expected)
    (gradient,) = torch.autograd.grad(found, w)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, z)[0])
    assert (gradient[~mask] == 0).all()


# ----- indices -----


@each_setting
def test_indices_are_those_of_plain_loops(settings, ran):
    for seed in range(3):
        x, y = drawn(seed=seed)
        hard = mining.batch_hard(x, y, **settings)
        assert as_set(hard) == set(by_hand(x, y, "batch_hard", 0.6, **settings))
        semi = mining.semi_hard(x, y, 0.6, **settings)
        assert as_set(semi) == set(by_hand(x, y, "semi_hard", 0.6, **settings))
        every = mining.semi_hard(x, y, 0.6, convention="tensorflow", **settings)
        assert as_set(every) == set(by_hand(x, y, "semi_hard", 0.6, **settings, every_pair=True))
        assert all(part.dtype == torch.int64 for part in (*hard, *semi, *every))


def test_every_triplet():
    x, y = drawn()
    triplets = mining.batch_all(x, y)
    assert list(zip(*(part.tolist() for part in triplets), strict=True)) == by_hand(x, y, "batch_all", 1.0)
    some = mining.batch_all(x[:1], y[:1])
    assert [len(part) for part in some] == [0, 0, 0]


def test_every_triplet_in_chunks(monkeypatch):
    x, y = drawn()
    whole = mining.batch_all(x, y)
    monkeypatch.setattr(mining, "CHUNK", 60)
    assert all(map(torch.equal, mining.batch_all(x, y), whole))
    semi = mining.semi_hard(x, y, 0.6, convention="pml")
    monkeypatch.undo()
    assert all(map(torch.equal, mining.semi_hard(x, y, 0.6, convention="pml"), semi))


@pytest.mark.parametrize("miner", ["batch_hard", "semi_hard"])
def test_of_equal_distances_the_first_sample_is_taken(miner, ran):
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 3.0], [3.0, 0.0], [0.0, -3.0]])
    y = torch.tensor([5, 5, 5, -2, 8, 8])
    found = mining.semi_hard(x, y, 9.0) if miner == "semi_hard" else mining.batch_hard(x, y)
    assert as_set(found) == set(by_hand(x, y, miner, 9.0))
    first = [row for row in as_set(found) if row[0] == 0]
    assert first == ([(0, 1, 3)] if miner == "batch_hard" else first) and {row[2] for row in first} == {3}


@pytest.mark.parametrize("miner", MINERS)
def test_near_ties_of_floats_are_decided_in_double(miner):
    """Distances that differ by less than the rounding of a sum of floats."""
    if backend.missing:
        pytest.skip(backend.missing)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 300, generator=generator) + 1e-6 * torch.randn(40, 300, generator=generator)
    x[::2] += torch.randn(1, 300, generator=generator)
    y = torch.arange(40) % 4
    torch.manual_seed(0)
    mined = loss(x.requires_grad_(), y, miner, 1e-6, reduction="none")
    torch.manual_seed(0)
    backend_before, backend.FORCED = backend.FORCED, "reference"
    expected = loss(x, y, miner, 1e-6, reduction="none")
    backend.FORCED = backend_before
    if miner != "distance_weighted":
        torch.testing.assert_close(mined, expected, atol=1e-12, rtol=1e-4)


@pytest.mark.parametrize("ran_on", [False, True])
def test_the_same_indices_as_the_reference_for_large_batches(ran_on, monkeypatch):
    if backend.missing:
        pytest.skip(backend.missing)
    x, y = drawn(700, 9, 90, dtype=torch.float32)
    monkeypatch.setattr(reference, "ROOM", 1 << 18)
    found = [mining.batch_hard(x, y, normalize=ran_on), mining.semi_hard(x, y, 0.3, normalize=ran_on)]
    found.append(mining.semi_hard(x, y, 0.3, normalize=ran_on, convention="tensorflow"))
    found.append(mining.distance_weighted(x, y, normalize=True, generator=torch.Generator().manual_seed(3)))
    monkeypatch.setattr(backend, "FORCED", "reference")
    assert all(map(torch.equal, found[0], mining.batch_hard(x, y, normalize=ran_on)))
    assert all(map(torch.equal, found[1], mining.semi_hard(x, y, 0.3, normalize=ran_on)))
    every = mining.semi_hard(x, y, 0.3, normalize=ran_on, convention="tensorflow")
    assert all(map(torch.equal, found[2], every))
    again = mining.distance_weighted(x, y, normalize=True, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(found[3].anchor, again.anchor)
    # a share of 1 that is rounded may fall on the other side
    assert (found[3].negative != again.negative).sum() <= 3


# ----- pytorch-metric-learning -----


def unit_distance(squared: bool):
    return distances.LpDistance(normalize_embeddings=True, p=2, power=2 if squared else 1)


@pytest.mark.parametrize("squared", [False, True])
def test_indices_of_pytorch_metric_learning(squared, ran):
    for seed in range(3):
        x, y = drawn(seed=seed)
        settings = {"squared": squared, "normalize": True}
        theirs = miners.BatchHardMiner(distance=unit_distance(squared))(x, y)
        assert as_set(mining.batch_hard(x, y, **settings)) == as_set(theirs)
        semi = miners.TripletMarginMiner(0.4, "semihard", distance=unit_distance(squared))(x, y)
        assert as_set(mining.semi_hard(x, y, 0.4, convention="pml", **settings)) == as_set(semi)
        # for the farthest positive, the nearest negative beyond it
        easy = miners.BatchEasyHardMiner("hard", "semihard", distance=unit_distance(squared))(x, y)
        pairs = {row[:2]: row[2] for row in as_set(mining.semi_hard(x, y, "soft", **settings))}
        anchor, positive, _, negative = easy
        assert [pairs[a, p] for a, p in zip(anchor.tolist(), positive.tolist(), strict=True)] == negative.tolist()
        violating = miners.TripletMarginMiner(0.4, "all", distance=unit_distance(squared))(x, y)
        every = mining.batch_all(x, y)
        active = cost(x, list(zip(*(p.tolist() for p in every), strict=True)), 0.4, **settings) > 0
        assert as_set(part[active] for part in every) == as_set(violating)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("soft", [False, True])
def test_values_and_gradients_of_pytorch_metric_learning(squared, soft, ran):
    x, y = drawn()
    x.requires_grad_()
    settings = {"squared": squared, "normalize": True}
    active = reducers.MeanReducer() if soft else reducers.AvgNonZeroReducer()
    theirs = losses.TripletMarginLoss(0.3 if not soft else 0.0, smooth_loss=soft, distance=unit_distance(squared),
                                      reducer=active)  # fmt: skip
    hard = miners.BatchHardMiner(distance=unit_distance(squared))
    pairs = [(loss(x, y, "batch_hard", "soft" if soft else 0.3, **settings, average="active"), hard)]
    if not soft:
        pairs.append((loss(x, y, "batch_all", 0.3, **settings, average="active"), lambda x, y: None))
        semi = miners.TripletMarginMiner(0.3, "semihard", distance=unit_distance(squared))
        own = functools.partial(mining.semi_hard, margin=0.3, convention="pml", **settings)
        pairs.append((loss(x, y, own, 0.3, **settings, average="active"), semi))
        pairs.append((loss(x, y, semi, 0.3, **settings, average="active"), semi))
    for found, miner in pairs:
        expected = theirs(x, y, miner(x, y))
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(torch.autograd.grad(found, x)[0], torch.autograd.grad(expected, x)[0])


def test_the_distribution_of_distance_weighted_negatives(ran):
    """Of one pair, against the weights of pytorch-metric-learning, which are also the paper's of clipped distances."""
    x, y = drawn(14, 4, 5, seed=3)
    x = torch.nn.functional.normalize(x, dim=1)
    d = torch.cdist(x, x).clamp(min=0.5)
    weight = d ** (2 - 4) * (1 - d**2 / 4) ** ((3 - 4) / 2)
    weight = weight * (y[:, None] != y) * (d < 1.4)
    draws = 3000
    counts = Counter()
    for seed in range(draws):
        for row in as_set(mining.distance_weighted(x, y, generator=torch.Generator().manual_seed(seed))):
            counts[row] += 1
    pairs = {row[:2] for row in counts}
    same = {(a, p) for a in range(14) for p in range(14) if a != p and y[a] == y[p] and weight[a].sum() > 0}
    assert pairs == same
    for a, p in pairs:
        expected = draws * weight[a] / weight[a].sum()
        seen = torch.tensor([counts[a, p, n] for n in range(14)])
        assert (seen[expected == 0] == 0).all()
        fits = expected > 0
        square = ((seen - expected)[fits] ** 2 / expected[fits]).sum()
        # a chi-square of so many degrees of freedom is above this in 1 of 1e6 cases
        freedom = int(fits.sum()) - 1
        assert square < freedom + 2 * math.sqrt(freedom * 14) + 28, (a, p, seen, expected)


def test_distance_weighted_negatives_are_those_of_pytorch_metric_learning(ran):
    x, y = drawn(40, 6, 8, seed=1)
    x = torch.nn.functional.normalize(x, dim=1)
    torch.manual_seed(0)
    theirs = miners.DistanceWeightedMiner(cutoff=0.7, nonzero_loss_cutoff=1.2)
    shares = [Counter(), Counter()]
    for seed in range(300):
        torch.manual_seed(seed)
        ours = mining.distance_weighted(x, y, cutoff=0.7, nonzero_loss_cutoff=1.2)
        shares[0].update(zip(ours.anchor.tolist(), ours.negative.tolist(), strict=True))
        anchor, _, negative = theirs(x, y)
        shares[1].update(zip(anchor.tolist(), negative.tolist(), strict=True))
    for a in range(40):
        totals = [sum(n for (row, _), n in share.items() if row == a) for share in shares]
        if totals[1] == 0:
            assert totals[0] == 0
            continue
        for n in range(40):
            ours, other = (share[a, n] / total for share, total in zip(shares, totals, strict=True))
            spread = math.sqrt(max(ours, other, 1e-9) * (1 / totals[0] + 1 / totals[1]))
            assert abs(ours - other) < 6 * spread, (a, n, ours, other)


def test_random_triplets_are_torchs_generators_to_repeat(ran):
    x, y = drawn()
    x = torch.nn.functional.normalize(x, dim=1)

    def at(seed: int) -> mining.Triplets:
        torch.manual_seed(seed)
        return mining.distance_weighted(x, y)

    assert all(map(torch.equal, at(1), at(1)))
    assert not all(map(torch.equal, at(1), at(2)))
    generator = torch.Generator().manual_seed(1)
    first = mining.distance_weighted(x, y, generator=generator)
    assert all(map(torch.equal, first, at(1)))
    assert not all(map(torch.equal, first, mining.distance_weighted(x, y, generator=generator)))
    # the loss draws the same, and its gradient is of what it drew
    x.requires_grad_()
    torch.manual_seed(1)
    found = loss(x, y, "distance_weighted", 0.7)
    expected = cost(x, sorted(as_set(first)), 0.7).mean()
    torch.testing.assert_close(found, expected)
    (right,) = torch.autograd.grad(expected, x)
    for _ in range(2):
        torch.testing.assert_close(torch.autograd.grad(found, x, retain_graph=True)[0], right)


# ----- derivatives -----


@pytest.mark.parametrize("miner", MINERS)
@each_setting
def test_derivatives_of_any_order(miner, settings, ran):
    x, y = drawn(7, 3, 3)
    x.requires_grad_()

    def function(x: Tensor) -> Tensor:
        torch.manual_seed(0)
        return loss(x, y, miner, 0.8, **settings, reduction="none")

    assert (function(x) > 0).any()
    torch.autograd.gradcheck(function, x)
    torch.autograd.gradgradcheck(function, x)


@pytest.mark.parametrize("miner", MINERS[:3])
def test_transforms_and_the_compiler(miner):
    x, y = drawn(9, 3, 3)

    def function(x: Tensor) -> Tensor:
        return loss(x, y, miner, 0.8, normalize=True)

    z = x.clone().requires_grad_()
    expected = function(z)
    (gradient,) = torch.autograd.grad(expected, z)
    with recorded() as records:
        torch.testing.assert_close(torch.func.grad(function)(x), gradient)
        torch.testing.assert_close(torch.vmap(function)(torch.stack([x, 2 * x])), torch.stack([expected] * 2).detach())
        value, along = torch.func.jvp(function, (x,), (torch.ones_like(x),))
    assert {record.backend for record in records} == {"reference"}
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(along, gradient.sum(), atol=1e-10, rtol=1e-6)
    torch.testing.assert_close(torch.func.hessian(function)(x), torch.autograd.functional.hessian(function, x))
    torch._dynamo.reset()
    compiled = torch.compile(function, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), expected.detach())
    meta = loss(x.to("meta"), y.to("meta"), miner, 0.8)
    assert meta.device.type == "meta" and meta.shape == ()


def test_a_reference_in_chunks_is_the_whole(monkeypatch):
    """What a chunk keeps is computed again in backward; a second derivative goes through it as well."""
    x, y = drawn(30, 4, 6)
    x.requires_grad_()
    monkeypatch.setattr(backend, "FORCED", "reference")

    def derivatives(miner: str) -> list[Tensor]:
        found = loss(x, y, miner, 0.8, squared=True)
        (first,) = torch.autograd.grad(found, x, create_graph=True)
        return [found, first, *torch.autograd.grad((first**2).sum(), x)]

    whole = {miner: derivatives(miner) for miner in MINERS[:3]}
    monkeypatch.setattr(reference, "ROOM", 7 * x.numel())
    for miner, expected in whole.items():
        torch.testing.assert_close(derivatives(miner), expected)


# ----- extremes -----


@pytest.mark.parametrize("miner", MINERS)
@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_batches_without_a_triplet(miner, rows, dtype, ran):
    x, y = torch.ones(rows, 3, dtype=dtype, requires_grad=True), torch.zeros(rows, dtype=torch.int64)
    assert loss(x, y, miner).isnan()
    assert loss(x, y, miner, reduction="none").equal(torch.zeros(rows, dtype=dtype))
    zero = loss(x, y, miner, on_empty="zero")
    assert zero == 0 and not torch.autograd.grad(zero, x)[0].any()
    with pytest.raises(ValueError, match="nothing counts towards the mean"):
        loss(x, y, miner, on_empty="error")
    for function in (mining.batch_hard, mining.semi_hard, mining.distance_weighted):
        assert [len(part) for part in function(x, y)] == [0, 0, 0]


def test_labels_without_pairs_or_without_others(ran):
    x, _ = drawn(5)
    for y in (torch.zeros(5, dtype=torch.int32), torch.arange(5)):
        assert loss(x, y, "batch_all", reduction="sum") == 0
        assert mining.statistics(x, y, "batch_all").triplets == 0
        assert mining.statistics(x, y, "batch_all").active.isnan()


@pytest.mark.parametrize("miner", MINERS[:3])
@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e-10, 1e10, 1e30, 1e37])
def test_floats_of_any_size(miner, scale, ran):
    x, y = drawn(dtype=torch.float32)
    x = (x.double() * scale).float().double()  # as they are rounded
    w = x.float().requires_grad_()
    for squared in (False, True):
        margin = 0.7 * scale ** (1 + squared)
        if not 1e-38 < margin < 1e38:
            continue
        z = x.clone().requires_grad_()
        triplets = by_hand(x / scale, y, miner, 0.7, squared)
        expected = cost(z, triplets, margin, squared).mean()
        found = loss(w, y, miner, margin, squared)
        torch.testing.assert_close(found, expected.float(), rtol=1e-5, atol=0)
        (gradient,) = torch.autograd.grad(found, w)
        (right,) = torch.autograd.grad(expected, z)
        torch.testing.assert_close(gradient, right.float(), rtol=1e-4, atol=1e-6 * right.abs().max().item())
    normalized = loss(w, y, miner, 0.7, normalize=True)
    if scale > 1e-38:
        torch.testing.assert_close(normalized, loss(x.float() / scale, y, miner, 0.7, normalize=True))


@pytest.mark.parametrize("miner", MINERS[:3])
@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_doubles_of_any_size(miner, scale, ran):
    x, y = drawn()
    found = loss(x * scale, y, miner, 0.7 * scale) / scale
    torch.testing.assert_close(found, loss(x, y, miner, 0.7))


@pytest.mark.parametrize("miner", MINERS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_told_by_every_loss(miner, bad, ran):
    x, y = drawn()
    x[3, 1] = bad
    each = loss(x.requires_grad_(), y, miner, reduction="none")
    assert each.isnan().all()
    mask = torch.arange(len(x)) != 3
    assert loss(x, y, miner, reduction="none", mask=mask).isfinite().all()


@pytest.mark.parametrize("miner", MINERS[:3])
def test_samples_that_coincide(miner, ran):
    x = torch.tensor([[1.0, 2.0]]).repeat(6, 1).requires_grad_()
    y = torch.arange(6) % 2
    found = loss(x, y, miner, 0.5)
    if miner == "semi_hard":
        assert found.isnan()  # no negative is farther
        return
    assert found == 0.5
    assert not torch.autograd.grad(found, x)[0].any()


def test_a_vector_of_zeros_is_normalised_to_itself(ran):
    x, y = drawn()
    x[2] = 0
    x.requires_grad_()
    found = loss(x, y, "batch_all", 0.5, normalize=True)
    (gradient,) = torch.autograd.grad(found, x)
    assert found.isfinite() and gradient.isfinite().all() and not gradient[2].any()


def test_where_a_triplet_begins_to_cost_something_it_has_no_slope(ran):
    x = torch.tensor([[0.0], [1.0], [2.0], [-4.0]], requires_grad=True)  # 1 - 2 + 1 is 0
    y = torch.tensor([0, 0, 1, 2])
    for miner in ("batch_all", "batch_hard"):
        each = loss(x, y, miner, 1.0, reduction="none")
        assert each[0] == 0
        assert not torch.autograd.grad(each[0], x)[0].any()
    assert len(mining.semi_hard(x, y, 1.0).anchor) == 0
    assert loss(x, y, "batch_all", 1.0, reduction="sum") == 1  # from 1: 1 - 1 + 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("miner", MINERS[:3])
def test_half_precision_is_rounded_once(miner, dtype, ran):
    x, y = drawn(dtype=dtype)
    x.requires_grad_()
    wide = x.detach().float().requires_grad_()
    found, expected = loss(x, y, miner, normalize=True), loss(wide, y, miner, normalize=True)
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected.to(dtype), rtol=0, atol=0)
    gradients = torch.autograd.grad(found, x)[0], torch.autograd.grad(expected, wide)[0].to(dtype)
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


# ----- statistics -----


@pytest.mark.parametrize("miner", MINERS[:3])
@each_setting
def test_statistics(miner, settings, ran):
    x, y = drawn()
    triplets = by_hand(x, y, miner, 0.6, **settings)
    found = mining.statistics(x, y, miner, 0.6, **settings)
    assert found.triplets == len(triplets)
    costs = cost(x, triplets, 0.6, **settings)
    torch.testing.assert_close(found.active, (costs > 0).double().mean())
    z = x / x.norm(dim=1, keepdim=True) if settings["normalize"] else x
    for part, other in ((found.positive, 1), (found.negative, 2)):
        mean = torch.stack([distance(z[t[0]], z[t[other]], settings["squared"]) for t in triplets]).mean()
        torch.testing.assert_close(part, mean)
    indices = mining.Triplets(*torch.tensor(triplets).T)
    for one, same in zip(found, mining.statistics_of(x, indices, 0.6, **settings), strict=True):
        torch.testing.assert_close(one, same)
    mask = torch.arange(len(x)) % 3 > 0
    rest = mining.statistics(x[mask], y[mask], miner, 0.6, **settings)
    for one, same in zip(mining.statistics(x, y, miner, 0.6, **settings, mask=mask), rest, strict=True):
        torch.testing.assert_close(one, same)


# ----- Modules -----


def test_triplet_margin_loss_with_a_miner_is_this_one():
    x, y = drawn()
    criterion = lossmith.TripletMarginLoss(0.4, squared=True, normalize=True, miner="batch_all", average="active")
    assert isinstance(criterion, torch.nn.TripletMarginLoss)
    expected = loss(x, y, "batch_all", 0.4, squared=True, normalize=True, average="active")
    assert criterion(x, y) == expected
    assert copy.deepcopy(criterion)(x, y) == expected
    assert "miner='batch_all', average='active'" in repr(criterion)
    mask = torch.arange(len(x)) % 3 > 0
    assert criterion(x, y, mask=mask) == loss(x[mask], y[mask], "batch_all", 0.4, True, True, "active")
    with pytest.raises(TypeError, match=r"three tensors are given.*criterion\(embeddings, labels\)"):
        criterion(x, x, x)
    with pytest.raises(TypeError, match="no negative; write"):
        lossmith.TripletMarginLoss()(x, x)
    theirs = miners.TripletMarginMiner(0.4, "semihard", distance=unit_distance(False))
    own = lossmith.TripletMarginLoss(0.4, normalize=True, miner=theirs)
    assert own(x, y) == lossmith.MinedTripletMarginLoss(theirs, 0.4, normalize=True)(x, y) != criterion(x, y)
    for wrong in ({"p": 1}, {"swap": True}):
        with pytest.raises(ValueError, match="triplets are mined by Euclidean distances"):
            lossmith.TripletMarginLoss(miner="batch_hard", **wrong)
    with pytest.raises(ValueError, match="miner is 'hardest', expected one of 'batch_all'"):
        lossmith.TripletMarginLoss(miner="hardest")
    assert "miner='batch_hard', margin=1.0" in repr(lossmith.MinedTripletMarginLoss("batch_hard"))


# ----- wrong inputs -----


def test_wrong_inputs():
    x, y = drawn()
    for call, error, said in (
        (lambda: loss(x[0], y), ValueError, r"input is \(5,\) float64, expected a batch of vectors"),
        (lambda: loss(x.long(), y), TypeError, r"expected floating vectors; write input.float\(\)"),
        (lambda: loss(x, y[:5]), ValueError, r"target is \(5,\) int64, expected one label for each of 24 vectors"),
        (lambda: loss(x, y.double()), RuntimeError, r"write target.long\(\)"),
        (lambda: loss(x, y, "hard"), ValueError, r"miner is 'hard', expected one of 'batch_all', 'batch_hard'"),
        (lambda: loss(x, y, 3), ValueError, "miner is 3, expected a name or a function"),
        (lambda: loss(x, y, margin=0), ValueError, "margin is 0, expected a number above 0"),
        (lambda: loss(x, y, margin=math.nan), ValueError, "margin is nan"),
        (lambda: loss(x, y, margin="hard"), ValueError, "margin is 'hard'"),
        (lambda: loss(x, y, "batch_all", "soft"), ValueError, "write miner='batch_hard', or a number as margin"),
        (lambda: loss(x, y, average="nonzero"), ValueError, "average is 'nonzero', expected 'triplets' or 'active'"),
        (lambda: loss(x, y, mask=torch.ones(24, 1, dtype=torch.bool)), ValueError, "mask is .*without enlarging it"),
        (lambda: loss(x, y, sample_weight=torch.ones(7)), ValueError, "sample_weight is .*without enlarging it"),
        (lambda: mining.semi_hard(x, y, convention="keras"), ValueError, "expected one of 'facenet', 'tensorflow'"),
        (lambda: mining.batch_hard(x, y[1:]), ValueError, "labels is .*expected one label for each of 24 vectors"),
        (lambda: mining.distance_weighted(x, y, cutoff=0), ValueError, "cutoff is 0"),
        (lambda: mining.statistics(x, y, "none"), ValueError, "miner is 'none'"),
    ):
        with pytest.raises(error, match=said):
            call()


@pytest.mark.parametrize(
    "returned",
    [None, (torch.tensor([0]),) * 2, (torch.tensor([0.0]),) * 3, (torch.tensor([24]),) * 3, (torch.tensor([-1]),) * 3],
    ids=str,
)
def test_a_miner_that_returns_something_else(returned):
    x, y = drawn()
    with pytest.raises(ValueError, match=r"the miner returned .*expected lossmith.mining.Triplets: three tensors"):
        loss(x, y, lambda x, y: returned)


# ----- memory -----


def test_neither_distances_nor_triplets_are_held():
    if backend.missing:
        pytest.skip(backend.missing)
    from lossmith.bench.memory import peak_growth

    rows, width = 6000, 64
    x = torch.randn(rows, width, generator=torch.Generator().manual_seed(0)).requires_grad_()
    y = torch.arange(rows) % 1000
    for miner in MINERS:

        def step(miner=miner) -> None:
            with recorded() as records:
                loss(x, y, miner, 0.3, normalize=True).backward()
            assert records[0].backend == "native"

        step()
        peak = peak_growth(step, torch.device("cpu"))
        matrix, vectors, tile = 4 * rows * rows, 4 * rows * width, 16 << 20
        assert peak is not None and peak < tile + 12 * vectors < matrix / 2, f"{miner}: {peak:,}"
