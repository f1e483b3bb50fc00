"""Divergences of what are no distributions, or no logarithms, or are averaged over the wrong number."""

import torch
from training import classified, measured, update, wrong


def student_and_teacher(nn):
    student, teacher = nn.Linear(4, 3), nn.Linear(4, 3)
    return student, teacher, torch.optim.SGD(student.parameters(), lr=0.1)


# ----- kl-input-not-log -----


@wrong("kl-input-not-log")
def softmax_on_both_sides(nn, F):
    student, teacher, optimizer = student_and_teacher(nn)
    criterion = nn.KLDivLoss(reduction="batchmean")
    for x, _ in classified():
        wanted = F.softmax(teacher(x).detach() / 2, dim=1)
        update(optimizer, criterion(F.softmax(student(x) / 2, dim=1), wanted))


@wrong("kl-input-not-log")
def logits_against_probabilities(nn, F):
    student, teacher, optimizer = student_and_teacher(nn)
    for x, _ in classified(steps=15):
        wanted = teacher(x).detach().softmax(-1)
        update(optimizer, F.kl_div(student(x), wanted, reduction="sum") / len(x))


@wrong("kl-input-not-log")
def probabilities_without_reduction(nn, F):
    """The logarithm is forgotten for the mean of two passes: the values tell."""
    student, teacher, optimizer = student_and_teacher(nn)
    for x, _ in classified(steps=15):
        p = (student(x).softmax(1) + student(x + 0.1).softmax(1)) / 2
        losses = F.kl_div(p, teacher(x).detach().softmax(1), reduction="none")
        update(optimizer, losses.sum(1).mean())


# ----- kl-target-not-probability -----


@wrong("kl-target-not-probability", beside=("loss-not-finite",))
def log_softmax_on_both_sides(nn, F):
    student, teacher, optimizer = student_and_teacher(nn)
    criterion = nn.KLDivLoss(reduction="batchmean")
    for x, _ in classified():
        log_wanted = F.log_softmax(teacher(x), dim=1).detach()
        update(optimizer, criterion(F.log_softmax(student(x), dim=1), log_wanted))


@wrong("kl-target-not-probability", beside=("loss-not-finite",))
def logits_of_the_teacher(nn, F):
    student, teacher, optimizer = student_and_teacher(nn)
    for x, _ in classified(steps=15):
        with torch.no_grad():
            wanted = teacher(x)
        update(optimizer, F.kl_div(F.log_softmax(student(x), dim=1), wanted, reduction="batchmean"))


@wrong("kl-target-not-probability")
def probabilities_where_log_target_is_set(nn, F):
    student, teacher, optimizer = student_and_teacher(nn)
    criterion = nn.KLDivLoss(reduction="batchmean", log_target=True)
    for x, _ in classified():
        wanted = F.softmax(teacher(x).detach(), dim=1)
        update(optimizer, criterion(F.log_softmax(student(x), dim=1), wanted))


# ----- kl-mean-reduction -----


@wrong("kl-mean-reduction")
def divergence_averaged_over_elements(nn, F):
    student, teacher, optimizer = student_and_teacher(nn)
    criterion = nn.KLDivLoss()
    for x, _ in classified():
        wanted = F.softmax(teacher(x).detach(), dim=1)
        update(optimizer, criterion(F.log_softmax(student(x), dim=1), wanted))


@wrong("kl-mean-reduction")
def distillation_with_the_default_reduction(nn, F):
    student, teacher, optimizer = student_and_teacher(nn)
    for x, y in classified():
        logits = student(x)
        soft = F.kl_div(F.log_softmax(logits / 4, dim=1), F.softmax(teacher(x).detach() / 4, dim=1)) * 16
        update(optimizer, 0.9 * soft + 0.1 * F.cross_entropy(logits, y))


# ----- swapped-arguments -----


@wrong("swapped-arguments", beside=("target-not-in-unit-interval",))
def targets_as_logits(nn, F):
    """binary_cross_entropy_with_logits(target, output): a label as a logit, a logit as a label."""
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified(classes=2):
        update(optimizer, F.binary_cross_entropy_with_logits(y.float(), model(x).squeeze(1)))


@wrong("swapped-arguments", raises=RuntimeError)
def labels_as_probabilities(nn, F):
    """torch's gradient for the target is infinite at labels of 0 and 1: all is NaN after one step."""
    model = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())
    criterion = nn.BCELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    for x, y in classified(classes=2):
        update(optimizer, criterion(y.float(), model(x).squeeze(1)))


@wrong("swapped-arguments")
def smoothed_labels_as_probabilities(nn, F):
    model = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())
    criterion = nn.BCELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified(classes=2):
        update(optimizer, criterion(y.float().clamp(0.01, 0.99), model(x).squeeze(1)))


@wrong("swapped-arguments", beside=("loss-not-finite",))
def counts_as_log_rates(nn, F):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for x, y in measured():
        update(optimizer, F.poisson_nll_loss(torch.poisson(y.exp()), model(x).squeeze(1)))


@wrong("swapped-arguments")
def variance_before_the_target(nn, F):
    model = nn.Linear(4, 2)
    criterion = nn.GaussianNLLLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for x, y in measured():
        mean, raw = model(x).unbind(1)
        update(optimizer, criterion(mean, F.softplus(raw), y.abs()))


@wrong("swapped-arguments", beside=("kl-input-not-log", "kl-target-not-probability", "loss-not-finite"))
def teacher_as_the_input(nn, F):
    student, teacher, optimizer = student_and_teacher(nn)
    criterion = nn.KLDivLoss(reduction="batchmean")
    for x, _ in classified():
        wanted = F.softmax(teacher(x).detach(), dim=1)
        update(optimizer, criterion(wanted, F.log_softmax(student(x), dim=1)))
