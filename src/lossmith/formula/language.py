"""The formula language: a pointwise loss as one small Python function, checked when it is defined.

    @formula
    def huber(prediction: Real, target: Real, delta: Real) -> Reals:
        error = prediction - target
        clipped = minimum(maximum(error, -delta), delta)
        return clipped * (error - 0.5 * clipped), clipped, -clipped

The function returns the value and then its derivative in each operand. Operands come first among the arguments, one
for each derivative; what follows are parameters: numbers, the same for all elements. `docs/formula-language.md` is
the whole language on a page.
"""

import ast
import builtins
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any

from .definition import Definition, called_names
from .grammar import FormulaError, refuse
from .vocabularies import torch as torch_words
from .vocabulary import Real, Reals

__all__ = ["Formula", "FormulaError", "Real", "Reals", "formula"]


class Formula(Definition):
    """A pointwise loss in the formula language, ready to be bound to a vocabulary.

    Its words are bound when it is made, not when it is called: a formula is a constant, to the compiler as well.
    """

    def __init__(self, function: Callable[..., Reals]) -> None:
        if not isinstance(function, types.FunctionType):
            raise FormulaError(f"a formula is made from a function written with def, got {function!r}")
        self.function = function
        self.__name__, self.__qualname__, self.__module__ = (
            function.__name__,
            function.__qualname__,
            function.__module__,
        )
        self.__doc__ = function.__doc__
        tree = _parse(function)
        self.called = _called(function, tree)
        super().__init__(function.__code__.co_filename, tree, self.called)
        self.value = self.bind_value(vars(torch_words))
        """The value alone, on torch tensors."""
        self.value_and_derivatives = self.bind(vars(torch_words))
        """The value and the derivatives, on torch tensors."""

    def __repr__(self) -> str:
        return f"<formula {self.name}({', '.join(self.operands)}; {', '.join(self.parameters)})>"

    def __reduce__(self) -> str:
        return self.__qualname__  # pickled by its name, like a function; a copy is the formula itself

    def __call__(self, *arguments: Real) -> Reals:
        results: Reals = self.value_and_derivatives(*arguments)
        return results

    def bind(self, vocabulary: Mapping[str, Any]) -> Callable[..., Any]:
        """The formula's code with the vocabulary's words: gives the value and the derivatives."""
        return self._bind(self.statements, self.result, vocabulary)

    def bind_value(self, vocabulary: Mapping[str, Any]) -> Callable[..., Any]:
        """The value alone, without the statements that only derivatives need."""
        value = self.results[0]
        needed, kept = _names(value), []
        for statement in reversed(self.statements):
            if _names(statement.targets[0]) & needed:
                needed |= _names(statement.value)
                kept.append(statement)
        return self._bind(kept[::-1], value, vocabulary)

    def _bind(self, body: list[ast.Assign], result: ast.expr, vocabulary: Mapping[str, Any]) -> Callable[..., Any]:
        """Compiles the statements anew, with their own lines and without what surrounded the function."""
        module = compile(ast.Module([self.written(body, result)], type_ignores=[]), self.file, "exec")
        code = next(constant for constant in module.co_consts if isinstance(constant, types.CodeType))
        words = {word: vocabulary[word] for word in self.words}
        formulas = {name: formula.bind(vocabulary) for name, formula in self.called.items()}
        return types.FunctionType(code, {"__builtins__": builtins, **words, **formulas}, self.name)


def formula(function: Callable[..., Reals]) -> Formula:
    """Reads a Python function as a formula; raises `FormulaError` for what lies outside of the language."""
    return Formula(function)


def _parse(function: types.FunctionType) -> ast.FunctionDef:
    file, line = function.__code__.co_filename, function.__code__.co_firstlineno
    if function.__name__ == "<lambda>":
        refuse(file, None, "a lambda", "@formula above a function written with def", line)
    if hasattr(function, "__wrapped__"):
        refuse(file, None, f"`{function.__name__}`, which is wrapped by a decorator,", "@formula alone", line)
    try:
        source = inspect.getsource(function)
    except OSError:
        what = f"`{function.__name__}`, whose source can't be read,"
        refuse(file, None, what, "the formula in a file or a notebook cell", line)
    # empty lines before it, so that each line has its number; a condition around it, where it is indented
    indented = source[:1].isspace()
    above = "\n" * (line - 2) + "if True:\n" if indented else "\n" * (line - 1)
    tree = ast.parse(above + source).body[0]
    if indented:
        assert isinstance(tree, ast.If)
        tree = tree.body[0]
    if not isinstance(tree, ast.FunctionDef):
        refuse(file, tree, f"`{function.__name__}`", "@formula above a function written with def")
    return tree


def _called(function: types.FunctionType, tree: ast.FunctionDef) -> dict[str, Formula]:
    """The formulas that this one calls, by the names which it has for them."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    around = {**function.__globals__, **{name: _contents(cell) for name, cell in cells}}
    return {name: around[name] for name in called_names(tree) if isinstance(around.get(name), Formula)}


def _contents(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # still empty: the function's own name, or one that is assigned later
        return None


def _names(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
