"""Imports: which names come from the files, and which from outside."""

from __future__ import annotations

import libcst as cst

from . import outside
from .machine import (
    Machine,
    dotted,
)
from .source import Source, absolute_module, relative_module
from .values import (
    Data,
    File,
    Outside,
    Table,
    Value,
)


class Imports(Machine):
    def _run_Import(self, node: cst.Import) -> bool:
        for alias in node.names:
            name = dotted(alias.name)
            if alias.asname is not None:
                self._assign(alias.asname.name, self._module(name))
            else:
                first = name.split(".")[0]
                module = self._module(first)
                if isinstance(module, Outside) and "." in name and (whole := self._module(name)) != Outside(name):
                    module = Table({})  # a package without a file of its own
                    self._nest(module, name.split(".")[1:], whole)
                self._write(self._scope_of(first), first, module)
        return False

    def _nest(self, table: Table, path: list[str], value: Value) -> None:
        entries = table.entries
        assert isinstance(entries, dict)
        if len(path) == 1:
            entries[path[0]] = value
        else:
            self._nest(entries.setdefault(path[0], Table({})), path[1:], value)

    def _run_ImportFrom(self, node: cst.ImportFrom) -> bool:
        name = "" if node.module is None else dotted(node.module)
        level = len(node.relative)
        module = self._module(name, level)
        if isinstance(node.names, cst.ImportStar):
            if isinstance(module, File | Outside):
                self._frame.scope.stars.insert(0, module)
            return False
        for alias in node.names:
            what = dotted(alias.name)
            value: Value | None = None
            if isinstance(module, File):
                value = module.names.get(what) or self._from_stars_of(module, what)
            if value is None and (isinstance(module, File) or level or self._is_package(name)):
                found = self._module(f"{name}.{what}" if name else what, level)
                value = found if isinstance(found, File) else None
            if value is None:
                value = Outside(f"{module.name}.{what}") if isinstance(module, Outside) else Data(name=what)
            bound = what if alias.asname is None else None
            if bound is not None:
                self._write(self._scope_of(bound), bound, value)
            elif alias.asname is not None:
                self._assign(alias.asname.name, value)
        return False

    def _from_stars_of(self, file: File, name: str) -> Value | None:
        """What a file holds by a star import."""
        for statement in file.source.tree.body:
            for line in statement.body if isinstance(statement, cst.SimpleStatementLine) else ():
                if isinstance(line, cst.ImportFrom) and isinstance(line.names, cst.ImportStar) and line.module:
                    module = self._module(dotted(line.module), len(line.relative), file.source)
                    if isinstance(module, File | Outside) and module is not file:
                        found = self._from_star(module, name)
                        if found is not None:
                            return found
        return None

    def _is_package(self, name: str) -> bool:
        return not outside.is_library(name)

    def _module(self, name: str, level: int = 0, source: Source | None = None) -> Value:
        """A module by the name in an import statement."""
        path = (source or self._frame.source).path
        if not level and outside.is_library(name):
            return Outside(name)
        for candidate in relative_module(path, level, name) if level else absolute_module(path, name):
            found = self._open_file(candidate)
            if found is not None:
                return self.file(found)
        return Outside("." * level + name)
