"""Kernels of similarities: once a tile, for what asks; the same bits for any number of threads; what changed since."""

import itertools
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor

from cases import Case
from kernels import each_reduction, evaluate, leaves_of, same, same_bits
from lossmith.loops.similarity import tiled
from lossmith.native import core

from .conftest import SIMILARITY_CASES, ran_natively

KERNELS = ("similarity_rows", "similarity_sums", "similarity_derivatives")
each_case = pytest.mark.parametrize("case", SIMILARITY_CASES, ids=str)


@pytest.fixture
def tiles(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, bool]]:
    """How many tiles of two rows each kernel ran on, and whether it left derivatives there."""
    monkeypatch.setattr(tiled, "rows_of_tile", lambda columns, itemsize: 2)
    seen: Counter[tuple[str, bool]] = Counter()

    def spy(name: str) -> Any:
        kernel = getattr(core, name)

        def call(*args: Any) -> Any:
            derivatives = name == "similarity_derivatives" or (name == "similarity_rows" and args[9] is not None)
            seen[name, derivatives] += 1
            return kernel(*args)

        return call

    for name in KERNELS:
        monkeypatch.setattr(core, name, spy(name))
    return seen


def tiles_of(case: Case, arguments: dict[str, Any], derivatives: bool) -> dict[tuple[str, bool], int]:
    """What one pass over a batch takes."""
    rows = len(arguments["input"]) * (2 if arguments.get("pairing") == "views" else 1)
    count = (rows + 1) // 2
    if arguments.get("pairing") != "symmetric":
        return {("similarity_rows", derivatives): count}
    sums = {("similarity_sums", False): count}
    return {**sums, ("similarity_derivatives", True): count} if derivatives else sums


@each_case
def test_a_reduced_loss_makes_its_gradients_in_the_one_pass_forward(case, tiles):
    arguments = case(7)
    names = leaves_of(case)
    _, whole = evaluate(case.function, arguments, names, torch.tensor(0.5))
    for count in range(len(names) + 1):
        for leaves in itertools.combinations(names, count):
            points = {name: arguments[name].detach().requires_grad_() for name in leaves}
            tiles.clear()
            with ran_natively():
                loss = case.function(**{**arguments, **points})
            assert tiles == tiles_of(case, arguments, bool(leaves))
            assert loss.requires_grad == bool(leaves)
            if leaves:
                found = torch.autograd.grad(loss, [*points.values()], torch.tensor(0.5, dtype=loss.dtype))
                assert tiles == tiles_of(case, arguments, True), "backward ran a kernel again"
                same(dict(zip(leaves, found, strict=True)), {name: whole[name] for name in leaves})


@each_case
def test_an_unreduced_loss_makes_them_in_backward(case, tiles):
    arguments = case(7)
    points = {name: arguments[name].detach().requires_grad_() for name in leaves_of(case)}
    with ran_natively():
        loss = case.function(**{**arguments, **points}, reduction="none")
        assert tiles == tiles_of(case, arguments, False)
        tiles.clear()
        loss.backward(torch.ones_like(loss))
    assert tiles == tiles_of(case, arguments, True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@each_case
def test_p10_any_number_of_threads_gives_the_same_bits(case, dtype, monkeypatch):
    """Of the kernels; the products are those of torch's BLAS, which may sum in another order."""
    arguments = case(500 if case.together else 20_000, dtype=dtype)
    kernels = {name: getattr(core, name) for name in KERNELS}
    expected: dict[str, Any] = {}
    for threads in (1, 2, 7):
        for name, kernel in kernels.items():
            monkeypatch.setattr(core, name, lambda *args, kernel=kernel, n=threads: kernel(*args[:-1], n))
        for reduction in ("mean", "none"):
            with ran_natively():
                found = evaluate(case.function, arguments, leaves_of(case), torch.tensor(0.37), reduction=reduction)
            same_bits(found, expected.setdefault(reduction, found))


@each_reduction
@each_case
def test_what_is_changed_before_backward_is_refused_or_changes_nothing(case, reduction):
    """Vectors are used scaled, and labels in their order: where those are copies, the caller's may change."""
    for name in {*leaves_of(case), *case.axes}:
        arguments = case(4)
        points = {n: arguments[n].requires_grad_() for n in leaves_of(case)}
        # what the loss sees is no leaf, so that it may be written
        copies = {n: t.clone() for n, t in arguments.items() if isinstance(t, Tensor)}
        loss = case.function(**{**arguments, **copies}, reduction=reduction)
        expected = torch.autograd.grad(loss, [*points.values()], torch.ones_like(loss), retain_graph=True)
        with torch.no_grad():
            copies[name].fill_(1)
        try:
            found = torch.autograd.grad(loss, [*points.values()], torch.ones_like(loss))
        except RuntimeError as error:
            assert "modified by an inplace operation" in str(error)
        else:
            same(found, expected)
