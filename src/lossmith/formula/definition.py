"""What a formula says, read from its source alone: nothing here needs torch, so kernels can be built without it."""

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path

from .grammar import Signature, check, refuse, statements


class Definition:
    """A formula as it is written, checked: its arguments, its statements and what it returns."""

    def __init__(self, file: str, tree: ast.FunctionDef, subformulas: Mapping[str, "Definition"]) -> None:
        self.file, self.tree, self.subformulas = file, tree, dict(subformulas)
        self.name = tree.name
        called = {name: subformula.signature for name, subformula in self.subformulas.items()}
        self.signature: Signature = check(file, tree, called)
        self.operands, self.parameters, self.differentiable, self.words = self.signature

    @property
    def statements(self) -> list[ast.Assign]:
        """The assignments."""
        return [statement for statement in statements(self.tree) if isinstance(statement, ast.Assign)]

    @property
    def results(self) -> list[ast.expr]:
        """What is returned: the value, then the derivatives."""
        return self.result.elts

    @property
    def result(self) -> ast.Tuple:
        """The same, as one expression."""
        last = self.tree.body[-1]
        assert isinstance(last, ast.Return) and isinstance(last.value, ast.Tuple)
        return last.value

    def source(self) -> str:
        """The formula without its decorator, docstring and types."""
        return ast.unparse(self.written(self.statements, self.result)) + "\n"

    def written(self, body: list[ast.Assign], result: ast.expr) -> ast.FunctionDef:
        """A function of the formula's name and arguments, without types."""
        arguments = [ast.copy_location(ast.arg(name), self.tree) for name in (*self.operands, *self.parameters)]
        definition = ast.FunctionDef(
            name=self.name,
            args=ast.arguments(posonlyargs=[], args=arguments, kwonlyargs=[], kw_defaults=[], defaults=[]),
            body=[*body, ast.copy_location(ast.Return(result), result)],
            decorator_list=[],
        )
        return ast.copy_location(definition, self.tree)


def called_names(tree: ast.FunctionDef) -> list[str]:
    """The names that a formula calls, words included."""
    return sorted({n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)})


def read_formulas(files: Iterable[Path]) -> dict[str, Definition]:
    """The formulas of some Python files, by name, found by their decorator, without running the files."""
    trees: dict[str, tuple[Path, ast.FunctionDef]] = {}
    for file in sorted(files):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.FunctionDef) and any(_is_formula(d) for d in node.decorator_list):
                if node.name in trees:
                    refuse(str(file), node, f"a second formula called {node.name!r}", "another name")
                trees[node.name] = file, node
    found: dict[str, Definition] = {}

    def define(name: str) -> Definition:
        if name not in found:
            file, tree = trees[name]
            found[name] = Definition(str(file), tree, {n: define(n) for n in called_names(tree) if n in trees})
        return found[name]

    return {name: define(name) for name in sorted(trees)}


def _is_formula(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Name) and decorator.id == "formula"
