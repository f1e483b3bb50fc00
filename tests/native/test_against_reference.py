"""Kernels against the reference: every case, dtype, reduction and keyword, on every instruction set; any layout."""

import contextlib
import itertools
import math
import random
import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

import lossmith.functional as LF
from cases import Arguments
from kernels import (
    HALVES,
    REDUCTIONS,
    combinations,
    compare,
    each_case,
    each_dtype,
    each_reduction,
    evaluate,
    everything,
    leaves_of,
    random_tensor,
    reference,
    run_python,
    same,
    to_dtype,
)
from lossmith import LossWarning, explain_dispatch

from .conftest import ISAS, each_isa, instruction_set, ran_natively
from .test_threads import LARGE

# ----- every case, in every combination -----


@each_isa
@each_dtype
@each_case
def test_every_combination(case, dtype, isa):
    """Halves are computed as float32 and rounded once."""
    draw = random.Random(f"{case} {dtype} {isa}")
    for n in (1, 5, 200) if everything() else (draw.choice((1, 5)), 200):
        arguments = case(n, dtype=dtype, seed=draw.randrange(100))
        every = combinations(case.shape(arguments))
        for keywords in every if everything() else draw.sample(every, 6):
            compare("native", case, arguments, dtype, **keywords)


@each_isa
@each_dtype
@each_case
def test_a_random_upstream_gradient_of_a_reduced_loss(case, dtype, isa):
    arguments = case(7, dtype=dtype)
    for reduction in ("mean", "sum"):
        upstream = torch.tensor(-0.37)
        with ran_natively():
            found = evaluate(case.function, arguments, leaves_of(case), upstream, reduction=reduction)
        with reference():
            same(found, evaluate(case.function, arguments, leaves_of(case), upstream, reduction=reduction))


@pytest.mark.parametrize("dtype", HALVES, ids=lambda dtype: str(dtype).removeprefix("torch."))
@each_case
def test_under_autocast(case, dtype):
    """The dtype of the result is torch's choice, and the number is the same."""
    arguments = case(5, dtype=dtype)
    for of_autocast in HALVES:
        with torch.autocast("cpu", of_autocast):
            with ran_natively():
                found = evaluate(case.function, arguments, leaves_of(case))
            with reference():
                same(found, evaluate(case.function, arguments, leaves_of(case)))


@pytest.mark.parametrize("name", LARGE)
@each_dtype
@each_isa
def test_large_calls(name, dtype, isa):
    """Of many tiles, blocks and pieces, whose ends fall anywhere."""
    function, make, leaves = LARGE[name]
    arguments = to_dtype(make(), dtype)
    for reduction in ("mean", "none"):
        with ran_natively():
            found = evaluate(function, arguments, leaves, torch.tensor(0.5), reduction=reduction)
        key = (name, dtype, reduction)
        if key not in EXPECTED:
            with reference():
                EXPECTED[key] = evaluate(function, arguments, leaves, torch.tensor(0.5), reduction=reduction)
        same(found, EXPECTED[key])


EXPECTED: dict[Any, Any] = {}

PERTURBED = """
import hashlib, torch
from kernels import KERNEL_CASES, evaluate, leaves_of
from native.conftest import ISAS, instruction_set
from native.test_threads import LARGE
torch.set_num_threads(2)
dtypes = (torch.float32, torch.float16)
calls = [(c.function, c(70, dtype=dtype), leaves_of(c)) for c in KERNEL_CASES for dtype in dtypes]
calls += [(function, make(), leaves) for function, make, leaves in LARGE.values()]
digest = hashlib.sha256()
for isa in ISAS:
    with instruction_set(isa):
        for call in calls:
            loss, gradients = evaluate(*call, torch.tensor(0.37))
            for tensor in (loss, *gradients.values()):
                digest.update(tensor.detach().numpy().tobytes())
print(digest.hexdigest())
"""


def test_no_kernel_reads_room_that_nobody_wrote():
    """Whatever lay in the memory that malloc gives."""
    bytes_of_fresh_memory = (0, 0x55, 0xFF) if everything() else (0x55, 0xFF)
    digests = {
        run_python(PERTURBED, GLIBC_TUNABLES=f"glibc.malloc.perturb={b}", OMP_NUM_THREADS="2")
        for b in bytes_of_fresh_memory
    }
    assert len(digests) == 1


# ----- layouts: how a tensor may lie in memory -----

SIZES = st.one_of(st.integers(1, 4), st.integers(0, 4), st.sampled_from([17, 65, 130]))
FLOATING = st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16])
LABELS = st.sampled_from([torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8])


@st.composite
def shapes(draw: st.DrawFn, least: int = 0, most: int = 4) -> tuple[int, ...]:
    sizes = draw(st.lists(SIZES, min_size=least, max_size=most))
    product = 1
    for i, size in enumerate(sizes):
        sizes[i] = size = size if product * size <= 3000 else 1
        product *= size
    return tuple(sizes)


def laid_out(draw: st.DrawFn, values: Tensor) -> Tensor:
    """The same values, lying in memory in another way."""
    way = draw(st.sampled_from(["contiguous", "permuted", "stepped", "offset", "channels last"]))
    if way == "permuted" and values.dim() > 1:
        order = draw(st.permutations(range(values.dim())))
        back = [order.index(d) for d in range(values.dim())]
        return values.permute(order).contiguous().permute(back)
    if way == "stepped" and values.dim():
        steps = [draw(st.integers(1, 3)) for _ in values.shape]
        room = values.new_full([size * step for size, step in zip(values.shape, steps, strict=True)], 99)
        view = room[tuple(slice(None, None, step) for step in steps)]
        view.copy_(values)
        return view
    if way == "offset":
        room = values.new_full((values.numel() + 3,), 99)
        view = room[3:].view(values.shape)
        view.copy_(values)
        return view
    if way == "channels last" and values.dim() == 4:
        return values.contiguous(memory_format=torch.channels_last)
    return values


def repeated(draw: st.DrawFn, values: Tensor, expanded: bool | None = None) -> Tensor:
    """Some dimensions of the values reduced to one entry, which is repeated without memory or by broadcasting."""
    kept = values
    for d in range(values.dim()):
        if values.shape[d] and draw(st.integers(0, 3)) == 0:
            kept = kept.narrow(d, 0, 1)
    if draw(st.booleans()) if expanded is None else expanded:
        return laid_out(draw, kept.clone()).expand(values.shape)
    kept = laid_out(draw, kept.clone())
    while kept.dim() and kept.shape[0] == 1 and draw(st.booleans()):
        kept = kept.squeeze(0)
    return kept


def keywords_for(draw: st.DrawFn, shape: tuple[int, ...], seed: int) -> dict[str, Any]:
    keywords: dict[str, Any] = {"reduction": draw(st.sampled_from(REDUCTIONS))}
    if draw(st.booleans()):
        weight = random_tensor(shape, seed, 0.2, 2.0, draw(FLOATING))
        keywords["sample_weight"] = repeated(draw, weight)
    if draw(st.booleans()):
        keywords["mask"] = repeated(draw, random_tensor(shape, seed + 1) > -0.3)
    if keywords["reduction"] in ("mean", "batchmean"):
        keywords["normalizer"] = draw(st.sampled_from([None, None, 3.5, "count", "weight"]))
    return keywords


def spiced(draw: st.DrawFn, values: Tensor) -> Tensor:
    """The values, some of them special."""
    if not values.numel() or draw(st.integers(0, 2)):
        return values
    values = values.clone()
    for special in draw(
        st.lists(st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 60000.0, 1e-7]), max_size=3)
    ):
        values.view(-1)[draw(st.integers(0, values.numel() - 1))] = special
    return values


def agree(draw: st.DrawFn, function: Any, arguments: Arguments, candidates: list[str], **keywords: Any) -> None:
    """The kernel gives what the reference gives, for any of the gradients."""
    leaves = [n for n in candidates if arguments[n].is_floating_point() and draw(st.booleans())]
    upstream = random_tensor((), draw(st.integers(0, 9)))
    with warnings.catch_warnings(), instruction_set(draw(st.sampled_from(ISAS))):
        warnings.simplefilter("ignore", LossWarning)
        with ran_natively():
            loss, gradients = evaluate(function, arguments, leaves, upstream, **keywords)
        with reference():
            expected, of_expected = evaluate(function, arguments, leaves, upstream, **keywords)
    # where dtypes are mixed, sums of what is repeated are rounded in different places
    least = [a.dtype for a in arguments.values() if isinstance(a, Tensor) and a.is_floating_point()]
    rtol, atol = max({torch.float64: (1e-6, 1e-6), torch.float32: (2e-5, 1e-5)}.get(d, (2e-2, 1e-3)) for d in least)
    same(loss, expected, rtol=rtol, atol=atol)
    assert gradients.keys() == of_expected.keys()
    for name, gradient in gradients.items():
        assert (gradient is None) == (of_expected[name] is None), name
        if gradient is not None:
            assert gradient.dtype == arguments[name].dtype and gradient.shape == arguments[name].shape
            same(gradient, of_expected[name], rtol=rtol, atol=atol)


POINTWISE = {
    "l1": (LF.l1_loss, ("input", "target", "weight")),
    "mse": (LF.mse_loss, ("input", "target", "weight")),
    "huber": (LF.huber_loss, ("input", "target", "weight")),
    "smooth_l1": (LF.smooth_l1_loss, ("input", "target")),
    "quantile": (LF.quantile_loss, ("input", "target")),
    "log_cosh": (LF.log_cosh_loss, ("input", "target")),
    "charbonnier": (LF.charbonnier_loss, ("input", "target")),
    "poisson": (LF.poisson_nll_loss, ("input", "target")),
    "gaussian": (LF.gaussian_nll_loss, ("input", "target", "var")),
    "kl_div": (LF.kl_div, ("input", "target")),
    "soft_margin": (LF.soft_margin_loss, ("input", "target")),
    "hinge_embedding": (LF.hinge_embedding_loss, ("input", "target")),
    "margin_ranking": (LF.margin_ranking_loss, ("input1", "input2", "target")),
    "bce": (LF.binary_cross_entropy, ("input", "target", "weight")),
    "bce_with_logits": (LF.binary_cross_entropy_with_logits, ("input", "target", "weight", "pos_weight")),
}
SIGNS = ("soft_margin", "hinge_embedding", "margin_ranking")


@pytest.mark.parametrize("name", POINTWISE)
@given(data=st.data())
def test_pointwise_losses_of_any_layout(name, data):
    draw = data.draw
    function, operands = POINTWISE[name]
    shape = draw(shapes())
    arguments: Arguments = {}
    for i, operand in enumerate(operands):
        if operand in ("weight", "pos_weight", "var"):
            continue
        probability = name == "bce" or (operand == "target" and name in ("bce_with_logits", "kl_div"))
        values = random_tensor(shape, i, 0.05 if probability else -2.0, 0.95 if probability else 2.0)
        if operand == "target" and name in SIGNS:
            values = values.sign()
        elif not probability:
            values = spiced(draw, values)
        # these want operands of one shape, or of one number of dimensions
        expanded = True if name.startswith(("bce", "margin_ranking")) else None
        arguments[operand] = repeated(draw, values.to(draw(FLOATING)), expanded)
    whole = torch.broadcast_shapes(*(a.shape for a in arguments.values()))
    if "weight" in operands and draw(st.booleans()):
        weight = random_tensor(whole if name.startswith("bce") else arguments["input"].shape, 8, 0.1, 2.0)
        arguments["weight"] = repeated(draw, weight.to(draw(FLOATING)), None if name.startswith("bce") else True)
    if "pos_weight" in operands and draw(st.booleans()):
        arguments["pos_weight"] = random_tensor(whole[-1:], 9, 0.1, 2.0, draw(FLOATING))
    if "var" in operands:
        # it has the input's shape
        assume(arguments["input"].shape == whole)
        arguments["var"] = repeated(draw, random_tensor(whole, 7, 0.1, 2.0, draw(FLOATING)), True)
    agree(draw, function, arguments, [*arguments], **keywords_for(draw, tuple(whole), 5))


CLASSES = st.one_of(st.integers(1, 6), st.sampled_from([16, 47, 48, 49, 600]))


@pytest.mark.parametrize("loss", ["cross_entropy", "nll_loss"])
@given(data=st.data())
def test_rows_of_any_layout_and_class_dimension(loss, data):
    draw = data.draw
    rows, classes = draw(shapes(0, 3)), draw(CLASSES)
    dim = draw(st.integers(0, len(rows))) if loss == "cross_entropy" else min(1, len(rows))
    shape = (*rows[:dim], classes, *rows[dim:])
    assume(loss == "cross_entropy" or len(rows) > 0)
    dtype = draw(FLOATING)
    values = spiced(draw, random_tensor(shape, 0, -3.0, 3.0)).to(dtype)
    labels = (random_tensor(rows, 1, 0.0, 0.999) * classes).long()
    ignored = draw(st.sampled_from([-100, 0, classes - 1]))
    labels[random_tensor(rows, 2) > 0.6] = ignored
    of_labels = draw(LABELS if classes < 128 else st.just(torch.int64))
    if ignored < 0 and of_labels == torch.uint8:
        labels = labels.abs().clamp(max=classes - 1)
    arguments: Arguments = {
        "input": repeated(draw, values, True),
        "target": repeated(draw, labels.to(of_labels), True),
        "ignore_index": ignored,
    }
    if draw(st.booleans()):
        arguments["weight"] = laid_out(draw, random_tensor((classes,), 3, 0.2, 2.0, draw(FLOATING)))
    if loss == "cross_entropy":
        arguments |= {"dim": dim, "label_smoothing": draw(st.sampled_from([0.0, 0.0, 0.2, 1.0]))}
    agree(draw, getattr(LF, loss), arguments, ["input"], **keywords_for(draw, rows, 5))


@given(data=st.data())
def test_probabilities_of_any_layout_and_class_dimension(data):
    draw = data.draw
    rows, classes = draw(shapes(0, 3)), draw(CLASSES)
    dim = draw(st.integers(0, len(rows)))
    shape = (*rows[:dim], classes, *rows[dim:])
    arguments: Arguments = {
        "input": repeated(draw, spiced(draw, random_tensor(shape, 0, -3.0, 3.0)).to(draw(FLOATING)), True),
        "target": repeated(draw, random_tensor(shape, 1).softmax(dim).to(draw(FLOATING)), True),
        "dim": dim,
        "label_smoothing": draw(st.sampled_from([0.0, 0.2])),
    }
    if draw(st.booleans()):
        arguments["weight"] = random_tensor((classes,), 3, 0.2, 2.0, draw(FLOATING))
    agree(draw, LF.cross_entropy, arguments, ["input", "target"], **keywords_for(draw, rows, 5))


@pytest.mark.parametrize("loss", [LF.dice_loss, LF.tversky_loss], ids=lambda loss: loss.__name__)
@given(data=st.data())
def test_regions_of_any_layout_and_class_dimension(loss, data):
    draw = data.draw
    pixels, classes, samples = draw(shapes(0, 3)), draw(CLASSES.filter(lambda c: c > 1)), draw(st.integers(0, 3))
    dim, activation = draw(st.integers(1, 1 + len(pixels))), draw(st.sampled_from(["softmax", "sigmoid", None]))
    whole = (samples, *pixels)
    shape = (*whole[:dim], classes, *whole[dim:])
    batch = draw(st.booleans())
    values = random_tensor(shape, 0, 0.05, 0.95) if activation is None else random_tensor(shape, 0, -3.0, 3.0)
    arguments: Arguments = {
        "input": repeated(draw, values.to(draw(FLOATING)), True),
        "activation": activation,
        "batch": batch,
        "dim": dim,
        "include_background": draw(st.booleans()),
        "smooth": draw(st.sampled_from([1.0, (0.1, 0.3)])),
    }
    if draw(st.booleans()):
        targets = (random_tensor(whole, 1, 0.0, 0.999) * classes).long()
        ignored = draw(st.sampled_from([-100, 0]))
        arguments["ignore_index"] = ignored
        targets[random_tensor(whole, 2) > 0.6] = max(ignored, 0)
        arguments["target"] = repeated(draw, targets.to(draw(LABELS if classes < 128 else st.just(torch.int64))), True)
    else:
        targets = random_tensor(shape, 1, 0.0, 1.0).to(draw(FLOATING))
        arguments["target"] = repeated(draw, targets, True)
        if draw(st.booleans()):
            arguments["target"] = arguments["target"] > 0.5
    if draw(st.booleans()):
        kept = random_tensor(shape, 4) > -0.5
        kept = kept.narrow(dim, 0, 1) if draw(st.booleans()) else kept
        arguments["element_mask"] = laid_out(draw, kept)
    if draw(st.booleans()):
        arguments["weight"] = laid_out(draw, random_tensor((classes,), 3, 0.2, 2.0, draw(FLOATING)))
    if loss is LF.dice_loss:
        arguments["squared"] = draw(st.booleans())
    else:
        arguments |= {"alpha": 0.2, "beta": 0.9, "gamma": draw(st.sampled_from([1.0, 0.75, 2.0]))}
    regions = (classes,) if batch else (samples, classes)
    agree(draw, loss, arguments, ["input", "target"], **keywords_for(draw, regions, 5))


@pytest.mark.parametrize("loss", ["multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss"])
@given(data=st.data())
def test_margins_of_any_layout(loss, data):
    draw = data.draw
    rows, classes = draw(st.sampled_from([0, 1, 3, 7, 70])), draw(CLASSES)
    shape = (rows, classes)
    arguments: Arguments = {
        "input": repeated(draw, spiced(draw, random_tensor(shape, 0, -2.0, 2.0)).to(draw(FLOATING)), True)
    }
    if loss == "multi_margin_loss":
        labels = (random_tensor((rows,), 1, 0.0, 0.999) * classes).long()
        arguments |= {"p": draw(st.sampled_from([1, 2])), "margin": draw(st.sampled_from([1.0, 0.3]))}
    elif loss == "multilabel_margin_loss":
        labels = (random_tensor(shape, 1, -0.2, 0.999) * classes).floor().long().clamp(min=-1)
    else:
        labels = (random_tensor(shape, 1) > 0).to(draw(FLOATING))
    if not labels.is_floating_point():
        labels = labels.to(draw(LABELS.filter(lambda d: d != torch.uint8)) if classes < 128 else torch.int64)
    arguments["target"] = repeated(draw, labels, True)
    if loss != "multilabel_margin_loss" and draw(st.booleans()):
        arguments["weight"] = random_tensor((classes,), 3, 0.2, 2.0, draw(FLOATING))
    agree(draw, getattr(LF, loss), arguments, ["input"], **keywords_for(draw, (rows,), 5))


VECTORS = ("contrastive_loss", "cosine_embedding_loss", "triplet_margin_loss", "triplet_margin_with_distance_loss")


@pytest.mark.parametrize("loss", VECTORS)
@given(data=st.data())
def test_vectors_of_any_layout(loss, data):
    draw = data.draw
    pairs = not loss.startswith("triplet")
    names = ("input1", "input2") if pairs else ("anchor", "positive", "negative")
    batch = draw(shapes(0, 1 if pairs else 2))
    # the cosine of vectors of one number is 1 or -1, and its gradient cancels to the rounding of terms of size 1 / |x|
    widths = [2, 5, 16, 33, 300] if loss == "cosine_embedding_loss" else [1, 2, 5, 16, 33, 300]
    shape = (*batch, draw(st.sampled_from(widths)))
    arguments: Arguments = {}
    for i, name in enumerate(names):
        values = spiced(draw, random_tensor(shape, i, -2.0, 2.0)).to(draw(FLOATING))
        arguments[name] = repeated(draw, values, True if loss == "triplet_margin_with_distance_loss" else None)
        # vectors of different widths run the reference
        assume(arguments[name].dim() == len(shape) and arguments[name].shape[-1] == shape[-1])
    batch = tuple(torch.broadcast_shapes(*(a.shape for a in arguments.values()))[:-1])
    if pairs:
        arguments["target"] = laid_out(draw, random_tensor(batch, 4).sign())
    if loss == "cosine_embedding_loss":
        arguments["margin"] = draw(st.sampled_from([0.0, -0.3]))
    if loss in ("contrastive_loss", "triplet_margin_loss"):
        arguments |= {"p": draw(st.sampled_from([1.0, 2.0, 3.0, float("inf")])), "squared": draw(st.booleans())}
        # next to a vector that is nearly 0 unit vectors turn without bound
        arguments["normalize"] = shape[-1] > 1 and draw(st.booleans())
    if loss == "contrastive_loss":
        arguments |= {"positive_margin": draw(st.sampled_from([0.0, 0.5])), "eps": draw(st.sampled_from([0.0, 1e-3]))}
    elif loss == "triplet_margin_loss":
        arguments["swap"] = draw(st.booleans())
    agree(draw, getattr(LF, loss), arguments, list(names), **keywords_for(draw, batch, 5))


@pytest.mark.parametrize("p", [1, 2, 3])
@given(data=st.data())
def test_distributions_of_any_layout(p, data):
    draw = data.draw
    batch = draw(shapes(0, 2))
    arguments: Arguments = {"p": p}
    for i, name in enumerate(("input", "target")):
        size = draw(st.sampled_from([1, 2, 5, 16, 60, 300]))
        whole = (*batch, size)
        # masses that end together have several derivatives, which rounding may choose from
        masses = random_tensor(whole, i + 2, 0.2, 2.0)
        values = spiced(draw, random_tensor(whole, i, -2.0, 2.0)).to(draw(FLOATING))
        arguments[name] = with_samples(repeated(draw, values), size)
        if draw(st.booleans()):
            masses[random_tensor(whole, i + 4) > 0.8] = 0
            masses[..., :1] = 1
            arguments[f"{name}_weight"] = laid_out(draw, masses.to(draw(FLOATING)))
    tensors = [a for a in arguments.values() if isinstance(a, Tensor)]
    heads = [a.shape[:-1] for a in tensors]
    whole = tuple(torch.broadcast_shapes(*heads))
    agree(draw, LF.wasserstein_loss, arguments, [n for n in arguments if n != "p"], **keywords_for(draw, whole, 5))


def with_samples(values: Tensor, size: int) -> Tensor:
    """The values with as many samples as before their last dimension was reduced to one."""
    return values.expand(*values.shape[:-1], size) if values.dim() else values.expand(size)


@pytest.mark.parametrize("loss", ["ctc_loss", "ctc_loss_with_logits"])
@given(data=st.data())
def test_sequences_of_any_length(loss, data):
    draw = data.draw
    samples, classes = draw(st.integers(0, 4)), draw(st.sampled_from([2, 3, 7, 40]))
    frames, most = draw(st.integers(1, 12)), draw(st.integers(0, 5))
    blank = draw(st.integers(0, classes - 1))
    scores = random_tensor((frames, samples, classes), 0, -3.0, 3.0)
    if scores.numel() and draw(st.integers(0, 3)) == 0:
        scores.view(-1)[draw(st.integers(0, scores.numel() - 1))] = draw(st.sampled_from([-math.inf, -1e4, math.nan]))
    if loss == "ctc_loss":
        scores = scores.log_softmax(2)
    lengths = torch.tensor([draw(st.integers(0, most)) for _ in range(samples)], dtype=torch.int64)
    labels = (random_tensor((samples, most), 1, 0.0, 0.999) * (classes - 1)).long()
    labels = labels + (labels >= blank)
    if draw(st.booleans()):
        labels = torch.cat([row[:length] for row, length in zip(labels, lengths, strict=True)] or [labels.reshape(0)])
    arguments: Arguments = {
        "log_probs" if loss == "ctc_loss" else "logits": laid_out(draw, scores.to(draw(FLOATING))),
        "targets": labels.to(draw(LABELS)),
        "input_lengths": torch.tensor([draw(st.integers(0, frames)) for _ in range(samples)], dtype=torch.int64),
        "target_lengths": lengths.to(draw(LABELS)),
        "blank": blank,
        "zero_infinity": draw(st.booleans()),
    }
    agree(draw, getattr(LF, loss), arguments, [next(iter(arguments))], **keywords_for(draw, (samples,), 5))


# ----- what those found -----


def many_dimensions(dims: int) -> tuple[Tensor, Tensor]:
    """Two tensors of many dimensions, no two of which lie in one run in both."""
    x, y = random_tensor([2] * dims, 0), random_tensor([2] * dims, 1)
    return x, y.permute([*range(1, dims, 2), *range(0, dims, 2)])


@pytest.mark.parametrize("dims", [8, 9, 12])
def test_more_than_8_dimensions_are_left_to_the_reference(dims):
    x, y = many_dimensions(dims)
    for loss, arguments in {
        LF.mse_loss: {"input": x, "target": y},
        LF.l1_loss: {"input": x, "target": x.flip(0), "sample_weight": y.abs()},
        LF.huber_loss: {"input": x, "target": x.flip(0), "mask": y > 0},
        LF.cross_entropy: {"input": y, "target": x[0].sign().clamp(min=0).long(), "dim": 0},
    }.items():
        dispatch = explain_dispatch(loss, **arguments)
        assert dispatch.backend == ("native" if dims <= 8 else "reference"), loss
        assert dims <= 8 or "8 dimensions" in dispatch.reason
        found = evaluate(loss, arguments, ["input"], reduction="mean")
        with reference():
            same(found, evaluate(loss, arguments, ["input"], reduction="mean"))


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 4), (0, 0)], ids=str)
@each_reduction
def test_nothing_at_all(shape, reduction):
    arguments = {"input": torch.zeros(shape), "target": torch.zeros(shape)}
    one = torch.tensor(1.0)
    weighed = {"mask": torch.ones(shape, dtype=torch.bool), "sample_weight": torch.ones(shape)}
    for keywords in ({}, {"mask": weighed["mask"]}, {"sample_weight": weighed["sample_weight"]}, weighed):
        with ran_natively():
            found = evaluate(LF.mse_loss, arguments, ["input"], one, reduction=reduction, **keywords)
        with reference():
            expected = evaluate(LF.mse_loss, arguments, ["input"], one, reduction=reduction, **keywords)
        same(found, expected)


@pytest.mark.parametrize("shapes", [((4, 1), (4, 3)), ((4, 3), (1, 1)), ((1,), (3,))], ids=str)
def test_vectors_of_one_number_are_torchs(shapes):
    """torch repeats such a vector in the product of both, and not in its own length."""
    x, y = (random_tensor(shape, i) for i, shape in enumerate(shapes))
    target = random_tensor(torch.broadcast_shapes(*shapes)[:-1], 3).sign()
    same(
        evaluate(LF.cosine_embedding_loss, {"input1": x, "input2": y, "target": target}, ["input1", "input2"]),
        evaluate(F.cosine_embedding_loss, {"input1": x, "input2": y, "target": target}, ["input1", "input2"]),
    )


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("wide", ["anchor", "positive", "negative"])
def test_triplets_of_which_one_is_wider_are_torchs(wide, p):
    arguments = {
        n: random_tensor((4, 5 if n == wide else 1), i) for i, n in enumerate(("anchor", "positive", "negative"))
    }
    for swap in (False, True):
        keywords = {"p": p, "swap": swap, "margin": 5.0}
        same(
            evaluate(LF.triplet_margin_loss, arguments, [*arguments], **keywords),
            evaluate(F.triplet_margin_loss, arguments, [*arguments], **keywords),
        )


CLASS_LAYOUTS = {
    "classes outside": lambda t: t.contiguous(),
    "classes inside": lambda t: t.movedim(1, -1).contiguous().movedim(-1, 1),
    "one number for all classes": lambda t: t[:, :1].expand(t.shape),
}


@pytest.mark.parametrize("classes", [47, 48, 49, 300])
@each_isa
@each_dtype
def test_classes_lie_otherwise_in_the_target_than_in_the_input(dtype, isa, classes):
    """Vectors run across the rows of one, and along those of the other, or of its gradient."""
    x = random_tensor((3, classes, 20), 0, -3.0, 3.0, dtype)
    q = random_tensor((3, classes, 20), 1).softmax(1).to(dtype)
    labels = (random_tensor((3, 20), 2, 0.0, 0.999) * classes).long()
    for of_input, of_target in itertools.product(CLASS_LAYOUTS.values(), repeat=2):
        for target, leaves in ((of_target(q), ["input"]), (of_target(q), ["input", "target"]), (labels, ["input"])):
            arguments = {"input": of_input(x), "target": target}
            with ran_natively():
                found = evaluate(LF.cross_entropy, arguments, leaves)
            with reference():
                same(found, evaluate(LF.cross_entropy, arguments, leaves))


@pytest.mark.parametrize("native", [True, False], ids=["kernel", "reference"])
@pytest.mark.parametrize("loss", [LF.mse_loss, LF.l1_loss, LF.huber_loss], ids=lambda f: f.__name__)
def test_a_mask_of_true_changes_nothing(loss, native):
    """Where torch's weight is smaller than the loss too, whose mean divides by the sum of the weight as it is given."""
    x, y, weight = torch.rand(2, 1), torch.rand(1, 3), torch.rand(2, 1)
    with warnings.catch_warnings(), contextlib.nullcontext() if native else reference():
        warnings.simplefilter("ignore", LossWarning)
        expected = loss(x, y, weight=weight)
        for shape in ((), (1,), (2, 1), (1, 3), (2, 3)):
            same(loss(x, y, weight=weight, mask=torch.ones(shape, dtype=torch.bool)), expected)
            same(loss(x, y, weight=weight, sample_weight=torch.ones(shape)), expected)
