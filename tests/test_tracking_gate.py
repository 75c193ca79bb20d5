"""`rnnbench gate` from the command line, on stored runs and on two live checkouts."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from scratch_history import Scratch
from stored_runs import MACHINE, failed, stored

from rnnbench import registry as plugins
from rnnbench.cli import main
from rnnbench.records.record import Record
from rnnbench.records.store import Store
from rnnbench.tracking import ab, regressions
from rnnbench.tracking.ab import BASE, CANDIDATE, Checkout, GatePlan, measure
from rnnbench.tracking.checkout_worker import Sizes
from rnnbench.tracking.commits import Repository

Capture = pytest.CaptureFixture[str]
ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def restored_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_current", plugins.registry())
    monkeypatch.setattr(plugins, "_requests", plugins.requests())


# ---- two stored runs -------------------------------------------------------------------------------------------------


def gate_runs(root: Path, capsys: Capture) -> tuple[int, list[str]]:
    """Exit code and regressions of the two runs in a store."""
    before, after = (run.id for run in Store(root).runs())
    code = main(["gate", before, after, "--results", str(root), "--json", "-"])
    return code, json.loads(capsys.readouterr().out)["regressions"]


def worse(row: Record, **factors: float) -> Record:
    """The LSTM's row on numba with some figures multiplied."""
    if (row.cell, row.backend) != ("lstm", "numba"):
        return row
    changes = {name: getattr(row, name) * factor for name, factor in factors.items()}
    return replace(
        row, **{name: round(value) if "param" in name or "bytes" in name else value for name, value in changes.items()}
    )


def test_two_runs_of_the_same_figures_pass(tmp_path: Path, capsys: Capture) -> None:
    stored(tmp_path), stored(tmp_path)
    assert gate_runs(tmp_path, capsys) == (0, [])


@pytest.mark.parametrize(
    ("figure", "factor", "said"),
    [
        ("infer_seconds", 1.15, "sunspots lstm h32 on numba is slower: inference went from 220 µs to 254 µs"),
        ("latency_p50_seconds", 1.5, "is slower: single step"),
        ("peak_rss_bytes", 1.2, "is larger: peak memory went from 210 MiB to 252 MiB"),
        ("parameters", 1.01, "is larger: parameters went from 4385 to 4429"),
        ("score", 1.2, "is less accurate: score went from 0.610 to 0.732"),
    ],
)
def test_what_got_worse_between_runs_is_named(
    tmp_path: Path, capsys: Capture, figure: str, factor: float, said: str
) -> None:
    stored(tmp_path), stored(tmp_path, change=lambda row: worse(row, **{figure: factor}))
    code, (sentence,) = gate_runs(tmp_path, capsys)
    assert code == 4
    assert said in sentence


def test_rows_stand_in_the_order_of_the_old_run(tmp_path: Path, capsys: Capture) -> None:
    stored(tmp_path), stored(tmp_path, cells=("gru", "lstm", "rnn-tanh"), backends=("numpy", "numba"))
    before, after = (run.id for run in Store(tmp_path).runs())
    main(["gate", before, after, "--results", str(tmp_path), "--json", "-"])
    series = dict.fromkeys(row["series"] for row in json.loads(capsys.readouterr().out)["rows"])
    pairs = [(cell, backend) for cell in ("rnn-tanh", "lstm", "gru") for backend in ("numba", "numpy")]
    assert list(series) == [f"sunspots {cell} h32 on {backend}" for cell, backend in pairs]


def test_a_row_that_fails_now_is_a_regression(tmp_path: Path, capsys: Capture) -> None:
    stored(tmp_path)
    stored(tmp_path, change=lambda row: failed(row, "mismatch", "y is off by 0.1") if row.cell == "gru" else row)
    code, sentences = gate_runs(tmp_path, capsys)
    assert code == 4
    assert "sunspots gru h32 on numba no longer runs: mismatch: y is off by 0.1." in sentences


def test_unlike_machines_are_refused(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(tmp_path)
    monkeypatch.setitem(MACHINE, "id", "other-8c")
    stored(tmp_path)
    before, after = (run.id for run in Store(tmp_path).runs())
    assert main(["gate", before, after, "--results", str(tmp_path)]) == 2
    assert "is of machine testor-2c and run" in capsys.readouterr().err


def test_runs_without_a_common_row_are_refused(tmp_path: Path, capsys: Capture) -> None:
    stored(tmp_path, cells=("gru",)), stored(tmp_path, cells=("lstm",))
    before, after = (run.id for run in Store(tmp_path).runs())
    assert main(["gate", before, after, "--results", str(tmp_path)]) == 2
    assert "have no row in common" in capsys.readouterr().err


def test_the_table_and_the_last_line_are_printed(tmp_path: Path, capsys: Capture) -> None:
    stored(tmp_path), stored(tmp_path, change=lambda row: worse(row, infer_seconds=1.5))
    assert main(["gate", Store(tmp_path).runs()[0].id, "--results", str(tmp_path)]) == 4
    shown = capsys.readouterr().out
    assert "slower" in shown
    assert shown.rstrip().endswith("1 regression in 36 series.")


# ---- two commits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such-branch"], "there is no commit 'no-such-branch' here"),
        (["--output=x"], "No such option"),
        (["20261123-000000-abcdef", "HEAD"], "a run cannot be compared with a commit"),
        (["HEAD", "--backend", "nunba"], "unknown backend 'nunba'; did you mean 'numba'?"),
        (["HEAD", "--cell", "lstn"], "unknown cell 'lstn'; did you mean 'lstm'?"),
    ],
)
def test_what_cannot_be_gated_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(Scratch(tmp_path / "repository", count=1).root)
    assert main(["gate", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_base_that_holds_no_rnnbench_cannot_be_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(Scratch(tmp_path / "repository", count=2).root)
    assert main(["gate", "HEAD~1", "--backend", "numpy", "--cell", "gru", "--processes", "2"]) == 2
    assert (
        "(Change number 0), cannot be measured: load_error: its process imported rnnbench from"
        in capsys.readouterr().err
    )


def test_an_export_holds_the_commit_and_leaves_no_trace(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "repository", count=2)
    repository = Repository(scratch.root)
    repository.export(repository.commit("HEAD~1"), tmp_path / "out")
    assert (tmp_path / "out" / "file.txt").read_text() == "0"
    assert not repository.changed()
    assert [commit.subject for commit in repository.history()] == ["Change number 0", "Change number 1"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this package that tests may copy again and break."""
    root = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "rnnbench", root / "rnnbench", ignore=shutil.ignore_patterns("__pycache__"))
    return root


TINY = GatePlan(cells=("gru", "rnn-tanh"), backend="numpy", processes=2, sizes=Sizes(2, 4, 3, 8, 2))


def change(checkout: Path, root: Path, file: str, added: str) -> Checkout:
    shutil.copytree(checkout, root)
    with (root / "rnnbench" / file).open("a", encoding="utf-8") as source:
        source.write(added)
    return Checkout(root)


@pytest.mark.slow
def test_both_sides_are_measured_in_processes_of_their_own(checkout: Path, tmp_path: Path) -> None:
    """The candidate's GRU sleeps, its numbers are doubled, and its rnn-tanh raises."""
    candidate = change(
        checkout,
        tmp_path / "candidate",
        "backends/numpy_reference.py",
        """
import time
_forward = NumpySession.forward
def _slowed(self, x, lengths=None, state=None):
    if self.model.cell == "rnn-tanh":
        raise RuntimeError("no rnn-tanh today")
    time.sleep(0.01)
    y, state = _forward(self, x, lengths, state)
    return 2 * y, state
NumpySession.forward = _slowed
""",
    )
    said: list[str] = []
    found = measure(Checkout(checkout), candidate, TINY, said.append)
    assert said[-1] == "process 2 of 2"
    assert found.failures == {(CANDIDATE, "rnn-tanh"): "crashed: RuntimeError: no rnn-tanh today"}
    shapes = {key: [len(rounds) for rounds in processes] for key, processes in found.times.items()}
    assert shapes == {(side, "gru", figure): [ab.ROUNDS] * 2 for side in ab.SIDES for figure in ("infer", "step")}
    assert min(found.times[CANDIDATE, "gru", "infer"][0]) >= 0.01
    assert found.facts[BASE, "gru"].error < 1e-5
    assert found.facts[CANDIDATE, "gru"].error == pytest.approx(1.0, rel=1e-4)
    assert {side: len(values) for side, values in found.memory.items()} == dict.fromkeys(ab.SIDES, 2)
    worse = {(f.name, f.figure) for f in regressions.regressed(regressions.changes(found, "numpy"))}
    assert ("gru on numpy", "error") in worse


def test_a_changed_parameter_count_is_found_though_the_weights_no_longer_fit(checkout: Path, tmp_path: Path) -> None:
    candidate = change(
        checkout,
        tmp_path / "candidate",
        "cells/gru.py",
        """
from dataclasses import replace
_stage = GRU.stages[0]
def _pair(m):
    forward, backward = _stage.pair(m)
    return (lambda pre, prev: forward(pre[:-1], prev)), backward
GRU = replace(GRU, stages=(replace(_stage, accumulators=(*_stage.accumulators, Accumulator("idle")), pair=_pair),))
""",
    )
    plan = replace(TINY, cells=("gru",), figures=frozenset(), processes=2)
    found = measure(Checkout(checkout), candidate, plan, lambda _: None)
    assert found.failures == {}
    assert found.facts[CANDIDATE, "gru"].error is None
    worse = {f.figure for f in regressions.regressed(regressions.changes(found, "numpy"))}
    assert {"parameters", "parameters_two_bias"} <= worse


def test_a_commit_whose_modules_lie_elsewhere_is_measured(checkout: Path, tmp_path: Path) -> None:
    """As before measuring was divided into rooms; what such a commit cannot do is told by its own words."""
    older = tmp_path / "older"
    shutil.copytree(checkout, older)
    package = older / "rnnbench"
    (package / "measure").mkdir()
    (package / "comparison" / "arrays.py").rename(package / "measure" / "arrays.py")
    for room in ("comparison", "clock.py"):
        shutil.rmtree(package / room) if (package / room).is_dir() else (package / room).unlink()
    found = measure(
        Checkout(older), Checkout(checkout), replace(TINY, cells=("gru", "gro"), processes=1), lambda _: None
    )
    assert set(found.failures) == {(BASE, "gro")}
    assert "unknown cell 'gro'" in found.failures[BASE, "gro"]
    assert (BASE, "gru", "infer") in found.times


def test_both_sides_are_timed_by_the_gate_and_not_by_their_own_clock(checkout: Path, tmp_path: Path) -> None:
    """A commit that breaks the harness's timing does not change what its own speed is measured to be."""
    candidate = change(checkout, tmp_path / "candidate", "clock.py", "\ndef timed(*_):\n    return 1000.0, None\n")
    plan = replace(TINY, cells=("gru",), figures=frozenset({"infer"}), processes=1)
    found = measure(Checkout(checkout), candidate, plan, lambda _: None)
    assert max(found.times[CANDIDATE, "gru", "infer"][0]) < 100


def test_a_folder_without_the_package_is_told_apart_from_it(tmp_path: Path) -> None:
    found = measure(Checkout(tmp_path), Checkout(tmp_path), replace(TINY, processes=1), lambda _: None)
    assert set(found.failures) >= {(BASE, "gru"), (BASE, "rnn-tanh")}
    assert all("not from the commit" in reason or "ModuleNotFound" in reason for reason in found.failures.values())
