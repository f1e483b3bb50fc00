"""What users suffer from without an error: the guard tells, of torch's losses as of lossmith's, row by row."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import lossmith
import lossmith.functional as LF

TF = torch.nn.functional
each_library = pytest.mark.parametrize("F", [TF, LF], ids=["torch", "lossmith"])


def told(step: Callable[[], Tensor], batches: int = 6) -> set[str]:
    with lossmith.guard("collect") as report:
        for _ in range(batches):
            step()
    return {finding.rule for finding in report.findings}


def leaf(*shape: int, scale: float = 1.0) -> Tensor:
    return (scale * torch.randn(*shape)).requires_grad_()


@each_library
def test_p03_a_class_weight_does_nothing_at_batch_size_one(F):
    weight = torch.tensor([1.0, 50.0, 1.0])
    step = lambda: F.cross_entropy(leaf(1, 3), torch.randint(3, (1,)), weight)  # noqa: E731
    assert told(step, 16) == {"weight-at-batch-size-one"}


@each_library
def test_p18_softmax_before_cross_entropy_and_probabilities_into_nll(F):
    labels = torch.randint(5, (16,))
    assert told(lambda: F.cross_entropy(leaf(16, 5).softmax(1), labels)) == {"softmax-into-cross-entropy"}
    assert told(lambda: F.nll_loss(leaf(16, 5).softmax(1), labels)) == {"probabilities-into-nll"}


@each_library
def test_p20_a_saturated_sigmoid(F):
    step = lambda: F.binary_cross_entropy(leaf(64, scale=300).sigmoid(), torch.rand(64).round())  # noqa: E731
    assert told(step, 16) == {"bce-saturated"}


@each_library
def test_p25_targets_outside_of_the_unit_interval(F):
    step = lambda: F.binary_cross_entropy_with_logits(leaf(16), torch.full((16,), 7.0))  # noqa: E731
    assert told(step) == {"target-not-in-unit-interval"}


@each_library
def test_p34_labels_padded_with_minus_one(F):
    target = torch.tensor([[0.0, 1.0, -1.0, -1.0]] * 8)
    assert told(lambda: F.multilabel_soft_margin_loss(leaf(8, 4), target)) == {"target-not-in-unit-interval"}


@each_library
def test_p36_a_multi_hot_target_into_multilabel_margin(F):
    step = lambda: F.multilabel_margin_loss(leaf(8, 6), torch.randint(2, (8, 6)))  # noqa: E731
    assert told(step, 16) == {"index-target-invalid"}


@each_library
def test_p39_targets_of_0_and_1_where_minus_1_and_1_are_meant(F):
    zero_one = torch.tensor([0.0, 1.0] * 8)
    for step in (
        lambda: F.soft_margin_loss(leaf(16), zero_one),
        lambda: F.hinge_embedding_loss(leaf(16).abs(), zero_one),
        lambda: F.margin_ranking_loss(leaf(16), leaf(16), zero_one),
        lambda: F.cosine_embedding_loss(leaf(16, 4), leaf(16, 4), zero_one),
    ):
        assert told(step) == {"target-not-plus-minus-one"}


@each_library
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
def test_p43_the_mean_of_kl_div_and_probabilities_as_its_input(F):
    q = torch.randn(16, 5).softmax(1)
    assert told(lambda: F.kl_div(leaf(16, 5).log_softmax(1), q, reduction="mean")) == {"kl-mean-reduction"}
    assert told(lambda: F.kl_div(leaf(16, 5).softmax(1), q, reduction="batchmean")) == {"kl-input-not-log"}


@each_library
def test_p50_a_negative_rate(F):
    step = lambda: F.poisson_nll_loss(leaf(16), torch.ones(16), log_input=False)  # noqa: E731
    assert "poisson-rate-negative" in told(step)
