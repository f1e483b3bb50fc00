"""Regions of pixels by Triton's kernels: any number of classes and pixels, what is left out, what is out of range."""

import math

import pytest
import torch

import lossmith
import lossmith.functional as LF
from kernels import evaluate, ran, random_tensor, reference, same

each_activation = pytest.mark.parametrize("activation", ["softmax", "sigmoid", None], ids=str)


def scores(shape, device, activation="softmax", dtype=torch.float32):
    low, high = (0.05, 0.95) if activation is None else (-3.0, 3.0)
    return random_tensor(shape, 0, low, high, dtype).to(device)


def labels(shape, classes, device):
    return (random_tensor(shape, 1, 0.0, 0.999) * classes).long().to(device)


def agree(loss, arguments, leaves=("input",), upstream=None, **keywords):
    with ran("triton"):
        found = evaluate(loss, arguments, leaves, upstream, **keywords)
    with reference():
        same(found, evaluate(loss, arguments, leaves, upstream, **keywords))


@each_activation
@pytest.mark.parametrize("classes", [2, 7, 64, 65, 129, 200])
def test_any_number_of_classes_anywhere(classes, activation, device):
    for shape, dim in (((2, classes, 3, 5), 1), ((2, 3, 5, classes), -1)):
        pixels = [size for d, size in enumerate(shape) if d != dim % 4]
        x = scores(shape, device, activation)
        kept = random_tensor(shape, 3).to(device) > -0.5
        weight = random_tensor((classes,), 5, 0.2, 2.0, torch.float32).to(device)
        keywords = {"dim": dim, "activation": activation}
        for batch in (False, True):
            agree(
                LF.dice_loss, {"input": x, "target": labels(pixels, classes, device)}, element_mask=kept, batch=batch,
                include_background=False, weight=weight, **keywords,
            )  # fmt: skip
        soft = {"input": x, "target": random_tensor(shape, 1, 0.0, 1.0, torch.float32).to(device)}
        agree(LF.dice_loss, soft, ("input", "target"), squared=True, smooth=(0.1, 0.3), **keywords)


@pytest.mark.parametrize("pixels", [1, 16, 255, 256, 257, 3000])
def test_any_number_of_pixels(pixels, device):
    given = {"input": scores((2, 3, pixels), device), "target": labels((2, pixels), 3, device)}
    agree(LF.tversky_loss, given, alpha=0.2, beta=0.9, gamma=0.75, ignore_index=1)


@pytest.mark.parametrize("reduction", ["none", "mean", "batchmean"])
def test_any_number_of_regions(reduction, device):
    given = {"input": scores((700, 3), device), "target": labels((700,), 3, device)}
    upstream = random_tensor((700, 3), 2, dtype=torch.float32).to(device) if reduction == "none" else None
    agree(LF.dice_loss, given, upstream=upstream, reduction=reduction)


@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 4), (2, 3, 0)], ids=str)
@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "batchmean"])
def test_no_pixels(shape, reduction, device):
    given = {"input": torch.zeros(shape, device=device), "target": labels((shape[0], *shape[2:]), 3, device)}
    for batch in (False, True):
        agree(LF.dice_loss, given, upstream=torch.ones((), device=device), reduction=reduction, batch=batch)


@pytest.mark.parametrize("rule", ["nan", "zero"])
def test_nothing_counts(rule, device):
    given = {"input": scores((3, 4, 6), device), "target": labels((3, 6), 4, device)}
    for keywords in (
        {"mask": torch.zeros(3, 4, dtype=torch.bool, device=device)},
        {"sample_weight": torch.zeros(3, 4, device=device)},
        {"normalizer": 0.0},
        {"ignore_index": 0, "include_background": False, "mask": torch.zeros(4, dtype=torch.bool, device=device)},
    ):
        agree(LF.dice_loss, given, on_empty=rule, **keywords)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_scores_that_are_not_finite(activation, device):
    x = scores((4, 4, 6), device)
    x[0, 1, 2], x[1, 0, 0], x[2, 1, 1] = math.nan, math.inf, -math.inf
    x[3, :, 0] = -math.inf
    given = {"input": x, "target": labels((4, 6), 4, device)}
    agree(LF.dice_loss, given, upstream=torch.ones(4, 4, device=device), activation=activation, reduction="none")


@pytest.mark.parametrize("batch", [False, True])
def test_a_label_out_of_range_is_noted(batch, device):
    target = labels((3, 6), 4, device)
    target[1, 2] = 9
    regions = (4,) if batch else (3, 4)
    with ran("triton"):
        loss, gradients = evaluate(
            LF.dice_loss, {"input": scores((3, 4, 6), device), "target": target}, ["input"],
            torch.ones(regions, device=device), batch=batch, reduction="none",
        )  # fmt: skip
    spoiled = [True] * 3 if batch else [False, True, False]
    assert loss.isnan().expand(3, 4).tolist() == [[one] * 4 for one in spoiled]
    moved = gradients["input"].abs().sum((1, 2))
    assert moved.isfinite().all() and (moved == 0).tolist() == spoiled
    with pytest.raises(IndexError, match="dice_loss: label 9 in row 8 is out of range"):
        lossmith.check_errors()


@pytest.mark.parametrize("name", ["input", "target"])
def test_a_number_beyond_0_and_1_is_noted(name, device):
    given = {"input": scores((2, 3, 4), device, None), "target": random_tensor((2, 3, 4), 1, 0.0, 1.0).float()}
    given["target"] = given["target"].to(device)
    given[name][1, 2, 3] = 1.5
    with ran("triton"):
        loss, gradients = evaluate(
            LF.dice_loss, given, ["input", "target"], torch.ones(2, 3, device=device), activation=None, reduction="none"
        )
    assert loss.isnan().tolist() == [[False] * 3, [False, False, True]]
    for gradient in gradients.values():
        assert (gradient.abs().sum(2) == 0).tolist() == loss.isnan().tolist()
    with pytest.raises(RuntimeError, match=f"dice_loss: element 7 of operand {0 if name == 'input' else 1}"):
        lossmith.check_errors()
