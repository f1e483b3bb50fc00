"""What every test runs under: one thread, one seed, and a fixed sample of the cases unless --all asks for every one."""

import os

# Workers run side by side and share the cores. Set before torch is loaded, so that child processes have it too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import random
import zlib
from collections import Counter

import numpy
import pytest
import torch
from hypothesis import settings

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

settings.register_profile("sample", max_examples=50, deadline=None, derandomize=True)
settings.register_profile("all", max_examples=500, deadline=None, derandomize=True)


MANY = 60
"""So many cases of one test, or up to twice as many, are enough for a sample."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="every case and every slow test (same as LOSSMITH_TESTS=all)")


def pytest_configure(config: pytest.Config) -> None:
    """The environment carries the choice: test modules read it while they are collected, child processes inherit it."""
    if config.getoption("--all"):
        os.environ["LOSSMITH_TESTS"] = "all"
    settings.load_profile("all" if everything() else "sample")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out slow tests, and cases of tests with very many, unless all are asked for or some are picked with -m.

    Tests that need a GPU are skipped where there is none.
    """
    if not everything() and not config.getoption("-m"):
        cases = Counter(map(of_function, items))
        kept, left = [], []
        for item in items:
            share = max(1, cases[of_function(item)] // MANY)
            sampled_out = zlib.crc32(item.nodeid.encode()) % share
            (left if sampled_out or item.get_closest_marker("slow") else kept).append(item)
        config.hook.pytest_deselected(items=left)
        items[:] = kept
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def of_function(item: pytest.Item) -> str:
    """The test without its case."""
    return item.nodeid.partition("[")[0]


@pytest.fixture(autouse=True)
def seed() -> None:
    """Each test draws the same numbers, whichever tests run beside it."""
    random.seed(0)
    numpy.random.seed(0)
    torch.manual_seed(0)


def everything() -> bool:
    return os.environ.get("LOSSMITH_TESTS") == "all"
