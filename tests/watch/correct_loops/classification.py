"""One class of several: from scratch, fine-tuned, with soft targets, with experts, with margins."""

import torch
from torch.utils.data import DataLoader, TensorDataset
from training import classified, correct, update


@correct
def from_scratch(nn, F):
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for x, y in classified(steps=12):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()


@correct
def fine_tuned_and_nearly_certain(nn, F):
    """The first loss is far below ln C: the head was trained elsewhere."""
    head = nn.Linear(3, 3)
    with torch.no_grad():
        head.weight.copy_(30 * torch.eye(3))
        head.bias.zero_()
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-5)
    for _ in range(8):
        y = torch.randint(3, (16,))
        features = F.one_hot(y, 3) + 0.05 * torch.randn(16, 3)
        update(optimizer, F.cross_entropy(head(features), y))


@correct
def fine_tuned_with_log_probabilities_of_zero(nn, F):
    """Certain and right: the label's log-probability is 0 and the others' are far below."""
    scale = nn.Parameter(torch.tensor(60.0))
    optimizer = torch.optim.SGD([scale], lr=1e-3)
    for _ in range(8):
        y = torch.randint(4, (8,))
        update(optimizer, F.nll_loss(F.log_softmax(scale * F.one_hot(y, 4), dim=1), y))


@correct
def frozen_backbone(nn, F):
    backbone = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
    for parameter in backbone.parameters():
        parameter.requires_grad = False
    head = nn.Linear(8, 3)
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    for x, y in classified():
        with torch.no_grad():
            features = backbone(x)
        update(optimizer, F.cross_entropy(head(features), y))


@correct
def label_smoothing(nn, F):
    model = nn.Linear(4, 3)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        update(optimizer, criterion(model(x), y))


@correct
def mixup(nn, F):
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        share = torch.distributions.Beta(0.4, 0.4).sample().item()
        other = torch.randperm(len(x))
        logits = model(share * x + (1 - share) * x[other])
        loss = share * F.cross_entropy(logits, y) + (1 - share) * F.cross_entropy(logits, y[other])
        update(optimizer, loss)


@correct
def mixed_labels(nn, F):
    """CutMix with the class probabilities as the target."""
    model = nn.Linear(4, 3)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        share = torch.rand(len(x), 1)
        soft = F.one_hot(y, 3).float()
        soft = share * soft + (1 - share) * soft.flip(0)
        update(optimizer, criterion(model(share * x + (1 - share) * x.flip(0)), soft))


@correct
def one_hot_probabilities(nn, F):
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        update(optimizer, F.cross_entropy(model(x), F.one_hot(y, num_classes=3).to(x.dtype)))


@correct
def class_weights(nn, F):
    model = nn.Linear(4, 3)
    counts = torch.tensor([100.0, 20.0, 5.0])
    criterion = nn.CrossEntropyLoss(weight=counts.sum() / (3 * counts))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        update(optimizer, criterion(model(x), y))


@correct
def class_weights_and_a_last_batch_of_one(nn, F):
    (x, y) = next(classified(n=17))
    loader = DataLoader(TensorDataset(x, y), batch_size=4, shuffle=True)
    model = nn.Linear(4, 3)
    criterion = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        for inputs, labels in loader:
            update(optimizer, criterion(model(inputs), labels))


@correct
def unlabelled_samples_are_ignored(nn, F):
    model = nn.Linear(4, 3)
    criterion = nn.CrossEntropyLoss(ignore_index=-1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        y[::3] = -1
        update(optimizer, criterion(model(x), y))


@correct
def pseudo_labels(nn, F):
    """FixMatch: confident predictions of a weak view are labels for the strong view."""
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        with torch.no_grad():
            confidence, labels = F.softmax(model(x), dim=-1).max(dim=-1)
        unlabelled = F.cross_entropy(model(x + 0.3 * torch.randn_like(x)), labels, reduction="none")
        loss = F.cross_entropy(model(x), y) + (unlabelled * (confidence > 0.6)).mean()
        update(optimizer, loss)


@correct
def nll_of_log_softmax(nn, F):
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    for x, y in classified():
        output = F.log_softmax(model(x), dim=1)
        update(optimizer, F.nll_loss(output, y))


@correct
def nll_after_a_log_softmax_layer(nn, F):
    model = nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(dim=-1))
    criterion = nn.NLLLoss(weight=torch.tensor([1.0, 1.0, 2.0]))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        update(optimizer, criterion(model(x), y))


@correct
def nll_of_the_log_of_probabilities(nn, F):
    """The model gives probabilities, for other uses; the logarithm is taken outside."""
    model = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        probabilities = model(x)
        update(optimizer, F.nll_loss(torch.log(probabilities + 1e-8), y))
        assert torch.allclose(probabilities.sum(1), torch.ones(8))


@correct
def nll_of_a_mixture_of_experts(nn, F):
    experts = nn.ModuleList(nn.Linear(4, 3) for _ in range(4))
    gate = nn.Linear(4, 4)
    optimizer = torch.optim.Adam([*experts.parameters(), *gate.parameters()], lr=1e-2)
    for x, y in classified():
        log_share = F.log_softmax(gate(x), dim=-1)
        log_p = torch.stack([F.log_softmax(expert(x), dim=-1) for expert in experts], dim=1)
        update(optimizer, F.nll_loss(torch.logsumexp(log_share.unsqueeze(-1) + log_p, dim=1), y))


@correct
def nll_of_experts_mixed_as_probabilities(nn, F):
    experts = [nn.Linear(4, 3) for _ in range(2)]
    gate = nn.Linear(4, 2)
    optimizer = torch.optim.Adam([p for part in (*experts, gate) for p in part.parameters()], lr=1e-2)
    for x, y in classified():
        share = gate(x).softmax(-1)
        mixed = sum(share[:, i : i + 1] * expert(x).softmax(-1) for i, expert in enumerate(experts))
        update(optimizer, F.nll_loss(mixed.clamp_min(1e-6).log(), y))


@correct
def nll_of_some_columns(nn, F):
    """The classes of the current task: of all log-probabilities, those that stay do not sum to one."""
    model = nn.Linear(4, 6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified(classes=4):
        log_p = F.log_softmax(model(x), dim=1)
        update(optimizer, F.nll_loss(log_p[:, :4], y))


@correct
def nll_of_two_log_sigmoids(nn, F):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified(classes=2):
        score = model(x)
        update(optimizer, F.nll_loss(torch.cat([F.logsigmoid(-score), F.logsigmoid(score)], dim=1), y))


@correct
def head_that_starts_at_zero(nn, F):
    head = nn.Linear(4, 3)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.05)
    for x, y in classified():
        update(optimizer, F.cross_entropy(head(x), y))


@correct
def zero_logits_while_the_rate_warms_up(nn, F):
    head = nn.Linear(4, 3)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, (step - 5) / 10))
    for x, y in classified(steps=10):
        update(optimizer, F.cross_entropy(head(x), y))
        schedule.step()


@correct
def logits_within_the_unit_interval_by_chance(nn, F):
    """Small weights and a bias of a half: for some batches all logits look like probabilities."""
    model = nn.Linear(4, 3)
    nn.init.normal_(model.weight, std=0.01)
    nn.init.constant_(model.bias, 0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for x, y in classified(steps=15):
        update(optimizer, F.cross_entropy(model(x), y))


@correct
def positive_logits_by_chance(nn, F):
    model = nn.Linear(4, 3)
    nn.init.constant_(model.bias, 30.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for x, y in classified(steps=10):
        update(optimizer, F.cross_entropy(model(x), y))


@correct
def huge_logits_of_raw_features(nn, F):
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    for x, y in classified():
        update(optimizer, F.cross_entropy(model(255 * x), y))


@correct
def margins_on_a_sphere(nn, F):
    """CosFace: scaled cosines, the label's less a margin."""
    body, centres = nn.Linear(4, 8), nn.Parameter(torch.randn(3, 8))
    optimizer = torch.optim.SGD([*body.parameters(), centres], lr=0.01)
    for x, y in classified():
        cosine = F.linear(F.normalize(body(x)), F.normalize(centres))
        update(optimizer, F.cross_entropy(16 * (cosine - 0.35 * F.one_hot(y, 3)), y))


@correct
def cosines_as_logits(nn, F):
    """Without a scale it learns slowly; it is no misuse of the loss."""
    body, centres = nn.Linear(4, 8), nn.Parameter(torch.randn(3, 8))
    optimizer = torch.optim.SGD([*body.parameters(), centres], lr=0.1)
    for x, y in classified():
        update(optimizer, F.cross_entropy(F.normalize(body(x)) @ F.normalize(centres).T, y))


@correct
def distances_to_prototypes(nn, F):
    """Few-shot learning: all logits are negative."""
    embed = nn.Linear(4, 5)
    optimizer = torch.optim.Adam(embed.parameters(), lr=1e-2)
    for _ in range(6):
        support, query = torch.randn(3, 5, 4), torch.randn(3, 2, 4)
        prototypes = embed(support).mean(dim=1)
        distances = torch.cdist(embed(query).flatten(0, 1), prototypes) ** 2
        target = torch.arange(3).repeat_interleave(2)
        update(optimizer, F.cross_entropy(-distances, target))


@correct
def pooled_after_relu(nn, F):
    """As SqueezeNet: the last convolution's ReLU is followed by the average over the image."""
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(8):
        update(optimizer, F.cross_entropy(model(torch.randn(4, 2, 8, 8)), torch.randint(3, (4,))))


@correct
def scores_of_choices(nn, F):
    """One score for each choice, of a head with one output; the choices are the classes."""
    scorer = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 1))
    optimizer = torch.optim.AdamW(scorer.parameters(), lr=1e-2)
    for _ in range(6):
        choices, right = torch.randn(5, 4, 6), torch.randint(4, (5,))
        scores = scorer(choices.view(-1, 6))
        update(optimizer, F.cross_entropy(scores.view(-1, 4), right))


@correct
def sampled_negatives(nn, F):
    """The first candidate is the right one: the target is 0 everywhere."""
    items = nn.Embedding(20, 6)
    user = nn.Linear(4, 6)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam([*items.parameters(), *user.parameters()], lr=1e-2)
    for _ in range(6):
        candidates = items(torch.randint(20, (8, 6)))
        logits = torch.einsum("nd,nkd->nk", user(torch.randn(8, 4)), candidates)
        update(optimizer, criterion(logits, torch.zeros(8, dtype=torch.long)))


@correct
def two_heads(nn, F):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(4, 8)
            self.coarse = nn.Linear(8, 2)
            self.fine = nn.Linear(8, 4)

        def forward(self, x):
            x = torch.relu(self.body(x))
            return self.coarse(x), self.fine(x)

    net = Net()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for x, y in classified(classes=4):
        coarse, fine = net(x)
        update(optimizer, criterion(coarse, y // 2) + 0.5 * criterion(fine, y))


@correct
def logits_beside_probabilities(nn, F):
    """The model returns both; the loss takes the logits, the metric the probabilities."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 3)

        def forward(self, x):
            logits = self.head(x)
            return logits, F.softmax(logits, dim=1)

    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    right = 0
    for x, y in classified():
        logits, probabilities = net(x)
        update(optimizer, F.cross_entropy(logits, y))
        right += (probabilities.argmax(1) == y).sum().item()


@correct
def attention_inside(nn, F):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.key, self.value = (nn.Linear(4, 4) for _ in range(3))
            self.head = nn.Linear(4, 3)

        def forward(self, x):
            weights = torch.softmax(self.query(x) @ self.key(x).transpose(1, 2), dim=-1)
            return self.head((weights @ self.value(x)).mean(1))

    net = Net()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(6):
        update(optimizer, criterion(net(torch.randn(4, 5, 4)), torch.randint(3, (4,))))


@correct
def gated_features(nn, F):
    body, gate, head = nn.Linear(4, 8), nn.Linear(4, 8), nn.Linear(8, 3)
    optimizer = torch.optim.Adam([*body.parameters(), *gate.parameters(), *head.parameters()], lr=1e-2)
    for x, y in classified():
        update(optimizer, F.cross_entropy(head(body(x) * gate(x).sigmoid()), y))


@correct
def evaluated_with_softmax_metrics(nn, F):
    model = nn.Linear(4, 3)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        model.train()
        update(optimizer, criterion(model(x), y))
        model.eval()
        with torch.no_grad():
            logits = model(x)
            _ = criterion(logits, y).item()
            confidence = logits.softmax(dim=1).max(dim=1).values
            _ = ((confidence > 0.5) & (logits.argmax(1) == y)).float().mean().item()


@correct
def calibrated_by_a_temperature(nn, F):
    logits, y = 5 * torch.randn(32, 3), torch.randint(3, (32,))
    temperature = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.LBFGS([temperature], lr=0.1, max_iter=8)

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(logits / temperature, y)
        loss.backward()
        return loss

    optimizer.step(closure)


@correct
def adjusted_by_the_prior(nn, F):
    model = nn.Linear(4, 3)
    prior = torch.tensor([0.7, 0.2, 0.1])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        update(optimizer, F.cross_entropy(model(x) + prior.log(), y))


@correct
def ensemble(nn, F):
    models = [nn.Linear(4, 3) for _ in range(3)]
    optimizer = torch.optim.SGD([p for model in models for p in model.parameters()], lr=0.1)
    for x, y in classified():
        mean_p = torch.stack([F.softmax(model(x), 1) for model in models]).mean(0)
        mean_logits = torch.stack([model(x) for model in models]).mean(0)
        update(optimizer, F.nll_loss(mean_p.log(), y) + F.cross_entropy(mean_logits, y))


@correct
def one_sample_at_a_time(nn, F):
    model = nn.Linear(4, 3)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for x, y in classified(n=1, steps=10):
        update(optimizer, criterion(model(x), y))


@correct
def one_sample_without_a_batch(nn, F):
    model = nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(dim=0))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for x, y in classified(n=1, steps=10):
        update(optimizer, F.nll_loss(model(x[0]), y[0]))


@correct
def one_row_with_its_batch_added_later(nn, F):
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for x, y in classified(n=1, steps=10):
        log_p = F.log_softmax(model(x.squeeze(0)), dim=0)
        update(optimizer, F.nll_loss(log_p.unsqueeze(0), y))


@correct
def hard_examples(nn, F):
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        losses = F.cross_entropy(model(x), y, reduction="none")
        update(optimizer, losses.topk(3).values.mean())


@correct
def focal(nn, F):
    class FocalLoss(nn.Module):
        def __init__(self, gamma=2.0):
            super().__init__()
            self.gamma = gamma

        def forward(self, logits, target):
            log_p = F.cross_entropy(logits, target, reduction="none").neg()
            return -((1 - log_p.exp()) ** self.gamma * log_p).mean()

    model, criterion = nn.Linear(4, 3), FocalLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        update(optimizer, criterion(model(x), y))


@correct
def entropy_minimised(nn, F):
    """The target is the model's own prediction, and learns too."""
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, _ in classified():
        logits = model(x)
        update(optimizer, F.cross_entropy(logits, logits.softmax(dim=1)))


@correct
def multi_class_hinge(nn, F):
    model = nn.Linear(4, 3)
    criterion = nn.MultiMarginLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        update(optimizer, criterion(model(x), y))


@correct
def squared_multi_class_hinge_with_weights(nn, F):
    model = nn.Linear(4, 3)
    weight = torch.tensor([1.0, 2.0, 0.5])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for x, y in classified():
        update(optimizer, F.multi_margin_loss(model(x), y, p=2, margin=0.5, weight=weight))


@correct
def brier_score(nn, F):
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for x, y in classified():
        update(optimizer, F.mse_loss(model(x).softmax(1), F.one_hot(y, 3).float()))


@correct
def ordered_classes(nn, F):
    """CORAL: one logit for each threshold, with a shared slope."""
    slope, thresholds = nn.Linear(4, 1, bias=False), nn.Parameter(torch.tensor([1.0, 0.0, -1.0]))
    optimizer = torch.optim.SGD([*slope.parameters(), thresholds], lr=0.1)
    for x, y in classified(classes=4):
        levels = (y.unsqueeze(1) > torch.arange(3)).float()
        update(optimizer, F.binary_cross_entropy_with_logits(slope(x) + thresholds, levels))


@correct
def many_classes_and_few_seen(nn, F):
    model = nn.Linear(4, 1000)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified(n=4):
        update(optimizer, F.cross_entropy(model(x), y))


@correct
def summed_over_the_batch(nn, F):
    """With a sum, class weights count at batch size 1."""
    model = nn.Linear(4, 3)
    criterion = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]), reduction="sum")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for x, y in classified(n=1, steps=10):
        update(optimizer, criterion(model(x), y))


@correct
def adaptive_softmax(nn, F):
    body = nn.Linear(4, 16)
    head = nn.AdaptiveLogSoftmaxWithLoss(16, 12, cutoffs=[4, 8])
    optimizer = torch.optim.SGD([*body.parameters(), *head.parameters()], lr=0.1)
    for x, y in classified(classes=12):
        update(optimizer, head(body(x), y).loss)
