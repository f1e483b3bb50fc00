"""How a call may run: whether values may be read, in which dtype the arithmetic is done, which dtype comes out."""

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode


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
    return torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0


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
    if compute in (torch.float16, torch.bfloat16):
        compute = torch.float32
    if result in (torch.float16, torch.bfloat16):
        device = tensors[0].device.type
        if device != "meta" and torch.is_autocast_enabled(device) and not (composite and device == "cpu"):
            result = torch.float32
    whole = integers and not (promoted.is_floating_point or promoted.is_complex)
    return promoted if whole else compute, result


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
