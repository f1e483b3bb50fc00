"""A formula: its operands and parameters, its value and derivatives, and that it is a constant to everything around."""

import copy
import pickle
import traceback

import pytest
import torch

from lossmith.formula import Formula, Real, Reals, exp, formula, log, maximum, minimum, where
from lossmith.losses.huber import huber


@formula
def pinball(prediction: Real, target: Real, quantile: Real) -> Reals:
    """The loss whose minimiser is a quantile."""
    error = target - prediction
    over = where(error >= 0.0, error * 0.0, 1.0)
    slope = over - quantile
    unused_by_the_value = exp(error)
    return error * (quantile - over), slope, -slope + unused_by_the_value * 0.0


@formula
def huber_of_ratio(prediction: Real, target: Real, delta: Real) -> Reals:
    ratio = prediction / target
    one = target / target
    value, d_ratio, _ = huber(ratio, one, delta)
    return value, d_ratio / target, -d_ratio * ratio / target


def tensors(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator), torch.rand(shape, generator=generator) + 0.5


def test_parts():
    assert isinstance(pinball, Formula)
    assert (pinball.name, pinball.__name__, pinball.__module__) == ("pinball", "pinball", __name__)
    assert pinball.__doc__ == "The loss whose minimiser is a quantile."
    assert pinball.operands == ("prediction", "target")
    assert pinball.parameters == ("quantile",)
    assert pinball.words == {"where", "exp"}
    assert repr(pinball) == "<formula pinball(prediction, target; quantile)>"
    assert huber_of_ratio.subformulas == {"huber": huber}


def test_differentiable_says_which_derivatives_are_more_than_0():
    @formula
    def scaled(prediction: Real, target: Real) -> Reals:
        return prediction * target, target, 0.0

    assert scaled.differentiable == (True, False)


def test_value_and_derivatives():
    x, y = torch.tensor([1.0, 3.0]), torch.tensor([2.0, 2.0])
    value, d_x, d_y = pinball(x, y, 0.9)
    torch.testing.assert_close(value, torch.tensor([0.9, 0.1]))
    torch.testing.assert_close(d_x, torch.tensor([-0.9, 0.1]))
    torch.testing.assert_close(d_y, -d_x)
    torch.testing.assert_close(pinball.value(x, y, 0.9), value)


def test_the_value_alone_leaves_out_what_derivatives_need():
    calls = []
    words = {"exp": lambda x: calls.append(x) or x, "where": lambda c, x, y: x if c else y}
    assert pinball.bind_value(words)(1.0, 2.0, 0.9) == 0.9
    assert not calls
    pinball.bind(words)(1.0, 2.0, 0.9)
    assert calls == [1.0]


def test_a_formula_that_calls_another():
    x, y = tensors(50)
    x.requires_grad_()
    y.requires_grad_()
    value, d_x, d_y = huber_of_ratio(x, y, 0.3)
    expected = huber.value(x / y, torch.ones_like(x), 0.3)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close((d_x, d_y), torch.autograd.grad(expected.sum(), (x, y)))
    torch.testing.assert_close(huber_of_ratio.value(x, y, 0.3), expected)


def test_words_and_formulas_may_be_local():
    """Names of an enclosing function are found; the words are the language's, whatever their names mean outside."""
    from math import exp, log

    @formula
    def inner(x: Real) -> Reals:
        return exp(x), exp(x)

    @formula
    def outer(x: Real) -> Reals:
        value, slope = inner(x)
        return log(value), slope / value

    x = torch.linspace(-2, 2, 9)
    torch.testing.assert_close(outer(x), (x, torch.ones(9)))


def test_source_is_without_what_surrounds_it():
    assert huber_of_ratio.source() == (
        "def huber_of_ratio(prediction, target, delta):\n"
        "    ratio = prediction / target\n"
        "    one = target / target\n"
        "    value, d_ratio, _ = huber(ratio, one, delta)\n"
        "    return (value, d_ratio / target, -d_ratio * ratio / target)\n"
    )


def test_an_error_inside_shows_the_line_of_the_formula():
    with pytest.raises(RuntimeError) as caught:
        huber_of_ratio.value(torch.ones(2), torch.ones(3), 1.0)
    frame = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (frame.filename, frame.line) == (__file__, "ratio = prediction / target")


def test_a_formula_is_pickled_by_name_and_copied_as_itself():
    assert pickle.loads(pickle.dumps(huber)) is huber
    assert copy.copy(huber) is huber
    assert copy.deepcopy({"formula": huber})["formula"] is huber

    @formula
    def local(x: Real) -> Reals:
        return x, x

    assert copy.deepcopy(local) is local
    with pytest.raises((pickle.PicklingError, AttributeError), match="local"):
        pickle.dumps(local)


class Held(torch.nn.Module):
    """A module that has a formula among its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.formula = huber_of_ratio

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.formula.value(x, y, 0.3), *self.formula(x, y, 0.3))


def test_modules_that_hold_formulas_are_copied_and_pickled():
    held = Held()
    assert copy.deepcopy(held).formula is huber_of_ratio
    assert pickle.loads(pickle.dumps(held)).formula is huber_of_ratio


def test_compiled_without_a_graph_break_and_for_any_length():
    seen = []

    def backend(graph, inputs):
        seen.append(graph)
        return graph.forward

    torch.compiler.reset()
    compiled = torch.compile(Held(), fullgraph=True, dynamic=True, backend=backend)
    for n in (7, 11, 64):
        torch.testing.assert_close(compiled(*tensors(n)), Held()(*tensors(n)))
    assert len(seen) == 1
    given = torch.compile(lambda f, x, y: f(x, y, 0.3), fullgraph=True, backend="eager")
    torch.testing.assert_close(given(huber, *tensors(5)), huber(*tensors(5), 0.3))


@pytest.mark.parametrize("strict", [False, True])
def test_exported_for_any_length(strict):
    n = torch.export.Dim("n", min=2)
    program = torch.export.export(Held(), tensors(7), dynamic_shapes=({0: n}, {0: n}), strict=strict)
    torch.testing.assert_close(program.module()(*tensors(64)), Held()(*tensors(64)))


def test_every_transform():
    x, y = (t.double() for t in tensors(6))

    def total(x):
        return huber_of_ratio.value(x, y, 0.3).sum()

    slope = torch.func.grad(total)(x)
    torch.testing.assert_close(slope, huber_of_ratio(x, y, 0.3)[1])
    torch.testing.assert_close(torch.func.jvp(total, (x,), (torch.ones_like(x),))[1], slope.sum())
    each = torch.func.vmap(torch.func.grad(lambda a, b: huber_of_ratio.value(a, b, 0.3)))(x, y)
    torch.testing.assert_close(each, slope)
    inside = torch.func.hessian(total)(x).diagonal()
    torch.testing.assert_close(inside, ((x / y - 1).abs() < 0.3) / y**2)
    traced = torch.fx.symbolic_trace(lambda a, b: huber_of_ratio.value(a, b, 0.3))
    torch.testing.assert_close(traced(x, y), huber_of_ratio.value(x, y, 0.3))


def test_unused_imports_are_words():
    """The words can be imported, for the reader, the type checker and the linter."""
    x = torch.tensor(2.0)
    assert maximum(x, 1.0) == 2 and minimum(x, 1.0) == 1 and where(x > 1, x, 0.0) == 2
    torch.testing.assert_close(log(exp(x)), x)
