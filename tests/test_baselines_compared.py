"""Methods without recurrence in a comparison: their rows, what they decide of the cells', and those that misbehave."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_runs import FAULTY, NO_NUMBA, Quiet, carry_out, compare, load, settings

from rnnbench.comparison import arrays
from rnnbench.comparison.baselines import Bar, joined
from rnnbench.records.record import BASELINE
from rnnbench.records.store import Run
from rnnbench.registry import registry
from rnnbench.tasks.spec import Split
from rnnbench.testing.baselines import cases, windowed
from rnnbench.workers.worker import WorkerLimits

ODD = str(Path(__file__).parent / "plugins" / "odd_baselines.py")
SUITED = {"constant", "last-frame", "mlp", "ridge"}  # for the mean of five numbers
BUILT_IN = tuple(f"no:baselines.{name}" for name in ("mlp", "ridge", "last_frame"))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    load(monkeypatch, FAULTY, NO_NUMBA)


def rows(run: Run) -> dict:
    return {record.cell: record for record in run.records() if record.backend == BASELINE}


def with_baselines(**changes):
    return settings(backends=("good",), no_baselines=False, steps=0, **changes)


@pytest.mark.usefixtures("small")
def test_every_suitable_baseline_has_a_row_before_the_cells(tmp_path: Path) -> None:
    listener = Quiet()
    _, run = carry_out(tmp_path, with_baselines(seeds=2), listener=listener)
    assert listener.done[:2] == ["mean_s0_baselines", "mean_s1_baselines"]
    assert listener.plans[0][0] == 4
    first = run.groups()[0]
    assert {record.cell for record in first.records} == SUITED
    data = registry().task("mean").data(0)
    for record in first.records:
        assert (record.status, record.backend, record.hidden_size, record.layers) == ("ok", BASELINE, 0, 0)
        assert (record.dtype, record.threads, record.batch_size, record.seq_len) == ("float64", 1, 8, 5)
        assert record.train_seconds > 0
        assert record.infer_seconds_low <= record.infer_seconds <= record.infer_seconds_high
        assert first.samples[f"{BASELINE}:{record.cell}"]["infer_seconds"]
        assert record.run_id == run.id
        assert (record.score_name, record.score_baseline) == ("test MSE", 100.0)
    found = {record.cell: record for record in first.records}
    constant = np.mean((data.train.target.mean() - data.test.target) ** 2)
    assert found["constant"].score == pytest.approx(constant, rel=1e-12)
    assert found["ridge"].score < 1e-2 * constant  # the mean is linear, and the penalty on 20 sequences small
    assert (found["constant"].parameters, found["ridge"].parameters, found["last-frame"].parameters) == (1, 6, 2)


@pytest.mark.usefixtures("small")
@pytest.mark.slow
def test_learned_is_better_than_every_blind_baseline(tmp_path: Path) -> None:
    """The task's own number is so bad that everybody beats it; ridge, were it blind, would be the one to beat."""
    known = registry().baselines
    _, run = carry_out(tmp_path / "plain", with_baselines())
    learned = {record.cell: record.learned for record in run.records()}
    assert (learned["gru"], learned["constant"], learned["ridge"]) == (True, False, True)
    known["ridge"] = replace(known["ridge"], blind=True)
    _, run = carry_out(tmp_path / "with", with_baselines())
    assert {record.learned for record in run.records()} == {False}
    _, run = carry_out(tmp_path / "without", settings(backends=("good",), steps=0))
    assert {record.learned for record in run.records()} == {True}


@pytest.mark.slow
def test_the_bar_is_the_best_blind_score_of_the_seed(tmp_path: Path, small: None) -> None:
    _, run = carry_out(tmp_path, with_baselines())
    task = registry().task("mean")
    higher = replace(task, score_better="higher", baseline=-1.0)
    bar = Bar(frozenset({"constant", "last-frame"}))
    bar.add(run.records())
    scores = {name: rows(run)[name].score for name in ("constant", "last-frame")}
    assert bar.over(task, 0) == min(scores.values())
    assert bar.over(higher, 0) == max(scores.values())
    assert bar.over(task, 1) == 100.0


def test_a_better_bar_is_beaten_by_the_same_share(small: None) -> None:
    """Four fifths less than persistence, say; of accuracies it is the whole margin: nobody knows a share of what."""
    task = replace(registry().task("mean"), baseline=5.0, margin=4.0)
    assert [task.learned(score) for score in (1.0, 1.1)] == [True, False]
    assert [task.learned(score, 2.0) for score in (0.39, 0.41)] == [True, False]
    assert [task.learned(score, 0.0) for score in (0.0, -4.0)] == [False, True]
    higher = replace(task, score_better="higher", baseline=0.25, margin=0.5)
    assert [higher.learned(score, 0.4) for score in (0.9, 0.89)] == [True, False]


@pytest.mark.usefixtures("small")
@pytest.mark.slow
def test_a_resumed_run_has_the_bar_of_the_stored_baselines(tmp_path: Path) -> None:
    _, run = carry_out(tmp_path, with_baselines(seeds=2))
    before = {path.name: path.read_bytes() for path in (run.path / "groups").iterdir()}
    (gone,) = [path for path in (run.path / "groups").iterdir() if path.name.endswith("h4-l1-uni_float32_t1_s1.json")]
    gone.unlink()
    listener = Quiet()
    compare(with_baselines(seeds=2), registry(), run, listener)
    assert listener.done == [gone.stem]
    after = {path.name: path.read_bytes() for path in (run.path / "groups").iterdir()}
    assert after.keys() == before.keys()
    assert [name for name in before if before[name] != after[name]] == [gone.name]


@pytest.mark.slow
def test_a_plugin_s_baseline_that_misbehaves_costs_its_own_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(monkeypatch, FAULTY, NO_NUMBA, ODD, *BUILT_IN)
    _, run = carry_out(tmp_path, with_baselines(), limits=WorkerLimits(load_seconds=60.0, call_seconds=3.0))
    found = rows(run)
    statuses = {name: record.status for name, record in found.items()}
    assert statuses == {
        **dict.fromkeys(("constant", "process", "peeps", "zeros"), "ok"),
        **dict.fromkeys(("raises", "ends"), "crashed"),
        "hangs": "timeout",
        "narrow": "bad_output",
        "nan": "diverged",
        "vast": "bad_output",
    }
    assert found["raises"].reason == ("baseline 'raises': ValueError: no; leave the baselines out: --no-baselines")
    assert found["narrow"].reason.startswith("baseline 'narrow': answered float64 (10,); it must be numbers (10, 1)")
    assert found["peeps"].score == found["zeros"].score  # a target is not there to be seen
    assert found["process"].score > 0
    assert all(record.learned in (False, None) for record in found.values())
    cells = [record for record in run.records() if record.backend == "good"]
    assert [record.status for record in cells] == ["ok"]


def test_windows_travel_with_a_split(tmp_path: Path) -> None:
    for case in cases():
        arrays.save_split(tmp_path / "split.npz", case.test)
        found = arrays.load_split(tmp_path / "split.npz")
        assert (found.windows is None) == (case.test.windows is None)
        if found.windows is not None:
            before = case.test.windows
            assert (found.windows.leads, found.windows.season, found.windows.names) == (
                *(before.leads, before.season, before.names),
            )
            for name in ("which", "origin", "offset", "scale"):
                np.testing.assert_array_equal(getattr(found.windows, name), getattr(before, name))
            for one, other in zip(found.windows.series, before.series, strict=True):
                np.testing.assert_array_equal(one, other)


def test_what_early_stopping_looks_at_is_fitted_too() -> None:
    values = np.arange(30.0)
    train, later = windowed([values[:20]], 4, (1, 2), [0]), windowed([values], 4, (1, 2), [20])
    both = joined(train, later)
    assert both.count == train.count + later.count
    assert len(both.windows.series[0]) == 30
    for row in range(both.count):
        np.testing.assert_array_equal(both.windows.past(row)[-1], 3.0 + row + (row >= train.count))
    unlike = Split(np.zeros((9, 5, 1)), np.zeros((5, 2)))
    assert joined(train, unlike) is train
