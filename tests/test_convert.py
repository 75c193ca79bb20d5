"""`rnnbench convert`: from one file type to another, the same bits, and one line for whatever is wrong."""

import os
import subprocess
import sys

import pytest

import rnnbench
from rnnbench.cli import main
from rnnbench.loading import load_weights, save_weights

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


# Half of what is written gets to the disk, and then no more, for whoever writes there, in Python or below it.
ON_A_FULL_DISK = """
import resource, signal, sys
from rnnbench.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("suffix", [".safetensors", ".onnx"])
@pytest.mark.parametrize("there", [True, False], ids=["over a model", "new"])
def test_on_a_full_disk_the_old_file_stays(suffix, there, source, tmp_path):
    pytest.importorskip("onnx")
    folder = tmp_path / "out"
    folder.mkdir()
    target = folder / f"model{suffix}"
    if there:
        save_weights(target, MODEL, MODEL.init(1))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = subprocess.run(
        [sys.executable, "-c", ON_A_FULL_DISK, "convert", str(source), str(target)], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr == f"error: cannot write {str(target)!r}: File too large; name another file\n"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("suffix", [".safetensors", ".onnx"])
def test_the_same_model_is_the_same_bytes(suffix, tmp_path):
    """Several times: the safetensors package orders its header anew for each file, one time in many as before."""
    pytest.importorskip("onnx")
    written = set()
    for number in range(5):
        path = tmp_path / f"{number}{suffix}"
        save_weights(path, MODEL, MODEL.init(4))
        written.add(path.read_bytes())
    assert len(written) == 1
    assert load_weights(path).params.keys() == MODEL.init(4).keys()


def test_a_writer_of_a_plugin_that_fails_half_way_leaves_the_old_file(source, tmp_path, default_registry):
    plugin = tmp_path / "torn_format.py"
    plugin.write_text(
        "import rnnbench\n"
        "def write(path, trained):\n"
        "    path.write_text('half')\n"
        "    raise OSError(28, 'No space left on device')\n"
        "@rnnbench.hookimpl\n"
        "def rnnbench_converters():\n"
        "    return [rnnbench.Converter('torn', '.torn', 'torn', None, write)]\n"
    )
    target = tmp_path / "model.torn"
    target.write_text("old")
    before = sorted(os.listdir(tmp_path))
    assert main(["convert", str(source), str(target), "-p", str(plugin)]) == 2
    assert target.read_text() == "old"
    assert sorted(set(os.listdir(tmp_path)) - {"__pycache__"}) == before


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
