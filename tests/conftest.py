"""What all tests share: the registry as parameters, its restoration, and one profile for Hypothesis."""

import signal
import sys
from collections.abc import Iterator

import hypothesis
import pytest

from rnnbench import registry as plugins

# Derandomised: a failure is the same on every machine and in every run. No deadline: machines are noisy.
hypothesis.settings.register_profile("rnnbench", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("rnnbench")

# A shell's background job ignores Ctrl-C, and so does all that it starts: the tests that interrupt a run would wait.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `cell_id` runs once for every registered cell, so a new cell is tested with no edit."""
    if "cell_id" in metafunc.fixturenames:
        metafunc.parametrize("cell_id", sorted(plugins.registry().cells))


@pytest.fixture
def default_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For tests that load plugins: the registry, and the modules imported, are put back as they were."""
    monkeypatch.setattr(plugins, "_current", plugins.registry())
    monkeypatch.setattr(plugins, "_requests", plugins.requests())
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if not name.startswith("rnnbench."):
            del sys.modules[name]
