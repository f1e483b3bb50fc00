"""What holds of every call beyond its numbers: layouts, autocast, transforms, tracing, tensors without values."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

import lossmith

from .compare import agree, apply, differentiable, each, outcome
from .samples import HALVES, NAMES, Call, canonical, everything, op_calls, representatives, stratified
from .targets import comparable, our_module, ours, torchs, torchs_module

every_loss = pytest.mark.parametrize("name", NAMES)
REDUCTIONS = ("none", "mean", "sum")


def small(name: str) -> list[Call]:
    """Canonical calls with each reduction, and small samples of op_db."""
    return [*(canonical(name, 3, reduction=reduction) for reduction in REDUCTIONS), *representatives(name, 3)]


def leaves(call: Call) -> tuple[list[int], list[Tensor]]:
    """The tensors that torch differentiates, as new leaves."""
    call = call.fresh()
    wanted = differentiable(comparable(call.name, torchs(call.name)), call)
    return wanted, [call.tensors()[index].clone().requires_grad_() for index in wanted]


def of_leaves(call: Call, wanted: list[int]) -> Callable[..., Tensor]:
    """The loss as a function of the wanted tensors alone."""
    others = call.fresh().tensors()

    def function(*given: Tensor) -> Tensor:
        tensors = list(others)
        for index, tensor in zip(wanted, given, strict=True):
            tensors[index] = tensor
        return apply(ours(call.name), call.with_tensors(tensors))

    return function


# ----- layouts -----

NOT_IN_TORCH = {
    "multi_margin_loss": "memory that nothing has written",
    "multilabel_margin_loss": "the same",
    "ctc_loss": "an error",
}
"""What torch returns without samples; lossmith returns what the other losses do."""


@every_loss
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_no_samples_at_all(name: str, reduction: str) -> None:
    call = canonical(name, 0, torch.float32, reduction=reduction)
    if name not in NOT_IN_TORCH:
        agree(ours(name), torchs(name), call, second=False)
        return
    x = call.args[0].requires_grad_()
    loss = apply(ours(name), call)
    right = {"none": torch.zeros(0), "sum": torch.tensor(0.0), "mean": torch.tensor(torch.nan)}[reduction]
    torch.testing.assert_close(loss.detach(), right, equal_nan=True)
    assert torch.autograd.grad(loss.sum(), x)[0].shape == x.shape


@every_loss
def test_expanded_inputs(name: str) -> None:
    def check(call: Call) -> None:
        dense = call.map(lambda t: t[:1].expand(t.shape).contiguous() if t.dim() else t)
        wanted = differentiable(comparable(name, torchs(name)), dense)
        spread = call.map(lambda t: t.detach()[:1].expand(t.shape) if t.dim() else t.detach())
        # gradients of expanded leaves: autograd's own expansion is not in the way, the leaf itself has strides of 0
        mine = outcome(comparable(name, ours(name)), spread, wanted, second=False)
        theirs = outcome(comparable(name, torchs(name)), dense, wanted, second=False)
        for part, number in theirs.parts.items():
            torch.testing.assert_close(mine.parts[part], number, msg=lambda text, part=part: f"{part}: {text}")

    each([canonical(name, 3, reduction=reduction) for reduction in REDUCTIONS], check)


@every_loss
def test_p19_neither_inputs_nor_gradients_handed_out_are_written(name: str) -> None:
    def check(call: Call) -> None:
        wanted, given = leaves(call)
        loss = of_leaves(call, wanted)(*given)
        upstream = torch.rand_like(loss)
        kept = upstream.clone()
        first = torch.autograd.grad(loss, given, upstream, retain_graph=True)
        seen = [gradient.clone() for gradient in first]
        again = torch.autograd.grad(loss, given, 2 * upstream)
        for gradient, before, doubled in zip(first, seen, again, strict=True):
            torch.testing.assert_close(gradient, before, rtol=0, atol=0)
            torch.testing.assert_close(doubled, 2 * gradient)
        torch.testing.assert_close(upstream, kept, rtol=0, atol=0)

    each(small(name), check)


# ----- autocast -----


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, *HALVES], ids=lambda dtype: str(dtype)[6:])
def test_autocast_gives_torchs_dtype(name: str, dtype: torch.dtype) -> None:
    """On the CPU torch's binary_cross_entropy runs in float32 under autocast (row P21); so does ours."""

    def check(call: Call) -> None:
        call = call.fresh()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            got = apply(ours(name), call)
            expected = apply(torchs(name), call)
        assert got.dtype == expected.dtype
        if name == "binary_cross_entropy":
            assert got.dtype == torch.float32
        # the numbers are those of the inputs, computed in float32 or wider and rounded once
        right = apply(torchs(name), call.double()).to(got.dtype)
        torch.testing.assert_close(got, right)

    each([canonical(name, 3, dtype, reduction=reduction) for reduction in REDUCTIONS], check)


# ----- derivatives by finite differences, forward mode, batched -----


@every_loss
def test_gradcheck_in_reverse_and_forward_mode(name: str) -> None:
    def check(call: Call) -> None:
        wanted, given = leaves(call)
        function = of_leaves(call, wanted)
        large = sum(t.numel() for t in given) > 60
        assert torch.autograd.gradcheck(
            function,
            given,
            check_forward_ad=True,
            check_batched_grad=not large,
            check_batched_forward_grad=not large,
            fast_mode=large,
        )

    each(small(name), check)


@every_loss
def test_gradgradcheck(name: str) -> None:
    def check(call: Call) -> None:
        wanted, given = leaves(call)
        function = of_leaves(call, wanted)
        large = sum(t.numel() for t in given) > 30
        assert torch.autograd.gradgradcheck(function, given, check_fwd_over_rev=True, fast_mode=large)

    each([canonical(name, 2), canonical(name, 2, reduction="none"), *representatives(name, 2)], check)


# ----- torch.func -----


def floating(call: Call) -> list[int]:
    return [index for index, tensor in enumerate(call.tensors()) if tensor.is_floating_point()]


@every_loss
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_vmap_equals_a_loop(name: str, reduction: str) -> None:
    """Over the first argument alone, over every floating tensor, over every tensor."""
    calls = [canonical(name, 3, seed=seed, reduction=reduction) for seed in range(4)]
    size = len(calls[0].tensors())
    for batched in ([0], floating(calls[0]), list(range(size))):
        mixed = [
            call.with_tensors([(call if index in batched else calls[0]).tensors()[index] for index in range(size)])
            for call in calls
        ]
        stacked = [
            torch.stack([call.tensors()[index] for call in mixed]) if index in batched else mixed[0].tensors()[index]
            for index in range(size)
        ]
        got = torch.vmap(
            lambda *tensors: apply(ours(name), calls[0].with_tensors(tensors)),
            in_dims=tuple(0 if index in batched else None for index in range(size)),
        )(*stacked)
        torch.testing.assert_close(got, torch.stack([apply(ours(name), call) for call in mixed]))


@every_loss
def test_gradients_of_each_sample_by_vmap_of_grad(name: str) -> None:
    calls = [canonical(name, 2, seed=seed) for seed in range(3)]
    first = torch.stack([call.tensors()[0] for call in calls])
    rest = calls[0].tensors()[1:]

    def loss(x: Tensor) -> Tensor:
        return apply(ours(name), calls[0].with_tensors([x, *rest]))

    got = torch.vmap(torch.func.grad(loss))(first)
    loop = [torch.autograd.grad(loss(x), x)[0] for x in first.clone().requires_grad_().unbind()]
    torch.testing.assert_close(got, torch.stack(loop))


@every_loss
def test_jvp_vjp_and_hessian(name: str) -> None:
    call = canonical(name, 2)
    wanted, given = leaves(call)
    function = of_leaves(call, wanted)
    plain = tuple(tensor.detach() for tensor in given)
    tangents = tuple(torch.rand_like(tensor) for tensor in plain)
    gradients = torch.autograd.grad(function(*given), given)

    value, along = torch.func.jvp(function, plain, tangents)
    torch.testing.assert_close(value, function(*plain))
    torch.testing.assert_close(along, sum((g * t).sum() for g, t in zip(gradients, tangents, strict=True)))

    _, pull = torch.func.vjp(function, *plain)
    torch.testing.assert_close(pull(torch.ones_like(value)), gradients)

    every = tuple(range(len(plain)))
    hessian = torch.func.hessian(function, every)(*plain)
    torch.testing.assert_close(hessian, torch.autograd.functional.hessian(function, plain))
    forward = torch.func.jacfwd(torch.func.jacfwd(function, every), every)(*plain)
    torch.testing.assert_close(forward, hessian)


# ----- tensors without values -----


@every_loss
def test_meta_and_fake_tensors_give_shape_and_dtype(name: str) -> None:
    def check(call: Call) -> None:
        call = call.fresh()
        real = apply(ours(name), call)
        meta = apply(ours(name), call.map(lambda t: t.to("meta")))
        assert (meta.shape, meta.dtype, meta.device.type) == (real.shape, real.dtype, "meta")
        with FakeTensorMode() as mode:
            fake = apply(ours(name), call.map(mode.from_tensor))
            assert (fake.shape, fake.dtype, fake.device.type) == (real.shape, real.dtype, "cpu")

    calls = [canonical(name, 3, dtype, reduction=r) for r in REDUCTIONS for dtype in (torch.float32, *HALVES)]
    each([*calls, *stratified(list(op_calls(name, torch.float32)), 4)[:: 1 if everything() else 3]], check)


@every_loss
def test_meta_tensors_have_gradients(name: str) -> None:
    call = canonical(name, 3, torch.float32)
    x, *rest = (tensor.to("meta") for tensor in call.tensors())
    x.requires_grad_()
    apply(ours(name), call.with_tensors([x, *rest])).backward()
    assert x.grad is not None
    assert (x.grad.shape, x.grad.dtype) == (x.shape, x.dtype)


# ----- one call to those who watch -----


@every_loss
def test_symbolic_trace_sees_one_call(name: str) -> None:
    call = canonical(name, 3)
    words = ", ".join(f"t{index}" for index in range(len(call.args)))
    # symbolic_trace wants a signature without a star
    forward = eval(f"lambda self, {words}: self.target({words}, **self.settings)")
    for target, settings in ((ours(name), call.kwargs), (our_module(name)(**call.kwargs), {})):
        model = type("Model", (torch.nn.Module,), {"forward": forward})()
        model.target, model.settings = target, settings
        traced = torch.fx.symbolic_trace(model)
        called = [node.target for node in traced.graph.nodes if node.op.startswith("call")]
        assert called == [ours(name)]
        torch.testing.assert_close(traced(*call.args), target(*call.args, **settings))


class Watcher(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(func)
        return func(*args, **(kwargs or {}))


class Logged(Tensor):
    seen: list[Any] = []  # noqa: RUF012

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        cls.seen.append(func)
        return super().__torch_function__(func, types, args, kwargs or {})


@every_loss
def test_modes_and_subclasses_see_one_call(name: str) -> None:
    call = canonical(name, 3)
    plain = apply(ours(name), call)
    criterion = our_module(name)(**call.kwargs)
    for run in (lambda call: apply(ours(name), call), lambda call: criterion(*call.args)):
        with Watcher() as watcher:
            torch.testing.assert_close(run(call), plain)
        # assert_close calls functions of its own
        assert watcher.seen[0] is ours(name)
        assert [func for func in watcher.seen if getattr(func, "__module__", "").startswith("lossmith")] == [ours(name)]
    for index in range(len(call.tensors())):
        tensors = call.tensors()
        tensors[index] = tensors[index].as_subclass(Logged)
        Logged.seen = []
        result = apply(ours(name), call.with_tensors(tensors))
        assert Logged.seen == [ours(name)], f"tensor {index}"
        assert type(result) is Logged
    for keyword in ("sample_weight", "mask"):
        given = torch.ones((), dtype=torch.bool if keyword == "mask" else torch.float64).as_subclass(Logged)
        Logged.seen = []
        ours(name)(*call.args, **call.kwargs, **{keyword: given})
        assert Logged.seen == [ours(name)], keyword


@every_loss
def test_torchscript_is_refused_with_a_sentence(name: str) -> None:
    for target in (ours(name), our_module(name)()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch deprecates torch.jit
            with pytest.raises(RuntimeError, match=r"lossmith.*TorchScript.*torch\.compile"):
                torch.jit.script(target)


@every_loss
def test_modules_are_torchs_to_those_who_ask(name: str) -> None:
    assert issubclass(our_module(name), torchs_module(name))
    assert our_module(name).__module__.startswith("lossmith")
    assert getattr(lossmith, our_module(name).__name__) is our_module(name)
    assert our_module(name).__name__ in lossmith.__all__
    assert name in lossmith.functional.__all__
