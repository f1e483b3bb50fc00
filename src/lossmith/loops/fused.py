"""Kernels as nodes of autograd: value and gradient in one pass, once; everything else from the inputs.

Where the result is one number, forward stores the gradients for an upstream gradient of 1, and the first backward hands
them out, scaled if the upstream gradient is another number. A later backward, and any of an unreduced loss, runs the
kernel again. What is to be differentiated once more goes through the differentiable reference.
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from ..backend import HALVES, native, unready


class Kernel(Protocol):
    """One call of a kernel, with all that it needs besides tensors."""

    @property
    def reduced(self) -> bool:
        """Whether the result is one number."""

    @property
    def rescales(self) -> bool:
        """Whether a stored gradient may be multiplied: not in half precision, whose rounding must come last."""

    def run(
        self, tensors: Sequence[Tensor], wanted: Sequence[bool], upstream: Tensor | float | None
    ) -> tuple[Tensor, Sequence[Tensor | None]]:
        """The value, and for each tensor the gradient that is wanted, times the upstream gradient (None: no gradient).

        An upstream gradient of a number goes with a reduced result.
        """

    def reference(self, tensors: Sequence[Tensor]) -> Tensor:
        """The same value by differentiable operations."""


def fused(kernel: Kernel, tensors: Sequence[Tensor]) -> Tensor:
    """The value of a kernel's call, differentiable in the tensors."""
    if torch.is_grad_enabled():
        for tensor in tensors:
            if tensor.requires_grad:
                result: Tensor = _apply(kernel, *tensors)
                return result
    return kernel.run(tensors, (False,) * len(tensors), None)[0]


class Fused(torch.autograd.Function):
    """`apply(kernel, *tensors)`."""

    @staticmethod
    def forward(ctx: Any, kernel: Kernel, *tensors: Tensor) -> Tensor:
        wanted = ctx.needs_input_grad[1:]
        value, gradients = kernel.run(tensors, wanted, 1.0 if kernel.reduced else None)
        ctx.kernel, ctx.fresh = kernel, kernel.reduced
        ctx.save_for_backward(*tensors, *gradients)
        return value

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        kernel: Kernel = ctx.kernel
        wanted = ctx.needs_input_grad[1:]
        saved = ctx.saved_tensors
        tensors = saved[: len(wanted)]
        if torch.is_grad_enabled() or unready() or not native("backward", (upstream,)):
            return None, *_differentiated(kernel, tensors, wanted, upstream)
        if not kernel.reduced:
            return None, *kernel.run(tensors, wanted, upstream)[1]
        factor = upstream.item()
        fresh, ctx.fresh = ctx.fresh, False
        rescaled = factor != 1 and kernel.rescales and math.isfinite(factor)
        if fresh and (rescaled or factor == 1):
            # saved tensors stay with the graph: what is handed out shares their memory, but neither identity nor version
            gradients = [None if g is None else g.data for g in saved[len(wanted) :]]
        else:
            # in the same steps, so that a later backward gives the same bits
            gradients = [*kernel.run(tensors, wanted, 1.0 if rescaled else factor)[1]]
        if rescaled:
            for gradient in gradients:
                if gradient is not None:
                    gradient.mul_(factor)
        return None, *gradients


# without the Python step that looks for torch.func transforms: under those no kernel runs
_apply = super(torch.autograd.Function, Fused).apply


def empty_number(dtype: torch.dtype) -> Tensor:
    """Room for one number; `torch.empty` takes twice the time."""
    return torch.empty_strided((), (), dtype=dtype)


def widened(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Half precision as float32: where torch's operations follow a kernel, a gradient has several parts, rounded once."""
    return tuple([t.float() if t.dtype in HALVES else t for t in tensors])


def _differentiated(
    kernel: Kernel, tensors: Sequence[Tensor], wanted: Sequence[bool], upstream: Tensor
) -> list[Tensor | None]:
    """The gradients as differentiable functions of the tensors and of the upstream gradient."""
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        # a tensor that is given twice is to have two gradients
        places = [t.view_as(t) if w else t for t, w in zip(tensors, wanted, strict=True)]
        value = kernel.reference(places)
        asked = [p for p, w in zip(places, wanted, strict=True) if w]
        found = iter(torch.autograd.grad(value, asked, upstream, create_graph=again, allow_unused=True))
    return [next(found) if w else None for w in wanted]
