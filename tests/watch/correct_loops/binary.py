"""Yes or no, once or for several labels: logits, probabilities, weights, missing labels, links."""

import torch
from training import classified, correct, update


@correct
def logits_squeezed(nn, F):
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for x, y in classified(classes=2):
        loss = criterion(model(x).squeeze(1), y.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        accuracy = ((torch.sigmoid(model(x)).squeeze(1) > 0.5) == y).float().mean()
        assert 0 <= accuracy.item() <= 1


@correct
def targets_unsqueezed(nn, F):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for x, y in classified(classes=2):
        update(optimizer, F.binary_cross_entropy_with_logits(model(x), y.float().view(-1, 1)))


@correct
def sigmoid_and_bce(nn, F):
    model = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())
    criterion = nn.BCELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified(classes=2):
        update(optimizer, criterion(model(x).flatten(), y.float()))


@correct
def column_of_a_softmax(nn, F):
    model = nn.Linear(4, 2)
    criterion = nn.BCELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified(classes=2):
        positive = F.softmax(model(x), dim=1)[:, 1]
        update(optimizer, criterion(positive, y.float()))


@correct
def bce_of_all_softmax_columns(nn, F):
    model = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=-1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        update(optimizer, F.binary_cross_entropy(model(x), F.one_hot(y, 3).float()))


@correct
def positives_weighted(nn, F):
    model = nn.Linear(4, 1)
    criterion = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([3.0]))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified(classes=2):
        update(optimizer, criterion(model(x), y.float().unsqueeze(-1)))


@correct
def several_labels(nn, F):
    model = nn.Linear(4, 5)
    criterion = nn.BCEWithLogitsLoss(pos_weight=torch.full((5,), 4.0))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, _ in classified():
        update(optimizer, criterion(model(x), (torch.rand(8, 5) < 0.2).float()))


@correct
def several_labels_with_one_sample(nn, F):
    model = nn.Linear(4, 5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, _ in classified(n=1):
        labels = torch.randint(2, (1, 5)).float()
        update(optimizer, F.binary_cross_entropy_with_logits(model(x), labels, weight=torch.rand(5)))


@correct
def missing_labels_left_out(nn, F):
    """Labels -1, 0 (not measured) and 1, as in sets of molecules; what is not measured is masked."""
    model = nn.Linear(4, 5)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for x, _ in classified():
        y = torch.randint(-1, 2, (8, 5)).float()
        losses = F.binary_cross_entropy_with_logits(model(x), (y + 1) / 2, reduction="none")
        measured = y.abs() > 0
        update(optimizer, torch.where(measured, losses, 0.0).sum() / measured.sum())


@correct
def missing_labels_indexed_away(nn, F):
    model = nn.Linear(4, 5)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for x, _ in classified():
        y = torch.randint(2, (8, 5)).float()
        y[torch.rand(8, 5) < 0.3] = float("nan")
        known = ~y.isnan()
        update(optimizer, F.binary_cross_entropy_with_logits(model(x)[known], y[known]))


@correct
def multilabel_soft_margin(nn, F):
    model = nn.Linear(4, 5)
    criterion = nn.MultiLabelSoftMarginLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, _ in classified():
        update(optimizer, criterion(model(x), torch.randint(2, (8, 5)).float()))


@correct
def multilabel_soft_margin_with_weights(nn, F):
    model = nn.Linear(4, 5)
    weight = torch.rand(5) + 0.5
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, _ in classified():
        targets = torch.randint(2, (8, 5))
        losses = F.multilabel_soft_margin_loss(model(x), targets.float(), weight=weight, reduction="none")
        update(optimizer, losses.sum() / len(x))


@correct
def multilabel_margin_with_padding(nn, F):
    """The labels come first, -1 ends them; what stands behind it does not count."""
    model = nn.Linear(4, 5)
    criterion = nn.MultiLabelMarginLoss()
    labels = torch.tensor([[3, 0, -1, -1, -1], [1, -1, 0, 1, 1], [4, 2, 0, -1, -1], [-1, -1, -1, -1, -1]])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, _ in classified(n=4):
        update(optimizer, criterion(model(x), labels))


@correct
def multilabel_margin_without_a_batch(nn, F):
    model = nn.Linear(4, 5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, _ in classified(n=1):
        update(optimizer, F.multilabel_margin_loss(model(x[0]), torch.tensor([2, 4, -1, -1, -1])))


@correct
def focal(nn, F):
    def focal_loss(logits, targets, alpha=0.25, gamma=2.0):
        p = torch.sigmoid(logits)
        ce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        p_t = p * targets + (1 - p) * (1 - targets)
        return ((alpha * targets + (1 - alpha) * (1 - targets)) * ce * (1 - p_t) ** gamma).mean()

    model = nn.Linear(4, 3)
    nn.init.constant_(model.bias, -4.6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        update(optimizer, focal_loss(model(x), F.one_hot(y, 3).float()))


@correct
def smoothed_targets(nn, F):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified(classes=2):
        smooth = y.float() * 0.9 + 0.05
        update(optimizer, F.binary_cross_entropy_with_logits(model(x)[:, 0], smooth))


@correct
def soft_targets_of_a_teacher(nn, F):
    teacher, student = nn.Linear(4, 3), nn.Linear(4, 3)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    for x, _ in classified():
        with torch.no_grad():
            target = teacher(x).sigmoid()
        update(optimizer, F.binary_cross_entropy_with_logits(student(x), target))


@correct
def soft_margin(nn, F):
    model = nn.Linear(4, 1)
    criterion = nn.SoftMarginLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified(classes=2):
        update(optimizer, criterion(model(x).squeeze(-1), 2.0 * y - 1))


@correct
def soft_margin_of_one_class(nn, F):
    """Every target of these batches is -1."""
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, _ in classified():
        update(optimizer, F.soft_margin_loss(model(x), -torch.ones(8, 1)))


@correct
def zero_logits_while_the_rate_warms_up(nn, F):
    model = nn.Linear(4, 1)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    for step, (x, y) in enumerate(classified(steps=10, classes=2)):
        optimizer.param_groups[0]["lr"] = 0.0 if step < 6 else 0.1
        update(optimizer, F.binary_cross_entropy_with_logits(model(x), y[:, None].float()))


@correct
def logits_near_the_base_rate(nn, F):
    """The bias is the logit of 0.57, the features tell little: all logits lie between 0 and 1."""
    model = nn.Linear(4, 1)
    nn.init.normal_(model.weight, std=0.02)
    nn.init.constant_(model.bias, 0.3)
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.005)
    for _ in range(15):
        y = (torch.rand(8) < 0.57).float()
        update(optimizer, criterion(model(torch.randn(8, 4)).view(-1), y))


@correct
def certain_and_right(nn, F):
    """Fine-tuning: probabilities of exactly 0 and 1, each as the label says."""
    scale = nn.Parameter(torch.tensor(200.0))
    optimizer = torch.optim.SGD([scale], lr=1e-4)
    for _ in range(8):
        y = torch.randint(2, (16,)).float()
        update(optimizer, F.binary_cross_entropy(torch.sigmoid(scale * (2 * y - 1)), y))


@correct
def elements_weighted(nn, F):
    model = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        y = F.one_hot(y, 3).float()
        weight = torch.where(y > 0, 2.0, 1.0)
        update(optimizer, F.binary_cross_entropy(model(x), y, weight=weight))


@correct
def clamped_probabilities(nn, F):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified(classes=2):
        p = torch.sigmoid(50 * model(x)).clamp(1e-6, 1 - 1e-6).squeeze()
        update(optimizer, F.binary_cross_entropy(p, y.float()))


@correct
def any_of_a_bag(nn, F):
    """Several instances, one label: the bag is positive if any instance is."""
    model = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        bags, y = torch.randn(6, 5, 4), torch.randint(2, (6,)).float()
        none = (1 - model(bags).squeeze(-1)).prod(dim=1)
        update(optimizer, F.binary_cross_entropy(1 - none, y))


@correct
def links(nn, F):
    """Edges against sampled pairs of nodes; the targets are made of ones and zeros."""
    nodes = nn.Embedding(12, 6)
    optimizer = torch.optim.Adam(nodes.parameters(), lr=1e-2)
    for _ in range(6):
        edges, others = torch.randint(12, (2, 10)), torch.randint(12, (2, 10))
        positive = (nodes(edges[0]) * nodes(edges[1])).sum(-1)
        negative = (nodes(others[0]) * nodes(others[1])).sum(-1)
        scores = torch.cat([positive, negative])
        labels = torch.cat([torch.ones(10), torch.zeros(10)])
        update(optimizer, F.binary_cross_entropy_with_logits(scores, labels))


@correct
def preferences(nn, F):
    """A reward model: the difference of two scores is the logit of the better one."""
    reward = nn.Linear(4, 1)
    optimizer = torch.optim.Adam(reward.parameters(), lr=1e-2)
    for _ in range(6):
        difference = (reward(torch.randn(8, 4) + 1) - reward(torch.randn(8, 4))).squeeze(-1)
        update(optimizer, F.binary_cross_entropy_with_logits(difference, torch.ones_like(difference)))


@correct
def pairs_by_their_difference(nn, F):
    embed, head = nn.Linear(4, 6), nn.Sequential(nn.Linear(6, 1), nn.Sigmoid())
    criterion = nn.BCELoss()
    optimizer = torch.optim.Adam([*embed.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(6):
        same = torch.randint(2, (8, 1)).float()
        p = head(torch.abs(embed(torch.randn(8, 4)) - embed(torch.randn(8, 4))))
        update(optimizer, criterion(p, same))


@correct
def balanced_sample_by_sample(nn, F):
    model = nn.Linear(4, 1)
    criterion = nn.BCEWithLogitsLoss(reduction="none")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified(classes=2):
        share = y.float().mean().clamp(0.1, 0.9)
        weight = torch.where(y == 1, 1 - share, share)
        update(optimizer, (weight * criterion(model(x).squeeze(-1), y.float())).mean())


@correct
def two_logits_for_two_classes(nn, F):
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified(classes=2):
        update(optimizer, F.cross_entropy(model(x), y))


@correct
def padded_probabilities_multiplied_away(nn, F):
    model = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        mask = (torch.arange(7) < torch.tensor([[7], [5], [2]])).float()
        p, y = model(torch.randn(3, 7, 4)).squeeze(-1), torch.randint(2, (3, 7)).float()
        update(optimizer, F.binary_cross_entropy(p * mask, y * mask, reduction="sum") / mask.sum())
