"""benchmarks/gpu.py, dry: the whole script in the simulator, on shapes of a few units."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from multiprocessing import resource_tracker
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rnnbench.registry import registry

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gpu.py"
TORCH_ERROR = 1e-5  # between two float32 results; seen: 4e-7


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    folder = tmp_path_factory.mktemp("gpu")
    command = [sys.executable, "-W", "error", str(SCRIPT), "--dry", "--out", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600), folder


@pytest.mark.slow
def test_it_checks_every_cell_and_times_those_it_names(
    run: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, folder = run
    assert done.returncode == 0, done.stderr
    found = json.loads((folder / "gpu.json").read_text())
    assert {each["cell"] for each in found["checks"]} == set(registry().cells)
    assert all(each["ok"] for each in found["checks"])
    assert [row["cell"] for row in found["rows"]] == ["lstm", "gru", "gru-before", "ugrnn", "mingru"]
    for row in found["rows"]:
        assert "error" not in row
        assert row["infer_seconds"] > 0 < row["train_seconds"]
        assert row["copy_in_seconds"] > 0 < row["copy_out_seconds"]
    if found["versions"]["torch"] != "not installed":
        for row in found["rows"][:2]:
            assert max(row["output_difference"], row["gradient_difference"]) < TORCH_ERROR
            assert row["cudnn_train_seconds"] > 0


def test_it_writes_a_table(run: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, folder = run
    shown = (folder / "gpu.md").read_text()
    cells = len(registry().cells)
    assert f"{cells} of {cells} checks against the float64 reference passed" in shown
    assert shown.count("\n| ") == 6  # the head and five rows
    assert done.stdout.endswith(shown + "\n")


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    """Import the module where its own processes find it too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)
        yield import_module("gpu")
    resource_tracker._resource_tracker._stop()  # a process of multiprocessing's own, which outlives those it was for


BROKEN = {"what": "check", "cell": "no such cell", "dtype": "float32", "shape": [2, 2, 2, 3, False]}


def test_a_case_that_fails_costs_its_process_and_nothing_else(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel's fault leaves a CUDA context that is of no more use; one that waits for ever must be ended."""
    monkeypatch.setenv("NUMBA_ENABLE_CUDASIM", "1")
    worker = script.Worker()
    try:
        found = worker.ask(BROKEN)
        assert found["error"].startswith("UnknownName: ")
        assert not found["ok"]
        assert worker._child is None
        monkeypatch.setattr(script, "PATIENCE_SECONDS", 0.01)
        assert worker.ask(BROKEN)["error"] == "died, or took more than 0.01 s"
        assert worker._child is None
    finally:
        worker.stop()


class Fake:
    """Answers at once."""

    def ask(self, case: dict[str, Any]) -> dict[str, Any]:
        return {"cell": case["cell"]}


def test_cases_are_shared_out_until_time_is_over(script: ModuleType) -> None:
    cases, kept = [{"what": "row", "cell": str(n)} for n in range(9)], []

    def keep(what: str, found: dict[str, Any]) -> None:
        kept.append((what, found["cell"]))

    assert script.spread(cases, [Fake(), Fake()], time.monotonic() + 60, keep) == 0
    assert sorted(kept) == [("row", str(n)) for n in range(9)]
    assert script.spread(cases, [Fake()], time.monotonic() - 1, keep) == 9


def test_the_rows_that_matter_most_come_first(script: ModuleType) -> None:
    rows = [(row["B"] <= 32 and row["H"] <= 512) for row in script.Sizes().rows(None)]
    assert rows == sorted(rows, reverse=True)
    assert 0 < sum(rows) < len(rows)


def test_without_a_gpu_it_says_so_in_one_line(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}
    command = [sys.executable, str(SCRIPT), "--out", str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=600, env=environment | {"CUDA_VISIBLE_DEVICES": ""}
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
