"""What torch refuses, lossmith refuses with an error of the same kind and better words, or a row makes it legal."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import lossmith

from .compare import apply, each
from .samples import (
    MODULES,
    NAMES,
    Call,
    ModuleErrorEnum,
    module_dtypes,
    module_error_calls,
    op_error_calls,
)
from .tables import CTC_LABELS, LEGAL, WRONG, WRONG_CONSTRUCTORS, Legal, Wrong
from .targets import our_module, ours, torchs, torchs_module


def refused(torchs: Callable[[], object], error: type[Exception] | None) -> tuple[type[Exception], str]:
    """What torch raises, or would by a row, and torch's words."""
    try:
        torchs()
    except Exception as given:
        # Which type it is decides what ours must raise.
        return error or type(given), str(given)
    assert error is not None, "torch takes this call, and no row refuses it"
    return error, ""


def refuses_better(
    ours: Callable[[], object], name: str, error: type[Exception], torchs_words: str, words: tuple[str, ...]
) -> None:
    """Ours raises that type (or a subclass), names itself, says what was given, and says more than torch."""
    try:
        ours()
    except Exception as raised:
        assert isinstance(raised, error), f"raised {type(raised).__name__}, expected {error.__name__}: {raised}"
        message = str(raised)
    else:
        raise AssertionError(f"accepted, expected {error.__name__}")
    assert name in message or MODULES[name] in message, f"does not name the loss: {message}"
    for word in words:
        assert word in message, f"{word!r} is not in: {message}"
    said_by_torch = [word for word in words if word in torchs_words]
    assert len(message) > len(torchs_words) or len(said_by_torch) < len(words), f"no more than torch says: {message}"


def given_words(call: Call) -> tuple[str, ...]:
    """What a message about this call of op_db or module_db must say: the value that is wrong, or the shapes."""
    settings = {**call.kwargs, **(call.constructor[1] if call.constructor else {})}
    values = [value for value in settings.values() if isinstance(value, str | float | int | complex)]
    if values:
        return tuple(map(repr, values))
    weights = [value for value in settings.values() if isinstance(value, torch.Tensor)]
    return tuple(sorted({str(tuple(t.shape)) for t in weights or call.tensors()}))


OTHER_WORDS = {
    # what is wrong is neither a number nor a shape
    ("multi_margin_loss", "op_db error 4"): ("float32",),
    ("cross_entropy", "module_db error 0"): ("int64", ".float()"),
    ("cross_entropy", "module_db error 1"): ("float", ".long()"),
}


@pytest.mark.parametrize("name", [name for name in NAMES if op_error_calls(name)])
def test_op_db_errors(name: str) -> None:
    promised = {str(call): error for call, error in op_error_calls(name)}

    def check(call: Call) -> None:
        error, said = refused(lambda: apply(torchs(name), call), None)
        assert issubclass(error, promised[str(call)])
        words = OTHER_WORDS.get((name, call.origin), given_words(call))
        refuses_better(lambda: apply(ours(name), call), name, error, said, words)

    each([call for call, _ in op_error_calls(name)], check)


MODULE_ERRORS = [(name, dtype) for name in NAMES for dtype in module_dtypes(name) if module_error_calls(name, dtype)]


@pytest.mark.parametrize("name, dtype", MODULE_ERRORS, ids=[f"{n}-{str(d)[6:]}" for n, d in MODULE_ERRORS])
def test_module_db_errors(name: str, dtype: torch.dtype) -> None:
    errors = {str(call): (error, where) for call, error, where in module_error_calls(name, dtype)}

    def check(call: Call) -> None:
        promised, where = errors[str(call)]
        settings = (call.constructor or ((), {}))[1]

        def whole(module: type[torch.nn.Module]) -> Any:
            built = module(**settings)
            return built if where is ModuleErrorEnum.CONSTRUCTION_ERROR else built(*call.args, **call.kwargs)

        error, said = refused(lambda: whole(torchs_module(name)), None)
        assert issubclass(error, promised)
        if name == "nll_loss":
            # P13: a weight of another dtype is legal; there are no rows here, so the mean is 0/0 as torch's.
            got = whole(our_module(name))
            assert got.dtype == dtype
            assert got.isnan()
            return
        words = OTHER_WORDS.get((name, call.origin), given_words(call))
        refuses_better(lambda: whole(our_module(name)), name, error, said, words)

    each([call for call, _, _ in module_error_calls(name, dtype)], check)


@pytest.mark.parametrize("name", sorted({case.call.name for case in WRONG}))
def test_own_table_of_errors(name: str) -> None:
    cases = {id(case.call): case for case in WRONG if case.call.name == name}

    def check(call: Call) -> None:
        case = cases[id(call)]
        error, said = refused(lambda: apply(torchs(name), call), case.error)
        refuses_better(lambda: apply(ours(name), call), name, error, said, case.words)

    each([case.call for case in cases.values()], check)


@pytest.mark.parametrize("name", sorted({case.call.name for case in WRONG if "reduction" not in case.call.kwargs}))
def test_p12_the_error_is_the_same_whatever_the_reduction(name: str) -> None:
    def check(call: Call) -> None:
        messages = set()
        for reduction in ("none", "mean", "sum"):
            try:
                ours(name)(*call.args, **call.kwargs, reduction=reduction)
            except Exception as raised:
                # Which one it must be is tested above.
                messages.add(f"{type(raised).__name__}: {raised}")
            else:
                messages.add(f"nothing is raised with {reduction}")
        assert len(messages) == 1, " // ".join(messages)

    calls = [case.call for case in WRONG if case.call.name == name and "reduction" not in case.call.kwargs]
    if name == "l1_loss":
        # torch takes integers with none and sum
        calls = [call for call in calls if call.args[0].is_floating_point()]
    each(calls, check)


def row_id(case: Wrong | Legal) -> str:
    return f"{case.row.lower()}-{case.call.name}" if case.row else case.call.name


@pytest.mark.parametrize("case", WRONG_CONSTRUCTORS, ids=row_id)
def test_own_table_of_constructors_p17_p53(case: Wrong) -> None:
    name, (args, kwargs) = case.call.name, case.call.constructor or ((), {})
    error, said = refused(lambda: torchs_module(name)(*args, **kwargs), case.error)
    refuses_better(lambda: our_module(name)(*args, **kwargs), name, error, said, case.words)


@pytest.mark.parametrize("case", CTC_LABELS, ids=lambda case: f"ctc_loss-{case[1][0]}")
def test_p46_ctc_labels_out_of_range(case: tuple[Call, tuple[str, ...]]) -> None:
    call, words = case
    refuses_better(lambda: apply(lossmith.functional.ctc_loss, call), "ctc_loss", IndexError, "", words)


LEGAL_ROWS = sorted({(case.row, case.call.name) for case in LEGAL})


@pytest.mark.parametrize("row, name", LEGAL_ROWS, ids=[f"{row.lower()}-{name}" for row, name in LEGAL_ROWS])
def test_rows_that_make_calls_legal(row: str, name: str) -> None:
    """P13 integer dtypes and weights, P21 binary targets, P37 and P49 half precision, P51 variances."""
    cases = {id(case.call): case for case in LEGAL if case.row == row and case.call.name == name}

    def check(call: Call) -> None:
        expected = cases[id(call)].same_as()
        torch.testing.assert_close(apply(ours(call.name), call), expected)

    each([case.call for case in cases.values()], check)


def test_every_loss_has_error_inputs() -> None:
    listed = {case.call.name for case in WRONG} | {name for name in NAMES if op_error_calls(name)}
    constructors = {case.call.name for case in WRONG_CONSTRUCTORS}
    assert listed == set(NAMES)
    assert constructors == set(NAMES)
