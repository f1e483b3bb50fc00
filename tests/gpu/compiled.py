"""Triton's kernels as real calls start them, compiled to machine code for devices that need not be there."""

import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from kernels import made_anew
from lossmith import backend
from lossmith.loops import launches

MOST_REGISTERS = 255
"""Of a thread on a GPU of NVIDIA's."""
TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}


class Driver:
    """What Triton asks of a device before it starts a kernel there."""

    def __init__(self, target: str) -> None:
        self.target = target

    def get_current_target(self) -> GPUTarget:
        return TARGETS[self.target]

    def get_current_device(self) -> str:
        """Kernels are kept by device."""
        return self.target

    def get_current_stream(self, device: str) -> int:
        return 0


class Launcher(Driver):
    """One that also starts compiled kernels, in that it notes with what."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.started: list[tuple[Any, ...]] = []
        """Of each start the kernel's name, the programs, Triton's numbers of the kernel, and the arguments."""
        self.utils = self

    def get_device_properties(self, device: str) -> dict[str, int]:
        return {"max_shared_mem": 2**20}

    def load_binary(self, name: str, kernel: bytes, shared: int, device: str) -> tuple[None, str, int, int, int]:
        """The module, the function, its registers, its spills, its most threads."""
        return None, name, 0, 0, 1024

    def launcher_cls(self, source: Any, metadata: Any) -> Callable[..., None]:
        def starts(x: int, y: int, z: int, stream: int, name: str, packed: Any, noted: Any, *rest: Any) -> None:
            _, _, *arguments = rest  # hooks
            self.started.append((name, (x, y, z), packed, tuple(arguments)))

        return starts


class Binary(NamedTuple):
    """One kernel in machine code."""

    name: str
    """With what was special about the call."""
    text: str
    """PTX or the assembly of AMD."""
    local_memory: int
    """Bytes a thread: registers that were spilled, arrays that are no registers."""
    full: bool
    """Whether a thread has all the registers that there are. ptxas also spills a few words to take fewer, so that more
    threads run at a time."""


@contextmanager
def started(target: str) -> Iterator[list[tuple[Any, ...]]]:
    """Calls on CPU tensors start kernels as on this device, but those do nothing. What is started is noted."""
    before, launcher = driver._active, Launcher(target)
    driver.set_active(launcher)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "FORCED", "triton")
        patch.setattr(backend, "INTERPRETED", True)
        patch.setattr(launches, "_plans", {})
        try:
            yield launcher.started
        finally:
            driver._active = before


@contextmanager
def only_compiled(target: str) -> Iterator[dict[int, Any]]:
    """Calls on CPU tensors start kernels as on this device, but those are only compiled: results are rubbish."""
    found: dict[int, Any] = {}
    run = JITFunction.run

    def warm_up(kernel: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        compiled = run(kernel, *args, grid=grid, warmup=True, **kwargs)
        found.setdefault(id(compiled), compiled)
        return compiled

    before = driver._active
    driver.set_active(Driver(target))
    with made_anew(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(JITFunction, "run", warm_up)
        patch.setattr(backend, "FORCED", "triton")
        patch.setattr(backend, "INTERPRETED", True)
        try:
            yield found
        finally:
            driver._active = before


def binary(compiled: Any) -> Binary:
    asm = compiled.asm
    if "ptx" in asm:
        return Binary(compiled.name, asm["ptx"], *_resources(asm["cubin"]))
    # scalar registers that are spilled go to lanes of a vector register, not to memory
    sizes = re.findall(r"\.(?:private_segment_fixed_size|vgpr_spill_count): +(\d+)", asm["amdgcn"])
    assert len(sizes) == 2, "AMD's metadata have another form"
    return Binary(compiled.name, asm["amdgcn"], sum(map(int, sizes)), True)


def _resources(cubin: bytes) -> tuple[int, bool]:
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [tool, "--dump-resource-usage", file.name]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+) .*LOCAL:(\d+)", said)
    assert found, said
    return int(found[2]) + int(found[3]), int(found[1]) >= MOST_REGISTERS
