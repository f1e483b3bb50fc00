"""How a call may run: on which backend, whether values may be read, in which dtype the arithmetic is done."""

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
    """`native` (a compiled kernel) or `reference` (torch's operations)."""
    kernel: str
    """The kernel's name."""
    reason: str


FORCED = os.environ.get("LOSSMITH_BACKEND", "")
"""The only backend that may run: what it can't run is refused."""

if FORCED not in ("", "reference", "native"):
    raise ImportError(f"LOSSMITH_BACKEND is {FORCED!r}, expected 'reference' or 'native', or nothing")

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


def native(kernel: str, tensors: tuple[Tensor, ...], unfit: str = "", alike: int = 0) -> int:
    """Whether a compiled kernel runs this call: 0 if not, else 1, or more for tensors of one shape and dtype.

    That is 2 for float32, 3 for float64, 4 for float16 and 5 for bfloat16. unfit: what this kernel can't do. alike:
    the number, if it is known already.
    """
    if torch.compiler.is_compiling():
        return 0
    reason = unready() or unfit
    found = 0
    if not reason:
        found = alike or core.survey(*tensors) + 1
        if not found:
            reason = (
                "a tensor is on another device, of another layout or dtype, of more than 8 dimensions, a subclass "
                "or a wrapper"
            )
    if _records is not None:
        _records.append(
            Dispatch("reference", kernel, reason) if reason else Dispatch("native", kernel, f"kernel {core.isa()}")
        )
    if reason and FORCED == "native":
        raise RuntimeError(f"LOSSMITH_BACKEND=native, but no kernel runs this call of {kernel}: {reason}")
    return found


def unready() -> str:
    """Why no kernel may run now, whatever it is given: transforms and modes can't see into a kernel."""
    if missing or FORCED == "reference":
        return missing or "LOSSMITH_BACKEND=reference"
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
    """
    if torch.compiler.is_compiling():
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
