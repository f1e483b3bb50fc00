"""The experiment: the same figures from the same seed, metrics that are right, verdicts that are honest."""

import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from types import FrameType
from typing import Any

import hypothesis
import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import strategies as st
from made_tables import (
    BRANCHES,
    counts,
    growing_noise_on_a_wave,
    outliers,
    plain,
    rare_and_plain,
    skewed_and_plain,
)
from sklearn.metrics import f1_score, log_loss

from lossmith.card import Text
from lossmith.guide import BadData, Settings, choose, chooser
from lossmith.guide.experiment import experiment
from lossmith.guide.inputs import Inputs, inputs
from lossmith.guide.metrics import METRICS, macro_f1, measure
from lossmith.guide.recipes import RECIPES
from lossmith.guide.record import Experiment, Scores
from lossmith.guide.target import Target, examine
from lossmith.guide.tree import OUTLIERS, walk
from lossmith.guide.verdict import judge, sentences

QUICK = Settings(folds=2, repeats=1, epochs=2, hidden=8)


def _given(table: pl.DataFrame) -> tuple[Target, Inputs]:
    given = inputs(table.drop("y"))
    return examine([table["y"]], given, seed=0), given


def _tried(
    table: pl.DataFrame, recipes: tuple[str, ...], by: str, settings: Settings = QUICK, **how: Any
) -> Experiment:
    return experiment(*_given(table), recipes, by, settings, how.pop("seed", 0), **how)


@pytest.mark.parametrize("branch", BRANCHES)
def test_every_branch_can_be_tried(saved, branch: str) -> None:
    make, target, *_ = BRANCHES[branch]
    choice = choose(saved(make()), target, settings=QUICK)
    assert choice.conclusion
    names = {name for candidate in choice.candidates for name in candidate.metrics}
    assert choice.leaf.decided_by in names <= set(METRICS)
    for candidate in choice.candidates:
        assert all(np.isfinite(value) for value in candidate.metrics.values())
        assert all(len(values) == 2 for values in candidate.scores.folds.values())
    assert all(said.en and said.zh for said in choice.conclusion)


def test_the_same_seed_gives_the_same_figures_and_leaves_no_trace(saved) -> None:
    path, threads, state = saved(outliers()), torch.get_num_threads(), torch.get_rng_state()
    first = choose(path, "y", settings=QUICK).to_json()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    torch.rand(7)
    torch.set_num_threads(2)
    try:
        assert choose(path, "y", settings=QUICK).to_json() == first
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert choose(path, "y", settings=QUICK, seed=1).to_json()["candidates"] != first["candidates"]


def test_progress_counts_every_network() -> None:
    told: list[tuple[Text, int, int]] = []
    settings = replace(QUICK, held_out=0.2)
    _tried(plain(), ("mse", "huber", "l1"), "rmse", settings, progress=lambda *told_now: told.append(told_now))
    assert [done for _, done, _ in told] == list(range(9))  # 3 losses on 2 folds, 2 on the rows held out, and the end
    assert {networks for *_, networks in told} == {8}
    assert told[0][0] == Text("MSELoss, fold 1 of 2", "MSELoss，第 1/2 折")
    assert told[-2][0].en.endswith("for the rows held out")
    assert told[-1][0].en == "done"


def test_candidates_share_first_weights_batches_and_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same recipe twice is the same network twice: not a digit may differ."""
    monkeypatch.setitem(RECIPES, "twin", RECIPES["huber"])
    huber, mse, twin = _tried(plain(), ("huber", "mse", "twin"), "mae").scores
    assert huber.folds["mae"].tolist() == twin.folds["mae"].tolist() != mse.folds["mae"].tolist()


def test_many_rows_need_fewer_repeats() -> None:
    settings = replace(QUICK, repeats=None, epochs=1)
    for rows, repeats in ((60, 3), (3400, 2), (5001, 1)):
        assert _tried(plain(rows), ("mse",), "rmse", settings).planned == 2 * repeats


def test_idle_weights_are_no_candidate() -> None:
    choice = choose("iris", train=False)
    assert [candidate.label for candidate in choice.candidates] == [
        "CrossEntropyLoss",
        "CrossEntropyLoss(label_smoothing)",
        "MultiMarginLoss",
    ]


# What is recorded


def test_predictions_out_of_fold_are_those_that_the_figures_come_from() -> None:
    table = plain()
    settings = Settings(folds=4, repeats=2, epochs=3, hidden=8)
    tried = _tried(table, ("mse", "gaussian"), "rmse", settings)
    assert (tried.split, tried.folds, tried.planned, tried.done, tried.partial) == ("random", 4, 8, 8, False)
    for scores in tried.scores:
        found = scores.out_of_fold
        assert sorted(found.rows) == list(range(400))
        assert found.truth[:, 0].tolist() == table["y"].to_numpy()[found.rows].tolist()
        assert found.residuals.tolist() == (found.truth - found.predicted).tolist()
        errors = np.abs(found.residuals).reshape(4, 100)
        assert errors.mean(axis=1).tolist() == pytest.approx(scores.folds["mae"][:4].tolist())
        assert scores.calibration is None
        mean, low, high = scores.interval("mae")
        assert mean == pytest.approx(scores.folds["mae"].mean())
        assert 0 <= low < mean < high
        assert scores.ratio == pytest.approx(1 / 3)
    even, learned = (scores.out_of_fold.std for scores in tried.scores)
    assert len(np.unique(even)) == 4  # one spread for each fold
    assert len(np.unique(learned)) > 300  # one for each row


def test_learning_curves() -> None:
    settings = Settings(folds=3, repeats=1, epochs=30, patience=3, hidden=8)
    for scores in _tried(plain(), ("mse", "l1"), "rmse", settings).scores:
        curves = scores.curves
        assert len(curves.training) == len(curves.validation) == len(curves.metric) == len(curves.trained) <= 30
        assert curves.training[-1] < curves.training[0] / 2
        assert curves.metric[-1] < curves.metric[0]
        assert curves.trained[0] == 1
        assert np.all(np.diff(curves.trained) <= 0)
        assert curves.trained[-1] > 0


def test_classes_are_calibrated_and_scores_are_not(saved) -> None:
    make, target, *_ = BRANCHES["classes as names"]
    choice = choose(saved(make()), target, settings=QUICK)
    for candidate in choice.candidates:
        scores = candidate.scores
        assert scores.out_of_fold.predicted.shape == (300, 3)
        assert scores.out_of_fold.predicted.sum(axis=1) == pytest.approx(1)
        if candidate.recipe == "multi_margin":
            assert scores.calibration is None
            assert not {"log_loss", "brier", "calibration_error"} & set(scores.folds)
        else:
            assert scores.calibration.rows.sum() == 300
            assert 0 <= scores.calibration.error <= 1
    said = choice.conclusion[-1]
    assert said.en == "MultiMarginLoss gives scores, no probabilities: it has no log loss, Brier or calibration"
    assert said.zh == "MultiMarginLoss 给出的是得分而不是概率，因此没有对数损失、Brier 分数、校准误差"


def test_no_figure_is_optimised_by_all_or_by_the_recommended_alone(chosen) -> None:
    """Beside every metric that a candidate minimises stand others that none does."""
    for branch in BRANCHES:
        choice = chosen(branch)
        tried = {candidate.recipe for candidate in choice.candidates}
        kind = choice.found.kind
        names = {
            "numbers": ("rmse", "mae", "median_error", "crps"),
            "distributions": ("total_variation", "kl_divergence", "hellinger"),
            "labels": ("macro_f1", "subset_accuracy", "log_loss", "brier", "calibration_error"),
        }.get(kind, ("accuracy", "macro_f1", "log_loss", "brier", "calibration_error"))
        assert any(not set(METRICS[name].optimised_by) & tried for name in names)


# Distributions that are right


LEARNED = Settings(folds=3, repeats=1, epochs=60, patience=10, hidden=16)


def _funnel(rows: int) -> pl.DataFrame:
    g = np.random.default_rng(0)
    x = g.uniform(0, 5, (rows, 2))
    return pl.DataFrame({"x0": x[:, 0], "x1": x[:, 1], "y": 2 * x[:, 0] + (0.3 + x[:, 1]) * g.normal(size=rows)})


def test_a_true_normal_distribution_covers_what_it_says() -> None:
    gaussian, mse = _tried(_funnel(3000), ("gaussian", "mse"), "mae", LEARNED).scores
    for scores in (gaussian, mse):  # over all rows even one width for all is right in the mean
        assert scores.folds["coverage_90"].mean() == pytest.approx(0.9, abs=0.03)
    assert gaussian.folds["coverage_50"].mean() == pytest.approx(0.5, abs=0.04)
    assert gaussian.folds["nll"].mean() < mse.folds["nll"].mean() - 0.1
    assert gaussian.folds["crps"].mean() < mse.folds["crps"].mean()
    wide = np.abs(gaussian.out_of_fold.residuals) / gaussian.out_of_fold.std
    assert np.corrcoef(wide[:, 0], gaussian.out_of_fold.predicted[:, 0])[0, 1] == pytest.approx(0, abs=0.1)


def test_a_true_poisson_distribution_covers_what_it_says() -> None:
    poisson, mse = _tried(counts(3000), ("poisson", "mse"), "rmse", LEARNED).scores
    assert poisson.folds["coverage_50"].mean() == pytest.approx(0.5, abs=0.04)
    assert poisson.folds["coverage_90"].mean() == pytest.approx(0.9, abs=0.03)
    assert poisson.folds["nll"].mean() < mse.folds["nll"].mean() - 0.1
    assert poisson.out_of_fold.std == pytest.approx(np.sqrt(poisson.out_of_fold.predicted))


def test_likelihood_and_coverage_are_said(saved) -> None:
    choice = choose(saved(_funnel(600)), "y", settings=QUICK)
    assert choice.leaf.recipe == "gaussian"
    said = [text.en for text in choice.conclusion]
    assert any(each.startswith("the 50 % intervals of GaussianNLLLoss hold ") for each in said)
    assert any(each.startswith("its NLL is ") and "as wide for every row" in each for each in said)


# Groups, time, and rows held out


def _seen(monkeypatch: pytest.MonkeyPatch) -> list[set[int]]:
    """The rows that each fold learns from, by their number in the first input."""
    seen: list[set[int]] = []
    design = Inputs.design

    def spy(self: Inputs, train: np.ndarray) -> np.ndarray:
        if len(self.values) < 400:  # not the sample that delta is computed from
            seen.append({round(row) for row in self.values[train, 0]})
        return design(self, train)

    monkeypatch.setattr("lossmith.guide.experiment.from_training", lambda *_: {"center": [0.0], "scale": [1.0]})
    monkeypatch.setattr(Inputs, "design", spy)
    return seen


def _numbered(rows: int = 120) -> tuple[Target, Inputs]:
    g = np.random.default_rng(0)
    values = np.column_stack([np.arange(rows), g.normal(size=rows)])
    target = Target("numbers", ("y",), g.normal(size=(rows, 1)), facts={"counts": False})
    return target, Inputs(("row", "x"), (False, False), values, ())


@pytest.mark.parametrize("how", ["random", "group", "time", "group and time"])
def test_nothing_leaks(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    g = np.random.default_rng(1)
    seen = _seen(monkeypatch)
    time = g.permutation(120) // 3
    group = (time // 4 + g.integers(0, 2, 120)) if how == "group and time" else g.integers(0, 12, 120)
    given = {name: values for name, values in (("group", group), ("time", time)) if name in how}
    settings = Settings(folds=3, repeats=1, epochs=1, hidden=4, held_out=0.2)
    tried = experiment(*_numbered(), ("mse", "l1"), "rmse", settings, 0, **given)
    assert tried.split == how
    assert not set(tried.rows) & set(tried.held_out)
    out_of_fold = tried.scores[0].out_of_fold
    places = np.cumsum([0, *_fold_sizes(tried)])
    judged = [out_of_fold.rows[a:b] for a, b in pairwise(places)]
    assert len(seen) == 4  # three folds, and once for the rows held out
    for learned, rows in zip(seen, [*judged, tried.held_out], strict=True):
        learned_rows = np.array(sorted(learned))
        assert not learned & set(rows)
        if "group" in given:
            assert not set(group[learned_rows]) & set(group[rows])
        if "time" in given:
            assert time[learned_rows].max() < time[rows].min()
    for learned in seen[:3]:
        assert not learned & set(tried.held_out)
        assert learned <= set(tried.rows)


def _fold_sizes(tried: Experiment) -> list[int]:
    """Rows of each fold of the first repeat: where the spread of the point loss changes."""
    std = tried.scores[0].out_of_fold.std[:, 0]
    changes = np.flatnonzero(np.diff(std)) + 1
    return np.diff([0, *changes, len(std)]).tolist()


def test_a_group_that_names_itself_helps_at_random_and_not_apart() -> None:
    """A table where every group has a level of its own, and an input that gives the group away."""
    g = np.random.default_rng(0)
    group = np.repeat(np.arange(40), 10)
    level = g.normal(size=40) * 5
    table = pl.DataFrame({f"x{i}": (group >> i & 1).astype(float) + 0.01 * g.normal(size=400) for i in range(6)})
    table = table.with_columns(y=level[group] + 0.1 * g.normal(size=400))
    settings = Settings(folds=4, repeats=1, epochs=60, hidden=64)
    at_random = _tried(table, ("mse",), "rmse", settings).scores[0].interval("rmse")[0]
    apart = _tried(table, ("mse",), "rmse", settings, group=group).scores[0].interval("rmse")[0]
    assert at_random < 0.75 * apart


def test_the_best_two_are_scored_once_on_the_rows_held_out() -> None:
    settings = Settings(folds=3, repeats=1, epochs=10, hidden=16, held_out=0.25)
    tried = _tried(plain(), ("l1", "mse", "huber"), "rmse", settings)
    assert len(tried.held_out) == 100
    assert len(tried.rows) == 300
    means = {scores.recipe: scores.folds["rmse"].mean() for scores in tried.scores}
    assert tried.runner_up == min(("mse", "huber"), key=means.__getitem__)
    for scores in tried.scores:
        assert bool(scores.held_out) == (scores.recipe in ("l1", tried.runner_up))
        assert not scores.held_out or set(scores.held_out) == set(scores.folds)
    said = sentences(judge(tried, "l1", "rmse"), replace(LEAF, recipe="l1", decided_by="rmse"), LABELS, tried)
    assert said[-1].en.startswith("on 100 rows that the comparison never saw, scored once: RMSE L1Loss ")


@hypothesis.settings(max_examples=15, deadline=None)
@hypothesis.given(st.lists(st.integers(0, 9), min_size=24, max_size=40), st.sampled_from(["group", "time"]))
def test_few_rows_however_they_belong_together(places: list[int], how: str) -> None:
    hypothesis.assume(len(set(places)) > 2)
    table = plain(len(places))
    try:
        tried = _tried(table, ("huber", "mse"), "rmse", replace(QUICK, epochs=1), **{how: places})
    except BadData as error:
        assert "to learn from" in str(error)
    else:
        assert all(np.isfinite(values).all() for scores in tried.scores for values in scores.folds.values())


@pytest.mark.parametrize("how", ["group", "time"])
def test_a_class_may_come_after_all_that_is_learned_from(how: str) -> None:
    g = np.random.default_rng(0)
    place = np.repeat(np.arange(6), 10)
    table = pl.DataFrame({"x": g.normal(size=60), "y": [("a", "b", "c")[min(each, 2)] for each in place]})
    recipes = ("cross_entropy_weight", "cross_entropy", "multi_margin")
    for scores in _tried(table, recipes, "macro_f1", **{how: place}).scores:
        assert all(np.isfinite(values).all() for values in scores.folds.values())


def test_a_large_table_is_sampled() -> None:
    tried = _tried(plain(500), ("mse",), "rmse", replace(QUICK, most_rows=100, held_out=0.3))
    assert len(tried.rows) == len(tried.held_out) == 100
    assert not set(tried.rows) & set(tried.held_out)


@pytest.mark.parametrize(
    ("settings", "how", "said"),
    [
        ({"held_out": 1.2}, {}, "a share of 1.2 can't be held out; give one between 0 and 1"),
        ({"held_out": 0.001}, {}, "a share of 0.001 of 100 rows leaves none held out; give another share"),
        ({"folds": 5}, {"group": np.arange(100) % 4}, "have 4 groups, fewer than the 5 folds"),
        ({"repeats": 0}, {}, "0 repeats leave nothing to compare; ask for at least 1"),
        ({}, {"time": np.zeros(100)}, "the time is 0.0 in every row"),
        ({}, {"group": np.arange(9)}, "the group has 9 values for 100 rows"),
    ],
)
def test_bad_requests_are_explained(settings: dict[str, Any], how: dict[str, Any], said: str) -> None:
    with pytest.raises(BadData, match=said.replace("(", r"\(")):
        _tried(plain(100), ("mse",), "rmse", replace(QUICK, **settings), **how)


# Ctrl-C


FEW = Settings(folds=3, repeats=1, epochs=2, hidden=4, held_out=0.2)


def _same_as_far(partial: Experiment, whole: Experiment) -> None:
    for part, all_ in zip(partial.scores, whole.scores, strict=True):
        assert part.recipe == all_.recipe
        for metric, values in part.folds.items():
            assert len(values) == partial.done
            assert values.tolist() == all_.folds[metric][: partial.done].tolist()
        assert len(part.out_of_fold.rows) <= len(all_.out_of_fold.rows)


def test_an_interrupt_leaves_the_folds_that_all_candidates_have_done() -> None:
    target, given = _numbered()

    def run(stop: int) -> Experiment:
        def progress(stage: Text, done: int, networks: int) -> None:
            if done == stop:
                raise KeyboardInterrupt

        return experiment(target, given, ("mse", "l1"), "rmse", FEW, 0, progress)

    whole = run(-1)
    for stop in range(9):  # 2 losses on 3 folds, both on the rows held out, and the end
        if stop < 2:
            with pytest.raises(KeyboardInterrupt):
                run(stop)
            continue
        partial = run(stop)
        assert partial.done == min(stop // 2, 3)
        assert partial.partial == (stop < 8)
        assert bool(partial.scores[0].held_out) == (stop == 8)
        _same_as_far(partial, whole)


def test_an_interrupt_may_come_at_any_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossmith.guide.experiment.from_training", lambda *_: {"center": [0.0], "scale": [1.0]})
    target, given = _numbered()
    settings = replace(FEW, folds=2)
    whole = experiment(target, given, ("mse", "l1"), "rmse", settings, 0)
    threads, state = torch.get_num_threads(), torch.get_rng_state()

    def run(stop: int) -> tuple[Experiment | None, int]:
        """The experiment, interrupted at a line of the package's own code; and the lines that it ran."""
        lines = 0

        def at_line(frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
            nonlocal lines
            if "lossmith/guide" not in frame.f_code.co_filename:
                return None
            if event == "line":
                lines += 1
                if lines == stop:
                    raise KeyboardInterrupt
            return at_line

        before = sys.gettrace()
        sys.settrace(at_line)
        try:
            return experiment(target, given, ("mse", "l1"), "rmse", settings, 0), lines
        except KeyboardInterrupt:
            return None, lines
        finally:
            sys.settrace(before)

    _, lines = run(0)
    outcomes = set()
    for stop in np.linspace(1, lines - 1, 80).astype(int):
        partial, _ = run(int(stop))
        outcomes.add(None if partial is None else partial.done)
        if partial is not None:
            _same_as_far(partial, whole)
        assert torch.get_num_threads() == threads
        assert torch.equal(torch.get_rng_state(), state)
    assert outcomes == {None, 1, 2}


def test_an_interrupted_experiment_says_so(saved) -> None:
    def progress(stage: Text, done: int, networks: int) -> None:
        if done == 4 * folds:
            raise KeyboardInterrupt

    for folds, said in ((1, "one alone says nothing of the uncertainty"), (2, "the uncertainty is larger for it")):
        choice = choose(saved(plain()), "y", settings=replace(QUICK, folds=3), progress=progress)
        assert choice.experiment.partial
        assert choice.conclusion[0].en == f"interrupted: {folds} of 3 folds are done; {said}"
        assert choice.conclusion[0].zh.startswith(f"已中断：完成了 3 折中的 {folds} 折；")
        if folds == 1:
            assert choice.verdict.outcome == "tie"


# Metrics


def test_metrics_of_numbers() -> None:
    target = Target("numbers", ("y",), np.array([[1.0], [2.0], [3.0], [10.0]]))
    found = measure(target, np.arange(4), np.array([[1.0], [2.0], [5.0], [6.0]]), np.ones(1))
    assert found == {"mae": 1.5, "rmse": pytest.approx(20**0.5 / 2), "median_error": 1.0}


def test_metrics_of_classes_agree_with_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 3, 200)
    probabilities = generator.dirichlet([1, 1, 1], 200)
    found = measure(Target("classes", ("y",), codes, codes, (0, 1, 2)), np.arange(200), probabilities, np.ones(1))
    chosen = probabilities.argmax(axis=1)
    assert found["accuracy"] == np.mean(chosen == codes)
    assert found["macro_f1"] == pytest.approx(f1_score(codes, chosen, average="macro"))
    assert found["log_loss"] == pytest.approx(log_loss(codes, probabilities))


def test_metrics_of_labels_agree_with_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    truth = (generator.random((200, 3)) < 0.4).astype(float)
    probabilities = generator.random((200, 3))
    found = measure(Target("labels", ("a", "b", "c"), truth), np.arange(200), probabilities, np.ones(1))
    assert found["macro_f1"] == pytest.approx(f1_score(truth, probabilities >= 0.5, average="macro"))
    expected = np.mean([log_loss(truth[:, i], probabilities[:, i]) for i in range(3)])
    assert found["log_loss"] == pytest.approx(expected)
    assert found["subset_accuracy"] == np.mean(((probabilities >= 0.5) == truth).all(axis=1))


def test_metrics_of_distributions() -> None:
    truth = np.array([[0.5, 0.5, 0.0]])
    found = measure(Target("distributions", ("a", "b", "c"), truth), np.arange(1), np.array([[0.25, 0.5, 0.25]]), [1])
    assert found == {
        "total_variation": 0.25,
        "kl_divergence": pytest.approx(0.5 * np.log(2)),
        "hellinger": pytest.approx((((0.5**0.5 - 0.5) ** 2 + 0.25) / 2) ** 0.5),
    }
    assert measure(Target("distributions", ("a",), truth * 100), np.arange(1), truth, [1])["total_variation"] == 0


def test_macro_f1_leaves_out_classes_that_do_not_occur() -> None:
    assert macro_f1(np.array([[1, 0, 0], [0, 1, 0]]), np.array([[1, 0, 0], [0, 1, 0]])) == 1
    assert macro_f1(np.zeros((3, 2)), np.zeros((3, 2))) == 1


# Verdicts


def _judged(*errors: tuple[str, list[float]]):
    scores = [Scores(recipe, {"mae": np.array(folds), "rmse": np.array(folds)}) for recipe, folds in errors]
    return judge(_all(scores), "huber", "mae")


def _all(scores: list[Scores]) -> Experiment:
    done = len(next(iter(scores[0].folds.values())))
    return Experiment(tuple(scores), "random", 5, done, np.arange(100), np.arange(0))


NOISE = np.array([0.01, -0.02, 0.03, -0.01, 0.0, 0.02, -0.03, 0.01, 0.0, -0.01])
LEAF = replace(OUTLIERS, decided_by="mae")
NOTHING_TO_ADD = _all([Scores("huber", {"mae": np.zeros(10)})])
LABELS = {"huber": "HuberLoss(delta)", "mse": "MSELoss", "l1": "L1Loss"}


@pytest.mark.parametrize(
    ("mse", "l1", "outcome", "said"),
    [
        (1.0, 1.0, "supports", "supports the tree: in MAE, HuberLoss(delta) is better than MSELoss and L1Loss"),
        (1.0, 0.0, "supports in part", "in part: in MAE, HuberLoss(delta) is better than MSELoss and ties with L1Loss"),
        (0.0, 0.0, "tie", "a tie, which neither supports nor contradicts the tree: in MAE, HuberLoss(delta) can't be"),
        (-1.0, 0.0, "disagrees", "disagrees with the tree: in MAE, MSELoss is better than HuberLoss(delta)"),
        (-1.0, -1.0, "disagrees", "in MAE, MSELoss and L1Loss are better than HuberLoss(delta)"),
        (-1.0, 1.0, "disagrees", "in MAE, MSELoss is better than HuberLoss(delta)"),
    ],
)
def test_the_verdict_follows_the_intervals(mse: float, l1: float, outcome: str, said: str) -> None:
    own = 5 + np.arange(10) * 0.3  # folds differ much; the differences between losses don't
    verdict = _judged(("huber", own), ("mse", own + mse + NOISE), ("l1", own + l1 - NOISE))
    assert verdict.outcome == outcome
    assert said in sentences(verdict, LEAF, LABELS, NOTHING_TO_ADD)[0].en
    assert [each.outcome for each in verdict.comparisons] == [
        {1.0: "better", 0.0: "tie", -1.0: "worse"}[difference] for difference in (mse, l1)
    ]


def test_a_rival_that_wins_elsewhere_is_named() -> None:
    own, noise = np.full(10, 5.0), NOISE
    scores = [
        Scores("huber", {"mae": own, "rmse": own}),
        Scores("mse", {"mae": own + 1 + noise, "rmse": own - 1 + noise}),
    ]
    said = sentences(judge(_all(scores), "huber", "mae"), LEAF, LABELS, _all(scores))
    assert said[1].en.startswith(
        "in RMSE, which does not decide here and is what it minimises, MSELoss is better by 1 (95 % interval 0.9"
    )
    assert said[1].zh.startswith("在“RMSE”上（它在这里不作定夺，且正是该损失所最小化的），MSELoss 好 1（95% 区间 0.9")


def test_higher_is_better_turns_the_sign() -> None:
    scores = [
        Scores("binary", {"macro_f1": np.full(10, 0.9)}),
        Scores("cross_entropy", {"macro_f1": 0.5 + NOISE}),
    ]
    assert judge(_all(scores), "binary", "macro_f1").outcome == "supports"


def test_equal_figures_are_a_tie() -> None:
    own = np.arange(10.0)
    assert _judged(("huber", own), ("mse", own), ("l1", own)).outcome == "tie"


# Tree and experiment disagree, and the report says so.


@pytest.mark.parametrize(
    ("make", "task", "better", "learning_rate"),
    [
        (rare_and_plain, "binary classification", "binary", 1e-2),
        (skewed_and_plain, "multi-class classification, skewed", "cross_entropy", 1e-2),
        (growing_noise_on_a_wave, "regression with growing noise", "mse", 3e-3),
    ],
)
def test_disagreement_is_reported(
    saved, monkeypatch: pytest.MonkeyPatch, make, task: str, better: str, learning_rate: float
) -> None:
    def one_rival(facts: dict[str, bool]):
        path, leaf = walk(facts)
        return path, replace(leaf, rivals=(leaf.recipe, better))

    monkeypatch.setattr(chooser, "walk", one_rival)
    choice = choose(
        saved(make()), "y", settings=Settings(repeats=2, epochs=30, patience=6, learning_rate=learning_rate)
    )
    assert choice.leaf.task.en == task
    assert choice.verdict.outcome == "disagrees"
    said = choice.conclusion[0].en
    tree, rival = choice.candidates
    assert said.startswith(f"the experiment disagrees with the tree: in {METRICS[choice.leaf.decided_by].title.en}, ")
    assert f"{rival.label} is better than {tree.label}" in said
    assert said in choice.to_json()["reasons"]
    assert choice.to_json()["recommended"]["loss"] == tree.loss  # the tree's, with the objection beside it
