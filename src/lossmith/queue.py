"""A memory of earlier keys, to serve as negatives."""

from typing import Any

import torch
from torch import Tensor

from . import checks


class MemoryQueue(torch.nn.Module):
    """The latest keys of earlier batches, as negatives of the next (the queue of MoCo).

    Keys come in at the end and the oldest leave. They are constants: no gradient flows into them. The queue moves and
    is saved with the model that it is part of.

    Source: He et al., "Momentum Contrast for Unsupervised Visual Representation Learning" (2020), algorithm 1.

    Args:
        size: how many keys are kept at most.
        features: the width of a key.

    >>> import torch, lossmith
    >>> queue = lossmith.MemoryQueue(size=3, features=2)
    >>> criterion = lossmith.InfoNCELoss(temperature=0.5)
    >>> for _ in range(2):
    ...     queries, keys = torch.eye(2), torch.eye(2)
    ...     loss = criterion(queries, keys, negatives=queue.keys)
    ...     queue.push(keys)
    >>> queue.keys  # the oldest of four has left
    tensor([[0., 1.],
            [0., 1.],
            [1., 0.]])
    """

    vectors: Tensor
    pushed: Tensor

    def __init__(self, size: int, features: int) -> None:
        super().__init__()
        if size < 1 or features < 1:
            raise ValueError(f"MemoryQueue: size is {size}, features is {features}, expected numbers of 1 or more")
        self.register_buffer("vectors", torch.zeros(size, features))
        self.register_buffer("pushed", torch.zeros((), dtype=torch.int64))
        self._pushed = 0

    @property
    def keys(self) -> Tensor:
        """The keys, in no particular order: (number kept, features)."""
        return self.vectors[: self._pushed].clone()

    @torch.no_grad()
    def push(self, keys: Tensor) -> None:
        """Takes in the keys (N, features) of a batch; the oldest leave."""
        size, features = self.vectors.shape
        if keys.dim() != 2 or keys.shape[1] != features:
            raise ValueError(f"MemoryQueue: keys is {checks.describe(keys)}, expected (N, {features})")
        latest = keys[-size:].to(self.vectors.dtype)
        places = torch.arange(self._pushed, self._pushed + latest.shape[0], device=self.vectors.device) % size
        self.vectors[places] = latest
        self._pushed += latest.shape[0]
        self.pushed.fill_(self._pushed)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._pushed = int(self.pushed)

    def extra_repr(self) -> str:
        return f"size={self.vectors.shape[0]}, features={self.vectors.shape[1]}"
