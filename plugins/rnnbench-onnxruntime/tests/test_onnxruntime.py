"""ONNX Runtime under the promises of every backend, and what is its own: reasons, threads, a light start."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

import rnnbench
from rnnbench import registry as plugins
from rnnbench.cli import main
from rnnbench.testing import conformance_tests, imported_by_listing
from rnnbench.weights.state_dict import to_state_dict

test_conformance = conformance_tests("onnxruntime")


def test_is_listed_without_importing_its_runtime():
    assert imported_by_listing("onnxruntime") == []


@pytest.mark.parametrize("threads", [1, 2])
def test_starts_no_more_threads_than_it_may(threads):
    """Of a process of its own: the calling thread works too, so one less than `threads` is started."""
    code = f"""
import numpy as np, psutil, rnnbench, onnxruntime
from rnnbench_onnxruntime import OnnxRuntimeBackend
model = rnnbench.Model("lstm", 64, 64)
backend = OnnxRuntimeBackend({threads})
before = psutil.Process().num_threads()
session = backend.session(model, model.init(0))
session.forward(np.zeros((20, 32, 64), "float32"))
print(psutil.Process().num_threads() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == threads - 1


WRONG_RESET = """
from rnnbench import BackendInfo, hookimpl
from rnnbench.weights.onnx_write import build
from rnnbench_onnxruntime import OnnxRuntimeBackend

class WrongReset(OnnxRuntimeBackend):
    def _graph(self, model, params, lengths, states):
        graph = build(model, params, lengths, states)
        for node in graph.graph.node:
            for attribute in node.attribute:
                if attribute.name == "linear_before_reset":
                    attribute.i = 0
        return self._load(graph.SerializeToString(), self._options, providers=["CPUExecutionProvider"])

@hookimpl
def rnnbench_backends():
    return [BackendInfo("wrong-reset", "Exports wrongly", "wrong_reset:WrongReset", cells=("gru",), trains=False)]
"""


def test_torch_s_weights_with_the_wrong_linear_before_reset_fail_the_gate_by_name(tmp_path, monkeypatch, capsys):
    """Of torch's state_dict, exported by a backend that leaves the attribute at ONNX's default."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plugins, "_current", plugins.registry())
    monkeypatch.setattr(plugins, "_requests", plugins.requests())
    model = rnnbench.Model("gru", 3, 5, 2, layers=2)
    save_file(to_state_dict(model, model.init(0), "rnn.", "fc."), "torch.safetensors")
    (tmp_path / "wrong_reset.py").write_text(WRONG_RESET)
    arguments = ["-p", "wrong_reset.py", "--backend", "onnxruntime,wrong-reset", "--quick", "--seq-len", "9"]
    assert main(["compare", "--model", "torch.safetensors", *arguments, "--json", "rows.json"]) == 1
    rows = {row["backend"]: row for row in json.loads((tmp_path / "rows.json").read_text())["rows"]}
    assert rows["onnxruntime"]["status"] == "ok"
    assert rows["wrong-reset"]["status"] == "mismatch"
    shown = " ".join(capsys.readouterr().out.split())
    assert "it computes as if the reset came before the recurrent product" in shown


def test_a_forecaster_forecasts_the_same(tmp_path):
    """Of a cell that ONNX has no operator for, from the .onnx, to 1e-5 of the series' deviation."""
    days = np.arange(120)
    table = pd.DataFrame({"y": 100 + 10 * np.sin(2 * np.pi * days / 7)})
    options = {"cell": "ugrnn", "hidden": 4, "steps": 10, "window": 7, "horizon": 3, "folds": 1}
    trained = rnnbench.train(table, target="y", **options)
    trained.save(tmp_path / "a.onnx")
    found = rnnbench.load_forecaster(tmp_path / "a.onnx").forecast(table, backend="onnxruntime")
    np.testing.assert_allclose(found["y"], trained.forecast(table)["y"], rtol=0, atol=1e-5 * table["y"].std())
