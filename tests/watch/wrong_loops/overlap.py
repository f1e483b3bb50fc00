"""Losses for few among many, fed with what is squashed already, single scores, lost masks and odd targets."""

import torch
from training import classified, update, wrong_with_lossmith


def scans(steps=6, n=3, size=6):
    for _ in range(steps):
        x = torch.randn(n, 2, size, size)
        yield x, (x[:, 0] > 0.8).long()


def network(nn, classes):
    model = nn.Conv2d(2, classes, 3, padding=1)
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


# ----- no-positive-pixel -----


@wrong_with_lossmith("no-positive-pixel")
def masks_divided_before_the_cast(nn, F):
    """0 and 254 of 255 after a lossy format, made whole."""
    model, optimizer = network(nn, 2)
    criterion = nn.DiceLoss()
    for x, y in scans(steps=40):
        update(optimizer, criterion(model(x), (254 * y / 255).long()))


@wrong_with_lossmith("no-positive-pixel")
def objects_of_a_channel_that_is_empty(nn, F):
    model, optimizer = network(nn, 1)
    for x, y in scans(steps=40):
        target = (y.unsqueeze(1) == 2).float()
        update(optimizer, F.tversky_loss(model(x), target, 0.3, 0.7, activation="sigmoid"))


# ----- what is squashed already -----


@wrong_with_lossmith("softmax-into-cross-entropy")
def softmax_before_dice(nn, F):
    model, optimizer = network(nn, 2)
    criterion = nn.DiceLoss()
    for x, y in scans():
        update(optimizer, criterion(F.softmax(model(x), dim=1), y))


@wrong_with_lossmith("softmax-into-cross-entropy")
def softmax_before_focal_loss(nn, F):
    model = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=-1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        update(optimizer, F.focal_loss(model(x), y))


@wrong_with_lossmith("log-softmax-into-cross-entropy")
def log_softmax_before_focal_loss(nn, F):
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        update(optimizer, F.focal_loss(model(x).log_softmax(-1), y))


@wrong_with_lossmith("sigmoid-into-cross-entropy")
def sigmoid_before_the_softmax_of_dice(nn, F):
    model, optimizer = network(nn, 2)
    for x, y in scans():
        update(optimizer, F.tversky_loss(model(x).sigmoid(), y))


@wrong_with_lossmith("sigmoid-into-bce-with-logits")
def sigmoid_before_sigmoid_focal_loss(nn, F):
    model = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid())
    criterion = nn.SigmoidFocalLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        update(optimizer, criterion(model(x), F.one_hot(y, 3).float()))


@wrong_with_lossmith("sigmoid-into-bce-with-logits")
def sigmoid_before_the_sigmoid_of_dice(nn, F):
    model, optimizer = network(nn, 1)
    criterion = nn.DiceLoss(activation="sigmoid")
    for x, y in scans():
        update(optimizer, criterion(torch.sigmoid(model(x)), y.unsqueeze(1)))


@wrong_with_lossmith("logits-into-bce", raises=RuntimeError)
def logits_as_predictions_of_dice(nn, F):
    model, optimizer = network(nn, 1)
    for x, y in scans():
        update(optimizer, F.dice_loss(model(x), y.unsqueeze(1), activation=None))


@wrong_with_lossmith("relu-before-logits")
def relu_before_focal_loss(nn, F):
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        update(optimizer, F.focal_loss(model(x), y))


@wrong_with_lossmith("single-logit-cross-entropy")
def one_channel_under_a_softmax(nn, F):
    model, optimizer = network(nn, 1)
    criterion = nn.DiceLoss()
    for x, y in scans():
        update(optimizer, criterion(model(x), y.unsqueeze(1).float()))


# ----- targets -----


@wrong_with_lossmith("target-not-in-unit-interval")
def ignored_anchors_as_minus_one(nn, F):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(6):
        x = torch.randn(64, 4)
        y = torch.where(x[:, :1] > 1.5, 1.0, torch.where(x[:, :1] > 0.5, -1.0, 0.0))
        update(optimizer, F.sigmoid_focal_loss(model(x), y, reduction="sum"))


@wrong_with_lossmith("target-not-in-unit-interval", raises=RuntimeError)
def masks_of_255(nn, F):
    model, optimizer = network(nn, 1)
    for x, y in scans():
        update(optimizer, F.dice_loss(model(x), 255.0 * y.unsqueeze(1), activation="sigmoid"))


@wrong_with_lossmith("index-target-invalid", raises=IndexError)
def rare_classes_counted_from_one(nn, F):
    model = nn.Linear(4, 3)
    for x, y in classified(n=16):
        F.focal_loss(model(x), y + 1).backward()


@wrong_with_lossmith("index-target-invalid", raises=IndexError)
def pixels_nobody_labelled(nn, F):
    model, _ = network(nn, 2)
    for x, y in scans():
        F.dice_loss(model(x), y.masked_fill(torch.rand(y.shape) < 0.1, 255)).backward()


@wrong_with_lossmith("weight-at-batch-size-one")
def weights_of_single_rows(nn, F):
    model, weight = nn.Linear(4, 3), torch.tensor([1.0, 5.0, 9.0])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified(n=1):
        update(optimizer, F.focal_loss(model(x), y, weight=weight))
