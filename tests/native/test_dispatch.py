"""Law 4: kernels see plain tensors alone; under every transform, mode, wrapper and layout the reference runs."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch._subclasses.functional_tensor import FunctionalTensor, FunctionalTensorMode
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import lossmith
import lossmith.functional as LF
from cases import CASES
from kernels import KERNEL_CASES, each_case, random_tensor, reference, run_python, same
from lossmith import explain_dispatch
from lossmith.backend import Dispatch, recorded
from lossmith.losses import all_losses
from lossmith.native import core

from .conftest import each_isa, ran_natively

WRAPPED = "a tensor is on another device, of another layout"
TRANSFORM = "a torch.func transform is active"


def numbers(seed: int = 0, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return random_tensor(shape or (4, 3), seed, 0.1, 0.9, dtype)


def first_labels(y: Tensor) -> Tensor:
    """Labels from 0 to 2, made of what a loss is given, so that modes and traces see them."""
    return (3 * y[:, 0].detach().abs()).long()


def sequences(x: Tensor, y: Tensor) -> Tensor:
    return LF.ctc_loss_with_logits(x.unsqueeze(1), 1 + 0 * first_labels(y)[None, :1], (4,), (1,)) + 0 * y.sum()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "pointwise": LF.mse_loss,
    "rows": lambda x, y: LF.cross_entropy(x, first_labels(y), weight=y[0]),
    "probabilities": lambda x, y: LF.cross_entropy(x, y),
    "teachers": lambda x, y: LF.distillation_loss(x, y, first_labels(y)),
    "regions": lambda x, y: LF.dice_loss(x, first_labels(y), batch=True, weight=y[0]),
    "pairs": lambda x, y: LF.cosine_embedding_loss(x, y, y.new_ones(4)),
    "triplets": lambda x, y: LF.triplet_margin_loss(x, y, -y),
    "sequences": sequences,
}
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def recorded_of(call: Callable[[], Any]) -> tuple[list[Dispatch], Any]:
    with recorded() as records:
        result = call()
    return records, result


def expect(records: list[Dispatch], reason: str) -> None:
    """The reference ran, for a reason that begins so, or kernels if there is none."""
    assert records
    for record in records:
        if not reason:
            assert (record.backend, record.reason) == ("native", f"kernel {core.isa()}")
        else:
            assert record.backend == "reference"
            # labels of sequences are looked at before anything else
            assert record.reason.startswith((reason, "the lengths or the labels could not be checked")), record.reason


# ----- transforms, forward mode, tracing -----


def dual(loss: Callable[..., Tensor], x: Tensor, y: Tensor) -> Any:
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(loss(forward_ad.make_dual(x, torch.ones_like(x)), y))


def slope(loss: Callable[..., Tensor], x: Tensor, y: Tensor) -> Tensor:
    return torch.autograd.grad(loss(z := x.detach().requires_grad_(), y), z)[0]


TRANSFORMS: dict[str, tuple[Callable[..., Any], Callable[..., Any], str]] = {
    "grad": (lambda f, x, y: torch.func.grad(f)(x, y), slope, TRANSFORM),
    "vjp": (lambda f, x, y: torch.func.vjp(lambda x: f(x, y), x)[1](torch.ones(()))[0], slope, TRANSFORM),
    "vmap": (
        lambda f, x, y: torch.func.vmap(f)(torch.stack([x, 2 * x]), torch.stack([y, y])),
        lambda f, x, y: torch.stack([f(x, y), f(2 * x, y)]),
        TRANSFORM,
    ),
    "vmap of grad": (
        lambda f, x, y: torch.func.vmap(torch.func.grad(f), (0, None))(torch.stack([x, 2 * x]), y),
        lambda f, x, y: torch.stack([slope(f, x, y), slope(f, 2 * x, y)]),
        TRANSFORM,
    ),
    "jvp": (
        lambda f, x, y: torch.func.jvp(lambda x: f(x, y), (x,), (torch.ones_like(x),))[1],
        lambda f, x, y: slope(f, x, y).sum(),
        TRANSFORM,
    ),
    "functionalize": (lambda f, x, y: torch.func.functionalize(f)(x, y), lambda f, x, y: f(x, y), TRANSFORM),
    "forward mode": (
        lambda f, x, y: dual(f, x, y).tangent,
        lambda f, x, y: slope(f, x, y).sum(),
        "forward-mode differentiation is active",
    ),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@each_loss
def test_under_transforms(loss, transform):
    if transform.startswith("vmap") and loss is LOSSES["sequences"]:
        pytest.skip("torch has no batching rule of what it needs")
    call, expected, reason = TRANSFORMS[transform]
    x, y = numbers(0), numbers(1)
    records, found = recorded_of(lambda: call(loss, x, y))
    expect(records, reason)
    with reference():
        same(found, expected(loss, x, y))


@each_loss
def test_the_level_alone_is_enough(loss):
    """Even for tensors that no transform has wrapped."""
    x, y = numbers(0), numbers(1)
    records, _ = recorded_of(lambda: torch.func.grad(lambda z: z.sum() + loss(x, y))(x))
    expect(records, TRANSFORM)
    with forward_ad.dual_level():
        records, _ = recorded_of(lambda: loss(x, y))
    expect(records, "forward-mode differentiation is active")
    records, _ = recorded_of(lambda: loss(x, y))
    expect(records, "")


@pytest.mark.parametrize("tracing", ["real", "fake", "symbolic"])
@each_loss
def test_a_trace_is_of_operations_and_not_of_zeros(loss, tracing):
    x, y = numbers(0), numbers(1)
    records, graph = recorded_of(lambda: make_fx(lambda x, y: loss(x, y), tracing_mode=tracing)(x, y))
    expect(records, "a dispatch mode is active")
    same(graph(x.flip(1), y), loss(x.flip(1), y))
    assert loss(x.flip(1), y) != loss(x, y)


@each_loss
def test_a_trace_of_torchscript(loss):
    x, y = numbers(0), numbers(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        records, graph = recorded_of(lambda: torch.jit.trace(lambda x, y: loss(x, y), (x, y), check_trace=False))
        expect(records, "torch.jit.trace is active")
        same(graph(x.flip(1), y), loss(x.flip(1), y))


def test_in_a_compiled_graph_no_kernel_runs():
    x, y = numbers(0), numbers(1)
    torch._dynamo.reset()
    compiled = torch.compile(lambda x, y: LF.mse_loss(x, y), backend="eager", fullgraph=True)
    records, found = recorded_of(lambda: compiled(x, y))
    assert not records
    same(found, LF.mse_loss(x, y))
    with pytest.raises(ValueError, match="called no loss of lossmith, or one inside"):
        explain_dispatch(compiled, x, y)


# ----- modes -----


class Passing(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


class Watching(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.seen.append(func)
        return func(*args, **(kwargs or {}))


@contextmanager
def flops() -> Iterator[None]:
    with FlopCounterMode(display=False):
        yield


@pytest.mark.parametrize("mode", [Passing, flops, FunctionalTensorMode], ids=lambda mode: mode.__name__)
@each_loss
def test_under_a_dispatch_mode(loss, mode):
    x, y = numbers(0), numbers(1)

    def call() -> Tensor:
        with mode():
            return loss(x, y)

    records, found = recorded_of(call)
    expect(records, "a dispatch mode is active")
    if not isinstance(found, FunctionalTensor):
        same(found, loss(x, y))


@each_loss
def test_backward_under_a_dispatch_mode(loss):
    """Which sees its operations."""
    x, y = numbers(0).requires_grad_(), numbers(1)
    expected = torch.autograd.grad(loss(x, y), x, torch.tensor(0.37))[0]
    value = loss(x, y)
    with Passing():
        same(torch.autograd.grad(value, x, torch.tensor(0.37))[0], expected)


@each_loss
def test_a_function_mode_sees_one_call_which_a_kernel_runs(loss):
    x, y = numbers(0), numbers(1)
    mode = Watching()

    def call() -> Tensor:
        with mode:
            return loss(x, y)

    records, found = recorded_of(call)
    expect(records, "")
    same(found, loss(x, y))
    assert len([f for f in mode.seen if "lossmith" in getattr(f, "__module__", "")]) == 1


@each_loss
def test_another_default_device_does_not_mislead_kernels(loss):
    x, y = numbers(0).requires_grad_(), numbers(1)

    def call() -> tuple[Tensor, Tensor]:
        with torch.device("meta"):
            value = loss(x, y)
            value.backward(x.new_tensor(0.37))
        return value, x.grad

    records, found = recorded_of(call)
    expect(records, "")
    assert found[0].device.type == "cpu" and found[0] == loss(x, y)


def test_modes_that_change_nothing():
    x, y = numbers(0).requires_grad_(), numbers(1)
    expected = torch.autograd.grad(LF.mse_loss(x, y), x)[0]
    with torch.autograd.profiler.profile():
        records, found = recorded_of(lambda: torch.autograd.grad(LF.mse_loss(x, y), x)[0])
        expect(records, "")
        same(found, expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.autograd.detect_anomaly():
            records, found = recorded_of(lambda: torch.autograd.grad(LF.mse_loss(x, y), x)[0])
    expect(records, "")
    same(found, expected)


@each_loss
def test_inference_mode_runs_kernels(loss):
    x, y = numbers(0), numbers(1)
    expected = loss(x, y)
    with torch.inference_mode():
        a, b = x.clone(), y.clone()
        records, found = recorded_of(lambda: loss(a, b))
        assert found.is_inference()
    expect(records, "")
    with torch.no_grad():
        assert found.item() == expected.item()


# ----- wrappers, layouts, dtypes -----


class Wrapper(Tensor):
    """A subclass without a behaviour of its own."""


def functional_tensor(x: Tensor) -> Tensor:
    return torch._to_functional_tensor(x)


WRAPPERS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "a subclass": (lambda x: x.as_subclass(Wrapper), lambda x: x),
    "a negative bit": (torch._neg_view, lambda x: -x),
    "a negative bit of a conjugate": (lambda x: torch.complex(x, x).conj().imag, lambda x: -x),
    "zeros without memory": (lambda x: torch._efficientzerotensor(x.shape), torch.zeros_like),
}


@pytest.mark.parametrize("kind", WRAPPERS)
@each_loss
def test_what_is_no_plain_tensor(loss, kind):
    wrap, plain = WRAPPERS[kind]
    for position in range(2):
        if loss is LOSSES["sequences"] and position:
            continue
        given, expected = [numbers(0), numbers(1)], [numbers(0), numbers(1)]
        given[position], expected[position] = wrap(given[position]), plain(expected[position])
        records, found = recorded_of(lambda given=given: loss(*given))
        expect(records, WRAPPED)
        same(found.as_subclass(Tensor), loss(*expected))


@pytest.mark.parametrize("name", ["sample_weight", "mask"])
def test_weights_that_are_no_plain_tensors(name):
    x, y = numbers(0), numbers(1)
    weight = numbers(2) > 0.4 if name == "mask" else numbers(2)
    for wrapped, plain in {
        weight.as_subclass(Wrapper): weight,
        torch.vmap(lambda t: t)(weight): weight,
        **({} if name == "mask" else {torch._neg_view(weight): -weight}),
    }.items():
        records, found = recorded_of(lambda w=wrapped: LF.mse_loss(x, y, **{name: w}))
        expect(records, WRAPPED if type(wrapped) is Wrapper or wrapped.is_neg() else "")
        same(found.as_subclass(Tensor), LF.mse_loss(x, y, **{name: plain}))


def test_a_functional_tensor_without_its_mode():
    x, y = numbers(0), numbers(1)
    records, found = recorded_of(lambda: LF.mse_loss(functional_tensor(x), functional_tensor(y)))
    expect(records, WRAPPED)
    same(torch._from_functional_tensor(found), LF.mse_loss(x, y))


@each_loss
def test_meta_and_fake_tensors_have_no_numbers(loss):
    x, y = numbers(0), numbers(1)
    records, found = recorded_of(lambda: loss(x.to("meta"), y.to("meta")))
    expect(records, WRAPPED)
    assert found.device.type == "meta" and found.shape == ()
    mode = FakeTensorMode()
    fake = mode.from_tensor(x), mode.from_tensor(y)

    def call() -> Tensor:
        with mode:
            return loss(*fake)

    records, found = recorded_of(call)
    expect(records, "a dispatch mode is active")
    assert found.shape == ()


def test_fake_tensors_outside_of_their_mode():
    mode = FakeTensorMode()
    records, found = recorded_of(lambda: LF.mse_loss(mode.from_tensor(numbers(0)), mode.from_tensor(numbers(1))))
    expect(records, WRAPPED)
    assert found.shape == ()


def test_complex_numbers():
    x, y = torch.complex(numbers(0), numbers(1)), torch.complex(numbers(2), numbers(3))
    for a, b in ((x, y), (x.conj(), y), (x, numbers(2))):
        records, found = recorded_of(lambda a=a, b=b: LF.l1_loss(a, b))
        expect(records, WRAPPED)
        same(found, F.l1_loss(a, b))
        records, found = recorded_of(lambda a=a, b=b: LF.triplet_margin_loss(a, b, -y))
        expect(records, "the arithmetic is not that of floats")


@pytest.mark.parametrize("layout", ["to_sparse", "to_sparse_csr", "to_mkldnn"])
def test_layouts_without_an_address_reach_no_kernel(layout):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = getattr(numbers(0), layout)()
    with recorded() as records, pytest.raises((RuntimeError, NotImplementedError)):
        LF.mse_loss(x, numbers(1))
    expect(records, WRAPPED)


def test_integers_among_themselves_are_left_to_torch():
    x, y, target = torch.tensor([1, 5]), torch.tensor([2, 3]), torch.tensor([1, -1])
    records, found = recorded_of(lambda: LF.margin_ranking_loss(x, y, target))
    expect(records, "the arithmetic is that of integers")
    same(found, F.margin_ranking_loss(x, y, target))
    records, _ = recorded_of(lambda: LF.margin_ranking_loss(x.float(), y, target))
    expect(records, "")


def test_parameters_and_buffers_are_plain():
    x, y = torch.nn.Parameter(numbers(0)), torch.nn.Buffer(numbers(1))
    with ran_natively():
        LF.mse_loss(x, y).backward()


# ----- what a kernel can't do -----


def test_what_is_left_to_the_reference_and_why():
    x, labels, target = numbers(0).requires_grad_(), first_labels(numbers(1)), torch.ones(4)
    weight = numbers(1, 3).requires_grad_()
    wanted = {
        "the class weights want a gradient": lambda: LF.cross_entropy(x, labels, weight),
        "the target wants a gradient": lambda: LF.cosine_embedding_loss(x, x, target.clone().requires_grad_()),
        "there are no classes": lambda: LF.cross_entropy(torch.zeros(4, 0), torch.zeros(4, 0)),
        "the vectors are empty": lambda: LF.triplet_margin_loss(*[torch.zeros(4, 0)] * 3),
        "the arithmetic is not that of floats": lambda: LF.cosine_embedding_loss(
            labels[None], labels[None], labels[:1]
        ),
    }
    for reason, call in wanted.items():
        records, _ = recorded_of(call)
        expect(records, reason)
    for loss in (LF.multi_margin_loss, LF.nll_loss):
        records, _ = recorded_of(lambda loss=loss: loss(x, labels, weight=weight))
        expect(records, "the class weights want a gradient")


def test_a_formula_of_ones_own_has_no_kernel():
    from lossmith.loops.pointwise import pointwise
    from lossmith.reduction import plan
    from oracle.discovery import define

    own = define("@formula\ndef mse(x, y):\n    return 3 * (x - y), 3.0, -3.0\n", "mse")
    how = plan("mse", "sum", None, None, None, "nan")
    records, found = recorded_of(lambda: pointwise("mse", own, (numbers(0), numbers(1)), (), how))
    expect(records, "the formula is not among those that are compiled")
    same(found, (3 * (numbers(0) - numbers(1))).sum())


def test_every_loss_has_a_case_that_a_kernel_runs():
    ran = {case.loss for case in KERNEL_CASES if explain_dispatch(case.function, **case()).backend == "native"}
    assert ran == all_losses().keys()


class Halved(torch.nn.PairwiseDistance):
    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return super().forward(x1, x2) / 2


def test_torchs_distance_with_what_was_added_to_it_is_called():
    vectors = [random_tensor((5, 3), i) for i in range(3)]
    hooked = torch.nn.PairwiseDistance()
    hooked.register_forward_hook(lambda module, args, output: 3 * output)
    for distance in (torch.nn.PairwiseDistance(0.0), Halved(), hooked):
        same(
            LF.triplet_margin_with_distance_loss(*vectors, distance_function=distance, margin=5.0),
            F.triplet_margin_with_distance_loss(*vectors, distance_function=distance, margin=5.0),
        )


def test_a_distance_of_ones_own_is_called_by_the_reference():
    case = next(case for case in CASES if case not in KERNEL_CASES)
    records, _ = recorded_of(lambda: case.function(**case()))
    assert [record.backend for record in records] == ["reference"]


# ----- explain_dispatch, and LOSSMITH_BACKEND -----


@each_isa
@each_case
def test_explain_dispatch_of_functions_and_modules(case, isa):
    arguments = case()
    module, called = case.module(arguments)
    told = explain_dispatch(case.function, **arguments)
    assert told == explain_dispatch(module, *called)
    assert told.backend == "native" and told.kernel and told.reason == f"kernel {isa}"
    with reference():
        told = explain_dispatch(module, *called)
        assert (told.backend, told.reason) == ("reference", "LOSSMITH_BACKEND=reference")


def test_explain_dispatch_keeps_to_itself():
    x = numbers(0)
    with recorded() as records:
        explain_dispatch(LF.mse_loss, x, x)
        LF.l1_loss(x, x)
    assert [record.kernel for record in records] == ["l1"]
    with pytest.raises(ValueError, match="called no loss of lossmith"):
        explain_dispatch(torch.nn.MSELoss(), x, x)
    with pytest.raises(TypeError):
        explain_dispatch(lossmith.MSELoss(), x)
    with recorded() as records:
        LF.mse_loss(x, x)
    assert len(records) == 1


def test_the_environment_chooses_the_backend():
    code = """
import torch, lossmith, lossmith.functional as LF
x = torch.zeros(3, requires_grad=True)
print(lossmith.explain_dispatch(LF.mse_loss, x, x).backend)
LF.mse_loss(x, x).backward()
"""
    for backend, expected in {"": "native", "native": "native", "reference": "reference"}.items():
        assert run_python(code, LOSSMITH_BACKEND=backend).split() == [expected]


def test_native_alone_refuses_what_no_kernel_can_do():
    code = """
import torch, lossmith.functional as LF
x, y = torch.zeros(2, 3), torch.ones(2, 3)
weight = torch.ones(3, requires_grad=True)
for call in (
    lambda: LF.mse_loss(x.to("meta"), y.to("meta")),
    lambda: torch.func.grad(LF.mse_loss)(x, y),
    lambda: LF.cross_entropy(x, torch.tensor([0, 1]), weight),
    lambda: LF.margin_ranking_loss(*[torch.ones(3, dtype=torch.int64)] * 3),
):
    try:
        call()
    except RuntimeError as error:
        print(error)
    else:
        print("accepted")
x.requires_grad_()
LF.mse_loss(x, y).backward()
print("and the rest runs")
"""
    said = run_python(code, LOSSMITH_BACKEND="native").splitlines()
    begin = "LOSSMITH_BACKEND=native, but no kernel runs this call of "
    assert said.pop(0).startswith(f"{begin}mse: {WRAPPED}")
    assert said == [
        f"{begin}mse: {TRANSFORM}",
        f"{begin}cross_entropy: the class weights want a gradient",
        f"{begin}margin_ranking: the arithmetic is that of integers",
        "and the rest runs",
    ]


def test_other_backends_are_refused():
    code = "try:\n    import lossmith\nexcept ImportError as error:\n    print(error)"
    said = run_python(code, LOSSMITH_BACKEND="cuda")
    assert said == "LOSSMITH_BACKEND is 'cuda', expected 'reference', 'native' or 'triton', or nothing\n"


def test_an_instruction_set_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="no such instruction set"):
        core.use_isa("mmx")
    assert core.isa() in core.available() and core.available()[0] == "portable"
