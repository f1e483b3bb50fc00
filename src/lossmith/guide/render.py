"""Prints a choice in the terminal."""

from collections.abc import Iterable

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text as Line

from ..card import Language, Text
from .chooser import Choice
from .metrics import METRICS

OUTCOMES = {
    "better": (Text("better", "更好"), "green"),
    "worse": (Text("worse", "更差"), "red"),
    "tie": (Text("a tie", "不分高下"), "yellow"),
}

SPLITS = {
    "random": Text("", ""),
    "group": Text(" (no group on both sides)", "（同一分组不会同时出现在两边）"),
    "time": Text(" (tested on what comes later)", "（用较晚的行测试）"),
    "group and time": Text(
        " (tested on what comes later, no group on both sides)", "（用较晚的行测试，同一分组不会同时出现在两边）"
    ),
}


def render(choice: Choice, console: Console, language: Language = "en") -> None:
    """The whole report: data, evidence, recommendation, experiment, what was ruled out, snippet."""

    def section(title: Text, body: RenderableType) -> None:
        console.print(f"[bold]{title(language)}[/bold]", highlight=False)
        console.print(Padding(body, (0, 0, 1, 2)))

    section(Text("Data", "数据"), _bullets(choice.notes, language))
    if choice.warnings:
        section(Text("Mind", "注意"), _bullets(choice.warnings, language, style="yellow"))
    section(Text("What the target is", "目标是什么"), _bullets((*choice.evidence, _path(choice)), language))
    section(Text("Recommended", "推荐"), _recommended(choice, language))
    if choice.verdict is None:
        signatures = [Text(candidate.signature, candidate.signature) for candidate in choice.candidates]
        section(Text("Candidates", "候选"), _bullets(signatures, language))
    else:
        section(Text("Experiment", "实验"), _experiment(choice, language))
    section(Text("Ruled out", "已排除"), _ruled_out(choice, language))
    title = Text("[bold]Snippet[/bold] (runs as it is)", "[bold]代码[/bold]（可直接运行）")
    console.print(f"{title(language)}\n", highlight=False)
    code = Syntax(choice.snippet.rstrip(), "python", theme="ansi_dark", background_color="default")
    console.print(code.highlight(code.code), soft_wrap=True)  # unbroken lines, so that it can be pasted


def _bullets(lines: Iterable[Text], language: Language, style: str = "") -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column()
    table.add_column(overflow="fold")
    for line in lines:
        table.add_row("•", Line(line(language), style=style))
    return table


def _path(choice: Choice) -> Text:
    en = " → ".join(f"{step.asks.en} {'yes' if step.answer else 'no'}" for step in choice.path)
    zh = " → ".join(f"{step.asks.zh}{'是' if step.answer else '否'}" for step in choice.path)
    task = choice.leaf.task
    return Text(f"path through the tree: {en} → {task.en}", f"决策树上的路径：{zh} → {task.zh}")


def _recommended(choice: Choice, language: Language) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    because = (text(language) for text in (choice.leaf.why, *choice.computed))
    rows = {
        Text("loss", "损失"): Line(f"lossmith.{choice.recommended.signature}", style="bold green"),
        Text("last layer", "最后一层"): Line(choice.final_layer(language)),
        Text("target", "目标"): Line(choice.target(language)),
        Text("because", "理由"): Line(Text("; ", "；")(language).join(because)),
    }
    for name, line in rows.items():
        table.add_row(name(language), line)
    return table


def _experiment(choice: Choice, language: Language) -> Group:
    assert choice.experiment is not None
    found, hidden = choice.experiment, choice.settings.hidden
    repeats = -(-found.planned // found.folds)
    split = SPLITS[found.split]
    about = Text(
        f"The same small network ({hidden} hidden units) under each loss, {found.folds}-fold cross-validation{split.en}"
        f"{'' if repeats == 1 else f', {repeats} times'}; means over {found.done} test folds.",
        f"每个损失都用同样的小网络（{hidden} 个隐藏单元），做 {repeats} 次 {found.folds} 折交叉验证{split.zh}；"
        f"表中为 {found.done} 个测试折的平均值。",
    )
    lines = [about(language)]
    if choice.found.outputs > 1 and choice.leaf.decided_by in ("mae", "rmse", "interval_score"):
        units = Text(" Errors are in standard deviations of each target.", "误差以各目标的标准差为单位。")
        lines.append(units(language))
    title = METRICS[choice.leaf.decided_by].title
    decides = Text(
        f"{title.en} decides. The recommended loss (→) less each other one; the intervals "
        "allow for folds that share training rows (Nadeau and Bengio) and for several comparisons:",
        f"以{title.zh}为准。下面是推荐的损失（→）减去其他各损失；区间已考虑各折共用训练行（Nadeau 与 Bengio）"
        "以及多重比较：",
    )
    return Group(
        Line("".join(lines)),
        "",
        _scores(choice, language),
        "",
        Line(decides(language)),
        _comparisons(choice, language),
        "",
        _bullets(choice.conclusion, language),
    )


def _scores(choice: Choice, language: Language) -> Table:
    decided_by = choice.leaf.decided_by
    metrics = [name for name in METRICS if name in choice.recommended.metrics]
    metrics.sort(key=lambda name: name != decided_by)
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="underline")
    table.add_column(Text("loss", "损失")(language), overflow="fold")
    for name in metrics:
        arrow = "" if METRICS[name].nominal is not None else "↑" if METRICS[name].higher_is_better else "↓"
        table.add_column(f"{METRICS[name].title(language)}{arrow}", justify="right", no_wrap=True)
    ranked = sorted(
        choice.candidates, key=lambda each: each.metrics[decided_by], reverse=METRICS[decided_by].higher_is_better
    )
    for candidate in ranked:
        cells = [_figure(candidate.metrics.get(name)) for name in metrics]
        chosen = candidate is choice.recommended
        table.add_row(f"{'→' if chosen else ' '} {candidate.label}", *cells, style="bold" if chosen else "")
    return table


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:#.4g}".removesuffix(".")


def _comparisons(choice: Choice, language: Language) -> Table:
    """The recommended loss less each rival, in the metric that decides."""
    assert choice.verdict is not None
    metric = METRICS[choice.leaf.decided_by]
    sign = 1 if metric.higher_is_better else -1
    names = {candidate.recipe: candidate.label for candidate in choice.candidates}
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="underline")
    table.add_column(Text("→ against", "→ 对比")(language), overflow="fold")
    table.add_column(Text("difference", "差值")(language), justify="right")
    table.add_column(Text("95 % interval", "95% 区间")(language), justify="right")
    table.add_column(Text("→ is", "→ 结果")(language))
    for each in choice.verdict.comparisons:
        low, high = sorted((sign * each.low, sign * each.high))
        outcome, colour = OUTCOMES[each.outcome]
        table.add_row(
            f"  {names[each.rival]}",
            f"{sign * each.difference:+.2g}",
            Text(f"{low:+.2g} to {high:+.2g}", f"{low:+.2g} 到 {high:+.2g}")(language),
            Line(outcome(language), style=colour),
        )
    return table


def _ruled_out(choice: Choice, language: Language) -> Table:
    """Losses with the same reason share a line."""
    reasons: dict[Text, list[str]] = {}
    for loss, reason in choice.ruled_out.items():
        reasons.setdefault(reason, []).append(loss)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(overflow="fold", ratio=2)
    table.add_column(overflow="fold", ratio=3)
    for reason, losses in reasons.items():
        table.add_row(Line(", ".join(losses)), Line(reason(language), style="dim"))
    return table
