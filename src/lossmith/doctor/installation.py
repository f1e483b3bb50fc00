"""What is installed and how it is set: versions, kernels, threads, OpenMP, huge pages; and what should be changed."""

import importlib.metadata
import importlib.util
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

import torch

import lossmith

from .. import backend, native

MAPS = Path("/proc/self/maps")
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@dataclass(frozen=True)
class Installation:
    """Findings; what this system does not tell is None."""

    versions: dict[str, str]
    location: str
    """The folder that lossmith is imported from."""
    kernels: str | None
    """The file with the kernels, if there is one."""
    missing: str | None
    """Why there are no kernels."""
    instruction_set: str | None
    """What the kernels use."""
    instruction_sets: tuple[str, ...]
    """What they could use here."""
    backend: str | None
    """LOSSMITH_BACKEND."""
    threads: int
    cores: int
    openmp: tuple[str, ...] | None
    """The OpenMP runtimes in this process, by path."""
    huge_pages: str | None
    """Linux' setting: always, madvise or never."""

    @property
    def broken(self) -> bool:
        """Whether there is a file with kernels that can't be used; that there is none may be meant so."""
        return self.kernels is not None and self.missing is not None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What should be changed, and how."""
        found = []
        if self.missing:
            mend = (
                "Install lossmith again, for this Python and this torch."
                if self.broken
                else "Kernels come with a wheel for this system, or with a C++ compiler and no LOSSMITH_NATIVE=0."
            )
            found.append(
                f"No kernel runs: {self.missing}. The losses are made of torch's operations, which take more time and "
                f"memory. {mend}"
            )
        if self.backend == "reference" and not self.missing:
            found.append("LOSSMITH_BACKEND=reference: no call uses the kernels, except the checks made here.")
        if self.openmp and len(self.openmp) > 1:
            found.append(
                f"{len(self.openmp)} OpenMP runtimes are in this process, {', '.join(self.openmp)}: their threads "
                "compete for the same cores, and a fork may hang. The paths tell which packages bring them: install "
                "these and torch from one source, all from PyPI or all from conda-forge."
            )
        if self.huge_pages == "never":
            found.append(
                "Transparent huge pages are off (never): the first touch of a large result takes longer than the "
                f"arithmetic. As root: echo madvise > {HUGE_PAGES}"
            )
        if self.threads > self.cores:
            found.append(
                f"torch uses {self.threads} threads on {self.cores} cores: they wait for each other. "
                f"Write torch.set_num_threads({self.cores}), or set OMP_NUM_THREADS={self.cores}."
            )
        return tuple(found)


def examine() -> Installation:
    """Looks at this process, this environment and this machine."""
    core, file = native.core, _kernels()
    missing = native.missing if file else native.missing and "they are not built"
    versions = {
        "lossmith": lossmith.__version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "triton": _version("triton"),
    }
    return Installation(
        versions={name: version for name, version in versions.items() if version},
        location=str(Path(lossmith.__file__).parent),
        kernels=file,
        missing=missing or None,
        instruction_set=None if missing else core.isa(),
        instruction_sets=() if missing else tuple(core.available()),
        backend=backend.FORCED or None,
        threads=torch.get_num_threads(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        openmp=openmp_runtimes(MAPS.read_text(errors="replace")) if MAPS.exists() else None,
        huge_pages=huge_pages(HUGE_PAGES.read_text()) if HUGE_PAGES.exists() else None,
    )


def openmp_runtimes(maps: str) -> tuple[str, ...]:
    """The paths of GNU's, LLVM's and Intel's OpenMP among the mapped files that Linux lists."""
    paths = {fields[5] for line in maps.splitlines() if len(fields := line.split(maxsplit=5)) == 6}
    named = re.compile(r".*/lib(gomp|omp|omp5|iomp5)(-[0-9a-f]+)?\.so[^/]*")
    return tuple(sorted(path for path in paths if named.fullmatch(path)))


def huge_pages(enabled: str) -> str | None:
    """The choice in brackets: "always [madvise] never"."""
    found = re.search(r"\[(\w+)\]", enabled)
    return found[1] if found else None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _kernels() -> str | None:
    spec = importlib.util.find_spec("lossmith.native._core")
    return spec.origin if spec else None
