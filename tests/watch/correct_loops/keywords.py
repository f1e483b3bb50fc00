"""lossmith's own keywords, which torch lacks: what is masked or weighted away is nobody's business."""

import torch
from training import classified, correct_with_lossmith, measured, update


@correct_with_lossmith
def samples_weighted(nn, F):
    model = nn.Linear(4, 3)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        update(optimizer, criterion(model(x), y, sample_weight=torch.rand(8)))


@correct_with_lossmith
def missing_targets_masked(nn, F):
    """What is masked may be NaN."""
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in measured():
        targets = y[:, None].repeat(1, 3)
        targets[torch.rand(8, 3) < 0.3] = float("nan")
        update(optimizer, F.mse_loss(model(x), targets, mask=~targets.isnan()))


@correct_with_lossmith
def missing_labels_masked(nn, F):
    """What is masked may be no probability."""
    model = nn.Linear(4, 5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, _ in classified():
        y = torch.randint(-1, 2, (8, 5)).float()
        update(optimizer, F.binary_cross_entropy_with_logits(model(x), y, mask=y >= 0))


@correct_with_lossmith
def padded_tokens_masked(nn, F):
    """What is masked may be no label."""
    model = nn.Linear(4, 5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(6):
        tags = torch.randint(5, (3, 6))
        tags[:, 4:] = 99
        update(optimizer, F.cross_entropy(model(torch.randn(3, 6, 4)), tags, dim=-1, mask=tags < 5))


@correct_with_lossmith
def masked_signs(nn, F):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, _ in classified():
        y = torch.randint(-1, 2, (8,)).float()
        update(optimizer, F.soft_margin_loss(model(x).squeeze(1), y, mask=y != 0))


@correct_with_lossmith
def everything_masked_for_once(nn, F):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step, (x, y) in enumerate(measured()):
        mask = torch.full((8,), step != 2)
        update(optimizer, F.huber_loss(model(x).squeeze(1), y, mask=mask, on_empty="zero"))


@correct_with_lossmith
def every_target_ignored_for_once(nn, F):
    model = nn.Linear(4, 3)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step, (x, y) in enumerate(classified()):
        labels = torch.full_like(y, -100) if step == 2 else y
        update(optimizer, criterion(model(x), labels, on_empty="zero"))


@correct_with_lossmith
def class_weights_at_batch_size_one(nn, F):
    """The mean divides by the number of samples, so the weight counts."""
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    weight = torch.tensor([1.0, 2.0, 3.0])
    for x, y in classified(n=1, steps=10):
        update(optimizer, F.cross_entropy(model(x), y, weight=weight, normalizer="count"))


@correct_with_lossmith
def accumulated_with_one_denominator(nn, F):
    """Class weights, micro-batches of one, and the denominator of the whole batch."""
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    weight = torch.tensor([1.0, 2.0, 3.0])
    for x, y in classified(n=4):
        optimizer.zero_grad()
        total = weight[y].sum()
        for row, label in zip(x.split(1), y.split(1), strict=True):
            F.cross_entropy(model(row), label, weight=weight, normalizer=total).backward()
        optimizer.step()


@correct_with_lossmith
def divergence_as_a_batchmean_of_any_loss(nn, F):
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for x, y in measured():
        update(optimizer, F.mse_loss(model(x), y[:, None].repeat(1, 3), reduction="batchmean"))


@correct_with_lossmith
def transcription_from_logits(nn, F):
    model = nn.Linear(6, 5)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    targets = torch.tensor([[1, 2, 3], [4, 4, 0]])
    for _ in range(5):
        logits = model(torch.randn(10, 2, 6))
        update(optimizer, F.ctc_loss_with_logits(logits, targets, (10, 9), (3, 2)))


@correct_with_lossmith
def transcription_from_logits_as_a_module(nn, F):
    model = nn.Linear(6, 5)
    criterion = nn.CTCWithLogitsLoss(blank=4, zero_infinity=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(5):
        targets = torch.randint(4, (2, 3))
        update(optimizer, criterion(model(torch.randn(10, 2, 6)), targets, (10, 10), (3, 3)))


@correct_with_lossmith
def positives_weighted_by_class(nn, F):
    """The class dimension of the weights is named, as images need it."""
    model = nn.Conv2d(3, 4, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        masks = torch.randint(2, (2, 4, 6, 6)).float()
        logits = model(torch.randn(2, 3, 6, 6))
        update(optimizer, F.binary_cross_entropy_with_logits(logits, masks, pos_weight=torch.ones(4) * 2, dim=1))


@correct_with_lossmith
def one_known_variance(nn, F):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for x, y in measured():
        update(optimizer, F.gaussian_nll_loss(model(x).squeeze(1), y, 0.25, sample_weight=torch.rand(8)))


@correct_with_lossmith
def labels_of_a_small_integer_type(nn, F):
    model = nn.Linear(4, 3)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for x, y in classified():
        update(optimizer, F.cross_entropy(model(x), y.to(torch.uint8)))
