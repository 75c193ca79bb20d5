"""A comparison from plan to records: who trains, who is scored with whose weights, resuming, stopping."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from marks import children, marked
from small_runs import FAULTY, LIMITS, NO_NUMBA, STAND_IN, Quiet, carry_out, compare, load, settings

from rnnbench import clock
from rnnbench.comparison import runner
from rnnbench.comparison.plan import Settings
from rnnbench.comparison.runner import choose
from rnnbench.errors import UnknownName, UsageError
from rnnbench.machine.environment import machine
from rnnbench.records.comparisons import CONTROL, INFER
from rnnbench.records.store import Store
from rnnbench.workers.sandbox import termination_as_interrupt
from rnnbench.workers.worker import bounded_memory

TESTS = Path(__file__).parent


@pytest.fixture
def stand_in(monkeypatch):
    """Small backends, one of them in the place of `numba`."""
    return load(monkeypatch, FAULTY, STAND_IN, NO_NUMBA)


@pytest.fixture
def without_numba(monkeypatch):
    return load(monkeypatch, FAULTY, NO_NUMBA)


def test_a_row_holds_everything_that_was_measured(stand_in, tmp_path):
    listener = Quiet()
    outcome, run = carry_out(tmp_path, settings(backends=("numba", "infers")), listener=listener)
    trained, inferred = outcome.records
    assert [trained.backend, inferred.backend] == ["numba", "infers"]
    for row in outcome.records:
        assert (row.status, row.reason, row.warnings) == ("ok", "", ())
        assert (row.batch_size, row.seq_len, row.input_size, row.hidden_size) == (8, 5, 1, 4)
        assert row.parameters == 3 * 4 * (1 + 4) + 4 * 4 + 4 + 1  # R and W of r z n, b of r z n q, the head
        assert row.infer_seconds_low <= row.infer_seconds <= row.infer_seconds_high
        assert 0 < row.latency_p50_seconds <= row.latency_p99_seconds
        assert row.first_call_seconds > 0
        assert row.peak_rss_bytes > 10 * 2**20
        assert (row.compile_seconds, row.compile_cache) == (0.0, "warm")
        assert row.forward_error < row.forward_tolerance
        assert row.flops_per_second > 0
        assert row.run_id == run.id
        assert row.machine == run.machine["id"]
    assert trained.train_steps == 12
    assert trained.gradient_error < trained.gradient_tolerance
    assert trained.learned is True
    assert 0 < trained.seconds_to_learn <= trained.train_seconds
    assert inferred.train_steps is None
    assert inferred.score == trained.score
    assert not outcome.interrupted
    assert run.complete
    assert listener.plans == [(1, 0, ["numba", "infers"], [])]
    assert {what for _, what in listener.stages} == {"checking", "training", "timing"}
    (samples,) = run.samples().values()  # kept beside the rows
    assert samples.keys() == {"numba", "infers", CONTROL}
    (count,) = {len(own[INFER]) for own in samples.values()}
    assert clock.FEWEST <= count <= clock.MOST
    assert sorted(samples["numba"][INFER])[count // 2] == trained.infer_seconds
    assert len(samples["numba"]["train_losses"]) == 12


@pytest.mark.slow
def test_the_control_gives_the_machines_noise_for_the_first_cell_alone(stand_in, tmp_path):
    chosen = settings(backends=("numba",), cells=("gru", "lstm"), seeds=2, steps=0)
    outcome, run = carry_out(tmp_path, chosen)
    controlled = [key for key, samples in run.samples().items() if CONTROL in samples]
    assert len(controlled) == 2
    assert all("_gru_" in key for key in controlled)
    assert outcome.noise.count == 2
    assert 0.2 < outcome.noise.value < 5  # the same program, on however busy a machine


def test_a_trainer_nobody_asked_for_has_no_row(stand_in, tmp_path):
    outcome, _ = carry_out(tmp_path, settings(backends=("infers",)))
    (row,) = outcome.records
    assert row.status == "ok"
    assert row.score is not None
    assert outcome.noise is None


def test_without_a_trainer_there_is_no_score_and_a_warning_says_so(without_numba, tmp_path):
    outcome, _ = carry_out(tmp_path, settings(backends=("infers",)))
    (row,) = outcome.records
    assert (row.status, row.score, row.learned) == ("ok", None, None)
    assert "not scored" in row.warnings[0]
    assert row.infer_seconds > 0


def test_no_steps_score_the_untrained_model(without_numba, tmp_path):
    outcome, _ = carry_out(tmp_path, settings(backends=("good",), steps=0))
    (row,) = outcome.records
    assert (row.status, row.train_steps, row.train_seconds) == ("ok", 0, None)
    trained, _ = carry_out(tmp_path, settings(backends=("good",)))
    assert row.score > trained.records[0].score


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"dtypes": ("float64",)},
        {"layers": (2,), "bidirectional": True},
        {"batch_size": 64},  # more than there are sequences
        {"batch_size": 1},
    ],
)
def test_every_shape_of_a_case_is_ok(without_numba, tmp_path, changes):
    tasks = ("mean", "ragged")
    outcome, _ = carry_out(tmp_path, settings(tasks=tasks, backends=("good",), cells=("lstm",), **changes))
    assert [row.task for row in outcome.records] == list(tasks)
    for row in outcome.records:
        assert (row.status, row.reason) == ("ok", "")
        assert (row.latency_p50_seconds is None) is row.bidirectional
        assert row.learned is (row.task == "mean")
        if row.dtype == "float64":
            assert row.forward_error < 1e-12


@pytest.mark.slow
def test_scores_are_the_same_again(without_numba, tmp_path):
    chosen = settings(backends=("good",), seeds=2)
    first, second = (carry_out(tmp_path, chosen)[0].records for _ in range(2))
    assert [row.score for row in first] == [row.score for row in second]
    assert first[0].score != first[1].score


def test_a_backend_that_declines_has_its_reason(stand_in, tmp_path):
    outcome, _ = carry_out(tmp_path, settings(backends=("choosy",), cells=("lstm", "gru")))
    took, declined = outcome.records
    assert (took.status, took.latency_p50_seconds) == ("ok", None)
    assert took.warnings == ("no single steps: streams are for fish",)
    assert (declined.status, declined.reason) == ("unsupported", "no GRU here")


def _absent(registry):
    from rnnbench import Requirement

    need = (Requirement("cheese", "pip install cheese"),)
    registry.backends["absent"] = replace(registry.backend("good"), id="absent", requires=need)


@pytest.mark.slow
def test_what_is_not_installed_is_left_out_unless_it_was_named(without_numba, tmp_path):
    _absent(without_numba)
    everyone = choose(settings(), [], without_numba)
    assert "absent" not in [info.id for info in everyone.infos]
    assert "absent is left out: cheese is not installed; pip install cheese" in everyone.notices
    outcome, _ = carry_out(tmp_path, settings(backends=("absent", "good")))
    absent, good = outcome.records
    assert (absent.status, absent.reason) == ("load_error", "needs cheese, which is not installed; pip install cheese")
    assert good.status == "ok"


def test_cells_and_dtypes_a_backend_does_not_list_need_no_process(without_numba, tmp_path):
    without_numba.backends["good"] = replace(without_numba.backend("good"), cells=("lstm",), dtypes=("float64",))
    outcome, _ = carry_out(tmp_path, settings(backends=("good",), cells=("gru", "lstm")))
    assert [row.status for row in outcome.records] == ["unsupported"] * 2
    assert [row.reason for row in outcome.records] == ["runs lstm; not gru", "runs in float64; not in float32"]


def test_what_cannot_run_is_refused_before_any_work(without_numba, tmp_path):
    run = Store(tmp_path).create({}, "d", {})
    with pytest.raises(UnknownName, match="did you mean 'good'"):
        compare(settings(backends=("goood",)), without_numba, run, Quiet())
    with pytest.raises(UsageError, match=r"more than the .* cores here"):
        compare(settings(backends=("good",), threads=(100_000,)), without_numba, run, Quiet())
    assert run.records() == []


class Impatient(Quiet):
    """Presses Ctrl-C when the first group is done."""

    def finished(self, group, records, seconds):
        super().finished(group, records, seconds)
        if len(self.done) == 1:
            raise KeyboardInterrupt


def test_a_run_that_was_interrupted_resumes_where_it_stopped(without_numba, tmp_path):
    chosen = settings(backends=("good",), seeds=2, cells=("gru", "rnn-tanh"))
    outcome, run = carry_out(tmp_path, chosen, listener=Impatient())
    assert outcome.interrupted
    assert len(outcome.records) == 1
    assert children() == []
    again = Store(tmp_path).unfinished(chosen.digest())
    assert again.id == run.id
    listener = Quiet()
    resumed = compare(chosen, without_numba, again, listener, limits=LIMITS)
    assert listener.plans[0][:2] == (4, 1)
    assert len(listener.done) == 3
    assert len(resumed.records) == 4
    whole, _ = carry_out(tmp_path, chosen)
    assert {(r.cell, r.seed): r.score for r in resumed.records} == {(r.cell, r.seed): r.score for r in whole.records}
    assert Store(tmp_path).unfinished(chosen.digest()) is None


def test_resuming_with_another_version_of_a_backend_is_told(without_numba, tmp_path):
    chosen = settings(backends=("good",), cells=("gru", "rnn-tanh"))
    _, run = carry_out(tmp_path, chosen, listener=Impatient())
    (group,) = run.groups()
    run.append(group.key, [replace(row, backend_version="0.1") for row in group.records], group.samples)
    outcome = compare(chosen, without_numba, run, Quiet(), limits=LIMITS)
    assert "other groups of this run were measured with version 0.1" in outcome.records[1].warnings


def test_resuming_on_another_machine_is_refused(without_numba, tmp_path):
    chosen = settings(backends=("good",), cells=("gru", "rnn-tanh"))
    _, run = carry_out(tmp_path, chosen, listener=Impatient())
    run.machine = {"id": "abacus-1c-000000"}
    with pytest.raises(UsageError, match=r"begun on another machine .abacus"):
        compare(chosen, without_numba, run, Quiet(), limits=LIMITS)


def test_affinity_and_signal_handlers_are_as_before(without_numba, tmp_path):
    def state():
        cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
        return cores, signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    before = state()
    carry_out(tmp_path, settings(backends=("good",), steps=0))
    assert state() == before


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from rnnbench import registry as plugins
from small_runs import FAULTY, NO_NUMBA, Quiet, carry_out, settings

class Telling(Quiet):
    def finished(self, group, records, seconds):
        print("finished", flush=True)
    def stage(self, group, backend, what):
        print(backend, what, flush=True)

if __name__ == "__main__":
    plugins.configure([FAULTY, NO_NUMBA])
    chosen = settings(backends=("good", "hangs"), cells=("rnn-tanh",), seeds=3)
    outcome, _ = carry_out(Path({root!r}), chosen, listener=Telling())
    sys.exit(130 if outcome.interrupted else 0)
"""


@pytest.fixture
def hanging_run(tmp_path):
    """A comparison in a process of its own, in its temporary folder, that has come to a backend that hangs."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    script = SCRIPT.format(tests=str(TESTS), root=str(tmp_path / "runs"))
    process = subprocess.Popen(
        [sys.executable, "-c", script], env={**os.environ, "TMPDIR": str(scratch)}, stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if line.strip() == "hangs checking":
            break
    (folder,) = scratch.iterdir()
    assert len(marked(folder.name)) == 3  # a process for each backend, and one for the plugin's task
    time.sleep(0.5)
    yield process, folder
    process.kill()
    process.wait()
    process.stdout.close()


def _gone(folder):
    """Whether, five seconds later at most, no process and no file of a run is left."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if not folder.exists() and not marked(folder.name):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize("signals", [[2], [2, 2], [15], [1], [1, 15, 2]], ids=str)
def test_a_signal_ends_a_run_and_leaves_nothing(hanging_run, signals):
    """SIGINT is 2, SIGTERM 15; SIGHUP, of a terminal that closes, 1."""
    process, folder = hanging_run
    for number in signals:
        process.send_signal(number)
        time.sleep(0.02)
    assert process.wait(timeout=10) == 130
    assert _gone(folder)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_to_all_processes_of_a_run_leaves_nothing_even_if_we_are_killed(number, hanging_run):
    """The reaper survives it, and does what we cannot."""
    process, folder = hanging_run
    family = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    for pid in family:
        os.kill(pid, number)
    process.kill()
    process.wait()
    assert _gone(folder)


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with termination_as_interrupt():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_a_parent_that_is_killed_outright_leaves_nothing_either(hanging_run, tmp_path):
    process, folder = hanging_run
    process.kill()
    process.wait()
    assert _gone(folder)
    assert Store(tmp_path / "runs").runs()[0].problems() == []


def test_too_little_memory_for_a_case_is_told_as_that_with_what_helps(tmp_path, monkeypatch):
    """In the parent, which makes inputs and the reference: nothing that asks for more is given it."""
    registry = load(monkeypatch, FAULTY, NO_NUMBA)
    chosen = settings(backends=("good",), seeds=1, hidden_sizes=(100_000, 4))
    large, small = compare(chosen, registry, Store(tmp_path).create({}, "", machine()), Quiet(), limits=LIMITS).records
    assert (large.status, small.status) == ("oom", "ok")
    assert "MemoryError" in large.reason
    assert "try a smaller --batch or --hidden" in large.reason


def test_asking_for_more_memory_than_is_allowed_is_refused_and_only_meanwhile():
    size = 1 << 30
    with bounded_memory(size // 2), pytest.raises(MemoryError):
        np.zeros(size, np.uint8)
    assert np.zeros(size, np.uint8).nbytes == size


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 10**8}, "this makes 300000000 groups, 100000 at most are taken; give fewer --seeds or sizes"),
        ({"hidden_sizes": tuple(range(1, 10**5))}, "this makes 1499985 groups"),
        ({"hidden_sizes": (10**30,)}, "--hidden takes 2147483647 at most"),
        ({"layers": (2**31,)}, "--layers takes 2147483647 at most"),
        ({"batch_size": 10**30}, "--batch and --steps take 2147483647 at most"),
    ],
)
def test_more_than_anything_can_hold_is_refused_at_once(options, message, monkeypatch):
    registry = load(monkeypatch, FAULTY, NO_NUMBA)
    with pytest.raises(UsageError, match=message):
        runner.plan_comparison(Settings(tasks=("mean",), **options), registry)
