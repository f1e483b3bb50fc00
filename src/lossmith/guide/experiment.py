"""The experiment: the same small network under every candidate, on the same folds, judged by the same metrics."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from .inputs import Array, Inputs
from .metrics import METRICS, NEED_PROBABILITIES, measure
from .recipes import RECIPES, Recipe, definitions, from_training
from .target import Target

Rows = NDArray[np.int64]
SMOOTH = 5  # epochs that a validation metric is averaged over: on few rows a single one is good by luck


@dataclass(frozen=True)
class Settings:
    """How the experiment trains; the same for every candidate."""

    folds: int = 5
    repeats: int = 2
    epochs: int = 60
    patience: int = 10
    hidden: int = 64
    learning_rate: float = 6e-3
    weight_decay: float = 1e-3
    most_rows: int = 10_000  # a sample of as many is drawn from larger tables

    @property
    def runs(self) -> int:
        return self.folds * self.repeats


@dataclass(frozen=True)
class Scores:
    """One candidate's metrics: one value for each fold of each repeat."""

    recipe: str
    folds: dict[str, Array]


def sample(target: Target, settings: Settings, seed: int) -> Rows:
    """The rows of the experiment: all of them or, of a large table, a sample with every class in each fold."""
    rows = np.random.default_rng(seed).permutation(len(target.values))
    if target.codes is not None:
        classes = [np.flatnonzero(target.codes[rows] == code)[: settings.folds] for code in np.unique(target.codes)]
        first = np.concatenate(classes)
        rows = np.concatenate([rows[first], np.delete(rows, first)])
    return np.sort(rows[: settings.most_rows])


def experiment(
    target: Target,
    inputs: Inputs,
    candidates: tuple[str, ...],
    decided_by: str,
    settings: Settings,
    seed: int,
    progress: Callable[[str, int], None] | None = None,
) -> list[Scores]:
    """Trains and tests every candidate on the same folds. Whatever is learned from data, from medians to delta and
    class weights, is learned from a fold's training rows alone. A fixed seed gives the same figures again.
    """
    scores: dict[str, list[dict[str, float]]] = {candidate: [] for candidate in candidates}
    with _reproducible():
        for run, (train, test) in enumerate(_folds(target, len(inputs.values), settings, seed)):
            fit, stop = _validation_split(target, train, seed + run)
            numbers = from_training(target, inputs, fit, seed)
            x = torch.as_tensor(inputs.design(fit), dtype=torch.float32)
            for candidate in candidates:
                recipe = RECIPES[candidate]
                if progress:
                    progress(recipe.label, len(candidates) * settings.runs)
                torch.manual_seed(seed + run)  # the same first weights and the same batches for each candidate
                predict = _train(recipe, target, numbers, x, fit, stop, decided_by, settings)
                found = measure(target, test, predict(test), _units(target, numbers))
                if not recipe.gives_probabilities:
                    found = {name: value for name, value in found.items() if name not in NEED_PROBABILITIES}
                scores[candidate].append(found)
    return [
        Scores(candidate, {name: np.array([fold[name] for fold in folds]) for name in folds[0]})
        for candidate, folds in scores.items()
    ]


@contextmanager
def _reproducible() -> Iterator[None]:
    """One thread and a random state of its own: the same figures from run to run, and nothing left behind."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]), threadpool_limits(1), torch.enable_grad():
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _folds(target: Target, rows: int, settings: Settings, seed: int) -> Iterator[tuple[Rows, Rows]]:
    kind = RepeatedKFold if target.codes is None else RepeatedStratifiedKFold
    folds = kind(n_splits=settings.folds, n_repeats=settings.repeats, random_state=seed)
    yield from folds.split(np.zeros(rows), target.codes)


def _validation_split(target: Target, train: Rows, seed: int) -> tuple[Rows, Rows]:
    """A sixth of the training rows decides when to stop; a sixth of each class where there are classes."""
    rows = np.random.default_rng(seed).permutation(train)
    if target.codes is not None:
        rows = rows[np.argsort(target.codes[rows], kind="stable")]
    stop = np.arange(len(rows)) % 6 == 5
    return rows[~stop], rows[stop]


def _units(target: Target, numbers: dict[str, Any]) -> Array:
    """One output is measured in its own unit, several in standard deviations of each."""
    return np.array(numbers["scale"]) if target.kind == "numbers" and target.outputs > 1 else np.ones(1)


def _train(
    recipe: Recipe,
    target: Target,
    numbers: dict[str, Any],
    x: Tensor,
    fit: Rows,
    stop: Rows,
    decided_by: str,
    settings: Settings,
) -> Callable[[Rows], Array]:
    """Trains one network on the rows in `fit` until `decided_by` no longer improves on those in `stop`; gives its
    predictions for rows.
    """
    body = nn.Sequential(nn.Linear(x.shape[1], settings.hidden), nn.ReLU())
    printed: dict[str, Any] = {}
    exec(definitions(recipe, target, numbers, settings.hidden), printed)  # what the user gets is what is tried
    network = nn.Sequential(body, printed["last_layer"])
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    units = _units(target, numbers)
    truth = printed["to_target"](target.take(fit).values)
    inputs = x[torch.as_tensor(fit)]
    size = min(max(len(fit) // 10, 16), 256)

    def predict(rows: Rows) -> Array:
        with torch.no_grad():
            output = printed["to_prediction"](network(x[torch.as_tensor(rows)]))
        found = np.nan_to_num(output.numpy().astype(np.float64), nan=0.0, posinf=1e30, neginf=-1e30)
        return np.hstack([1 - found, found]) if target.kind == "binary" and found.shape[1] == 1 else found

    merits: list[Array] = []
    best = np.full(1, -np.inf)
    kept = [weights.detach().clone() for weights in network.parameters()]
    waited = 0
    for _ in range(settings.epochs):
        order = torch.randperm(len(fit))
        for start in range(0, len(fit), size):
            batch = order[start : start + size]
            optimizer.zero_grad()
            printed["to_loss"](network(inputs[batch]), truth[batch]).backward()
            optimizer.step()
        merits.append(_merits(measure(target, stop, predict(stop), units), decided_by))
        reached = np.mean(merits[-SMOOTH:], axis=0)
        if np.any(reached > best):
            best, waited = np.maximum(best, reached), 0
            kept = [weights.detach().clone() for weights in network.parameters()]
        elif (waited := waited + 1) > settings.patience:
            break
    with torch.no_grad():
        for weights, good in zip(network.parameters(), kept, strict=True):
            weights.copy_(good)
    return predict


def _merits(found: dict[str, float], decided_by: str) -> Array:
    """What has to improve for training to go on, more being better: the metric that decides or, where there are
    probabilities, the log loss. Metrics that count rows stand still while a network learns.
    """
    sign = 1 if METRICS[decided_by].higher_is_better else -1
    merits = [sign * found[decided_by]]
    if "log_loss" in found:
        merits.append(-found["log_loss"])
    return np.array(merits)
