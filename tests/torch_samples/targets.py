"""What is tested: lossmith's function and Module of a name, beside torch's; CTC through log_softmax."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import lossmith

from .samples import MODULES

Function = Callable[..., Any]


def ours(name: str) -> Function:
    function: Function = getattr(lossmith.functional, name)
    return function


def torchs(name: str) -> Function:
    function: Function = getattr(torch.nn.functional, name)
    return function


def our_module(name: str) -> type[torch.nn.Module]:
    module: type[torch.nn.Module] = getattr(lossmith, MODULES[name])
    return module


def torchs_module(name: str) -> type[torch.nn.Module]:
    module: type[torch.nn.Module] = getattr(torch.nn, MODULES[name])
    return module


def through_log_softmax(function: Function) -> Function:
    """Behind log_softmax, where torch's gradient of CTC is right (row P44); log-probabilities stay what they are."""

    def composed(log_probs: Tensor, *args: Any, **kwargs: Any) -> Any:
        return function(log_probs.log_softmax(-1), *args, **kwargs)

    return composed


def comparable(name: str, function: Function) -> Function:
    return through_log_softmax(function) if name == "ctc_loss" else function
