"""What the guard costs: a plain call of torch, a call of a loss, and its share of a training step of 20 ms.

    python benchmarks/guard_overhead.py

Measure on a quiet machine. Blocks of calls run without and with the guard in turns; a figure is the median over the
rounds, with its quartiles. The first calls from a place, whose values are read, are told apart.
"""

import itertools
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lossmith
from lossmith.bench.paired import Rounds, Spread, run
from lossmith.watch.batch import FIRST, RARELY
from lossmith.watch.judge import Judge
from lossmith.watch.mode import Watch

SECONDS = 3.0
"""For each figure."""
BLOCK = 200
"""Calls between the two readings of the clock."""
STEP = 0.020
"""Seconds that the training step takes, at least."""
CPU = torch.device("cpu")

Work = Callable[[], object]


def paired(work: Work, calls: int, before: int) -> Rounds:
    """So many calls in a row, without the guard and with one that has seen many from this place before."""
    watch = Watch(Judge(lambda *_: None))

    def plain() -> None:
        for _ in range(calls):
            work()

    def guarded() -> None:
        watch.start()
        plain()
        watch.stop()

    watch.start()
    for _ in range(before):
        work()
    watch.stop()
    return run((plain, guarded), SECONDS, CPU)


def each(rounds: Rounds, calls: int) -> Spread:
    """Microseconds that the guard adds to a call."""
    return Spread.of((guarded - plain) / calls * 1e6 for plain, guarded in rounds.seconds)


def show(name: str, spread: Spread, unit: str) -> None:
    print(f"{name:44s} {spread.median:8.2f} {unit}   ({spread.low:.2f} to {spread.high:.2f})")


def plain_calls() -> dict[str, Work]:
    x, layer, norm = torch.randn(8), nn.Linear(8, 8), nn.BatchNorm1d(8)
    rows = torch.randn(8, 8)
    return {
        "torch.add(x, x)": lambda: torch.add(x, x),
        "x + x": lambda: x + x,
        "x.sum()": lambda: x.sum(),
        "x.view(-1)": lambda: x.view(-1),
        "x.shape": lambda: x.shape,
        "x.detach()": lambda: x.detach(),
        "nn.Linear": lambda: layer(rows),
        "F.relu, which torch writes in Python": lambda: F.relu(x),
        "nn.BatchNorm1d, which looks at its input": lambda: norm(rows),
    }


def losses() -> dict[str, Work]:
    logits = nn.Linear(8, 10)(torch.randn(32, 8))
    labels, ones = torch.arange(32) % 10, torch.rand(32, 10)
    log_p = logits.log_softmax(1)
    lengths = itertools.cycle([logits[:size] for size in range(1, 32)])

    def of_all_lengths() -> Tensor:
        rows = next(lengths)
        return F.cross_entropy(rows, labels[: len(rows)])

    return {
        "F.cross_entropy": lambda: F.cross_entropy(logits, labels),
        "lossmith cross_entropy": lambda: lossmith.functional.cross_entropy(logits, labels),
        "F.nll_loss": lambda: F.nll_loss(log_p, labels),
        "F.mse_loss": lambda: F.mse_loss(logits, ones),
        "F.binary_cross_entropy_with_logits": lambda: F.binary_cross_entropy_with_logits(logits, ones),
        "F.kl_div": lambda: F.kl_div(log_p, ones, reduction="batchmean"),
        "F.triplet_margin_loss": lambda: F.triplet_margin_loss(logits, ones, logits),
        "F.cross_entropy, 31 batch sizes in turn": of_all_lengths,
    }


def training_step(depth: int) -> Work:
    """One of a convolutional network with Adam."""
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, padding=1)]
    for _ in range(depth):
        layers += [nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1)]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
    optimizer, criterion = torch.optim.Adam(model.parameters()), nn.CrossEntropyLoss()
    images, labels = torch.randn(16, 3, 16, 16), torch.arange(16) % 10

    def step() -> None:
        optimizer.zero_grad()
        criterion(model(images), labels).backward()
        optimizer.step()

    return step


def taken(work: Work, calls: int) -> float:
    """Seconds of a call, the first not counted."""
    work()
    start = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - start) / calls


def deep_enough() -> int:
    """Layers that make the step as long as it should be."""
    return next(depth for depth in itertools.count(1) if taken(training_step(depth), 10) > STEP)


def first_calls(rows: int, classes: int) -> float:
    """Milliseconds that the guard adds to each of a place's first calls."""
    logits, labels = torch.randn(rows, classes, requires_grad=True), torch.arange(rows) % classes

    def work() -> Tensor:
        return F.cross_entropy(logits, labels)

    found = []
    for _ in range(7):
        plain = taken(work, FIRST - 1)
        with lossmith.guard("collect"):
            found.append(taken(work, FIRST - 1) - plain)
    return statistics.median(found) * 1e3


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread: what the guard adds\n\nto a call that is no loss")
    for name, work in plain_calls().items():
        show(name, each(paired(work, BLOCK, RARELY), BLOCK), "µs")
    print("\nto a call of a loss")
    for name, work in losses().items():
        show(name, each(paired(work, BLOCK, RARELY), BLOCK), "µs")
    depth = deep_enough()
    print(f"\nto a training step of {depth + 1} convolutions, BatchNorm, ReLU, Adam")
    rounds = paired(training_step(depth), 1, 64)
    show("its time", Spread.of(plain * 1e3 for plain, _ in rounds.seconds), "ms")
    share = rounds.ratio(1, 0)
    show("the guard's share", Spread(*((ratio - 1) * 100 for ratio in (share.median, share.low, share.high))), "% ")
    print(f"\nto each of the first {FIRST} calls from a place, whose values are read")
    for rows, classes in ((32, 10), (1024, 1000), (4096, 4096)):
        print(f"{f'F.cross_entropy, {rows} x {classes}':44s} {first_calls(rows, classes):8.2f} ms")
