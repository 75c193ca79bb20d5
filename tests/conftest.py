"""What all tests share: the registry as parameters, its restoration, and one profile for Hypothesis."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import hypothesis
import pytest
import shapes

from rnnbench import registry as plugins
from rnnbench.model import DTYPES

shapes.install()

# Derandomised: a failure is the same on every machine and in every run. No deadline: machines are noisy.
hypothesis.settings.register_profile("rnnbench", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("rnnbench")

# A shell's background job ignores Ctrl-C, and so does all that it starts: the tests that interrupt a run would wait.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


MANY = 1500  # tests of a run that needs every kernel; in a run of fewer each is compiled when a test asks for it


def pytest_collection_finish(session: pytest.Session) -> None:
    """Compile the kernels before anything is timed or counted, a process for each dtype: two cores share the work."""
    if len(session.items) < MANY or session.config.option.collectonly:
        return
    command, quiet = [sys.executable, "-m", "rnnbench", "warmup", "--dtype"], subprocess.DEVNULL
    for process in [subprocess.Popen([*command, dtype], stdout=quiet, stderr=quiet) for dtype in DTYPES]:
        process.wait()  # what cannot be compiled, a test will tell


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for `cell_id` once for every registered cell, so a new cell is tested with no edit."""
    if "cell_id" in metafunc.fixturenames:
        metafunc.parametrize("cell_id", sorted(plugins.registry().cells))


@pytest.fixture
def default_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the registry, and the modules imported, back as they were: for tests that load plugins."""
    monkeypatch.setattr(plugins, "_current", plugins.registry())
    monkeypatch.setattr(plugins, "_requests", plugins.requests())
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if not name.startswith("rnnbench."):
            del sys.modules[name]
