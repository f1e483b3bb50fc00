"""Formulas printed as C++. That they compile, and what they give, is in `oracle`."""

import re

import numpy
import pytest

from lossmith.formula import formula
from lossmith.formula.cpp import cpp
from lossmith.losses.huber import huber
from oracle.discovery import FORMULAS, define
from oracle.runners import Compiled

HUBER = """\
namespace lossmith {

template <typename T>
inline std::array<T, 3> huber(const T prediction, const T target, const T delta) {
    const auto error = prediction - target;
    const auto clipped = minimum(maximum(error, -delta), delta);
    return {
        clipped * (error - T(0.5) * clipped),
        clipped,
        -clipped,
    };
}

}  // namespace lossmith
"""


def test_huber():
    assert cpp([huber]) == HUBER


def test_formulas_that_are_called_come_first_and_once():
    @formula
    def double_huber(x, y, delta):
        a, d_x, _ = huber(x, y, delta)
        b, d_y, _ = huber(y, x, delta)
        return a + b, d_x, d_y

    printed = cpp([double_huber, huber, double_huber])
    assert printed.count("std::array<T, 3> huber(") == 1
    assert printed.index("> huber(") < printed.index("> double_huber(")
    assert re.search(r"const auto \[a, d_x, skipped_\d+_2\] = huber\(x, y, delta\);", printed)
    Compiled([double_huber])
    cpp(FORMULAS.values())


def test_two_formulas_of_one_name():
    other = define("@formula\ndef huber(x):\n    return x, x\n", "huber")
    with pytest.raises(ValueError, match=r"two formulas have the name 'huber', in .*huber.py and <oracle"):
        cpp([huber, other])


def test_names_and_numbers_that_cpp_has_others_for():
    """Keywords, the template's T, precedence, whole numbers too large for an int, a condition with a name."""
    awkward = define(
        "@formula\n"
        "def register(double, T, small):\n"
        "    new = -(double - (T - double)) / (T * (double / T))\n"
        "    delete = new < 1\n"
        "    return where(delete, -double, T) - 10000000000000000000000 * small * double, double, T\n",
        "register",
    )
    printed = cpp([awkward])
    assert "register_(const T double_, const T T_, const T small)" in printed
    assert "T(1e+22)" in printed
    operands = [numpy.array([1.0, -2.0]), numpy.array([3.0, 5.0])]
    found = Compiled([awkward])(awkward, operands, (1e-22,))
    for got, expected in zip(found, awkward.bind({"where": numpy.where})(*operands, 1e-22), strict=True):
        numpy.testing.assert_allclose(got, expected, rtol=1e-15)
