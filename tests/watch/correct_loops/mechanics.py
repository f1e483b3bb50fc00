"""What surrounds a loss: accumulation, autocast, checkpoints, compilers, closures, loaders, wrappers, transforms."""

import copy
import functools

import torch
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset
from training import classified, correct, measured, update


@correct
def gradients_accumulated(nn, F):
    model = nn.Linear(4, 3)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step, (x, y) in enumerate(classified(steps=8, n=2)):
        (criterion(model(x), y) / 4).backward()
        if (step + 1) % 4 == 0:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)


@correct
def autocast_to_bfloat16(nn, F):
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for x, y in classified():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(x)
            loss = F.cross_entropy(logits, y) + 0.1 * F.mse_loss(logits.softmax(1), F.one_hot(y, 3).float())
        update(optimizer, loss)


@correct
def autocast_of_binary_logits(nn, F):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for x, y in classified(classes=2):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = F.binary_cross_entropy_with_logits(model(x).squeeze(1), y.float())
        update(optimizer, loss)


@correct
def weights_of_bfloat16(nn, F):
    model = nn.Linear(4, 3).bfloat16()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        update(optimizer, F.cross_entropy(model(x.bfloat16()).float(), y))


@correct
def half_precision_within_its_range(nn, F):
    model = nn.Linear(4, 1).half()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for x, y in measured():
        update(optimizer, F.mse_loss(model(x.half()).squeeze(1), y.half()))


@correct
def double_precision(nn, F):
    model = nn.Linear(4, 3).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        update(optimizer, F.nll_loss(F.log_softmax(model(x.double()), dim=1), y))


@correct
def checkpointed(nn, F):
    body, head = nn.Sequential(nn.Linear(4, 8), nn.ReLU()), nn.Linear(8, 3)
    optimizer = torch.optim.SGD([*body.parameters(), *head.parameters()], lr=0.1)
    for x, y in classified():
        update(optimizer, F.cross_entropy(head(checkpoint(body, x, use_reentrant=False)), y))


@correct
def checkpointed_to_the_end_by_reentry(nn, F):
    """The whole model is one node of the graph: where its output comes from is not to be seen."""
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3), nn.LogSoftmax(dim=1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        log_p = checkpoint(model, x.requires_grad_(), use_reentrant=True)
        update(optimizer, F.nll_loss(log_p, y))


@correct
def loss_inside_a_checkpoint(nn, F):
    head = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    for x, y in classified():
        loss = checkpoint(lambda x, y: F.cross_entropy(head(x), y), x, y, use_reentrant=False)
        update(optimizer, loss)


@correct
def compiled_model(nn, F):
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    compiled = torch.compile(model, backend="aot_eager")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        update(optimizer, F.cross_entropy(compiled(x), y))


@correct
def compiled_with_its_loss(nn, F):
    model = nn.Linear(4, 3)

    @functools.partial(torch.compile, backend="aot_eager", fullgraph=True)
    def step(x, y):
        return F.cross_entropy(model(x), y)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        update(optimizer, step(x, y))


@correct
def compiled_probabilities_for_nll(nn, F):
    model = nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(dim=-1))
    compiled = torch.compile(model, backend="aot_eager")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        update(optimizer, F.nll_loss(compiled(x), y))


@correct
def second_order_method(nn, F):
    x, y = next(measured(n=32))
    model = nn.Linear(4, 1)
    criterion = nn.MSELoss()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=5, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = criterion(model(x).squeeze(1), y)
        loss.backward()
        return loss

    for _ in range(2):
        optimizer.step(closure)


@correct
def nested_functions(nn, F):
    def make_step(model, optimizer, criterion):
        def train_step(batch):
            inputs, labels = batch

            def compute():
                return criterion(model(inputs), labels)

            update(optimizer, compute())

        return train_step

    model = nn.Linear(4, 3)
    step = make_step(model, torch.optim.SGD(model.parameters(), lr=0.1), functools.partial(F.cross_entropy))
    for batch in classified():
        step(batch)


@correct
def module_with_its_own_steps(nn, F):
    """As Lightning has them: training and validation are methods of the model."""

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(4, 3)
            self.criterion = nn.CrossEntropyLoss()
            self.logged = []

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, index):
            x, y = batch
            loss = self.criterion(self(x), y)
            self.logged.append(loss.detach())
            return {"loss": loss}

        def validation_step(self, batch, index):
            x, y = batch
            logits = self(x)
            self.logged.append(self.criterion(logits, y))
            return logits.softmax(-1).argmax(-1)

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=1e-2)

    model = Classifier()
    optimizer = model.configure_optimizers()
    for _ in range(2):
        for index, batch in enumerate(classified(steps=4)):
            update(optimizer, model.training_step(batch, index)["loss"])
        with torch.inference_mode():
            for index, batch in enumerate(classified(steps=2)):
                model.validation_step(batch, index)


@correct
def loader_with_an_odd_last_batch(nn, F):
    x, y = next(classified(n=21))
    loader = DataLoader(TensorDataset(x, y), batch_size=5, shuffle=True)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.1), nn.Linear(8, 3))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(2):
        running = 0.0
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(inputs), labels)
            loss.backward()
            optimizer.step()
            running += loss.item() * inputs.size(0)
        assert running / 21 > 0, epoch


@correct
def criterion_wrapped(nn, F):
    class Joint(nn.Module):
        def __init__(self, weight=0.5):
            super().__init__()
            self.weight, self.ce, self.mse = weight, nn.CrossEntropyLoss(), nn.MSELoss()

        def forward(self, outputs, targets):
            return self.ce(outputs["class"], targets["class"]) + self.weight * self.mse(
                outputs["size"], targets["size"]
            )

    model, criterion = nn.Linear(4, 4), Joint()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        out = model(x)
        outputs = {"class": out[:, :3], "size": out[:, 3]}
        update(optimizer, criterion(outputs, {"class": y, "size": x.norm(dim=1)}))


@correct
def criterion_extended(nn, F):
    class Scaled(nn.CrossEntropyLoss):
        def forward(self, input, target):
            return 0.5 * super().forward(input / 2, target)

    model, criterion = nn.Linear(4, 3), Scaled(label_smoothing=0.1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        update(optimizer, criterion(model(x), y))


@correct
def criteria_by_name(nn, F):
    criteria = nn.ModuleDict({"l1": nn.L1Loss(), "mse": nn.MSELoss(), "huber": nn.HuberLoss()})
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for x, y in measured():
        out = dict(zip(criteria, model(x).T, strict=True))
        update(optimizer, sum(criterion(out[name], y) for name, criterion in criteria.items()))


@correct
def evaluated_without_no_grad(nn, F):
    """The validation loss carries a graph that nobody uses."""
    model = nn.Linear(4, 3)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        update(optimizer, criterion(model(x), y))
        model.eval()
        assert criterion(model(x), y).item() > 0
        model.train()


@correct
def evaluated_on_stored_outputs(nn, F):
    """Outputs of an epoch are detached, collected and measured at its end."""
    model = nn.Linear(4, 3)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        outputs, labels = [], []
        for x, y in classified(steps=3):
            logits = model(x)
            update(optimizer, criterion(logits, y))
            outputs.append(logits.detach())
            labels.append(y)
        assert criterion(torch.cat(outputs), torch.cat(labels)).item() > 0


@correct
def evaluation_of_a_trained_model(nn, F):
    """No training at all: a loss near 0, in inference mode."""
    model = nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        model.weight.copy_(50 * torch.eye(3))
    for _ in range(6):
        y = torch.randint(3, (8,))
        with torch.inference_mode():
            assert F.cross_entropy(model(F.one_hot(y, 3).float()), y).item() < 1e-3


@correct
def gradient_of_each_sample(nn, F):
    model = nn.Linear(4, 3)
    parameters = dict(model.named_parameters())

    def loss_of_one(parameters, x, y):
        logits = torch.func.functional_call(model, parameters, (x.unsqueeze(0),))
        return F.cross_entropy(logits, y.unsqueeze(0))

    each = torch.func.vmap(torch.func.grad(loss_of_one), in_dims=(None, 0, 0))
    for x, y in classified(steps=4):
        gradients = each({name: p.detach() for name, p in parameters.items()}, x, y)
        with torch.no_grad():
            for name, parameter in parameters.items():
                norm = gradients[name].flatten(1).norm(dim=1).clamp_min(1).view(-1, *[1] * parameter.dim())
                parameter -= 0.1 * (gradients[name] / norm).mean(0)


@correct
def learned_to_learn(nn, F):
    """MAML: the inner step's gradient keeps its graph."""
    model = nn.Linear(4, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for x, y in measured(steps=4):
        parameters = dict(model.named_parameters())

        def loss_with(parameters, x=x, y=y):
            return F.mse_loss(torch.func.functional_call(model, parameters, (x,)).squeeze(1), y)

        gradients = torch.autograd.grad(loss_with(parameters), list(parameters.values()), create_graph=True)
        adapted = {name: p - 0.1 * g for (name, p), g in zip(parameters.items(), gradients, strict=True)}
        update(optimizer, loss_with(adapted))


@correct
def weights_perturbed_and_restored(nn, F):
    """SAM: two passes for one step."""
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        F.cross_entropy(model(x), y).backward()
        before = copy.deepcopy(model.state_dict())
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.05 * parameter.grad / (parameter.grad.norm() + 1e-12)
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        model.load_state_dict(before)
        optimizer.step()
        optimizer.zero_grad()


@correct
def gradient_through_the_loss_twice(nn, F):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for x, y in measured():
        loss = F.mse_loss(model(x).squeeze(1), y)
        gradients = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
        update(optimizer, loss + 0.01 * sum((g**2).sum() for g in gradients))


@correct
def microbatches_of_one_graph(nn, F):
    """The outputs of several calls are joined before the loss."""
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        logits = torch.cat([model(part) for part in x.split(3)])
        update(optimizer, F.cross_entropy(logits, y))


@correct
def anomalies_watched(nn, F):
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified(steps=3):
        with torch.autograd.set_detect_anomaly(True, check_nan=True):
            update(optimizer, F.cross_entropy(model(x), y))


@correct
def losses_added_up_before_one_backward(nn, F):
    model = nn.Linear(4, 3)
    criterion = nn.CrossEntropyLoss(reduction="none")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    total = torch.zeros(())
    for x, y in classified():
        total = total + criterion(model(x), y).sum()
    update(optimizer, total / 48)
