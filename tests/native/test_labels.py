"""P11, P12, P13, P35, P46: labels are looked at before they are addresses, and nothing is written out of range."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import lossmith.functional as LF
from cases import Arguments
from kernels import each_reduction, random_tensor, reference, same
from lossmith.backend import recorded

from .conftest import each_isa, ran_natively

CLASSES = 5
GUARD = 4096
SENTINEL = 77.0


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Tensor]]:
    """Every result lies between two guards, which are looked at in the end."""
    rooms: list[Tensor] = []

    def inside(plain: Tensor) -> Tensor:
        if not plain.is_floating_point() or not plain.numel():
            return plain
        room = torch.full((plain.numel() + 2 * GUARD,), SENTINEL, dtype=plain.dtype)
        rooms.append(room)
        return room.as_strided(plain.shape, plain.stride(), GUARD).fill_(torch.nan)

    for name in ("empty", "empty_like", "empty_strided"):
        make = getattr(torch, name)
        monkeypatch.setattr(torch, name, lambda *args, make=make, **kwargs: inside(make(*args, **kwargs)))
    yield rooms
    for room in rooms:
        assert (room[:GUARD] == SENTINEL).all() and (room[-GUARD:] == SENTINEL).all(), "written out of range"


def scores(*shape: int) -> Tensor:
    return random_tensor(shape, 0, -2.0, 2.0, torch.float32).requires_grad_()


def labels_for(*shape: int) -> Tensor:
    return (random_tensor(shape, 1, 0.0, 0.999) * CLASSES).long()


def set_at(labels: Tensor, place: Any, label: int) -> Tensor:
    labels = labels.clone()
    labels[place] = label
    return labels


ROWS = 200
WEIGHT = torch.linspace(0.5, 2.0, CLASSES)
Loss = Callable[..., Tensor]


def distillation_loss(x: Tensor, y: Tensor, **keywords: Any) -> Tensor:
    return LF.distillation_loss(x, x.detach().flip(1), y, **keywords)


ROWWISE: dict[str, tuple[Loss, Arguments]] = {
    "cross_entropy": (LF.cross_entropy, {}),
    "smoothed": (LF.cross_entropy, {"label_smoothing": 0.1}),
    "weighted": (LF.cross_entropy, {"weight": WEIGHT}),
    "focal": (LF.focal_loss, {}),
    "weighted focal": (LF.focal_loss, {"weight": WEIGHT, "gamma": 0.7}),
    "nll": (LF.nll_loss, {}),
    "weighted nll": (LF.nll_loss, {"weight": WEIGHT}),
    "distillation": (distillation_loss, {}),
    "weighted distillation": (distillation_loss, {"weight": WEIGHT, "divergence": "js"}),
    "multi_margin": (LF.multi_margin_loss, {}),
    "weighted multi_margin": (LF.multi_margin_loss, {"weight": WEIGHT, "p": 2}),
}
each_loss = pytest.mark.parametrize("name", ROWWISE)


# ----- out of range -----


@pytest.mark.parametrize("label", [CLASSES, -1, 2**31, 2**62, -(2**63)], ids=str)
@pytest.mark.parametrize("row", [0, 63, 64, ROWS - 1])
@each_reduction
@each_loss
def test_p11_p12_p35_a_label_out_of_range_is_named(name, reduction, row, label, guarded):
    function, keywords = ROWWISE[name]
    x, y = scores(ROWS, CLASSES), set_at(labels_for(ROWS), row, label)
    said = rf"{function.__name__}: label {label} in row {row} is out of range: expected 0 to 4 for 5 classes"
    with recorded() as records, pytest.raises(IndexError, match=said):
        function(x, y, **keywords, reduction=reduction)
    assert records[0].backend == "native"
    with pytest.raises(IndexError, match=said), torch.no_grad():
        function(x, y, **keywords, reduction=reduction)


@each_isa
@each_loss
def test_p11_wide_rows_and_rows_side_by_side(name, isa, guarded):
    function, keywords = ROWWISE[name]
    keywords = {**keywords, **({"weight": torch.ones(600)} if "weight" in keywords else {})}
    y = set_at(labels_for(70), 69, 600)
    with pytest.raises(IndexError, match="label 600 in row 69 is out of range: expected 0 to 599 for 600 classes"):
        function(scores(70, 600), y, **keywords)
    if function is not LF.multi_margin_loss:
        images = set_at(labels_for(2, 9, 8), (1, 3, 2), 600)
        with pytest.raises(IndexError, match=r"label 600 at position \(1, 3, 2\) is out of range"):
            function(scores(2, 600, 9, 8), images, **keywords)
        with pytest.raises(IndexError, match=r"label 600 at position \(1, 3, 2\) is out of range"):
            function(scores(2, 9, 8, 600).movedim(-1, 1), images, **keywords)


@pytest.mark.parametrize("label", [CLASSES, -2, 2**62], ids=str)
@pytest.mark.parametrize("place", [(0, 0), (ROWS - 1, 1), (64, CLASSES - 1)], ids=str)
@each_reduction
def test_p35_a_set_with_a_label_out_of_range(reduction, place, label, guarded):
    """Also where it is not read, past the end of the set: there -1 alone pads."""
    y = torch.full((ROWS, CLASSES), -1)
    y[:, 0] = 2
    y[place] = label
    said = rf"multilabel_margin_loss: label {label} in row {place[0]} .*expected 0 to 4 for 5 classes, or -1 as padding"
    with pytest.raises(IndexError, match=said):
        LF.multilabel_margin_loss(scores(ROWS, CLASSES), y, reduction=reduction)


@pytest.mark.parametrize("label", [CLASSES, -1, 2**62], ids=str)
@each_reduction
def test_p46_sequences_with_a_label_out_of_range(reduction, label, guarded):
    lengths = {"input_lengths": (6, 6), "target_lengths": (2, 3)}
    padded = torch.tensor([[1, 2, 1], [3, 1, label]])
    joined = torch.tensor([1, 2, 3, 1, label])
    for loss in (LF.ctc_loss, LF.ctc_loss_with_logits):
        for targets in (padded, joined):
            said = rf"{loss.__name__}: label {label} at position 2 of sample 1 is out of range: expected 0 to 4"
            with pytest.raises(IndexError, match=said):
                loss(scores(6, 2, CLASSES), targets, **lengths, reduction=reduction)


@pytest.mark.parametrize(
    "lengths",
    [{"input_lengths": (7, 6)}, {"input_lengths": (-1, 6)}, {"target_lengths": (4, 2)}, {"target_lengths": (2, -1)}],
    ids=str,
)
def test_p46_lengths_out_of_range(lengths, guarded):
    given = {"input_lengths": (6, 6), "target_lengths": (2, 2), **lengths}
    (name, wrong), *_ = lengths.items()
    sample = next(
        i for i, (a, b) in enumerate(zip(wrong, (6, 6) if "input" in name else (2, 2), strict=True)) if a != b
    )
    with pytest.raises(RuntimeError, match=re.escape(f"{name}[{sample}] is {wrong[sample]}")):
        LF.ctc_loss(scores(6, 2, CLASSES), torch.ones(2, 3, dtype=torch.int64), **given)


# ----- of any integer dtype -----


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64], ids=str)
@each_loss
def test_p13_labels_of_any_integer_dtype(name, dtype, guarded):
    function, keywords = ROWWISE[name]
    x, y = scores(ROWS, CLASSES), labels_for(ROWS)
    expected = torch.autograd.grad(function(x, y, **keywords), x)[0]
    with ran_natively():
        loss = function(x, y.to(dtype), **keywords)
        same(torch.autograd.grad(loss, x)[0], expected)
    greatest = torch.iinfo(dtype).max
    with pytest.raises(IndexError, match=f"label {greatest} in row 7 is out of range"):
        function(x, set_at(y.to(dtype), 7, greatest), **keywords)
    if dtype.is_signed:
        with pytest.raises(IndexError, match="label -1 in row 7 is out of range"):
            function(x, set_at(y.to(dtype), 7, -1), **keywords)


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.uint64], ids=str)
def test_p13_and_of_torchs_younger_ones(dtype, guarded):
    x, y = scores(ROWS, CLASSES), labels_for(ROWS)
    same(LF.cross_entropy(x, y.to(dtype)), LF.cross_entropy(x, y))


def test_p13_labels_that_are_strided_or_repeated(guarded):
    x, y = scores(ROWS, CLASSES), labels_for(ROWS)
    for labels in (y.repeat_interleave(3)[::3], torch.stack([y, y + 9], 1)[:, 0], y[:1].expand(ROWS)):
        for function, keywords in ROWWISE.values():
            with ran_natively():
                found = function(x, labels, **keywords)
            same(found, function(x, labels.clone(memory_format=torch.contiguous_format), **keywords))


# ----- ignored -----


@pytest.mark.parametrize("ignored", [-100, 0, 2, CLASSES + 5, -(2**63), 2**63 - 1], ids=str)
@pytest.mark.parametrize("where", ["first", "last", "a tile", "all but one"])
@pytest.mark.parametrize("name", [name for name in ROWWISE if "margin" not in name])
def test_ignored_rows_anywhere(name, where, ignored, guarded):
    function, keywords = ROWWISE[name]
    x, y = scores(ROWS, CLASSES), labels_for(ROWS)
    y[y == ignored] = 1
    rows = {"first": [0], "last": [ROWS - 1], "a tile": [*range(64, 128)], "all but one": [*range(ROWS - 1)]}[where]
    y[rows] = ignored
    kept = y != ignored
    for reduction in ("mean", "sum"):
        with ran_natively():
            loss = function(x, y, **keywords, reduction=reduction, ignore_index=ignored)
            (gradient,) = torch.autograd.grad(loss, x)
        rest = function(x[kept], y[kept], **keywords, reduction=reduction)
        same(loss, rest)
        same(gradient[kept], torch.autograd.grad(rest, x)[0][kept])
        assert (gradient[~kept] == 0).all()
    each = function(x, y, **keywords, reduction="none", ignore_index=ignored)
    assert (each[~kept] == 0).all()


@each_reduction
@pytest.mark.parametrize("name", [name for name in ROWWISE if "margin" not in name])
def test_all_rows_ignored(name, reduction, guarded):
    function, keywords = ROWWISE[name]
    x, y = scores(ROWS, CLASSES), torch.full((ROWS,), -100)
    with ran_natively():
        loss = function(x, y, **keywords, reduction=reduction)
    with reference():
        same(loss, function(x, y, **keywords, reduction=reduction))
    if reduction != "none":
        zero = function(x, y, **keywords, reduction=reduction, on_empty="zero")
        assert zero == 0 and not torch.autograd.grad(zero, x)[0].any()


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32], ids=str)
def test_an_ignored_label_that_the_dtype_can_not_hold_ignores_nothing(dtype, guarded):
    """255 as uint8 is the usual one of images; -100 in uint8 is no label at all."""
    x, y = scores(ROWS, CLASSES), labels_for(ROWS)
    same(LF.cross_entropy(x, y.to(dtype), ignore_index=2**40 + 1), LF.cross_entropy(x, y))
    if dtype == torch.uint8:
        with ran_natively():
            loss = LF.cross_entropy(x, set_at(y.to(dtype), 3, 255), ignore_index=255)
        kept = torch.arange(ROWS) != 3
        same(loss, LF.cross_entropy(x[kept], y[kept]))
        same(LF.cross_entropy(x, y.to(dtype), ignore_index=-100), LF.cross_entropy(x, y))


# ----- masked -----


@pytest.mark.parametrize("garbage", [CLASSES, -1, 99, 2**62, -(2**63)], ids=str)
@each_isa
@each_loss
def test_what_is_masked_is_no_address(name, isa, garbage, guarded):
    function, keywords = ROWWISE[name]
    x, y = scores(ROWS, CLASSES), labels_for(ROWS)
    mask = random_tensor((ROWS,), 3) > -0.2
    spoiled = torch.where(mask, y, garbage)
    noisy = torch.where(mask[:, None], x.detach(), torch.nan).requires_grad_()
    for reduction in ("mean", "sum", "none"):
        upstream = torch.ones(ROWS) if reduction == "none" else torch.ones(())
        with ran_natively():
            loss = function(noisy, spoiled, **keywords, reduction=reduction, mask=mask)
            (gradient,) = torch.autograd.grad(loss, noisy, upstream)
        clean = function(x, y, **keywords, reduction=reduction, mask=mask)
        same(loss, clean)
        same(gradient, torch.autograd.grad(clean, x, upstream)[0])
        assert (gradient[~mask] == 0).all()


def test_masked_sets_and_sequences_are_no_addresses(guarded):
    mask = torch.tensor([True, False, True])
    x = scores(3, CLASSES)
    y = torch.tensor([[1, -1, 0, 0, 0], [2**62, 99, -7, 0, 0], [4, 0, -1, 3, 3]])
    with ran_natively():
        loss = LF.multilabel_margin_loss(x, y, mask=mask)
    same(loss, LF.multilabel_margin_loss(x[mask], y[mask]))
    frames = scores(6, 3, CLASSES)
    labels = torch.tensor([[1, 2], [2**62, -9], [3, 3]])
    with ran_natively():
        loss = LF.ctc_loss_with_logits(frames, labels, (6, 99, 5), (2, 77, 1), mask=mask)
        (gradient,) = torch.autograd.grad(loss, frames)
    same(loss, LF.ctc_loss_with_logits(frames[:, mask], labels[mask], (6, 5), (2, 1)))
    assert (gradient[:, 1] == 0).all() and (gradient[5, 2] == 0).all()
