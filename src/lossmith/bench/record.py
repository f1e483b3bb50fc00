"""A run as JSON: the machine, the settings, and every row."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import torch

import lossmith

from .. import native
from .measure import Row
from .request import Request


@dataclass(frozen=True)
class Record:
    """What goes into benchmarks/results/."""

    command: str
    date: str
    machine: dict[str, Any]
    settings: dict[str, Any]
    rows: tuple[Row, ...]

    @classmethod
    def of(cls, command: str, request: Request, rows: Sequence[Row]) -> Self:
        settings = {
            "dtype": str(request.dtype).removeprefix("torch."),
            "device": str(request.device),
            "seconds_per_row": request.seconds,
        }
        date = datetime.now().astimezone().isoformat(timespec="seconds")
        return cls(command, date, machine(request.device), settings, tuple(rows))

    @property
    def about(self) -> str:
        """Machine, threads, torch, dtype and date, in a line."""
        machine = self.machine
        where = machine.get("gpu") or f"{machine['processor']}, {machine['threads']} threads"
        return f"{where}, torch {machine['torch']}, {self.settings['dtype']}, {self.date.partition('T')[0]}"

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        found = json.loads(path.read_text(encoding="utf-8"))
        return cls(**found | {"rows": tuple(Row.from_json(row) for row in found["rows"])})


def machine(device: torch.device) -> dict[str, Any]:
    """The machine that measures, and the versions on it."""
    found = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
        "system": platform.platform(),
        "instruction_sets": {"torch": torch.backends.cpu.get_cpu_capability(), "lossmith": _native()},
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lossmith": lossmith.__version__,
    }
    if device.type == "cuda":
        found |= {"gpu": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}
    return found


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _native() -> str | None:
    """The instruction set of lossmith's own kernels, where they are built."""
    return None if native.missing else str(native.core.isa())
