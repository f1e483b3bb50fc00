"""The experiment: the same figures from the same seed, metrics that are right, verdicts that are honest."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_tables import (
    BRANCHES,
    growing_noise_on_a_wave,
    outliers,
    plain,
    rare_and_plain,
    skewed_and_plain,
)
from sklearn.metrics import f1_score, log_loss

from lossmith.guide import Settings, choose, chooser
from lossmith.guide.experiment import Scores, experiment, sample
from lossmith.guide.inputs import inputs
from lossmith.guide.metrics import METRICS, calibration_error, macro_f1, measure
from lossmith.guide.recipes import RECIPES
from lossmith.guide.target import Target, examine
from lossmith.guide.tree import OUTLIERS, walk
from lossmith.guide.verdict import interval, judge, sentences

QUICK = Settings(folds=2, repeats=1, epochs=2, hidden=8)


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


def test_progress_counts_every_network(saved) -> None:
    told: list[tuple[str, int]] = []
    choose(saved(plain()), "y", settings=QUICK, progress=lambda loss, networks: told.append((loss, networks)))
    assert len(told) == 4 * QUICK.runs
    assert told[0] == ("MSELoss", 8)


def test_candidates_share_first_weights_batches_and_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same recipe twice is the same network twice: not a digit may differ."""
    monkeypatch.setitem(RECIPES, "twin", RECIPES["huber"])
    table = plain()
    given = inputs(table.drop("y"))
    target = examine([table["y"]], given, seed=0)
    huber, mse, twin = experiment(target, given, ("huber", "mse", "twin"), "mae", QUICK, seed=0)
    assert huber.folds["mae"].tolist() == twin.folds["mae"].tolist() != mse.folds["mae"].tolist()


def test_idle_weights_are_no_candidate() -> None:
    choice = choose("iris", train=False)
    assert [candidate.label for candidate in choice.candidates] == [
        "CrossEntropyLoss",
        "CrossEntropyLoss(label_smoothing)",
        "MultiMarginLoss",
    ]


def test_a_sample_keeps_rare_classes() -> None:
    codes = np.zeros(5000, dtype=int)
    codes[[7, 1234, 2000, 3000, 4999]] = 1
    target = Target("binary", ("y",), codes.tolist(), codes, (0, 1))
    rows = sample(target, Settings(most_rows=100), seed=0)
    assert len(set(rows)) == 100
    assert codes[rows].sum() == 5


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
    assert found == {"total_variation": 0.25, "kl_divergence": pytest.approx(0.5 * np.log(2))}
    assert measure(Target("distributions", ("a",), truth * 100), np.arange(1), truth, [1])["total_variation"] == 0


def test_calibration_error() -> None:
    assert calibration_error(np.full(4, 0.75), np.array([True, True, True, False])) == 0
    assert calibration_error(np.ones(4), np.array([True, False, False, False])) == 0.75


def test_macro_f1_leaves_out_classes_that_do_not_occur() -> None:
    assert macro_f1(np.array([[1, 0, 0], [0, 1, 0]]), np.array([[1, 0, 0], [0, 1, 0]])) == 1
    assert macro_f1(np.zeros((3, 2)), np.zeros((3, 2))) == 1


# Verdicts


def _judged(*errors: tuple[str, list[float]]):
    settings = Settings(folds=5, repeats=2)
    scores = [Scores(recipe, {"mae": np.array(folds), "rmse": np.array(folds)}) for recipe, folds in errors]
    return judge(scores, "huber", "mae", settings)


NOISE = np.array([0.01, -0.02, 0.03, -0.01, 0.0, 0.02, -0.03, 0.01, 0.0, -0.01])
LEAF = replace(OUTLIERS, decided_by="mae")
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
    assert said in sentences(verdict, LEAF, LABELS)[0]
    assert [each.outcome for each in verdict.comparisons] == [
        {1.0: "better", 0.0: "tie", -1.0: "worse"}[difference] for difference in (mse, l1)
    ]


def test_a_rival_that_wins_elsewhere_is_named() -> None:
    own, noise = np.full(10, 5.0), NOISE
    scores = [
        Scores("huber", {"mae": own, "rmse": own}),
        Scores("mse", {"mae": own + 1 + noise, "rmse": own - 1 + noise}),
    ]
    said = sentences(judge(scores, "huber", "mae", Settings()), LEAF, LABELS)
    assert said[1].startswith("in RMSE, which does not decide here, MSELoss is better by 1 (95 % interval 0.9")


def test_higher_is_better_turns_the_sign() -> None:
    scores = [
        Scores("binary", {"macro_f1": np.full(10, 0.9)}),
        Scores("cross_entropy", {"macro_f1": 0.5 + NOISE}),
    ]
    assert judge(scores, "binary", "macro_f1", Settings()).outcome == "supports"


def test_the_interval_is_corrected_for_shared_training_rows_and_several_rivals() -> None:
    low, high = interval(NOISE, folds=5, comparisons=1)
    naive = 2.262 * NOISE.std(ddof=1) / 10**0.5  # Student's t, nine degrees of freedom
    assert high - low == pytest.approx(2 * naive * (1 + 10 / 4) ** 0.5, rel=1e-3)
    assert np.subtract(*interval(NOISE, 5, 3)[::-1]) > high - low


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
    choice = choose(saved(make()), "y", settings=Settings(epochs=30, patience=6, learning_rate=learning_rate))
    assert choice.leaf.task == task
    assert choice.verdict.outcome == "disagrees"
    said = choice.conclusion[0]
    tree, rival = choice.candidates
    assert said.startswith(f"the experiment disagrees with the tree: in {METRICS[choice.leaf.decided_by].title}, ")
    assert f"{rival.label} is better than {tree.label}" in said
    assert said in choice.to_json()["reasons"]
    assert choice.to_json()["recommended"]["loss"] == tree.loss  # the tree's, with the objection beside it
