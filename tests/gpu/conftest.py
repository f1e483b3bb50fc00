"""Where the tests of Triton's kernels run: those that ask for a `device` on a GPU, or in Triton's interpreter."""

import os

# Triton warns of a default that it will change.
os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")

import importlib.util
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest

from kernels import everything, poisoned_memory
from lossmith import backend

from .interpreter import Interpreter, interpret_as_a_device

if backend.INTERPRETED:
    interpret_as_a_device()

INTERPRETER = pytest.StashKey[Interpreter]()
SAMPLE = {"case": 80, "target": 25, "device": 6}
"""Interpreting is slow, and so is compiling: of tests that ask for the first of these one in so many is a sample."""


def on_gpu(config: pytest.Config) -> bool:
    return bool(config.getoption("-m") == "gpu")


def pytest_itemcollected(item: pytest.Item) -> None:
    """With `-m gpu` a test that asks for a device needs a GPU."""
    if asks_for_device(item) and on_gpu(item.config):
        item.add_marker("gpu")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of what is interpreted or compiled leave a sample, unless all is asked for or some is picked with -m."""
    if everything() or config.getoption("-m"):
        return
    kept, left = [], []
    for item in items:
        given = getattr(item, "fixturenames", ()) if item.path.parent == HERE else ()
        share = next((SAMPLE[name] for name in SAMPLE if name in given), 1)
        (left if zlib.crc32(item.nodeid.encode()) % share else kept).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = kept


HERE = Path(__file__).parent


def asks_for_device(item: pytest.Item) -> bool:
    return item.path.parent == HERE and "device" in getattr(item, "fixturenames", ())


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Outside of the interpreter's process a test that asks for a device is run in one that has it."""
    config = item.config
    if not asks_for_device(item) or backend.INTERPRETED or on_gpu(config) or not has_triton():
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    if INTERPRETER not in config.stash or not config.stash[INTERPRETER].alive:
        config.stash[INTERPRETER] = Interpreter(config)
        config.add_cleanup(config.stash[INTERPRETER].stop)
    for report in config.stash[INTERPRETER].run(item):
        item.ihook.pytest_runtest_logreport(report=report)
    # what the item before left standing for this one
    item.session._setupstate.teardown_exact(nextitem)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


@pytest.fixture
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where Triton's kernels run, and nothing else may; fresh memory is full of NaN."""
    if not has_triton():
        pytest.skip("Triton is not installed")
    monkeypatch.setattr(backend, "FORCED", "triton")
    # the interpreter is numpy, which warns of log(0) and 0 / 0, and of rows of NaN, as no device does
    with poisoned_memory(), numpy.errstate(all="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")
        yield "cuda" if on_gpu(request.config) else "cpu"
