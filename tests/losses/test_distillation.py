"""distillation_loss against its definition by hand, mpmath and Keras; its limits, infinities, what it refuses."""

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy
import pytest
import torch
import torch.nn.functional as F
from mpmath import exp, log, mp, mpf
from torch import Tensor

import lossmith
import lossmith.functional as LF
from lossmith import backend
from lossmith.native import core
from oracle.accuracy import ulps
from oracle.test_formulas import LIMIT

mp.dps = 50
INF = math.inf
DIVERGENCES = ("forward", "reverse", "js")
each_divergence = pytest.mark.parametrize("divergence", DIVERGENCES)
WAYS = [*(core.available() if core else ()), "reference"]
"""The instruction sets of the kernel, and torch's operations."""
each_way = pytest.mark.parametrize("way", WAYS)


@contextmanager
def running(way: str) -> Iterator[None]:
    """The call runs so, or the test fails."""
    before, isa = backend.FORCED, core.isa() if core else ""
    try:
        backend.FORCED = "reference" if way == "reference" else "native"
        if way != "reference":
            core.use_isa(way)
        with backend.recorded() as records:
            yield
        assert records and {record.backend for record in records} == {backend.FORCED}
    finally:
        backend.FORCED = before
        if core:
            core.use_isa(isa)


def logits(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64, size: float = 3.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (size * torch.randn(shape, dtype=torch.float64, generator=generator)).to(dtype).requires_grad_()


def gradients(loss: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, leaves, torch.linspace(0.5, 1.5, loss.numel()).to(loss.dtype).reshape(loss.shape))


# ----- by hand -----


def by_hand(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor | None = None,
    temperature: float = 2.0,
    alpha: float = 1.0,
    divergence: str = "forward",
    beta: float = 0.5,
) -> Tensor:
    """Of each row (N, C), as it is written with torch."""
    log_p, log_q = (x.div(temperature).log_softmax(1) for x in (student, teacher))
    if divergence == "forward":
        rows = F.kl_div(log_p, log_q, reduction="none", log_target=True).sum(1)
    elif divergence == "reverse":
        rows = F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(1)
    else:
        log_m = (beta * log_q.exp() + (1 - beta) * log_p.exp()).log()
        rows = beta * F.kl_div(log_m, log_q, reduction="none", log_target=True).sum(1)
        rows = rows + (1 - beta) * F.kl_div(log_m, log_p, reduction="none", log_target=True).sum(1)
    rows = alpha * temperature**2 * rows
    return rows if labels is None else rows + (1 - alpha) * F.cross_entropy(student, labels, reduction="none")


@each_way
@each_divergence
@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("classes", [2, 5, 60])
def test_by_hand(classes, temperature, divergence, way):
    x, t = logits(20, classes), logits(20, classes, seed=1)
    y = torch.arange(20) % classes
    for labels, alpha in ((None, 1.0), (y, 0.3), (y, 1.0)):
        settings = {"temperature": temperature, "divergence": divergence, "beta": 0.3}
        right = by_hand(x, t, labels, alpha=alpha, **settings)
        with running(way):
            ours = LF.distillation_loss(x, t, labels, alpha=alpha, reduction="none", **settings)
        torch.testing.assert_close(ours, right)
        torch.testing.assert_close(gradients(ours, x, t), gradients(right, x, t))


@each_way
@each_divergence
@pytest.mark.parametrize("dim", [1, 3, -2])
def test_images_and_sequences(dim, divergence, way):
    x, t = logits(3, 4, 5, 6), logits(3, 4, 5, 6, seed=1)
    flat = [rows.movedim(dim, -1).flatten(0, -2) for rows in (x, t)]
    y = torch.arange(len(flat[0])).reshape(x.movedim(dim, -1).shape[:-1]) % 4
    settings = {"divergence": divergence, "alpha": 0.6}
    right = by_hand(*flat, y.flatten(), **settings).mean()
    with running(way):
        ours = LF.distillation_loss(x, t, y, dim=dim, **settings)
    torch.testing.assert_close(ours, right)
    torch.testing.assert_close(torch.autograd.grad(ours, (x, t)), torch.autograd.grad(right, (x, t)))


def test_the_usual_call_is_the_usual_code():
    x, t, y = logits(8, 10), logits(8, 10, seed=1), torch.arange(8)
    soft = F.kl_div(F.log_softmax(x / 4, 1), F.softmax(t / 4, 1), reduction="batchmean")
    right = 0.7 * 4**2 * soft + 0.3 * F.cross_entropy(x, y)
    torch.testing.assert_close(LF.distillation_loss(x, t, y, 4.0, 0.7), right)
    torch.testing.assert_close(lossmith.DistillationLoss(4.0, 0.7)(x, t, y), right)
    torch.testing.assert_close(LF.distillation_loss(x[0], t[0]), by_hand(x[:1], t[:1])[0])
    half = 0.5 * by_hand(x, t).mean() + 0.5 * F.cross_entropy(x, y)
    torch.testing.assert_close(LF.distillation_loss(x, t, y), half)


@each_way
def test_ends_of_alpha(way):
    x, t, y = logits(8, 10), logits(8, 10, seed=1), torch.arange(8)
    weight = torch.linspace(0.5, 2, 10, dtype=torch.float64)
    with running(way):
        labels, teacher = (LF.distillation_loss(x, t, y, alpha=a, weight=weight, reduction="none") for a in (0, 1))
    torch.testing.assert_close(labels, F.cross_entropy(x, y, weight, reduction="none"))
    torch.testing.assert_close(teacher, by_hand(x, t))


def test_keras_agrees(monkeypatch):
    """Its LogitsDistillation: given a KLDivergence, since of that loss by name it forgets the softmax (3.15)."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    assert keras.backend.backend() == "torch"
    x, t = logits(16, 10, dtype=torch.float32, size=1.0), logits(16, 10, seed=1, dtype=torch.float32, size=1.0)
    for temperature in (1.0, 3.0):
        kl = keras.losses.KLDivergence()
        theirs = keras.distillation.LogitsDistillation(temperature=temperature, loss=kl).compute_loss(t, x)
        ours = LF.distillation_loss(x, t, temperature=temperature)
        torch.testing.assert_close(ours, theirs.cpu())
        torch.testing.assert_close(torch.autograd.grad(ours, x), torch.autograd.grad(theirs, x))


# ----- limits -----


@each_divergence
def test_hinton_eq_4_at_high_temperature_logits_are_matched(divergence):
    x, t = logits(6, 7), logits(6, 7, seed=1)
    matching = ((x - x.mean(1, keepdim=True)) - (t - t.mean(1, keepdim=True))) / 7
    share = 0.3 * 0.7 if divergence == "js" else 1.0
    before = INF
    for temperature in (1e2, 1e3, 1e4):
        loss = LF.distillation_loss(x, t, temperature=temperature, divergence=divergence, beta=0.3, reduction="sum")
        (slope,) = torch.autograd.grad(loss, x)
        off = (slope - share * matching).abs().max().item()
        assert off < min(0.2 * before, 10 / temperature)
        before = off


def test_without_t_squared_the_pull_would_shrink_with_it():
    x, t = logits(6, 7), logits(6, 7, seed=1)
    sizes = [
        torch.autograd.grad(LF.distillation_loss(x, t, temperature=T, reduction="sum"), x)[0].norm() for T in (50, 100)
    ]
    assert 0.95 < sizes[1] / sizes[0] < 1.05


def test_js_lies_between_forward_and_reverse():
    x, t = logits(6, 7), logits(6, 7, seed=1)

    def loss(divergence: str, beta: float = 0.5) -> Tensor:
        return LF.distillation_loss(x, t, divergence=divergence, beta=beta, reduction="none")

    torch.testing.assert_close(loss("js", 1e-9) / 1e-9, loss("forward"), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(loss("js", 1 - 1e-9) / 1e-9, loss("reverse"), rtol=1e-5, atol=1e-6)
    a, b = LF.distillation_loss(x, t, divergence="js", beta=0.3), LF.distillation_loss(t, x, divergence="js", beta=0.7)
    torch.testing.assert_close(a, b)
    assert (loss("js") <= 4 * math.log(2)).all()


# ----- accuracy: against mpmath, in every way -----


def truth(student: list[float], teacher: list[float], T: float, divergence: str, beta: float) -> tuple[Any, ...]:
    """T^2 times the divergence, and the sum of its terms' magnitudes; the student's slopes, and of theirs."""
    p, q = ([exp(mpf(z) / T) for z in row] for row in (student, teacher))
    p, q = ([e / sum(row) for e in row] for row in (p, q))
    if divergence == "forward":
        terms = [b * log(b / a) for a, b in zip(p, q, strict=True)]
        pulls = [-b for b in q]
    elif divergence == "reverse":
        terms = pulls = [a * log(a / b) for a, b in zip(p, q, strict=True)]
    else:
        m = [beta * b + (1 - beta) * a for a, b in zip(p, q, strict=True)]
        pulls = [(1 - beta) * a * log(a / c) for a, c in zip(p, m, strict=True)]
        terms = [beta * b * log(b / c) for b, c in zip(q, m, strict=True)] + pulls
    slopes = [T * (g - a * sum(pulls)) for g, a in zip(pulls, p, strict=True)]
    scales = [T * (abs(g) + a * (1 + sum(map(abs, pulls)))) for g, a in zip(pulls, p, strict=True)]
    return T**2 * sum(terms), T**2 * sum(map(abs, terms)), slopes, scales


LAYOUTS = {
    "rows": lambda x: x,
    "columns": lambda x: x.T.contiguous().T,
    "strided": lambda x: x.repeat_interleave(2, 1)[:, ::2],
}


@each_way
@each_divergence
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("classes", [2, 9, 70])
def test_four_ulp_of_the_terms(classes, layout, dtype, divergence, way):
    """Of the terms, and of what the rounding of a difference of logits does to them, which exp multiplies."""
    draw, T, beta = random.Random(classes), 2.0, 0.25
    sizes = [size for size in (1e-3, 1.0, 20.0, 80.0, 1e4) for _ in range(2)]
    given = [
        torch.tensor([[draw.uniform(-s, s) for _ in range(classes)] for s in sizes], dtype=torch.float32).to(dtype)
        for _ in range(2)
    ]
    x, t = (LAYOUTS[layout](rows).requires_grad_() for rows in given)
    with running(way):
        values = LF.distillation_loss(x, t, temperature=T, divergence=divergence, beta=beta, reduction="none")
        (slopes,) = torch.autograd.grad(values, x, torch.ones_like(values))
    number = numpy.float32 if dtype == torch.float32 else numpy.float64
    for row, taught, value, found in zip(*(r.tolist() for r in (x, t, values, slopes)), strict=True):
        right, scale, of_logits, scales = truth(row, taught, T, divergence, beta)
        size = mpf(max(map(abs, row + taught))) / T
        assert ulps(value, right, scale + T * sum(scales) * size, number) <= LIMIT
        for slope, expected, magnitude in zip(found, of_logits, scales, strict=True):
            assert ulps(slope, expected, magnitude * (1 + size), number) <= LIMIT


@each_way
@each_divergence
@pytest.mark.parametrize("layout", ["rows", "columns"])
@pytest.mark.parametrize("classes", [3, 70])
@pytest.mark.parametrize("apart", [1e-1, 1e-2, 1e-3, 1e-4, 1e-5])
def test_a_student_that_nearly_agrees_is_measured_exactly(apart, classes, layout, divergence, way):
    """To 4 ulp of sum(q |log(q / p)|); kl_div of two log_softmax knows nothing below 1e-7."""
    draw, T, beta = random.Random(classes), 2.0, 0.25
    teacher = [[draw.uniform(-1, 1) for _ in range(classes)] for _ in range(10)]
    t = torch.tensor(teacher)
    x = torch.tensor([[z + draw.uniform(-apart, apart) for z in row] for row in teacher])
    x, t = LAYOUTS[layout](x), LAYOUTS[layout](t)
    with running(way):
        values = LF.distillation_loss(x, t, temperature=T, divergence=divergence, beta=beta, reduction="none")
    for row, taught, value in zip(x.tolist(), t.tolist(), values.tolist(), strict=True):
        right, scale, *_ = truth(row, taught, T, divergence, beta)
        assert ulps(value, right, scale, numpy.float32) <= LIMIT
        assert value >= 0


# ----- infinities and ties -----


@each_way
@each_divergence
def test_a_class_that_neither_holds_possible_is_as_good_as_absent(divergence, way):
    x, t, y = logits(6, 5), logits(6, 5, seed=1), torch.arange(6) % 5
    rows = [
        torch.cat([row.detach(), torch.full((6, 1), -INF, dtype=torch.float64)], 1).requires_grad_() for row in (x, t)
    ]
    right = LF.distillation_loss(x, t, y, divergence=divergence, reduction="none")
    with running(way):
        ours = LF.distillation_loss(*rows, y, divergence=divergence, reduction="none")
        found = gradients(ours, *rows)
    torch.testing.assert_close(ours, right)
    for slopes, expected in zip(found, gradients(right, x, t), strict=True):
        torch.testing.assert_close(slopes[:, :5], expected)
        assert (slopes[:, 5] == 0).all()


@each_way
def test_what_one_side_rules_out(way):
    """Forward looks at what the teacher holds possible, reverse at what the student does, js bounds both."""
    some, none = torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, -INF]])
    costs = {
        ("forward", "student"): INF,
        ("forward", "teacher"): math.log(3 / 2),
        ("reverse", "student"): math.log(3 / 2),
        ("reverse", "teacher"): INF,
        ("js", "student"): 0.5 * (2 / 3 * math.log(4 / 5) + 1 / 3 * math.log(2)) + 0.5 * math.log(6 / 5),
        ("js", "teacher"): 0.5 * (2 / 3 * math.log(4 / 5) + 1 / 3 * math.log(2)) + 0.5 * math.log(6 / 5),
    }
    for (divergence, who), cost in costs.items():
        x, t = ((none if side == who else some).clone().requires_grad_() for side in ("student", "teacher"))
        with running(way):
            loss = LF.distillation_loss(x, t, temperature=1.0, divergence=divergence)
            (slope,) = torch.autograd.grad(loss, x)
        assert loss.item() == pytest.approx(cost, rel=1e-6)
        if divergence != "reverse" or who == "student":
            assert slope.isfinite().all() and abs(slope.sum()) < 1e-6
    with running(way):  # an impossible class of the student still pulls towards the teacher
        loss = LF.distillation_loss(x := none.clone().requires_grad_(), some, temperature=1.0)
        torch.testing.assert_close(torch.autograd.grad(loss, x)[0], torch.tensor([[1 / 6, 1 / 6, -1 / 3]]))


@each_way
@each_divergence
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_equal_logits_cost_nothing(dtype, divergence, way):
    x = logits(70, 9, dtype=dtype, size=8.0)
    with running(way):
        loss = LF.distillation_loss(x, x.detach().clone(), divergence=divergence, reduction="none")
    assert (loss == 0).all() and loss.dtype == dtype
    assert torch.autograd.grad(loss.sum(), x)[0].abs().max() < 1e-6


@each_way
@each_divergence
def test_huge_logits(divergence, way):
    x = torch.tensor([[1e30, -1e30, 0.0], [1e4, -1e4, 0.0]], requires_grad=True)
    with running(way):
        same = LF.distillation_loss(x, x.detach().clone(), divergence=divergence, reduction="none")
        off = LF.distillation_loss(x, x.detach().roll(1, 1), divergence=divergence, reduction="none")
        (slope,) = torch.autograd.grad(off, x, torch.ones(2))
    assert (same == 0).all()
    assert (off > 1).all() and off.isfinite().all() and slope.isfinite().all()


@each_way
def test_nan_stays(way):
    x, t = logits(3, 5).detach(), logits(3, 5, seed=1).detach()
    x[1, 2], t[2, 0] = math.nan, math.nan
    with running(way):
        loss = LF.distillation_loss(x, t, reduction="none")
    assert loss.isnan().tolist() == [False, True, True]


@each_way
@pytest.mark.parametrize("shape", [(0, 5), (2, 5, 0), (1, 5), (5,)])
def test_sizes(shape, way):
    x, t = logits(*shape), logits(*shape, seed=1)
    with running(way):
        loss = LF.distillation_loss(x, t, reduction="none")
    assert loss.shape == x.sum(1 if x.dim() > 1 else 0).shape
    assert torch.autograd.grad(loss.sum(), x)[0].shape == shape


# ----- rows without a label, weights -----


@each_way
def test_an_ignored_row_is_left_out_whole(way):
    x, t = logits(4, 5), logits(4, 5, seed=1)
    y, kept = torch.tensor([1, -100, 3, -100]), torch.tensor([0, 2])
    with running(way):
        loss = LF.distillation_loss(x, t, y)
        found = torch.autograd.grad(loss, (x, t))
    right = LF.distillation_loss(x[kept], t[kept], y[kept])
    torch.testing.assert_close(loss, right)
    torch.testing.assert_close(found, torch.autograd.grad(right, (x, t)))
    assert (found[0][[1, 3]] == 0).all() and (found[1][[1, 3]] == 0).all()
    for alpha in (0.0, 0.5, 1.0):
        each = LF.distillation_loss(x, t, y, alpha=alpha, reduction="none")
        assert (each[[1, 3]] == 0).all() and (each[kept] > 0).all()
    assert LF.distillation_loss(x, t, torch.full((4,), -100)).isnan()
    assert LF.distillation_loss(x, t, torch.full((4,), -100), on_empty="zero") == 0


@each_way
def test_class_weights_are_the_labels_matter(way):
    x, t, y = logits(4, 3), logits(4, 3, seed=1), torch.tensor([0, 2, 2, 1])
    weight = torch.tensor([0.5, 2.0, 3.0], dtype=torch.float64)
    with running(way):
        loss = LF.distillation_loss(x, t, y, alpha=0.25, weight=weight)
    right = 0.25 * by_hand(x, t).mean() + 0.75 * F.cross_entropy(x, y, weight, reduction="none").mean()
    torch.testing.assert_close(loss, right)
    by_weight = LF.distillation_loss(x, t, y, alpha=0.25, weight=weight, normalizer="weight")
    torch.testing.assert_close(by_weight, right * 4 / weight[y].sum())
    weight.requires_grad_()
    loss = LF.distillation_loss(x, t, y, alpha=0.25, weight=weight)
    own = F.cross_entropy(x, y, reduction="none")
    expected = torch.stack([0.75 * own[y == c].sum() / 4 for c in range(3)])
    torch.testing.assert_close(torch.autograd.grad(loss, weight)[0], expected)


# ----- derivatives and transforms -----


@each_divergence
def test_all_derivatives(divergence):
    x, t, y = logits(2, 3, size=1.0), logits(2, 3, seed=1, size=1.0), torch.tensor([2, 0])

    def loss(x: Tensor, t: Tensor) -> Tensor:
        return LF.distillation_loss(x, t, y, 1.5, 0.4, divergence=divergence, beta=0.3, reduction="none")

    torch.autograd.gradcheck(loss, (x, t))
    torch.autograd.gradgradcheck(loss, (x, t))
    near = (x.detach() + 1e-3).mul(1.001).requires_grad_()  # the terms have another form there
    torch.autograd.gradcheck(loss, (x, near), atol=1e-6)
    torch.autograd.gradgradcheck(loss, (x, near), atol=1e-6)


def test_the_teacher_learns_only_if_it_wants_to():
    x, t = logits(4, 5), logits(4, 5, seed=1)
    with backend.recorded() as records:
        loss = LF.distillation_loss(x, t.detach())
        assert loss.requires_grad and t.grad is None
        loss.backward()
    right = torch.autograd.grad(by_hand(x, t).mean(), x)[0]
    torch.testing.assert_close(x.grad, right)
    assert not LF.distillation_loss(x.detach(), t.detach()).requires_grad
    assert LF.distillation_loss(x.detach(), t).requires_grad
    assert records


@each_divergence
def test_transforms(divergence):
    x, t, y = logits(4, 5).detach(), logits(4, 5, seed=1).detach(), torch.tensor([1, 0, 2, 2])

    def loss(x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        return LF.distillation_loss(x, t, y, divergence=divergence)

    expected = torch.autograd.grad(loss(z := x.clone().requires_grad_(), t, y), z)[0]
    torch.testing.assert_close(torch.func.grad(loss)(x, t, y), expected)
    tangent = torch.func.jvp(lambda x: loss(x, t, y), (x,), (torch.ones_like(x),))[1]
    torch.testing.assert_close(tangent, expected.sum(), atol=1e-12, rtol=0)
    each = torch.func.vmap(loss)(x, t, y)
    torch.testing.assert_close(each, LF.distillation_loss(x, t, y, divergence=divergence, reduction="none"))
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, t, y), loss(x, t, y))
    assert loss(x.to("meta"), t.to("meta"), y.to("meta")).device.type == "meta"


def test_where_labels_can_not_be_read_a_wrong_one_spoils_its_row_alone():
    x, t, y = logits(3, 4), logits(3, 4, seed=1), torch.tensor([1, 9, 2])
    compiled = torch.compile(
        lambda x, t, y: LF.distillation_loss(x, t, y, reduction="none"), backend="aot_eager", fullgraph=True
    )
    loss = compiled(x, t, y)
    assert loss.isnan().tolist() == [False, True, False]
    slopes = torch.autograd.grad(loss, (x, t), torch.ones(3, dtype=torch.float64))
    assert all((slope[1] == 0).all() and slope.isfinite().all() for slope in slopes)


# ----- what is refused -----


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (
            {"teacher": torch.zeros(4, 6)},
            ValueError,
            r"one shape.*input \(4, 5\).*teacher \(4, 6\).*teacher.narrow\(1, 0, 5\)",
        ),
        ({"teacher": [[1.0]]}, TypeError, r"teacher is a list, expected a torch.Tensor"),
        ({"temperature": 0.0}, ValueError, r"temperature is 0.0, expected a finite number above 0"),
        ({"temperature": INF}, ValueError, r"temperature is inf"),
        ({"alpha": 1.5}, ValueError, r"alpha is 1.5, expected a share from 0"),
        ({"alpha": 0.5}, ValueError, r"alpha=0.5 mixes .* no target; give target=, or leave alpha out"),
        ({"weight": torch.ones(5)}, ValueError, r"weight is of the classes of labels, but there is no target"),
        ({"divergence": "kl"}, ValueError, r"divergence is 'kl', expected one of 'forward', 'reverse', 'js'"),
        ({"divergence": "js", "beta": 1.0}, ValueError, r"beta is 1.0.*write divergence='forward' or"),
        ({"target": torch.zeros(4, 5)}, RuntimeError, r"expected labels of shape \(4,\).*add cross_entropy"),
        ({"target": torch.tensor([0, 1, 5, 2])}, IndexError, r"label 5 in row 2 is out of range: expected 0 to 4"),
        ({"target": torch.zeros(4)}, RuntimeError, r"target is \(4,\) float32.*write target.long\(\)"),
        ({"target": torch.zeros(4).long(), "weight": torch.ones(4)}, RuntimeError, r"one number for each of the 5"),
        ({"dim": 2}, IndexError, r"dim=2 is out of range"),
        ({"input": torch.zeros(4, 5).long()}, NotImplementedError, r"input of a floating dtype"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said(given, error, said):
    arguments = {"input": torch.zeros(4, 5), "teacher": torch.zeros(4, 5), **given}
    with pytest.raises(error, match=f"distillation_loss: .*{said}" if "list" not in said else said):
        LF.distillation_loss(**arguments)


def test_a_module_is_checked_when_it_is_made():
    for given in ({"temperature": -1.0}, {"alpha": 2.0}, {"divergence": "hellinger"}, {"beta": 0.0}):
        with pytest.raises(ValueError, match=rf"DistillationLoss: {next(iter(given))} is"):
            lossmith.DistillationLoss(**given)


def test_a_single_class_is_warned_of():
    with pytest.warns(lossmith.LossWarning, match="the softmax of one logit is 1"):
        assert LF.distillation_loss(torch.zeros(3, 1), torch.ones(3, 1)) == 0
