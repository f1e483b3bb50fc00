"""The mode of torch through which the guard sees each call of one thread."""

from collections.abc import Callable
from threading import get_ident
from typing import Any

from torch._C import (
    _get_function_stack_at,
    _len_torch_function_stack,
    _pop_torch_function_stack,
    _push_on_torch_function_stack,
)
from torch.compiler import is_compiling
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from .judge import SEEN, Judge


class Watch(TorchFunctionMode):
    """Lets all calls pass but those that `Judge` is for.

    While an optimizer makes its step, which is hundreds of calls and no loss, it is not there.
    """

    def __init__(self, judge: Judge) -> None:
        super().__init__()
        self.judge = judge
        self._hooks: list[RemovableHandle] = []
        self._thread = 0
        self._away = False

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in SEEN and not is_compiling():
            return self.judge.call(func, args, kwargs or {})
        return func(*args, **kwargs) if kwargs else func(*args)

    def start(self) -> None:
        """From now on this thread's calls are seen."""
        self._thread, self._away = get_ident(), False
        self._hooks = [
            register_optimizer_step_pre_hook(self._leave),
            register_optimizer_step_post_hook(self._return),
        ]
        _push_on_torch_function_stack(self)

    def stop(self) -> None:
        """No more."""
        for hook in self._hooks:
            hook.remove()
        self._take_out()

    def _take_out(self) -> None:
        """Out of the stack, wherever it stands: other modes may have come after it."""
        if self not in _modes():
            return
        above = []
        while (top := _pop_torch_function_stack()) is not self:
            above.append(top)
        for mode in reversed(above):
            _push_on_torch_function_stack(mode)

    def _leave(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        closure = len(args) > 1 or kwargs.get("closure") is not None  # it computes losses
        if closure or is_compiling() or get_ident() != self._thread:
            return
        stack = _modes()
        # other modes above it count on what they find beneath them
        if self in stack and all(isinstance(mode, Watch) for mode in stack[stack.index(self) :]):
            self._take_out()
            self._away = True

    def _return(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._away and get_ident() == self._thread:
            self._away = False
            _push_on_torch_function_stack(self)


def _modes() -> list[TorchFunctionMode]:
    """This thread's, the innermost last."""
    return [_get_function_stack_at(place) for place in range(_len_torch_function_stack())]
