"""All installed backends side by side, as a user runs them: the same scores from the same weights, one table.

Minutes, not seconds; the second test needs the five packages of `plugins/`.
"""

import json
import subprocess
import sys
from itertools import islice

import numpy as np
import pytest

import rnnbench
from rnnbench.cli import main
from rnnbench.model import Model
from rnnbench.registry import registry
from rnnbench.tasks.batches import batches

PEERS = ("torch", "onnxruntime", "openvino", "keras", "jax")
CELLS = ("lstm", "gru", "rnn-tanh")
STEPS = 300
# A score is a mean over 512 rows of float32 outputs that may each be off by 1e-5.
SAME_SCORE = 1e-4
PREDICT = """
import sys, numpy as np, rnnbench
backend, folder = sys.argv[1:]
trained = rnnbench.load_weights(f"{folder}/net.safetensors")
y, _ = rnnbench.session(backend, trained.model, trained.params).forward(np.load(f"{folder}/x.npy"))
np.save(f"{folder}/{backend}.npy", y)
"""

pytestmark = pytest.mark.slow


def installed():
    return [info.id for info in registry().backends.values() if info.missing() is None]


@pytest.mark.parametrize("cell", CELLS)
def test_the_same_trained_weights_have_the_same_score_everywhere(cell, tmp_path):
    task = registry().task("adding")
    data = task.data(0)
    model = Model(cell, task.input_size, 32, task.output_size)
    trainer = rnnbench.session("numba", model, model.init(0), optimiser=task.budget.optimiser)
    for batch in islice(batches(data.train, task.budget.batch_size, 0), STEPS):
        trainer.train_step(batch.x.astype("float32"), batch.target.astype("float32"))
    rnnbench.save_weights(tmp_path / "net.safetensors", model, trainer.parameters())
    np.save(tmp_path / "x.npy", data.test.x.astype("float32"))
    scores = {}
    for backend in installed():
        if registry().backend(backend).cells is None or cell in registry().backend(backend).cells:
            # A process each: frameworks fix their threads when they are imported.
            subprocess.run([sys.executable, "-c", PREDICT, backend, str(tmp_path)], check=True)
            scores[backend] = task.score(np.load(tmp_path / f"{backend}.npy"), data.test)
    assert scores.keys() >= {"numpy", "numba"}
    for backend, score in scores.items():
        assert score == pytest.approx(scores["numpy"], rel=SAME_SCORE), backend


@pytest.mark.skipif(not set(PEERS) <= set(installed()), reason="needs the five packages of plugins/")
def test_seven_backends_in_one_comparison(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["--task", "adding", "--cell", ",".join(CELLS), "--quick", "--no-baselines", "--json", "rows.json"]
    assert main(["compare", "--backend", ",".join(("numpy", "numba", *PEERS)), *arguments]) == 0
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert {(row["cell"], row["backend"]) for row in rows} == {
        (cell, backend) for cell in CELLS for backend in ("numpy", "numba", *PEERS)
    }
    for row in rows:
        assert row["status"] == "ok"
        assert row["forward_error"] <= 1e-5
        assert row["infer_seconds"] > 0
        assert (row["gradient_error"] is not None) is registry().backend(row["backend"]).trains


@pytest.mark.skipif(not set(PEERS) <= set(installed()), reason="needs the five packages of plugins/")
def test_what_a_runtime_cannot_do_stands_in_its_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["--task", "adding", "--cell", "mingru", "--dtype", "float64", "--quick", "--steps", "2"]
    arguments += ["--no-baselines"]
    assert main(["compare", "--backend", ",".join(("numpy", *PEERS)), *arguments, "--json", "rows.json"]) == 0
    rows = {row["backend"]: row for row in json.loads((tmp_path / "rows.json").read_text())["rows"]}
    assert {name for name, row in rows.items() if row["status"] == "ok"} == {"numpy", "jax"}
    for name in ("torch", "onnxruntime", "openvino", "keras"):
        assert rows[name]["status"] == "unsupported"
        assert rows[name]["reason"].endswith("; not in float64" if name == "onnxruntime" else "; not mingru")
