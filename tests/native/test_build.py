"""What was built: today's formulas, one namespace for each instruction set, no library but torch's own OpenMP."""

import hashlib
import re
import shutil
import subprocess
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

import lossmith.losses
from kernels import run_python
from lossmith.formula import cpp
from lossmith.formula.definition import read_formulas
from lossmith.losses import all_losses
from lossmith.native import core

FILES = sorted(Path(lossmith.losses.__file__).parent.glob("*.py"))
X86 = len(core.available()) > 1 if core else False


def output(*command: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is missing")
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


# ----- formulas -----


def test_kernels_were_built_from_todays_formulas():
    text = cpp.header(read_formulas(FILES).values())
    assert core.printed() == hashlib.sha256(text.encode()).hexdigest(), "the kernels are older than a formula: run make"


def test_every_formula_of_every_loss_is_compiled():
    compiled = core.formulas()
    assert compiled.keys() == read_formulas(FILES).keys()
    assert compiled.keys() >= {formula.name for loss in all_losses().values() for formula in loss.formulas}
    assert sorted(compiled.values()) == [*range(len(compiled))]


# ----- instruction sets -----


@cache
def instructions() -> dict[str, set[str]]:
    """Of each function what it uses: avx (vex), a 256-bit register (ymm), a 512-bit register (zmm), a mask (k)."""
    found: dict[str, set[str]] = defaultdict(set)
    name = ""
    for line in output("objdump", "--disassemble", "--demangle", "--no-show-raw-insn", core.__file__).splitlines():
        if line.endswith(">:"):
            name = line[line.index("<") + 1 : -2]
            found[name] |= set()
        elif "\t" in line:
            words = line.split("\t")[-1].strip()
            if words.startswith("v") and not words.startswith("ver"):
                found[name].add("vex")
            for register, kind in (("%ymm", "ymm"), ("%zmm", "zmm"), ("%k", "k")):
                if register in words:
                    found[name].add(kind)
    return found


def namespace(name: str) -> str:
    return next((isa for isa in ("avx512", "avx2", "portable") if f"lossmith::{isa}::" in name), "")


@pytest.mark.skipif(not X86, reason="one instruction set only")
def test_no_instruction_is_outside_of_its_namespace():
    functions = instructions()
    assert any(namespace(name) == "portable" for name in functions), (
        "the module has no symbols, so that its functions can't be told apart: give nanobind_add_module NOSTRIP"
    )
    beyond = {
        "avx512": set(),
        "avx2": {"zmm", "k"},
        "portable": {"vex", "ymm", "zmm", "k"},
        "": {"vex", "ymm", "zmm", "k"},
    }
    wrong = {name: used & beyond[namespace(name)] for name, used in functions.items()}
    assert not {name: used for name, used in wrong.items() if used}


@pytest.mark.skipif(not X86, reason="one instruction set only")
@pytest.mark.parametrize("isa", ["avx2", "avx512"])
def test_every_formula_is_vectorised(isa):
    register = "zmm" if isa == "avx512" else "ymm"
    scalar = []
    for formula in core.formulas():
        blocks = {
            n: used
            for n, used in instructions().items()
            if re.search(rf"lossmith::{isa}::block<.*\b{formula}_formula,", n)
        }
        assert len(blocks) == 6, f"{formula}: float and double, with no, one and all gradients"
        scalar += [name for name, used in blocks.items() if register not in used]
    assert not scalar
    for loop in ("RowwiseCall", "OverlapCall", "PairwiseCall", "LatticeCall"):
        used = [used for name, used in instructions().items() if f"lossmith::{isa}::" in name and loop in name]
        assert any(register in registers for registers in used), loop


# ----- libraries -----


def test_nothing_is_linked_but_openmp_by_its_name():
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", output("readelf", "--dynamic", core.__file__))
    others = [
        n for n in needed if not n.startswith(("libc.", "libm.", "libstdc++.", "libgcc_s.", "libpthread.", "ld-linux"))
    ]
    assert others == ["libgomp.so.1"]
    assert not re.search(r"\((RPATH|RUNPATH)\)", output("readelf", "--dynamic", core.__file__))


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux lists what is loaded")
def test_one_openmp_runtime_is_loaded():
    code = """
import torch, lossmith
x = torch.ones(100_000)
lossmith.functional.mse_loss(x, x)
(x * x).sum()
names = {line.split()[-1] for line in open("/proc/self/maps") if "omp" in line.split()[-1].rpartition("/")[2]}
print(*names, sep="\\n")
"""
    loaded = run_python(code, OMP_NUM_THREADS="2").split()
    assert len(loaded) == 1 and "torch" in loaded[0], loaded


def test_the_package_without_kernels_says_so():
    code = """
import sys
sys.modules["lossmith.native._core"] = None
import torch, lossmith
x = torch.ones(3)
print(lossmith.explain_dispatch(lossmith.functional.mse_loss, x, x))
print(lossmith.functional.mse_loss(x, 0 * x))
"""
    said = run_python(code).splitlines()
    assert "backend='reference'" in said[0] and "the kernels are not built or can't be loaded" in said[0]
    assert said[1] == "tensor(1.)"
