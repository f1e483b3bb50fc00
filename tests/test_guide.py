"""The guide that lossmith began as: each of its examples runs, and where it slipped the right statement holds.

Numbers are worked out by hand or in plain Python; nothing here calls torch's own losses.
"""

import itertools
import math

import pytest
import torch

import lossmith
from lossmith import functional as LF

# ----- regression -----


def test_l1_example():
    x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
    y = torch.tensor([[1.5, 2.0, 4.5], [3.0, 5.0, 8.0]])
    loss = lossmith.L1Loss(reduction="mean")(x, y)
    torch.testing.assert_close(loss, torch.tensor(5 / 6))
    loss.backward()
    torch.testing.assert_close(x.grad, torch.tensor([[-1.0, 0.0, -1.0], [1.0, 0.0, -1.0]]) / 6)


def test_l1_slope_is_one_wherever_it_is_not_zero():
    x = torch.tensor([-1e30, -1.0, -1e-30, 0.0, 1e-30, 1.0, 1e30], requires_grad=True)
    LF.l1_loss(x, torch.zeros(7), reduction="sum").backward()
    assert x.grad.tolist() == [-1, -1, -1, 0, 1, 1, 1]


def test_l1_is_robust_the_median_minimises_it_and_the_mean_the_squared_error():
    y = torch.tensor([0.0, 1.0, 2.0, 3.0, 100.0])
    candidates = torch.linspace(0, 100, 1001)[:, None].expand(-1, 5)
    every = y.expand(1001, 5)
    l1 = LF.l1_loss(candidates, every, reduction="none").mean(1)
    mse = LF.mse_loss(candidates, every, reduction="none").mean(1)
    assert candidates[l1.argmin(), 0].item() == pytest.approx(2.0)
    assert candidates[mse.argmin(), 0].item() == pytest.approx(y.mean().item(), abs=0.1)


def test_mse_example():
    x = torch.randn(2, 3, requires_grad=True)
    y = torch.randn(2, 3)
    loss = lossmith.MSELoss()(x, y)
    loss.backward()
    assert loss.item() == pytest.approx(sum((a - b) ** 2 for a, b in pairs(x, y)) / 6, rel=1e-5)
    assert x.grad.norm().item() == pytest.approx(2 / 6 * math.sqrt(6 * loss.item()), rel=1e-5)


def pairs(x: torch.Tensor, y: torch.Tensor) -> list[tuple[float, float]]:
    return list(zip(x.flatten().tolist(), y.flatten().tolist(), strict=True))


def test_note_1_the_squared_error_grows_quadratically_and_its_gradient_linearly():
    error = torch.tensor([1.0, 2.0, 4.0, 8.0], requires_grad=True)
    loss = LF.mse_loss(error, torch.zeros(4), reduction="none")
    assert (loss[1:] / loss[:-1]).tolist() == [4, 4, 4]
    loss.sum().backward()
    assert (error.grad[1:] / error.grad[:-1]).tolist() == [2, 2, 2]


def test_note_2_mse_overflows_to_infinity_and_its_gradient_stays_finite():
    x = torch.tensor([3e19], requires_grad=True)
    loss = LF.mse_loss(x, torch.zeros(1))
    assert loss.item() == math.inf
    loss.backward()
    assert x.grad.item() == pytest.approx(6e19)


def test_huber_example():
    x = torch.tensor([0.1, 5.0], requires_grad=True)
    loss = lossmith.HuberLoss(delta=1.0)(x, torch.zeros(2))
    assert loss.item() == pytest.approx(2.2525)
    loss.backward()
    torch.testing.assert_close(x.grad, torch.tensor([0.05, 0.5]))
    each = LF.huber_loss(x, torch.zeros(2), reduction="none")
    torch.testing.assert_close(each, torch.tensor([0.005, 4.5]))


def test_huber_has_a_slope_at_0_and_a_bounded_one_far_out():
    x = torch.tensor([-1e6, 0.0, 1e6], requires_grad=True)
    LF.huber_loss(x, torch.zeros(3), delta=2.5, reduction="sum").backward()
    assert x.grad.tolist() == [-2.5, 0, 2.5]


ERRORS = torch.tensor([-1e4, -3.0, -1.0, -0.5, -1e-6, 0.0, 0.2, 0.7, 1.0, 2.0, 77.0], dtype=torch.float64)


def test_smooth_l1_is_huber_at_beta_and_delta_1():
    y = torch.zeros_like(ERRORS)
    for reduction in ("none", "mean", "sum"):
        smooth = lossmith.SmoothL1Loss(reduction=reduction)(ERRORS, y)
        torch.testing.assert_close(smooth, lossmith.HuberLoss(reduction=reduction)(ERRORS, y))


@pytest.mark.parametrize("delta", [0.1, 0.7, 1.0, 3.0])
def test_note_10_huber_is_delta_times_smooth_l1(delta):
    y = torch.zeros_like(ERRORS)
    huber = LF.huber_loss(ERRORS, y, delta=delta, reduction="none")
    torch.testing.assert_close(huber, delta * LF.smooth_l1_loss(ERRORS, y, beta=delta, reduction="none"))


# ----- classification -----


def test_nll_takes_log_probabilities():
    log_p = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]).log()
    loss = lossmith.NLLLoss()(log_p, torch.tensor([0, 2]))
    assert loss.item() == pytest.approx(-(math.log(0.7) + math.log(0.8)) / 2)
    weight = torch.tensor([1.0, 1.0, 3.0])
    weighted = lossmith.NLLLoss(weight, reduction="none")(log_p, torch.tensor([0, 2]))
    torch.testing.assert_close(weighted, torch.tensor([-math.log(0.7), -3 * math.log(0.8)]))


def test_note_11_nll_does_not_enforce_that_inputs_are_log_probabilities():
    assert LF.nll_loss(torch.tensor([[5.0, 1.0]]), torch.tensor([0])).item() == -5


def test_cross_entropy_example():
    x = torch.randn(3, 5, requires_grad=True)
    y = torch.tensor([1, 0, 4], dtype=torch.long)
    weight = torch.tensor([1.0, 2.0, 1.0, 1.0, 1.0])
    loss = lossmith.CrossEntropyLoss(weight=weight)(x, y)
    loss.backward()
    surprisal = [
        math.log(sum(math.exp(v) for v in row)) - row[label] for row, label in zip(x.tolist(), [1, 0, 4], strict=True)
    ]
    assert loss.item() == pytest.approx((2 * surprisal[0] + surprisal[1] + surprisal[2]) / 4, rel=1e-5)
    assert x.grad.shape == x.shape


def test_note_6_the_gradient_of_a_row_is_p_minus_y():
    x = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0, 3, 2, 4])
    p_minus_y = x.detach().softmax(1) - torch.eye(5, dtype=torch.float64)[y]
    each = LF.cross_entropy(x, y, reduction="none")
    (of_rows,) = torch.autograd.grad(each.sum(), x)
    torch.testing.assert_close(of_rows, p_minus_y)
    (of_mean,) = torch.autograd.grad(LF.cross_entropy(x, y), x)
    torch.testing.assert_close(of_mean, p_minus_y / 4)


def test_note_6_cross_entropy_is_log_softmax_and_nll_for_labels():
    x, y = torch.randn(4, 5, 2), torch.randint(5, (4, 2))
    y[1, 0] = -100
    weight = torch.rand(5)
    for reduction in ("none", "mean", "sum"):
        composed = LF.nll_loss(x.log_softmax(1), y, weight, reduction=reduction)
        torch.testing.assert_close(LF.cross_entropy(x, y, weight, reduction=reduction), composed)


def test_note_6_shapes_without_a_batch_and_with_soft_targets():
    x = torch.randn(5)
    torch.testing.assert_close(LF.cross_entropy(x, torch.tensor(2)), x.logsumexp(0) - x[2])
    images, soft = torch.randn(2, 5, 3, 4), torch.randn(2, 5, 3, 4).softmax(1)
    entropy = -(soft * images.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(LF.cross_entropy(images, soft), entropy)


def test_cross_entropy_is_stable_where_exp_overflows():
    x = torch.tensor([[1e4, 0.0]])
    assert LF.cross_entropy(x, torch.tensor([1])).item() == 1e4
    assert LF.cross_entropy(x, torch.tensor([0])).item() == 0


def test_bce_with_logits_example():
    logits = torch.randn(3, requires_grad=True)
    targets = torch.empty(3).random_(2)
    loss = lossmith.BCEWithLogitsLoss(pos_weight=torch.tensor([3.0]))(logits, targets)
    loss.backward()
    p = [1 / (1 + math.exp(-x)) for x in logits.tolist()]
    each = [-3 * math.log(q) if y else -math.log(1 - q) for q, y in zip(p, targets.tolist(), strict=True)]
    assert loss.item() == pytest.approx(sum(each) / 3, rel=1e-5)
    assert logits.grad.isfinite().all()


def test_bce_with_logits_is_sigmoid_and_bce():
    x = torch.linspace(-8, 8, 33, dtype=torch.float64, requires_grad=True)
    y = torch.rand(33, dtype=torch.float64)
    fused = LF.binary_cross_entropy_with_logits(x, y)
    composed = LF.binary_cross_entropy(x.sigmoid(), y)
    torch.testing.assert_close(fused, composed)
    torch.testing.assert_close(*(torch.autograd.grad(loss, x)[0] for loss in (fused, composed)))


def test_note_3_bce_is_at_most_100_and_its_gradient_at_most_1e12():
    p = torch.tensor([0.0, 1.0, 1e-30, 1 - 2**-24], requires_grad=True)
    loss = LF.binary_cross_entropy(p, torch.tensor([1.0, 0.0, 1.0, 0.0]), reduction="none")
    assert loss[:2].tolist() == [100, 100]
    assert (loss <= 100).all()
    loss.sum().backward()
    torch.testing.assert_close(p.grad[:3], torch.tensor([-1e12, 1e12, -1e12]))
    assert p.grad.abs().max() <= 1e12


def test_note_3_the_gradient_is_gone_through_a_saturated_sigmoid_and_there_with_logits():
    x = torch.tensor([-120.0], requires_grad=True)  # sigmoid is 0 in float32
    right = torch.ones(1)
    assert torch.autograd.grad(LF.binary_cross_entropy(x.sigmoid(), right), x)[0].item() == 0
    assert torch.autograd.grad(LF.binary_cross_entropy_with_logits(x, right), x)[0].item() == -1


def test_multilabel_soft_margin_is_the_mean_of_bce_with_logits_over_classes():
    x, y = torch.randn(3, 4), torch.tensor([[1.0, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]])
    each = LF.multilabel_soft_margin_loss(x, y, reduction="none")
    torch.testing.assert_close(each, LF.binary_cross_entropy_with_logits(x, y, reduction="none").mean(1))


def test_note_8_soft_margin_averages():
    x, y = torch.tensor([0.5, -2.0, 3.0]), torch.tensor([1, 1, -1])
    each = [math.log1p(math.exp(-b * a)) for a, b in pairs(x, y)]
    assert lossmith.SoftMarginLoss()(x, y).item() == pytest.approx(sum(each) / 3)
    assert lossmith.SoftMarginLoss(reduction="sum")(x, y).item() == pytest.approx(sum(each))


def test_soft_margin_with_0_and_1_is_another_loss():
    x = torch.tensor([-3.0, 3.0])
    signs, bits = torch.tensor([-1.0, -1.0]), torch.tensor([0.0, 0.0])
    torch.testing.assert_close(LF.soft_margin_loss(x, signs), LF.binary_cross_entropy_with_logits(x, bits))
    assert LF.soft_margin_loss(x, bits).item() == pytest.approx(math.log(2))  # whatever the scores


def test_note_8_multilabel_margin_takes_padded_indices_and_divides_by_the_number_of_classes():
    x = torch.tensor([[0.1, 0.2, 0.4, 0.8]])
    y = torch.tensor([[3, 0, -1, 1]])  # the labels 3 and 0; what follows -1 does not count
    others = [0.2, 0.4]
    expected = sum(max(0, 1 - (own - other)) for own in (0.8, 0.1) for other in others) / 4
    assert lossmith.MultiLabelMarginLoss()(x, y).item() == pytest.approx(expected)
    assert expected == pytest.approx(0.85)


def test_note_8_multi_margin_divides_by_the_number_of_classes():
    x = torch.tensor([[0.1, 0.2, 0.4, 0.8]])
    loss = LF.multi_margin_loss(x, torch.tensor([3]))
    assert loss.item() == pytest.approx((0.3 + 0.4 + 0.6) / 4)
    squared = LF.multi_margin_loss(x, torch.tensor([3]), p=2)
    assert squared.item() == pytest.approx((0.3**2 + 0.4**2 + 0.6**2) / 4)


# ----- embedding and ranking -----


def test_margin_ranking_example():
    x1, x2 = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)
    y = torch.tensor([1, -1, 1])
    loss = lossmith.MarginRankingLoss(margin=0.1)(x1, x2, y)
    loss.backward()
    lead = [sign * (a - b) for (a, b), sign in zip(pairs(x1, x2), y.tolist(), strict=True)]
    assert loss.item() == pytest.approx(sum(max(0.0, 0.1 - gap) for gap in lead) / 3, abs=1e-6)
    torch.testing.assert_close(x1.grad, -x2.grad)


def test_cosine_embedding_the_margin_is_of_the_cosine():
    a = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    b = torch.tensor([[1.0, 1.0], [1.0, 1.0], [0.0, 2.0]])
    each = LF.cosine_embedding_loss(a, b, torch.tensor([1, -1, -1]), margin=0.5, reduction="none")
    cosine = 1 / math.sqrt(2)
    torch.testing.assert_close(each, torch.tensor([1 - cosine, cosine - 0.5, 0.0]))


def test_hinge_embedding_explained():
    distance = torch.tensor([0.3, 0.3, 2.0])
    each = LF.hinge_embedding_loss(distance, torch.tensor([1, -1, -1]), margin=1.0, reduction="none")
    torch.testing.assert_close(each, torch.tensor([0.3, 0.7, 0.0]))


def test_triplet_margin():
    a = torch.tensor([[0.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    p = torch.tensor([[3.0, 4.0], [0.0, 1.0]], dtype=torch.float64)
    n = torch.tensor([[6.0, 8.0], [0.0, 1.5]], dtype=torch.float64)
    each = LF.triplet_margin_loss(a, p, n, margin=1.0, reduction="none")
    # an easy triplet costs nothing: the negative is farther than the positive by more than the margin
    torch.testing.assert_close(each, torch.tensor([0.0, 0.5], dtype=torch.float64), rtol=0, atol=1e-5)


def test_note_9_facenets_triplet_loss_is_that_of_squared_distances():
    a, p, n = (torch.nn.functional.normalize(torch.randn(4, 3, dtype=torch.float64), dim=1) for _ in range(3))

    def squared(x, y):
        return (x - y).square().sum(-1)

    facenet = (squared(a, p) - squared(a, n) + 0.2).clamp_min(0).mean()
    ours = LF.triplet_margin_with_distance_loss(a, p, n, distance_function=squared, margin=0.2)
    torch.testing.assert_close(ours, facenet)
    torch.testing.assert_close(LF.triplet_margin_loss(a, p, n, margin=0.2, eps=0.0, squared=True), facenet)
    assert not torch.allclose(LF.triplet_margin_loss(a, p, n, margin=0.2), facenet)


# ----- distributions and sequences -----


def divergence(q: torch.Tensor, log_p: torch.Tensor) -> torch.Tensor:
    """KL(q || p) of each row of the last dimension."""
    return (q * (q.log() - log_p)).sum(-1)


def test_kl_div_example():
    logits = torch.randn(2, 5, requires_grad=True)
    log_p = logits.log_softmax(1)
    q = torch.randn(2, 5).softmax(1)
    loss = lossmith.KLDivLoss(reduction="batchmean")(log_p, q)
    torch.testing.assert_close(loss, divergence(q, log_p).mean())
    # "mean" divides by the number of elements, which is no divergence
    torch.testing.assert_close(lossmith.KLDivLoss()(log_p, q), loss / 5)


def test_note_4_batchmean_is_T_times_too_large_for_sequences():
    log_p, q = torch.randn(2, 3, 5).log_softmax(-1), torch.randn(2, 3, 5).softmax(-1)
    true = divergence(q, log_p).mean()
    torch.testing.assert_close(LF.kl_div(log_p, q, reduction="batchmean"), 3 * true)
    flat = LF.kl_div(log_p.flatten(0, 1), q.flatten(0, 1), reduction="batchmean")
    torch.testing.assert_close(flat, true)
    torch.testing.assert_close(LF.kl_div(log_p, q, reduction="batchmean", normalizer=6), true)


def test_note_4_the_target_may_be_log_probabilities():
    log_p, q = torch.randn(2, 5).log_softmax(1), torch.randn(2, 5).softmax(1)
    with_log = LF.kl_div(log_p, q.log(), reduction="batchmean", log_target=True)
    torch.testing.assert_close(with_log, LF.kl_div(log_p, q, reduction="batchmean"))


def test_note_5_distillation_is_kl_div_and_the_cross_entropy_less_the_entropy():
    student, teacher = torch.randn(4, 5), torch.randn(4, 5).softmax(1)
    distilled = LF.kl_div(student.log_softmax(1), teacher, reduction="batchmean")
    entropy = -(teacher * teacher.log()).sum(1).mean()
    torch.testing.assert_close(distilled, LF.cross_entropy(student, teacher) - entropy)


def ctc_by_enumeration(log_p: torch.Tensor, target: list[int]) -> float:
    """-log of the summed probability of every path of labels that spells the target; the blank is 0."""
    frames, classes = log_p.shape
    total = 0.0
    for path in itertools.product(range(classes), repeat=frames):
        spelt = [label for label, _ in itertools.groupby(path) if label != 0]
        if spelt == target:
            total += math.exp(sum(log_p[t, label].item() for t, label in enumerate(path)))
    return -math.log(total) if total else math.inf


def test_ctc_shapes_are_time_batch_class():
    log_p = torch.randn(4, 3, 3, dtype=torch.float64).log_softmax(-1)
    spelt = [[1, 2], [2], [1, 1]]
    padded = torch.tensor([[1, 2], [2, 0], [1, 1]])
    frames, lengths = torch.tensor([4, 3, 4]), torch.tensor([2, 1, 2])
    each = [ctc_by_enumeration(log_p[: frames[n], n], target) for n, target in enumerate(spelt)]
    for targets in (padded, torch.tensor([1, 2, 2, 1, 1])):
        loss = LF.ctc_loss(log_p, targets, frames, lengths, reduction="none")
        torch.testing.assert_close(loss, torch.tensor(each, dtype=torch.float64))
    mean = lossmith.CTCLoss()(log_p, padded, frames, lengths)
    assert mean.item() == pytest.approx((each[0] / 2 + each[1] / 1 + each[2] / 2) / 3)


def test_note_7_ctc_without_a_batch():
    log_p = torch.randn(4, 3, dtype=torch.float64).log_softmax(-1)
    loss = LF.ctc_loss(log_p, torch.tensor([1, 2]), torch.tensor(4), torch.tensor(2), reduction="sum")
    assert loss.item() == pytest.approx(ctc_by_enumeration(log_p, [1, 2]))


@pytest.mark.parametrize("target", [[1, 2], [1, 1], [1, 1, 1], [1, 2, 2], [2]], ids=str)
def test_note_7_ctc_needs_a_frame_for_each_label_and_for_each_repeat(target):
    repeats = sum(a == b for a, b in itertools.pairwise(target))
    needed = len(target) + repeats
    for frames in (needed - 1, needed, needed + 1):
        if frames == 0:
            continue
        log_p = torch.randn(frames, 1, 3, dtype=torch.float64).log_softmax(-1)
        lengths = torch.tensor([frames]), torch.tensor([len(target)])
        loss = LF.ctc_loss(log_p, torch.tensor([target]), *lengths, reduction="sum")
        assert loss.isfinite() == (frames >= needed)
        kept = LF.ctc_loss(log_p, torch.tensor([target]), *lengths, reduction="sum", zero_infinity=True)
        assert kept.item() == (pytest.approx(loss.item()) if frames >= needed else 0)


def test_poisson_nll_explained():
    x, y = torch.tensor([0.5, -1.0]), torch.tensor([2.0, 0.0])
    each = [math.exp(a) - b * a for a, b in pairs(x, y)]
    assert lossmith.PoissonNLLLoss()(x, y).item() == pytest.approx(sum(each) / 2)
    rates = LF.poisson_nll_loss(x.exp(), y, log_input=False)
    assert rates.item() == pytest.approx(sum(each) / 2, rel=1e-6)


def test_gaussian_nll_explained():
    x, y, var = torch.tensor([1.0, 2.0]), torch.tensor([1.5, 0.0]), torch.tensor([0.5, 2.0])
    each = [0.5 * (math.log(v) + (a - b) ** 2 / v) for (a, b), v in zip(pairs(x, y), var.tolist(), strict=True)]
    assert lossmith.GaussianNLLLoss()(x, y, var).item() == pytest.approx(sum(each) / 2)
    full = lossmith.GaussianNLLLoss(full=True)(x, y, var).item()
    assert full == pytest.approx(sum(each) / 2 + 0.5 * math.log(2 * math.pi))


# ----- the table at the guide's end: shapes -----

TABLE = {
    "MSELoss": [((4, 3), (4, 3)), ((4, 3, 2), (4, 3, 2))],
    "L1Loss": [((4, 3), (4, 3)), ((4,), (4,))],
    "BCEWithLogitsLoss": [((4, 3), (4, 3)), ((4,), (4,))],
    "KLDivLoss": [((4, 3), (4, 3)), ((4, 3, 2), (4, 3, 2))],
    "MarginRankingLoss": [((4,), (4,), (4,))],
    "TripletMarginLoss": [((4, 3), (4, 3), (4, 3))],
}


@pytest.mark.parametrize("name", TABLE)
def test_shapes_of_the_table(name):
    for shapes in TABLE[name]:
        tensors = [torch.rand(shape) for shape in shapes]
        assert getattr(lossmith, name)()(*tensors).shape == ()


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "NLLLoss"])
def test_shapes_of_labels_in_the_table(name):
    for shape in [(4, 3), (4, 3, 2), (4, 3, 2, 2)]:
        labels = torch.randint(3, (shape[0], *shape[2:]))
        assert getattr(lossmith, name)()(torch.randn(shape).log_softmax(1), labels).shape == ()


def test_note_12_losses_that_the_guide_leaves_out():
    assert lossmith.TripletMarginWithDistanceLoss()(*torch.rand(3, 4, 2).unbind()).shape == ()
