"""Transcriptions without alignment: CTC in batches, alone, with targets in a row, with any blank."""

import torch
from training import correct, update


@correct
def padded_targets(nn, F):
    """Behind each target stands padding that is equal to the blank."""
    model = nn.Linear(6, 5)
    criterion = nn.CTCLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    targets = torch.tensor([[1, 2, 3, 0], [4, 4, 0, 0], [2, 0, 0, 0]])
    for _ in range(5):
        log_p = F.log_softmax(model(torch.randn(10, 3, 6)), dim=2)
        lengths = torch.full((3,), 10, dtype=torch.long)
        update(optimizer, criterion(log_p, targets, lengths, torch.tensor([3, 2, 1])))


@correct
def targets_in_a_row(nn, F):
    model = nn.Linear(6, 5)
    criterion = nn.CTCLoss(blank=0, reduction="sum")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(5):
        log_p = model(torch.randn(10, 3, 6)).log_softmax(-1)
        update(optimizer, criterion(log_p, torch.tensor([1, 2, 3, 4, 4, 2]), (10, 9, 8), (3, 2, 1)) / 3)


@correct
def blank_at_the_end(nn, F):
    """Label 0 is a letter; the blank is the last class."""
    model = nn.Linear(6, 5)
    criterion = nn.CTCLoss(blank=4)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    targets = torch.tensor([[0, 1, 0], [3, 2, 0]])
    for _ in range(5):
        log_p = F.log_softmax(model(torch.randn(10, 2, 6)), dim=-1)
        update(optimizer, criterion(log_p, targets, torch.tensor([10, 10]), torch.tensor([3, 3])))


@correct
def without_a_batch(nn, F):
    model = nn.Linear(6, 5)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(5):
        log_p = F.log_softmax(model(torch.randn(10, 6)), dim=1)
        loss = F.ctc_loss(log_p, torch.tensor([1, 2, 3]), torch.tensor(10), torch.tensor(3))
        update(optimizer, loss)


@correct
def turned_before_the_loss(nn, F):
    """The network works batch first; log-probabilities are turned to time first."""
    rnn, head = nn.GRU(6, 6, batch_first=True), nn.Linear(6, 5)
    criterion = nn.CTCLoss(zero_infinity=True)
    optimizer = torch.optim.Adam([*rnn.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(4):
        log_p = head(rnn(torch.randn(2, 10, 6))[0]).log_softmax(dim=2).permute(1, 0, 2)
        targets = torch.randint(1, 5, (2, 3))
        update(optimizer, criterion(log_p, targets, torch.tensor([10, 8]), torch.tensor([3, 2])))


@correct
def as_many_frames_as_samples(nn, F):
    """T equals N by chance; the layout is right all the same."""
    model = nn.Linear(6, 5)
    criterion = nn.CTCLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(5):
        log_p = F.log_softmax(model(torch.randn(6, 6, 6)), dim=2)
        lengths, target_lengths = torch.full((6,), 6), torch.full((6,), 2)
        update(optimizer, criterion(log_p, torch.randint(1, 5, (6, 2)), lengths, target_lengths))


@correct
def logarithm_of_probabilities(nn, F):
    model = nn.Sequential(nn.Linear(6, 5), nn.Softmax(dim=-1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(5):
        log_p = torch.log(model(torch.randn(10, 2, 6)).clamp_min(1e-7))
        losses = F.ctc_loss(log_p, torch.randint(1, 5, (2, 3)), (10, 10), (3, 3), reduction="none")
        update(optimizer, losses.mean())


@correct
def just_enough_frames(nn, F):
    """A label that repeats needs one frame more; there are exactly as many as needed."""
    model = nn.Linear(6, 5)
    criterion = nn.CTCLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    targets = torch.tensor([[1, 1, 2], [1, 2, 3]])
    for _ in range(5):
        log_p = F.log_softmax(model(torch.randn(4, 2, 6)), dim=2)
        update(optimizer, criterion(log_p, targets, torch.tensor([4, 3]), torch.tensor([3, 3])))


@correct
def empty_targets(nn, F):
    """Silence has no letters."""
    model = nn.Linear(6, 5)
    criterion = nn.CTCLoss(reduction="sum")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(5):
        log_p = F.log_softmax(model(torch.randn(8, 2, 6)), dim=2)
        update(optimizer, criterion(log_p, torch.tensor([[1, 2], [0, 0]]), (8, 8), (2, 0)))


@correct
def beside_cross_entropy(nn, F):
    """A recogniser with both a CTC and an attention head."""
    body, ctc, decoder = nn.Linear(6, 6), nn.Linear(6, 5), nn.Linear(6, 5)
    optimizer = torch.optim.Adam([p for m in (body, ctc, decoder) for p in m.parameters()], lr=1e-2)
    for _ in range(5):
        state, letters = body(torch.randn(10, 2, 6)).relu(), torch.randint(1, 5, (2, 3))
        aligned = F.ctc_loss(F.log_softmax(ctc(state), -1), letters, torch.tensor([10, 10]), torch.tensor([3, 3]))
        attended = F.cross_entropy(decoder(state[:3]).permute(1, 2, 0), letters)
        update(optimizer, 0.3 * aligned + 0.7 * attended)
