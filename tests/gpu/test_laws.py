"""What Triton's kernels may not do: wait for the device, touch what is invalid, lose an offset of more than 32 bits."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import lossmith
from kernels import (
    KERNEL_CASES,
    each_case,
    each_reduction,
    evaluate,
    leaves_of,
    mask_for,
    ran,
    random_tensor,
    same,
    to_dtype,
)
from lossmith import backend, errors
from lossmith.loops import fused

# ----- waiting for the device -----

aten = torch.ops.aten
WAITING = {
    aten._local_scalar_dense,
    aten._unique2,
    aten.bincount,
    aten.equal,
    aten.is_nonzero,
    aten.item,
    aten.masked_select,
    aten.nonzero,
    aten.repeat_interleave,
    aten.unique_consecutive,
    aten.unique_dim,
}
"""Operations that wait for the device, since the host must know a number that is there."""


class NoWaiting(TorchDispatchMode):
    """Refuses what would wait on a GPU, though it runs on a CPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not interpreting():
            operation = func.overloadpacket
            waits = operation in WAITING and kwargs.get("output_size") is None
            if operation in (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_):
                waits = any(t.dtype in (torch.bool, torch.uint8) for t in tree_leaves(args[1]) if t is not None)
            assert not waits, f"{func} waits for the device"
        return func(*args, **kwargs)


def interpreting() -> bool:
    """Whether Triton's interpreter is at work, which moves tensors about."""
    frame = sys._getframe()
    while frame := frame.f_back:
        if frame.f_globals.get("__name__", "").startswith("triton."):
            return True
    return False


@contextmanager
def no_waiting(device: str) -> Iterator[None]:
    """Here the host may not wait for the device: on a GPU torch refuses it, elsewhere a mode that no kernel sees."""
    with pytest.MonkeyPatch.context() as patch:
        if device == "cuda":
            torch.cuda.set_sync_debug_mode("error")
            try:
                yield
            finally:
                torch.cuda.set_sync_debug_mode("default")
            return

        def leaves_the_device(self: Tensor, *_: Any, **__: Any) -> None:
            raise AssertionError("a tensor is brought to the host")

        def made_of_numbers(*args: Any, **kwargs: Any) -> Tensor:
            assert kwargs.get("device") == "cpu", "numbers are copied to the device"
            return tensor(*args, **kwargs)

        tensor = torch.tensor
        patch.setattr(torch, "tensor", made_of_numbers)
        for module in (backend, fused):
            patch.setattr(module, "unready", lambda: "")
        for name in ("numpy", "tolist", "__array__"):
            patch.setattr(Tensor, name, leaves_the_device)
        with NoWaiting():
            yield


@each_reduction
@each_case
def test_nothing_waits_for_the_device(case, reduction, device):
    arguments = case(5, device=device)
    shape = case.shape(arguments)
    given = {"mask": mask_for(shape).to(device), "sample_weight": random_tensor(shape, 1, 0.2, 2.0).to(device)}
    rules: list[dict[str, Any]] = [{}, given]
    if reduction in ("mean", "batchmean"):
        rules += [{**given, "normalizer": n, "on_empty": e} for n, e in (("count", "zero"), ("weight", "error"))]
        rules += [{"normalizer": torch.tensor(3.0, device=device)}]
    for keywords in rules:
        points = {name: arguments[name].detach().requires_grad_() for name in leaves_of(case)}
        every = {**arguments, **points, **keywords, "reduction": reduction}
        case.function(**every)  # what is made once: notes, compiled kernels
        with ran("triton"), no_waiting(device):
            loss = case.function(**every)
            torch.autograd.grad(loss, [*points.values()], 2 * torch.ones_like(loss), retain_graph=True)
            torch.autograd.grad(loss, [*points.values()], torch.ones_like(loss))


@pytest.mark.parametrize("wait", ["item", "bool", "nonzero", "index", "tolist", "tensor"])
def test_waiting_is_noticed(wait, device):
    x = torch.ones(3, device=device)
    waits = {
        "item": lambda: x.sum().item(),
        "bool": lambda: bool(x.sum() > 2),
        "nonzero": lambda: x.nonzero(),
        "index": lambda: x[x > 0],
        "tolist": lambda: x.tolist(),
        "tensor": lambda: torch.tensor([1.0, 2.0]).to(device),
    }
    with pytest.raises((AssertionError, RuntimeError)), no_waiting(device):
        waits[wait]()


# ----- labels and lengths that are none -----

WRONG = 3
"""The row that is spoiled: no case ignores it, and in those of CTC it has labels."""
INVALID = [(case, name) for case in KERNEL_CASES if not case.together for name in case.garbage]


@pytest.mark.parametrize(("case", "name"), INVALID, ids=lambda value: str(value))
def test_an_invalid_label(case, name, device):
    """Its loss is NaN, its gradient 0, the others' are what they were; the error is raised once, when asked for."""
    check_errors()
    arguments = case(5, device=device)
    wrong = arguments[name].clone()
    wrong[
        (slice(WRONG, WRONG + 1),) * wrong.dim()
        if case.axes[name] == "n"
        else (WRONG, *[slice(0, 1)] * (wrong.dim() - 1))
    ] = case.garbage[name]
    for reduction in ("none", "sum"):
        upstream = torch.tensor(0.37)
        right = evaluate(case.function, arguments, leaves_of(case), upstream, reduction=reduction)
        with ran("triton"):
            found = evaluate(case.function, {**arguments, name: wrong}, leaves_of(case), upstream, reduction=reduction)
        with pytest.raises((IndexError, RuntimeError), match=str(case.garbage[name])):
            lossmith.check_errors()
        lossmith.check_errors()
        if reduction == "sum":
            assert found[0].isnan()
        else:
            rows = torch.arange(5, device=device) != WRONG
            assert found[0][WRONG].isnan().any()
            same(found[0][rows], right[0][rows])
        for leaf, gradient in found[1].items():
            axis = case.axes.get(leaf, "").find("n")
            assert gradient.isfinite().all(), leaf
            if axis >= 0:
                rows = torch.tensor([row for row in range(5) if row != WRONG], device=device)
                same(gradient.index_select(axis, rows), right[1][leaf].index_select(axis, rows))


def check_errors() -> None:
    """Forgets what an earlier test left."""
    for note in errors._notes.values():
        note.zero_()


# ----- large offsets -----

STEP = 2**30
"""Between rows: more than 32 bits between the first and the fourth."""


def far_apart(tensor: Tensor, folder: Path) -> Tensor:
    """The same rows, far apart in memory (in a file without contents, on a CPU)."""
    rows = tensor.shape[0]
    size = (rows - 1) * STEP + tensor[0].numel()
    if tensor.device.type == "cpu":
        room = torch.from_file(str(folder / "room"), shared=True, size=size, dtype=tensor.dtype)
    else:
        room = torch.zeros(size, dtype=tensor.dtype, device=tensor.device)
    return room.as_strided(tensor.shape, (STEP, *tensor[0].contiguous().stride())).copy_(tensor)


@each_case
def test_offsets_beyond_32_bits(case, device, tmp_path, monkeypatch):
    if device == "cpu":
        from triton.runtime.interpreter import GridExecutor

        # it would copy all the room onto itself
        monkeypatch.setattr(GridExecutor, "_restore_args_dev", lambda *_: None)
    arguments = to_dtype(case(4, device=device), torch.float32)
    leaf = leaves_of(case)[0]
    given = {**arguments, leaf: far_apart(arguments[leaf], tmp_path)}
    for reduction in ("none", "mean"):
        with ran("triton"):
            found = evaluate(case.function, given, [leaf], reduction=reduction, upstream=torch.tensor(0.37))
            near = evaluate(case.function, arguments, [leaf], reduction=reduction, upstream=torch.tensor(0.37))
        same(found, near)
