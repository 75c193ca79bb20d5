"""`compare --model FILE --against FILE`: an export is held to what it was exported from, and a wrong one explained."""

import numpy as np
import pytest
from safetensors.numpy import save_file

import rnnbench
from rnnbench import registry as plugins
from rnnbench.cli import main
from rnnbench.verify.agreement import disagreement
from rnnbench.weights.spec import Trained
from rnnbench.weights.state_dict import to_state_dict

GRU = rnnbench.Model("gru", 3, 5, 2, layers=2)
OPTIONS = ("--backend", "numpy", "--quick", "--batch", "2", "--seq-len", "4")


@pytest.fixture
def torch_weights(tmp_path, monkeypatch):
    """What torch saves of an nn.GRU and its head, in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plugins, "_current", plugins.registry())
    save_file(to_state_dict(GRU, GRU.init(0), "rnn.", "fc."), "torch.safetensors")
    return "torch.safetensors"


def export(reset):
    onnx = pytest.importorskip("onnx")
    rnnbench.save_weights("net.onnx", GRU, GRU.init(0))
    file = onnx.load("net.onnx")
    for node in file.graph.node:
        for attribute in node.attribute:
            if attribute.name == "linear_before_reset":
                attribute.i = reset
    onnx.save(file, "net.onnx")
    return "net.onnx"


@pytest.mark.slow
def test_a_right_export_is_compared(torch_weights, capsys):
    assert main(["compare", "--model", export(1), "--against", torch_weights, *OPTIONS]) == 0
    assert "warning" not in capsys.readouterr().err


def test_the_wrong_linear_before_reset_is_named(torch_weights, capsys):
    assert main(["compare", "--model", export(0), "--against", torch_weights, *OPTIONS]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("error: 'net.onnx' does not hold what 'torch.safetensors' holds: its outputs differ by ")
    assert said[-1].endswith("(allowed: 1e-05); it computes as if the reset came before the recurrent product")


def test_without_anything_to_hold_it_to_it_is_told_as_odd(torch_weights, capsys):
    assert main(["compare", "--model", export(0), *OPTIONS]) == 0
    assert "warning: 'net.onnx': a GRU has linear_before_reset 0 and yet two biases" in capsys.readouterr().err


def test_a_gru_that_does_reset_before_is_not_odd(tmp_path):
    pytest.importorskip("onnx")
    model = rnnbench.Model("gru-before", 3, 5)
    rnnbench.save_weights(tmp_path / "a.onnx", model, model.init(0))
    assert rnnbench.load_weights(tmp_path / "a.onnx").remarks == ()


def test_another_size_is_named_without_computing():
    wider = rnnbench.Model("gru", 3, 6, 2, layers=2)
    why = disagreement(Trained(GRU, GRU.init(0)), Trained(wider, wider.init(0)))
    assert why == "its hidden_size is 6, not 5"


def test_weights_that_nothing_explains_are_told_by_their_size():
    other = {name: value + np.float32(0.01) for name, value in GRU.init(0).items()}
    why = disagreement(Trained(GRU, GRU.init(0)), Trained(GRU, other))
    assert why.startswith("its outputs differ by ")
    assert why.endswith("(allowed: 1e-05)")


def test_a_readout_is_no_disagreement():
    every = rnnbench.Model("gru", 3, 5, 2, layers=2, readout="all")
    assert disagreement(Trained(GRU, GRU.init(0)), Trained(every, every.init(0))) is None
