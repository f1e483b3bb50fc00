"""ArcFace and CosFace against pytorch-metric-learning, insightface's formula and cross-entropy; tiles and poles."""

import math

import pytest
import torch
import torch.nn.functional as F
from pytorch_metric_learning import losses as pml
from torch.testing import assert_close

import lossmith
from lossmith.functional import arcface_loss, cosface_loss
from similarities import (
    close_to_float64,
    megabytes,
    ran,
    value_and_gradients,
    vectors,
)

N, C, D = 9, 6, 5
LABELS = torch.tensor([0, 1, 2, 0, 5, 1, 3, 2, 4])
BOTH = [arcface_loss, cosface_loss]
each_loss = pytest.mark.parametrize("loss", BOTH, ids=lambda loss: loss.__name__)


def insightface(x, w, labels, scale, margin, easy_margin=False):
    """The additive angular margin as the authors published it, before they used arc cosines."""
    cosine = F.linear(F.normalize(x), F.normalize(w))
    sine = (1 - cosine.square()).clamp(0, 1).sqrt()
    phi = cosine * math.cos(margin) - sine * math.sin(margin)
    if easy_margin:
        phi = torch.where(cosine > 0, phi, cosine)
    else:
        phi = torch.where(cosine > math.cos(math.pi - margin), phi, cosine - math.sin(math.pi - margin) * margin)
    hot = F.one_hot(labels, len(w))
    return F.cross_entropy(scale * (hot * phi + (1 - hot) * cosine), labels)


def less_a_margin(x, w, labels, scale=64.0, margin=0.35):
    """Equation 4 of CosFace, on the whole matrix."""
    cosine = F.linear(F.normalize(x), F.normalize(w))
    return F.cross_entropy(scale * (cosine - margin * F.one_hot(labels, len(w))), labels)


def at_angles(*angles: float, dtype=torch.float64) -> torch.Tensor:
    """Embeddings at angles to the first of two class vectors at a right angle, in their plane."""
    angle = torch.tensor(angles, dtype=torch.float64)
    return torch.stack([angle.cos(), angle.sin()], 1).to(dtype).requires_grad_()


def test_arcface_is_that_of_pytorch_metric_learning(way):
    """Its margin is in degrees and its weight turned; both sides of the angle where the margin reaches pi."""
    x, w = vectors(40, 3), vectors(C, 3, seed=1, scale=30)
    labels = torch.arange(40) % C
    angles = torch.acos(F.cosine_similarity(x, w[labels]))
    assert (angles > math.pi - 0.5).any() and (angles < math.pi / 2).any()
    assert ran(way, arcface_loss, x, w, labels)
    for degrees, scale in ((28.6, 64.0), (17.0, 10.0), (0.0, 30.0)):
        theirs = pml.ArcFaceLoss(C, 3, margin=degrees, scale=scale).double()
        theirs.W.data = w.detach().T.clone()
        expected = theirs(x, labels)
        value, of_x, of_w = value_and_gradients(expected, x, theirs.W)
        ours = arcface_loss(x, w, labels, scale, math.radians(degrees))
        assert_close(value_and_gradients(ours, x, w), (value, of_x, of_w.T), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("easy_margin", [False, True])
def test_arcface_is_insightfaces_formula(easy_margin, way):
    x, w, labels = vectors(40, 3), vectors(C, 3, seed=1), torch.arange(40) % C
    for scale, margin in ((64.0, 0.5), (5.0, 1.0), (30.0, math.pi)):
        expected = value_and_gradients(insightface(x, w, labels, scale, margin, easy_margin), x, w)
        ours = value_and_gradients(arcface_loss(x, w, labels, scale, margin, easy_margin), x, w)
        assert_close(ours, expected)


def test_cosface_is_that_of_pytorch_metric_learning(way):
    x, w = vectors(N, D), vectors(C, D, seed=1, scale=30)
    assert ran(way, cosface_loss, x, w, LABELS)
    for margin, scale in ((0.35, 64.0), (0.1, 10.0)):
        theirs = pml.CosFaceLoss(C, D, margin=margin, scale=scale).double()
        theirs.W.data = w.detach().T.clone()
        value, of_x, of_w = value_and_gradients(theirs(x, LABELS), x, theirs.W)
        ours = value_and_gradients(cosface_loss(x, w, LABELS, scale, margin), x, w)
        assert_close(ours, (value, of_x, of_w.T))
        assert_close(ours, value_and_gradients(less_a_margin(x, w, LABELS, scale, margin), x, w))


@each_loss
def test_without_a_margin_it_is_cross_entropy(loss, way):
    x, w = vectors(N, D), vectors(C, D, seed=1)
    logits = 20 * F.normalize(x, dim=1) @ F.normalize(w, dim=1).T
    ours = loss(x, w, LABELS, scale=20.0, margin=0.0)
    assert_close(value_and_gradients(ours, x, w), value_and_gradients(F.cross_entropy(logits, LABELS), x, w))


@each_loss
def test_an_unreduced_loss_with_any_upstream_gradient(loss, way):
    x, w = vectors(N, D), vectors(C, D, seed=1)
    whole = insightface if loss is arcface_loss else less_a_margin
    margin = 0.5 if loss is arcface_loss else 0.35
    each = loss(x, w, LABELS, reduction="none")
    rows = [whole(x[i : i + 1], w, LABELS[i : i + 1], 64.0, margin) for i in range(N)]
    assert_close(each, torch.stack(rows))
    upstream = torch.linspace(-1, 2, N, dtype=torch.float64)
    found = torch.autograd.grad(each, (x, w), upstream)
    assert_close(found, torch.autograd.grad(torch.stack(rows), (x, w), upstream))
    # what does not pull is not pulled: the norm of a vector changes nothing
    assert_close((found[0] * x).sum(1), torch.zeros(N, dtype=torch.float64), rtol=0, atol=1e-9)
    assert_close((found[1] * w).sum(1), torch.zeros(C, dtype=torch.float64), rtol=0, atol=1e-9)


# ----- poles, and where the margin turns -----


@pytest.mark.parametrize("easy_margin", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_cosines_of_1_and_minus_1(dtype, easy_margin, way):
    w = torch.eye(2, dtype=dtype, requires_grad=True)
    x = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 3.0]], dtype=dtype, requires_grad=True)
    labels = torch.tensor([0, 0, 1])
    each = arcface_loss(x, w, labels, 3.0, 0.5, easy_margin, reduction="none")
    near, far = math.cos(0.5), -1.0 if easy_margin else -1 - 0.5 * math.sin(0.5)
    expected = [math.log1p(math.exp(-3 * logit)) for logit in (near, far, near)]
    assert_close(each, torch.tensor(expected, dtype=dtype))
    # there the other class's cosine alone has a slope: at a right angle to it
    of_x, of_w = torch.autograd.grad(each.sum(), (x, w))
    assert of_x.isfinite().all() and of_w.isfinite().all()
    share = [1 - math.exp(-value) for value in expected]
    slopes = torch.tensor([[0, 3 * share[0] / 2], [0, 3 * share[1] / 2], [3 * share[2] / 3, 0]], dtype=dtype)
    assert_close(of_x, slopes, rtol=1e-5, atol=1e-7)


def test_second_derivatives_are_finite_at_the_poles():
    w = torch.eye(2, dtype=torch.float64, requires_grad=True)
    for angle in (0.0, 1e-9, 1e-7, 1e-5, math.pi - 0.5, math.pi - 1e-9, math.pi):
        for loss, settings in ((arcface_loss, {}), (arcface_loss, {"easy_margin": True}), (cosface_loss, {})):
            x = at_angles(angle)
            value = loss(x, w, torch.tensor([0]), **settings)
            first = torch.autograd.grad(value, (x, w), create_graph=True)
            second = torch.autograd.grad(sum(g.sum() for g in first), (x, w))
            assert all(g.isfinite().all() for g in (value, *first, *second)), (angle, loss.__name__, settings)


def test_the_pull_does_not_fade_next_to_the_class_vector(way):
    """The slope is sin(angle + margin), where plain cosines have sin(angle)."""
    w, labels = torch.eye(2, dtype=torch.float64), torch.zeros(3, dtype=torch.int64)
    x = at_angles(1e-3, 1e-5, 1e-2)
    each = arcface_loss(x, w, labels, scale=2.0, reduction="none")
    (gradient,) = torch.autograd.grad(each.sum(), x)
    angle = torch.tensor([1e-3, 1e-5, 1e-2], dtype=torch.float64)
    share = 1 - (-each).exp()
    expected = 2 * share * ((angle + 0.5).sin() + angle.cos())  # along the second axis, by both classes
    assert_close(gradient[:, 1], expected, rtol=1e-4, atol=0)


def test_the_loss_rises_with_the_angle_beyond_the_turn():
    angles = torch.linspace(0, math.pi, 400, dtype=torch.float64)
    x, w = at_angles(*angles.tolist()).detach(), torch.tensor([[1.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    for margin in (0.1, 0.5, 1.5):
        each = arcface_loss(x, w, torch.zeros(400, dtype=torch.int64), 8.0, margin, reduction="none")
        assert (each.diff() > 0).all()
    easy = arcface_loss(x, w, torch.zeros(400, dtype=torch.int64), 8.0, 0.5, True, reduction="none")
    right = int((angles < math.pi / 2).sum())
    assert (easy.diff() > 0).sum() == 398 and easy[right] < easy[right - 1]  # the jump that the docstring tells of


@each_loss
def test_one_class_has_nothing_to_tell(loss, way):
    x, w = vectors(N, D), vectors(1, D, seed=1)
    found = value_and_gradients(loss(x, w, torch.zeros(N, dtype=torch.int64)), x, w)
    assert all((part == 0).all() for part in found)


@each_loss
def test_one_label_of_many_classes(loss, way):
    x, w, labels = vectors(N, D), vectors(C, D, seed=1), torch.full((N,), 4)
    whole = insightface if loss is arcface_loss else less_a_margin
    settings = (64.0, 0.5 if loss is arcface_loss else 0.35)
    assert_close(
        value_and_gradients(loss(x, w, labels), x, w), value_and_gradients(whole(x, w, labels, *settings), x, w)
    )


@each_loss
def test_the_loss_keeps_its_digits_near_zero(loss):
    x = torch.eye(3, requires_grad=True)
    lead = math.cos(0.5) if loss is arcface_loss else 0.65
    value = loss(x, torch.eye(3), torch.arange(3))
    assert_close(value, torch.tensor(2 * math.exp(-64 * lead), dtype=torch.float64).float(), rtol=1e-5, atol=0)


@each_loss
def test_lengths_whose_squares_overflow_or_vanish(loss):
    x, w = vectors(N, D, dtype=torch.float32), vectors(C, D, seed=1, dtype=torch.float32)
    for scale in (2.0**100, 2.0**-100):
        long, far = (x * scale).detach().requires_grad_(), (w / scale).detach().requires_grad_()
        value, *gradients = value_and_gradients(loss(long, far, LABELS), long, far)
        assert_close(value, loss(x, w, LABELS).detach())
        assert all(g.isfinite().all() and g.abs().max() > 0 for g in gradients)
    x, w = torch.zeros(1, D, requires_grad=True), torch.zeros(2, D, requires_grad=True)
    found = value_and_gradients(loss(x, w, torch.tensor([0]), scale=1.0, margin=0.0), x, w)
    assert found[0] == pytest.approx(math.log(2)) and all(g.isfinite().all() for g in found)


@each_loss
def test_no_rows(loss):
    x, w, labels = vectors(0, D), vectors(C, D, seed=1), torch.zeros(0, dtype=torch.int64)
    assert loss(x, w, labels).isnan() and loss(x, w, labels, on_empty="zero") == 0
    value, of_x, of_w = value_and_gradients(loss(x, w, labels, reduction="sum"), x, w)
    assert value == 0 and of_x.shape == (0, D) and (of_w == 0).all()


# ----- labels -----


@each_loss
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
def test_labels_of_any_integer_dtype_and_layout(loss, dtype):
    x, w = vectors(N, D), vectors(C, D, seed=1)
    expected = loss(x, w, LABELS)
    assert_close(loss(x, w, LABELS.to(dtype)), expected, rtol=0, atol=0)
    assert_close(loss(x, w, torch.stack([LABELS, LABELS], 1)[:, 0]), expected, rtol=0, atol=0)
    same = loss(x, w, torch.tensor([2]).expand(N))
    assert_close(same, loss(x, w, torch.full((N,), 2)), rtol=0, atol=0)


@each_loss
@pytest.mark.parametrize("label", [-1, C, -100, 2**40])
def test_labels_out_of_range(loss, label):
    x, w, labels = vectors(N, D), vectors(C, D, seed=1), LABELS.clone()
    labels[3] = label
    name = loss.__name__
    with pytest.raises(IndexError, match=rf"{name}: label {label} in row 3 is out of range: expected 0 to 5"):
        loss(x, w, labels)
    mask = torch.arange(N) != 3
    value, of_x, of_w = value_and_gradients(loss(x, w, labels, mask=mask), x, w)
    rest = x[mask].detach().requires_grad_()
    expected, of_rest, of_classes = value_and_gradients(loss(rest, w, LABELS[mask]), rest, w)
    assert_close((value, of_x[mask], of_w), (expected, of_rest, of_classes))
    assert (of_x[3] == 0).all()


@each_loss
def test_labels_out_of_range_where_nobody_can_look(loss):
    """That row is NaN with a gradient of 0, the others are what they are; what is masked is 0."""
    x, w, labels = vectors(N, D), vectors(C, D, seed=1), LABELS.clone()
    labels[3], labels[6] = 77, -1
    compiled = torch.compile(lambda *a, **k: loss(*a, **k, reduction="none"), fullgraph=True, backend="aot_eager")
    mask = torch.arange(N) != 6
    each = compiled(x, w, labels, mask=mask)
    expected = loss(x, w, LABELS, reduction="none")
    good = mask & (torch.arange(N) != 3)
    assert_close(each[good], expected[good])
    assert each[3].isnan() and each[6] == 0
    of_x, of_w = torch.autograd.grad(each[good].sum() + 0 * each.nansum(), (x, w), retain_graph=True)
    assert (of_x[3] == 0).all() and (of_x[6] == 0).all() and of_w.isfinite().all()
    of_x, of_w = torch.autograd.grad(each.sum(), (x, w))
    assert (of_x[3] == 0).all() and of_w.isfinite().all()
    rest = torch.autograd.grad(expected[good].sum(), (x, w))
    assert_close((of_x, of_w), rest)
    mapped = torch.func.vmap(lambda x, y: loss(x, w, y, reduction="none"))(x[None], labels[None])[0]
    assert mapped[3].isnan() and mapped[6].isnan()
    assert_close(mapped[good], expected[good])
    assert loss(x.to("meta"), w.to("meta"), labels.to("meta")).shape == ()


@each_loss
def test_a_mask_hides_nan_in_rows(loss, way):
    x, w = vectors(N, D).detach(), vectors(C, D, seed=1)
    x[2] = torch.nan
    x.requires_grad_()
    assert loss(x, w, LABELS).isnan()
    mask = torch.arange(N) != 2
    value, of_x, of_w = value_and_gradients(loss(x, w, LABELS, mask=mask), x, w)
    rest = x[mask].detach().requires_grad_()
    expected, of_rest, of_classes = value_and_gradients(loss(rest, w, LABELS[mask]), rest, w)
    assert_close((value, of_x[mask], of_w), (expected, of_rest, of_classes))
    assert (of_x[2] == 0).all()


# ----- dtypes, threads, transforms, memory -----


@each_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_narrow_dtypes_against_float64(loss, dtype):
    x, w, labels = vectors(40, 16, dtype=dtype), vectors(C, 16, seed=1, dtype=dtype), torch.arange(40) % C
    whole = insightface if loss is arcface_loss else less_a_margin
    margin = 0.5 if loss is arcface_loss else 0.35
    close_to_float64(lambda x, w: loss(x, w, labels), lambda x, w: whole(x, w, labels, 64.0, margin), [x, w])


@each_loss
def test_embeddings_and_classes_of_two_dtypes(loss):
    x, w = vectors(N, D, dtype=torch.bfloat16), vectors(C, D, seed=1, dtype=torch.float32)
    value, of_x, of_w = value_and_gradients(loss(x, w, LABELS), x, w)
    assert (value.dtype, of_x.dtype, of_w.dtype) == (torch.float32, torch.bfloat16, torch.float32)
    assert_close(value, loss(x.detach().float(), w, LABELS).detach())


@each_loss
def test_second_derivatives_and_transforms(loss):
    x, w, labels = vectors(4, 3), vectors(3, 3, seed=1), torch.tensor([0, 1, 2, 0])

    def value(x, w):
        return loss(x, w, labels, scale=4.0)

    assert torch.autograd.gradcheck(value, (x, w)) and torch.autograd.gradgradcheck(value, (x, w))
    assert_close(torch.func.grad(value)(x, w.detach()), torch.autograd.grad(value(x, w), x)[0])
    batch = torch.stack([x.detach(), x.detach().flip(0)])
    each = torch.func.vmap(value, (0, None))(batch, w.detach())
    assert_close(each, torch.stack([value(one, w.detach()) for one in batch]))
    compiled = torch.compile(value, fullgraph=True, backend="aot_eager")
    assert_close(value_and_gradients(compiled(x, w), x, w), value_and_gradients(value(x, w), x, w))


@each_loss
def test_memory_grows_with_the_vectors_alone(loss):
    """The matrix would be 1 GiB."""
    draw = "x, w = (torch.randn(16384, 8, requires_grad=True) for _ in range(2)); y = torch.arange(16384)"
    name = loss.__name__
    assert megabytes(draw, f"{name}(x[:64], w[:64], y[:64]).backward()", f"{name}(x, w, y).backward()") < 100


# ----- Modules and wrong inputs -----


@pytest.mark.parametrize("module", [lossmith.ArcFaceLoss, lossmith.CosFaceLoss])
def test_the_class_vectors_are_trained_by_whoever_holds_them(module):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % C
    centres = torch.randn(C, 8, generator=generator)
    inputs = centres[labels] + 0.1 * torch.randn(60, 8, generator=generator)
    encoder, classes = torch.nn.Linear(8, 4), torch.nn.Linear(4, C, bias=False)
    criterion = module(scale=16.0)
    assert not list(criterion.parameters()) and not list(criterion.buffers())
    optimizer = torch.optim.Adam([*encoder.parameters(), *classes.parameters()], lr=0.05)
    for _ in range(150):
        loss = criterion(encoder(inputs), classes.weight, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    cosines = F.linear(F.normalize(encoder(inputs)), F.normalize(classes.weight))
    assert (cosines.argmax(1) == labels).all() and loss < 1
    assert f"scale=16.0, margin={criterion.margin}" in repr(criterion)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"linear_weight": torch.ones(6, 5)}, ValueError, r"linear_weight \(6, 5\).*expected vectors of one width"),
        ({"linear_weight": torch.ones(2, 6)}, ValueError, "write linear_weight.T for one vector a column"),
        ({"linear_weight": torch.ones(6)}, ValueError, r"linear_weight is \(6,\).*batch of vectors"),
        ({"input": torch.ones(4, 2, dtype=torch.int64)}, TypeError, r"write input.float\(\)"),
        ({"target": torch.zeros(3, dtype=torch.int64)}, ValueError, "one label for each of 4"),
        ({"target": torch.zeros(4, 1, dtype=torch.int64)}, ValueError, "one label for each of 4"),
        ({"target": torch.zeros(4)}, RuntimeError, r"integer dtype; write target.long\(\)"),
        ({"scale": 0.0}, ValueError, "scale is 0.0, expected a finite number above 0; 30 to 64 is usual"),
        ({"scale": torch.tensor(64.0)}, TypeError, r"expected a number; write float\(scale\)"),
        ({"scale": math.inf}, ValueError, "scale is inf"),
        ({"margin": -0.1}, ValueError, "margin is -0.1, expected a number from 0 to"),
        ({"margin": math.nan}, ValueError, "margin is nan"),
        ({"margin": torch.tensor(0.5)}, ValueError, "margin is tensor"),
    ],
)
@each_loss
def test_wrong_inputs(loss, arguments, error, said):
    given = {"input": torch.ones(4, 2), "linear_weight": torch.ones(6, 2), "target": torch.zeros(4, dtype=torch.int64)}
    with pytest.raises(error, match=f"{loss.__name__}: .*{said}"):
        loss(**given | arguments)
    if "scale" in arguments or "margin" in arguments:
        module = lossmith.ArcFaceLoss if loss is arcface_loss else lossmith.CosFaceLoss
        with pytest.raises(error, match=f"{module.__name__}: .*{said}"):
            module(**arguments)


def test_an_angle_in_degrees_is_refused():
    with pytest.raises(ValueError, match=r"28\.6, expected a number from 0 to 3\.142; write math\.radians\(28\.6\)"):
        lossmith.ArcFaceLoss(margin=28.6)
    with pytest.raises(ValueError, match=r"margin is 28\.6, expected a number from 0 to 2; 0\.35 is usual"):
        lossmith.CosFaceLoss(margin=28.6)
