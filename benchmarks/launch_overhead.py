"""What a small call on a GPU takes of the host's time, made anew and repeated from its plan.

    python benchmarks/launch_overhead.py

Needs no GPU: Triton's kernels are compiled for one (sm_90) and started by a driver that does nothing, so this is Python
and Triton's host side, without the driver's few microseconds a kernel. Calls run in turns, on a quiet machine; a figure
is the median over the rounds.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import lossmith.functional as F
from gpu.compiled import started
from kernels import made_anew

ROUNDS = 30
CALLS = 40


def calls() -> dict[str, Callable[[], Tensor]]:
    torch.manual_seed(0)
    x, y = torch.randn(64, requires_grad=True), torch.randn(64)
    mask, weight = y > 0, y.abs()
    rows, others, labels = torch.randn(8, 8, requires_grad=True), torch.randn(8, 8), torch.arange(8)
    frames = torch.randn(8, 2, 4, requires_grad=True)
    sequences, sizes, lengths = torch.ones(2, 3, dtype=torch.int64), torch.tensor([8, 8]), torch.tensor([3, 2])
    signs = torch.ones(8)
    return {
        "huber_loss": lambda: F.huber_loss(x, y),
        "huber_loss, mask": lambda: F.huber_loss(x, y, mask=mask),
        "mse_loss, sample_weight": lambda: F.mse_loss(x, y, sample_weight=weight),
        "cross_entropy": lambda: F.cross_entropy(rows, labels),
        "cosine_embedding_loss": lambda: F.cosine_embedding_loss(rows, others, signs),
        "distillation_loss": lambda: F.distillation_loss(rows, others, labels),
        "dice_loss": lambda: F.dice_loss(rows.view(1, 8, 8), labels.view(1, 8)),
        "ctc_loss_with_logits": lambda: F.ctc_loss_with_logits(frames, sequences, sizes, lengths),
        "info_nce_loss (always anew)": lambda: F.info_nce_loss(rows, others),
    }


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    for _ in range(CALLS):
        work()
    return (time.perf_counter() - begin) / CALLS


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Microseconds of a call that is made anew, and of one that is repeated."""
    anew, again = [], []
    for _ in range(ROUNDS):
        with made_anew():
            anew.append(seconds(work))
        again.append(seconds(work))
    return statistics.median(anew) * 1e6, statistics.median(again) * 1e6


def main() -> None:
    torch.set_num_threads(1)
    print(f"{'microseconds a call':30} {'forward':>8} {'again':>6} {'with backward':>14} {'again':>6} {'ratio':>6}")
    with started("sm_90"):
        for name, call in calls().items():
            forward = measured(call)
            both = measured(lambda call=call: call().backward())  # type: ignore[misc]
            figures = f"{forward[0]:8.0f} {forward[1]:6.0f} {both[0]:14.0f} {both[1]:6.0f} {both[0] / both[1]:6.1f}"
            print(f"{name:30} {figures}")


if __name__ == "__main__":
    main()
