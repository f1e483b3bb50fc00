"""Mined triplets on a GPU: Triton kernels, one program for each anchor, over tiles of distances.

Distances are sums of squared differences in float64, exact where vectors are near. A tile holds those of some anchors
to all samples; a step finds each anchor's triplets and leaves in a second tile what multiplies the differences of the
vectors in the gradient; these are summed once for the anchors and once for the other samples. Of each pair all
negatives are looked at: an anchor with P positives and N negatives takes P N steps besides the B D of its distances.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import triton
from torch import Tensor

from ...launches import on
from ...triton import Divisor, finish, rescale, weigh
from ..settings import MINERS, Mining
from .gradients import hand_out_kernel, pulls_kernel
from .samples import distances_kernel, lengths_kernel
from .steps import step_kernel, weights_kernel

if TYPE_CHECKING:
    from ..native import _Call

TILE = 1 << 26
"""Bytes of a tile."""
PAIRED = {"PAIRS": 8, "BLOCK": 128}
"""Positives and samples that a program looks at together."""


def mine(
    mining: Mining,
    vectors: Tensor,
    labels: Tensor,
    factors: Sequence[Tensor] = (),
    mask: Tensor | None = None,
    *,
    active: bool = False,
    shares: Tensor | None = None,
    account: Tensor | None = None,
    derive: bool = False,
) -> tuple[Tensor, "_Samples", Tensor | None]:
    """The losses of all anchors, in float64, and of their sum the gradients of scaled vectors, if they are asked for.

    shares: room for each anchor's share in the mean's denominator: its triplets, or the active ones. account: room for
    their number, that of active ones, and the sums of both distances.
    """
    rows, width, device = len(labels), vectors.shape[1], vectors.device
    samples = _Samples(mining, vectors, labels, mask)
    losses = torch.empty(rows, dtype=torch.float64, device=device)
    height = max(1, min(rows, TILE // (8 * max(1, rows))))
    distances = torch.empty(height, rows, dtype=torch.float64, device=device)
    weights = torch.empty_like(distances) if derive else None
    later = derive and mining.miner in ("semi_hard", "distance_weighted")
    chosen = torch.empty(height, rows, dtype=torch.int32, device=device) if later else None
    gradient = torch.zeros(rows, width, dtype=torch.float64, device=device) if derive else None
    members, each = labels.sort(stable=True), labels.contiguous()
    of_labels = torch.searchsorted(members.values, each), torch.searchsorted(members.values, each, right=True)
    numbers = None
    if mining.miner == "distance_weighted" and mask is not None:
        numbers = mask.expand(rows).cumsum(0)
    weighed = tuple(factors), tuple([f.expand(rows).stride(0) for f in factors])
    how = {"SOFT": mining.soft, "SQUARED": mining.squared}
    scaled = samples.scaled
    for begin in range(0, rows, height):
        anchors = min(height, rows - begin)
        grid = (triton.cdiv(anchors, 16) * triton.cdiv(rows, 64),)
        distances_kernel[grid](
            *samples.vectors, distances, begin, anchors, rows, *samples.strides, SQUARED=mining.squared, **scaled,
            ANCHORS=16, BLOCK=64,
        )  # fmt: skip
        step_kernel[(anchors,)](
            distances, weights, chosen, labels, members.indices, *of_labels, numbers, samples.inverse, *weighed,
            samples.mask, losses, shares, account, begin, rows, width, labels.stride(0), samples.mask_stride,
            mining.margin, mining.cutoff, mining.nonzero_loss_cutoff, 0 if mining.seed is None else int(mining.seed),
            MINER=MINERS.index(mining.miner), ACTIVE=active, **how, **PAIRED,
        )  # fmt: skip
        if weights is None or gradient is None:
            continue
        if chosen is not None:
            weights_kernel[(anchors,)](
                distances, weights, chosen, members.indices, *of_labels, *weighed, samples.mask, begin, rows,
                samples.mask_stride, mining.margin, **how, **PAIRED,
            )  # fmt: skip
        of_anchors, of_samples = (begin, anchors, rows), (0, rows, 1)
        for to, of in ((of_anchors, of_samples), (of_samples, of_anchors)):
            grid = (triton.cdiv(to[1], 8) * triton.cdiv(width, 32),)
            pulls_kernel[grid](
                *samples.vectors,
                weights,
                gradient,
                *to,
                *of,
                *samples.strides,
                **scaled,
                TARGETS=8,
                SOURCES=8,
                BLOCK=32,
            )
    return losses, samples, gradient


class _Samples:
    """Vectors with what scales them, as kernels take them."""

    def __init__(self, mining: Mining, vectors: Tensor, labels: Tensor, mask: Tensor | None) -> None:
        rows, width = vectors.shape
        greatest, self.inverse = torch.empty(2, rows, dtype=torch.float64, device=vectors.device)
        self.vectors = vectors, greatest, self.inverse
        self.strides = width, *vectors.stride()
        self.mask, self.mask_stride = mask, 0 if mask is None else mask.expand(rows).stride(0)
        self.scaled = {"NORMALIZE": mining.normalize, "WIDE": vectors.dtype == torch.float64}
        if rows:
            places = rows, *self.strides, self.mask_stride
            lengths_kernel[(triton.cdiv(rows, 4),)](
                vectors, mask, greatest, self.inverse, *places, WIDE=self.scaled["WIDE"], ROWS=4, BLOCK=256
            )

    def hand_out(self, sums: Tensor, divisor: Divisor, gradient: Tensor) -> None:
        """Writes the gradients of the caller's vectors."""
        if gradient.numel():
            hand_out_kernel[(triton.cdiv(gradient.shape[0], 4),)](
                self.vectors[0], self.mask, *self.vectors[1:], sums, gradient, gradient.shape[0], *self.strides,
                *gradient.stride(), self.mask_stride, *divisor.arguments, ON_EMPTY=divisor.on_empty, **self.scaled,
                ROWS=4, BLOCK=256,
            )  # fmt: skip


def launch(
    call: "_Call",
    tensors: Sequence[Tensor],
    wanted: Sequence[bool],
    upstream: Tensor | None = None,
    into: Sequence[Tensor | None] | None = None,
) -> tuple[Tensor | None, Sequence[Tensor | None]]:
    """`fused.DeviceKernel.launch` of a call.

    Vectors come in the dtype that is computed in, so the gradients of a reduced loss are stored and, in backward,
    multiplied in their place; a later backward goes through the same steps.
    """
    if into is not None:
        assert upstream is not None
        rescale(into, upstream)
        return None, into
    vectors, labels = tensors[:2]
    factors, mask = call.apart(tensors)
    if upstream is not None and not call.reduced:
        factors = (*factors, upstream)
    device = vectors.device
    counted = isinstance(call.divisor, float) and call.divisor < 0
    shares = torch.empty(len(labels), dtype=torch.float64, device=device) if counted else None
    account = torch.empty(len(labels), 4, dtype=torch.float64, device=device) if call.bare else None
    value = gradient = None
    with on(vectors):
        losses, samples, sums = mine(
            call.mining, vectors, labels, factors, mask, active=call.active, shares=shares, account=account,
            derive=wanted[0],
        )  # fmt: skip
        divisor = call.divisor if isinstance(call.divisor, Divisor) else Divisor(1.0)
        if shares is not None:
            divisor = Divisor(1.0, weigh([shares], None, shares.shape, True), call.on_empty)
        if account is not None:
            call.counts = account[:, 0], account[:, 1]
        if upstream is None:
            value = losses.to(call.compute).to(call.result)
            if call.reduced:
                value = torch.empty((), dtype=call.result, device=device)
                finish(call.loss, losses, divisor, value)
        if sums is not None:
            gradient = torch.empty_like(vectors)
            samples.hand_out(sums, divisor, gradient)
            if call.reduced and upstream is not None:
                rescale((gradient,), upstream)
    return value, [gradient, *[None] * (len(tensors) - 1)]
