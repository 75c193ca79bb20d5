"""`rnnbench convert`: from one file type to another, the same bits, and one line for whatever is wrong."""

import pytest

import rnnbench
from rnnbench.cli import main

MODEL = rnnbench.Model("gru", 3, 5, 2, layers=2, bidirectional=True, readout="all")


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.safetensors"
    rnnbench.save_weights(path, MODEL, MODEL.init(4))
    return path


def test_there_and_back_is_bit_exact(source, tmp_path, capsys):
    pytest.importorskip("onnx")
    between, target = tmp_path / "between.ONNX", tmp_path / "out.safetensors"
    assert main(["convert", str(source), str(between)]) == 0
    assert main(["convert", str(between), str(target)]) == 0
    found = rnnbench.load_weights(target)
    assert found.model == MODEL
    for name, value in MODEL.init(4).items():
        assert found.params[name].tobytes() == value.tobytes()
    said = capsys.readouterr()
    assert said.out == ""
    counted = MODEL.count_parameters()
    assert f"gru, input 3, hidden 5, layers 2, both directions, head of 2, readout all, float32; {counted}" in said.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["missing.onnx", "out.safetensors"], "there is no file"),
        (["{source}", "out.pt"], "is of no type that is known; known: .onnx, .safetensors"),
        (
            ["net.PT", "out.onnx"],
            "'net.PT' is a pickle, which is never opened; save its tensors: python -c \"import torch",
        ),
        (["net.keras", "out.onnx"], "is a Keras model; convert it: python -m tf2onnx.convert --keras FILE"),
        (["net.h5", "out.onnx"], "is a Keras model; convert it"),
        (["{source}", "nowhere/out.onnx"], "there is no folder"),
        (["odd.safetensors", "out.onnx"], "is not a safetensors file that can be read"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, expected, source, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.safetensors").write_bytes(b"no header")
    assert main(["convert", *(argument.format(source=source) for argument in arguments)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert expected in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out.onnx").exists()


def test_a_plugin_may_bring_a_file_type(source, tmp_path, default_registry):
    plugin = tmp_path / "shapes_format.py"
    plugin.write_text(
        "import json, rnnbench\n"
        "def write(path, trained):\n"
        "    path.write_text(json.dumps({k: v.shape for k, v in trained.params.items()}))\n"
        "@rnnbench.hookimpl\n"
        "def rnnbench_converters():\n"
        "    return [rnnbench.Converter('shapes', '.shapes', 'shapes only', None, write)]\n"
    )
    assert main(["convert", str(source), str(tmp_path / "a.shapes"), "-p", str(plugin)]) == 0
    assert '"head.W": [2, 10]' in (tmp_path / "a.shapes").read_text()


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [("shapes", "has the suffix 'shapes'; it must be like '.onnx'"), (".onnx", "both claim")],
)
def test_an_odd_or_a_second_suffix_is_told(suffix, expected, source, tmp_path, default_registry, capsys):
    plugin = tmp_path / "odd_format.py"
    plugin.write_text(
        "import rnnbench\n"
        "@rnnbench.hookimpl\n"
        "def rnnbench_converters():\n"
        f"    return [rnnbench.Converter('odd', {suffix!r}, 'odd', None, None)]\n"
    )
    assert (
        main(["convert", str(source), str(tmp_path / "a.onnx" if suffix == ".onnx" else "a.x"), "-p", str(plugin)]) == 2
    )
    assert expected in capsys.readouterr().err
