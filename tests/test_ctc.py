"""CTC: values and all derivatives, against torch, alignments written out, and 50 digits; rows P44 to P49."""

import functools
import math
import random

import pytest
import torch
from torch.nn.functional import ctc_loss as torch_ctc_loss

import lossmith
import lossmith.functional as LF
from lossmith.loops.lattice import ctc_nll
from oracle.ctc import at_50_digits, by_enumeration

INF = math.inf


class Batch:
    """Repeats, unequal lengths; a sample without labels, one without frames or labels, one without an alignment."""

    def __init__(self, dtype=torch.float64, classes=6, blank=0):
        self.blank = blank
        self.scores = torch.randn(12, 6, classes, dtype=dtype)
        self.targets = torch.randint(0, classes - 1, (6, 5))
        self.targets[0] = torch.tensor([2, 2, 2, 1, 1])
        self.targets += self.targets >= blank
        self.frames = torch.tensor([12, 11, 7, 5, 0, 4])
        self.lengths = torch.tensor([5, 4, 2, 0, 0, 5])
        self.feasible = torch.tensor([True, True, True, True, True, False])

    @property
    def given(self):
        return self.targets, self.frames, self.lengths, self.blank

    @property
    def concatenated(self):
        return torch.cat([row[:n] for row, n in zip(self.targets, self.lengths, strict=True)])

    def feasible_only(self):
        keep = self.feasible
        self.scores, self.targets = self.scores[:, keep], self.targets[keep]
        self.frames, self.lengths = self.frames[keep], self.lengths[keep]
        return self


def behind_log_softmax(logits, *args, **kwargs):
    return LF.ctc_loss(logits.log_softmax(-1), *args, **kwargs)


OURS = pytest.mark.parametrize("ours", [behind_log_softmax, LF.ctc_loss_with_logits], ids=["log_softmax", "logits"])
BOTH = pytest.mark.parametrize("function", [LF.ctc_loss, LF.ctc_loss_with_logits], ids=["ctc_loss", "logits"])


def value_and_gradient(function, scores, *args, upstream=None, **kwargs):
    scores = scores.detach().clone().requires_grad_()
    value = function(scores, *args, **kwargs)
    (gradient,) = torch.autograd.grad(value, scores, torch.ones_like(value) if upstream is None else upstream)
    return value.detach(), gradient


def same(ours, theirs, **tolerances):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, **tolerances)


# ----- against torch, behind log_softmax, where its gradient is right -----


def torch_with_logits(logits, *args, **kwargs):
    return torch_ctc_loss(logits.log_softmax(-1), *args, **kwargs)


def forms(batch):
    """The ways to say the same: targets padded or concatenated, lengths as tensors, tuples, lists."""
    frames, lengths = batch.frames, batch.lengths
    yield batch.targets, frames, lengths
    yield batch.concatenated, frames, lengths
    yield batch.targets, tuple(frames.tolist()), tuple(lengths.tolist())
    yield batch.concatenated, frames.tolist(), lengths.tolist()
    yield batch.targets.int(), frames.to(torch.uint8), lengths.to(torch.int16)
    yield batch.targets.float(), frames[None], lengths.int()
    yield batch.targets, list(frames.numpy()), list(lengths)


@OURS
@pytest.mark.parametrize("blank", [0, 3, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_torchs_value_and_gradient(ours, blank, dtype, reduction):
    batch = Batch(dtype, blank=blank).feasible_only()
    upstream = torch.randn(5 if reduction == "none" else (), dtype=dtype)
    how = {"blank": blank, "reduction": reduction, "upstream": upstream}
    expected = value_and_gradient(torch_with_logits, batch.scores, *batch.given[:3], **how)
    for form in forms(batch):
        same(value_and_gradient(torch_with_logits, batch.scores, *form, **how), expected)
        same(value_and_gradient(ours, batch.scores, *form, **how), expected)


@OURS
@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_torchs_value_where_there_is_no_alignment(ours, zero_infinity, reduction):
    batch = Batch()
    how = {"zero_infinity": zero_infinity, "reduction": reduction}
    value = torch_with_logits(batch.scores, *batch.given, **how)
    assert bool(torch.isinf(value).any()) != zero_infinity
    torch.testing.assert_close(ours(batch.scores, *batch.given, **how), value)


@pytest.mark.parametrize(
    "lengths", [(torch.tensor(9), torch.tensor(3)), ((9,), [3]), (torch.tensor([9]), torch.tensor([3]))]
)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_one_sample_without_a_batch(lengths, reduction):
    scores, target = torch.randn(10, 5, dtype=torch.float64), torch.tensor([2, 2, 4])
    for shape in ((3,), (1, 3)):
        given = target.reshape(shape), *lengths
        ours = value_and_gradient(behind_log_softmax, scores, *given, reduction=reduction)
        assert ours[0].shape == () and ours[1].shape == (10, 5)
        same(ours, value_and_gradient(torch_with_logits, scores, *given, reduction=reduction))
        same(value_and_gradient(LF.ctc_loss_with_logits, scores, *given, reduction=reduction), ours)


def test_layouts():
    batch = Batch()
    expected = value_and_gradient(LF.ctc_loss, batch.scores, *batch.given)
    spread = torch.randn(6, 2 * 6, 12, dtype=torch.float64).permute(2, 0, 1)[..., ::2]
    spread.copy_(batch.scores)
    strided = torch.zeros(6, 10, dtype=torch.long)[:, ::2].copy_(batch.targets)
    assert not spread.is_contiguous() and not strided.is_contiguous()
    leaf = spread.detach().requires_grad_()
    value = LF.ctc_loss(leaf, strided, batch.frames.repeat_interleave(2)[::2], batch.lengths)
    same((value, *torch.autograd.grad(value, leaf)), expected, rtol=0, atol=0)
    expanded = torch.randn(7, 1, 4, dtype=torch.float64).expand(7, 3, 4)
    given = torch.tensor([[1, 2]] * 3), (7, 6, 7), (2, 2, 1)
    same(
        value_and_gradient(LF.ctc_loss, expanded, *given),
        value_and_gradient(LF.ctc_loss, expanded.contiguous(), *given),
        rtol=0,
        atol=0,
    )


@BOTH
def test_an_empty_batch(function):
    given = torch.zeros(0, 3, dtype=torch.long), torch.zeros(0, dtype=torch.long), ()
    for targets in (given[0], given[0].reshape(-1)):
        for reduction, expected in (
            ("none", torch.zeros(0)),
            ("sum", torch.tensor(0.0)),
            ("mean", torch.tensor(math.nan)),
        ):
            value, gradient = value_and_gradient(
                function, torch.zeros(4, 0, 3), targets, *given[1:], reduction=reduction
            )
            torch.testing.assert_close(value, expected, equal_nan=True)
            assert gradient.shape == (4, 0, 3)
    zero = function(torch.zeros(4, 0, 3), *given, on_empty="zero")
    torch.testing.assert_close(zero, torch.tensor(0.0))


def test_padding_may_hold_anything():
    batch = Batch()
    expected = LF.ctc_loss(batch.scores, *batch.given, reduction="none")
    beyond = torch.arange(5) >= batch.lengths[:, None]
    for padding in (-100, 99):
        targets = torch.where(beyond, padding, batch.targets)
        given = LF.ctc_loss(batch.scores, targets, batch.frames, batch.lengths, reduction="none")
        torch.testing.assert_close(given, expected, rtol=0, atol=0)


def test_a_blank_within_the_target_is_a_state_like_others():
    """torch takes it, so the value is torch's (its gradient forgets a state of the last frame, ours does not)."""
    scores = torch.randn(6, 3, 4, dtype=torch.float64, requires_grad=True)
    given = torch.tensor([[0, 1, 0], [0, 0, 2], [3, 0, 0]]), (6, 6, 5), (3, 3, 3)
    theirs = torch_ctc_loss(scores, *given, reduction="none")
    torch.testing.assert_close(LF.ctc_loss(scores, *given, reduction="none"), theirs)
    assert torch.autograd.gradcheck(lambda x: LF.ctc_loss(x, *given), scores)


# ----- against the definition -----


@pytest.mark.parametrize("labels", [[], [1], [2, 2], [1, 2, 1], [1, 1, 1], [2, 1, 1], [2, 1, 2, 1]], ids=str)
@pytest.mark.parametrize("blank", [0, 1, 2])
def test_all_alignments(labels, blank):
    labels = [label + (label >= blank + 1) - 1 if blank else label for label in labels]
    labels = [label if label != blank else (blank + 1) % 3 for label in labels]
    log_probs = torch.randn(5, 3, dtype=torch.float64)
    loss, gradient = by_enumeration(log_probs.tolist(), labels, blank)
    given = torch.tensor(labels, dtype=torch.long), (5,), (len(labels),), blank
    ours = value_and_gradient(LF.ctc_loss, log_probs, *given, reduction="sum")
    same(ours, (torch.tensor(loss, dtype=torch.float64), torch.tensor(gradient, dtype=torch.float64)))


def oracle(log_probs, labels):
    loss, gradient = at_50_digits(log_probs.tolist(), labels, 0)
    return loss, gradient


def furthest(gradient, expected):
    pairs = zip(gradient.tolist(), expected, strict=True)
    return max(abs(a - b) for ours, exact in pairs for a, b in zip(ours, exact, strict=True))


def ulps(dtype, ours, exact, scale):
    return float(abs(ours - exact) / (torch.finfo(dtype).eps * scale))


@pytest.mark.parametrize("scale", [1, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_accuracy_over_many_frames(dtype, scale):
    log_probs = (torch.randn(150, 20, dtype=dtype) * scale).log_softmax(-1)
    labels = torch.randint(1, 20, (30,)).tolist()
    exact, slopes = oracle(log_probs, labels)
    loss, gradient = value_and_gradient(LF.ctc_loss, log_probs, torch.tensor(labels), (150,), (30,), reduction="sum")
    assert ulps(dtype, loss.item(), exact, exact) <= 4
    # float32 is computed in float64; there, an exponent as large as the loss costs its digits
    assert ulps(dtype, furthest(gradient, slopes), 0, 4 if dtype == torch.float32 else exact) <= 1


EXTREMES = [0.0, -1e-30, -1.0, -30.0, -1e4, -1e30, -INF, 1.0, 1e4]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_extreme_log_probabilities(dtype):
    draw = random.Random(0)
    for _ in range(300):
        frames, count = draw.randint(1, 6), draw.randint(0, 3)
        log_probs = torch.tensor([[draw.choice(EXTREMES) for _ in range(3)] for _ in range(frames)], dtype=dtype)
        labels = [draw.randint(1, 2) for _ in range(count)]
        exact, slopes = oracle(log_probs, labels)
        given = torch.tensor(labels, dtype=torch.long), (frames,), (count,)
        loss, gradient = value_and_gradient(LF.ctc_loss, log_probs, *given, reduction="sum")
        if exact == INF:
            assert loss == INF and not gradient.any()
            continue
        finite = log_probs[torch.isfinite(log_probs)].double().abs()
        terms = float(finite[finite < 1e30].sum()) + float(abs(exact)) + 1
        assert ulps(dtype, loss.item(), exact, terms) <= 4, (log_probs, labels)
        assert not gradient.isnan().any()
        if abs(exact) < 1e29:  # else the difference of two alignments is lost beside what both must cost
            assert ulps(dtype, furthest(gradient, slopes), 0, terms) <= 4, (log_probs, labels)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_extreme_logits(dtype):
    """Scores of 1e30 are a softmax of 0 and 1: the loss is what the best alignment costs."""
    logits = torch.tensor([[1e30, -1e30, 0.0], [0.0, 1e30, -INF], [-1e30, 0.0, 1e30]], dtype=dtype)
    loss, gradient = value_and_gradient(LF.ctc_loss_with_logits, logits, torch.tensor([1, 2]), (3,), (2,))
    assert loss == 0 and not gradient.any()
    loss, gradient = value_and_gradient(
        LF.ctc_loss_with_logits, logits, torch.tensor([1, 1]), (3,), (2,), reduction="sum"
    )
    torch.testing.assert_close(loss, torch.tensor(4e30, dtype=dtype))  # 1, blank, 1 at 2e30, 1e30 and 1e30
    assert not gradient.isnan().any()
    logits[1, 2] = -1e30
    loss, gradient = value_and_gradient(LF.ctc_loss_with_logits, logits, torch.tensor([2]), (3,), (1,), reduction="sum")
    torch.testing.assert_close(loss, torch.tensor(1e30, dtype=dtype))
    torch.testing.assert_close(gradient[1], torch.tensor([-1.0, 1.0, 0.0], dtype=dtype))


# ----- derivatives of every order -----


def small(function, **kwargs):
    """A function of scores (7, 3, 4): unequal lengths, a repeat, a sample without labels."""
    targets = torch.tensor([[2, 2, 1], [3, 1, 0], [0, 0, 0]])
    return lambda x: function(x, targets, (7, 6, 3), (3, 2, 0), **kwargs)


@pytest.fixture
def scores():
    return torch.randn(7, 3, 4, dtype=torch.float64, requires_grad=True)


def slope(loss, x):
    return torch.autograd.grad(loss(x), x, create_graph=True)[0]


def hessian(loss, x):
    rows = [torch.autograd.grad(g, x, retain_graph=True)[0] for g in slope(loss, x).flatten()]
    return torch.stack(rows).reshape(*x.shape, *x.shape)


@BOTH
def test_finite_differences_to_the_third_order(function, scores):
    each = small(function, reduction="none")
    assert torch.autograd.gradcheck(each, scores, check_forward_ad=True, check_batched_forward_grad=True)
    assert torch.autograd.gradcheck(each, scores, check_batched_grad=True)

    def short(x):
        return function(x, torch.tensor([[2, 2], [2, 1]]), (3, 2), (2, 2), reduction="none")

    few = scores[:3, :2].detach().requires_grad_()
    assert torch.autograd.gradgradcheck(short, few, check_fwd_over_rev=True)
    weights = torch.tensor([1.0, 2.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: slope(lambda y: slope(lambda z: short(z) @ weights, y).pow(2).sum(), x), few
    )


@BOTH
def test_transforms_of_torch_func(function, scores):
    loss, x = small(function), scores.detach()
    first, second = slope(loss, scores).detach(), hessian(loss, scores)
    same((torch.func.grad(loss)(x), torch.func.jacrev(loss)(x)), (first, first))
    tangent = torch.randn_like(x)
    same(torch.func.jvp(loss, (x,), (tangent,)), (loss(x), (first * tangent).sum()))
    for outer in (torch.func.jacfwd, torch.func.jacrev):
        for inner in (torch.func.jacfwd, torch.func.jacrev):
            torch.testing.assert_close(outer(inner(loss))(x), second)
    batch = torch.stack([x, 2 * x], 1)
    torch.testing.assert_close(torch.func.vmap(loss, 1)(batch), torch.stack([loss(x), loss(2 * x)]))
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(loss), 1)(batch)[0], first)
    each = torch.func.vmap(lambda x, *given: function(x, *given, reduction="sum"), (1, 0, 0, 0))
    given = torch.tensor([[[2, 2, 1]], [[3, 1, 9]], [[9, 9, 9]]]), torch.tensor([7, 6, 3]), torch.tensor([3, 2, 0])
    torch.testing.assert_close(each(x, *given), small(function, reduction="none")(x))


@BOTH
def test_impossible_values_leave_no_nan_in_any_derivative(function):
    """-inf in places, a sample without an alignment, NaN beyond the frames: all orders are finite, and 0 where due."""
    x = torch.randn(5, 4, 3, dtype=torch.float64)
    x[1, 0, 1] = x[2, 0, 0] = x[0, 1] = -INF
    x[3:, 3] = math.nan
    targets, frames, lengths = torch.tensor([[1, 2], [1, 2], [2, 2], [1, 2]]), (5, 5, 2, 3), (2, 2, 2, 2)
    if function is LF.ctc_loss_with_logits:
        x[0, 1] = 0
        x[:, 1, 2] = -INF
    loss = lambda x: function(x, targets, frames, lengths, reduction="none")  # noqa: E731
    total = lambda x: function(x, targets, frames, lengths, reduction="sum", zero_infinity=True)  # noqa: E731
    leaf = x.clone().requires_grad_()
    assert loss(leaf).isinf().tolist() == [False, True, True, False]
    first = slope(total, leaf)
    second = hessian(total, leaf)
    assert first.isfinite().all() and second.isfinite().all()
    for g in (first, torch.func.grad(total)(x)):
        assert g[:, 0].any() and g[:3, 3].any()
        assert not g[:, 1:3].any() and not g[3:, 3].any() and not g[x == -INF].any()
    torch.testing.assert_close(torch.func.hessian(total)(x), second)
    inf_too = torch.autograd.grad(loss(leaf)[:3].sum(), leaf)[0]
    torch.testing.assert_close(inf_too[:, :3], first[:, :3].detach())


def test_a_backward_may_run_twice_and_inputs_are_not_written(scores):
    loss = small(LF.ctc_loss)
    copy = scores.detach().clone()
    value = loss(scores)
    once = torch.autograd.grad(value, scores, retain_graph=True)[0].clone()
    torch.testing.assert_close(torch.autograd.grad(2 * value, scores)[0], 2 * once)
    torch.testing.assert_close(scores.detach(), copy, rtol=0, atol=0)


def test_a_graph_is_not_built_for_the_first_derivative():
    log_probs = torch.randn(50, 2, 4).log_softmax(-1).requires_grad_()
    nodes, seen = [LF.ctc_loss(log_probs, torch.tensor([[1, 2]] * 2), (50, 50), (2, 2)).grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is not None and node not in seen:
            seen.add(node)
            nodes += [before for before, _ in node.next_functions]
    assert len(seen) < 30


# ----- compiled, exported, traced -----


def shapes(frames, samples, classes, labels):
    targets = torch.randint(1, classes, (samples, labels))
    lengths = torch.randint(1, labels + 1, (samples,))
    input_lengths = torch.randint(frames // 2, frames + 1, (samples,))
    return torch.randn(frames, samples, classes), targets, input_lengths, lengths


def concatenate(targets, lengths):
    return torch.cat([row[:n] for row, n in zip(targets, lengths, strict=True)])


SHAPES = [(23, 4, 6, 3), (31, 5, 8, 9), (13, 3, 7, 4), (59, 2, 5, 11)]


@BOTH
@pytest.mark.parametrize("concatenated", [False, True], ids=["padded", "concatenated"])
def test_one_graph_for_all_lengths(function, concatenated):
    compiled, graphs = compile_and_count(function)
    for shape in SHAPES:
        scores, targets, frames, lengths = shapes(*shape)
        given = concatenate(targets, lengths) if concatenated else targets, frames, lengths
        same(value_and_gradient(compiled, scores, *given), value_and_gradient(function, scores, *given))
    assert len(graphs) == 1


def compile_and_count(function):
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    torch._dynamo.reset()
    return torch.compile(function, fullgraph=True, dynamic=True, backend=backend), graphs


@pytest.mark.slow
@BOTH
def test_compiled_by_inductor(function):
    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, dynamic=True)
    for shape in SHAPES:
        scores, targets, frames, lengths = shapes(*shape)
        for given in ((targets, frames, lengths), (concatenate(targets, lengths), frames, lengths)):
            same(value_and_gradient(compiled, scores, *given), value_and_gradient(function, scores, *given))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch._prims_common.check`:FutureWarning")  # the compiler's own, for a diagonal
@pytest.mark.parametrize("outer", [torch.func.grad, torch.func.hessian, lambda f: torch.func.vmap(torch.func.grad(f))])
def test_transforms_compiled_by_inductor(outer):
    scores, *given = shapes(5, 2, 3, 2)
    transformed = outer(lambda x: LF.ctc_loss_with_logits(x, *given))
    scores = scores.double()
    scores = torch.stack([scores, 2 * scores]) if outer.__name__ == "<lambda>" else scores
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(transformed, fullgraph=True)(scores), transformed(scores))


class Model(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *given):
        return self.function(*given)


OPERATOR_RULES = [
    "test_schema",
    "test_autograd_registration",
    "test_faketensor",
    pytest.param("test_aot_dispatch_dynamic", marks=pytest.mark.slow),
]


@BOTH
@pytest.mark.parametrize("strict", [False, True])
def test_export_with_dynamic_shapes(function, strict):
    n = torch.export.Dim("n", min=2)
    dynamic = {0: torch.export.Dim("t", min=2), 1: n}, {0: n, 1: torch.export.Dim("s", min=2)}, {0: n}, {0: n}
    exported = torch.export.export(
        Model(function), shapes(*SHAPES[0]), dynamic_shapes=(dynamic,), strict=strict
    ).module()
    frames, samples, _, labels = SHAPES[1]
    given = shapes(frames, samples, SHAPES[0][2], labels)
    same(value_and_gradient(exported, *given), value_and_gradient(function, *given))


@pytest.mark.parametrize("rule", OPERATOR_RULES)
def test_the_operator_keeps_torchs_rules(rule):
    emissions = torch.randn(5, 2, 4, dtype=torch.float64, requires_grad=True)
    given = torch.tensor([[False, True, False], [False, False, False]]), torch.tensor([3, 1])
    for with_occupancy in (True, False):
        operator = torch.ops.lossmith.ctc_lattice.default
        torch.library.opcheck(operator, (emissions, *given, with_occupancy), test_utils=rule)


@BOTH
def test_without_data(function):
    scores, *given = shapes(7, 3, 5, 2)
    scores, on_meta = scores.to("meta").requires_grad_(), [t.to("meta") for t in given]
    as_ints = given[0].to("meta"), given[1].tolist(), given[2].tolist()
    for lengths in (on_meta, as_ints):
        assert function(scores, *lengths, reduction="none").shape == (3,)
        function(scores, *lengths).backward()
        assert scores.grad.shape == (7, 3, 5)
    with torch._subclasses.FakeTensorMode():
        leaf = torch.randn(7, 3, 5, requires_grad=True)
        function(leaf, torch.ones(3, 2, dtype=torch.long), (7, 7, 6), (2, 2, 1)).backward()
        assert leaf.grad.shape == (7, 3, 5)


def test_make_fx_and_symbolic_trace():
    scores, *given = shapes(7, 3, 5, 2)
    traced = torch.fx.experimental.proxy_tensor.make_fx(lambda x: LF.ctc_loss(x, *given))(scores)
    torch.testing.assert_close(traced(2 * scores), LF.ctc_loss(2 * scores, *given))

    class Four(torch.nn.Module):
        def forward(self, log_probs, targets, input_lengths, target_lengths):
            return LF.ctc_loss(log_probs, targets, input_lengths, target_lengths)

    calls = [node for node in torch.fx.symbolic_trace(Four()).graph.nodes if node.op == "call_function"]
    assert [node.target for node in calls] == [LF.ctc_loss]


# ----- errors -----

RIGHT = {
    "log_probs": torch.zeros(7, 3, 5),
    "targets": torch.tensor([[1, 2], [3, 4], [1, 1]]),
    "input_lengths": torch.tensor([7, 7, 6]),
    "target_lengths": torch.tensor([2, 2, 1]),
}
ERRORS = {
    "no tensor": ({"log_probs": [1.0]}, TypeError, r"log_probs is a list.*torch.as_tensor"),
    "whole numbers": ({"log_probs": torch.zeros(7, 3, 5).long()}, NotImplementedError, r"int64.*write log_probs.float"),
    "complex": ({"log_probs": torch.zeros(7, 3, 5).cfloat()}, NotImplementedError, "complex64"),
    "one dimension": ({"log_probs": torch.zeros(5)}, RuntimeError, r"\(5,\).*\(T, N, C\)"),
    "no frames": ({"log_probs": torch.zeros(0, 3, 5)}, RuntimeError, "must not be empty"),
    "no classes": ({"log_probs": torch.zeros(7, 3, 0)}, RuntimeError, "blank must be in label range"),
    "targets list": ({"targets": [[1]]}, TypeError, "targets is a list"),
    "targets complex": ({"targets": torch.ones(3, 2).cfloat()}, RuntimeError, "complex64, expected labels"),
    "targets 3 dimensions": ({"targets": torch.ones(1, 3, 2)}, RuntimeError, r"\(1, 3, 2\).*\(N, S\), padded"),
    "targets 0 dimensions": ({"targets": torch.tensor(1)}, RuntimeError, r"\(\) int64"),
    "targets of other samples": ({"targets": torch.ones(2, 2)}, RuntimeError, r"3 samples, expected \(3, S\)"),
    "targets too narrow": ({"targets": torch.ones(3, 1)}, RuntimeError, r"target_lengths\[0\] is 2.*room for 1"),
    "concatenated short": ({"targets": torch.ones(4)}, RuntimeError, "holds 4 labels, but target_lengths adds up to 5"),
    "concatenated long": ({"targets": torch.ones(6)}, RuntimeError, "holds 6 labels, but target_lengths adds up to 5"),
    "input length long": ({"input_lengths": (7, 8, 6)}, RuntimeError, r"input_lengths\[1\] is 8, expected 0 to 7"),
    "input length negative": ({"input_lengths": (7, 7, -1)}, RuntimeError, r"input_lengths\[2\] is -1"),
    "target length negative": ({"target_lengths": (2, -2, 1)}, RuntimeError, r"target_lengths\[1\] is -2"),
    "input lengths too few": (
        {"input_lengths": (7, 7)},
        RuntimeError,
        "must be of size batch_size, got 2 numbers for 3",
    ),
    "target lengths 0 dim": ({"target_lengths": torch.tensor(2)}, RuntimeError, "must be of size batch_size"),
    "input lengths float": ({"input_lengths": torch.ones(3)}, RuntimeError, "input_lengths must be integral"),
    "target lengths bool": ({"target_lengths": torch.ones(3).bool()}, RuntimeError, "target_lengths must be integral"),
    "tuple of floats": ({"input_lengths": (7.0, 7, 7)}, TypeError, r"\(7.0, 7, 7\), expected a tensor of integers"),
    "tuple of bools": ({"input_lengths": (True, True, True)}, TypeError, r"expected a tensor of integers"),
    "an int": ({"input_lengths": 7}, TypeError, "input_lengths is 7, expected"),
    "no lengths": ({"target_lengths": None}, TypeError, "target_lengths is None"),
    "blank above": ({"blank": 5}, RuntimeError, "blank must be in label range, got 5, expected a class from 0 to 4"),
    "blank below": ({"blank": -1}, RuntimeError, "blank must be in label range, got -1"),
    "blank float": ({"blank": 0.5}, TypeError, "blank is 0.5"),
    "reduction": ({"reduction": "average"}, ValueError, "'average' is not a valid value for reduction"),
    "mask too large": ({"mask": torch.ones(2, 3).bool()}, ValueError, r"mask is \(2, 3\) bool"),
    "weights": ({"sample_weight": torch.ones(2)}, ValueError, r"sample_weight is \(2,\)"),
}


@pytest.mark.parametrize("name", ERRORS)
@BOTH
def test_errors(function, name):
    wrong, error, message = ERRORS[name]
    given = {**RIGHT, **wrong}
    if function is LF.ctc_loss_with_logits:
        given["logits"] = given.pop("log_probs")
        message = message.replace("log_probs", "logits")
    with pytest.raises(error, match=f"{function.__name__}: .*{message}"):
        function(**given)


# ----- the rows of pains.md -----


def test_p44_the_gradient_is_the_derivative_whatever_made_the_log_probabilities():
    """Also for numbers that sum to no probability; torch's is off by exp(log_probs)."""
    log_probs = torch.randn(6, 2, 4, dtype=torch.float64, requires_grad=True)
    given = torch.tensor([[1, 1], [3, 2]]), (6, 5), (2, 2)
    loss = lambda x: LF.ctc_loss(x, *given, reduction="sum")  # noqa: E731
    (ours,) = torch.autograd.grad(loss(log_probs), log_probs)
    (theirs,) = torch.autograd.grad(torch_ctc_loss(log_probs, *given, reduction="sum"), log_probs)
    step = 1e-6
    for place in [(0, 0, 1), (2, 1, 0), (4, 0, 3), (5, 1, 2)]:
        moved = torch.zeros_like(log_probs)
        moved[place] = step
        difference = (loss(log_probs + moved) - loss(log_probs - moved)) / (2 * step)
        torch.testing.assert_close(ours[place], difference.detach(), rtol=1e-6, atol=1e-8)
    counts = torch.tensor([6, 5])
    beside = torch.where(torch.arange(6)[:, None, None] < counts[:, None], log_probs.detach().exp(), 0)
    torch.testing.assert_close(theirs - beside, ours)
    torch.testing.assert_close(ours.sum(2), -(torch.arange(6)[:, None] < counts).double())


@OURS
def test_p44_behind_log_softmax_it_is_torchs(ours):
    batch = Batch().feasible_only()
    theirs = value_and_gradient(torch_with_logits, batch.scores, *batch.given)
    same(value_and_gradient(ours, batch.scores, *batch.given), theirs)


@BOTH
def test_p45_double_backward(function, scores):
    leaf = scores[:4].detach().requires_grad_()
    loss = lambda x: function(x, torch.tensor([[2, 2], [3, 1], [1, 0]]), (4, 3, 4), (2, 2, 1))  # noqa: E731
    assert torch.autograd.gradgradcheck(loss, leaf)


@BOTH
@pytest.mark.parametrize("label", [5, 99, -1, 2**40, -(2**40)])
def test_p46_a_label_out_of_range(function, label):
    scores, lengths = torch.zeros(7, 3, 5), (2, 2, 1)
    padded = torch.tensor([[1, 2], [3, label], [1, label]])  # the last one is padding
    for targets in (padded, torch.tensor([1, 2, 3, label, 1])):
        with pytest.raises(
            IndexError, match=rf"label {label} at position 1 of sample 1 is out of range: expected 0 to 4"
        ):
            function(scores, targets, (7, 7, 7), lengths)


@functools.cache
def unread(function):
    """The function where it can't look at values: compiled, and under vmap."""

    def mapped(*given, **how):
        return torch.func.vmap(lambda *one: function(*one, **how))(*(t[None].clone() for t in given))[0]

    return compile_and_count(function)[0], mapped


@BOTH
@pytest.mark.parametrize("wrong", ["label", "negative label", "input length", "negative input length", "target length"])
def test_p46_what_can_not_be_read_is_nan_without_a_gradient(function, wrong):
    batch = Batch()
    expected = value_and_gradient(function, batch.scores, *batch.given, reduction="none")
    place = torch.arange(6) == 1
    if "label" in wrong:
        batch.targets[1, 2] = 2**40 if wrong == "label" else -(2**40)
    elif "input" in wrong:
        batch.frames[1] = 2**40 if wrong == "input length" else -3
    else:
        batch.lengths[1] = 2**40
    for call in unread(function):
        value, gradient = value_and_gradient(call, batch.scores, *batch.given[:3], reduction="none")
        assert value.isnan().tolist() == place.tolist() and not gradient[:, 1].any()
        same((value[~place], gradient[:, ~place]), (expected[0][~place], expected[1][:, ~place]))


@BOTH
@pytest.mark.parametrize(
    "lengths", [[5, 4, 2, 0, 1, 5], [5, 4, 2, 0, 0, 4], [5, 4, 2, 0, -1, 6], [2**40, 0, 0, 0, 0, 0]]
)
def test_p46_concatenated_targets_of_another_length(function, lengths):
    batch = Batch()
    assert batch.concatenated.shape == (16,)
    for call in unread(function):
        given = batch.concatenated, batch.frames, torch.tensor(lengths)
        value, gradient = value_and_gradient(call, batch.scores, *given, reduction="none")
        assert value.isnan().all() and not gradient.any()
    with pytest.raises(RuntimeError, match="target_lengths"):
        function(batch.scores, batch.concatenated, batch.frames, torch.tensor(lengths))


@BOTH
def test_p46_concatenated_targets_longer_than_all_frames_have_no_alignment(function):
    scores = torch.randn(3, 2, 4, dtype=torch.float64)
    given = torch.tensor([1, 2, 3, 1, 2, 1]), torch.tensor([3, 3]), torch.tensor([5, 1])
    expected = value_and_gradient(function, scores, *given, reduction="none")
    assert expected[0].isinf().tolist() == [True, False]
    for call in unread(function):
        same(value_and_gradient(call, scores, *given, reduction="none"), expected)


@BOTH
def test_p47_one_sample_without_an_alignment_leaves_the_others_alone(function):
    batch = Batch()
    each, gradient = value_and_gradient(function, batch.scores, *batch.given, reduction="none")
    assert each.isinf().tolist() == (~batch.feasible).tolist() and not gradient[:, ~batch.feasible].any()
    for reduction in ("mean", "sum", "batchmean"):
        value, shared = value_and_gradient(function, batch.scores, *batch.given, reduction=reduction)
        assert value == INF and shared.isfinite().all()
        zeroed = value_and_gradient(function, batch.scores, *batch.given, reduction=reduction, zero_infinity=True)
        assert zeroed[0].isfinite()
        torch.testing.assert_close(zeroed[1], shared)
    for place, (frames, length) in enumerate(zip(batch.frames, batch.lengths, strict=True)):
        alone = batch.scores[:, place : place + 1], batch.targets[place : place + 1], frames[None], length[None]
        value, slopes = value_and_gradient(function, *alone, reduction="none")
        same((value[0], slopes[:, 0]), (each[place], gradient[:, place]))


@BOTH
def test_p47_frames_beyond_a_sample_have_no_gradient_whatever_they_hold(function):
    batch = Batch()
    expected = value_and_gradient(function, batch.scores, *batch.given, reduction="none")
    beyond = torch.arange(12)[:, None] >= batch.frames
    assert not expected[1][beyond].any()
    for junk in (math.nan, INF, -INF):
        scores = torch.where(beyond[..., None], junk, batch.scores)
        same(value_and_gradient(function, scores, *batch.given, reduction="none"), expected, rtol=0, atol=0)


@BOTH
@pytest.mark.parametrize("threads", [1, 2])
def test_p48_the_same_bits_each_time(function, threads):
    batch = Batch(torch.float32)
    before = torch.get_num_threads()
    expected = value_and_gradient(function, batch.scores, *batch.given, reduction="none")
    try:
        torch.set_num_threads(threads)
        for _ in range(3):
            same(value_and_gradient(function, batch.scores, *batch.given, reduction="none"), expected, rtol=0, atol=0)
    finally:
        torch.set_num_threads(before)


@BOTH
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum", "batchmean"])
def test_p49_half_precision_is_float32_rounded_once(function, dtype, reduction):
    batch = Batch(torch.float32).feasible_only()
    scores = batch.scores.to(dtype)
    upstream = torch.randn(5 if reduction == "none" else ()).to(dtype)
    how = {"reduction": reduction}
    value, gradient = value_and_gradient(function, scores, *batch.given, **how, upstream=upstream)
    assert value.dtype == gradient.dtype == dtype
    exact = value_and_gradient(function, scores.float(), *batch.given, **how, upstream=upstream.float())
    same((value, gradient), (exact[0].to(dtype), exact[1].to(dtype)), rtol=0, atol=0)
    with torch.autocast("cpu", torch.bfloat16):
        value, gradient = value_and_gradient(function, scores, *batch.given, **how, upstream=upstream.float())
    same((value, gradient), (exact[0], exact[1].to(dtype)), rtol=0, atol=0)


# ----- weights, masks, modules -----


@BOTH
def test_masked_samples_are_not_looked_at(function):
    """Neither their lengths, nor their labels, nor what their frames hold; in no order of derivative."""
    batch = Batch().feasible_only()
    mask = torch.tensor([True, False, True, False, True])
    expected = value_and_gradient(function, batch.scores, *batch.given, mask=mask)
    mean = function(batch.scores[:, mask], batch.targets[mask], batch.frames[mask], batch.lengths[mask])
    torch.testing.assert_close(expected[0], mean)
    assert not expected[1][:, ~mask].any()
    batch.scores[:, 1] = math.nan
    batch.targets[1], batch.frames[1], batch.lengths[3] = 99, -7, 99
    same(value_and_gradient(function, batch.scores, *batch.given, mask=mask), expected, rtol=0, atol=0)
    leaf = batch.scores.requires_grad_()
    second = torch.autograd.grad(slope(lambda x: function(x, *batch.given, mask=mask), leaf).pow(2).sum(), leaf)[0]
    assert second.isfinite().all() and not second[:, ~mask].any()


@BOTH
def test_a_masked_sample_of_concatenated_targets_keeps_its_place(function):
    batch = Batch()
    mask = torch.tensor([False, True, True, False, True, True])
    padded = value_and_gradient(function, batch.scores, *batch.given[:3], mask=mask, reduction="none")
    given = batch.concatenated, batch.frames, batch.lengths
    same(value_and_gradient(function, batch.scores, *given, mask=mask, reduction="none"), padded, rtol=0, atol=0)


@BOTH
def test_the_mean_divides_each_sample_by_its_labels_first(function):
    batch = Batch().feasible_only()
    each = function(batch.scores, *batch.given, reduction="none")
    terms, s = each / batch.lengths.clamp(min=1), torch.rand(5, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(function(batch.scores, *batch.given), terms.mean())
    torch.testing.assert_close(function(batch.scores, *batch.given, reduction="batchmean"), each.sum() / 5)
    weighted = function(batch.scores, *batch.given, sample_weight=s)
    torch.testing.assert_close(weighted, (s * terms).sum() / s.sum())
    torch.testing.assert_close(torch.autograd.grad(weighted, s)[0], (terms - weighted.detach()) / s.detach().sum())
    torch.testing.assert_close(function(batch.scores, *batch.given, normalizer=3.0), terms.sum() / 3)


@pytest.mark.parametrize("module", [lossmith.CTCLoss, lossmith.CTCWithLogitsLoss])
def test_modules(module):
    function = LF.ctc_loss if module is lossmith.CTCLoss else LF.ctc_loss_with_logits
    batch = Batch(blank=2)
    criterion = module(2, "sum", True)
    assert isinstance(criterion, torch.nn.CTCLoss)
    assert repr(criterion) == f"{module.__name__}()" and criterion.state_dict() == {}
    expected = function(batch.scores, *batch.given, "sum", True)
    torch.testing.assert_close(criterion(batch.scores, *batch.given[:3]), expected, rtol=0, atol=0)
    weights = torch.rand(6, dtype=torch.float64)
    mean = module(blank=2, zero_infinity=True, normalizer=4.0, on_empty="zero")
    assert repr(mean) == f"{module.__name__}(normalizer=4.0, on_empty='zero')"
    torch.testing.assert_close(
        mean(batch.scores, *batch.given[:3], sample_weight=weights),
        function(batch.scores, *batch.given, zero_infinity=True, normalizer=4.0, sample_weight=weights),
    )
    with pytest.raises(ValueError, match="reduction"):
        module(reduction="average")
    with pytest.raises(RuntimeError, match=r"torch\.compile"):
        torch.jit.script(criterion)


def test_ctc_nll_is_in_float64():
    log_probs = torch.zeros(3, 1, 2)
    assert ctc_nll(log_probs, torch.tensor([[1]]), torch.tensor([3]), torch.tensor([1]), 0).dtype == torch.float64
