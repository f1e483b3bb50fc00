"""The worked example of a loss: the doctest of its docstring, executed."""

import contextlib
import doctest
import io
from dataclasses import dataclass

import torch

from ..docstring import Docstring
from ..facts import Loss


@dataclass(frozen=True)
class Step:
    """Code, and what it printed when it ran."""

    code: str
    output: str


def run(loss: Loss) -> list[Step]:
    """Runs the example of the loss's function, statement by statement; random numbers are as before afterwards."""
    steps: list[Step] = []
    scope: dict[str, object] = {}
    with torch.random.fork_rng(devices=[]):
        for example in doctest.DocTestParser().get_examples(Docstring.of(loss.function).example):
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                try:
                    exec(compile(example.source, "<example>", "single"), scope)
                except Exception as error:
                    if example.exc_msg is None:
                        raise
                    print(f"{type(error).__name__}: {error}")
            steps.append(Step(example.source.rstrip("\n"), printed.getvalue().rstrip("\n")))
    return steps
