"""Mining: which triplets of a labelled batch to learn from, as indices, and what is to be known of them."""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from .loops.pairwise import distance, full_precision, unit
from .loops.similarity.inputs import check_labels, check_vectors
from .loops.triplets import Mining, Triplets, mined_indices, mined_sums, seed_of, settings_of

__all__ = [
    "Statistics",
    "Triplets",
    "batch_all",
    "batch_hard",
    "distance_weighted",
    "semi_hard",
    "statistics",
    "statistics_of",
]

CHUNK = 1 << 22
"""Pairs of samples that are looked at together."""
CONVENTIONS = ("facenet", "pml", "tensorflow")


def batch_all(embeddings: Tensor, labels: Tensor) -> Triplets:
    """Every triplet: each sample with each other one of its label and each one of another label.

    They are as many as the sum over the samples of positives times negatives, in the order of anchor, positive and
    negative; ``miner="batch_all"`` of the loss does not make them. Source: Hermans, Beyer and Leibe, "In Defense of the
    Triplet Loss for Person Re-Identification" (2017), eq. 6. ``get_all_triplets_indices`` of pytorch-metric-learning
    gives the same; its TripletMarginMiner keeps those of which the loss is not 0.

    Args:
        embeddings: (B, D), floating; no distance is taken.
        labels: (B,) integers.

    >>> import torch, lossmith
    >>> lossmith.mining.batch_all(torch.zeros(3, 2), torch.tensor([7, 7, 8]))
    Triplets(anchor=tensor([0, 1]), positive=tensor([1, 0]), negative=tensor([2, 2]))
    """
    labels = _labels_of("batch_all", embeddings, labels)
    everyone = torch.arange(len(labels), device=labels.device)
    parts = [torch.empty(3, 0, dtype=torch.int64, device=labels.device)]
    for anchors in torch.split(everyone, max(1, CHUNK // max(1, len(labels)))):
        same = labels[anchors, None] == labels
        anchor, positive = (same & (anchors[:, None] != everyone)).nonzero(as_tuple=True)
        negatives = (~same).nonzero()[:, 1]
        each = (~same).sum(1)
        first = each.cumsum(0) - each
        # each pair as often as its anchor has negatives, of which it takes one after the other
        many = each[anchor]
        begin = many.cumsum(0) - many
        turn = torch.arange(int(many.sum()), device=labels.device) - begin.repeat_interleave(many)
        pair = torch.stack([anchors[anchor], positive]).repeat_interleave(many, 1)
        negative = negatives[first[anchor].repeat_interleave(many) + turn]
        parts.append(torch.cat([pair, negative.unsqueeze(0)]))
    return Triplets(*torch.cat(parts, 1))


def batch_hard(embeddings: Tensor, labels: Tensor, *, squared: bool = False, normalize: bool = False) -> Triplets:
    """Each anchor with its farthest positive and its nearest negative; anchors that lack one of them are left out.

    Of equal distances the first sample is taken. Memory grows with B x D, not with B x B. Source: Hermans, Beyer and
    Leibe, "In Defense of the Triplet Loss for Person Re-Identification" (2017), eq. 5; BatchHardMiner of
    pytorch-metric-learning (which normalises) gives the same.

    Args:
        embeddings: (B, D), floating; nothing is differentiated.
        labels: (B,) integers.
        squared: makes no difference but for rounding.
        normalize: whether the embeddings are scaled to length 1 before.

    >>> import torch, lossmith
    >>> embeddings = torch.tensor([[0.0], [1.0], [3.0], [5.0]])
    >>> lossmith.mining.batch_hard(embeddings, torch.tensor([0, 0, 0, 1])).negative
    tensor([3, 3, 3])
    >>> lossmith.mining.batch_hard(embeddings, torch.tensor([0, 0, 0, 1])).positive
    tensor([2, 2, 0])
    """
    labels = _labels_of("batch_hard", embeddings, labels)
    return mined_indices("batch_hard", embeddings, labels, Mining("batch_hard", squared=squared, normalize=normalize))


def semi_hard(
    embeddings: Tensor,
    labels: Tensor,
    margin: float = 1.0,
    *,
    convention: str = "facenet",
    squared: bool = False,
    normalize: bool = False,
) -> Triplets:
    r"""Each pair of one label with a negative that is farther than the positive, but not by the margin.

    .. math:: d(a, p) < d(a, n) < d(a, p) + m

    Source: Schroff, Kalenichenko and Philbin, "FaceNet" (2015), eq. 4, for the first inequality. Packages differ in
    which of these negatives are taken, and in what becomes of a pair without one:

    - ``"facenet"``: the nearest one; a pair without one is left out. So is ``miner="semi_hard"`` of the loss.
    - ``"tensorflow"``: as TripletSemiHardLoss of TensorFlow Addons: the nearest one that is farther than the positive,
      even if it is so by more than the margin; where none is, the farthest of all negatives. No pair is left out.
    - ``"pml"``: as TripletMarginMiner(type_of_triplets="semihard") of pytorch-metric-learning: all of them, those that
      are farther by exactly the margin too.

    Of equal distances the first sample is taken. Memory grows with B x D and the number of triplets.

    Args:
        embeddings: (B, D), floating; nothing is differentiated.
        labels: (B,) integers.
        margin: :math:`m`, above 0, in the unit of the distances, squared ones if they are.
        convention: ``"facenet"``, ``"tensorflow"`` or ``"pml"``.
        squared: whether distances are squared (FaceNet and TensorFlow Addons).
        normalize: whether the embeddings are scaled to length 1 before.

    >>> import torch, lossmith
    >>> embeddings, labels = torch.tensor([[0.0], [1.0], [1.5], [9.0]]), torch.tensor([0, 0, 1, 2])
    >>> lossmith.mining.semi_hard(embeddings, labels)  # from 0 to 1 is 1, to 1.5 is 1.5; from 1 to 0 is 1, to 9 is 8
    Triplets(anchor=tensor([0]), positive=tensor([1]), negative=tensor([2]))
    >>> lossmith.mining.semi_hard(embeddings, labels, convention="tensorflow").negative
    tensor([2, 3])
    """
    name = "semi_hard"
    labels = _labels_of(name, embeddings, labels)
    mining = settings_of(name, name, margin, squared, normalize)
    if convention not in CONVENTIONS:
        raise ValueError(f"{name}: convention is {convention!r}, expected one of 'facenet', 'tensorflow', 'pml'")
    if convention == "pml":
        return _all_semi_hard(embeddings.detach(), labels, mining)
    if convention == "tensorflow":
        mining = replace(mining, every_pair=True)
    return mined_indices(name, embeddings, labels, mining)


def _all_semi_hard(embeddings: Tensor, labels: Tensor, mining: Mining) -> Triplets:
    """All triplets whose negative is farther than the positive, by no more than the margin."""
    vectors = full_precision(embeddings)
    vectors = unit(vectors) if mining.normalize else vectors
    everyone = torch.arange(len(labels), device=labels.device)
    parts = [torch.empty(3, 0, dtype=torch.int64, device=labels.device)]
    for anchors in torch.split(everyone, max(1, CHUNK // max(1, vectors.numel()))):
        distances = distance(vectors[anchors].unsqueeze(1), vectors, 2.0, 0.0, mining.squared)
        same = labels[anchors, None] == labels
        anchor, positive = (same & (anchors[:, None] != everyone)).nonzero(as_tuple=True)
        every_pair = torch.arange(len(anchor), device=labels.device)
        for pairs in torch.split(every_pair, max(1, CHUNK // max(1, len(labels)))):
            a, p = anchor[pairs], positive[pairs]
            lead = distances[a] - distances[a, p].unsqueeze(1)
            pair, negative = (~same[a] & (lead > 0) & (lead <= mining.margin)).nonzero(as_tuple=True)
            parts.append(torch.stack([anchors[a[pair]], p[pair], negative]))
    return Triplets(*torch.cat(parts, 1))


def distance_weighted(
    embeddings: Tensor,
    labels: Tensor,
    *,
    cutoff: float = 0.5,
    nonzero_loss_cutoff: float = 1.4,
    squared: bool = False,
    normalize: bool = False,
    generator: torch.Generator | None = None,
) -> Triplets:
    r"""Each pair of one label with a random negative, drawn so that all distances occur alike.

    .. math::
        P(n \mid a) \propto \max(d(a, n), \lambda)^{2 - D} \Big(1 - \tfrac14 \max(d(a, n), \lambda)^2\Big)^{(3 - D) / 2}

    for negatives nearer than ``nonzero_loss_cutoff``: one over the density of distances between uniform points of the
    sphere in D dimensions. Embeddings are to be of length 1; negatives at a distance of 2 or more are never drawn. A
    pair whose anchor has no negative near enough is left out.

    Source: Wu, Manmatha, Smola and Krähenbühl, "Sampling Matters in Deep Embedding Learning" (2017), eq. 3 and 4 (where
    the weight is cut off, and not the distance). DistanceWeightedMiner of pytorch-metric-learning draws negatives from
    the same distribution, but positives at random too, some of them twice.

    Reproducible: all that is taken of torch's generator is one number, from which each pair has its own. The same
    seed gives the same triplets for any number of threads.

    Args:
        embeddings: (B, D), floating, of length 1; nothing is differentiated.
        labels: (B,) integers.
        cutoff: :math:`\lambda`, the distance below which all negatives have one weight.
        nonzero_loss_cutoff: the distance from which on negatives are not drawn.
        squared: makes no difference but for rounding.
        normalize: whether the embeddings are scaled to length 1 before.
        generator: torch's, on the CPU; by default the one that torch.manual_seed sets.

    >>> import torch, lossmith
    >>> embeddings = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-1.0, 0.0]])
    >>> lossmith.mining.distance_weighted(embeddings, torch.tensor([0, 0, 1, 2]))  # 1.4142 and 2 are too far from 0
    Triplets(anchor=tensor([1]), positive=tensor([0]), negative=tensor([2]))
    """
    name = "distance_weighted"
    labels = _labels_of(name, embeddings, labels)
    if not 0 < cutoff < 2 or not nonzero_loss_cutoff > 0:
        raise ValueError(
            f"{name}: cutoff is {cutoff!r} and nonzero_loss_cutoff {nonzero_loss_cutoff!r}, expected distances of unit "
            f"vectors, above 0 and the first below 2; 0.5 and 1.4 are usual"
        )
    seed = seed_of(name, generator)
    return mined_indices(
        name,
        embeddings,
        labels,
        Mining(
            "distance_weighted",
            squared=squared,
            normalize=normalize,
            cutoff=float(cutoff),
            nonzero_loss_cutoff=float(nonzero_loss_cutoff),
            seed=seed,
        ),
    )


# ----- what is to be known of triplets -----


class Statistics(NamedTuple):
    """Of some triplets; tensors of one number each, on the device of the embeddings."""

    triplets: Tensor
    """How many there are."""
    active: Tensor
    """The share of them that has a loss above 0; NaN where there are none."""
    positive: Tensor
    """The mean distance of anchor and positive."""
    negative: Tensor
    """The mean distance of anchor and negative."""


def statistics(
    input: Tensor,
    target: Tensor,
    miner: str = "semi_hard",
    margin: float | str = 1.0,
    squared: bool = False,
    normalize: bool = False,
    *,
    mask: Tensor | None = None,
) -> Statistics:
    """What :func:`lossmith.functional.mined_triplet_margin_loss` of the same arguments is the mean of.

    Its triplets are not made: memory grows with B x D. ``miner`` is one of its names; for triplets at hand there is
    :func:`statistics_of`.

    >>> import torch, lossmith
    >>> embeddings, labels = torch.tensor([[0.0], [1.0], [1.5], [9.0]]), torch.tensor([0, 0, 1, 2])
    >>> found = lossmith.mining.statistics(embeddings, labels, "batch_all")
    >>> found.triplets.item(), found.active.item()  # 0 and 1 with 1.5: 1 + 1 - 1.5, and 1 + 1 - 0.5
    (4.0, 0.5)
    """
    name = "statistics"
    target = _labels_of(name, input, target)
    mining = settings_of(name, miner, margin, squared, normalize)
    return _shared(mined_sums(name, input, target, mask, mining))


def statistics_of(
    embeddings: Tensor, triplets: Triplets, margin: float = 1.0, *, squared: bool = False, normalize: bool = False
) -> Statistics:
    """The same of triplets that are given.

    >>> import torch, lossmith
    >>> embeddings = torch.tensor([[0.0], [1.0], [1.5], [9.0]])
    >>> triplets = lossmith.mining.semi_hard(embeddings, torch.tensor([0, 0, 1, 2]))
    >>> lossmith.mining.statistics_of(embeddings, triplets).negative.item()
    1.5
    """
    vectors = full_precision(embeddings.detach())
    vectors = unit(vectors) if normalize else vectors
    anchor = vectors[triplets.anchor]
    near = distance(anchor, vectors[triplets.positive], 2.0, 0.0, squared)
    far = distance(anchor, vectors[triplets.negative], 2.0, 0.0, squared)
    number = near.new_full((), len(near))
    return _shared(torch.stack([number, (near - far + margin > 0).sum().to(near.dtype), near.sum(), far.sum()]))


def _shared(sums: Tensor) -> Statistics:
    return Statistics(sums[0], *(sums[1:] / sums[0]))


def _labels_of(name: str, embeddings: Tensor, labels: Tensor) -> Tensor:
    """The labels as int64, one for each vector; raises otherwise."""
    check_vectors(name, embeddings=embeddings)
    return check_labels(name, "labels", labels, len(embeddings))
