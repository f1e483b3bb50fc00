"""Rows of the list of pains about losses over pairs of vectors, and FaceNet's: cosine embedding, triplet margins."""

import copy
import math
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import lossmith
import lossmith.functional as LF
from lossmith.backend import recorded

INF, NAN = math.inf, math.nan
NORMS = (1.0, 1.5, 2.0, 3.0, INF)


def vectors(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


def gradients(loss: Tensor, *sources: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, sources)


# ----- cosine embedding -----


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("target", [1.0, -1.0])
def test_p40_huge_vectors(dtype: torch.dtype, target: float) -> None:
    largest = torch.finfo(dtype).max
    direction = torch.tensor([[3.0, 4.0], [0.0, -1.0]], dtype=torch.float64) / 4
    u = (direction[:1] * largest).to(dtype).requires_grad_()
    v = (direction[1:] * largest).to(dtype).requires_grad_()
    loss = LF.cosine_embedding_loss(u, v, torch.tensor([target]), margin=-1.0, reduction="none")
    torch.testing.assert_close(loss, torch.tensor([1.8 if target == 1 else 0.2], dtype=dtype))
    for gradient in gradients(loss, u, v):
        assert gradient.isfinite().all()


def test_p40_huge_and_tiny_vectors_have_the_gradient_of_their_directions() -> None:
    u, v = vectors(4, 3), vectors(4, 3)
    scale = torch.tensor([[1e150], [1e-3], [1e200], [1.0]], dtype=torch.float64)
    y = torch.tensor([1, 1, -1, -1])
    plain = LF.cosine_embedding_loss(u, v, y, margin=-1.0, reduction="none")
    long = (u.detach() * scale).requires_grad_()
    loss = LF.cosine_embedding_loss(long, v, y, margin=-1.0, reduction="none")
    torch.testing.assert_close(loss, plain)
    torch.testing.assert_close(gradients(loss.sum(), long)[0] * scale, gradients(plain.sum(), u)[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_p40_vectors_of_zero(dtype: torch.dtype) -> None:
    u, v = torch.zeros(3, 2, dtype=dtype, requires_grad=True), torch.zeros(3, 2, dtype=dtype)
    v[0] = torch.tensor([0.6, 0.8])
    v.requires_grad_()
    loss = LF.cosine_embedding_loss(u, v, torch.tensor([1, 1, -1]), margin=0.5, reduction="none")
    assert torch.equal(loss, torch.tensor([1.0, 1.0, 0.0], dtype=dtype))
    of_u, of_v = gradients(loss.sum(), u, v)
    if dtype != torch.float16:  # 1e6 is beyond it
        torch.testing.assert_close(of_u[0], torch.tensor([-0.6e6, -0.8e6], dtype=dtype))
    assert torch.equal(of_u[1:], torch.zeros(2, 2, dtype=dtype))
    assert torch.equal(of_v, torch.zeros(3, 2, dtype=dtype))


def test_p40_second_derivatives_of_zero_and_huge_vectors() -> None:
    points = torch.tensor([[0.0, 0.0], [1e200, 1e200]], dtype=torch.float64)
    other, y = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64), torch.tensor([1, 1])
    hessian = torch.func.hessian(lambda u: LF.cosine_embedding_loss(u, other, y, reduction="sum"))(points)
    assert hessian.isfinite().all()


def test_the_slope_at_the_margin_is_torchs_and_other_targets_are_free() -> None:
    u, v = torch.tensor([[1.0, 0.0]] * 3, requires_grad=True), torch.tensor([[0.0, 1.0]] * 3)
    loss = LF.cosine_embedding_loss(u, v, torch.tensor([-1.0, 0.0, 0.5]), reduction="none")
    assert torch.equal(loss, torch.zeros(3))
    assert torch.equal(gradients(loss.sum(), u)[0], torch.tensor([[0.0, 1.0], [0.0, 0.0], [0.0, 0.0]]))


@pytest.mark.parametrize(
    "shapes, says",
    [
        (((2, 3), (2, 3), (2, 1)), r"0D or 1D target tensor expected.*write target\.squeeze\(-1\)"),
        (((2, 3), (2, 3), ()), r"0D target tensor expects 1D input tensors"),
        (((3,), (3,), (2,)), r"1D target tensor expects 2D input tensors"),
        (((2, 3), (2, 4), (2,)), r"can't be broadcast together"),
        (((2, 3), (2, 3), (3,)), r"one target for each pair"),
    ],
)
def test_p14_shapes_of_cosine_embedding_are_told(shapes: tuple[tuple[int, ...], ...], says: str) -> None:
    with pytest.raises(RuntimeError, match=says) as caught:
        LF.cosine_embedding_loss(*map(torch.ones, shapes))
    assert all(str(shape) in str(caught.value) for shape in shapes[:2])


def test_p27_an_outer_broadcast_of_vectors_warns() -> None:
    column, row = torch.ones(4, 1), torch.ones(1, 5)
    with pytest.warns(lossmith.LossWarning, match=r"input1 \(4, 1\).*input2 \(1, 5\).*broadcast to \(4, 5\)"):
        LF.cosine_embedding_loss(column, row, torch.ones(4))
    a, b = torch.ones(4, 1, 3), torch.ones(1, 5, 3)
    with pytest.warns(lossmith.LossWarning, match=r"larger than each of them"):
        LF.triplet_margin_loss(a, b, b)
    assert LF.triplet_margin_loss(a, b, b, reduction="none").shape == (4, 5)


def test_masked_pairs_may_hold_anything() -> None:
    u, v = vectors(3, 2), vectors(3, 2)
    spoiled = u.detach().index_fill(0, torch.tensor([1]), NAN).requires_grad_()
    y = torch.tensor([1.0, NAN, -1.0])
    mask, rest = torch.tensor([True, False, True]), [0, 2]
    ours = LF.cosine_embedding_loss(spoiled, v, y, mask=mask)
    right = LF.cosine_embedding_loss(u[rest], v[rest], y[rest])
    torch.testing.assert_close(ours, right)
    of_ours, of_right = gradients(ours, spoiled)[0], gradients(right, u)[0]
    torch.testing.assert_close(of_ours[rest], of_right[rest])
    assert torch.equal(of_ours[1], torch.zeros(2, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"mask is \(3, 1\) bool.*unreduced loss \(3,\)"):
        LF.cosine_embedding_loss(u, v, y, mask=mask.unsqueeze(1))


# ----- the norm of triplets -----


@pytest.mark.parametrize("p", [0, -1, -INF, NAN])
def test_p41_a_norm_of_0_or_less_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match=r"triplet_margin_loss: p is .*expected a number greater than 0"):
        LF.triplet_margin_loss(vectors(2, 3), vectors(2, 3), vectors(2, 3), p=p)
    with pytest.raises(ValueError, match=r"TripletMarginLoss: p is .*expected a number greater than 0"):
        lossmith.TripletMarginLoss(p=p)


@pytest.mark.parametrize("p", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_p41_a_norm_below_1_is_warned_of_and_never_nan(p: float, dtype: torch.dtype) -> None:
    anchor = torch.randn(6, 4, dtype=dtype)
    positive, negative = torch.randn(6, 4, dtype=dtype), torch.randn(6, 4, dtype=dtype)
    positive[0], negative[1] = anchor[0], anchor[1]  # a distance of 0
    positive[2, 1:], negative[3, 0] = anchor[2, 1:], anchor[3, 0]  # some differences of 0
    positive[4], negative[5] = anchor[4] + 1e-3, 1e3
    sources = [t.requires_grad_() for t in (anchor, positive, negative)]
    for margin in (1e-3, 1.0, 1e3):
        with pytest.warns(lossmith.LossWarning, match=r"p is .*no metric"):
            loss = LF.triplet_margin_loss(*sources, p=p, eps=0.0, margin=margin, swap=True, reduction="none")
        assert not loss.isnan().any()
        for gradient in gradients(loss.sum(), *sources):
            assert not gradient.isnan().any()


def test_p41_a_norm_below_1_has_the_right_value_and_gradient() -> None:
    sources = [vectors(5, 3) for _ in range(3)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", lossmith.LossWarning)
        ours = LF.triplet_margin_loss(*sources, p=0.5, margin=50.0)
    anchor, positive, negative = sources

    def distance(u: Tensor, v: Tensor) -> Tensor:
        return (u - v + 1e-6).abs().sqrt().sum(-1) ** 2

    right = (distance(anchor, positive) - distance(anchor, negative) + 50.0).relu().mean()
    torch.testing.assert_close(ours, right)
    torch.testing.assert_close(gradients(ours, *sources), gradients(right, *sources))


@pytest.mark.parametrize("p", NORMS)
def test_a_distance_of_0_has_gradient_0_of_every_order(p: float) -> None:
    anchor, negative = vectors(2, 3), vectors(2, 3)

    def loss(positive: Tensor) -> Tensor:
        return LF.triplet_margin_loss(anchor.detach(), positive, negative.detach(), p=p, eps=0.0, reduction="sum")

    at = anchor.detach().clone()
    zero = torch.zeros(2, 3, dtype=torch.float64)
    assert torch.equal(torch.func.grad(loss)(at), zero)
    assert torch.equal(torch.func.hessian(loss)(at), torch.zeros(2, 3, 2, 3, dtype=torch.float64))
    assert torch.equal(torch.func.jvp(loss, (at,), (torch.ones_like(at),))[1], zero.sum())


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
def test_distances_neither_overflow_nor_vanish(p: float, scale: float) -> None:
    dtype = torch.float32 if 1e-38 < scale < 1e38 else torch.float64
    small = [torch.randn(4, 3, dtype=torch.float64) for _ in range(3)]
    sources = [(t * scale).to(dtype).requires_grad_() for t in small]
    ours = LF.triplet_margin_loss(*sources, p=p, eps=0.0, margin=3 * scale, reduction="none")
    unit = [(t.detach().double() / scale).requires_grad_() for t in sources]
    right = LF.triplet_margin_loss(*unit, p=p, eps=0.0, margin=3.0, reduction="none")
    torch.testing.assert_close(ours.double() / scale, right, rtol=1e-5, atol=1e-5)
    for of_ours, of_right in zip(gradients(ours.sum(), *sources), gradients(right.sum(), *unit), strict=True):
        torch.testing.assert_close(of_ours.double(), of_right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("p", NORMS)
def test_triplets_have_every_derivative(p: float) -> None:
    sources = [vectors(3, 4) for _ in range(3)]

    def loss(*sources: Tensor) -> Tensor:
        return LF.triplet_margin_loss(*sources, p=p, margin=2.0, swap=True, reduction="none")

    assert torch.autograd.gradcheck(loss, sources, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(loss, sources, check_fwd_over_rev=True)


def test_the_slopes_at_the_kinks_are_torchs() -> None:
    def triplet(function: Callable[..., Tensor], swap: bool) -> tuple[Tensor, ...]:
        # at the hinge's kink; with swap, both distances of the negative are the same
        points = [torch.tensor([p], requires_grad=True) for p in ([0.0, 0.0], [0.0, 1.0], [2.0, 0.5 if swap else 0.0])]
        loss = function(*points, eps=0.0, margin=1.0, swap=swap, reduction="sum")
        return loss, *gradients(loss, *points)

    for swap in (False, True):
        torch.testing.assert_close(
            triplet(LF.triplet_margin_loss, swap), triplet(torch.nn.functional.triplet_margin_loss, swap)
        )


def test_p38_different_numbers_of_dimensions_are_told_with_what_to_write() -> None:
    for function in (LF.triplet_margin_loss, LF.triplet_margin_with_distance_loss):
        with pytest.raises(RuntimeError, match=r"same number of dimensions.*anchor 1D.*\(3,\).*write unsqueeze\(0\)"):
            function(torch.ones(3), torch.ones(2, 3), torch.ones(2, 3))


@pytest.mark.parametrize("module", [lossmith.TripletMarginLoss, lossmith.TripletMarginWithDistanceLoss])
def test_p53_a_margin_of_0_is_refused_in_the_constructor(module: type[torch.nn.Module]) -> None:
    with pytest.raises(ValueError, match=rf"{module.__name__}: margin must be greater than 0, got 0: .*write margin="):
        module(margin=0)


def test_vectors_of_bool_have_no_difference() -> None:
    with pytest.raises(RuntimeError, match=r"negative is \(2,\) bool, which has no difference; write negative\.float"):
        LF.triplet_margin_loss(torch.ones(2), torch.ones(2), torch.ones(2, dtype=torch.bool))


# ----- squared distances of unit vectors -----

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def composed(
    *sources: Tensor, margin: float, eps: float = 1e-6, swap: bool = False, squared: bool, normalize: bool
) -> Tensor:
    """The triplet loss as it is written by hand."""
    anchor, positive, negative = (F.normalize(t, dim=-1) for t in sources) if normalize else sources

    def distance(u: Tensor, v: Tensor) -> Tensor:
        return (u - v + eps).square().sum(-1) if squared else F.pairwise_distance(u, v, eps=eps)

    far = (
        torch.minimum(distance(anchor, negative), distance(positive, negative)) if swap else distance(anchor, negative)
    )
    return (distance(anchor, positive) - far + margin).relu()


def natively(*sources: Tensor, **keywords: Any) -> Tensor:
    with recorded() as records:
        loss = LF.triplet_margin_loss(*sources, **keywords)
    assert [record.backend for record in records] == ["native"], records
    return loss


def test_equation_3_of_facenet() -> None:
    """[|a - p|^2 - |a - n|^2 + 0.2]_+ of unit vectors: with angles of 30 and 36.87 degrees, 2 cos n - 2 cos p + 0.2."""
    angles = torch.tensor([0.0, 30.0, math.degrees(math.acos(0.8))], dtype=torch.float64).deg2rad()
    points = torch.stack([angles.cos(), angles.sin()], -1) * torch.tensor([[3.0], [0.5], [7.0]], dtype=torch.float64)
    loss = natively(*points.split(1), margin=0.2, eps=0.0, squared=True, normalize=True)
    assert loss.item() == pytest.approx(2 * 0.8 - 2 * math.sqrt(0.75) + 0.2, rel=1e-14)


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize(("squared", "normalize"), [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_squares_and_unit_vectors_are_those_written_by_hand(
    dtype: torch.dtype, squared: bool, normalize: bool, swap: bool
) -> None:
    sources = [torch.randn(40, 6, dtype=dtype, requires_grad=True) for _ in range(3)]
    wide = [t.detach().double().requires_grad_() for t in sources]
    keywords: dict[str, Any] = {"margin": 1.5, "eps": 1e-3, "swap": swap, "squared": squared, "normalize": normalize}
    loss, expected = natively(*sources, **keywords), composed(*wide, **keywords).mean()
    assert loss.dtype == dtype
    torch.testing.assert_close(loss, expected.to(dtype))
    for found, right in zip(gradients(loss, *sources), gradients(expected, *wide), strict=True):
        torch.testing.assert_close(found, right.to(dtype))


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize(("squared", "normalize"), [(True, True), (True, False), (False, True)])
def test_squares_and_unit_vectors_have_every_derivative(squared: bool, normalize: bool, p: float) -> None:
    sources = [vectors(3, 4) for _ in range(3)]

    def loss(*sources: Tensor) -> Tensor:
        return LF.triplet_margin_loss(
            *sources, p=p, margin=3.0, swap=True, squared=squared, normalize=normalize, reduction="none"
        )

    assert torch.autograd.gradcheck(loss, sources, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(loss, sources, check_fwd_over_rev=True)


def test_a_squared_distance_of_0_has_its_second_derivative() -> None:
    """Where a distance has a kink, its square is smooth."""
    point, far = torch.zeros(2, dtype=torch.float64), torch.full((2,), 5.0, dtype=torch.float64)
    hessian = torch.func.hessian(
        lambda positive: LF.triplet_margin_loss(point, positive, far, margin=99.0, eps=0.0, squared=True)
    )(point)
    torch.testing.assert_close(hessian, 2 * torch.eye(2, dtype=torch.float64))


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e-13, 1e30, 1e300])
@pytest.mark.parametrize("squared", [False, True])
def test_unit_vectors_of_any_length(squared: bool, scale: float) -> None:
    """F.normalize leaves vectors below 1e-12 short, and sees no length above 1e154."""
    sources = [vectors(5, 3) for _ in range(3)]
    expected = natively(*sources, squared=squared, normalize=True, reduction="none")
    long = [(t.detach() * scale).requires_grad_() for t in sources]
    found = natively(*long, squared=squared, normalize=True, reduction="none")
    torch.testing.assert_close(found, expected)
    with_reference = torch.func.vmap(
        lambda *sources: LF.triplet_margin_loss(*sources, squared=squared, normalize=True, reduction="none")
    )(*long)
    torch.testing.assert_close(with_reference, expected)
    for got, right in zip(gradients(found.sum(), *long), gradients(expected.sum(), *sources), strict=True):
        torch.testing.assert_close(got * scale, right)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_vectors_of_zero_have_no_direction(dtype: torch.dtype) -> None:
    """Padding stays 0, without a gradient of 1 / 1e-12."""
    sources = [torch.zeros(2, 3, dtype=dtype, requires_grad=True) for _ in range(2)]
    sources.append(torch.tensor([[0.0, 3.0, 4.0], [0.0, 0.0, 0.0]], dtype=dtype, requires_grad=True))
    loss = natively(*sources, margin=2.0, eps=0.0, squared=True, normalize=True, reduction="none")
    assert loss.tolist() == [1.0, 2.0]
    of_reference = torch.func.grad(
        lambda *s: LF.triplet_margin_loss(*s, margin=2.0, eps=0.0, squared=True, normalize=True), argnums=(0, 1, 2)
    )(*(t.detach() for t in sources))
    for gradient in (*gradients(loss.sum(), *sources), *of_reference):
        assert gradient.abs().max() < 1e-3


def test_the_module_of_facenet_is_pickled_copied_and_shown() -> None:
    plain = lossmith.TripletMarginLoss()
    assert repr(plain) == repr(torch.nn.TripletMarginLoss()) == "TripletMarginLoss()"
    criterion = lossmith.TripletMarginLoss(0.2, eps=0.0, squared=True, normalize=True, on_empty="zero")
    assert repr(criterion) == "TripletMarginLoss(squared=True, normalize=True, on_empty='zero')"
    sources = [torch.randn(9, 4) for _ in range(3)]
    expected = natively(*sources, margin=0.2, eps=0.0, squared=True, normalize=True)
    for module in (criterion, copy.deepcopy(criterion), pickle.loads(pickle.dumps(criterion))):
        assert torch.equal(module(*sources), expected)
    before = lossmith.TripletMarginLoss()
    del before.squared, before.normalize  # as pickles made before there were any
    assert torch.equal(pickle.loads(pickle.dumps(before))(*sources), LF.triplet_margin_loss(*sources))


def test_whole_numbers_are_squared_and_scaled_too() -> None:
    vectors = [torch.tensor([[0, 0]]), torch.tensor([[3, 4]]), torch.tensor([[6, 0]])]
    assert LF.triplet_margin_loss(*vectors, margin=12, eps=0.0, squared=True) == 1
    assert LF.triplet_margin_loss(*vectors, margin=1, eps=0.0, normalize=True) == 1


# ----- a distance of one's own -----


def root_of_squares(u: Tensor, v: Tensor) -> Tensor:
    """Has no gradient at 0."""
    return (u - v).square().sum(-1).sqrt()


def matrices(u: Tensor, v: Tensor) -> Tensor:
    """Of more than the last dimension."""
    return (u - v).abs().sum((-1, -2))


def kept(u: Tensor, v: Tensor) -> Tensor:
    return (u - v).abs().sum(-1, keepdim=True)


class Weighted(torch.nn.Module):
    """A distance that is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64))

    def forward(self, u: Tensor, v: Tensor) -> Tensor:
        return root_of_squares(u * self.weight, v * self.weight)


@pytest.mark.parametrize(
    "measure, inner, trailing",
    [(None, (), 0), (root_of_squares, (), 0), (matrices, (4,), 0), (matrices, (3,), 0), (kept, (), 1)],
    ids=["default", "rows", "matrices", "matrices of the batch's size", "kept dimension"],
)
def test_masked_triplets_reach_no_distance(
    measure: Callable[[Tensor, Tensor], Tensor] | None, inner: tuple[int, ...], trailing: int
) -> None:
    sources = [vectors(3, *inner, 3) for _ in range(3)]
    spoiled = [t.detach().index_fill(0, torch.tensor([1]), NAN).requires_grad_() for t in sources]
    mask = torch.tensor([True, False, True]).reshape(3, *[1] * trailing)
    ours = LF.triplet_margin_with_distance_loss(*spoiled, distance_function=measure, margin=9.0, swap=True, mask=mask)
    rest = [t[[0, 2]] for t in sources]
    right = LF.triplet_margin_with_distance_loss(*rest, distance_function=measure, margin=9.0, swap=True)
    torch.testing.assert_close(ours, right)
    for of_ours, of_right in zip(gradients(ours, *spoiled), gradients(right, *sources), strict=True):
        torch.testing.assert_close(of_ours, of_right)


def test_masked_triplets_reach_no_parameter_of_a_distance() -> None:
    criterion = lossmith.TripletMarginWithDistanceLoss(distance_function=Weighted(), margin=9.0)
    sources = [torch.full((2, 3), NAN, dtype=torch.float64) for _ in range(3)]
    for t in sources:
        t[0] = torch.randn(3)
    loss = criterion(*sources, mask=torch.tensor([True, False]))
    right = criterion(*(t[:1] for t in sources))
    torch.testing.assert_close(loss, right)
    (weight,) = criterion.parameters()
    torch.testing.assert_close(gradients(loss, weight), gradients(right, weight))


def test_a_mask_that_no_distance_fits_is_refused() -> None:
    with pytest.raises(ValueError, match=r"mask is \(4,\) bool.*unreduced loss \(3,\)"):
        LF.triplet_margin_with_distance_loss(*torch.ones(3, 3, 2), mask=torch.ones(4, dtype=torch.bool))


def test_a_distance_gets_what_the_caller_gave() -> None:
    given, seen = [torch.randint(0, 2, (3, 4)).bool() for _ in range(3)], []

    def hamming(u: Tensor, v: Tensor) -> Tensor:
        seen.extend([u, v])
        return (u != v).sum(-1)

    loss = LF.triplet_margin_with_distance_loss(*given, distance_function=hamming, reduction="none")
    assert [id(t) for t in seen] == [id(given[k]) for k in (0, 1, 0, 2)]
    assert loss.dtype == torch.get_default_dtype()
    masked = LF.triplet_margin_with_distance_loss(
        *given, distance_function=hamming, reduction="none", mask=torch.tensor([True, False, True])
    )
    assert {t.dtype for t in seen} == {torch.bool}
    assert torch.equal(masked, loss * torch.tensor([1.0, 0.0, 1.0]))


def test_the_module_with_a_distance_is_torchs() -> None:
    ours, theirs = lossmith.TripletMarginWithDistanceLoss(), torch.nn.TripletMarginWithDistanceLoss()
    assert repr(ours) == repr(theirs)
    assert isinstance(ours.distance_function, torch.nn.PairwiseDistance)
    assert list(lossmith.TripletMarginWithDistanceLoss(distance_function=Weighted()).state_dict()) == [
        "distance_function.weight"
    ]
    sources = [torch.randn(4, 3, dtype=torch.float16) for _ in range(3)]
    expected = LF.triplet_margin_loss(*sources)
    for criterion in (ours, copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert torch.equal(criterion(*sources), expected)
