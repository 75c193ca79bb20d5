"""Every tool and script is run by a test, in its smallest form; here those without a test file of their own."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import check_gate
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = [path for folder in ("tools", "benchmarks") for path in sorted((ROOT / folder).glob("*.py"))]
SCRIPTS = [path for path in SCRIPTS if "__main__" in path.read_text(encoding="utf-8")]  # others are imported by these


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_script_is_run_by_some_test(script: Path) -> None:
    tests = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    assert any(re.search(rf"[/\"]{script.name}\"", text) for text in tests)


def run(script: str, *arguments: str, **variables: str) -> str:
    command = [sys.executable, str(ROOT / script), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_validation_runs_a_part_of_itself(tmp_path: Path) -> None:
    into = tmp_path / "found.json"
    shown = run("tools/validate.py", "coverage", "--count", "60", "--into", str(into))
    assert "normal, 5 processes: t 0." in shown
    part = json.loads(into.read_text(encoding="utf-8"))["parts"]["coverage"]
    assert part["count"] == 60
    assert len(part["commit"]) in (0, 40)


@pytest.mark.slow
def test_the_kernels_are_set_against_a_peer(tmp_path: Path) -> None:
    asked = ["--backends", "numba,numpy", "--threads", "1", "--shapes", "2,3,4,5", "--out", str(tmp_path)]
    rows = run("benchmarks/peers.py", *asked).splitlines()
    assert [line.split(" | ")[:2] for line in rows][:2] == [["| lstm", "2, 3, 4, 5"]] * 2
    assert [line.split()[-2] for line in rows] == ["inference", "training"] * 2 + ["streaming"] * 2
    page = (tmp_path / "peers.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (\w+) \| 1 \| (\w+) \|", page, re.MULTILINE)[0] == ("inference", "lstm")
    kept = json.loads((tmp_path / "peers.json").read_text(encoding="utf-8"))["rows"]
    assert [sorted(row["times"]) for row in kept if row["what"] != "training"] == [["numba", "numpy"]] * 4
    assert not any(row["failures"] for row in kept)


# ---- what is put before the gate -------------------------------------------------------------------------------------


@pytest.mark.parametrize("proof", check_gate.PROOFS, ids=lambda proof: proof.name)
def test_what_is_put_before_the_gate_is_still_there_to_be_changed(proof: check_gate.Proof, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "rnnbench", tmp_path / "rnnbench", ignore=shutil.ignore_patterns("__pycache__"))
    proof.change(tmp_path)
    sources = {path.relative_to(tmp_path): path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.py")}
    changed = [name for name, text in sources.items() if text != (ROOT / name).read_text(encoding="utf-8")]
    assert len(changed) == 1
    compile(sources[changed[0]], str(changed[0]), "exec")


def session_changed_by(change: object, folder: Path, forward: object) -> object:
    """Return a session of an LSTM with this forward, as the scratch commit makes it."""
    (folder / "rnnbench").mkdir()
    (folder / "rnnbench" / "loading.py").write_text("def session(backend, model):\n    return model.made\n")
    change(folder)
    names: dict[str, object] = {}
    exec((folder / "rnnbench" / "loading.py").read_text(encoding="utf-8"), names)
    return names["session"]("numba", SimpleNamespace(cell="lstm", made=SimpleNamespace(forward=forward)))


def test_the_slow_commit_makes_three_calls_of_twenty_twice(tmp_path: Path) -> None:
    calls: list[object] = []
    made = session_changed_by(check_gate.repeat_calls, tmp_path, lambda *given: calls.append(given) or "y")
    assert [made.forward(n) for n in range(40)] == ["y"] * 40
    assert len(calls) == 46


def test_the_imprecise_commit_rounds_outputs_to_half_precision(tmp_path: Path) -> None:
    made = session_changed_by(check_gate.round_outputs, tmp_path, lambda x: (x, "state"))
    y, state = made.forward(np.float32([0.1, 2.0]))
    assert (y.dtype, state) == (np.float32, "state")
    np.testing.assert_array_equal(y, [np.float16(0.1), 2])


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists() or not shutil.which("git"), reason="needs a repository to clone")
def test_the_gate_catches_a_commit_with_more_parameters() -> None:
    shown = run("tools/check_gate.py", "--only", "parameters", "--processes", "2")
    assert "parameters: caught (exit 4" in shown
    assert shown.endswith("1 of 1 proofs hold\n")
