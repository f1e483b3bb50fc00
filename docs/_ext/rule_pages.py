"""Writes the table of rules and a page for each, in English and Chinese."""

from pathlib import Path
from typing import Any

from pages import escaped, write_pages
from sphinx.application import Sphinx

from lossmith.card import Language, Text
from lossmith.rule import SEVERITIES, Rule
from lossmith.rules import all_rules

FOLDERS: dict[Language, str] = {"en": "rules", "zh": "rules/zh"}


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write(app: Sphinx) -> None:
    pages = {}
    for language, folder in FOLDERS.items():
        pages[f"{folder}/index.md"] = overview(language)
        for rule in all_rules().values():
            pages[f"{folder}/{rule.name}.md"] = page(rule, language)
    write_pages(Path(app.srcdir), list(FOLDERS.values()), pages)


def overview(language: Language) -> str:
    """All rules, by their codes."""
    parts = [
        f"# {Text('Rules', '规则')(language)}",
        "[中文](zh/index.md)" if language == "en" else "[English](../index.md)",
        Text(
            "What `lossmith.guard` and `lossmith check` look for at run time, and `lossmith lint` in source.",
            "`lossmith.guard` 与 `lossmith check` 在运行时、`lossmith lint` 在源码中寻找的误用。",
        )(language),
    ]
    headings = (
        Text("code", "代码"),
        Text("rule", "规则"),
        Text("severity", "级别"),
        Text("seen at", "检测于"),
        Text("what", "内容"),
    )
    table = [[heading(language) for heading in headings], ["---"] * len(headings)]
    for rule in all_rules().values():
        link = f"[{rule.name}]({rule.name}.md)"
        table.append(
            [rule.code, link, SEVERITIES[rule.severity](language), ways(rule, language), escaped(rule.what(language))]
        )
    parts.append("\n".join(f"| {' | '.join(cells)} |" for cells in table))
    children = [*all_rules(), *(["zh/index"] if language == "en" else [])]
    parts.append("\n".join(["```{toctree}", ":hidden:", "", *children, "```"]))
    return "\n\n".join(parts) + "\n"


def page(rule: Rule, language: Language) -> str:
    """The page of a rule."""
    other = f"[中文](zh/{rule.name}.md)" if language == "en" else f"[English](../{rule.name}.md)"
    parts = [
        f"# {rule.code} {rule.name}",
        f"{SEVERITIES[rule.severity](language)} · {ways(rule, language)} · {other}",
        escaped(rule.what(language)),
    ]
    for title, text in (
        (Text("Why it is bad", "为什么不对"), rule.why),
        (Text("Evidence", "依据"), rule.evidence),
        (Text("Fix", "改法"), rule.fix),
    ):
        parts += [f"## {title(language)}", escaped(text(language))]
    for title, code in ((Text("Bad", "错误的写法"), rule.bad), (Text("Good", "正确的写法"), rule.good)):
        parts += [f"## {title(language)}", f"```python\n{code.rstrip()}\n```"]
    return "\n\n".join(parts) + "\n"


def ways(rule: Rule, language: Language) -> str:
    return Text(", ", "、")(language).join(way(language) for way in rule.seen)
