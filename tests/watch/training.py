"""How the training loops of these tests are written: as people write them, of either library, seeded and tiny.

A loop is a function of `nn` and `F`, which are torch's but for the losses: those are torch's too, or lossmith's. It
knows nothing of the guard. `CORRECT` and `WRONG` hold all of them, once the packages beside this file are imported.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

import lossmith


@dataclass(frozen=True)
class Library:
    """What a loop gets as `nn` and `F`."""

    name: str
    nn: Any
    F: Any


TORCH = Library("torch", torch.nn, torch.nn.functional)
LOSSMITH = Library(
    "lossmith",
    SimpleNamespace(**vars(torch.nn) | {name: getattr(lossmith, name) for name in lossmith.__all__ if "Loss" in name}),
    SimpleNamespace(
        **vars(torch.nn.functional) | {name: getattr(lossmith.functional, name) for name in lossmith.functional.__all__}
    ),
)


@dataclass(frozen=True)
class Loop:
    """A training loop, and what the guard has to say of it."""

    train: Callable[[Any, Any], None]
    libraries: tuple[Library, ...] = (TORCH, LOSSMITH)
    rule: str | None = None
    """The rule that it breaks; None if it is correct."""
    beside: tuple[str, ...] = ()
    """Other rules that tell the truth about it."""
    raises: type[Exception] | tuple[type[Exception], ...] = ()
    """What the program ends with."""

    def __str__(self) -> str:
        return self.train.__name__

    @property
    def lines(self) -> range:
        source, first = inspect.getsourcelines(self.train)
        return range(first, first + len(source))

    def run(self, library: Library) -> None:
        torch.manual_seed(0)
        self.train(library.nn, library.F)


CORRECT: list[Loop] = []
WRONG: list[Loop] = []


def correct(train: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """Marks a loop in which nothing is to be found."""
    CORRECT.append(Loop(train))
    return train


def correct_with_lossmith(train: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """Marks one that needs what torch's losses lack."""
    CORRECT.append(Loop(train, (LOSSMITH,)))
    return train


def wrong(rule: str, **known: Any) -> Callable[[Callable[[Any, Any], None]], Callable[[Any, Any], None]]:
    """Marks a loop that breaks a rule."""

    def mark(train: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
        WRONG.append(Loop(train, rule=rule, **known))
        return train

    return mark


def wrong_with_lossmith(rule: str, **known: Any) -> Callable[[Callable[[Any, Any], None]], Callable[[Any, Any], None]]:
    """Marks one that needs what torch's losses lack."""
    return wrong(rule, libraries=(LOSSMITH,), **known)


# ----- what most loops need -----


def classified(steps: int = 6, n: int = 8, features: int = 4, classes: int = 3) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of points around a centre for each class, and their labels."""
    centres = 2 * torch.randn(classes, features)
    for _ in range(steps):
        y = torch.randint(classes, (n,))
        yield centres[y] + torch.randn(n, features), y


def measured(steps: int = 6, n: int = 8, features: int = 4) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of points, and a number for each with a mean near 0 and a spread near 1."""
    slope = torch.randn(features) / features**0.5
    for _ in range(steps):
        x = torch.randn(n, features)
        yield x, x @ slope + 0.3 * torch.randn(n)


def update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
