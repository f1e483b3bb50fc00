"""The README's figures, made from recorded results: `python -m lossmith.bench.readme README.md ...`.

A file says which records it shows, with paths relative to itself:

    <!-- bench: benchmarks/results/a.json benchmarks/results/b.json -->
    what stands here is replaced
    <!-- /bench -->
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from .record import Record
from .summary import Group, groups

Language = Literal["en", "zh"]

BLOCK = re.compile(r"(?P<open><!-- bench:(?P<files>[^>]*?)-->\n).*?(?P<close><!-- /bench -->)", re.S)

WORDS: dict[str, dict[Language, str]] = {
    "headings": {
        "en": "| size | step | against eager | against torch.compile | of a copy's bandwidth | peak memory |",
        "zh": "| 规模 | 步骤 | 对 eager | 对 torch.compile | 占复制带宽 | 内存峰值 |",
    },
    "cell": {"en": "{mean:.2f}× (lowest {low:.2f}×, {name})", "zh": "{mean:.2f}×（最低 {low:.2f}×，{name}）"},
    "memory": {"en": "{ours:.1f} (torch {theirs:.1f})", "zh": "{ours:.1f}（torch {theirs:.1f}）"},
    "labels": {
        "en": "Cross-entropy of probabilities takes {figures} times as long as of labels.",
        "zh": "概率目标的交叉熵耗时为标签目标的 {figures} 倍。",
    },
    "about": {
        "en": "{machine}, {threads} threads, torch {torch}, {dtype}, {date} ([record]({file})):",
        "zh": "{machine}，{threads} 线程，torch {torch}，{dtype}，{date}（[记录]({file})）：",
    },
    "legend": {
        "en": "Geometric means over the losses of torch's time over lossmith's, medians of paired rounds; pointwise "
        "losses' effective bandwidth over that of a copy; the largest growth of memory, in sizes of the gradients.",
        "zh": "各损失“torch 耗时 / lossmith 耗时”（成对轮次的中位数）的几何平均；逐点损失的有效带宽与复制之比；"
        "内存增长的最大值，以梯度大小为单位。",
    },
    "plain": {"en": "forward + backward", "zh": "前向 + 反向"},
    "forward": {"en": "forward", "zh": "前向"},
    "upstream": {"en": "upstream gradient 0.37", "zh": "上游梯度 0.37"},
    "consumer": {"en": "second consumer of the input", "zh": "输入另有使用者"},
    "target": {"en": "target wants a gradient", "zh": "目标也要梯度"},
    "compile": {"en": "both compiled", "zh": "双方均编译"},
}


def readme_block(records: dict[str, Record], language: Language = "en") -> str:
    """Markdown of the figures in records, by their files: a table each, and a legend."""
    parts = [_table(file, record, language) for file, record in records.items()]
    return "\n\n".join([*parts, WORDS["legend"][language]]) + "\n"


def updated(path: Path) -> str:
    """The file's text with its blocks made anew; equal to what it holds unless that is stale, or if it has none."""
    language: Language = "zh" if "zh" in path.name else "en"

    def made(found: re.Match[str]) -> str:
        records = {file: Record.read(path.parent / file) for file in found["files"].split()}
        return f"{found['open']}{readme_block(records, language)}{found['close']}"

    return BLOCK.sub(made, path.read_text(encoding="utf-8"))


def _table(file: str, record: Record, language: Language) -> str:
    found = groups(record.rows)
    machine = record.machine
    about = WORDS["about"][language].format(
        machine=machine.get("gpu") or machine["processor"],
        threads=machine["threads"],
        torch=machine["torch"].partition("+")[0],
        dtype=record.settings["dtype"],
        date=record.date.partition("T")[0],
        file=file,
    )
    headings = WORDS["headings"][language]
    lines = [headings, "|---" * (headings.count("|") - 1) + "|"]
    for size, variant in dict.fromkeys((g.size, g.variant) for g in found if g.against != "labels"):
        cells = {g.against: g for g in found if (g.size, g.variant) == (size, variant) and g.against != "labels"}
        lines.append(_line(size, variant, cells, language))
    labels = [g for g in found if g.against == "labels" and g.geometric_mean]
    figures = ", ".join(f"{g.geometric_mean:.2f} ({g.size})" for g in labels)
    sentence = [WORDS["labels"][language].format(figures=figures)] if labels else []
    return "\n\n".join([about, "\n".join(lines), *sentence])


def _line(size: str, variant: str, cells: dict[str, Group], language: Language) -> str:
    ratios = [_ratio(cells.get(against), language) for against in ("eager", "compile")]
    group = next(iter(cells.values()))
    shares, memory = group.of_copy.values(), group.memory
    copy = f"{min(shares):.0%}–{max(shares):.0%}" if shares else ""
    grown = WORDS["memory"][language].format(theirs=memory[0], ours=memory[1]) if memory else ""
    return "| " + " | ".join([size, WORDS[variant][language], *ratios, copy, grown]) + " |"


def _ratio(group: Group | None, language: Language) -> str:
    if group is None or not (mean := group.geometric_mean) or not (lowest := group.lowest):
        return ""
    return WORDS["cell"][language].format(mean=mean, low=lowest[1], name=lowest[0])


def main(files: Sequence[str]) -> None:
    for path in map(Path, files):
        path.write_text(updated(path), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
