"""Pairs and triplets: their columns, what they ask for, the margin, and that networks learn from them."""

import numpy as np
import polars as pl
import pytest
import torch

import lossmith
from lossmith.guide import BadData, Choice, Settings, choose
from lossmith.guide.metrics import METRICS
from lossmith.guide.pairs import judge

QUICK = Settings(folds=3, repeats=1, epochs=12, hidden=16)


def _columns(**groups: np.ndarray) -> dict[str, np.ndarray]:
    return {f"{name}_{i}": column for name, group in groups.items() for i, column in enumerate(group.T)}


def _clusters(rows: int = 400, seed: int = 0) -> tuple[np.random.Generator, np.ndarray]:
    g = np.random.default_rng(seed)
    return g, 2 * g.normal(size=(6, 4))


def alike(rows: int = 400, **label: object) -> pl.DataFrame:
    """Pairs from the same cluster or from different ones."""
    g, centres = _clusters()
    one = g.integers(0, 6, rows)
    two = np.where(g.random(rows) < 0.5, one, g.integers(0, 6, rows))
    first, second = (centres[each] + g.normal(size=(rows, 4)) for each in (one, two))
    yes, no = label.get("values", (1, -1))
    return pl.DataFrame(_columns(a=first, b=second) | {"y": [yes if each else no for each in one == two]})


def ranked(rows: int = 400, name: str = "y", values: tuple[object, object] = (1, -1)) -> pl.DataFrame:
    """Pairs of which one is better, by a hidden weight."""
    g = np.random.default_rng(0)
    first, second = g.normal(size=(rows, 4)), g.normal(size=(rows, 4))
    better = (first - second) @ g.normal(size=4) + 0.5 * g.normal(size=rows) > 0
    return pl.DataFrame(_columns(a=first, b=second) | {name: [values[0] if each else values[1] for each in better]})


def near(rows: int = 400) -> pl.DataFrame:
    """Pairs that are alike where they are near, whatever their direction: all lie along one line from the middle."""
    g = np.random.default_rng(0)
    place = g.uniform(1, 9, rows)
    other = np.where(g.random(rows) < 0.5, place + 0.3 * g.normal(size=rows), g.uniform(1, 9, rows))
    line = np.array([1.0, 0.5, -0.3])
    first, second = (each[:, None] * line + 0.1 * g.normal(size=(rows, 3)) for each in (place, other))
    return pl.DataFrame(_columns(a=first, b=second) | {"same": (np.abs(place - other) < 1).astype(int)})


def triplets(rows: int = 400) -> pl.DataFrame:
    g, centres = _clusters()
    one = g.integers(0, 6, rows)
    other = (one + g.integers(1, 6, rows)) % 6
    groups = {name: centres[each] + g.normal(size=(rows, 4)) for name, each in (("A", one), ("P", one), ("N", other))}
    return pl.DataFrame(
        {f"{name}{i + 1}": column for name, group in groups.items() for i, column in enumerate(group.T)}
    )


def _of(frame: pl.DataFrame, label: str = "y", **options: object) -> Choice:
    return choose(frame, pairs=("a", "b"), label=label, train=False, **options)


# What pairs ask for


def test_alike_pairs_by_their_angle() -> None:
    choice = _of(alike())
    assert (choice.leaf.task.en, choice.recommended.loss) == ("embedding of pairs", "CosineEmbeddingLoss")
    assert set(choice.recommended.arguments) == {"margin"}
    assert choice.evidence[1].en.startswith("y follows first less second with a ROC AUC of 0.")
    assert isinstance(choice.criterion(), lossmith.CosineEmbeddingLoss)


def test_alike_pairs_by_their_distance() -> None:
    choice = _of(near(), "same")
    assert (choice.leaf.task.en, choice.recommended.loss) == ("embedding of pairs, by distance", "ContrastiveLoss")
    assert "same says by its name whether a pair is alike" in [each.en for each in choice.evidence]


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("y", (1, -1), "y follows first less second with a ROC AUC of 0.9"),
        ("better", (1, 0), "better says which of the two is better: a ranking"),
        ("y", ("a", "b"), "y says which of the two is better: a ranking"),
        ("y", ("A", "B"), "y says which of the two is better: a ranking"),
        ("isPreferred", (True, False), "isPreferred says which of the two is better: a ranking"),
    ],
)
def test_ranking(name: str, values: tuple[object, object], why: str) -> None:
    choice = _of(ranked(name=name, values=values), name)
    assert (choice.leaf.task.en, choice.recommended.signature) == ("ranking of pairs", "MarginRankingLoss(margin=1.0)")
    assert any(each.en.startswith(why) for each in choice.evidence), choice.evidence
    names: dict[str, object] = {}
    exec(choice.snippet, names)
    assert names["to_target"](list(values)).tolist() == [1.0, -1.0]  # 1 says that the first is better


@pytest.mark.parametrize("values", [(1, 0), (True, False), ("yes", "no"), (1.0, 0.0)])
def test_p39_other_labels_become_1_and_minus_1_with_a_word(values: tuple[object, object]) -> None:
    choice = _of(alike(values=values))
    assert f"the losses of pairs take 1 and -1: {values[0]!r} is taken as 1 and {values[1]!r} as -1" in [
        each.en for each in choice.evidence
    ]
    names: dict[str, object] = {}
    exec(choice.snippet, names)
    assert names["to_target"](list(values)).tolist() == [1.0, -1.0]


def test_triplets() -> None:
    choice = choose(triplets(), triplets=("A", "P", "N"), train=False)
    assert (choice.leaf.task.en, choice.recommended.loss) == ("embedding of triplets", "TripletMarginLoss")
    assert "of the triplets are in order already" in choice.evidence[0].en
    assert choice.notes[1].en == "examples of a row: A (A1, A2, A3, ...), P (P1, P2, P3, ...), N (N1, N2, N3, ...)"


def test_the_margin_is_the_median_cosine_of_the_unlike_pairs() -> None:
    """Two clusters a right angle apart, in inputs whose means are 0 and spreads 1: their cosines are about 0.4."""
    table = alike(2000)
    values = table.drop("y").to_numpy().reshape(-1, 2, 4).reshape(-1, 4)
    scaled = ((values - values.mean(axis=0)) / values.std(axis=0)).reshape(-1, 2, 4)
    lengths = np.linalg.norm(scaled, axis=2)
    cosines = (scaled[:, 0] * scaled[:, 1]).sum(axis=1) / lengths.prod(axis=1)
    expected = np.median(cosines[(table["y"] == -1).to_numpy()])
    assert _of(table).recommended.arguments["margin"] == pytest.approx(np.clip(expected, 0, 0.5), abs=1e-3)


# Columns


@pytest.mark.parametrize(
    "names",
    [
        ["a_0", "a_1", "b_0", "b_1"],
        ["a0", "a1", "b0", "b1"],
        ["A.x", "A.y", "B.x", "B.y"],
        ["a-x", "b-y", "b-x", "a-y"],
        ["a_0", "b_1", "a_1", "b_0"],
    ],
)
def test_columns_belong_to_an_example_by_their_prefix(names: list[str]) -> None:
    g = np.random.default_rng(0)
    frame = pl.DataFrame(dict(zip(names, g.normal(size=(4, 60)), strict=True)) | {"y": [1, -1] * 30, "more": range(60)})
    choice = _of(frame)
    assert choice.notes[-1].en == "columns of no example, left out: more"


def test_an_example_of_one_column_and_of_words() -> None:
    g = np.random.default_rng(0)
    kinds = np.array(["red", "green", "blue"])
    one, two = g.integers(0, 3, 90), g.integers(0, 3, 90)
    frame = pl.DataFrame({"a": kinds[one], "b": kinds[two], "same": one == two})
    assert choose(frame, pairs=("a", "b"), label="same", settings=QUICK).table["roc_auc"].max() > 0.9


BAD = {
    "no such prefix": ({"pairs": ("a", "w"), "label": "y"}, "no column belongs to 'w': expected w_0, w_1, ... or w0"),
    "unequal groups": (
        {"pairs": ("a", "c"), "label": "y"},
        "the groups differ: 'a' has 4 columns and 'c' has 1, and '1' is in 'a' alone; give each example the same",
    ),
    "no label": ({"pairs": ("a", "b")}, "pairs need a label: the column that says which are alike"),
    "a label alone": ({"label": "y"}, "a label goes with pairs; name the column to predict as the target"),
    "no such label": ({"pairs": ("a", "b"), "label": "Y"}, "has no column 'Y'; did you mean 'y'?"),
    "the same twice": ({"pairs": ("a", "a"), "label": "y"}, "pairs take 2 different prefixes of columns"),
    "too few": ({"triplets": ("a", "b")}, "triplets take 3 different prefixes of columns, such as ['a', 'p', 'n']"),
    "one word": ({"pairs": "ab", "label": "y"}, "pairs take 2 different prefixes of columns"),
    "both": ({"pairs": ("a", "b"), "triplets": ("a", "b", "c"), "label": "y"}, "rows are either pairs or triplets"),
    "a target too": ({"pairs": ("a", "b"), "label": "y", "target": "y"}, "pairs have no target; name their label"),
    "label of triplets": ({"triplets": ("a", "b", "c"), "label": "y"}, "triplets have no label; their order says all"),
    "three values": (
        {"pairs": ("a", "b"), "label": "z"},
        "label 'z' holds 3 different values (-1, 0, 1), expected two",
    ),
    "one value": ({"pairs": ("a", "b"), "label": "one"}, "label 'one' holds 1 different values (1), expected two"),
    "few of a kind": ({"pairs": ("a", "b"), "label": "few"}, "label 'few' is -1 in 2 rows, and 5 are needed"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_said_in_one_line(case: str) -> None:
    options, said = BAD[case]
    frame = alike(60).with_columns(
        c_0=pl.lit(1.0), z=pl.int_range(60) % 3 - 1, one=pl.lit(1), few=1 - 2 * (pl.int_range(60) < 2).cast(pl.Int8)
    )
    with pytest.raises(BadData) as error:
        choose(frame, train=False, **options)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_too_few_rows() -> None:
    with pytest.raises(BadData, match="6 rows can be used; at least 10 are needed"):
        choose(triplets(6), triplets=("A", "P", "N"), train=False)


# The experiment


@pytest.mark.parametrize(
    ("make", "options", "decides"),
    [
        (alike, {"pairs": ("a", "b"), "label": "y"}, "roc_auc"),
        (ranked, {"pairs": ("a", "b"), "label": "y"}, "ordered"),
        (triplets, {"triplets": ("A", "P", "N")}, "ordered"),
    ],
)
def test_networks_learn_from_them(make, options: dict[str, object], decides: str) -> None:
    choice = choose(make(), **options, settings=QUICK)
    assert choice.leaf.decided_by == decides
    assert choice.conclusion
    for candidate in choice.candidates:
        assert set(candidate.metrics) <= set(METRICS)
        assert candidate.metrics[decides] > 0.8
    assert choose(make(), **options, settings=QUICK).to_json() == choice.to_json()
    names: dict[str, object] = {}
    exec(choice.snippet, names)
    assert torch.isfinite(names["loss"])
    assert max(len(line) for line in choice.snippet.splitlines()) <= 120


def test_groups_of_pairs_stay_together() -> None:
    frame = alike().with_columns(user=pl.int_range(pl.len()) % 20)
    choice = choose(frame, pairs=("a", "b"), label="y", group="user", settings=QUICK)
    assert choice.experiment.split == "group"


def test_figures_of_pairs() -> None:
    codes, score = np.array([1, 1, 0, 0]), np.array([[0.9], [0.2], [0.5], [0.1]])
    found = judge("pairs", codes, score)
    assert found["roc_auc"] == 0.75  # three of the four pairs of one alike and one unlike
    assert found["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert judge("ranking", codes, score - 0.5)["ordered"] == (1 + 0 + 0.5 + 1) / 4  # a tie counts as half
    order = judge("triplets", None, np.array([[-1.0, -2.0], [-3.0, -2.0], [-1.0, -1.0]]))
    assert order["ordered"] == 0.5
    assert judge("pairs", np.ones(3, dtype=int), np.zeros((3, 1)))["roc_auc"] == 0.5
