"""Rows of the list of pains about losses over rows: nll, multi_margin, multilabel_margin and its soft form."""

import math
from collections.abc import Callable

import pytest
import torch
from functorch.compile import make_boxed_func
from torch import Tensor
from torch._dynamo.backends.common import aot_autograd
from torch.utils._python_dispatch import TorchDispatchMode

import lossmith
import lossmith.functional as LF

INF, NAN = math.inf, math.nan
REDUCTIONS = ("none", "mean", "sum", "batchmean")
INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8)

SETS = torch.tensor([[1, 3, -1, 0], [2, -1, -1, -1], [0, 1, 2, 3], [-1, 2, 0, 1], [3, 3, 0, -1]])
LABELS = torch.tensor([1, 0, 3, 3, 2])


def scores(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


def gradient(loss: Tensor, x: Tensor, upstream: Tensor | None = None) -> Tensor:
    return torch.autograd.grad(loss, x, upstream)[0]


# ----- textbook -----


def multi_margin_by_hand(x: Tensor, y: Tensor, p: int = 1, margin: float = 1.0) -> Tensor:
    rows = []
    for row, label in zip(x, y.tolist(), strict=True):
        others = [i for i in range(len(row)) if i != label]
        rows.append(sum(torch.relu(margin - row[label] + row[i]) ** p for i in others) / len(row))
    return torch.stack(rows)


def multilabel_margin_by_hand(x: Tensor, sets: Tensor) -> Tensor:
    rows = []
    for row, listed in zip(x, sets.tolist(), strict=True):
        inside = listed[: listed.index(-1)] if -1 in listed else listed
        outside = [i for i in range(len(row)) if i not in inside]
        pairs = [torch.relu(1 - row[j] + row[i]) for j in inside for i in outside]
        rows.append(sum(pairs, 0 * row.sum()) / len(row))
    return torch.stack(rows)


@pytest.mark.parametrize("p", [1, 2])
def test_multi_margin_is_the_sum_over_the_other_classes(p: int) -> None:
    x, upstream = scores(5, 4), torch.randn(5, dtype=torch.float64)
    ours = LF.multi_margin_loss(x, LABELS, p=p, margin=0.7, reduction="none")
    right = multi_margin_by_hand(x, LABELS, p, 0.7)
    torch.testing.assert_close(ours, right)
    torch.testing.assert_close(gradient(ours, x, upstream), gradient(right, x, upstream))


@pytest.mark.parametrize("draw", [torch.randn, lambda *shape: torch.randint(-2, 3, shape)], ids=["numbers", "ties"])
def test_multilabel_margin_is_the_sum_over_pairs(draw: Callable[..., Tensor]) -> None:
    x = draw(5, 4).double().requires_grad_()
    upstream = torch.randn(5, dtype=torch.float64)
    ours, right = LF.multilabel_margin_loss(x, SETS, reduction="none"), multilabel_margin_by_hand(x, SETS)
    torch.testing.assert_close(ours, right)
    torch.testing.assert_close(gradient(ours, x, upstream), gradient(right, x, upstream))


def test_multilabel_margin_of_large_scores_does_not_cancel() -> None:
    x = 1e6 + torch.tensor([[0.5, 0.25, 0.75, 0.0]])
    sets = torch.tensor([[1, 3, -1, -1]])
    pairs = [1.25, 1.5, 1.5, 1.75]
    assert LF.multilabel_margin_loss(x, sets).item() == sum(pairs) / 4


@pytest.mark.parametrize(
    "row", [[INF, 0.0, 1.0, 0.0], [0.0, INF, 1.0, 0.0], [0.0, -INF, -INF, 2.0], [NAN, 0.0, 1.0, 2.0]]
)
def test_multilabel_margin_has_torchs_infinities(row: list[float]) -> None:
    x, y = (torch.tensor([row], requires_grad=True) for _ in range(2))
    ours = LF.multilabel_margin_loss(x, SETS[:1])
    theirs = torch.nn.functional.multilabel_margin_loss(y, SETS[:1])
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradient(ours, x), gradient(theirs, y))


@pytest.mark.parametrize(
    "input, target", [((), ()), ((), (1,)), ((4,), ()), ((4,), (1,)), ((1, 4), ()), ((1, 4), (1,))]
)
def test_multi_margin_of_one_row_has_the_targets_shape(input: tuple[int, ...], target: tuple[int, ...]) -> None:
    x, y = torch.randn(input), torch.zeros(target, dtype=torch.int64)
    ours = LF.multi_margin_loss(x, y, reduction="none")
    torch.testing.assert_close(ours, torch.nn.functional.multi_margin_loss(x, y, reduction="none"))


# ----- nothing counts, weights, labels left out -----


@pytest.mark.parametrize("module", [False, True], ids=["function", "Module"])
def test_p01_every_target_ignored_in_nll(module: bool) -> None:
    x, y = scores(2, 3), torch.tensor([-100, -100])

    def loss(on_empty: str) -> Tensor:
        return lossmith.NLLLoss(on_empty=on_empty)(x, y) if module else LF.nll_loss(x, y, on_empty=on_empty)

    assert loss("nan").isnan()
    assert loss("zero").item() == 0
    assert torch.equal(gradient(loss("zero"), x), torch.zeros_like(x))
    with pytest.raises(ValueError, match="nothing counts towards the mean"):
        loss("error")


def test_p03_a_class_weight_of_nll_counts_at_batch_size_1() -> None:
    x, weight = torch.tensor([[-1.0, -2.0]]), torch.tensor([3.0, 5.0])
    assert LF.nll_loss(x, torch.tensor([1]), weight).item() == 2.0
    assert LF.nll_loss(x, torch.tensor([1]), weight, normalizer="count").item() == 10.0


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_p04_nll_with_ignored_rows_is_that_of_the_rows_that_remain(reduction: str) -> None:
    x, weight = scores(6, 3), torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64)
    y = torch.tensor([0, -100, 2, 1, -100, 2])
    rest = y != -100
    ours = LF.nll_loss(x, y, weight, reduction=reduction)
    torch.testing.assert_close(ours, LF.nll_loss(x[rest], y[rest], weight, reduction=reduction))
    assert torch.equal(gradient(ours, x)[~rest], torch.zeros(2, 3, dtype=torch.float64))


def test_what_an_ignored_row_holds_reaches_nothing() -> None:
    x, weight = scores(3, 4), torch.rand(4, dtype=torch.float64, requires_grad=True)
    spoiled = x.detach().clone()
    spoiled[1] = NAN
    spoiled.requires_grad_()
    loss = LF.nll_loss(spoiled, torch.tensor([1, -100, 2]), weight)
    of_scores, of_weight = torch.autograd.grad(loss, [spoiled, weight])
    assert loss.isfinite() and of_weight.isfinite().all()
    assert torch.equal(of_scores[1], torch.zeros(4, dtype=torch.float64))


def test_p15_nll_takes_the_class_dimension() -> None:
    x, y = torch.randn(2, 5, 3).log_softmax(-1), torch.randint(0, 3, (2, 5))
    right = torch.nn.functional.nll_loss(x.movedim(-1, 1), y)
    torch.testing.assert_close(LF.nll_loss(x, y, dim=-1), right)
    torch.testing.assert_close(lossmith.NLLLoss(dim=-1)(x, y), right)


# ----- labels out of range -----

Call = Callable[[Tensor, Tensor], Tensor]


def nll(x: Tensor, y: Tensor) -> Tensor:
    return LF.nll_loss(x, y, reduction="none")


def multi_margin(x: Tensor, y: Tensor) -> Tensor:
    return LF.multi_margin_loss(x, y, p=2, reduction="none")


def multilabel_margin(x: Tensor, y: Tensor) -> Tensor:
    """The label stands second in its row."""
    rows = torch.stack([torch.zeros_like(y), y, -torch.ones_like(y), -torch.ones_like(y)], -1)
    return LF.multilabel_margin_loss(x, rows, reduction="none")


ROWS = [
    ("P11", "nll_loss", nll),
    ("P35", "multi_margin_loss", multi_margin),
    ("P35", "multilabel_margin_loss", multilabel_margin),
]
each_row = pytest.mark.parametrize("name, call", [r[1:] for r in ROWS], ids=[f"{r[0]} {r[1]}" for r in ROWS])


@each_row
@pytest.mark.parametrize("label", [4, 1 << 40, -7])
def test_p11_p35_a_label_out_of_range_is_named(name: str, call: Call, label: int) -> None:
    where = r" \(position \(2, 1\)\)" if name == "multilabel_margin_loss" else ""
    with pytest.raises(IndexError, match=rf"{name}: label {label} in row 2{where} .*0 to 3 for 4 classes.*; "):
        call(scores(4, 4), torch.tensor([1, 0, label, 2]))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_p12_a_negative_label_is_an_error_whatever_the_reduction(reduction: str) -> None:
    with pytest.raises(IndexError, match=r"label -1 in row 1.*write ignore_index=-1 or mask="):
        LF.nll_loss(scores(3, 4), torch.tensor([1, -1, 2]), reduction=reduction)


def compiled(call: Call) -> Call:
    # the graph is what matters here, not what a compiler makes of it
    return torch.compile(call, backend="aot_eager", fullgraph=True)


def vectorised(call: Call) -> Call:
    return lambda x, y: torch.vmap(lambda a, b: call(a.unsqueeze(0), b.unsqueeze(0)).squeeze(0))(x, y)


@each_row
@pytest.mark.parametrize("way", [compiled, vectorised])
@pytest.mark.parametrize("label", [4, 1 << 40, -7, 3])
def test_p11_p35_where_labels_can_not_be_read_their_rows_are_nan(
    name: str, call: Call, way: Callable[[Call], Call], label: int
) -> None:
    x = scores(4, 4)
    good, maybe = torch.tensor([1, 0, 2, 2]), torch.tensor([1, 0, label, 2])
    upstream = torch.randn(4, dtype=torch.float64)
    ours = way(call)(x, maybe)
    of_ours = gradient(ours, x, upstream)
    if label == 3:
        torch.testing.assert_close(ours, call(x, maybe))
        torch.testing.assert_close(of_ours, gradient(call(x, maybe), x, upstream))
        return
    right = call(x, good)
    rest = [0, 1, 3]
    assert ours[2].isnan()
    torch.testing.assert_close(ours[rest], right[rest])
    torch.testing.assert_close(of_ours[rest], gradient(right, x, upstream)[rest])
    assert torch.equal(of_ours[2], torch.zeros(4, dtype=torch.float64))


@each_row
def test_p11_p35_labels_without_values(name: str, call: Call) -> None:
    assert call(scores(4, 4).to("meta"), torch.tensor([1, 0, 2, 2], device="meta")).shape == (4,)


@each_row
def test_a_masked_row_may_hold_anything(name: str, call: Call) -> None:
    x = scores(3, 4)
    spoiled = x.detach().index_fill(0, torch.tensor([1]), INF).requires_grad_()
    mask = torch.tensor([True, False, True])
    y = torch.tensor([1, 99, 2])
    rows = torch.stack([y, -torch.ones_like(y), y, y], -1) if name == "multilabel_margin_loss" else y
    function = getattr(LF, name)
    ours = function(spoiled, rows, mask=mask)
    right = function(x[[0, 2]], rows[[0, 2]])
    torch.testing.assert_close(ours, right)
    of_ours = gradient(ours, spoiled)
    torch.testing.assert_close(of_ours[[0, 2]], gradient(right, x)[[0, 2]])
    assert torch.equal(of_ours[1], torch.zeros(4, dtype=torch.float64))


@each_row
def test_a_mask_that_does_not_fit_is_refused(name: str, call: Call) -> None:
    y = SETS[:2] if name == "multilabel_margin_loss" else LABELS[:2]
    with pytest.raises(ValueError, match=rf"{name}: mask is \(3,\) bool, expected a shape that broadcasts.*\(2,\)"):
        getattr(LF, name)(scores(2, 4), y, mask=torch.ones(3, dtype=torch.bool))


def test_a_mask_of_the_soft_margin_is_of_rows() -> None:
    with pytest.raises(ValueError, match=r"mask is \(2, 4\) bool.*unreduced loss \(2,\)"):
        LF.multilabel_soft_margin_loss(scores(2, 4), torch.ones(2, 4), mask=torch.ones(2, 4, dtype=torch.bool))


# ----- dtypes -----


@pytest.mark.parametrize("dtype", INTEGERS)
def test_p13_labels_of_any_integer_dtype(dtype: torch.dtype) -> None:
    x = scores(5, 4)
    for function, y in ((LF.nll_loss, LABELS), (LF.multi_margin_loss, LABELS), (LF.multilabel_margin_loss, SETS)):
        if dtype == torch.uint8 and y is SETS:
            y = y.where(y >= 0, 0)
        torch.testing.assert_close(function(x, y.to(dtype)), function(x, y))


def test_p13_weights_are_cast_to_the_scores() -> None:
    x, weight = scores(5, 4, dtype=torch.float32), torch.tensor([0.5, 2.0, 1.5, 1.0], dtype=torch.float64)
    for function in (LF.nll_loss, LF.multi_margin_loss):
        ours = function(x, LABELS, weight=weight)
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, function(x, LABELS, weight=weight.float()))


@pytest.mark.parametrize("function", [LF.nll_loss, LF.multi_margin_loss, LF.multilabel_margin_loss])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.complex64])
def test_labels_that_are_no_integers_are_refused(function: Callable[..., Tensor], dtype: torch.dtype) -> None:
    y = SETS if function is LF.multilabel_margin_loss else LABELS
    with pytest.raises(RuntimeError, match=r"target is .*expected class indices.*write target\.long\(\)"):
        function(scores(5, 4), y.to(dtype))


# ----- shapes -----


def test_a_target_of_the_inputs_shape_is_not_taken_for_probabilities() -> None:
    with pytest.raises(RuntimeError, match=r"expected labels of shape \(2,\).*give one label for each row"):
        LF.nll_loss(scores(2, 3), torch.zeros(2, 3, dtype=torch.int64))


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 0), (0,)])
def test_scores_of_margins_are_rows(shape: tuple[int, ...]) -> None:
    for function in (LF.multi_margin_loss, LF.multilabel_margin_loss):
        with pytest.raises(RuntimeError, match=r"expected non-empty scores of shape \(C\) or \(N, C\)"):
            function(torch.zeros(shape), torch.zeros(shape[:-1], dtype=torch.int64))


def test_shorter_rows_of_labels_are_shown_how_to_be_padded() -> None:
    x, y = scores(1, 4), torch.tensor([[1, 2]])
    with pytest.raises(RuntimeError, match=r"inconsistent target size.*pad\(target, .*value=-1\)"):
        LF.multilabel_margin_loss(x, y)
    padded = torch.nn.functional.pad(y, (0, x.shape[-1] - y.shape[-1]), value=-1)
    torch.testing.assert_close(
        LF.multilabel_margin_loss(x, padded), LF.multilabel_margin_loss(x, torch.tensor([[1, 2, -1, -1]]))
    )


def test_p27_an_outer_broadcast_of_the_soft_margin_warns() -> None:
    with pytest.warns(lossmith.LossWarning, match=r"\(3, 1\).*\(1, 4\).*broadcast to \(3, 4\)"):
        LF.multilabel_soft_margin_loss(torch.zeros(3, 1), torch.zeros(1, 4))
    LF.multilabel_soft_margin_loss(torch.zeros(3, 1), torch.zeros(1, 4), reduction="none")


# ----- infinite logits -----


def test_p34_a_right_answer_at_an_infinite_logit_costs_nothing() -> None:
    x = torch.tensor([[INF, -INF, 0.0]], requires_grad=True)
    loss = LF.multilabel_soft_margin_loss(x, torch.tensor([[1.0, 0.0, 1.0]]))
    torch.testing.assert_close(loss, torch.tensor(math.log(2) / 3))
    torch.testing.assert_close(gradient(loss, x), torch.tensor([[0.0, 0.0, -0.5 / 3]]))


def test_p34_a_wrong_answer_at_an_infinite_logit_costs_infinitely() -> None:
    x = torch.tensor([[INF, 0.0], [-INF, 0.0]], requires_grad=True)
    loss = LF.multilabel_soft_margin_loss(x, torch.tensor([[0.0, 1.0], [1.0, 0.0]]), reduction="none")
    assert torch.equal(loss, torch.tensor([INF, INF]))
    torch.testing.assert_close(gradient(loss.sum(), x), torch.tensor([[0.5, -0.25], [-0.5, 0.25]]))


# ----- what torch's margins lack -----

MARGINS = [(LF.multi_margin_loss, LABELS), (LF.multilabel_margin_loss, SETS)]
each_margin = pytest.mark.parametrize("function, target", MARGINS, ids=["multi", "multilabel"])


@each_margin
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_p37_margins_in_half_precision(function: Callable[..., Tensor], target: Tensor, dtype: torch.dtype) -> None:
    x = torch.randn(5, 4).to(dtype).requires_grad_()
    exact = x.detach().double().requires_grad_()
    ours, right = function(x, target), function(exact, target)
    assert ours.dtype == dtype
    torch.testing.assert_close(ours, right.to(dtype), rtol=0, atol=0)
    torch.testing.assert_close(gradient(ours, x), gradient(right, exact).to(dtype))


@each_margin
def test_p37_margins_have_every_derivative(function: Callable[..., Tensor], target: Tensor) -> None:
    x = scores(5, 4)
    settings = {"p": 2} if function is LF.multi_margin_loss else {}

    def loss(x: Tensor) -> Tensor:
        return function(x, target, reduction="none", **settings)

    assert torch.autograd.gradcheck(loss, x, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(loss, x, check_fwd_over_rev=True)


@each_margin
def test_p37_margins_under_vmap(function: Callable[..., Tensor], target: Tensor) -> None:
    x = scores(3, 5, 4)
    right = torch.stack([function(row, target) for row in x])
    torch.testing.assert_close(torch.vmap(lambda row: function(row, target))(x), right)
    targets = torch.stack([target, target.roll(1, 0), target])
    right = torch.stack([function(row, t) for row, t in zip(x, targets, strict=True)])
    torch.testing.assert_close(torch.vmap(function)(x, targets), right)
    of_each = torch.func.vmap(torch.func.grad(function))(x, targets)
    torch.testing.assert_close(of_each, gradient(right.sum(), x))


class Largest(TorchDispatchMode):
    """How many elements the largest result of an operation has."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


def test_p37_multilabel_margin_needs_memory_of_the_inputs_size() -> None:
    x, sets = scores(30, 20), torch.stack([torch.randperm(20) for _ in range(30)])
    sets[:, 10:] = -1
    with Largest() as largest:
        gradient(LF.multilabel_margin_loss(x, sets), x)
    assert x.numel() <= largest.elements <= 2 * x.numel()


def test_p37_multilabel_margin_needs_memory_of_the_inputs_size_compiled() -> None:
    x, sets = scores(30, 20), torch.stack([torch.randperm(20) for _ in range(30)])
    sets[:, 10:] = -1
    found = []

    def backend(graph: torch.fx.GraphModule, example: list[Tensor]) -> Callable[..., object]:
        found.extend(n.meta["val"].numel() for n in graph.graph.nodes if isinstance(n.meta.get("val"), Tensor))
        return make_boxed_func(graph.forward)

    whole = torch.compile(LF.multilabel_margin_loss, backend=aot_autograd(fw_compiler=backend), fullgraph=True)
    torch.testing.assert_close(gradient(whole(x, sets), x), gradient(LF.multilabel_margin_loss(x, sets), x))
    assert x.numel() <= max(found) <= 2 * x.numel()


def test_p17_p53_settings_are_checked_in_the_constructor() -> None:
    with pytest.raises(ValueError, match=r"MultiMarginLoss: only p == 1 and p == 2 supported, got p=3"):
        lossmith.MultiMarginLoss(p=3)
    with pytest.raises(ValueError, match=r"MultiMarginLoss: weight must be one-dimensional.*\(2, 2\)"):
        lossmith.MultiMarginLoss(weight=torch.ones(2, 2))
    with pytest.raises(ValueError, match="NLLLoss: 'avg' is not a valid value for reduction"):
        lossmith.NLLLoss(reduction="avg")
