"""A loss by any of its names: torch's, with or without a path, its short one, and what other libraries call it."""

import re
from collections.abc import Iterator
from difflib import get_close_matches

from ..facts import Family, Loss
from ..losses import all_losses
from .words import FAMILIES


class UnknownName(ValueError):
    """There is no such loss, or no such family; the message suggests the nearest."""


def find(name: str) -> Loss:
    """The loss of this name, whatever its case, its dashes and the path before it.

    >>> find("torch.nn.functional.huber_loss").name, find("categorical-crossentropy").name
    ('huber_loss', 'cross_entropy')
    """
    known = {key(written): (written, loss) for loss in all_losses().values() for written in names(loss)}
    if wanted := known.get(key(name)):
        return wanted[1]
    near: dict[str, str] = {}
    for match in get_close_matches(key(name), known, n=5):
        written, loss = known[match]
        near.setdefault(loss.name, written)
    meant = f"did you mean {' or '.join(list(near.values())[:3])}?" if near else "lossmith list shows all of them"
    raise UnknownName(f"there is no loss {name!r}; {meant}")


def names(loss: Loss) -> Iterator[str]:
    """All names of a loss: the Module's, the function's, each without its ending too, and the card's aliases."""
    module, function = loss.module.__name__, loss.name
    yield from dict.fromkeys((module, module.removesuffix("Loss"), function, function.removesuffix("_loss")))
    yield from loss.card.aliases


def key(name: str) -> str:
    """What is compared of a name: the letters and digits after the last dot."""
    return re.sub(r"[\W_]", "", name.rpartition(".")[2]).lower()


def family(name: str) -> Family:
    """The family of this name, in English or Chinese, or of a word of it."""
    for found, text in FAMILIES.items():
        words = re.split(r"\W+and\W+|和|与|、", f"{text.en}、{text.zh}")
        if name.strip().lower() in (text.en, text.zh, *words):
            return found
    raise UnknownName(f"there is no family {name!r}; there are: {', '.join(text.en for text in FAMILIES.values())}")
