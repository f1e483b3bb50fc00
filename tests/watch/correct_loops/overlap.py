"""Few among many: regions of images, rare labels, anchors of detectors."""

import torch
from training import classified, correct_with_lossmith, update


def scans(steps=6, n=3, size=6):
    """Images, and for each pixel whether it belongs to a bright object."""
    for _ in range(steps):
        x = torch.randn(n, 2, size, size)
        yield x, (x[:, 0] > 0.8).long()


def network(nn, classes):
    model = nn.Sequential(nn.Conv2d(2, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, classes, 1))
    return model, torch.optim.Adam(model.parameters(), lr=1e-2)


@correct_with_lossmith
def objects_by_dice(nn, F):
    model, optimizer = network(nn, 2)
    criterion = nn.DiceLoss(include_background=False)
    for x, y in scans():
        update(optimizer, criterion(model(x), y))


@correct_with_lossmith
def dice_with_cross_entropy(nn, F):
    """As nnU-Net has it, with pixels that nobody labelled."""
    model, optimizer = network(nn, 2)
    for x, y in scans():
        y = y.masked_fill(torch.rand(y.shape) < 0.1, 255)
        logits = model(x)
        loss = F.dice_loss(logits, y, batch=True, ignore_index=255) + F.cross_entropy(logits, y, ignore_index=255)
        update(optimizer, loss)


@correct_with_lossmith
def one_channel_by_dice(nn, F):
    model, optimizer = network(nn, 1)
    criterion = nn.DiceLoss(activation="sigmoid", smooth=1e-5)
    for x, y in scans():
        update(optimizer, criterion(model(x), y.unsqueeze(1)))


@correct_with_lossmith
def probabilities_by_dice(nn, F):
    """The model ends in its own softmax."""
    model, optimizer = network(nn, 2)
    for x, y in scans():
        update(optimizer, F.dice_loss(model(x).softmax(1), y, activation=None))


@correct_with_lossmith
def images_without_an_object_now_and_then(nn, F):
    model, optimizer = network(nn, 2)
    for step, (x, y) in enumerate(scans(steps=40)):
        update(optimizer, F.dice_loss(model(x), y if step % 5 == 4 else torch.zeros_like(y)))


@correct_with_lossmith
def misses_cost_more(nn, F):
    model, optimizer = network(nn, 2)
    criterion = nn.TverskyLoss(0.3, 0.7)
    for x, y in scans():
        update(optimizer, criterion(model(x), y))


@correct_with_lossmith
def focal_tversky_of_several_labels(nn, F):
    """Each channel by itself; a pixel may belong to both."""
    model, optimizer = network(nn, 2)
    for x, _ in scans():
        y = (x > 0.8).float()
        update(optimizer, F.tversky_loss(model(x), y, 0.3, 0.7, 0.75, activation="sigmoid"))


@correct_with_lossmith
def rare_classes(nn, F):
    model = nn.Linear(4, 3)
    criterion = nn.FocalLoss(gamma=2.0, weight=torch.tensor([1.0, 2.0, 5.0]))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        update(optimizer, criterion(model(x), y))


@correct_with_lossmith
def pixels_by_focal_loss(nn, F):
    model, optimizer = network(nn, 2)
    for x, y in scans():
        update(optimizer, F.focal_loss(model(x), y.masked_fill(torch.rand(y.shape) < 0.1, -100)))


@correct_with_lossmith
def soft_labels_by_focal_loss(nn, F):
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        update(optimizer, F.focal_loss(model(x), 0.9 * F.one_hot(y, 3) + 0.1 / 3))


@correct_with_lossmith
def anchors_of_a_detector(nn, F):
    """RetinaNet: the sum over the number of positives; -1 marks anchors that are neither."""
    model = nn.Linear(4, 1)
    nn.init.constant_(model.bias, -4.6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(6):
        x = torch.randn(64, 4)
        y = torch.where(x[:, :1] > 1.5, 1.0, torch.where(x[:, :1] > 1.2, -1.0, 0.0))
        known = y >= 0
        positives = (y == 1).sum().clamp(min=1)
        update(optimizer, F.sigmoid_focal_loss(model(x), y, mask=known, normalizer=positives))


@correct_with_lossmith
def labels_of_which_few_hold(nn, F):
    model = nn.Linear(4, 10)
    criterion = nn.SigmoidFocalLoss(alpha=None, gamma=1.5, reduction="sum")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(6):
        update(optimizer, criterion(model(torch.randn(8, 4)), (torch.rand(8, 10) < 0.1).float()) / 8)
