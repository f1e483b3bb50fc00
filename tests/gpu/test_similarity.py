"""Triton's kernels of similarities: any number of tiles and blocks, numbers on the device, one pass forward."""

from collections import Counter
from typing import Any

import pytest
import torch

import lossmith
import lossmith.functional as LF
from kernels import KERNEL_CASES, evaluate, leaves_of, mask_for, ran, random_tensor, reference, same
from lossmith.loops.similarity import tiled

pytest.importorskip("triton")

SIMILARITIES = ("arcface_loss", "cosface_loss", "info_nce_loss", "siglip_loss", "supcon_loss")
each_case = pytest.mark.parametrize("case", [case for case in KERNEL_CASES if case.loss in SIMILARITIES], ids=str)


def compare(function: Any, arguments: dict[str, Any], leaves: tuple[str, ...], **keywords: Any) -> None:
    with ran("triton"):
        found = evaluate(function, arguments, leaves, torch.tensor(0.37), **keywords)
    with reference():
        same(found, evaluate(function, arguments, leaves, torch.tensor(0.37), **keywords))


@pytest.mark.parametrize("height", [1, 7])
@each_case
def test_any_number_of_tiles(case, height, device, monkeypatch):
    monkeypatch.setattr(tiled, "rows_of_tile", lambda columns, itemsize: height)
    arguments = case(9, device=device)
    mask = mask_for(case.shape(arguments)).to(device)
    for keywords in ({"reduction": "mean", "mask": mask}, {"reduction": "none"}):
        compare(case.function, arguments, leaves_of(case), **keywords)


@pytest.mark.parametrize("columns", [1, 7, 8, 9, 17, 1025])
def test_any_number_of_columns(columns, device, monkeypatch):
    """In blocks of 8, or as they are."""
    from lossmith.loops.similarity import triton as kernels

    if columns < 100:
        blocks = {"ROWS": 2, "BLOCK": 8, "num_warps": 1}
        monkeypatch.setattr(kernels, "blocks_of", lambda columns, wide=False: blocks)
    of = [random_tensor((n, 4), i).float().to(device) for i, n in enumerate((3, 3, columns))]
    labels = torch.arange(3, device=device) % 2
    classes = {"input": of[0], "linear_weight": of[2], "target": labels % columns}
    compare(LF.arcface_loss, classes, ("input", "linear_weight"))
    pairs = {"input": of[0], "keys": of[1], "negatives": of[2], "labels": labels}
    for pairing in ("one-way", "symmetric"):
        compare(LF.info_nce_loss, pairs, ("input", "keys", "negatives"), pairing=pairing)
    compare(LF.siglip_loss, pairs, ("input", "keys", "negatives"))
    if columns < 100:
        several = torch.arange(columns, device=device) // 6
        for kind in ("in", "out"):
            compare(LF.supcon_loss, {"input": of[2], "target": several}, ("input",), kind=kind)
        compare(LF.info_nce_loss, {"input": of[2], "labels": several}, ("input",))


@pytest.mark.parametrize("shape", [(), (1,)])
def test_numbers_that_are_learned(shape, device):
    """The gradient of a temperature, a scale or a bias is made with those of the vectors, or alone."""
    x, y = (random_tensor((5, 3), i).to(device) for i in range(2))
    temperature = torch.full(shape, 0.3, dtype=torch.float64, device=device)
    bias = torch.full(shape, -1.0, dtype=torch.float64, device=device)
    labels = torch.tensor([0, 1, 0, 2, 1], device=device)
    for leaves in (("input", "temperature"), ("temperature",)):
        for pairing in ("one-way", "symmetric", "views"):
            batch = {"input": x, "keys": y, "temperature": temperature}
            compare(LF.info_nce_loss, batch, leaves, pairing=pairing)
        for reduction in ("mean", "none"):
            compare(
                LF.supcon_loss, {"input": x, "target": labels, "temperature": temperature}, leaves, reduction=reduction
            )
    for leaves in (("input", "keys", "scale", "bias"), ("scale",), ("bias",)):
        compare(LF.siglip_loss, {"input": x, "keys": y, "scale": 1 / temperature, "bias": bias}, leaves)


@each_case
def test_a_reduced_loss_makes_its_gradients_in_the_one_pass_forward(case, device, monkeypatch):
    """Three products a tile; four where columns' sums are known after the last row; and a number to multiply with."""
    products: Counter[str] = Counter()
    mm, addmm = torch.mm, torch.Tensor.addmm_
    monkeypatch.setattr(torch, "mm", lambda *args, **kwargs: (products.update(["mm"]), mm(*args, **kwargs))[1])
    monkeypatch.setattr(
        torch.Tensor, "addmm_", lambda *args, **kwargs: (products.update(["addmm"]), addmm(*args, **kwargs))[1]
    )
    arguments = case(4, device=device)
    points = {name: arguments[name].requires_grad_() for name in leaves_of(case)}
    with ran("triton"):
        loss = case.function(**{**arguments, **points})
        assert products == {"mm": 1 + (arguments.get("pairing") == "symmetric"), "addmm": 2}
        torch.autograd.grad(loss, [*points.values()], torch.full_like(loss, 0.37))
    assert products.total() == 3 + (arguments.get("pairing") == "symmetric")


def test_an_infinite_loss_scale_leaves_what_is_masked(device):
    x, y = (random_tensor((4, 3), i).to(device).requires_grad_() for i in range(2))
    mask = torch.tensor([True, False, True, True], device=device)
    loss = LF.info_nce_loss(x, y, mask=mask, normalize=False)
    for gradient in torch.autograd.grad(loss, [x, y], torch.full_like(loss, float("inf"))):
        assert (gradient[1] == 0).all() and gradient[mask].isinf().any()


def test_a_mean_of_nothing(device):
    x = random_tensor((3, 2), 0).to(device).requires_grad_()
    labels = torch.arange(3, device=device)  # so that nobody has a positive
    for call in (
        lambda rule: LF.supcon_loss(x, labels, on_empty=rule),
        lambda rule: LF.info_nce_loss(x, labels=labels, on_empty=rule),
        lambda rule: LF.siglip_loss(x, x.detach(), mask=labels < 0, on_empty=rule),
        lambda rule: LF.info_nce_loss(x, x.detach(), mask=labels < 0, on_empty=rule, pairing="symmetric"),
    ):
        with ran("triton"):
            zero, nan, error = (call(rule) for rule in ("zero", "nan", "error"))
            (gradient,) = torch.autograd.grad(zero, x)
        assert zero == 0 and (gradient == 0).all() and nan.isnan() and error.isnan()
        with pytest.raises(ValueError, match="nothing counted"):
            lossmith.check_errors()
