"""Effective bandwidth: the bytes that must move at least, over the time; beside it that of a copy in the same rounds.

At least means: every input is read once and every gradient written once.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .paired import Step
from .steps import forget


def size_of(tensors: Sequence[Tensor]) -> int:
    """Bytes of all of them."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def copied(args: Sequence[Tensor], wanted: Sequence[Tensor]) -> list[Tensor]:
    """What the copy reads: the arguments of the input's shape; labels of whole rows are too few to matter."""
    return [tensor for tensor in args if tensor.shape == wanted[0].shape]


def copy(read: Sequence[Tensor], wanted: Sequence[Tensor]) -> Step:
    """Reads as many tensors as the loss and writes as many gradients, into memory that is as fresh as the loss's.

    It drops the old gradients and leaves new ones on the same tensors, so that allocations and pages are those of a
    step. Where more is read than written, two or three tensors are added up into one.
    """
    groups = [[tensor.detach() for tensor in read[i :: len(wanted)]] for i in range(len(wanted))]
    combine: dict[int, Callable[..., Tensor]] = {1: torch.clone, 2: torch.add, 3: torch.addcmul}

    def step() -> None:
        forget(wanted)
        for tensor, group in zip(wanted, groups, strict=True):
            tensor.grad = combine[len(group)](*group)

    return step
