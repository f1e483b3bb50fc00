"""The guard in real training: not a word about loops that are correct, the right rule for each that is not."""

import contextlib
import inspect
import re
import warnings
from collections import Counter

import correct_loops  # noqa: F401  (it fills CORRECT)
import pytest
import wrong_loops  # noqa: F401  (it fills WRONG)
from training import CORRECT, WRONG, Library, Loop

import lossmith
from lossmith.losses import all_losses
from lossmith.rules import all_rules


def runs(loops: list[Loop]) -> list[object]:
    def name(loop: Loop, library: Library) -> str:
        return f"{loop.train.__module__.rpartition('.')[2]}-{loop}-{library.name}"

    return [pytest.param(loop, library, id=name(loop, library)) for loop in loops for library in loop.libraries]


@pytest.mark.parametrize(("loop", "library"), runs(CORRECT))
def test_a_correct_loop_is_passed_in_silence(loop, library):
    with lossmith.guard("collect") as report:
        loop.run(library)
    assert [(finding.rule, finding.where, finding.evidence) for finding in report.findings] == []


@pytest.mark.parametrize(("loop", "library"), runs(WRONG))
def test_a_wrong_loop_is_found_out(loop, library):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's and lossmith's own, of the same misuse
        with contextlib.suppress(loop.raises), lossmith.guard("collect") as report:
            loop.run(library)
    found = {finding.rule: finding for finding in report.findings}
    assert loop.rule in found
    assert set(found) <= {loop.rule, *loop.beside}
    path, _, line = found[loop.rule].where.rpartition(":")
    assert path.endswith(f"{loop.train.__module__.replace('.', '/')}.py")
    assert int(line) in loop.lines


def test_every_loss_is_used_rightly_in_several_loops():
    used = Counter(word for loop in CORRECT for word in set(re.findall(r"\w+", inspect.getsource(loop.train))))
    few = {name for name, loss in all_losses().items() if used[name] + used[loss.module.__name__] < 2}
    assert few == set()


def test_every_rule_that_is_seen_at_run_time_is_broken_in_several_loops():
    broken = Counter(loop.rule for loop in WRONG)
    seen = [name for name, rule in all_rules().items() if rule.at_once or rule.values or rule.at_backward]
    assert {name for name in seen if broken[name] < 2} == set()
