"""The decorator of every public loss function: `__torch_function__` sees one call, TorchScript is refused."""

from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn, ParamSpec

from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

P = ParamSpec("P")


def overridable(function: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Makes a loss one call to modes, tensor subclasses and `torch.fx`, as torch's own functions are."""

    @wraps(function)
    def public(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        given = (*args, *kwargs.values())
        if has_torch_function(given):
            result: Tensor = handle_torch_function(public, given, *args, **kwargs)
            return result
        return function(*args, **kwargs)

    # a code object of its own, under the loss's name: the compiler counts recompilations by code object
    public.__code__ = public.__code__.replace(co_name=function.__name__)  # type: ignore[attr-defined]
    public.__prepare_scriptable__ = refuse_script(function.__name__)  # type: ignore[attr-defined]
    return public


def refuse_script(name: str) -> Callable[..., NoReturn]:
    """What `torch.jit.script` calls first on a function or Module; it raises, with what to use instead."""

    def refuse(*_: Any) -> NoReturn:
        raise RuntimeError(
            f"lossmith.{name} can't be compiled by TorchScript (torch.jit.script), which torch has deprecated; "
            f"use torch.compile or torch.export, or leave the loss outside of the scripted code"
        )

    return refuse
