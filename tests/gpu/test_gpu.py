"""What only a GPU can show: graphs, memory, mixed precision, the compiler, wrappers of models, torch's own samples."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

import lossmith.functional as LF
from cases import Arguments
from kernels import KERNEL_CASES, REPEATED, each_case, evaluate, leaves_of, many, ran, reference, same
from lossmith import backend
from lossmith.bench.memory import peak_growth
from lossmith.losses import all_losses

pytestmark = pytest.mark.gpu

GPU = torch.device("cuda")
FIRST_CASES = list({case.loss: case for case in reversed(KERNEL_CASES)}.values())
"""One of each loss."""
each_loss = pytest.mark.parametrize("case", FIRST_CASES, ids=str)


@pytest.fixture(autouse=True)
def triton_alone(monkeypatch):
    monkeypatch.setattr(backend, "FORCED", "triton")


@pytest.mark.parametrize("reduction", ["none", "mean"])
@each_case
def test_a_cuda_graph(case, reduction):
    """Captured once, replayed on other numbers."""
    arguments, others = (case(64, dtype=torch.float32, device="cuda", seed=seed) for seed in (0, 1))
    points = {name: arguments[name].detach().requires_grad_() for name in leaves_of(case)}

    def step() -> tuple[Tensor, tuple[Tensor, ...]]:
        loss = case.function(**{**arguments, **points}, reduction=reduction)
        return loss.detach(), torch.autograd.grad(loss, [*points.values()], 0.37 * torch.ones_like(loss))

    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with ran("triton"), torch.cuda.graph(graph):
        captured = step()
    for name, value in others.items():
        if isinstance(value, Tensor):
            arguments[name].copy_(value)
    graph.replay()
    same(captured, step())


@pytest.mark.parametrize("case", [c for c in KERNEL_CASES if not c.together and str(c) not in REPEATED], ids=str)
def test_one_gradient_for_each_input_is_all_that_grows(case):
    """All pairs of a batch take tiles besides."""
    leaves = [name for name in leaves_of(case) if name != "weight"]
    arguments = many(case, 2_500_000, torch.float32, "cuda")

    def step(upstream: Tensor | None = None) -> None:
        evaluate(case.function, arguments, leaves, upstream, reduction="mean")

    gradients = sum(arguments[name].nbytes for name in leaves)
    for upstream in (None, torch.tensor(0.37, device="cuda")):
        step(upstream)
        grown = peak_growth(lambda upstream=upstream: step(upstream), GPU)
        assert grown <= gradients + 2**20


@each_loss
def test_mixed_precision_with_a_loss_scale(case):
    arguments = case(32, dtype=torch.float32, device="cuda")
    leaf = leaves_of(case)[0]
    found = []
    for kernel in (True, False):
        parameter = torch.nn.Parameter(arguments[leaf].clone())
        scaler = torch.amp.GradScaler("cuda", init_scale=65536.0)
        optimizer = torch.optim.SGD([parameter], lr=0.1)
        with torch.autocast("cuda", torch.float16), ran("triton") if kernel else reference():
            loss = case.function(**{**arguments, leaf: parameter.half()})
            scaler.scale(loss).backward()
        assert loss.dtype == torch.float32
        scaler.step(optimizer)
        scaler.update()
        found.append((loss.detach(), parameter.detach(), torch.tensor(scaler.get_scale())))
    same(*found, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("reentrant", [False, True])
@each_loss
def test_checkpoints(case, reentrant):
    arguments = case(5, device="cuda")
    leaf = leaves_of(case)[0]

    def loss(x: Tensor) -> Tensor:
        return case.function(**{**arguments, leaf: 2 * x})

    x = (0.5 * arguments[leaf]).requires_grad_()
    with ran("triton"):
        (expected,) = torch.autograd.grad(loss(x), x)
        checkpoint(loss, x, use_reentrant=reentrant).backward()
    same(x.grad, expected)


@each_loss
def test_inside_the_compiler(case, monkeypatch):
    monkeypatch.setattr(backend, "FORCED", "")
    torch.compiler.reset()
    arguments = case(70, dtype=torch.float32, device="cuda")
    compiled = torch.compile(case.function, fullgraph=True, dynamic=False)
    same(evaluate(compiled, arguments, leaves_of(case)), evaluate(case.function, arguments, leaves_of(case)))


@pytest.fixture
def one_rank(tmp_path):
    torch.distributed.init_process_group("nccl", init_method=f"file://{tmp_path}/ranks", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("wrapper", ["DDP", "FSDP"])
def test_wrapped_models(wrapper, one_rank):
    def step(wrap: Any) -> list[Tensor]:
        torch.manual_seed(0)
        plain = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.GELU(), torch.nn.Linear(32, 10)).cuda()
        model = wrap(plain)
        x, y = torch.randn(64, 16, device="cuda"), torch.randint(10, (64,), device="cuda")
        with ran("triton"):
            LF.cross_entropy(model(x), y).backward()
        gradients = [p.grad for p in plain.parameters()]
        return [g.full_tensor() if hasattr(g, "full_tensor") else g for g in gradients]

    def wrap(model: torch.nn.Module) -> torch.nn.Module:
        if wrapper == "DDP":
            return torch.nn.parallel.DistributedDataParallel(model)
        sharded: torch.nn.Module = torch.distributed.fsdp.fully_shard(model)
        return sharded

    same(step(wrap), step(lambda model: model))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", sorted(name for name in all_losses() if hasattr(torch.nn.functional, name)))
def test_torchs_samples(name, dtype, monkeypatch):
    from torch_samples.compare import each
    from torch_samples.samples import op_calls, op_dtypes
    from torch_samples.test_op_samples import equal_torch

    monkeypatch.setattr(backend, "FORCED", "")
    if dtype not in op_dtypes(name):
        pytest.skip("torch lists no samples of this dtype")
    calls = [call.map(lambda t: t.detach().to("cuda")) for call in op_calls(name, dtype)]
    each(calls, equal_torch)
    each((call.non_contiguous() for call in calls), equal_torch)


def test_a_second_device():
    """Kernels start on the device of the tensors, whichever is current."""
    if torch.cuda.device_count() < 2:
        pytest.skip("there is one device")
    arguments: Arguments = {"input": torch.ones(9, device="cuda:1"), "target": torch.zeros(9, device="cuda:1")}
    with ran("triton"):
        loss, gradients = evaluate(LF.mse_loss, arguments, ["input"])
    assert loss.device.index == 1 and loss == 1 and gradients["input"].device.index == 1
