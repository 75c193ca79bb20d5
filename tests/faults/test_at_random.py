"""Comparisons in processes of their own, stopped or crowded at moments that a seed picks. Slow; more of them:
python tools/validate.py kills."""

import json
import os
import signal
import subprocess

import pytest
from small_runs import FAULTY, LIMITS, NO_NUMBA, Quiet, compare, load, settings
from validation import kills

from rnnbench.errors import UsageError
from rnnbench.machine.environment import machine
from rnnbench.records import sealed
from rnnbench.records.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="POSIX signals")]
TRIALS = 8


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return kills.undisturbed(tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
@pytest.mark.parametrize("position", range(TRIALS))
def test_a_comparison_stopped_at_a_random_moment_loses_nothing(number, position, undisturbed):
    assert kills.trial(number, position, *undisturbed).wrong == ""


def test_a_sweep_whose_nth_write_fails_is_one_error_and_resumes(tmp_path, monkeypatch):
    """Every write of a run in turn, from its beginning to its end."""
    registry = load(monkeypatch, FAULTY, NO_NUMBA)
    chosen, original = settings(backends=("good",), seeds=2, steps=2), sealed.write
    for n in range(1, 6):
        store, calls, told = Store(tmp_path / str(n)), 0, ""

        def failing(path, content, n=n):
            nonlocal calls
            calls += 1
            if calls == n:
                raise OSError(28, "No space left on device")
            original(path, content)

        with monkeypatch.context() as patched:
            patched.setattr(sealed, "write", failing)
            try:
                compare(chosen, registry, store.create({}, chosen.digest(), machine()), Quiet(), limits=LIMITS)
            except UsageError as error:
                told = str(error)
        assert ("No space left on device; choose another folder" in told) is (calls >= n)
        run = store.unfinished(chosen.digest()) or store.create({}, chosen.digest(), machine())
        whole = compare(chosen, registry, run, Quiet(), limits=LIMITS)
        assert [row.status for row in whole.records] == ["ok", "ok"]
        assert store.problems() == []
    assert n > calls  # the last round met no failure: every write has had its turn


@pytest.mark.parametrize("same_run", [False, True], ids=["two runs", "one run resumed twice"])
def test_two_runs_at_once_into_one_folder_do_not_meet(same_run, tmp_path, undisturbed):
    command = [*kills.COMMAND, "--results", str(tmp_path), "--json", "-"]
    if same_run:
        first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in first.stderr:
            if line.startswith("[1/"):
                first.send_signal(signal.SIGINT)
                break
        first.communicate()
        command.append("--resume")
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(2)]
    outputs = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    for output in outputs:
        assert {row["seed"]: row["score"] for row in json.loads(output)["rows"]} == undisturbed[1]
    store = Store(tmp_path)
    assert len(store.runs()) == (1 if same_run else 2)
    assert store.problems() == []
    for run in store.runs():
        assert run.problems() == []
        assert len(run.records()) == kills.SEEDS
