"""Mined triplets on the compiled kernel, and the choice between it and the reference."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...backend import kernels
from ...native import core
from ...reduction import Reduction, divisor_of, wants_gradient
from ...reduction import reduce as reduced
from ..fused import empty_number, fused, widened
from .reference import choose, mine
from .settings import MINERS, Mining, Triplets

SHARES = {"triplets": -1.0, "active": -2.0}
"""What the kernel calls a mean whose denominator it counts."""


def mined(
    loss: str, vectors: Tensor, labels: Tensor, how: Reduction, result: torch.dtype, mining: Mining, average: str
) -> Tensor:
    """The losses of the anchors, reduced: each is the sum over its triplets, and its share is their number."""
    shape = labels.shape
    factors = () if how.sample_weight is None else (how.sample_weight,)
    masks = () if how.mask is None else (how.mask,)

    def finish(losses: Tensor, triplets: Tensor, active: Tensor) -> Tensor:
        shares = active if average == "active" else triplets
        return reduced(loss, losses, how, result, denominator=shares)

    if kernels(loss, (vectors, labels, *factors, *masks)):
        compute = torch.float64 if vectors.dtype == torch.float64 else torch.float32
        call = _Call(mining, finish, compute, result, masked=bool(masks))
        # what a mean of nothing is, and weights that want a gradient, are the business of torch's operations
        in_torch = wants_gradient(how) or how.on_empty == "error"
        if how.reduction == "sum":
            call.divisor = 1.0
        elif how.reduction != "none" and not in_torch:
            shared = how.normalizer == "weight" or (how.normalizer is None and how.reduction == "mean")
            call.divisor = SHARES[average] if shared else divisor_of(how, shape, wide=compute == torch.float64)
            in_torch = call.divisor == 0
        if not in_torch:
            call.factors, call.zero = len(factors), how.on_empty == "zero"
            return fused(call, (vectors, labels, *factors, *masks))
        call.divisor, call.result, call.bare = 0.0, compute, True
        losses = fused(call, (*widened((vectors,)), labels, *masks))
        return finish(losses, *call.counts)
    found = mine(vectors, labels, how.mask, mining)
    return finish(found.losses, found.triplets, found.active)


@dataclass(slots=True)
class _Call:
    """One call of the kernel. Its tensors are the vectors, the labels, the factors and the mask."""

    mining: Mining
    finish: Callable[[Tensor, Tensor, Tensor], Tensor]
    compute: torch.dtype
    result: torch.dtype
    divisor: float = 0.0
    factors: int = 0
    masked: bool = False
    zero: bool = False
    """Whether a mean of nothing is 0."""
    bare: bool = False
    """Whether weighing and reducing are left to torch, which needs the counts."""
    counts: tuple[Tensor, Tensor] = field(default=(torch.empty(0), torch.empty(0)))
    """How many triplets, and how many active ones, each anchor has."""

    @property
    def reduced(self) -> bool:
        return self.divisor != 0

    def run(
        self, tensors: Sequence[Tensor], wanted: Sequence[bool], upstream: Tensor | float | None
    ) -> tuple[Tensor, list[Tensor | None]]:
        vectors, labels = tensors[:2]
        factors, scale, divisor = tensors[2 : 2 + self.factors], 1.0, self.divisor
        mask = tensors[2 + self.factors] if self.masked else None
        value = empty_number(self.result)
        if not self.reduced:
            if upstream is None:
                value = torch.empty(labels.shape, dtype=self.result)
            else:
                divisor, factors = 1.0, (*factors, upstream)  # type: ignore[arg-type]
        elif upstream is not None:
            scale = upstream  # type: ignore[assignment]
        gradient = torch.empty_like(vectors) if wanted[0] and upstream is not None else None
        account = torch.empty(*labels.shape, 4, dtype=torch.float64) if self.bare else None
        _run(self.mining, vectors, labels, factors, mask, scale, divisor, self.zero, value, gradient, account, None)
        if account is not None:
            self.counts = account[:, 0], account[:, 1]
        return value, [gradient, *[None] * (len(tensors) - 1)]

    def reference(self, tensors: Sequence[Tensor]) -> Tensor:
        vectors, labels = tensors[:2]
        found = mine(vectors, labels, tensors[2 + self.factors] if self.masked else None, self.mining)
        return found.losses.to(self.result) if self.bare else self.finish(found.losses, found.triplets, found.active)


def _run(
    mining: Mining,
    vectors: Tensor,
    labels: Tensor,
    factors: Sequence[Tensor] = (),
    mask: Tensor | None = None,
    scale: float = 1.0,
    divisor: float = 0.0,
    zero: bool = False,
    value: Tensor | None = None,
    gradient: Tensor | None = None,
    account: Tensor | None = None,
    chosen: Tensor | None = None,
) -> None:
    settings = (
        MINERS.index(mining.miner),
        mining.every_pair,
        mining.soft,
        mining.squared,
        mining.normalize,
        vectors.dtype == torch.float64,
        mining.margin,
        mining.cutoff,
        mining.nonzero_loss_cutoff,
        0 if mining.seed is None else int(mining.seed),
    )
    threads = torch.get_num_threads()
    core.triplets(
        settings, vectors, labels, tuple(factors), mask, scale, divisor, zero, value, gradient, account, chosen, threads
    )


# ----- without a loss -----


def mined_indices(name: str, vectors: Tensor, labels: Tensor, mining: Mining) -> Triplets:
    """The triplets that a miner chooses, one for each pair, in the order of anchors and positives.

    Of all miners but batch-all. Nothing is differentiated.
    """
    vectors = vectors.detach()
    if kernels(name, (vectors, labels)):
        sizes = torch.unique(labels, return_counts=True)[1]
        slots = len(labels) if mining.miner == "batch_hard" else int((sizes * (sizes - 1)).sum())
        chosen = torch.empty(3, slots, dtype=torch.int64)
        _run(mining, vectors, labels, chosen=chosen)
        chosen = chosen[:, chosen[2] >= 0]
        if mining.miner == "semi_hard":  # the kernel has positives by their distance
            chosen = chosen[:, (chosen[0] * len(labels) + chosen[1]).argsort()]
        return Triplets(*chosen)
    found = []
    for rows, (paired, negative) in choose(vectors, labels, mining):
        anchor, positive = paired.nonzero(as_tuple=True)
        found.append((rows[anchor], positive, negative[anchor, positive]))
    if not found:
        return Triplets(*labels.new_empty(3, 0))
    return Triplets(*(torch.cat(part) for part in zip(*found, strict=True)))


def mined_sums(name: str, vectors: Tensor, labels: Tensor, mask: Tensor | None, mining: Mining) -> Tensor:
    """Of all triplets that are mined: their number, that of active ones, the sums of both distances."""
    vectors = vectors.detach()
    masks = () if mask is None else (mask,)
    if kernels(name, (vectors, labels, *masks)):
        account = torch.empty(len(labels), 4, dtype=torch.float64)
        _run(mining, vectors, labels, mask=mask, account=account)
        return account.sum(0)
    with torch.no_grad():
        found = mine(vectors, labels, mask, mining)
    return torch.stack([part.sum().to(found.losses.dtype) for part in found[1:]])
