"""Triton's kernels of CTC: any number of states, classes and segments of frames; sequences that are wrong."""

import math
from typing import Any

import pytest
import torch

import lossmith
import lossmith.functional as LF
from kernels import evaluate, ran, random_tensor, reference, same

pytest.importorskip("triton")

each_loss = pytest.mark.parametrize("loss", [LF.ctc_loss, LF.ctc_loss_with_logits], ids=lambda f: f.__name__)
FACTOR = torch.tensor(0.37)


def batch(loss: Any, frames: int, samples: int, classes: int, labels: int, device: str) -> dict[str, Any]:
    """Scores, and labels of which some are repeated; the first sample is as long as there is room."""
    scores = random_tensor((frames, samples, classes), 0, -3.0, 3.0)
    given = {"logits": scores} if loss is LF.ctc_loss_with_logits else {"log_probs": scores.log_softmax(2)}
    targets = (random_tensor((samples, labels), 1, 0.0, 0.999) * (classes - 1)).long() + 1
    arguments = {
        **given,
        "targets": targets,
        "input_lengths": torch.tensor([frames - n % 3 for n in range(samples)]),
        "target_lengths": torch.tensor([max(0, labels - n) for n in range(samples)]),
    }
    return {name: value.to(device) for name, value in arguments.items()}


def agrees(loss: Any, arguments: dict[str, Any], **keywords: Any) -> None:
    leaf = next(iter(arguments))
    with ran("triton"):
        found = evaluate(loss, arguments, (leaf,), FACTOR, **keywords)
    with reference():
        same(found, evaluate(loss, arguments, (leaf,), FACTOR, **keywords))


@each_loss
@pytest.mark.parametrize(("frames", "labels"), [(1, 0), (15, 7), (16, 8), (17, 4), (33, 1)])
def test_any_number_of_segments(loss, frames, labels, device):
    agrees(loss, batch(loss, frames, 1, 4, labels, device))


@pytest.mark.slow
@each_loss
@pytest.mark.parametrize("labels", [15, 16, 17, 33])
def test_states_and_classes_in_several_blocks(loss, labels, device, monkeypatch):
    from lossmith.loops.lattice import triton as kernels

    monkeypatch.setattr(kernels, "MOST_AT_ONCE", 16)
    monkeypatch.setattr(kernels, "MOST_PROGRAMS", 2)
    for classes in (3, 20):  # of few classes one label fills more than a block
        agrees(loss, batch(loss, 40, 1, classes, labels, device))


@each_loss
def test_concatenated_labels_of_any_layout(loss, device):
    arguments = batch(loss, 9, 3, 5, 4, device)
    rows = zip(arguments["targets"], arguments["target_lengths"].tolist(), strict=True)
    flat = torch.cat([row[:length] for row, length in rows])
    arguments["targets"] = flat.to(torch.int32).repeat_interleave(2)[::2]
    leaf = next(iter(arguments))
    arguments[leaf] = arguments[leaf].permute(2, 0, 1).contiguous().permute(1, 2, 0)
    agrees(loss, arguments)


def wrong(arguments: dict[str, Any], what: str) -> dict[str, Any]:
    """The arguments with one thing wrong in sample 1."""
    spoiled = {name: value.clone() for name, value in arguments.items()}
    name, at, value = {
        "label": ("targets", (1, 0), 9),
        "negative label": ("targets", (1, 1), -1),
        "frames": ("input_lengths", (1,), 10),
        "negative frames": ("input_lengths", (1,), -1),
        "labels": ("target_lengths", (1,), 5),
        "negative labels": ("target_lengths", (1,), -2),
    }[what]
    spoiled[name][at] = value
    return spoiled


@each_loss
@pytest.mark.parametrize(
    ("what", "error", "words"),
    [
        ("label", IndexError, "label 9 of sample 1 is out of range: expected 0 to 4"),
        ("negative label", IndexError, "label -1 of sample 1 .* padding"),
        ("frames", RuntimeError, "a length of sample 1 is 10, expected 0 to 9"),
        ("negative frames", RuntimeError, "a length of sample 1 is -1"),
        ("labels", RuntimeError, "a length of sample 1 is 5, expected 0 to 4"),
        ("negative labels", RuntimeError, "a length of sample 1 is -2"),
    ],
)
def test_a_wrong_sample_is_nan_without_a_gradient_and_is_told(loss, what, error, words, device):
    arguments = batch(loss, 9, 3, 5, 4, device)
    leaf = next(iter(arguments))
    with ran("triton"):
        right, (of_right,) = _values(evaluate(loss, arguments, (leaf,), FACTOR, reduction="none"))
        lossmith.check_errors()
        found, (gradient,) = _values(evaluate(loss, wrong(arguments, what), (leaf,), FACTOR, reduction="none"))
    with pytest.raises(error, match=words):
        lossmith.check_errors()
    lossmith.check_errors()
    assert found[1].isnan() and (gradient[:, 1] == 0).all()
    for n in (0, 2):
        same(found[n], right[n], rtol=0, atol=0)
        same(gradient[:, n], of_right[:, n], rtol=0, atol=0)
    mask = torch.tensor([True, False, True], device=device)
    with ran("triton"):
        masked, (gradient,) = _values(evaluate(loss, wrong(arguments, what), (leaf,), FACTOR, mask=mask))
    lossmith.check_errors()
    assert masked.isfinite() and (gradient[:, 1] == 0).all() and (gradient[:, 0] != 0).any()


def _values(found: Any) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    loss, gradients = found
    return loss, tuple(gradients.values())


@each_loss
def test_lengths_that_do_not_add_up(loss, device):
    arguments = batch(loss, 9, 2, 5, 3, device) | {"targets": torch.tensor([1, 2, 3, 1], device=device)}
    with ran("triton"):
        found, (gradient,) = _values(evaluate(loss, arguments, (next(iter(arguments)),), FACTOR, reduction="none"))
    with pytest.raises(RuntimeError, match="targets holds 4 labels, but target_lengths adds up to 5"):
        lossmith.check_errors()
    assert found.isnan().all() and (gradient == 0).all()


@each_loss
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1e30])
@pytest.mark.parametrize("zero_infinity", [False, True])
def test_scores_of_any_value(loss, value, zero_infinity, device):
    arguments = batch(loss, 4, 2, 5, 3, device)
    leaf = next(iter(arguments))
    arguments[leaf][1, 0, arguments["targets"][0, 1]] = value
    agrees(loss, arguments, reduction="none", zero_infinity=zero_infinity)


@each_loss
def test_no_alignment(loss, device):
    """Too few frames: the loss is infinite, whatever it is divided by, and the gradient 0."""
    arguments = batch(loss, 4, 2, 5, 3, device)
    arguments["targets"][0] = 2
    for keywords in ({}, {"zero_infinity": True}, {"reduction": "none"}):
        agrees(loss, arguments, **keywords)


@each_loss
def test_nothing_counts(loss, device):
    arguments = batch(loss, 4, 2, 5, 1, device) | {"mask": torch.zeros(2, dtype=torch.bool, device=device)}
    leaf = next(iter(arguments))
    with ran("triton"):
        found, (gradient,) = _values(evaluate(loss, arguments, (leaf,), on_empty="zero"))
        assert found == 0 and (gradient == 0).all()
        found, (gradient,) = _values(evaluate(loss, arguments, (leaf,), on_empty="error"))
    assert found.isnan() and (gradient == 0).all()
    with pytest.raises(ValueError, match="nothing counted"):
        lossmith.check_errors()
