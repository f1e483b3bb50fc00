"""What the Triton kernels share: sums in two stages, denominators, upstream gradients, addresses, notes of errors.

The host never waits for what is on the device. A kernel's programs leave partial sums in float64, in places of their
own, and one more program adds them in their order: no atomics, so the same bits from run to run. Scalars are passed as
float64 (`x: tl.float64`), which Triton would otherwise make float32. This module imports Triton, and is itself imported
when a call first runs on a GPU.
"""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..errors import EMPTY, note_on, number_of
from ..reduction import Reduction, denominator_of
from .fused import is_on_device
from .launches import enqueue, on

EMPTY_MEAN = tl.constexpr(EMPTY)
NO_ROW = tl.constexpr(2**63 - 1)
ADDED = tl.constexpr(1024)
"""How many partial sums one program adds at a time."""
COUNTS = tl.constexpr(256)
"""How many partial sums a denominator has at most."""
MOST_PARTIALS = 4096
"""So many programs leave partial sums of a loss at most; beyond, each walks over more blocks."""


class Divisor(NamedTuple):
    """What a sum of losses is divided by: a number, times the sum of `sums` if there are any, on the device."""

    number: float = 1.0
    sums: Tensor | None = None
    """At most `COUNTS` float64."""
    on_empty: str = "nan"
    """What a loss divided by 0 is."""

    def __mul__(self, terms: object) -> "Divisor":
        """The divisor of a sum whose terms are means over so many elements themselves."""
        assert isinstance(terms, int)
        return self._replace(number=self.number * terms)

    def __truediv__(self, rows: float) -> "Divisor":
        return self._replace(number=self.number / rows)

    @property
    def arguments(self) -> tuple[float, Tensor | None, int]:
        """As kernels take it: number, sums, n_sums."""
        return self.number, self.sums, 0 if self.sums is None else self.sums.numel()


# ----- in kernels -----


@triton.jit
def as_number(x: tl.tensor, dtype: tl.constexpr) -> tl.tensor:
    """A scalar argument of a kernel as a tensor; in the interpreter it is a Python number."""
    return (tl.zeros((), tl.float64) + x).to(dtype)


@triton.jit
def rounded(x: tl.tensor, place: tl.tensor) -> tl.tensor:
    """x in the dtype of what is at a pointer; from float64 to half precision only by way of float32."""
    if x.dtype == tl.float64 and place.dtype.element_ty != tl.float64:
        x = x.to(tl.float32)
    return x.to(place.dtype.element_ty)


@triton.jit
def total_divisor(number: tl.float64, sums: tl.tensor, n_sums: tl.tensor) -> tl.tensor:
    """The divisor, in float64. sums: a pointer, or None."""
    divisor = as_number(number, tl.float64)
    if sums is not None:
        place = tl.arange(0, COUNTS)
        divisor = divisor * tl.sum(tl.load(sums + place, place < n_sums, 0.0).to(tl.float64))
    return divisor


@triton.jit
def gradient_scale(
    number: tl.float64, sums: tl.tensor, n_sums: tl.tensor, upstream: tl.tensor, ON_EMPTY: tl.constexpr
) -> tl.tensor:
    """What each loss's derivative is multiplied with: the upstream number (None: 1) by the divisor, in float64."""
    divisor = total_divisor(number, sums, n_sums)
    scale = 1.0 / divisor
    if upstream is not None:
        scale = tl.load(upstream).to(tl.float64) / divisor
    if ON_EMPTY == "zero":
        scale = tl.where(divisor == 0.0, 0.0, scale)
    return scale


@triton.jit
def unless_one(n: tl.tensor, upstream: tl.tensor, STORED: tl.constexpr) -> tl.tensor:
    """n, or 0 where the gradients are stored and the upstream number is 1, so that there is nothing to do."""
    if STORED:
        n = tl.where(tl.load(upstream).to(tl.float64) == 1.0, 0, n)
    return n


@triton.jit
def divided(
    total: tl.tensor,
    number: tl.float64,
    sums: tl.tensor,
    n_sums: tl.tensor,
    note: tl.tensor,
    ON_EMPTY: tl.constexpr,
    LOSS: tl.constexpr,
) -> tl.tensor:
    """A total by the divisor, in float64."""
    divisor = total_divisor(number, sums, n_sums)
    value = total / divisor
    if ON_EMPTY == "zero":
        value = tl.where(divisor == 0.0, 0.0, value)
    elif ON_EMPTY == "error":
        if divisor == 0.0:
            _write_note(note, EMPTY_MEAN, LOSS, 0, 0, 0)
    return value


@triton.jit
def leave(
    total: tl.tensor,
    value: tl.tensor,
    partials: tl.tensor,
    number: tl.float64,
    sums: tl.tensor,
    n_sums: tl.tensor,
    note: tl.tensor,
    ON_EMPTY: tl.constexpr,
    LOSS: tl.constexpr,
    ALONE: tl.constexpr,
) -> None:
    """Puts a program's sum with the partial sums; if it is the only program, divides it and writes the value."""
    if ALONE:
        quotient = divided(total, number, sums, n_sums, note, ON_EMPTY, LOSS)
        tl.store(value, rounded(quotient, value))
    elif partials is not None:
        tl.store(partials + tl.program_id(0), total)


@triton.jit
def offsets(index: tl.tensor, sizes: tl.tensor, strides: tl.tensor) -> tl.tensor:
    """Where elements lie: 64-bit offsets of flat indices into `sizes` (a tuple), by one tensor's strides (a tuple)."""
    place = tl.zeros_like(index).to(tl.int64)
    rest = index
    for back in tl.static_range(len(sizes)):
        # an index of its own would be a constexpr that can't be assigned anew
        if back < len(sizes) - 1:
            place += (rest % sizes[len(sizes) - 1 - back]).to(tl.int64) * strides[len(sizes) - 1 - back]
            rest = rest // sizes[len(sizes) - 1 - back]
        else:
            place += rest.to(tl.int64) * strides[0]
    return place


@triton.jit
def take_note(
    note: tl.tensor,
    wrong: tl.tensor,
    row: tl.tensor,
    value: tl.tensor,
    bound: tl.tensor,
    KIND: tl.constexpr,
    LOSS: tl.constexpr,
) -> None:
    """Leaves a note of the first row that is wrong (see `errors`), unless there is one. wrong, row, value: a block."""
    first = tl.min(tl.where(wrong, row.to(tl.int64), NO_ROW))
    if first != NO_ROW:
        found = tl.sum(tl.where(wrong & (row.to(tl.int64) == first), value.to(tl.int64), 0))
        _write_note(note, KIND, LOSS, first, found, bound)


@triton.jit
def _write_note(
    note: tl.tensor, KIND: tl.constexpr, LOSS: tl.constexpr, row: tl.tensor, value: tl.tensor, bound: tl.tensor
) -> None:
    nothing = tl.zeros((), tl.int64)
    if tl.atomic_cas(note, nothing, nothing + KIND) == 0:  # whoever is first, and only then
        tl.store(note + 1, nothing + LOSS)
        tl.store(note + 2, nothing + row)
        tl.store(note + 3, nothing + value)
        tl.store(note + 4, nothing + bound)


@triton.jit(do_not_specialize=["count"])
def finish_kernel(
    partials: tl.tensor,
    count: tl.tensor,
    number: tl.float64,
    sums: tl.tensor,
    n_sums: tl.tensor,
    value: tl.tensor,
    note: tl.tensor,
    ON_EMPTY: tl.constexpr,
    LOSS: tl.constexpr,
) -> None:
    """One program: the partial sums, added in their order and divided, rounded once."""
    place = tl.arange(0, ADDED)
    total = tl.zeros((ADDED,), tl.float64)
    for start in range(0, count, ADDED):
        total += tl.load(partials + start + place, start + place < count, 0.0)
    quotient = divided(tl.sum(total), number, sums, n_sums, note, ON_EMPTY, LOSS)
    tl.store(value, rounded(quotient, value))


@triton.jit
def rescale_kernel(gradients: tl.tensor, sizes: tl.tensor, upstream: tl.tensor, BLOCK: tl.constexpr) -> None:
    """Multiplies gradients by a number, unless it is 1; what is masked stays 0, whatever the number."""
    factor = tl.load(upstream).to(tl.float64)
    if factor != 1.0:
        index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
        for i in tl.static_range(len(gradients)):
            x = tl.load(gradients[i] + index, index < sizes[i], 0.0)
            tl.store(gradients[i] + index, tl.where(x == 0.0, 0.0, x * factor.to(x.dtype)), index < sizes[i])


@triton.jit(do_not_specialize=["n"])
def weigh_kernel(
    factors: tl.tensor,
    mask: tl.tensor,
    partials: tl.tensor,
    sizes: tl.tensor,
    strides: tl.tensor,
    mask_strides: tl.tensor,
    n: tl.int64,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Partial sums of the products of the factors where the mask is True. strides: a tuple for each factor."""
    dtype: tl.constexpr = tl.float64 if WIDE else tl.float32
    total = tl.zeros((BLOCK,), tl.float64)
    step = tl.num_programs(0).to(tl.int64) * BLOCK
    start = tl.program_id(0).to(tl.int64) * BLOCK
    while start < n:
        index = start + tl.arange(0, BLOCK)
        inside = index < n
        if mask is not None:
            inside = inside & (tl.load(mask + offsets(index, sizes, mask_strides), inside, 0) != 0)
        product = tl.full((BLOCK,), 1.0, dtype)
        for i in tl.static_range(len(factors)):
            product *= tl.load(factors[i] + offsets(index, sizes, strides[i]), inside, 0.0).to(dtype)
        total += tl.where(inside, product, 0.0).to(tl.float64)
        start += step
    tl.store(partials + tl.program_id(0), tl.sum(total))


# ----- around kernels -----


def finish(loss: str, partials: Tensor, divisor: Divisor, value: Tensor) -> None:
    """Adds partial sums, divides, and writes the value."""
    arguments = partials, partials.numel(), *divisor.arguments, value, note_on(value.device)
    enqueue(
        finish_kernel, (1,), *arguments, divisor.on_empty, LOSS=number_of(loss) if divisor.on_empty == "error" else 0
    )


def rescale(gradients: Sequence[Tensor | None], upstream: Tensor) -> None:
    """Gradients (dense, of float32 or float64), times the upstream number, in their place."""
    given = tuple([g for g in gradients if g is not None])
    most = max([g.numel() for g in given], default=0)
    if most:
        with on(given[0]):
            enqueue(
                rescale_kernel,
                (triton.cdiv(most, 1024),),
                given,
                tuple([g.numel() for g in given]),
                upstream,
                BLOCK=1024,
            )


class Layout(NamedTuple):
    """Tensors that broadcast to one shape, as a kernel walks through them: as few dimensions as will do."""

    sizes: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    """For each tensor."""

    @classmethod
    def of(cls, shape: Sequence[int], tensors: Sequence[Tensor]) -> "Layout":
        """The largest step comes first, whatever the order of the dimensions, which no kernel knows."""
        if all([t.shape == shape and t.is_contiguous() for t in tensors]):
            return cls((math.prod(shape),), ((1,),) * len(tensors))
        every = [t.expand(shape).stride() for t in tensors]
        dims = [d for d in range(len(shape)) if shape[d] != 1]
        if every:
            dims.sort(key=lambda d: max([s[d] for s in every]), reverse=True)
        sizes: list[int] = []
        strides: list[list[int]] = [[] for _ in every]
        for d in dims:
            if sizes and all([mine[-1] == s[d] * shape[d] for mine, s in zip(strides, every, strict=True)]):
                sizes[-1] *= shape[d]
                for mine, s in zip(strides, every, strict=True):
                    mine[-1] = s[d]
            else:
                sizes.append(shape[d])
                for mine, s in zip(strides, every, strict=True):
                    mine.append(s[d])
        if not sizes:
            return cls((1,), ((0,),) * len(tensors))
        return cls(tuple(sizes), tuple([tuple(mine) for mine in strides]))


_FLAT = tuple([((1,),) * count for count in range(8)])


def strided(
    shape: torch.Size, *groups: Sequence[Tensor | None]
) -> tuple[tuple[int, ...], list[tuple[tuple[int, ...], ...]]]:
    """The sizes of a `Layout`, and for each group of tensors its strides; what is None has zeros."""
    for group in groups:
        for t in group:
            if t is not None and not (t.shape == shape and t.is_contiguous()):
                layout = Layout.of(shape, [t for group in groups for t in group if t is not None])
                strides = iter(layout.strides)
                nothing = (0,) * len(layout.sizes)
                return layout.sizes, [tuple([nothing if t is None else next(strides) for t in g]) for g in groups]
    return (shape.numel(),), [_FLAT[len(group)] for group in groups]


def weigh(factors: Sequence[Tensor], mask: Tensor | None, shape: Sequence[int], wide: bool) -> Tensor:
    """The sum of the products of the factors where the mask is True, over a shape, in parts: what `Divisor` takes."""
    n = math.prod(shape)
    given = [*factors, *([] if mask is None else [mask])]
    layout = Layout.of(shape, given)
    programs = max(1, min(COUNTS.value, triton.cdiv(n, 1024)))
    partials = torch.empty(programs, dtype=torch.float64, device=given[0].device)
    strides = layout.strides[: len(factors)]
    with on(partials):
        enqueue(
            weigh_kernel,
            (programs,),
            tuple(factors),
            mask,
            partials,
            layout.sizes,
            strides,
            layout.strides[-1],
            n,
            WIDE=wide,
            BLOCK=1024,
        )
    return partials


def divisor_of_call(call: Any) -> Divisor:
    """The denominator of a `fused.Counted` call that either knows it or knows how it is counted."""
    if call.counted is None:
        call.counted = Divisor(call.divisor or 1.0) if call.divide is None else call.divide()
    counted: Divisor = call.counted
    return counted


def divisor_on_device(
    how: Reduction,
    shape: Sequence[int],
    *,
    wide: bool,
    weight: Tensor | None = None,
    weight_in_mean: bool = False,
    batch: int | None = None,
) -> Divisor:
    """`reduction.divisor_of` without asking the device: what is summed there stays there."""
    elements = math.prod(shape)

    def total(*factors: Tensor | None, share: float = 1.0) -> Any:
        given = [f for f in factors if f is not None]
        parts = given if how.mask is None else [*given, how.mask]
        if not parts:
            return elements * share
        covered = torch.broadcast_shapes(*(t.shape for t in parts))  # type: ignore[no-untyped-call]
        repeated = elements / math.prod(covered) if math.prod(covered) else 0.0
        return Divisor(repeated * share, weigh(given, how.mask, covered, wide), how.on_empty)

    def share() -> Any:
        if weight is None or not weight_in_mean:
            return total(how.sample_weight)
        # as in torch, the sum is over the weight as it is given, also where the operands broadcast to a larger loss
        return total(how.sample_weight, weight, share=weight.numel() / max(1, elements))

    if how.reduction == "sum":
        return Divisor()
    found: Any = denominator_of(
        how,
        shape,
        weighed=how.mask is not None or how.sample_weight is not None,
        count=lambda: total(how.sample_weight),
        share=share,
        weight=lambda: total(how.sample_weight, weight),
        batch=batch,
    )
    if isinstance(found, Divisor):
        return found
    if is_on_device(found):
        return Divisor(1.0, found.detach().reshape(1), how.on_empty)
    return Divisor(float(found), None, how.on_empty)
