"""Dice and Tversky losses: by hand, MONAI, keras and others' formulas; what is left out, empty regions, wrong calls."""

import itertools
import math
import os

os.environ.setdefault("KERAS_BACKEND", "torch")  # read when keras is imported

import pytest
import torch
from torch import Tensor
from torch.autograd import grad, gradcheck, gradgradcheck

import lossmith
import lossmith.functional as LF
from lossmith import explain_dispatch
from lossmith.backend import recorded
from lossmith.native import missing

BACKEND = "reference" if missing else "native"
INTEGERS = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64)
LOSSES = (LF.dice_loss, LF.tversky_loss)
ACTIVATIONS = ("softmax", "sigmoid", None)
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
each_activation = pytest.mark.parametrize("activation", ACTIVATIONS)
each_dtype = pytest.mark.parametrize("dtype", (torch.float32, torch.float64, torch.bfloat16, torch.float16), ids=str)


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def labels(*shape: int, classes: int = 3, seed: int = 1) -> Tensor:
    return torch.randint(0, classes, shape, generator=torch.Generator().manual_seed(seed))


def scores(activation: str | None, *shape: int, seed: int = 0) -> Tensor:
    x = draw(*shape, seed=seed)
    return (x.sigmoid() if activation is None else x).requires_grad_()


def hot(labels: Tensor, classes: int = 3) -> Tensor:
    return torch.nn.functional.one_hot(labels, classes).movedim(-1, 1).double()


def predicted(x: Tensor, activation: str | None) -> Tensor:
    return x.softmax(1) if activation == "softmax" else x.sigmoid() if activation == "sigmoid" else x


def natively(call):
    """What a call gives, and that a kernel gave it, if there are any."""
    with recorded() as records:
        found = call()
    assert [record.backend for record in records] == [BACKEND]
    return found


def same(ours: Tensor, theirs: Tensor, *points: Tensor, **tolerances: float) -> None:
    """Both values, and the gradients of both."""
    torch.testing.assert_close(ours, theirs, **tolerances)
    slopes = [grad(loss.sum(), points, retain_graph=True) for loss in (ours, theirs)]
    for given, expected in zip(*slopes, strict=True):
        torch.testing.assert_close(given, expected, **tolerances)


# ----- by hand -----


@pytest.mark.parametrize("squared", [False, True])
@each_activation
def test_dice_pixel_by_pixel(activation, squared):
    x, y = scores(activation, 2, 3, 5), labels(2, 5)
    p, power = predicted(x.detach(), activation), 2 if squared else 1
    expected = []
    for n, c in itertools.product(range(2), range(3)):
        row = [(p[n, c, i].item(), float(y[n, i] == c)) for i in range(5)]
        common = math.fsum(a * b for a, b in row)
        whole = math.fsum(a**power + b**power for a, b in row)
        expected.append(1 - (2 * common + 0.7) / (whole + 0.7))
    found = natively(lambda: LF.dice_loss(x, y, "none", activation=activation, smooth=0.7, squared=squared))
    torch.testing.assert_close(found.flatten().tolist(), expected)
    mean = LF.dice_loss(x, y, activation=activation, smooth=0.7, squared=squared)
    assert mean.item() == pytest.approx(math.fsum(expected) / 6, rel=1e-12)


def test_tversky_pixel_by_pixel():
    x, t = scores("sigmoid", 2, 3, 5), draw(2, 3, 5, seed=1).sigmoid()
    p, expected = x.detach().sigmoid(), []
    for n, c in itertools.product(range(2), range(3)):
        row = list(zip(p[n, c].tolist(), t[n, c].tolist(), strict=True))
        tp = math.fsum(a * b for a, b in row)
        fp = math.fsum(a * (1 - b) for a, b in row)
        fn = math.fsum((1 - a) * b for a, b in row)
        expected.append((1 - (tp + 0.2) / (tp + 0.3 * fp + 0.9 * fn + 0.4)) ** 1.5)
    settings = {"activation": "sigmoid", "smooth": (0.2, 0.4)}
    found = natively(lambda: LF.tversky_loss(x, t, 0.3, 0.9, 1.5, "none", **settings))
    torch.testing.assert_close(found.flatten().tolist(), expected)


@each_loss
def test_regions_of_the_batch_are_those_of_one_long_sample(loss):
    x, y = scores("softmax", 3, 4, 5), labels(3, 5, classes=4)
    long = x.movedim(1, 0).flatten(1)[None]
    of_batch = natively(lambda: loss(x, y, reduction="none", batch=True))
    assert of_batch.shape == (4,)
    same(of_batch, loss(long, y.flatten()[None], reduction="none")[0], x)


def test_dice_is_tversky_with_equal_prices_and_half_the_smooth():
    x, y = scores("softmax", 2, 3, 7), labels(2, 7)
    same(LF.dice_loss(x, y, smooth=0.8), LF.tversky_loss(x, y, smooth=0.4), x, rtol=0, atol=0)


@each_loss
@each_activation
def test_targets_of_every_kind_are_one_thing(loss, activation):
    x, y = scores(activation, 2, 3, 4, 5), labels(2, 4, 5)
    expected = natively(lambda: loss(x, y, activation=activation))
    for dtype in INTEGERS:
        same(natively(lambda dtype=dtype: loss(x, y.to(dtype), activation=activation)), expected, x)
    for dtype in (*INTEGERS, torch.bool, torch.float32, torch.float64):
        same(natively(lambda dtype=dtype: loss(x, hot(y).to(dtype), activation=activation)), expected, x)
    last = x.movedim(1, -1)
    same(natively(lambda: loss(last, y, activation=activation, dim=-1)), expected, x)
    same(loss(last, hot(y).movedim(1, -1), activation=activation, dim=3), expected, x)


@each_loss
@pytest.mark.parametrize("shape", [(2, 3), (4, 3, 700), (2, 3, 40, 30), (1, 3, 5, 4, 3), (2, 300, 3)], ids=str)
def test_of_any_number_of_pixels_and_dimensions(loss, shape):
    x, y = scores("softmax", *shape), labels(shape[0], *shape[2:], classes=shape[1])
    p, t = x.softmax(1), hot(y, shape[1])
    factor = 1.0 if loss is LF.tversky_loss else 0.5
    for batch in (False, True):
        own = [d for d in range(x.dim()) if d != 1 and (batch or d)]
        sums = [(s.sum(own) if own else s) for s in (p * t, p, t)]
        expected = 1 - (sums[0] + factor) / ((sums[1] + sums[2]) / 2 + factor)
        same(natively(lambda batch=batch: loss(x, y, reduction="none", batch=batch)), expected, x)


# ----- others -----


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_dice_of_monai(activation, background, squared, batch):
    from monai.losses import DiceLoss

    x, y = scores(activation, 2, 3, 5, 4), labels(2, 5, 4)
    weight = torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64)
    theirs = DiceLoss(
        include_background=background,
        squared_pred=squared,
        batch=batch,
        smooth_nr=1e-3,
        smooth_dr=1e-2,
        weight=weight if background else weight[1:],
        **{activation: True},
    )
    settings = {"activation": activation, "include_background": background, "squared": squared, "batch": batch}
    ours = natively(lambda: LF.dice_loss(x, y, smooth=(1e-3, 1e-2), weight=weight, **settings))
    same(ours, theirs(x, hot(y)), x)


@pytest.mark.parametrize("batch", [False, True])
def test_tversky_of_monai_whose_alpha_is_of_false_positives(batch):
    from monai.losses import TverskyLoss

    x, y = scores("softmax", 2, 3, 5, 4), labels(2, 5, 4)
    theirs = TverskyLoss(softmax=True, alpha=0.2, beta=0.9, batch=batch)
    same(natively(lambda: LF.tversky_loss(x, y, 0.2, 0.9, smooth=1e-5, batch=batch)), theirs(x, hot(y)), x)


def test_monais_jaccard_is_tversky_of_ones():
    from monai.losses import DiceLoss

    x, y = scores("softmax", 2, 3, 5), labels(2, 5)
    theirs = DiceLoss(softmax=True, jaccard=True, smooth_nr=0.4, smooth_dr=0.4)
    same(LF.tversky_loss(x, y, 1.0, 1.0, smooth=0.2), theirs(x, hot(y)), x)


def one_region(tensor: Tensor) -> Tensor:
    return tensor.reshape(1, 1, -1)


def test_dice_of_keras_is_one_region():
    keras = pytest.importorskip("keras")
    assert keras.backend.backend() == "torch"
    p, t = scores(None, 2, 3, 5), hot(labels(2, 5))
    theirs = keras.losses.Dice()(t, p).double()
    ours = LF.dice_loss(one_region(p), one_region(t), activation=None, smooth=(0.0, 1e-7))
    same(ours, theirs, p, rtol=1e-5, atol=1e-7)  # keras computes in float32


def test_tversky_of_keras_weighs_false_negatives_by_alpha():
    """As its code has it, 3.15; its documentation says false positives. With ours in their place the numbers differ."""
    keras = pytest.importorskip("keras")
    p, t = scores(None, 2, 3, 5), hot(labels(2, 5))
    theirs = keras.losses.Tversky(alpha=0.2, beta=0.9)(t, p).double()
    settings = {"activation": None, "smooth": (0.0, 1e-7)}
    same(LF.tversky_loss(one_region(p), one_region(t), 0.9, 0.2, **settings), theirs, p, rtol=1e-5, atol=1e-7)
    assert abs(LF.tversky_loss(one_region(p), one_region(t), 0.2, 0.9, **settings) - theirs) > 0.05


def segmentation_models_pytorch(p: Tensor, t: Tensor, alpha=0.5, beta=0.5, gamma=1.0, smooth=0.0, eps=1e-7) -> Tensor:
    """Its published formula, of multi-class Dice and Tversky."""
    own = (0, *range(2, p.dim()))
    tp, fp, fn = (p * t).sum(own), (p * (1 - t)).sum(own), ((1 - p) * t).sum(own)
    score = (tp + smooth) / (tp + alpha * fp + beta * fn + smooth).clamp_min(eps)
    return ((1 - score) * (t.sum(own) > 0)).mean() ** gamma


def test_of_segmentation_models_pytorch():
    x, y = scores("softmax", 2, 5, 6), labels(2, 6)  # classes 3 and 4 are absent
    t = hot(y, 5)
    settings = {"batch": True, "smooth": 0.0, "mask": t.sum((0, 2)) > 0, "normalizer": 5}
    same(natively(lambda: LF.dice_loss(x, y, **settings)), segmentation_models_pytorch(x.softmax(1), t), x)
    theirs = segmentation_models_pytorch(x.softmax(1), t, 0.3, 0.8, 2.0)
    same(LF.tversky_loss(x, y, 0.3, 0.8, **settings) ** 2.0, theirs, x)


def test_of_nnu_net_which_gives_minus_dice_without_the_background():
    x, y = scores("softmax", 2, 3, 6), labels(2, 6)
    p, t = x.softmax(1)[:, 1:], hot(y)[:, 1:]
    common, predictions, truth = ((s).sum((0, 2)) for s in (p * t, p, t))
    theirs = -((2 * common + 1e-5) / (truth + predictions + 1e-5).clamp_min(1e-8)).mean()
    same(LF.dice_loss(x, y, smooth=1e-5, batch=True, include_background=False) - 1, theirs, x)


def test_focal_tversky_of_abraham_and_khan_whose_alpha_is_of_false_negatives():
    x, y = scores("softmax", 2, 3, 6), labels(2, 6)
    p, t = x.softmax(1), hot(y)
    tp, others_of_class, class_of_others = (p * t).sum(2), ((1 - p) * t).sum(2), (p * (1 - t)).sum(2)
    index = (tp + 1e-6) / (tp + 0.7 * others_of_class + 0.3 * class_of_others + 1e-6)
    theirs = ((1 - index) ** (3 / 4)).sum(1)
    ours = LF.tversky_loss(x, y, alpha=0.3, beta=0.7, gamma=0.75, smooth=1e-6, reduction="none").sum(1)
    same(ours, theirs, x)


# ----- what is left out -----


@each_loss
@each_activation
@pytest.mark.parametrize("labelled", [True, False])
def test_pixels_that_are_left_out_may_hold_anything(loss, activation, labelled):
    x, y = scores(activation, 2, 3, 8), labels(2, 8)
    kept = (draw(2, 1, 8, seed=4) > -0.3).index_fill(2, torch.tensor([0]), True)
    every = kept.expand(2, 3, 8)
    rubbish = torch.where(every, x.detach(), torch.nan).requires_grad_()
    target = torch.where(kept[:, 0], y, 77) if labelled else torch.where(every, hot(y), torch.nan)
    for batch in (False, True):
        found = natively(
            lambda batch=batch: loss(rubbish, target, activation=activation, batch=batch, element_mask=kept)
        )
        p, t = predicted(x, activation) * kept, hot(y) * kept
        own, half = ((0, 2) if batch else 2), (0.5 if loss is LF.dice_loss else 1.0)
        index = ((p * t).sum(own) + half) / ((p + t).sum(own) / 2 + half)
        torch.testing.assert_close(found, (1 - index).mean())
        (gradient,) = grad(found, rubbish)
        torch.testing.assert_close(gradient, grad((1 - index).mean(), x)[0])
        assert (gradient[~every] == 0).all()
        if labelled:
            ignored = torch.where(kept[:, 0], y, -100)
            torch.testing.assert_close(loss(rubbish, ignored, activation=activation, batch=batch), found)


@each_loss
@each_activation
def test_elements_of_some_classes_may_be_left_out(loss, activation):
    """Under softmax such a score still counts for the other classes."""
    x, t = scores(activation, 2, 3, 8), draw(2, 3, 8, seed=2).sigmoid()
    kept = draw(2, 3, 8, seed=4) > -0.3
    for target in (t, labels(2, 8)):
        whole = hot(target) if target.dim() == 2 else target
        p, half = predicted(x, activation) * kept, (0.5 if loss is LF.dice_loss else 1.0)
        index = ((p * whole).sum(2) + half) / ((p + whole * kept).sum(2) / 2 + half)
        aims = torch.where(kept, target, torch.nan) if target.dim() == 3 else target
        same(natively(lambda aims=aims: loss(x, aims, activation=activation, element_mask=kept)), (1 - index).mean(), x)


@each_loss
def test_masked_classes_of_a_softmax(loss):
    x, y = scores("softmax", 2, 3, 8), labels(2, 8)
    mask = torch.tensor([[True, False, True], [False, False, True]])
    each = loss(x, y, reduction="none")
    same(natively(lambda: loss(x, y, mask=mask)), each[mask].mean(), x)
    same(natively(lambda: loss(x, y, include_background=False)), each[:, 1:].mean(), x)
    none = natively(lambda: loss(x, y, reduction="none", include_background=False))
    assert none.shape == (2, 3) and (none[:, 0] == 0).all()
    weight = torch.tensor([5.0, 2.0, 1.0], dtype=torch.float64)
    weighted = natively(lambda: loss(x, y, weight=weight, normalizer="weight", include_background=False))
    same(weighted, (each * weight)[:, 1:].sum() / 6, x)


@each_loss
def test_a_region_of_which_nothing_is_left_does_not_count(loss):
    x, y = scores("softmax", 3, 2, 4), labels(3, 4, classes=2)
    y[1] = 255
    settings = {"ignore_index": 255, "smooth": 0.0}
    kept = torch.tensor([0, 2])
    same(natively(lambda: loss(x, y, **settings)), loss(x[kept], y[kept], **settings), x)
    assert (loss(x, y, reduction="none", **settings)[1] == 0).all()
    y[:] = 255
    assert loss(x, y, **settings).isnan()
    zero = loss(x, y, on_empty="zero", **settings)
    assert zero == 0 and not grad(zero, x)[0].any()
    with pytest.raises(ValueError, match="nothing counts"):
        loss(x, y, on_empty="error", **settings)
    empty = torch.zeros(2, 3, 0, requires_grad=True)
    assert loss(empty, torch.zeros(2, 0, dtype=torch.long)).isnan()
    assert loss(empty, empty.detach(), reduction="sum", activation=None) == 0


# ----- extremes -----


@each_loss
@each_dtype
def test_perfect_and_opposite(loss, dtype):
    big = torch.tensor(60.0, dtype=dtype)
    y = torch.tensor([[0, 1, 1, 0]])
    right = torch.where(hot(y, 2) > 0, big, -big).requires_grad_()
    for activation in ("softmax", "sigmoid"):
        value = natively(lambda activation=activation: loss(right, y, activation=activation))
        assert 0 <= value.item() < 1e-20 and value.dtype == dtype
        assert grad(value, right)[0].abs().max().item() < 1e-20
        assert natively(lambda activation=activation: loss(-right, y, activation=activation, smooth=0.0)) == 1
    certain = torch.where(hot(y, 2) > 0, torch.inf, -torch.inf).to(dtype).requires_grad_()
    value = natively(lambda: loss(certain, y, activation="sigmoid"))
    assert value == 0 and not grad(value, certain)[0].any()
    # softmax of -inf in one class is 0 there, and has no gradient
    outer = torch.tensor([[[0.0, 1.0], [-math.inf, 2.0]]], dtype=dtype, requires_grad=True)
    value = natively(lambda: loss(outer, torch.tensor([[0, 1]])))
    assert value.isfinite() and grad(value, outer)[0].isfinite().all()


def test_smooth_decides_what_an_empty_region_costs():
    empty, one = torch.zeros(1, 1, 9), torch.zeros(1, 1, 9)
    one[..., 4] = 1
    dice = lambda p, smooth: LF.dice_loss(p, empty, activation=None, smooth=smooth).item()  # noqa: E731
    assert dice(empty, 1.0) == dice(empty, 1e-5) == dice(empty, (0.5, 0.5)) == 0
    assert math.isnan(dice(empty, 0.0))
    assert dice(empty, (0.0, 1.0)) == 1
    assert dice(one, 1.0) == 0.5
    assert dice(one, 0.0) == 1
    assert LF.dice_loss(empty, one, activation=None, smooth=1.0) == 0.5


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("gamma", [0.5, 0.75, 1.0, 2.0])
def test_the_power_of_a_perfect_region_has_no_slope(gamma, native, monkeypatch):
    monkeypatch.setattr(lossmith.backend, "FORCED", "" if native else "reference")
    p = torch.tensor([[[1.0, 0.0, 1.0]]], requires_grad=True)
    value = LF.tversky_loss(p, p.detach(), gamma=gamma, activation=None)
    (slope,) = grad(value, p)
    assert value == 0 and slope.isfinite().all()
    assert bool(slope.any()) == (gamma == 1)


@each_dtype
def test_a_million_pixels(dtype):
    """Sums that float16 does not have, and of which float32 would lose the last digits."""
    p = torch.full((1, 2, 1_000_000), 0.25, dtype=dtype, requires_grad=True)
    t = torch.ones(1, 2, 1_000_000, dtype=torch.bool)
    value = natively(lambda: LF.dice_loss(p, t, activation=None, smooth=0.0))
    torch.testing.assert_close(value, torch.tensor(0.6, dtype=dtype), rtol=2 * torch.finfo(dtype).eps, atol=0)
    (slope,) = grad(value, p, torch.tensor(65504.0, dtype=dtype))
    exact = -65504.0 / 2 * (2 / 1.25 - 0.5 / 1.25**2) / 1e6
    torch.testing.assert_close(slope[0, 0, :2].tolist(), [exact] * 2, rtol=torch.finfo(dtype).eps * 2, atol=0)


def test_a_loss_near_0_keeps_its_digits():
    x = torch.full((1, 1, 1000), 30.0, dtype=torch.float64)
    found = LF.dice_loss(x, torch.ones_like(x), activation="sigmoid", smooth=0.0)
    miss = 1 - x[0, 0, 0].sigmoid().item()
    assert found.item() == pytest.approx(miss / (2 - miss), rel=1e-9)


# ----- derivatives, transforms, the compiler -----


@each_activation
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("labelled", [True, False])
def test_dice_derivatives(activation, squared, labelled):
    x = scores(activation, 2, 3, 4)
    target = labels(2, 4) if labelled else draw(2, 3, 4, seed=5).sigmoid().requires_grad_()

    def function(x, *t):
        return LF.dice_loss(x, *(t or [target]), activation=activation, squared=squared, reduction="none")

    points = (x,) if labelled else (x, target)
    assert gradcheck(function, points) and gradgradcheck(function, points)


@pytest.mark.parametrize("gamma", [0.75, 2.0])
def test_tversky_derivatives(gamma):
    x, weight = scores("softmax", 2, 3, 4), torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64, requires_grad=True)
    y = labels(2, 4)
    y[0, 1] = -100

    def function(x, w):
        return LF.tversky_loss(x, y, 0.3, 0.7, gamma, weight=w, normalizer="weight")

    assert gradcheck(function, (x, weight)) and gradgradcheck(function, (x, weight))


@each_loss
def test_transforms_and_meta(loss):
    x, y = scores("softmax", 3, 2, 3, 4), labels(3, 2, 4)
    per_sample = torch.func.vmap(torch.func.grad(loss))(x.detach(), y)
    expected = torch.stack([grad(loss(a, b), x)[0][i] for i, (a, b) in enumerate(zip(x, y, strict=True))])
    torch.testing.assert_close(per_sample, expected)
    tangent = draw(2, 3, 4, seed=9)
    _, slope = torch.func.jvp(lambda a: loss(a, y[0]), (x[0].detach(),), (tangent,))
    torch.testing.assert_close(slope, (expected[0] * tangent).sum())
    found = loss(x[0].to("meta"), y[0].to("meta"), reduction="none")
    assert found.device.type == "meta" and found.shape == (2, 3)


@each_loss
@pytest.mark.parametrize("backend", ["aot_eager"])
def test_compiled_in_one_graph(loss, backend):
    x, y = scores("softmax", 2, 3, 6), labels(2, 6)
    mask = torch.tensor([True, False, True])
    torch._dynamo.reset()
    compiled = torch.compile(lambda x, y: loss(x, y, mask=mask, ignore_index=2), backend=backend, fullgraph=True)
    same(compiled(x, y), loss(x, y, mask=mask, ignore_index=2), x)


@each_loss
@pytest.mark.parametrize("label", [3, -1, 2**40])
def test_in_a_graph_a_label_out_of_range_spoils_its_sample_alone(loss, label):
    x, y = scores("softmax", 2, 3, 6), labels(2, 6)
    wrong = y.clone()
    wrong[1, 2] = label
    torch._dynamo.reset()
    each = torch.compile(lambda x: loss(x, wrong, reduction="none"), backend="aot_eager", fullgraph=True)(x)
    assert each[1].isnan().all()
    torch.testing.assert_close(each[0], loss(x, y, reduction="none")[0])
    (gradient,) = grad(each.sum(), x)
    assert (gradient[1] == 0).all() and gradient[0].any()


# ----- wrong calls -----


@each_loss
def test_labels_out_of_range(loss):
    x, y = scores("softmax", 2, 3, 300), labels(2, 300)
    y[1, 260] = 3
    said = rf"{loss.__name__}: label 3 at position \(1, 260\) is out of range: expected 0 to 2 for 3 classes"
    for keywords in ({}, {"reduction": "none"}, {"activation": "sigmoid"}, {"batch": True}):
        with pytest.raises(IndexError, match=said):
            loss(x, y, **keywords)
    with pytest.raises(IndexError, match="label -1 at position"):
        loss(x, torch.where(y == 3, -1, y).int())


@each_loss
@each_activation
def test_targets_out_of_the_unit_interval(loss, activation):
    x = scores(activation, 2, 3, 300)
    masks = (hot(labels(2, 300)) * 255).to(torch.uint8)
    with pytest.raises(RuntimeError, match=rf"{loss.__name__}: all elements of target .* got 255 .*target / 255"):
        loss(x, masks, activation=activation)
    t = torch.rand(2, 3, 300)
    for wrong in (-0.5, 1.5, math.nan):
        t[1, 2, 299] = wrong
        with pytest.raises(RuntimeError, match=rf"target should be .* got {wrong} at position \(1, 2, 299"):
            loss(x, t, activation=activation)


@each_loss
def test_logits_without_an_activation(loss):
    with pytest.raises(RuntimeError, match=r"all elements of input should be .*activation='sigmoid' or 'softmax'"):
        loss(draw(2, 3, 5), labels(2, 5), activation=None)


@each_loss
@pytest.mark.parametrize(
    ("error", "shapes", "keywords", "said"),
    [
        (ValueError, ((3,), (3,)), {}, r"expected input of shape \(N, C\).*input \(3,\).*unsqueeze\(0\)"),
        (ValueError, ((2, 3, 4), (2, 5)), {}, r"labels of shape \(2, 4\).*target \(2, 5\)"),
        (ValueError, ((2, 3, 4), (2, 1, 4)), {}, r"a target of the input's shape.*target\.squeeze\(1\)"),
        (RuntimeError, ((2, 3, 4), (2, 4)), {"float": True}, r"an integer dtype; write target\.long\(\)"),
        (RuntimeError, ((2, 1, 4), (2, 4)), {}, r"two classes or more.*target\.unsqueeze\(1\)"),
        (RuntimeError, ((2, 3, 4), (2, 3, 4)), {"ignore_index": 1}, r"needs labels.*element_mask="),
        (IndexError, ((2, 3, 4), (2, 4)), {"dim": 0}, r"dim=0 is no class dimension.*unsqueeze\(0\)"),
        (IndexError, ((2, 3, 4), (2, 4)), {"dim": 3}, r"dim=3 is no class dimension"),
        (RuntimeError, ((2, 3, 4), (2, 4)), {"weight": torch.ones(4)}, r"one number for each of the 3 classes"),
        (ValueError, ((2, 3, 4), (2, 4)), {"activation": "relu"}, r"activation is 'relu', expected 'softmax'"),
        (ValueError, ((2, 3, 4), (2, 4)), {"smooth": -1.0}, r"smooth is -1\.0, expected"),
        (ValueError, ((2, 3, 4), (2, 4)), {"smooth": (1.0, math.inf)}, r"smooth is \(1\.0, inf\)"),
        (ValueError, ((2, 3, 4), (2, 4)), {"mask": torch.ones(2, 4).bool()}, r"unreduced loss \(2, 3\)"),
        (ValueError, ((2, 3, 4), (2, 4)), {"element_mask": torch.ones(2, 4).bool()}, r"element_mask\.unsqueeze\(1\)"),
        (TypeError, ((2, 3, 4), (2, 4)), {"element_mask": torch.ones(2, 1, 4)}, r"expected bool.*element_mask\.bool"),
        (ValueError, ((2, 3, 4), (2, 4)), {"element_mask": torch.ones(2, 2, 4).bool()}, r"broadcasts to input"),
    ],
)
def test_wrong_calls(loss, error, shapes, keywords, said):
    target = torch.zeros(shapes[1], dtype=torch.long)
    keywords = dict(keywords)
    if keywords.pop("float", False):
        target = target.float()
    with pytest.raises(error, match=f"{loss.__name__}: .*{said}"):
        loss(torch.zeros(shapes[0]), target, **keywords)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"alpha": -0.1}, r"alpha is -0\.1"),
        ({"beta": math.inf}, "beta is inf"),
        ({"gamma": 0.0}, r"gamma is 0\.0, expected a finite number above 0"),
        ({"gamma": 2.0, "smooth": (1.0, 0.5)}, r"smooth is \(1\.0, 0\.5\).*write smooth=0\.5"),
    ],
)
def test_wrong_settings_of_tversky(settings, said):
    x, y = torch.zeros(2, 3, 4), torch.zeros(2, 4, dtype=torch.long)
    with pytest.raises(ValueError, match=f"tversky_loss: {said}"):
        LF.tversky_loss(x, y, **settings)
    with pytest.raises(ValueError, match=f"TverskyLoss: {said}"):
        lossmith.TverskyLoss(**settings)


@each_loss
def test_one_logit_under_softmax_is_warned_of(loss):
    with pytest.warns(lossmith.LossWarning, match="the softmax of one logit is 1"):
        loss(torch.zeros(2, 1, 4), torch.zeros(2, 1, 4))


def test_the_documented_traps():
    """The numbers of the cards."""
    flat = lambda value: torch.full((1, 1, 100_000), value, dtype=torch.float64)  # noqa: E731
    one_sided = lambda p, **k: LF.dice_loss(p, flat(0.5), activation=None, **k).item()  # noqa: E731
    assert one_sided(flat(1.0)) == pytest.approx(1 / 3, abs=1e-4)
    assert one_sided(flat(0.5)) == pytest.approx(0.5, abs=1e-4)
    assert one_sided(flat(0.5), squared=True) == 0 < one_sided(flat(1.0), squared=True)
    twice = torch.eye(2, dtype=torch.float64)[None].repeat_interleave(50_000, 2)
    y = torch.tensor([[0, 1]]).repeat_interleave(50_000, 1)
    assert LF.dice_loss(twice, y).item() == pytest.approx(0.27, abs=2e-3)
    assert twice.softmax(1).max() == pytest.approx(0.731, abs=1e-3)
    part = torch.zeros(1, 1, 9, dtype=torch.float64)
    part[..., 0] = 0.01
    for smooth, costs in ((1e-5, 0.999), (1.0, 0.0099)):
        assert LF.dice_loss(part, 0 * part, activation=None, smooth=smooth).item() == pytest.approx(costs, rel=1e-3)
    part[..., 0] = 0.5
    for smooth, costs in ((1e-5, 1.0), (1.0, 0.2)):
        assert LF.tversky_loss(part, 0 * part, activation=None, smooth=smooth).item() == pytest.approx(costs, rel=1e-4)
    missed = torch.zeros(1, 1, 9)
    missed[..., :4] = 1
    assert LF.dice_loss(0 * missed, missed, activation=None).item() == pytest.approx(0.8)


def test_a_large_region_pulls_each_of_its_pixels_less():
    def pull(pixels: int) -> float:
        p = torch.full((1, 1, 200_000), 0.5, dtype=torch.float64, requires_grad=True)
        t = (torch.arange(200_000) < pixels)[None, None]
        inside = (p * t).requires_grad_()
        return grad(LF.dice_loss(inside, t, activation=None), inside)[0][0, 0, 0].item()

    assert pull(100) / pull(100_000) == pytest.approx(1000, rel=0.02)


@each_loss
def test_modules(loss):
    module = lossmith.DiceLoss if loss is LF.dice_loss else lossmith.TverskyLoss
    x, y = scores("softmax", 2, 3, 6), labels(2, 6)
    kept = draw(2, 1, 6, seed=3) > 0
    weight = torch.tensor([1.0, 2.0, 3.0])
    made = module(smooth=0.3, batch=True, weight=weight, normalizer="weight")
    given = {"smooth": 0.3, "batch": True, "weight": weight, "normalizer": "weight"}
    same(made(x, y, element_mask=kept), loss(x, y, element_mask=kept, **given), x)
    assert "activation='softmax'" in repr(made)
    assert made.to(torch.float64).weight.dtype == torch.float64
    assert explain_dispatch(made, x, y).backend == BACKEND
    with pytest.raises(ValueError, match=rf"{module.__name__}: activation is 'tanh'"):
        module(activation="tanh")
