"""Tiles of rows: products of vectors, their losses, the derivatives in place, products again. Nothing else is kept."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

from ...backend import transforming, wide
from ...formula.vocabularies.torch import softplus
from ...native import core
from ..fused import differentiated

TILE = 1 << 25
"""Bytes of a tile, so that a product of it is a large one, and the tile small beside the vectors."""

Gradients = list[Tensor | None]


class Step(Protocol):
    def __call__(self, tile: Tensor, start: int, derivatives: bool) -> None:
        """Makes the losses of some rows from their similarities, and leaves the derivatives where those stood."""


def rows_of_tile(columns: int, itemsize: int) -> int:
    return max(16, TILE // max(1, columns * itemsize) // 16 * 16)


def sweep(
    x: Tensor, y: Tensor, step: Step, wanted: Sequence[bool], derivatives: bool = False
) -> tuple[Tensor | None, Tensor | None]:
    """Runs a step over all tiles, whose derivatives become the vectors' gradients.

    wanted: the gradients of x and of y; if both are one tensor, the sum of both is the first. derivatives: they are
    asked for, even if no vector wants a gradient.
    """
    single = x is y
    rows, columns = x.shape[0], y.shape[0]
    height = max(1, min(rows, rows_of_tile(columns, x.element_size())))
    buffer = x.new_empty(height * columns)
    of_x = of_y = None
    if wanted[0]:
        of_x = torch.zeros_like(x) if single else torch.empty_like(x)
    if wanted[1] and not single:
        of_y = torch.zeros_like(y)
    derivatives = derivatives or any(wanted)
    for start in range(0, rows, height):
        some = x[start : start + height]
        tile = buffer[: some.shape[0] * columns].view(some.shape[0], columns)
        torch.mm(some, y.T, out=tile)
        step(tile, start, derivatives)
        if of_x is not None:
            of_x[start : start + height].addmm_(tile, y, beta=1 if single else 0)
            if single:
                of_x.addmm_(tile.T, some)
        if of_y is not None:
            of_y.addmm_(tile.T, some)
    return of_x, of_y


def by_kernels(
    call: Any,
    x: Tensor,
    y: Tensor,
    scale: Tensor | float,
    bias: Tensor | float,
    factor: Tensor | None,
    wanted: Sequence[bool],
) -> tuple[Tensor, Gradients]:
    """The losses of the rows, and the gradients of them times the factors, by the kernels of the CPU."""
    rows, columns = x.shape[0], y.shape[0]
    (of_x, of_y), of_scale, of_bias = asked_of(call, wanted)
    # the scale's gradient is made of that of the vectors
    asked = (of_x or ((of_scale or of_bias) and not of_y), of_y) if factor is not None else (False, False)
    if call.known is None:
        call.known = call.relation.compiled()
    threads, size, offset = torch.get_num_threads(), float(scale), float(bias)
    losses = torch.empty(rows, dtype=torch.float64)

    if not call.both:
        slopes = torch.empty(rows, dtype=torch.float64) if of_bias and factor is not None else None

        def step(tile: Tensor, start: int, derivatives: bool) -> None:
            given = (factor, losses, slopes) if derivatives else (None, losses, None)
            core.similarity_rows(call.known, tile, start, call.rows.number, size, offset, *call.margin, *given, threads)

        gradients = sweep(x, y, step, asked)
        values = losses
    else:
        slopes = None
        row_log = torch.empty(rows, dtype=torch.float64)
        top = torch.full((columns,), -torch.inf, dtype=torch.float64)
        total = torch.zeros(columns, dtype=torch.float64)

        def sums(tile: Tensor, start: int, derivatives: bool) -> None:
            core.similarity_sums(call.known, tile, start, size, losses, row_log, top, total, threads)

        sweep(x, y, sums, (False, False))
        column_log = torch.where(total > 0, total.log() + top, top)[:rows]
        values = (softplus(row_log - losses) + softplus(column_log - losses)) / 2
        gradients = (None, None)
        if factor is not None and any(asked):
            half = factor / 2
            # of columns that are no rows there is no loss
            divided = torch.full((columns,), torch.inf, dtype=x.dtype)
            divided[:rows] = torch.where(column_log == -torch.inf, 0, column_log)
            shares = x.new_zeros(columns)
            shares[:rows] = half * size * torch.sigmoid(column_log - losses)

            def slope(tile: Tensor, start: int, derivatives: bool) -> None:
                core.similarity_derivatives(call.known, tile, start, size, half, row_log, divided, shares, threads)

            gradients = sweep(x, y, slope, asked)

    size_slope = None
    if of_scale and factor is not None:
        # sum of (d loss / d product) product, which is x . (d loss / d x), and y . (d loss / d y) too
        known, vectors = (gradients[0], x) if gradients[0] is not None else (gradients[1], y)
        assert known is not None
        size_slope = wide((known * vectors).sum(-1)).sum() / (2 * size if x is y else size)
    return values, listed(call, wanted, gradients, size_slope, None if slopes is None else slopes.sum())


def by_operations(
    call: Any,
    x: Tensor,
    y: Tensor,
    scale: Tensor | float,
    bias: Tensor | float,
    factor: Tensor | None,
    wanted: Sequence[bool],
) -> tuple[Tensor, Gradients]:
    """The same by torch's operations, where no kernel runs: on other devices, or where nothing is compiled."""
    places, of_scale, of_bias = asked_of(call, wanted)
    asked = places if factor is not None else (False, False)
    numbers = [n.detach().requires_grad_() if isinstance(n, Tensor) else n for n in (scale, bias)]
    leaves = [n for n, w in zip(numbers, (of_scale, of_bias), strict=True) if w and isinstance(n, Tensor)]
    slopes = [torch.zeros_like(leaf, dtype=torch.float64) for leaf in leaves]
    derive = factor is not None and any(wanted)

    def losses_of(relation: Any, of: Tensor, against: Tensor, share: float, asked: Sequence[bool]) -> Any:
        losses = of.new_empty(of.shape[0])

        def step(tile: Tensor, start: int, derivatives: bool) -> None:
            stop = start + tile.shape[0]
            with torch.enable_grad():
                products = tile.detach().requires_grad_()
                masks = relation.masks(start, stop)
                each = call.rows.of(call.logits(products, masks[0], *numbers), *masks)
            losses[start:stop] = each.detach()
            if derive and factor is not None:
                upstream = (factor[start:stop] * share).to(each.dtype)
                found = torch.autograd.grad(each, [products, *leaves], upstream)
                tile.copy_(found[0])
                for slope, more in zip(slopes, found[1:], strict=True):
                    slope += more

        return losses, sweep(of, against, step, asked, derive)

    if call.both:
        rows = call.relation.rows
        values, gradients = losses_of(call.relation, x, y, 0.5, asked)
        across, turned = losses_of(call.relation.turned(), y[:rows], x, 0.5, (asked[1], asked[0]))
        values = (values + across) / 2
        if asked[0]:
            gradients[0].add_(turned[1])
        if asked[1]:
            gradients[1][:rows].add_(turned[0])
    else:
        values, gradients = losses_of(call.relation, x, y, 1.0, asked)
    given = iter(slopes)
    return values.double(), listed(call, wanted, gradients, *(next(given) if w else None for w in (of_scale, of_bias)))


def asked_of(call: Any, wanted: Sequence[bool]) -> tuple[tuple[bool, bool], bool, bool]:
    """Whether the rows' vectors, the columns', the scale and the bias want gradients."""
    given = iter(wanted)
    of_x = next(given)
    of_y = of_x if call.single else next(given)
    of_scale, of_bias = (isinstance(number, Tensor) and next(given) for number in call.numbers)
    return (of_x, of_y), of_scale, of_bias


def listed(
    call: Any,
    wanted: Sequence[bool],
    vectors: Sequence[Tensor | None],
    of_scale: Tensor | None,
    of_bias: Tensor | None,
) -> Gradients:
    """Gradients in the order of a call's tensors."""
    found: Gradients = [vectors[0]] if call.single else [*vectors]
    for number, gradient in zip(call.numbers, (of_scale, of_bias), strict=True):
        if isinstance(number, Tensor):
            found.append(None if gradient is None else gradient.reshape(number.shape).to(number.dtype))
    return [g if w else None for g, w in zip(found, wanted, strict=False)]


def tiled(call: Any, tensors: Sequence[Tensor]) -> Tensor:
    """The value of a call by torch's operations, differentiable in the tensors."""
    result: Tensor = Tiled.apply(call, *tensors)  # type: ignore[no-untyped-call]
    return result


class Tiled(torch.autograd.Function):
    """`apply(call, *tensors)`: the gradients of losses that are not reduced are made in backward, tile by tile."""

    @staticmethod
    def forward(ctx: Any, call: Any, *tensors: Tensor) -> Tensor:
        ctx.call = call
        ctx.save_for_backward(*tensors)
        value: Tensor = call.run(tensors, (False,) * len(tensors), None)[0]
        return value

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        wanted = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled() or not fits_tiles((upstream,)):
            return None, *differentiated(ctx.call, ctx.saved_tensors, wanted, upstream)
        return None, *ctx.call.run(ctx.saved_tensors, wanted, upstream)[1]


def fits_tiles(tensors: Sequence[Tensor]) -> bool:
    """Whether torch's operations may run tile by tile: on plain tensors with memory, in no transform or mode."""
    return (
        not transforming()
        and _get_current_dispatch_mode() is None
        and not torch._C._is_tracing()
        and all(type(t) in (Tensor, torch.nn.Parameter) and t.device.type != "meta" for t in tensors)
    )
