"""Rules about targets, arguments, results and the program around: what they see, and the legal that is silent."""

import warnings
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lossmith
from lossmith.lint import lint
from lossmith.rule import Known, Site
from lossmith.rules import all_rules
from lossmith.watch.calls import SIGNATURES, WatchedCall

L = lossmith.functional
RULES = all_rules()
OWN = {name for name, rule in RULES.items() if rule.code >= "LM201"}
Step = Callable[[], object]


def found(step: Step, batches: int = 6, rules: set[str] = OWN) -> set[str]:
    """The rules of this file's that are broken by steps at one place; errors are what bad calls end in."""
    torch.manual_seed(0)
    with warnings.catch_warnings(), lossmith.guard("collect") as report:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", "lossmith's rule", lossmith.LossWarning)
        for _ in range(batches):
            with suppress(RuntimeError, ValueError, IndexError, NotImplementedError):
                step()
    return {finding.rule for finding in report.findings} & rules


def scores(*shape: int, scale: float = 1.0) -> Tensor:
    """What a network gives."""
    return scale * torch.randn(*shape, requires_grad=True)


def counts(*shape: int) -> Tensor:
    return torch.poisson(torch.full(shape, 3.0))


def labels(*shape: int, classes: int = 5) -> Tensor:
    return torch.randint(classes, shape)


def bits(*shape: int) -> Tensor:
    return torch.randint(2, shape).float()


def ctc(
    log_probs: Tensor | None = None,
    targets: Tensor | None = None,
    frames: object = (12, 12, 12),
    lengths: object = (4, 4, 4),
    loss: Callable[..., Tensor] = F.ctc_loss,
    **settings: object,
) -> Tensor:
    log_probs = scores(12, 3, 6).log_softmax(-1) if log_probs is None else log_probs
    targets = torch.tensor([[1, 2, 3, 4], [4, 1, 2, 3], [5, 1, 5, 2]]) if targets is None else targets
    return loss(log_probs, targets, frames, lengths, **settings)


def triplets(loss: Callable[..., Tensor], near: float, far: float, n: int = 16, **settings: object) -> Tensor:
    """The positive is about `near` from the anchor, the negative about `far`."""
    anchor = scores(n, 8)
    return loss(
        anchor, anchor + near / 8**0.5 * torch.randn(n, 8), anchor + far / 8**0.5 * torch.randn(n, 8), **settings
    )


def squared_distance(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().sum(-1)


def backward(loss: Tensor) -> None:
    loss.backward()


def detached_then_required() -> None:
    loss = F.mse_loss(scores(8).detach(), torch.randn(8))
    loss.requires_grad = True
    loss.backward()


def required_then_scaled() -> None:
    loss = F.mse_loss(scores(8).detach(), torch.randn(8)).requires_grad_()
    (loss / 4).backward()


def made_anew() -> None:
    loss = F.mse_loss(scores(8), torch.randn(8))
    torch.tensor(loss.item(), requires_grad=True).backward()


def under_no_grad() -> None:
    with torch.no_grad():
        output = scores(8, 3)
    backward(F.cross_entropy(output, labels(8, classes=3)))


# ----- what is seen at run time -----

HALF = torch.float16

BROKEN: dict[str, list[Step]] = {
    "index-target-invalid": [
        lambda: F.cross_entropy(scores(3, 5), torch.tensor([0.0, 1.0, 2.0])),
        lambda: F.cross_entropy(scores(3, 5), F.one_hot(labels(3), 5)),
        lambda: F.cross_entropy(scores(3, 5), labels(3, 1)),
        lambda: F.cross_entropy(scores(3, 5), torch.tensor([1, 2, 5])),
        lambda: F.cross_entropy(scores(3, 5), torch.tensor([1, 2, -1])),
        lambda: F.cross_entropy(scores(3, 5, 2), labels(3, 1, 2)),
        lambda: F.nll_loss(scores(3, 5).log_softmax(1), F.one_hot(labels(3), 5).float()),
        lambda: F.multi_margin_loss(scores(3, 5), torch.tensor([1, 2, 5])),
        lambda: L.multi_margin_loss(scores(3, 5), torch.tensor([1, 2, 5])),
        lambda: L.cross_entropy(scores(3, 4, 5), labels(3, 4, classes=8) + 5, dim=-1),
        lambda: F.multilabel_margin_loss(scores(4, 5), bits(4, 5).long()),
        lambda: F.multilabel_margin_loss(scores(4, 5), bits(4, 5)),
        lambda: L.multilabel_margin_loss(scores(4, 5), bits(4, 5).long()),
        lambda: F.multilabel_margin_loss(scores(1, 3), torch.tensor([[3, -1, -1]])),
        lambda: ctc(targets=torch.full((3, 4), 9)),
        lambda: ctc(targets=torch.full((12,), 6)),
        lambda: L.focal_loss(scores(3, 5), torch.tensor([1, 2, 5])),
        lambda: L.focal_loss(scores(3, 5), labels(3, 1)),
        lambda: L.distillation_loss(scores(3, 5), torch.randn(3, 5), torch.tensor([1, 2, -1])),
        lambda: L.arcface_loss(scores(3, 4), torch.randn(5, 4), torch.tensor([1, 2, 5])),
        lambda: L.cosface_loss(scores(3, 4), torch.randn(5, 4), torch.tensor([1.0, 2.0, 3.0])),
        lambda: L.dice_loss(scores(3, 2, 4), torch.full((3, 4), 255)),
        lambda: L.tversky_loss(scores(3, 4, 2), torch.full((3, 4), 2), dim=-1),
    ],
    "swapped-arguments": [
        lambda: F.cross_entropy(bits(8, 3), scores(8, 3)),
        lambda: F.cross_entropy(labels(8), scores(8, 5)),
        lambda: F.nll_loss(labels(8), scores(8, 5).log_softmax(1)),
        lambda: F.binary_cross_entropy(bits(8), scores(8).sigmoid()),
        lambda: L.binary_cross_entropy(0.8 * bits(8) + 0.1, scores(8).sigmoid()),
        lambda: F.binary_cross_entropy_with_logits(bits(8), scores(8)),
        lambda: L.binary_cross_entropy_with_logits(bits(8).long(), scores(8)),
        lambda: F.multilabel_soft_margin_loss(bits(8, 3), scores(8, 3)),
        lambda: F.poisson_nll_loss(counts(8), scores(8)),
        lambda: F.gaussian_nll_loss(scores(8), F.softplus(scores(8)), torch.rand(8)),
        lambda: F.kl_div(torch.rand(8, 3).softmax(1), scores(8, 3).log_softmax(1), reduction="batchmean"),
        lambda: F.mse_loss(torch.randn(8), scores(8)),
        lambda: F.smooth_l1_loss(torch.randn(8), scores(8)),
        lambda: L.l1_loss(labels(8), scores(8)),
        lambda: L.log_cosh_loss(torch.randn(8), scores(8)),
        lambda: L.charbonnier_loss(torch.randn(8), scores(8)),
        lambda: L.quantile_loss(torch.randn(8), scores(8), 0.9),
        lambda: L.sigmoid_focal_loss(bits(8), scores(8)),
        lambda: L.distillation_loss(torch.randn(8, 3), scores(8, 3) * 2),
        lambda: L.js_div(torch.rand(8, 3).log_softmax(1), scores(8, 3).log_softmax(1)),
    ],
    "repeated-keys": [
        lambda: L.info_nce_loss(scores(16, 4), torch.randn(5, 4)[labels(16)]),
        lambda: L.siglip_loss(scores(16, 4), torch.randn(15, 4).double()[torch.arange(16) % 15]),
        lambda: L.info_nce_loss(scores(8, 4), torch.randn(7, 4).bfloat16()[torch.arange(8) % 7], pairing="views"),
    ],
    "vectors-not-normalised": [
        lambda: L.info_nce_loss(scores(8, 64), scores(8, 64), normalize=False),
        lambda: L.supcon_loss(scores(8, 64), labels(8, classes=2), torch.tensor(0.07), normalize=False),
        lambda: L.siglip_loss(scores(8, 64), scores(8, 64), scale=torch.tensor([10.0]), normalize=False),
    ],
    "teacher-not-detached": [
        lambda: L.distillation_loss(scores(8, 3) * 2, scores(8, 3) * 2),
        lambda: (lambda x: L.distillation_loss(x, x))(scores(8, 3)),
        lambda: (lambda x: L.distillation_loss(x, x.detach(), labels(8, classes=3)))(scores(8, 3) * 2),
    ],
    "critic-squashed": [
        lambda: L.wasserstein_critic_loss(scores(8).sigmoid(), scores(8).sigmoid()),
        lambda: L.wasserstein_critic_loss(torch.randn(8), scores(8).tanh()[:, None].squeeze(1)),
    ],
    "ctc-layout": [
        lambda: ctc(scores(3, 12, 6).log_softmax(-1)),
        lambda: ctc(scores(3, 12, 6).log_softmax(-1), loss=L.ctc_loss),
        lambda: ctc(scores(3, 12, 6), loss=L.ctc_loss_with_logits),
        lambda: ctc(scores(3, 6, 12).log_softmax(1)),
        lambda: ctc(scores(3, 12, 6).log_softmax(-1), torch.ones(12, dtype=torch.long)),
    ],
    "ctc-input-not-log": [
        lambda: ctc(scores(12, 3, 6).softmax(-1)),
        lambda: ctc(scores(12, 3, 6)),
        lambda: ctc(scores(12, 3, 6).relu()),
        lambda: ctc(scores(12, 3, 6).softmax(-1) * 1.0, loss=L.ctc_loss),
        lambda: ctc(nn.Linear(4, 6)(torch.randn(12, 3, 4).reshape(36, 4)).view(12, 3, 6)),
        lambda: ctc(scores(12, 6), torch.tensor([1, 2, 3, 4]), (12,), (4,)),
    ],
    "ctc-lengths": [
        lambda: ctc(frames=(12, 13, 12)),
        lambda: ctc(frames=(12, 13, 12), loss=L.ctc_loss),
        lambda: ctc(lengths=(4, 5, 4)),
        lambda: ctc(targets=torch.tensor([[1, 2, 0, 4], [1, 1, 1, 1], [2, 2, 2, 2]])),
        lambda: ctc(targets=torch.tensor([1, 2, 0, 4, *[1] * 8])),
        lambda: ctc(targets=torch.tensor([[1, 2, 3, 5]] * 3), blank=5),
        lambda: ctc(frames=(12, 12, 3)),
        lambda: ctc(targets=torch.tensor([[1, 1, 2, 2]] * 3), frames=(12, 5, 12)),
        lambda: ctc(scores(12, 6).log_softmax(-1), torch.tensor([1, 0, 3, 4]), (12,), (4,)),
        lambda: ctc(scores(12, 3, 6), frames=(3, 3, 3), loss=L.ctc_loss_with_logits),
    ],
    "gaussian-variance-not-positive": [
        lambda: F.gaussian_nll_loss(scores(8), torch.randn(8), scores(8).relu()),
        lambda: F.gaussian_nll_loss(scores(8), torch.randn(8), scores(8)),
        lambda: L.gaussian_nll_loss(scores(8), torch.randn(8), scores(8)),
        lambda: F.gaussian_nll_loss(scores(8), torch.randn(8), nn.Linear(8, 1)(torch.ones(8, 8)).squeeze(1)),
        lambda: F.gaussian_nll_loss(scores(8), torch.randn(8), scores(8).tanh()),
    ],
    "poisson-rate-negative": [
        lambda: F.poisson_nll_loss(scores(8), counts(8), log_input=False),
        lambda: L.poisson_nll_loss(scores(8), counts(8), log_input=False),
        lambda: F.poisson_nll_loss(scores(8).tanh(), counts(8), log_input=False),
    ],
    "weight-at-batch-size-one": [
        lambda: F.cross_entropy(scores(1, 3), labels(1, classes=3), weight=torch.tensor([1.0, 2.0, 3.0])),
        lambda: F.cross_entropy(scores(3), torch.tensor(1), weight=torch.tensor([1.0, 2.0, 3.0])),
        lambda: F.nll_loss(scores(1, 3).log_softmax(1), labels(1, classes=3), weight=torch.tensor([1.0, 2.0, 3.0])),
        lambda: L.mse_loss(scores(1), torch.randn(1), weight=torch.full((1,), 10.0)),
        lambda: L.l1_loss(scores(1, 1), torch.randn(1, 1), weight=torch.full((1, 1), 10.0)),
    ],
    "unscaled-regression-target": [
        lambda: F.mse_loss(scores(8), 2e5 + 5e4 * torch.randn(8)),
        lambda: F.mse_loss(scores(8), 300 * torch.randn(8), reduction="sum"),
        lambda: L.mse_loss(scores(8, scale=1e6), 300 * torch.randn(8)),
        lambda: L.log_cosh_loss(scores(8), 2e5 + 5e4 * torch.randn(8)),
        lambda: L.charbonnier_loss(scores(8, 4), 255 * torch.rand(8, 4)),
        lambda: F.mse_loss(scores(8) / 0, 300 * torch.randn(8)),
    ],
    "loss-not-finite": [
        lambda: F.mse_loss(scores(8) * torch.nan, torch.randn(8)),
        lambda: F.mse_loss(scores(8), torch.full((8,), torch.nan)),
        lambda: L.huber_loss(scores(8), torch.full((8,), torch.inf)),
        lambda: F.mse_loss(scores(8, scale=1e25), torch.randn(8)),
        lambda: F.cross_entropy(scores(8, 3), torch.full((8,), -100)),
        lambda: F.smooth_l1_loss(scores(0, 4), torch.randn(0, 4)),
        lambda: F.nll_loss(torch.log(scores(8, 3) * 0), labels(8, classes=3)),
        lambda: L.supcon_loss(scores(8, 4), torch.arange(8)),
        lambda: L.mined_triplet_margin_loss(scores(8, 4), torch.arange(8)),
        lambda: L.supcon_loss(scores(4, 4), torch.tensor([0, 1, 2, 2]), mask=torch.tensor([True, True, True, False])),
        lambda: F.gaussian_nll_loss(scores(8), torch.randn(8), torch.full((8,), torch.nan)),
    ],
    "half-overflow": [
        lambda: F.mse_loss(scores(8).to(HALF), torch.full((8,), 300.0, dtype=HALF)),
        lambda: F.mse_loss((scores(8) * 0 + 4e4).to(HALF), torch.full((8,), 4e4, dtype=HALF)),
        lambda: L.cross_entropy((1e6 * scores(8, 3)).to(HALF), labels(8, classes=3)),
        lambda: L.cross_entropy((scores(8, 3) / 0).bfloat16(), labels(8, classes=3)),
        lambda: F.poisson_nll_loss((scores(8) + 15).to(HALF), counts(8).to(HALF)),
        lambda: L.gaussian_nll_loss(
            scores(1).to(HALF), torch.full((1,), 9.0, dtype=HALF), (scores(1).exp() * 1e-3).to(HALF)
        ),
    ],
    "loss-detached": [
        detached_then_required,
        required_then_scaled,
        made_anew,
        under_no_grad,
        lambda: backward(F.cross_entropy(scores(8, 3).detach(), labels(8, classes=3))),
        lambda: backward(L.l1_loss(scores(8, 3).argmax(1).float(), torch.randn(8))),
    ],
}


@pytest.mark.parametrize(
    ("name", "step"), [pytest.param(n, s, id=f"{n}-{i}") for n, steps in BROKEN.items() for i, s in enumerate(steps)]
)
def test_what_is_seen(name: str, step: Step) -> None:
    assert name in found(step)


@pytest.mark.parametrize(
    "step",
    [
        lambda: triplets(F.triplet_margin_loss, near=0.1, far=9.0),
        lambda: triplets(L.triplet_margin_loss, near=0.1, far=9.0, reduction="none").mean(),
        lambda: triplets(F.triplet_margin_with_distance_loss, near=0.1, far=30.0, distance_function=squared_distance),
        lambda: triplets(L.triplet_margin_with_distance_loss, near=0.1, far=30.0, reduction="sum"),
    ],
)
def test_easy_triplets_are_seen_over_a_window(step: Step) -> None:
    assert found(step, batches=8) == set()
    assert found(step, batches=40) == {"easy-triplets"}


def two_labels(*others: object, n: int = 16, **settings: object) -> Tensor:
    """Mined triplets of two labels whose vectors are 20 apart."""
    y = torch.arange(n) % 2
    return L.mined_triplet_margin_loss(scores(n, 4, scale=0.05) + 10 * y[:, None], y, *others, **settings)


def alike(loss: Callable[..., Tensor], *others: object, spread: float = 1e-3, **settings: object) -> Tensor:
    """Vectors that differ by `spread`."""
    vectors = 1 + spread * torch.randn(16, 4)
    return loss(vectors.requires_grad_(), *others, **settings)


def quantiles(quantiles: object, n: int = 16, **settings: object) -> Tensor:
    return L.quantile_loss(scores(n, 3), torch.randn(n), quantiles, **settings)


HALVES = torch.arange(16) % 2

WINDOWS: dict[str, list[Step]] = {
    "easy-triplets": [
        lambda: two_labels("batch_all", 0.2),
        lambda: two_labels("batch_hard", 0.2),
        lambda: two_labels(on_empty="zero"),
        lambda: two_labels("batch_all", 0.2, normalize=False, reduction="sum", mask=torch.arange(16) > 3),
    ],
    "embeddings-collapsed": [
        lambda: alike(L.info_nce_loss, torch.randn(16, 4)),
        lambda: alike(L.info_nce_loss, torch.randn(16, 4), temperature=torch.tensor(0.5, requires_grad=True)),
        lambda: alike(L.siglip_loss, torch.randn(16, 4)),
        lambda: alike(L.supcon_loss, HALVES),
        lambda: alike(L.arcface_loss, torch.randn(3, 4), HALVES),
        lambda: alike(L.cosface_loss, torch.randn(3, 4), HALVES),
        lambda: alike(L.contrastive_loss, torch.ones(16, 4), 1 - 2 * HALVES),
        lambda: alike(F.triplet_margin_loss, torch.ones(16, 4), torch.ones(1, 4).expand(16, 4)),
        lambda: alike(L.triplet_margin_loss, torch.ones(16, 4), torch.ones(16, 4), squared=True),
        lambda: alike(L.mined_triplet_margin_loss, HALVES, "batch_hard"),
        lambda: alike(L.mined_triplet_margin_loss, HALVES, "batch_all", normalize=True, squared=True),
    ],
    "quantiles-cross": [
        lambda: quantiles((0.1, 0.5, 0.9)),
        lambda: quantiles((0.9, 0.1, 0.5)),
        lambda: quantiles(torch.tensor([0.1, 0.5, 0.9])),
        lambda: quantiles([0.1, 0.5, 0.9], mask=torch.arange(16)[:, None] > 3),
    ],
    "no-positive-pixel": [
        lambda: L.dice_loss(scores(2, 3, 9), torch.zeros(2, 9, dtype=torch.long)),
        lambda: L.dice_loss(scores(2, 3, 9), torch.full((2, 9), 7), ignore_index=7, on_empty="zero"),
        lambda: L.tversky_loss(scores(2, 9, 1), torch.zeros(2, 9, 1), activation="sigmoid", dim=-1),
        lambda: L.dice_loss(scores(2, 2, 9), F.one_hot(torch.zeros(2, 9).long(), 2).movedim(-1, 1).float()),
    ],
}
SILENT: list[Step] = [
    lambda: two_labels("batch_all", 0.2, average="active", on_empty="zero"),
    lambda: two_labels("batch_hard", "soft"),
    lambda: two_labels("batch_all", 25.0),
    lambda: two_labels("batch_all", 0.2, n=4),
    lambda: alike(L.info_nce_loss, torch.randn(16, 4), spread=0.5),
    lambda: alike(L.info_nce_loss, torch.randn(16, 4), temperature=1e-6),
    lambda: alike(L.info_nce_loss, torch.randn(16, 4), normalize=False),
    lambda: alike(L.supcon_loss, torch.zeros(16, dtype=torch.long)),
    lambda: alike(L.cosface_loss, torch.randn(3, 4), torch.zeros(16, dtype=torch.long)),
    lambda: alike(L.contrastive_loss, torch.ones(16, 4), 1 - 2 * HALVES, margin=0.01),
    lambda: alike(L.contrastive_loss, torch.randn(16, 4), 1 - 2 * HALVES),
    lambda: alike(L.triplet_margin_loss, torch.ones(16, 4), torch.randn(16, 4)),
    lambda: alike(L.mined_triplet_margin_loss, HALVES, "batch_hard", 0.005),
    lambda: L.quantile_loss(scores(16, 3).sort(-1).values, torch.randn(16), (0.1, 0.5, 0.9)),
    lambda: L.quantile_loss(scores(16, 3).sort(-1).values.flip(-1), torch.randn(16), torch.tensor([0.9, 0.5, 0.1])),
    lambda: L.quantile_loss(scores(16, 1), torch.randn(16), (0.5,)),
    lambda: L.dice_loss(scores(2, 3, 9), labels(2, 9, classes=3)),
    lambda: L.dice_loss(scores(2, 1, 9), torch.ones(2, 1, 9), activation="sigmoid"),
    lambda: L.dice_loss(scores(2, 3, 9), torch.zeros(2, 9).long(), mask=torch.tensor([[True, False, True]])),
]


@pytest.mark.parametrize(
    ("name", "step"), [pytest.param(n, s, id=f"{n}-{i}") for n, steps in WINDOWS.items() for i, s in enumerate(steps)]
)
def test_some_are_seen_over_a_window(name: str, step: Step) -> None:
    assert found(step, batches=8) == set()
    assert name in found(step, batches=1025 if name == "quantiles-cross" else 130)


@pytest.mark.parametrize("step", SILENT, ids=range(len(SILENT)))
def test_a_window_of_what_is_legal_is_silent(step: Step) -> None:
    assert found(step, batches=130) == set()


def test_the_guard_draws_no_random_number() -> None:
    """A miner that draws is not asked again."""

    def after(watched: bool) -> Tensor:
        torch.manual_seed(0)
        x, y = torch.randn(16, 4, requires_grad=True), torch.arange(16) % 2
        with lossmith.guard("collect") if watched else nullcontext():
            L.mined_triplet_margin_loss(x, y, "distance_weighted", normalize=True)
        return torch.rand(3)

    torch.testing.assert_close(after(True), after(False), rtol=0, atol=0)


# ----- what is silent -----

LEGAL: list[Step] = [
    # labels
    lambda: F.cross_entropy(scores(8, 5), labels(8)),
    lambda: F.cross_entropy(scores(3, 5), torch.tensor([1, -100, 4])),
    lambda: F.cross_entropy(scores(3, 5), torch.tensor([1, 255, 4]), ignore_index=255),
    lambda: F.cross_entropy(scores(3, 5), scores(3, 5).softmax(1).detach()),
    lambda: F.cross_entropy(scores(5), torch.tensor(3)),
    lambda: L.cross_entropy(scores(8, 5), torch.full((8,), -100), on_empty="zero"),
    lambda: L.cross_entropy(scores(3, 5), torch.tensor([1, 9, 4]), mask=torch.tensor([True, False, True])),
    lambda: F.multilabel_margin_loss(scores(2, 5), torch.tensor([[0, 1, -1, -1, -1], [3, 0, 1, -1, -1]])),
    lambda: F.multilabel_margin_loss(scores(1, 2), torch.tensor([[0, 1]])),
    lambda: F.multilabel_margin_loss(scores(2, 3), torch.tensor([[0, 1, 2], [-1, 0, 0]])),
    lambda: L.focal_loss(scores(3, 5), torch.tensor([1, -100, 4])),
    lambda: L.focal_loss(scores(3, 5), scores(3, 5).softmax(1).detach()),
    lambda: L.arcface_loss(scores(3, 4), torch.randn(5, 4), torch.tensor([0, 4, 1])),
    lambda: L.dice_loss(scores(3, 2, 4), torch.tensor([[0, 1, 255, 1]] * 3), ignore_index=255),
    lambda: L.dice_loss(scores(3, 2, 4), bits(3, 2, 4).long(), activation="sigmoid"),
    lambda: L.dice_loss(scores(3, 1, 4), bits(3, 1, 4), activation="sigmoid"),
    lambda: L.tversky_loss(scores(3, 4, 2), labels(3, 4, classes=2), dim=-1),
    lambda: L.dice_loss(
        scores(1, 2, 4), torch.tensor([[0, 1, 9, 1]]), element_mask=torch.tensor([[[True, True, False, True]]])
    ),
    # vectors
    lambda: L.info_nce_loss(scores(16, 4), torch.randn(5, 4)[torch.arange(16) % 5], torch.arange(16) % 5),
    lambda: L.info_nce_loss(scores(8, 4), torch.cat([torch.randn(6, 4), torch.zeros(2, 4)])),
    lambda: L.info_nce_loss(scores(8, 4), labels=torch.arange(8) % 3),
    lambda: L.siglip_loss(scores(8, 64), scores(8, 64)),
    lambda: L.info_nce_loss(scores(8, 64), scores(8, 64), temperature=8.0, normalize=False),
    lambda: L.supcon_loss(F.normalize(scores(8, 64)), labels(8, classes=2), 0.07, normalize=False),
    lambda: L.supcon_loss(scores(8, 4), torch.arange(8), on_empty="zero"),
    lambda: L.contrastive_loss(scores(8, 4), scores(8, 4), torch.tensor([1, -1] * 4)),
    lambda: L.mined_triplet_margin_loss(scores(8, 4), torch.arange(8) % 2, "distance_weighted", on_empty="zero"),
    # teachers and critics
    lambda: L.distillation_loss(scores(8, 3), torch.randn(8, 3)),
    lambda: L.distillation_loss(scores(8, 3).detach(), torch.randn(8, 3)),
    lambda: (lambda x: L.distillation_loss(x[:4], x[4:].detach()))(scores(8, 3) * 2),
    lambda: L.wasserstein_critic_loss(scores(8).sigmoid() * 3, scores(8) + scores(8).tanh()),
    lambda: L.quantile_loss(scores(8).detach(), scores(8), 0.9),
    lambda: L.quantile_loss(scores(8, 2), torch.randn(8), (0.1, 0.9)),
    # the target's gradient
    lambda: F.kl_div(scores(8, 3).log_softmax(1), scores(8, 3).softmax(1), reduction="batchmean"),
    lambda: F.kl_div(scores(8, 3).detach().log_softmax(1), scores(8, 3).softmax(1), reduction="batchmean"),
    lambda: F.kl_div(
        scores(8, 3).detach().log_softmax(1), scores(8, 3).log_softmax(1), reduction="batchmean", log_target=True
    ),
    lambda: F.cross_entropy(scores(8, 3).detach(), scores(8, 3).softmax(1)),
    lambda: F.binary_cross_entropy(scores(8).sigmoid().detach(), scores(8).sigmoid()),
    lambda: F.binary_cross_entropy_with_logits(scores(8), torch.rand(8, requires_grad=True)),
    lambda: F.mse_loss(scores(8), scores(8)),
    lambda: F.mse_loss(scores(8).detach(), scores(8)),
    lambda: F.mse_loss(scores(8).data.view(2, 4), scores(2, 4)),
    lambda: F.gaussian_nll_loss(scores(8), scores(8).exp(), torch.ones(8, requires_grad=True).exp()),
    lambda: F.gaussian_nll_loss(scores(8), scores(8), torch.full((1,), 0.1)),
    # CTC
    lambda: ctc(),
    lambda: ctc(scores(3, 3, 6).log_softmax(-1), torch.tensor([[1], [2], [3]]), (3, 3, 3), (1, 1, 1)),
    lambda: ctc(scores(12, 6).log_softmax(-1), torch.tensor([1, 2, 3, 4]), (12,), (4,)),
    lambda: ctc(scores(12, 3, 6), loss=L.ctc_loss_with_logits),
    lambda: ctc(scores(12, 3, 6).double().log_softmax(-1), torch.ones(6, dtype=torch.int32), (12, 9, 7), (1, 2, 3)),
    lambda: ctc(scores(12, 3, 6).bfloat16().log_softmax(-1), loss=L.ctc_loss),
    lambda: ctc(targets=torch.tensor([[1, 2, 0, 0], [3, 0, 0, 0], [5, 1, 5, 2]]), lengths=(2, 1, 4)),
    lambda: ctc(frames=(12, 12, 3), zero_infinity=True),
    lambda: ctc(frames=(12, 12, 3), reduction="none")[:2].mean(),
    lambda: ctc(lengths=(0, 4, 4)),
    lambda: ctc(frames=torch.tensor([12, 11, 10]), lengths=torch.tensor([4, 2, 1])),
    lambda: ctc(targets=torch.zeros(0, dtype=torch.long), lengths=(0, 0, 0)),
    lambda: ctc(frames=(12, 12, 3), loss=L.ctc_loss, mask=torch.tensor([True, True, False])),
    lambda: ctc(
        torch.cat([scores(12, 2, 6).log_softmax(-1), scores(12, 1, 6)], 1),
        loss=L.ctc_loss,
        mask=torch.tensor([True, True, False]),
    ),
    # triplets
    lambda: triplets(F.triplet_margin_loss, near=1.0, far=1.2),
    lambda: triplets(F.triplet_margin_loss, near=0.1, far=9.0, n=2),
    # scales
    lambda: F.mse_loss(200 + 60 * scores(8), 210 + 50 * torch.randn(8)),
    lambda: F.mse_loss(5e4 * scores(8), 5e4 * torch.randn(8)),
    lambda: F.mse_loss(scores(8), 30 * torch.randn(8)),
    lambda: L.mse_loss(scores(8), torch.tensor([1e6] * 4 + [0.5] * 4), mask=torch.tensor([False] * 4 + [True] * 4)),
    # variances and rates
    lambda: F.gaussian_nll_loss(scores(8), torch.randn(8), scores(8).relu() + 1e-3),
    lambda: F.gaussian_nll_loss(scores(8), torch.randn(8), (1 + scores(8).exp()).log()),
    lambda: F.gaussian_nll_loss(scores(8), torch.randn(8), scores(8).clamp(min=1e-3)),
    lambda: L.gaussian_nll_loss(scores(8), torch.randn(8), 0.5),
    lambda: L.gaussian_nll_loss(scores(2), torch.randn(2), torch.tensor([1.0, -1.0]), mask=torch.tensor([True, False])),
    lambda: F.poisson_nll_loss(scores(8), counts(8)),
    lambda: F.poisson_nll_loss(F.softplus(scores(8)), counts(8), log_input=False),
    # weights
    lambda: F.cross_entropy(scores(2, 3), labels(2, classes=3), weight=torch.tensor([1.0, 2.0, 3.0])),
    lambda: F.cross_entropy(scores(1, 3), labels(1, classes=3), weight=torch.ones(3)),
    lambda: F.cross_entropy(scores(1, 3, 4), labels(1, 4, classes=3), weight=torch.tensor([1.0, 2.0, 3.0])),
    lambda: F.cross_entropy(scores(1, 3), scores(1, 3).softmax(1).detach(), weight=torch.tensor([1.0, 2.0, 3.0])),
    lambda: F.cross_entropy(scores(1, 3), labels(1, classes=3), torch.tensor([1.0, 2.0, 3.0]), reduction="sum"),
    lambda: L.cross_entropy(scores(1, 3), labels(1, classes=3), torch.tensor([1.0, 2.0, 3.0]), normalizer="count"),
    lambda: F.cross_entropy(scores(1, 3).detach(), labels(1, classes=3), torch.tensor([1.0, 2.0, 3.0])),
    # gradients
    lambda: F.l1_loss(scores(8).detach(), torch.randn(8)).item(),
    lambda: backward(F.mse_loss(scores(8), torch.randn(8)) + F.l1_loss(scores(8).detach(), torch.randn(8))),
    lambda: (F.l1_loss(scores(8).detach(), torch.randn(8)), backward(scores(8).square().mean())),
    # infinities
    lambda: F.cross_entropy(scores(2, 3) + torch.tensor([0.0, 0.0, -torch.inf]), torch.tensor([0, 1])),
    lambda: L.mse_loss(scores(2), torch.tensor([1.0, torch.nan]), mask=torch.tensor([True, False])),
    lambda: F.mse_loss(scores(2), torch.tensor([1.0, torch.nan]), reduction="none")[:1].mean(),
    lambda: F.mse_loss(scores(8).detach() * torch.nan, torch.randn(8)),
    lambda: L.cross_entropy(scores(2, 3).to(HALF).masked_fill(torch.eye(2, 3).bool(), -65504), torch.tensor([1, 0])),
    lambda: L.cross_entropy(scores(8, 3).bfloat16(), labels(8, classes=3)),
    lambda: F.mse_loss(scores(8).to(HALF), torch.randn(8).to(HALF)),
]


@pytest.mark.parametrize("step", LEGAL, ids=range(len(LEGAL)))
def test_what_is_legal_is_silent(step: Step) -> None:
    assert found(step, batches=40) == set()


def test_the_legal_is_called_without_an_error() -> None:
    for step in LEGAL:
        step()


def test_evaluation_is_silent() -> None:
    with torch.no_grad():
        assert found(lambda: F.mse_loss(scores(8) * torch.nan, 1e6 * torch.randn(8))) == set()


def test_the_last_batch_of_an_epoch_may_hold_one_row() -> None:
    sizes = iter([4, 4, 1] * 20)
    weight = torch.tensor([1.0, 2.0, 3.0])

    def step() -> None:
        n = next(sizes)
        F.cross_entropy(scores(n, 3), labels(n, classes=3), weight)

    assert found(step, batches=60) == set()


def test_one_odd_batch_does_not_make_targets_unscaled() -> None:
    scales = iter([1e5, 1, 1e5, 1, 1, 1e5, 1, 1])
    assert found(lambda: F.mse_loss(scores(8), next(scales) * torch.randn(8)), batches=8) == set()


# ----- how it is told -----


def evidence(step: Step, rule: str) -> str:
    with lossmith.guard("collect") as report:
        for _ in range(3):
            step()
    return next(finding.evidence for finding in report.findings if finding.rule == rule)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (lambda: F.mse_loss(scores(8) * torch.nan, torch.randn(8)), "input had NaN"),
        (lambda: F.mse_loss(scores(8), torch.full((8,), torch.inf)), "target had infinite"),
        (lambda: L.mse_loss(scores(2), torch.randn(2), weight=torch.tensor([1, torch.nan])), "weight had NaN"),
        (lambda: F.gaussian_nll_loss(scores(2), torch.randn(2), torch.full((2,), torch.nan)), "var had NaN"),
        (lambda: F.mse_loss(scores(8, scale=1e25), torch.randn(8)), "all operands are finite"),
        (lambda: F.cross_entropy(scores(8, 3), torch.full((8,), -100)), "every label is ignored"),
        (lambda: F.l1_loss(scores(0), torch.randn(0)), "no elements"),
        (lambda: L.supcon_loss(scores(8, 4), torch.arange(8)), "no label of the batch occurs twice"),
    ],
)
def test_the_operand_that_brought_it_is_named(step: Step, words: str) -> None:
    assert words in evidence(step, "loss-not-finite")


def test_a_swap_is_harmless_where_the_loss_is_symmetric() -> None:
    with lossmith.guard("collect") as report:
        F.mse_loss(torch.randn(8), scores(8))
        F.binary_cross_entropy(bits(8), scores(8).sigmoid())
    assert [finding.severity for finding in report.findings] == ["info", "error"]
    assert "symmetric" in report.findings[0].evidence


def test_numbers_are_told() -> None:
    assert "between 0 and 7" in _says(
        "index-target-invalid", "cross_entropy", {"least": 0, "greatest": 7}, (4, 5), (4,)
    )
    assert "targets are typically 2e+05" in _says(
        "unscaled-regression-target", "mse_loss", {"input": 0.5, "target": 2e5}, (4,), (4,)
    )


def _says(rule: str, loss: str, numbers: dict[str, float], *shapes: tuple[int, ...]) -> str:
    """What a rule says to numbers, as the guard would ask it once the tensors are gone."""
    arguments = dict(SIGNATURES[loss].defaults)
    arguments |= dict(zip(("input", "target"), (torch.empty(s, device="meta") for s in shapes), strict=True))
    values = RULES[rule].values
    assert values is not None
    text = values.says(WatchedCall(loss, False, arguments, None, None), numbers)
    assert text is not None
    assert text.zh != text.en
    return text.en


@pytest.mark.parametrize("losses", [(), ("mse_loss",)])
@pytest.mark.parametrize("required", [True, False])
def test_backward_is_judged_by_what_it_is_called_on(losses: tuple[str, ...], required: bool) -> None:
    tensor = torch.zeros((), requires_grad=required)
    judge = RULES["loss-detached"].at_backward
    assert judge is not None
    said = judge(SimpleNamespace(tensor=tensor, losses=losses, differentiable=False, leaves=lambda: [tensor]))
    assert (said is not None) == bool(losses)


# ----- in source -----

HEAD = "import lossmith\nimport torch\nfrom torch import nn\nfrom torch.nn import functional as F\n\n"

WRITTEN = {
    "swapped-arguments": [
        "loss = nn.CrossEntropyLoss()(labels, outputs)",
        "loss = F.binary_cross_entropy(y_true, y_pred)",
        "loss = F.mse_loss(target, output)",
        "loss = F.kl_div(F.softmax(a, dim=1), F.log_softmax(b, dim=1), reduction='batchmean')",
        "loss = F.gaussian_nll_loss(mean, var, target)",
        "loss = nn.TripletMarginLoss()(anchor, negative, positive)",
        "loss = lossmith.DistillationLoss()(teacher_logits, student_logits)",
        "loss = lossmith.functional.wasserstein_critic_loss(real_scores, fake_scores)",
        "loss = lossmith.QuantileLoss(0.9)(target, output)",
        "loss = lossmith.DiceLoss()(labels, logits)",
        "loss = lossmith.functional.js_div(F.softmax(a, dim=1), F.log_softmax(b, dim=1))",
        "loss = F.binary_cross_entropy(torch.ones(8), torch.sigmoid(model(x)))",
    ],
    "loss-detached": [
        "loss = F.mse_loss(model(x).detach(), y)\nloss.backward()",
        "loss = F.cross_entropy(model(x), y).detach()\nloss.requires_grad = True\nloss.backward()",
        "pred = model(x).argmax(1).float()\nloss = F.mse_loss(pred, y)\nloss.backward()",
    ],
    "shadowed-criterion": [
        "loss = nn.MSELoss()\nfor x, y in data:\n    loss = loss(model(x), y)\n    loss.backward()",
    ],
    "critic-squashed": [
        "loss = lossmith.WassersteinCriticLoss()(torch.sigmoid(critic(x)), critic(y))",
        "loss = lossmith.functional.wasserstein_critic_loss(critic(x), torch.tanh(critic(y)))",
    ],
    "arguments-to-constructor": [
        "loss = lossmith.CharbonnierLoss(output, target)",
        "loss = lossmith.FocalLoss(logits, labels)",
        "loss = nn.MSELoss(output, target)",
        "loss = nn.CrossEntropyLoss(logits, labels)",
        "loss = nn.L1Loss(model(x), y)",
    ],
}
UNWRITTEN = [
    "loss = F.cross_entropy(outputs, labels)",
    "loss = F.mse_loss(x, target)",
    "loss = F.mse_loss(target, x)",
    "loss = F.kl_div(F.log_softmax(a, dim=1), F.softmax(b, dim=1), reduction='batchmean')",
    "loss = F.gaussian_nll_loss(mean, target, var)",
    "loss = nn.TripletMarginLoss()(anchor, positive, negative)",
    "loss = F.l1_loss(model(x).detach(), y)\nprint(loss.item())",
    "loss = F.mse_loss(model(x), y.detach())\nloss.backward()\ntotal = loss.detach()",
    "loss = F.mse_loss(codes.detach(), model(x))\nloss.backward()",
    "loss = nn.MSELoss()\nloss = loss(model(x), y)",
    "for x, y in data:\n    loss = nn.MSELoss()\n    loss = loss(model(x), y)",
    "criterion = nn.CrossEntropyLoss(weight)",
    "criterion = nn.TripletMarginLoss(margin, p)",
    "criterion = nn.MSELoss(None, None, 'sum')",
    "criterion = lossmith.TverskyLoss(alpha, beta)",
    "criterion = lossmith.ArcFaceLoss(scale, margin)",
    "criterion = lossmith.FocalLoss(gamma, class_weights)",
    "loss = lossmith.DistillationLoss()(student_logits, teacher_logits, labels)",
    "loss = lossmith.WassersteinCriticLoss()(fake, real, penalty)",
    "loss = lossmith.functional.wasserstein_loss(target, output)",
    "loss = lossmith.functional.wasserstein_critic_loss(critic(x), nn.Linear(4, 1)(y))",
    "criterion = nn.MSELoss()(output, target)",
]


def told(program: str, folder: Path) -> set[str]:
    file = folder / "program.py"
    file.write_text(HEAD + program + "\n")
    return {finding.rule for finding in lint([file]).findings} & OWN


@pytest.mark.parametrize(
    ("name", "program"), [pytest.param(n, p, id=f"{n}-{i}") for n, ps in WRITTEN.items() for i, p in enumerate(ps)]
)
def test_what_is_told_of_source(name: str, program: str, tmp_path: Path) -> None:
    assert told(program, tmp_path) == {name}


@pytest.mark.parametrize("program", UNWRITTEN, ids=range(len(UNWRITTEN)))
def test_legal_source_is_silent(program: str, tmp_path: Path) -> None:
    assert told(program, tmp_path) == set()


def test_a_detached_second_argument_is_no_prediction() -> None:
    judge = RULES["swapped-arguments"].in_source
    assert judge is not None
    labels, logits = Known(name="labels"), Known(name="logits")
    site = Site("call", "cross_entropy", {}, {"input": labels, "target": logits})
    assert judge(site) is not None
    cut = Site("call", "cross_entropy", {}, {"input": labels, "target": Known(name="logits", detached=True)})
    assert judge(cut) is None
    assert judge(Site("constructor", "cross_entropy", {}, site.arguments)) is None
