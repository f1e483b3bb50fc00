"""Formulas bound to Triton, compiled for a device without one. What they give is in `oracle`, by the interpreter."""

import pytest

from lossmith.formula import Formula, formula
from lossmith.formula.triton import triton_function
from lossmith.formula.vocabulary import WORDS
from lossmith.losses.huber import huber
from lossmith.losses.soft_margin import soft_margin
from oracle.discovery import define


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Nothing of an earlier run is taken for a result; and Triton warns of a default that it will change."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TRITON_DEFAULT_FP_FUSION", "1")


def ptx(formula: Formula, dtype: str) -> str:
    """The shared loop around a formula, compiled for an H100."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from oracle.triton_worker import loop

    operands, parameters = len(formula.operands), len(formula.parameters)
    signature = {
        "operands": (f"*{dtype}",) * operands,
        "results": (f"*{dtype}",) * (1 + operands),
        "parameters": (dtype,) * parameters,
        "n": "i32",
        "FORMULA": "constexpr",
        "BLOCK": "constexpr",
    }
    source = ASTSource(loop, signature, {"FORMULA": triton_function(formula), "BLOCK": 128})
    text: str = triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["ptx"]
    return text


def test_extrema_keep_nan_on_the_device():
    """Without being asked to, Triton takes min.f32 and max.f32, which drop it."""
    text = ptx(huber, "fp32")
    assert "max.NaN.f32" in text and "min.NaN.f32" in text
    assert "max.f32" not in text and "min.f32" not in text


def test_exponentials_are_not_the_approximate_ones_of_a_large_argument():
    """ex2.approx takes what is left of the argument after whole powers of two were taken out of it."""
    text = ptx(soft_margin, "fp32")
    assert "ex2.approx" in text and "cvt.rmi" in text


@pytest.mark.parametrize("dtype", ["fp32", "fp64"])
def test_every_word_compiles(dtype):
    terms = [
        "where(x < y, x, y)" if word == "where" else f"{word}({', '.join(['x', 'y'][: WORDS[word].arity])})"
        for word in WORDS
    ]
    everything = define(f"@formula\ndef everything(x, y):\n    return {' + '.join(terms)}, x, y\n", "everything")
    assert ".f64" in ptx(everything, dtype) if dtype == "fp64" else ".f32" in ptx(everything, dtype)


def test_a_formula_that_calls_another_compiles():
    @formula
    def both(x, y, delta):
        a, d_x, _ = huber(x, y, delta)
        b, d_y, _ = huber(y, x, delta)
        return a + b, d_x, d_y

    assert "max.NaN.f32" in ptx(both, "fp32")


def test_a_formula_is_bound_once():
    assert triton_function(huber) is triton_function(huber)
