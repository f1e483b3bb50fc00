"""Binds formulas to Triton: a formula becomes a Triton function, which a kernel takes as a `tl.constexpr` and calls."""

import functools
import linecache
import types
from typing import Any

import triton
import triton.language as tl

from .language import Formula
from .vocabularies import triton as words


@functools.cache
def triton_function(formula: Formula) -> Any:
    """The formula as a Triton function of its operands and parameters, which returns the value and the derivatives.

    A kernel is written once and given the formula: `FORMULA: tl.constexpr`, and in it `value, *_ = FORMULA(x, y, c)`.
    Parameters of float64 formulas must be float64 too: Triton passes a Python number to a kernel as float32.
    """
    source = formula.source()
    file = f"<formula {formula.__module__}.{formula.__qualname__}>"
    # Triton reads a function's source through `inspect`: without the decorator, and without what surrounds it
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    namespace: dict[str, Any] = {
        "tl": tl,
        **{word: getattr(words, word) for word in formula.words},
        **{name: triton_function(called) for name, called in formula.subformulas.items()},
    }
    module = compile(source, file, "exec")
    code = next(constant for constant in module.co_consts if isinstance(constant, types.CodeType))
    function = types.FunctionType(code, namespace, formula.name)
    function.__module__, function.__qualname__ = formula.__module__, formula.__qualname__
    return triton.jit(function)
