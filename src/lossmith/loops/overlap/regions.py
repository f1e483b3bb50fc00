"""Regions, the pixels of one sample and class: what of them counts, their sums, and the loss of those by torch."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from ... import checks
from ...formula import Formula
from ...reduction import Reduction
from ..rowwise.labels import class_labels, own_class

Activation: TypeAlias = Literal["softmax", "sigmoid"] | None
"""What makes predictions of scores; None where they are predictions already."""

Smooth: TypeAlias = float | tuple[float, float]
"""What is added to numerator and denominator of an index: one number to both, or one to each."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a loss of overlap has besides tensors."""

    activation: Activation
    dim: int
    alpha: float
    beta: float
    smooth: tuple[float, float]
    gamma: float
    squared: bool
    batch: bool
    include_background: bool
    ignore_index: int

    @property
    def parameters(self) -> tuple[float, float, float, float]:
        """Those of the formula."""
        return self.alpha, self.beta, self.smooth[0], self.smooth[1] - self.smooth[0]

    def shape(self, input: Tensor) -> torch.Size:
        """The regions: that of the unreduced loss."""
        classes = input.shape[self.dim]
        return torch.Size((classes,) if self.batch else (input.shape[0], classes))

    def pixels(self, input: Tensor) -> list[int]:
        """The dimensions of one region."""
        return [d for d in range(input.dim()) if d != self.dim and (d or self.batch)]

    def over_pixels(self, of_regions: Tensor, input: Tensor) -> Tensor:
        """A tensor that broadcasts to the regions, made to broadcast to the input."""
        shape = self.shape(input)
        sizes = [size if d == self.dim or (d == 0 and not self.batch) else 1 for d, size in enumerate(input.shape)]
        return of_regions.expand(shape).reshape(sizes)


class Aims(NamedTuple):
    """A target that was read and checked. Tensors of pixels broadcast to the input, others to the regions."""

    wanted: Tensor
    """The target of each class; bool, if it was labels."""
    kept: Tensor | None
    """False where an element is left out of its region (None: nowhere)."""
    used: Tensor | None
    """False where a pixel is left out of every region (None: nowhere)."""
    counted: Tensor | None
    """False where all of a region is left out (None: nowhere)."""
    valid: Tensor | None
    """False where a region has something that is out of its domain and could not be refused (None: nowhere)."""


def check_shapes(loss: str, input: Tensor, target: Tensor, dim: int, ignore_index: int) -> tuple[int, bool]:
    """The class dimension, counted from the front, and whether the target holds labels; raises unless all fits."""
    checks.real(loss, input=input, target=target)
    if input.dim() < 2:
        raise ValueError(
            f"{loss}: expected input of shape (N, C) or (N, C, d1, ...), got {checks.shapes(input=input)}; "
            f"write input.unsqueeze(0) for one sample, and input.unsqueeze(1) for one class"
        )
    checks.must_float(loss, input=input)
    if not -input.dim() <= dim < input.dim() or dim % input.dim() == 0:
        raise IndexError(
            f"{loss}: dim={dim} is no class dimension of input {checks.describe(input)}, whose dimension 0 is the "
            f"batch; write dim=1, dim=-1 for the last, or input.unsqueeze(0) for one sample"
        )
    dim %= input.dim()
    if target.shape == input.shape:
        if ignore_index >= 0:
            raise RuntimeError(
                f"{loss}: ignore_index={ignore_index} needs labels, but target holds a number for each class: "
                f"{checks.shapes(input=input, target=target)}; write element_mask= (False leaves out)"
            )
        return dim, False
    pixels = input.shape[:dim] + input.shape[dim + 1 :]
    if target.shape != pixels:
        one = target.dim() == input.dim() and target.shape[dim] == 1
        raise ValueError(
            f"{loss}: expected a target of the input's shape, or labels of shape {tuple(pixels)} (without the class "
            f"dimension {dim}), got {checks.shapes(input=input, target=target)}; "
            + (f"write target.squeeze({dim}) for labels" if one else "reshape one of them")
        )
    if target.is_floating_point() or target.dtype == torch.bool:
        raise RuntimeError(
            f"{loss}: target {checks.describe(target)} has the shape of labels, expected class indices of an integer "
            f"dtype; write target.long() for labels, or target.unsqueeze({dim}) for a mask of one class"
        )
    if input.shape[dim] == 1:
        raise RuntimeError(
            f"{loss}: labels need two classes or more, got {checks.shapes(input=input, target=target)}; "
            f"write target.unsqueeze({dim}) for a mask of one class, with activation='sigmoid'"
        )
    return dim, True


def check_element_mask(loss: str, element_mask: Tensor | None, input: Tensor, dim: int) -> None:
    """Raises unless it is bool and broadcasts to the input, dimension by dimension."""
    if element_mask is None:
        return
    checks.tensor(loss, "element_mask", element_mask)
    if element_mask.dtype != torch.bool:
        raise TypeError(
            f"{loss}: element_mask is {checks.describe(element_mask)}, expected bool (True counts); "
            f"write element_mask.bool()"
        )
    if element_mask.dim() != input.dim():
        raise ValueError(
            f"{loss}: element_mask has {element_mask.dim()} dimensions and input {input.dim()}: "
            f"{checks.shapes(element_mask=element_mask, input=input)}; write element_mask.unsqueeze({dim}) for one of "
            f"pixels, so that it holds for all classes"
        )
    checks.fits(loss, "element_mask", element_mask, input.shape, "input")


def check_settings(
    loss: str, activation: Activation, smooth: Smooth, alpha: float = 0.5, beta: float = 0.5, gamma: float = 1.0
) -> tuple[float, float]:
    """The two numbers of `smooth`; raises ValueError for a setting that there is not."""
    if activation not in ("softmax", "sigmoid", None):
        raise ValueError(
            f"{loss}: activation is {activation!r}, expected 'softmax' (classes exclude each other), 'sigmoid' (each "
            f"by itself), or None (input holds predictions from 0 to 1)"
        )
    for name, value in {"alpha": alpha, "beta": beta}.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"{loss}: {name} is {value!r}, expected a finite number of 0 or more; 0.5 is Dice's")
    both = smooth if isinstance(smooth, tuple) else (smooth, smooth)
    if len(both) != 2 or not all(0 <= value < math.inf for value in both):
        raise ValueError(
            f"{loss}: smooth is {smooth!r}, expected a finite number of 0 or more, or a pair of them, for numerator "
            f"and denominator"
        )
    if not 0 < gamma < math.inf:
        raise ValueError(f"{loss}: gamma is {gamma!r}, expected a finite number above 0; 1 changes nothing")
    if gamma != 1 and both[0] > both[1]:
        raise ValueError(
            f"{loss}: smooth is {smooth!r}: with more in the numerator than in the denominator the index is above 1, "
            f"and a power of what it lacks is not defined; write smooth={both[1]!r}"
        )
    return both


def read_aims(
    loss: str,
    input: Tensor,
    target: Tensor,
    of: Settings,
    how: Reduction,
    element_mask: Tensor | None,
    compute: torch.dtype,
) -> Aims:
    """Reads the target and checks it, and the input if it holds predictions; see `Aims`."""
    dim, kept = of.dim, element_mask
    classes = input.shape[dim]

    def leave_out(where: Tensor) -> None:
        nonlocal kept
        kept = where if kept is None else kept & where

    if how.mask is not None:
        leave_out(of.over_pixels(how.mask, input))
    if not of.include_background:
        leave_out(of.over_pixels(torch.arange(classes, device=input.device) != 0, input))
    used, invalid = None if kept is None else kept.any(dim, keepdim=True), []
    if target.dim() == input.dim():
        advice = "targets are probabilities, or 0 and 1, so of a mask of 0 and 255 write target / 255"
        invalid.append(checks.within_unit(loss, "target", target, kept, advice))
    else:
        mask = None if used is None else used.squeeze(dim)
        labels = class_labels(loss, target.to(torch.int64), classes, mask, of.ignore_index)
        if labels.valid is not None:
            invalid.append(~labels.valid.unsqueeze(dim))
        target = own_class(labels.label, classes, dim)
        if labels.used is not None:
            used = labels.used.unsqueeze(dim)
            leave_out(used)
    if of.activation is None:
        advice = "write activation='sigmoid' or 'softmax' for logits"
        invalid.append(checks.within_unit(loss, "input", input, kept, advice))
    valid = None
    for outside in invalid:
        if outside is not None:
            leave_out(~outside)
            inside = ~_any(outside.expand(input.shape), of.pixels(input))
            valid = inside if valid is None else valid & inside
    counted = None
    if kept is not None or not math.prod(input.shape[d] for d in of.pixels(input)):
        every = torch.ones((), dtype=torch.bool, device=input.device) if kept is None else kept
        counted = _any(every.expand(input.shape), of.pixels(input))
    if target.dtype == torch.bool:
        target = target if kept is None else target & kept
    else:
        target = target.to(compute) if kept is None else torch.where(kept, target.to(compute), 0)
    if valid is not None and counted is not None:  # NaN is to be seen
        counted = counted | ~valid
    return Aims(target, kept, used, counted, valid)


def losses_of(input: Tensor, aims: Aims, formula: Formula, of: Settings, compute: torch.dtype) -> Tensor:
    """The unreduced loss, in float64."""
    kept, wanted = aims.kept, aims.wanted
    scores = input.to(compute)
    if of.activation == "softmax":
        p = (scores if aims.used is None else torch.where(aims.used, scores, 0)).softmax(of.dim)
    else:
        p = scores if kept is None else torch.where(kept, scores, 0)
        p = p.sigmoid() if of.activation == "sigmoid" else p
    if kept is not None:
        p = torch.where(kept, p, 0)
    pixels = of.pixels(input)
    common = _sum(torch.where(wanted, p, 0) if wanted.dtype == torch.bool else p * wanted, pixels)
    whole = [_sum(t * t if of.squared and t.dtype != torch.bool else t, pixels) for t in (p, wanted)]
    if aims.counted is not None:  # an index of nothing is not defined
        common = torch.where(aims.counted, common, 1)
    values: Tensor = formula.value(common, whole[0] - common, whole[1] - common, *of.parameters)
    if of.gamma != 1:
        # a perfect region has no slope, where the power's would be infinite
        perfect = values == 0
        values = torch.where(perfect, 0, torch.where(perfect, 1, values) ** of.gamma)
    return values if aims.valid is None else torch.where(aims.valid, values, torch.nan)


def _sum(terms: Tensor, pixels: list[int]) -> Tensor:
    """Over the pixels, in float64 where the device has it."""
    dtype = torch.float32 if terms.device.type == "mps" else torch.float64
    return terms.sum(pixels, dtype=dtype) if pixels else terms.to(dtype)  # no dimensions would be all of them


def _any(terms: Tensor, pixels: list[int]) -> Tensor:
    return terms.any(pixels) if pixels else terms
