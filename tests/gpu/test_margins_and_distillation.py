"""Rows of scores on a GPU: picked, by their margins, and against a teacher's; short rows, looped ones, and images."""

from typing import Any

import pytest
import torch
from torch import Tensor

import lossmith
import lossmith.functional as LF
from kernels import evaluate, ran, random_tensor, reference, same

pytest.importorskip("triton")

TILES = [(2, 4), (4, 32)]
"""Rows of 19 classes are looped over, or are in one tile."""
each_tile = pytest.mark.parametrize("tile", TILES, ids=str)
each_divergence = pytest.mark.parametrize("divergence", ["forward", "reverse", "js"])
CLASSES = 19


@pytest.fixture
def small(tile, monkeypatch):
    """A tile has so many rows and classes."""
    from lossmith.loops.rowwise.triton.rows import Tile

    monkeypatch.setattr(Tile, "of", classmethod(lambda cls, *_: cls(*tile, 1)))


def agrees(loss: str, arguments: dict[str, Any], *leaves: str, **keywords: Any) -> tuple[Any, Any]:
    """Value and gradients are the reference's."""
    function = getattr(LF, loss)
    with ran("triton"):
        found = evaluate(function, arguments, leaves, torch.tensor(0.37), **keywords)
    with reference():
        same(found, evaluate(function, arguments, leaves, torch.tensor(0.37), **keywords))
    return found


def rows(n: int, device: str, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return random_tensor((n, CLASSES), seed, -2.0, 2.0, dtype).to(device)


def labels(n: int, device: str) -> Tensor:
    return (torch.arange(n) * 7 % CLASSES).to(device)


def sets(device: str) -> Tensor:
    """A set without labels, of one, with a repeated one, of all, and labels past the end."""
    given = torch.full((5, CLASSES), -1)
    given[1, 0] = 18
    given[2, :4] = torch.tensor([3, 0, 3, 11])
    given[3] = torch.randperm(CLASSES, generator=torch.Generator().manual_seed(0))
    given[4, [0, 1, 3, 4]] = torch.tensor([5, 2, 7, 2])
    return given.to(device)


@each_tile
def test_one_score_of_each_row(tile, small, device):
    arguments = {"input": rows(5, device), "target": labels(5, device), "weight": rows(1, device, 1)[0].abs()}
    for reduction in ("mean", "none"):
        agrees("nll_loss", {**arguments, "ignore_index": 7}, "input", reduction=reduction)


@pytest.mark.parametrize("p", [1, 2])
@each_tile
def test_margins_to_a_label(tile, p, small, device):
    arguments = {"input": rows(5, device), "target": labels(5, device), "p": p, "margin": 0.7}
    for reduction in ("mean", "none"):
        agrees("multi_margin_loss", arguments, "input", reduction=reduction)


@each_tile
def test_margins_of_sets(tile, small, device):
    for input in (rows(5, device), rows(5, device).t().contiguous().t()):
        for reduction in ("mean", "none"):
            agrees("multilabel_margin_loss", {"input": input, "target": sets(device)}, "input", reduction=reduction)


@each_tile
def test_a_wrong_label_anywhere_in_a_set(tile, small, device):
    """As in the reference, also past the end of the set, where nothing else is read."""
    for place, wrong in ((0, CLASSES), (1, -2), (17, 99)):
        target = sets(device)
        target[1, place] = wrong
        arguments = {"input": rows(5, device), "target": target}
        with ran("triton"):
            loss, gradients = evaluate(
                LF.multilabel_margin_loss, arguments, ["input"], torch.tensor(1.0), reduction="none"
            )
        assert loss.isnan().tolist() == [False, True, False, False, False]
        assert not gradients["input"][1].any()
        with pytest.raises(IndexError, match=f"label {wrong} in row 1 "):
            lossmith.check_errors()


@each_divergence
@each_tile
def test_distillation(tile, divergence, small, device):
    arguments = {"input": rows(5, device), "teacher": rows(5, device, 1), "divergence": divergence, "beta": 0.3}
    agrees("distillation_loss", arguments, "input", "teacher")
    more = {"target": labels(5, device), "alpha": 0.3, "temperature": 3.0, "ignore_index": 7}
    for leaf in ("input", "teacher"):
        agrees("distillation_loss", {**arguments, **more}, leaf, reduction="none")


@each_tile
def test_distillation_of_labels_alone(tile, small, device):
    """The teacher's gradient is 0, though its logits may be infinite."""
    arguments = {"input": rows(5, device), "teacher": rows(5, device, 1), "target": labels(5, device), "alpha": 0.0}
    arguments["teacher"][:, 2] = -torch.inf
    agrees("distillation_loss", arguments, "input")
    with ran("triton"):
        _, gradients = evaluate(LF.distillation_loss, arguments, ["input", "teacher"])
    assert not gradients["teacher"].any()


@each_divergence
@each_tile
def test_classes_that_can_not_happen(tile, divergence, small, device):
    """Those of both, of one side alone, and scores so low that their exponentials vanish."""
    arguments = {"input": rows(5, device), "teacher": rows(5, device, 1), "divergence": divergence}
    arguments["input"][0, 3] = arguments["teacher"][0, 3] = -torch.inf
    arguments["input"][1, :18] = -torch.inf
    arguments["teacher"][1, :18] = -torch.inf
    arguments["input"][2, 5] = -300.0
    arguments["teacher"][3, 5] = -300.0
    agrees("distillation_loss", arguments, "input", "teacher", reduction="none")
    one_sided = "teacher" if divergence == "forward" else "input"
    arguments[one_sided][4, 2] = -torch.inf
    agrees("distillation_loss", arguments, reduction="none")


@each_divergence
@each_tile
def test_a_student_that_nearly_agrees(tile, divergence, small, device):
    student = rows(5, device)
    teacher = student + 1e-3 * rows(5, device, 1)
    arguments = {"input": student, "teacher": teacher, "divergence": divergence}
    with ran("triton"):
        found = LF.distillation_loss(**arguments, reduction="none")
    with reference():
        wide = {**arguments, "input": student.double(), "teacher": teacher.double()}
        expected = LF.distillation_loss(**wide, reduction="none")
    same(found.double(), expected, rtol=2e-5, atol=0)


@pytest.mark.parametrize("shape", [(2, 5, 3, 4), (1, 3, 33), (2, 3, 1)], ids=str)
def test_images(shape, device):
    input, teacher = (random_tensor(shape, seed, -2.0, 2.0, torch.float32).to(device) for seed in (0, 1))
    target = (torch.arange(input[:, 0].numel()).view(input[:, 0].shape) % 3).to(device)
    turned = input.movedim(1, -1).contiguous().movedim(-1, 1)
    for given in (input, turned):
        agrees("nll_loss", {"input": given, "target": target, "ignore_index": 1}, "input")
        arguments = {"input": given, "teacher": teacher, "target": target, "ignore_index": 1}
        agrees("distillation_loss", arguments, "input", "teacher", reduction="none")


def test_hinges_of_infinite_scores_and_of_nan(device):
    """A pair whose difference is NaN adds nothing."""
    input = rows(5, device)
    input[0, 4] = torch.nan
    input[1, 18] = torch.nan
    input[2, 5] = torch.inf
    input[3, 6] = -torch.inf
    target = sets(device)
    agrees("multilabel_margin_loss", {"input": input, "target": target}, "input", reduction="none")
    agrees("multi_margin_loss", {"input": input, "target": labels(5, device)}, "input", reduction="none")
