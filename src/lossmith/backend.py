"""How a call may run: on which backend, whether values may be read, in which dtype the arithmetic is done."""

import functools
import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils._python_dispatch import _get_current_dispatch_mode

from .native import core, missing


class Dispatch(NamedTuple):
    """Which backend runs a call, and why."""

    backend: str
    """`native` (a compiled kernel on a CPU), `triton` (one on a GPU) or `reference` (torch's operations)."""
    kernel: str
    """The kernel's name."""
    reason: str


FORCED = os.environ.get("LOSSMITH_BACKEND", "")
"""The only backend that may run: what it can't run is refused."""

if FORCED not in ("", "reference", "native", "triton"):
    raise ImportError(f"LOSSMITH_BACKEND is {FORCED!r}, expected 'reference', 'native' or 'triton', or nothing")

TRITON = 6
"""What `kernels` gives where a Triton kernel runs."""
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
"""Whether Triton's kernels are interpreted, on a CPU; Triton decides it when it is imported."""

_records: list[Dispatch] | None = None


HALVES = (torch.float16, torch.bfloat16)


def explain_dispatch(loss: Callable[..., Any], *args: Any, **kwargs: Any) -> Dispatch:
    """Calls a loss, function or Module, and tells which backend ran it, and why.

    >>> import torch, lossmith
    >>> x, y = torch.zeros(3), torch.zeros(3)
    >>> lossmith.explain_dispatch(lossmith.MSELoss(), x, y.to("meta"), reduction="none").backend
    Traceback (most recent call last):
    TypeError: MSELoss.forward() got an unexpected keyword argument 'reduction'
    >>> lossmith.explain_dispatch(torch.func.grad(lossmith.functional.mse_loss), x, y).reason
    'a torch.func transform is active'
    """
    with recorded() as records:
        loss(*args, **kwargs)
    if not records:
        raise ValueError(f"{loss!r} called no loss of lossmith, or one inside torch.compile")
    return records[0]


@contextmanager
def recorded() -> Iterator[list[Dispatch]]:
    """Collects what is decided, call by call."""
    global _records
    before, _records = _records, []
    try:
        yield _records
    finally:
        _records = before


def kernels(
    kernel: str, tensors: tuple[Tensor, ...], unfit: str = "", alike: int = 0, uncompiled: str = "", on_gpu: str = ""
) -> int:
    """Whether kernels run this call: 0 if not; TRITON for those of a GPU; else those of the CPU.

    These are 1, or more for tensors of one shape and dtype: 2 for float32, 3 for float64, 4 for float16 and 5 for
    bfloat16. unfit: what no kernel can do. alike: the number, if it is known already. uncompiled: what those of the CPU
    can't do. on_gpu: what those of a GPU can't do.
    """
    if torch.compiler.is_compiling():
        return 0
    reason = unready() or unfit
    found = 0
    if not reason:
        if FORCED != "triton" and core is not None:
            found = alike or core.survey(*tensors) + 1
        if not found:
            found, reason = _on_a_device(tensors)
            if found and on_gpu:
                found, reason = 0, on_gpu
        elif uncompiled:
            found, reason = 0, uncompiled
    if _records is not None:
        if reason:
            _records.append(Dispatch("reference", kernel, reason))
        elif found == TRITON:
            _records.append(Dispatch("triton", kernel, f"Triton {'interpreted' if INTERPRETED else 'kernel'}"))
        else:
            _records.append(Dispatch("native", kernel, f"kernel {core.isa()}"))
    if reason and FORCED in ("native", "triton"):
        raise RuntimeError(f"LOSSMITH_BACKEND={FORCED}, but no kernel runs this call of {kernel}: {reason}")
    return found


def _on_a_device(tensors: tuple[Tensor, ...]) -> tuple[int, str]:
    """TRITON, or 0 and why no kernel runs for tensors that the compiled kernels of the CPU do not take."""
    device = tensors[0].device
    if FORCED == "triton" and device.type == "cpu" and not INTERPRETED:
        return 0, "the tensors are on the CPU, where Triton's kernels run with TRITON_INTERPRET=1 alone"
    if (FORCED == "triton" or device.type in ("cuda", "xpu")) and FORCED != "native":
        if not _has_triton():
            return 0, "Triton is not installed"
        if device.type in ("cpu", "cuda", "xpu") and fits_device(device, *tensors):
            return TRITON, ""
    elif device.type == "cpu" and missing:
        return 0, missing
    return 0, (
        "a tensor is on another device, of another layout or dtype, of more than 8 dimensions, a subclass or a wrapper"
    )


def fits_device(device: torch.device, *tensors: Tensor) -> bool:
    """Whether a Triton kernel may be given the addresses of these tensors."""
    for t in tensors:
        if (
            type(t) not in (Tensor, torch.nn.Parameter)
            or t.device != device
            or t.layout is not torch.strided
            or t.dtype not in _OF_TRITON
            or t.dim() > 8
            or t.is_neg()
            or torch._C._functorch.is_functorch_wrapped_tensor(t)
        ):
            return False
    return True


_OF_TRITON = (
    torch.float32,
    torch.bfloat16,
    torch.float16,
    torch.float64,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
)


@functools.cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def unready() -> str:
    """Why no kernel may run now, whatever it is given: transforms and modes can't see into a kernel."""
    if FORCED == "reference":
        return "LOSSMITH_BACKEND=reference"
    if torch._C._are_functorch_transforms_active():
        return "a torch.func transform is active"
    if forward_ad._current_level >= 0:
        return "forward-mode differentiation is active"
    if torch._C._len_torch_dispatch_stack() > 0:
        return "a dispatch mode is active"
    if torch._C._is_tracing():
        return "torch.jit.trace is active"
    return ""


def readable(tensor: Tensor) -> bool:
    """Whether the tensor's values may be looked at now: a plain CPU tensor, eager, in no transform or mode.

    On a device that would be a sync; in a compiled graph, under vmap or on a meta tensor there is nothing to read.
    Where Triton's kernels are interpreted, values are read no more than on the GPU that this stands for.
    """
    if torch.compiler.is_compiling() or FORCED == "triton":
        return False
    return (
        type(tensor) in (Tensor, torch.nn.Parameter)
        and tensor.device.type == "cpu"
        and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
        and _get_current_dispatch_mode() is None
        and not torch._C._is_tracing()
    )


def transforming() -> bool:
    """Whether a torch.func transform or forward-mode differentiation is under way, which see plain operations best."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def dtypes(
    *operands: object, like: Tensor | None = None, composite: bool = False, integers: bool = False
) -> tuple[torch.dtype, torch.dtype]:
    """The dtype to compute in and the dtype of the result, for tensors (numbers do not count).

    Half precision is computed in float32 and rounded once at the end (not at all under autocast, where torch's losses
    give float32); integers are computed in the default dtype. like: the tensor whose dtype torch gives the result,
    where it does not promote. composite: torch makes this loss of several operations, which autocast leaves alone on
    the CPU. integers: among integers alone torch's arithmetic is theirs, overflow included.
    """
    tensors = [t for t in operands if isinstance(t, Tensor)]
    promoted = _result_type(tensors)
    compute = _real_or_complex(promoted)
    result = compute if like is None else _real_or_complex(like.dtype)
    if compute in HALVES:
        compute = torch.float32
    if result in HALVES:
        device = tensors[0].device.type
        if device != "meta" and torch.is_autocast_enabled(device) and not (composite and device == "cpu"):
            result = torch.float32
    whole = integers and not (promoted.is_floating_point or promoted.is_complex)
    return promoted if whole else compute, result


def dtypes_of(alike: int, *operands: Tensor) -> tuple[torch.dtype, torch.dtype]:
    """`dtypes` of tensors of which `checks.alike` is known."""
    return _ALIKE[alike] if alike in _ALIKE else dtypes(*operands)


_ALIKE = {2: (torch.float32, torch.float32), 3: (torch.float64, torch.float64)}


def wide(tensor: Tensor) -> Tensor:
    """The tensor in float64 (complex128), where the device has it: squares of float32 neither overflow nor vanish."""
    if tensor.device.type == "mps":
        return tensor
    return tensor.to(torch.complex128 if tensor.is_complex() else torch.float64)


def _real_or_complex(dtype: torch.dtype) -> torch.dtype:
    return dtype if dtype.is_floating_point or dtype.is_complex else torch.get_default_dtype()


def _result_type(tensors: list[Tensor]) -> torch.dtype:
    """torch.result_type of any number of tensors: 0-dim ones matter only where they are of a higher category."""
    with_dim = [t.dtype for t in tensors if t.dim() > 0]
    without = [t.dtype for t in tensors if t.dim() == 0]
    result = _promoted(with_dim or without)
    if with_dim and without and _category(_promoted(without)) > _category(result):
        result = torch.promote_types(result, _promoted(without))
    return result


def _promoted(dtypes: list[torch.dtype]) -> torch.dtype:
    result = dtypes[0]
    for dtype in dtypes[1:]:
        if dtype != result:
            result = torch.promote_types(result, dtype)
    return result


def _category(dtype: torch.dtype) -> int:
    return 3 if dtype.is_complex else 2 if dtype.is_floating_point else 1 if dtype != torch.bool else 0
