"""Teachers, critics, quantiles and divergences held wrongly."""

import torch
from training import classified, measured, update, wrong_with_lossmith


def student_and_teacher(nn):
    student, teacher = nn.Linear(4, 3), nn.Linear(4, 3)
    return student, teacher, torch.optim.SGD(student.parameters(), lr=0.1)


# ----- teachers -----


@wrong_with_lossmith("teacher-not-detached")
def a_teacher_that_learns(nn, F):
    student, teacher, optimizer = student_and_teacher(nn)
    criterion = nn.DistillationLoss()
    for x, y in classified():
        update(optimizer, criterion(student(x), teacher(x), y))


@wrong_with_lossmith("teacher-not-detached")
def the_student_as_its_own_teacher(nn, F):
    student, _, optimizer = student_and_teacher(nn)
    for x, y in classified():
        logits = student(x)
        update(optimizer, F.distillation_loss(logits, logits.detach(), y))


@wrong_with_lossmith("swapped-arguments")
def the_teacher_comes_first(nn, F):
    student, teacher, optimizer = student_and_teacher(nn)
    for x, _ in classified():
        with torch.no_grad():
            taught = teacher(x)
        update(optimizer, F.distillation_loss(taught, student(x)))


@wrong_with_lossmith("softmax-into-cross-entropy")
def probabilities_of_the_teacher(nn, F):
    student, teacher, optimizer = student_and_teacher(nn)
    for x, _ in classified():
        with torch.no_grad():
            taught = teacher(x).softmax(1)
        update(optimizer, F.distillation_loss(student(x), taught))


@wrong_with_lossmith("kl-input-not-log", raises=RuntimeError)
def probabilities_on_both_sides(nn, F):
    student, teacher, optimizer = student_and_teacher(nn)
    criterion = nn.JSDivLoss(reduction="batchmean")
    for x, _ in classified():
        update(optimizer, criterion(student(x).softmax(1), teacher(x).detach().softmax(1)))


@wrong_with_lossmith("kl-mean-reduction")
def a_mean_over_the_classes(nn, F):
    student, teacher, optimizer = student_and_teacher(nn)
    for x, _ in classified():
        update(optimizer, F.js_div(student(x).log_softmax(1), teacher(x).detach().softmax(1)))


@wrong_with_lossmith("kl-target-not-probability", raises=RuntimeError)
def probabilities_as_logarithms(nn, F):
    student, teacher, optimizer = student_and_teacher(nn)
    for x, _ in classified():
        wanted = teacher(x).softmax(1)
        loss = F.js_div(student(x).log_softmax(1), wanted, log_target=True, reduction="batchmean")
        update(optimizer, loss)


@wrong_with_lossmith("softmax-wrong-dim")
def a_softmax_over_the_batch(nn, F):
    student, teacher, optimizer = student_and_teacher(nn)
    for x, _ in classified():
        wanted = teacher(x).detach().softmax(1)
        update(optimizer, F.js_div(student(x).log_softmax(0), wanted, reduction="batchmean"))


# ----- critics and samples -----


@wrong_with_lossmith("critic-squashed")
def a_discriminator_as_critic(nn, F):
    critic = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1), nn.Sigmoid())
    criterion = nn.WassersteinCriticLoss()
    optimizer = torch.optim.SGD(critic.parameters(), lr=0.01)
    for _ in range(6):
        update(optimizer, criterion(critic(torch.randn(8, 3)), critic(1 + torch.randn(8, 3))))


@wrong_with_lossmith("critic-squashed")
def a_critic_behind_tanh(nn, F):
    critic = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(critic.parameters(), lr=0.01)
    for _ in range(6):
        fake, real = critic(torch.randn(8, 3)), critic(1 + torch.randn(8, 3))
        update(optimizer, F.wasserstein_critic_loss(fake.tanh().squeeze(1), real.tanh().squeeze(1)))


@wrong_with_lossmith("outer-broadcast")
def scores_of_two_shapes(nn, F):
    critic = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(critic.parameters(), lr=0.01)
    for _ in range(6):
        update(optimizer, F.wasserstein_critic_loss(critic(torch.randn(8, 3)), critic(torch.randn(8, 3)).squeeze(1)))


@wrong_with_lossmith("outer-broadcast")
def each_sample_a_distribution(nn, F):
    generator = nn.Linear(2, 1)
    criterion = nn.WassersteinLoss()
    optimizer = torch.optim.SGD(generator.parameters(), lr=0.01)
    for _ in range(6):
        update(optimizer, criterion(generator(torch.randn(16, 2)), torch.randn(16, 1)))


@wrong_with_lossmith("outer-broadcast")
def agreement_of_a_column_and_a_row(nn, F):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for x, y in measured():
        loss = F.js_div(model(x).sigmoid().log(), y.sigmoid(), reduction="sum")
        update(optimizer, loss)


# ----- numbers -----


@wrong_with_lossmith("outer-broadcast")
def a_quantile_of_all_targets(nn, F):
    model = nn.Linear(4, 1)
    criterion = nn.QuantileLoss(0.9)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for x, y in measured():
        update(optimizer, criterion(model(x), y))


@wrong_with_lossmith("outer-broadcast")
def a_centre_of_all_targets(nn, F):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for x, y in measured():
        update(optimizer, F.log_cosh_loss(model(x), y) + 0 * F.charbonnier_loss(model(x).squeeze(1), y))


@wrong_with_lossmith("quantiles-cross")
def quantiles_that_hardly_learn(nn, F):
    model = nn.Linear(4, 3)
    criterion = nn.QuantileLoss((0.1, 0.5, 0.9))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-5)
    for x, y in measured(steps=1100):
        update(optimizer, criterion(model(x), y))


@wrong_with_lossmith("quantiles-cross")
def outputs_in_another_order_than_the_quantiles(nn, F):
    """The low quantile is made of the high one, downwards, and given first as if it were the high one."""
    model = nn.Linear(4, 2)
    quantiles = torch.tensor([0.9, 0.1])
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for x, y in measured(steps=1100):
        low, width = model(x).unbind(-1)
        update(optimizer, F.quantile_loss(torch.stack([low, low + F.softplus(width)], -1), y, quantiles))


@wrong_with_lossmith("swapped-arguments")
def the_target_of_a_quantile_comes_first(nn, F):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for x, y in measured():
        update(optimizer, F.quantile_loss(y, model(x).squeeze(1), 0.9))


@wrong_with_lossmith("swapped-arguments")
def the_target_of_a_smooth_error_comes_first(nn, F):
    model = nn.Linear(4, 1)
    criterion = nn.CharbonnierLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for x, y in measured():
        update(optimizer, criterion(y, model(x).squeeze(1)))


@wrong_with_lossmith("unscaled-regression-target")
def prices_by_log_cosh(nn, F):
    model = nn.Linear(4, 1)
    criterion = nn.LogCoshLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for x, y in measured():
        update(optimizer, criterion(model(x).squeeze(1), 2e5 + 5e4 * y))


@wrong_with_lossmith("half-overflow", beside=("loss-not-finite",))
def half_precision_by_quantiles(nn, F):
    model = nn.Linear(4, 1).half()
    for x, y in measured():
        loss = F.quantile_loss(model(x.half()).squeeze(1), (4e4 + y).half(), 0.5, reduction="sum")
        loss.backward()
