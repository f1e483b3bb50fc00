"""The pointwise loop inside torch.compile: the formula's value forward, the formula's derivatives backward.

Autograd of the value gives the same numbers, but the compiler would keep its intermediate results from forward to
backward; this keeps the operands alone.
"""

from typing import Any

import torch
from torch import Tensor

from ...backend import transforming
from ...formula import Formula, Real


def unreduced(formula: Formula, *arguments: Real) -> Tensor:
    """The formula's value: with its own derivatives where it is compiled and differentiated, else left to autograd."""
    differentiated = torch.is_grad_enabled() and any([isinstance(a, Tensor) and a.requires_grad for a in arguments])
    if torch.compiler.is_compiling() and differentiated and not transforming():
        result: Tensor = CompiledFormula.apply(formula, *arguments)  # type: ignore[no-untyped-call]
    else:
        result = formula.value(*arguments)
    return result


class CompiledFormula(torch.autograd.Function):
    """`apply(formula, *operands, *parameters)` gives the unreduced loss. The backward is differentiable itself."""

    @staticmethod
    def forward(ctx: Any, formula: Formula, *arguments: Real) -> Tensor:
        ctx.formula = formula
        ctx.numbers = [None if isinstance(a, Tensor) else a for a in arguments]
        ctx.save_for_backward(*[a for a in arguments if isinstance(a, Tensor)])
        value: Tensor = formula.value(*arguments)
        return value

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        formula: Formula = ctx.formula
        saved = list(ctx.saved_tensors)
        arguments = [saved.pop(0) if number is None else number for number in ctx.numbers]
        derivatives = formula.value_and_derivatives(*arguments)[1:]
        result: list[Tensor | None] = [None] * (1 + len(arguments))
        for position, (derivative, differentiable) in enumerate(zip(derivatives, formula.differentiable, strict=True)):
            if differentiable and ctx.needs_input_grad[1 + position]:
                result[1 + position] = (grad * derivative).sum_to_size(arguments[position].shape)
        return tuple(result)
