"""Evidence that several rules go by: which operation stands before a loss, and what its numbers look like."""

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ..card import Text
from ..rule import Call, Known, Numbers, Site
from ..watch.statistics import Statistic, maximum, minimum, near, row_error

PROBABILITIES = frozenset({"softmax", "sigmoid"})
LOGARITHMS = frozenset({"log_softmax", "logsigmoid", "log"})
LAYERS = frozenset(
    {
        *("linear", "lazy_linear", "addmm", "bilinear", "convolution", "conv1d", "conv2d", "conv3d"),
        *("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
    }
)
"""They end in a sum of products: any number may come out."""
ACTIVATIONS = frozenset(
    {
        *("relu", "relu6", "leaky_relu", "prelu", "prelu_kernel", "elu", "selu", "celu", "gelu", "silu", "mish"),
        *("hardswish", "tanh", "softplus"),
    }
)
"""Their results are neither probabilities nor logarithms of them."""
MAY_BE_NEGATIVE = LAYERS | {"tanh", "logsigmoid", "log_softmax"}
"""A plain log is not among them: softplus is written with it."""


# ----- what a loss does itself -----

OVERLAP = ("dice_loss", "tversky_loss")
"""They have an argument that says what they apply to their input."""
DIVERGENCES = ("kl_div", "js_div")
TAKE_SOFTMAX = ("cross_entropy", "ctc_loss_with_logits", "focal_loss", "distillation_loss")
TAKE_SIGMOID = (
    *("binary_cross_entropy_with_logits", "multilabel_soft_margin_loss", "soft_margin_loss"),
    "sigmoid_focal_loss",
)
_OWN = dict.fromkeys(TAKE_SOFTMAX, "softmax") | dict.fromkeys(TAKE_SIGMOID, "sigmoid")


def own_activation(loss: str, settings: Mapping[str, Any]) -> str:
    """What a loss applies to its input itself: softmax or sigmoid; empty if nothing, and `?` where source does not tell
    it.
    """
    if loss in OVERLAP:
        activation = settings.get("activation", ...)
        return "?" if activation is ... else activation or ""
    return _OWN.get(loss, "")


def score_arguments(loss: str) -> tuple[str, ...]:
    """The arguments that are logits, or whatever a loss takes in their place."""
    if loss == "ctc_loss_with_logits":
        return ("logits",)
    return ("input", "teacher") if loss == "distillation_loss" else ("input",)


def before_own(
    activation: str, operations: Collection[str]
) -> tuple[Callable[[Call], Text | None], Callable[[Site], Text | None]]:
    """Judges a call, and a place in the source, of a loss that applies this itself, by the operation that made its
    scores.
    """

    def at_once(call: Call) -> Text | None:
        if own_activation(call.loss, call.arguments) != activation:
            return None
        found = (comes_from(argument, operations)(call) for argument in score_arguments(call.loss))
        return next((text for text in found if text is not None), None)

    def in_source(site: Site) -> Text | None:
        if own_activation(site.loss, site.settings) != activation:
            return None
        found = (is_written(argument, operations)(site) for argument in score_arguments(site.loss))
        return next((text for text in found if text is not None), None)

    return at_once, in_source


# ----- the last operation -----


def comes_from(argument: str, operations: Collection[str]) -> Callable[[Call], Text | None]:
    """Judges a call by the operation that made an argument."""

    def judge(call: Call) -> Text | None:
        origin = call.origin(argument)
        if origin is not None and origin.op == "clamp" and origin.of is not None and origin.of.op in PROBABILITIES:
            origin = origin.of  # kept away from 0 and 1, they are probabilities still
        return last_operation(argument, origin.op) if origin is not None and origin.op in operations else None

    return judge


def is_written(argument: str, operations: Collection[str]) -> Callable[[Site], Text | None]:
    """Judges a place in the source by the operation that made an argument; a column of a softmax is a softmax."""

    def judge(site: Site) -> Text | None:
        known = given(site, argument)
        if known.op == "select" and known.of is not None:
            known = known.of
        return last_operation(argument, known.op) if known.op in operations else None

    return judge


def given(site: Site, argument: str) -> Known:
    """An argument of a call; nothing is known of it where the place is no call."""
    return site.arguments.get(argument, Known()) if site.kind == "call" else Known()


def last_operation(argument: str, operation: str) -> Text:
    operation = {"addmm": "linear"}.get(operation, operation)
    return Text(f"the last operation before {argument} is {operation}", f"{argument} 之前的最后一个运算是 {operation}")


def along_classes(call: Call, argument: str) -> bool | None:
    """Whether the softmax that made an argument ran along the classes; None where that can't be told."""
    origin, classes = call.origin(argument), call.class_dim()
    if origin is None or classes is None or not origin.whole:
        return None
    shape = call.arguments[argument].shape
    if origin.dim is not None:
        return origin.dim % len(shape) == classes
    if origin.own_dim is None or origin.shape is None or math.prod(origin.shape) != shape.numel():
        return None
    # a view hid the dimension, but not how many numbers were normalised together
    return None if origin.shape[origin.own_dim] == shape[classes] else False


# ----- the values -----

ABOVE_LOGARITHMS = 0.05
"""Above this nothing is the logarithm of a probability, not even with an epsilon added to it."""

ROUNDING = 1e-3
"""What sums of float32 may be off by."""

PROOF = 16
"""So many numbers close to a bound, and none beyond it, say that there is a bound.

A smooth distribution that crosses the bound has about as many numbers shortly behind it as shortly before: that all of
them are before it has a chance of 2^-16, in each of several batches.
"""

ROWS: Mapping[str, Statistic] = {
    "minimum": minimum("input"),
    "maximum": maximum("input"),
    "row_error": row_error("input"),
}
"""What `are_rows_of_probabilities` asks for."""

SQUASHED: Mapping[str, Statistic] = {
    "minimum": minimum("input"),
    "maximum": maximum("input"),
    "near_0": near("input", 0),
    "near_1": near("input", 1),
}
"""What `are_squashed` asks for."""


def not_of_a_product(call: Call) -> bool:
    """Of sums of products the bounds are chance, or those of the vectors that were multiplied."""
    origin = call.origin("input")
    return origin is None or origin.op not in LAYERS | {"mm", "bmm"}


def are_rows_of_probabilities(numbers: Numbers) -> bool:
    return numbers["minimum"] >= 0 and numbers["maximum"] <= 1 and numbers["row_error"] <= ROUNDING


def are_squashed(numbers: Numbers) -> bool:
    """Whether numbers crowd at 0 and at 1 and never leave: logits that happen to lie in between do not."""
    return (
        numbers["minimum"] >= 0
        and numbers["maximum"] <= 1
        and numbers["near_0"] >= PROOF
        and numbers["near_1"] >= PROOF
    )


def squashed(numbers: Numbers) -> Text:
    near_0, near_1 = int(numbers["near_0"]), int(numbers["near_1"])
    return Text(
        f"the input never leaves [0, 1], though {near_0} numbers lie within 0.01 of 0 and {near_1} within 0.01 of 1, "
        "as behind a sigmoid",
        f"输入从不超出 [0, 1]，却有 {near_0} 个数距 0 不到 0.01、{near_1} 个数距 1 不到 0.01，"
        "与经过 sigmoid 的结果无异",
    )


def above_logarithms(call: Call, numbers: Numbers) -> Text | None:
    """What a batch shows whose input can hold no logarithms of probabilities."""
    if not numbers["maximum"] > ABOVE_LOGARITHMS:
        return None
    greatest = numbers["maximum"]
    return Text(
        f"the input reaches {greatest:.3g}, and log-probabilities are at most 0",
        f"输入最大达到 {greatest:.3g}，而对数概率不会大于 0",
    )


PROBABILITY_ROWS = Text(
    "the input lies between 0 and 1 and sums to 1 over the classes, as probabilities do",
    "输入都在 0 与 1 之间，且沿类别维之和为 1，与概率无异",
)
