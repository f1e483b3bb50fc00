"""Numbers on their way from a device to the host: nothing waits for them."""

import torch
from torch import Tensor


class Transfer:
    """A copy of a small tensor in the host's memory; that of a tensor on the CPU is there at once."""

    def __init__(self, numbers: Tensor) -> None:
        self._event: torch.Event | None = None
        if numbers.device.type in ("cuda", "xpu"):
            host = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
            host.copy_(numbers, non_blocking=True)
            self._event = torch.Event(numbers.device)
            self._event.record()
            numbers = host
        self._numbers = numbers

    def arrived(self) -> bool:
        """Whether the numbers can be looked at without waiting; those of other devices wait for the end."""
        return self._numbers.is_cpu and (self._event is None or bool(self._event.query()))

    def wait(self) -> None:
        if self._event is not None:
            self._event.synchronize()

    def tolist(self) -> list[float]:
        found: list[float] = self._numbers.tolist()
        return found
