"""Mined triplets on kernels, and the choice between them and the reference."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...backend import TRITON, kernels
from ...native import core
from ...reduction import Reduction, wants_gradient
from ...reduction import reduce as reduced
from ..fused import divisor_for, empty_number, fused, fused_on_device, widened
from .reference import choose, mine
from .settings import MINERS, Mining, Triplets

if TYPE_CHECKING:
    from ..triton import Divisor

SHARES = {"triplets": -1.0, "active": -2.0}
"""What kernels call a mean whose denominator they count."""


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

    found = kernels(loss, (vectors, labels, *factors, *masks))
    if found:
        compute = torch.float64 if vectors.dtype == torch.float64 else torch.float32
        call = _Call(loss, mining, finish, compute, result, masked=bool(masks), on_empty=how.on_empty)
        run: Callable[[Any, Sequence[Tensor]], Tensor] = fused
        # what a mean of nothing is, and weights that want a gradient, are the business of torch's operations
        in_torch = wants_gradient(how) or how.on_empty == "error"
        if found == TRITON:
            run, in_torch = fused_on_device, wants_gradient(how)
            vectors = widened((vectors,))[0]
        if how.reduction == "sum":
            call.divisor = 1.0
        elif how.reduction != "none" and not in_torch:
            shared = how.normalizer == "weight" or (how.normalizer is None and how.reduction == "mean")
            wide = compute == torch.float64
            call.divisor = SHARES[average] if shared else divisor_for(found)(how, shape, wide=wide)
            in_torch = call.divisor == 0
        if not in_torch:
            call.factors, call.active = len(factors), average == "active"
            return run(call, (vectors, labels, *factors, *masks))
        call.divisor, call.result, call.bare = 0.0, compute, True
        losses = run(call, (*widened((vectors,)), labels, *masks))
        return finish(losses, *call.counts)
    every = mine(vectors, labels, how.mask, mining)
    return finish(every.losses, every.triplets, every.active)


@dataclass(slots=True)
class _Call:
    """One call of a kernel. Its tensors are the vectors, the labels, the factors and the mask."""

    loss: str
    mining: Mining
    finish: Callable[[Tensor, Tensor, Tensor], Tensor]
    compute: torch.dtype
    result: torch.dtype
    divisor: "float | Divisor" = 0.0
    factors: int = 0
    masked: bool = False
    active: bool = False
    """Whether a mean is one of active triplets."""
    on_empty: str = "nan"
    bare: bool = False
    """Whether weighing and reducing are left to torch, which needs the counts."""
    counts: tuple[Tensor, Tensor] = field(default=(torch.empty(0), torch.empty(0)))
    """How many triplets, and how many active ones, each anchor has."""

    @property
    def reduced(self) -> bool:
        return self.divisor != 0

    def apart(self, tensors: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """The factors and the mask, out of the tensors of a call."""
        end = 2 + self.factors
        return tuple(tensors[2:end]), tensors[end] if self.masked else None

    def run(
        self, tensors: Sequence[Tensor], wanted: Sequence[bool], upstream: Tensor | float | None
    ) -> tuple[Tensor, list[Tensor | None]]:
        vectors, labels = tensors[:2]
        factors, mask = self.apart(tensors)
        scale: Any = 1.0
        divisor: Any = self.divisor
        value = empty_number(self.result)
        if not self.reduced:
            if upstream is None:
                value = torch.empty(labels.shape, dtype=self.result)
            else:
                divisor, factors = 1.0, (*factors, upstream)  # type: ignore[arg-type]
        elif upstream is not None:
            scale = upstream
        gradient = torch.empty_like(vectors) if wanted[0] and upstream is not None else None
        account = torch.empty(*labels.shape, 4, dtype=torch.float64) if self.bare else None
        zero = self.on_empty == "zero"
        _run(self.mining, vectors, labels, factors, mask, scale, divisor, zero, value, gradient, account, None)
        if account is not None:
            self.counts = account[:, 0], account[:, 1]
        return value, [gradient, *[None] * (len(tensors) - 1)]

    key = None

    def launch(
        self,
        tensors: Sequence[Tensor],
        wanted: Sequence[bool],
        upstream: Tensor | None = None,
        into: Sequence[Tensor | None] | None = None,
    ) -> tuple[Tensor | None, Sequence[Tensor | None]]:
        from .triton import launch

        return launch(self, tensors, wanted, upstream, into)

    def reference(self, tensors: Sequence[Tensor]) -> Tensor:
        vectors, labels = tensors[:2]
        found = mine(vectors, labels, self.apart(tensors)[1], self.mining)
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

    Of all miners but batch-all. Nothing is differentiated. How many there are is known when they are found: on a GPU,
    torch's operations wait for that.
    """
    vectors = vectors.detach()
    if kernels(name, (vectors, labels), on_gpu="how many indices there are depends on the data"):
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
    found = kernels(name, (vectors, labels, *masks))
    if found:
        account = torch.empty(len(labels), 4, dtype=torch.float64, device=vectors.device)
        if found == TRITON:
            from ..launches import on
            from .triton import mine as mine_on_device

            with on(vectors):
                mine_on_device(mining, vectors, labels, mask=mask, account=account)
        else:
            _run(mining, vectors, labels, mask=mask, account=account)
        return account.sum(0)
    with torch.no_grad():
        every = mine(vectors, labels, mask, mining)
    return torch.stack([part.sum().to(every.losses.dtype) for part in every[1:]])
