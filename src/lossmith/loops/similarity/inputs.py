"""Checks of batches of vectors, and what is done to them before their similarities are taken."""

import math
from typing import Any

import torch
from torch import Tensor

from ... import checks
from ...backend import readable
from ...reduction import Reduction
from ..masking import hide_rows
from .unit import unit


def check_vectors(loss: str, **tensors: Tensor) -> None:
    """Raises unless each is a matrix of floating vectors."""
    for name, value in tensors.items():
        checks.tensor(loss, name, value)
        if not value.is_floating_point():
            raise TypeError(
                f"{loss}: {name} is {checks.describe(value)}, expected floating vectors; write {name}.float()"
            )
        if value.dim() != 2 or value.shape[1] == 0:
            raise ValueError(
                f"{loss}: {name} is {checks.describe(value)}, expected a batch of vectors (N, D); "
                f"write {name}.flatten(0, -2) for more dimensions, {name}.unsqueeze(0) for one vector"
            )


def check_keys(loss: str, input: Tensor, keys: Tensor) -> None:
    """Raises ValueError unless there is one key for each query."""
    if keys.shape != input.shape:
        raise ValueError(
            f"{loss}: {checks.shapes(input=input, keys=keys)}, expected one key for each query; "
            f"write negatives= for keys that are nobody's positive"
        )


def check_negatives(loss: str, input: Tensor, negatives: Tensor | None) -> None:
    """Raises unless they are vectors of the queries' width, if there are any."""
    if negatives is None:
        return
    check_vectors(loss, negatives=negatives)
    if negatives.shape[1] != input.shape[1]:
        raise ValueError(f"{loss}: {checks.shapes(input=input, negatives=negatives)}, expected vectors of one width")


def check_labels(loss: str, name: str, labels: Tensor, count: int) -> Tensor:
    """One label for each vector, as int64; raises otherwise."""
    checks.tensor(loss, name, labels)
    checks.integers(loss, name, labels)
    if labels.shape != (count,):
        raise ValueError(f"{loss}: {name} is {checks.describe(labels)}, expected one label for each of {count} vectors")
    return labels.long()


def check_temperature(loss: str, temperature: Any) -> None:
    """Raises ValueError unless it is one number above 0."""
    check_positive(loss, "temperature", temperature, "0.07 to 0.5 are usual for unit vectors")


def check_positive(loss: str, name: str, value: Any, advice: str) -> None:
    """Raises ValueError unless the value is one finite number above 0, as a number or a tensor."""
    number = one_number(loss, name, value)
    if number is not None and not 0 < number < math.inf:
        raise ValueError(f"{loss}: {name} is {number!r}, expected a finite number above 0; {advice}")


def one_number(loss: str, name: str, value: Any) -> float | None:
    """A number, or that of a tensor of one element, None where it can't be looked at; raises for anything else."""
    if isinstance(value, Tensor):
        if value.numel() != 1 or not value.is_floating_point():
            raise ValueError(f"{loss}: {name} is {checks.describe(value)}, expected one floating number")
        return float(value.detach()) if readable(value) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{loss}: {name} is {value!r}, expected a number, or a tensor of one")
    return value


def row_mask(loss: str, how: Reduction, rows: int) -> Tensor | None:
    """The mask, with one number for each row."""
    if how.mask is None:
        return None
    checks.fits(loss, "mask", how.mask, torch.Size((rows,)), "the unreduced loss")
    return how.mask.expand(rows)


def prepared(vectors: Tensor, dtype: torch.dtype, normalize: bool, mask: Tensor | None) -> Tensor:
    """Vectors in the dtype to compute in, hidden where the mask is False, of length 1 if asked for."""
    vectors = hide_rows(vectors.to(dtype), mask, 1)
    return unit(vectors) if normalize else vectors
