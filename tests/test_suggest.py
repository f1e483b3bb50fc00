"""Parameters from training data: the formulas, what is taken, what is refused, and that the losses take the result."""

import numpy as np
import polars as pl
import pytest
import torch

import lossmith
from lossmith import suggest

GIVEN = {
    "list": lambda values: values,
    "tuple": tuple,
    "array": np.asarray,
    "tensor": torch.tensor,
    "Series": pl.Series,
    "turned array": lambda values: np.asarray(values[::-1])[::-1],
    "half": lambda values: torch.tensor(values, dtype=torch.float16),
    "grad": lambda values: torch.tensor(values, dtype=torch.float64, requires_grad=True),
}


@pytest.mark.parametrize("kind", GIVEN)
def test_everything_that_holds_numbers_is_taken(kind: str) -> None:
    give = GIVEN[kind]
    residuals = give([-1.0, 0.0, 1.0, 2.0, 500.0])
    assert suggest.robust_scale(residuals) == pytest.approx(1.4826)
    assert suggest.delta(residuals) == pytest.approx(1.345 * 1.4826)
    assert suggest.pos_weight(give([1.0, 0.0, 0.0, 0.0])).tolist() == [3.0]
    assert suggest.class_weight(give([0.0, 0.0, 0.0, 1.0])).tolist() == pytest.approx([2 / 3, 2])


def test_delta_is_that_of_normal_residuals_whatever_the_outliers() -> None:
    residuals = np.random.default_rng(0).normal(0, 2, 20_000)
    assert suggest.delta(residuals) == pytest.approx(1.345 * 2, rel=0.03)
    residuals[:400] = 1e6
    assert suggest.delta(residuals) == pytest.approx(1.345 * 2, rel=0.05)


def test_delta_of_nothing_is_huber_s_default() -> None:
    assert suggest.delta([0.0, 0.0, 0.0]) == 1.0


def test_delta_where_half_the_residuals_are_equal() -> None:
    assert suggest.delta([0.0, 0.0, 0.0, 4.0]) == pytest.approx(1.345 * np.std([0, 0, 0, 4]))


def test_pos_weight_is_negatives_over_positives() -> None:
    targets = np.array([[1, 0], [0, 0], [0, 1], [0, 1]])
    assert suggest.pos_weight(targets).tolist() == [3.0, 1.0]
    assert suggest.pos_weight([0, 0, 0]).tolist() == [3.0]


def test_class_weight_balances_the_classes() -> None:
    labels = np.array([0] * 6 + [1] * 3 + [2] * 1)
    weight = suggest.class_weight(labels, 3)
    assert weight.tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3])
    assert (torch.bincount(torch.as_tensor(labels)) * weight).tolist() == pytest.approx([10 / 3] * 3)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.999, 1 - 1e-9])
def test_class_weight_by_the_effective_number_of_samples(beta: float) -> None:
    """As Cui et al. write it, but for the scale: here the mean weight of a row is 1, there that of a class."""
    counts = [60, 30, 1]
    weight = suggest.class_weight([c for c, n in enumerate(counts) for _ in range(n)], beta=beta)
    effective = [sum(beta**k for k in range(n)) for n in counts]  # the geometric series
    theirs = torch.tensor([1 / e for e in effective])
    assert (weight / weight[0]).tolist() == pytest.approx((theirs / theirs[0]).tolist(), rel=1e-5)
    assert (torch.tensor(counts) * weight).sum().item() == pytest.approx(91, rel=1e-5)
    if beta > 0.99999:
        assert weight.tolist() == pytest.approx([91 / (3 * n) for n in counts], rel=1e-5)


def test_a_tensor_of_any_shape_and_rows_in_two_dimensions() -> None:
    residuals = torch.arange(12.0).reshape(3, 2, 2)
    assert suggest.delta(residuals) == suggest.delta(residuals.flatten())
    pixels = torch.tensor([[[0, 0], [1, 0]], [[0, 0], [2, 0]]])
    assert suggest.class_weight(pixels).tolist() == pytest.approx([8 / 18, 8 / 3, 8 / 3])
    assert suggest.pos_weight(torch.tensor([[True, False], [False, False], [False, True]])).tolist() == [2.0, 2.0]


def test_the_scale_is_that_of_numpy() -> None:
    values = np.random.default_rng(0).normal(3, 5, 1001)
    for sample in (values, values[:-1]):  # an odd and an even number of them
        expected = 1.4826 * np.median(np.abs(sample - np.median(sample)))
        assert suggest.robust_scale(sample) == pytest.approx(expected)


def test_the_losses_take_what_is_suggested() -> None:
    generator = torch.Generator().manual_seed(0)
    y = (torch.rand(64, 3, generator=generator) < 0.2).float()
    loss = lossmith.BCEWithLogitsLoss(pos_weight=suggest.pos_weight(y))(torch.randn(64, 3, generator=generator), y)
    assert torch.isfinite(loss) and loss.dtype == torch.float32
    labels = torch.randint(4, (64,), generator=generator)
    weight = suggest.class_weight(labels)
    assert torch.isfinite(lossmith.CrossEntropyLoss(weight=weight)(torch.randn(64, 4, generator=generator), labels))
    assert weight[labels].mean().item() == pytest.approx(1)
    assert lossmith.HuberLoss(delta=suggest.delta(torch.randn(64, generator=generator))).delta > 0
    first, second = torch.randn(2, 64, 5, generator=generator)
    margin = suggest.cosine_margin(first, second, torch.ones(64) - 2 * (torch.arange(64) % 2))
    assert lossmith.CosineEmbeddingLoss(margin=margin).margin == margin


def test_pos_weight_lets_both_sides_weigh_the_same() -> None:
    targets = (np.random.default_rng(0).random((500, 4)) < [0.1, 0.5, 0.9, 0.01]).astype(float)
    weight = suggest.pos_weight(targets).numpy()
    assert (weight * targets.sum(axis=0)).tolist() == pytest.approx((1 - targets).sum(axis=0).tolist(), rel=1e-6)


def test_classes_are_inferred_or_given() -> None:
    assert suggest.class_weight([0, 1, 1, 3]).tolist() == pytest.approx([1, 0.5, 1, 1])  # class 2 counts as one row
    assert suggest.class_weight([0, 1], classes=4).shape == (4,)
    assert suggest.class_weight(np.array(["b", "a", "b", "b"])).tolist() == pytest.approx([2, 2 / 3])
    assert suggest.class_weight([True, False, False, False]).tolist() == pytest.approx([2 / 3, 2])


def _pairs(cosines: list[float]) -> tuple[list[list[float]], list[list[float]]]:
    """Pairs with these cosines, of any lengths."""
    lengths = np.random.default_rng(0).uniform(0.1, 10, (2, len(cosines)))
    first = [[length, 0.0] for length in lengths[0]]
    return first, [[length * c, length * (1 - c**2) ** 0.5] for length, c in zip(lengths[1], cosines, strict=True)]


@pytest.mark.parametrize(
    ("unlike", "margin"), [([0.1, 0.3, 0.45], 0.3), ([0.2, 0.4], 0.3), ([-0.9, -0.5], 0.0), ([0.95, 0.8], 0.5)]
)
def test_the_cosine_margin_is_the_median_of_the_unlike_between_0_and_a_half(unlike: list[float], margin: float) -> None:
    first, second = _pairs([0.99, *unlike, 0.7])
    label = [1, *[-1] * len(unlike), 1]
    assert suggest.cosine_margin(first, second, label) == pytest.approx(margin)
    assert suggest.cosine_margin(torch.tensor(first), np.array(second), torch.tensor(label)) == pytest.approx(margin)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: suggest.delta([]), "delta: residuals hold no value"),
        (
            lambda: suggest.delta([1.0, float("nan")]),
            "delta: residuals hold NaN or an infinite number; leave those out",
        ),
        (lambda: suggest.robust_scale([float("inf")]), "robust_scale: values hold NaN or an infinite number"),
        (lambda: suggest.pos_weight([1, 2]), "targets hold 2, expected 0 and 1; compare with the positive value first"),
        (lambda: suggest.pos_weight([-1, 1]), "targets hold -1, expected 0 and 1"),
        (lambda: suggest.pos_weight(torch.zeros(2, 3, 4)), r"shape \(2, 3, 4\), expected \(N\) or \(N, labels\)"),
        (lambda: suggest.pos_weight(torch.tensor(1)), r"shape \(\), expected \(N\)"),
        (lambda: suggest.class_weight([0, -100]), "labels hold -100, expected whole numbers from 0; leave out rows"),
        (lambda: suggest.class_weight([0.5]), "labels hold 0.5, expected whole numbers from 0"),
        (lambda: suggest.class_weight([0, 1, 4], classes=3), "tell of 5 classes, more than classes=3"),
        (lambda: suggest.class_weight([]), "labels hold no value"),
        (lambda: suggest.class_weight([0, 1], beta=1.1), "beta is 1.1, expected a number from 0 to 1"),
        (lambda: suggest.cosine_margin([[1.0]], [[1.0]], [0]), "label holds 0, expected 1 for alike and -1 for unlike"),
        (lambda: suggest.cosine_margin([[1.0]], [[1.0]], [1]), r"no pair is unlike \(label -1\)"),
        (lambda: suggest.cosine_margin([1.0], [1.0], [1]), r"shapes \(1,\), \(1,\) and \(1,\), expected \(N, D\)"),
        (lambda: suggest.cosine_margin([[1.0]], [[1.0, 2.0]], [1]), r"expected \(N, D\), \(N, D\) and \(N\)"),
    ],
)
def test_what_is_refused(call, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()
