"""A loss of two sets of vectors by all their similarities: by the kernels, in torch's tiles, or on the whole matrix."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ... import checks
from ...backend import TRITON, kernels
from ...reduction import Reduction, denominator_of, reduce, wants_gradient
from ..fused import fused, fused_on_device
from .relation import Relation
from .rows import NO_MARGIN, Margin, RowLoss
from .tiled import by_kernels, by_operations, fits_tiles, tiled

if TYPE_CHECKING:
    from ..triton import Divisor


def similarity(
    loss: str,
    rows: RowLoss,
    vectors: tuple[Tensor, ...],
    relation: Relation,
    how: Reduction,
    dtypes: tuple[torch.dtype, torch.dtype],
    *,
    scale: Tensor | float,
    bias: Tensor | float = 0.0,
    both: bool = False,
    views: int = 1,
    counted: bool = False,
    share: bool = False,
    factor: float = 1.0,
    margin: Margin = NO_MARGIN,
    valid: Tensor | None = None,
    given: Tensor | None = None,
    read: tuple[Tensor, ...] = (),
) -> Tensor:
    """A loss of the rows of logits scale * (x . y) + bias, reduced.

    vectors: the rows' and the columns', or one set for both; in the dtype to compute in, without what is masked.
    dtypes: that one, and the result's. both: the mean of rows against columns and of columns against rows, which then
    match one to one. views: an unreduced loss is the mean of so many rows, which lie as far apart as there are losses.
    counted: rows without positives do not count. share: the mean divides by the number of positives. factor multiplies
    the loss. valid: the losses of other rows are NaN; none where values may be read. given: the labels that it judges.
    read: tensors of the caller's that the relation was made from, which must not change before backward.
    """
    shape = torch.Size((relation.rows // views,))
    checks.fits(loss, "mask", how.mask, shape, "the unreduced loss")
    checks.fits(loss, "sample_weight", how.sample_weight, shape, "the unreduced loss")
    call = _Call(loss, rows, relation, how, dtypes, both, views, counted, share, margin, factor, valid, given)
    call.single = len(vectors) == 1
    call.numbers = (scale, bias)
    asked = tuple([number for number in (scale, bias) if isinstance(number, Tensor)])
    if torch.compiler.is_compiling():
        return call.reference((*vectors, *asked))
    extras = tuple([t for t in (how.sample_weight, how.mask) if t is not None])
    found = kernels(loss, (*vectors, *asked, *extras))
    if not found and not fits_tiles((*vectors, *asked)):
        return call.reference((*vectors, *asked))
    call.sweep = by_kernels if found else by_operations
    apply: Callable[[Any, Sequence[Tensor]], Tensor]
    apply = fused_on_device if found == TRITON else fused if found else tiled
    in_torch = wants_gradient(how) or not found
    if how.reduction == "sum":
        call.divisor = 1.0
    elif how.reduction != "none" and not in_torch:
        if found == TRITON:
            from .triton import divisor

            call.divisor = divisor(call)
        else:
            call.divisor = call.count()
            in_torch = call.divisor == 0
    if not in_torch:
        return apply(call, (*vectors, *asked, *extras, *read))
    # unreduced losses: on_empty, and weights that want a gradient, are for torch's operations
    call.divisor, call.bare = 0.0, True
    return call.finish(apply(call, (*vectors, *asked, *read)))


@dataclass(slots=True)
class _Call:
    """One call. Its tensors are the vectors, the scale and the bias where they are tensors, and what is only read."""

    loss: str
    rows: RowLoss
    relation: Relation
    how: Reduction
    dtypes: tuple[torch.dtype, torch.dtype]
    both: bool
    views: int
    counted: bool
    share: bool
    margin: Margin
    factor: float
    valid: Tensor | None
    given: Tensor | None
    single: bool = False
    numbers: tuple[Tensor | float, Tensor | float] = (1.0, 0.0)
    sweep: Any = None
    divisor: "float | Divisor" = 0.0
    bare: bool = False
    """Whether weighing and reducing are left to torch."""
    known: Any = field(default=None)
    """What the kernels of the CPU know of the relation, once it was asked for."""
    shares: tuple[Tensor | None, Tensor | None] | None = None
    """What `counts` gives, once it was asked for."""

    @property
    def reduced(self) -> bool:
        return self.divisor != 0

    def take(self, tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor | float, Tensor | float]:
        """The rows' vectors, the columns', scale and bias, out of the tensors of a call."""
        given = iter(tensors)
        x = next(given)
        y = x if self.single else next(given)
        scale, bias = (next(given) if isinstance(number, Tensor) else number for number in self.numbers)
        return x, y, scale, bias

    def counts(self) -> tuple[Tensor | None, Tensor | None]:
        """Which rows count, and the share of each in the mean's denominator; None where all do, and alike."""
        if self.shares is None:
            positives = self.relation.positives() if self.counted or self.share else None
            self.shares = (
                positives > 0 if self.counted and positives is not None else None,
                positives.to(self.dtypes[0]) if self.share and positives is not None else None,
            )
        return self.shares

    def weight(self) -> Tensor | None:
        """For each unreduced loss, m s."""
        mask, weight = self.how.mask, self.how.sample_weight
        counted, _ = self.counts()
        kept = counted if mask is None else mask if counted is None else mask & counted
        if weight is not None:
            weight = weight.detach().double()
            return weight if kept is None else torch.where(kept, weight, 0)
        return None if kept is None else kept.double()

    def count(self) -> float:
        """What the mean divides by."""
        losses = self.relation.rows // self.views
        weight = self.weight()

        def total(*parts: Tensor | None) -> float:
            given = [part for part in parts if part is not None]
            if not given:
                return float(losses)
            product = given[0] if len(given) == 1 else given[0] * given[1]
            return float(product.double().expand(losses).sum())

        return float(
            denominator_of(
                self.how,
                (losses,),
                weighed=weight is not None,
                count=lambda: total(weight),
                share=lambda: total(weight, self.counts()[1]),
                weight=lambda: total(weight, self.counts()[1]),
            )
        )

    def run(
        self, tensors: Sequence[Tensor], wanted: Sequence[bool], upstream: Tensor | float | None
    ) -> tuple[Tensor, list[Tensor | None]]:
        losses = self.relation.rows // self.views
        weight = None if self.bare else self.weight()
        factor = None
        if upstream is not None:
            divisor: Any = self.divisor or 1.0
            by = upstream.double() if isinstance(upstream, Tensor) else upstream / divisor
            factor = torch.full((losses,), self.factor / self.views, dtype=torch.float64, device=tensors[0].device) * by
            if weight is not None:
                factor = factor * weight
            factor = factor.repeat(self.views)
        x, y, scale, bias = self.take(tensors)
        with _exact(x):
            values, gradients = self.sweep(self, x, y, scale, bias, factor, wanted)
        values = values.view(self.views, losses).mean(0) * self.factor
        if weight is not None:
            values = torch.where(weight != 0, values * weight, 0)
        if self.reduced:
            values = values.sum() / self.divisor
        result = values.to(self.dtypes[0] if self.bare else self.dtypes[1])
        return result, gradients + [None] * (len(tensors) - len(gradients))

    key = None

    def launch(
        self,
        tensors: Sequence[Tensor],
        wanted: Sequence[bool],
        upstream: Tensor | None = None,
        into: Sequence[Tensor | None] | None = None,
    ) -> tuple[Tensor | None, Sequence[Tensor | None]]:
        from .triton import launch

        with _exact(tensors[0]):
            return launch(self, tensors, wanted, upstream, into)

    def reference(self, tensors: Sequence[Tensor]) -> Tensor:
        x, y, scale, bias = self.take(tensors)
        with _exact(x):
            positive, negative = self.relation.masks(0, self.relation.rows)
            logits = self.logits(x @ y.T, positive, scale, bias)
            values = self.rows.of(logits, positive, negative)
            if self.both:
                # the columns that are rows too, against all rows
                count = self.relation.rows
                across = self.rows.of(logits[:, :count].T, positive[:, :count].T, negative[:, :count].T)
                values = (values + across) / 2
        values = values.view(self.views, -1).mean(0) * self.factor
        return values if self.bare else self.finish(values)

    def logits(self, products: Tensor, positive: Tensor, scale: Tensor | float, bias: Tensor | float) -> Tensor:
        """Those of some rows, from the products of vectors."""
        if self.margin is not NO_MARGIN:
            products = torch.where(positive, self.margin(products), products)
        return products * scale + bias

    def finish(self, values: Tensor) -> Tensor:
        """The reduction of unreduced losses."""
        if self.valid is not None:
            values = torch.where(self.valid, values, torch.nan)
        counted, share = self.counts()
        return reduce(self.loss, values, self.how, self.dtypes[1], counted=counted, denominator=share, weight=share)


def _exact(like: Tensor) -> Any:
    """Without autocast, which would round the products to half precision."""
    device = like.device.type
    if device != "meta" and torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()
