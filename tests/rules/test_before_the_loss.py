"""Rules about what stands before a loss: what values alone show, and the legal that is silent."""

import math
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lossmith

L = lossmith.functional
BATCHES = 6
Loop = Callable[[], Tensor]
"""One step: it computes a loss."""


class Opaque(torch.autograd.Function):
    """Hides where a tensor comes from, and passes its gradient on."""

    @staticmethod
    def forward(context, tensor: Tensor) -> Tensor:
        return tensor.clone()

    @staticmethod
    def backward(context, gradient: Tensor) -> Tensor:
        return gradient


opaque = Opaque.apply


def found(step: Loop, batches: int = BATCHES) -> set[str]:
    """The rules that are broken by steps on different batches at one place."""
    with warnings.catch_warnings(), lossmith.guard("collect") as report:
        warnings.simplefilter("ignore")  # torch's own about broadcasting and a missing dim
        for _ in range(batches):
            step()
    return {finding.rule for finding in report.findings}


def logits(*shape: int, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    return (shift + scale * torch.randn(*shape)).requires_grad_()


def labels(*shape: int, classes: int = 10) -> Tensor:
    return torch.randint(classes, shape)


def bits(*shape: int) -> Tensor:
    return torch.randint(2, shape).float()


# ----- what values alone show -----

BY_VALUES = {
    "softmax-into-cross-entropy": [
        lambda: F.cross_entropy(opaque(logits(16, 10).softmax(1)), labels(16)),
        lambda: F.cross_entropy(opaque(logits(4, 10, 5).softmax(1)), labels(4, 5)),
        lambda: F.cross_entropy(opaque(logits(64, 1000).softmax(1).bfloat16()), labels(64)),
        lambda: lossmith.functional.cross_entropy(opaque(logits(4, 5, 10).softmax(-1)), labels(4, 5), dim=-1),
        lambda: L.focal_loss(opaque(logits(16, 10).softmax(1)), labels(16)),
        lambda: L.distillation_loss(opaque(logits(16, 10).softmax(1)), torch.randn(16, 10)),
        lambda: L.distillation_loss(logits(4, 5, 10), torch.randn(4, 5, 10).softmax(-1), labels(4, 5), dim=-1),
        lambda: L.dice_loss(opaque(logits(4, 3, 8).softmax(1)), labels(4, 8, classes=3)),
        lambda: L.tversky_loss(opaque(logits(4, 8, 3).softmax(-1)), labels(4, 8, classes=3), dim=-1),
    ],
    "sigmoid-into-cross-entropy": [
        lambda: F.cross_entropy(opaque(logits(64, 10, scale=8).sigmoid()), labels(64)),
        lambda: L.focal_loss(opaque(logits(64, 10, scale=8).sigmoid()), labels(64)),
        lambda: L.dice_loss(opaque(logits(4, 3, 64, scale=8).sigmoid()), labels(4, 64, classes=3)),
    ],
    "sigmoid-into-bce-with-logits": [
        lambda: F.binary_cross_entropy_with_logits(opaque(logits(256, scale=8).sigmoid()), bits(256)),
        lambda: F.multilabel_soft_margin_loss(opaque(logits(64, 10, scale=8).sigmoid()), bits(64, 10)),
        lambda: F.soft_margin_loss(opaque(logits(256, scale=8).sigmoid()), 2 * bits(256) - 1),
        lambda: L.sigmoid_focal_loss(opaque(logits(256, scale=8).sigmoid()), bits(256)),
        lambda: L.dice_loss(opaque(logits(4, 1, 64, scale=8).sigmoid()), bits(4, 1, 64), activation="sigmoid"),
    ],
    "relu-before-logits": [
        lambda: F.cross_entropy(opaque(logits(16, 10, scale=2).relu()), labels(16)),
        lambda: F.binary_cross_entropy_with_logits(opaque(logits(64, scale=2).relu()), bits(64)),
        lambda: L.tversky_loss(opaque(logits(4, 3, 32, scale=2).relu()), labels(4, 32, classes=3)),
    ],
    "softmax-wrong-dim": [
        lambda: F.nll_loss(opaque(logits(10, 10).log_softmax(0)), labels(10)),  # as many rows as classes
        lambda: F.nll_loss(logits(10, 10).log_softmax(0), labels(10)),
        lambda: F.nll_loss(logits(16, 10).softmax(0).log(), labels(16)),
        lambda: F.cross_entropy(opaque(logits(16, 10).log_softmax(0)), labels(16)),
    ],
    "probabilities-into-nll": [lambda: F.nll_loss(opaque(logits(16, 10).softmax(1)), labels(16))],
    "logits-into-nll": [lambda: F.nll_loss(logits(16, 10), labels(16))],
    "logits-into-bce": [lambda: _refused(F.binary_cross_entropy, logits(16), bits(16))],
    "bce-saturated": [lambda: F.binary_cross_entropy(logits(64, scale=100).sigmoid(), bits(64))],
    "kl-input-not-log": [
        lambda: F.kl_div(opaque(logits(16, 10).softmax(1)), logits(16, 10).softmax(1), reduction="batchmean"),
        lambda: F.kl_div(logits(16, 10), logits(16, 10).softmax(1), reduction="batchmean"),
    ],
    "target-not-plus-minus-one": [
        lambda: F.cosine_embedding_loss(logits(16, 8), logits(16, 8), bits(16)),
        lambda: F.cosine_embedding_loss(logits(16, 8), logits(16, 8), torch.rand(16) - 0.5),
        lambda: F.hinge_embedding_loss(logits(16).abs(), labels(16, classes=2)),
        lambda: F.margin_ranking_loss(logits(16), logits(16), bits(16)),
        lambda: F.soft_margin_loss(logits(16), torch.zeros(16)),
    ],
    "target-not-in-unit-interval": [
        lambda: F.binary_cross_entropy_with_logits(logits(16), 255 * bits(16)),
        lambda: F.multilabel_soft_margin_loss(logits(16, 4), 2 * bits(16, 4) - 1),
        lambda: L.sigmoid_focal_loss(logits(16, 4), 2 * bits(16, 4) - 1),
        lambda: _refused(F.binary_cross_entropy, logits(16).sigmoid(), 2 * bits(16) - 1),
    ],
}


def _refused(function: Callable[..., Tensor], *arguments: Tensor) -> None:
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        function(*arguments)


@pytest.mark.parametrize(
    ("rule", "step"), [pytest.param(rule, step, id=rule) for rule, steps in BY_VALUES.items() for step in steps]
)
def test_values_show_it(rule, step):
    assert found(step) == {rule}


def test_values_of_a_target_show_it():
    teacher = torch.randn(16, 10)
    q = teacher.softmax(1)
    made = found(lambda: F.kl_div(logits(16, 10).log_softmax(1), q, reduction="batchmean", log_target=True))
    assert made == {"kl-target-not-probability"}
    made = found(lambda: F.kl_div(logits(16, 10).log_softmax(1), teacher, reduction="batchmean"))
    assert made == {"kl-target-not-probability", "loss-not-finite"}


def test_one_batch_of_values_is_no_proof():
    step = BY_VALUES["softmax-into-cross-entropy"][0]
    assert found(step, batches=2) == set()
    assert found(step, batches=3) == {"softmax-into-cross-entropy"}


# ----- what is legal -----


def _columns_of_a_softmax() -> Tensor:
    return F.binary_cross_entropy(logits(16, 2).softmax(1)[:, 1], bits(16))


def _mixture() -> Tensor:
    experts, gate = logits(3, 16, 10).softmax(-1), logits(16, 3).softmax(-1)
    return F.nll_loss(torch.einsum("nbc,bn->bc", experts, gate).log(), labels(16))


def _mixture_in_bce() -> Tensor:
    return F.binary_cross_entropy(logits(16, 4).softmax(1) @ torch.rand(4, 3), bits(16, 3))


def _restricted_to_known_classes() -> Tensor:
    return F.nll_loss(logits(16, 20).log_softmax(1)[:, :10], labels(16))


def _tokens() -> Tensor:
    scores = logits(4, 7, 10).log_softmax(-1)
    return F.nll_loss(scores.reshape(-1, 10), labels(28)) + F.nll_loss(scores.transpose(1, 2), labels(4, 7))


def _as_long_as_classes() -> Tensor:
    return F.nll_loss(logits(4, 10, 10).log_softmax(-1).transpose(1, 2), labels(4, 10))


def _multiple_choice() -> Tensor:
    return F.cross_entropy(nn.Linear(8, 1)(torch.randn(16, 4, 8)).squeeze(-1), labels(16, classes=4))


def _last_pair_of_a_contrast() -> Tensor:
    return F.cross_entropy(logits(1, 1), torch.zeros(1, dtype=torch.long))


def _distilled(temperature: float = 4.0) -> Tensor:
    teacher = (torch.randn(16, 10) / temperature).softmax(1)
    student = (logits(16, 10) / temperature).log_softmax(1)
    return F.kl_div(student, teacher, reduction="batchmean") * temperature**2


def _half(dtype: torch.dtype) -> Loop:
    return lambda: F.nll_loss(logits(16, 10).to(dtype).log_softmax(1), labels(16))


def _padded(**arguments: object) -> Loop:
    def step() -> Tensor:
        target = bits(16, 4)
        target[:, 2:] = -1
        kept = target >= 0
        given = {name: kept if value == "mask" else kept.float() for name, value in arguments.items()}
        return lossmith.functional.binary_cross_entropy_with_logits(logits(16, 4), target, **given)

    return step


def _padded_afterwards() -> Tensor:
    target = torch.where(torch.rand(16, 4) < 0.5, -1.0, bits(16, 4))
    return (F.binary_cross_entropy_with_logits(logits(16, 4), target, reduction="none") * (target >= 0)).mean()


def _similarities_without_temperature() -> Tensor:
    features = F.one_hot(labels(64), 10).float().requires_grad_()  # cosines of 0 and 1 alone
    return F.cross_entropy(features @ features.T, torch.arange(64))


def _contrast() -> Tensor:
    similarity, diagonal = logits(8, 4) @ torch.randn(4, 8), torch.arange(8)
    rows = F.nll_loss(similarity.log_softmax(1), diagonal)
    columns = F.nll_loss(similarity.log_softmax(0), diagonal)
    return rows + columns


LEGAL = {
    "logits": lambda: F.cross_entropy(logits(16, 10), labels(16)),
    "logits that happen to lie in [0, 1]": lambda: F.cross_entropy(logits(16, 10, scale=0.1, shift=0.5), labels(16)),
    "the same for a binary label": lambda: F.binary_cross_entropy_with_logits(
        logits(256, scale=0.1, shift=0.5), bits(256)
    ),
    "logits of a last layer of zeros": lambda: F.cross_entropy(0 * logits(16, 10), labels(16)),
    "logits of regions": lambda: L.dice_loss(logits(4, 3, 8), labels(4, 8, classes=3)),
    "probabilities of regions": lambda: L.dice_loss(
        opaque(logits(4, 3, 8).softmax(1)), labels(4, 8, classes=3), activation=None
    ),
    "sigmoids of regions": lambda: L.tversky_loss(
        logits(4, 3, 64, scale=8).sigmoid(), labels(4, 64, classes=3), activation=None
    ),
    "regions that a mask hides": lambda: L.dice_loss(
        opaque(logits(4, 3, 8).softmax(1)), labels(4, 8, classes=3), mask=torch.arange(3) > 0
    ),
    "pixels that a mask hides": lambda: L.dice_loss(
        torch.cat([logits(4, 1, 8).sigmoid(), 3 * logits(4, 1, 8)], -1),
        bits(4, 1, 16),
        activation=None,
        element_mask=(torch.arange(16) < 8).view(1, 1, 16),
    ),
    "a teacher's logits": lambda: L.distillation_loss(logits(16, 10), torch.randn(16, 10), labels(16)),
    "large positive logits": lambda: F.cross_entropy(logits(16, 10, shift=20), labels(16)),
    "hidden logits": lambda: F.cross_entropy(
        logits(16, 10).masked_fill(torch.arange(10) > 7, -math.inf), labels(16, classes=8)
    ),
    "label smoothing": lambda: F.cross_entropy(logits(16, 10), labels(16), label_smoothing=0.1),
    "soft targets": lambda: F.cross_entropy(logits(16, 10), torch.randn(16, 10).softmax(1)),
    "a single row": lambda: F.cross_entropy(logits(10), labels()),
    "a row of log_softmax along dimension 0": lambda: F.nll_loss(logits(10).log_softmax(0), labels()),
    "logarithms of probabilities": lambda: F.nll_loss((logits(16, 10).softmax(1) + 1e-6).log(), labels(16)),
    "a mixture of probabilities": _mixture,
    "a mixture of probabilities in BCE": _mixture_in_bce,
    "a column of a softmax": _columns_of_a_softmax,
    "some of the classes": _restricted_to_known_classes,
    "tokens flattened and turned": _tokens,
    "sequences as long as there are classes": _as_long_as_classes,
    "log_softmax in half precision": _half(torch.bfloat16),
    "pixels": lambda: F.nll_loss(logits(2, 10, 5, 5).log_softmax(1), labels(2, 5, 5)),
    "candidates": _multiple_choice,
    "the last pair of a contrast": _last_pair_of_a_contrast,
    "cosines without a temperature": _similarities_without_temperature,
    "a sigmoid in BCE": lambda: F.binary_cross_entropy(logits(64, scale=3).sigmoid(), bits(64)),
    "hard predictions that are evaluated": lambda: F.binary_cross_entropy(bits(64), bits(64)),
    "probabilities that are sure and right": lambda: F.binary_cross_entropy(
        (100 * torch.ones(64, requires_grad=True)).sigmoid(), torch.ones(64)
    ),
    "sums that round to more than 1": lambda: _rounded_up(),
    "distillation": _distilled,
    "distillation with logarithms": lambda: F.kl_div(
        logits(16, 10).log_softmax(1), torch.randn(16, 10).log_softmax(1), reduction="batchmean", log_target=True
    ),
    "a divergence of columns": lambda: F.kl_div(
        logits(16, 10).log_softmax(0), torch.randn(16, 10).softmax(0), reduction="sum"
    ),
    "a divergence of densities": lambda: F.kl_div(
        (3 * logits(16, 10).sigmoid()).log(), 3 * torch.rand(16, 10), reduction="sum"
    ),
    "a divergence without reduction": lambda: F.kl_div(
        logits(16, 10).log_softmax(1), torch.randn(16, 10).softmax(1), reduction="none"
    ),
    "a divergence with its own denominator": lambda: lossmith.functional.kl_div(
        logits(16, 10).log_softmax(1), torch.randn(16, 10).softmax(1), normalizer=16.0
    ),
    "dissimilar pairs alone": lambda: F.cosine_embedding_loss(logits(16, 8), logits(16, 8), -torch.ones(16)),
    "similar pairs alone": lambda: F.cosine_embedding_loss(logits(16, 8), logits(16, 8), torch.ones(16)),
    "ties": lambda: F.margin_ranking_loss(logits(64), logits(64), (labels(64) - labels(64)).sign().float()),
    "weights on ranks": lambda: F.margin_ranking_loss(logits(64), logits(64), torch.randn(64)),
    "masked padding": _padded(mask="mask"),
    "padding of weight 0": _padded(weight="weight"),
    "padding of sample weight 0": _padded(sample_weight="weight"),
    "padding masked afterwards": _padded_afterwards,
    "masks resized with a cubic kernel": lambda: F.binary_cross_entropy_with_logits(
        logits(1, 1, 32, 32),
        F.interpolate(F.interpolate(bits(1, 1, 8, 8), size=64), size=32, mode="bicubic", antialias=True),
    ),
    "all pairs without reduction": lambda: F.mse_loss(logits(8, 1), torch.randn(8), reduction="none"),
    "a number against all": lambda: F.mse_loss(logits(8, 1), torch.tensor(1.0)),
    "a row against all": lambda: F.mse_loss(logits(8, 3), torch.randn(3)),
    "one column each": lambda: F.mse_loss(logits(8, 1), torch.randn(8, 1)),
    "a positive against many negatives": lambda: F.margin_ranking_loss(logits(8, 1), logits(8, 5), torch.ones(8, 5)),
    "margins from 0 to below 1": lambda: F.cosine_embedding_loss(
        logits(16, 8), logits(16, 8), 2 * bits(16) - 1, margin=0.9
    ),
    "a contrast in both directions": lambda: _contrast(),
    "no rows": lambda: F.cross_entropy(logits(0, 10), labels(0), reduction="sum"),
}


def _rounded_up() -> Tensor:
    exact = torch.full((64,), 1 + 1e-6)
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        F.binary_cross_entropy(exact, bits(64))
    return exact


@pytest.mark.parametrize("step", LEGAL.values(), ids=list(LEGAL))
def test_what_is_legal_is_silent(step):
    assert found(step, batches=20) == set()


def test_a_frozen_network_in_the_unit_interval_is_silent():
    """The same logits, epoch after epoch."""
    frozen = [0.5 + 0.1 * torch.randn(16, 10) for _ in range(4)]
    steps = iter(frozen * 10)
    scale = torch.ones(1, requires_grad=True)
    assert found(lambda: F.cross_entropy(next(steps) * scale, labels(16)), batches=40) == set()


def test_evaluation_is_silent():
    def step() -> Tensor:
        with torch.no_grad():
            return F.binary_cross_entropy(logits(64, scale=100).sigmoid(), bits(64))

    assert found(step) == set()


# ----- what provenance shows, at once -----

AT_ONCE = {
    "softmax-into-cross-entropy": [
        lambda: F.cross_entropy(logits(4, 7, 10).softmax(-1).transpose(1, 2), labels(4, 7)),
        lambda: lossmith.functional.ctc_loss_with_logits(
            logits(8, 2, 5).softmax(-1), torch.tensor([[1, 2], [3, 4]]), torch.tensor([8, 8]), torch.tensor([2, 2])
        ),
    ],
    "log-softmax-into-cross-entropy": [lambda: F.cross_entropy(logits(16, 10).log_softmax(1), labels(16))],
    "sigmoid-into-bce-with-logits": [
        lambda: F.binary_cross_entropy_with_logits(logits(16, 2).softmax(1)[:, 1], bits(16)),
        lambda: F.binary_cross_entropy_with_logits(logits(16).sigmoid().clamp(1e-6, 1 - 1e-6), bits(16)),
    ],
    "relu-before-logits": [
        lambda: F.binary_cross_entropy(logits(16).relu().sigmoid(), bits(16)),
        lambda: F.nll_loss(logits(16, 10).relu().log_softmax(1), labels(16)),
        lambda: F.cross_entropy(logits(16, 10).clamp(min=0), labels(16)),
        lambda: F.cross_entropy(F.relu6(logits(16, 10)), labels(16)),
    ],
    "softmax-wrong-dim": [
        lambda: F.cross_entropy(logits(16, 10).log_softmax(0), labels(16)),
        lambda: F.nll_loss(logits(4, 7, 10).log_softmax(1).reshape(-1, 10), labels(28)),
        lambda: F.nll_loss(logits(4, 10, 5).log_softmax(2), labels(4, 5)),
        lambda: F.kl_div(logits(16, 10).log_softmax(0), torch.randn(16, 10).softmax(1), reduction="batchmean"),
    ],
    "logits-into-nll": [lambda: F.nll_loss(nn.Linear(4, 10)(torch.randn(16, 4)), labels(16))],
    "single-logit-cross-entropy": [
        lambda: F.cross_entropy(logits(16, 1), torch.zeros(16, dtype=torch.long)),
        lambda: F.cross_entropy(logits(2, 1, 4, 4), torch.zeros(2, 4, 4, dtype=torch.long)),
    ],
    "outer-broadcast": [
        lambda: F.mse_loss(logits(8, 1), torch.randn(8)),
        lambda: F.smooth_l1_loss(logits(2, 1, 4, 4), torch.randn(2, 4, 4)),
        lambda: F.huber_loss(logits(8, 4), torch.randn(8, 1)),
        lambda: F.hinge_embedding_loss(logits(8, 1).abs(), 2 * bits(8) - 1),
        lambda: F.margin_ranking_loss(logits(8, 1), logits(8, 1), 2 * bits(1, 8) - 1),
    ],
    "cosine-margin-out-of-range": [
        lambda: F.cosine_embedding_loss(logits(8, 4), logits(8, 4), torch.ones(8), margin=-0.5)
    ],
}


@pytest.mark.parametrize(
    ("rule", "step"), [pytest.param(rule, step, id=rule) for rule, steps in AT_ONCE.items() for step in steps]
)
def test_provenance_and_shapes_show_it_at_once(rule, step):
    assert found(step, batches=1) == {rule}
