"""The guard in real training: not a word about loops that are correct, the right rule for each that is not.

The loops were written before the rules, by others.
"""

import contextlib
import warnings

import correct_loops
import pytest
import wrong_loops
from training import CORRECT, WRONG, Library, Loop

import lossmith

assert correct_loops.__all__ and wrong_loops.__all__


def runs(loops: list[Loop]) -> list[object]:
    def name(loop: Loop, library: Library) -> str:
        return f"{loop.train.__module__.rpartition('.')[2]}-{loop}-{library.name}"

    return [pytest.param(loop, library, id=name(loop, library)) for loop in loops for library in loop.libraries]


@pytest.mark.parametrize(("loop", "library"), runs(CORRECT))
def test_a_correct_loop_is_passed_in_silence(loop, library):
    with lossmith.guard("collect") as report:
        loop.run(library)
    assert [(finding.rule, finding.where, finding.message) for finding in report.findings] == []


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
