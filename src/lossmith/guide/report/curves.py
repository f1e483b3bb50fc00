"""What a candidate does to an error or to the log-odds of the right answer, computed with its own arguments."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

import lossmith

from ...card import Text
from ..chooser import Candidate
from ..inputs import Array
from ..recipes import (
    LABEL_LOGITS,
    LABEL_PROBABILITIES,
    LOG_RATE,
    LOG_SHARES,
    LOGITS,
    MEAN_AND_VARIANCE,
    ONE_LOGIT,
    RECIPES,
    SHARES,
    STANDARDISED,
    TENSORS,
)
from ..target import Target


@dataclass(frozen=True)
class Line:
    """The loss along the number, and its derivative in the network's output: how hard it pulls, and which way."""

    label: Text | None  # for which targets, where more than one is drawn
    x: Array
    loss: Array
    pull: Array

    def pull_at(self, x: Array) -> Array:
        return np.asarray(np.interp(x, self.x, self.pull))


@dataclass(frozen=True)
class _Path:
    """How a line is computed: what the network puts out where the number is x, and the loss of that."""

    label: Text | None
    output: Callable[[Tensor], Tensor]
    loss: Callable[[Tensor], Tensor]
    along: Callable[[Tensor], Tensor] = lambda gradient: gradient


def curves(candidate: Candidate, target: Target, x: Array, unit: float, spread: float) -> list[Line]:
    """The candidate's lines over x. Of quantities, x is the error in the unit of the target, `unit` what the target is
    standardised with and `spread` the typical error; of shares it is the error, of classes and labels the log-odds.
    """
    lines = []
    for path in _paths(candidate, target, unit, spread):
        at = torch.as_tensor(x)
        output = path.output(at).requires_grad_()
        loss = path.loss(output)
        pull = path.along(torch.autograd.grad(loss.sum(), output)[0])
        lines.append(Line(path.label, x, loss.detach().numpy(), pull.numpy()))
    return lines


def typical_count(target: Target) -> float:
    """The count that lines over errors are drawn for."""
    return max(1.0, float(np.round(np.mean(target.values))))


def typical_share(target: Target) -> float:
    """The share that lines over errors are drawn for: the mean of the greatest column."""
    shares = np.asarray(target.values)
    return float((shares / shares.sum(axis=1, keepdims=True)).mean(axis=0).max())


def _paths(candidate: Candidate, target: Target, unit: float, spread: float) -> Iterator[_Path]:
    """The lines of a candidate, by the head that stands before it."""
    arguments = {name: value for name, value in candidate.arguments.items() if name != "reduction"}
    for name in arguments.keys() & TENSORS:
        arguments[name] = torch.tensor(arguments[name], dtype=torch.float64).reshape(-1)
    criterion = getattr(lossmith, candidate.loss)(**arguments, reduction="none")
    head = RECIPES[candidate.recipe].head
    weights = arguments.get("weight", arguments.get("pos_weight"))
    if head == STANDARDISED:
        yield _Path(None, lambda x: x / unit, lambda e: criterion(e, torch.zeros_like(e)))
    elif head == MEAN_AND_VARIANCE:
        for factor, label in ((0.7, _QUIET), (1.4, _NOISY)):
            variance = (factor * spread / unit) ** 2
            yield _Path(
                label,
                lambda x: x / unit,
                lambda e, v=variance: criterion(e, torch.zeros_like(e), torch.full_like(e, v)),  # type: ignore[misc]
            )
    elif head == LOG_RATE:
        count = typical_count(target)
        label = Text(f"a row with the count {count:g}", f"计数为 {count:g} 的样本")
        yield _Path(label, lambda x: torch.log(x + count), lambda rate: criterion(rate, torch.full_like(rate, count)))
    elif head in (ONE_LOGIT, LABEL_LOGITS, LABEL_PROBABILITIES):
        heaviest = 0 if weights is None else int(weights.argmax())
        if weights is not None:
            criterion.pos_weight = weights[heaviest]
        is_probability = head == LABEL_PROBABILITIES
        for truth, label in _truths(target, heaviest) if weights is not None else ((1.0, None),):
            sign = 2 * truth - 1
            yield _Path(
                label,
                lambda x, s=sign: s * x,  # type: ignore[misc]
                lambda z, y=truth: criterion(z.sigmoid() if is_probability else z, torch.full_like(z, y)),  # type: ignore[misc]
                lambda gradient, s=sign: s * gradient,  # type: ignore[misc]
            )
    elif head == LOGITS:
        if weights is None:
            yield _class_path(criterion, 0, target.outputs, None)
        else:
            for code, label in ((int(weights.argmax()), _HEAVIEST), (int(weights.argmin()), _LIGHTEST)):
                yield _class_path(criterion, code, target.outputs, label(target.classes[code]))
    elif head in (LOG_SHARES, SHARES):
        share = typical_share(target)
        truth_row = torch.tensor([share, 1 - share], dtype=torch.float64)
        readout = torch.log_softmax if head == LOG_SHARES else torch.softmax
        yield _Path(
            Text(f"a row with a share of {share:.2g}", f"份额为 {share:.2g} 的样本"),
            lambda x: torch.logit((x + share).clamp(1e-6, 1 - 1e-6))[:, None] * torch.tensor([1.0, 0.0]),
            lambda z: criterion(readout(z, dim=1), truth_row.expand_as(z)).sum(dim=1),
            lambda gradient: gradient[:, 0],
        )


def _class_path(criterion: torch.nn.Module, code: int, classes: int, label: Text | None) -> _Path:
    """Logits of one right class against others that are all alike: the right one's log-odds are then x."""

    def logits(x: Tensor) -> Tensor:
        rows = torch.zeros(len(x), classes, dtype=x.dtype)
        rows[:, code] = x + np.log(classes - 1)
        return rows

    return _Path(
        label,
        logits,
        lambda rows: criterion(rows, torch.full((len(rows),), code)),
        lambda gradient: gradient[:, code],
    )


_QUIET = Text("a quiet row: 0.7 times the usual noise", "噪声较小的样本：平时的 0.7 倍")
_NOISY = Text("a noisy row: 1.4 times the usual noise", "噪声较大的样本：平时的 1.4 倍")


def _HEAVIEST(name: object) -> Text:
    return Text(f"class {name} (the heaviest)", f"类别 {name}（权重最大）")


def _LIGHTEST(name: object) -> Text:
    return Text(f"class {name} (the lightest)", f"类别 {name}（权重最小）")


def _truths(target: Target, label: int) -> tuple[tuple[float, Text], ...]:
    """A yes and a no, by their names."""
    if target.kind == "binary":
        negative, positive = target.classes
        return (1.0, Text(f"rows of {positive}", f"{positive} 的样本")), (
            0.0,
            Text(f"rows of {negative}", f"{negative} 的样本"),
        )
    name = target.columns[label]
    return (1.0, Text(f"{name} applies", f"{name} 成立")), (0.0, Text(f"{name} does not", f"{name} 不成立"))
