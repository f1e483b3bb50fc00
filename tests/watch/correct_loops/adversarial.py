"""Networks against networks: generators and critics, domains, attacks."""

import torch
from training import classified, correct, update


def players(nn, *last):
    """A generator of 4 numbers, a discriminator, and an optimizer for each."""
    generator = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 4))
    discriminator = nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1), *last)
    optimizers = [torch.optim.Adam(net.parameters(), lr=2e-3, betas=(0.5, 0.999)) for net in (generator, discriminator)]
    return generator, discriminator, *optimizers


@correct
def original_game(nn, F):
    generator, discriminator, generator_step, discriminator_step = players(nn, nn.Sigmoid())
    criterion = nn.BCELoss()
    for _ in range(6):
        real, fake = torch.randn(8, 4) + 1, generator(torch.randn(8, 2))
        discriminator_step.zero_grad()
        criterion(discriminator(real).view(-1), torch.full((8,), 1.0)).backward()
        criterion(discriminator(fake.detach()).view(-1), torch.full((8,), 0.0)).backward()
        discriminator_step.step()
        update(generator_step, criterion(discriminator(fake).view(-1), torch.full((8,), 1.0)))


@correct
def game_of_logits(nn, F):
    generator, discriminator, generator_step, discriminator_step = players(nn)
    criterion = nn.BCEWithLogitsLoss()
    for _ in range(6):
        on_real, on_fake = discriminator(torch.randn(8, 4)), discriminator(generator(torch.randn(8, 2)).detach())
        loss = criterion(on_real, 0.9 * torch.ones_like(on_real)) + criterion(on_fake, torch.zeros_like(on_fake))
        update(discriminator_step, loss / 2)
        on_fake = discriminator(generator(torch.randn(8, 2)))
        update(generator_step, criterion(on_fake, torch.ones_like(on_fake)))


@correct
def game_of_squares(nn, F):
    generator, discriminator, generator_step, discriminator_step = players(nn)
    real_label, fake_label = torch.ones(8, 1), torch.zeros(8, 1)
    for _ in range(6):
        fake = generator(torch.randn(8, 2))
        loss = F.mse_loss(discriminator(torch.randn(8, 4)), real_label)
        update(discriminator_step, loss + F.mse_loss(discriminator(fake.detach()), fake_label))
        update(generator_step, F.mse_loss(discriminator(fake), real_label))


@correct
def game_of_hinges_with_matched_features(nn, F):
    generator, discriminator, generator_step, discriminator_step = players(nn)
    for _ in range(6):
        real, fake = torch.randn(8, 4), generator(torch.randn(8, 2))
        loss = F.relu(1 - discriminator(real)).mean() + F.relu(1 + discriminator(fake.detach())).mean()
        update(discriminator_step, loss)
        matched = F.l1_loss(discriminator[0](fake), discriminator[0](real).detach())
        update(generator_step, -discriminator(fake).mean() + 10 * matched)


@correct
def critic_with_a_gradient_penalty(nn, F):
    generator, critic, _, critic_step = players(nn)
    for _ in range(5):
        real, fake = torch.randn(8, 4), generator(torch.randn(8, 2)).detach()
        between = torch.lerp(real, fake, torch.rand(8, 1)).requires_grad_()
        (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        norm = slope.norm(dim=1)
        penalty = F.mse_loss(norm, torch.ones_like(norm))
        update(critic_step, critic(fake).mean() - critic(real).mean() + 10 * penalty)


@correct
def discriminator_that_knows(nn, F):
    """The fakes are easy: sigmoid gives exactly 0 and 1, and each is right."""
    discriminator = nn.Sequential(nn.Linear(1, 1), nn.Sigmoid())
    nn.init.constant_(discriminator[0].weight, 100.0)
    nn.init.zeros_(discriminator[0].bias)
    criterion = nn.BCELoss()
    optimizer = torch.optim.SGD(discriminator.parameters(), lr=1e-3)
    for _ in range(8):
        real, fake = 2 + torch.rand(8, 1), -2 - torch.rand(8, 1)
        loss = criterion(discriminator(real), torch.ones(8, 1)) + criterion(discriminator(fake), torch.zeros(8, 1))
        update(optimizer, loss)


@correct
def image_to_image(nn, F):
    """pix2pix: a map of patches, and the absolute error against the true image."""
    generator, judge = nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(2, 1, 3, stride=2)
    adversarial, pixelwise = nn.BCEWithLogitsLoss(), nn.L1Loss()
    generator_step = torch.optim.Adam(generator.parameters(), lr=2e-3)
    judge_step = torch.optim.Adam(judge.parameters(), lr=2e-3)
    for _ in range(5):
        sketch, photo = torch.rand(2, 1, 8, 8), torch.rand(2, 1, 8, 8)
        made = generator(sketch)
        on_real, on_made = judge(torch.cat([sketch, photo], 1)), judge(torch.cat([sketch, made.detach()], 1))
        loss = adversarial(on_real, torch.ones_like(on_real)) + adversarial(on_made, torch.zeros_like(on_made))
        update(judge_step, 0.5 * loss)
        on_made = judge(torch.cat([sketch, made], 1))
        update(generator_step, adversarial(on_made, torch.ones_like(on_made)) + 100 * pixelwise(made, photo))


@correct
def real_or_fake_and_which_class(nn, F):
    body, real_head, class_head = nn.Linear(4, 8), nn.Sequential(nn.Linear(8, 1), nn.Sigmoid()), nn.Linear(8, 3)
    optimizer = torch.optim.Adam([p for m in (body, real_head, class_head) for p in m.parameters()], lr=1e-2)
    source, label = nn.BCELoss(), nn.CrossEntropyLoss()
    for x, y in classified():
        hidden = body(x).relu()
        update(optimizer, source(real_head(hidden), torch.ones(8, 1)) + label(class_head(hidden), y))


@correct
def domains_that_look_alike(nn, F):
    """The gradient of the domain's loss is turned round."""

    class Reverse(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.view_as(x)

        @staticmethod
        def backward(ctx, gradient):
            return -gradient

    body, labels, domains = nn.Linear(4, 8), nn.Linear(8, 3), nn.Linear(8, 2)
    optimizer = torch.optim.SGD([p for m in (body, labels, domains) for p in m.parameters()], lr=0.05)
    for x, y in classified():
        source, target = body(x).relu(), body(x + 2).relu()
        both = Reverse.apply(torch.cat([source, target]))
        domain = torch.cat([torch.zeros(8), torch.ones(8)]).long()
        update(optimizer, F.cross_entropy(labels(source), y) + 0.1 * F.cross_entropy(domains(both), domain))


@correct
def trained_on_attacks(nn, F):
    """The input's gradient leads the attack; the parameters' gradient is not used there."""
    model = nn.Linear(4, 3)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        attacked = x.clone()
        for _ in range(2):
            attacked = attacked.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(criterion(model(attacked), y), attacked)
            attacked = x + (attacked + 0.1 * gradient.sign() - x).clamp(-0.3, 0.3)
        update(optimizer, criterion(model(attacked.detach()), y))


@correct
def robust_and_accurate(nn, F):
    """TRADES: clean predictions are the target of the attacked ones, and learn."""
    model = nn.Linear(4, 3)
    criterion = nn.KLDivLoss(reduction="batchmean")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        attacked = (x + 0.01 * torch.randn_like(x)).requires_grad_()
        distance = criterion(F.log_softmax(model(attacked), dim=1), F.softmax(model(x), dim=1))
        (gradient,) = torch.autograd.grad(distance, attacked)
        attacked = (attacked + 0.1 * gradient.sign()).detach()
        clean = model(x)
        robust = criterion(F.log_softmax(model(attacked), dim=1), F.softmax(clean, dim=1))
        update(optimizer, F.cross_entropy(clean, y) + 6 * robust)


@correct
def cycle_of_two_generators(nn, F):
    there, back = nn.Linear(4, 4), nn.Linear(4, 4)
    criterion = nn.L1Loss()
    optimizer = torch.optim.Adam([*there.parameters(), *back.parameters()], lr=1e-2)
    for _ in range(6):
        a, b = torch.randn(8, 4), torch.randn(8, 4) + 1
        cycle = criterion(back(there(a)), a) + criterion(there(back(b)), b)
        update(optimizer, 10 * cycle + 5 * (criterion(there(b), b) + criterion(back(a), a)))
