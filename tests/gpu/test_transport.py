"""Triton's kernels of distributions on a line: any number of blocks and of pairs at once, ties, what is not finite."""

import math
from typing import Any

import pytest
import torch

import lossmith
import lossmith.functional as LF
from kernels import evaluate, ran, random_tensor, reference, same

pytest.importorskip("triton")

each_power = pytest.mark.parametrize("p", [1, 2, 1.5])


def agrees(arguments: dict[str, Any], *leaves: str, device: str, **keywords: Any) -> None:
    arguments = {name: value.to(device) for name, value in arguments.items()}
    upstream = torch.tensor(0.37)
    with ran("triton"):
        found = evaluate(LF.wasserstein_loss, arguments, leaves, upstream, **keywords)
    with reference():
        same(found, evaluate(LF.wasserstein_loss, arguments, leaves, upstream, **keywords))


def samples(n: int, m: int, rows: int = 3) -> dict[str, Any]:
    return {"input": random_tensor((rows, n), 0), "target": random_tensor((rows, m), 1)}


def masses(n: int, m: int, rows: int = 3) -> dict[str, Any]:
    """Some of them 0."""
    found = {"input_weight": random_tensor((rows, n), 2, 0.1), "target_weight": random_tensor((rows, m), 3, 0.1)}
    for weight in found.values():
        weight[:, 1::3] = 0
    return found


@each_power
@pytest.mark.parametrize(("n", "m"), [(2, 40), (15, 33), (16, 16), (17, 31), (64, 3)])
def test_points_in_several_blocks(n, m, p, device, monkeypatch):
    from lossmith.loops.transport import triton as kernels

    monkeypatch.setattr(kernels, "MOST_AT_ONCE", 16)
    agrees(samples(n, m), "input", "target", p=p, device=device)
    weighed = samples(n, m) | masses(n, m)
    agrees(weighed, *weighed, p=p, device=device)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_fewer_programs_than_pairs(reduction, device, monkeypatch):
    from lossmith.loops.transport import triton as kernels

    monkeypatch.setattr(kernels, "SCRATCH", 2 * 3 * 11)  # for two pairs of 5 and 6 points
    weighed = samples(5, 6, 5) | masses(5, 6, 5)
    agrees(weighed, *weighed, reduction=reduction, device=device)


@each_power
def test_ties(p, device):
    """Equal points keep their order; of two shares that end at once the input's ends first."""
    for n, m in ((6, 6), (6, 4), (6, 3)):
        tied = {name: (2 * value).round() for name, value in samples(n, m).items()}
        agrees(tied, "input", "target", p=p, device=device)
    weights = {"input_weight": torch.ones(3, 6), "target_weight": torch.full((3, 6), 2.0)}
    agrees(samples(6, 6) | weights, "input", "target", "input_weight", p=p, device=device)


@each_power
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_points_that_are_not_finite(value, p, device):
    arguments = samples(5, 4)
    arguments["input"][0, 2] = value
    agrees(arguments, "input", "target", p=p, reduction="none", device=device)
    # without mass it is as if it were not there
    arguments["input_weight"] = torch.ones(3, 5)
    arguments["input_weight"][0, 2] = 0
    agrees(arguments, "input", "target", p=p, device=device)


@pytest.mark.parametrize("masses", [[0.0, 0.0], [1.0, -1.0], [math.inf, 1.0], [math.nan, 1.0]], ids=str)
def test_weights_that_are_no_masses(masses, device):
    weight = torch.ones(3, 2)
    weight[1] = torch.tensor(masses)
    arguments = samples(4, 2) | {"target_weight": weight}
    arguments = {name: value.to(device) for name, value in arguments.items()}
    leaves = ("input", "target_weight")
    with ran("triton"):
        found, gradients = evaluate(LF.wasserstein_loss, arguments, leaves, torch.tensor(1.0), reduction="none")
    with pytest.raises(RuntimeError, match="element 1 of operand 3 is outside of the domain"):
        lossmith.check_errors()
    assert found.isnan().tolist() == [False, True, False]
    assert all((g[1] == 0).all() and g[0].isfinite().all() for g in gradients.values() if g is not None)
    mask = torch.tensor([True, False, True], device=device)
    with ran("triton"):
        assert LF.wasserstein_loss(**arguments, mask=mask).isfinite()
    lossmith.check_errors()
