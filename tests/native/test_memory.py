"""Law 5 in bytes: one gradient for each differentiated input and nothing else that grows; offsets of 64 bits."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import lossmith.functional as LF
from cases import Arguments
from kernels import REPEATED, each_dtype, evaluate, everything, random_tensor, run_python, same

from .conftest import WHOLE_CASES, ran_natively

# ----- peak memory -----

PEAKS = """
import json, sys, torch
from lossmith.bench.memory import peak_growth
from kernels import evaluate, leaves_of, many
from native.conftest import WHOLE_CASES, ran_natively

dtype = getattr(torch, sys.argv[1])
torch.set_num_threads(2)
found = {}
for case in WHOLE_CASES:
    if str(case) not in sys.argv[3:]:
        continue
    leaves = [name for name in leaves_of(case) if name != "weight"]
    arguments = many(case, int(sys.argv[2]), dtype)

    def step(upstream=None, reduction="mean", leaves=leaves, case=case, arguments=arguments):
        with ran_natively():
            evaluate(case.function, arguments, leaves, upstream, reduction=reduction)

    # what is done once comes before
    for upstream in (None, torch.tensor(0.37)):
        step(upstream)
    step(leaves=())
    inputs = {name: arguments[name].nbytes for name in leaves}
    found[str(case)] = {
        "gradients": inputs,
        "once": peak_growth(step, torch.device("cpu")),
        "times 0.37": peak_growth(lambda: step(torch.tensor(0.37)), torch.device("cpu")),
        "value": peak_growth(lambda: step(leaves=()), torch.device("cpu")),
    }
print(json.dumps(found))
"""
PAGE = 2 << 20
"""Of a huge page, which is all there once a part of it is."""


OF_SAMPLE = {
    "float32": (
        "l1_loss-weight",
        "gaussian_nll_loss",
        "binary_cross_entropy_with_logits",
        "cross_entropy",
        "cross_entropy-smoothed images",
        "cross_entropy-probabilities",
        "distillation_loss",
        "multilabel_margin_loss",
        "multilabel_soft_margin_loss",
        "cosine_embedding_loss",
        "triplet_margin_loss-swap, p 3",
        "ctc_loss_with_logits",
    ),
    "bfloat16": ("mse_loss", "cross_entropy", "triplet_margin_loss"),
}


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux says what the peak was")
@pytest.mark.parametrize("dtype", OF_SAMPLE)
def test_one_gradient_for_each_input_is_all_that_grows(dtype):
    # those of all pairs of a batch have a test of their own
    whole = [str(case) for case in WHOLE_CASES if not case.together]
    cases = whole if everything() else OF_SAMPLE[dtype]
    found = json.loads(run_python(PEAKS, dtype, str(2_500_000), *cases, OMP_NUM_THREADS="2"))
    assert found.keys() == set(cases)
    wrong = []
    found = {case: measured for case, measured in found.items() if case not in REPEATED}
    for case, measured in found.items():
        gradients = sum(measured["gradients"].values())
        assert measured["once"] is not None
        # in half precision the first gradient, which is not scaled, still lies there while the right one is computed
        scaled = gradients if dtype == "float32" else 2 * gradients
        pages = (len(measured["gradients"]) + 1) * PAGE
        for what, limit in {"once": gradients + pages, "times 0.37": scaled + pages, "value": PAGE}.items():
            if measured[what] > limit:
                wrong.append(f"{case}, {what}: {measured[what]:,} bytes, more than {limit:,}")
    assert not wrong, "\n".join(wrong)


# ----- nothing is copied -----


def pointers(kernel_calls: list[tuple[str, tuple[Any, ...]]]) -> set[int]:
    """Where the large tensors lie that kernels were given."""
    parts = [p for _, args in kernel_calls for a in args for p in (a if isinstance(a, tuple | list) else [a])]
    return {p.untyped_storage().data_ptr() for p in parts if isinstance(p, Tensor) and p.numel() > 1}


def image(*shape: int) -> Tensor:
    return random_tensor(shape, 0, dtype=torch.float32)


UNCOPIED: dict[str, tuple[Callable[..., Tensor], Callable[[], Arguments], list[str]]] = {
    "channels-last images": (
        LF.mse_loss,
        lambda: {
            "input": image(2, 3, 5, 4).contiguous(memory_format=torch.channels_last),
            "target": image(2, 3, 5, 4).contiguous(memory_format=torch.channels_last),
        },
        ["input", "target"],
    ),
    "transposed": (LF.huber_loss, lambda: {"input": image(5, 4).T, "target": image(5, 4).T}, ["input", "target"]),
    "columns": (
        LF.l1_loss,
        lambda: {"input": image(5, 8)[:, ::2], "target": image(5, 8)[:, 1::2]},
        ["input", "target"],
    ),
    "rows": (LF.mse_loss, lambda: {"input": image(5, 8)[:, 2:5], "target": image(5, 3)}, ["input", "target"]),
    "expanded": (LF.mse_loss, lambda: {"input": image(5, 8), "target": image(8).expand(5, 8)}, ["input"]),
    "broadcast": (LF.mse_loss, lambda: {"input": image(5, 8), "target": image(5, 1)}, ["input"]),
    "weighed": (
        LF.mse_loss,
        lambda: {
            "input": image(5, 8),
            "target": image(5, 8) + 1,
            "sample_weight": image(5, 1).abs(),
            "mask": image(8) > 0,
        },
        ["input"],
    ),
    "labels of sequences": (
        LF.cross_entropy,
        lambda: {"input": image(2, 9, 6), "target": torch.ones(2, 6, dtype=torch.int64)},
        ["input"],
    ),
    "labels of channels-last images": (
        LF.cross_entropy,
        lambda: {
            "input": image(2, 9, 6, 5).contiguous(memory_format=torch.channels_last),
            "target": torch.ones(2, 6, 5, dtype=torch.int64),
        },
        ["input"],
    ),
    "labels of strided rows": (
        LF.cross_entropy,
        lambda: {"input": image(7, 40)[:, 3:30], "target": torch.ones(7, dtype=torch.int64)},
        ["input"],
    ),
    "probabilities along the last dimension": (
        LF.cross_entropy,
        lambda: {"input": image(2, 6, 9), "target": image(2, 6, 9).softmax(-1), "dim": -1},
        ["input", "target"],
    ),
    "teachers of strided rows": (
        LF.distillation_loss,
        lambda: {
            "input": image(7, 40)[:, 3:30],
            "teacher": image(27, 7).T,
            "target": torch.ones(7, dtype=torch.int64),
        },
        ["input", "teacher"],
    ),
    "regions of images": (
        LF.dice_loss,
        lambda: {"input": image(2, 9, 6, 5), "target": torch.ones(2, 6, 5, dtype=torch.uint8)},
        ["input"],
    ),
    "regions of channels-last images": (
        LF.tversky_loss,
        lambda: {
            "input": image(2, 9, 6, 5).contiguous(memory_format=torch.channels_last),
            "target": image(2, 9, 6, 5).abs(),
        },
        ["input", "target"],
    ),
    "margins of strided rows": (
        LF.multi_margin_loss,
        lambda: {"input": image(7, 40)[:, 3:30], "target": torch.ones(7, dtype=torch.int64)},
        ["input"],
    ),
    "pairs of strided vectors": (
        LF.cosine_embedding_loss,
        lambda: {"input1": image(7, 40)[:, 3:30], "input2": image(27, 7).T, "target": image(7)},
        ["input1", "input2"],
    ),
    "one anchor": (
        LF.triplet_margin_loss,
        lambda: {"anchor": image(1, 9), "positive": image(7, 9), "negative": image(7, 9) + 1},
        ["positive", "negative"],
    ),
    "distributions of strided samples and masses": (
        LF.wasserstein_loss,
        lambda: {"input": image(7, 40)[:, 3:30], "target": image(27, 7).T, "input_weight": image(7, 27).abs()},
        ["input", "target", "input_weight"],
    ),
    "one distribution": (LF.wasserstein_loss, lambda: {"input": image(7, 9), "target": image(1, 9)}, ["input"]),
    "batch-first sequences": (
        LF.ctc_loss_with_logits,
        lambda: {
            "logits": image(3, 8, 5).transpose(0, 1),
            "targets": torch.ones(3, 2, dtype=torch.int64),
            "input_lengths": torch.full((3,), 8),
            "target_lengths": torch.full((3,), 2),
        },
        ["logits"],
    ),
}


def in_layout(value: Tensor, dtype: torch.dtype) -> Tensor:
    """The floating tensor in another dtype, with the strides that it has."""
    if not value.is_floating_point():
        return value
    whole = value.as_strided((value.untyped_storage().nbytes() // value.itemsize,), (1,), 0)
    return whole.to(dtype).as_strided(value.shape, value.stride(), value.storage_offset())


@pytest.mark.parametrize("name", UNCOPIED)
@each_dtype
def test_kernels_get_the_tensors_themselves(name, dtype, kernel_calls):
    function, make, leaves = UNCOPIED[name]
    # a conversion may lay out anew what was sliced
    given = {n: in_layout(v, dtype) if isinstance(v, Tensor) else v for n, v in make().items()}
    for reduction in ("mean", "none"):
        kernel_calls.clear()
        with ran_natively():
            _, gradients = evaluate(function, given, leaves, torch.tensor(0.5), reduction=reduction)
        lie = pointers(kernel_calls)
        for argument, value in given.items():
            if isinstance(value, Tensor) and "lengths" not in argument and argument != "targets":
                assert value.untyped_storage().data_ptr() in lie, f"{argument} was copied"
        for argument, gradient in gradients.items():
            assert gradient.stride() == torch.empty_like(given[argument]).stride(), f"the gradient in {argument}"


# ----- P07: offsets of 64 bits -----

FAR = 2**31 + 24


def far_apart(path: Path, near: Tensor) -> Tensor:
    """The same rows, more than 2^31 elements from each other, in a file of which only those take place."""
    rows, width = near.shape
    storage = torch.from_file(str(path), shared=True, size=(rows - 1) * FAR + width, dtype=near.dtype)
    far = storage.as_strided((rows, width), (FAR, 1))
    far.copy_(near)
    return far


ROWS: dict[str, tuple[Callable[..., Tensor], Callable[[Tensor], Arguments], str]] = {
    "mse": (LF.mse_loss, lambda x: {"input": x, "target": torch.ones_like(x)}, "input"),
    "bce of a target": (LF.kl_div, lambda x: {"input": torch.ones_like(x), "target": x}, "target"),
    "labels": (LF.cross_entropy, lambda x: {"input": x, "target": torch.tensor([1, 4, 2])}, "input"),
    "labels of columns": (
        LF.cross_entropy,
        lambda x: {"input": x, "target": torch.tensor([1, 0, 2, 2, 1]), "dim": 0},
        "input",
    ),
    "probabilities": (LF.cross_entropy, lambda x: {"input": torch.ones_like(x), "target": x}, "target"),
    "teachers": (
        LF.distillation_loss,
        lambda x: {"input": torch.ones_like(x), "teacher": x, "target": None},
        "teacher",
    ),
    "picks": (LF.nll_loss, lambda x: {"input": x, "target": torch.tensor([1, 4, 2])}, "input"),
    "margins": (LF.multi_margin_loss, lambda x: {"input": x, "target": torch.tensor([1, 4, 2])}, "input"),
    "sets": (
        LF.multilabel_margin_loss,
        lambda x: {"input": x, "target": torch.tensor([[1, 2, -1, 0, 0]]).expand(3, 5)},
        "input",
    ),
    "regions": (LF.dice_loss, lambda x: {"input": x, "target": torch.tensor([1, 4, 2]), "batch": True}, "input"),
    "regions of targets": (
        LF.tversky_loss,
        lambda x: {"input": torch.ones_like(x), "target": x, "activation": "sigmoid", "batch": True},
        "target",
    ),
    "pairs": (
        LF.cosine_embedding_loss,
        lambda x: {"input1": torch.ones_like(x), "input2": x, "target": torch.ones(3)},
        "input2",
    ),
    "triplets": (
        LF.triplet_margin_loss,
        lambda x: {"anchor": torch.ones_like(x), "positive": x, "negative": -torch.ones_like(x)},
        "positive",
    ),
    "samples": (LF.wasserstein_loss, lambda x: {"input": torch.ones_like(x), "target": x, "p": 2}, "target"),
    "masses": (
        LF.wasserstein_loss,
        lambda x: {"input": x.clone(), "target": torch.ones_like(x), "input_weight": x},
        "input_weight",
    ),
    "sequences": (
        LF.ctc_loss_with_logits,
        lambda x: {
            "logits": x.unsqueeze(1),
            "targets": torch.tensor([[1, 2]]),
            "input_lengths": (3,),
            "target_lengths": (2,),
        },
        "logits",
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_p07_rows_may_lie_2_to_the_31_elements_apart(name, tmp_path):
    function, make, leaf = ROWS[name]
    near = random_tensor((3, 5), 0, 0.1, 0.9, torch.bfloat16)
    far = far_apart(tmp_path / "far", near)
    of_columns = name == "labels of columns" or name.startswith("regions")
    weight = {"sample_weight": far[0] if of_columns else far[:, 0]} if name != "mse" else {}
    if name in ("bce of a target", "sequences"):
        weight = {}
    for reduction in ("mean", "none"):
        with ran_natively():
            found = evaluate(function, make(far), [leaf], torch.tensor(1.0), reduction=reduction, **weight)
        kept = {key: value.clone() for key, value in weight.items()}
        same(found, evaluate(function, make(near), [leaf], torch.tensor(1.0), reduction=reduction, **kept))


def test_p07_labels_and_masks_may_lie_there_too(tmp_path):
    near = torch.tensor([[1, 2], [0, 1], [2, 0]], dtype=torch.int8)
    labels = far_apart(tmp_path / "labels", near)[:, 0]
    mask = far_apart(tmp_path / "mask", near > 0)[:, 1]
    x = random_tensor((3, 3), 0)
    with ran_natively():
        found = LF.cross_entropy(x, labels.long(), mask=mask)
        weighed = LF.mse_loss(x[:, 0], x[:, 1], mask=mask, sample_weight=labels)
    same(found, LF.cross_entropy(x, near[:, 0].long(), mask=near[:, 1] > 0))
    same(weighed, LF.mse_loss(x[:, 0], x[:, 1], mask=near[:, 1] > 0, sample_weight=near[:, 0]))


@pytest.mark.slow
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_p07_more_than_2_to_the_31_elements(reduction):
    """Of one number that is repeated, so that there is nothing to hold."""
    n = 2**31 + 8
    x, y = torch.full((1,), 3.0, dtype=torch.float64), torch.full((1,), 1.0, dtype=torch.float64)
    with ran_natively():
        loss = LF.mse_loss(x.expand(n), y.expand(n), reduction=reduction)
    assert loss == (4 if reduction == "mean" else 4 * n)
    mask = torch.ones(1, dtype=torch.bool).expand(n)
    with ran_natively():
        assert LF.mse_loss(x.expand(n), y.expand(n), reduction=reduction, mask=mask) == loss


@pytest.mark.slow
def test_p07_more_than_2_to_the_31_gradients():
    """4 GB of them in half precision, and as much again of the inputs' address space."""
    rows, classes = 2**21 + 1, 1024
    x = torch.zeros(1, classes, dtype=torch.bfloat16).expand(rows, classes).requires_grad_()
    with ran_natively():
        loss = LF.cross_entropy(x, torch.full((rows,), 3))
        (gradient,) = torch.autograd.grad(loss, x, torch.tensor(float(rows), dtype=torch.bfloat16))
    same(loss, torch.tensor(math.log(classes)).bfloat16())
    expected = torch.full((classes,), 1 / classes)
    expected[3] -= 1
    for row in (0, 2**20, rows - 2, rows - 1):
        same(gradient[row], expected.bfloat16())
