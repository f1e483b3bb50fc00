"""Embeddings that tell nothing apart, repeat themselves, are too long, or are mined where all is easy."""

import torch
from training import update, wrong, wrong_with_lossmith


def encoder(nn):
    embed = nn.Linear(4, 6)
    return embed, torch.optim.SGD(embed.parameters(), lr=1e-3)


# ----- embeddings-collapsed -----


@wrong_with_lossmith("embeddings-collapsed")
def pixels_that_were_never_centred(nn, F):
    embed, optimizer = encoder(nn)
    criterion = nn.SupConLoss()
    for _ in range(140):
        update(optimizer, criterion(embed(200 + torch.randn(16, 4)), torch.arange(4).repeat(4)))


@wrong_with_lossmith("embeddings-collapsed")
def pairs_of_like_alone(nn, F):
    """Nothing is ever pushed apart: one point is a perfect answer."""
    embed = nn.Linear(4, 6, bias=False)
    nn.init.normal_(embed.weight, std=1e-3)
    optimizer = torch.optim.SGD(embed.parameters(), lr=0.1)
    for _ in range(140):
        a = torch.randn(16, 4)
        update(optimizer, F.contrastive_loss(embed(a), embed(a + torch.randn(16, 4)), torch.ones(16)))


@wrong_with_lossmith("embeddings-collapsed")
def dead_units_before_the_angle(nn, F):
    """Behind a ReLU that is 0 for every sample the bias alone is left."""
    embed = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6))
    nn.init.constant_(embed[0].bias, -50.0)
    classes = nn.Linear(6, 3, bias=False)
    optimizer = torch.optim.SGD([*embed.parameters(), *classes.parameters()], lr=1e-3)
    for _ in range(140):
        update(optimizer, F.arcface_loss(embed(torch.randn(16, 4)), classes.weight, torch.randint(3, (16,))))


@wrong("embeddings-collapsed")
def triplets_of_one_point(nn, F):
    """An initialisation of nearly nothing, and hardly a step."""
    embed = nn.Linear(4, 6, bias=False)
    nn.init.normal_(embed.weight, std=1e-4)
    optimizer = torch.optim.SGD(embed.parameters(), lr=1e-6)
    for _ in range(140):
        x = torch.randn(16, 4)
        update(optimizer, F.triplet_margin_loss(embed(x), embed(x + 0.5), embed(torch.randn(16, 4)), margin=1.0))


@wrong_with_lossmith("embeddings-collapsed")
def mined_triplets_of_one_point(nn, F):
    embed = nn.Linear(4, 6)
    nn.init.normal_(embed.weight, std=1e-4)
    criterion = nn.MinedTripletMarginLoss("batch_hard", margin=0.5)
    optimizer = torch.optim.SGD(embed.parameters(), lr=1e-6)
    for _ in range(140):
        update(optimizer, criterion(embed(torch.randn(16, 4)), torch.arange(4).repeat(4)))


# ----- repeated-keys -----


@wrong_with_lossmith("repeated-keys")
def names_of_classes_as_captions(nn, F):
    pictures, names = nn.Linear(4, 6), nn.Embedding(5, 6)
    optimizer = torch.optim.SGD([*pictures.parameters(), *names.parameters()], lr=0.01)
    for _ in range(6):
        update(optimizer, F.siglip_loss(pictures(torch.randn(16, 4)), names(torch.randint(5, (16,)))))


@wrong_with_lossmith("repeated-keys")
def samples_drawn_with_replacement(nn, F):
    embed, optimizer = encoder(nn)
    data, criterion = torch.randn(12, 4), nn.InfoNCELoss()
    for _ in range(6):
        keys = F.normalize(embed(data))[torch.randint(12, (16,))]
        update(optimizer, criterion(embed(torch.randn(16, 4)), keys.detach()))


# ----- vectors-not-normalised -----


@wrong_with_lossmith("vectors-not-normalised")
def long_queries(nn, F):
    embed = nn.Linear(4, 64)
    optimizer = torch.optim.SGD(embed.parameters(), lr=1e-4)
    for _ in range(6):
        a = 2 * torch.randn(8, 4)
        update(optimizer, F.info_nce_loss(embed(a), embed(a + 0.1), temperature=0.07, normalize=False))


@wrong_with_lossmith("vectors-not-normalised")
def long_vectors_of_labels(nn, F):
    embed = nn.Linear(4, 64)
    criterion = nn.SupConLoss(0.05, normalize=False)
    optimizer = torch.optim.SGD(embed.parameters(), lr=1e-4)
    for _ in range(6):
        update(optimizer, criterion(embed(2 * torch.randn(8, 4)), torch.arange(4).repeat(2)))


@wrong_with_lossmith("vectors-not-normalised")
def long_pictures_and_captions(nn, F):
    left, right = nn.Linear(4, 64), nn.Linear(4, 64)
    criterion = nn.SigLIPLoss(normalize=False, learnable=True)
    optimizer = torch.optim.SGD([*left.parameters(), *right.parameters()], lr=1e-5)
    for _ in range(6):
        update(optimizer, criterion(left(3 * torch.randn(8, 4)), right(3 * torch.randn(8, 4))))


# ----- easy-triplets -----


@wrong_with_lossmith("easy-triplets")
def all_triplets_of_far_classes(nn, F):
    embed = nn.Linear(4, 6)
    criterion = nn.MinedTripletMarginLoss("batch_all", margin=0.2)
    optimizer = torch.optim.SGD(embed.parameters(), lr=1e-4)
    for _ in range(60):
        y = torch.arange(4).repeat(4)
        update(optimizer, criterion(embed(0.1 * torch.randn(16, 4) + 30 * torch.eye(4)[y]), y))


@wrong_with_lossmith("easy-triplets")
def hardest_triplets_of_far_classes(nn, F):
    embed = nn.Linear(4, 6)
    criterion = nn.TripletMarginLoss(margin=0.2, miner="batch_hard")
    optimizer = torch.optim.SGD(embed.parameters(), lr=1e-4)
    for _ in range(60):
        y = torch.arange(4).repeat(4)
        update(optimizer, criterion(embed(0.1 * torch.randn(16, 4) + 30 * torch.eye(4)[y]), y))


@wrong_with_lossmith("easy-triplets")
def no_semi_hard_negative_is_left(nn, F):
    """Nothing is mined, and the loss is 0."""
    embed = nn.Linear(4, 6)
    optimizer = torch.optim.SGD(embed.parameters(), lr=1e-4)
    for _ in range(60):
        y = torch.arange(4).repeat(4)
        z = embed(0.1 * torch.randn(16, 4) + 30 * torch.eye(4)[y])
        update(optimizer, F.mined_triplet_margin_loss(z, y, margin=0.2, on_empty="zero"))


# ----- loss-not-finite -----


@wrong_with_lossmith("loss-not-finite")
def no_label_occurs_twice(nn, F):
    embed, optimizer = encoder(nn)
    for _ in range(3):
        update(optimizer, F.supcon_loss(embed(torch.randn(8, 4)), torch.randperm(100)[:8]))


@wrong_with_lossmith("loss-not-finite")
def no_pair_to_mine(nn, F):
    embed, optimizer = encoder(nn)
    criterion = nn.MinedTripletMarginLoss()
    for _ in range(3):
        update(optimizer, criterion(embed(torch.randn(8, 4)), torch.randperm(100)[:8]))


# ----- index-target-invalid -----


@wrong_with_lossmith("index-target-invalid", raises=IndexError)
def identities_counted_from_one(nn, F):
    embed, classes = nn.Linear(4, 6), nn.Linear(6, 3, bias=False)
    for _ in range(3):
        F.cosface_loss(embed(torch.randn(16, 4)), classes.weight, torch.arange(16) % 3 + 1).backward()
