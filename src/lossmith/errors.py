"""What a kernel on a GPU could not raise: it leaves a note on the device, which becomes an error here.

A kernel that meets an invalid label reads no address of it; the row's loss is NaN, its gradient 0. Reading the note
waits for the device, so it is done when someone asks: `check_errors`, or the guard from time to time.
"""

import zlib
from typing import NoReturn

import torch
from torch import Tensor

from .transfer import Transfer

LABEL, LENGTH, NUMBER, EMPTY, IN_SEQUENCE, TOTAL = 1, 2, 3, 4, 5, 6
"""What is noted: a label or a length out of range, a number outside of its domain, a mean of nothing, a label of a
sequence out of range, lengths that do not add up to what there is."""

SIZE = 5
"""A note is its kind (0 for none), the loss's number, the row, what was found there, and what bounds it."""

_notes: dict[torch.device, Tensor] = {}
_losses: dict[int, str] = {}


def note_on(device: torch.device) -> Tensor:
    """The device's note: five int64, which the first kernel that finds something writes."""
    note = _notes.get(device)
    if note is None:
        note = _notes[device] = torch.zeros(SIZE, dtype=torch.int64, device=device)
    return note


def number_of(loss: str) -> int:
    """The number by which a note names a loss: the same in every process, which find each other's compiled kernels."""
    number = zlib.crc32(loss.encode())
    _losses[number] = loss
    return number


def check_errors() -> None:
    """Raises the first error that a kernel on a GPU has noted since the last check, and forgets it.

    On a CPU a label out of range raises at once. On a GPU that would stop the training step until the device has
    caught up; there the row's loss is NaN and its gradient 0, and the error waits to be asked for: here, or by
    `lossmith.guard`. This waits for the devices, so call it once in many steps.

    Raises:
        IndexError: a label was out of range.
        ValueError: nothing counted towards a mean with `on_empty="error"`.
        RuntimeError: a length of CTC was, or a number was outside of its domain (a probability above 1, say).

    Example:
        >>> import lossmith
        >>> lossmith.check_errors() is None  # nothing was noted
        True
    """
    for note in _notes.values():
        sent = Reading(note)
        sent.wait()
        sent.check()


class Reading(Transfer):
    """A device's note on its way to the host."""

    def __init__(self, note: Tensor) -> None:
        self._note = note
        super().__init__(note)

    def check(self) -> None:
        """Raises what it says, and forgets it."""
        found = [int(number) for number in self.tolist()]
        if found[0]:
            self._note.zero_()
            raise_noted(found)


def reading(device: torch.device) -> Reading | None:
    """Sends for a device's note, if there is one."""
    note = _notes.get(device)
    return None if note is None else Reading(note)


def raise_noted(note: list[int]) -> NoReturn:
    """Raises what a note that is not 0 says."""
    kind, loss, row, value, bound = note
    name = _losses[loss]
    if kind == LABEL:
        advice = (
            f"Give the input at least {value + 1} classes, or correct the label"
            if value >= 0
            else f"If it marks rows to leave out, write ignore_index={value} or mask=(target != {value})"
        )
        raise IndexError(
            f"{name}: label {value} in row {row} is out of range: expected 0 to {bound - 1} for {bound} classes; that "
            f"row's loss was NaN and its gradient 0. {advice}"
        )
    if kind == LENGTH:
        raise RuntimeError(
            f"{name}: a length of sample {row} is {value}, expected 0 to {bound}; its loss was NaN and its gradient 0"
        )
    if kind == IN_SEQUENCE:
        advice = (
            f"Give the input at least {value + 1} classes, or correct the label"
            if value >= 0
            else f"If it is padding, target_lengths[{row}] must leave it out"
        )
        raise IndexError(
            f"{name}: label {value} of sample {row} is out of range: expected 0 to {bound - 1} for {bound} classes; "
            f"its loss was NaN and its gradient 0. {advice}"
        )
    if kind == TOTAL:
        raise RuntimeError(
            f"{name}: targets holds {bound} labels, but target_lengths adds up to {value}; the losses were NaN and "
            f"their gradient 0. 1-dimensional targets are the samples' labels one after another, without padding"
        )
    if kind == EMPTY:
        raise ValueError(
            f"{name}: nothing counted towards the mean (every element was ignored or masked, or the weights added up "
            f"to 0), so the loss was NaN; skip such batches, or write on_empty='zero'"
        )
    raise RuntimeError(
        f"{name}: element {row} of operand {value} is outside of the domain of the loss; the loss there was NaN and "
        f"its gradient 0. Run the same batch on the CPU to see the number"
    )
