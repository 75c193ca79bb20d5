"""The calls that scripts start from: the command line's options and defaults, runs as frames, anywhere Python runs."""

import inspect
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.core import Option
from small_runs import FAULTY, NO_NUMBA, load
from stored_runs import record, stored

import rnnbench
from rnnbench.cli import main
from rnnbench.cli.compare import command
from rnnbench.comparison import runner
from rnnbench.comparison.description import Description
from rnnbench.comparison.listener import Listener
from rnnbench.comparison.options import NAMES
from rnnbench.errors import UnknownName, UsageError
from rnnbench.records.figures import FIGURES
from rnnbench.records.store import Run, Store
from rnnbench.tracking import from_runs
from rnnbench.tracking.commits import Commit
from rnnbench.workers.failure import Failure

ROOT = Path(__file__).parents[1]
OF_THE_COMMAND = {"json_target", "exports", "track", "traceback"}  # what is said of results, not of the comparison
OF_THE_CALL = {"data", "control", "progress"}


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    load(monkeypatch, FAULTY, NO_NUMBA)
    monkeypatch.chdir(tmp_path)


def small(**more: Any) -> Run:
    return rnnbench.compare(
        **{"task": "mean", "cell": "gru", "backend": "good", "seeds": 1, "no_baselines": True, **more}
    )


# ---- options ---------------------------------------------------------------------------------------------------------


def test_the_options_are_those_of_the_command_line() -> None:
    asked = {option.name for option in command.params if isinstance(option, Option)}
    taken = set(inspect.signature(rnnbench.compare).parameters)
    assert asked - OF_THE_COMMAND == taken - OF_THE_CALL
    assert set(NAMES) < taken


def test_options_become_the_settings_that_the_command_line_makes(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    plans = []

    def refuse(plan: runner.ComparisonPlan, *_: object, **__: object) -> None:
        plans.append(plan)
        raise UsageError("planned")

    monkeypatch.setattr("rnnbench.api.carry_out", refuse)
    monkeypatch.chdir(tmp_path)
    words = "--task sine --cell lstm,gru --backend numpy --hidden 8,16 --batch 4 --lr 0.5 --steps 0 --threads 1 --quick"
    assert main(["compare", *words.split()]) == 2
    with pytest.raises(UsageError, match="planned"):
        rnnbench.compare(
            task="sine",
            cell=["lstm", "gru"],
            backend="numpy",
            hidden=np.array([8, 16]),
            batch=np.int64(4),
            lr=0.5,
            steps=0,
            threads=1,
            quick=True,
        )
    assert plans[0].settings == plans[1].settings
    assert plans[0].choice == plans[1].choice


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "lstn"}, "unknown cell 'lstn'; did you mean 'lstm'"),
        ({"cell": ["lstm", 3]}, "--cell takes a text; got 3"),
        ({"hidden": 8.5}, "--hidden takes a whole number; got 8.5"),
        ({"seeds": True}, "--seeds takes a whole number; got True"),
        ({"lr": float("nan")}, "--lr takes a finite number"),
        ({"quick": "yes"}, "--quick takes True or False"),
        ({"csv": "no-such.csv"}, "no-such.csv: no such file"),
        ({"window": 5}, "--window belongs to --csv FILE"),
        ({"at_horizon": True}, "--at-horizon belongs to --csv FILE"),
        ({"target": ["a", 3]}, "--target takes a text; got 3"),
        ({"seq_len": 5}, "--seq-len belongs to --model FILE"),
    ],
)
def test_a_bad_option_is_one_line_and_nothing_is_stored(options: dict[str, Any], message: str, faulty: None) -> None:
    with pytest.raises(UsageError) as caught:
        rnnbench.compare(**options)
    assert message in str(caught.value)
    assert not Path("results").exists()


def test_names_are_looked_up_once_for_all(faulty: None) -> None:
    with pytest.raises(UnknownName, match="unknown task"):
        rnnbench.compare(task="mene")


# ---- runs ------------------------------------------------------------------------------------------------------------


def test_a_run_is_a_frame_and_the_same_one_when_it_is_loaded(faulty: None) -> None:
    run = small(cell=["gru", "lstm"], seeds=2)
    frame = run.frame()
    assert list(frame["seed"]) == [0, 0, 1, 1]
    assert (frame["status"] == "ok").all()
    for again in (rnnbench.load_run(run.id), rnnbench.load_run(run.path), rnnbench.load_run()):
        assert again.frame().equals(frame)
        assert again.samples() == run.samples()
        assert again.summary().equals(run.summary())


def test_an_empty_run_has_the_columns(tmp_path: Path) -> None:
    run = Store(tmp_path).create({}, "digest", {})
    assert run.frame().empty
    assert "infer_seconds" in run.frame()
    assert run.summary().empty


def test_a_run_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there are no runs"):
        rnnbench.load_run("latest", results=tmp_path)


def test_files_are_read_again_only_where_they_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, read = stored(tmp_path, seeds=2), []
    honest = Run._read_group
    monkeypatch.setattr(Run, "_read_group", lambda self, path: read.append(path) or honest(self, path))
    run.frame(), run.summary(), run.records(), run.samples(), run.problems()
    assert len(read) == len(set(read)) == 6
    run.append("extra", [record("sunspots", "lstm", "torch", 9)], {})
    assert len(run.records()) == 13


def test_what_was_left_out_of_a_run_is_a_warning(faulty: None, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise OSError('no such disk')\n")
    with pytest.warns(rnnbench.RnnbenchWarning, match="plugin broken: OSError: no such disk"):
        small(plugins=[FAULTY, NO_NUMBA, "broken.py"])


def test_progress_is_a_line_a_group(faulty: None) -> None:
    lines: list[str] = []
    small(progress=lines.append)
    assert "1 groups, each on good" in lines
    assert lines[-1].startswith("[1/1] mean gru")


def test_an_interrupt_leaves_the_run(faulty: None, monkeypatch: pytest.MonkeyPatch) -> None:
    class Impatient(Listener):
        def finished(self, group: Any, records: Any, seconds: float) -> None:
            raise KeyboardInterrupt

    with pytest.raises(rnnbench.Interrupted) as stopped:
        small(seeds=2, progress=Impatient())
    assert len(stopped.value.run.records()) == 1
    assert len(small(seeds=2, resume=True).records()) == 2
    assert small(seeds=2).id != stopped.value.run.id


def test_a_frame_is_forecast_and_what_was_inferred_is_said_and_stored(faulty: None) -> None:
    days = pd.date_range("2024-01-01", periods=60, freq="D")
    frame = pd.DataFrame({"day": days, "shop": "a", "sold": np.arange(60.0) ** 2 % 13})
    frame = pd.concat([frame, frame.assign(shop="b", sold=frame["sold"] * 2 + 1)])
    lines: list[str] = []
    options = {"cell": "gru", "backend": "good", "hidden": 2, "steps": 2, "seeds": 1, "progress": lines.append}
    run = rnnbench.compare(frame, target="sold", time="day", id="shop", horizon=3, metric="mase", **options)
    (row,) = (row for row in run.records() if not row.is_baseline)
    assert (row.status, row.score_name) == ("ok", "MASE (season 7)")
    (note,) = Description.from_json(run.settings).tasks.values()
    assert note.inferred[-3:] == (
        "windows of 24",
        "tested on the last 12 rows of each series",
        "early stopping by 9 before",
    )
    assert "2 series" in note.inferred
    assert any(line.endswith(", ".join(note.inferred)) for line in lines)
    assert note.title.endswith(", 2 series, 1 to 3 ahead")
    with pytest.raises(UsageError, match="the data are given twice"):
        rnnbench.compare(frame, csv="x.csv")


def test_a_model_in_memory_is_compared(faulty: None) -> None:
    model = rnnbench.Model("lstm", 2, 3, 1)
    run = rnnbench.compare(model=rnnbench.Trained(model, model.init(0)), backend="good", seeds=1, batch=2, seq_len=4)
    assert list(run.frame()["status"]) == ["ok"]


def test_a_model_in_memory_is_held_to_what_is_said_of_it(faulty: None) -> None:
    model = rnnbench.Model("lstm", 2, 3, 1)
    rnnbench.save_weights("other.safetensors", model, model.init(1))
    trained = rnnbench.Trained(model, model.init(0))
    with pytest.raises(UsageError, match="the model's cell is lstm, not gru"):
        rnnbench.compare(model=trained, cell="gru")
    with pytest.raises(Failure, match=r"the model does not hold what 'other\.safetensors' holds"):
        rnnbench.compare(model=trained, against="other.safetensors")


# ---- anywhere --------------------------------------------------------------------------------------------------------

SCRIPT = """
import rnnbench
run = rnnbench.compare(
    task="mean", cell="gru", backend="good", seeds=1, no_baselines=True, plugins=[{plugin!r}, {other!r}]
)
print(run.frame()[["cell", "status"]].to_json(orient="records"))
"""


def test_a_script_needs_no_main_guard(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT.format(plugin=FAULTY, other=NO_NUMBA))
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [{"cell": "gru", "status": "ok"}]


def test_a_thread_may_compare(faulty: None) -> None:
    found: list[Run] = []
    thread = threading.Thread(target=lambda: found.append(small()))
    thread.start()
    thread.join()
    assert list(found[0].frame()["status"]) == ["ok"]


def test_a_running_event_loop_does_not_mind(faulty: None) -> None:
    """As in a notebook, whose cells run inside one."""
    import asyncio

    async def cell() -> Run:
        return small()

    assert list(asyncio.run(cell()).frame()["status"]) == ["ok"]


# ---- one figure, one definition --------------------------------------------------------------------------------------


def test_a_figure_is_the_same_number_wherever_it_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Commit("c" * 40, "a commit", 0)
    monkeypatch.setattr("stored_runs.MACHINE", {"id": "testor-2c", "commit": commit.hash, "packages": {}})

    def skewed(row: rnnbench.Record) -> rnnbench.Record:
        """Seeds so unlike that a mean, a median and a geometric mean are three numbers."""
        from dataclasses import replace

        factor = (1.0, 1.1, 4.0)[row.seed]
        assert row.infer_seconds is not None
        assert row.peak_rss_bytes is not None
        return replace(
            row,
            commit=commit.hash,
            machine="testor-2c",
            infer_seconds=row.infer_seconds * factor,
            peak_rss_bytes=int(row.peak_rss_bytes * factor),
        )

    run = stored(tmp_path, cells=("lstm",), seeds=3, change=skewed)
    assert main(["show", run.id, "--json", "-", "--results", str(tmp_path)]) == 0
    table = {row["backend"]: row for row in json.loads(capsys.readouterr().out)["summary"]}
    frame = run.summary().set_index("backend")
    history = {(dict(r.labels)["backend"], r.figure): r.value for r in from_runs.read(tmp_path, [commit]).readings}
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from suite import rows

    for backend in ("numba", "numpy"):
        seeds = [(r, g.samples[backend]) for g in run.groups() for r in g.records if r.backend == backend]
        suite = rows.summary(seeds)["figures"]
        for figure in ("infer_seconds", "score", "peak_rss_bytes"):
            values = {
                table[backend][figure],
                float(frame.loc[backend, figure]),
                history[backend, figure],
                suite[figure],
            }
            assert len(values) == 1, (backend, figure, values)
            assert None not in values


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_a_figure_of_one_record_is_the_records_own(name: str) -> None:
    figure = FIGURES[name]
    one = record("adding", "gru", "numba", 1 if name.endswith("warm") else 0)
    found = figure.of([one])
    assert (None if found is None else found.value) == getattr(one, figure.column or figure.name)
