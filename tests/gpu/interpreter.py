"""A process with Triton's interpreter, which runs tests for this one and reports them.

Whether Triton interprets is decided when it is imported, for a whole process. So each process that runs tests has
another beside it, which collected the same tests and is told their names one by one; what it reports of a test counts
as this process's own report.
"""

import multiprocessing
import os
import types
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch


class Interpreter:
    """The other process, from the side of the one that asks."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, str(config.rootpath)), daemon=True)
        before = os.environ.get("TRITON_INTERPRET")
        os.environ["TRITON_INTERPRET"] = "1"
        try:
            self.process.start()
        finally:
            if before is None:
                del os.environ["TRITON_INTERPRET"]
            else:
                os.environ["TRITON_INTERPRET"] = before
        theirs.close()  # so that this side learns of the other's death

    def run(self, item: pytest.Item) -> list[pytest.TestReport]:
        """The reports of a test: of its setup, itself and its teardown."""
        self.connection.send(item.nodeid)
        try:
            found = self.connection.recv()
        except EOFError:
            self.process.join()
            return [_died(item, self.process.exitcode)]
        return [self.config.hook.pytest_report_from_serializable(config=self.config, data=data) for data in found]

    @property
    def alive(self) -> bool:
        return self.process.is_alive()

    def stop(self) -> None:
        self.connection.close()
        self.process.join()


class Server:
    """The other process, from its own side: a session of pytest that runs what it is told to."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.items: dict[str, pytest.Item] = {}
        self.reports: list[pytest.TestReport] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """All of them, before any is left out: which are run is the other side's choice."""
        self.items = {item.nodeid: item for item in items}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        while True:
            try:
                nodeid = self.connection.recv()
            except EOFError:
                return True
            # all hooks of a test, those among them that filter warnings
            item = self.items[nodeid]
            item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
            self.connection.send([_serialized(session.config, report) for report in self.reports])
            self.reports.clear()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.reports.append(report)


def _died(item: pytest.Item, code: int | None) -> pytest.TestReport:
    why = f"the process with Triton's interpreter ended with exit code {code}"
    return pytest.TestReport(item.nodeid, item.location, {}, "failed", why, "call")


def _serialized(config: pytest.Config, report: pytest.TestReport) -> dict[str, Any]:
    data: dict[str, Any] = config.hook.pytest_report_to_serializable(config=config, report=report)
    return data


def interpret_as_a_device() -> None:
    """Mends the interpreter where it is no device: float32 is rounded to bfloat16, and not truncated; min and max drop
    NaN unless they are asked to keep it, as the interpreter's reductions do too.

    And where it is slow: for every function that a kernel calls it puts its own into Triton's language once more,
    which is most of its time. Here they go in once and stay.
    """
    import triton.language as tl
    from triton.runtime import interpreter
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    cast = InterpreterBuilder.cast_impl

    def rounding(self: Any, source: Any, dtype: Any) -> Any:
        if source.dtype.scalar != tl.float32 or dtype.scalar != tl.bfloat16:
            return cast(self, source, dtype)
        rounded = torch.from_numpy(numpy.ascontiguousarray(source.data)).bfloat16().view(torch.uint16)
        return TensorHandle(rounded.numpy().reshape(source.data.shape), tl.bfloat16)

    patch = interpreter._patch_lang
    patched: set[frozenset[str]] = set()

    def patch_once(function: Any) -> Any:
        languages = [value.__name__ for value in function.__globals__.values() if value is tl or value is tl.core]
        if frozenset(languages) not in patched:
            patched.add(frozenset(languages))
            patch(function)
        return types.SimpleNamespace(restore=lambda: None)

    interpreter._patch_lang = patch_once
    InterpreterBuilder.cast_impl = rounding
    InterpreterBuilder.create_minnumf = lambda self, x, y: self.binary_op(x, y, numpy.fmin)
    InterpreterBuilder.create_maxnumf = lambda self, x, y: self.binary_op(x, y, numpy.fmax)


def serve(connection: Connection, root: str) -> None:
    os.chdir(root)
    pytest.main(
        [str(Path(__file__).parent), "-p", "no:terminal", "-p", "no:cacheprovider"], plugins=[Server(connection)]
    )
