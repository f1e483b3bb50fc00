"""The verdict: whether the experiment supports the tree, with its uncertainty."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import t as student

from .experiment import Scores, Settings
from .inputs import Array
from .metrics import METRICS
from .tree import Leaf

Outcome = Literal["better", "worse", "tie"]


@dataclass(frozen=True)
class Comparison:
    """The recommended loss against one rival in one metric; positive differences speak for the recommended one."""

    rival: str
    metric: str
    difference: float
    low: float
    high: float

    @property
    def outcome(self) -> Outcome:
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "tie"


@dataclass(frozen=True)
class Verdict:
    """What the experiment says of the recommended loss."""

    outcome: Literal["supports", "supports in part", "tie", "disagrees"]
    comparisons: tuple[Comparison, ...]  # in the metric that decides, one for each rival
    elsewhere: tuple[Comparison, ...]  # the best rival in each other metric in which one is better


def judge(scores: list[Scores], recommended: str, decided_by: str, settings: Settings) -> Verdict:
    """Compares the recommended loss with every rival; the experiment disagrees if one is better where it decides."""
    own = next(score for score in scores if score.recipe == recommended)
    rivals = [score for score in scores if score is not own]

    def against(rival: Scores, metric: str) -> Comparison:
        sign = 1 if METRICS[metric].higher_is_better else -1
        differences = sign * (own.folds[metric] - rival.folds[metric])
        low, high = interval(differences, settings.folds, len(rivals))
        return Comparison(rival.recipe, metric, float(differences.mean()), low, high)

    comparisons = tuple(against(rival, decided_by) for rival in rivals)
    outcomes = {comparison.outcome for comparison in comparisons}
    elsewhere = []
    for metric in (name for name in own.folds if name != decided_by):
        losses = [against(rival, metric) for rival in rivals if metric in rival.folds]
        losses = [each for each in losses if each.outcome == "worse"]
        if losses:
            elsewhere.append(min(losses, key=lambda each: each.difference))
    if "worse" in outcomes:
        return Verdict("disagrees", comparisons, tuple(elsewhere))
    if outcomes == {"better"}:
        return Verdict("supports", comparisons, tuple(elsewhere))
    return Verdict("supports in part" if "better" in outcomes else "tie", comparisons, tuple(elsewhere))


def interval(differences: Array, folds: int, comparisons: int, level: float = 0.95) -> tuple[float, float]:
    """A t interval for the mean of paired differences over repeated folds. Folds share training rows, so the variance
    is corrected as Nadeau and Bengio (2003) do, by test rows over training rows; the level holds for all comparisons
    together (Bonferroni).
    """
    runs = len(differences)
    variance = (1 / runs + 1 / (folds - 1)) * float(np.var(differences, ddof=1))
    reach = float(student.ppf(1 - (1 - level) / 2 / comparisons, runs - 1)) * variance**0.5
    mean = float(differences.mean())
    return mean - reach, mean + reach


def sentences(verdict: Verdict, leaf: Leaf, names: Mapping[str, str]) -> tuple[str, ...]:
    """The verdict in words; `names` gives each candidate as one writes it."""
    own, metric = names[leaf.recipe], METRICS[leaf.decided_by].title

    def named(outcome: str) -> str:
        found = [names[each.rival] for each in verdict.comparisons if each.outcome == outcome]
        return " and ".join([*([", ".join(found[:-1])] if found[:-1] else []), *found[-1:]])

    is_are = "are" if sum(each.outcome == "worse" for each in verdict.comparisons) > 1 else "is"
    headlines = {
        "supports": f"the experiment supports the tree: in {metric}, {own} is better than {named('better')}",
        "supports in part": f"the experiment supports the tree in part: in {metric}, {own} is better than "
        f"{named('better')} and ties with {named('tie')}",
        "tie": f"a tie, which neither supports nor contradicts the tree: in {metric}, {own} can't be told from "
        f"{named('tie')}",
        "disagrees": f"the experiment disagrees with the tree: in {metric}, {named('worse')} {is_are} better than "
        f"{own}; if {metric} is what counts for you, take the better one",
    }
    lines = [headlines[verdict.outcome]]
    if verdict.outcome == "disagrees":
        rest = {"better": "is better than", "tie": "ties with"}
        found = [f"{verb} {named(outcome)}" for outcome, verb in rest.items() if named(outcome)]
        lines += [f"in {metric}, {own} {' and '.join(found)}"] if found else []
    for each in verdict.elsewhere:
        lines.append(
            f"in {METRICS[each.metric].title}, which does not decide here, {names[each.rival]} is better by "
            f"{-each.difference:.3g} (95 % interval {-each.high:.3g} to {-each.low:.3g})"
        )
    return tuple(lines)
