"""Distributions against distributions: distillation, variational models, clusters, consistency."""

import copy

import torch
from training import classified, correct, update


@correct
def distillation(nn, F):
    teacher, student = nn.Linear(4, 3), nn.Linear(4, 3)
    temperature = 4.0
    criterion = nn.KLDivLoss(reduction="batchmean")
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    for x, y in classified():
        with torch.no_grad():
            wanted = F.softmax(teacher(x) / temperature, dim=1)
        logits = student(x)
        soft = criterion(F.log_softmax(logits / temperature, dim=1), wanted) * temperature**2
        update(optimizer, 0.7 * soft + 0.3 * F.cross_entropy(logits, y))


@correct
def distillation_of_log_targets(nn, F):
    teacher, student = nn.Linear(4, 3), nn.Linear(4, 3)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    for x, _ in classified():
        log_wanted = F.log_softmax(teacher(x), dim=-1).detach()
        loss = F.kl_div(F.log_softmax(student(x), dim=-1), log_wanted, reduction="batchmean", log_target=True)
        update(optimizer, loss)


@correct
def distillation_of_tokens(nn, F):
    """(B, T, V), where padding is masked after the sum over the vocabulary."""
    teacher, student = nn.Linear(4, 7), nn.Linear(4, 7)
    criterion = nn.KLDivLoss(reduction="none")
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    for _ in range(6):
        x, mask = torch.randn(2, 5, 4), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
        losses = criterion(student(x).log_softmax(-1), teacher(x).detach().softmax(-1)).sum(-1)
        update(optimizer, (losses * mask).sum() / mask.sum())


@correct
def distillation_of_maps(nn, F):
    """Distributions over the channels of images: dim=1."""
    teacher, student = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    for _ in range(6):
        x = torch.randn(2, 3, 5, 5)
        wanted = F.softmax(teacher(x).detach(), dim=1)
        update(optimizer, F.kl_div(F.log_softmax(student(x), dim=1), wanted, reduction="sum") / (2 * 25))


@correct
def mutual_learning(nn, F):
    """Each network is the other's teacher."""
    first, second = nn.Linear(4, 3), nn.Linear(4, 3)
    optimizer = torch.optim.SGD([*first.parameters(), *second.parameters()], lr=0.1)
    for x, y in classified():
        a, b = first(x), second(x)
        loss = F.cross_entropy(a, y) + F.cross_entropy(b, y)
        loss = loss + F.kl_div(F.log_softmax(a, 1), F.softmax(b.detach(), 1), reduction="batchmean")
        loss = loss + F.kl_div(F.log_softmax(b, 1), F.softmax(a.detach(), 1), reduction="batchmean")
        update(optimizer, loss)


@correct
def two_passes_of_dropout(nn, F):
    """R-Drop: both sides learn, so both carry a gradient."""
    model = nn.Sequential(nn.Dropout(0.3), nn.Linear(4, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        a, b = model(x), model(x)
        ab = F.kl_div(F.log_softmax(a, dim=-1), F.softmax(b, dim=-1), reduction="sum")
        ba = F.kl_div(F.log_softmax(b, dim=-1), F.softmax(a, dim=-1), reduction="sum")
        update(optimizer, F.cross_entropy(a, y) + (ab + ba) / (2 * len(x)))


@correct
def jensen_shannon(nn, F):
    first, second = nn.Linear(4, 3), nn.Linear(4, 3)
    optimizer = torch.optim.SGD([*first.parameters(), *second.parameters()], lr=0.1)
    for x, _ in classified():
        p, q = first(x).softmax(1), second(x).softmax(1)
        middle = ((p + q) / 2).clamp(1e-7, 1).log()
        loss = F.kl_div(middle, p, reduction="batchmean") + F.kl_div(middle, q, reduction="batchmean")
        update(optimizer, loss / 2)


@correct
def normalised_by_hand(nn, F):
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        logits = model(x)
        log_p = logits - logits.logsumexp(dim=-1, keepdim=True)
        wanted = 0.9 * F.one_hot(y, 3) + 0.1 / 3
        update(optimizer, F.kl_div(log_p, wanted, reduction="batchmean"))


@correct
def posterior_against_a_fixed_prior(nn, F):
    """KL(q | p): q learns and is the target, the logarithm of p is the input and a constant."""
    encoder, decoder = nn.Linear(4, 6), nn.Linear(6, 4)
    log_prior = torch.full((8, 6), 1 / 6).log()
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-2)
    for x, _ in classified():
        q = encoder(x).softmax(-1)
        divergence = F.kl_div(log_prior, q, reduction="batchmean")
        update(optimizer, F.mse_loss(decoder(q), x) + 0.1 * divergence)


@correct
def variational_autoencoder(nn, F):
    encoder, decoder = nn.Linear(16, 8), nn.Linear(4, 16)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)
    for _ in range(6):
        x = torch.rand(8, 16)
        mean, log_variance = encoder(x).chunk(2, dim=1)
        z = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        rebuilt = torch.sigmoid(decoder(z))
        divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum()
        update(optimizer, F.binary_cross_entropy(rebuilt, x, reduction="sum") + divergence)


@correct
def variational_autoencoder_of_real_numbers(nn, F):
    encoder, decoder = nn.Linear(16, 8), nn.Linear(4, 16)
    criterion = nn.MSELoss(reduction="sum")
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)
    for _ in range(6):
        x = torch.randn(8, 16)
        mean, log_variance = encoder(x).chunk(2, dim=1)
        z = torch.distributions.Normal(mean, (log_variance / 2).exp()).rsample()
        divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1)
        update(optimizer, (criterion(decoder(z), x) + divergence.sum()) / len(x))


@correct
def neighbours_in_the_plane(nn, F):
    """t-SNE: both matrices sum to one as a whole, not row by row."""
    x = torch.randn(10, 5)
    p = torch.exp(-(torch.cdist(x, x) ** 2) / 4).fill_diagonal_(0)
    p = p / p.sum()
    places = (0.1 * torch.randn(10, 2)).requires_grad_()
    optimizer = torch.optim.SGD([places], lr=1.0)
    for _ in range(6):
        q = 1 / (1 + ((places[:, None] - places[None]) ** 2).sum(-1))
        q = q * (1 - torch.eye(10))
        q = (q / q.sum()).clamp_min(1e-12)
        update(optimizer, F.kl_div(q.log(), p, reduction="sum"))


@correct
def clusters(nn, F):
    """Deep embedded clustering: soft assignments against their sharpened selves."""
    embed, centres = nn.Linear(4, 3), nn.Parameter(torch.randn(5, 3))
    optimizer = torch.optim.Adam([*embed.parameters(), centres], lr=1e-2)
    for x, _ in classified():
        q = 1 / (1 + torch.cdist(embed(x), centres) ** 2)
        q = q / q.sum(1, keepdim=True)
        sharp = q.detach() ** 2 / q.detach().sum(0)
        update(optimizer, F.kl_div(q.log(), sharp / sharp.sum(1, keepdim=True), reduction="batchmean"))


@correct
def one_distribution_without_a_batch(nn, F):
    logits = nn.Parameter(torch.zeros(5))
    wanted = torch.tensor([0.1, 0.4, 0.2, 0.2, 0.1])
    optimizer = torch.optim.SGD([logits], lr=1.0)
    for _ in range(6):
        update(optimizer, F.kl_div(F.log_softmax(logits, dim=0), wanted, reduction="sum"))


@correct
def relations_of_a_batch_column_by_column(nn, F):
    """Similarities of two modalities, normalised over the first dimension on both sides."""
    texts, images, teacher = nn.Linear(4, 6), nn.Linear(5, 6), torch.randn(6, 6)
    optimizer = torch.optim.Adam([*texts.parameters(), *images.parameters()], lr=1e-2)
    for _ in range(6):
        similarity = texts(torch.randn(6, 4)) @ images(torch.randn(6, 5)).T
        loss = F.kl_div(similarity.log_softmax(0), teacher.softmax(0), reduction="batchmean")
        loss = loss + F.kl_div(similarity.log_softmax(1), teacher.softmax(1), reduction="batchmean")
        update(optimizer, loss)


@correct
def mean_teacher(nn, F):
    """The teacher is a moving average; predictions are compared by their probabilities."""
    student = nn.Linear(4, 3)
    teacher = copy.deepcopy(student).requires_grad_(False)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    for x, y in classified():
        logits = student(x + 0.1 * torch.randn_like(x))
        consistency = F.mse_loss(logits.softmax(1), teacher(x).softmax(1))
        update(optimizer, F.cross_entropy(logits, y) + 10 * consistency)
        with torch.no_grad():
            for old, new in zip(teacher.parameters(), student.parameters(), strict=True):
                old.lerp_(new, 0.01)


@correct
def consistency_of_views(nn, F):
    """Unsupervised data augmentation: sharpened predictions are the target, unsure ones are left out."""
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        with torch.no_grad():
            wanted = torch.softmax(model(x) / 0.4, dim=-1)
        log_p = torch.log_softmax(model(x + 0.3 * torch.randn_like(x)), dim=-1)
        losses = F.kl_div(log_p, wanted, reduction="none").sum(-1)
        sure = wanted.max(-1).values > 0.5
        update(optimizer, F.cross_entropy(model(x), y) + (losses * sure).mean())


@correct
def teacher_and_student_of_themselves(nn, F):
    """DINO: the teacher's centred and sharpened output is a soft target."""
    student = nn.Linear(4, 6)
    teacher, centre = copy.deepcopy(student), torch.zeros(6)
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3)
    for x, _ in classified():
        with torch.no_grad():
            scores = teacher(x)
            target = F.softmax((scores - centre) / 0.04, dim=-1)
            centre = 0.9 * centre + 0.1 * scores.mean(0)
        update(optimizer, F.cross_entropy(student(x + 0.1 * torch.randn_like(x)) / 0.1, target))


@correct
def virtual_adversary(nn, F):
    """A direction that changes the prediction most; the clean prediction is the target."""
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        with torch.no_grad():
            clean = F.softmax(model(x), dim=1)
        direction = (1e-2 * F.normalize(torch.randn_like(x))).requires_grad_()
        distance = F.kl_div(F.log_softmax(model(x + direction), dim=1), clean, reduction="batchmean")
        (gradient,) = torch.autograd.grad(distance, direction)
        log_p = F.log_softmax(model(x + F.normalize(gradient)), dim=1)
        update(optimizer, F.cross_entropy(model(x), y) + F.kl_div(log_p, clean, reduction="batchmean"))


@correct
def features_of_a_teacher(nn, F):
    teacher, student, adapter = nn.Linear(4, 8), nn.Linear(4, 3), nn.Linear(3, 8)
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam([*student.parameters(), *adapter.parameters()], lr=1e-2)
    for x, _ in classified():
        with torch.no_grad():
            hint = teacher(x).relu()
        update(optimizer, criterion(adapter(student(x)), hint))


@correct
def predictions_in_the_mean(nn, F):
    """Learning from proportions: the mean prediction of a bag against the known shares."""
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        share = F.one_hot(y, 3).float().mean(0)
        update(optimizer, F.kl_div(model(x).softmax(1).mean(0).log(), share, reduction="sum"))


@correct
def padded_rows_multiplied_away(nn, F):
    """Rows of padding are 0 on both sides and add nothing."""
    teacher, student = nn.Linear(4, 7), nn.Linear(4, 7)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    for _ in range(6):
        x, mask = torch.randn(2, 5, 4), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]).unsqueeze(-1)
        log_p, wanted = student(x).log_softmax(-1), teacher(x).detach().softmax(-1)
        update(optimizer, F.kl_div(log_p * mask, wanted * mask, reduction="sum") / mask.sum())


@correct
def policies_of_two_ages(nn, F):
    """The normalised logits of a distribution object are logarithms of probabilities."""
    policy = nn.Linear(4, 3)
    old = copy.deepcopy(policy).requires_grad_(False)
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
    for x, y in classified():
        new = torch.distributions.Categorical(logits=policy(x))
        before = torch.distributions.Categorical(logits=old(x))
        divergence = F.kl_div(new.logits, before.probs, reduction="batchmean")
        update(optimizer, divergence - new.log_prob(y).mean())


@correct
def sparse_code(nn, F):
    """The mean activity of each unit against a wanted one, which is the input: it has no gradient and need not."""
    encoder, decoder = nn.Linear(4, 6), nn.Linear(6, 4)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-2)
    for x, _ in classified():
        code = encoder(x).sigmoid()
        wanted = torch.full((6,), 0.05)
        sparsity = F.binary_cross_entropy(wanted, code.mean(0), reduction="sum")
        update(optimizer, F.mse_loss(decoder(code), x) + 0.1 * sparsity)
