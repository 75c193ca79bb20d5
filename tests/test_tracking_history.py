"""`rnnbench history`: order, steps and the commits that made them."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from scratch_history import Scratch, write_asv
from stored_runs import stored

from rnnbench.cli import main
from rnnbench.records.figures import unit
from rnnbench.report.text import amount
from rnnbench.tracking.commits import Commit
from rnnbench.tracking.series import Reading, in_order, steps

Capture = pytest.CaptureFixture[str]
SLOWER = [1.00e-3, 1.01e-3, 0.99e-3, 1.20e-3, 1.21e-3, 1.19e-3]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    return Scratch(tmp_path_factory.mktemp("scratch") / "repository")


@pytest.fixture
def scratch(repository: Scratch, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    """We stand in the repository; results lie in the test's own folder."""
    monkeypatch.chdir(repository.root)
    monkeypatch.setenv("COLUMNS", "120")
    return repository


def history(folder: Path, *arguments: str) -> int:
    return main(["history", "--asv", str(folder / "asv"), "--results", str(folder / "runs"), *arguments])


def reading(commit: str, seconds: int, value: float | None, figure: str = "infer_seconds") -> Reading:
    return Reading("m", "e", figure, (("cell", "lstm"),), commit, seconds, value)


def test_commits_of_another_branch_come_by_their_date() -> None:
    commits = [Commit("a", "", 10), Commit("b", "", 5), Commit("c", "", 30)]  # b was made before a and stands on it
    given = [reading("c", 30, 3.0), reading("x", 20, 2.5), reading("b", 5, 2.0), reading("a", 10, 1.0)]
    (series,) = in_order(given, commits)
    assert [point.commit for point in series.points] == ["a", "b", "x", "c"]


def test_other_machines_are_other_series() -> None:
    given = [reading("a", 1, 1.0), Reading("n", "e", "infer_seconds", (("cell", "lstm"),), "a", 1, 2.0)]
    assert len(in_order(given, [])) == 2


@pytest.mark.parametrize(
    ("figure", "values", "expected"),
    [
        ("infer_seconds", SLOWER, [3]),
        ("infer_seconds", [1.0, 1.0, 1.0, 1.01, 1.01, 1.01], []),  # real, and below what a quiet machine shows
        ("parameters", [1000, 1000, 1000, 1001, 1001, 1001], [3]),  # has no noise
        ("infer_seconds", [1.0, None, 1.0, None, 1.3, 1.3], [4]),
        ("infer_seconds", [None, None], []),
        ("score", [0.0, 0.0, 0.0, 0.5, 0.5, 0.5], [3]),
        ("score", [0.569, 0.569, 0.569, 0.56900001, 0.56900001, 0.56900001], []),  # another rounding
    ],
)
def test_steps_are_found(figure: str, values: list[float | None], expected: list[int]) -> None:
    (series,) = in_order([reading(f"{n}", n, value, figure) for n, value in enumerate(values)], [])
    assert [step.at for step in steps(series)] == expected


def test_the_step_and_its_commit_are_named(scratch: Scratch, tmp_path: Path, capsys: Capture) -> None:
    faster = [value / 2 for value in SLOWER]
    write_asv(tmp_path / "asv", scratch.hashes, {("lstm", "numba"): SLOWER, ("lstm", "numpy"): faster[:3] + faster[:3]})
    assert history(tmp_path) == 0
    shown = capsys.readouterr().out
    assert "infer_seconds: sunspots lstm, hidden_size 32; machine reference" in shown
    assert shown.index("Change number 0") < shown.index("Change number 5")
    assert shown.count("rose by") == 1
    commit = scratch.hashes[3][:8]
    assert f"of lstm on numba rose by 20 % at {commit} (Change number 3): from 1.00 ms to 1.20 ms." in " ".join(
        shown.replace("\N{NO-BREAK SPACE}", " ").split()
    )


def test_a_step_between_measured_commits_is_told_as_that(scratch: Scratch, tmp_path: Path, capsys: Capture) -> None:
    values = [*SLOWER[:2], None, None, *SLOWER[4:]]
    write_asv(tmp_path / "asv", scratch.hashes, {("lstm", "numba"): values})
    assert history(tmp_path) == 0
    assert f"after {scratch.hashes[1][:8]} and by {scratch.hashes[4][:8]} (Change number 4)" in capsys.readouterr().out


def test_json_holds_points_gaps_and_steps(scratch: Scratch, tmp_path: Path, capsys: Capture) -> None:
    write_asv(tmp_path / "asv", scratch.hashes, {("lstm", "numba"): SLOWER, ("gru", "numba"): [None, *SLOWER[1:]]})
    assert history(tmp_path, "--cell", "gru", "--json", "-") == 0
    (series,) = json.loads(capsys.readouterr().out)["series"]
    assert series["cell"] == "gru"
    assert [point["value"] for point in series["points"]] == [None, *SLOWER[1:]]
    assert [step["commit"] for step in series["steps"]] == [scratch.hashes[3]]


def test_a_backend_that_is_not_installed_is_told_as_such_and_moves_no_series(
    scratch: Scratch, tmp_path: Path, capsys: Capture
) -> None:
    write_asv(tmp_path / "asv", scratch.hashes, {("lstm", "numba"): SLOWER})
    history(tmp_path, "--json", "-")
    alone = capsys.readouterr()
    assert "n/a" not in alone.err
    write_asv(tmp_path / "asv", scratch.hashes, {("lstm", "numba"): SLOWER, ("lstm", "torch"): [math.nan] * 6})
    history(tmp_path, "--json", "-")
    beside = capsys.readouterr()
    assert json.loads(beside.out) == json.loads(alone.out)
    assert "n/a at every commit, as not installed or failed: torch" in beside.err


def test_a_backend_that_is_there_for_some_commits_has_gaps_at_the_others(
    scratch: Scratch, tmp_path: Path, capsys: Capture
) -> None:
    """Its gaps are neither zero nor a step, and the backend beside it keeps its own."""
    late = [math.nan, math.nan, None, 2e-3, 2e-3, 2e-3]
    write_asv(tmp_path / "asv", scratch.hashes, {("lstm", "numba"): SLOWER, ("lstm", "torch"): late})
    assert history(tmp_path, "--json", "-") == 0
    shown = capsys.readouterr()
    numba, torch = json.loads(shown.out)["series"]
    assert [point["value"] for point in numba["points"]] == SLOWER
    assert [point["value"] for point in torch["points"]] == [None] * 3 + [2e-3] * 3
    assert [len(series["steps"]) for series in (numba, torch)] == [1, 0]
    assert "n/a" not in shown.err


def test_machines_have_tables_of_their_own(scratch: Scratch, tmp_path: Path, capsys: Capture) -> None:
    write_asv(tmp_path / "asv", scratch.hashes, {("lstm", "numba"): SLOWER}, machine="one")
    write_asv(tmp_path / "asv", scratch.hashes, {("lstm", "numba"): SLOWER}, machine="two")
    assert history(tmp_path) == 0
    shown = capsys.readouterr().out
    assert "machine one" in shown
    assert "machine two" in shown
    assert history(tmp_path, "--machine", "two") == 0
    assert "machine one" not in capsys.readouterr().out


def test_environments_of_one_machine_have_titles_of_their_own(
    scratch: Scratch, tmp_path: Path, capsys: Capture
) -> None:
    values = {("lstm", "numba"): SLOWER}
    for machine, environment in (("a", "py3.11"), ("a", "py3.12"), ("b", "py3.12")):
        write_asv(tmp_path / "asv", scratch.hashes, values, machine, environment=environment)
    assert history(tmp_path) == 0
    titles = [line for line in capsys.readouterr().out.splitlines() if "; machine " in line]
    assert [title.partition("; ")[2] for title in titles] == ["machine a, py3.11", "machine a, py3.12", "machine b"]


def test_stored_runs_are_shown_where_asv_has_none_or_when_asked_for(
    scratch: Scratch, tmp_path: Path, capsys: Capture
) -> None:
    """A runtime that only infers stands beside the one whose weights it is scored with."""
    commit = scratch.hashes[2]
    stored(tmp_path / "runs", cells=("lstm",), change=lambda row: replace(row, commit=commit, machine="testor-2c"))
    assert history(tmp_path) == 0
    shown = capsys.readouterr().out
    assert shown.count("machine testor-2c, stored runs") == 1
    (line,) = [line for line in shown.splitlines() if line.startswith(commit[:8])]
    assert "µs" in line
    assert "ms" in line
    write_asv(tmp_path / "asv", scratch.hashes, {("lstm", "numba"): SLOWER})
    assert history(tmp_path) == 0
    assert "stored runs" not in capsys.readouterr().out
    assert history(tmp_path, "--source", "both") == 0
    shown = capsys.readouterr().out
    assert "stored runs" in shown
    assert "machine reference" in shown


def test_a_run_in_which_nothing_trained_names_no_number_of_steps(
    scratch: Scratch, tmp_path: Path, capsys: Capture
) -> None:
    stored(tmp_path / "runs", change=lambda row: replace(row, commit=scratch.hashes[2], train_steps=None))
    assert history(tmp_path, "--source", "runs") == 0
    assert "train_steps" not in capsys.readouterr().out


def test_skipped_files_are_counted(scratch: Scratch, tmp_path: Path, capsys: Capture) -> None:
    write_asv(tmp_path / "asv", scratch.hashes, {("lstm", "numba"): SLOWER})
    for name in ("x", "y"):
        (tmp_path / "asv" / "reference" / f"{name}.json").write_text("nothing")
    assert history(tmp_path) == 0
    assert "2 files skipped" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--figure", "infer_secnds"), "unknown figure 'infer_secnds'; did you mean 'infer_seconds'?"),
        (("--cell", "grru"), "no series fits; leave out"),
        (("--plot", "graph.txt"), "its name must end in .svg, .png, .pdf"),
        (("--plot", "nowhere/graph.svg"), "there is no folder 'nowhere'"),
    ],
)
def test_what_cannot_be_shown_is_told(
    scratch: Scratch, tmp_path: Path, capsys: Capture, arguments: tuple[str, ...], said: str
) -> None:
    write_asv(tmp_path / "asv", scratch.hashes, {("lstm", "numba"): SLOWER})
    assert history(tmp_path, *arguments) == 2
    assert said in capsys.readouterr().err


def test_nothing_recorded_yet(scratch: Scratch, tmp_path: Path, capsys: Capture) -> None:
    assert history(tmp_path) == 2
    assert "record a commit with `rnnbench compare --track`" in capsys.readouterr().err


def test_the_plot_draws_every_series_and_its_step(scratch: Scratch, tmp_path: Path) -> None:
    write_asv(tmp_path / "asv", scratch.hashes, {("lstm", "numba"): SLOWER, ("gru", "numpy"): SLOWER})
    assert history(tmp_path, "--plot", str(tmp_path / "graph.svg"), "--json", "-") == 0
    drawn = (tmp_path / "graph.svg").read_text()
    for word in ("numba", "numpy", scratch.hashes[0][:8], "infer_seconds"):
        assert f"<!-- {word}" in drawn or word in drawn
    assert history(tmp_path, "--plot", str(tmp_path / "graph.png"), "--json", "-") == 0
    assert (tmp_path / "graph.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("figure", "value", "text"),
    [
        ("infer_seconds", 1.5e-3, "1.50 ms"),
        ("infer_seconds_q25", 1.5e-3, "1.50 ms"),
        ("seconds_to_learn", 2.0, "2.00 s"),
        ("compile_seconds_cold", 2.0, "2.00 s"),
        ("peak_rss_bytes", 2.0**27, "128 MiB"),
        ("parameters", 4385.0, "4385"),
        ("score", 0.5267, "0.527"),
        ("score", None, "–"),
    ],
)
def test_a_figure_is_shown_in_the_unit_that_its_name_says(figure: str, value: float | None, text: str) -> None:
    assert amount(value, unit(figure)) == text
