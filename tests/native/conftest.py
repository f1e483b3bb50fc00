"""What every test of the kernels runs under: results poisoned with NaN, a choice of instruction set."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import torch

from kernels import KERNEL_CASES, poisoned_memory, ran
from lossmith import backend
from lossmith.native import core, missing

ISAS: Sequence[str] = core.available() if core else ("none",)

SIMILARITIES = ("arcface_loss", "cosface_loss", "info_nce_loss", "siglip_loss", "supcon_loss")
"""Losses whose kernels run on tiles of similarities, between products of vectors that torch makes."""
SIMILARITY_CASES = [case for case in KERNEL_CASES if case.loss in SIMILARITIES]
AROUND = ("wasserstein_loss-root", "wasserstein_loss-sliced, p 2")
"""Cases of which a part is torch's: the root of the kernel's losses, projections before it."""
WHOLE_CASES = [case for case in KERNEL_CASES if case.loss not in SIMILARITIES and str(case) not in AROUND]
"""The cases whose losses are one call of a kernel, on the tensors that the caller gave."""


each_whole_case = pytest.mark.parametrize("case", WHOLE_CASES, ids=str)
each_isa = pytest.mark.parametrize("isa", ISAS, indirect=True)


@pytest.fixture(autouse=True)
def kernels() -> None:
    if core is None:
        pytest.skip(f"no kernels to test: {missing}")


@pytest.fixture(autouse=True)
def poisoned(kernels: None) -> Iterator[None]:
    with poisoned_memory():
        yield


@pytest.fixture
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    with instruction_set(request.param):
        yield request.param


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets torch's number of threads."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def kernel_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[Any, ...]]]:
    """Every call of a kernel: its name and its arguments."""
    calls: list[tuple[str, tuple[Any, ...]]] = []

    def spy(name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            # lists as they are now: the caller goes on to fill them
            calls.append((name, tuple(list(a) if isinstance(a, list) else a for a in args)))
            return kernel(*args)

        return call

    for name in ("pointwise", "rowwise", "pairwise", "lattice", "transport", "overlap", "triplets"):
        monkeypatch.setattr(core, name, spy(name, getattr(core, name)))
    return calls


@contextmanager
def instruction_set(name: str) -> Iterator[None]:
    before = core.isa()
    core.use_isa(name)
    try:
        yield
    finally:
        core.use_isa(before)


def ran_natively() -> AbstractContextManager[list[backend.Dispatch]]:
    return ran("native")
