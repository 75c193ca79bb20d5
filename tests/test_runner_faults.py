"""Backends that fail in every way we know: each has its status and reason, and nobody else suffers."""

import tempfile

import pytest
from marks import children
from small_runs import FAULTY, NO_NUMBA, Quiet, carry_out, compare, load, settings

from rnnbench.cli.compare import exit_code
from rnnbench.comparison import rows as rows_module
from rnnbench.comparison import timing
from rnnbench.comparison.backend_run import BackendRun, RunSamples
from rnnbench.comparison.traps import LEAK_WARNING, STUCK_WARNING, SUBNORMAL_WARNING
from rnnbench.records.comparisons import INFER
from rnnbench.records.store import Store
from rnnbench.workers.failure import ACTIONS
from rnnbench.workers.worker import WorkerLimits

LIMITS = WorkerLimits(load_seconds=60.0, call_seconds=4.0, memory_bytes=250_000_000)

# backend -> status, what its reason says
FAULTS = {
    "raises": ("crashed", "RuntimeError: no luck"),
    "hangs": ("timeout", "no answer within 4 s"),
    "leaves": ("crashed", "exited with code 0 without an answer"),
    "abandons": ("crashed", "exited with code 1"),
    "wrong": ("mismatch", "forward differs from the float64 reference by"),
    "wrong-state": ("mismatch", "state 0"),
    "wrong-shape": ("bad_output", "must be float32 (8, 1)"),
    "wrong-dtype": ("bad_output", "as float64"),
    "not-an-array": ("bad_output", "gave y as list; it must be a plain NumPy array"),
    "nan": ("bad_output", "NaN or infinity in y"),
    "mutates": ("mismatch", "forward changed its input x"),
    "mutates-weights": ("mismatch", "changed its input layers.0.forward.W"),
    "caches": ("mismatch", "halved"),
    "late": ("mismatch", "right when checked; when timed it is off by"),
    "late-state": ("mismatch", "right when checked; when timed it is off by"),
    "promises": ("mismatch", "train_step returns before its work is done: training took"),
    "many-threads": ("mismatch", "threads where 1 is allowed"),
    "half-gradients": ("mismatch", "training differs from the float64 reference"),
    "lazy": ("mismatch", "the loss of the first 10 steps leaves"),
    "nan-loss": ("diverged", "the loss became nan at training step 2"),
    "inf-loss-later": ("diverged", "the loss became inf at training step 11"),
    "text-loss": ("crashed", "TypeError"),
    "wrong-step": ("mismatch", "in steps"),
    "greedy": ("oom", "GiB"),
    "no-factory": ("load_error", "libcheese.so.4 is missing"),
    "dying-factory": ("load_error", "exited with code 7"),
    "no-gpu": ("unsupported", "there is no CUDA device; run"),
    "choosy": ("unsupported", "no GRU here"),
    "refuses": ("unsupported", "changed its mind"),
}


SETTINGS = settings(backends=("good", *FAULTS, "loud"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run of all of them together, with two good ones among them, and temporary files in a folder of its own."""
    scratch = tmp_path_factory.mktemp("scratch")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(tempfile, "tempdir", str(scratch))
        load(monkeypatch, FAULTY, NO_NUMBA)
        _, run = carry_out(tmp_path_factory.mktemp("runs"), SETTINGS, LIMITS)
    assert run.problems() == []
    assert list(scratch.iterdir()) == []
    return run


@pytest.fixture(scope="module")
def rows(run):
    return {record.backend: record for record in run.records()}, run.samples()


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_has_its_status_and_reason(rows, name):
    status, reason = FAULTS[name]
    row = rows[0][name]
    assert (row.status, reason in row.reason) == (status, True), row.reason
    assert row.reason.isprintable()
    if row.status != "unsupported":
        assert row.reason.endswith(f"; {ACTIONS[status]}")


def test_the_store_loads_the_run_resumes_and_the_exit_code_says_that_some_failed(run, monkeypatch):
    registry = load(monkeypatch, FAULTY, NO_NUMBA)
    again = Store(run.path.parent).find(run.id)
    listener = Quiet()
    outcome = compare(SETTINGS, registry, again, listener, limits=LIMITS)
    assert listener.plans[0][:2] == (1, 1)
    assert listener.done == []
    assert list(outcome.records) == run.records()
    assert exit_code(outcome.records) == 1


def test_a_reason_without_end_keeps_its_remedy():
    run = BackendRun("x", None, status="crashed", reason="no " * 1000, action=ACTIONS["crashed"])
    assert len(rows_module._reason(run)) == rows_module.LONGEST_REASON
    assert rows_module._reason(run).endswith("tries it part by part")


def test_the_size_of_a_mismatch_is_told(rows):
    row = rows[0]["wrong"]
    assert row.forward_error > 1e-3
    assert row.forward_tolerance == 1e-5


@pytest.mark.parametrize("name", FAULTS)
def test_what_failed_is_not_timed(rows, name):
    row, samples = rows[0][name], next(iter(rows[1].values()))
    assert row.infer_seconds is None
    assert not samples.get(name, {}).get(INFER)


@pytest.mark.parametrize("name", ["good", "loud"])
def test_those_without_fault_are_as_good_as_alone(rows, name, tmp_path, monkeypatch):
    load(monkeypatch, FAULTY, NO_NUMBA)
    outcome, _ = carry_out(tmp_path, settings(backends=(name,)), LIMITS)
    (alone,) = outcome.records
    row = rows[0][name]
    assert (row.status, row.reason) == ("ok", "")
    assert row.score == alone.score
    assert row.infer_seconds > 0
    assert row.train_steps == 12


def test_what_a_reader_must_know_is_said_in_the_row(tmp_path, monkeypatch):
    load(monkeypatch, FAULTY, NO_NUMBA)
    outcome, _ = carry_out(tmp_path, settings(backends=("slow-near-zero",)), LIMITS)
    (row,) = outcome.records
    assert row.status == "ok"
    assert SUBNORMAL_WARNING in row.warnings


def test_results_that_are_kept_gain_nothing(tmp_path, monkeypatch):
    """No input comes twice while calls are timed: it takes as long as it takes to compute, 2 ms here."""
    load(monkeypatch, FAULTY, NO_NUMBA)
    outcome, _ = carry_out(tmp_path, settings(backends=("remembers",)), LIMITS)
    (row,) = outcome.records
    assert row.status == "ok"
    assert row.infer_seconds > 0.002


def test_a_loss_that_does_not_fall_is_said_in_the_row(tmp_path, monkeypatch):
    load(monkeypatch, FAULTY, NO_NUMBA)
    chosen = settings(tasks=("ragged",), backends=("good",), steps=60, learning_rate=1e-9)
    outcome, run = carry_out(tmp_path, chosen, LIMITS)
    (row,), (samples,) = outcome.records, run.samples().values()
    assert row.status == "ok"
    assert STUCK_WARNING in row.warnings
    assert samples["good"]["loss_of_constant"] > 0.98


def test_work_of_first_calls_is_said_in_the_row():
    slow_at_first = [3e-3] * 6 + [1e-3 + 1e-6 * k for k in range(19)]
    rounds = {name: RunSamples(infer_seconds=slow_at_first if name == "b" else [1e-3] * 25) for name in "abc"}
    runs = [BackendRun(name, None, samples=samples) for name, samples in rounds.items()]
    timing._warn_of_leaks(runs)
    assert [run.warnings for run in runs] == [[], [LEAK_WARNING], []]
    assert runs[1].samples.leak_times == pytest.approx(3, rel=0.02)


@pytest.mark.slow
def test_a_backend_that_hangs_again_and_again_is_not_tried_for_ever(tmp_path, monkeypatch):
    load(monkeypatch, FAULTY, NO_NUMBA)
    limits = WorkerLimits(load_seconds=60.0, call_seconds=1.0)
    outcome, _ = carry_out(tmp_path, settings(backends=("hangs", "good"), seeds=3, steps=0), limits)
    hung = [row for row in outcome.records if row.backend == "hangs"]
    assert [row.status for row in hung] == ["timeout"] * 3
    assert "not tried again" in hung[2].reason
    assert [row.status for row in outcome.records if row.backend == "good"] == ["ok"] * 3


def test_a_task_that_raises_ends_its_groups_and_no_other(tmp_path, monkeypatch):
    import dataclasses

    registry = load(monkeypatch, FAULTY, NO_NUMBA)

    def broken(seed):
        raise ValueError("the file\nis gone")

    broken_task = dataclasses.replace(registry.task("mean"), id="broken", data=broken)
    chosen = settings(backends=("good",), tasks=("broken", "mean"))
    run = Store(tmp_path).create({}, chosen.digest(), {})
    outcome = compare(chosen, registry, run, Quiet(), extra_tasks=(broken_task,), limits=LIMITS)
    bad, fine = outcome.records
    assert (bad.task, bad.status) == ("broken", "crashed")
    assert "task 'broken' with cell 'gru': ValueError: the file" in bad.reason
    assert fine.status == "ok"


def test_nothing_is_left_of_all_this(rows):
    assert children() == []
