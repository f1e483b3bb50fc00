"""What holds for every loss: weights, masks, normalisers, empty batches, layouts, half precision, copies, passes."""

import copy
import itertools
import math
import pickle

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import lossmith
import lossmith.functional as LF
from cases import CASES, Arguments, Case, call_arguments
from lossmith.losses import all_losses

REDUCTIONS = ("none", "sum", "mean", "batchmean")
each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)
few = settings(max_examples=max(4, settings().max_examples // 10))


def random_tensor(shape, seed: int, low: float = -1.0, high: float = 1.0, dtype=torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.empty(shape, dtype=torch.float64).uniform_(low, high, generator=generator).to(dtype)


def weights_for(shape, seed: int = 1, dtype=torch.float64) -> torch.Tensor:
    return random_tensor(shape, seed, 0.2, 2.0, dtype)


def mask_for(shape, seed: int = 2) -> torch.Tensor:
    """Some True, some False, in every batch of two or more."""
    mask = random_tensor(shape, seed) > -0.3
    mask[0], mask[1:2] = True, False
    return mask


def per_row(shape) -> list[int]:
    return [shape[0], *[1] * (len(shape) - 1)]


def evaluate(case: Case, arguments: Arguments, upstream: int | None = 3, **keywords):
    """The loss and its gradients in everything that has one, for a random upstream gradient."""
    leaves = {name: arguments[name].detach().clone().requires_grad_() for name in case.differentiable}
    if isinstance(keywords.get("sample_weight"), torch.Tensor):
        leaves["sample_weight"] = keywords["sample_weight"].detach().clone().requires_grad_()
    loss = case.function(**{**arguments, **keywords, **leaves})
    gradient = random_tensor(loss.shape, upstream, dtype=loss.dtype) if upstream else torch.ones_like(loss)
    gradients = torch.autograd.grad(loss, list(leaves.values()), gradient, allow_unused=True)
    return loss.detach(), dict(zip(leaves, gradients, strict=True))


def same(given, expected, **tolerances) -> None:
    torch.testing.assert_close(given, expected, equal_nan=True, **tolerances)


def identical(given, expected) -> None:
    same(given, expected, rtol=0, atol=0)


# ----- weights, masks, normalisers -----


def expected_reduction(case: Case, arguments: Arguments, each: torch.Tensor, reduction, weight, mask, normalizer):
    """docs/reductions.md on the unreduced losses."""
    rest, kept = arguments, slice(None)
    if case.together and mask is not None:  # those of the rows that remain
        kept = mask.expand(each.shape)
        rest = case.rows(arguments, kept.nonzero().flatten())
        each = torch.zeros_like(each).masked_scatter(kept, case.function(**rest, reduction="none"))
    one = torch.ones_like(each)

    def of_rows(count):
        found = one.clone()
        found[kept] = count(rest) * one[kept]
        return found

    counted = one if case.counted is None else of_rows(case.counted)
    share = counted if case.share is None else of_rows(case.share)
    weighed = share if case.weighted is None else of_rows(case.weighted)
    s = one if weight is None else weight.expand(each.shape)
    m = one.bool() if mask is None else mask.expand(each.shape)
    if reduction == "mean" and case.term is not None:
        each = each / case.term(arguments)
    values = torch.where(m, s * each, 0)
    if reduction == "none":
        return values
    if reduction == "sum":
        return values.sum()
    if isinstance(normalizer, str):
        divisor = (m * s * counted * (one if normalizer == "count" else weighed)).sum()
    elif normalizer is not None:
        divisor = normalizer
    elif reduction == "mean":
        divisor = (m * s * share).sum()
    else:
        divisor = (m * s * counted).sum() / math.prod(each.shape[1:])
    return values.sum() / divisor


@each_reduction
@each_case
def test_p29_weights_masks_and_normalizers(case, reduction):
    arguments = case()
    shape = case.shape(arguments)
    each = case.function(**arguments, reduction="none")
    assert each.shape == shape
    weights = (None, weights_for(shape), weights_for(per_row(shape)), torch.tensor(0.7, dtype=torch.float64))
    masks = (None, mask_for(shape), mask_for(per_row(shape)))
    normalizers = (None,)
    if reduction in ("mean", "batchmean"):
        normalizers = (None, 7, 0.5, torch.tensor([[3.0]], dtype=torch.float64), "count", "weight")
    for s, m, n in itertools.product(weights, masks, normalizers):
        loss = case.function(**arguments, reduction=reduction, sample_weight=s, mask=m, normalizer=n)
        expected = expected_reduction(case, arguments, each, reduction, s, m, n)
        torch.testing.assert_close(loss, expected.reshape(loss.shape), msg=lambda e, at=(s, m, n): f"{at}: {e}")


@each_reduction
@each_case
def test_p29_nothing_masked_enters_the_value_or_a_gradient(case, reduction):
    check_masked(case, reduction)


@pytest.mark.parametrize("loss", ["mse_loss", "smooth_l1_loss", "huber_loss"])
def test_p28_a_masked_nan_target_gives_no_nan_gradient(loss):
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = torch.tensor([0.5, math.nan, 1.5])
    mask = ~y.isnan()
    function = getattr(LF, loss)
    value = function(x, y, mask=mask)
    torch.testing.assert_close(value, function(x[mask], y[mask]))
    value.backward()
    kept = torch.autograd.grad(function(x[mask], y[mask]), x)[0]
    torch.testing.assert_close(x.grad, kept)
    assert x.grad[1] == 0


def check_masked(case: Case, reduction: str) -> None:
    arguments = case()
    shape = case.shape(arguments)
    mask = mask_for(shape)
    s = weights_for(shape)
    clean, clean_gradients = evaluate(case, arguments, reduction=reduction, mask=mask, sample_weight=s)
    spoiled = case.spoil(arguments, mask)
    spoiled_weight = torch.where(mask, s, math.nan)
    loss, gradients = evaluate(case, spoiled, reduction=reduction, mask=mask, sample_weight=spoiled_weight)
    identical(loss, clean)
    identical(gradients, clean_gradients)
    for name, gradient in gradients.items():
        if name == "sample_weight" or name in case.axes:
            place = mask if name == "sample_weight" else case.align(mask, name).expand(gradient.shape)
            assert (gradient[~place] == 0).all(), f"the gradient in {name} is not 0 where it is masked"
    if reduction == "none":
        assert (loss[~mask] == 0).all()


@each_case
def test_p29_nothing_masked_enters_a_second_derivative(case):
    arguments = case()
    mask = mask_for(case.shape(arguments))
    s = weights_for(mask.shape)
    clean = second_derivatives(case, arguments, mask=mask, sample_weight=s)
    spoiled = case.spoil(arguments, mask)
    identical(second_derivatives(case, spoiled, mask=mask, sample_weight=torch.where(mask, s, math.nan)), clean)


def second_derivatives(case: Case, arguments: Arguments, *, mask: torch.Tensor, sample_weight: torch.Tensor):
    """The gradients of a random combination of the gradients."""
    leaves = {name: arguments[name].detach().clone().requires_grad_() for name in case.differentiable}
    leaves["sample_weight"] = sample_weight.requires_grad_()
    loss = case.function(**{**arguments, **leaves}, mask=mask)
    first = torch.autograd.grad(loss, list(leaves.values()), create_graph=True)
    combined = sum((gradient * random_tensor(gradient.shape, 5)).sum() for gradient in first)
    second = torch.autograd.grad(combined, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(leaves, second, strict=True))


@few
@given(kept=st.lists(st.booleans(), min_size=1, max_size=5), seed=st.integers(0, 1000))
@example(kept=[True, False, True, True], seed=0)
@each_case
def test_p29_a_mask_leaves_the_rows_that_remain(case, kept, seed):
    arguments = case(len(kept), seed=seed)
    mask = torch.tensor(kept)
    rest = case.rows(arguments, mask.nonzero().flatten())
    shape = case.shape(arguments)
    s = weights_for(shape, seed)
    for reduction in ("sum", "mean", "batchmean"):
        for weight, weight_of_rest in ((None, None), (s, s[mask])):
            keywords = {"reduction": reduction, "on_empty": "zero"}
            loss, gradients = evaluate(
                case, arguments, mask=mask.reshape(per_row(shape)), sample_weight=weight, **keywords
            )
            expected, of_rest = evaluate(case, rest, sample_weight=weight_of_rest, **keywords)
            same(loss, expected)
            for name, gradient in gradients.items():
                batch = 0 if name == "sample_weight" else case.axes.get(name, "").find("n")
                if batch >= 0:
                    same(gradient.index_select(batch, mask.nonzero().flatten()), of_rest[name])
                else:
                    same(gradient, of_rest[name])


def test_p05_a_mask_works_with_every_kind_of_target():
    x = random_tensor((3, 4), 0)
    labels = torch.tensor([1, 3, 2])
    rows = torch.tensor([True, False, True])
    probabilities = torch.nn.functional.one_hot(labels, 4).double()
    for target in (labels, probabilities):
        for smoothing in (0.0, 0.1):
            masked = LF.cross_entropy(x, target, mask=rows, label_smoothing=smoothing)
            torch.testing.assert_close(masked, LF.cross_entropy(x[rows], target[rows], label_smoothing=smoothing))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_p04_ignored_rows_leave_the_result_on_those_that_remain(smoothing):
    x = random_tensor((4, 3, 2), 0).requires_grad_()
    y = torch.tensor([[0, -1], [2, 1], [-1, -1], [1, 0]])
    weight = torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64)
    settings = {"weight": weight, "label_smoothing": smoothing}
    kept = x.movedim(1, 2)[y >= 0], y[y >= 0]
    for reduction in ("sum", "mean"):
        loss = LF.cross_entropy(x, y, ignore_index=-1, reduction=reduction, **settings)
        expected = LF.cross_entropy(*kept, reduction=reduction, **settings)
        torch.testing.assert_close(loss, expected)
        (gradient,) = torch.autograd.grad(loss, x)
        torch.testing.assert_close(gradient, torch.autograd.grad(expected, x, retain_graph=True)[0])
        assert (gradient.movedim(1, 2)[y < 0] == 0).all()


def test_p02_one_normaliser_for_labels_and_for_the_same_one_hot():
    x, y = random_tensor((5, 3), 0), torch.tensor([0, 1, 2, 2, 1])
    weight = torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64)
    hot = torch.nn.functional.one_hot(y, 3).double()
    assert not torch.allclose(LF.cross_entropy(x, y, weight), LF.cross_entropy(x, hot, weight))  # as torch
    for normalizer in ("count", "weight"):
        of_labels = LF.cross_entropy(x, y, weight, normalizer=normalizer)
        torch.testing.assert_close(of_labels, LF.cross_entropy(x, hot, weight, normalizer=normalizer))


@pytest.mark.parametrize("loss", ["cross_entropy", "nll_loss"])
def test_p03_a_class_weight_counts_at_batch_size_1(loss):
    x, y = random_tensor((1, 3), 0).log_softmax(1), torch.tensor([1])
    weight = torch.tensor([1.0, 5.0, 1.0], dtype=torch.float64)
    function = getattr(LF, loss)
    torch.testing.assert_close(function(x, y, weight), function(x, y))  # as torch: w / w
    torch.testing.assert_close(function(x, y, weight, normalizer="count"), 5 * function(x, y))
    torch.testing.assert_close(function(x, y, weight, normalizer=1), 5 * function(x, y))


# ----- nothing counts -----


@pytest.mark.parametrize("how", ["masked", "weights of 0", "no rows", "normalizer 0"])
@each_case
def test_on_empty(case, how):
    arguments = case(0 if how == "no rows" else 3)
    shape = case.shape(arguments)
    keywords = {}
    if how == "masked":
        keywords["mask"] = torch.zeros(shape, dtype=torch.bool)
        arguments = case.spoil(arguments, keywords["mask"])
    elif how == "weights of 0":
        keywords["sample_weight"] = torch.zeros(shape, dtype=torch.float64)
    elif how == "normalizer 0":
        keywords["normalizer"] = torch.tensor(0.0)
    reductions = ["mean", "batchmean"]
    for reduction in reductions:
        as_torch, _ = evaluate(case, arguments, reduction=reduction, **keywords)
        assert not as_torch.isfinite()
        zero, gradients = evaluate(case, arguments, reduction=reduction, on_empty="zero", **keywords)
        assert zero == 0 and zero.shape == ()
        assert all((gradient == 0).all() for gradient in gradients.values() if gradient is not None)
        with pytest.raises(ValueError, match=rf"{case.loss}: nothing counts towards the mean.*on_empty='zero'"):
            case.function(**arguments, reduction=reduction, on_empty="error", **keywords)
    if "normalizer" not in keywords:
        identical(evaluate(case, arguments, reduction="sum", **keywords)[0], torch.zeros((), dtype=torch.float64))


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "NLLLoss"])
def test_p01_every_target_ignored(name):
    x = torch.zeros(2, 3, requires_grad=True)
    y = torch.tensor([-100, -100])
    module = getattr(lossmith, name)
    assert module()(x, y).isnan()  # as torch
    zero = module(on_empty="zero")(x, y)
    assert zero.item() == 0
    zero.backward()
    assert torch.equal(x.grad, torch.zeros(2, 3))
    with pytest.raises(ValueError, match="nothing counts"):
        module(on_empty="error")(x, y)


@each_case
def test_no_rows(case):
    arguments = case(0)
    loss, gradients = evaluate(case, arguments, reduction="none")
    assert loss.shape == case.shape(arguments) and loss.numel() == 0
    assert {name: g.shape for name, g in gradients.items()} == {n: arguments[n].shape for n in gradients}


# ----- gradients -----


SETTINGS = {
    "none": {"reduction": "none"},
    "mean": {"reduction": "mean"},
    "masked, weighed": {"mask": torch.tensor([True, False, True, True]), "normalizer": "weight"},
}


@pytest.mark.parametrize("keywords", SETTINGS.values(), ids=SETTINGS)
@each_case
def test_p19_gradients_against_finite_differences(case, keywords):
    arguments = case(4 if case.together else 2)
    shape = case.shape(arguments)
    names = [*case.differentiable, "sample_weight"]
    points = [{**arguments, "sample_weight": weights_for(shape)}[name].requires_grad_() for name in names]
    if "mask" in keywords:
        keywords = {**keywords, "mask": keywords["mask"][: shape[0]].reshape(per_row(shape))}

    def loss(*values: torch.Tensor) -> torch.Tensor:
        return case.function(**{**arguments, **dict(zip(names, values, strict=True))}, **keywords)

    torch.autograd.gradcheck(loss, points)


@each_case
def test_p19_a_random_upstream_gradient(case):
    arguments = case()
    shape = case.shape(arguments)
    upstream = random_tensor(shape, 11)
    for reduction in ("sum", "mean"):
        _, of_one = evaluate(case, arguments, upstream=None, reduction=reduction)
        loss, gradients = evaluate(case, arguments, upstream=11, reduction=reduction)
        factor = random_tensor(loss.shape, 11)
        same(gradients, {name: g * factor for name, g in of_one.items()})
    # rows of the batch weighed by the upstream gradient, or by sample weights, are one thing
    _, unreduced = evaluate(case, arguments, upstream=11, reduction="none")
    _, weighed = evaluate(case, arguments, upstream=None, reduction="sum", sample_weight=upstream)
    weighed.pop("sample_weight")
    same(unreduced, weighed)


# ----- inputs and passes -----


@each_reduction
@each_case
def test_p19_inputs_are_not_written_and_the_answer_is_always_the_same(case, reduction):
    arguments = case()
    shape = case.shape(arguments)
    leaves = {name: arguments[name].requires_grad_() for name in case.differentiable}
    everything = {**arguments, "sample_weight": weights_for(shape), "mask": mask_for(shape)}
    tensors = {name: value for name, value in everything.items() if isinstance(value, torch.Tensor)}
    before = {name: (value.detach().clone(), value._version) for name, value in tensors.items()}

    loss = case.function(**everything, reduction=reduction)
    upstream = random_tensor(loss.shape, 3)
    first = torch.autograd.grad(loss, list(leaves.values()), upstream, retain_graph=True)
    kept = [gradient.clone() for gradient in first]
    second = torch.autograd.grad(loss, list(leaves.values()), upstream)
    identical(second, first)
    identical(list(first), kept)

    again = case.function(**everything, reduction=reduction)
    identical(again, loss)
    identical(torch.autograd.grad(again, list(leaves.values()), upstream), first)
    for name, value in tensors.items():
        identical(value.detach(), before[name][0])
        assert value._version == before[name][1], f"{name} was written"
    # gradients do not share memory with what the caller holds
    places = {value.untyped_storage().data_ptr() for value in (*tensors.values(), upstream)}
    for gradient in first:
        gradient.zero_()
    identical(list(second), kept)
    for name, value in tensors.items():
        identical(value.detach(), before[name][0])
    assert places


LAYOUTS = {
    "strided": lambda t: t.repeat_interleave(2, dim=-1)[..., ::2],
    "transposed": lambda t: t.transpose(0, -1).contiguous().transpose(0, -1),
    "offset": lambda t: torch.cat([t[:1], t])[1:],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@each_case
def test_memory_layouts(case, layout):
    arguments = case()
    shape = case.shape(arguments)
    keywords = {"sample_weight": weights_for(shape), "mask": mask_for(shape)}
    change = LAYOUTS[layout]

    def laid_out(values):
        return {n: change(v) if isinstance(v, torch.Tensor) and v.dim() else v for n, v in values.items()}

    for reduction in REDUCTIONS:
        same(
            evaluate_in_place(case, laid_out(arguments), reduction=reduction, **laid_out(keywords)),
            evaluate_in_place(case, arguments, reduction=reduction, **keywords),
        )


@each_case
def test_expanded_inputs(case):
    arguments = case(1)
    expanded, contiguous = dict(arguments), dict(arguments)
    for name, axes in case.axes.items():
        expanded[name] = arguments[name].expand([3 if axis == "n" else -1 for axis in axes])
        contiguous[name] = expanded[name].clone(memory_format=torch.contiguous_format)
    for reduction in REDUCTIONS:
        same(
            evaluate_in_place(case, expanded, reduction=reduction),
            evaluate_in_place(case, contiguous, reduction=reduction),
        )


def evaluate_in_place(case: Case, arguments: Arguments, **keywords) -> list[torch.Tensor]:
    """As evaluate, but the loss gets the tensors themselves, in their layout."""
    leaves = [arguments[name].detach().requires_grad_() for name in case.differentiable]
    loss = case.function(**{**arguments, **dict(zip(case.differentiable, leaves, strict=True))}, **keywords)
    return [loss.detach(), *torch.autograd.grad(loss, leaves, random_tensor(loss.shape, 3))]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize("case", [case for case in CASES if case.variant != "of one's own"], ids=str)
def test_p06_half_precision_is_the_float32_result_rounded_once(case, dtype):
    arguments = case(dtype=dtype)
    wide = {n: v.float() if isinstance(v, torch.Tensor) and v.is_floating_point() else v for n, v in arguments.items()}
    shape = case.shape(arguments)
    keywords = {"sample_weight": weights_for(shape, dtype=dtype), "mask": mask_for(shape)}
    wide_keywords = {**keywords, "sample_weight": keywords["sample_weight"].float()}
    for reduction in REDUCTIONS:
        loss, gradients = evaluate(case, arguments, upstream=None, reduction=reduction, **keywords)
        expected, expected_gradients = evaluate(case, wide, upstream=None, reduction=reduction, **wide_keywords)
        identical(loss, expected.to(dtype))
        identical(gradients, {name: g.to(dtype) for name, g in expected_gradients.items()})


# ----- Modules -----


@each_case
def test_modules_are_their_functions(case):
    arguments = case()
    shape = case.shape(arguments)
    for reduction in REDUCTIONS:
        module, called = case.module(arguments, reduction=reduction)
        identical(module(*called), case.function(**arguments, reduction=reduction))
        keywords = {"sample_weight": weights_for(shape), "mask": mask_for(shape)}
        identical(module(*called, **keywords), case.function(**arguments, reduction=reduction, **keywords))


@each_case
def test_settings_of_a_module_and_of_a_call(case):
    arguments = case()
    module, called = case.module(arguments, normalizer=7.0, on_empty="zero")
    nothing = torch.zeros(case.shape(arguments), dtype=torch.bool)
    identical(module(*called), case.function(**arguments, normalizer=7.0))
    identical(module(*called, normalizer="count"), case.function(**arguments, normalizer="count"))
    assert module(*called, mask=nothing, normalizer="count") == 0
    assert module(*called, mask=nothing, normalizer="count", on_empty="nan").isnan()
    assert "normalizer=7.0, on_empty='zero'" in repr(module)


@each_case
def test_modules_can_be_copied_pickled_and_saved(case):
    arguments = case()
    module, called = case.module(arguments, reduction="sum", on_empty="zero")
    expected = module(*called)
    for made in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert type(made) is type(module) and repr(made) == repr(module)
        identical(made(*called), expected)
        identical(dict(made.state_dict()), dict(module.state_dict()))
    module.load_state_dict(module.state_dict())
    single = copy.deepcopy(module).to(torch.float32)
    assert all(buffer.dtype == torch.float32 for buffer in single.buffers())


@pytest.mark.parametrize("name", all_losses())
def test_p53_a_bad_reduction_is_refused_in_the_constructor(name):
    module = all_losses()[name].module
    choices = "'none', 'mean', 'sum', 'batchmean'"
    for bad in ("average", "Mean", "", None, 1):
        with pytest.raises(ValueError, match=rf"{module.__name__}: .* is not a valid value for reduction; .*{choices}"):
            module(reduction=bad)
        arguments = next(case for case in CASES if case.loss == name)()
        with pytest.raises(ValueError, match=rf"{name}: .* is not a valid value for reduction"):
            all_losses()[name].function(**arguments, reduction=bad)


@pytest.mark.parametrize("name", all_losses())
def test_p53_other_bad_settings_are_refused_in_the_constructor(name):
    module = all_losses()[name].module
    with pytest.raises(ValueError, match=r"on_empty; write one of 'nan', 'zero', 'error'"):
        module(on_empty="none")
    with pytest.raises(ValueError, match="normalizer"):
        module(normalizer=-1)
    with pytest.raises(ValueError, match="normalizer replaces the denominator of a mean"):
        module(reduction="sum", normalizer=3)


@pytest.mark.parametrize("name", all_losses())
def test_p29_keywords_are_on_every_loss(name):
    for keyword in ("sample_weight", "mask"):
        bad = torch.ones(9, 9, 9, 9, 9, dtype=torch.bool if keyword == "mask" else torch.float64)
        arguments = next(case for case in CASES if case.loss == name)()
        with pytest.raises(ValueError, match=rf"{name}: {keyword} is \(9, 9, 9, 9, 9\).*without enlarging it"):
            all_losses()[name].function(**arguments, **{keyword: bad})
    with pytest.raises(TypeError, match="expected bool"):
        all_losses()[name].function(**arguments, mask=torch.ones(1))
    assert "mask" not in call_arguments(name), "it can be given by position"


@pytest.mark.parametrize("name", ["L1Loss", "MSELoss", "HuberLoss"])
def test_p30_modules_take_the_weight_of_their_functions(name):
    module = getattr(lossmith, name)
    x, y, weight = (random_tensor((2, 3), seed, low=0.1) for seed in range(3))
    functions = {"L1Loss": LF.l1_loss, "MSELoss": LF.mse_loss, "HuberLoss": LF.huber_loss}
    expected = functions[name](x, y, weight=weight)
    identical(module(weight=weight)(x, y), expected)
    identical(module()(x, y, weight=weight), expected)
    assert not torch.allclose(module()(x, y), expected)
    assert list(module(weight=weight).state_dict()) == ["weight"]


def test_p31_hubers_weight_keeps_torchs_denominator_and_sample_weight_has_one_rule():
    x, y, weight = (random_tensor((2, 3), seed, low=0.1) for seed in range(3))
    each = LF.huber_loss(x, y, reduction="none")
    torch.testing.assert_close(LF.huber_loss(x, y, weight=weight), (weight * each).sum() / 6)
    torch.testing.assert_close(LF.huber_loss(x, y, sample_weight=weight), (weight * each).sum() / weight.sum())
