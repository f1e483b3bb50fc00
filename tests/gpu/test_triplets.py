"""Triton's kernels of mined triplets: any number of tiles and blocks, exact distances, counts, what is not finite."""

from typing import Any

import pytest
import torch
from torch import Tensor

import lossmith
import lossmith.functional as LF
from kernels import evaluate, ran, random_tensor, reference, same
from lossmith import mining

pytest.importorskip("triton")

MINERS = ("batch_all", "batch_hard", "semi_hard", "distance_weighted")
each_miner = pytest.mark.parametrize("miner", MINERS)


def batch(rows: int, classes: int, device: str, width: int = 3) -> dict[str, Any]:
    return {
        "input": random_tensor((rows, width), rows).to(device),
        "target": (torch.arange(rows, device=device) * 7 // 2) % classes,
    }


def compare(arguments: dict[str, Any], *args: Any, **keywords: Any) -> None:
    def loss(**arguments: Any) -> Tensor:
        torch.manual_seed(3)  # distance-weighted draws
        return LF.mined_triplet_margin_loss(**arguments, **keywords)

    with ran("triton"):
        found = evaluate(loss, arguments, ("input",), torch.tensor(0.37))
    with reference():
        same(found, evaluate(loss, arguments, ("input",), torch.tensor(0.37)))


@each_miner
def test_any_number_of_tiles(miner, device, monkeypatch):
    from lossmith.loops.triplets import triton as kernels

    arguments = batch(13, 3, device)
    mask = torch.arange(13, device=device) % 5 != 1
    for height in (1, 5):
        monkeypatch.setattr(kernels, "TILE", 8 * 13 * height)
        for keywords in ({"mask": mask, "average": "active"}, {"reduction": "none", "margin": 0.5}):
            compare(arguments, miner=miner, normalize=True, **keywords)


@pytest.mark.parametrize(("rows", "classes"), [(2, 2), (15, 2), (16, 2), (17, 8), (33, 3)])
@each_miner
def test_any_number_of_samples(miner, rows, classes, device, monkeypatch):
    """In blocks of 16, and of 4 positives."""
    from lossmith.loops.triplets import triton as kernels

    monkeypatch.setattr(kernels, "PAIRED", {"PAIRS": 4, "BLOCK": 16})
    compare(batch(rows, classes, device), miner=miner, normalize=True, margin=0.4)


@pytest.mark.parametrize("width", [1, 31, 33, 257])
def test_any_width(width, device):
    for normalize in (False, True):
        compare(batch(6, 2, device, width), miner="batch_all", normalize=normalize)


@pytest.mark.parametrize("miner", ["batch_hard", "semi_hard", "distance_weighted"])
def test_a_soft_margin(miner, device):
    for squared in (False, True):
        compare(batch(12, 3, device), miner=miner, margin="soft", normalize=True, squared=squared)


@each_miner
def test_statistics(miner, device):
    arguments = {**batch(12, 3, device), "miner": miner, "normalize": True, "margin": 0.3}
    mask = torch.arange(12, device=device) % 5 != 1
    torch.manual_seed(3)
    with ran("triton"):
        found = mining.statistics(**arguments, mask=mask)
    torch.manual_seed(3)
    with reference():
        same([*found], [*mining.statistics(**arguments, mask=mask)])


def test_indices_are_torchs_business(device):
    """How many there are the host must know."""
    with pytest.raises(RuntimeError, match="how many indices there are"):
        mining.semi_hard(**{"embeddings": batch(5, 2, device)["input"], "labels": batch(5, 2, device)["target"]})


def test_distances_of_near_vectors_are_exact(device):
    """Their squares are those of the differences, where products of vectors would cancel."""
    steps = torch.tensor([0.0, 1.0, 1.25, 3.0], device=device)
    arguments = {"input": 512 + steps[:, None] / 4096, "target": torch.tensor([0, 0, 1, 1], device=device)}
    found = LF.mined_triplet_margin_loss(**arguments, miner="batch_all", margin=1 / 4096, reduction="none")
    assert found.tolist() == [0.75 / 4096, 1.75 / 4096, 4.0 / 4096, 0.75 / 4096]


@pytest.mark.parametrize("size", [1e200, 1e-200])
def test_squares_of_float64_may_be_out_of_its_range(size, device):
    for miner in ("batch_all", "semi_hard"):
        arguments = batch(8, 2, device)
        compare({**arguments, "input": arguments["input"] * size}, miner=miner, margin=size)
        compare({**arguments, "input": arguments["input"] * size}, miner=miner, normalize=True)


@pytest.mark.parametrize("number", [float("inf"), float("nan")])
@each_miner
def test_what_is_not_finite_spoils_the_batch_unless_it_is_masked(miner, number, device):
    arguments = batch(8, 2, device)
    arguments["input"][3, 1] = number
    mask = torch.arange(8, device=device) != 3
    for normalize in (False, True):
        compare(arguments, miner=miner, normalize=normalize)
        compare(arguments, miner=miner, normalize=normalize, mask=mask)


@each_miner
def test_a_mean_of_nothing(miner, device):
    arguments = batch(4, 1, device)
    points = arguments["input"].requires_grad_()
    with ran("triton"):
        zero, nan, error = (
            LF.mined_triplet_margin_loss(**arguments, miner=miner, on_empty=rule) for rule in ("zero", "nan", "error")
        )
        gradients = [*torch.autograd.grad(zero, points), *torch.autograd.grad(nan, points)]
    assert zero == 0 and nan.isnan() and error.isnan() and all((g == 0).all() for g in gradients)
    with pytest.raises(ValueError, match="nothing counted"):
        lossmith.check_errors()
