"""Whether two implementations of a loss agree on a call: value, first derivative and second derivative."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from .samples import HALVES, NO_SECOND_DERIVATIVE, Call

Function = Callable[..., Any]

USED = Counter[str]()
"""How many comparisons used which exception to "torch's own number", over this process."""


@dataclass
class Outcome:
    """What came out: by name, the value and the derivatives; an absent gradient counts as zeros."""

    parts: dict[str, Tensor]
    connected: dict[str, bool]

    def rounded(self, like: "Outcome") -> "Outcome":
        return Outcome({k: v.to(like.parts[k].dtype) for k, v in self.parts.items() if k in like.parts}, self.connected)


def differentiable(torchs: Function, call: Call) -> list[int]:
    """The positions of the tensors that torch differentiates, each tried on its own."""
    found = []
    for index, tensor in enumerate(call.tensors()):
        if not (tensor.is_floating_point() or tensor.is_complex()):
            continue
        tensors = [t.detach() for t in call.tensors()]
        tensors[index].requires_grad_()
        try:
            value = apply(torchs, call.with_tensors(tensors))
        except (RuntimeError, NotImplementedError) as error:
            assert "not differentiable" in str(error) or "not implemented" in str(error), error
            continue
        if value.requires_grad:
            found.append(index)
    return found


def apply(function: Function, call: Call) -> Tensor:
    """Calls the function, or builds the Module and calls it. torch's advice on legal calls is not the matter here."""
    with warnings.catch_warnings():
        # torch's words on kl_div's mean and on what broadcasts; lossmith.LossWarning on the latter. Nothing else.
        for advice in (
            "reduction: 'mean' divides the total loss",
            "Using a target size",
            ".*broadcast to",
        ):
            warnings.filterwarnings("ignore", advice, UserWarning)
        if call.constructor is not None:
            args, kwargs = call.constructor
            function = function(*args, **kwargs)
        result: Tensor = function(*call.args, **call.kwargs)
        return result


def outcome(
    function: Function, call: Call, wanted: list[int], second: bool = True, like: Outcome | None = None
) -> Outcome:
    """Value and derivatives with random upstream numbers, the same for every implementation.

    The first gradients are contracted with numbers of their own signs (those of `like`, if given), so that the test
    adds no cancellation of its own to the second derivative.
    """
    tensors = [t.detach() for t in call.tensors()]
    leaves = [tensors[index].requires_grad_() for index in wanted]
    before = [(t.detach().clone(), t._version) for t in tensors]
    value = apply(function, call.with_tensors(tensors))
    parts, connected = {"value": value.detach()}, {"value": value.requires_grad}
    if value.requires_grad and leaves:
        upstream = random_like(value, 1).requires_grad_()
        firsts = torch.autograd.grad(value, leaves, upstream, create_graph=second, allow_unused=True)
        _keep(parts, connected, "gradient", wanted, leaves, firsts)
        if second:
            sources = [*leaves, upstream]
            signs = (parts if like is None else like.parts).items()
            aligned = [_aligned(sign, 2 + k) for k, (part, sign) in enumerate(signs) if part.startswith("gradient")]
            pairs = zip(firsts, aligned, strict=True)
            steep = [(g, v.to(g.dtype)) for g, v in pairs if g is not None and g.requires_grad]
            seconds: tuple[Tensor | None, ...] = (None,) * len(sources)
            if steep:
                seconds = torch.autograd.grad([g for g, _ in steep], sources, [v for _, v in steep], allow_unused=True)
            _keep(parts, connected, "second derivative", [*wanted, -1], sources, seconds)
    for tensor, (content, version) in zip(tensors, before, strict=True):
        torch.testing.assert_close(tensor.detach(), content, rtol=0, atol=0, equal_nan=True, msg="an input was written")
        assert tensor._version == version, "an input was written"
    return Outcome(parts, connected)


def _keep(
    parts: dict[str, Tensor],
    connected: dict[str, bool],
    what: str,
    positions: list[int],
    sources: list[Tensor],
    gradients: Iterable[Tensor | None],
) -> None:
    for position, source, gradient in zip(positions, sources, gradients, strict=True):
        of = "the upstream gradient" if position == -1 else f"tensor {position}"
        connected[f"{what} of {of}"] = gradient is not None
        parts[f"{what} of {of}"] = (torch.zeros_like(source) if gradient is None else gradient).detach()


def random_like(tensor: Tensor, seed: int) -> Tensor:
    """Numbers of both signs, away from 0, not from torch's global generator; bfloat16 holds them, so all dtypes do."""
    generator = torch.Generator().manual_seed(seed)
    shape = (*tensor.shape, 2) if tensor.is_complex() else tensor.shape
    numbers = torch.randn(shape, dtype=torch.float64, generator=generator)
    numbers = (numbers + 0.25 * numbers.sgn()).bfloat16().double()
    return (torch.view_as_complex(numbers) if tensor.is_complex() else numbers).to(tensor.dtype)


def _aligned(gradient: Tensor, seed: int) -> Tensor:
    """Random numbers with the signs (the phases) of a gradient."""
    phase = gradient.sgn()
    return random_like(gradient, seed).abs() * torch.where((phase == 0) | phase.isnan(), 1, phase)


def agree(ours: Function, torchs: Function, call: Call, truth: Function | None = None, *, second: bool = True) -> None:
    """Raises AssertionError unless ours gives torch's value, derivatives, dtypes and shapes.

    Default tolerances of torch.testing, never wider. In half precision and float32, where torch's intermediate results
    are rounded too, torch's number is either that of this dtype or that of float64 rounded once (row P06); the latter
    is counted. truth: what is right in place of torch, for a row that departs. second: with the second derivative,
    where torch has it.
    """
    call = call.fresh()
    exact = truth or torchs
    wanted = differentiable(exact, call.double())
    second = second and call.name not in NO_SECOND_DERIVATIVE
    low = call.tensors()[0].dtype in (*HALVES, torch.float32)
    try:
        expected = outcome(truth or torchs, call, wanted, second)
        got = outcome(ours, call, wanted, second, expected)
    except NotImplementedError:
        if call.tensors()[0].dtype not in HALVES:
            raise
        USED["torch has no half here (P37, P49)"] += 1
        expected = outcome(exact, call.double(), wanted, second)
        got = outcome(ours, call, wanted, second, expected)
        expected, low = expected.rounded(got), False
    for part, number in expected.parts.items():
        mine = got.parts[part]
        if expected.connected[part]:
            assert got.connected[part], f"{part}: none, where torch has one"
        assert mine.dtype == number.dtype, f"{part}: dtype {mine.dtype}, expected {number.dtype}"
        assert mine.shape == number.shape, f"{part}: shape {tuple(mine.shape)}, expected {tuple(number.shape)}"
        if close(mine, number):
            continue
        if low:
            right = outcome(exact, call.double(), wanted, second, expected).rounded(got).parts[part]
            if close(mine, right):
                USED[f"P06: {part.split(' of ')[0]} in {mine.dtype} is torch's in float64 rounded once"] += 1
                continue
        torch.testing.assert_close(mine, number, equal_nan=True, msg=lambda text, part=part: f"{part}: {text}")


def close(actual: Tensor, expected: Tensor) -> bool:
    try:
        torch.testing.assert_close(actual, expected, equal_nan=True)
    except AssertionError:
        return False
    return True


def each(calls: Iterable[Call], check: Callable[[Call], None], shown: int = 4) -> None:
    """Runs a check on every call and fails with the first failures, each with its call."""
    failures, count = [], 0
    for call in calls:
        count += 1
        try:
            check(call)
        except Exception as error:
            # Any exception is a failure of this sample; the others are still checked.
            failures.append(f"{call}\n    {type(error).__name__}: {str(error).strip()[:600]}")
    assert count, "no samples"
    if failures:
        pytest.fail(f"{len(failures)} of {count} samples fail:\n\n" + "\n\n".join(failures[:shown]), pytrace=False)
