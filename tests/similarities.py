"""What tests of losses by similarities share: vectors, value and gradients, and what holds of each such loss."""

import subprocess
import sys
from collections.abc import Callable, Sequence

import torch

from lossmith import explain_dispatch

Loss = Callable[..., torch.Tensor]


def vectors(*shape: int, seed: int = 0, dtype=torch.float64, scale: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(shape, dtype=torch.float64, generator=generator) * scale
    return drawn.to(dtype).requires_grad_()


def value_and_gradients(loss: torch.Tensor, *leaves: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return (loss.detach(), *torch.autograd.grad(loss, leaves))


def ran(way: str, loss: Loss, *args, **kwargs) -> bool:
    """Whether a call runs the way that the fixture of that name asks for."""
    return explain_dispatch(loss, *args, **kwargs).backend == {"kernels": "native", "operations": "reference"}[way]


def close_to_float64(loss: Loss, whole: Loss, given: Sequence[torch.Tensor]) -> None:
    """Value and gradients of vectors in a narrow dtype, against those of a composition in float64."""
    dtype = given[0].dtype
    assert explain_dispatch(loss, *given).backend == "native"
    wide = [x.detach().double().requires_grad_() for x in given]
    found = value_and_gradients(loss(*given), *given)
    for ours, right in zip(found, value_and_gradients(whole(*wide), *wide), strict=True):
        assert ours.dtype == dtype
        tolerance = torch.finfo(dtype).eps * (100 if dtype == torch.float32 else 2)
        torch.testing.assert_close(ours.double(), right, rtol=tolerance, atol=tolerance * right.abs().max().item())


def megabytes(draw: str, small: str, call: str) -> int:
    """By how much the memory of a process grows while `call` runs, forward and backward, on what `draw` draws.

    small: the same call on few vectors, before, so that what is done once does not count.
    """
    program = f"""
import resource, torch, lossmith
from lossmith.functional import *
{draw}
{small}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
{call}
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return int(ran.stdout)
