"""Regression by other errors: quantiles, smooth absolute errors, restored images."""

import torch
from training import correct_with_lossmith, measured, update


@correct_with_lossmith
def an_interval_and_its_median(nn, F):
    """Crossed at the start, as outputs are, and in order before long."""
    model = nn.Linear(4, 3)
    criterion = nn.QuantileLoss((0.1, 0.5, 0.9))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    for x, y in measured(steps=1100):
        update(optimizer, criterion(model(x), y))


@correct_with_lossmith
def one_quantile(nn, F):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in measured():
        update(optimizer, F.quantile_loss(model(x).squeeze(1), y, 0.9))


@correct_with_lossmith
def quantiles_of_columns(nn, F):
    """(N, Q) against (N, 1): what several quantiles take is no outer product."""
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in measured():
        update(optimizer, F.quantile_loss(model(x), y[:, None], torch.tensor([0.25, 0.75])))


@correct_with_lossmith
def logarithm_of_the_hyperbolic_cosine(nn, F):
    model = nn.Linear(4, 1)
    criterion = nn.LogCoshLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in measured():
        update(optimizer, criterion(model(x), y[:, None]))


@correct_with_lossmith
def two_networks_that_agree(nn, F):
    first, second = nn.Linear(4, 1), nn.Linear(4, 1)
    optimizer = torch.optim.SGD(first.parameters(), lr=0.1)
    for x, _ in measured():
        update(optimizer, F.log_cosh_loss(first(x), second(x).detach()))


@correct_with_lossmith
def restoration_of_images(nn, F):
    model = nn.Conv2d(1, 1, 3, padding=1)
    criterion = nn.CharbonnierLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(6):
        clean = torch.rand(2, 1, 8, 8)
        update(optimizer, criterion(model(clean + 0.1 * torch.randn(2, 1, 8, 8)), clean))


@correct_with_lossmith
def flow_of_pixels(nn, F):
    model = nn.Conv2d(2, 2, 3, padding=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(6):
        flow = torch.randn(2, 2, 8, 8)
        update(optimizer, F.charbonnier_loss(model(flow), flow, eps=0.1, reduction="sum") / 128)
