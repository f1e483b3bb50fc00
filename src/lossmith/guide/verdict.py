"""The verdict: whether the experiment supports the tree, with its uncertainty."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..card import Text
from .metrics import METRICS, NEED_PROBABILITIES
from .recipes import RECIPES
from .record import Experiment, Scores
from .tree import Leaf
from .uncertainty import interval

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


def judge(experiment: Experiment, recommended: str, decided_by: str) -> Verdict:
    """Compares the recommended loss with every rival; the experiment disagrees if one is better where it decides."""
    own = next(score for score in experiment.scores if score.recipe == recommended)
    rivals = [score for score in experiment.scores if score is not own]

    def against(rival: Scores, metric: str) -> Comparison:
        sign = 1 if METRICS[metric].higher_is_better else -1
        differences = sign * (own.folds[metric] - rival.folds[metric])
        low, high = interval(differences, own.ratio, len(rivals))
        return Comparison(rival.recipe, metric, float(differences.mean()), low, high)

    comparisons = tuple(against(rival, decided_by) for rival in rivals)
    outcomes = {comparison.outcome for comparison in comparisons}
    elsewhere = []
    for metric in (name for name in own.folds if name != decided_by and METRICS[name].compared):
        losses = [against(rival, metric) for rival in rivals if metric in rival.folds]
        losses = [each for each in losses if each.outcome == "worse"]
        if losses:
            elsewhere.append(min(losses, key=lambda each: each.difference))
    if "worse" in outcomes:
        return Verdict("disagrees", comparisons, tuple(elsewhere))
    if outcomes == {"better"}:
        return Verdict("supports", comparisons, tuple(elsewhere))
    return Verdict("supports in part" if "better" in outcomes else "tie", comparisons, tuple(elsewhere))


# In words


def sentences(
    verdict: Verdict, leaf: Leaf, names: Mapping[str, str], experiment: Experiment, level: float | None = None
) -> tuple[Text, ...]:
    """The verdict in words; `names` gives each candidate as one writes it, `level` is the asked interval's."""
    return (
        *_partial(experiment),
        *_decision(verdict, leaf, names),
        *_elsewhere(verdict, names),
        *_intervals(leaf, names, experiment),
        *_asked_for(level, names, experiment),
        *_without_probabilities(names, experiment),
        *_held_out(leaf, names, experiment),
    )


def _decision(verdict: Verdict, leaf: Leaf, names: Mapping[str, str]) -> list[Text]:
    own, metric = names[leaf.recipe], METRICS[leaf.decided_by].title

    def named(outcome: str) -> Text:
        return _listed([names[each.rival] for each in verdict.comparisons if each.outcome == outcome])

    better, tie, worse = named("better"), named("tie"), named("worse")
    is_are = "are" if sum(each.outcome == "worse" for each in verdict.comparisons) > 1 else "is"
    headlines = {
        "supports": Text(
            f"the experiment supports the tree: in {metric.en}, {own} is better than {better.en}",
            f"实验支持决策树：在“{metric.zh}”上，{own} 优于 {better.zh}",
        ),
        "supports in part": Text(
            f"the experiment supports the tree in part: in {metric.en}, {own} is better than {better.en} and ties with "
            f"{tie.en}: the difference is within the uncertainty",
            f"实验部分支持决策树：在“{metric.zh}”上，{own} 优于 {better.zh}，与 {tie.zh} 持平（差异在不确定范围之内）",
        ),
        "tie": Text(
            f"a tie, which neither supports nor contradicts the tree: in {metric.en}, {own} can't be told from "
            f"{tie.en}; the difference is within the uncertainty",
            f"平局，既不支持也不否定决策树：在“{metric.zh}”上，{own} 与 {tie.zh} 分不出高下，差异在不确定范围之内",
        ),
        "disagrees": Text(
            f"the experiment disagrees with the tree: in {metric.en}, {worse.en} {is_are} better than {own}; if "
            f"{metric.en} is what counts for you, take the better one",
            f"实验与决策树不一致：在“{metric.zh}”上，{worse.zh} 优于 {own}；如果您最看重“{metric.zh}”，请选更好的那个",
        ),
    }
    lines = [headlines[verdict.outcome]]
    if verdict.outcome == "disagrees" and (better.en or tie.en):
        en = [f"{verb} {found.en}" for verb, found in (("is better than", better), ("ties with", tie)) if found.en]
        zh = [
            f"{verb} {found.zh}{end}" for verb, found, end in (("优于", better, ""), ("与", tie, " 持平")) if found.zh
        ]
        lines.append(Text(f"in {metric.en}, {own} {' and '.join(en)}", f"在“{metric.zh}”上，{own} {'，'.join(zh)}"))
    return lines


def _elsewhere(verdict: Verdict, names: Mapping[str, str]) -> list[Text]:
    lines = []
    for each in verdict.elsewhere:
        metric, rival = METRICS[each.metric], names[each.rival]
        by, low, high = f"{-each.difference:.3g}", f"{-each.high:.3g}", f"{-each.low:.3g}"
        own_goal = each.rival in metric.optimised_by
        lines.append(
            Text(
                f"in {metric.title.en}, which does not decide here{' and is what it minimises' * own_goal}, {rival} is "
                f"better by {by} (95 % interval {low} to {high})",
                f"在“{metric.title.zh}”上（它在这里不作定夺{'，且正是该损失所最小化的' * own_goal}），{rival} 好 {by}"
                f"（95% 区间 {low} 至 {high}）",
            )
        )
    return lines


def _intervals(leaf: Leaf, names: Mapping[str, str], experiment: Experiment) -> list[Text]:
    """Whether a loss that learns a distribution tells the truth about its spread, and what that brings."""
    scores = {each.recipe: each for each in experiment.scores}
    if leaf.recipe not in METRICS["nll"].optimised_by:
        return []
    own, rival = scores[leaf.recipe], scores.get(experiment.runner_up or "")
    half, most = (f"{own.folds[name].mean():.0%}" for name in ("coverage_50", "coverage_90"))
    name = names[leaf.recipe]
    lines = [
        Text(
            f"the 50 % intervals of {name} hold {half} of the test rows, its 90 % intervals {most}",
            f"{name} 的 50% 区间包含 {half} 的测试行，90% 区间包含 {most}",
        )
    ]
    if rival:
        nll, other = own.folds["nll"].mean(), rival.folds["nll"].mean()
        lines.append(
            Text(
                f"its NLL is {nll:.4g}, against {other:.4g} of {names[rival.recipe]} with a normal distribution "
                "as wide for every row",
                f"其 NLL 为 {nll:.4g}；{names[rival.recipe]} 配以各行同宽的正态分布，NLL 为 {other:.4g}",
            )
        )
    return lines


def _asked_for(level: float | None, names: Mapping[str, str], experiment: Experiment) -> list[Text]:
    """What the intervals that were asked for hold, and how wide they are."""
    if level is None:
        return []
    found = [
        (names[each.recipe], f"{each.folds['coverage'].mean():.1%}", f"{each.folds['width'].mean():.4g}")
        for each in experiment.scores
    ]
    en = ", ".join(f"those of {name} {held} (mean width {width})" for name, held, width in found)
    zh = "，".join(f"{name} 的包含 {held}（平均宽度 {width}）" for name, held, width in found)
    asked = f"{100 * level:.4g}"
    return [
        Text(f"of intervals that should hold {asked} % of the test rows, {en}", f"区间应包含 {asked}% 的测试行：{zh}")
    ]


def _without_probabilities(names: Mapping[str, str], experiment: Experiment) -> list[Text]:
    scoring = [names[each.recipe] for each in experiment.scores if not RECIPES[each.recipe].gives_probabilities]
    if not scoring:
        return []
    found, metrics = _listed(scoring), [METRICS[name].title for name in NEED_PROBABILITIES]
    return [
        Text(
            f"{found.en} gives scores, no probabilities: it has no {', '.join(each.en for each in metrics[:-1])} or "
            f"{metrics[-1].en}",
            f"{found.zh} 给出的是得分而不是概率，因此没有{'、'.join(each.zh for each in metrics)}",
        )
    ]


def _held_out(leaf: Leaf, names: Mapping[str, str], experiment: Experiment) -> list[Text]:
    scored = [each for each in experiment.scores if each.held_out]
    if not scored:
        return []
    metric, rows = METRICS[leaf.decided_by].title, f"{len(experiment.held_out):,}"
    en = ", ".join(f"{names[each.recipe]} {each.held_out[leaf.decided_by]:.4g}" for each in scored)
    zh = "，".join(f"{names[each.recipe]} {each.held_out[leaf.decided_by]:.4g}" for each in scored)
    return [
        Text(
            f"on {rows} rows that the comparison never saw, scored once: {metric.en} {en}",
            f"在比较中从未见过的 {rows} 行上（只评分一次），{metric.zh}：{zh}",
        )
    ]


def _partial(experiment: Experiment) -> list[Text]:
    if not experiment.partial:
        return []
    done, planned = experiment.done, experiment.planned
    en = f"interrupted: {done} of {planned} folds are done"
    zh = f"已中断：完成了 {planned} 折中的 {done} 折"
    if done == 1:
        return [Text(f"{en}; one alone says nothing of the uncertainty", f"{zh}；单独一折无法说明不确定度")]
    return [Text(f"{en}; the uncertainty is larger for it", f"{zh}；不确定度因此更大")]


def _listed(names: list[str]) -> Text:
    """`A, B and C`."""
    en = " and ".join([*([", ".join(names[:-1])] if names[:-1] else []), *names[-1:]])
    return Text(en, "、".join(names))
