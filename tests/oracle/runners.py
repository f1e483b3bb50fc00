"""Formulas on each backend: arrays in, arrays out."""

import ctypes
import functools
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy
import torch

from lossmith.formula import Formula
from lossmith.formula.cpp import VOCABULARY, cpp, identifier

Arrays = Sequence[numpy.ndarray]


def on_torch(formula: Formula, operands: Arrays, parameters: Sequence[float]) -> list[numpy.ndarray]:
    """The value and the derivatives as the formula has them."""
    return [_column(r, operands[0]) for r in formula(*map(torch.from_numpy, operands), *parameters)]


def by_autograd(formula: Formula, operands: Arrays, parameters: Sequence[float]) -> list[numpy.ndarray]:
    """The value, and its derivatives as autograd finds them."""
    tensors = [torch.from_numpy(operand).requires_grad_() for operand in operands]
    value = formula.value(*tensors, *parameters)
    gradients = torch.autograd.grad(value.sum(), tensors, allow_unused=True)
    return [_column(value, operands[0]), *(_column(0.0 if g is None else g, operands[0]) for g in gradients)]


def _column(result: Any, like: numpy.ndarray) -> numpy.ndarray:
    if isinstance(result, torch.Tensor):
        result = result.detach().numpy()
    return numpy.broadcast_to(numpy.asarray(result, like.dtype), like.shape)


class Compiled:
    """Printed formulas in one shared object."""

    def __init__(self, formulas: Iterable[Formula]) -> None:
        formulas = list(formulas)
        loops = [_loop(f, c) for f in formulas for c in ("float", "double")]
        source = f'#include "{VOCABULARY}"\n#include <array>\n{cpp(formulas)}\n' + "\n".join(loops)
        with tempfile.TemporaryDirectory() as folder:
            file, library = Path(folder) / "formulas.cpp", Path(folder) / "formulas.so"
            file.write_text(source)
            flags = ["-std=c++20", "-O3", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC"]
            flags += ["-Wall", "-Wextra", "-Werror"]
            subprocess.run([os.environ.get("CXX", "g++"), *flags, str(file), "-o", str(library)], check=True)
            self.library = ctypes.CDLL(str(library))

    def __call__(self, formula: Formula, operands: Arrays, parameters: Sequence[float]) -> list[numpy.ndarray]:
        dtype = operands[0].dtype
        function = getattr(self.library, f"{formula.name}_{'float' if dtype == numpy.float32 else 'double'}")
        results = [numpy.full_like(operands[0], numpy.nan) for _ in range(1 + len(operands))]
        numbers = numpy.array([*parameters, 0], dtype)
        function(_pointers(operands), _pointers([numbers]), _pointers(results), ctypes.c_size_t(operands[0].size))
        return results


def _loop(formula: Formula, type: str) -> str:
    operands = [f"in[{i}][i]" for i in range(len(formula.operands))]
    arguments = ", ".join([*operands, *(f"par[0][{i}]" for i in range(len(formula.parameters)))])
    return f"""
extern "C" void {formula.name}_{type}(
    const {type}* const* in, [[maybe_unused]] const {type}* const* par, {type}* const* out, std::size_t n) {{
    for (std::size_t i = 0; i < n; ++i) {{
        const auto results = lossmith::{identifier(formula.name)}<{type}>({arguments});
        for (std::size_t k = 0; k < results.size(); ++k) out[k][i] = results[k];
    }}
}}"""


def _pointers(arrays: Arrays) -> Any:
    return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))


@functools.cache
def compiled(*formulas: Formula) -> Compiled:
    return Compiled(formulas)


Job = tuple[Formula, Arrays, Sequence[float]]


def on_triton(jobs: Sequence[Job]) -> list[list[numpy.ndarray]]:
    """In Triton's interpreter, which is chosen when Triton is imported: in a process of its own."""
    environment = {"TRITON_INTERPRET": "1", "TRITON_DEFAULT_FP_FUSION": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "ignore", "-m", "oracle.triton_worker"]
    done = subprocess.run(command, input=pickle.dumps(jobs), env={**os.environ, **environment}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return pickle.loads(done.stdout)
