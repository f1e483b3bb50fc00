"""Class labels as a loop needs them: checked, safe to index with, with what is ignored, masked or out of range."""

from typing import NamedTuple

import torch
from torch import Tensor

from ... import checks
from ...backend import readable


class ClassLabels(NamedTuple):
    """Labels of rows. Where `used` is False, `label` is 0, so that it may always be an address."""

    label: Tensor
    counted: Tensor | None
    """False where the row is ignored (None: no row is); masks are not in it."""
    valid: Tensor | None
    """False where the label is out of range and could not be refused (None: none is)."""
    used: Tensor | None
    """Where the row enters the computation at all: counted, valid and unmasked (None: everywhere)."""

    def hide(self, rows: Tensor, dim: int) -> Tensor:
        """The rows with zeros where they are not used, so that nothing there enters the value or the gradient."""
        return rows if self.used is None else torch.where(self.used.unsqueeze(dim), rows, 0)

    def blank(self, values: Tensor) -> Tensor:
        """One value for each row, and 0 where the row is not used."""
        return values if self.used is None else torch.where(self.used, values, 0)

    def spoil(self, values: Tensor) -> Tensor:
        """The values with NaN where the label is out of range."""
        return values if self.valid is None else torch.where(self.valid, values, torch.nan)

    def pick(self, per_class: Tensor) -> Tensor:
        """Each row's entry of a vector over classes."""
        return pick(per_class, self.label)


def pick(per_class: Tensor, label: Tensor) -> Tensor:
    """The entries of a vector at labels of any shape; () too, which an index in brackets would read."""
    return per_class[label.unsqueeze(0)].squeeze(0)


def class_labels(
    loss: str, target: Tensor, classes: int, mask: Tensor | None = None, ignore_index: int | None = None
) -> ClassLabels:
    """Checks integer labels against the number of classes; see `checks.labels` for what is raised when."""
    checks.fits(loss, "mask", mask, target.shape, "the unreduced loss")
    valid = checks.labels(loss, target, classes, ignore_index, mask=mask)
    counted = None if ignore_index is None else target != ignore_index
    if counted is not None and readable(counted) and bool(counted.all()):
        counted = None
    used = mask
    for condition in (counted, valid):
        if condition is not None:
            used = condition if used is None else used & condition
    if used is not None:
        used = used.expand(target.shape)
        target = torch.where(used, target, 0)
    return ClassLabels(target, counted, valid, used)


def own_class(label: Tensor, classes: int, dim: int) -> Tensor:
    """True at the label of each row, along a new class dimension; compared as int32, which is faster compiled."""
    numbers = torch.arange(classes, dtype=torch.int32, device=label.device)
    return numbers.reshape([-1] + [1] * (label.dim() - dim)) == label.to(torch.int32).unsqueeze(dim)


class LabelSets(NamedTuple):
    """A set of labels for each row; those of a row that is not used are not listed."""

    label: Tensor
    """The labels in the order of the target, as many places as the longest set; 0 where none is listed."""
    listed: Tensor
    """Where a label is listed."""
    inside: Tensor
    """True at the classes that are in their row's set."""
    valid: Tensor | None
    """False where a row has a label that is out of range and could not be refused (None: none has)."""

    def spoil(self, values: Tensor) -> Tensor:
        """The values with NaN where a label of the row is out of range."""
        return values if self.valid is None else torch.where(self.valid, values, torch.nan)


def label_sets(loss: str, target: Tensor, mask: Tensor | None = None) -> LabelSets:
    """Reads rows of labels, of which -1 ends the set, as torch does; there are as many classes as places in a row."""
    classes = target.shape[-1]
    checks.fits(loss, "mask", mask, target.shape[:-1], "the unreduced loss")
    used = None if mask is None else mask.unsqueeze(-1) if mask.dim() else mask
    valid = checks.labels(loss, target, classes, -1, mask=used, padded=True)
    if valid is not None:
        valid = valid.all(-1)
        used = valid.unsqueeze(-1) if used is None else valid.unsqueeze(-1) & used
    listed = (target < 0).cumsum(-1, dtype=torch.int32) == 0
    if used is not None:
        listed = listed & used
    label = torch.where(listed, target, 0)
    times = torch.zeros_like(target, dtype=torch.int32).scatter_add(-1, label, listed.to(torch.int32))
    if readable(listed):
        longest = int(listed.reshape(-1, classes).any(0).sum())
        label, listed = label[..., :longest], listed[..., :longest]
    return LabelSets(label, listed, times > 0, valid)
