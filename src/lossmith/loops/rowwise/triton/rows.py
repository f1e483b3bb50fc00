"""What the Triton kernels over rows share: where rows lie, what is known of a row before its scores are read, counting.

The rows are those of the unreduced loss, seen through a `Layout`: as few dimensions as will do, the last with the
smallest steps. A tile holds rows of one run along that last dimension, so that their addresses differ by a constant
step: where the classes are an outer dimension (images), neighbouring rows lie side by side, and memory is read so.
"""

# mypy: disable-error-code="untyped-decorator"
# Triton comes without types.

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from ....errors import LABEL, note_on, number_of
from ....formula.vocabularies.triton import exp, maximum
from ...launches import enqueue, on
from ...triton import COUNTS, MOST_PARTIALS, Divisor, Layout, finish, offsets, rounded
from ..native import CLASS_WEIGHTS, NUMBER

if TYPE_CHECKING:
    from ..native import Parts, _Call

LABEL_OUTSIDE = tl.constexpr(LABEL)


# ----- in kernels -----


@triton.jit
def rows_of(tile: tl.tensor, tiles: tl.tensor, sizes: tl.tensor, ROWS: tl.constexpr) -> tl.tensor:
    """Of a tile (64-bit) of so many: its run, the places of its rows in that run, and which of them exist."""
    last = sizes[len(sizes) - 1]
    tiles_of_run = tl.cdiv(last, ROWS)
    inner = (tile % tiles_of_run) * ROWS + tl.arange(0, ROWS)
    return tile // tiles_of_run, inner, (inner < last) & (tile < tiles)


@triton.jit
def place_of(run: tl.tensor, inner: tl.tensor, sizes: tl.tensor, strides: tl.tensor) -> tl.tensor:
    """The 64-bit offsets of a tile's rows in one tensor, whose strides are given."""
    start = tl.zeros((), tl.int64)
    rest = run
    for back in tl.static_range(1, len(sizes)):
        d: tl.constexpr = len(sizes) - 1 - back
        if d > 0:
            start += (rest % sizes[d]) * strides[d]
            rest = rest // sizes[d]
        else:
            start += rest * strides[d]
    return start + inner * strides[len(sizes) - 1]


@triton.jit
def multiple(x: tl.tensor, UNIT: tl.constexpr) -> tl.tensor:
    """A multiple of UNIT as such: what the compiler knows of addresses and masks makes loads and stores wide."""
    if UNIT == 1:
        return x
    else:
        return x // UNIT * UNIT


@triton.jit
def number_of_row(run: tl.tensor, inner: tl.tensor, sizes: tl.tensor) -> tl.tensor:
    """The flat number of each row, for a note."""
    return run * sizes[len(sizes) - 1] + inner


@triton.jit
def unmasked(
    mask: tl.tensor, run: tl.tensor, inner: tl.tensor, inside: tl.tensor, sizes: tl.tensor, strides: tl.tensor
) -> tl.tensor:
    """Which rows exist and are not masked. mask: a pointer, or None."""
    if mask is not None:
        inside = inside & (tl.load(mask + place_of(run, inner, sizes, strides), inside, 0) != 0)
    return inside


@triton.jit
def read_labels(
    at: tl.tensor, inside: tl.tensor, classes: tl.tensor, ignored: tl.tensor, IGNORES: tl.constexpr
) -> tl.tensor:
    """The labels at these addresses as 64-bit, which rows count (not ignored), and which of those are out of range."""
    label = tl.load(at, inside, 0).to(tl.int64)
    counted = inside
    if IGNORES:
        counted = inside & (label != ignored)
    return label, counted, counted & ((label < 0) | (label >= classes))


@triton.jit
def factor_of(
    factors: tl.tensor,
    run: tl.tensor,
    inner: tl.tensor,
    used: tl.tensor,
    sizes: tl.tensor,
    strides: tl.tensor,
    dtype: tl.constexpr,
) -> tl.tensor:
    """The product of each row's factors, 0 where the row is not used. factors, strides: tuples."""
    product = tl.where(used, 1.0, 0.0).to(dtype)
    for i in tl.static_range(len(factors)):
        product *= tl.load(factors[i] + place_of(run, inner, sizes, strides[i]), used, 0).to(dtype)
    return product


@triton.jit
def classes_from(begin: tl.tensor, classes: tl.tensor, CLASSES: tl.constexpr) -> tl.tensor:
    """The numbers of a block of classes, and which of them exist."""
    c = begin + tl.arange(0, CLASSES)
    return c, c < classes


@triton.jit
def read_tile(
    at: tl.tensor,
    used: tl.tensor,
    c: tl.tensor,
    exists: tl.tensor,
    step: tl.tensor,
    instead: tl.constexpr,
    dtype: tl.constexpr,
) -> tl.tensor:
    """The numbers of some classes of each row, which begins at an address; another number where there is none."""
    return tl.load(at[:, None] + (c.to(tl.int64) * step)[None, :], used[:, None] & exists[None, :], instead).to(dtype)


@triton.jit
def write_tile(
    at: tl.tensor, inside: tl.tensor, c: tl.tensor, exists: tl.tensor, step: tl.tensor, x: tl.tensor
) -> None:
    tl.store(at[:, None] + (c.to(tl.int64) * step)[None, :], rounded(x, at), inside[:, None] & exists[None, :])


@triton.jit
def class_weights(
    weight: tl.tensor, c: tl.tensor, exists: tl.tensor, stride: tl.tensor, dtype: tl.constexpr
) -> tl.tensor:
    """The weights of some classes as a row, 1 where none are given."""
    if weight is None:
        return tl.where(exists, 1.0, 0.0).to(dtype)[None, :]
    else:
        return tl.load(weight + c.to(tl.int64) * stride, exists, 0).to(dtype)[None, :]


@triton.jit
def exp_below(x: tl.tensor) -> tl.tensor:
    """exp(x) of what is at most 0 (or NaN), in fewer steps than `exp` but as exact."""
    if x.dtype == tl.float32:
        bounded = maximum(x, -104.0)
        n = tl.floor(bounded * 1.4426950408889634 + 0.5)
        rest = (bounded - n * 0.693359375) - n * -0.00021219444005469057
        # 2^(n + 32), then 2^-32: the power of two may be subnormal
        power = ((n.to(tl.int32) + 159) << 23).to(tl.float32, bitcast=True)
        return tl.exp(rest) * power * 2.3283064365386963e-10
    else:
        return tl.exp(x)


@triton.jit
def raised(top: tl.tensor, x: tl.tensor) -> tl.tensor:
    """Of rows that are looped over: the greatest scores so far (-inf at first) with those of one more tile.

    Also the same as `greatest_of` gives them, and, in float64, what the sums of exp(x - greatest) so far are to be
    multiplied with.
    """
    higher = tl.maximum(top, tl.max(x, 1))
    greatest = tl.where(higher == -float("inf"), 0.0, higher)
    return higher, greatest, exp(top.to(tl.float64) - greatest.to(tl.float64))


@triton.jit
def greatest_of(x: tl.tensor) -> tl.tensor:
    """The greatest of each row of a tile, 0 if all are -inf. NaN may be passed over: it spoils what follows."""
    greatest = tl.max(x, 1)
    return tl.where(greatest == -float("inf"), 0.0, greatest)


@triton.jit
def wide_sum(x: tl.tensor) -> tl.tensor:
    """The sum of each row of a tile, in float64."""
    return tl.sum(x.to(tl.float64), 1)


@triton.jit(do_not_specialize=["n", "ignored"])
def count_kernel(
    labels: tl.tensor,
    mask: tl.tensor,
    factors: tl.tensor,
    weight: tl.tensor,
    partials: tl.tensor,
    sizes: tl.tensor,
    label_strides: tl.tensor,
    mask_strides: tl.tensor,
    factor_strides: tl.tensor,
    weight_stride: tl.tensor,
    n: tl.int64,
    classes: tl.int64,
    ignored: tl.int64,
    IGNORES: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Partial sums, over the rows that count, of their factors and of the class weights of their labels.

    labels, mask, weight: a pointer, or None.
    """
    total = tl.zeros((BLOCK,), tl.float64)
    step = tl.num_programs(0).to(tl.int64) * BLOCK
    start = tl.program_id(0).to(tl.int64) * BLOCK
    while start < n:
        index = start + tl.arange(0, BLOCK)
        used = index < n
        if mask is not None:
            used = used & (tl.load(mask + offsets(index, sizes, mask_strides), used, 0) != 0)
        label = tl.zeros((BLOCK,), tl.int64)
        if labels is not None:
            label, used, wrong = read_labels(
                labels + offsets(index, sizes, label_strides), used, classes, ignored, IGNORES
            )
            label = tl.where(wrong, 0, label)
        share = tl.where(used, 1.0, 0.0).to(tl.float64)
        if weight is not None:
            share *= tl.load(weight + label * weight_stride, used, 0).to(tl.float64)
        for i in tl.static_range(len(factors)):
            share *= tl.load(factors[i] + offsets(index, sizes, factor_strides[i]), used, 0).to(tl.float64)
        total += share
        start += step
    tl.store(partials + tl.program_id(0), tl.sum(total))


# ----- around kernels -----


class Tile(NamedTuple):
    """How much of the rows one step of a program takes."""

    rows: int
    classes: int
    """A power of two; where the row has more, it is looped over."""
    warps: int

    @classmethod
    def of(cls, rows: "Rows", most: int = 32768, each: int = 32) -> "Tile":
        """By the shape. most: so many float32 of a tile stay in registers at once; of float64 half of them.

        each: so many elements a thread has, with 32 to a warp.
        """
        most //= 2 if rows.wide else 1
        looped = min(most, 8192)
        last, count = triton.next_power_of_2(max(1, rows.sizes[-1])), math.prod(rows.sizes)
        classes = triton.next_power_of_2(rows.classes)
        # of rows that share lines of memory, as many as make whole lines
        least = min(last, 64 if rows.parts.input.element_size() < 4 else 32) if rows.across else 1
        if classes * least > most:
            # what is kept from step to step needs registers too
            return cls(least, max(1, looped // least), min(16, looped // (16 * each)))
        tall = min(last, max(least, min(most, 4096) // classes))
        while tall > least and count < 512 * tall:
            tall //= 2
        return cls(tall, classes, min(16, max(1, triton.next_power_of_2(tall * classes // (32 * each)))))


class Rows:
    """One launch over rows: results to be written, where everything lies, and what the sum is divided by."""

    def __init__(
        self,
        call: "_Call",
        parts: "Parts",
        wanted: Sequence[bool],
        upstream: Tensor | None,
        into: Sequence[Tensor | None] | None,
    ) -> None:
        input, target = parts.input, parts.target
        dim, device = call.dim, input.device
        self.call, self.parts = call, parts
        self.classes = input.shape[dim]
        self.shape = input.shape[:dim] + input.shape[dim + 1 :]
        self.compute = call.dtypes[0]
        self.wide = self.compute == torch.float64
        self.stored = into is not None
        self.labels: Tensor | None = parts.labels if target.dim() == input.dim() else target
        """A label for each row, if the loss has them."""
        self.factors = parts.factors
        self.upstream: Tensor | None = None
        """One number on the device."""
        self.value: Tensor | None = None
        """What forward is to write: one number, or the loss of each row."""
        if upstream is None:
            result = call.dtypes[1]
            self.value = torch.empty(() if call.reduced else self.shape, dtype=result, device=device)
        elif call.reduced:
            self.upstream = upstream
        else:
            self.factors = (*self.factors, upstream)
        self.gradients = (
            [
                torch.empty_like(t) if w and t.is_floating_point() else None
                for t, w in zip((input, target), wanted, strict=False)
            ]
            if into is None
            else list(into[:2])
        )
        """Of the input and the target."""
        each = None if call.reduced else self.value
        every = [input, target, parts.labels, parts.mask, *self.factors, *self.gradients, each]
        given = [t for t in every if t is not None]
        # what has a class dimension is seen without it
        layout = Layout.of(self.shape, [t.select(dim, 0) if t.dim() == input.dim() else t for t in given])
        self.sizes = layout.sizes
        self._strides = {id(t): strides for t, strides in zip(given, layout.strides, strict=True)}
        self.divisor = _divisor(call, parts, self.labels, self.shape)

    def strides(self, tensor: Tensor | None) -> tuple[int, ...]:
        """From row to row, along each of `sizes`."""
        return (0,) * len(self.sizes) if tensor is None else self._strides[id(tensor)]

    def step(self, tensor: Tensor | None) -> int:
        """From class to class."""
        return 0 if tensor is None else tensor.stride(self.call.dim)

    @property
    def across(self) -> bool:
        """Whether a row is not in one run of memory: its neighbours share lines with it, so all of them are read."""
        return self.step(self.parts.input) != 1 and self.classes > 1

    @property
    def unit(self) -> int:
        """A row has a multiple of so many classes, and begins at a multiple of them, where they lie side by side."""
        given = [t for t in (self.parts.input, self.parts.target, *self.gradients) if t is not None]
        given = [t for t in given if t.dim() > len(self.shape)]
        if any([self.step(t) != 1 for t in given]):
            return 1
        found = math.gcd(16, self.classes, *[s for t in given for s in self.strides(t)])
        return found if found < 16 else 1  # Triton sees to multiples of 16 by itself

    def run(
        self, kernel: Any, tile: Tile, *rest: Any, shares: int = 1, most: int = 0, **constants: Any
    ) -> tuple[Tensor | None, Sequence[Tensor | None]]:
        """Starts a kernel, with what all of them take first and then `rest`; gives the value and the gradients.

        shares: so many programs take each row together. most: so many programs there may be, if not any number.
        """
        call, parts, gradient = self.call, self.parts, self.gradients[0]
        tiles = math.prod(self.sizes[:-1]) * triton.cdiv(self.sizes[-1], tile.rows)
        if not tiles:
            return self.value, self.gradients
        each = triton.cdiv(tiles, most or MOST_PARTIALS) if most or call.reduced else 1
        programs = triton.cdiv(tiles, each)
        summed = call.reduced and self.value is not None
        partials = None
        if summed and programs > 1:
            partials = torch.empty(programs, dtype=torch.float64, device=parts.input.device)
        with on(parts.input):
            enqueue(
                kernel,
                (programs, shares),
                parts.input,
                parts.target,
                parts.mask,
                self.factors,
                parts.weight,
                gradient,
                self.value,
                partials,
                self.upstream,
                note_on(parts.input.device),
                self.sizes,
                self.strides(parts.input),
                self.strides(parts.target),
                self.strides(parts.mask),
                tuple([self.strides(f) for f in self.factors]),
                self.strides(gradient),
                self.strides(None if call.reduced else self.value),
                self.step(parts.input),
                self.step(gradient),
                0 if parts.weight is None else parts.weight.stride(0),
                self.classes,
                each,
                tiles,
                *self.divisor.arguments,
                *rest,
                **constants,
                LOSS=number_of(call.loss),
                WIDE=self.wide,
                STORED=self.stored,
                ON_EMPTY=self.divisor.on_empty,
                ALONE=summed and programs == 1,
                ROWS=tile.rows,
                CLASSES=tile.classes,
                num_warps=tile.warps,
            )
            if partials is not None and self.value is not None:
                finish(call.loss, partials, self.divisor, self.value)
        return self.value, self.gradients


def _divisor(call: "_Call", parts: "Parts", labels: Tensor | None, shape: Sequence[int]) -> Divisor:
    """What the sum of a call is divided by; counted once, since backward has the same labels."""
    if call.counted is None:
        if call.counting == NUMBER:
            call.counted = Divisor(call.divisor or 1.0, call.normalizer, call.on_empty)
        else:
            call.counted = Divisor(call.divisor, _count(call, parts, labels, shape), call.on_empty)
    return call.counted


def _count(call: "_Call", parts: "Parts", labels: Tensor | None, shape: Sequence[int]) -> Tensor:
    weight = parts.weight if call.counting == CLASS_WEIGHTS else None
    if call.ignore_index is None and weight is None:
        labels = None
    given = [t for t in (labels, parts.mask, *parts.factors) if t is not None]
    layout = Layout.of(shape, given)
    strides = iter(layout.strides)
    nothing = (0,) * len(layout.sizes)
    n = math.prod(shape)
    programs = min(COUNTS.value, triton.cdiv(n, 1024))
    partials = torch.empty(programs, dtype=torch.float64, device=parts.input.device)
    with on(parts.input):
        enqueue(
            count_kernel,
            (programs,),
            labels,
            parts.mask,
            parts.factors,
            weight,
            partials,
            layout.sizes,
            nothing if labels is None else next(strides),
            nothing if parts.mask is None else next(strides),
            tuple(strides),
            0 if weight is None else weight.stride(0),
            n,
            parts.input.shape[call.dim],
            -1 if call.ignore_index is None else call.ignore_index,
            IGNORES=labels is not None and call.ignore_index is not None,
            BLOCK=1024,
        )
    return partials
