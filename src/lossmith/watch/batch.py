"""The numbers that rules ask of one call, on their way to the host: nothing waits for a device."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ..rule import Call, Numbers, Rule
from ..transfer import Transfer
from .calls import WatchedCall

Statistic = Callable[[Call], Tensor]

FIRST = 8
"""So many calls from one place are looked at, one after the other."""
RARELY = 1024
"""Then the 16th, 32nd, 64th, ... and at last one in so many."""
LARGE = 2**20
"""Of calls with as many elements only the 1st, 2nd, 4th, ... are looked at: each statistic is a pass over them."""


def due(calls: int) -> bool:
    """Whether this call, counted from 1 at its place, is looked at."""
    return calls <= FIRST or _power_of_two(calls) or calls % RARELY == 0


def readable(call: WatchedCall, calls: int) -> bool:
    """Whether its tensors are plain ones with values, that can be read now without waiting for a device.

    calls: which it is from its place.
    """
    tensors = list(call.tensors())
    if any(type(t) not in (Tensor, torch.nn.Parameter) or t.layout != torch.strided or t.is_meta for t in tensors):
        return False
    if any(t.is_cuda for t in tensors) and (call.error is not None or capturing(tensors[0])):
        return False
    return _power_of_two(calls) or sum(t.numel() for t in tensors) < LARGE


def capturing(tensor: Tensor) -> bool:
    """Whether what is done on the tensor's device is recorded as a graph, in which nothing may be sent to the host."""
    return tensor.is_cuda and torch.cuda.is_current_stream_capturing()


def _power_of_two(number: int) -> bool:
    return number & (number - 1) == 0


class Batch(Transfer):
    """What rules asked of a call that is over; its tensors are not kept alive."""

    def __init__(self, call: Call, rules: Sequence[Rule], answers: Mapping[Statistic, Tensor]) -> None:
        self.call, self._rules = call, rules
        self._position = {statistic: position for position, statistic in enumerate(answers)}
        super().__init__(_gathered(list(answers.values())))

    def numbers(self) -> list[tuple[Rule, Numbers]]:
        """What each rule asked for, by its own names."""
        found = self.tolist()
        return [
            (rule, {name: found[self._position[read]] for name, read in rule.values.reads.items()})
            for rule in self._rules
            if rule.values
        ]


def _gathered(numbers: Sequence[Tensor]) -> Tensor:
    """One small tensor, on the device where the numbers are."""
    if not numbers:
        return torch.empty(0)
    device = next((n.device for n in numbers if n.device.type != "cpu"), numbers[0].device)
    dtype = torch.float32 if device.type == "mps" else torch.float64
    return torch.stack([n.detach().to(device, dtype, non_blocking=True).reshape(()) for n in numbers])
