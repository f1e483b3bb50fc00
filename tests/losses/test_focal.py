"""Focal loss of classes: plain torch, MONAI and keras, cross-entropy at a gamma of 0, extremes, wrong calls."""

import math
import os

os.environ.setdefault("KERAS_BACKEND", "torch")  # read when keras is imported

import numpy
import pytest
import torch
import torch.nn.functional as F
from mpmath import exp, log1p, mpf
from torch import Tensor

import lossmith
import lossmith.functional as LF
from kernels import HALVES, reference
from lossmith.backend import recorded
from native.conftest import ISAS, instruction_set, ran_natively
from oracle.accuracy import ulps

GAMMAS = (0, 0.3, 0.5, 1, 2, 2.0, 3.3, 5)
REDUCTIONS = ("none", "mean", "sum", "batchmean")
SHAPES = {"few": (70, 3), "many": (9, 130), "images": (3, 5, 4, 6), "a row": (4,)}
each_gamma = pytest.mark.parametrize("gamma", GAMMAS)
each_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
each_backend = pytest.mark.parametrize("backend", [ran_natively, reference], ids=["native", "reference"])


def by_hand(x: Tensor, q: Tensor, gamma: float, weight: Tensor | None = None, dim: int = 1) -> Tensor:
    """The sum over the classes of w q (1 - p)^gamma (-log p), as one writes it from the paper."""
    p = x.softmax(dim)
    each = q * (1 - p) ** gamma * -p.log()
    if weight is not None:
        each = each * weight.reshape([-1] + [1] * (x.dim() - 1 - dim))
    return each.sum(dim)


def one_hot(y: Tensor, classes: int, dim: int = 1) -> Tensor:
    return F.one_hot(y, classes).movedim(-1, dim).double()


def labelled(shape: tuple[int, ...]) -> tuple[Tensor, Tensor, int]:
    """Logits, labels and the class dimension."""
    dim = min(1, len(shape) - 1)
    y = torch.randint(0, shape[dim], [s for d, s in enumerate(shape) if d != dim])
    return (2 * torch.randn(shape, dtype=torch.float64)).requires_grad_(), y, dim


def gradients(loss: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
    upstream = torch.linspace(1, 2, loss.numel(), dtype=loss.dtype).view(loss.shape)
    return torch.autograd.grad(loss, leaves, upstream, retain_graph=True)


# ----- by hand, and other packages -----


@each_backend
@each_shape
@each_gamma
def test_labels_by_hand(gamma, shape, backend):
    x, y, dim = labelled(shape)
    weight = torch.linspace(0.3, 2, shape[dim], dtype=torch.float64)
    for w in (None, weight):
        each = by_hand(x, one_hot(y, shape[dim], dim), gamma, w, dim)
        share = torch.ones_like(each) if w is None else w[y]
        rows = share.numel() if len(shape) < 2 else shape[0]
        expected = {"none": each, "sum": each.sum(), "mean": each.sum() / share.sum(), "batchmean": each.sum() / rows}
        for reduction in REDUCTIONS:
            with backend():
                loss = LF.focal_loss(x, y, gamma, w, reduction=reduction)
                found = gradients(loss, x)
            torch.testing.assert_close(loss, expected[reduction])
            torch.testing.assert_close(found, gradients(expected[reduction], x))


@each_backend
@each_shape
@each_gamma
def test_probabilities_by_hand(gamma, shape, backend):
    x, _, dim = labelled(shape)
    q = torch.rand_like(x).softmax(dim).requires_grad_()
    for weight in (None, torch.linspace(0.3, 2, shape[dim], dtype=torch.float64)):
        each = by_hand(x, q, gamma, weight, dim)
        for reduction, expected in {"none": each, "sum": each.sum(), "mean": each.mean()}.items():
            with backend():
                loss = LF.focal_loss(x, q, gamma, weight, reduction=reduction)
                found = gradients(loss, x, q)
            torch.testing.assert_close(loss, expected)
            torch.testing.assert_close(found, gradients(expected, x, q))


@each_backend
def test_the_class_dimension(backend):
    x, y, _ = labelled((5, 4, 3))
    moved = x.detach().movedim(1, -1).requires_grad_()
    for target, other in ((y, y), (q := one_hot(y, 4) * 0.9 + 0.025, q.movedim(1, -1))):
        with backend():
            found = LF.focal_loss(moved, other, dim=-1)
            (slope,) = gradients(found, moved)
        expected = LF.focal_loss(x, target)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(slope.movedim(-1, 1), gradients(expected, x)[0])


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_monai(gamma):
    """Its mean is over the classes too; its alpha weighs all classes but the first, which gets 1 - alpha."""
    from monai.losses import FocalLoss

    x, y, _ = labelled((6, 3, 5))
    for alpha in (None, 0.3):
        weight = None if alpha is None else torch.tensor([1 - alpha, alpha, alpha], dtype=torch.float64)
        theirs = FocalLoss(gamma=gamma, alpha=alpha, use_softmax=True, to_onehot_y=True)(x, y.unsqueeze(1))
        ours = LF.focal_loss(x, y, gamma, weight, normalizer="count")
        torch.testing.assert_close(ours, 3 * theirs.double(), rtol=1e-5, atol=1e-6)
        (their_slope,) = gradients(theirs, x)
        torch.testing.assert_close(gradients(ours, x)[0], 3 * their_slope, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_keras(gamma):
    import keras

    x, y, _ = labelled((6, 3))
    x = x.detach().float().requires_grad_()
    q = one_hot(y, 3).float()
    for alpha in (1.0, [0.2, 0.5, 1.5]):
        theirs = keras.losses.CategoricalFocalCrossentropy(alpha=alpha, gamma=gamma, from_logits=True)(q, x)
        ours = LF.focal_loss(x, q, gamma, torch.tensor(alpha).expand(3))
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(gradients(ours, x), gradients(theirs, x), rtol=1e-4, atol=1e-6)


# ----- beside cross-entropy -----


@pytest.mark.parametrize("kind", ["labels", "ignored labels", "probabilities"])
def test_a_gamma_of_0_is_cross_entropy_to_the_bit(kind):
    x, y, _ = labelled((8, 5, 3))
    y[:2] = -100 if kind == "ignored labels" else 1
    target = one_hot(y, 5) if kind == "probabilities" else y
    weight = torch.rand(5, dtype=torch.float64)
    for reduction in REDUCTIONS:
        ours = LF.focal_loss(x, target, 0, weight, reduction=reduction)
        right = LF.cross_entropy(x, target, weight, reduction=reduction)
        assert torch.equal(ours, right)
        assert torch.equal(gradients(ours, x)[0], gradients(right, x)[0])


@each_gamma
def test_of_two_classes_it_is_the_sigmoid_focal_loss(gamma):
    x, y, _ = labelled((50, 2))
    lead = x[:, 1] - x[:, 0]
    expected = LF.sigmoid_focal_loss(lead, y.double(), 0.3, gamma, "none")
    weight = torch.tensor([0.7, 0.3], dtype=torch.float64)
    torch.testing.assert_close(LF.focal_loss(x, y, gamma, weight, reduction="none"), expected)


@each_backend
@each_gamma
def test_labels_and_the_same_one_hot_agree(gamma, backend):
    x, y, _ = labelled((20, 4))
    weight = torch.rand(4, dtype=torch.float64)
    for normalizer in ("count", "weight"):
        with backend():
            ours = LF.focal_loss(x, y, gamma, weight, normalizer=normalizer)
        torch.testing.assert_close(ours, LF.focal_loss(x, one_hot(y, 4), gamma, weight, normalizer=normalizer))


@each_backend
@each_gamma
def test_ignored_and_masked_rows_are_not_there(gamma, backend):
    x, y, _ = labelled((6, 3))
    spoiled = x.detach().clone()
    spoiled[1], spoiled[4] = math.nan, math.inf
    labels, rest = y.clone(), [0, 2, 3, 5]
    labels[1], labels[4] = -100, 99
    mask = torch.tensor([True, True, True, True, False, True])
    leaf = spoiled.requires_grad_()
    with backend():
        loss = LF.focal_loss(leaf, labels, gamma, mask=mask)
        (slope,) = gradients(loss, leaf)
    right = LF.focal_loss(x[rest], y[rest], gamma)
    torch.testing.assert_close(loss, right)
    torch.testing.assert_close(slope[rest], gradients(right, x)[0][rest])
    assert not slope[[1, 4]].any()


# ----- extremes -----


@each_backend
@each_gamma
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("classes", [2, 60])
def test_an_almost_certain_row_keeps_its_relative_accuracy(classes, dtype, gamma, backend):
    """Of one rival at a distance: the others are too far away to count."""
    kind, g = numpy.float32 if dtype == torch.float32 else numpy.float64, mpf(float(gamma))
    leads = [0.0, 0.5, 3.0, 10.0, 17.0, 20.0]
    x = torch.full((len(leads), classes), -1e9, dtype=dtype)
    x[:, 0], x[:, 1] = torch.tensor(leads, dtype=dtype), 0
    x.requires_grad_()
    with backend():
        loss = LF.focal_loss(x, torch.zeros(len(leads), dtype=torch.long), gamma, reduction="none")
        (slopes,) = torch.autograd.grad(loss, x, torch.ones_like(loss))
    for lead, value, (own, rival, *_) in zip(leads, loss.tolist(), slopes.tolist(), strict=True):
        cost, miss = log1p(exp(mpf(-lead))), 1 / (1 + exp(mpf(lead)))
        limit = 4 * (2 if gamma == 2 else 2 + gamma * lead)
        truth = miss**g * cost
        assert ulps(value, truth, truth, kind) <= limit, lead
        steep = miss**g * (miss + g * (1 - miss) * cost)
        assert ulps(own, -steep, steep, kind) <= limit, lead
        assert ulps(rival, steep, steep, kind) <= limit, lead


@each_backend
@each_gamma
@pytest.mark.parametrize("target", ["labels", "probabilities"])
@pytest.mark.parametrize("rows", [1, 20])
def test_infinite_logits(rows, target, gamma, backend):
    """A class at -inf costs nothing to others, and everything to its own label."""
    x = torch.tensor([[0.0, -math.inf, 1.0]]).repeat(rows, 1).requires_grad_()
    y = torch.tensor([2]).repeat(rows)
    aim = one_hot(y, 3).float() if target == "probabilities" else y
    with backend():
        loss = LF.focal_loss(x, aim, gamma, reduction="none")
        (slope,) = torch.autograd.grad(loss, x, torch.ones_like(loss))
    finite = x.detach()[:, [0, 2]].requires_grad_()
    right = LF.focal_loss(finite, torch.ones(rows, dtype=torch.long), gamma, reduction="none")
    torch.testing.assert_close(loss, right)
    torch.testing.assert_close(slope[:, [0, 2]], torch.autograd.grad(right, finite, torch.ones_like(right))[0])
    assert not slope[:, 1].any()
    if target == "labels":
        with backend():
            wrong = LF.focal_loss(x, torch.ones_like(y), gamma, reduction="none")
            (slope,) = torch.autograd.grad(wrong, x, torch.ones_like(wrong))
        assert (wrong == math.inf).all()
        torch.testing.assert_close(slope, x.detach().softmax(1) - one_hot(torch.ones_like(y), 3).float())


@each_backend
@each_gamma
def test_logits_that_are_huge(gamma, backend):
    x = torch.tensor([[1e30, -1e30, 0.0], [3e38, 3e38, -3e38]], requires_grad=True)
    with backend():
        loss = LF.focal_loss(x, torch.tensor([0, 0]), gamma, reduction="none")
        (slope,) = torch.autograd.grad(loss, x, torch.ones_like(loss))
    torch.testing.assert_close(loss, torch.tensor([0.0, 0.5**gamma * math.log(2)]))
    assert slope.isfinite().all() and not slope[0].any()


@pytest.mark.parametrize("gamma", [0.3, 1, 2, 3.3])
def test_second_derivatives_are_finite_where_a_row_is_certain(gamma):
    x = torch.tensor([[20.0, 0.0], [90.0, 0.0], [1e4, 0.0], [math.inf, 0.0]][:3], requires_grad=True)
    for target in (torch.zeros(3, dtype=torch.long), torch.tensor([[1.0, 0.0]]).expand(3, 2)):
        (first,) = torch.autograd.grad(LF.focal_loss(x, target, gamma), x, create_graph=True)
        (second,) = torch.autograd.grad(first[:, 0].sum(), x)
        assert first.isfinite().all() and second.isfinite().all()


# ----- derivatives, transforms, kernels -----


@pytest.mark.parametrize("gamma", [0.5, 2, 3.3])
def test_derivatives_of_first_and_second_order(gamma):
    x, y, _ = labelled((4, 3))
    q = torch.rand_like(x).softmax(1).requires_grad_()
    weight = torch.rand(3, dtype=torch.float64).requires_grad_()

    def of_labels(x: Tensor, weight: Tensor) -> Tensor:
        return LF.focal_loss(x, y, gamma, weight, reduction="none")

    def of_probabilities(x: Tensor, q: Tensor, weight: Tensor) -> Tensor:
        return LF.focal_loss(x, q, gamma, weight, reduction="none")

    for check in (torch.autograd.gradcheck, torch.autograd.gradgradcheck):
        check(of_labels, (x, weight))
        check(of_probabilities, (x, q, weight))


@pytest.mark.parametrize("gamma", [0.5, 2])
def test_transforms_and_meta_tensors(gamma):
    x, y, _ = labelled((4, 3))
    x = x.detach()
    grad = torch.func.vmap(torch.func.grad(lambda x, y: LF.focal_loss(x, y, gamma)))
    one = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(LF.focal_loss(one, y, gamma, reduction="sum"), one)
    torch.testing.assert_close(grad(x, y), expected)
    assert LF.focal_loss(x.to("meta"), y.to("meta"), gamma).shape == ()


@pytest.mark.parametrize("kind", ["labels", "probabilities"])
def test_compiled(kind):
    x, y, _ = labelled((6, 4))
    target = one_hot(y, 4) if kind == "probabilities" else y
    compiled = torch.compile(LF.focal_loss, fullgraph=True)
    loss, right = compiled(x, target), LF.focal_loss(x, target)
    torch.testing.assert_close(loss, right)
    torch.testing.assert_close(torch.autograd.grad(loss, x), torch.autograd.grad(right, x))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, *HALVES], ids=str)
@pytest.mark.parametrize("kind", ["labels", "probabilities"])
@pytest.mark.parametrize("gamma", [0.5, 2])
@pytest.mark.parametrize("shape", [(70, 3), (9, 130)], ids=str)
def test_the_kernel_runs_it(shape, gamma, kind, dtype, isa):
    x, y, _ = labelled(shape)
    given = x.detach().to(dtype).requires_grad_()
    target = one_hot(y, shape[1]).to(dtype) if kind == "probabilities" else y
    with instruction_set(isa), recorded() as records:
        loss = LF.focal_loss(given, target, gamma)
    assert [record.backend for record in records] == ["native"]
    wide = given.detach().double().requires_grad_()
    expected = by_hand(wide, one_hot(y, shape[1]), gamma).mean()
    tolerance = {"rtol": 1e-2, "atol": 1e-3} if dtype in HALVES else {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(loss.double(), expected, **tolerance)
    (slope,) = torch.autograd.grad(loss, given)
    torch.testing.assert_close(slope.double(), torch.autograd.grad(expected, wide)[0], **tolerance)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32, torch.int64], ids=str)
def test_labels_of_any_integer_dtype(dtype):
    x, y, _ = labelled((7, 4))
    with ran_natively():
        torch.testing.assert_close(LF.focal_loss(x, y.to(dtype)), LF.focal_loss(x, y))


def test_nothing():
    x = torch.zeros(0, 3, requires_grad=True)
    y = torch.zeros(0, dtype=torch.long)
    assert LF.focal_loss(x, y).isnan()
    assert LF.focal_loss(x, y, on_empty="zero") == 0
    assert LF.focal_loss(x, x.detach(), reduction="none").shape == (0,)
    assert LF.focal_loss(torch.zeros(2, 3), torch.tensor([-100, -100]), on_empty="zero") == 0


# ----- wrong calls -----


@pytest.mark.parametrize("gamma", [-1, math.inf, math.nan, "2", None, True])
def test_a_wrong_gamma(gamma):
    said = r"gamma is .*, expected a finite number of 0 or more; 2 is usual"
    with pytest.raises(ValueError, match="focal_loss: " + said):
        LF.focal_loss(torch.zeros(2, 3), torch.tensor([0, 1]), gamma)
    with pytest.raises(ValueError, match="FocalLoss: " + said):
        lossmith.FocalLoss(gamma)


@each_backend
@pytest.mark.parametrize("label", [3, -1])
def test_a_label_out_of_range(label, backend):
    with backend(), pytest.raises(IndexError, match=rf"focal_loss: label {label} in row 1 is out of range: expected 0"):
        LF.focal_loss(torch.zeros(2, 3), torch.tensor([0, label]))


def test_wrong_tensors():
    x = torch.zeros(4, 3)
    with pytest.raises(ValueError, match=r"focal_loss: expected labels of shape \(4,\)"):
        LF.focal_loss(x, torch.zeros(5, dtype=torch.long))
    with pytest.raises(RuntimeError, match=r"focal_loss: .*not floating.*write target.float\(\) for probabilities"):
        LF.focal_loss(x, torch.zeros(4, 3, dtype=torch.long))
    with pytest.raises(RuntimeError, match=r"focal_loss: weight must hold one number for each of the 3 classes"):
        LF.focal_loss(x, torch.zeros(4, dtype=torch.long), weight=torch.ones(4))
    with pytest.raises(RuntimeError, match=r"focal_loss: ignore_index=0 needs labels"):
        LF.focal_loss(x, x, ignore_index=0)
    with pytest.warns(lossmith.LossWarning, match="has size 1"):
        LF.focal_loss(torch.zeros(4, 1), torch.zeros(4, dtype=torch.long))
