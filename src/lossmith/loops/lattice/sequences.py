"""Label sequences as the lattice needs them: checked, padded, safe to index with, and how many frames each has."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from ... import checks
from ...backend import readable

Lengths: TypeAlias = Tensor | Sequence[int]


class GivenSequences(NamedTuple):
    """The sequences of a batch as a caller gives them: types and shapes are checked, values are not."""

    targets: Tensor
    """(N, S), padded, or (sum of the lengths), concatenated; any real dtype."""
    frames: Tensor
    """How many frames each sample has: (N), any integer dtype."""
    lengths: Tensor
    """How many labels each sample has: (N), any integer dtype."""
    mask: Tensor | None
    """False where a sample does not count: (N)."""

    @property
    def readable(self) -> bool:
        """Whether all values may be looked at."""
        return readable(self.targets) and self.lengths_readable

    @property
    def lengths_readable(self) -> bool:
        """Whether the lengths and the mask may be looked at."""
        return readable(self.frames) and readable(self.lengths) and (self.mask is None or readable(self.mask))

    def on(self, device: torch.device, loss: str, size: int) -> "GivenSequences":
        """The same on a device, without waiting for it; lengths that the host has are checked for `size` frames."""
        if self.lengths_readable:
            _check_lengths(loss, self, size)
        targets = self.targets if _is_integral(self.targets) else self.targets.to(torch.int64)
        frames, lengths = (t.to(device, non_blocking=True) for t in (self.frames, self.lengths))
        mask = None if self.mask is None else self.mask.to(device, non_blocking=True)
        return GivenSequences(targets.to(device, non_blocking=True), frames, lengths, mask)


class LabelSequences(NamedTuple):
    """The sequences of a batch. A sample that is masked or out of range is empty: it has no frames and no labels."""

    labels: Tensor
    """(N, S), int64; the blank where a sequence has ended, so that it may always be used as an address."""
    frames: Tensor
    """How many frames of each sample count: (N), int64."""
    lengths: Tensor
    """How many labels of each sample count: (N), int64."""
    valid: Tensor | None
    """False where a length or a label is out of range and could not be refused (None: nowhere)."""
    full: bool
    """Whether all frames of all samples are known to count."""

    def spoil(self, values: Tensor) -> Tensor:
        """The values with NaN where a length or a label is out of range."""
        return values if self.valid is None else torch.where(self.valid, values, torch.nan)


def given_sequences(
    loss: str, targets: Tensor, input_lengths: Lengths, target_lengths: Lengths, samples: int, mask: Tensor | None
) -> GivenSequences:
    """Checks the types and shapes of targets and lengths for so many samples."""
    return GivenSequences(
        _targets(loss, targets, samples),
        _lengths(loss, "input_lengths", input_lengths, samples),
        _lengths(loss, "target_lengths", target_lengths, samples),
        mask,
    )


def label_sequences(
    loss: str, given: GivenSequences, shape: torch.Size, device: torch.device, blank: int
) -> LabelSequences:
    """Checks targets and lengths against scores of a shape (T, N, C), and pads targets that are concatenated.

    Where values may be read, those out of range raise: RuntimeError for lengths, IndexError for labels. Elsewhere such
    samples are left empty, and `valid` is False for them. What is masked is not looked at.
    """
    size, _, classes = shape
    targets, frames, lengths = (t.to(torch.int64) for t in given[:3])
    mask = given.mask
    longest, full = None, False
    if given.lengths_readable:
        longest, full = _check_lengths(loss, given, size)
    if longest is None or not readable(targets):
        targets, frames, lengths = (t.to(device) for t in (targets, frames, lengths))
        mask = None if mask is None else mask.to(device)

    used, valid = mask, None
    if longest is None:
        valid = _lengths_in_range(targets, frames, lengths, size)
        used = valid if mask is None else valid & mask
    kept = lengths if used is None else torch.where(used, lengths, 0)
    frames = frames if used is None else torch.where(used, frames, 0)
    if targets.dim() == 2:
        width = targets.shape[1] if longest is None else longest
        labels = targets[:, :width]
    else:
        width = torch.sym_min(targets.shape[0], size) if longest is None else longest  # type: ignore[no-untyped-call]
        labels = _padded(targets, lengths, width)
        if longest is None:
            # Longer than all frames, a sequence is cut: it has no alignment, and with no frames it still has none.
            frames, kept = torch.where(kept > width, 0, frames), kept.clamp(max=width)

    inside = torch.arange(width, device=kept.device) < kept.unsqueeze(1)
    wrong = inside & ((labels < 0) | (labels >= classes))
    if longest is not None and readable(wrong):
        _check_labels(loss, labels, wrong, classes)
    else:
        right = ~wrong.any(1)
        valid = right if valid is None else valid & right
        frames, kept, inside = torch.where(right, frames, 0), torch.where(right, kept, 0), inside & right.unsqueeze(1)
    labels = torch.where(inside, labels, blank)
    labels, frames, kept = (t.to(device) for t in (labels, frames, kept))
    return LabelSequences(labels, frames, kept, valid, full)


def _targets(loss: str, targets: Tensor, samples: int) -> Tensor:
    """Targets of shape (N, S) or, concatenated, (sum of lengths)."""
    checks.tensor(loss, "targets", targets)
    if targets.is_complex():
        raise RuntimeError(f"{loss}: targets is {checks.describe(targets)}, expected labels; write targets.long()")
    if targets.dim() not in (1, 2):
        raise RuntimeError(
            f"{loss}: targets is {checks.describe(targets)}, expected (N, S), padded, or (sum(target_lengths)), "
            f"concatenated; write targets.reshape(-1) for one sample"
        )
    if targets.dim() == 2 and targets.shape[0] != samples:
        raise RuntimeError(
            f"{loss}: targets is {checks.describe(targets)} for {samples} samples, expected ({samples}, S); the "
            f"input is (T, N, C), with the samples in its second dimension; write input.transpose(0, 1) if yours is not"
        )
    return targets


def _lengths(loss: str, name: str, lengths: Lengths, samples: int) -> Tensor:
    """Lengths as (N), from a tensor of any integer dtype or a sequence of integers."""
    if isinstance(lengths, Tensor):
        if not _is_integral(lengths) or lengths.dtype == torch.bool:
            raise RuntimeError(f"{loss}: {name} must be integral, got {checks.describe(lengths)}; write {name}.long()")
    elif isinstance(lengths, list | tuple) and all(_is_whole(n) for n in lengths):
        lengths = torch.tensor(lengths, dtype=torch.int64)
    else:
        raise TypeError(
            f"{loss}: {name} is {lengths!r}, expected a tensor of integers or a tuple of ints, one for each sample; "
            f"write torch.as_tensor({name})"
        )
    if lengths.numel() != samples:
        raise RuntimeError(
            f"{loss}: {name} must be of size batch_size, got {lengths.numel()} numbers for {samples} samples; "
            f"the input is (T, N, C), with the samples in its second dimension"
        )
    return lengths.reshape(-1)


def _is_integral(tensor: Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex())


def _is_whole(value: object) -> bool:
    """An int, NumPy's too, or a tensor that holds one; no bool, which torch refuses as well."""
    return not isinstance(value, bool) and (isinstance(value, int | torch.SymInt) or hasattr(value, "__index__"))


def _check_lengths(loss: str, given: GivenSequences, size: int) -> tuple[int, bool]:
    """Raises RuntimeError, as torch does, for a length that is negative or longer than what there is.

    Returns the greatest length of a target, and whether all frames of all samples count.
    """
    targets, frames, lengths, mask = given
    concatenated = targets.dim() == 1
    counts = [True] * len(frames) if mask is None else mask.tolist()
    longest = 0
    for sample, (of_input, of_target, counted) in enumerate(
        zip(frames.tolist(), lengths.tolist(), counts, strict=True)
    ):
        if (counted or concatenated) and of_target < 0:
            raise RuntimeError(f"{loss}: target_lengths[{sample}] is {of_target}, expected 0 or more")
        if not counted:
            continue
        if not 0 <= of_input <= size:
            raise RuntimeError(
                f"{loss}: input_lengths[{sample}] is {of_input}, expected 0 to {size}, the number of frames"
            )
        if not concatenated and of_target > targets.shape[1]:
            raise RuntimeError(
                f"{loss}: target_lengths[{sample}] is {of_target}, but targets, {checks.describe(targets)}, has room "
                f"for {targets.shape[1]} labels of a sample"
            )
        longest = max(longest, of_target)
    if concatenated and lengths.sum() != targets.shape[0]:
        raise RuntimeError(
            f"{loss}: targets holds {targets.shape[0]} labels, but target_lengths adds up to {int(lengths.sum())}; "
            f"1-dimensional targets are the samples' labels one after another, without padding"
        )
    return longest, mask is None and bool((frames == size).all())


def _lengths_in_range(targets: Tensor, frames: Tensor, lengths: Tensor, size: int) -> Tensor:
    """What `_check_lengths` checks, for each sample."""
    valid = (frames >= 0) & (frames <= size) & (lengths >= 0)
    if targets.dim() == 2:
        return valid & (lengths <= targets.shape[1])
    return valid & (lengths >= 0).all() & (lengths.sum() == targets.shape[0])


def _padded(targets: Tensor, lengths: Tensor, width: int) -> Tensor:
    """Concatenated targets as rows (N, width), with any labels where a row has ended."""
    begins = lengths.cumsum(0) - lengths
    at = begins.unsqueeze(1) + torch.arange(width, device=lengths.device)
    return targets[at.clamp(min=0, max=targets.shape[0] - 1)]


def _check_labels(loss: str, labels: Tensor, wrong: Tensor, classes: int) -> None:
    """Raises IndexError for the first label that is out of range."""
    if not bool(wrong.any()):
        return
    sample, position = (int(i) for i in torch.nonzero(wrong)[0])
    label = int(labels[sample, position])
    advice = (
        f"give the input at least {label + 1} classes, or correct the label"
        if label >= 0
        else f"if it is padding, target_lengths[{sample}] must leave it out"
    )
    raise IndexError(
        f"{loss}: label {label} at position {position} of sample {sample} is out of range: expected 0 to "
        f"{classes - 1} for {classes} classes; {advice}"
    )
