"""Under torch.compile and torch.export: the same numbers, in one graph, with one graph for every length."""

import math
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from .compare import agree, apply, each
from .samples import NAMES, Call, canonical, op_calls, representatives
from .targets import comparable, our_module, ours, torchs

every_loss = pytest.mark.parametrize("name", NAMES)
LENGTHS = (6, 9, 13)
pytestmark = [
    # Dynamo does both itself: the first where it traces a custom autograd.Function, the second for operands that are
    # results of other operations.
    pytest.mark.filterwarnings("ignore:.*autograd.function.Function.* should not be instantiated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf Tensor:UserWarning"),
]


@pytest.fixture(autouse=True)
def no_graphs_of_others() -> None:
    torch._dynamo.reset()


def value_and_gradient(function: Callable[..., Any], call: Call) -> tuple[Tensor, Tensor]:
    x, *rest = call.fresh().tensors()
    x = x.clone().requires_grad_()
    loss = apply(function, call.with_tensors([x, *rest]))
    upstream = torch.linspace(0.5, 1.5, loss.numel(), dtype=loss.dtype).reshape(loss.shape)
    (gradient,) = torch.autograd.grad(loss, x, upstream)
    return loss.detach(), gradient


def same_as_eager(function: Callable[..., Any], call: Call) -> None:
    torch.testing.assert_close(value_and_gradient(function, call), value_and_gradient(ours(call.name), call))


@every_loss
def test_one_graph_for_every_length(name: str) -> None:
    """fullgraph=True, dynamic=True, forward and backward, without a recompile; traced, so without a C++ compiler."""
    compiled = torch.compile(ours(name), fullgraph=True, dynamic=True, backend="aot_eager")
    same_as_eager(compiled, canonical(name, LENGTHS[0], torch.float32))
    with torch._dynamo.config.patch(error_on_recompile=True):
        for length in LENGTHS[1:]:
            same_as_eager(compiled, canonical(name, length, torch.float32))


@every_loss
@pytest.mark.slow
@pytest.mark.parametrize(
    "dtype, reduction",
    [(torch.float32, "mean"), (torch.bfloat16, "none"), (torch.float64, "sum")],
    ids=["float32-mean", "bfloat16-none", "float64-sum"],
)
def test_inductor_for_every_length(name: str, dtype: torch.dtype, reduction: str) -> None:
    compiled = torch.compile(our_module(name)(reduction=reduction), fullgraph=True, dynamic=True)
    lengths = [canonical(name, length, dtype, reduction=reduction) for length in LENGTHS]

    def without_reduction(*args: Tensor, reduction: str) -> Any:
        return compiled(*args)

    same_as_eager(without_reduction, lengths[0])
    with torch._dynamo.config.patch(error_on_recompile=True):
        for call in lengths[1:]:
            same_as_eager(without_reduction, call)


@every_loss
@pytest.mark.slow
def test_structures_compile_in_one_graph(name: str) -> None:
    def check(call: Call) -> None:
        torch._dynamo.reset()
        same_as_eager(torch.compile(ours(name), fullgraph=True, backend="aot_eager"), call)

    calls = representatives(name) or op_calls(name, torch.float64)
    each(calls[:: math.ceil(len(calls) / 8)], check)


@every_loss
@pytest.mark.slow
def test_inductor_gives_torchs_numbers_on_its_samples(name: str) -> None:
    def check(call: Call) -> None:
        torch._dynamo.reset()
        compiled = torch.compile(ours(name), fullgraph=True)
        # AOTAutograd has no double backward
        agree(comparable(name, compiled), comparable(name, torchs(name)), call, second=False)

    calls = [call for call in op_calls(name, torch.float32) if sum(t.numel() for t in call.tensors()) < 20_000]
    each(calls[:: math.ceil(len(calls) / 2)], check)


class Wrapped(torch.nn.Module):
    """A model that ends in the loss."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self.criterion = our_module(call.name)(**call.kwargs)

    def forward(self, *args: Tensor) -> Tensor:
        return self.criterion(args[0] * 0.5, *args[1:])


def batch_dimension(name: str, index: int) -> int:
    return 1 if name == "ctc_loss" and index == 0 else 0


@every_loss
def test_export_with_a_dynamic_batch(name: str) -> None:
    call = canonical(name, LENGTHS[0], torch.float32)
    n = torch.export.Dim("n", min=2, max=1000)
    shapes = (tuple({batch_dimension(name, index): n} for index in range(len(call.args))),)
    model = Wrapped(call)
    exported = torch.export.export(model, call.args, dynamic_shapes=shapes)
    ops = {str(node.target) for node in exported.graph.nodes if node.op == "call_function"}
    assert not [
        op for op in ops if op.startswith("aten") and ("loss" in op or "cross_entropy" in op or "kl_div" in op)
    ], ops
    for length in LENGTHS:
        other = canonical(name, length, torch.float32)
        torch.testing.assert_close(exported.module()(*other.args), model(*other.args))


@pytest.mark.slow
def test_ctc_of_400_frames_compiles_in_time() -> None:
    generator = torch.Generator().manual_seed(0)
    log_probs = torch.randn(400, 4, 30, generator=generator).log_softmax(-1)
    targets = torch.randint(1, 30, (4, 40), generator=generator)
    lengths = torch.full((4,), 400), torch.full((4,), 40)
    call = Call("ctc_loss", (log_probs, targets, *lengths), {}, "400 frames")
    begun = time.perf_counter()
    same_as_eager(torch.compile(ours("ctc_loss"), fullgraph=True), call)
    assert time.perf_counter() - begun < 30
