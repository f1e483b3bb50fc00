"""Classes and labels: activations in front of a loss that has its own, labels that are none, weights that cancel."""

import torch
from torch.utils.checkpoint import checkpoint
from training import classified, update, wrong


def classifier(nn, *last, outputs=3):
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, outputs), *last)
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


# ----- softmax-into-cross-entropy -----


@wrong("softmax-into-cross-entropy")
def softmax_as_the_last_layer(nn, F):
    model, optimizer = classifier(nn, nn.Softmax(dim=1))
    criterion = nn.CrossEntropyLoss()
    for x, y in classified():
        update(optimizer, criterion(model(x), y))


@wrong("softmax-into-cross-entropy")
def softmax_at_the_end_of_forward(nn, F):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(4, 8), nn.Linear(8, 3)

        def forward(self, x):
            x = F.relu(self.fc1(x))
            return F.softmax(self.fc2(x), dim=-1)

    net = Net()
    optimizer = torch.optim.Adam(net.parameters())
    for x, y in classified():
        update(optimizer, F.cross_entropy(net(x), y, label_smoothing=0.1))


@wrong("softmax-into-cross-entropy")
def softmax_of_pixels(nn, F):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Softmax2d())
    criterion = nn.CrossEntropyLoss(ignore_index=255)
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(6):
        update(optimizer, criterion(model(torch.randn(2, 3, 6, 6)), torch.randint(4, (2, 6, 6))))


@wrong("softmax-into-cross-entropy")
def softmax_of_tokens_flattened(nn, F):
    embed, head = nn.Embedding(9, 6), nn.Linear(6, 9)
    optimizer = torch.optim.Adam([*embed.parameters(), *head.parameters()])
    for _ in range(6):
        tokens = torch.randint(9, (3, 5))
        p = head(embed(tokens)).softmax(dim=-1)
        update(optimizer, F.cross_entropy(p.view(-1, 9), tokens.roll(-1, 1).view(-1)))


@wrong("softmax-into-cross-entropy")
def softmax_written_out(nn, F):
    """No node of the graph is called softmax: the values tell."""
    model, optimizer = classifier(nn)
    for x, y in classified(steps=15):
        exponentials = model(x).exp()
        update(optimizer, F.cross_entropy(exponentials / exponentials.sum(1, keepdim=True), y))


@wrong("softmax-into-cross-entropy")
def softmax_in_a_reentrant_checkpoint(nn, F):
    model, optimizer = classifier(nn, nn.Softmax(dim=1))
    criterion = nn.CrossEntropyLoss()
    for x, y in classified(steps=15):
        update(optimizer, criterion(checkpoint(model, x.requires_grad_(), use_reentrant=True), y))


@wrong("softmax-into-cross-entropy")
def softmax_in_a_compiled_model(nn, F):
    model, optimizer = classifier(nn, nn.Softmax(dim=1))
    compiled = torch.compile(model, backend="aot_eager")
    for x, y in classified(steps=15):
        update(optimizer, F.cross_entropy(compiled(x), y))


@wrong("softmax-into-cross-entropy")
def softmax_in_an_evaluation(nn, F):
    """Only the validation loss is wrong; its probabilities were made under no_grad and have no graph."""
    model, optimizer = classifier(nn)
    criterion = nn.CrossEntropyLoss()
    for x, y in classified(steps=15):
        update(optimizer, criterion(model(x), y))
        with torch.no_grad():
            p = torch.softmax(model(x), dim=1)
        assert criterion(p, y).item() > 0


@wrong("softmax-into-cross-entropy")
def softmax_where_the_mask_says(nn, F):
    head = nn.Linear(4, 5)
    optimizer = torch.optim.Adam(head.parameters())
    for _ in range(6):
        mask = torch.arange(7) < torch.tensor([[7], [5], [2]])
        p, tags = torch.softmax(head(torch.randn(3, 7, 4)), dim=2), torch.randint(5, (3, 7))
        update(optimizer, F.cross_entropy(p[mask], tags[mask]))


@wrong("softmax-into-cross-entropy")
def softmax_under_autocast_against_soft_labels(nn, F):
    model, optimizer = classifier(nn, nn.Softmax(dim=1))
    criterion = nn.CrossEntropyLoss()
    for x, y in classified():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            p = model(x)
        update(optimizer, criterion(p.float(), 0.9 * F.one_hot(y, 3) + 0.1 / 3))


# ----- log-softmax-into-cross-entropy -----


@wrong("log-softmax-into-cross-entropy")
def log_softmax_as_the_last_layer(nn, F):
    model, optimizer = classifier(nn, nn.LogSoftmax(dim=1))
    criterion = nn.CrossEntropyLoss()
    for x, y in classified():
        update(optimizer, criterion(model(x), y))


@wrong("log-softmax-into-cross-entropy")
def log_softmax_before_cross_entropy(nn, F):
    model, optimizer = classifier(nn)
    for x, y in classified():
        output = F.log_softmax(model(x), dim=-1)
        update(optimizer, F.cross_entropy(output, y))


# ----- sigmoid-into-cross-entropy -----


@wrong("sigmoid-into-cross-entropy")
def sigmoid_as_the_last_layer(nn, F):
    model, optimizer = classifier(nn, nn.Sigmoid())
    criterion = nn.CrossEntropyLoss()
    for x, y in classified():
        update(optimizer, criterion(model(x), y))


@wrong("sigmoid-into-cross-entropy")
def sigmoid_of_two_outputs(nn, F):
    model, optimizer = classifier(nn, outputs=2)
    for x, y in classified(classes=2):
        update(optimizer, F.cross_entropy(torch.sigmoid(model(x)), y, weight=torch.tensor([1.0, 3.0])))


# ----- sigmoid-into-bce-with-logits -----


@wrong("sigmoid-into-bce-with-logits")
def two_sigmoids(nn, F):
    model, optimizer = classifier(nn, nn.Sigmoid(), outputs=1)
    criterion = nn.BCEWithLogitsLoss()
    for x, y in classified(classes=2):
        update(optimizer, criterion(model(x).squeeze(1), y.float()))


@wrong("sigmoid-into-bce-with-logits")
def two_sigmoids_for_a_mask(nn, F):
    model = nn.Conv2d(3, 1, 1)
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(6):
        p, mask = torch.sigmoid(model(torch.randn(2, 3, 6, 6))), torch.randint(2, (2, 1, 6, 6)).float()
        update(optimizer, F.binary_cross_entropy_with_logits(p, mask, pos_weight=torch.tensor(2.0)))


@wrong("sigmoid-into-bce-with-logits")
def two_sigmoids_of_a_reentrant_checkpoint(nn, F):
    """Confident outputs that never leave the unit interval: the values tell."""
    model, optimizer = classifier(nn, nn.Sigmoid(), outputs=5)
    nn.init.normal_(model[2].weight, std=3.0)
    for x, _ in classified(steps=15, n=32):
        p = checkpoint(model, x.requires_grad_(), use_reentrant=True)
        update(optimizer, F.binary_cross_entropy_with_logits(p, torch.randint(2, (32, 5)).float()))


# ----- relu-before-logits -----


@wrong("relu-before-logits")
def relu_as_the_last_layer(nn, F):
    model, optimizer = classifier(nn, nn.ReLU())
    criterion = nn.CrossEntropyLoss()
    for x, y in classified():
        update(optimizer, criterion(model(x), y))


@wrong("relu-before-logits")
def relu_of_every_layer(nn, F):
    """A loop over the layers spares none, the last one neither."""
    layers = nn.ModuleList([nn.Linear(4, 8), nn.Linear(8, 3)])
    optimizer = torch.optim.SGD(layers.parameters(), lr=0.1)
    for x, y in classified():
        for layer in layers:
            x = F.relu(layer(x))
        update(optimizer, F.cross_entropy(x, y))


@wrong("relu-before-logits")
def relu_before_bce_with_logits(nn, F):
    model, optimizer = classifier(nn, nn.ReLU(), outputs=1)
    criterion = nn.BCEWithLogitsLoss()
    for x, y in classified(classes=2):
        update(optimizer, criterion(model(x), y.float().unsqueeze(1)))


# ----- softmax-wrong-dim -----


@wrong("softmax-wrong-dim")
def log_softmax_over_the_batch(nn, F):
    model, optimizer = classifier(nn, nn.LogSoftmax(dim=0))
    criterion = nn.NLLLoss()
    for x, y in classified():
        update(optimizer, criterion(model(x), y))


@wrong("softmax-wrong-dim")
def log_softmax_over_the_sequence(nn, F):
    """(N, T, V) over dim 1 is the time."""
    model = nn.Linear(4, 5)
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(6):
        log_p = F.log_softmax(model(torch.randn(3, 6, 4)), dim=1)
        update(optimizer, F.nll_loss(log_p.view(-1, 5), torch.randint(5, (18,))))


@wrong("softmax-wrong-dim")
def log_softmax_over_the_rows_of_an_image(nn, F):
    """The last dimension of an image is no class."""
    model = nn.Conv2d(3, 4, 1)
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(6):
        log_p = F.log_softmax(model(torch.randn(2, 3, 6, 6)), dim=-1)
        update(optimizer, F.nll_loss(log_p, torch.randint(4, (2, 6, 6))))


@wrong("softmax-wrong-dim")
def log_softmax_without_a_dim(nn, F):
    """For three dimensions torch takes the first."""
    model = nn.Linear(4, 5)
    log_softmax = nn.LogSoftmax()
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(6):
        log_p = log_softmax(model(torch.randn(3, 6, 4)))
        update(optimizer, F.nll_loss(log_p.transpose(1, 2), torch.randint(5, (3, 6))))


# ----- probabilities-into-nll -----


@wrong("probabilities-into-nll")
def probabilities_into_nll(nn, F):
    model, optimizer = classifier(nn, nn.Softmax(dim=1))
    criterion = nn.NLLLoss()
    for x, y in classified():
        update(optimizer, criterion(model(x), y))


@wrong("probabilities-into-nll")
def softmax_where_log_softmax_was_meant(nn, F):
    model, optimizer = classifier(nn)
    for x, y in classified():
        update(optimizer, F.nll_loss(F.softmax(model(x), dim=-1), y))


@wrong("probabilities-into-nll")
def mixed_probabilities_into_nll(nn, F):
    """A mean of two softmaxes: the values tell."""
    (a, _), (b, _) = classifier(nn), classifier(nn)
    optimizer = torch.optim.SGD([*a.parameters(), *b.parameters()], lr=0.1)
    for x, y in classified(steps=15):
        update(optimizer, F.nll_loss((a(x).softmax(1) + b(x).softmax(1)) / 2, y))


# ----- logits-into-nll -----


@wrong("logits-into-nll")
def logits_into_nll(nn, F):
    model, optimizer = classifier(nn)
    criterion = nn.NLLLoss()
    for x, y in classified(steps=15):
        update(optimizer, criterion(model(x), y))


@wrong("logits-into-nll")
def logits_of_pixels_into_nll(nn, F):
    model = nn.Conv2d(3, 4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(15):
        update(optimizer, F.nll_loss(model(torch.randn(2, 3, 6, 6)), torch.randint(4, (2, 6, 6))))


# ----- logits-into-bce -----


@wrong("logits-into-bce", raises=(RuntimeError, ValueError))
def logits_into_bce(nn, F):
    model, optimizer = classifier(nn, outputs=1)
    criterion = nn.BCELoss()
    for x, y in classified(classes=2):
        update(optimizer, criterion(model(x).squeeze(1), y.float()))


@wrong("logits-into-bce", raises=(RuntimeError, ValueError))
def tanh_into_bce(nn, F):
    model, optimizer = classifier(nn, nn.Tanh(), outputs=4)
    for x, y in classified(classes=4):
        update(optimizer, F.binary_cross_entropy(model(x), F.one_hot(y, 4).float()))


# ----- bce-saturated -----


@wrong("bce-saturated")
def sigmoid_of_unscaled_features(nn, F):
    """Pixels from 0 to 255: sigmoid gives exactly 0 and 1, wrong ones too, and no gradient."""
    model = nn.Sequential(nn.Linear(16, 1), nn.Sigmoid())
    criterion = nn.BCELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    for _ in range(15):
        x, y = 2000 * torch.randn(16, 16), torch.randint(2, (16, 1)).float()
        update(optimizer, criterion(model(x), y))


@wrong("bce-saturated")
def sigmoid_of_a_large_dot_product(nn, F):
    users, items = nn.Embedding(20, 64), nn.Embedding(20, 64)
    for table in (users, items):
        nn.init.normal_(table.weight, std=5.0)
    optimizer = torch.optim.SGD([*users.parameters(), *items.parameters()], lr=1e-3)
    for _ in range(15):
        scores = (users(torch.randint(20, (32,))) * items(torch.randint(20, (32,)))).sum(1)
        update(optimizer, F.binary_cross_entropy(torch.sigmoid(scores), torch.randint(2, (32,)).float()))


# ----- single-logit-cross-entropy -----


@wrong("single-logit-cross-entropy")
def one_output_for_two_classes(nn, F):
    """log_softmax of one number is 0; class 1 would be out of range, so all labels are zeroed."""
    model, optimizer = classifier(nn, outputs=1)
    criterion = nn.CrossEntropyLoss()
    for x, y in classified(classes=2):
        update(optimizer, criterion(model(x), torch.zeros_like(y)))


@wrong("single-logit-cross-entropy")
def one_output_with_a_target_of_its_shape(nn, F):
    """(N, 1) of floats is read as probabilities of one class: the loss is 0 always."""
    model, optimizer = classifier(nn, outputs=1)
    for x, y in classified(classes=2):
        update(optimizer, F.cross_entropy(model(x), y.float().unsqueeze(1)))


# ----- target-not-in-unit-interval -----


@wrong("target-not-in-unit-interval")
def labels_of_minus_one_and_one(nn, F):
    model, optimizer = classifier(nn, outputs=1)
    criterion = nn.BCEWithLogitsLoss()
    for x, y in classified(classes=2):
        update(optimizer, criterion(model(x).squeeze(1), 2.0 * y - 1))


@wrong("target-not-in-unit-interval")
def mask_of_bytes(nn, F):
    """A mask that was read from a PNG: 0 and 255."""
    model = nn.Conv2d(3, 1, 1)
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(6):
        mask = 255.0 * torch.randint(2, (2, 1, 6, 6))
        update(optimizer, F.binary_cross_entropy_with_logits(model(torch.randn(2, 3, 6, 6)), mask))


@wrong("target-not-in-unit-interval")
def padding_of_minus_one(nn, F):
    """Labels padded with -1 are not ignored here."""
    model, optimizer = classifier(nn, outputs=5)
    criterion = nn.MultiLabelSoftMarginLoss()
    for x, _ in classified():
        labels = torch.randint(2, (8, 5)).float()
        labels[:, 3:] = -1
        update(optimizer, criterion(model(x), labels))


@wrong("target-not-in-unit-interval", raises=(RuntimeError, ValueError))
def pixels_to_255_in_bce(nn, F):
    model = nn.Sequential(nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 16), nn.Sigmoid())
    criterion = nn.BCELoss()
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(6):
        x = torch.randint(256, (8, 16)).float()
        update(optimizer, criterion(model(x), x))


# ----- index-target-invalid -----


@wrong("index-target-invalid", raises=IndexError)
def labels_from_one(nn, F):
    model, optimizer = classifier(nn)
    criterion = nn.CrossEntropyLoss()
    for x, y in classified():
        update(optimizer, criterion(model(x), y + 1))


@wrong("index-target-invalid", raises=(RuntimeError, ValueError))
def one_hot_into_nll(nn, F):
    model, optimizer = classifier(nn, nn.LogSoftmax(dim=1))
    for x, y in classified():
        update(optimizer, F.nll_loss(model(x), F.one_hot(y, 3)))


@wrong("index-target-invalid", raises=(RuntimeError, ValueError, TypeError))
def labels_as_floats(nn, F):
    model, optimizer = classifier(nn)
    criterion = nn.CrossEntropyLoss()
    for x, y in classified():
        update(optimizer, criterion(model(x), y.float()))


@wrong("index-target-invalid")
def several_hot_into_multilabel_margin(nn, F):
    """The loss wants the labels' numbers; ones and zeros name the classes 1 and 0."""
    model, optimizer = classifier(nn, outputs=5)
    criterion = nn.MultiLabelMarginLoss()
    for x, _ in classified():
        update(optimizer, criterion(model(x), (torch.rand(8, 5) < 0.4).long()))


@wrong("index-target-invalid", raises=IndexError)
def borders_that_nobody_declared(nn, F):
    """255 marks borders, and ignore_index was left at -100."""
    model = nn.Conv2d(3, 4, 1)
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(6):
        labels = torch.randint(4, (2, 6, 6))
        labels[:, 0] = 255
        update(optimizer, F.cross_entropy(model(torch.randn(2, 3, 6, 6)), labels))


@wrong("index-target-invalid", raises=(RuntimeError, ValueError, TypeError))
def one_hot_of_integers_into_cross_entropy(nn, F):
    model, optimizer = classifier(nn)
    criterion = nn.CrossEntropyLoss()
    for x, y in classified():
        update(optimizer, criterion(model(x), F.one_hot(y, 3)))


@wrong("index-target-invalid", raises=(RuntimeError, ValueError))
def labels_in_a_column(nn, F):
    model, optimizer = classifier(nn)
    for x, y in classified():
        update(optimizer, F.cross_entropy(model(x), y.unsqueeze(1)))


@wrong("index-target-invalid", raises=(IndexError, RuntimeError, ValueError))
def more_classes_than_outputs(nn, F):
    model, optimizer = classifier(nn, outputs=2)
    criterion = nn.MultiMarginLoss()
    for x, y in classified(classes=4):
        update(optimizer, criterion(model(x), y))


# ----- weight-at-batch-size-one -----


@wrong("weight-at-batch-size-one")
def class_weights_one_sample_at_a_time(nn, F):
    model, optimizer = classifier(nn)
    criterion = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 10.0]))
    for x, y in classified(n=1, steps=10):
        update(optimizer, criterion(model(x), y))


@wrong("weight-at-batch-size-one")
def class_weights_with_accumulation(nn, F):
    model, optimizer = classifier(nn, nn.LogSoftmax(dim=1))
    weight = torch.tensor([1.0, 2.0, 10.0])
    for x, y in classified(n=4):
        optimizer.zero_grad()
        for row, label in zip(x.split(1), y.split(1), strict=True):
            (F.nll_loss(model(row), label, weight=weight) / 4).backward()
        optimizer.step()
