"""One distribution to another: moved, told apart by a critic, taught."""

import torch
from training import classified, correct_with_lossmith, measured, update

import lossmith


@correct_with_lossmith
def samples_on_a_line(nn, F):
    generator = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(generator.parameters(), lr=1e-2)
    for _ in range(6):
        update(optimizer, F.wasserstein_loss(generator(torch.randn(64, 2)).squeeze(1), 3 + torch.randn(50), p=2))


@correct_with_lossmith
def histograms_of_ordered_bins(nn, F):
    model, bins = nn.Linear(4, 10), torch.arange(10.0)
    criterion = nn.WassersteinLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        wanted = torch.rand(8, 10)
        update(
            optimizer, criterion(bins.expand(8, 10), bins.expand(8, 10), model(torch.randn(8, 4)).softmax(-1), wanted)
        )


@correct_with_lossmith
def clouds_by_slices(nn, F):
    generator = nn.Linear(2, 3)
    criterion = nn.WassersteinLoss(p=2, projections=16)
    optimizer = torch.optim.Adam(generator.parameters(), lr=1e-2)
    for _ in range(6):
        update(optimizer, criterion(generator(torch.randn(32, 2)), torch.randn(32, 3)))


@correct_with_lossmith
def critic_with_a_penalty(nn, F):
    """WGAN-GP: five steps of the critic for one of the generator."""
    generator, critic = nn.Linear(2, 3), nn.Sequential(nn.Linear(3, 8), nn.LeakyReLU(), nn.Linear(8, 1))
    criterion = nn.WassersteinCriticLoss()
    of_critic = torch.optim.Adam(critic.parameters(), lr=1e-3)
    of_generator = torch.optim.Adam(generator.parameters(), lr=1e-3)
    for step in range(10):
        fake, real = generator(torch.randn(8, 2)).detach(), torch.randn(8, 3)
        update(of_critic, criterion(critic(fake), critic(real), lossmith.gradient_penalty(critic, fake, real)))
        if step % 5 == 4:
            update(of_generator, -critic(generator(torch.randn(8, 2))).mean())


@correct_with_lossmith
def critic_of_bounded_weights(nn, F):
    critic = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(3, 8)), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(critic.parameters(), lr=0.01)
    for _ in range(6):
        update(optimizer, F.wasserstein_critic_loss(critic(torch.randn(8, 3)), critic(1 + torch.randn(8, 3))))


@correct_with_lossmith
def two_views_that_are_to_agree(nn, F):
    """Both sides learn."""
    model = nn.Linear(4, 3)
    criterion = nn.JSDivLoss(reduction="batchmean")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, _ in classified():
        first, second = model(x), model(x + 0.1 * torch.randn_like(x))
        update(optimizer, criterion(first.log_softmax(1), second.softmax(1)))


@correct_with_lossmith
def generalised_distillation(nn, F):
    student, teacher = nn.Linear(4, 3), nn.Linear(4, 3)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    for x, _ in classified():
        wanted = teacher(x).detach().log_softmax(1)
        loss = F.js_div(student(x).log_softmax(1), wanted, log_target=True, beta=0.1, reduction="sum") / len(x)
        update(optimizer, loss)


@correct_with_lossmith
def a_teacher_and_labels(nn, F):
    student, teacher = nn.Linear(4, 3), nn.Linear(4, 3)
    criterion = nn.DistillationLoss(temperature=4.0, alpha=0.7)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    for x, y in classified():
        with torch.no_grad():
            taught = teacher(x)
        update(optimizer, criterion(student(x), taught, y))


@correct_with_lossmith
def a_teacher_of_tokens(nn, F):
    """Padding is ignored, the teacher's part too."""
    student, teacher = nn.Linear(4, 7), nn.Linear(4, 7)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    for _ in range(6):
        x, y = torch.randn(2, 5, 4), torch.randint(7, (2, 5))
        y[1, 3:] = -100
        update(optimizer, F.distillation_loss(student(x), teacher(x).detach(), y, dim=-1))


@correct_with_lossmith
def two_networks_that_teach_each_other(nn, F):
    first, second = nn.Linear(4, 3), nn.Linear(4, 3)
    optimizer = torch.optim.SGD([*first.parameters(), *second.parameters()], lr=0.1)
    for x, _ in measured():
        a, b = first(x), second(x)
        update(optimizer, F.distillation_loss(a, b.detach()) + F.distillation_loss(b, a.detach()))


@correct_with_lossmith
def halves_of_one_batch(nn, F):
    """Student and teacher are parts of one tensor, of which the second is detached."""
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, _ in classified():
        weak, strong = model(torch.cat([x, x + torch.randn_like(x)])).chunk(2)
        update(optimizer, F.distillation_loss(strong, weak.detach()))
