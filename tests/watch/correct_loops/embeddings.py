"""Embeddings of batches whose samples know each other: views, captions, labels, faces."""

import torch
from training import classified, correct_with_lossmith, update

import lossmith


def pairs(steps=12, n=8):
    """Batches of points and each of them seen again."""
    for _ in range(steps):
        x = torch.randn(n, 4)
        yield x, x + 0.1 * torch.randn(n, 4)


def encoder(nn):
    embed = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 6))
    return embed, torch.optim.Adam(embed.parameters(), lr=1e-3)


@correct_with_lossmith
def two_views(nn, F):
    """SimCLR, over a long training."""
    embed, optimizer = encoder(nn)
    criterion = nn.InfoNCELoss(0.5, pairing="views")
    for a, b in pairs(steps=140):
        update(optimizer, criterion(embed(a), embed(b)))


@correct_with_lossmith
def queries_and_a_queue(nn, F):
    """MoCo: keys without gradient, those of earlier batches as negatives."""
    embed, optimizer = encoder(nn)
    queue = torch.empty(0, 6)
    for a, b in pairs():
        with torch.no_grad():
            keys = embed(b)
        loss = F.info_nce_loss(embed(a), keys, negatives=queue if len(queue) else None, temperature=0.07)
        update(optimizer, loss)
        queue = torch.cat([queue, keys])[-32:]


@correct_with_lossmith
def vectors_that_are_unit_already(nn, F):
    embed, optimizer = encoder(nn)
    for a, b in pairs():
        a, b = F.normalize(embed(a), dim=-1), F.normalize(embed(b), dim=-1)
        update(optimizer, F.info_nce_loss(a, b, temperature=0.05, normalize=False, pairing="symmetric"))


@correct_with_lossmith
def products_without_a_temperature(nn, F):
    """CPC: bilinear scores of long vectors."""
    embed, other = nn.Linear(4, 64), nn.Linear(4, 64)
    optimizer = torch.optim.SGD([*embed.parameters(), *other.parameters()], lr=1e-3)
    for a, b in pairs():
        update(optimizer, F.info_nce_loss(embed(a), other(b), temperature=1.0, normalize=False))


@correct_with_lossmith
def captions_that_repeat(nn, F):
    """Few captions; those that are alike have one label."""
    pictures, captions = nn.Linear(4, 6), nn.Embedding(5, 6)
    criterion = nn.InfoNCELoss(0.1, pairing="symmetric", learnable=True)
    optimizer = torch.optim.Adam([*pictures.parameters(), *captions.parameters(), *criterion.parameters()], lr=1e-3)
    for x, y in classified(classes=5):
        update(optimizer, criterion(pictures(x), captions(y), labels=y))


@correct_with_lossmith
def one_caption_that_repeats_once(nn, F):
    pictures, captions = nn.Linear(4, 6), nn.Embedding(50, 6)
    optimizer = torch.optim.Adam([*pictures.parameters(), *captions.parameters()], lr=1e-3)
    for step in range(12):
        which = torch.randperm(50)[:8]
        if step == 5:
            which[1] = which[0]
        update(optimizer, F.siglip_loss(pictures(torch.randn(8, 4)), captions(which)))


@correct_with_lossmith
def sigmoids_of_pairs(nn, F):
    left, right = nn.Linear(4, 6), nn.Linear(4, 6)
    criterion = nn.SigLIPLoss(learnable=True)
    optimizer = torch.optim.Adam([*left.parameters(), *right.parameters(), *criterion.parameters()], lr=1e-3)
    for a, b in pairs(steps=140):
        update(optimizer, criterion(left(a), right(b)))


@correct_with_lossmith
def supervised_contrast(nn, F):
    embed, optimizer = encoder(nn)
    criterion = nn.SupConLoss(0.1)
    for x, _ in classified(n=16):
        y = torch.arange(4).repeat(4)
        update(optimizer, criterion(embed(x + y[:, None]), y))


@correct_with_lossmith
def supervised_contrast_of_views(nn, F):
    embed, optimizer = encoder(nn)
    for a, b in pairs():
        y = torch.arange(8)
        update(optimizer, F.supcon_loss(embed(torch.cat([a, b])), y.repeat(2), temperature=0.07))


@correct_with_lossmith
def batches_of_one_label(nn, F):
    """Its vectors are alike, as they are to be."""
    embed, classes = nn.Linear(4, 6), nn.Linear(6, 3, bias=False)
    optimizer = torch.optim.SGD([*embed.parameters(), *classes.parameters()], lr=1e-3)
    for step in range(140):
        x = 50 * torch.eye(4)[step % 3] + 0.01 * torch.randn(8, 4)
        update(optimizer, F.cosface_loss(embed(x), classes.weight, torch.full((8,), step % 3)))


@correct_with_lossmith
def faces_by_angle(nn, F):
    embed, classes = nn.Linear(4, 6), nn.Linear(6, 3, bias=False)
    criterion = nn.ArcFaceLoss(scale=30.0)
    optimizer = torch.optim.SGD([*embed.parameters(), *classes.parameters()], lr=0.01)
    for x, y in classified():
        update(optimizer, criterion(embed(x), classes.weight, y))


@correct_with_lossmith
def faces_by_angle_with_a_growing_margin(nn, F):
    embed, classes = nn.Linear(4, 6), nn.Linear(6, 3, bias=False)
    optimizer = torch.optim.SGD([*embed.parameters(), *classes.parameters()], lr=0.01)
    for step, (x, y) in enumerate(classified(steps=10)):
        update(optimizer, F.arcface_loss(embed(x), classes.weight, y, scale=32.0, margin=0.05 * step))


@correct_with_lossmith
def faces_by_cosine(nn, F):
    embed, classes = nn.Linear(4, 6), nn.Linear(6, 3, bias=False)
    criterion = nn.CosFaceLoss(scale=30.0, margin=0.2)
    optimizer = torch.optim.SGD([*embed.parameters(), *classes.parameters()], lr=0.01)
    for x, y in classified():
        update(optimizer, criterion(embed(x), classes.weight, y))


@correct_with_lossmith
def hardest_of_each_batch(nn, F):
    """Overlapping classes: most anchors have a negative that is too near."""
    embed, optimizer = encoder(nn)
    criterion = nn.MinedTripletMarginLoss("batch_hard", margin=0.3)
    for _ in range(40):
        y = torch.arange(4).repeat_interleave(4)
        update(optimizer, criterion(embed(torch.randn(16, 4) + 0.3 * y[:, None]), y))


@correct_with_lossmith
def nearest_of_each_pair(nn, F):
    """Semi-hard negatives by torch's Module, as FaceNet mines them."""
    embed, optimizer = encoder(nn)
    criterion = nn.TripletMarginLoss(margin=0.2, squared=True, normalize=True, miner="semi_hard", on_empty="zero")
    for _ in range(40):
        y = torch.arange(4).repeat_interleave(4)
        update(optimizer, criterion(embed(torch.randn(16, 4) + 0.3 * y[:, None]), y))


@correct_with_lossmith
def all_triplets_over_the_active_ones(nn, F):
    """Far classes: nearly all triplets are easy, and the mean is of the others."""
    embed = nn.Linear(4, 6)
    optimizer = torch.optim.SGD(embed.parameters(), lr=1e-3)
    for _ in range(40):
        y = torch.arange(4).repeat_interleave(4)
        z = embed(torch.randn(16, 4) + 9 * y[:, None])
        loss = F.mined_triplet_margin_loss(z, y, "batch_all", margin=0.2, average="active", on_empty="zero")
        update(optimizer, loss)


@correct_with_lossmith
def soft_margins(nn, F):
    embed, optimizer = encoder(nn)
    for _ in range(20):
        y = torch.arange(4).repeat_interleave(4)
        z = embed(torch.randn(16, 4) + 5 * y[:, None])
        update(optimizer, F.mined_triplet_margin_loss(z, y, "batch_hard", margin="soft"))


@correct_with_lossmith
def triplets_by_a_miner_of_ones_own(nn, F):
    embed, optimizer = encoder(nn)
    for _ in range(12):
        y = torch.arange(4).repeat_interleave(4)
        z = embed(torch.randn(16, 4) + 0.3 * y[:, None])
        found = lossmith.mining.batch_hard(z, y)
        update(optimizer, F.triplet_margin_loss(z[found.anchor], z[found.positive], z[found.negative], margin=0.3))


@correct_with_lossmith
def pairs_by_sign(nn, F):
    embed, optimizer = encoder(nn)
    criterion = nn.ContrastiveLoss(margin=1.0)
    for a, b in pairs():
        sign = torch.where(torch.rand(8) < 0.5, 1, -1)
        update(optimizer, criterion(embed(a), embed(torch.where(sign[:, None] > 0, b, b.roll(1, 0))), sign))


@correct_with_lossmith
def pairs_of_zero_and_one(nn, F):
    """As sentence-transformers label them: 1 is similar."""
    embed, optimizer = encoder(nn)
    for a, b in pairs():
        same = torch.randint(2, (8,))
        loss = F.contrastive_loss(embed(a), embed(b), same, margin=0.5, labels="binary", normalize=True)
        update(optimizer, loss)


@correct_with_lossmith
def one_query_against_many(nn, F):
    """All first vectors are one, the second ones are not."""
    embed, optimizer = encoder(nn)
    query = torch.randn(1, 4)
    for _ in range(140):
        a, b = embed(query).expand(16, 6), embed(3 * torch.randn(16, 4))
        update(optimizer, F.contrastive_loss(a, b, torch.tensor([1, -1]).repeat(8)))
