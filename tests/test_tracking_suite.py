"""The asv suite: thin, literal, one comparison behind it; and how a commit is recorded through it."""

import ast
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from asv_runner.benchmarks.mark import SkipNotImplemented
from scratch_history import Scratch
from small_runs import NO_NUMBA, load
from stored_runs import failed, record, stored

import rnnbench
from rnnbench.cli import main
from rnnbench.errors import UsageError
from rnnbench.records.store import Store
from rnnbench.tracking import recording
from rnnbench.tracking.asv_results import figure_name
from rnnbench.tracking.commits import Repository

ROOT = Path(__file__).parents[1]
SUITE = ROOT / "benchmarks" / "suite"
BENCHMARK_FILES = [
    path for path in SUITE.glob("*.py") if path.stem not in ("__init__", "grid", "rows", "before_compare")
]
FIGURES = {
    *("infer_seconds", "infer_seconds_q25", "infer_seconds_q75", "latency_p50_seconds", "latency_p99_seconds"),
    *("train_step_seconds", "seconds_to_learn", "score", "parameters", "parameters_two_bias", "peak_rss_bytes"),
    *("compile_seconds_cold", "compile_seconds_warm", "import_seconds", "help_seconds", "python_seconds"),
}


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The suite's glue, imported as asv does."""
    monkeypatch.syspath_prepend(str(SUITE.parent))
    from suite import rows

    return rows


def seeds(change: Callable[..., Any] = lambda row: row, count: int = 3) -> list[tuple[Any, dict[str, Any]]]:
    made = [change(record("sunspots", "lstm", "numba", seed)) for seed in range(count)]
    return [(row, {"infer_seconds": [1e-3 * (1 + row.seed)] * 7}) for row in made]


# ---- the suite -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", BENCHMARK_FILES, ids=lambda path: path.stem)
def test_a_benchmark_is_one_call(path: Path) -> None:
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    assert functions
    for function in functions:
        assert len(function.body) == 1, f"{path.name}: {function.name}"
        assert re.match(r"(track|time)_", function.name)


def test_the_suite_has_every_figure() -> None:
    source = "".join(path.read_text() for path in BENCHMARK_FILES)
    names = re.findall(r"def ((?:track|time)_\w+)", source)
    assert {figure_name(name) for name in names} == FIGURES


def test_the_harness_knows_nothing_of_asv() -> None:
    for package in ("workers", "machine", "verify", "comparison", "records", "backends", "kernels", "tasks", "cells"):
        for path in (ROOT / "rnnbench" / package).rglob("*.py"):
            imported = re.findall(r"^\s*(?:import|from) (asv\w*)", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert imported == [], path


def test_grids_are_the_same_whatever_is_installed() -> None:
    """Read with -S: no package at all is there."""
    code = "import grid, dataclasses, json; print(json.dumps(dataclasses.asdict(grid.GRID)))"
    read = {}
    for profile in ("quick", "default", "full"):
        environment = {"RNNBENCH_PROFILE": profile, "PYTHONPATH": str(SUITE)}
        done = subprocess.run(
            [sys.executable, "-S", "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        read[profile] = json.loads(done.stdout)
    sizes = [len(g["tasks"]) * len(g["cells"]) * len(g["backends"]) * len(g["hidden_sizes"]) for g in read.values()]
    assert sizes == [6, 84, 588]


def test_a_rows_figures_are_those_of_its_seeds(rows: ModuleType) -> None:
    figures = rows.summary(seeds())["figures"]
    assert figures["infer_seconds"] == pytest.approx(statistics.geometric_mean(2.2e-4 * f for f in (1, 1.001, 1.002)))
    assert (figures["infer_seconds_q25"], figures["infer_seconds_q75"]) == (1e-3, 3e-3)
    assert figures["score"] == pytest.approx(0.60)
    assert figures["parameters"] == 4385
    assert (figures["compile_seconds_cold"], figures["compile_seconds_warm"]) == (1.9, 1.9)
    assert all(isinstance(figures[name], int | float) for name in FIGURES & figures.keys() - {"train_step_seconds"})


def test_the_seed_that_compiled_does_not_count_for_memory(rows: ModuleType) -> None:
    made = seeds(lambda row: replace(row, peak_rss_bytes=10**9) if row.compile_cache == "cold" else row)
    assert rows.summary(made)["figures"]["peak_rss_bytes"] == 210 * 2**20


def test_a_time_to_learn_needs_every_seed_to_learn(rows: ModuleType) -> None:
    made = seeds(lambda row: replace(row, seconds_to_learn=None) if row.seed == 1 else row)
    assert rows.summary(made)["figures"]["seconds_to_learn"] is None


def test_what_cannot_run_is_not_a_row(rows: ModuleType) -> None:
    assert rows.summary(seeds(lambda row: failed(row, "unsupported", "runs lstm and gru only"))) is None


def test_one_failed_seed_fails_the_row_with_its_reason(rows: ModuleType) -> None:
    made = seeds(lambda row: failed(row, "mismatch", "y is off by 0.1") if row.seed == 2 else row)
    assert rows.summary(made) == {"failed": "seed 2: mismatch: y is off by 0.1"}


def test_a_gap_is_raised_and_never_a_number(rows: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kept = {
        rows.key("sunspots", "lstm", "numba", 32): {"figures": {"score": 0.5, "seconds_to_learn": None}},
        rows.key("sunspots", "gru", "numba", 32): {"failed": "seed 0: crashed: SIGSEGV"},
    }
    rows.FIGURES.write_text(json.dumps(kept))
    benchmark = rows.Rows()
    assert benchmark.figure("score", "sunspots", "lstm", "numba", 32) == 0.5
    with pytest.raises(RuntimeError, match="SIGSEGV"):
        benchmark.figure("score", "sunspots", "gru", "numba", 32)
    with pytest.raises(SkipNotImplemented, match="has no seconds_to_learn"):
        benchmark.figure("seconds_to_learn", "sunspots", "lstm", "numba", 32)
    with pytest.raises(SkipNotImplemented, match="not installed"):
        benchmark.figure("score", "sunspots", "lstm", "torch", 32)


def test_what_is_measured_is_stored_and_what_is_not_installed_is_left_out(
    rows: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, NO_NUMBA)  # its kernels would be compiled anew
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RNNBENCH_RESULTS", str(tmp_path / "runs"))
    monkeypatch.setenv("RNNBENCH_CACHE_DIR", "to be restored")
    monkeypatch.setenv("ASV_COMMIT", "c" * 40)
    grid = rows.Grid(("sunspots", "no-such-task"), ("gru", "no-such-cell"), ("numpy", "no-such-backend"), (4,), 1, 60.0)
    found = rows.measure(grid)
    assert list(found) == ["sunspots gru numpy 4"]
    (run,) = Store(tmp_path / "runs").runs()
    (row,) = [record for record in run.records() if not record.is_baseline]
    assert (row.commit, row.dirty, row.status) == ("c" * 40, False, "ok")
    assert found["sunspots gru numpy 4"]["figures"]["parameters"] == row.parameters


def test_asv_finds_no_fault_with_the_suite() -> None:
    """In the environment we run in, and with the package we run."""
    environment = {**os.environ, "ASV_PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, "-m", "asv", "check", "--python=same"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "No problems found" in done.stdout, done.stdout + done.stderr


def test_committed_results_name_no_path_and_no_host() -> None:
    folder = ROOT / "results" / "asv"
    files = [path for path in folder.rglob("*") if path.is_file() and "ci" not in path.relative_to(folder).parts]
    if not any(path.name.count("-") for path in files):
        pytest.skip("a source distribution leaves asv's results out")
    for path in files:
        assert re.findall(r"(?<![\w.])/(?:home|root|tmp|usr|opt|work|Users)/", path.read_text()) == [], path
    assert {path.parent.name for path in files} == {"asv", "reference"}


# ---- recording a commit ----------------------------------------------------------------------------------------------


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    """A repository that asv could measure, as far as can be seen."""
    made = Scratch(tmp_path / "repository", count=2)
    (made.root / recording.CONFIGURATION).write_text("{}")
    here = SimpleNamespace(__file__=str(made.root / "rnnbench" / "__init__.py"))
    monkeypatch.setattr(recording, "rnnbench", here)
    monkeypatch.chdir(made.root)
    return made


@pytest.fixture
def asv_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, str]]]:
    """What asv is called with; its suite stores a run, as the true one does."""
    calls: list[tuple[list[str], dict[str, str]]] = []

    def run(command: list[str], env: dict[str, str], **_: Any) -> None:
        calls.append((command, env))
        stored(Path(env["RNNBENCH_RESULTS"]), cells=("lstm",), seeds=2)

    monkeypatch.setattr(recording, "run", run)
    return calls


def test_a_clean_commit_is_filed_under_its_hash(
    scratch: Scratch, asv_calls: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", "--track", "--quick", "--results", str(tmp_path / "runs")]) == 0
    ((command, environment),) = asv_calls
    assert command[1:4] == ["-m", "asv", "run"]
    assert command[-2:] == ["--set-commit-hash", scratch.hashes[-1]]
    assert environment["RNNBENCH_PROFILE"] == "quick"
    shown = capsys.readouterr()
    assert "sunspots" in shown.out
    assert f"filed under {scratch.hashes[-1][:8]} (Change number 1)" in shown.err


def test_a_dirty_tree_is_measured_and_filed_under_nothing(
    scratch: Scratch, asv_calls: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (scratch.root / "file.txt").write_text("changed")
    assert main(["compare", "--track", "--results", str(tmp_path / "runs")]) == 0
    ((command, environment),) = asv_calls
    assert "--dry-run" in command
    assert "--set-commit-hash" not in command
    assert environment["RNNBENCH_PROFILE"] == "default"
    assert "the run is marked dirty" in capsys.readouterr().err


def test_asvs_own_files_make_no_tree_dirty(scratch: Scratch) -> None:
    results = scratch.root / "results" / "asv"
    results.mkdir(parents=True)
    (results / "benchmarks.json").write_text("{}")
    scratch.git("add", "results")
    scratch.git("commit", "-q", "-m", "Results")
    (results / "benchmarks.json").write_text("{ }")
    assert not Repository(scratch.root).changed()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--seeds", "3"), "--seeds does not go with --track"),
        (("--cell", "lstm"), "--cell does not go with --track"),
        (("--resume",), "--resume does not go with --track"),
    ],
)
def test_rows_are_the_suites_to_choose(
    scratch: Scratch, asv_calls: list[Any], capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert main(["compare", "--track", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert asv_calls == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("run", lambda *_, **__: None, "asv measured nothing"),
        ("find_spec", lambda _: None, "asv, which is not installed"),
        ("CONFIGURATION", "none.json", r"there is no none\.json"),
        ("rnnbench", rnnbench, "not from this checkout"),
    ],
)
def test_what_cannot_be_recorded_is_told(
    scratch: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: Any, said: str
) -> None:
    monkeypatch.setattr(recording, name, value)
    with pytest.raises(UsageError, match=said):
        recording.record(Repository(scratch.root), tmp_path / "runs", "quick")
