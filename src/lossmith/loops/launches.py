"""The same call on a GPU again: what it allocates and which kernels it starts is decided once, then repeated.

Between the call of a loss and its kernels lie tens of microseconds of Python: layouts, tiles, Triton's search for the
compiled kernel. All of it follows from the call's key and from the shapes, strides and dtypes of its tensors. So the
first such call is watched, and the next ones repeat its allocations and launches with other addresses. A call that does
more than allocate, take views and launch is not repeated: it is made anew every time. This module imports Triton.
"""

import contextlib
from collections.abc import Callable, Hashable, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from triton.runtime import JITFunction

from ..errors import note_on

if TYPE_CHECKING:
    from .fused import DeviceKernel, Repeatable

MOST_PLANS = 4096
"""So many are kept; beyond, all are forgotten, so that calls whose shapes never return do not fill the memory."""
ALIGNED = 16
"""Triton compiles a kernel for addresses that are multiples of this, and another one for those that are not."""

Gradients = Sequence[Tensor | None]
Hole = int | tuple[int | None, ...]
"""Which tensor, or tuple of tensors and None, an argument of a kernel stands for."""


class Launch(NamedTuple):
    """One kernel, started with numbers that are known and addresses that are not."""

    start: Callable[..., object]
    arguments: list[Any]
    holes: list[tuple[int, Hole]]
    """Places among the arguments, and which tensors belong there."""
    constants: dict[str, Any]

    def __call__(self, pointers: Sequence[Any]) -> None:
        arguments = self.arguments.copy()
        for place, hole in self.holes:
            if isinstance(hole, int):
                arguments[place] = pointers[hole]
            else:
                arguments[place] = tuple([None if i is None else pointers[i] for i in hole])
        self.start(*arguments, **self.constants)


class Plan(NamedTuple):
    """What a call does. Tensors are numbered: those that are given, the device's note, those that are allocated."""

    fresh: list[tuple[torch.Size, tuple[int, ...], torch.dtype]]
    """The size, the strides and the dtype of each tensor that is allocated."""
    launches: list[Launch]
    compiled: bool
    """Whether kernels take addresses; the interpreter takes tensors."""
    value: int | None
    gradients: list[int | None]
    beside: list[int]
    kept: Hashable
    """What forward leaves to backward: tensors, and what else."""


_plans: dict[Hashable, Plan | None] = {}
_watching: ContextVar["Watch | None"] = ContextVar("_watching", default=None)


def on(tensor: Tensor) -> contextlib.AbstractContextManager[Any]:
    """Kernels start on the current device: makes it the tensor's, if it is another."""
    index = tensor.device.index
    if index is None or index == torch.accelerator.current_device_index():
        return contextlib.nullcontext()
    return torch.accelerator.device_index(index)


def enqueue(kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> None:
    """`kernel[grid](*arguments, **constants)` in a call that may be repeated."""
    watch = _watching.get()
    if watch is None:
        kernel[grid](*arguments, **constants)
    else:
        watch.starts(kernel, grid, arguments, constants)


def launched(
    kernel: "DeviceKernel",
    tensors: Sequence[Tensor],
    wanted: Sequence[bool],
    upstream: Tensor | None = None,
    into: Gradients | None = None,
) -> tuple[Tensor | None, Gradients]:
    """`kernel.launch`, or what it did before."""
    key = kernel.key
    if key is None:
        return kernel.launch(tensors, wanted, upstream, into)
    if TYPE_CHECKING:
        kernel = cast(Repeatable, kernel)
    given = [*tensors, *kernel.beside]
    if upstream is not None:
        given.append(upstream)
    if into is not None:
        given += [t for t in into if t is not None]
    device = given[0].device
    note = note_on(device)
    addresses = [t.data_ptr() for t in given]
    every_bit = 0
    for address in addresses:
        every_bit |= address
    key = (
        key, device, wanted, upstream is None, into is None or tuple([t is None for t in into]),
        None if every_bit % ALIGNED == 0 else tuple([address % ALIGNED for address in addresses]),
        # a tensor that is given twice
        None if len({*addresses}) == len(addresses) else tuple([addresses.index(address) for address in addresses]),
        *[(t.shape, t.stride(), t.dtype) for t in given],
    )  # fmt: skip
    try:
        plan = _plans[key]
    except KeyError:
        return _watched(key, kernel, [*given, note], tensors, wanted, upstream, into)
    if plan is None:
        return kernel.launch(tensors, wanted, upstream, into)
    every = [
        *given,
        note,
        *[torch.empty_strided(size, strides, dtype=dtype, device=device) for size, strides, dtype in plan.fresh],
    ]
    pointers = [*addresses, *[t.data_ptr() for t in every[len(given) :]]] if plan.compiled else every
    with on(note):
        for launch in plan.launches:
            launch(pointers)
    if plan.beside:
        kernel.keep(tuple([every[i] for i in plan.beside]), plan.kept)
    value = None if plan.value is None else every[plan.value]
    return value, [None if i is None else every[i] for i in plan.gradients]


def _watched(
    key: Hashable,
    kernel: "Repeatable",
    given: list[Tensor],
    tensors: Sequence[Tensor],
    wanted: Sequence[bool],
    upstream: Tensor | None,
    into: Gradients | None,
) -> tuple[Tensor | None, Gradients]:
    """Makes the call, and a plan of it."""
    beside = kernel.beside
    watch = Watch(given)
    token = _watching.set(watch)
    try:
        with watch:
            value, gradients = kernel.launch(tensors, wanted, upstream, into)
    finally:
        _watching.reset(token)
    if len(_plans) >= MOST_PLANS:
        _plans.clear()
    changed = kernel.beside
    if all([t is known for t, known in zip(changed, beside, strict=False)]) and len(changed) == len(beside):
        changed = ()
    _plans[key] = watch.plan(value, gradients, changed, kernel.kept)
    return value, gradients


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees what a call does: its allocations and the kernels that it starts."""

    def __init__(self, given: list[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.given = given
        self.fresh: list[Tensor] = []
        self.views: list[tuple[Tensor, Tensor]] = []
        """Views that begin where what they are views of does, which is as good to a kernel."""
        self.launches: list[Launch] = []
        self.compiled = False
        self.looks = True
        self.plain = True
        """Whether there was nothing else."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if not self.looks:
            return found
        if func.overloadpacket in ALLOCATIONS:
            self.fresh.append(found)
        elif func.is_view and isinstance(found, Tensor) and _begins_with(found, args[0]):
            self.views.append((found, args[0]))
        else:
            self.plain = False
        return found

    def starts(self, kernel: Any, grid: tuple[int, ...], arguments: tuple[Any, ...], constants: dict[str, Any]) -> None:
        self.looks = False  # the interpreter's own operations are none of the call's
        compiled = kernel[grid](*arguments, **constants)
        self.looks = True
        holes: list[tuple[int, Hole]] = []
        for place, argument in enumerate(arguments):
            if isinstance(argument, Tensor):
                holes.append((place, self.number_of(argument)))
            elif isinstance(argument, tuple) and any([isinstance(t, Tensor) for t in argument]):
                holes.append((place, tuple([None if t is None else self.number_of(t) for t in argument])))
        blank = [None if place in dict(holes) else argument for place, argument in enumerate(arguments)]
        if isinstance(kernel, JITFunction):
            # what is compiled takes constants in their places, and no options
            names = kernel.arg_names
            blank += [constants[name] for name in names[len(arguments) :]]
            self.compiled = True
            self.launches.append(Launch(compiled[(*grid, 1, 1)[:3]], blank, holes, {}))
        else:
            self.launches.append(Launch(kernel[grid], blank, holes, constants))

    def number_of(self, tensor: Tensor, shaped: bool = False) -> int:
        """A tensor's number; of a view that of what it is a view of, which may have to be of the same shape."""
        while True:
            for number, known in enumerate([*self.given, *self.fresh]):
                if known is tensor:
                    return number
            origin = next((origin for view, origin in self.views if view is tensor), None)
            if origin is None or (shaped and (origin.shape, origin.stride()) != (tensor.shape, tensor.stride())):
                self.plain = False
                return 0
            tensor = origin

    def plan(self, value: Tensor | None, gradients: Gradients, beside: Sequence[Tensor], kept: Hashable) -> Plan | None:
        """None if the call can't be repeated."""
        plan = Plan(
            [(t.shape, t.stride(), t.dtype) for t in self.fresh],
            self.launches,
            self.compiled,
            None if value is None else self.number_of(value, shaped=True),
            [None if g is None else self.number_of(g, shaped=True) for g in gradients],
            [self.number_of(t) for t in beside],
            kept,
        )
        return plan if self.plain else None


def _begins_with(view: Tensor, tensor: Tensor) -> bool:
    return view.data_ptr() == tensor.data_ptr() and view.dtype == tensor.dtype


_aten = torch.ops.aten
ALLOCATIONS = (_aten.empty, _aten.empty_like, _aten.empty_strided, _aten.new_empty)
