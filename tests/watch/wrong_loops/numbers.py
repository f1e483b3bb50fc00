"""Numbers as targets: shapes that broadcast, scales that were forgotten, rates and variances out of range, overflow."""

import torch
from training import classified, measured, update, wrong


def regressor(nn, *last, outputs=1):
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, outputs), *last)
    return model, torch.optim.Adam(model.parameters(), lr=1e-2)


# ----- outer-broadcast -----


@wrong("outer-broadcast")
def column_against_row(nn, F):
    model, optimizer = regressor(nn)
    criterion = nn.MSELoss()
    for x, y in measured():
        update(optimizer, criterion(model(x), y))


@wrong("outer-broadcast")
def values_of_actions_against_rewards(nn, F):
    """DQN: gather keeps the column."""
    online = nn.Linear(4, 2)
    criterion = nn.SmoothL1Loss()
    optimizer = torch.optim.Adam(online.parameters(), lr=1e-3)
    for _ in range(6):
        value = online(torch.randn(8, 4)).gather(1, torch.randint(2, (8, 1)))
        with torch.no_grad():
            wanted = torch.randn(8) + 0.9 * online(torch.randn(8, 4)).max(1).values
        update(optimizer, criterion(value, wanted))


@wrong("outer-broadcast")
def depth_with_a_channel_against_depth_without(nn, F):
    model = nn.Conv2d(3, 1, 1)
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(6):
        update(optimizer, F.l1_loss(model(torch.randn(2, 3, 6, 6)), torch.rand(2, 6, 6)))


@wrong("outer-broadcast")
def counts_in_a_row(nn, F):
    """torch says nothing at all here."""
    model, optimizer = regressor(nn)
    criterion = nn.PoissonNLLLoss()
    for x, y in measured():
        update(optimizer, criterion(model(x), torch.poisson(y.exp())))


@wrong("outer-broadcast")
def means_in_a_column(nn, F):
    model, optimizer = regressor(nn, outputs=2)
    for x, y in measured():
        out = model(x)
        mean, variance = out[:, :1], F.softplus(out[:, 1:]) + 1e-3
        update(optimizer, F.gaussian_nll_loss(mean, y, variance))


@wrong("outer-broadcast")
def signs_in_a_row(nn, F):
    model, optimizer = regressor(nn)
    for x, y in classified(classes=2):
        update(optimizer, F.hinge_embedding_loss(model(x).abs(), 2.0 * y - 1))


@wrong("outer-broadcast")
def one_value_against_every_action(nn, F):
    """(B, 1) against (B, A): the value of one action is drawn to the targets of all."""
    model, optimizer = regressor(nn)
    criterion = nn.HuberLoss()
    for x, y in measured():
        update(optimizer, criterion(model(x), torch.stack([y, -y, y + 1], dim=1)))


# ----- unscaled-regression-target -----


@wrong("unscaled-regression-target")
def prices_as_they_are(nn, F):
    model, optimizer = regressor(nn)
    criterion = nn.MSELoss()
    for x, y in measured(steps=15):
        update(optimizer, criterion(model(x).squeeze(1), 250_000 + 80_000 * y))


@wrong("unscaled-regression-target")
def populations_as_they_are(nn, F):
    model, optimizer = regressor(nn)
    for x, y in measured(steps=15):
        update(optimizer, F.mse_loss(model(x), (1e6 * (2 * y).exp()).unsqueeze(1)))


@wrong("unscaled-regression-target")
def seconds_since_1970(nn, F):
    model, optimizer = regressor(nn)
    criterion = nn.MSELoss(reduction="sum")
    for x, y in measured(steps=15):
        update(optimizer, criterion(model(x).flatten(), 1.7e9 + 1e6 * y))


# ----- gaussian-variance-not-positive -----


@wrong("gaussian-variance-not-positive", raises=(RuntimeError, ValueError))
def variance_of_a_linear_layer(nn, F):
    model, optimizer = regressor(nn, outputs=2)
    criterion = nn.GaussianNLLLoss()
    for x, y in measured():
        mean, variance = model(x).unbind(1)
        update(optimizer, criterion(mean, y, variance))


@wrong("gaussian-variance-not-positive", raises=(RuntimeError, ValueError))
def log_variance_as_the_variance(nn, F):
    model, optimizer = regressor(nn, outputs=2)
    for x, y in measured():
        mean, log_variance = model(x).chunk(2, dim=1)
        update(optimizer, F.gaussian_nll_loss(mean.squeeze(1), y, log_variance.squeeze(1) - 1))


@wrong("gaussian-variance-not-positive")
def variance_of_a_relu(nn, F):
    """Half of the variances are exactly 0; eps stands in for them, and the loss is in the millions."""
    model, optimizer = regressor(nn, outputs=2)
    criterion = nn.GaussianNLLLoss()
    for x, y in measured(steps=15):
        out = model(x)
        update(optimizer, criterion(out[:, 0], y, F.relu(out[:, 1])))


# ----- poisson-rate-negative -----


@wrong("poisson-rate-negative", beside=("loss-not-finite",))
def rate_of_a_linear_layer(nn, F):
    model, optimizer = regressor(nn)
    criterion = nn.PoissonNLLLoss(log_input=False)
    for x, y in measured():
        update(optimizer, criterion(model(x).squeeze(1), torch.poisson(y.exp())))


@wrong("poisson-rate-negative", beside=("loss-not-finite",))
def rate_of_a_tanh(nn, F):
    model, optimizer = regressor(nn, nn.Tanh(), outputs=3)
    for x, _ in measured():
        counts = torch.poisson(torch.ones(8, 3))
        update(optimizer, F.poisson_nll_loss(model(x), counts, log_input=False, full=True))


# ----- loss-not-finite -----


@wrong("loss-not-finite")
def missing_values_in_the_target(nn, F):
    model, optimizer = regressor(nn)
    criterion = nn.MSELoss()
    for step, (x, y) in enumerate(measured(steps=8)):
        if step == 3:
            y[2] = float("nan")
        update(optimizer, criterion(model(x).squeeze(1), y))


@wrong("loss-not-finite")
def logarithm_of_zero(nn, F):
    """A probability that rounded to 0, and its logarithm."""
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        update(optimizer, F.nll_loss(torch.log(torch.softmax(1000 * model(x), dim=1)), y))


@wrong("loss-not-finite", beside=("unscaled-regression-target",))
def rate_of_learning_too_high(nn, F):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e6)
    for x, y in measured(steps=12):
        update(optimizer, F.mse_loss(model(x).squeeze(1), y))


@wrong("loss-not-finite")
def every_target_ignored(nn, F):
    """The mean of nothing."""
    model = nn.Linear(4, 3)
    criterion = nn.CrossEntropyLoss(ignore_index=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step, (x, y) in enumerate(classified(steps=8)):
        update(optimizer, criterion(model(x), torch.zeros_like(y) if step == 2 else y))


# ----- half-overflow -----


@wrong("half-overflow", beside=("loss-not-finite", "unscaled-regression-target"))
def squares_in_half_precision(nn, F):
    """The square of 300 is more than float16 holds."""
    model = nn.Linear(4, 1).half()
    criterion = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    for x, y in measured():
        update(optimizer, criterion(model(x.half()).squeeze(1), (400 + 10 * y).half()))


@wrong("half-overflow", beside=("loss-not-finite",))
def sum_in_half_precision(nn, F):
    """Ten thousand errors of 20 add up to more than 65504."""
    model = nn.Linear(4, 1000).half()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    for x, _ in measured(n=10):
        update(optimizer, F.l1_loss(model(x.half()), torch.full((10, 1000), 20.0).half(), reduction="sum"))
