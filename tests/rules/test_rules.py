"""Every rule of the list is there, speaks both languages, finds its bad example in each way, its good one in none."""

import importlib
import linecache
import pkgutil
import re
import warnings
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

import lossmith
from lossmith import rules
from lossmith.card import Text
from lossmith.lint import lint
from lossmith.losses import all_losses

RULES = rules.all_rules()
LOSSES = all_losses()
CARDS = {name: loss.card for name, loss in LOSSES.items()}

# R: seen at run time, S: in source
EXPECTED = {
    "softmax-into-cross-entropy": "RS",
    "log-softmax-into-cross-entropy": "RS",
    "sigmoid-into-cross-entropy": "RS",
    "sigmoid-into-bce-with-logits": "RS",
    "relu-before-logits": "RS",
    "softmax-wrong-dim": "RS",
    "probabilities-into-nll": "RS",
    "logits-into-nll": "RS",
    "logits-into-bce": "RS",
    "bce-saturated": "R",
    "single-logit-cross-entropy": "RS",
    "outer-broadcast": "R",
    "kl-input-not-log": "RS",
    "kl-target-not-probability": "RS",
    "kl-mean-reduction": "RS",
    "target-not-plus-minus-one": "RS",
    "target-not-in-unit-interval": "R",
    "cosine-margin-out-of-range": "RS",
    "index-target-invalid": "R",
    "swapped-arguments": "RS",
    "ctc-layout": "R",
    "ctc-input-not-log": "R",
    "ctc-lengths": "R",
    "easy-triplets": "R",
    "unscaled-regression-target": "R",
    "gaussian-variance-not-positive": "R",
    "poisson-rate-negative": "R",
    "weight-at-batch-size-one": "R",
    "loss-detached": "RS",
    "loss-not-finite": "R",
    "half-overflow": "R",
    "embeddings-collapsed": "R",
    "repeated-keys": "R",
    "vectors-not-normalised": "R",
    "quantiles-cross": "R",
    "teacher-not-detached": "R",
    "critic-squashed": "RS",
    "no-positive-pixel": "R",
    "shadowed-criterion": "S",
    "arguments-to-constructor": "S",
}
MADE_NOT_FINITE = {"kl-target-not-probability", "poisson-rate-negative", "half-overflow"}
"""Their texts say that the loss becomes NaN or infinite, of which loss-not-finite speaks as well."""
RAISES = {"ctc-layout": RuntimeError, "shadowed-criterion": TypeError, "arguments-to-constructor": RuntimeError}
"""What the misuse itself ends in."""
OF_NO_ONE_LOSS = {"loss-detached", "shadowed-criterion"}
"""They are about how any loss is used, and no card's trap."""

each = pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))


# ----- the catalogue -----


def test_the_rules_are_those_of_the_list():
    assert set(RULES) == set(EXPECTED)


def test_codes_are_unique_and_in_order():
    codes = [rule.code for rule in RULES.values()]
    assert codes == sorted(set(codes))


def test_a_file_is_named_as_its_rule():
    for module in pkgutil.iter_modules(rules.__path__):
        if not module.name.startswith("_"):
            file = importlib.import_module(f"{rules.__name__}.{module.name}")
            assert file.RULE.name == module.name.replace("_", "-")
            assert file.__doc__.startswith(f"{file.RULE.code}: ")


@each
def test_a_rule_is_seen_where_the_list_says(rule):
    seen = "R" * any((rule.at_once, rule.values, rule.at_backward)) + "S" * (rule.in_source is not None)
    assert seen == EXPECTED[rule.name]


@each
def test_a_rule_is_about_losses_that_exist(rule):
    assert rule.losses
    assert set(rule.losses) <= set(LOSSES)
    assert len(set(rule.losses)) == len(rule.losses)


@each
@pytest.mark.parametrize("part", ["what", "why", "evidence", "fix"])
def test_both_languages_are_filled_and_differ(rule, part):
    text: Text = getattr(rule, part)
    assert text.en.strip() == text.en
    assert text.zh.strip() == text.zh
    assert text.en.isascii()
    assert text.en.endswith((".", ")"))
    assert any("\u4e00" <= character <= "\u9fff" for character in text.zh)
    assert text.zh.endswith(("。", "）"))


# ----- the examples -----


def findings(program: str, name: str) -> list[str]:
    """The rules that the guard finds broken while a program runs, with a seed of its own."""
    torch.manual_seed(0)
    linecache.cache[name] = (len(program), None, program.splitlines(keepends=True), name)
    with warnings.catch_warnings(), lossmith.guard("collect") as report:
        warnings.simplefilter("ignore")  # torch's own, of a bad example
        exec(compile(program, name, "exec"), {"__name__": "__main__"})
    return [finding.rule for finding in report.findings]


@each
def test_the_guard_finds_the_bad_example_and_nothing_else(rule):
    with pytest.raises(RAISES[rule.name]) if rule.name in RAISES else nullcontext():
        found = set(findings(rule.bad, f"<bad {rule.name}>"))
        beside = {"loss-not-finite"} if rule.name in MADE_NOT_FINITE else set()
        assert found - beside == ({rule.name} if "R" in EXPECTED[rule.name] else set())


@pytest.mark.parametrize("name", sorted(MADE_NOT_FINITE))
def test_what_becomes_nan_says_so(name):
    assert re.search("NaN|inf", RULES[name].why.en)


@each
def test_the_guard_is_silent_about_the_good_example(rule):
    assert findings(rule.good, f"<good {rule.name}>") == []


@each
@pytest.mark.parametrize("kind", ["bad", "good"])
def test_the_linter_finds_the_bad_example_alone(rule, kind, tmp_path):
    file = Path(tmp_path, "program.py")
    file.write_text(getattr(rule, kind))
    found = lint([file])
    assert not found.passed_over
    expected = [rule.name] if kind == "bad" and "S" in EXPECTED[rule.name] else []
    assert [finding.rule for finding in found.findings] == expected


@each
def test_examples_need_torch_alone_where_torch_has_the_loss(rule):
    allowed = {"torch", "math"} if hasattr(F, rule.losses[0]) else {"torch", "math", "lossmith"}
    for program in (rule.bad, rule.good):
        imported = [line for line in program.splitlines() if line.startswith(("import ", "from "))]
        assert imported
        assert all(line.split()[1].split(".")[0] in allowed for line in imported)


# ----- rules and cards -----


def traps() -> list[tuple[str, str, str]]:
    """Each trap that names a rule: the loss, the trap, the rule."""
    return [(loss, trap.id, trap.rule) for loss, card in CARDS.items() for trap in card.traps if trap.rule]


@pytest.mark.parametrize(("loss", "trap", "name"), traps(), ids=[trap for _, trap, _ in traps()])
def test_a_trap_names_a_rule_that_sees_it(loss, trap, name):
    assert loss in RULES[name].losses


@each
def test_a_rule_is_named_by_a_trap(rule):
    named = any(name == rule.name for _, _, name in traps())
    assert named != (rule.name in OF_NO_ONE_LOSS)


def test_a_rule_is_harmless_only_for_losses_that_it_is_about():
    for rule in RULES.values():
        assert set(rule.harmless) <= set(rule.losses)
