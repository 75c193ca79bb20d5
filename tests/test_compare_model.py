"""`rnnbench compare --model FILE`: a trained stack, checked and timed as it is on every backend that has its cell."""

import json
from pathlib import Path

import numpy as np
import pytest

import rnnbench
from rnnbench import registry as plugins
from rnnbench.cli import main
from rnnbench.comparison.plan import Settings
from rnnbench.comparison.runner import choose
from rnnbench.tasks.model_file import model_task

BACKENDS = """
from rnnbench import BackendInfo, hookimpl
from rnnbench.backends.numpy_reference import NumpyBackend

class Refusing(NumpyBackend):
    def unsupported(self, case):
        return "it cannot train" if case.training else super().unsupported(case)

class Swapped(NumpyBackend):
    def session(self, model, params, *options):
        swapped = {name: value[::-1].copy() if name.endswith(".b") else value for name, value in params.items()}
        return super().session(model, swapped, *options)

@hookimpl
def rnnbench_backends():
    return [
        BackendInfo("refusing", "Infers, though it says it trains", "own:Refusing"),
        BackendInfo("swapped", "Another order of gates", "own:Swapped"),
        BackendInfo("picky", "Only LSTM", "own:NumpyBackend", cells=("lstm",)),
    ]
"""
MODELS = {
    "a head": rnnbench.Model("gru", 3, 4, 2, layers=2, bidirectional=True),
    "features of every step": rnnbench.Model("gru", 2, 3, readout="all", dtype="float64"),
}


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(plugins, "_current", plugins.registry())
    monkeypatch.setattr(plugins, "_requests", plugins.requests())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(BACKENDS)
    return tmp_path


def compare(model: rnnbench.Model, *options: str) -> int:
    rnnbench.save_weights("My net.safetensors", model, model.init(5))
    return main(["compare", "-p", "own.py", "--model", "My net.safetensors", "--quick", *options])


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_trained_model_is_checked_and_timed_and_neither_trained_nor_scored(model, workplace, capsys):
    backends = ("--backend", "refusing,swapped,picky,numpy", "--batch", "3", "--seq-len", "5")
    assert compare(model, *backends, "--json", "rows.json") == 1
    rows = {row["backend"]: row for row in json.loads((workplace / "rows.json").read_text())["rows"]}
    assert {name: row["status"] for name, row in rows.items()} == {
        "refusing": "ok",
        "swapped": "mismatch",
        "picky": "unsupported",
        "numpy": "ok",
    }
    for name in ("refusing", "numpy"):
        row = rows[name]
        assert row["task"].startswith("model-my-net-")
        assert (row["cell"], row["hidden_size"], row["dtype"]) == ("gru", model.hidden_size, model.dtype)
        assert (row["layers"], row["bidirectional"]) == (model.layers, model.bidirectional)
        assert (row["batch_size"], row["seq_len"]) == (3, 5)
        assert row["infer_seconds"] > 0
        assert row["forward_error"] <= row["forward_tolerance"]
        assert row["score_name"] == row["score_better"] == ""
        for column in ("score", "score_baseline", "learned", "train_steps", "train_seconds", "gradient_error"):
            assert row[column] is None
        assert row["warnings"] == []
    shown = capsys.readouterr().out
    assert "the weights are the model's own: neither trained nor scored" in shown
    assert "Training:" not in shown
    assert main(["show", "latest"]) == 0
    assert capsys.readouterr().out == shown


def test_a_comparison_of_a_model_needs_no_trainer():
    registry = plugins.configure(["own.py"])
    model = MODELS["a head"]
    task = model_task("net", model, model.init(0))
    learned = registry.task("sine")
    assert choose(Settings(tasks=("sine",), backends=("numpy",)), [learned], registry).trainer is not None
    assert choose(Settings(tasks=(task.id,), backends=("numpy",)), [task], registry).trainer is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--cell", "lstm"], "holds the cell gru, not lstm; leave the cell out"),
        (["--cell", "lstm,gru"], "--cell takes one name with --model"),
        (["--task", "sine"], "--task does not go with --model"),
        (["--bidirectional"], "--bidirectional does not go with --model"),
        (["--steps", "0"], "--steps does not go with --model"),
        (["--lr", "0.1"], "--lr does not go with --model"),
        (["--csv", "a.csv", "--target", "x"], "--csv does not go with --model"),
        (["--seq-len", "0"], "the sequence length must be a whole number of at least 1; got 0"),
        (["--batch", "0"], "the batch size must be a whole number of at least 1; got 0"),
    ],
)
def test_what_the_file_settles_is_not_an_option(options, expected, workplace, capsys):
    assert compare(MODELS["a head"], "--backend", "numpy", *options) == 2
    said = capsys.readouterr().err
    assert expected in said
    assert said.count("\n") == 1
    assert not (workplace / "results").exists()


def test_a_length_without_a_model_and_a_model_that_is_not_there(capsys):
    assert main(["compare", "--seq-len", "3"]) == 2
    assert "--seq-len belongs to --model FILE" in capsys.readouterr().err
    assert main(["compare", "--against", "a.onnx"]) == 2
    assert "--against belongs to --model FILE" in capsys.readouterr().err
    assert main(["compare", "--model", "nowhere.onnx"]) == 2
    assert "there is no file 'nowhere.onnx'" in capsys.readouterr().err


def test_the_id_tells_weights_models_and_lengths_apart():
    model = MODELS["a head"]
    params = model.init(0)
    other = {**params, "head.b": params["head.b"] + np.float32(1e-3)}
    ids = [
        model_task("net", model, params).id,
        model_task("net", model, other).id,
        model_task("net", model, params, seq_len=7).id,
    ]
    assert len(set(ids)) == 3
    assert model_task("net", model, model.init(0)).id == ids[0]
    assert model_task("../Ünï\x00<net>" + "x" * 300, model, params).id.startswith("model-n-net-xxx")
    assert len(model_task("x" * 300, model, params).id) <= 64


def test_inputs_are_the_same_for_one_seed_and_differ_between_seeds():
    task = model_task("net", MODELS["a head"], {}, batch_size=2, seq_len=4)
    assert task.data(1).test.x.shape == (4, 2, 3)
    np.testing.assert_array_equal(task.data(1).test.x, task.data(1).test.x)
    assert not np.array_equal(task.data(1).test.x, task.data(2).test.x)
