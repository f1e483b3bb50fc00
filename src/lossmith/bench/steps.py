"""A training step's share that is timed, in its variants."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .paired import Step
from .workloads import Inputs

VARIANTS = {
    "plain": "forward + backward",
    "forward": "forward alone, of an input that wants a gradient",
    "upstream": "forward + backward with an upstream gradient of 0.37",
    "consumer": "forward + backward, with a second consumer of the input",
    "target": "forward + backward, where the target wants a gradient too",
    "compile": "forward + backward, both inside torch.compile",
}


def forget(tensors: Sequence[Tensor]) -> None:
    """Drops the gradients, as an optimizer's zero_grad does."""
    for tensor in tensors:
        tensor.grad = None


def step(loss: Callable[..., Tensor], inputs: Inputs, variant: str) -> Step:
    """One call and what follows it; the gradients stay until the next step begins."""
    args, keywords, wanted = inputs.args, inputs.keywords, inputs.wanted
    first = wanted[0]
    upstream = torch.tensor(0.37, dtype=first.dtype, device=first.device)

    def forward() -> None:
        forget(wanted)
        loss(*args, **keywords)

    def plain() -> None:
        forget(wanted)
        torch.autograd.backward(loss(*args, **keywords))

    def scaled() -> None:
        forget(wanted)
        torch.autograd.backward(loss(*args, **keywords), upstream)

    def consumer() -> None:
        forget(wanted)
        torch.autograd.backward(loss(*args, **keywords) + 0.1 * first.sum())

    return {"forward": forward, "upstream": scaled, "consumer": consumer}.get(variant, plain)
