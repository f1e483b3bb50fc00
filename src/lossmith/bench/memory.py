"""Peak memory: by how many bytes one step raises it above what was there before.

On the CPU that is the process's resident memory, all of it, whoever allocates: Linux keeps its peak (VmHWM) and lets a
process reset it. It is counted in pages, exact to a few hundred kilobytes. On CUDA it is what torch's allocator gave
out.
"""

import ctypes
import gc
import re
from pathlib import Path

import torch

from .paired import Step

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_growth(step: Step, device: torch.device) -> int | None:
    """Bytes at the peak of a step that has run before, over those held before it; None where the system can't say."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    if not _reset():
        return None
    held = _peak()
    step()
    return max(0, _peak() - held)


def _reset() -> bool:
    """Makes the peak what is resident now, without the free pages that malloc keeps: reusing those must count."""
    try:
        getattr(ctypes.CDLL(None), "malloc_trim", lambda pad: 0)(0)  # glibc's
        RESET.write_text("5")
    except (OSError, TypeError):  # no Linux, or no permission
        return False
    return True


def _peak() -> int:
    found = re.search(r"^VmHWM:\s+(\d+) kB$", STATUS.read_text(), re.M)
    assert found, f"{STATUS} has no VmHWM"
    return int(found[1]) * 1024
