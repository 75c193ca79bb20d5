"""Where the frameworks are not there, rnnbench works on with NumPy and Numba, and says what to install."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[1] / "plugins"
PEERS = ("jax", "keras", "onnxruntime", "openvino", "torch")
FRAMEWORKS = (*PEERS, "jaxlib", "onnx", "tensorflow")
QUICK = ("--task", "sine", "--cell", "rnn-tanh", "--quick", "--steps", "2", "--no-baselines", "--json", "rows.json")
# Runs at the start of every Python process that has its folder on the path, the workers too.
HIDING = f"""
import importlib.metadata, sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {FRAMEWORKS}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden())
"""
NO_PLUGINS = """
everything = importlib.metadata.entry_points
importlib.metadata.entry_points = lambda **k: () if k.get("group") == "rnnbench" else everything(**k)
"""


class Machine:
    """Where our commands run: no framework can be imported."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, [str(folder)]
        (folder / "sitecustomize.py").write_text(HIDING)

    def without_plugins(self) -> None:
        (self.folder / "sitecustomize.py").write_text(HIDING + NO_PLUGINS)

    def with_plugins(self) -> None:
        """As pip installs them, whether they are in this environment or not."""
        for name in PEERS:
            info = self.folder / f"rnnbench_{name}-0.1.0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: rnnbench-{name}\nVersion: 0.1.0\n")
            (info / "entry_points.txt").write_text(f"[rnnbench]\n{name} = rnnbench_{name}\n")
            self.path.append(str(PLUGINS / f"rnnbench-{name}"))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([*self.path, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        done = subprocess.run(
            [sys.executable, "-m", "rnnbench", *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": path, "KERAS_BACKEND": "jax"},
        )
        assert done.returncode == 0, done.stderr
        return done


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.slow
def test_without_any_plugin_everything_is_there_but_the_peers(machine: Machine) -> None:
    machine.without_plugins()
    listed = {row["backend"] for row in json.loads(machine.run("list", "backends", "--json").stdout)["rows"]}
    assert listed == {"numba", "numba-cuda", "numpy"}
    machine.run("compare", *QUICK)
    rows = json.loads((machine.folder / "rows.json").read_text())["rows"]
    assert {row["backend"]: row["status"] for row in rows} == {"numba": "ok", "numpy": "ok"}


@pytest.mark.slow
def test_a_framework_that_is_missing_is_named_with_the_line_that_installs_it(machine: Machine) -> None:
    machine.with_plugins()
    rows = {row["backend"]: row for row in json.loads(machine.run("list", "backends", "--json").stdout)["rows"]}
    assert {name: (rows[name]["status"], rows[name]["remedy"]) for name in PEERS} == {
        name: (f"needs {name}", f"pip install {name}") for name in PEERS
    }
    assert {rows[name]["status"] for name in ("numba", "numpy")} == {"installed"}
    done = machine.run("compare", *QUICK)
    compared = json.loads((machine.folder / "rows.json").read_text())["rows"]
    assert {row["backend"]: row["status"] for row in compared} == {"numba": "ok", "numpy": "ok"}
    for name in PEERS:
        assert f"{name} is left out: {name} is not installed; pip install {name}" in done.stderr
