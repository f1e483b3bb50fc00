"""Other libraries' kernels for the same losses on a GPU, measured where they are installed."""

import importlib
import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .workloads import Case, Loss


@dataclass(frozen=True)
class Peer:
    """A library that is not torch."""

    title: str
    package: str
    """What pip installs."""
    module: str
    losses: dict[str, str]
    """Names of cases, and of the functions in the module."""

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.module.partition(".")[0]) is not None

    def loss(self, case: Case) -> Loss:
        """The function as a case calls it: with a reduced result, and no other."""
        function: Callable[..., Any] = getattr(importlib.import_module(self.module), self.losses[case.name])

        def call(*args: Tensor, **keywords: Any) -> Tensor:
            found = function(*(_rows(a) if case.layout == "flat" else a for a in args), **keywords)
            value: Tensor = found[0] if isinstance(found, tuple) else found
            return value.mean() if value.dim() else value

        return call


def _rows(flat: Tensor) -> Tensor:
    """A vector as the rows of classes that such functions want."""
    return flat.view(-1, math.gcd(flat.numel(), 1024))


_SMOOTHED = "cross_entropy (smoothed)"

PEERS = {
    "liger": Peer(
        "Liger",
        "liger-kernel",
        "liger_kernel.transformers.functional",
        {"cross_entropy": "liger_cross_entropy", _SMOOTHED: "liger_cross_entropy", "kl_div": "liger_kl_div"},
    ),
    "flag_gems": Peer(
        "FlagGems",
        "flag-gems",
        "flag_gems.ops",
        {"cross_entropy": "cross_entropy_loss", _SMOOTHED: "cross_entropy_loss"},
    ),
    "flash_attn": Peer(
        "flash-attention",
        "flash-attn",
        "flash_attn.ops.triton.cross_entropy",
        {"cross_entropy": "cross_entropy_loss", _SMOOTHED: "cross_entropy_loss"},
    ),
    "quack": Peer("quack", "quack-kernels", "quack.cross_entropy", {"cross_entropy": "cross_entropy"}),
}
"""By the name that `--against` takes."""
