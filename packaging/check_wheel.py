"""Looks at a wheel with kernels: its tag, the libraries that it holds, and those that its kernels ask for."""

import io
import sys
import zipfile
from pathlib import Path

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile

SYSTEM = {"libgomp.so.1", "libstdc++.so.6", "libm.so.6", "libgcc_s.so.1", "libc.so.6", "ld-linux-x86-64.so.2"}
"""What the kernels may ask for: the compiler's and the system's, and OpenMP, which torch has loaded by then."""


def needed(library: bytes) -> set[str]:
    """The libraries that a library asks the loader for."""
    sections = ELFFile(io.BytesIO(library)).iter_sections()
    dynamic = (section for section in sections if isinstance(section, DynamicSection))
    return {tag.needed for section in dynamic for tag in section.iter_tags("DT_NEEDED")}


def faults(path: Path) -> list[str]:
    """What is wrong with a wheel."""
    found = []
    if "manylinux" not in path.stem.rpartition("-")[2]:
        found.append(f"its tag is {path.stem.rpartition('-')[2]}, expected one of manylinux")
    with zipfile.ZipFile(path) as wheel:
        libraries = [name for name in wheel.namelist() if ".so" in Path(name).name]
        kernels = [name for name in libraries if name.startswith("lossmith/native/_core.")]
        if others := sorted({*libraries} - {*kernels}):
            found.append(f"it holds {', '.join(others)}, expected no library but the kernels")
        if len(kernels) != 1:
            found.append(f"it holds {len(kernels)} files lossmith/native/_core.*.so, expected one")
        for name in kernels:
            asked = needed(wheel.read(name))
            print(f"{path.name}: {name} needs {', '.join(sorted(asked))}")
            if "libgomp.so.1" not in asked:
                found.append("its kernels do not ask for libgomp.so.1, the OpenMP that torch brings")
            if more := sorted(asked - SYSTEM):
                found.append(f"its kernels ask for {', '.join(more)}")
    return found


if __name__ == "__main__":
    paths = [Path(argument) for argument in sys.argv[1:]]
    said = [f"{path.name}: {fault}" for path in paths for fault in faults(path)]
    sys.exit("\n".join(said) if said else 0 if paths else "packaging/check_wheel.py: name a wheel")
