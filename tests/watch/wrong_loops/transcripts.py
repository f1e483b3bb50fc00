"""CTC with its dimensions, its logarithms or its lengths confused."""

import torch
from training import update, wrong

ERRORS = (RuntimeError, ValueError, IndexError)


# ----- ctc-layout -----


@wrong("ctc-layout", raises=ERRORS, beside=("ctc-lengths",))
def batch_first(nn, F):
    model = nn.Linear(6, 5)
    criterion = nn.CTCLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        log_p = F.log_softmax(model(torch.randn(3, 10, 6)), dim=2)
        targets = torch.randint(1, 5, (3, 4))
        update(optimizer, criterion(log_p, targets, torch.full((3,), 10), torch.full((3,), 4)))


@wrong("ctc-layout", raises=ERRORS, beside=("ctc-lengths",))
def batch_first_from_a_recurrent_network(nn, F):
    rnn, head = nn.LSTM(6, 8, batch_first=True), nn.Linear(8, 5)
    optimizer = torch.optim.Adam([*rnn.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(6):
        log_p = head(rnn(torch.randn(4, 12, 6))[0]).log_softmax(-1)
        targets = torch.randint(1, 5, (12,))
        update(optimizer, F.ctc_loss(log_p, targets, (12, 12, 12, 12), (3, 3, 3, 3), reduction="sum"))


# ----- ctc-input-not-log -----


@wrong("ctc-input-not-log")
def logits_into_ctc(nn, F):
    model = nn.Linear(6, 5)
    criterion = nn.CTCLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(15):
        targets = torch.randint(1, 5, (3, 4))
        update(optimizer, criterion(model(torch.randn(10, 3, 6)), targets, torch.full((3,), 10), torch.full((3,), 4)))


@wrong("ctc-input-not-log")
def probabilities_into_ctc(nn, F):
    model = nn.Sequential(nn.Linear(6, 5), nn.Softmax(dim=2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        targets = torch.randint(1, 5, (3, 4))
        update(
            optimizer, F.ctc_loss(model(torch.randn(10, 3, 6)), targets, (10, 10, 10), (4, 4, 4), zero_infinity=True)
        )


# ----- ctc-lengths -----


@wrong("ctc-lengths", raises=ERRORS)
def lengths_before_the_pooling(nn, F):
    """The network halves the time; the lengths are those of the recordings."""
    model = nn.Sequential(nn.Conv1d(6, 5, 2, stride=2), nn.LogSoftmax(dim=1))
    criterion = nn.CTCLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        log_p = model(torch.randn(3, 6, 20)).permute(2, 0, 1)
        targets = torch.randint(1, 5, (3, 4))
        update(optimizer, criterion(log_p, targets, torch.tensor([20, 18, 16]), torch.tensor([4, 4, 4])))


@wrong("ctc-lengths")
def blank_as_a_letter(nn, F):
    """The letters are numbered from 0, which is the blank."""
    model = nn.Linear(6, 5)
    criterion = nn.CTCLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    targets = torch.tensor([[0, 1, 2, 3], [3, 0, 2, 1], [2, 3, 1, 0]])
    for _ in range(6):
        log_p = F.log_softmax(model(torch.randn(12, 3, 6)), dim=2)
        update(optimizer, criterion(log_p, targets, torch.tensor([12, 12, 12]), torch.tensor([4, 4, 4])))


@wrong("ctc-lengths", beside=("loss-not-finite",))
def fewer_frames_than_letters(nn, F):
    model = nn.Linear(6, 5)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        log_p = F.log_softmax(model(torch.randn(3, 2, 6)), dim=2)
        targets = torch.tensor([[1, 2, 3, 4], [4, 3, 2, 1]])
        update(optimizer, F.ctc_loss(log_p, targets, (3, 3), (4, 4)))


@wrong("ctc-lengths", beside=("loss-not-finite",))
def no_frame_between_repeated_letters(nn, F):
    """Four letters, four frames; but equal neighbours need a blank between them."""
    model = nn.Linear(6, 5)
    criterion = nn.CTCLoss(blank=4)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    targets = torch.tensor([[1, 1, 2, 2], [3, 3, 0, 0]])
    for _ in range(6):
        log_p = F.log_softmax(model(torch.randn(4, 2, 6)), dim=2)
        update(optimizer, criterion(log_p, targets, torch.tensor([4, 4]), torch.tensor([4, 4])))
