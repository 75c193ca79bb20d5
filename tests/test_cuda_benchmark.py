"""benchmarks/gpu.py, dry: the whole script in the simulator, on shapes of a few units."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rnnbench.plugins import registry

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gpu.py"
TORCH_ERROR = 1e-5  # between two float32 results; seen: 4e-7


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    folder = tmp_path_factory.mktemp("gpu")
    command = [sys.executable, "-W", "error", str(SCRIPT), "--dry", "--out", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600), folder


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
        assert row["train_seconds"] > row["infer_seconds"] > 0
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
