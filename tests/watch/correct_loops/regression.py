"""Numbers as targets: squared, absolute and robust errors, counts, variances, masks, broadcasting."""

import warnings

import torch
from training import correct, measured, update


@correct
def squeezed_output(nn, F):
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    criterion = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for x, y in measured():
        update(optimizer, criterion(model(x).squeeze(-1), y))


@correct
def unsqueezed_target(nn, F):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for x, y in measured():
        update(optimizer, F.mse_loss(model(x), y.unsqueeze(1)))


@correct
def last_batch_of_one(nn, F):
    model = nn.Linear(4, 1)
    criterion = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    x, y = next(measured(n=13))
    dataset = torch.utils.data.TensorDataset(x, y.view(-1, 1))
    for _ in range(2):
        for inputs, targets in torch.utils.data.DataLoader(dataset, batch_size=4):
            update(optimizer, criterion(model(inputs), targets))


@correct
def absolute_error(nn, F):
    model = nn.Linear(4, 2)
    criterion = nn.L1Loss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for x, y in measured():
        update(optimizer, criterion(model(x), torch.stack([y, -y], dim=1)))


@correct
def huber(nn, F):
    model = nn.Linear(4, 1)
    criterion = nn.HuberLoss(delta=1.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for x, y in measured():
        y[0] += 30
        update(optimizer, criterion(model(x)[:, 0], y))


@correct
def smooth_l1(nn, F):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for x, y in measured():
        update(optimizer, F.smooth_l1_loss(model(x).flatten(), y, beta=0.1))


@correct
def small_scale(nn, F):
    """Returns of a day: a spread of 0.01."""
    model = nn.Linear(4, 1)
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for x, y in measured():
        update(optimizer, criterion(model(x).squeeze(1), 0.01 * y))


@correct
def standardised_prices(nn, F):
    prices = 250_000 + 80_000 * torch.randn(48)
    mean, spread = prices.mean(), prices.std()
    model = nn.Linear(4, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for batch in prices.view(6, 8):
        update(optimizer, F.mse_loss(model(torch.randn(8, 4)).squeeze(1), (batch - mean) / spread))


@correct
def logarithm_of_prices(nn, F):
    model = nn.Linear(4, 1)
    nn.init.constant_(model.bias, 12.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        prices = 250_000 * torch.randn(8).mul(0.4).exp()
        update(optimizer, F.mse_loss(model(torch.randn(8, 4)).squeeze(1), prices.log1p()))


@correct
def absolute_error_of_prices(nn, F):
    """L1's gradient does not grow with the scale of the target."""
    model = nn.Linear(4, 1)
    nn.init.constant_(model.bias, 250_000.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=100.0)
    for _ in range(6):
        update(optimizer, F.l1_loss(model(torch.randn(8, 4)).squeeze(1), 250_000 + 80_000 * torch.randn(8)))


@correct
def ages(nn, F):
    """Years from 20 to 80, and a head that starts at the mean."""
    model = nn.Linear(4, 1)
    nn.init.constant_(model.bias, 45.0)
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        update(optimizer, criterion(model(torch.randn(8, 4)).squeeze(1), 20 + 60 * torch.rand(8)))


@correct
def constant_target(nn, F):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for x, _ in measured():
        out = model(x)
        update(optimizer, F.mse_loss(out, torch.full_like(out, 0.5)))


@correct
def samples_weighted(nn, F):
    model = nn.Linear(4, 1)
    criterion = nn.MSELoss(reduction="none")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for x, y in measured():
        weight = torch.rand(8)
        update(optimizer, (weight * criterion(model(x).squeeze(1), y)).sum() / weight.sum())


@correct
def missing_values_replaced(nn, F):
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for x, y in measured():
        targets = y[:, None].repeat(1, 3)
        targets[torch.rand(8, 3) < 0.3] = float("nan")
        known = ~targets.isnan()
        losses = F.mse_loss(model(x), targets.nan_to_num(), reduction="none")
        update(optimizer, (losses * known).sum() / known.sum())


@correct
def one_target_for_all_columns(nn, F):
    """(N, D) against (D,): the result is no larger than the prediction."""
    model = nn.Linear(4, 3)
    target = torch.tensor([0.1, -0.2, 0.3])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for x, _ in measured():
        update(optimizer, F.huber_loss(model(x), target.expand(8, 3)))


@correct
def every_pair_without_reduction(nn, F):
    """(N, 1) against (N,), meant so: each prediction with each target, weighted by a kernel."""
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for x, y in measured():
        with torch.no_grad():
            kernel = torch.softmax(-torch.cdist(x, x), dim=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch's, of the broadcasting
            pairs = F.l1_loss(model(x), y, reduction="none")
        update(optimizer, (kernel * pairs).sum(1).mean())


@correct
def every_pair_of_rate_and_count(nn, F):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for x, y in measured():
        pairs = F.poisson_nll_loss(model(x), torch.poisson(y.exp()), reduction="none")
        update(optimizer, pairs.min(1).values.mean())


@correct
def quantiles_in_pairs(nn, F):
    """Quantile regression of returns: pairs of quantiles by broadcasting, without a reduction."""
    model = nn.Linear(4, 5)
    taus = (torch.arange(5) + 0.5) / 5
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for x, y in measured():
        wanted = y[:, None] + torch.randn(8, 5)
        pairs = F.smooth_l1_loss(
            model(x)[:, :, None].expand(8, 5, 5), wanted[:, None, :].expand(8, 5, 5), reduction="none"
        )
        below = (wanted[:, None, :] < model(x).detach()[:, :, None]).float()
        update(optimizer, ((taus[:, None] - below).abs() * pairs).sum(1).mean())


@correct
def counts_with_log_rate(nn, F):
    model = nn.Linear(4, 1)
    criterion = nn.PoissonNLLLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for x, y in measured():
        update(optimizer, criterion(model(x).squeeze(-1), torch.poisson(y.exp())))


@correct
def counts_with_softplus_rate(nn, F):
    model = nn.Sequential(nn.Linear(4, 1), nn.Softplus())
    criterion = nn.PoissonNLLLoss(log_input=False, full=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for x, y in measured():
        update(optimizer, criterion(model(x), torch.poisson(y.exp()).unsqueeze(1)))


@correct
def counts_with_relu_rate(nn, F):
    """A rate of 0 is allowed: eps keeps its logarithm finite."""
    model = nn.Sequential(nn.Linear(4, 1), nn.ReLU())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for x, y in measured():
        counts = torch.poisson(y.exp())[:, None]
        update(optimizer, F.poisson_nll_loss(model(x) + 0.1, counts, log_input=False))


@correct
def counts_with_exposure(nn, F):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for x, y in measured():
        exposure = 1 + 9 * torch.rand(8)
        counts = torch.poisson(exposure * y.exp())
        log_rate = model(x).squeeze(1) + exposure.log()
        update(optimizer, F.poisson_nll_loss(log_rate, counts, log_input=True, full=False))


@correct
def variance_by_softplus(nn, F):
    model = nn.Linear(4, 2)
    criterion = nn.GaussianNLLLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for x, y in measured():
        mean, raw = model(x).unbind(-1)
        update(optimizer, criterion(mean, y, F.softplus(raw) + 1e-6))


@correct
def variance_by_exponential(nn, F):
    model = nn.Linear(4, 4)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for x, y in measured():
        mean, log_variance = model(x).chunk(2, dim=-1)
        target = torch.stack([y, 2 * y], dim=-1)
        update(optimizer, F.gaussian_nll_loss(mean, target, log_variance.exp(), full=True))


@correct
def one_variance_for_each_row(nn, F):
    """The variance is (N, 1), the prediction (N, D)."""
    model = nn.Linear(4, 4)
    criterion = nn.GaussianNLLLoss(reduction="sum")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for x, y in measured():
        out = model(x)
        update(optimizer, criterion(out[:, :3], y[:, None].repeat(1, 3), out[:, 3:].square() + 0.1))


@correct
def known_variance(nn, F):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for x, y in measured():
        variance = 0.1 + torch.rand(8)
        update(optimizer, F.gaussian_nll_loss(model(x).squeeze(1), y, variance))


@correct
def several_outputs_summed(nn, F):
    model = nn.Linear(4, 3)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for x, y in measured():
        first, second, third = model(x).T
        loss = F.mse_loss(first, y) + 0.5 * F.smooth_l1_loss(second, y.abs()) + 0.1 * F.l1_loss(third, -y)
        update(optimizer, loss)


@correct
def regression_beside_classification(nn, F):
    """The tasks are weighed by learned uncertainties."""
    model, log_variance = nn.Linear(4, 4), nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.Adam([*model.parameters(), log_variance], lr=1e-2)
    for x, y in measured():
        out = model(x)
        losses = torch.stack([F.mse_loss(out[:, 0], y), F.cross_entropy(out[:, 1:], (y > 0).long())])
        update(optimizer, (torch.exp(-log_variance) * losses + log_variance).sum())


@correct
def sigmoid_output_in_squared_error(nn, F):
    model = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for x, y in measured():
        update(optimizer, F.mse_loss(model(x).squeeze(1), y.sigmoid()))


@correct
def relu_output_in_absolute_error(nn, F):
    """What is predicted is never negative."""
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1), nn.ReLU())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for x, y in measured():
        update(optimizer, F.l1_loss(model(x).squeeze(1), y.abs()))


@correct
def targets_of_whole_numbers(nn, F):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for x, _ in measured():
        stars = torch.randint(1, 6, (8,))
        update(optimizer, F.mse_loss(model(x).squeeze(1), stars.float()))


@correct
def baseline_measured_on_the_way(nn, F):
    """A loss between constants, under no no_grad, that nobody differentiates."""
    model = nn.Linear(4, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for x, y in measured():
        out = model(x).squeeze(1)
        _ = F.mse_loss(y.mean().expand(8), y).item()
        _ = F.l1_loss(out.detach(), y).item()
        update(optimizer, F.mse_loss(out, y))


@correct
def residual_of_an_equation(nn, F):
    """A physics-informed network: u' = u, with derivatives of the network in the loss."""
    model = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(5):
        t = torch.rand(8, 1, requires_grad=True)
        u = model(t)
        (slope,) = torch.autograd.grad(u.sum(), t, create_graph=True)
        start = model(torch.zeros(1, 1))
        update(optimizer, F.mse_loss(slope, u) + F.mse_loss(start, torch.ones(1, 1)))


@correct
def factorised_ratings(nn, F):
    users, items = nn.Embedding(9, 4), nn.Embedding(7, 4)
    criterion = nn.MSELoss()
    optimizer = torch.optim.SGD([*users.parameters(), *items.parameters()], lr=0.05)
    for _ in range(6):
        user, item = torch.randint(9, (12,)), torch.randint(7, (12,))
        update(optimizer, criterion((users(user) * items(item)).sum(1) + 3, 1 + 4 * torch.rand(12)))


@correct
def graph_with_one_number(nn, F):
    """A sum over all nodes: the prediction and the target are scalars."""
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for x, y in measured():
        update(optimizer, F.mse_loss(model(x).mean(), y.mean()))


@correct
def temperatures_in_kelvin(nn, F):
    model = nn.Linear(4, 1)
    nn.init.constant_(model.bias, 288.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for x, y in measured():
        update(optimizer, F.mse_loss(model(x).squeeze(1), 288 + 10 * y))


@correct
def energies_scaled_inside_the_model(nn, F):
    """Molecules: mean and spread of the targets are constants of the model's last layer."""
    model = nn.Linear(4, 1)
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for x, y in measured():
        update(optimizer, criterion(10 * model(x).squeeze(1) - 11_178, 10 * y - 11_178))


@correct
def padding_multiplied_away(nn, F):
    """Both sides are 0 where the mask is."""
    model = nn.Linear(4, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        mask = (torch.arange(7) < torch.tensor([[7], [5], [2]])).float()
        out, y = model(torch.randn(3, 7, 4)).squeeze(-1), torch.randn(3, 7)
        update(optimizer, F.mse_loss(out * mask, y * mask, reduction="sum") / mask.sum())
