"""What a plugin does costs its own rows: it is imported where it is needed, and what it computes has a process."""

import textwrap

import pytest
from marks import children
from small_runs import FAULTY, LIMITS, NO_NUMBA, carry_out, load, settings

from rnnbench import BackendInfo

pytestmark = pytest.mark.usefixtures("default_registry")

BESIDE = """
import os
from pathlib import Path

with Path(__file__).with_suffix(".imported").open("a") as imported:
    imported.write(f"{os.getpid()}\\n")

from rnnbench import BackendInfo, hookimpl
from rnnbench.backends.numpy_reference import NumpyBackend as make

@hookimpl
def rnnbench_backends():
    return [BackendInfo("NAME", "One more", "NAME:make")]
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Writes one-file plugins, and loads them with those of the good backends."""

    def plugin(**sources):
        paths = [tmp_path / f"{name}.py" for name in sources]
        for path, source in zip(paths, sources.values(), strict=True):
            path.write_text(textwrap.dedent(source).replace("NAME", path.stem))
        return load(monkeypatch, FAULTY, NO_NUMBA, *map(str, paths))

    return plugin


def test_a_worker_imports_its_own_plugin_alone(plugin, tmp_path):
    plugin(own=BESIDE, other=BESIDE)
    outcome, _ = carry_out(tmp_path / "runs", settings(backends=("own", "good"), steps=1))
    assert [row.status for row in outcome.records] == ["ok", "ok"]
    imported = {name: len((tmp_path / f"{name}.imported").read_text().splitlines()) for name in ("own", "other")}
    assert imported == {"own": 2, "other": 1}  # here, and in the worker of the one


DYING = """
import os
from pathlib import Path

tries = Path(__file__).with_suffix(".tries")
with tries.open("a") as file:
    file.write("x")
if len(tries.read_text()) in WHEN:
    HOW
from rnnbench.backends.numpy_reference import NumpyBackend as make
"""
KILLED, RAISES = "os.kill(os.getpid(), 9)", "raise OSError('too many open files')"


@pytest.mark.parametrize(
    ("how", "when", "statuses", "tries"),
    [
        (KILLED, "(1,)", ["ok", "ok"], 3),
        (KILLED, "(1, 2)", ["load_error", "ok"], 3),
        (RAISES, "(1,)", ["load_error", "ok"], 2),
    ],
    ids=["killed once", "killed twice", "fails once"],
)
def test_a_load_that_fails_once_is_not_the_backends_for_ever(tmp_path, monkeypatch, how, when, statuses, tries):
    registry = load(monkeypatch, FAULTY, NO_NUMBA)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "dying_backend.py").write_text(DYING.replace("WHEN", when).replace("HOW", how))
    registry.backends["dying"] = BackendInfo("dying", "Dying", "dying_backend:make")
    outcome, _ = carry_out(tmp_path / "runs", settings(backends=("dying",), seeds=2, steps=1), LIMITS)
    assert [row.status for row in outcome.records] == statuses
    assert len((tmp_path / "dying_backend.tries").read_text()) == tries
    assert children() == []
