"""Reading what asv and we ourselves keep: gaps stay gaps, and whatever is damaged or foreign is skipped and told."""

import json
import math
from pathlib import Path

import pytest
from scratch_history import BENCHMARK, write_asv
from stored_runs import MACHINE, failed, record

from rnnbench.records.store import Store
from rnnbench.tracking import asv_results, from_runs
from rnnbench.tracking.commits import Commit

A, B = "a" * 40, "b" * 40
COMMITS = [Commit(A, "First", 1000), Commit(B, "Second", 2000)]


def read(folder: Path) -> dict[tuple[str, str], float | None]:
    """(commit's first letter, backend) -> value."""
    found = asv_results.read(folder)
    assert found.problems == ()
    return {(r.commit[0], dict(r.labels)["backend"]): r.value for r in found.readings}


def test_values_come_with_their_labels(tmp_path: Path) -> None:
    write_asv(tmp_path, [A], {("lstm", "numba"): [2e-3], ("lstm", "numpy"): [3e-3]})
    readings = asv_results.read(tmp_path).readings
    assert [(r.machine, r.figure, r.commit) for r in readings] == [("reference", "infer_seconds", A)] * 2
    assert dict(readings[0].labels) == {"task": "sunspots", "cell": "lstm", "backend": "numba", "hidden_size": "32"}
    assert [r.value for r in readings] == [2e-3, 3e-3]
    assert readings[0].seconds == 1_700_000_000


def test_failures_and_what_is_not_installed_are_gaps_and_move_no_other_series(tmp_path: Path) -> None:
    write_asv(tmp_path, [A, B], {("lstm", "numba"): [2e-3, None], ("lstm", "torch"): [math.nan, math.inf]})
    assert read(tmp_path) == {("a", "numba"): 2e-3, ("a", "torch"): None, ("b", "numba"): None, ("b", "torch"): None}


def test_a_benchmark_that_failed_as_a_whole_is_all_gaps(tmp_path: Path) -> None:
    write_asv(tmp_path, [A], {("lstm", "numba"): [1.0], ("gru", "numba"): [1.0]})
    (path,) = tmp_path.glob("reference/aaaaaaaa-*.json")
    content = json.loads(path.read_text())
    content["results"][BENCHMARK][0] = None
    path.write_text(json.dumps(content))
    assert [r.value for r in asv_results.read(tmp_path).readings] == [None, None]


def test_values_of_another_way_of_measuring_are_left_out(tmp_path: Path) -> None:
    write_asv(tmp_path, [A], {("lstm", "numba"): [2e-3]}, version="0")
    assert asv_results.read(tmp_path).readings == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a file of asv"),
        ('{"version": 1}', "has version 1, not 2"),
        ('{"version": 2}', "not a result of asv (KeyError: 'commit_hash')"),
        (
            '{"version": 2, "commit_hash": "c", "date": 1, "env_name": "e", "result_columns": [], "results": 3}',
            "not a result of asv (ValueError: it cannot be 3)",
        ),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_a_damaged_or_foreign_file_is_skipped_and_told(tmp_path: Path, text: str, why: str) -> None:
    write_asv(tmp_path, [A], {("lstm", "numba"): [2e-3]})
    (tmp_path / "reference" / "cccccccc-env.json").write_text(text)
    found = asv_results.read(tmp_path)
    assert len(found.readings) == 1
    (problem,) = found.problems
    assert "cccccccc-env.json" in problem
    assert why in problem


def test_values_that_do_not_fit_their_parameters_are_foreign(tmp_path: Path) -> None:
    write_asv(tmp_path, [A], {("lstm", "numba"): [2e-3]})
    (path,) = tmp_path.glob("reference/aaaaaaaa-*.json")
    content = json.loads(path.read_text())
    content["results"][BENCHMARK][0] = [1.0, 2.0]
    path.write_text(json.dumps(content))
    found = asv_results.read(tmp_path)
    assert found.readings == ()
    assert "ValueError" in found.problems[0]


def test_without_a_folder_there_is_nothing_and_without_its_index_a_problem(tmp_path: Path) -> None:
    assert asv_results.read(tmp_path / "none").problems == ()
    assert "benchmarks.json cannot be read" in asv_results.read(tmp_path).problems[0]


@pytest.mark.parametrize(
    ("benchmark", "figure"),
    [
        ("speed.Inference.track_infer_seconds", "infer_seconds"),
        ("starting.Startup.time_import", "import_seconds"),
        ("foreign.Suite.peakmem_list", None),
    ],
)
def test_a_figure_is_named_after_its_benchmark(benchmark: str, figure: str | None) -> None:
    assert asv_results.figure_name(benchmark) == figure


# ---- our own runs ----------------------------------------------------------------------------------------------------


def keep(root: Path, commit: str, scores: list[float], dirty: bool = False, broken: bool = False) -> None:
    run = Store(root).create({}, "digest", MACHINE)
    for seed, score in enumerate(scores):
        row = record("sunspots", "lstm", "numba", seed, score=score, commit=commit, dirty=dirty, machine="testor-2c")
        row = failed(row, "crashed", "its process was ended by SIGSEGV") if broken and seed else row
        run.append(f"group-{seed}", [row], {})


def scores(root: Path) -> dict[tuple[str, bool], float | None]:
    found = from_runs.read(root, COMMITS)
    return {(r.commit[0], r.dirty): r.value for r in found.readings if r.figure == "score"}


def test_seeds_are_averaged_and_the_newest_run_of_a_commit_counts(tmp_path: Path) -> None:
    keep(tmp_path, A, [0.9, 0.7])
    keep(tmp_path, A, [0.5, 0.3])
    keep(tmp_path, B, [0.2, 0.4])
    assert scores(tmp_path) == pytest.approx({("a", False): 0.4, ("b", False): 0.3})


def test_a_dirty_tree_is_kept_apart_from_its_commit(tmp_path: Path) -> None:
    keep(tmp_path, A, [0.5])
    keep(tmp_path, A, [0.9], dirty=True)
    assert scores(tmp_path) == {("a", False): 0.5, ("a", True): 0.9}


def test_a_failed_seed_is_a_gap_and_an_unknown_commit_is_left_out(tmp_path: Path) -> None:
    keep(tmp_path, A, [0.5, 0.5], broken=True)
    keep(tmp_path, "c" * 40, [0.5])
    assert scores(tmp_path) == {("a", False): None}


def test_damaged_runs_are_told(tmp_path: Path) -> None:
    keep(tmp_path, A, [0.5])
    (tmp_path / "20260101-000000-abcdef").mkdir()
    (problem,) = from_runs.read(tmp_path, COMMITS).problems
    assert "20260101-000000-abcdef has a run.json" in problem
