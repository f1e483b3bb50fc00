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
import difflib
import inspect
import linecache
import textwrap
import types
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, NoReturn, TypeAlias

from .vocabulary import WORDS

Real: TypeAlias = Any
"""What a formula computes with: a tensor, a number, a symbol, as the vocabulary has it."""

Reals: TypeAlias = tuple[Any, ...]
"""What a formula returns: the value and its derivatives."""


class FormulaError(SyntaxError):
    """A formula that lies outside of the language; shows the line and says what to write instead."""


class Formula:
    """A pointwise loss in the formula language, ready to be bound to a vocabulary."""

    def __init__(self, function: Callable[..., Reals]) -> None:
        if not isinstance(function, types.FunctionType):
            raise TypeError(f"a formula is made from a plain Python function, got {function!r}")
        self.function = function
        self.name = function.__name__
        self.tree = _parse(function)
        called = {node.func.id for node in ast.walk(self.tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
        self.subformulas: dict[str, Formula] = {
            name: function.__globals__[name]
            for name in sorted(called)
            if isinstance(function.__globals__.get(name), Formula)
        }
        check = _Check(function, self.tree, self.subformulas)
        self.operands, self.parameters, self.differentiable = check.operands, check.parameters, check.differentiable
        self.__doc__ = function.__doc__
        self.__name__, self.__qualname__, self.__module__ = self.name, function.__qualname__, function.__module__

    def __repr__(self) -> str:
        return f"<formula {self.name}({', '.join(self.operands)}; {', '.join(self.parameters)})>"

    @property
    def body(self) -> list[ast.stmt]:
        """The statements, without the docstring."""
        statements = self.tree.body
        return statements[1:] if _is_docstring(statements[0]) else statements

    def bind(self, vocabulary: Mapping[str, Any]) -> Callable[..., Any]:
        """The formula's own code with the vocabulary as its globals: gives the value and the derivatives."""
        return self._with_globals(self.function.__code__, vocabulary, Formula.bind)

    def bind_value(self, vocabulary: Mapping[str, Any]) -> Callable[..., Any]:
        """The value alone, without the statements that only derivatives need."""
        return self._with_globals(self._value_code, vocabulary, Formula.bind)

    @cached_property
    def value(self) -> Callable[..., Any]:
        """The value alone, on torch tensors."""
        from .vocabularies import torch as vocabulary

        return self.bind_value(vars(vocabulary))

    @cached_property
    def value_and_derivatives(self) -> Callable[..., Reals]:
        """The value and the derivatives, on torch tensors."""
        from .vocabularies import torch as vocabulary

        return self.bind(vars(vocabulary))

    def __call__(self, *arguments: Real) -> Reals:
        return self.value_and_derivatives(*arguments)

    def _with_globals(
        self, code: types.CodeType, vocabulary: Mapping[str, Any], bind: Callable[..., Any]
    ) -> Callable[..., Any]:
        words = {word: vocabulary[word] for word in WORDS if word in vocabulary}
        words |= {name: bind(formula, vocabulary) for name, formula in self.subformulas.items()}
        return types.FunctionType(code, {"__builtins__": builtins, **words}, self.name)

    @cached_property
    def _value_code(self) -> types.CodeType:
        *statements, last = self.body
        assert isinstance(last, ast.Return) and isinstance(last.value, ast.Tuple)
        value = last.value.elts[0]
        needed, kept = _names(value), []
        for statement in reversed(statements):
            assert isinstance(statement, ast.Assign)
            if _names(statement.targets[0]) & needed:
                needed |= _names(statement.value)
                kept.append(statement)
        returned = ast.copy_location(ast.Return(value), last)
        arguments = ast.arguments(
            posonlyargs=[], args=[ast.arg(a.arg) for a in self.tree.args.args], kwonlyargs=[], kw_defaults=[], defaults=[]
        )
        definition = ast.FunctionDef(self.name, arguments, [*reversed(kept), returned], decorator_list=[])
        module = ast.fix_missing_locations(ast.Module([definition], type_ignores=[]))
        compiled = compile(module, self.function.__code__.co_filename, "exec")
        return next(constant for constant in compiled.co_consts if isinstance(constant, types.CodeType))


def formula(function: Callable[..., Reals]) -> Formula:
    """Reads a Python function as a formula; raises `FormulaError` for what lies outside of the language."""
    return Formula(function)


def _parse(function: types.FunctionType) -> ast.FunctionDef:
    try:
        source = inspect.getsource(function)
    except OSError as error:
        raise FormulaError(
            f"the source of {function.__name__} can't be read; write the formula in a file or a notebook cell"
        ) from error
    tree = ast.parse(textwrap.dedent(source)).body[0]
    ast.increment_lineno(tree, function.__code__.co_firstlineno - 1)
    if not isinstance(tree, ast.FunctionDef):
        raise FormulaError(f"a formula is a function written with def, got {ast.unparse(tree)}")
    return tree


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _names(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


_INSTEAD = {
    ast.IfExp: "where(condition, x, y)",
    ast.If: "where(condition, x, y)",
    ast.BoolOp: "nested where(...)",
    ast.For: "straight-line assignments",
    ast.While: "straight-line assignments",
    ast.AugAssign: "a new name for the new value",
    ast.AnnAssign: "a plain assignment",
    ast.Subscript: "an operand or a parameter of its own",
    ast.Attribute: "the word alone, such as exp(x)",
    ast.Lambda: "a formula of its own, called by name",
}
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div)
_COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
_OTHER_NAMES = {"min": "minimum", "max": "maximum", "clamp": "minimum", "pow": "product", "fabs": "abs", "ln": "log"}


class _Kind:
    """What an expression is: a condition or a real, and whether it varies from element to element."""

    def __init__(self, varies: bool, condition: bool = False) -> None:
        self.varies, self.condition = varies, condition


class _Check:
    """Walks a formula once, refuses what lies outside of the language, and finds its operands and parameters."""

    def __init__(
        self, function: types.FunctionType, tree: ast.FunctionDef, subformulas: Mapping[str, Formula]
    ) -> None:
        self.file, self.subformulas = function.__code__.co_filename, subformulas
        arguments = tree.args
        if arguments.posonlyargs or arguments.kwonlyargs or arguments.vararg or arguments.kwarg or arguments.defaults:
            self.refuse(tree, "arguments other than plain names", "def f(prediction, target, delta)")
        *statements, last = tree.body[1:] if _is_docstring(tree.body[0]) else tree.body
        if not isinstance(last, ast.Return) or not isinstance(last.value, ast.Tuple):
            self.refuse(last, "a last line that is not a return of several", "return value, derivative, ...")
        names = [argument.arg for argument in arguments.args]
        count = len(last.value.elts) - 1
        if not 1 <= count <= len(names):
            self.refuse(
                last,
                f"{count} derivatives for {len(names)} arguments",
                "return value, then one derivative for each operand (operands are the first arguments)",
            )
        self.operands, self.parameters = tuple(names[:count]), tuple(names[count:])
        self.known = {name: _Kind(varies=position < count) for position, name in enumerate(names)}
        for statement in statements:
            self.statement(statement)
        for returned in last.value.elts:
            self.real(returned)
        self.differentiable = tuple(
            not (isinstance(d, ast.Constant) and d.value == 0) for d in last.value.elts[1:]
        )

    def refuse(self, node: ast.AST, what: str, instead: str) -> NoReturn:
        line: int = getattr(node, "lineno", 1)
        text = linecache.getline(self.file, line)
        message = f"{what} lies outside of the formula language; write {instead}"
        raise FormulaError(message, (self.file, line, getattr(node, "col_offset", 0) + 1, text))

    def statement(self, node: ast.stmt) -> None:
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            self.refuse(node, f"`{ast.unparse(node)}`", _INSTEAD.get(type(node), "name = expression"))
        target = node.targets[0]
        if isinstance(target, ast.Tuple):
            self.unpack(target, node.value)
        elif isinstance(target, ast.Name):
            kind = self.expression(node.value)
            self.assign(target, kind)
        else:
            self.refuse(node, f"`{ast.unparse(node)}`", "name = expression")

    def unpack(self, target: ast.Tuple, value: ast.expr) -> None:
        call = value if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) else None
        called = self.subformulas.get(call.func.id) if call and isinstance(call.func, ast.Name) else None
        if call is None or called is None:
            self.refuse(value, f"`{ast.unparse(value)}`", "a call of a formula where several names are assigned")
        self.arguments(call, len(called.operands) + len(called.parameters))
        expected = 1 + len(called.operands)
        if len(target.elts) != expected:
            self.refuse(target, f"{len(target.elts)} names for {expected} results", f"all of what {called.name} returns")
        for name in target.elts:
            self.assign(name, _Kind(varies=True))

    def assign(self, target: ast.expr, kind: _Kind) -> None:
        if not isinstance(target, ast.Name):
            self.refuse(target, f"`{ast.unparse(target)}`", "name = expression")
        if target.id in self.known or target.id in WORDS:
            self.refuse(target, f"a second value for `{target.id}`", "a new name for it")
        self.known[target.id] = kind

    def real(self, node: ast.expr) -> _Kind:
        kind = self.expression(node)
        if kind.condition:
            self.refuse(node, f"the condition `{ast.unparse(node)}` used as a number", "where(condition, x, y)")
        return kind

    def expression(self, node: ast.expr) -> _Kind:
        text = ast.unparse(node)
        if isinstance(node, ast.Constant):
            if type(node.value) not in (int, float):
                self.refuse(node, f"`{text}`", "a number")
            return _Kind(varies=False)
        if isinstance(node, ast.Name):
            if node.id not in self.known:
                self.refuse(node, f"the name `{node.id}`, which is no argument and not assigned above,", "a parameter")
            return self.known[node.id]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return self.real(node.operand)
        if isinstance(node, ast.BinOp):
            if not isinstance(node.op, _OPERATORS):
                instead = "x * x" if isinstance(node.op, ast.Pow) else "one of + - * /, or a word of the vocabulary"
                self.refuse(node, f"`{text}`", instead)
            left, right = self.real(node.left), self.real(node.right)
            return _Kind(left.varies or right.varies)
        if isinstance(node, ast.Compare):
            if len(node.ops) != 1 or not isinstance(node.ops[0], _COMPARISONS):
                self.refuse(node, f"`{text}`", "one comparison at a time: < <= > >= == !=")
            left, right = self.real(node.left), self.real(node.comparators[0])
            return _Kind(left.varies or right.varies, condition=True)
        if isinstance(node, ast.Call):
            return self.call(node)
        self.refuse(node, f"`{text}`", _INSTEAD.get(type(node), "arithmetic, comparisons and words of the vocabulary"))

    def call(self, node: ast.Call) -> _Kind:
        if not isinstance(node.func, ast.Name):
            word = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            instead = f"{word}(...)" if word in WORDS else "a word of the vocabulary: " + ", ".join(WORDS)
            self.refuse(node, f"`{ast.unparse(node.func)}(...)`", instead)
        name = node.func.id
        if name in self.subformulas:
            names = ", ".join(["value", *(f"d_{o}" for o in self.subformulas[name].operands)])
            self.refuse(node, f"a formula's results inside of an expression, `{name}(...)`,", f"{names} = {name}(...)")
        if name not in WORDS:
            near = _OTHER_NAMES.get(name) or next(iter(difflib.get_close_matches(name, WORDS, 1)), None)
            self.refuse(node, f"`{name}(...)`", f"{near}(...)" if near else "one of: " + ", ".join(WORDS))
        if name != "where":
            kinds = self.arguments(node, WORDS[name].arity)
            return _Kind(any(kind.varies for kind in kinds))
        if len(node.args) != 3 or not self.expression(node.args[0]).condition:
            self.refuse(node, f"`{ast.unparse(node)}`", "where(condition, x, y) with a comparison as the condition")
        x, y = self.real(node.args[1]), self.real(node.args[2])
        if not (x.varies or y.varies):
            # two plain numbers have no dtype of their own, and each backend would guess another one
            self.refuse(node, f"a choice between two numbers, `{ast.unparse(node)}`,", "where(condition, x, 0.0) with x an operand's")
        return _Kind(varies=True)

    def arguments(self, node: ast.Call, arity: int) -> list[_Kind]:
        assert isinstance(node.func, ast.Name)
        if node.keywords or len(node.args) != arity:
            taken = WORDS[node.func.id].arguments if node.func.id in WORDS else f"{arity} arguments"
            self.refuse(node, f"`{ast.unparse(node)}`", f"{node.func.id}({taken})")
        return [self.real(argument) for argument in node.args]
