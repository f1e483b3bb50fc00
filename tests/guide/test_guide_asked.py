"""What is asked for beside a prediction: an interval around it, or vectors whose neighbours are of one class."""

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from made_tables import bins, classes, counts, growing_noise, one_hot, plain, several_outputs
from scipy.stats import norm, wasserstein_distance
from sklearn.neighbors import NearestNeighbors

import lossmith
from lossmith.guide import BadData, Settings, choose
from lossmith.guide.experiment import _Network
from lossmith.guide.inputs import inputs
from lossmith.guide.metrics import METRICS, judge_intervals, measure
from lossmith.guide.recipes import RECIPES, definitions, from_training, snippet
from lossmith.guide.target import Target, as_embedding, examine, with_interval
from lossmith.guide.tree import EMBEDDING, INTERVAL

QUICK = Settings(folds=2, repeats=1, epochs=2, hidden=8)
LEARNED = Settings(folds=5, repeats=1, epochs=25, hidden=32)


def _run(source: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(source, "snippet", "exec"), names)
    return names


def _target(table: pl.DataFrame) -> tuple[Target, Any]:
    columns = [name for name in table.columns if name.startswith("y")]
    given = inputs(table.drop(columns))
    return examine([table[name] for name in columns], given, seed=0), given


# Intervals


def test_an_interval_leads_to_quantiles() -> None:
    choice = choose(plain(), "y", interval=0.9, train=False)
    assert choice.leaf is INTERVAL
    assert choice.recommended.arguments == {"quantiles": [0.05, 0.5, 0.95]}
    assert isinstance(choice.criterion(), lossmith.QuantileLoss)
    assert [each.loss for each in choice.candidates] == ["QuantileLoss", "GaussianNLLLoss", "MSELoss"]
    assert "an interval was asked for that holds 90 % of the rows" in [each.en for each in choice.evidence]
    assert choice.final_layer.en.startswith("Linear(hidden, 3)")
    assert "CrossEntropyLoss" in choice.ruled_out and "QuantileLoss" not in choice.ruled_out
    assert "interval=0.9" in choose(plain(), "y", train=False).ruled_out["QuantileLoss"].en


@pytest.mark.parametrize("make", [plain, counts, several_outputs])
@pytest.mark.parametrize("key", INTERVAL.rivals)
def test_snippets_give_the_prediction_within_its_interval(make: Any, key: str, capsys: Any) -> None:
    target, given = _target(make())
    target = with_interval(target, 0.8)
    numbers = from_training(target, given, np.arange(len(given.values)), 0)
    names = _run(snippet(RECIPES[key], target, numbers))
    assert capsys.readouterr().out.count("tensor") >= 3  # the prediction, and both ends
    output = torch.randn(50, names["last_layer"].out_features)
    low, high = names["to_interval"](output)
    predicted = names["to_prediction"](output)
    assert predicted.shape == low.shape == high.shape == (50, target.outputs)
    assert (low <= predicted).all() and (predicted <= high).all()


def test_the_normal_interval_is_as_wide_as_the_normal_quantile_says() -> None:
    target, given = _target(plain())
    numbers = from_training(with_interval(target, 0.9), given, np.arange(400), 0)
    names = _run(definitions(RECIPES["gaussian_interval"], with_interval(target, 0.9), numbers))
    output = torch.randn(5, 2)
    low, high = names["to_interval"](output)
    assert (high - low).numpy() == pytest.approx(2 * norm.ppf(0.95) * names["to_std"](output).numpy(), rel=1e-3)


def test_the_score_by_hand() -> None:
    """Width 2 within; 1 below and 2 above, which cost 2 / 0.2 times as much."""
    truth, low, high = np.array([[1.0], [-1.0], [4.0]]), np.zeros((3, 1)), np.full((3, 1), 2.0)
    found = judge_intervals(truth, low, high, 0.8, np.ones(1))
    assert found == pytest.approx({"interval_score": (2 + 12 + 22) / 3, "coverage": 1 / 3, "width": 2.0})
    halved = judge_intervals(truth, low, high, 0.8, np.array([2.0]))
    assert halved["interval_score"] == pytest.approx(found["interval_score"] / 2)


def test_the_score_is_least_for_the_true_quantiles() -> None:
    truth = np.random.default_rng(0).normal(size=(20_000, 1))
    scores = {}
    for level in (0.8, 0.9, 0.97):
        ends = norm.interval(level)
        low, high = (np.full_like(truth, end) for end in ends)
        scores[level] = judge_intervals(truth, low, high, 0.9, np.ones(1))["interval_score"]
    assert min(scores, key=scores.__getitem__) == 0.9


def test_intervals_follow_the_noise() -> None:
    """Where the noise grows, intervals as wide for every row lose; all hold about what they should."""
    choice = choose(growing_noise(2500), "y", interval=0.9, settings=LEARNED)
    found = {each.recipe: each.metrics for each in choice.candidates}
    assert found["quantiles"]["interval_score"] < 0.95 * found["mse_interval"]["interval_score"]
    assert all(0.84 < each["coverage"] < 0.96 for each in found.values())
    said = next(each for each in choice.conclusion if "of intervals that should hold 90 %" in each.en)
    assert all(f"{each['coverage']:.1%} (mean width {each['width']:.4g})" in said.en for each in found.values())
    assert [each.outcome for each in choice.verdict.comparisons if each.rival == "mse_interval"] == ["better"]


def test_constant_intervals_come_from_rows_kept_back() -> None:
    target, given = _target(plain())
    target = with_interval(target, 0.8)
    numbers = from_training(target, given, np.arange(400), 0)
    x = torch.as_tensor(given.design(np.arange(400)), dtype=torch.float32)
    torch.manual_seed(0)
    network = _Network(RECIPES["mse_interval"], target, numbers, x, QUICK)
    kept = np.arange(300, 400)
    network.train(np.arange(300), kept, "interval_score")
    residuals = target.values[kept] - network.predict(kept)[0]
    assert network.measure(kept, network.output(kept))["coverage"] == pytest.approx(0.8, abs=0.011)
    assert network.printed["offsets"].flatten().tolist() == pytest.approx(np.quantile(residuals, [0.1, 0.9]).tolist())


# Embeddings


def test_an_embedding_leads_to_mined_triplets() -> None:
    choice = choose("iris", embedding=True, train=False)
    assert choice.leaf is EMBEDDING
    assert isinstance(choice.criterion(), lossmith.MinedTripletMarginLoss)
    assert choice.found.kind == "embedding"
    assert "ArcFaceLoss" in choice.ruled_out and "InfoNCELoss" not in choice.ruled_out
    assert "embedding=True" in choose("iris", train=False).ruled_out["SupConLoss"].en


@pytest.mark.parametrize("make", [lambda: classes(["a", "b", "c"]), lambda: classes([0, 1]), one_hot])
@pytest.mark.parametrize("key", EMBEDDING.rivals)
def test_snippets_give_vectors_of_length_1_and_learn(make: Any, key: str) -> None:
    target, given = _target(make())
    target = as_embedding(target)
    rows = np.arange(len(given.values))
    names = _run(snippet(RECIPES[key], target, from_training(target, given, rows, 0)))
    assert names["loss"].isfinite()
    assert names["to_prediction"](torch.randn(4, 32)).norm(dim=1).tolist() == pytest.approx([1.0] * 4)
    values = names["values"]
    assert (names["to_target"](values).bincount() >= 2).all()


def test_recall_is_scikit_learns_nearest() -> None:
    g = np.random.default_rng(0)
    codes = g.integers(0, 4, 200)
    vectors = g.normal(size=(200, 5)) + g.normal(size=(4, 5))[codes]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    target = Target("embedding", ("y",), codes.tolist(), codes, (0, 1, 2, 3))
    found = measure(target, np.arange(200), vectors, np.ones(1))
    nearest = NearestNeighbors(n_neighbors=2).fit(vectors).kneighbors(vectors, return_distance=False)[:, 1]
    assert found["recall_at_1"] == np.mean(codes[nearest] == codes)


def test_map_at_r_by_a_plain_loop() -> None:
    g = np.random.default_rng(1)
    codes = np.array([0, 0, 0, 1, 1, 2])  # the last is alone and does not count
    vectors = g.normal(size=(6, 2))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = []
    for i in range(5):
        ranked = sorted((j for j in range(6) if j != i), key=lambda j: -vectors[i] @ vectors[j])
        many = int((codes == codes[i]).sum()) - 1
        right = [codes[j] == codes[i] for j in ranked[:many]]
        expected.append(sum(sum(right[: k + 1]) / (k + 1) for k in range(many) if right[k]) / many)
    found = measure(Target("embedding", ("y",), codes.tolist(), codes, (0, 1, 2)), np.arange(6), vectors, np.ones(1))
    assert found["map_at_r"] == pytest.approx(np.mean(expected))


def test_classes_of_one_row_each_have_no_neighbours() -> None:
    codes = np.arange(3)
    target = Target("embedding", ("y",), codes.tolist(), codes, (0, 1, 2))
    assert measure(target, codes, np.eye(3), np.ones(1)) == {"recall_at_1": 0.0, "map_at_r": 0.0}


def test_iris_is_embedded_well_and_the_same_again() -> None:
    first, again = (choose("iris", embedding=True, settings=Settings(repeats=1)) for _ in range(2))
    assert all(each.metrics["recall_at_1"] > 0.9 for each in first.candidates)
    assert first.to_json() == again.to_json()
    assert first.conclusion


def test_batches_hold_rows_of_one_class_in_twos() -> None:
    target, _ = _target(classes([str(i) for i in range(20)], rows=400))
    target = as_embedding(target)
    x = torch.zeros(400, 3)
    torch.manual_seed(0)
    network = _Network(RECIPES["supcon"], target, {}, x, QUICK)
    rows = np.arange(7, 391)
    order = network._order(rows)
    assert sorted(order.tolist()) == list(range(len(rows)))
    codes = target.codes[rows][order]
    batches = [codes[i : i + 16] for i in range(0, len(codes), 16)]
    lonely = sum((np.bincount(batch)[batch] == 1).sum() for batch in batches)
    assert lonely <= 20 + 2 * len(batches)  # an odd row of a class, and where a batch ends


# Bins


def test_mass_moved_is_scipys_distance() -> None:
    choice = choose(bins(), [name for name in bins().columns if name.startswith("age")], settings=QUICK)
    own = choice.candidates[0].scores.out_of_fold
    expected = [
        wasserstein_distance(np.arange(6), np.arange(6), true, predicted)
        for true, predicted in zip(own.truth, own.predicted, strict=True)
    ]
    target = Target("distributions", tuple("abcdef"), own.truth, facts={"in order": True})
    found = measure(target, np.arange(len(own.truth)), own.predicted, np.ones(1))
    assert found["mass_moved"] == pytest.approx(np.mean(expected))
    assert "WassersteinLoss" in [each.loss for each in choice.candidates]


@pytest.mark.parametrize(
    ("names", "loss"),
    [(("h1", "h2", "h10"), "WassersteinLoss"), (("h3", "h2", "h1"), None), (("red", "green", "blue"), None)],
)
def test_an_order_is_seen_in_numbers_that_rise(names: tuple[str, ...], loss: str | None) -> None:
    g = np.random.default_rng(0)
    shares = g.dirichlet([1, 2, 3], 60)
    table = pl.DataFrame({"x": g.normal(size=60)} | dict(zip(names, shares.T, strict=True)))
    choice = choose(table, list(names), train=False)
    assert ("WassersteinLoss" in choice.ruled_out) == (loss is None)


# What can't be asked for


@pytest.mark.parametrize(
    ("table", "asked", "said"),
    [
        (plain, {"embedding": True}, "target 'y' holds quantities; name a column of classes"),
        (lambda: classes(["a", "b"]), {"interval": 0.9}, "target 'y' holds classes; leave the interval out"),
        (plain, {"interval": 90}, "holds 90 of the rows was asked for; give a share from 0.01 to 0.99"),
        (plain, {"interval": float("nan")}, "give a share from 0.01 to 0.99"),
        (plain, {"interval": 0.9, "embedding": True}, "not both"),
        (
            lambda: pl.concat([classes(["a", "b"]), classes(["c"], rows=8).head(7)]),
            {"embedding": True},
            "class 'c' of target 'y' has 7 rows",
        ),
        (lambda: pl.concat([classes(["a", "b"]), classes(["c"], rows=8).head(1)]), {"embedding": True}, "few rows: 1"),
    ],
)
def test_what_can_not_be_asked_for(table: Any, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(BadData) as error:
        choose(table(), "y", **asked)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("asked", [{"interval": 0.9}, {"embedding": True}])
def test_pairs_and_triplets_have_neither(asked: dict[str, Any]) -> None:
    with pytest.raises(BadData, match="goes with a target, not with pairs or triplets"):
        choose(plain(), triplets=["a", "p", "n"], **asked)


def test_metrics_that_say_nothing_alone_are_not_compared() -> None:
    assert not METRICS["width"].compared and not METRICS["coverage"].compared
    target = Target("numbers", ("y",), np.zeros((1, 1)), level=0.8)
    assert METRICS["coverage"].right(target) == 0.8
    assert METRICS["coverage_90"].right(target) == 0.9
    assert METRICS["mae"].right(target) is None
