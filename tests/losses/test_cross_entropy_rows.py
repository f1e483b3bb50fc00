"""Rows of the list of pains about cross-entropy."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import lossmith
import lossmith.functional as LF

INF, NAN = math.inf, math.nan
REDUCTIONS = ("none", "mean", "sum", "batchmean")


def logits(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


def gradient(loss: Tensor, x: Tensor, upstream: Tensor | None = None) -> Tensor:
    return torch.autograd.grad(loss, x, upstream)[0]


def one_hot(y: Tensor, classes: int) -> Tensor:
    return torch.nn.functional.one_hot(y, classes).double()


# ----- what the mean divides by -----


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_p01_every_target_ignored(smoothing: float, weighted: bool) -> None:
    x, y = logits(3, 4), torch.full((3,), -100)
    given = {"label_smoothing": smoothing, "weight": torch.rand(4, dtype=torch.float64) if weighted else None}
    assert LF.cross_entropy(x, y, **given).isnan()
    zero = LF.cross_entropy(x, y, on_empty="zero", **given)
    assert zero.item() == 0
    assert torch.equal(gradient(zero, x), torch.zeros_like(x))
    with pytest.raises(ValueError, match=r"nothing counts towards the mean.*on_empty='zero'"):
        LF.cross_entropy(x, y, on_empty="error", **given)
    assert lossmith.CrossEntropyLoss(on_empty="zero", **given)(x, y).item() == 0


@pytest.mark.parametrize("normalizer", ["weight", "count"])
def test_p02_labels_and_the_same_one_hot_have_one_mean_by_keyword(normalizer: str) -> None:
    x, y = logits(5, 3), torch.tensor([0, 2, 1, 1, 2])
    weight = torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)
    hard, soft = LF.cross_entropy(x, y, weight), LF.cross_entropy(x, one_hot(y, 3), weight)
    assert not torch.isclose(hard, soft)  # as in torch
    torch.testing.assert_close(
        LF.cross_entropy(x, y, weight, normalizer=normalizer),
        LF.cross_entropy(x, one_hot(y, 3), weight, normalizer=normalizer),
    )


def test_p03_a_class_weight_counts_at_batch_size_1() -> None:
    x, y, weight = logits(1, 3), torch.tensor([2]), torch.tensor([1.0, 1.0, 4.0], dtype=torch.float64)
    torch.testing.assert_close(LF.cross_entropy(x, y, weight), LF.cross_entropy(x, y))
    torch.testing.assert_close(LF.cross_entropy(x, y, weight, normalizer="count"), 4 * LF.cross_entropy(x, y))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 2)], ids=str)
def test_p04_smoothing_ignored_rows_and_weights_go_together(reduction: str, shape: tuple[int, ...]) -> None:
    x, weight = logits(*shape), torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64)
    y = torch.randint(0, 3, (6, *shape[2:]))
    y[1], y[4] = -100, -100
    rest = [0, 2, 3, 5]
    given = {"weight": weight, "label_smoothing": 0.3, "reduction": reduction}
    ours, right = LF.cross_entropy(x, y, **given), LF.cross_entropy(x[rest], y[rest], **given)
    torch.testing.assert_close(ours[rest] if reduction == "none" else ours, right)
    # ... which is the mixture of the label and of all classes alike
    mixed = 0.7 * one_hot(y.clamp(min=0), 3).movedim(-1, 1) + 0.1
    along = weight.reshape(3, *[1] * (len(shape) - 2))
    rows = -(along * mixed * x.log_softmax(1)).sum(1)[rest]
    expected = {
        "none": rows,
        "sum": rows.sum(),
        "mean": rows.sum() / weight[y[rest]].sum(),
        "batchmean": rows.sum() / len(rest),
    }[reduction]
    torch.testing.assert_close(right, expected)
    of_ours = gradient(ours.sum(), x)
    assert torch.equal(of_ours[[1, 4]], torch.zeros_like(of_ours[[1, 4]]))
    torch.testing.assert_close(of_ours[rest], gradient(right.sum(), x)[rest])


@pytest.mark.parametrize("kind", ["labels", "smoothed labels", "probabilities"])
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_p05_a_mask_works_with_every_kind_of_target(kind: str, weighted: bool) -> None:
    x, y = logits(5, 3), torch.tensor([0, 99, 1, 99, 2])
    mask, rest = torch.tensor([True, False, True, False, True]), [0, 2, 4]
    given = {
        "weight": torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64) if weighted else None,
        "label_smoothing": 0.2 if kind == "smoothed labels" else 0.0,
    }
    if kind == "probabilities":
        y = torch.rand(5, 3, dtype=torch.float64).softmax(1)
        y[~mask] = NAN
    spoiled = x.detach().index_fill(0, torch.tensor([1, 3]), NAN).requires_grad_()
    ours = LF.cross_entropy(spoiled, y, mask=mask, **given)
    right = LF.cross_entropy(x[rest], y[rest], **given)
    torch.testing.assert_close(ours, right)
    of_ours = gradient(ours, spoiled)
    torch.testing.assert_close(of_ours[rest], gradient(right, x)[rest])
    assert torch.equal(of_ours[~mask], torch.zeros(2, 3, dtype=torch.float64))


# ----- many numbers -----


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_p06_the_mean_of_many_rows_in_half_precision_is_right_and_rounded_once(
    dtype: torch.dtype, smoothing: float
) -> None:
    rows = 40_000  # their sum, 92 000, is beyond float16
    x = torch.zeros(rows, 10, dtype=dtype, requires_grad=True)
    loss = LF.cross_entropy(x, torch.zeros(rows, dtype=torch.int64), label_smoothing=smoothing)
    assert loss.dtype == dtype
    assert loss.item() == torch.tensor(math.log(10)).to(dtype).item()
    of_ours = gradient(loss, x)[0].double() * rows
    right = 0.1 - (1 - smoothing) * one_hot(torch.tensor(0), 10) - smoothing / 10
    torch.testing.assert_close(of_ours, right, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("kind", ["labels", "probabilities"])
def test_p07_rows_may_lie_2_to_the_31_elements_apart(kind: str, tmp_path: Path) -> None:
    far = 2**31 + 16
    # a sparse file takes the address space and no memory
    storage = torch.from_file(str(tmp_path / "far"), shared=True, size=far + 8, dtype=torch.float32)
    x = storage.as_strided((2, 5), (far, 1))
    x.copy_(torch.randn(2, 5))
    near = x.clone()
    assert near.stride() == (5, 1)
    y = torch.tensor([1, 4])
    target = one_hot(y, 5).float() if kind == "probabilities" else y
    for far_away, same in ((x, near), (x.T, near.T)):
        dim = 1 if far_away is x else 0
        leaf, right = far_away.detach().requires_grad_(), same.detach().clone().requires_grad_()
        if kind == "probabilities" and dim == 0:
            target = target.T
        ours = LF.cross_entropy(leaf, target, dim=dim)
        expected = LF.cross_entropy(right, target, dim=dim)
        torch.testing.assert_close(ours, expected)
        torch.testing.assert_close(gradient(ours, leaf), gradient(expected, right))


# ----- labels -----


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    "label, advice", [(3, "at least 4 classes"), (2**40, "classes"), (-1, "ignore_index=-1 or mask=")]
)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_p11_p12_a_label_out_of_range_is_named_whatever_the_reduction(
    reduction: str, label: int, advice: str, smoothing: float
) -> None:
    says = rf"cross_entropy: label {label} in row 1 is out of range: expected 0 to 2 for 3 classes.*{advice}"
    with pytest.raises(IndexError, match=says):
        LF.cross_entropy(logits(3, 3), torch.tensor([0, label, 2]), reduction=reduction, label_smoothing=smoothing)


def test_p11_a_label_of_an_image_is_named_by_its_position() -> None:
    y = torch.zeros(2, 4, 4, dtype=torch.int64)
    y[1, 2, 3] = 5
    with pytest.raises(IndexError, match=r"label 5 at position \(1, 2, 3\) is out of range"):
        LF.cross_entropy(logits(2, 3, 4, 4), y)


def compiled(call: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return torch.compile(call, backend="aot_eager", fullgraph=True)


def vectorised(call: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda x, y: torch.vmap(lambda a, b: call(a.unsqueeze(0), b.unsqueeze(0)).squeeze(0))(x, y)


@pytest.mark.parametrize("way", [compiled, vectorised])
@pytest.mark.parametrize("label", [3, 2**40, -1])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_p11_where_labels_can_not_be_read_their_rows_are_nan(
    way: Callable[..., Callable[..., Tensor]], label: int, smoothing: float
) -> None:
    def call(x: Tensor, y: Tensor) -> Tensor:
        return LF.cross_entropy(x, y, reduction="none", label_smoothing=smoothing)

    x, rest, upstream = logits(3, 3), [0, 2], torch.randn(3, dtype=torch.float64)
    ours, right = way(call)(x, torch.tensor([0, label, 2])), call(x, torch.tensor([0, 0, 2]))
    of_ours, of_right = gradient(ours, x, upstream), gradient(right, x, upstream)
    assert ours[1].isnan()
    assert torch.equal(of_ours[1], torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(ours[rest], right[rest])
    torch.testing.assert_close(of_ours[rest], of_right[rest])


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64])
def test_p13_labels_of_any_integer_dtype(dtype: torch.dtype) -> None:
    x, y = logits(3, 4), torch.tensor([0, 3, 1])
    torch.testing.assert_close(LF.cross_entropy(x, y.to(dtype)), torch.nn.functional.cross_entropy(x, y))


@pytest.mark.parametrize("of_weight", [torch.float16, torch.float64])
@pytest.mark.parametrize("kind", ["labels", "probabilities"])
def test_p13_weights_are_cast_to_the_logits(of_weight: torch.dtype, kind: str) -> None:
    x, y = logits(3, 4, dtype=torch.float32), torch.tensor([0, 3, 1])
    target = one_hot(y, 4).float() if kind == "probabilities" else y
    weight = torch.tensor([0.5, 2.0, 1.5, 1.0])
    ours = LF.cross_entropy(x, target, weight.to(of_weight))
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, LF.cross_entropy(x, target, weight))


@pytest.mark.parametrize(
    "target, error, says",
    [
        (torch.zeros(4, dtype=torch.int64), ValueError, r"expected labels of shape \(2,\).*taken for labels"),
        (torch.zeros(2, 1, dtype=torch.int64), RuntimeError, r"expected labels of shape \(2,\).*taken for labels"),
        (
            torch.zeros(2, 3, dtype=torch.int64),
            RuntimeError,
            r"taken for class probabilities, but its dtype.*float\(\)",
        ),
        (torch.zeros(2), RuntimeError, r"target is \(2,\) float32, expected class indices.*target\.long\(\)"),
        (torch.zeros(2, 4), RuntimeError, r"expected labels of shape \(2,\).*only a target of the input's own shape"),
    ],
    ids=["batch", "column", "one-hot integers", "floating labels", "probabilities of more classes"],
)
def test_p14_errors_say_what_was_given_and_what_it_was_taken_for(
    target: Tensor, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says) as caught:
        LF.cross_entropy(torch.zeros(2, 3), target)
    assert str(tuple(target.shape)) in str(caught.value)


@pytest.mark.parametrize("kind", ["labels", "smoothed labels", "probabilities"])
def test_p15_the_class_dimension_may_be_any(kind: str) -> None:
    x, weight = logits(2, 4, 3), torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64)
    moved = x.movedim(-1, 1)
    y = torch.randint(0, 3, (2, 4))
    given = {"weight": weight, "label_smoothing": 0.2 if kind == "smoothed labels" else 0.0}
    target, target_moved = y, y
    if kind == "probabilities":
        target = torch.rand(2, 4, 3, dtype=torch.float64).softmax(-1)
        target_moved = target.movedim(-1, 1)
    right = torch.nn.functional.cross_entropy(moved, target_moved, **given)
    for dim in (-1, 2):
        torch.testing.assert_close(LF.cross_entropy(x, target, dim=dim, **given), right)
    torch.testing.assert_close(lossmith.CrossEntropyLoss(dim=-1, **given)(x, target), right)
    with pytest.raises(IndexError, match=r"dim=3 is out of range.*write dim=-1"):
        LF.cross_entropy(x, target, dim=3, **given)


# ----- probabilities -----


def test_p16_a_class_of_probability_0_costs_nothing_at_a_logit_of_minus_infinity() -> None:
    x = torch.tensor([[0.0, 0.0, -INF]], dtype=torch.float64, requires_grad=True)
    q = torch.tensor([[0.25, 0.75, 0.0]], dtype=torch.float64)
    loss = LF.cross_entropy(x, q)
    torch.testing.assert_close(loss.item(), math.log(2))
    torch.testing.assert_close(gradient(loss, x), torch.tensor([[0.25, -0.25, 0.0]], dtype=torch.float64))
    assert torch.isposinf(LF.cross_entropy(x, q.roll(1, 1)))


@pytest.mark.parametrize("smoothing", [-0.1, 1.5, 5.0, NAN])
def test_p17_smoothing_out_of_range_is_refused_in_the_constructor_too(smoothing: float) -> None:
    with pytest.raises(RuntimeError, match=r"CrossEntropyLoss: label_smoothing must be between 0\.0 and 1\.0"):
        lossmith.CrossEntropyLoss(label_smoothing=smoothing)
    with pytest.raises(RuntimeError, match=r"cross_entropy: label_smoothing must be between 0\.0 and 1\.0"):
        LF.cross_entropy(logits(2, 3), torch.tensor([0, 1]), label_smoothing=smoothing)


# ----- what a caller has seen -----


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("kind", ["labels", "smoothed labels", "probabilities"])
def test_p19_nothing_that_a_caller_has_seen_is_written(reduction: str, kind: str) -> None:
    x, y = logits(4, 3), torch.tensor([0, 2, 1, 1])
    target = torch.rand(4, 3, dtype=torch.float64).softmax(1) if kind == "probabilities" else y
    given = {"label_smoothing": 0.2 if kind == "smoothed labels" else 0.0, "reduction": reduction}
    before = [t.detach().clone() for t in (x, target)]
    loss = LF.cross_entropy(x, target, **given)
    upstream = torch.randn(loss.shape, dtype=torch.float64)
    kept = upstream.clone()
    first = torch.autograd.grad(loss, x, upstream, retain_graph=True)[0]
    seen = first.clone()
    second = torch.autograd.grad(loss, x, 2 * upstream)[0]
    assert all(
        torch.equal(now, was) for now, was in zip((x, target, upstream, first), (*before, kept, seen), strict=True)
    )
    torch.testing.assert_close(second, 2 * first)
    q = one_hot(y, 3) if kind != "probabilities" else target
    q = (1 - given["label_smoothing"]) * q + given["label_smoothing"] / 3
    scale = upstream.unsqueeze(-1) / (1 if reduction in ("none", "sum") else 4)
    torch.testing.assert_close(first, scale * (x.softmax(1) - q))
