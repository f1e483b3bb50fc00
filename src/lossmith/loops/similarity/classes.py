"""Embeddings against one vector a class: cross-entropy of scaled cosines, with a margin for the right class."""

import math
from typing import Any

import torch
from torch import Tensor

from ... import checks
from ...backend import dtypes
from ...reduction import Reduction
from ..rowwise.labels import class_labels
from .call import similarity
from .inputs import check_labels, check_positive, check_vectors, prepared
from .relation import Relation
from .rows import Margin, pairs


def against_classes(
    loss: str, input: Tensor, linear_weight: Tensor, target: Tensor, how: Reduction, scale: float, margin: Margin
) -> Tensor:
    """The reduced loss; the matrix of all cosines never exists. Raises for arguments that do not go together."""
    check_vectors(loss, input=input, linear_weight=linear_weight)
    rows, width = input.shape
    classes = linear_weight.shape[0]
    if linear_weight.shape[1] != width:
        turned = "; write linear_weight.T for one vector a column" if classes == width else ""
        raise ValueError(
            f"{loss}: {checks.shapes(input=input, linear_weight=linear_weight)}, expected vectors of one width, (N, D) "
            f"and (C, D) with one for each class{turned}"
        )
    labels = class_labels(loss, check_labels(loss, "target", target, rows), classes, how.mask)
    compute, result = dtypes(input, linear_weight)
    return similarity(
        loss,
        pairs,
        (prepared(input, compute, True, labels.used), prepared(linear_weight, compute, True, None)),
        Relation(rows, classes, match=labels.label.contiguous(), kept_rows=labels.used),
        how,
        (compute, result),
        scale=scale,
        margin=margin,
        valid=labels.valid,
        given=target,
        read=(target,),
    )


def check_scale(loss: str, scale: Any) -> None:
    """Raises unless it is a number above 0."""
    if isinstance(scale, Tensor):
        raise TypeError(f"{loss}: scale is {checks.describe(scale)}, expected a number; write float(scale)")
    check_positive(loss, "scale", scale, "30 to 64 is usual")


def check_margin(loss: str, margin: Any, limit: float, advice: str) -> None:
    """Raises unless it is a number from 0 to the limit."""
    if isinstance(margin, bool) or not isinstance(margin, (int, float)) or not 0 <= margin <= limit:
        raise ValueError(f"{loss}: margin is {margin!r}, expected a number from 0 to {limit:.4g}; {advice}")


def check_angle(loss: str, margin: Any) -> None:
    """Raises unless it is an angle in radians."""
    degrees = isinstance(margin, (int, float)) and math.pi < margin <= 180
    advice = f"write math.radians({margin}) for degrees" if degrees else "0.5 is usual, in radians"
    check_margin(loss, margin, math.pi, advice)


def at_angle(angle: Tensor) -> dict[str, object]:
    """Embeddings at an angle to their class's vector, and at a right angle to that of 999 other classes."""
    embeddings = torch.stack([angle.cos(), angle.sin(), torch.zeros_like(angle)], 1)
    own, other = angle.new_tensor([[1.0, 0.0, 0.0]]), angle.new_tensor([[0.0, 0.0, 1.0]])
    return {
        "input": embeddings,
        "linear_weight": torch.cat([own, other.expand(999, 3)]),
        "target": torch.zeros(angle.shape[0], dtype=torch.int64, device=angle.device),
    }
