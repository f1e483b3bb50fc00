"""Splits: no group on both sides, no future in the past, every class in every fold; bad requests are explained."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lossmith.guide import BadData
from lossmith.guide.splits import Splitter, splitter

SEEDS = st.integers(0, 2**32 - 10)
SHARES = st.floats(0.05, 0.6)


@st.composite
def labels(draw: st.DrawFn, least: int = 12, most: int = 60) -> np.ndarray:
    """A few different whole numbers, in any order, some of them much more frequent than others."""
    return np.array(draw(st.lists(st.integers(0, draw(st.integers(1, 20))), min_size=least, max_size=most)))


@settings(max_examples=150, deadline=None)
@given(labels(), st.integers(2, 5), SEEDS, st.booleans())
def test_no_group_is_on_both_sides(group: np.ndarray, folds: int, seed: int, classes: bool) -> None:
    assume(len(set(group)) >= folds)
    codes = np.arange(len(group)) % 2 if classes else None
    try:
        pairs = splitter(len(group), codes, group=group).folds(folds, 2, seed)
    except BadData as error:  # one group is nearly the whole table
        assert "to learn from" in str(error)
        return
    assert len(pairs) == 2 * folds
    for learned, judged in pairs:
        assert len(judged)
        assert not set(group[learned]) & set(group[judged])
        assert sorted([*learned, *judged]) == list(range(len(group)))
    for repeat in (pairs[:folds], pairs[folds:]):
        assert sorted(np.concatenate([judged for _, judged in repeat])) == list(range(len(group)))


@settings(max_examples=150, deadline=None)
@given(labels(least=20), st.integers(2, 5), SEEDS)
def test_the_future_is_never_learned_from(time: np.ndarray, folds: int, seed: int) -> None:
    assume(len(set(time)) > folds)
    try:
        pairs = splitter(len(time), None, time=time).folds(folds, 3, seed)
    except BadData as error:
        assert "to learn from" in str(error)
        return
    assert len(pairs) == folds
    before = set()
    for learned, judged in pairs:
        assert time[learned].max() < time[judged].min()
        assert before < set(learned)  # windows expand
        before = set(learned)
    assert sorted([*pairs[0][0], *np.concatenate([judged for _, judged in pairs])]) == list(range(len(time)))


@settings(max_examples=100, deadline=None)
@given(labels(least=30), labels(least=60), st.integers(2, 3), SEEDS, SHARES)
def test_group_and_time_together(group: np.ndarray, time: np.ndarray, folds: int, seed: int, share: float) -> None:
    time = time[: len(group)]
    assume(len(set(group)) > 1 and len(set(time)) > folds)
    rows = splitter(len(group), None, group=group, time=time)
    try:
        pairs = rows.folds(folds, 1, seed)
    except BadData:
        pairs = []
    rest, held_out = rows.part(share, seed)
    for learned, judged in [*pairs, (rows.apart(rest, held_out), held_out)]:
        assert not set(group[learned]) & set(group[judged])
        assert not len(learned) or time[learned].max() < time[judged].min()


@settings(max_examples=150, deadline=None)
@given(labels(), SHARES, SEEDS)
def test_a_part_is_apart(places: np.ndarray, share: float, seed: int) -> None:
    assume(len(set(places)) > 1)
    number = len(places)
    for rows in (splitter(number, None, group=places), splitter(number, None, time=places)):
        rest, part = rows.part(share, seed)
        assert len(rest) and len(part)
        assert sorted([*rest, *part]) == list(range(number))
        assert not set(places[rest]) & set(places[part])
    assert places[rest].max() < places[part].min()
    rest, part = Splitter(number, np.unique(places, return_inverse=True)[1]).part(share, seed)
    assert len(part) == int(number * share)
    for value in set(places):  # a share of each class, to a row
        assert abs(np.sum(places[part] == value) - share * np.sum(places == value)) <= 1


def test_a_part_has_about_its_share() -> None:
    group = np.random.default_rng(0).integers(0, 200, 4000)
    for rows in (splitter(4000, None, group=group), splitter(4000, None, time=group), Splitter(4000)):
        assert len(rows.part(0.2, 0)[1]) == pytest.approx(800, abs=20)


def test_every_class_is_in_every_fold() -> None:
    codes = np.repeat([0, 1, 2], [50, 30, 5])
    for learned, judged in Splitter(85, codes).folds(5, 2, seed=0):
        assert np.bincount(codes[judged]).tolist() == [10, 6, 1]
        assert np.bincount(codes[learned]).tolist() == [40, 24, 4]


def test_folds_depend_on_the_seed_alone() -> None:
    group = np.arange(60) // 3
    for rows in (Splitter(60), splitter(60, None, group=group), splitter(60, np.arange(60) % 2, group=group)):
        first, again, other = (rows.folds(3, 2, seed) for seed in (1, 1, 2))
        assert all(np.array_equal(one[1], two[1]) for one, two in zip(first, again, strict=True))
        assert any(not np.array_equal(one[1], two[1]) for one, two in zip(first, other, strict=True))
        assert not np.array_equal(first[0][1], first[3][1])  # a repeat is another deal


def test_equal_moments_stay_together_however_many() -> None:
    time = np.array([0] * 6 + [1] * 100 + [2, 3, 4])
    pairs = splitter(109, None, time=time).folds(4, 1, 0)
    assert [sorted(set(time[judged])) for _, judged in pairs] == [[1], [2], [3], [4]]


@pytest.mark.parametrize(
    "given",
    [
        [f"g{i % 4}" for i in range(40)],
        pl.Series([["north", "south"][i % 2] for i in range(40)], dtype=pl.Categorical),
        np.arange(40) % 3 == 0,
        np.arange(40) / 7,
        [date(2024, 1, 1) + timedelta(days=i) for i in range(40)],
    ],
    ids=["names", "categories", "booleans", "floats", "dates"],
)
def test_groups_may_be_anything(given: object) -> None:
    rows = splitter(40, None, group=given)
    assert rows.split == "group"
    learned, judged = rows.folds(2, 1, 0)[0]
    values = list(given)
    assert not {values[i] for i in learned} & {values[i] for i in judged}


def test_time_may_be_dates() -> None:
    days = pl.Series([date(2024, 12, 31) - timedelta(days=i) for i in range(40)])
    for learned, judged in splitter(40, None, time=days).folds(3, 1, 0):
        assert max(days[int(i)] for i in learned) < min(days[int(i)] for i in judged)


def test_a_sample_keeps_rare_classes() -> None:
    codes = np.zeros(5000, dtype=int)
    codes[[7, 1234, 2000, 3000, 4999]] = 1
    rows = Splitter(5000, codes).sample(100, 5, seed=0)
    assert len(set(rows)) == 100
    assert codes[rows].sum() == 5
    assert Splitter(5000).sample(9000, 5, 0).tolist() == list(range(5000))


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (lambda: splitter(20, None, group=["a"] * 20), "the group is 'a' in every row, which splits nothing"),
        (lambda: splitter(20, None, time=np.ones(20)), "the time is 1.0 in every row, which splits nothing"),
        (lambda: splitter(20, None, group=["a", "b"] * 9), "the group has 18 values for 20 rows; give one for each"),
        (lambda: splitter(4, None, group=["a", None, "b", "b"]), "the group is missing in 1 of 4 rows; fill it in or"),
        (lambda: splitter(3, None, time=[1.0, np.nan, 2.0]), "the time is missing in 1 of 3 rows"),
        (lambda: splitter(3, None, time=["1", "10", "9"]), "the time holds values of type String; give numbers, dates"),
        (lambda: splitter(20, None, group=np.arange(20) % 3).folds(5, 1, 0), "have 3 groups, fewer than the 5 folds"),
        (
            lambda: splitter(20, None, time=np.arange(20) % 5).folds(5, 1, 0),
            "has 5 different values, and 5 folds need 6",
        ),
        (lambda: Splitter(20).folds(1, 1, 0), "1 folds can't be told apart; ask for at least 2"),
        (lambda: Splitter(20).folds(30, 1, 0), "20 rows are fewer than the 30 folds; ask for fewer folds"),
        (
            lambda: Splitter(20, np.arange(20) // 16).folds(6, 1, 0),
            "a class has 4 rows to compare on, fewer than the 6",
        ),
        (
            lambda: splitter(12, None, time=np.arange(12)).folds(5, 1, 0),
            "a fold has 2 rows to learn from, and at least 6",
        ),
        (
            lambda: splitter(40, None, group=np.arange(40) % 2, time=np.arange(40)).folds(3, 1, 0),
            "most groups are both in a window and before it: give the group or the time, not both",
        ),
    ],
)
def test_bad_requests_are_explained(bad, said: str) -> None:
    with pytest.raises(BadData) as error:
        bad()
    assert said in str(error.value)
    assert "\n" not in str(error.value)
