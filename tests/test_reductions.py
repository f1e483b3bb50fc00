"""docs/reductions.md, row by row, against plain loops over elements in Python (no torch loss, no lossmith)."""

import itertools
import math

import pytest
import torch

import lossmith.functional as LF

N, C, D = 4, 3, 2
INF = math.inf


def numbers(*shape, low=-2.0, high=2.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.empty(*shape, dtype=torch.float64).uniform_(low, high, generator=generator)


def log_softmax(row):
    top = max(row)
    total = math.log(sum(math.exp(x - top) for x in row)) + top
    return [x - total for x in row]


# ----- one unreduced element each, written out -----


def squared(x, y):
    return (x - y) ** 2


def huber(x, y, delta=1.0):
    e = abs(x - y)
    return e * e / 2 if e <= delta else delta * (e - delta / 2)


def bce_with_logits(x, y, positive=1.0):
    return positive * y * math.log1p(math.exp(-x)) + (1 - y) * math.log1p(math.exp(x))


class Elements:
    """The unreduced loss as a dict from index to (loss, share d, count c, weight w)."""

    def __init__(self, shape, entries):
        self.shape, self.entries = shape, entries

    def reduce(self, reduction, sample_weight=None, mask=None, normalizer=None):
        def at(tensor, index, default):
            return default if tensor is None else tensor.expand(self.shape)[index].item()

        terms = []
        for index, (loss, share, count, weight) in self.entries.items():
            m, s = at(mask, index, True), at(sample_weight, index, 1.0)
            terms.append((s * loss if m and count else 0.0, m * s * share, m * s * count, m * s * weight * count))
        if reduction == "none":
            return torch.tensor([t[0] for t in terms], dtype=torch.float64).reshape(self.shape)
        total = math.fsum(t[0] for t in terms)
        if reduction == "sum":
            return torch.tensor(total, dtype=torch.float64)
        if normalizer == "count":
            divisor = math.fsum(t[2] for t in terms)
        elif normalizer == "weight":
            divisor = math.fsum(t[3] for t in terms)
        elif normalizer is not None:
            divisor = normalizer
        elif reduction == "mean":
            divisor = math.fsum(t[1] for t in terms)
        else:
            divisor = math.fsum(t[2] for t in terms) / math.prod(self.shape[1:])
        return torch.tensor(total / divisor, dtype=torch.float64)


def pointwise(formula, x, y, weight=None, in_mean=False):
    entries = {}
    for index in itertools.product(*map(range, x.shape)):
        w = 1.0 if weight is None else weight.expand(x.shape)[index].item()
        entries[index] = (w * formula(x[index].item(), y[index].item()), w if in_mean else 1.0, 1.0, w)
    return Elements(tuple(x.shape), entries)


def mse_case(weighted):
    x, y = numbers(N, C), numbers(N, C, seed=1)
    weight = numbers(N, C, low=0.1, high=3, seed=2) if weighted else None
    return lambda **k: LF.mse_loss(x, y, weight=weight, **k), pointwise(squared, x, y, weight, in_mean=True)


def huber_case(weighted):
    x, y = numbers(N, C), numbers(N, C, seed=1)
    weight = numbers(N, C, low=0.1, high=3, seed=2) if weighted else None
    return lambda **k: LF.huber_loss(x, y, weight=weight, **k), pointwise(huber, x, y, weight)


def bce_case(weighted):
    x, y = numbers(N, C), numbers(N, C, low=0, high=1, seed=1)
    weight = numbers(N, 1, low=0.1, high=3, seed=2) if weighted else None
    ours = lambda **k: LF.binary_cross_entropy_with_logits(x, y, weight=weight, **k)  # noqa: E731
    return ours, pointwise(bce_with_logits, x, y, weight)


def labels_case(weighted, smoothing=0.0, ignored=True, gather=False):
    x = numbers(N, C, D)
    y = torch.tensor([[0, 1], [2, 2], [1, -100 if ignored else 0], [0, 2]])
    weight = torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64) if weighted else None
    w = [1.0] * C if weight is None else weight.tolist()
    entries = {}
    for n, d in itertools.product(range(N), range(D)):
        label = y[n, d].item()
        if label == -100:
            entries[n, d] = (0.0, 0.0, 0.0, 0.0)
            continue
        row = x[n, :, d].tolist()
        log_p = row if gather else log_softmax(row)
        loss = -(1 - smoothing) * w[label] * log_p[label]
        loss -= smoothing / C * sum(wc * lp for wc, lp in zip(w, log_p, strict=True))
        entries[n, d] = (loss, w[label], 1.0, w[label])
    if gather:
        return lambda **k: LF.nll_loss(x, y, weight, **k), Elements((N, D), entries)
    return lambda **k: LF.cross_entropy(x, y, weight, label_smoothing=smoothing, **k), Elements((N, D), entries)


def probabilities_case(weighted):
    x, q = numbers(N, C, D), numbers(N, C, D, low=0, high=1, seed=1).softmax(1)
    weight = torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64) if weighted else None
    w = [1.0] * C if weight is None else weight.tolist()
    entries = {}
    for n, d in itertools.product(range(N), range(D)):
        log_p, row = log_softmax(x[n, :, d].tolist()), q[n, :, d].tolist()
        loss = -sum(p * wc * lp for p, wc, lp in zip(row, w, log_p, strict=True))
        entries[n, d] = (loss, 1.0, 1.0, sum(p * wc for p, wc in zip(row, w, strict=True)))
    return lambda **k: LF.cross_entropy(x, q, weight, **k), Elements((N, D), entries)


def distillation_case(weighted):
    x, t = numbers(N, C, D), numbers(N, C, D, seed=1)
    y = torch.tensor([[0, 1], [2, 2], [1, -100], [0, 2]])
    weight = torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64) if weighted else None
    w = [1.0] * C if weight is None else weight.tolist()
    entries = {}
    for n, d in itertools.product(range(N), range(D)):
        label = y[n, d].item()
        if label == -100:
            entries[n, d] = (0.0, 0.0, 0.0, 0.0)
            continue
        log_p, log_q = (log_softmax([z / 3 for z in scores[n, :, d].tolist()]) for scores in (x, t))
        divergence = sum(math.exp(b) * (b - a) for a, b in zip(log_p, log_q, strict=True))
        loss = 0.4 * 9 * divergence - 0.6 * w[label] * log_softmax(x[n, :, d].tolist())[label]
        entries[n, d] = (loss, 1.0, 1.0, w[label])
    return lambda **k: LF.distillation_loss(x, t, y, 3.0, 0.4, weight, **k), Elements((N, D), entries)


def multi_margin_case(weighted):
    x, y = numbers(N, C), [0, 2, 1, 1]
    weight = torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64) if weighted else None
    entries = {}
    for n in range(N):
        row, w = x[n].tolist(), 1.0 if weight is None else weight[y[n]].item()
        loss = w * sum(max(0.0, 1 - row[y[n]] + row[c]) for c in range(C) if c != y[n]) / C
        entries[(n,)] = (loss, 1.0, 1.0, w)
    return lambda **k: LF.multi_margin_loss(x, torch.tensor(y), weight=weight, **k), Elements((N,), entries)


def soft_multilabel_case(weighted):
    x, y = numbers(N, C), numbers(N, C, low=0, high=1, seed=1).round()
    weight = torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64) if weighted else None
    w = [1.0] * C if weight is None else weight.tolist()
    entries = {
        (n,): (sum(w[c] * bce_with_logits(x[n, c].item(), y[n, c].item()) for c in range(C)) / C, 1.0, 1.0, 1.0)
        for n in range(N)
    }
    return lambda **k: LF.multilabel_soft_margin_loss(x, y, weight=weight, **k), Elements((N,), entries)


def cosine_case(_):
    a, b, y = numbers(N, C), numbers(N, C, seed=1), torch.tensor([1, -1, -1, 1])
    entries = {}
    for n in range(N):
        u, v = a[n].tolist(), b[n].tolist()
        cos = sum(p * q for p, q in zip(u, v, strict=True)) / math.sqrt(
            (sum(p * p for p in u) + 1e-12) * (sum(q * q for q in v) + 1e-12)
        )
        entries[(n,)] = (1 - cos if y[n] == 1 else max(0.0, cos - 0.2), 1.0, 1.0, 1.0)
    return lambda **k: LF.cosine_embedding_loss(a, b, y, margin=0.2, **k), Elements((N,), entries)


def class_vectors_case(_):
    x, w, y = numbers(N, D), numbers(C, D, seed=1), [0, 2, 1, 1]
    entries = {}
    for n in range(N):
        row = x[n].tolist()
        cosines = [
            sum(map(math.prod, zip(row, v, strict=True))) / math.hypot(*row) / math.hypot(*v) for v in w.tolist()
        ]
        logits = [3 * (c - 0.2 * (k == y[n])) for k, c in enumerate(cosines)]
        entries[(n,)] = (-log_softmax(logits)[y[n]], 1.0, 1.0, 1.0)
    return lambda **k: LF.cosface_loss(x, w, torch.tensor(y), scale=3.0, margin=0.2, **k), Elements((N,), entries)


CASES = {
    "mse_loss": mse_case,
    "huber_loss": huber_case,
    "binary_cross_entropy_with_logits": bce_case,
    "cross_entropy, labels": labels_case,
    "cross_entropy, labels, none ignored": lambda weighted: labels_case(weighted, ignored=False),
    "cross_entropy, smoothed": lambda weighted: labels_case(weighted, smoothing=0.2),
    "nll_loss": lambda weighted: labels_case(weighted, gather=True),
    "cross_entropy, probabilities": probabilities_case,
    "distillation_loss": distillation_case,
    "multi_margin_loss": multi_margin_case,
    "multilabel_soft_margin_loss": soft_multilabel_case,
    "cosine_embedding_loss": cosine_case,
    "cosface_loss": class_vectors_case,
}


def sample_weights(shape):
    yield None
    yield numbers(*shape, low=0.1, high=2, seed=5)
    yield numbers(shape[0], *[1] * (len(shape) - 1), low=0.1, high=2, seed=6)


def masks(shape):
    yield None
    yield numbers(*shape, seed=7) > -1
    yield (torch.arange(shape[0]) != 1).reshape(-1, *[1] * (len(shape) - 1))


def agree(ours, elements, given):
    torch.testing.assert_close(ours(**given), elements.reduce(**given), msg=lambda error: f"{given}: {error}")


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("case", CASES)
def test_against_plain_loops(case, weighted):
    ours, elements = CASES[case](weighted)
    for s, m in itertools.product(sample_weights(elements.shape), masks(elements.shape)):
        for reduction in ("none", "sum", "mean", "batchmean"):
            given = {"reduction": reduction, "sample_weight": s, "mask": m}
            agree(ours, elements, given)
        for normalizer in (7, 0.5, "count", "weight"):
            for reduction in ("mean", "batchmean"):
                given = {"reduction": reduction, "sample_weight": s, "mask": m, "normalizer": normalizer}
                agree(ours, elements, given)
        given = {"sample_weight": s, "mask": m}
        as_tensor = ours(normalizer=torch.tensor([3.0]), **given)
        torch.testing.assert_close(as_tensor, elements.reduce("mean", normalizer=3.0, **given))


def test_ctc_divides_each_sample_by_its_target_length_first():
    log_probs = numbers(6, 3, 4).log_softmax(-1)
    targets, lengths = torch.tensor([[1, 2, 3], [2, 2, 0], [1, 0, 0]]), torch.tensor([3, 2, 0])
    frames = torch.tensor([6, 5, 4])
    each = LF.ctc_loss(log_probs, targets, frames, lengths, reduction="none")
    s = torch.tensor([0.5, 2.0, 3.0], dtype=torch.float64)
    terms = each / lengths.clamp(min=1)
    call = lambda **k: LF.ctc_loss(log_probs, targets, frames, lengths, **k)  # noqa: E731
    torch.testing.assert_close(call(), terms.sum() / 3)
    torch.testing.assert_close(call(sample_weight=s), (s * terms).sum() / s.sum())
    torch.testing.assert_close(call(normalizer=7), terms.sum() / 7)
    torch.testing.assert_close(call(reduction="sum"), each.sum())
    torch.testing.assert_close(call(reduction="batchmean"), each.sum() / 3)


def test_kl_div_batchmean_divides_by_the_inputs_first_size():
    x, t = numbers(2).log_softmax(0), numbers(5, 2, low=0, high=1)
    total = LF.kl_div(x, t, reduction="sum")
    torch.testing.assert_close(LF.kl_div(x, t, reduction="batchmean"), total / 2)


@pytest.mark.parametrize("reduction", ["none", "sum"])
def test_a_normalizer_without_a_mean_is_refused(reduction):
    with pytest.raises(ValueError, match=r"normalizer replaces the denominator of a mean.*write reduction='mean'"):
        LF.mse_loss(numbers(3), numbers(3), reduction=reduction, normalizer=3)


@pytest.mark.parametrize("bad", [-1, INF, math.nan, True, "sum", torch.ones(2)], ids=repr)
def test_a_normalizer_that_is_none_is_refused(bad):
    with pytest.raises(ValueError, match="normalizer is"):
        LF.mse_loss(numbers(3), numbers(3), normalizer=bad)


@pytest.mark.parametrize("empty", ["masked", "ignored", "weights of 0", "no elements", "normalizer of 0"])
def test_on_empty(empty):
    x = numbers(2, 3).requires_grad_()
    target, given = torch.tensor([0, 1]), {}
    if empty == "masked":
        given = {"mask": torch.tensor([False, False])}
    elif empty == "ignored":
        target = torch.tensor([-100, -100])
    elif empty == "weights of 0":
        given = {"sample_weight": torch.zeros(2)}
    elif empty == "no elements":
        x, target = numbers(0, 3).requires_grad_(), target[:0]
    else:
        given = {"normalizer": 0.0}
    as_torch = LF.cross_entropy(x, target, **given)
    assert as_torch.isinf() if empty == "normalizer of 0" else as_torch.isnan()
    zero = LF.cross_entropy(x, target, on_empty="zero", **given)
    assert zero.item() == 0
    (gradient,) = torch.autograd.grad(zero, x)
    assert torch.equal(gradient, torch.zeros_like(x))
    with pytest.raises(ValueError, match=r"nothing counts towards the mean.*on_empty='zero'"):
        LF.cross_entropy(x, target, on_empty="error", **given)


def test_masked_nan_and_infinity_never_enter():
    x = torch.tensor([1.0, math.nan, INF, 2.0], requires_grad=True)
    s = torch.tensor([1.0, math.nan, INF, 3.0], requires_grad=True)
    mask = torch.tensor([True, False, False, True])
    loss = LF.mse_loss(x, torch.tensor([0.0, math.nan, 0.0, 0.0]), mask=mask, sample_weight=s)
    torch.testing.assert_close(loss, torch.tensor((1.0 + 3 * 4.0) / 4))
    loss.backward()
    torch.testing.assert_close(x.grad, torch.tensor([0.5, 0.0, 0.0, 3.0]))
    torch.testing.assert_close(s.grad, torch.tensor([(1 - 3.25) / 4, 0.0, 0.0, (4 - 3.25) / 4]))


@pytest.mark.parametrize("name", ["sample_weight", "mask"])
def test_a_weight_or_mask_that_would_enlarge_the_loss_is_refused(name):
    given = torch.ones(4, 3, dtype=torch.bool if name == "mask" else torch.float32)
    with pytest.raises(ValueError, match=rf"{name} is \(4, 3\).*unreduced loss \(3,\)"):
        LF.mse_loss(torch.zeros(3), torch.zeros(3), **{name: given})


def test_a_mask_that_is_not_bool_is_refused():
    with pytest.raises(TypeError, match=r"mask is \(3,\) int64, expected bool.*mask\.bool\(\)"):
        LF.mse_loss(torch.zeros(3), torch.zeros(3), mask=torch.tensor([1, 0, 1]))
