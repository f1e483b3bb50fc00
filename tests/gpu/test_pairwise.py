"""Pairs and triplets of vectors by Triton's kernel: rows of any width, all norms, numbers of any size, wrong labels."""

import math

import pytest
import torch

import lossmith
import lossmith.functional as LF
from kernels import evaluate, ran, random_tensor, reference, same

PAIR, TRIPLET = ("input1", "input2"), ("anchor", "positive", "negative")
BORDERS = (2, 7, 64, 65, 1023, 1024, 1025, 2048, 2049, 3001)
"""Widths around those that are in registers, and around what is taken at a time of wider ones."""
NORMS = (1.0, 2.0, 1.5, 3.0, math.inf)
each_wide = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def vectors(names, shape, dtype, device, size=1.0):
    return {n: (random_tensor(shape, i, -2.0, 2.0, dtype) * size).to(device) for i, n in enumerate(names)}


def agree(loss, arguments, leaves, upstream=None, **keywords):
    with ran("triton"):
        found = evaluate(loss, arguments, leaves, upstream, **keywords)
    with reference():
        same(found, evaluate(loss, arguments, leaves, upstream, **keywords))


@each_wide
@pytest.mark.parametrize("width", BORDERS)
def test_rows_of_any_width(width, dtype, device):
    pairs = {**vectors(PAIR, (3, width), dtype, device), "target": torch.tensor([1, -1, 1], device=device)}
    agree(LF.cosine_embedding_loss, pairs, PAIR, margin=-0.3)
    agree(LF.contrastive_loss, pairs, PAIR, margin=2.0, normalize=True)
    triplets = vectors(TRIPLET, (3, width), dtype, device)
    agree(LF.triplet_margin_loss, triplets, TRIPLET, margin=50.0, swap=True)
    agree(LF.triplet_margin_loss, triplets, TRIPLET, margin=50.0, swap=True, normalize=True)
    for p in (1.0, 3.0, math.inf):
        # the difference of two long distances would show how the reference rounds their sums
        agree(LF.contrastive_loss, {**pairs, "target": pairs["target"].abs()}, PAIR, p=p, squared=False)


@each_wide
@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("squared", [False, True])
def test_norms_where_vectors_are_equal_or_not_finite(p, squared, dtype, device):
    triplets = vectors(TRIPLET, (5, 6), dtype, device)
    anchor, positive, negative = triplets.values()
    anchor[0] = positive[0]
    anchor[1] = positive[1] = negative[1]
    anchor[2, 0], anchor[3, 1] = math.inf, math.nan
    one = torch.ones(5, dtype=dtype, device=device)
    keywords = {"p": p, "squared": squared, "reduction": "none", "eps": 0.0, "margin": 5.0}
    for swap in (False, True):
        agree(LF.triplet_margin_loss, triplets, TRIPLET, one, swap=swap, **keywords)
    pairs = {"input1": anchor, "input2": positive, "target": torch.tensor([1, -1, 1, 1, -1], device=device)}
    agree(LF.contrastive_loss, pairs, PAIR, one, **keywords)


@each_wide
@pytest.mark.parametrize("size", [1e-30, 1e30, 1e-200, 1e200])
def test_squares_neither_overflow_nor_vanish(size, dtype, device):
    if dtype == torch.float32:
        size = size if 1e-40 < size < 1e40 else math.sqrt(math.sqrt(size * 1e-80 if size > 1 else size * 1e80))
    pairs = {**vectors(PAIR, (3, 6), dtype, device, size), "target": torch.tensor([1, -1, 1], device=device)}
    pairs["input1"][0] = 0
    agree(LF.cosine_embedding_loss, pairs, PAIR)
    triplets = vectors(TRIPLET, (3, 6), dtype, device, size)
    for p in NORMS:
        agree(LF.triplet_margin_loss, triplets, TRIPLET, p=p, swap=True, margin=size, eps=0.0)


@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_vectors_of_any_layout(reduction, device):
    triplets = {
        "anchor": random_tensor((4, 5, 3, 6), 0).to(device),
        "positive": random_tensor((1, 5, 3, 6), 1).to(device),
        "negative": random_tensor((6, 3, 5), 2).to(device).permute(2, 1, 0).unsqueeze(0),
    }
    upstream = random_tensor((4, 5, 3), 4).to(device) if reduction == "none" else None
    agree(LF.triplet_margin_loss, triplets, TRIPLET, upstream, swap=True, reduction=reduction)
    turned = {n: t.t() for n, t in vectors(TRIPLET, (6, 7), torch.float32, device).items()}
    agree(LF.triplet_margin_loss, turned, TRIPLET, None, reduction="sum")


def test_more_rows_than_programs_at_once(device):
    rows = 1200
    mask = random_tensor((rows,), 5).to(device) > -0.5
    agree(LF.triplet_margin_loss, vectors(TRIPLET, (rows, 3), torch.float32, device), TRIPLET, mask=mask)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_no_rows(reduction, device):
    triplets = vectors(TRIPLET, (0, 5), torch.float32, device)
    agree(LF.triplet_margin_loss, triplets, TRIPLET, torch.ones((), device=device), reduction=reduction)


@pytest.mark.parametrize("rule", ["nan", "zero"])
def test_nothing_counts(rule, device):
    pairs = {**vectors(PAIR, (3, 5), torch.float32, device), "target": torch.ones(3, device=device)}
    mask = torch.zeros(3, dtype=torch.bool, device=device)
    agree(LF.contrastive_loss, pairs, PAIR, mask=mask, on_empty=rule)


def test_a_target_that_labels_do_not_name_is_noted(device):
    pairs = vectors(PAIR, (4, 3), torch.float32, device)
    target = torch.tensor([1, 5, -1, 1], device=device)
    with ran("triton"):
        loss, gradients = evaluate(
            LF.contrastive_loss, {**pairs, "target": target}, PAIR, torch.ones(4, device=device), reduction="none"
        )
    assert loss.isnan().tolist() == [False, True, False, False]
    for gradient in gradients.values():
        assert not gradient[1].any() and gradient[0].any()
    with pytest.raises(RuntimeError, match="contrastive_loss: element 1 of operand 2"):
        lossmith.check_errors()
    mask = target != 5
    agree(LF.contrastive_loss, {**pairs, "target": target}, PAIR, mask=mask)
    lossmith.check_errors()
