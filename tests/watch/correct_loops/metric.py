"""Distances that are learned: triplets, pairs, rankings, contrasts within a batch."""

import copy

import torch
from training import classified, correct, update


@correct
def hardest_triplets(nn, F):
    """Of each batch the farthest friend and the nearest foe: most triplets stay active."""
    embed = nn.Linear(4, 3)
    criterion = nn.TripletMarginLoss(margin=0.3)
    optimizer = torch.optim.Adam(embed.parameters(), lr=1e-3)
    for _ in range(12):
        y = torch.arange(3).repeat_interleave(4)
        z = F.normalize(embed(torch.randn(12, 4) + 0.2 * y[:, None]))
        with torch.no_grad():
            distance, same = torch.cdist(z, z), y[:, None] == y
            friend = distance.masked_fill(~same, -1).argmax(1)
            foe = distance.masked_fill(same, 9).argmin(1)
        update(optimizer, criterion(z, z[friend], z[foe]))


@correct
def triplets_of_hard_data(nn, F):
    """No mining, but the classes overlap: about half of the triplets are active."""
    embed = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(embed.parameters(), lr=0.01)
    for _ in range(12):
        anchor, positive, negative = torch.randn(3, 8, 4)
        loss = F.triplet_margin_loss(embed(anchor), embed(positive), embed(negative), margin=1.0, p=2)
        update(optimizer, loss)


@correct
def triplets_by_cosine_distance(nn, F):
    embed = nn.Linear(4, 3)
    criterion = nn.TripletMarginWithDistanceLoss(
        distance_function=lambda a, b: 1 - F.cosine_similarity(a, b), margin=0.5
    )
    optimizer = torch.optim.SGD(embed.parameters(), lr=0.05)
    for _ in range(12):
        anchor, negative = torch.randn(2, 8, 4)
        update(optimizer, criterion(embed(anchor), embed(anchor + torch.randn(8, 4)), embed(negative)))


@correct
def triplets_with_swap(nn, F):
    embed = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    criterion = nn.TripletMarginLoss(margin=0.5, swap=True)
    optimizer = torch.optim.Adam(embed.parameters(), lr=1e-3)
    for _ in range(12):
        anchor, positive, negative = embed(torch.randn(24, 4)).chunk(3)
        update(optimizer, criterion(anchor, positive, negative))


@correct
def triplets_with_distance_without_reduction(nn, F):
    """Semi-hard mining by a mask over unreduced losses: the mean is of the active ones."""
    embed = nn.Linear(4, 3)
    optimizer = torch.optim.Adam(embed.parameters(), lr=1e-3)
    for _ in range(12):
        anchor, positive, negative = (embed(torch.randn(8, 4)) for _ in range(3))
        losses = F.triplet_margin_with_distance_loss(anchor, positive, negative, reduction="none")
        update(optimizer, losses.sum() / (losses > 0).sum().clamp_min(1))


@correct
def ranking_of_pairs(nn, F):
    scorer = nn.Linear(4, 1)
    criterion = nn.MarginRankingLoss(margin=0.2)
    optimizer = torch.optim.Adam(scorer.parameters(), lr=1e-2)
    for _ in range(6):
        first, second = scorer(torch.randn(8, 4)).squeeze(1), scorer(torch.randn(8, 4)).squeeze(1)
        update(optimizer, criterion(first, second, torch.randint(2, (8,)).float() * 2 - 1))


@correct
def ranking_with_the_better_first(nn, F):
    scorer = nn.Linear(4, 1)
    criterion = nn.MarginRankingLoss(margin=1.0)
    optimizer = torch.optim.Adam(scorer.parameters(), lr=1e-2)
    for _ in range(6):
        better, worse = scorer(torch.randn(8, 4) + 0.5), scorer(torch.randn(8, 4))
        update(optimizer, criterion(better, worse, torch.ones_like(better)))


@correct
def ranking_with_the_better_second(nn, F):
    """TransE: the distance of a true triple is to be the smaller one, so every target is -1."""
    entities, relations = nn.Embedding(10, 4), nn.Embedding(3, 4)
    criterion = nn.MarginRankingLoss(margin=1.0)
    optimizer = torch.optim.SGD([*entities.parameters(), *relations.parameters()], lr=0.05)
    for _ in range(6):
        head, tail, false, relation = (torch.randint(n, (8,)) for n in (10, 10, 10, 3))
        moved = entities(head) + relations(relation)
        true_distance = (moved - entities(tail)).norm(dim=1)
        false_distance = (moved - entities(false)).norm(dim=1)
        update(optimizer, criterion(true_distance, false_distance, torch.tensor([-1.0])))


@correct
def ranking_of_every_pair(nn, F):
    """(N, 1) against (1, N) with a target of (N, N): each pair of the batch, meant so."""
    scorer = nn.Linear(4, 1)
    optimizer = torch.optim.Adam(scorer.parameters(), lr=1e-2)
    for _ in range(6):
        scores, quality = scorer(torch.randn(6, 4)).squeeze(1), torch.rand(6)
        first, second = torch.triu_indices(6, 6, 1)
        wanted = torch.where(quality[first] > quality[second], 1.0, -1.0)
        update(optimizer, F.margin_ranking_loss(scores[first], scores[second], wanted, margin=0.1))


@correct
def cosines_of_pairs(nn, F):
    embed = nn.Linear(4, 6)
    criterion = nn.CosineEmbeddingLoss(margin=0.3)
    optimizer = torch.optim.Adam(embed.parameters(), lr=1e-2)
    for _ in range(6):
        y = torch.where(torch.rand(8) < 0.5, 1, -1)
        update(optimizer, criterion(embed(torch.randn(8, 4)), embed(torch.randn(8, 4)), y))


@correct
def cosines_of_true_pairs_alone(nn, F):
    queries, answers = nn.Linear(4, 6), nn.Linear(5, 6)
    optimizer = torch.optim.Adam([*queries.parameters(), *answers.parameters()], lr=1e-2)
    for _ in range(6):
        a, b = queries(torch.randn(8, 4)), answers(torch.randn(8, 5))
        update(optimizer, F.cosine_embedding_loss(a, b, torch.ones(8)))


@correct
def hinge_of_distances(nn, F):
    embed = nn.Linear(4, 6)
    criterion = nn.HingeEmbeddingLoss(margin=2.0)
    optimizer = torch.optim.Adam(embed.parameters(), lr=1e-2)
    for _ in range(6):
        same = torch.randint(2, (8,)).bool()
        distance = F.pairwise_distance(embed(torch.randn(8, 4)), embed(torch.randn(8, 4)))
        update(optimizer, criterion(distance, torch.where(same, 1.0, -1.0)))


@correct
def hinge_of_strangers_alone(nn, F):
    embed = nn.Linear(4, 6)
    optimizer = torch.optim.Adam(embed.parameters(), lr=1e-2)
    for _ in range(6):
        z = embed(torch.randn(8, 4))
        distance = torch.pdist(z, p=1)
        update(optimizer, F.hinge_embedding_loss(distance, -torch.ones_like(distance), margin=5.0))


@correct
def contrast_within_the_batch(nn, F):
    """InfoNCE; the views are normalised, the similarities scaled."""
    embed = nn.Linear(4, 6)
    optimizer = torch.optim.Adam(embed.parameters(), lr=1e-2)
    for x, _ in classified():
        a, b = F.normalize(embed(x)), F.normalize(embed(x + 0.1 * torch.randn_like(x)))
        update(optimizer, F.cross_entropy(a @ b.T / 0.1, torch.arange(len(x))))


@correct
def contrast_and_a_last_batch_of_one(nn, F):
    """The last batch has one pair and so one class: it teaches nothing and harms nothing."""
    embed = nn.Linear(4, 6)
    optimizer = torch.optim.Adam(embed.parameters(), lr=1e-2)
    x = torch.randn(9, 4)
    for _ in range(3):
        for batch in x.split(4):
            a, b = F.normalize(embed(batch)), F.normalize(embed(batch + 0.1))
            update(optimizer, F.cross_entropy(a @ b.T / 0.1, torch.arange(len(batch))))


@correct
def pictures_and_captions(nn, F):
    """CLIP: rows and columns of one matrix of similarities, with a learned scale."""
    pictures, captions = nn.Linear(5, 6), nn.Linear(4, 6)
    scale = nn.Parameter(torch.tensor(2.6))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW([*pictures.parameters(), *captions.parameters(), scale], lr=1e-2)
    for _ in range(6):
        a = F.normalize(pictures(torch.randn(8, 5)), dim=-1)
        b = F.normalize(captions(torch.randn(8, 4)), dim=-1)
        logits = scale.exp() * a @ b.t()
        target = torch.arange(8)
        update(optimizer, (criterion(logits, target) + criterion(logits.t(), target)) / 2)


@correct
def two_views_without_oneself(nn, F):
    """NT-Xent: a sample is not compared with itself, its logit is minus infinity."""
    embed = nn.Linear(4, 6)
    optimizer = torch.optim.Adam(embed.parameters(), lr=1e-2)
    for x, _ in classified(n=4):
        z = F.normalize(embed(torch.cat([x, x + 0.1 * torch.randn_like(x)])))
        logits = (z @ z.T / 0.5).fill_diagonal_(float("-inf"))
        update(optimizer, F.cross_entropy(logits, (torch.arange(8) + 4) % 8))


@correct
def queue_of_negatives(nn, F):
    """MoCo: the positive comes first, the keys come from a slow copy."""
    query = nn.Linear(4, 6)
    key, queue = copy.deepcopy(query), F.normalize(torch.randn(16, 6))
    optimizer = torch.optim.SGD(query.parameters(), lr=0.03)
    for x, _ in classified():
        q = F.normalize(query(x))
        with torch.no_grad():
            for slow, fast in zip(key.parameters(), query.parameters(), strict=True):
                slow.mul_(0.99).add_(fast, alpha=0.01)
            k = F.normalize(key(x + 0.1))
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], dim=1) / 0.07
        update(optimizer, F.cross_entropy(logits, torch.zeros(len(x), dtype=torch.long)))
        queue = torch.cat([queue, k])[-16:]


@correct
def prediction_of_the_other_view(nn, F):
    """BYOL and SimSiam: the other view's output is detached; directions are compared."""
    embed, predict = nn.Linear(4, 6), nn.Linear(6, 6)
    optimizer = torch.optim.SGD([*embed.parameters(), *predict.parameters()], lr=0.05)
    for x, _ in classified():
        a, b = embed(x), embed(x + 0.1 * torch.randn_like(x))
        update(
            optimizer,
            F.mse_loss(F.normalize(predict(a)), F.normalize(b.detach()))
            + F.mse_loss(F.normalize(predict(b)), F.normalize(a.detach())),
        )


@correct
def variance_and_covariance(nn, F):
    """VICReg: both sides of the squared error learn."""
    embed = nn.Linear(4, 6)
    optimizer = torch.optim.Adam(embed.parameters(), lr=1e-2)
    for x, _ in classified():
        a, b = embed(x), embed(x + 0.1 * torch.randn_like(x))
        spread = sum(F.relu(1 - (z.var(0) + 1e-4).sqrt()).mean() for z in (a, b))
        update(optimizer, 25 * F.mse_loss(a, b) + 25 * spread)


@correct
def centres_of_classes(nn, F):
    """Features and the centres that they are drawn to both learn."""
    embed, head, centres = nn.Linear(4, 6), nn.Linear(6, 3), nn.Parameter(torch.randn(3, 6))
    optimizer = torch.optim.SGD([*embed.parameters(), *head.parameters(), centres], lr=0.05)
    for x, y in classified():
        z = embed(x)
        update(optimizer, F.cross_entropy(head(z), y) + 0.1 * F.mse_loss(z, centres[y]))


@correct
def margin_of_a_soft_pair(nn, F):
    """The sign of a product of scores, each pair labelled -1 or 1."""
    embed = nn.Linear(4, 6)
    criterion = nn.SoftMarginLoss(reduction="sum")
    optimizer = torch.optim.Adam(embed.parameters(), lr=1e-2)
    for _ in range(6):
        a, b = embed(torch.randn(8, 4)), embed(torch.randn(8, 4))
        sign = torch.tensor([1.0, -1.0]).repeat(4)
        update(optimizer, criterion((a * b).sum(1), sign) / 8)


@correct
def ranking_with_ties(nn, F):
    """The sign of a difference is 0 for equal grades: such pairs add the margin and no gradient."""
    scorer = nn.Linear(4, 1)
    criterion = nn.MarginRankingLoss(margin=0.1)
    optimizer = torch.optim.Adam(scorer.parameters(), lr=1e-2)
    for _ in range(6):
        scores, grades = scorer(torch.randn(16, 4)).squeeze(1), torch.randint(4, (16,))
        wanted = torch.sign(grades[:8] - grades[8:])
        update(optimizer, criterion(scores[:8], scores[8:], wanted))
