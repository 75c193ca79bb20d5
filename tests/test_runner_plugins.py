"""What a plugin does costs its own rows: it is imported where it is needed, and what it computes has a process."""

import math
import os
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
from marks import children
from small_runs import FAULTY, LIMITS, NO_NUMBA, carry_out, load, settings

import rnnbench
from rnnbench import BackendInfo
from rnnbench.comparison import rows
from rnnbench.comparison.backend_run import BackendRun
from rnnbench.comparison.listener import Listener
from rnnbench.comparison.plan import Group
from rnnbench.records.store import Run, Store
from rnnbench.registry import registry
from rnnbench.workers.worker import WorkerLimits

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


@pytest.mark.slow
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


# ---- tasks and cells -------------------------------------------------------------------------------------------------

TASK = """
import os, sys, time
from dataclasses import replace

import numpy as np

from rnnbench import Budget, Data, Split, Task, hookimpl


def good_data(seed):
    x = np.random.default_rng(seed).uniform(-1, 1, (4, 20, 1))
    return Data(Split(x, x.mean(axis=0)), Split(x, x.mean(axis=0)))


def good_score(prediction, split):
    return float(np.mean((prediction - split.target) ** 2))


def task(id, data, score):
    return Task(
        id=id, title="Mean of four", source="made up", input_size=1, output_size=1, readout="last", loss="mse",
        score_name="mse", score_better="lower", baseline=1 / 12, margin=0.01, data=data, score=score,
        budget=Budget(steps=2, batch_size=8, hidden_size=4),
    )


@hookimpl
def rnnbench_tasks():
    return [task("fine", good_data, good_score), *OTHERS]


OTHERS = []
"""
BAD_DATA = """
def data(seed):
    found = good_data(seed)
    os.write(1, b'noise'); print('noise')
    CHANGE
    return found

OTHERS.append(task(NAME, data, good_score))
"""
BAD_SCORE = """
def score(prediction, split):
    os.write(1, b'noise'); print('noise')
    CHANGE

OTHERS.append(task(NAME, good_data, score))
"""
EMPTY = "found = Data(found.train, found.test.rows(slice(0, 0)))"
NAN = "found.train.x[1, 2, 0] = float('nan')"
DATA_FAULTS = {
    "leaves": ("sys.exit(0)", "crashed", "SystemExit: 0"),
    "exits": ("os._exit(0)", "crashed", "exited with code 0 without an answer"),
    "hangs": ("time.sleep(600)", "timeout", "gave no answer within 2 s"),
    "holds too much": ("x = b'x' * 400_000_000; time.sleep(600)", "oom", "GiB"),
    "raises": ("raise KeyError('no\\nsuch')", "crashed", "KeyError"),
    "interrupts": ("raise KeyboardInterrupt", "crashed", "KeyboardInterrupt"),
    "empty": (EMPTY, "bad_output", "x needs at least one step and one row"),
    "NaN": (NAN, "bad_output", "x holds NaN or infinity"),
    "a wrong shape": (
        "found = Data(*[replace(found.test, x=np.ones((4, 20, 2)))] * 2)",
        "bad_output",
        "x must be [T, B, 1]",
    ),
    "classes": (
        "found = Data(*[replace(found.test, target=np.zeros(20, int))] * 2)",
        "bad_output",
        "the target",
    ),
    "lists": ("found = [1]", "crashed", "AttributeError"),
    "objects": ("found = replace(found, test=replace(found.test, target=np.array([{}])))", "crashed", "allow_pickle"),
    "a link": (
        "import rnnbench.comparison.arrays as a; own = a.save_split;"
        "a.save_split = lambda path, _: (path.symlink_to('/etc/passwd'), setattr(a, 'save_split', own))",
        "bad_output",
        "cannot be read",
    ),
}
SCORE_FAULTS = {
    "leaves": ("sys.exit(0)", "crashed", "SystemExit: 0"),
    "exits": ("os._exit(0)", "crashed", "exited with code 0 without an answer"),
    "hangs": ("time.sleep(600)", "timeout", "gave no answer within 2 s"),
    "raises": ("1 / 0", "crashed", "ZeroDivisionError"),
    "NaN": ("return float('nan')", "diverged", "is nan, of predictions that are finite"),
    "a text": ("return 'good'", "crashed", "ValueError"),
}
SHORT = WorkerLimits(load_seconds=60.0, call_seconds=2.0, memory_bytes=300_000_000)


TASK_FAULTS = {f"data-{k}": v for k, v in DATA_FAULTS.items()} | {f"score-{k}": v for k, v in SCORE_FAULTS.items()}


def task_id(fault):
    return fault.lower().replace(" ", "-")


@pytest.fixture(scope="module")
def task_rows(tmp_path_factory):
    """One run of all of them, a good one at the end."""
    source = TASK
    for fault, (change, _, _) in TASK_FAULTS.items():
        bad = BAD_DATA if fault.startswith("data") else BAD_SCORE
        source += bad.replace("CHANGE", change).replace("NAME", repr(task_id(fault)))
    path = tmp_path_factory.mktemp("plugin") / "task_plugin.py"
    path.write_text(source)
    with pytest.MonkeyPatch.context() as monkeypatch, tempfile.TemporaryFile() as output:
        load(monkeypatch, FAULTY, NO_NUMBA, str(path))
        before = os.dup(1)
        os.dup2(output.fileno(), 1)
        try:
            chosen = settings(tasks=(*map(task_id, TASK_FAULTS), "fine"), backends=("good",))
            outcome, run = carry_out(tmp_path_factory.mktemp("runs"), chosen, SHORT)
        finally:
            os.dup2(before, 1)
            os.close(before)
        assert os.fstat(output.fileno()).st_size == 0
    assert run.problems() == []
    assert children() == []
    return {row.task: row for row in outcome.records}


@pytest.mark.parametrize("fault", TASK_FAULTS)
def test_a_task_that_fails_is_a_failed_row_that_names_it(task_rows, fault):
    row, (_, status, reason) = task_rows[task_id(fault)], TASK_FAULTS[fault]
    named = f"task '{task_id(fault)}'" in row.reason
    assert (row.status, named, reason in row.reason) == (status, True, True), row.reason
    assert row.reason.isprintable()


def test_the_tasks_after_it_are_none_the_worse(task_rows):
    assert (task_rows["fine"].status, task_rows["fine"].reason) == ("ok", "")


@pytest.mark.slow
def test_a_task_that_hangs_again_and_again_is_not_tried_for_ever(plugin, tmp_path):
    plugin(task_plugin=TASK + BAD_DATA.replace("CHANGE", "time.sleep(600)").replace("NAME", "'bad'"))
    limits = WorkerLimits(load_seconds=60.0, call_seconds=1.0)
    outcome, _ = carry_out(tmp_path / "runs", settings(tasks=("bad",), backends=("good",), seeds=3), limits)
    assert [row.status for row in outcome.records] == ["timeout"] * 3
    assert "not tried again after 2 timeouts" in outcome.records[2].reason


CELL = """
import os, sys, time
from dataclasses import replace

from rnnbench import hookimpl
from rnnbench.cells.gru import GRU


def pair(m):
    forward, backward = GRU.stages[0].pair(m)

    def changed(pre, prev):
        (h,), saved = forward(pre, prev)
        CHANGE
        return (h,), saved

    return changed, backward


@hookimpl
def rnnbench_cells():
    return [replace(GRU, id="own", title="own", stages=(replace(GRU.stages[0], pair=pair),))]
"""
CELL_FAULTS = {
    "exits": ("os._exit(0)", "crashed", "exited with code 0 without an answer"),
    "leaves": ("sys.exit(0)", "crashed", "SystemExit: 0"),
    "hangs": ("time.sleep(600)", "timeout", "gave no answer within 2 s"),
    "NaN": ("h = h * float('nan')", "bad_output", "gives NaN or infinity"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", CELL_FAULTS)
def test_a_cell_that_fails_is_a_failed_row_that_names_it(plugin, tmp_path, kind):
    change, status, reason = CELL_FAULTS[kind]
    plugin(cell_plugin=CELL.replace("CHANGE", change))
    outcome, run = carry_out(tmp_path / "runs", settings(cells=("own", "gru"), backends=("good",), steps=1), SHORT)
    bad, fine = outcome.records
    assert (bad.status, "cell 'own'" in bad.reason, reason in bad.reason) == (status, True, True), bad.reason
    assert fine.status == "ok"
    assert run.problems() == []


def test_a_plugins_cell_gives_what_the_same_cell_of_ours_gives(plugin, tmp_path):
    plugin(cell_plugin=CELL.replace("CHANGE", "pass"))
    outcome, _ = carry_out(tmp_path / "runs", settings(cells=("own", "gru"), backends=("good", "wrong")))
    own, wrong, gru, also_wrong = outcome.records
    assert (own.status, own.score, own.forward_error) == ("ok", gru.score, gru.forward_error)
    assert wrong.reason == also_wrong.reason


# ---- what is told of a case ------------------------------------------------------------------------------------------

REPORTS = """
from rnnbench import BackendInfo, CompileReport, hookimpl
from rnnbench.backends.numpy_reference import NumpyBackend


def reporting(report, version="1"):
    def compile_report(self):
        self.calls = getattr(self, "calls", 0) + 1
        return CompileReport(0.0, "warm") if self.calls == 1 else report

    changed = {"compile_report": compile_report, "version": version}
    return lambda threads: type("Reporting", (NumpyBackend,), changed)(threads)


MADE = {
    "cache-3": reporting(CompileReport(1.0, 3)),
    "cache-hot": reporting(CompileReport(1.0, "hot")),
    "seconds-nan": reporting(CompileReport(float("nan"), "cold")),
    "seconds-less": reporting(CompileReport(-1.0, "cold")),
    "seconds-endless": reporting(CompileReport(1e300, "cold")),
    "no-report": reporting("cold"),
    "version-endless": reporting(CompileReport(1.0, "cold"), "\\x1b[31m" + "9" * 100_000),
}
globals().update({name.replace("-", "_"): make for name, make in MADE.items()})


@hookimpl
def rnnbench_backends():
    return [BackendInfo(name, name, f"{__name__}:{name.replace('-', '_')}") for name in MADE]
"""
REPORTED = {
    "cache-3": "compile_cache is 3",
    "cache-hot": "compile_cache cannot be 'hot'",
    "seconds-nan": "compile_seconds is nan",
    "seconds-less": "compile_seconds cannot be -1.0",
    "seconds-endless": "compile_seconds cannot be 1e+300",
    "no-report": "AttributeError",
}


@pytest.mark.slow
def test_a_report_that_cannot_be_costs_its_own_row(plugin, tmp_path):
    plugin(reports=REPORTS)
    chosen = settings(backends=("good", *REPORTED, "version-endless"), steps=1)
    outcome, run = carry_out(tmp_path / "runs", chosen)
    found = {row.backend: row for row in outcome.records}
    for name, words in REPORTED.items():
        row = found[name]
        assert (row.status, words in row.reason) == ("crashed" if name == "no-report" else "bad_output", True), (
            row.reason
        )
        assert row.compile_seconds is None
    for name in ("good", "version-endless"):
        assert (found[name].status, found[name].infer_seconds > 0) == ("ok", True)
    assert len(found["version-endless"].backend_version) == 100
    assert found["version-endless"].backend_version.isprintable()
    assert run.problems() == []
    assert Store(run.path.parent).find(run.id).records() == run.records()


@pytest.mark.parametrize(
    ("part", "value"), [("record", math.nan), ("record", -1.0), ("record", "fast"), ("samples", [1.0, math.inf])]
)
def test_a_figure_that_cannot_be_stored_ends_its_row_and_not_the_run(part, value):
    group = Group("mean", "gru", 4, 1, False, "float32", 1, 0)
    runs = [BackendRun(name, BackendInfo(name, name, "x:y")) for name in ("odd", "fine")]
    for run in runs:
        run.record.infer_seconds, run.samples.infer_seconds = 1.0, [1.0]
    getattr(runs[0], part).infer_seconds = value
    task = registry().task("sine")
    odd, fine = rows.records(runs, group, task, task.budget, Run(Path("x"), 1, "", {}, "", {}), {})
    assert (odd.status, odd.infer_seconds, "measured what cannot be: infer_seconds" in odd.reason) == (
        "bad_output",
        None,
        True,
    )
    assert (fine.status, fine.infer_seconds) == ("ok", 1.0)
    assert rows.samples(runs) == {"fine": {"infer_seconds": [1.0]}}


# ---- resuming --------------------------------------------------------------------------------------------------------

HELPED = TASK.replace("def good_data", "from helper_of_task import SCALE\n\n\ndef good_data").replace(
    "(4, 20, 1))", "(4, 20, 1)) * SCALE"
)


class Impatient(Listener):
    def finished(self, group, records, seconds):
        raise KeyboardInterrupt


def begun(**options):
    """A run of two seeds that was interrupted after the first."""
    with pytest.raises(rnnbench.Interrupted) as stopped:
        rnnbench.compare(**options, progress=Impatient())
    return stopped.value.run


@pytest.fixture
def options(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    files = {"helper_of_task": "SCALE = 1.0\n", "task_plugin": HELPED, "own_backend": BESIDE, "cell_plugin": CELL}
    for name, source in files.items():
        (tmp_path / f"{name}.py").write_text(source.replace("NAME", name).replace("CHANGE", "pass"))
    plugins = [str(tmp_path / f"{name}.py") for name in files if name != "helper_of_task"]
    chosen = {"task": "fine", "cell": "own", "backend": "own_backend", "seeds": 2, "steps": 1, "control": False}
    yield {**chosen, "plugins": plugins}
    for name in files:
        sys.modules.pop(name, None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "named"),
    [
        ("task_plugin", "task 'fine'"),
        ("helper_of_task", "task 'fine'"),
        ("cell_plugin", "cell 'own'"),
        ("own_backend", "backend 'own_backend'"),
    ],
)
def test_a_run_is_not_resumed_with_another_source(options, tmp_path, file, named):
    run = begun(**options)
    path = tmp_path / f"{file}.py"
    source = path.read_text()
    path.write_text(source + "\n")
    message = f"{named} is not what it was when run {run.id} was begun; leave out --resume"
    with pytest.raises(rnnbench.UsageError, match=message):
        rnnbench.compare(**options, resume=True)
    path.write_text(source)
    resumed = rnnbench.compare(**options, resume=True)
    assert len([row for row in resumed.records() if not row.is_baseline]) == 2


@pytest.mark.slow
def test_a_run_of_before_that_has_no_digests_is_resumed(options, tmp_path):
    run = begun(**options)
    del run.settings["sources"]
    run._save()
    (tmp_path / "task_plugin.py").write_text(HELPED + "\n")
    again = rnnbench.compare(**options, resume=True)
    assert (again.id, len([row for row in again.records() if not row.is_baseline])) == (run.id, 2)


def test_a_run_is_not_resumed_with_other_contents_of_a_file(options, tmp_path):
    rows = ["date,y", *(f"{day},{day % 7}" for day in range(80))]
    (tmp_path / "data.csv").write_text("\n".join(rows))
    chosen = {**options, "task": None, "csv": "data.csv", "target": "y"}
    run = begun(**chosen)
    (tmp_path / "data.csv").write_text("\n".join([*rows, "80,5"]))
    with pytest.raises(rnnbench.UsageError, match=f"the file of task 'csv-data-.*' has changed since run {run.id}"):
        rnnbench.compare(**chosen, resume=True)
