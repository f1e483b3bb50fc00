"""Pairs and triplets: signs that are none, margins that nothing reaches, triplets that teach nothing."""

import torch
from training import classified, update, wrong

# ----- target-not-plus-minus-one -----


@wrong("target-not-plus-minus-one")
def ranks_of_zero_and_one(nn, F):
    scorer = nn.Linear(4, 1)
    criterion = nn.MarginRankingLoss(margin=0.5)
    optimizer = torch.optim.Adam(scorer.parameters(), lr=1e-2)
    for _ in range(6):
        first, second = scorer(torch.randn(8, 4)).squeeze(1), scorer(torch.randn(8, 4)).squeeze(1)
        update(optimizer, criterion(first, second, torch.randint(2, (8,)).float()))


@wrong("target-not-plus-minus-one")
def ranks_as_differences(nn, F):
    """The difference of two qualities, not its sign."""
    scorer = nn.Linear(4, 1)
    optimizer = torch.optim.Adam(scorer.parameters(), lr=1e-2)
    for _ in range(6):
        first, second = scorer(torch.randn(8, 4)), scorer(torch.randn(8, 4))
        update(optimizer, F.margin_ranking_loss(first, second, torch.rand(8, 1) - torch.rand(8, 1), margin=1.0))


@wrong("target-not-plus-minus-one")
def soft_margin_of_zeros_and_ones(nn, F):
    model = nn.Linear(4, 1)
    criterion = nn.SoftMarginLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified(classes=2):
        update(optimizer, criterion(model(x).squeeze(1), y.float()))


@wrong("target-not-plus-minus-one")
def pairs_labelled_same_or_not(nn, F):
    embed = nn.Linear(4, 6)
    criterion = nn.CosineEmbeddingLoss(margin=0.2)
    optimizer = torch.optim.Adam(embed.parameters(), lr=1e-2)
    for _ in range(6):
        same = torch.randint(2, (8,))
        update(optimizer, criterion(embed(torch.randn(8, 4)), embed(torch.randn(8, 4)), same))


@wrong("target-not-plus-minus-one")
def hinge_of_zeros_and_ones(nn, F):
    embed = nn.Linear(4, 6)
    optimizer = torch.optim.Adam(embed.parameters(), lr=1e-2)
    for _ in range(6):
        distance = F.pairwise_distance(embed(torch.randn(8, 4)), embed(torch.randn(8, 4)))
        update(optimizer, F.hinge_embedding_loss(distance, torch.randint(2, (8,)).float()))


# ----- cosine-margin-out-of-range -----


def signs(n):
    return 2 * torch.randint(2, (n,)) - 1


@wrong("cosine-margin-out-of-range")
def margin_of_one(nn, F):
    """No cosine is above 1: pairs that differ are never pushed apart."""
    embed = nn.Linear(4, 6)
    criterion = nn.CosineEmbeddingLoss(margin=1.0)
    optimizer = torch.optim.Adam(embed.parameters(), lr=1e-2)
    for _ in range(6):
        update(optimizer, criterion(embed(torch.randn(8, 4)), embed(torch.randn(8, 4)), signs(8)))


@wrong("cosine-margin-out-of-range")
def margin_of_a_distance(nn, F):
    embed = nn.Linear(4, 6)
    optimizer = torch.optim.Adam(embed.parameters(), lr=1e-2)
    for _ in range(6):
        a, b = embed(torch.randn(8, 4)), embed(torch.randn(8, 4))
        update(optimizer, F.cosine_embedding_loss(a, b, signs(8), margin=2.0))


@wrong("cosine-margin-out-of-range")
def margin_below_zero(nn, F):
    """Strangers are pushed beyond the right angle."""
    embed = nn.Linear(4, 6)
    criterion = nn.CosineEmbeddingLoss(-0.5)
    optimizer = torch.optim.Adam(embed.parameters(), lr=1e-2)
    for _ in range(6):
        update(optimizer, criterion(embed(torch.randn(8, 4)), embed(torch.randn(8, 4)), signs(8)))


# ----- easy-triplets -----


@wrong("easy-triplets")
def triplets_drawn_at_random(nn, F):
    """The classes are far apart: nearly every triplet is satisfied from the first batch on."""
    embed = nn.Linear(4, 3)
    criterion = nn.TripletMarginLoss(margin=0.2)
    optimizer = torch.optim.Adam(embed.parameters(), lr=1e-4)
    for _ in range(60):
        anchor = torch.randn(16, 4)
        positive, negative = anchor + 0.01 * torch.randn(16, 4), 50 + torch.randn(16, 4)
        update(optimizer, criterion(embed(anchor), embed(positive), embed(negative)))


@wrong("easy-triplets")
def triplets_of_noise_and_itself(nn, F):
    """The positive is the anchor seen twice, the negative anything: one triplet of many is active."""
    embed = nn.Linear(8, 8)
    distance = nn.PairwiseDistance()
    optimizer = torch.optim.Adam(embed.parameters(), lr=1e-4)
    for _ in range(60):
        anchor, negative = torch.randn(16, 8), 8 * torch.randn(16, 8)
        loss = F.triplet_margin_with_distance_loss(
            embed(anchor), embed(anchor + 1e-3), embed(negative), distance_function=distance, margin=0.5
        )
        update(optimizer, loss)
