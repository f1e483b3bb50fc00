"""What rules read of a call's tensors waits for no device: nothing goes to the host, no shape depends on values."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from test_targets import BROKEN, LEGAL, SILENT, WINDOWS
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from lossmith.rules import all_rules
from lossmith.watch.calls import WATCHED, WatchedCall, bind

READING = [rule for rule in all_rules().values() if rule.values]
WAITS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::unique", "aten::is_nonzero"}


class Calls(TorchFunctionMode):
    """Keeps the calls of losses."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[WatchedCall] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = error = None
        try:
            result = func(*args, **kwargs)
            return result
        except Exception as raised:
            error = raised
            raise
        finally:
            watched = WATCHED.get(func)
            arguments = watched and bind(watched, args, kwargs)
            if watched and arguments:
                self.seen.append(WatchedCall(watched.loss, watched.own, arguments, result, error))


class NoWaiting(TorchDispatchMode):
    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        assert func.name().split(".")[0] not in WAITS, f"{func.name()} waits for the device"
        return func(*args, **(kwargs or {}))


def calls() -> list[WatchedCall]:
    torch.manual_seed(0)
    with Calls() as kept:
        for step in [*LEGAL, *SILENT, *(step for steps in (*BROKEN.values(), *WINDOWS.values()) for step in steps)]:
            try:
                step()
            except (RuntimeError, ValueError, IndexError, NotImplementedError):
                continue
    return kept.seen


CALLS = calls()


@pytest.mark.parametrize("rule", READING, ids=lambda rule: rule.name)
def test_no_rule_waits_for_a_device(rule) -> None:
    assert rule.values is not None
    for call in CALLS:
        proof = call.error is None or rule.values.batches == 1
        if call.loss in rule.losses and proof and rule.values.applies(call):
            with torch.no_grad():
                for read in rule.values.reads.values():
                    with NoWaiting():
                        number = read(call)
                    assert number.numel() == 1
