"""Formulas as LaTeX, for documentation: the value and the derivatives, with the terms that they share above them."""

import ast
from collections.abc import Mapping
from typing import Any

from sympy import Piecewise, piecewise_fold
from sympy.printing.latex import LatexPrinter

from .language import Formula
from .vocabularies import sympy as words
from .vocabularies.sympy import Expression, symbol, to_sympy

SYMBOLS: Mapping[str, str] = {
    "prediction": "x",
    "log_prediction": "x",
    "log_rate": "x",
    "probability": "p",
    "rate": r"\lambda",
    "first": "x_1",
    "second": "x_2",
    "distance": "d",
    "cosine": "c",
    "positive": "d_+",
    "negative": "d_-",
    "variance": "v",
    "target": "y",
    "log_target": "t",
    "count": "k",
    "margin": "m",
    "positive_weight": "w",
    "constant": "c",
    "delta": r"\delta",
    "beta": r"\beta",
    "eps": r"\varepsilon",
}
"""The letters of the arguments that losses share. Any other name that is longer than a letter is written out."""


def latex(formula: Formula, symbols: Mapping[str, str] | None = None) -> str:
    r"""The formula as an `aligned` environment: a line for each shared term, for the value, for each derivative.

    symbols: letters for its names, such as `{"prediction": r"\hat y"}`, before those of `SYMBOLS`.
    """
    arguments = {name: SYMBOLS[name] for name in (*formula.operands, *formula.parameters) if name in SYMBOLS}
    writer = _Writer(formula, {"error": "r", **arguments, **(symbols or {})})
    value, *derivatives = (_flat(to_sympy(writer.evaluate(result))) for result in formula.results)
    lines = [*writer.lines, rf"\ell &= {_print(value)}"]
    for operand, derivative, differentiable in zip(formula.operands, derivatives, formula.differentiable, strict=True):
        if differentiable:
            lines.append(rf"\frac{{\partial \ell}}{{\partial {writer.letters[operand]}}} &= {_print(derivative)}")
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


class _Writer:
    """Evaluates a formula statement by statement; what is used more than once keeps its name and gets a line."""

    def __init__(self, formula: Formula, symbols: Mapping[str, str]) -> None:
        self.symbols = symbols
        self.letters: dict[str, str] = {}
        self.lines: list[str] = []
        self.scope: dict[str, Any] = {name: getattr(words, name) for name in formula.words}
        self.scope |= {name: called.bind(vars(words)) for name, called in formula.called.items()}
        for name in (*formula.operands, *formula.parameters):
            self.scope[name] = symbol(self.letter(name))
        parts = [*(statement.value for statement in formula.statements), *formula.results]
        self.uses = [n.id for part in parts for n in ast.walk(part) if isinstance(n, ast.Name)]
        for statement in formula.statements:
            target, value = statement.targets[0], self.evaluate(statement.value)
            names, values = (target.elts, value) if isinstance(target, ast.Tuple) else ([target], [value])
            for assigned, result in zip(names, values, strict=True):
                name = ast.unparse(assigned)
                self.scope[name] = self.shared(name, result)

    def evaluate(self, node: ast.expr) -> Any:
        return eval(compile(ast.Expression(node), "<formula>", "eval"), self.scope)

    def shared(self, name: str, value: Any) -> Any:
        """The value itself, or a symbol for it, defined on a line, where that is easier to read."""
        if self.uses.count(name) < 2 or not isinstance(value, Expression) or value.sympy.is_Atom:
            return value
        letter = self.letter(name)
        self.lines.append(f"{letter} &= {_print(_flat(value.sympy))}")
        return symbol(letter)

    def letter(self, name: str) -> str:
        letter = self.symbols.get(name, name)
        if letter in self.letters.values() or (letter == name and len(name) > 1):
            letter = rf"\text{{{name.replace('_', ' ')}}}"
        self.letters[name] = letter
        return letter


def _flat(expression: Any) -> Any:
    """Cases inside of cases as one list of cases."""

    def nested(part: Any) -> bool:
        return isinstance(part, Piecewise) and any(branch.has(Piecewise) for branch, _ in part.args)

    return expression.replace(nested, piecewise_fold)


class _Printer(LatexPrinter):  # type: ignore[misc]
    """SymPy's LaTeX, with the names that statistics has for the gamma function's kin."""

    def _print_loggamma(self, expression: Any, exp: str | None = None) -> str:
        return self._powered(rf"\log \Gamma\left({self._print(expression.args[0])}\right)", exp)

    def _print_polygamma(self, expression: Any, exp: str | None = None) -> str:
        return self._powered(rf"\psi\left({self._print(expression.args[1])}\right)", exp)

    def _print_Float(self, expression: Any) -> str:
        text: str = super()._print_Float(expression)
        return text.removeprefix(r"1.0 \cdot ")

    def _powered(self, text: str, exp: str | None) -> str:
        return text if exp is None else rf"\left({text}\right)^{{{exp}}}"


def _print(expression: Any) -> str:
    text: str = _Printer({"mul_symbol": r" \, "}).doprint(expression)
    return text
