"""The experiment: the same small network under every candidate, on the same folds, judged by the same metrics."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from ..card import Text
from .inputs import Array, Inputs
from .metrics import METRICS, NEED_PROBABILITIES, calibrate, judge_intervals, measure
from .predictive import judge_distributions
from .read import BadData
from .recipes import RECIPES, Recipe, definitions, from_training
from .record import Curves, Experiment, OutOfFold, Rows, Scores
from .splits import Splitter, splitter
from .target import Target

NOTHING = Text("", "")
SMOOTH = 5  # epochs that a validation metric is averaged over: on few rows a single one is good by luck
ROWS_IN_ALL = 10_000  # rows over which the repeats are about to go
TO_STOP = 1 / 6  # share of the training rows that decides when to stop
MOST_NEIGHBOURS = 500  # rows among which an embedding is judged while it learns
FEWEST_TO_FIT = 5  # the first fit, from which delta comes, has as many folds

Progress = Callable[[Text, int, int], None]
"""Called before each network, and at the end, with what is trained, the networks done and the networks in all."""


@dataclass(frozen=True)
class Settings:
    """How the experiment splits and trains; the same for every candidate."""

    folds: int = 5
    repeats: int | None = None  # None is 3 or, on more than 3,333 rows, 10,000 over the rows: many rows need fewer
    held_out: float = 0.0  # share of the rows that the comparison never sees; the best two are scored on it at the end
    epochs: int = 60
    patience: int = 10
    hidden: int = 64
    learning_rate: float = 6e-3
    weight_decay: float = 1e-3
    most_rows: int = 10_000  # a sample of as many is drawn from larger tables


def experiment(
    target: Target,
    inputs: Inputs,
    candidates: tuple[str, ...],
    decided_by: str,
    settings: Settings,
    seed: int,
    progress: Progress | None = None,
    *,
    group: Any = None,
    time: Any = None,
) -> Experiment:
    """Trains and tests every candidate on the same folds. Whatever is learned from data, from medians to delta and
    class weights, is learned from a fold's training rows alone. A fixed seed gives the same figures again.

    Ctrl-C ends it early: what comes back holds the folds that every candidate has done, and says that it is partial.

    Args:
        target: the target of every row.
        inputs: the inputs of every row.
        candidates: recipes; the first is the recommended one.
        decided_by: the metric that decides.
        settings: how to split and to train.
        seed: fixes samples, folds and networks.
        progress: told what is trained, and how far it is.
        group: one label for each row; no group is both learned from and judged by.
        time: one number or date for each row; a network is judged by rows that are later than all it learned from.

    Raises:
        BadData: the rows can't be split as asked for; one line says why.
        KeyboardInterrupt: before the first fold was done.
    """
    everything = splitter(len(inputs.values), target.codes, group, time)
    compared, held_out = _held_out(everything, settings, seed)
    rows = np.concatenate([compared, held_out])
    to_compare, to_hold_out = np.split(np.arange(len(rows)), [len(compared)])
    splits = everything.take(rows)
    by_rows = int(np.clip(ROWS_IN_ALL // len(compared), 1, 3))
    repeats = by_rows if settings.repeats is None else settings.repeats
    folds = splits.take(to_compare).folds(settings.folds, repeats, seed)
    table = _Table(target.take(rows), inputs.take(rows), splits, decided_by, settings, seed)
    bar = _Bar(progress, len(folds) * len(candidates) + min(2, len(candidates)) * bool(len(held_out)))
    done: list[list[_Tested]] = []
    at_the_end: dict[str, Mapping[str, float]] = {}
    try:
        with _reproducible():
            for number, (learned, judged) in enumerate(folds):
                bar.stage = Text(f"fold {number + 1} of {len(folds)}", f"第 {number + 1}/{len(folds)} 折")
                done.append(_on_fold(table, candidates, learned, judged, seed + number, bar))
            if len(held_out):
                bar.stage = Text("for the rows held out", "用于留出的行")
                best = tuple(each for each in (candidates[0], _runner_up(candidates, done, decided_by)) if each)
                tested = _on_fold(table, best, to_compare, to_hold_out, seed + len(folds), bar)
                at_the_end = {key: network.figures for key, network in zip(best, tested, strict=True)}
            bar.end()
    except KeyboardInterrupt:
        if not done:
            raise
    ratio = float(np.mean([len(judged) / len(learned) for learned, judged in folds]))
    scores = [
        _scores(candidate, target.kind, compared, [fold[place] for fold in done], settings.folds, ratio)
        for place, candidate in enumerate(candidates)
    ]
    return Experiment(
        scores=tuple(replace(each, held_out=at_the_end.get(each.recipe, {})) for each in scores),
        split=everything.split,
        folds=settings.folds,
        planned=len(folds),
        rows=compared,
        held_out=held_out,
        runner_up=_runner_up(candidates, done, decided_by),
        partial=len(done) < len(folds) or len(held_out) > 0 == len(at_the_end),
    )


def _held_out(rows: Splitter, settings: Settings, seed: int) -> tuple[Rows, Rows]:
    """The rows to compare on and those held out, each at most as many as the experiment takes."""
    share = settings.held_out
    compared, held_out = np.arange(rows.rows), np.arange(0)
    if share:
        if not 0 < share < 1:
            raise BadData(f"a share of {share:g} can't be held out; give one between 0 and 1, such as 0.2")
        compared, held_out = rows.part(share, seed)
        compared = rows.apart(compared, held_out)
        if not len(compared) or not len(held_out):
            left = "none held out" if len(compared) else "none to compare on"
            raise BadData(f"a share of {share:g} of {rows.rows} rows leaves {left}; give another share")
    most = settings.most_rows
    return (
        compared[rows.take(compared).sample(most, settings.folds, seed)],
        held_out[rows.take(held_out).sample(most, 0, seed)],
    )


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


@dataclass
class _Bar:
    """Tells how far it is."""

    tell: Progress | None
    networks: int
    stage: Text = NOTHING
    done: int = 0

    def begin(self, recipe: Recipe) -> None:
        if self.tell:
            stage = Text(f"{recipe.label}, {self.stage.en}", f"{recipe.label}，{self.stage.zh}")
            self.tell(stage, self.done, self.networks)
        self.done += 1

    def end(self) -> None:
        if self.tell:
            self.tell(Text("done", "完成"), self.networks, self.networks)


@dataclass(frozen=True, eq=False)
class _Table:
    """What all networks share."""

    target: Target
    inputs: Inputs
    splits: Splitter
    decided_by: str
    settings: Settings
    seed: int


@dataclass(frozen=True, eq=False)
class _Tested:
    """One network on the rows that it was judged by."""

    figures: dict[str, float]
    history: Array  # (epochs, 3): training loss, validation loss, the metric that decides
    rows: Rows
    truth: Array
    predicted: Array
    std: Array | None


def _on_fold(
    table: _Table, candidates: tuple[str, ...], learned: Rows, judged: Rows, seed: int, bar: _Bar
) -> list[_Tested]:
    """Trains each candidate on some rows and judges it by others."""
    target, inputs = table.target, table.inputs
    fit, stop = _to_stop(table.splits, learned, seed)
    numbers = from_training(target, inputs, fit, table.seed)
    x = torch.as_tensor(inputs.design(fit), dtype=torch.float32)
    tested = []
    for candidate in candidates:
        recipe = RECIPES[candidate]
        bar.begin(recipe)
        torch.manual_seed(seed)  # the same first weights and the same batches for each candidate
        network = _Network(recipe, target, numbers, x, table.settings)
        history = network.train(fit, stop, table.decided_by)
        tested.append(_judge(network, learned, judged, history))
    return tested


def _to_stop(splits: Splitter, learned: Rows, seed: int) -> tuple[Rows, Rows]:
    """The rows to fit to, and those that decide when to stop: apart like the folds or, where a few large groups or
    moments leave too few to fit to, drawn.
    """
    within = splits.take(learned)
    fit, stop = within.part(TO_STOP, seed)
    if len(fit) < max(FEWEST_TO_FIT, len(learned) / 2):
        fit, stop = Splitter(within.rows, within.codes).part(TO_STOP, seed)
    return learned[fit], learned[stop]


def _judge(network: "_Network", learned: Rows, judged: Rows, history: Array) -> _Tested:
    """The figures of a trained network, with its predictions."""
    target, recipe = network.target, network.recipe
    predicted, std = network.predict(judged)
    truth = _truth(target, judged)
    figures = network.measure(judged, network.output(judged))
    if target.kind == "numbers" and target.level is None:
        poisson = recipe.loss == "PoissonNLLLoss"
        if std is None and not poisson:  # a normal distribution as wide everywhere as the residuals in training
            residuals = _truth(target, learned) - network.predict(learned)[0]
            width = np.sqrt((residuals**2).mean(axis=0)).clip(network.narrowest)
            std = np.broadcast_to(width, predicted.shape)
        figures |= judge_distributions(truth, predicted, std, target.facts["counts"], network.units)
        std = np.sqrt(predicted) if std is None else std
    elif target.kind in ("binary", "classes", "labels"):
        figures["calibration_error"] = calibrate(target.kind, truth, predicted).error
    if not recipe.gives_probabilities:
        figures = {name: value for name, value in figures.items() if name not in NEED_PROBABILITIES}
    return _Tested(figures, history, judged, truth, predicted, std)


def _truth(target: Target, rows: Rows) -> Array:
    """What predictions are compared with: numbers, shares, or 0 and 1 for each class or label."""
    if target.codes is not None:
        return np.eye(len(target.classes))[target.codes[rows]]
    truth = np.asarray(target.values, dtype=np.float64)[rows]
    return truth / truth.sum(axis=1, keepdims=True) if target.kind == "distributions" else truth


class _Network:
    """A small network under one loss; what is printed for the user is what is trained."""

    def __init__(self, recipe: Recipe, target: Target, numbers: dict[str, Any], x: Tensor, settings: Settings) -> None:
        self.recipe, self.target, self.x, self.settings = recipe, target, x, settings
        body = nn.Sequential(nn.Linear(x.shape[-1], settings.hidden), nn.ReLU())
        self.printed: dict[str, Any] = {}
        exec(definitions(recipe, target, numbers, settings.hidden), self.printed)
        self.layers = nn.Sequential(body, self.printed["last_layer"])
        self.beside = [self.printed["classifier"]] if "classifier" in self.printed else []  # trained along
        scale = np.array(numbers["scale"]) if target.kind == "numbers" else np.ones(1)
        self.narrowest = 1e-6 * scale  # no distribution is narrower, however well the training rows are fitted
        # One output is measured in its own unit, several in standard deviations of each.
        self.units = scale if target.outputs > 1 else np.ones(1)

    def output(self, rows: Rows) -> Tensor:
        with torch.no_grad():
            found: Tensor = self.layers(self.x[torch.as_tensor(rows)])
        return found

    def predict(self, rows: Rows) -> tuple[Array, Array | None]:
        """Predictions and, of a loss that learns them, their standard deviations."""
        output = self.output(rows)
        to_std = self.printed.get("to_std")
        return self._predicted(output), None if to_std is None else _finite(to_std(output)).clip(self.narrowest)

    def measure(self, rows: Rows, output: Tensor) -> dict[str, float]:
        """The metrics of what the network puts out for some rows."""
        predicted = self._predicted(output)
        found = measure(self.target, rows, predicted, self.units)
        if self.target.level is not None:
            low, high = map(_finite, self.printed["to_interval"](output))
            found |= judge_intervals(_truth(self.target, rows), low, high, self.target.level, self.units)
        return found

    def _take_offsets(self, rows: Rows) -> None:
        """An interval as wide for every row holds the level of the residuals on rows that were kept back."""
        level = self.target.level
        if level is not None and "offsets" in self.printed:
            residuals = _truth(self.target, rows) - self.predict(rows)[0]
            ends = np.quantile(residuals, [(1 - level) / 2, (1 + level) / 2], axis=0)
            self.printed["offsets"] = torch.as_tensor(ends)

    def _predicted(self, output: Tensor) -> Array:
        found = _finite(self.printed["to_prediction"](output))
        return np.hstack([1 - found, found]) if self.target.kind == "binary" and found.shape[1] == 1 else found

    def train(self, fit: Rows, stop: Rows, decided_by: str) -> Array:
        """Trains on the rows in `fit` until nothing improves on those in `stop`, and keeps the best weights; gives the
        history.
        """
        settings, to_loss = self.settings, self.printed["to_loss"]
        if self.target.kind == "embedding":
            stop = stop[:: -(-len(stop) // MOST_NEIGHBOURS)]
        weights = [weight for module in (self.layers, *self.beside) for weight in module.parameters()]
        optimizer = torch.optim.AdamW(
            weights, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        truth, to_reach = (self.printed["to_target"](self.target.take(rows).values) for rows in (fit, stop))
        inputs, unseen = self.x[torch.as_tensor(fit)], self.x[torch.as_tensor(stop)]
        size = min(max(len(fit) // 10, 16), 256)
        history: list[tuple[float, float, float]] = []
        merits: list[Array] = []
        best = np.full(1, -np.inf)
        kept = [each.detach().clone() for each in weights]
        waited = 0
        for _ in range(settings.epochs):
            total = torch.zeros(())
            order = self._order(fit)
            for start in range(0, len(fit), size):
                batch = order[start : start + size]
                optimizer.zero_grad()
                loss = to_loss(self.layers(inputs[batch]), truth[batch])
                loss.backward()
                optimizer.step()
                total += loss.detach() * len(batch)
            with torch.no_grad():
                output = self.layers(unseen)
                validation = float(to_loss(output, to_reach))
            self._take_offsets(stop)
            found = self.measure(stop, output)
            history.append((float(total) / len(fit), validation, found[decided_by]))
            merits.append(self._merits(found, validation, decided_by))
            reached = np.mean(merits[-SMOOTH:], axis=0)
            if np.any(reached > best):
                best, waited = np.maximum(best, reached), 0
                kept = [each.detach().clone() for each in weights]
            elif (waited := waited + 1) > settings.patience:
                break
        with torch.no_grad():
            for each, good in zip(weights, kept, strict=True):
                each.copy_(good)
        self._take_offsets(stop)
        return np.array(history)

    def _order(self, rows: Rows) -> Tensor:
        """A random order; of an embedding, rows of one class come in twos, so that each batch has some to compare."""
        order = torch.randperm(len(rows))
        if self.target.kind != "embedding":
            return order
        codes = torch.as_tensor(np.asarray(self.target.codes)[rows])
        order = order[codes[order].argsort(stable=True)]
        classes = codes[order]
        place = torch.arange(len(rows)) - torch.searchsorted(classes, classes)
        two = (place % 2 == 0).cumsum(0)
        return order[torch.rand(len(rows) + 1)[two].argsort(stable=True)]

    def _merits(self, found: dict[str, float], validation: float, decided_by: str) -> Array:
        """What has to improve for training to go on, more being better: the metric that decides or, where the network
        gives probabilities or a spread, their likelihood, and of neighbours those further off. Metrics that count rows
        stand still while a network learns, and those of a point say nothing of the spread around it.
        """
        sign = 1 if METRICS[decided_by].higher_is_better else -1
        merits = [sign * found[decided_by]]
        if "map_at_r" in found:
            merits.append(found["map_at_r"])
        if "log_loss" in found:
            merits.append(-found["log_loss"])
        if "to_std" in self.printed or self.target.level is not None:
            merits.append(-validation)
        return np.array(merits)


def _finite(values: Tensor) -> Array:
    return np.nan_to_num(values.numpy().astype(np.float64), nan=0.0, posinf=1e30, neginf=-1e30)


# From networks to scores


def _runner_up(candidates: tuple[str, ...], done: list[list[_Tested]], decided_by: str) -> str | None:
    """The best rival of the first candidate in the metric that decides."""
    sign = 1 if METRICS[decided_by].higher_is_better else -1
    means = {
        candidate: sign * float(np.mean([fold[place].figures[decided_by] for fold in done]))
        for place, candidate in enumerate(candidates)
    }
    return max(candidates[1:], key=lambda each: means[each], default=None)


def _scores(candidate: str, kind: str, compared: Rows, tested: list[_Tested], in_a_repeat: int, ratio: float) -> Scores:
    """One candidate's record, without the rows held out."""
    first = tested[:in_a_repeat]
    std = None if first[0].std is None else np.concatenate([fold.std for fold in first if fold.std is not None])
    out_of_fold = OutOfFold(
        rows=compared[np.concatenate([fold.rows for fold in first])],
        truth=np.concatenate([fold.truth for fold in first]),
        predicted=np.concatenate([fold.predicted for fold in first]),
        std=std,
    )
    calibrated = "calibration_error" in tested[0].figures
    return Scores(
        recipe=candidate,
        folds={name: np.array([fold.figures[name] for fold in tested]) for name in tested[0].figures},
        ratio=ratio,
        curves=_curves([fold.history for fold in tested]),
        out_of_fold=out_of_fold,
        calibration=calibrate(kind, out_of_fold.truth, out_of_fold.predicted) if calibrated else None,
    )


def _curves(histories: list[Array]) -> Curves:
    epochs = np.array([len(history) for history in histories])
    longest = [np.pad(history, ((0, epochs.max() - len(history)), (0, 0)), mode="edge") for history in histories]
    training, validation, metric = np.mean(longest, axis=0).T
    return Curves(training, validation, metric, (np.arange(epochs.max()) < epochs[:, None]).mean(axis=0))
