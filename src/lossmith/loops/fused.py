"""Kernels as nodes of autograd: value and gradient in one pass, once; everything else from the inputs.

Where the result is one number, forward stores the gradients for an upstream gradient of 1, and the first backward hands
them out, scaled if the upstream gradient is another number. A later backward, and any of an unreduced loss, runs the
kernel again. What is to be differentiated once more goes through the differentiable reference.

On a GPU the upstream gradient is known to the device alone: there the first backward starts the kernel on the stored
gradients, and it returns at once if the number is 1, else writes them anew.
"""

import functools
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

import torch
from torch import Tensor

from ..backend import HALVES, INTERPRETED, TRITON, fits_device, unready
from ..native import core
from ..reduction import Reduction, divisor_of

if TYPE_CHECKING:
    from .triton import Divisor


class Kernel(Protocol):
    """One call of a kernel, with all that it needs besides tensors."""

    @property
    def reduced(self) -> bool:
        """Whether the result is one number."""

    def run(
        self, tensors: Sequence[Tensor], wanted: Sequence[bool], upstream: Tensor | float | None
    ) -> tuple[Tensor, Sequence[Tensor | None]]:
        """The value, and for each tensor the gradient that is wanted, times the upstream gradient (None: no gradient).

        An upstream gradient of a number goes with a reduced result.
        """

    def reference(self, tensors: Sequence[Tensor]) -> Tensor:
        """The same value by differentiable operations."""


class DeviceKernel(Protocol):
    """One call of a kernel on a GPU."""

    @property
    def reduced(self) -> bool:
        """Whether the result is one number."""

    @property
    def key(self) -> Hashable:
        """What a launch depends on besides tensors, if the call is `Repeatable`, else None."""

    def launch(
        self,
        tensors: Sequence[Tensor],
        wanted: Sequence[bool],
        upstream: Tensor | None = None,
        into: Sequence[Tensor | None] | None = None,
    ) -> tuple[Tensor | None, Sequence[Tensor | None]]:
        """The value, and the gradients that are wanted, without waiting for the device.

        Without an upstream gradient, value and gradients for one of 1; of the gradients either all that are wanted or
        none, which are then asked for in backward. With one (a number on the device, or one for each loss that is not
        reduced), the gradients alone: in new tensors, or in those of `into`, which hold them for an upstream gradient
        of 1 and are left as they are if it is 1.
        """

    def reference(self, tensors: Sequence[Tensor]) -> Tensor:
        """The same value by differentiable operations."""


class Repeatable(DeviceKernel, Protocol):
    """One that launches the same as another of its key, if their tensors have the same shapes, strides and dtypes."""

    @property
    def beside(self) -> tuple[Tensor, ...]:
        """Tensors on the device that a launch takes, but not from its arguments: what forward left to backward."""

    @property
    def kept(self) -> Hashable:
        """What else forward left to backward."""

    def keep(self, beside: tuple[Tensor, ...], kept: Hashable) -> None:
        """Takes what another forward of the key left to backward for its own."""


class Counted:
    """A call whose mean's denominator is counted on the device, by forward alone."""

    __slots__ = ()

    counted: "Divisor | None"
    """The denominator, once it was counted."""
    normalizer: Tensor | None
    """What the sum is divided by, if that is on the device."""
    divide: "Callable[[], Divisor] | None"
    """How it is counted, unless the host knows it."""
    counting: Hashable
    """What that depends on, besides tensors."""

    def count_by(self, divide: "Callable[[], Divisor]", how: Reduction) -> None:
        """Leaves the denominator to the launch."""
        normalizer = how.normalizer
        number = "of a tensor" if isinstance(normalizer, Tensor) else normalizer
        # its slots are the heir's
        self.divide = divide  # type: ignore[misc]
        self.normalizer = normalizer if is_on_device(normalizer) else None  # type: ignore[misc]
        self.counting = how.reduction, how.on_empty, number  # type: ignore[misc]

    @property
    def beside(self) -> tuple[Tensor, ...]:
        if self.counted is None:
            return () if self.normalizer is None else (self.normalizer,)
        return () if self.counted.sums is None else (self.counted.sums,)

    @property
    def kept(self) -> tuple[float, str] | None:
        return None if self.counted is None else (self.counted.number, self.counted.on_empty)

    def keep(self, beside: tuple[Tensor, ...], kept: tuple[float, str]) -> None:
        from .triton import Divisor

        self.counted = Divisor(kept[0], beside[0], kept[1])  # type: ignore[misc]


def is_on_device(normalizer: object) -> TypeGuard[Tensor]:
    """Whether it is a tensor that no host may read."""
    return isinstance(normalizer, Tensor) and (INTERPRETED or normalizer.device.type != "cpu")


@dataclass(slots=True)
class Steps:
    """The same loss by torch's operations: what a kernel can't do, or is differentiated again, goes through them."""

    of: Callable[..., Tensor]
    """The unreduced loss of the tensors that are differentiated (and of a target)."""
    finish: Callable[[Tensor], Tensor]
    """The reduction of unreduced losses."""


def fused(kernel: Kernel, tensors: Sequence[Tensor]) -> Tensor:
    """The value of a kernel's call, differentiable in the tensors."""
    if torch.is_grad_enabled():
        for tensor in tensors:
            if tensor.requires_grad:
                result: Tensor = _apply(kernel, *tensors)  # type: ignore[no-untyped-call]
                return result
    return kernel.run(tensors, (False,) * len(tensors), None)[0]


class Fused(torch.autograd.Function):
    """`apply(kernel, *tensors)`."""

    @staticmethod
    def forward(ctx: Any, kernel: Kernel, *tensors: Tensor) -> Tensor:
        reduced = kernel.reduced
        value, gradients = kernel.run(tensors, ctx.needs_input_grad[1:], 1.0 if reduced else None)
        ctx.kernel, ctx.fresh = kernel, reduced
        if reduced:
            ctx.save_for_backward(*tensors, *gradients)
        else:
            ctx.save_for_backward(*tensors)
        return value

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        kernel: Kernel = ctx.kernel
        saved = ctx.saved_tensors
        if not _keeps_graph():
            ctx.kernel = None  # it may hold weights, a mask and labels, which the graph gives up with its saved tensors
        wanted = ctx.needs_input_grad[1:]
        count = len(wanted)
        factor = core.number(upstream) if kernel.reduced else None
        hidden = factor is None and (kernel.reduced or core.survey(upstream) < 0)
        if hidden or torch.is_grad_enabled() or unready():
            return None, *differentiated(kernel, saved[:count], wanted, upstream)
        if factor is None:
            return None, *kernel.run(saved[:count], wanted, upstream)[1]
        fresh, ctx.fresh = ctx.fresh, False
        if factor == 1:
            if fresh:
                # what is handed out has the memory of the saved tensor, but not its identity or version
                return None, *[None if g is None else g.data for g in saved[count:]]
            return None, *kernel.run(saved[:count], wanted, 1.0)[1]
        # a half precision gradient is rounded with the whole factor, an infinite factor would spoil what is masked
        rescaled = math.isfinite(factor) and all([t.dtype not in HALVES for t in saved[:count]])
        if not rescaled:
            return None, *kernel.run(saved[:count], wanted, factor)[1]
        # a later backward goes through the same steps, and gives the same bits
        stored = saved[count:] if fresh else kernel.run(saved[:count], wanted, 1.0)[1]
        gradients = [None if g is None else g.data for g in stored]
        core.rescale([g for g in gradients if g is not None], factor, torch.get_num_threads())
        return None, *gradients


def fused_on_device(kernel: DeviceKernel, tensors: Sequence[Tensor]) -> Tensor:
    """The value of a kernel's call on a GPU, differentiable in the tensors."""
    if torch.is_grad_enabled() and any([t.requires_grad for t in tensors]):
        result: Tensor = _apply_on_device(kernel, *tensors)  # type: ignore[no-untyped-call]
        return result
    value = _launched()(kernel, tensors, (False,) * len(tensors))[0]
    assert value is not None
    return value


class FusedOnDevice(torch.autograd.Function):
    """`apply(kernel, *tensors)`."""

    @staticmethod
    def forward(ctx: Any, kernel: DeviceKernel, *tensors: Tensor) -> Tensor:
        wanted = ctx.needs_input_grad[1:]
        value, gradients = _launched()(kernel, tensors, wanted if kernel.reduced else (False,) * len(tensors))
        ctx.kernel = kernel
        ctx.fresh = any([g is not None for g in gradients])
        ctx.save_for_backward(*tensors, *(gradients if ctx.fresh else ()))
        assert value is not None
        return value

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        kernel: DeviceKernel = ctx.kernel
        saved = ctx.saved_tensors
        if not _keeps_graph():
            ctx.kernel = None  # as above
        wanted = ctx.needs_input_grad[1:]
        count = len(wanted)
        if torch.is_grad_enabled() or unready() or not fits_device(saved[0].device, upstream):
            return None, *differentiated(kernel, saved[:count], wanted, upstream)
        into = None
        if ctx.fresh:
            # what is handed out has the memory of the saved tensor, but not its identity or version
            into = [None if g is None else g.data for g in saved[count:]]
        ctx.fresh = False
        return None, *_launched()(kernel, saved[:count], wanted, upstream, into)[1]


@functools.cache
def _launched() -> Callable[..., tuple[Tensor | None, Sequence[Tensor | None]]]:
    """`launches.launched`, which imports Triton."""
    from .launches import launched

    return launched


_keeps_graph = torch._C._autograd._get_current_graph_task_keep_graph

# without the Python step that looks for torch.func transforms: under those no kernel runs
_apply = super(torch.autograd.Function, Fused).apply
_apply_on_device = super(torch.autograd.Function, FusedOnDevice).apply


def divisor_for(found: int) -> Callable[..., Any]:
    """What gives a mean's denominator for the kernels that were found: on a GPU, nothing that waits for it."""
    if found != TRITON:
        return divisor_of
    from .triton import divisor_on_device

    return divisor_on_device


def empty_number(dtype: torch.dtype) -> Tensor:
    """Room for one number; `torch.empty` takes twice the time."""
    return torch.empty_strided((), (), dtype=dtype)


def widened(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Half precision as float32: where torch's operations follow a kernel, a gradient's parts are rounded once."""
    return tuple([t.float() if t.dtype in HALVES else t for t in tensors])


def summed(gradient: Tensor, operand: Tensor) -> Tensor:
    """The gradient of an operand that was broadcast, from that of the whole shape.

    In float64, and in the same bits for any number of threads, which torch's sums on a CPU are not.
    """
    if INTERPRETED or gradient.device.type != "cpu":
        return gradient.to(torch.float64).sum_to_size(operand.shape).to(operand.dtype)
    shape = (1,) * (gradient.dim() - operand.dim()) + operand.shape
    stop = gradient.dim()
    while stop:
        whole, start = gradient.shape, stop
        while start and shape[start - 1] != whole[start - 1]:
            start -= 1
        if start == stop:
            stop -= 1
            continue
        # a run of dimensions that are summed
        outer, terms, inner = math.prod(whole[:start]), math.prod(whole[start:stop]), math.prod(whole[stop:])
        sums = torch.empty(outer, inner, dtype=torch.float64)
        core.sum_middle(gradient.reshape(outer, terms, inner), sums, torch.get_num_threads())
        gradient = sums.view(whole[:start] + shape[start:stop] + whole[stop:])
        stop = start
    return gradient.reshape(operand.shape).to(operand.dtype)


def differentiated(
    kernel: Kernel | DeviceKernel, tensors: Sequence[Tensor], wanted: Sequence[bool], upstream: Tensor
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
