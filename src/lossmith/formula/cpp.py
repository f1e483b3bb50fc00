"""Prints formulas as C++: an expression of the language is one of C++ too, but for the type of its numbers."""

import ast
import copy
from collections.abc import Iterable
from pathlib import Path

from .definition import Definition

VOCABULARY = Path(__file__).with_name("vocabularies") / "cpp.h"
"""The header that printed formulas include: the words of the language in C++."""

_TEMPLATE = """\
template <typename T>
inline std::array<T, {count}> {name}({arguments}) {{
{body}\
    return {{
{results}
    }};
}}
"""

_HEADER = """\
// Generated from the formulas in lossmith/losses by lossmith/formula/print_header.py. Do not edit.
#pragma once

#include "lossmith/formula/vocabularies/cpp.h"

namespace lossmith {{
inline namespace LOSSMITH_ISA {{

{functions}
}}  // inline namespace LOSSMITH_ISA
}}  // namespace lossmith

// X(name, operands, parameters)
{listed}
"""

_KEYWORDS = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t char8_t class co_await
    co_return co_yield compl concept const const_cast consteval constexpr constinit continue decltype default delete do
    double dynamic_cast else enum explicit export extern false float for friend goto if inline int long mutable
    namespace new noexcept not not_eq nullptr operator or or_eq private protected public register reinterpret_cast
    requires return short signed sizeof static static_assert static_cast struct switch template this thread_local throw
    true try typedef typeid typename union unsigned using virtual void volatile wchar_t while xor xor_eq
"""
_RESERVED = frozenset(_KEYWORDS.split()) | {"T", "std"}


def cpp(formulas: Iterable[Definition]) -> str:
    """C++ functions of the formulas, in the namespace lossmith, after the formulas that they call.

    Each is a template over float and double, and returns the value and the derivatives as a std::array.
    """
    return "namespace lossmith {\n\n" + _functions(formulas) + "\n}  // namespace lossmith\n"


def header(formulas: Iterable[Definition]) -> str:
    """The header that kernels are built from: all formulas, in the namespace of one instruction set, and their list."""
    formulas = list(formulas)
    rows = [f"    X({identifier(f.name)}, {len(f.operands)}, {len(f.parameters)})" for f in formulas]
    listed = " \\\n".join(["#define LOSSMITH_FORMULAS(X)", *rows])
    return _HEADER.format(functions=_functions(formulas), listed=listed)


def _functions(formulas: Iterable[Definition]) -> str:
    ordered: dict[str, Definition] = {}
    for formula in formulas:
        _add(formula, ordered)
    return "\n".join(map(_function, ordered.values()))


def _add(formula: Definition, ordered: dict[str, Definition]) -> None:
    for called in formula.subformulas.values():
        _add(called, ordered)
    if ordered.setdefault(formula.name, formula) is not formula:
        raise ValueError(
            f"two formulas have the name {formula.name!r}, in {ordered[formula.name].file} and {formula.file}"
        )


def _function(formula: Definition) -> str:
    arguments = (*formula.operands, *formula.parameters)
    return _TEMPLATE.format(
        count=1 + len(formula.operands),
        name=identifier(formula.name),
        arguments=", ".join(f"const T {identifier(argument)}" for argument in arguments),
        body="".join(f"    {_assignment(formula, statement)};\n" for statement in formula.statements),
        results="\n".join(f"        {_expression(formula, result)}," for result in formula.results),
    )


def _assignment(formula: Definition, statement: ast.Assign) -> str:
    target, value = statement.targets[0], _expression(formula, statement.value)
    if isinstance(target, ast.Tuple):
        # C++ knows no name that may be given twice
        skipped = f"skipped_{statement.lineno}"
        parts = [_expression(formula, name) for name in target.elts]
        names = ", ".join(f"{skipped}_{i}" if part == "_" else part for i, part in enumerate(parts))
        return f"[[maybe_unused]] const auto [{names}] = {value}"
    return f"const auto {_expression(formula, target)} = {value}"


def _expression(formula: Definition, node: ast.expr) -> str:
    return ast.unparse(_Typed(formula).visit(copy.deepcopy(node)))


class _Typed(ast.NodeTransformer):
    """Gives each number the type of the template, and each name one that C++ accepts."""

    def __init__(self, formula: Definition) -> None:
        self.formula = formula

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        assert isinstance(node.value, (int, float))
        return ast.Call(ast.Name("T"), [ast.Constant(float(node.value))], [])

    def visit_Name(self, node: ast.Name) -> ast.expr:
        called = self.formula.subformulas.get(node.id)
        return ast.Name(identifier(called.name if called else node.id))


def identifier(name: str) -> str:
    """A formula's name, or one in it, as C++ has it: keywords get an underscore."""
    return name + "_" if name in _RESERVED else name
