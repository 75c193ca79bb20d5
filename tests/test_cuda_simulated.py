"""The CUDA kernels in Numba's simulator, which needs no GPU and no CUDA package: every cell against the reference.

The simulator runs the kernels' Python, so it finds wrong logic; what it cannot find (types, registers, intrinsics) is
the business of test_cuda_ptx.py. Errors seen are below 2e-15 and 4e-7: a wrong sign or index gives 1e-3 and more.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).parent / "cuda_cases.py"
SECONDS = 600
TOLERANCES = {"float64": 1e-12, "float32": 2e-6}
# In float32 a gradient is a sum over visits, and the loss a sum over outputs.
GRADIENTS = {"float64": 1e-10, "float32": 1e-5}
MODES = ("alone", "cooperative", "streamed", "stepped")

Results = dict[str, dict[str, float] | str]


@pytest.fixture(scope="module")
def results() -> Results:
    """Return those of all cases, from one process."""
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(CASES)], capture_output=True, text=True, timeout=SECONDS, env=environment
    )
    assert done.returncode == 0, done.stderr
    found: Results = json.loads(done.stdout)
    return found


def errors(results: Results, name: str) -> dict[str, float]:
    found = results[name]
    assert not isinstance(found, str), found  # a traceback
    return found


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_cell_agrees_with_the_reference(results: Results, cell_id: str, dtype: str) -> None:
    found = errors(results, f"{cell_id} {dtype}")
    assert found["outputs"] <= TOLERANCES[dtype]
    assert found["states"] <= TOLERANCES[dtype]
    assert found["loss"] <= GRADIENTS[dtype]
    assert found["gradients"] <= GRADIENTS[dtype]


@pytest.mark.parametrize("cell", ["lstm", "gru-before"])
@pytest.mark.parametrize("mode", MODES)
def test_every_way_over_the_gpu_agrees(results: Results, cell: str, mode: str) -> None:
    found = errors(results, f"{cell} {mode}")
    stages = 2 if cell == "gru-before" else 1
    assert found.pop("launches") == (stages if mode == "stepped" else 1)
    assert max(found.values()) <= TOLERANCES["float64"]


@pytest.mark.parametrize("name", ["barriers resumed", "parts", "trained", "trained, clipped", "streamed"])
def test_around_the_scan(results: Results, name: str) -> None:
    found = errors(results, name)
    found.pop("launches", None)
    assert max(found.values()) <= TOLERANCES["float64"]
