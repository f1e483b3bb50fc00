"""The rowwise loop on a GPU: which Triton kernel runs which kind of loss."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from . import distillation, labels, margin_to_label, margins_of_set, pick, probabilities

if TYPE_CHECKING:
    from ..native import Kind, Parts, _Call

Gradients = Sequence[Tensor | None]
"""Of the input and the target."""
Launch = Callable[["_Call", "Parts", Sequence[bool], Tensor | None, Gradients | None], tuple[Tensor | None, Gradients]]

_KERNELS: "dict[Kind, Launch]" = {
    "softmax_labels": labels.launch,
    "focal_labels": labels.launch,
    "pick": pick.launch,
    "margin_to_label": margin_to_label.launch,
    "margins_of_set": margins_of_set.launch,
    "distillation": distillation.launch,
    "softmax_probabilities": probabilities.launch,
    "focal_probabilities": probabilities.launch,
}


def launch(
    call: "_Call", parts: "Parts", wanted: Sequence[bool], upstream: Tensor | None, into: Gradients | None
) -> tuple[Tensor | None, Gradients]:
    """`fused.DeviceKernel.launch` of a rowwise call; the gradients are those of the input and the target."""
    return _KERNELS[call.kind](call, parts, wanted, upstream, into)
