"""Law 7 through the kernels of every instruction set: at most 4 ulp of the sum of the terms' magnitudes; halves."""

import math
import random
from collections.abc import Callable, Iterator

import numpy
import pytest
import torch
from mpmath import exp, log, log1p, mp, mpf, sqrt
from torch import Tensor

import lossmith.functional as LF
from kernels import HALVES, everything, random_tensor, same
from lossmith.loops.pointwise import pointwise
from lossmith.reduction import plan
from oracle.accuracy import questions, ulps, worst
from oracle.discovery import FORMULAS
from oracle.test_formulas import LIMIT, hold
from oracle.test_tails import TAILS, sigmoid, softplus

from .conftest import ISAS, each_isa, instruction_set, ran_natively

mp.dps = 50
PRECISE = (torch.float32, torch.float64)
each_precise = pytest.mark.parametrize("dtype", PRECISE, ids=lambda dtype: str(dtype).removeprefix("torch."))
each_half = pytest.mark.parametrize("dtype", HALVES, ids=lambda dtype: str(dtype).removeprefix("torch."))
EACH = plan("loss", "none", None, None, None, "nan")


def numpy_type(dtype: torch.dtype) -> type:
    return numpy.float32 if dtype == torch.float32 else numpy.float64


# ----- formulas -----


@pytest.mark.parametrize("name", FORMULAS)
def test_every_formula_at_extreme_points(name):
    """Against the textbook, as the torch and the printed forms are elsewhere."""
    formula = FORMULAS[name]
    for question in questions(name):
        for dtype in PRECISE:
            for isa in ISAS:
                points = tuple(torch.from_numpy(c).requires_grad_() for c in question.columns(numpy_type(dtype)))
                with ran_natively(), instruction_set(isa):
                    value = pointwise("loss", formula, points, question.parameters, EACH)
                    gradients = torch.autograd.grad(value, points, torch.ones_like(value), allow_unused=True)
                found = [value.detach(), *(torch.zeros_like(value) if g is None else g for g in gradients)]
                hold(worst(formula, question, [tensor.detach().numpy() for tensor in found], numpy_type(dtype)))


@each_isa
@each_precise
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_p23_p33_both_tails_keep_their_relative_accuracy(target, dtype, isa):
    points = [*TAILS, *(-x for x in TAILS)]
    x = torch.tensor(points, dtype=dtype, requires_grad=True)
    sign = 1 if target == 0 else -1
    for loss, y in ((LF.binary_cross_entropy_with_logits, target), (LF.soft_margin_loss, -float(sign))):
        with ran_natively():
            values = loss(x, torch.full_like(x, y), reduction="none")
            (slopes,) = torch.autograd.grad(values, x, torch.ones_like(x))
        for point, value, slope in zip(points, values.tolist(), slopes.tolist(), strict=True):
            cost, steepness = softplus(sign * point), sign * sigmoid(sign * point)
            assert ulps(value, cost, cost, numpy_type(dtype)) <= LIMIT, point
            assert ulps(slope, steepness, abs(steepness), numpy_type(dtype)) <= LIMIT, point


@each_isa
@each_precise
def test_p22_p33_extreme_logits(dtype, isa):
    x = torch.tensor([math.inf, -math.inf, 1e4, -1e30], dtype=dtype, requires_grad=True)
    right = torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=dtype)
    for loss, target in ((LF.binary_cross_entropy_with_logits, right), (LF.soft_margin_loss, 2 * right - 1)):
        with ran_natively():
            value = loss(x, target, reduction="none")
            (slope,) = torch.autograd.grad(value, x, torch.ones_like(x))
        assert not value.any() and not slope.any()
    wrong = 1 - 2 * right
    value = LF.soft_margin_loss(x, wrong, reduction="none")
    (slope,) = torch.autograd.grad(value, x, torch.ones_like(x))
    same(value.detach(), x.detach().abs())
    same(slope, -wrong)


# ----- rows -----


def rows(classes: int, seed: int) -> list[list[float]]:
    """Logits of several sizes, float32 numbers."""
    draw = random.Random(seed)
    sizes = (1e-3, 1.0, 20.0, 80.0, 1e4)
    return [[float(numpy.float32(draw.uniform(-s, s))) for _ in range(classes)] for s in sizes for _ in range(2)]


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "rows": lambda x: x,
    "columns": lambda x: x.T.contiguous().T,
    "strided": lambda x: x.repeat_interleave(2, 1)[:, ::2],
}


@each_isa
@each_precise
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("classes", [2, 9, 48, 70])
def test_cross_entropy(classes, layout, dtype, isa):
    """Of the result, and of what the rounding of a difference of logits does to it, which exp multiplies."""
    given, kind = rows(classes, classes), numpy_type(dtype)
    labels = [random.Random(i).randrange(classes) for i in range(len(given))]
    labels[-2:] = [max(range(classes), key=row.__getitem__) for row in given[-2:]]  # near 0
    x = LAYOUTS[layout](torch.tensor(given, dtype=dtype)).requires_grad_()
    with ran_natively():
        values = LF.cross_entropy(x, torch.tensor(labels), reduction="none")
        (slopes,) = torch.autograd.grad(values, x, torch.ones_like(values))
    for row, label, value, gradient in zip(given, labels, values.tolist(), slopes.tolist(), strict=True):
        powers = [exp(mpf(z) - max(row)) for z in row]
        own, others = powers[label], sum(powers[:label] + powers[label + 1 :])
        total, size = sum(powers), max(map(abs, row))
        truth = log1p(others / own)
        assert ulps(value, truth, truth + others / total * size, kind) <= LIMIT, (row, label)
        for c, slope in enumerate(gradient):
            expected = (-others if c == label else powers[c]) / total
            assert ulps(slope, expected, abs(expected) * (1 + size), kind) <= LIMIT, (row, label, c)


@each_isa
@each_precise
@pytest.mark.parametrize("kind", ["smoothed labels", "probabilities"])
@pytest.mark.parametrize("classes", [3, 70])
def test_cross_entropy_of_distributions(classes, kind, dtype, isa):
    given = rows(classes, classes + 1)
    weight = [float(numpy.float32(1 + c / classes)) for c in range(classes)]
    draw = random.Random(0)
    x = torch.tensor(given, dtype=dtype, requires_grad=True)
    q_gradient = None
    if kind == "probabilities":
        q = torch.tensor([[draw.random() for _ in row] for row in given]).to(dtype)
        truths = [[mpf(p) for p in row] for row in q.tolist()]
        y, smoothing = q.requires_grad_(), 0.0
    else:
        labels, smoothing = [draw.randrange(classes) for _ in given], 0.25
        y = torch.tensor(labels)
        truths = [[mpf(0.75) * (c == y) + mpf(0.25) / classes for c in range(classes)] for y in labels]
    with ran_natively():
        weights = torch.tensor(weight, dtype=dtype)
        values = LF.cross_entropy(x, y, weights, label_smoothing=smoothing, reduction="none")
        leaves = [x, y] if kind == "probabilities" else [x]
        slopes, *rest = torch.autograd.grad(values, leaves, torch.ones_like(values))
    q_gradient = rest[0].tolist() if rest else None
    number = numpy_type(dtype)
    for n, (row, target) in enumerate(zip(given, truths, strict=True)):
        total, size = sum(exp(mpf(z) - max(row)) for z in row), max(map(abs, row))
        costs = [log(total) + max(row) - mpf(z) for z in row]
        shares = [w * p for w, p in zip(weight, target, strict=True)]
        terms = [s * c for s, c in zip(shares, costs, strict=True)]
        assert ulps(values[n].item(), sum(terms), sum(terms) + sum(shares) * size, number) <= LIMIT
        for c in range(classes):
            p = exp(mpf(row[c]) - max(row)) / total
            given_slope, parts = slopes[n, c].item(), (p * sum(shares), shares[c])
            assert ulps(given_slope, parts[0] - parts[1], parts[0] * (1 + size) + parts[1], number) <= LIMIT
            if q_gradient:
                of_cost = weight[c] * costs[c]
                assert ulps(q_gradient[n][c], of_cost, of_cost + weight[c] * size, number) <= LIMIT


@each_isa
@each_precise
@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("classes", [3, 70])
def test_margins_to_labels(classes, power, dtype, isa):
    given, number = rows(classes, 2), numpy_type(dtype)
    labels = [random.Random(i).randrange(classes) for i in range(len(given))]
    x = torch.tensor(given, dtype=dtype, requires_grad=True)
    with ran_natively():
        values = LF.multi_margin_loss(x, torch.tensor(labels), p=power, reduction="none")
        (slopes,) = torch.autograd.grad(values, x, torch.ones_like(values))
    for n, (row, label) in enumerate(zip(given, labels, strict=True)):
        hinges = [(c, 1 - mpf(row[label]) + z) for c, z in enumerate(row) if c != label]
        active = [(c, h) for c, h in hinges if h > 0]
        size = max(map(abs, row)) + 1
        terms = [h**power / classes for _, h in active]
        scale = sum(terms) + sum(power * h ** (power - 1) * size / classes for _, h in active)
        assert ulps(values[n].item(), sum(terms), scale, number) <= LIMIT
        of_class = {c: power * h ** (power - 1) / classes for c, h in active}
        of_class[label] = -sum(of_class.values())
        for c in range(classes):
            truth = of_class.get(c, mpf(0))
            scale = abs(truth) + (size * 2 * (len(active) if c == label else 1) / classes if power == 2 else 0)
            if c == label or abs(dict(hinges)[c]) > size * 1e-6:  # rounding may move what is near the kink
                assert ulps(slopes[n, c].item(), truth, scale, number) <= LIMIT


# ----- vectors -----


def vectors(seed: int) -> Iterator[list[list[float]]]:
    """Three vectors of one size, from tiny to huge."""
    draw = random.Random(seed)
    for size in (1e-30, 1e-10, 1.0, 1e5, 1e18, 1e30):
        yield [[float(numpy.float32(draw.uniform(-size, size))) for _ in range(19)] for _ in range(3)]


@each_isa
@each_precise
@pytest.mark.parametrize("target", [1.0, -1.0])
def test_p40_cosines_of_vectors_of_any_size(target, dtype, isa):
    number = numpy_type(dtype)
    for a, b, _ in vectors(0):
        x, y = (torch.tensor([v], dtype=dtype, requires_grad=True) for v in (a, b))
        with ran_natively():
            value = LF.cosine_embedding_loss(x, y, torch.tensor([target]), margin=-1.0)
            slopes = torch.autograd.grad(value, [x, y])
        xx, yy = (sum(mpf(z) ** 2 for z in v) + mpf(1e-12) for v in (a, b))
        lengths = sqrt(xx * yy)
        terms = [mpf(p) * q / lengths for p, q in zip(a, b, strict=True)]
        cosine = sum(terms)
        truth = 1 - cosine if target == 1 else cosine + 1
        assert ulps(value.item(), truth, 1 + sum(map(abs, terms)), number) <= LIMIT
        for found, own, square, other in ((slopes[0], a, xx, b), (slopes[1], b, yy, a)):
            for i, got in enumerate(found[0].tolist()):
                parts = (other[i] / lengths, -cosine * own[i] / square)
                scale = abs(parts[0]) + sum(map(abs, terms)) * abs(own[i]) / square
                if scale < numpy.finfo(number).max:
                    assert ulps(got, -target * sum(parts), scale, number) <= LIMIT


@each_isa
@each_precise
def test_p40_vectors_of_zero(dtype, isa):
    x, y = torch.zeros(2, 9, dtype=dtype, requires_grad=True), torch.ones(2, 9, dtype=dtype, requires_grad=True)
    with ran_natively():
        value = LF.cosine_embedding_loss(x, y, torch.tensor([1.0, -1.0]), reduction="none")
        slopes = torch.autograd.grad(value, [x, y], torch.ones_like(value))
    assert value.tolist() == [1, 0] and all(slope.isfinite().all() for slope in slopes)


@each_isa
@each_precise
def test_distances_of_vectors_of_any_size(dtype, isa):
    number = numpy_type(dtype)
    for a, b, c in vectors(1):
        x, y, z = (torch.tensor([v], dtype=dtype, requires_grad=True) for v in (a, b, c))
        margin = 10 * max(map(abs, a)) + 1
        with ran_natively():
            value = LF.triplet_margin_loss(x, y, z, margin=margin)
            slopes = torch.autograd.grad(value, [x, y, z])
        differences = [[mpf(p) - q + mpf(1e-6) for p, q in zip(a, v, strict=True)] for v in (b, c)]
        near, far = (sqrt(sum(d**2 for d in row)) for row in differences)
        assert ulps(value.item(), margin + near - far, margin + near + far, number) <= LIMIT
        for i in range(19):
            to_near, to_far = differences[0][i] / near, differences[1][i] / far
            sizes = [(abs(mpf(a[i])) + abs(v[i]) + mpf(1e-6)) / d for v, d in ((b, near), (c, far))]
            for got, truth, scale in (
                (slopes[0], to_near - to_far, sum(sizes)),
                (slopes[1], -to_near, sizes[0]),
                (slopes[2], to_far, sizes[1]),
            ):
                assert ulps(got[0, i].item(), truth, scale, number) <= LIMIT


@each_isa
@each_precise
@pytest.mark.parametrize("target", [1, -1])
def test_distances_of_unit_vectors_of_any_size(target, dtype, isa):
    """Of nearly parallel vectors too, whose differences cancel: in float64, which is more than float32 can tell."""
    number, cancels = numpy_type(dtype), 2 * (dtype == torch.float64)  # the lengths of two unit vectors
    for a, b, _ in vectors(2):
        near = [float(numpy.float32(p * (1 + 1e-3 * q / max(map(abs, b))))) for p, q in zip(a, b, strict=True)]
        for other in (b, near):
            x, y = (torch.tensor([v], dtype=dtype, requires_grad=True) for v in (a, other))
            with ran_natively():
                value = LF.contrastive_loss(x, y, torch.tensor([target]), 2.0, normalize=True)
                slopes = torch.autograd.grad(value, [x, y])
            lengths = [sqrt(sum(mpf(p) ** 2 for p in v)) for v in (a, other)]
            units = [[p / length for p in v] for v, length in zip((a, other), lengths, strict=True)]
            difference = [p - q for p, q in zip(*units, strict=True)]
            apart = sqrt(sum(d**2 for d in difference))
            lack = apart if target == 1 else 2 - apart
            assert ulps(value.item(), lack**2 / 2, lack**2 / 2 + cancels * lack, number) <= LIMIT
            for sign, unit, length, got in zip((1, -1), units, lengths, slopes, strict=True):
                pull = [sign * target * lack * d / apart for d in difference]
                along = sum(p * q for p, q in zip(pull, unit, strict=True))
                for i, slope in enumerate(got[0].tolist()):
                    truth = (pull[i] - along * unit[i]) / length
                    scale = (lack + abs(along) + cancels * (1 + lack / apart)) / length
                    if scale < numpy.finfo(number).max:
                        assert ulps(slope, truth, scale, number) <= LIMIT


# ----- many numbers, and halves -----


@each_isa
@pytest.mark.parametrize("dtype", [*HALVES, torch.float32], ids=str)
def test_p06_the_mean_of_ten_million_equal_numbers(dtype, isa):
    x = torch.full((10_000_000 if everything() else 1_000_000,), 0.1, dtype=dtype)
    with ran_natively():
        assert LF.l1_loss(x, torch.zeros(1, dtype=dtype)) == x[0]
        assert LF.mse_loss(x, torch.zeros(1, dtype=dtype)) == (x[0].float() ** 2).to(dtype)
        assert LF.mse_loss(x, x, mask=x > 0) == 0
        weight = torch.full((1,), 0.3, dtype=dtype).expand(x.shape)
        assert LF.l1_loss(x, torch.zeros(1, dtype=dtype), sample_weight=weight) == x[0]
    assert LF.l1_loss(x.double(), torch.zeros(1), reduction="sum") == pytest.approx(x[0].item() * len(x), rel=1e-15)


@each_isa
@each_half
def test_p06_cross_entropy_over_many_classes_and_rows(dtype, isa):
    for n, classes in ((3, 100_000), (20_000, 100), (4000, 11)):
        x = torch.zeros(n, classes, dtype=dtype, requires_grad=True)
        with ran_natively():
            loss = LF.cross_entropy(x, torch.full((n,), 5))
            (slope,) = torch.autograd.grad(loss, x)
        assert loss == torch.tensor(math.log(classes)).to(dtype)
        expected = torch.full((classes,), 1 / classes, dtype=torch.float64)
        expected[5] -= 1
        one_rounding(slope[0], expected / n)
        total = LF.cross_entropy(x, torch.full((n,), 5), reduction="sum")
        same(total, torch.tensor(n * math.log(classes)).to(dtype))  # infinity, if it is beyond float16


@each_isa
@each_half
def test_p06_every_half_is_read_and_written_right(dtype, isa):
    x = torch.arange(-(2**15), 2**15).to(torch.int16).view(dtype).requires_grad_()
    with ran_natively():
        loss = LF.mse_loss(x, torch.zeros_like(x), reduction="none")
        (slope,) = torch.autograd.grad(loss, x, torch.ones_like(x))
    wide = x.detach().float()
    same(loss.detach(), (wide * wide).to(dtype), rtol=0, atol=0)
    same(slope, (2 * wide).to(dtype), rtol=0, atol=0)
    with ran_natively():
        strided = LF.l1_loss(x.detach()[1::3], torch.zeros((), dtype=dtype), reduction="none")
    same(strided, x.detach()[1::3].abs(), rtol=0, atol=0)


@each_half
def test_p06_the_divergence_of_a_large_batch(dtype):
    x = torch.full((5000, 64), -20.0, dtype=dtype)
    q = torch.full((5000, 64), 1 / 64, dtype=dtype)
    with ran_natively():
        loss = LF.kl_div(x, q, reduction="batchmean")
    assert loss == torch.tensor(20 - math.log(64)).to(dtype)


def one_rounding(found: Tensor, exact: Tensor) -> None:
    """A half is the exact number rounded once, but for what float32 arithmetic leaves open."""
    low, high = ((exact * (1 + s * 2.0**-21)).to(found.dtype) for s in (-1, 1))
    assert ((torch.minimum(low, high) <= found) & (found <= torch.maximum(low, high))).all()


@each_isa
@each_half
@pytest.mark.parametrize("upstream", [1.0, 0.37, 1024.0, 32768.0, 65536.0])
def test_p06_half_gradients_of_a_large_mean(upstream, dtype, isa):
    """1 / N alone is no normal half: the factor is applied once, in float32."""
    if dtype == torch.float16 and upstream > 65504:
        upstream = 65504.0
    n = 1_000_000 if everything() else 100_000
    x, y = random_tensor((n,), 0, dtype=dtype).requires_grad_(), random_tensor((n,), 1, dtype=dtype)
    factor = torch.tensor(upstream, dtype=dtype)
    with ran_natively():
        (mse,) = torch.autograd.grad(LF.mse_loss(x, y), x, factor)
        (l1,) = torch.autograd.grad(LF.l1_loss(x, y), x, factor)
    step = factor.double() / n
    one_rounding(mse, 2 * (x.detach().double() - y.double()) * step)
    one_rounding(l1, (x.detach().double() - y.double()).sign() * step)
    rows = x.detach()[: n // 100 * 100].reshape(-1, 100).requires_grad_()
    labels = torch.arange(len(rows)) % 100
    with ran_natively():
        (slope,) = torch.autograd.grad(LF.cross_entropy(rows, labels), rows, factor)
    p = rows.detach().double().softmax(1)
    p[torch.arange(len(rows)), labels] -= 1
    one_rounding(slope, p * factor.double() / len(rows))
