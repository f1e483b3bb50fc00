"""Errors and warnings about what a loss is given: each says what came, what was expected and what to write instead."""

import sys
import threading
import warnings
from collections.abc import Sequence
from types import FrameType

import torch
from torch import Tensor

from .backend import readable
from .native import core


class LossWarning(UserWarning):
    """A loss that is probably not meant the way it is called."""


def shapes(**tensors: object) -> str:
    """`input (2, 3) float32, target (2,) int64`, for messages."""
    return ", ".join(f"{name} {describe(value)}" for name, value in tensors.items())


def describe(value: object) -> str:
    """A tensor's shape and dtype, or another value as it prints."""
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    return repr(value)


def alike(*tensors: object) -> int:
    """More than 0 if all are plain CPU tensors of one shape and one floating dtype: no check finds a fault with them.

    One step instead of many, for the usual call; 0 says nothing. See `backend.kernels` for the numbers.
    """
    if torch.compiler.is_compiling() or core is None:
        return 0
    found: int = core.survey(*tensors)
    return found + 1 if found > 0 else 0


def pair(loss: str, reduction: str, input: Tensor, target: Tensor, floating: str) -> int:
    """The checks of a loss of a prediction and a target, element by element; returns what `alike` found.

    floating: which must have a floating dtype: "input", "either", or "" for none.
    """
    found = alike(input, target)
    if not found:
        real(loss, input=input, target=target)
        if floating == "input":
            must_float(loss, input=input)
        elif floating:
            must_float(loss, input=input, target=target)
        broadcastable(loss, input=input, target=target)
        outer_broadcast(loss, reduction, input=input, target=target)
    return found


def alike_rows(scores: object, labels: object, sets: bool = False) -> int:
    """The same for scores (N, C, ...) with int64 labels for each row; sets: rows of labels, in the scores' shape."""
    if torch.compiler.is_compiling() or core is None:
        return 0
    found: int = core.survey_rows(scores, labels, sets)
    return found and found + 1


def tensor(loss: str, name: str, value: object) -> None:
    """Raises TypeError unless `value` is a tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{loss}: {name} is a {type(value).__name__}, expected a torch.Tensor; write torch.as_tensor({name})"
        )


def broadcastable(loss: str, **tensors: Tensor) -> None:
    """Raises torch's RuntimeError, in better words, unless the shapes broadcast together."""
    known = [t for t in tensors.values() if isinstance(t, Tensor)]
    if all(t.shape == known[0].shape for t in known):
        return
    rank = max([t.dim() for t in known])
    for back in range(1, rank + 1):
        size = None
        for t in known:
            if t.dim() < back or t.shape[-back] == 1:
                continue
            if size is None:
                size = t.shape[-back]
            elif t.shape[-back] != size:
                raise RuntimeError(
                    f"{loss}: the shapes can't be broadcast together: {shapes(**tensors)} differ in dimension -{back}; "
                    f"give tensors of one shape, or insert a dimension of 1 with unsqueeze where one is to be repeated"
                )


def real(loss: str, **tensors: object) -> None:
    """Raises TypeError for what is no tensor and NotImplementedError, as torch does, for complex numbers."""
    for name, value in tensors.items():
        tensor(loss, name, value)
        if isinstance(value, Tensor) and value.is_complex():
            raise NotImplementedError(
                f"{loss}: {name} is {describe(value)}, expected real numbers; write torch.view_as_real({name}), "
                f"or {name}.abs() for moduli"
            )


def must_float(loss: str, **tensors: Tensor) -> None:
    """Raises NotImplementedError, as torch does, unless one of the tensors is of a floating dtype."""
    if not any(t.is_floating_point() for t in tensors.values()):
        name = next(iter(tensors))
        raise NotImplementedError(
            f"{loss}: got {shapes(**tensors)}, expected {name} of a floating dtype, such as float32; "
            f"write {name}.float()"
        )


def broadcast(input: Tensor, target: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Operands of l1_loss, mse_loss and smooth_l1_loss, which torch brings into one shape before all else.

    So the dtype of a 0-dim tensor counts like that of others: it gets a dimension, and the loops repeat it. That of
    torch's elementwise weight counts too.
    """
    if weight is not None:
        input = input.to(torch.promote_types(input.dtype, weight.dtype))
    if input.shape != target.shape:
        input, target = (t if t.dim() else t.unsqueeze(0) for t in (input, target))
    return input, target


def outer_broadcast(loss: str, reduction: str, **tensors: Tensor) -> None:
    """Warns where broadcasting makes the loss larger than every operand: (N, 1) against (N) gives (N, N).

    Silent with reduction='none', which is how pairwise losses are written.
    """
    if reduction == "none" or torch.compiler.is_compiling():
        return
    known = [t for t in tensors.values() if isinstance(t, Tensor)]
    if all(t.shape == known[0].shape for t in known):
        return
    result: torch.Size = torch.broadcast_shapes(*(t.shape for t in known))  # type: ignore[no-untyped-call]
    if all(t.numel() < result.numel() for t in known):
        misuse(
            f"{loss}: {shapes(**tensors)} broadcast to {tuple(result)}, larger than each of them: every row meets "
            f"every other row, which is seldom meant. Give tensors of one shape (target.view_as(input), "
            f"input.squeeze(-1)), or reduction='none' for a matrix of pairs."
        )


def single_logit(loss: str, input: Tensor, dim: int) -> None:
    """Warns where there is one class in a batch of rows: its probability is 1 and nothing can be learned.

    A single row may be what is left of a table of pairs.
    """
    if not torch.compiler.is_compiling() and input.shape[dim] == 1 and input.numel() > 1:
        misuse(
            f"{loss}: dimension {dim} of input {describe(input)}, that of the classes, has size 1: the softmax of one "
            f"logit is 1, so loss and gradient are 0. For two classes take binary_cross_entropy_with_logits."
        )


class _Told(threading.local):
    elsewhere = False


_told = _Told()


class told_elsewhere:
    """Within it `misuse` is silent: somebody who watches the call tells the same."""

    def __enter__(self) -> None:
        self._before, _told.elsewhere = _told.elsewhere, True

    def __exit__(self, *_: object) -> None:
        _told.elsewhere = self._before


def misuse(message: str) -> None:
    """`warn` for what the guard tells too, if it is there."""
    if not torch.compiler.is_compiling() and not _told.elsewhere:
        warn(message)


def warn(message: str) -> None:
    """A LossWarning at the caller's line; none while compiling."""
    if not torch.compiler.is_compiling():
        frame = caller()
        registry = frame.f_globals.setdefault("__warningregistry__", {})
        module = frame.f_globals.get("__name__", "")
        warnings.warn_explicit(message, LossWarning, frame.f_code.co_filename, frame.f_lineno, module, registry)


def caller() -> FrameType:
    """The innermost frame outside of lossmith and of torch, whose Module call is one; the outermost if none is."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        name = frame.f_globals.get("__name__", "")
        if not name.startswith(("lossmith.", "torch.")) and name != "lossmith":
            break
        frame = frame.f_back
    return frame


def labels(
    loss: str,
    target: Tensor,
    classes: int,
    allowed: int | None = None,
    *,
    mask: Tensor | None = None,
    padded: bool = False,
) -> Tensor | None:
    """Checks class labels: raises IndexError in eager CPU, else returns where they are valid (None: everywhere).

    A caller that gets a tensor must not use the other labels as addresses and must give NaN with gradient 0 there.
    allowed: a label that may lie out of range (ignore_index). What is masked is not looked at. padded: the target
    holds rows of labels, and what is allowed pads them.
    """
    valid = (target >= 0) & (target < classes)
    if allowed is not None:
        valid = valid | (target == allowed)
    if mask is not None:
        valid = valid | ~mask
    if not readable(valid):
        return valid
    if bool(valid.all()):
        return None
    position = tuple(int(i) for i in torch.nonzero(~valid)[0])
    label = int(target[position])
    row = f" in row {position[0]}" if len(position) == 1 else f" at position {position}" if position else ""
    if padded:
        row = f" in row {position[0]} (position {position})" if len(position) > 1 else row.replace("row", "place")
    others = "" if allowed is None else f", or {allowed} as padding" if padded else f", or ignore_index={allowed}"
    if label >= 0:
        advice = f"give the input at least {label + 1} classes, or correct the label"
    elif padded:
        advice = f"pad rows with {allowed}, or write mask= to leave them out"
    else:
        ignore = "" if allowed is None else f"ignore_index={label} or "
        advice = f"write {ignore}mask= to leave rows out"
    raise IndexError(
        f"{loss}: label {label}{row} is out of range: expected 0 to {classes - 1} for {classes} classes{others}; "
        f"{advice}"
    )


def integers(loss: str, name: str, value: Tensor) -> Tensor:
    """Any integer dtype as int64; other dtypes are refused with torch's kind of error."""
    if value.is_floating_point() or value.is_complex() or value.dtype == torch.bool:
        raise RuntimeError(
            f"{loss}: {name} is {describe(value)}, expected class indices of an integer dtype; write {name}.long()"
        )
    return value.to(torch.int64)


def same_shape(loss: str, error: type[Exception], **tensors: Tensor) -> None:
    """Raises `error` unless all tensors have one shape."""
    known: Sequence[Tensor] = list(tensors.values())
    if any(t.shape != known[0].shape for t in known):
        raise error(
            f"{loss}: expected tensors of one shape, got {shapes(**tensors)}; "
            f"reshape or unsqueeze one of them ({list(tensors)[1]}.view_as({next(iter(tensors))}))"
        )


def weight_of_input(loss: str, weight: Tensor | None, input: Tensor) -> None:
    """Raises ValueError unless torch's elementwise weight has the input's shape."""
    if weight is None:
        return
    tensor(loss, "weight", weight)
    if weight.shape != input.shape:
        raise ValueError(
            f"{loss}: weight must have the shape of input, got {shapes(weight=weight, input=input)}; "
            f"write weight.expand_as(input), or sample_weight=, which broadcasts"
        )


def smoothing(loss: str, value: float) -> None:
    """Raises RuntimeError, as torch does, unless label_smoothing is from 0 to 1."""
    if not 0.0 <= value <= 1.0:
        raise RuntimeError(f"{loss}: label_smoothing must be between 0.0 and 1.0, got {value!r}; 0.1 is usual")


def class_dim(loss: str, input: Tensor, target: Tensor, dim: int | None, probabilities: bool) -> int:
    """The class dimension, counted from the front; by default 1, or 0 for a row without a batch."""
    tensor(loss, "input", input)
    if input.dim() == 0:
        error = RuntimeError if probabilities else ValueError
        raise error(
            f"{loss}: expected logits of 1 or more dimensions, (C), (N, C) or (N, C, d1, ...), got "
            f"{shapes(input=input, target=target)}; write input.reshape(1, -1) for one row"
        )
    must_float(loss, input=input)
    if dim is None:
        return 0 if input.dim() == 1 else 1
    if not -input.dim() <= dim < input.dim():
        raise IndexError(f"{loss}: dim={dim} is out of range for input {describe(input)}; write dim=-1 for the last")
    return dim % input.dim()


def class_weight(loss: str, weight: Tensor | None, input: Tensor, dim: int) -> None:
    """Raises RuntimeError unless there is one weight for each class."""
    if weight is None:
        return
    tensor(loss, "weight", weight)
    if weight.shape != (input.shape[dim],):
        raise RuntimeError(
            f"{loss}: weight must hold one number for each of the {input.shape[dim]} classes (dimension {dim} of "
            f"input), got {shapes(weight=weight, input=input)}; for weights of rows write sample_weight="
        )


def label_shape(
    loss: str,
    input: Tensor,
    target: Tensor,
    dim: int,
    advice: str = "the target was taken for labels, since only a target of the input's own shape is taken for "
    "probabilities",
) -> Tensor:
    """Labels as int64 in the input's shape less the class dimension, or torch's kinds of error in better words."""
    tensor(loss, "target", target)
    expected = [size for position, size in enumerate(input.shape) if position != dim]
    if input.dim() == 1 and target.dim() == 1:
        if target.shape[0] != 1:
            raise ValueError(
                f"{loss}: a row without a batch needs one label, got {shapes(input=input, target=target)}; "
                f"give the input a batch dimension, (N, C), for several labels"
            )
        target = target.reshape(())
    if list(target.shape) != expected:
        same_batch = target.dim() > 0 and dim != 0 and target.shape[0] == input.shape[0]
        error = RuntimeError if same_batch else ValueError
        raise error(
            f"{loss}: expected labels of shape {tuple(expected)} (the input's shape less its class dimension {dim}), "
            f"got {shapes(input=input, target=target)}; {advice}"
        )
    return integers(loss, "target", target)


def score_rows(loss: str, input: Tensor, target: Tensor) -> None:
    """Raises unless the scores are one row (C), or a batch of them (N, C), with at least one class; () is one score."""
    tensor(loss, "input", input)
    tensor(loss, "target", target)
    if input.dim() > 2 or 0 in input.shape[-1:]:
        raise RuntimeError(
            f"{loss}: expected non-empty scores of shape (C) or (N, C), got {shapes(input=input, target=target)}; "
            f"flatten other dimensions into N, such as input.movedim(1, -1).flatten(0, -2)"
        )
    must_float(loss, input=input)


def fits(
    loss: str,
    name: str,
    given: Tensor | None,
    shape: torch.Size,
    of: str,
    error: type[Exception] = ValueError,
) -> None:
    """Raises `error` unless a tensor broadcasts to a shape without enlarging it."""
    if given is None or given.dim() == 0:
        return
    tail = shape[len(shape) - given.dim() :] if given.dim() <= len(shape) else None
    if tail is None or any(g != s and g != 1 for g, s in zip(given.shape, tail, strict=True)):
        raise error(
            f"{loss}: {name} is {describe(given)}, expected a shape that broadcasts to {of} {tuple(shape)} without "
            f"enlarging it; insert dimensions of 1, such as {name}[:, None]"
        )


def within_unit(loss: str, name: str, value: Tensor, mask: Tensor | None, advice: str) -> Tensor | None:
    """Checks for values from 0 to 1: raises RuntimeError in eager CPU, else returns where they are not (or None)."""
    outside = ~(value * (1 - value) >= 0) if value.is_floating_point() else (value < 0) | (value > 1)
    if mask is not None:
        outside = outside & mask
    if not readable(outside):
        return outside
    if bool(outside.any()):
        position = tuple(int(i) for i in torch.nonzero(outside)[0])
        found = torch.broadcast_to(value, outside.shape)[position].item()
        raise RuntimeError(
            f"{loss}: all elements of {name} should be between 0 and 1, got {found!r} at position {position} of "
            f"{describe(value)}; {advice}"
        )
    return None
