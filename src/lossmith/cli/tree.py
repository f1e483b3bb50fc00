"""`lossmith tree`: the decision tree, as the chooser uses it."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..card import Language, Text

if TYPE_CHECKING:
    from rich.tree import Tree

    from ..guide.tree import Leaf, Question

ANSWERS = {"yes": Text("yes: ", "是："), "no": Text("no: ", "否：")}


def tree(
    lang: Annotated[Language, typer.Option(help="The language of the tree.")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")] = False,
) -> None:
    """Print the decision tree from data to loss, as `lossmith choose` walks it."""
    try:
        from rich.console import Console

        from ..guide.tree import TREE
    except ModuleNotFoundError as error:
        typer.echo(f"lossmith: tree needs {error.name}; install it with: pip install 'lossmith[choose]'", err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(_data(TREE, lang), ensure_ascii=False, indent=2))
    else:
        Console().print(_drawn(TREE, lang), highlight=False)


def _data(node: "Question | Leaf", language: Language) -> dict[str, Any]:
    from ..guide.recipes import RECIPES
    from ..guide.tree import Leaf

    if isinstance(node, Leaf):
        return {
            "task": node.task(language),
            "loss": RECIPES[node.recipe].label,
            "why": node.why(language),
            "compared_with": [RECIPES[rival].label for rival in node.rivals if rival != node.recipe],
            "decided_by": node.decided_by,
        }
    return {"asks": node.asks(language), "yes": _data(node.yes, language), "no": _data(node.no, language)}


def _drawn(node: "Question | Leaf", language: Language, answer: str = "") -> "Tree":
    """Questions in bold, losses in green."""
    from rich.text import Text as Line
    from rich.tree import Tree

    from ..guide.recipes import RECIPES
    from ..guide.tree import Leaf

    before = (ANSWERS[answer](language) if answer else "", "dim")
    if isinstance(node, Leaf):
        return Tree(Line.assemble(before, node.task(language), (f" → {RECIPES[node.recipe].label}", "green")))
    branch = Tree(Line.assemble(before, (node.asks(language), "bold")))
    branch.children += [_drawn(node.yes, language, "yes"), _drawn(node.no, language, "no")]
    return branch
