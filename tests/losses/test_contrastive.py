"""Contrastive loss against the paper, pytorch-metric-learning and sentence-transformers; its extremes and errors."""

import copy
import itertools
import math
import pickle
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pytorch_metric_learning import distances, losses, reducers
from torch import Tensor

import lossmith
import lossmith.functional as LF
from lossmith.backend import recorded

INF, NAN = math.inf, math.nan
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
CONVENTIONS = {"signs": (1, -1), "binary": (1, 0), "hadsell": (0, 1)}


def pairs(n: int = 8, d: int = 5, dtype: torch.dtype = torch.float64, scale: float = 0.3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n * d)
    first, second = (scale * torch.randn(n, d, dtype=torch.float64, generator=generator) for _ in range(2))
    return first.to(dtype).requires_grad_(), second.to(dtype).requires_grad_()


def signs(n: int = 8) -> Tensor:
    return torch.tensor([1, -1, -1, 1] * n)[:n]


def gradients(loss: Tensor, *sources: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, sources)


def natively(*args: Any, **keywords: Any) -> Tensor:
    with recorded() as records:
        loss = LF.contrastive_loss(*args, **keywords)
    assert [record.backend for record in records] == ["native"], records
    return loss


# ----- closed forms -----


def test_equation_4_of_the_paper() -> None:
    """L = (1 - Y) D^2 / 2 + Y max(0, m - D)^2 / 2, with Y = 0 for similar pairs."""
    u, v = torch.zeros(4, 2), torch.tensor([[3.0, 4.0], [0.3, 0.4], [3.0, 4.0], [0.0, 0.0]])
    y = torch.tensor([0, 1, 1, 1])
    found = natively(u, v, y, 2.0, labels="hadsell", reduction="none")
    torch.testing.assert_close(found, torch.tensor([25 / 2, 1.5**2 / 2, 0.0, 2.0**2 / 2]))


def test_the_gradient_is_that_of_two_springs() -> None:
    u = torch.tensor([[3.0, 4.0], [0.3, 0.4], [3.0, 4.0], [0.0, 0.0], [0.0, 0.0]], requires_grad=True)
    loss = natively(u, torch.zeros(5, 2), torch.tensor([1, -1, -1, -1, 1]), 2.0, reduction="sum")
    pulls = torch.tensor([[3.0, 4.0], [-1.5 * 0.6, -1.5 * 0.8], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    torch.testing.assert_close(gradients(loss, u)[0], pulls)


def test_both_margins_and_no_square() -> None:
    u, v = torch.tensor([[0.2], [0.7], [1.5], [4.0]]), torch.zeros(4, 1)
    keywords: dict[str, Any] = {"positive_margin": 0.5, "squared": False, "reduction": "none"}
    found = natively(u, v, torch.ones(4), 2.0, **keywords)
    torch.testing.assert_close(found, torch.tensor([0.0, 0.2, 1.0, 3.5]))
    found = natively(u, v, -torch.ones(4), 2.0, **keywords)
    torch.testing.assert_close(found, torch.tensor([1.8, 1.3, 0.5, 0.0]))


@pytest.mark.parametrize("q", [0.2, 0.5, 0.9])
def test_labels_that_scatter_are_met_at_a_share_of_the_margin(q: float) -> None:
    """The card's minimiser: a share q of similar labels gives the distance (1 - q) m."""
    grid = torch.linspace(0, 3, 3001, dtype=torch.float64).unsqueeze(-1)
    similar, apart = (
        LF.contrastive_loss(grid, torch.zeros_like(grid), torch.full((3001,), y), 2.0, reduction="none")
        for y in (1, -1)
    )
    assert grid[(q * similar + (1 - q) * apart).argmin()].item() == pytest.approx((1 - q) * 2.0, abs=1e-3)


@pytest.mark.parametrize("labels", CONVENTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.uint8, torch.bool, torch.float16], ids=str)
def test_conventions_of_labels(labels: str, dtype: torch.dtype) -> None:
    similar, dissimilar = CONVENTIONS[labels]
    if dissimilar == -1 and dtype in (torch.uint8, torch.bool):
        with pytest.raises(ValueError, match=r"target (0|255) in row 1 is out of range"):
            LF.contrastive_loss(*pairs(2), torch.tensor([1, 0 if dtype == torch.bool else 255]).to(dtype))
        return
    target = torch.where(signs() == 1, similar, dissimilar).to(dtype)
    u, v = pairs()
    torch.testing.assert_close(natively(u, v, target, labels=labels), natively(u, v, signs()))


# ----- other packages -----


@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("positive_margin", [0.0, 0.3])
def test_pytorch_metric_learnings_loss(positive_margin: float, squared: bool) -> None:
    """Theirs takes all pairs of a batch of unit vectors, and adds the means of similar and dissimilar pairs above 0."""
    torch.manual_seed(0)
    embeddings, labels = torch.randn(12, 6, dtype=torch.float64, requires_grad=True), torch.arange(12) % 4
    first, second = torch.tensor(list(itertools.permutations(range(12), 2))).T
    similar = labels[first] == labels[second]

    found = natively(
        embeddings[first],
        embeddings[second],
        similar,
        labels="binary",
        squared=squared,
        normalize=True,
        positive_margin=positive_margin,
        average="active",
    )
    if squared:
        # they have no squares; theirs of each pair, squared and halved, is the paper's
        each = losses.ContrastiveLoss(positive_margin, 1.0, reducer=reducers.DoNothingReducer())(embeddings, labels)
        parts = [each[name]["losses"].square() / 2 for name in ("pos_loss", "neg_loss")]
        expected = sum(part[part > 0].mean() for part in parts)
    else:
        expected = losses.ContrastiveLoss(positive_margin, 1.0)(embeddings, labels)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(found, embeddings), gradients(expected, embeddings))


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_pytorch_metric_learnings_distances(p: float) -> None:
    u, v = pairs(6)
    theirs = losses.ContrastiveLoss(
        0.1, 2.0, distance=distances.LpDistance(normalize_embeddings=False, p=p), reducer=reducers.MeanReducer()
    )
    rows = torch.arange(6)
    for target, indices in ((1, (rows, rows, rows[:0], rows[:0])), (-1, (rows[:0], rows[:0], rows, rows))):
        expected = theirs(u, torch.arange(6), indices, v, torch.arange(6))
        found = natively(u, v, torch.full((6,), target), 2.0, squared=False, positive_margin=0.1, p=p)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(gradients(found, u, v), gradients(expected, u, v))


def test_sentence_transformers_loss() -> None:
    """Its formula, with SiameseDistanceMetric.EUCLIDEAN and 1 for similar pairs."""
    u, v = pairs()
    labels, margin = (signs() == 1).double(), 0.5
    apart = F.pairwise_distance(u, v, p=2)
    expected = (0.5 * (labels * apart.pow(2) + (1 - labels) * F.relu(margin - apart).pow(2))).mean()
    found = natively(u, v, labels, margin, labels="binary", eps=1e-6)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(found, u, v), gradients(expected, u, v))


def test_half_the_squares_of_unit_vectors_are_cosines() -> None:
    u, v = pairs()
    found = natively(u, v, torch.ones(8), normalize=True, reduction="none")
    torch.testing.assert_close(found, LF.cosine_embedding_loss(u, v, torch.ones(8), reduction="none"))


def test_a_distance_under_hinge_embedding_is_the_unsquared_loss() -> None:
    u, v = pairs()
    expected = LF.hinge_embedding_loss(torch.linalg.vector_norm(u - v, dim=-1), signs())
    torch.testing.assert_close(natively(u, v, signs(), squared=False), expected)


def test_means_of_active_pairs() -> None:
    """Of losses 2, 0, 3 (similar) and 4, 0 (dissimilar): with weights, a mask, and none active."""
    u, v, y = torch.tensor([[2.0], [0.0], [3.0], [1.0], [9.0]]), torch.zeros(5, 1), torch.tensor([1, 1, 1, -1, -1])
    settings: dict[str, Any] = {"margin": 5.0, "squared": False, "average": "active"}
    assert natively(u, v, y, **settings) == (2 + 3) / 2 + 4
    weight, mask = torch.tensor([3.0, 9.0, 1.0, 0.5, 9.0]), torch.tensor([True, True, True, False, True])
    assert natively(u, v, y, sample_weight=weight, **settings) == (3 * 2 + 3) / 4 + 4
    assert natively(u, v, y, mask=mask, **settings) == (2 + 3) / 2
    assert natively(u, v, y, mask=mask & (y == -1), **settings) == 0
    assert natively(u, v, y, reduction="none", **settings).tolist() == [2, 0, 3, 4, 0]
    assert natively(u, v, y, reduction="sum", **settings) == 9
    half = natively(u.half(), v.half(), y, **settings)
    assert half.dtype == torch.float16 and half == 6.5
    assert lossmith.ContrastiveLoss(**settings)(u, v, y) == 6.5
    for refused in ({"reduction": "batchmean"}, {"normalizer": 3}):
        with pytest.raises(ValueError, match="average='active' counts its own denominators"):
            LF.contrastive_loss(u, v, y, average="active", **refused)


# ----- derivatives -----


@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, INF])
def test_every_derivative(p: float, normalize: bool, squared: bool) -> None:
    u, v = pairs(4, 3)

    def loss(u: Tensor, v: Tensor) -> Tensor:
        return LF.contrastive_loss(
            u, v, signs(4), 2.5, "none", squared=squared, positive_margin=0.1, p=p, normalize=normalize
        )

    assert torch.autograd.gradcheck(loss, (u, v), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(loss, (u, v), check_fwd_over_rev=True)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype(dtype: torch.dtype, normalize: bool) -> None:
    u, v = pairs(16, 7, dtype)
    loss = natively(u, v, signs(16), normalize=normalize)
    assert loss.dtype == dtype
    wide = [t.detach().double().requires_grad_() for t in (u, v)]
    expected = natively(*wide, signs(16), normalize=normalize)
    torch.testing.assert_close(loss, expected.to(dtype))
    for found, right in zip(gradients(loss, u, v), gradients(expected, *wide), strict=True):
        torch.testing.assert_close(found, right.to(dtype))


def test_whole_numbers_and_bools_are_vectors_too() -> None:
    u, v = torch.tensor([[3, 0], [1, 1]]), torch.tensor([[0, 4], [1, 1]])
    assert torch.equal(LF.contrastive_loss(u, v, torch.tensor([1, -1]), 2.0, "none"), torch.tensor([12.5, 2.0]))
    assert torch.equal(LF.contrastive_loss(u.to(torch.uint8), v.to(torch.uint8), torch.ones(2)), torch.tensor(6.25))
    assert LF.contrastive_loss(u > 2, v > 2, torch.ones(2)) == 0.5


# ----- extremes -----


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, INF])
@pytest.mark.parametrize("normalize", [True, False])
def test_vectors_that_coincide_have_gradients_of_0(normalize: bool, p: float) -> None:
    u = torch.tensor([[0.3, -0.2], [0.3, -0.2], [0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    v = u.detach().clone().requires_grad_()
    for target in (1, -1):
        for loss in (natively, LF.contrastive_loss):
            losses = loss(u, v, torch.full((3,), target), p=p, normalize=normalize, reduction="none")
            assert torch.equal(losses, torch.full((3,), 0.0 if target == 1 else 0.5, dtype=torch.float64))
            assert all(not g.any() for g in gradients(losses.sum(), u, v))
    by_hand = torch.func.grad(lambda u: LF.contrastive_loss(u, v.detach(), -torch.ones(3), p=p, normalize=normalize))
    assert not by_hand(u.detach()).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("exponent", [-40, -20, 0, 20, 37, -300, 300])
def test_unit_vectors_of_any_length(exponent: int, dtype: torch.dtype) -> None:
    if abs(exponent) > 40 and dtype == torch.float32:
        exponent = int(math.copysign(38, exponent)) if exponent > 0 else -38
    u, v = pairs(6, 5, scale=1.0)
    long = (u.detach() * 10.0**exponent).to(dtype).requires_grad_()
    other = v.detach().to(dtype).requires_grad_()
    found = natively(long, other, signs(6), 1.5, normalize=True, reduction="none")
    with recorded() as records:
        of_reference = torch.func.vmap(
            lambda u, v, y: LF.contrastive_loss(u, v, y, 1.5, normalize=True, reduction="none")
        )(long, other, signs(6))
    assert records[0].backend == "reference"
    exact = long.detach().double() * 10.0 ** (-exponent)
    expected = natively(exact, other.detach().double(), signs(6), 1.5, normalize=True, reduction="none")
    torch.testing.assert_close(found, expected.to(dtype))
    torch.testing.assert_close(of_reference, expected.to(dtype))
    (of_other,) = gradients(found.sum(), other)
    assert of_other.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
def test_distances_neither_overflow_nor_vanish(scale: float, dtype: torch.dtype) -> None:
    if dtype == torch.float32 and not 1e-38 < scale < 1e38:
        scale = math.copysign(1e30, scale) if scale > 1 else 1e-30
    u, v = ((t.detach() * scale).to(dtype).requires_grad_() for t in pairs())
    unit = [(t.detach().double() / scale).requires_grad_() for t in (u, v)]
    keywords: dict[str, Any] = {"squared": False, "reduction": "none"}
    found = natively(u, v, signs(), 2 * scale, **keywords)
    expected = natively(*unit, signs(), 2.0, **keywords)
    torch.testing.assert_close(found.double() / scale, expected, rtol=1e-6, atol=1e-6)
    for got, right in zip(gradients(found.sum(), u, v), gradients(expected.sum(), *unit), strict=True):
        torch.testing.assert_close(got.double(), right, rtol=1e-6, atol=1e-6)


def test_infinite_and_undefined_vectors() -> None:
    u, v, y = torch.tensor([[INF, 0.0], [INF, 0.0], [NAN, 0.0]]), torch.zeros(3, 2), torch.tensor([1, -1, 1])
    of_reference = torch.func.vmap(lambda u, v, y: LF.contrastive_loss(u, v, y, reduction="none"))
    for loss in (natively(u, v, y, reduction="none"), of_reference(u, v, y)):
        assert loss[0] == INF and loss[1] == 0 and loss[2].isnan()


def test_a_zero_vector_has_no_direction() -> None:
    """Padding is neither NaN nor pulled by 1 / 0, as F.normalize's 1e-12 would have it."""
    u = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    v = torch.tensor([[3.0, 0.0, 4.0]] * 2, dtype=torch.float64, requires_grad=True)
    losses = natively(u, v, torch.tensor([1, -1]), 1.5, normalize=True, reduction="none")
    torch.testing.assert_close(losses, torch.tensor([0.5, 0.125], dtype=torch.float64))
    of_u, of_v = gradients(losses.sum(), u, v)
    assert not of_u.any() and of_v.abs().max() < 1e-15


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_nothing_at_all(reduction: str) -> None:
    found = LF.contrastive_loss(torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0), reduction=reduction)
    assert found.shape == ((0,) if reduction == "none" else ())
    assert reduction == "none" or found.isnan() == (reduction == "mean")
    assert LF.contrastive_loss(torch.zeros(2, 0), torch.zeros(2, 0), torch.ones(2)) == 0
    assert LF.contrastive_loss(torch.zeros(2, 0), torch.zeros(2, 0), -torch.ones(2), normalize=True) == 0.5


def test_one_pair_without_a_batch_and_one_vector_for_many() -> None:
    u, v = pairs()
    torch.testing.assert_close(natively(u[0], v[0], torch.tensor(1)), natively(u[:1], v[:1], torch.ones(1)))
    many = natively(u[:1], v, signs())
    torch.testing.assert_close(many, natively(u[:1].expand_as(v), v, signs()))
    torch.testing.assert_close(gradients(many, u)[0][0], gradients(natively(u[:1].expand_as(v), v, signs()), u)[0][0])


# ----- targets -----


@pytest.mark.parametrize("place", [0, 3, 899])
@pytest.mark.parametrize("wrong", [0, 2, NAN, INF, 0.5])
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_a_target_that_is_none_is_refused_by_the_kernel_and_the_reference(
    reduction: str, wrong: float, place: int
) -> None:
    u, v = pairs(900, 64)
    y = torch.ones(900)
    y[place] = wrong
    said = rf"contrastive_loss: target {wrong:g} in row {place} is out of range: labels='signs' takes 1 for similar"
    for keywords in ({}, {"sample_weight": torch.rand(900, requires_grad=True)}):
        with recorded() as records, pytest.raises(ValueError, match=said):
            LF.contrastive_loss(u, v, y, reduction=reduction, **keywords)
        assert records[0].backend == "native"
    with pytest.raises(ValueError, match=said):
        LF.contrastive_loss(u, v, y.requires_grad_(), reduction=reduction)
    y = y.detach()
    mask = torch.arange(900) != place
    right = LF.contrastive_loss(u[mask], v[mask], y[mask], reduction="sum")
    torch.testing.assert_close(LF.contrastive_loss(u, v, y, mask=mask, reduction="sum"), right)


def test_where_values_can_not_be_read_an_unknown_target_is_nan_with_a_gradient_of_0() -> None:
    u, v = pairs(3)
    y = torch.tensor([1.0, 0.0, -1.0])

    def each(u: Tensor) -> Tensor:
        return torch.func.vmap(lambda u, v, y: LF.contrastive_loss(u, v, y, reduction="none"))(u, v.detach(), y)

    losses = each(u)
    assert losses.isnan().tolist() == [False, True, False]
    (slope,) = gradients(losses[[0, 2]].sum() + losses[1], u)
    assert not slope[1].any() and slope[0].any()
    compiled = torch.compile(LF.contrastive_loss, backend="eager", fullgraph=True)
    assert compiled(u, v, y, reduction="none").isnan().tolist() == [False, True, False]
    assert LF.contrastive_loss(u.to("meta"), v.to("meta"), y.to("meta")).is_meta


def test_masked_pairs_may_hold_anything() -> None:
    u, v = pairs(3)
    spoiled = u.detach().index_fill(0, torch.tensor([1]), NAN).requires_grad_()
    y, mask = torch.tensor([1.0, NAN, -1.0]), torch.tensor([True, False, True])
    for normalize in (True, False):
        found = natively(spoiled, v, y, mask=mask, normalize=normalize)
        right = natively(u[[0, 2]], v[[0, 2]], y[[0, 2]], normalize=normalize)
        torch.testing.assert_close(found, right)
        of_found, of_right = gradients(found, spoiled)[0], gradients(right, u)[0]
        torch.testing.assert_close(of_found[[0, 2]], of_right[[0, 2]])
        assert not of_found[1].any()


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"margin": 0}, "margin is 0, expected a number greater than 0"),
        ({"margin": NAN}, "margin is nan, expected a number greater than 0"),
        ({"p": 0}, "p is 0, expected a number greater than 0"),
        ({"positive_margin": -0.1}, "positive_margin is -0.1, expected a distance of 0 or more"),
        ({"labels": "torch"}, "labels is 'torch', expected one of 'signs' .1 for similar and -1 for dissimilar pairs"),
        ({"average": "nonzero"}, "average is 'nonzero', expected 'pairs' .all. or 'active'"),
        ({"reduction": "avg"}, "'avg' is not a valid value for reduction"),
    ],
)
def test_settings_are_refused_with_what_to_write(keywords: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=f"contrastive_loss: {says}"):
        LF.contrastive_loss(*pairs(2), signs(2), **keywords)
    with pytest.raises(ValueError, match=f"ContrastiveLoss: {says}"):
        lossmith.ContrastiveLoss(**keywords)


@pytest.mark.parametrize(
    ("shapes", "says"),
    [
        (((2, 3), (2, 3), (2, 1)), r"0D or 1D target tensor expected.*write target\.squeeze\(-1\)"),
        (((2, 3), (2, 3), ()), r"0D target tensor expects 1D input tensors"),
        (((2, 3), (2, 4), (2,)), r"can't be broadcast together"),
        (((2, 3), (2, 3), (3,)), r"one target for each pair"),
    ],
)
def test_shapes_are_told(shapes: tuple[tuple[int, ...], ...], says: str) -> None:
    with pytest.raises(RuntimeError, match=f"contrastive_loss: .*{says}"):
        LF.contrastive_loss(*map(torch.ones, shapes))


def test_a_norm_below_1_is_warned_of() -> None:
    with pytest.warns(lossmith.LossWarning, match=r"p is 0\.5.*no metric"):
        LF.contrastive_loss(*pairs(2), signs(2), p=0.5)


# ----- the Module -----


def test_the_module_keeps_its_settings() -> None:
    settings: dict[str, Any] = {
        "margin": 2.0,
        "reduction": "sum",
        "labels": "binary",
        "squared": False,
        "positive_margin": 0.2,
        "p": 1.0,
        "eps": 1e-3,
        "normalize": True,
        "average": "active",
    }
    criterion = lossmith.ContrastiveLoss(**settings)
    u, v = pairs()
    expected = natively(u, v, signs() == 1, **settings)
    for module in (criterion, copy.deepcopy(criterion), pickle.loads(pickle.dumps(criterion))):
        assert torch.equal(module(u, v, signs() == 1), expected)
    mask = signs() == 1
    torch.testing.assert_close(
        criterion(u, v, signs() == 1, mask=mask), natively(u, v, signs() == 1, mask=mask, **settings)
    )
