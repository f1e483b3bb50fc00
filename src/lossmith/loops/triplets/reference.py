"""Mined triplets by torch's operations, differentiable to any order: a chunk of anchors after the other."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ...backend import transforming
from ...formula.vocabularies.torch import relu, softplus
from ..masking import hide_rows
from ..pairwise import distance, full_precision, unit
from .settings import Mining, Triplets

ROOM = 1 << 24
"""Numbers in the differences of a chunk of anchors from all samples."""


class Mined(NamedTuple):
    """What is found for each anchor."""

    losses: Tensor
    """The sum of its triplets' losses."""
    triplets: Tensor
    active: Tensor
    """How many of them cost something."""
    positive: Tensor
    negative: Tensor
    """The sums of their distances."""


class Chosen(NamedTuple):
    """For each anchor and each sample: whether they are a pair with a negative, and which."""

    paired: Tensor
    negative: Tensor


class _Samples(NamedTuple):
    vectors: Tensor
    labels: Tensor
    counted: Tensor | None
    number: Tensor
    """A sample's place among those that count."""


def mine(vectors: Tensor, labels: Tensor, mask: Tensor | None, mining: Mining) -> Mined:
    """The losses of all anchors; a sample that the mask leaves out is in no triplet."""
    samples = _samples(vectors, labels, mask, mining)
    if not len(labels):
        return Mined(*[samples.vectors.sum(1)] * 5)
    finite = samples.vectors.isfinite().all()

    def of(rows: Tensor, vectors: Tensor) -> tuple[Tensor, ...]:
        return _of_anchors(samples._replace(vectors=vectors), rows, mining)

    parts = []
    chunks = _chunks(samples.vectors)
    for rows in chunks:
        # what a chunk keeps for its derivative would be as much as its differences
        again = len(chunks) > 1 and torch.is_grad_enabled() and not transforming()
        parts.append(checkpoint(of, rows, samples.vectors, use_reentrant=False) if again else of(rows, samples.vectors))
    losses, *sums = (torch.cat(part) for part in zip(*parts, strict=True))
    return Mined(losses * torch.where(finite, 1, torch.nan), *(part.to(losses.dtype) for part in sums))


def gathered(vectors: Tensor, triplets: Triplets, mining: Mining) -> Mined:
    """The losses of all samples as anchors of triplets that are given."""
    vectors = full_precision(vectors)
    vectors = unit(vectors) if mining.normalize else vectors
    anchor = vectors[triplets.anchor]
    near = distance(anchor, vectors[triplets.positive], 2.0, 0.0, mining.squared)
    far = distance(anchor, vectors[triplets.negative], 2.0, 0.0, mining.squared)
    cost = _cost(near - far, mining)
    parts = (cost, torch.ones_like(cost), (cost > 0).to(cost.dtype), near.detach(), far.detach())
    none = cost.new_zeros(len(vectors))
    return Mined(*(none.index_add(0, triplets.anchor, part) for part in parts))


def choose(vectors: Tensor, labels: Tensor, mining: Mining) -> list[tuple[Tensor, Chosen]]:
    """The numbers of the anchors of each chunk, with what is chosen for them; of all miners but batch-all."""
    samples = _samples(vectors, labels, None, mining)
    return [(rows, _choose(samples, rows, mining, *_pairs(samples, rows), _distances(samples, rows, mining)))
            for rows in _chunks(samples.vectors)]  # fmt: skip


def _samples(vectors: Tensor, labels: Tensor, mask: Tensor | None, mining: Mining) -> _Samples:
    vectors = full_precision(vectors)
    counted = None if mask is None else mask.expand(labels.shape)
    vectors = hide_rows(vectors, counted, 1.0)
    number = torch.arange(len(labels), device=labels.device) if counted is None else counted.cumsum(0) - 1
    return _Samples(unit(vectors) if mining.normalize else vectors, labels, counted, number)


def _chunks(vectors: Tensor) -> tuple[Tensor, ...]:
    """The numbers of the samples, so many together that their differences from all samples have room."""
    anchors = max(1, ROOM // max(1, vectors.numel()))
    everyone = torch.arange(len(vectors), device=vectors.device)
    return torch.split(everyone, anchors) if len(vectors) else ()


def _pairs(samples: _Samples, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Which samples are positives and which are negatives of some anchors."""
    everyone = torch.arange(len(samples.labels), device=rows.device)
    same = samples.labels[rows, None] == samples.labels
    positive, negative = same & (rows[:, None] != everyone), ~same
    if samples.counted is not None:
        both = samples.counted[rows, None] & samples.counted
        positive, negative = positive & both, negative & both
    return positive, negative


def _distances(samples: _Samples, rows: Tensor, mining: Mining) -> Tensor:
    vectors = samples.vectors
    return distance(vectors[rows].unsqueeze(1), vectors, 2.0, 0.0, mining.squared)


def _of_anchors(samples: _Samples, rows: Tensor, mining: Mining) -> tuple[Tensor, ...]:
    positive, negative = _pairs(samples, rows)
    distances = _distances(samples, rows, mining)
    if mining.miner == "batch_all":
        return _batch_all(distances, positive, negative, mining.margin)
    paired, chosen = _choose(samples, rows, mining, positive, negative, distances)
    far = distances.gather(1, chosen)
    lead = torch.where(paired, distances - far, 0)
    cost = torch.where(paired, _cost(lead, mining), 0)
    sums = [torch.where(paired, part, 0).sum(1) for part in (distances, far)]
    return cost.sum(1), paired.sum(1), (cost > 0).sum(1), *sums


def _cost(lead: Tensor, mining: Mining) -> Tensor:
    """What the leads of positives' distances over negatives' cost. The slope where that begins is 0."""
    result: Tensor = softplus(lead) if mining.soft else relu(lead + mining.margin)
    return result


def _batch_all(
    distances: Tensor, positive: Tensor, negative: Tensor, margin: float
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """A positive costs something with the negatives nearer than its distance and the margin.

    In the order of their distances these are the first ones, whose sum is known.
    """
    ordered = torch.where(negative, distances, torch.inf).sort(1)[0]
    sums = torch.where(ordered < torch.inf, ordered, 0).cumsum(1)
    sums = torch.cat([torch.zeros_like(sums[:, :1]), sums], 1)
    reach = distances + margin
    nearer = torch.searchsorted(ordered.detach().contiguous(), reach.detach().contiguous())
    # without a negative there is no slope, whatever comes from upstream
    costs = torch.where(positive & (nearer > 0), nearer * reach - sums.gather(1, nearer), 0).sum(1)
    positives, negatives = positive.sum(1), negative.sum(1)
    near = torch.where(positive, distances, 0).sum(1) * negatives
    far = torch.where(negative, distances, 0).sum(1) * positives
    return costs, positives * negatives, torch.where(positive, nearer, 0).sum(1), near, far


def _choose(
    samples: _Samples, rows: Tensor, mining: Mining, positive: Tensor, negative: Tensor, distances: Tensor
) -> Chosen:
    distances = distances.detach()
    far = torch.where(negative, distances, torch.inf)
    if mining.miner == "batch_hard":
        farthest = torch.where(positive, distances, -torch.inf).argmax(1, keepdim=True)
        chosen = far.argmin(1, keepdim=True).expand(distances.shape)
        everyone = torch.arange(len(samples.labels), device=rows.device)
        return Chosen(positive & (everyone == farthest) & negative.any(1, keepdim=True), chosen)
    if mining.miner == "distance_weighted":
        return _distance_weighted(samples, rows, mining, positive, negative, distances)
    ordered, order = far.sort(dim=1, stable=True)
    place = torch.searchsorted(ordered, distances.contiguous(), right=True)
    there = place < negative.sum(1, keepdim=True)
    chosen = order.gather(1, place.clamp(max=len(samples.labels) - 1))
    if mining.every_pair:
        farthest = torch.where(negative, distances, -torch.inf).argmax(1, keepdim=True)
        return Chosen(positive & negative.any(1, keepdim=True), torch.where(there, chosen, farthest))
    if not mining.soft:
        there = there & (distances + mining.margin - distances.gather(1, chosen) > 0)
    return Chosen(positive & there, chosen)


def _distance_weighted(
    samples: _Samples, rows: Tensor, mining: Mining, positive: Tensor, negative: Tensor, distances: Tensor
) -> Chosen:
    if mining.squared:
        distances = distances.sqrt()
    dimensions = samples.vectors.shape[1]
    clipped = distances.clamp(min=mining.cutoff)
    fits = negative & (distances < min(mining.nonzero_loss_cutoff, 2.0)) & (clipped < 2)
    clipped = torch.where(fits, clipped, 1)
    levels = (2 - dimensions) * clipped.log() + (3 - dimensions) / 2 * torch.log1p(-clipped * clipped / 4)
    levels = torch.where(fits, levels, -torch.inf)
    top = levels.amax(1, keepdim=True)
    weights = torch.where(fits, (levels - torch.where(top.isfinite(), top, 0)).exp(), 0)
    shares = weights.to(torch.float64 if rows.device.type != "mps" else torch.float32).cumsum(1)
    assert mining.seed is not None
    chance = _uniform(mining.seed, samples.number[rows, None], samples.number)
    place = torch.searchsorted(shares, (chance.to(shares.dtype) * shares[:, -1:]).contiguous(), right=True)
    return Chosen(positive & fits.any(1, keepdim=True), place.clamp(max=len(samples.labels) - 1))


def _uniform(seed: Tensor, anchor: Tensor, positive: Tensor) -> Tensor:
    """A random number from 0 to 1, below 1, for each pair: the kernel's."""
    bits = _mixed(_mixed(seed.to(anchor.device) ^ anchor) ^ positive)
    return _shifted(bits, 12) * 2.0**-52


def _mixed(x: Tensor) -> Tensor:
    """splitmix64, https://prng.di.unimi.it/splitmix64.c, in integers that wrap."""
    x = x - 0x61C8864680B583EB
    x = (x ^ _shifted(x, 30)) * -0x40A7B892E31B1A47
    x = (x ^ _shifted(x, 27)) * -0x6B2FB644ECCEEE15
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, by: int) -> Tensor:
    """The bits moved down, with zeros from above."""
    return (x >> by) & ((1 << (64 - by)) - 1)
