"""Softmax rows on a GPU: borders of tiles, rows that are looped over, classes that lie apart, labels out of range."""

import math

import pytest
import torch

import lossmith.functional as LF
from kernels import evaluate, identical, mask_for, ran, random_tensor, reference, same
from lossmith import errors


def labels_for(shape, classes, device):
    return (random_tensor(shape, 1, 0.0, 0.999) * classes).long().to(device)


def agree(loss, arguments, leaves=("input",), **keywords):
    upstream = torch.tensor(0.37)
    with ran("triton"):
        found = evaluate(loss, arguments, leaves, upstream, **keywords)
    with reference():
        same(found, evaluate(loss, arguments, leaves, upstream, **keywords))


@pytest.mark.parametrize("classes", [1, 2, 7, 63, 64, 65, 1023, 1024, 1025])
@pytest.mark.parametrize("rows", [1, 3, 65])
@pytest.mark.filterwarnings("ignore::lossmith.LossWarning")
def test_borders_of_tiles(rows, classes, device):
    x = random_tensor((rows, classes), 0, -3.0, 3.0).to(device)
    agree(LF.cross_entropy, {"input": x, "target": labels_for((rows,), classes, device)})
    q = random_tensor((rows, classes), 2).softmax(1).to(device)
    agree(LF.cross_entropy, {"input": x, "target": q}, ("input", "target"))


@pytest.mark.parametrize("keywords", [{}, {"label_smoothing": 0.1}], ids=str)
def test_rows_that_are_looped_over(keywords, device):
    classes = 40000
    x = random_tensor((2, classes), 0, -3.0, 3.0).to(device)
    x[0, : classes // 2] = -math.inf if not keywords else -1e3  # the first tiles have no greatest score
    x[1] = x[1].sort().values  # every tile has a greater one
    weight = random_tensor((classes,), 3, 0.2, 2.0).to(device)
    arguments = {"input": x, "target": torch.tensor([classes - 1, 0], device=device), "weight": weight}
    agree(LF.cross_entropy, arguments, **keywords)
    q = random_tensor((2, classes), 2).softmax(1).to(device)
    q[0, : classes // 2] = 0
    agree(LF.cross_entropy, {"input": x, "target": q, "weight": weight}, ("input", "target"), **keywords)
    agree(LF.focal_loss, {"input": x, "target": q}, ("input", "target"))


@pytest.mark.parametrize("classes", [3, 21, 2000])
def test_classes_that_lie_apart(classes, device):
    """What is masked is read with its neighbours, and not used."""
    x = random_tensor((2, classes, 5, 7), 0, -3.0, 3.0).to(device)
    mask = mask_for((2, 5, 7)).to(device)
    hidden = torch.where(mask.unsqueeze(1), x, math.nan)
    for of_input in (hidden, hidden.contiguous(memory_format=torch.channels_last), hidden.transpose(2, 3)):
        target = labels_for(of_input[:, 0].shape, classes, device)
        given = mask if of_input.shape[2] == 5 else mask.transpose(1, 2)
        agree(LF.cross_entropy, {"input": of_input, "target": target, "mask": given})
        agree(LF.focal_loss, {"input": of_input, "target": x.softmax(1).reshape(of_input.shape), "mask": given})


@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("loss", [LF.cross_entropy, LF.focal_loss], ids=lambda f: f.__name__)
def test_a_label_out_of_range(loss, reduction, device):
    """Its row is NaN with a gradient of 0; the others are as ever. One that is ignored or masked is no error."""
    x = random_tensor((6, 5), 0).to(device)
    target = torch.tensor([0, 5, -100, 4, 99, 1], device=device)
    mask = torch.tensor([True, True, True, True, False, True], device=device)
    good = torch.where(target == 5, 0, target)
    arguments = {"input": x, "target": target, "mask": mask}
    with ran("triton"):
        value, gradients = evaluate(loss, arguments, ["input"], torch.tensor(1.0), reduction=reduction)
        expected, right = evaluate(
            loss, {**arguments, "target": good}, ["input"], torch.tensor(1.0), reduction=reduction
        )
    kept = torch.tensor([0, 2, 3, 4, 5])
    assert (value[1] if reduction == "none" else value).isnan()
    if reduction == "none":
        identical(value[kept], expected[kept])
    identical(gradients["input"][kept], right["input"][kept])
    assert (gradients["input"][1] == 0).all()
    with pytest.raises(IndexError, match="label 5 in row 1 is out of range: expected 0 to 4 for 5 classes"):
        errors.check_errors()
    errors.check_errors()


def test_a_loss_near_0_keeps_its_relative_accuracy(device):
    x = torch.tensor([[20.0, 0.0, -80.0], [80.0, 0.0, 0.0]], device=device)
    target = torch.zeros(2, dtype=torch.int64, device=device)
    with ran("triton"):
        value, gradients = evaluate(LF.cross_entropy, {"input": x, "target": target}, ["input"], reduction="sum")
        each = LF.cross_entropy(x, target, reduction="none")
    exact = torch.stack([torch.exp(torch.tensor(-20.0).double()), 2 * torch.exp(torch.tensor(-80.0).double())])
    same(each.double().cpu(), torch.log1p(exact), rtol=4e-7, atol=0)
    same(value.double().cpu(), torch.log1p(exact).sum(), rtol=4e-7, atol=0)
    same(gradients["input"][:, 0].double().cpu(), -exact / (1 + exact), rtol=4e-7, atol=0)


@pytest.mark.parametrize("on_empty", ["nan", "zero", "error"])
def test_nothing_counts(on_empty, device):
    x = random_tensor((3, 4), 0).to(device)
    target = torch.full((3,), -100, device=device)
    with ran("triton"):
        value, gradients = evaluate(LF.cross_entropy, {"input": x, "target": target}, ["input"], on_empty=on_empty)
    assert value == 0 if on_empty == "zero" else value.isnan()
    assert (gradients["input"] == 0).all()
    if on_empty == "error":
        with pytest.raises(ValueError, match="cross_entropy: nothing counted"):
            errors.check_errors()
    errors.check_errors()
