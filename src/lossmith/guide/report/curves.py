"""What a candidate does to an error or to the log-odds of the right answer, computed with its own arguments."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

import lossmith

from ...card import Text
from ..chooser import Candidate
from ..inputs import Array
from ..recipes import (
    CLASSIFIED_VECTORS,
    COSINES_OF_PAIRS,
    COSINES_OF_TRIPLETS,
    DIFFERENCES_OF_PAIRS,
    DISTANCES_OF_PAIRS,
    DISTANCES_OF_TRIPLETS,
    EVEN_INTERVAL,
    LABEL_LOGITS,
    LABEL_PROBABILITIES,
    LABELLED_VECTORS,
    LOG_RATE,
    LOG_SHARES,
    LOGITS,
    MEAN_AND_VARIANCE,
    NORMAL_INTERVAL,
    ONE_LOGIT,
    PLACED_SHARES,
    QUANTILES,
    RECIPES,
    SCORES_OF_PAIRS,
    SHARES,
    STANDARDISED,
    TENSORS,
    VECTORS_OF_PAIRS,
    VECTORS_WITH_LABELS,
    Head,
)
from ..target import Target


@dataclass(frozen=True)
class Line:
    """The loss along the number, and its derivative in the network's output: how hard it pulls, and which way."""

    label: Text | None  # for which targets, where more than one is drawn
    x: Array
    loss: Array
    pull: Array


@dataclass(frozen=True)
class _Path:
    """How a line is computed: what the network puts out where the number is x, and the loss of that."""

    label: Text | None
    output: Callable[[Tensor], Tensor]
    loss: Callable[[Tensor], Tensor]
    sign: float = 1.0  # of the output, where x grows
    column: int | None = None  # of the output that grows with x


@dataclass(frozen=True)
class _Given:
    """What the lines of a candidate are made from; `criterion` is its loss, unreduced."""

    candidate: Candidate
    criterion: Callable[..., Tensor]
    arguments: dict[str, Any]  # its own
    target: Target
    unit: float
    spread: float


def curves(candidate: Candidate, target: Target, x: Array, unit: float, spread: float) -> list[Line]:
    """The candidate's lines over x. Of quantities, x is the error in the unit of the target, `unit` what the target is
    standardised with and `spread` the typical error; of shares it is the error, of classes and labels the log-odds; of
    pairs and triplets what the loss looks at: a cosine, a distance, or the lead of the better or nearer one; of an
    embedding the cosine to a row of the class.
    """
    lines = []
    arguments = {name: value for name, value in candidate.arguments.items() if name not in ("reduction", "on_empty")}
    for name in arguments.keys() & TENSORS:
        arguments[name] = torch.tensor(arguments[name], dtype=torch.float64).reshape(-1)
    criterion = getattr(lossmith, candidate.loss)(**arguments, reduction="none")
    given = _Given(candidate, criterion, arguments, target, unit, spread)
    for path in _PATHS[RECIPES[candidate.recipe].head](given):
        at = torch.as_tensor(x)
        output = path.output(at).requires_grad_()
        loss = path.loss(output)
        gradient = path.sign * torch.autograd.grad(loss.sum(), output)[0]
        pull = gradient if path.column is None else gradient[:, path.column]
        lines.append(Line(path.label, x, loss.detach().numpy(), pull.numpy()))
    return lines


def typical_count(target: Target) -> float:
    """The count that lines over errors are drawn for."""
    return max(1.0, float(np.round(np.mean(target.values))))


def typical_share(target: Target) -> float:
    """The share that lines over errors are drawn for: the mean of the greatest column."""
    shares = np.asarray(target.values)
    return float((shares / shares.sum(axis=1, keepdims=True)).mean(axis=0).max())


def _as_it_is(x: Tensor) -> Tensor:
    return x


# Quantities


def _errors(given: _Given) -> Iterator[_Path]:
    def loss(error: Tensor) -> Tensor:
        return given.criterion(error, torch.zeros_like(error))

    yield _Path(None, lambda x: x / given.unit, loss)


def _errors_of_quantiles(given: _Given) -> Iterator[_Path]:
    quantiles = given.arguments["quantiles"]

    def loss(error: Tensor, place: int) -> Tensor:
        among = error.unsqueeze(1).expand(-1, len(quantiles))
        return given.criterion(among, torch.zeros_like(error))[:, place]

    for place, quantile in enumerate(quantiles):
        label = Text(f"the output for the quantile {quantile:g}", f"{quantile:g} 分位数的输出")
        yield _Path(label, lambda x: x / given.unit, partial(loss, place=place))


def _errors_of_rows_with_noise(given: _Given) -> Iterator[_Path]:
    def loss(error: Tensor, noise: float) -> Tensor:
        return given.criterion(error, torch.zeros_like(error), torch.full_like(error, noise**2))

    for factor, label in (
        (0.7, Text("a quiet row: 0.7 times the usual noise", "噪声较小的样本：平时的 0.7 倍")),
        (1.4, Text("a noisy row: 1.4 times the usual noise", "噪声较大的样本：平时的 1.4 倍")),
    ):
        yield _Path(label, lambda x: x / given.unit, partial(loss, noise=factor * given.spread / given.unit))


def _errors_of_a_count(given: _Given) -> Iterator[_Path]:
    count = typical_count(given.target)

    def loss(log_rate: Tensor) -> Tensor:
        return given.criterion(log_rate, torch.full_like(log_rate, count))

    label = Text(f"a row with the count {count:g}", f"计数为 {count:g} 的样本")
    yield _Path(label, lambda x: torch.log(x + count), loss)


# Classes, labels, shares


def _log_odds(given: _Given, probabilities: bool = False) -> Iterator[_Path]:
    """Of a yes or no; where these weigh differently a yes and a no, of several labels those of the heaviest."""
    weights = given.arguments.get("pos_weight")
    heaviest = 0 if weights is None else int(weights.argmax())
    weighs = weights is not None or "alpha" in given.arguments

    def logit(x: Tensor, sign: float) -> Tensor:
        return sign * x

    def loss(logit: Tensor, truth: float) -> Tensor:
        output = logit.sigmoid() if probabilities else logit
        among = torch.zeros(len(output), 1 if weights is None else len(weights), dtype=output.dtype)
        among[:, heaviest] = output
        return given.criterion(among, torch.full_like(among, truth))[:, heaviest]

    for truth, label in _yes_and_no(given.target, heaviest) if weighs else ((1.0, None),):
        sign = 2 * truth - 1
        yield _Path(label, partial(logit, sign=sign), partial(loss, truth=truth), sign)


def _yes_and_no(target: Target, label: int) -> tuple[tuple[float, Text | None], ...]:
    if target.kind == "binary":
        no, yes = target.classes
        return (1.0, Text(f"rows of {yes}", f"{yes} 的样本")), (0.0, Text(f"rows of {no}", f"{no} 的样本"))
    name = target.columns[label]
    return (1.0, Text(f"{name} applies", f"{name} 成立")), (0.0, Text(f"{name} does not", f"{name} 不成立"))


def _log_odds_of_a_class(given: _Given) -> Iterator[_Path]:
    """Logits of the right class against others that are all alike; with weights the heaviest and the lightest class."""
    classes, weights = given.target.outputs, given.arguments.get("weight")

    def logits(x: Tensor, code: int) -> Tensor:
        rows = torch.zeros(len(x), classes, dtype=x.dtype)
        rows[:, code] = x + np.log(classes - 1)
        return rows

    def loss(rows: Tensor, code: int) -> Tensor:
        return given.criterion(rows, torch.full((len(rows),), code))

    drawn: list[tuple[int, Text | None]] = [(0, None)]
    if weights is not None:
        heavy, light = int(weights.argmax()), int(weights.argmin())
        names = given.target.classes[heavy], given.target.classes[light]
        drawn = [
            (heavy, Text(f"class {names[0]} (the heaviest)", f"类别 {names[0]}（权重最大）")),
            (light, Text(f"class {names[1]} (the lightest)", f"类别 {names[1]}（权重最小）")),
        ]
    for code, label in drawn:
        yield _Path(label, partial(logits, code=code), partial(loss, code=code), column=code)


def _errors_of_a_share(given: _Given, readout: Callable[..., Tensor]) -> Iterator[_Path]:
    """One share against the rest of the whole."""
    share = typical_share(given.target)
    truth = torch.tensor([share, 1 - share], dtype=torch.float64)
    add = torch.sum if given.candidate.arguments.get("reduction") == "batchmean" else torch.mean

    def logits(x: Tensor) -> Tensor:
        first = torch.logit((x + share).clamp(1e-6, 1 - 1e-6))
        return torch.stack([first, torch.zeros_like(first)], dim=1)

    def loss(rows: Tensor) -> Tensor:
        return add(given.criterion(readout(rows, dim=1), truth.expand_as(rows)), dim=1)

    yield _Path(Text(f"a row with a share of {share:.2g}", f"份额为 {share:.2g} 的样本"), logits, loss, column=0)


def _errors_of_a_placed_share(given: _Given) -> Iterator[_Path]:
    """One share, as what misses goes to the next place."""
    share = typical_share(given.target)
    truth = torch.tensor([share, 1 - share], dtype=torch.float64)
    places = torch.arange(2, dtype=torch.float64)

    def logits(x: Tensor) -> Tensor:
        first = torch.logit((x + share).clamp(1e-6, 1 - 1e-6))
        return torch.stack([first, torch.zeros_like(first)], dim=1)

    def loss(rows: Tensor) -> Tensor:
        return given.criterion(places, places, rows.softmax(dim=1), truth)

    label = Text(
        f"a row with a share of {share:.2g}, the rest in the next place", f"份额为 {share:.2g}、其余在相邻位置的样本"
    )
    yield _Path(label, logits, loss, column=0)


# Vectors with labels


def _cosines_to_the_class(given: _Given) -> Iterator[_Path]:
    """A row, another of its class at this cosine, and a third of another class, at right angles to both."""
    labels = torch.tensor([0, 0, 1])

    def loss(cosine: Tensor) -> Tensor:
        lost = []
        for each in cosine:
            other = torch.stack([each, (1 - each**2).clamp(min=1e-12).sqrt(), torch.zeros_like(each)])
            batch = torch.stack([torch.eye(3, dtype=cosine.dtype)[0], other, torch.eye(3, dtype=cosine.dtype)[2]])
            lost.append(given.criterion(batch, labels=labels) if by_name else given.criterion(batch, labels))
        return torch.stack(lost)[:, 0]

    by_name = RECIPES[given.candidate.recipe].head == VECTORS_WITH_LABELS
    label = Text("a row of another class lies at right angles", "另一类别的样本与它垂直")
    yield _Path(label, _as_it_is, loss)


def _cosines_to_the_direction(given: _Given) -> Iterator[_Path]:
    """A vector of length 1 and the directions of the classes, at right angles to each other."""

    def loss(cosine: Tensor) -> Tensor:
        logits = torch.stack([cosine, *[torch.zeros_like(cosine)] * (given.target.outputs - 1)], dim=1)
        return given.criterion(logits, torch.zeros(len(cosine), dtype=torch.int64))

    label = Text("the classifier's rows have length 1", "分类器各行的长度为 1")
    yield _Path(label, _as_it_is, loss)


# Pairs and triplets


def _cosines(given: _Given) -> Iterator[_Path]:
    def loss(cosine: Tensor, sign: float) -> Tensor:
        first = torch.stack([cosine, (1 - cosine**2).clamp(min=1e-12).sqrt()], dim=1)
        second = torch.tensor([[1.0, 0.0]], dtype=cosine.dtype).expand_as(first)
        return given.criterion(first, second, torch.full_like(cosine, sign))

    yield _Path(_ALIKE, _as_it_is, partial(loss, sign=1.0))
    yield _Path(_UNLIKE, _as_it_is, partial(loss, sign=-1.0))


def _distances_of_vectors(given: _Given) -> Iterator[_Path]:
    def loss(distance: Tensor, sign: float) -> Tensor:
        first = distance.unsqueeze(1)
        return given.criterion(first, torch.zeros_like(first), torch.full_like(distance, sign))

    yield _Path(_ALIKE, _as_it_is, partial(loss, sign=1.0))
    yield _Path(_UNLIKE, _as_it_is, partial(loss, sign=-1.0))


def _distances(given: _Given) -> Iterator[_Path]:
    def loss(distance: Tensor, sign: float) -> Tensor:
        return given.criterion(distance, torch.full_like(distance, sign))

    yield _Path(_ALIKE, _as_it_is, partial(loss, sign=1.0))
    yield _Path(_UNLIKE, _as_it_is, partial(loss, sign=-1.0))


_ALIKE = Text("an alike pair", "相似的一对")
_UNLIKE = Text("an unlike pair", "不相似的一对")


def _leads(given: _Given) -> Iterator[_Path]:
    yield _Path(None, _as_it_is, lambda lead: given.criterion(lead, torch.zeros_like(lead), torch.ones_like(lead)))


def _differences(given: _Given) -> Iterator[_Path]:
    yield _Path(None, _as_it_is, lambda lead: given.criterion(lead, torch.ones_like(lead)))


def _leads_of_triplets(given: _Given) -> Iterator[_Path]:
    """An anchor, a positive on one side of it, and a negative on the other side that is farther off by the lead."""

    def loss(lead: Tensor) -> Tensor:
        near = torch.full_like(lead, float(lead.detach().abs().max()) + 1.0)
        return given.criterion(torch.zeros_like(lead)[:, None], near[:, None], -(near + lead)[:, None])

    label = Text("a negative on the anchor's other side", "负例在锚点的另一侧")
    yield _Path(label if "swap" in given.arguments else None, _as_it_is, loss)


_PATHS: dict[Head, Callable[[_Given], Iterator[_Path]]] = {
    STANDARDISED: _errors,
    EVEN_INTERVAL: _errors,
    QUANTILES: _errors_of_quantiles,
    MEAN_AND_VARIANCE: _errors_of_rows_with_noise,
    NORMAL_INTERVAL: _errors_of_rows_with_noise,
    LOG_RATE: _errors_of_a_count,
    ONE_LOGIT: _log_odds,
    LABEL_LOGITS: _log_odds,
    LABEL_PROBABILITIES: partial(_log_odds, probabilities=True),
    LOGITS: _log_odds_of_a_class,
    LOG_SHARES: partial(_errors_of_a_share, readout=torch.log_softmax),
    SHARES: partial(_errors_of_a_share, readout=torch.softmax),
    PLACED_SHARES: _errors_of_a_placed_share,
    LABELLED_VECTORS: _cosines_to_the_class,
    VECTORS_WITH_LABELS: _cosines_to_the_class,
    CLASSIFIED_VECTORS: _cosines_to_the_direction,
    COSINES_OF_PAIRS: _cosines,
    COSINES_OF_TRIPLETS: _cosines,
    DISTANCES_OF_PAIRS: _distances,
    VECTORS_OF_PAIRS: _distances_of_vectors,
    SCORES_OF_PAIRS: _leads,
    DIFFERENCES_OF_PAIRS: _differences,
    DISTANCES_OF_TRIPLETS: _leads_of_triplets,
}
