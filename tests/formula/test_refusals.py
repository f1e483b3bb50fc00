"""What lies outside of the formula language is refused, with the place and with what to write instead."""

import functools
import math
import traceback

import pytest

from lossmith.formula import FormulaError, Real, Reals, formula
from lossmith.losses.huber import huber
from oracle.discovery import define

# the body of `def bad(x, y, c)`, the line of the error (1 is the decorator, 3 the body's first), what is refused, and
# what is to be written
REFUSED = {
    "if": ("if x > 0:\n        z = x\n    return x, x", 3, "`if x > 0:`", "where(condition, x, y)"),
    "if expression": ("z = x if x > 0 else y\n    return z, z", 3, "`x if x > 0 else y`", "where(condition, x, y)"),
    "for": (
        "for i in range(3):\n        z = x\n    return x, x",
        3,
        "`for i in range(3):`",
        "straight-line assignments",
    ),
    "while": ("while x > 0:\n        z = x\n    return x, x", 3, "`while x > 0:`", "straight-line assignments"),
    "power": ("return x ** 2, x", 3, "`x ** 2`", "x * x"),
    "remainder": ("return x % 2, x", 3, "`x % 2`", "one of + - * /"),
    "floor division": ("return x // 2, x", 3, "`x // 2`", "one of + - * /"),
    "matrix product": ("return x @ y, x", 3, "`x @ y`", "one of + - * /"),
    "chained comparison": ("return where(0 < x < 1, x, y), x", 3, "`0 < x < 1`", "one comparison at a time"),
    "membership": ("return where(x in y, x, y), x", 3, "`x in y`", "one comparison at a time"),
    "and": ("return where(x > 0 and y > 0, x, y), x", 3, "`x > 0 and y > 0`", "one where(condition, x, y) inside of"),
    "not": ("return where(not x > 0, x, y), x", 3, "`not x > 0`", "the opposite comparison"),
    "bitwise and": ("return where((x > 0) & (y > 0), x, y), x", 3, "`(x > 0) & (y > 0)`", "one where(condition, x, y)"),
    "plus sign": ("return +x, x", 3, "`+x`", "words of the vocabulary"),
    "attribute call": ("return torch.exp(x), x", 3, "`torch.exp(...)`", "the word alone, exp(x)"),
    "attribute call of another name": (
        "return torch.clamp(x, 0), x",
        3,
        "`torch.clamp(...)`",
        "maximum(x, low)",
    ),
    "method": ("return x.abs(), x", 3, "`x.abs(...)`", "the word alone, abs(x)"),
    "attribute": ("return math.pi * x, x", 3, "`math.pi`", "the number itself"),
    "subscript": ("return x[0], x", 3, "`x[0]`", "an operand or a parameter of its own"),
    "unknown word, near": ("return sigmod(x), x", 3, "`sigmod(...)`", "sigmoid(x)"),
    "unknown word, far": ("return erf(x), x", 3, "`erf(...)`", "log1p"),
    "tanh": ("return tanh(x), x", 3, "`tanh(...)`", "2.0 * sigmoid(2.0 * x) - 1.0"),
    "min": ("return min(x, y), x", 3, "`min(...)`", "minimum(x, y)"),
    "max": ("return max(x, y), x", 3, "`max(...)`", "maximum(x, y)"),
    "second value": ("z = x\n    z = y\n    return z, x", 4, "a second value for `z`", "a new name"),
    "second value of an operand": ("x = y\n    return x, x", 3, "a second value for `x`", "a new name"),
    "augmented assignment": ("z = x\n    z += y\n    return z, x", 4, "`z += y`", "a new name"),
    "typed assignment": ("z: float = x\n    return z, x", 3, "`z: float = x`", "without a type"),
    "walrus": ("return (z := x), x", 3, "`(z := x)`", "words of the vocabulary"),
    "chained assignment": ("a = b = x\n    return a, b", 3, "`a = b = x`", "one name = expression a line"),
    "tuples": ("a, b = x, y\n    return a, b", 3, "`(x, y)` for several names", "one name = expression a line"),
    "item": ("x[0] = y\n    return x, y", 3, "`x[0]`", "name = expression"),
    "expression alone": ("print(x)\n    return x, x", 3, "`print(x)`", "name = expression"),
    "import": ("import math\n    return x, x", 3, "`import math`", "name = expression"),
    "where of numbers": (
        "return where(x > 0, 1.0, 0.0), x",
        3,
        "`where(x > 0, 1.0, 0.0)`, a choice between plain numbers",
        "step(x)",
    ),
    "where without a condition": ("return where(x, x, y), x", 3, "`where(x, x, y)`", "a comparison as the condition"),
    "where of two": ("return where(x > 0, x), x", 3, "`where(x > 0, x)`", "where(condition, x, y)"),
    "condition in arithmetic": ("return (x > 0) * x, x", 3, "the condition `x > 0` used as a number", "where("),
    "condition returned": ("return x > 0, x", 3, "the condition `x > 0` used as a number", "where("),
    "condition as an argument": ("return abs(x > 0), x", 3, "the condition `x > 0` used as a number", "where("),
    "condition of parameters": (
        "return where(c > 0, x, y), x",
        3,
        "`c > 0`, a comparison of plain numbers (the operands, one for each derivative, are x)",
        "two formulas",
    ),
    "word of parameters": ("return x * log(c), x", 3, "`log(c)` of plain numbers", "a parameter"),
    "no derivatives": ("return x", 3, "does not return several results", "return value, derivative, ..."),
    "no return": ("z = x", 3, "does not return several results", "return value, derivative, ..."),
    "no body": ('"""Documented."""', 3, "does not return several results", "return value, derivative, ..."),
    "ellipsis": ("...", 3, "does not return several results", "return value, derivative, ..."),
    "value alone": ("return (x,)", 3, "0 derivatives for 3 arguments", "one derivative for each operand"),
    "too many derivatives": ("return x, x, x, x, x", 3, "4 derivatives for 3 arguments", "one derivative for each"),
    "early return": ("return x, x\n    return y, y", 3, "`return (x, x)`", "one return, on the last line"),
    "starred result": ("return x, *y", 3, "`*y`", "each one by itself"),
    "keyword argument": ("return minimum(x, y=y), x", 3, "`minimum(x, y=y)`", "minimum(x, y)"),
    "too few arguments": ("return minimum(x), x", 3, "`minimum(x)`", "minimum(x, y)"),
    "lambda": ("f = lambda z: z\n    return f(x), x", 3, "`lambda z: z`", "a formula of its own"),
    "nested function": ("def f(z):\n        return z\n    return f(x), x", 3, "`def f(z):`", "a formula of its own"),
    "comprehension": ("return [x for _ in y], x", 3, "`[x for _ in y]`", "words of the vocabulary"),
    "string": ("return 'x', x", 3, "`'x'`", "a finite number"),
    "truth": ("return x * True, x", 3, "`True`", "a finite number"),
    "infinity": ("return x * 1e999, x", 3, "`1e309`", "a finite number"),
    "complex number": ("return x * 1j, x", 3, "`1j`", "a finite number"),
    "what was skipped": ("_ = x\n    return x, x", 3, "a value for `_`", "a name for it"),
    "unknown name": ("return x + EPS, x", 3, "the name `EPS`", "a parameter, or the number itself"),
    "word without a call": ("return x + exp, x", 3, "the name `exp`, which is a word", "exp(...)"),
    "value that is called": (
        "exp = x\n    return exp(y), x",
        4,
        "a call of `exp`, which is a value here",
        "another name",
    ),
    "word that becomes a value": ("z = exp(x)\n    exp = y\n    return z, exp", 4, "a value for `exp`", "another name"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    body, line, what, instead = REFUSED[name]
    source = f"@formula\ndef bad(x, y, c):\n    {body}\n"
    with pytest.raises(FormulaError) as caught:
        define(source, "bad")
    error = caught.value
    assert isinstance(error, SyntaxError)
    refused, _, advice = error.msg.partition(" lies outside of the formula language; write ")
    assert what in refused, error.msg
    assert instead in advice, error.msg
    assert (error.filename, error.lineno) == ("<oracle.discovery.bad>", line)
    assert error.text == source.splitlines(keepends=True)[line - 1]
    shown = "".join(traceback.format_exception_only(error))
    assert error.text.strip() in shown and "^" in shown


def test_the_caret_is_under_what_is_refused():
    """In a formula that is indented too."""
    with pytest.raises(FormulaError) as caught:

        @formula
        def bad(x: Real, y: Real) -> Reals:
            z = x + y**2  # here
            return z, x, y

    error = caught.value
    assert error.filename == __file__
    assert error.text is not None and error.offset is not None and error.end_offset is not None
    assert error.text[error.offset - 1 : error.end_offset - 1] == "y**2"


@pytest.mark.parametrize(
    "arguments",
    ["x, /, y", "x, *, y", "*x", "**x", "x, y=1.0"],
    ids=["positional", "keyword", "many", "all", "default"],
)
def test_arguments_are_plain_names(arguments):
    with pytest.raises(FormulaError, match=r"an argument that is more than a name .* write def bad\(prediction, "):
        define(f"@formula\ndef bad({arguments}):\n    return x, x\n", "bad")


OF_HUBER = "from lossmith.losses.huber import huber\n@formula\ndef bad(x, y, c):\n    {}\n    return x, x, y\n"


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("v = 2.0 * huber(x, y, c)", r"inside of an expression .* write value, d_prediction, d_target = huber\(...\)"),
        ("v, d = huber(x, y, c)", r"2 names for what huber returns .* write value, d_prediction, d_target = huber"),
        ("v, d, e = huber(x, y)", r"`huber\(x, y\)` .* write huber\(prediction, target, delta\)"),
        ("v, d, e = huber(x, 0.0, c)", r"`0.0` given for `target`, .* `target` is an operand of huber"),
        ("v, d, e = huber(x, y, x)", r"`x` given for `delta` .* huber has no derivative in its parameter `delta`"),
        ("v, x, e = huber(x, y, c)", r"a second value for `x`"),
        ("v, d, _ = huber(x, y, c)\n    z = _", r"the name `_`, which is no argument and not assigned above"),
        ("v, d, e = exp(x)", r"`exp\(x\)` for several names"),
        ("huber = x\n    v, d, e = huber(x, y, c)", r"a call of `huber`, which is a value here"),
    ],
)
def test_calls_of_formulas(body, what):
    with pytest.raises(FormulaError, match=what):
        define(OF_HUBER.format(body), "bad")


def test_a_formula_that_calls_itself():
    with pytest.raises(FormulaError, match=r"`bad\(x\)` for several names"):
        define("@formula\ndef bad(x):\n    v, d = bad(x)\n    return v, d\n", "bad")


def test_lambda():
    with pytest.raises(FormulaError, match=r"a lambda .* write @formula above a function written with def") as caught:
        formula(lambda x: (x, 1.0))
    assert caught.value.filename == __file__
    assert "lambda" in str(caught.value.text)


def test_no_source():
    namespace: dict = {}
    exec("def hidden(x):\n    return x, x\n", namespace)
    with pytest.raises(FormulaError, match=r"`hidden`, whose source can't be read, .* in a file or a notebook cell"):
        formula(namespace["hidden"])


@pytest.mark.parametrize("given", [math.exp, 3, huber, int, functools.partial(print)], ids=repr)
def test_not_a_function(given):
    with pytest.raises(FormulaError, match="a formula is made from a function written with def, got"):
        formula(given)


def decorated(function):
    @functools.wraps(function)
    def inner(*arguments):
        return function(*arguments)

    return inner


def test_other_decorators():
    def plain(x, y):
        return x, x

    with pytest.raises(FormulaError, match=r"`plain`, which is wrapped by a decorator, .* write @formula alone"):
        formula(decorated(plain))
    with pytest.raises(FormulaError, match=r"a second decorator .* write @formula alone"):
        define("@formula\n@(lambda f: f)\ndef bad(x):\n    return x, x\n", "bad")


def test_coroutines():
    with pytest.raises(FormulaError, match=r"`bad` .* write @formula above a function written with def"):
        define("@formula\nasync def bad(x):\n    return x, x\n", "bad")
