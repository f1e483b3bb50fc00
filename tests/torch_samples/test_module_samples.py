"""Every module_db sample of every loss, and what a Module is besides its number: repr, state, copies, signatures."""

import copy
import inspect
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from . import departures
from .compare import agree, each
from .samples import (
    MODULES,
    NAMES,
    Call,
    canonical,
    module_calls,
    module_cases,
    stratified,
)
from .targets import our_module, ours, torchs, torchs_module

CASES = [pytest.param(name, dtype, id=f"{name}-{str(dtype).removeprefix('torch.')}") for name, dtype in module_cases()]
MOST = 60


def in_module(name: str, module: Callable[..., Any]) -> Callable[..., Any]:
    """Builds the Module; for CTC, where torch's gradient is right behind log_softmax alone (row P44), with it."""
    if name != "ctc_loss":
        return module

    def build(*args: Any, **kwargs: Any) -> Callable[..., Any]:
        criterion = module(*args, **kwargs)
        return lambda log_probs, *rest: criterion(log_probs.log_softmax(-1), *rest)

    return build


def as_module(right: Callable[..., Any]) -> Callable[..., Any]:
    """What is right in place of torch, built and then called."""
    return lambda **settings: lambda *args: right(*args, **settings)


def calls(name: str, dtype: torch.dtype = torch.float64) -> list[Call]:
    return stratified(list(module_calls(name, dtype)), MOST)


@pytest.mark.parametrize("name, dtype", CASES)
def test_samples_give_torchs_value_and_derivatives(name: str, dtype: torch.dtype) -> None:
    def check(call: Call) -> None:
        for given in (call, call.non_contiguous()):
            right = departures.truth(given)
            if right is None:
                agree(in_module(name, our_module(name)), in_module(name, torchs_module(name)), given)
            else:
                agree(our_module(name), torchs_module(name), given, as_module(right))

    each(calls(name, dtype), check)


@pytest.mark.parametrize("name", NAMES)
def test_repr_state_and_copies(name: str) -> None:
    def check(call: Call) -> None:
        args, kwargs = call.constructor or ((), {})
        mine, theirs = our_module(name)(*args, **kwargs), torchs_module(name)(*args, **kwargs)
        assert isinstance(mine, torchs_module(name))
        assert type(mine).__name__ == MODULES[name]
        assert repr(mine) == repr(theirs)
        assert mine.extra_repr() == theirs.extra_repr()
        assert same_state(mine.state_dict(), theirs.state_dict())
        mine.load_state_dict(theirs.state_dict())
        theirs.load_state_dict(mine.state_dict())
        given = [value.detach() if isinstance(value, Tensor) else value for value in call.args]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "reduction: 'mean' divides the total loss", UserWarning)
            number = mine(*given)
            for copied in (copy.deepcopy(mine), pickle.loads(pickle.dumps(mine)), copy.copy(mine)):
                assert type(copied) is type(mine)
                assert repr(copied) == repr(mine)
                assert same_state(copied.state_dict(), mine.state_dict())
                torch.testing.assert_close(copied(*given), number, rtol=0, atol=0, equal_nan=True)

    each(calls(name), check)


def same_state(mine: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return list(mine) == list(theirs) and all(torch.equal(mine[key], theirs[key]) for key in mine)


POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def parameters(callable: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    return [(p.name, p.kind, p.default) for p in inspect.signature(callable).parameters.values()]


def extends(mine: Callable[..., Any], theirs: Callable[..., Any], also: set[str]) -> None:
    """Ours takes torch's parameters (names, order, kinds, defaults), then keyword-only ones, `also` among them.

    What torch asks for may have a default: a miner takes the place of a negative.
    """
    expected = parameters(theirs)
    asked = {name for name, _, default in expected if default is inspect.Parameter.empty}
    given = [
        (name, kind, inspect.Parameter.empty if name in asked else default) for name, kind, default in parameters(mine)
    ]
    positional = [p for p in given if p[1] in POSITIONAL]
    assert positional == [p for p in expected if p[1] in POSITIONAL]
    keywords = [p for p in given if p[1] not in POSITIONAL]
    for parameter in expected:
        assert parameter in positional or parameter in keywords, parameter
    assert all(kind is inspect.Parameter.KEYWORD_ONLY for _, kind, _ in keywords)
    assert also <= {key for key, _, _ in keywords}


@pytest.mark.parametrize("name", NAMES)
def test_signatures_begin_with_torchs(name: str) -> None:
    always = {"sample_weight", "mask", "normalizer", "on_empty"}
    extends(ours(name), torchs(name), always)
    extends(our_module(name).__init__, torchs_module(name).__init__, {"normalizer", "on_empty"})
    extends(our_module(name).forward, torchs_module(name).forward, always)


LEGACY = [name for name in NAMES if "size_average" in inspect.signature(torchs(name)).parameters]
LEGACY_MODULES = [
    name for name in NAMES if "size_average" in inspect.signature(torchs_module(name).__init__).parameters
]
DEPRECATED = r"size_average and reduce args will be deprecated"
CHOICES = [(None, None), (True, None), (False, None), (None, True), (None, False), (True, True), (False, False)]


@pytest.mark.parametrize("name", LEGACY)
def test_legacy_arguments_of_functions(name: str) -> None:
    call = canonical(name, 3).fresh()
    for average, reduce in [*CHOICES[1:], (True, False), (False, True)]:
        with pytest.warns(UserWarning, match=DEPRECATED):
            expected = torchs(name)(*call.args, size_average=average, reduce=reduce)
        with pytest.warns(UserWarning, match=DEPRECATED):
            got = ours(name)(*call.args, size_average=average, reduce=reduce)
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("name", LEGACY_MODULES)
def test_legacy_arguments_of_modules(name: str) -> None:
    call = canonical(name, 3).fresh()
    for average, reduce in [*CHOICES[1:], (True, False), (False, True)]:
        with pytest.warns(UserWarning, match=DEPRECATED):
            theirs = torchs_module(name)(size_average=average, reduce=reduce)
        with pytest.warns(UserWarning, match=DEPRECATED):
            mine = our_module(name)(size_average=average, reduce=reduce)
        assert mine.reduction == theirs.reduction
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "reduction: 'mean' divides the total loss", UserWarning)
            torch.testing.assert_close(mine(*call.args), theirs(*call.args))


def test_legacy_arguments_are_tested_wherever_torch_has_them() -> None:
    without = {"huber_loss", "triplet_margin_with_distance_loss", "ctc_loss", "gaussian_nll_loss"}
    assert set(LEGACY) == set(NAMES) - without
    assert set(LEGACY_MODULES) == set(LEGACY)
