"""A call that is repeated from its plan gives what it gives when it is made anew; and what is another call is none."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import lossmith.functional as LF
from cases import Arguments, Case
from kernels import (
    REPEATED,
    combinations,
    each_case,
    evaluate,
    identical,
    leaves_of,
    made_anew,
    ran,
    random_tensor,
    reference,
    same,
)

pytest.importorskip("triton")

from lossmith.loops import fused, launches
from lossmith.loops.triton import Divisor
from lossmith.reduction import Reduction


@pytest.fixture(autouse=True)
def no_plans(monkeypatch):
    monkeypatch.setattr(launches, "_plans", {})


def of_random(device: str, shape: tuple[int, ...], seed: int) -> Tensor:
    return random_tensor(shape, seed, dtype=torch.float32).to(device)


def drawn(case: Case, arguments: Arguments, device: str, count: int) -> Iterator[dict[str, Any]]:
    """Some combinations of keywords, as `evaluate` takes them after the arguments."""
    shape = case.shape(arguments)
    for keywords in random.Random(str(case)).sample(combinations(shape, device), count):
        leaf = keywords.pop("leaf", False)
        if "sample_weight" in keywords:
            keywords["sample_weight"] = keywords["sample_weight"].to(arguments[leaves_of(case)[0]].dtype)
        upstream = of_random(device, tuple(shape), 3) if keywords["reduction"] == "none" else None
        yield {"leaves": [*leaves_of(case), *["sample_weight"] * leaf], "upstream": upstream, **keywords}


@each_case
def test_the_second_call_is_as_if_it_were_the_first(case, device):
    first, second = (case(5, dtype=torch.float32, device=device, seed=seed) for seed in (1, 2))
    for keywords in drawn(case, first, device, 4):
        with ran("triton"):
            evaluate(case.function, first, **keywords)
            known = len(launches._plans)
            found = evaluate(case.function, second, **keywords)
        assert len(launches._plans) == known, "the second call was made anew"
        # the gradient of what is broadcast is summed by torch
        assert str(case) in REPEATED or None not in launches._plans.values(), "the first call could not be repeated"
        with made_anew(), ran("triton"):
            identical(found, evaluate(case.function, second, **keywords))


@each_case
def test_a_key_says_all_that_a_launch_depends_on(case, device):
    """Calls of one key, made anew with several combinations of keywords, have one plan."""
    plans: dict[Any, Any] = {}

    class Compared(dict):  # type: ignore[type-arg]
        """Keeps nothing, so that every call is made anew, and compares its plan with that of the same key before."""

        def __setitem__(self, key: Any, plan: Any) -> None:
            if plan is not None:
                plan = plan._replace(launches=[launch._replace(start=None) for launch in plan.launches])
            assert plans.setdefault(key, plan) == plan

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launches, "_plans", Compared())
        for seed in (1, 2):
            for dtype in (torch.float32, torch.float16):
                arguments = case(5, dtype=dtype, device=device, seed=seed)
                for keywords in drawn(case, arguments, device, 5):
                    evaluate(case.function, arguments, **keywords)


CALLS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "huber": lambda x, y: LF.huber_loss(x, y),
    "cross_entropy": lambda x, y: LF.cross_entropy(x, y.argmax(1)),
    "probabilities": lambda x, y: LF.cross_entropy(x, y.softmax(1)),
    "cosine": lambda x, y: LF.cosine_embedding_loss(x, y, torch.ones(len(x), device=x.device)),
}
each_call = pytest.mark.parametrize("name", CALLS)


def agrees(name: str, x: Tensor, y: Tensor, upstream: float = 1.0) -> None:
    """The call's value and gradients are those of the reference."""
    function, given = CALLS[name], {"x": x, "y": y}
    with ran("triton"):
        found = evaluate(function, given, ["x"], torch.tensor(upstream))
    with reference():
        same(found, evaluate(function, given, ["x"], torch.tensor(upstream)))


@each_call
def test_layouts_and_addresses_are_told_apart(name, device):
    x, y = of_random(device, (6, 8), 0), of_random(device, (6, 8), 1)
    long = of_random(device, (49,), 2)
    for _ in range(2):
        for point in (
            x,
            of_random(device, (8, 6), 3).T,
            long[1:].view(6, 8),
            of_random(device, (12, 8), 4)[::2],
            x.double(),
            long[:48].view(6, 8),
        ):
            agrees(name, point, y.to(point.dtype))
            agrees(name, y.to(point.dtype), point)


@each_call
def test_a_tensor_that_is_given_twice(name, device):
    x, y = of_random(device, (4, 8), 0), of_random(device, (4, 8), 1)
    for _ in range(2):
        agrees(name, x, x)
        agrees(name, x, y)
        agrees(name, y, x)


def test_upstream_gradients_and_later_backwards(device):
    for upstream in (1.0, 0.37, 1.0, 0.0, -2.0):
        agrees("huber", of_random(device, (40,), 0), of_random(device, (40,), 1), upstream)
        agrees("cross_entropy", of_random(device, (4, 8), 0), of_random(device, (4, 8), 1), upstream)
    x = of_random(device, (40,), 2).requires_grad_()
    with ran("triton"):
        loss = LF.huber_loss(x, torch.zeros(40, device=device))
        once, again = (torch.autograd.grad(loss, x, retain_graph=True)[0] for _ in range(2))
        other = LF.huber_loss(x, torch.zeros(40, device=device))
        torch.autograd.grad(other, x)
    identical(once, again)  # no call writes what another has handed out


def test_numbers_are_told_apart(device):
    x, y = of_random(device, (5, 4), 0), of_random(device, (5, 4), 1)
    labels = torch.tensor([0, 3, 1, 1, 2], device=device)
    for _ in range(2):
        for delta in (0.1, 1.0):
            for reduction in ("mean", "sum", "none", "batchmean"):
                with ran("triton"):
                    found = LF.huber_loss(x, y, reduction, delta)
                with reference():
                    same(found, LF.huber_loss(x, y, reduction, delta))
        for keywords in ({}, {"label_smoothing": 0.1}, {"ignore_index": 1}, {"ignore_index": 3}, {"normalizer": 3.0}):
            with ran("triton"):
                found = LF.cross_entropy(x, labels, **keywords)
            with reference():
                same(found, LF.cross_entropy(x, labels, **keywords))


def test_a_tensor_of_the_host_is_no_number():
    """A normaliser on the host is read anew by every call."""

    class Call(fused.Counted):
        pass

    of_tensor, of_number = Call(), Call()
    of_tensor.count_by(Divisor, Reduction("mean", normalizer=torch.tensor(1.0)))
    of_number.count_by(Divisor, Reduction("mean", normalizer=1.0))
    assert of_tensor.counting != of_number.counting


def test_what_needs_more_than_kernels_is_made_anew(device):
    """The gradient of what is broadcast is summed by torch."""
    for seed in (0, 1):
        x, y = of_random(device, (3, 4), seed), of_random(device, (4,), seed + 2)
        given = {"input": x, "target": y, "delta": 1.0}
        with ran("triton"):
            found = evaluate(LF.huber_loss, given, ["input", "target"])
        with reference():
            same(found, evaluate(LF.huber_loss, given, ["input", "target"]))
    assert None in launches._plans.values()


def test_plans_do_not_pile_up(device, monkeypatch):
    monkeypatch.setattr(launches, "MOST_PLANS", 4)
    for n in range(1, 12):
        agrees("huber", of_random(device, (n,), 0), of_random(device, (n,), 1))
        assert 0 < len(launches._plans) <= 4
