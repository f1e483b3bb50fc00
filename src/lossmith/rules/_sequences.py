"""What the rules about CTC share: the label sequences of a call, on the device of its scores."""

from typing import NamedTuple

import torch
from torch import Tensor

from ..rule import Call


class Sequences(NamedTuple):
    """The targets of a call as rows."""

    labels: Tensor
    """(N, S)."""
    inside: Tensor
    """Whether a label belongs to its sequence, and the sequence to the loss, (N, S)."""
    frames: Tensor
    """input_lengths, (N)."""
    lengths: Tensor
    """target_lengths, (N)."""


def is_ctc(call: Call) -> bool:
    return call.loss in ("ctc_loss", "ctc_loss_with_logits")


def scores_of(call: Call) -> Tensor:
    """(T, N, C) or (T, C)."""
    scores: Tensor = call.arguments["log_probs" if call.loss == "ctc_loss" else "logits"]
    return scores


def counted_samples(call: Call) -> Tensor | None:
    """The mask as (N); None without one."""
    mask = call.arguments.get("mask")
    return mask.expand(scores_of(call).shape[1:-1]).reshape(-1) if isinstance(mask, Tensor) else None


def sequences(call: Call) -> Sequences | None:
    """None where the shapes do not go together."""
    scores, targets = scores_of(call), call.arguments["targets"]
    samples = scores.shape[1] if scores.dim() == 3 else 1
    frames, lengths = (
        torch.as_tensor(call.arguments[name]).to(scores.device, non_blocking=True).reshape(-1)
        for name in ("input_lengths", "target_lengths")
    )
    rows = targets.shape[:1] == (samples,) if targets.dim() == 2 else targets.dim() == 1
    if (
        scores.dim() not in (2, 3)
        or samples == 0
        or not rows
        or frames.shape != (samples,)
        or lengths.shape != (samples,)
    ):
        return None
    targets = targets.detach().to(scores.device, non_blocking=True)
    if targets.dim() == 1:
        # one after another: each row begins where the one before it ends; none that fits is longer than the frames
        begin = lengths.cumsum(0) - lengths
        place = begin.unsqueeze(1) + torch.arange(min(len(targets), scores.shape[0] + 1), device=scores.device)
        targets = targets[place.clamp(0, max(len(targets) - 1, 0))] if len(targets) else place
    inside = torch.arange(targets.shape[1], device=scores.device) < lengths.unsqueeze(1)
    counted = counted_samples(call)
    if counted is not None:
        inside = inside & counted.unsqueeze(1)
    return Sequences(targets, inside, frames, lengths)
