"""The examples of every public function, Module and helper run, and each of them has one."""

import doctest
import inspect
import re

import pytest

import lossmith
import lossmith.scale
from lossmith.losses import all_losses

# as in pyproject.toml, for what pytest finds by itself
OPTIONS = doctest.NORMALIZE_WHITESPACE
LOSSES = all_losses()


def helpers() -> dict[str, object]:
    """Public functions beside the losses and their Modules."""
    public = {f"lossmith.{name}": getattr(lossmith, name) for name in lossmith.__all__}
    public |= {f"lossmith.scale.{name}": getattr(lossmith.scale, name) for name in lossmith.scale.__all__}
    modules = {loss.module for loss in LOSSES.values()}
    return {name: value for name, value in public.items() if inspect.isfunction(value) and value not in modules}


DOCUMENTED = (
    {f"lossmith.functional.{name}": loss.function for name, loss in LOSSES.items()}
    | {f"lossmith.{loss.module.__name__}": loss.module for loss in LOSSES.values()}
    | helpers()
)
each = pytest.mark.parametrize("name", DOCUMENTED)


def test_of(name: str) -> doctest.DocTest:
    thing = DOCUMENTED[name]
    docstring = inspect.getdoc(inspect.unwrap(thing))
    assert docstring, f"{name} has no docstring"
    return doctest.DocTestParser().get_doctest(docstring, {}, name, inspect.getsourcefile(inspect.unwrap(thing)), None)


test_of.__test__ = False


@each
def test_examples_run(name):
    example = test_of(name)
    assert example.examples, f"{name} has no example"
    assert not any(doctest.SKIP in e.options for e in example.examples), f"an example of {name} is skipped"
    said: list[str] = []
    failed, tried = doctest.DocTestRunner(optionflags=OPTIONS).run(example, out=said.append)
    assert tried == len(example.examples)
    assert not failed, "".join(said)


@each
def test_examples_show_the_thing_itself(name):
    shown = "".join(e.source for e in test_of(name).examples)
    assert name.rpartition(".")[2] in shown
    assert any(e.want for e in test_of(name).examples), f"the example of {name} shows no result"


def sections(thing: object) -> str:
    return inspect.getdoc(inspect.unwrap(thing)) or ""


@pytest.mark.parametrize("name", LOSSES)
def test_a_function_says_its_mathematics_arguments_and_errors(name):
    loss = LOSSES[name]
    text = sections(loss.function)
    for section in (".. math::", "Source: ", "Args:", "Raises:"):
        assert re.search(rf"^{re.escape(section)}", text, re.M), f"{name} lacks the section {section!r}"
    assert_arguments_are_explained(name, text, inspect.signature(loss.function).parameters)


@pytest.mark.parametrize("name", LOSSES)
def test_a_module_says_what_it_is_and_its_settings(name):
    module = LOSSES[name].module
    text = sections(module)
    assert f":func:`lossmith.functional.{name}`" in text.splitlines()[0]
    parameters = {n: p for n, p in inspect.signature(module.__init__).parameters.items() if n != "self"}
    assert_arguments_are_explained(module.__name__, text, parameters)


def assert_arguments_are_explained(name: str, text: str, parameters: dict[str, inspect.Parameter]) -> None:
    arguments = text.partition("Args:")[2].partition("Raises:")[0]
    entries = re.findall(r"^    (\w[\w, ]*):", arguments, re.M)
    explained = {argument for entry in entries for argument in entry.split(", ")}
    assert explained == set(parameters), f"{name}: {explained ^ set(parameters)}"
