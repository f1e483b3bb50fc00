"""`lossmith rules`: what the guard and the linter look for."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..card import Language, Text
from ..rule import SEVERITIES

if TYPE_CHECKING:
    from rich.console import Console

    from ..rule import Rule


def rules(
    name: Annotated[
        str | None, typer.Argument(metavar="[RULE]", help="A rule's code or name: LM101, softmax-into-cross-entropy.")
    ] = None,
    lang: Annotated[Language, typer.Option(help="The language of the rules.")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")] = False,
) -> None:
    """Show every rule of the guard and the linter in a table, or one in full: why, evidence, fix, examples."""
    from ..rules import all_rules

    found = list(all_rules().values())
    if name is not None:
        found = [rule for rule in found if name.strip().lower() in (rule.code.lower(), rule.name)]
        if not found:
            typer.echo(f"lossmith: {_unknown(name)}", err=True)
            raise typer.Exit(2)
    if as_json:
        data = [_data(rule, lang) for rule in found]
        typer.echo(json.dumps(data if name is None else data[0], ensure_ascii=False, indent=2))
        return
    try:
        from rich.console import Console
    except ModuleNotFoundError as error:
        typer.echo(f"lossmith: rules needs {error.name}; install it with: pip install 'lossmith[cli]'", err=True)
        raise typer.Exit(1) from None
    out = Console(highlight=False)
    out = out if out.is_terminal else Console(width=120, highlight=False)
    if name is None:
        _table(found, lang, out)
    else:
        _page(found[0], lang, out)


def _unknown(name: str) -> str:
    from difflib import get_close_matches

    from ..rules import all_rules

    wanted = name.strip().lower()
    holding = [rule for rule in all_rules() if wanted in rule]
    near = holding or get_close_matches(wanted, all_rules(), n=3, cutoff=0.5)
    meant = f"did you mean {' or '.join(near)}?" if near else "lossmith rules shows all of them"
    return f"there is no rule {name!r}; {meant}"


def _data(rule: "Rule", language: Language) -> dict[str, Any]:
    return {
        "code": rule.code,
        "name": rule.name,
        "severity": rule.severity,
        "seen": [way.en for way in rule.seen],
        "losses": list(rule.losses),
        **{part: getattr(rule, part)(language) for part in ("what", "why", "evidence", "fix")},
        "bad": rule.bad,
        "good": rule.good,
    }


def _table(found: "list[Rule]", language: Language, out: "Console") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text as Styled

    from ..cards.terminal import wrapped

    names = max(len(rule.name) for rule in found)
    rest = max(20, out.width - names - len("LM101") - len("severity") - len("run time") - 14)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    headings = (("code", "代码"), ("name", "名称"), ("severity", "级别"), ("seen at", "检测于"), ("what", "内容"))
    for heading in headings:
        table.add_column(Text(*heading)(language))
    for rule in found:
        ways = "\n".join(way(language) for way in rule.seen)
        what = Styled(wrapped(rule.what(language), rest))
        table.add_row(rule.code, rule.name, SEVERITIES[rule.severity](language), ways, what)
    out.print(table, crop=False)


def _page(rule: "Rule", language: Language, out: "Console") -> None:
    from rich.padding import Padding
    from rich.text import Text as Styled

    from ..cards.terminal import INDENT, WIDEST, wrapped

    width = min(out.width, WIDEST)
    out.print(Styled(f"{rule.code} {rule.name}", style="bold"))
    ways = Text(", ", "、")(language).join(way(language) for way in rule.seen)
    about = Text(f"seen at: {ways}", f"检测于：{ways}")(language)
    out.print(Styled(f"{SEVERITIES[rule.severity](language)} · {about}", style="dim"))
    out.print()
    out.print(Styled(wrapped(rule.what(language), width)))
    for heading, words in (
        (Text("Why it is bad", "为什么不对"), rule.why),
        (Text("Evidence", "依据"), rule.evidence),
        (Text("Fix", "改法"), rule.fix),
    ):
        out.print()
        out.print(Styled(heading(language), style="bold cyan"))
        out.print(Padding(Styled(wrapped(words(language), width - INDENT)), (0, 0, 0, INDENT), expand=False))
    for heading, code in ((Text("Bad", "错误的写法"), rule.bad), (Text("Good", "正确的写法"), rule.good)):
        out.print()
        out.print(Styled(heading(language), style="bold cyan"))
        shown = Styled(code.rstrip(), no_wrap=True, overflow="ignore")
        out.print(Padding(shown, (0, 0, 0, INDENT), expand=False), crop=False)
