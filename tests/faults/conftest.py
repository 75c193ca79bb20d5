"""Marks the tests of docs/faults.md's clauses, wherever they lie, and counts the clauses that are contained."""

from collections.abc import Iterable

import pytest
from clauses import CLAUSES, COLLECTED, PREFIX, proves

_outcomes: dict[str, set[str]] = {}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Before `-m` picks."""
    config.stash[COLLECTED] = frozenset(item.nodeid for item in items)
    wanted = {test for tests in CLAUSES.values() for test in tests}
    functions = {test.partition("[")[0] for test in wanted}
    for item in items:
        plain = item.nodeid.removeprefix(PREFIX).partition("[")[0]
        if plain in functions and any(proves(test, item.nodeid) for test in wanted):
            item.add_marker(pytest.mark.faults)


class Outcomes:
    """A plugin of its own: the hooks of this file would hear of the tests in this folder alone."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            _outcomes.setdefault(report.nodeid, set()).add(report.outcome)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Outcomes())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if "faults" not in terminalreporter.config.option.markexpr:
        return
    contained = {clause: all(_holds(test) for test in tests) for clause, tests in CLAUSES.items()}
    for clause, holds in contained.items():
        if not holds:
            terminalreporter.write_line(f"not contained: {clause}")
    terminalreporter.write_line(f"faults contained: {sum(contained.values())} of {len(contained)}")


def _holds(test: str) -> bool:
    """Ran, and passed in every case."""
    found: Iterable[set[str]] = [outcome for node, outcome in _outcomes.items() if proves(test, node)]
    return bool(found) and all(outcome == {"passed"} for outcome in found)
