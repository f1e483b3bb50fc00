"""Says after the run how often "torch's own number" was torch's in float64 rounded once, and the like."""

from collections import Counter

import pytest

from .compare import USED

KEY = "torch_samples_used"
of_workers = Counter[str]()


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[KEY] = dict(USED)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    of_workers.update(getattr(node, "workeroutput", {}).get(KEY, {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    total = USED + of_workers
    if total:
        terminalreporter.section("torch's samples")
        for what, count in sorted(total.items()):
            terminalreporter.write_line(f"{count:6} times: {what}")
