"""What the formula language allows: one walk over a formula's source, which refuses the rest and says what to write."""

import ast
import difflib
import linecache
import math
from collections.abc import Mapping
from typing import NamedTuple, NoReturn

from .vocabulary import WORDS


class FormulaError(SyntaxError):
    """A formula that lies outside of the language; shows the line and says what to write instead."""


class Kind(NamedTuple):
    """What an expression is: whether it varies from element to element, and whether it is a condition."""

    varies: bool
    condition: bool = False


class Signature(NamedTuple):
    """What a formula takes and gives, and which words and which other formulas it calls."""

    operands: tuple[str, ...]
    parameters: tuple[str, ...]
    differentiable: tuple[bool, ...]
    words: frozenset[str]


def check(file: str, tree: ast.FunctionDef, subformulas: Mapping[str, Signature]) -> Signature:
    """The signature of a formula; raises `FormulaError` for what lies outside of the language."""
    return _Check(file, tree, subformulas).signature


def refuse(file: str, node: ast.AST | None, what: str, instead: str, line: int = 1) -> NoReturn:
    """Raises the error for a node of a file, or for a whole line of it."""
    line = getattr(node, "lineno", line)
    start, end = getattr(node, "col_offset", 0) + 1, (getattr(node, "end_col_offset", None) or 0) + 1
    end_line = getattr(node, "end_lineno", None) or line
    text = linecache.getline(file, line)
    if end_line != line or end <= start:
        end_line, end = line, max(len(text.rstrip()), start) + 1
    message = f"{what} lies outside of the formula language; write {instead}"
    raise FormulaError(message, (file, line, start, text, end_line, end))


def statements(tree: ast.FunctionDef) -> list[ast.stmt]:
    """The body without its docstring."""
    first = tree.body[0]
    documented = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return tree.body[1:] if documented else tree.body


_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div)
_COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)

_STATEMENTS: dict[type[ast.AST], str] = {
    ast.If: "name = where(condition, x, y)",
    ast.For: "straight-line assignments",
    ast.While: "straight-line assignments",
    ast.AugAssign: "a new name for the new value, name = expression",
    ast.AnnAssign: "name = expression, without a type",
    ast.FunctionDef: "a formula of its own outside of this one, called by name",
    ast.ClassDef: "a formula of its own outside of this one, called by name",
    ast.Return: "one return, on the last line; a choice is where(condition, x, y)",
}
_EXPRESSIONS: dict[type[ast.AST], str] = {
    ast.IfExp: "where(condition, x, y)",
    ast.BoolOp: "one where(condition, x, y) inside of another",
    ast.Subscript: "an operand or a parameter of its own",
    ast.Attribute: "the number itself, or a parameter",
    ast.Lambda: "a formula of its own outside of this one, called by name",
    ast.Starred: "each one by itself",
    ast.Tuple: "one expression",
}
_BINARY: dict[type[ast.AST], str] = {
    ast.Pow: "a product, such as x * x, or sqrt(x), or exp(y * log(x))",
    ast.BitAnd: "one where(condition, x, y) inside of another",
    ast.BitOr: "one where(condition, x, y) inside of another",
}
_OTHER_NAMES = {
    "min": "minimum(x, y)",
    "max": "maximum(x, y)",
    "clamp": "minimum(maximum(x, low), high)",
    "clip": "minimum(maximum(x, low), high)",
    "clamp_min": "hinge(x), relu(x) or floor_at(x, low), which differ in their slopes",
    "pow": "a product, such as x * x",
    "square": "x * x",
    "fabs": "abs(x)",
    "ln": "log(x)",
    "logsigmoid": "-softplus(-x)",
    "tanh": "2.0 * sigmoid(2.0 * x) - 1.0",
    "psi": "digamma(x)",
}


class _Check:
    """Walks a formula once, statement by statement, and keeps what each name stands for."""

    def __init__(self, file: str, tree: ast.FunctionDef, subformulas: Mapping[str, Signature]) -> None:
        self.file, self.subformulas = file, subformulas
        self.called: set[str] = set()
        if len(tree.decorator_list) > 1:
            self.refuse(tree.decorator_list[1], "a second decorator", "@formula alone")
        names = self.argument_names(tree)
        *body, last = statements(tree) or [tree.body[0]]
        if not isinstance(last, ast.Return) or not isinstance(last.value, ast.Tuple):
            self.refuse(last, "a last line that does not return several results", "return value, derivative, ...")
        results = last.value.elts
        count = len(results) - 1
        if not 1 <= count <= len(names):
            self.refuse(
                last,
                f"{count} derivatives for {len(names)} arguments",
                "return value, then one derivative for each operand (operands are the first arguments)",
            )
        # a derivative that is forgotten makes a parameter of an operand: say so where one is missed
        self.plain = f"plain numbers (the operands, one for each derivative, are {', '.join(names[:count])})"
        self.kinds = {name: Kind(varies=position < count) for position, name in enumerate(names)}
        for statement in body:
            self.statement(statement)
        for result in results:
            self.real(result)
        self.signature = Signature(
            operands=tuple(names[:count]),
            parameters=tuple(names[count:]),
            differentiable=tuple(not (isinstance(d, ast.Constant) and d.value == 0) for d in results[1:]),
            words=frozenset(self.called & WORDS.keys()),
        )

    def refuse(self, node: ast.AST, what: str, instead: str) -> NoReturn:
        refuse(self.file, node, what, instead)

    def argument_names(self, tree: ast.FunctionDef) -> list[str]:
        arguments = tree.args
        if arguments.posonlyargs or arguments.kwonlyargs or arguments.vararg or arguments.kwarg or arguments.defaults:
            self.refuse(tree, "an argument that is more than a name", f"def {tree.name}(prediction, target, delta)")
        return [argument.arg for argument in arguments.args]

    # statements

    def statement(self, node: ast.stmt) -> None:
        if not isinstance(node, ast.Assign):
            self.refuse(node, f"`{_line(node)}`", _STATEMENTS.get(type(node), "name = expression"))
        target, value = node.targets[0], node.value
        if len(node.targets) > 1:
            self.refuse(node, f"`{_line(node)}`", "one name = expression a line")
        if isinstance(target, ast.Tuple):
            self.unpack(target, value)
        else:
            self.assign(target, self.expression(value))

    def unpack(self, target: ast.Tuple, value: ast.expr) -> None:
        name = value.func.id if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) else ""
        if not isinstance(value, ast.Call) or name not in self.subformulas:
            self.refuse(value, f"`{ast.unparse(value)}` for several names", "one name = expression a line")
        self.callable(value, name)
        called = self.subformulas[name]
        taken = (*called.operands, *called.parameters)
        kinds = self.arguments(value, len(taken), ", ".join(taken))
        for argument, kind, wanted in zip(value.args, kinds, taken, strict=True):
            if not kind.varies and wanted in called.operands:
                instead = f"an expression of operands: `{wanted}` is an operand of {name}"
                what = f"`{ast.unparse(argument)}` given for `{wanted}`, an expression of {self.plain},"
                self.refuse(argument, what, instead)
            if kind.varies and wanted in called.parameters:
                instead = f"a plain number: {name} has no derivative in its parameter `{wanted}`"
                self.refuse(argument, f"`{ast.unparse(argument)}` given for `{wanted}`", instead)
        if len(target.elts) != 1 + len(called.operands):
            names = ", ".join(["value", *(f"d_{operand}" for operand in called.operands)])
            self.refuse(target, f"{len(target.elts)} names for what {name} returns", f"{names} = {name}(...)")
        for element in target.elts:
            if not (isinstance(element, ast.Name) and element.id == "_" and "_" not in self.kinds):
                self.assign(element, Kind(varies=True))

    def assign(self, target: ast.expr, kind: Kind) -> None:
        if not isinstance(target, ast.Name):
            self.refuse(target, f"`{ast.unparse(target)}`", "name = expression")
        if target.id == "_":
            self.refuse(target, "a value for `_`", "a name for it; `_` skips a result of a formula")
        if target.id in self.kinds:
            self.refuse(target, f"a second value for `{target.id}`", "a new name for it")
        if target.id in self.called:
            self.refuse(target, f"a value for `{target.id}`, which is called above,", "another name for it")
        self.kinds[target.id] = kind

    # expressions

    def real(self, node: ast.expr) -> Kind:
        kind = self.expression(node)
        if kind.condition:
            self.refuse(node, f"the condition `{ast.unparse(node)}` used as a number", "where(condition, x, y)")
        return kind

    def expression(self, node: ast.expr) -> Kind:
        match node:
            case ast.Constant(value):
                if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                    self.refuse(node, f"`{ast.unparse(node)}`", "a finite number")
                return Kind(varies=False)
            case ast.Name(name):
                return self.name(node, name)
            case ast.UnaryOp(ast.USub(), operand):
                return self.real(operand)
            case ast.UnaryOp(ast.Not()):
                self.refuse(node, f"`{ast.unparse(node)}`", "the opposite comparison")
            case ast.BinOp(left, operator, right):
                if not isinstance(operator, _OPERATORS):
                    instead = _BINARY.get(type(operator), "one of + - * /, or a word of the vocabulary")
                    self.refuse(node, f"`{ast.unparse(node)}`", instead)
                return Kind(self.real(left).varies | self.real(right).varies)
            case ast.Compare(left, operators, comparators):
                return self.comparison(node, left, operators, comparators)
            case ast.Call(func, arguments):
                return self.call(node, func, arguments)
        instead = _EXPRESSIONS.get(type(node), "arithmetic, comparisons and words of the vocabulary")
        self.refuse(node, f"`{ast.unparse(node)}`", instead)

    def name(self, node: ast.expr, name: str) -> Kind:
        if name not in self.kinds:
            known = "a word, which must be called," if name in WORDS else "no argument and not assigned above,"
            instead = f"{name}(...)" if name in WORDS else "a parameter, or the number itself"
            self.refuse(node, f"the name `{name}`, which is {known}", instead)
        return self.kinds[name]

    def comparison(
        self, node: ast.expr, left: ast.expr, operators: list[ast.cmpop], comparators: list[ast.expr]
    ) -> Kind:
        if len(operators) != 1 or not isinstance(operators[0], _COMPARISONS):
            self.refuse(node, f"`{ast.unparse(node)}`", "one comparison at a time, of < <= > >= == !=")
        if not self.real(left).varies | self.real(comparators[0]).varies:
            instead = "two formulas, and let the caller choose: it is the same for all elements"
            self.refuse(node, f"`{ast.unparse(node)}`, a comparison of {self.plain},", instead)
        return Kind(varies=True, condition=True)

    def call(self, node: ast.Call, function: ast.expr, arguments: list[ast.expr]) -> Kind:
        if not isinstance(function, ast.Name):
            self.refuse(
                node,
                f"`{ast.unparse(function)}(...)`",
                _word_for(function.attr if isinstance(function, ast.Attribute) else ""),
            )
        name = function.id
        if name in self.subformulas:
            names = ", ".join(["value", *(f"d_{operand}" for operand in self.subformulas[name].operands)])
            instead = f"{names} = {name}(...) on a line of its own"
            self.refuse(node, f"the results of the formula `{name}(...)` inside of an expression", instead)
        if name not in WORDS:
            self.refuse(node, f"`{name}(...)`", _word_for(name))
        self.callable(node, name)
        if name == "where":
            return self.where(node, arguments)
        kinds = self.arguments(node, WORDS[name].arity, WORDS[name].arguments)
        if not any(kind.varies for kind in kinds):
            # numbers have no dtype of their own, and the caller computes it once instead of for each element
            self.refuse(node, f"`{ast.unparse(node)}` of {self.plain}", "a parameter for it, which the caller computes")
        return Kind(varies=True)

    def callable(self, node: ast.Call, name: str) -> None:
        """In one formula a name is either called or a value."""
        if name in self.kinds:
            self.refuse(node, f"a call of `{name}`, which is a value here,", "another name for the value")
        self.called.add(name)

    def where(self, node: ast.Call, arguments: list[ast.expr]) -> Kind:
        if node.keywords or len(arguments) != 3 or not self.expression(arguments[0]).condition:
            instead = "where(condition, x, y) with a comparison as the condition"
            self.refuse(node, f"`{ast.unparse(node)}`", instead)
        if not self.real(arguments[1]).varies | self.real(arguments[2]).varies:
            # two plain numbers have no dtype of their own, and each backend would guess another one
            instead = "step(x), which is 1 where x is 0 or more, else 0; or an expression of operands for one of them"
            self.refuse(node, f"`{ast.unparse(node)}`, a choice between {self.plain},", instead)
        return Kind(varies=True)

    def arguments(self, node: ast.Call, count: int, names: str) -> list[Kind]:
        if node.keywords or len(node.args) != count:
            self.refuse(node, f"`{ast.unparse(node)}`", f"{ast.unparse(node.func)}({names})")
        return [self.real(argument) for argument in node.args]


def _line(statement: ast.stmt) -> str:
    """The first line of a statement, enough to know it by."""
    return ast.unparse(statement).partition("\n")[0]


def _word_for(name: str) -> str:
    """What to write instead of a call of this name."""
    if name in WORDS:
        return f"the word alone, {name}({WORDS[name].arguments})"
    near = difflib.get_close_matches(name, WORDS, 1)
    if name in _OTHER_NAMES or not near:
        return _OTHER_NAMES.get(name, "what it means in the words " + ", ".join(WORDS))
    return f"{near[0]}({WORDS[near[0]].arguments})"
