"""The scripts of examples/, each run as its first line says."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rnnbench
from rnnbench.testing import gradient_error

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def printed(folder: Path, name: str, *more: str) -> str:
    """Return what a script prints; its files go to `folder`."""
    environment = {**os.environ, "PYTHONPATH": str(Path(rnnbench.__file__).parents[1])}
    command = [sys.executable, str(EXAMPLES / name), *more]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_example_is_run_here_and_says_how() -> None:
    scripts = {path.name: path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*.py")}
    assert sorted(scripts) == ["compare.py", "own_cell.py", "own_model.py"]
    assert [name for name, text in scripts.items() if f"python examples/{name}" not in text] == []


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(rnnbench, "compare"), reason="needs rnnbench.compare")
def test_compare(tmp_path: Path) -> None:
    shown = printed(tmp_path, "compare.py").splitlines()
    assert shown[0].split()[:3] == ["cell", "parameters", "score"]
    rows = [line.split()[0] for line in shown[1:]]
    assert rows[-2:] == ["lstm", "gru"]
    assert {"constant", "ridge", "mlp"} <= set(rows)


@pytest.mark.slow
def test_own_cell(tmp_path: Path) -> None:
    shown = printed(tmp_path, "own_cell.py", "--steps", "3", "--json", "-")
    rows = json.loads(shown)["rows"]
    own = [(row["cell"], row["status"]) for row in rows if row["backend"] == "numba"]
    assert own == [("indrnn", "ok"), ("rnn-tanh", "ok")]


@pytest.mark.usefixtures("default_registry")
def test_the_derivatives_of_own_cell_are_right() -> None:
    from rnnbench.registry import configure

    configure([str(EXAMPLES / "own_cell.py")])
    assert gradient_error("indrnn") < 1e-12


def test_own_model(tmp_path: Path) -> None:
    before, after, seen, told = map(float, re.findall(r"[-+]?\d\.\d+", printed(tmp_path, "own_model.py")))
    assert after < 0.02 < before
    assert abs(told - seen) < 0.5
    assert (tmp_path / "wave.safetensors").is_file()
