"""Losses that are cut off from the model: training runs and teaches nothing, or stops at backward()."""

import torch
from training import classified, measured, wrong


@wrong("loss-detached")
def gradient_asked_for_afterwards(nn, F):
    """backward() complained, so the loss was told to require a gradient."""
    model = nn.Linear(4, 3)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        loss = criterion(model(x).detach(), y)
        loss.requires_grad = True
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@wrong("loss-detached")
def classes_chosen_before_the_loss(nn, F):
    """argmax has no gradient."""
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        prediction = model(x).argmax(dim=1)
        loss = F.mse_loss(prediction.float(), y.float())
        loss.requires_grad_(True)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@wrong("loss-detached", raises=RuntimeError)
def model_run_without_gradients(nn, F):
    """no_grad was left on; the program stops at the first backward()."""
    model = nn.Linear(4, 1)
    criterion = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in measured():
        with torch.no_grad():
            prediction = model(x).squeeze(1)
        optimizer.zero_grad()
        criterion(prediction, y).backward()
        optimizer.step()


@wrong("loss-detached", raises=RuntimeError)
def output_through_numpy(nn, F):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in measured():
        prediction = torch.from_numpy(model(x).detach().numpy().clip(-3, 3)).squeeze(1)
        loss = F.l1_loss(prediction, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@wrong("loss-detached")
def loss_made_anew_of_its_number(nn, F):
    """A new leaf has a gradient of its own and none for the model."""
    model = nn.Linear(4, 3)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in classified():
        loss = criterion(model(x), y)
        optimizer.zero_grad()
        loss = torch.tensor(loss.item(), requires_grad=True)
        loss.backward()
        optimizer.step()
