"""Weights in safetensors: bit for bit there and back, and one line for whatever a stranger may send."""

import json
import pickle
import struct

import numpy as np
import pytest
from safetensors.numpy import save

import rnnbench

GRU = rnnbench.Model("gru", 3, 5, 2, layers=2, bidirectional=True, readout="all")
METADATA = {
    "format": "rnnbench",
    "version": "1",
    "cell": "lstm",
    "input_size": "3",
    "hidden_size": "2",
    "output_size": "none",
    "layers": "1",
    "bidirectional": "false",
    "readout": "last",
    "dtype": "float32",
}
SMALL = rnnbench.Model("lstm", 3, 2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("head", [None, 2])
def test_there_and_back_is_bit_exact(cell_id, dtype, head, tmp_path):
    model = rnnbench.Model(cell_id, 3, 5, head, layers=2, bidirectional=True, readout="all", dtype=dtype)
    params = model.init(1)
    params["layers.0.forward.b"][0, :2] = -0.0, np.finfo(dtype).smallest_subnormal
    rnnbench.save_weights(tmp_path / "a.safetensors", model, params)
    found = rnnbench.load_weights(tmp_path / "a.safetensors")
    assert found.model == model
    assert found.params.keys() == params.keys()
    for name, value in params.items():
        assert found.params[name].dtype == value.dtype
        assert found.params[name].tobytes() == value.tobytes()


def header(entries, data=b""):
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(begin, end):
    return {"dtype": "F32", "shape": [(end - begin) // 4], "data_offsets": [begin, end]}


CONTAINERS = {
    "a pickle": pickle.dumps({"W": [1.0]}),
    "empty": b"",
    "a huge header": struct.pack("<Q", 2**62) + b"{}",
    "cut off": header({"a": tensor(0, 8)}, bytes(4)),
    "overlapping": header({"a": tensor(0, 8), "b": tensor(4, 12)}, bytes(12)),
    "a hole": header({"a": tensor(0, 4), "b": tensor(8, 12)}, bytes(12)),
    "a deep header": struct.pack("<Q", 200_000) + b"[" * 200_000,
}


@pytest.mark.parametrize("content", CONTAINERS.values(), ids=CONTAINERS)
def test_a_damaged_container_is_refused_in_one_line(content, tmp_path):
    path = tmp_path / "odd.safetensors"
    path.write_bytes(content)
    with pytest.raises(rnnbench.UsageError, match=r"odd\.safetensors' is not a safetensors file that can be read") as e:
        rnnbench.load_weights(path)
    assert "\n" not in str(e.value)


def small(**changed):
    return {**SMALL.init(0), **changed}


ODD = {
    "no metadata": (None, small(), "does not say which model it holds"),
    "another format": ({"format": "pt"}, small(), "does not say which model it holds"),
    "a newer version": ({"version": "2"}, small(), "has version '2' of the format, not 1"),
    "a size missing": ({"layers": None}, small(), "does not say its layers"),
    "an unknown cell": ({"cell": "lstmm"}, small(), "unknown cell 'lstmm'; did you mean 'lstm'?"),
    "an odd size": ({"hidden_size": "-1"}, small(), "hidden_size is '-1'; it must be a whole number"),
    "an endless size": ({"hidden_size": "9" * 5000}, small(), "it must be a whole number"),
    "layers without end": ({"layers": "999999999"}, small(), "999999999 layers but holds 3 tensors"),
    "an odd truth": ({"bidirectional": "yes"}, small(), "bidirectional is 'yes'; it must be true or false"),
    "another dtype": (
        {"dtype": "float64"},
        small(),
        "holds 'layers.0.forward.R' as float32; its metadata says float64",
    ),
    "a shape": ({"hidden_size": "4"}, small(), "parameter 'layers.0.forward.W' must be floating point (4, 4, 3)"),
    "NaN": (
        {},
        small(**{"layers.0.forward.b": np.full((4, 2), np.nan, "float32")}),
        "parameter 'layers.0.forward.b' holds NaN",
    ),
    "a tensor too many": ({}, small(extra=np.zeros(2, "float32")), "parameter 'extra' is not one of this model's"),
    "a tensor missing": ({"layers": "2"}, small(), "parameter 'layers.1.forward.R' is missing"),
}


@pytest.mark.parametrize(("changes", "tensors", "expected"), ODD.values(), ids=ODD)
def test_what_does_not_fit_is_named(changes, tensors, expected, tmp_path):
    metadata = None
    if changes is not None:
        metadata = {name: value for name, value in {**METADATA, **changes}.items() if value is not None}
    path = tmp_path / "odd.safetensors"
    path.write_bytes(save(dict(sorted(tensors.items())), metadata))
    with pytest.raises(rnnbench.UsageError) as caught:
        rnnbench.load_weights(path)
    assert expected in str(caught.value)
    assert "odd.safetensors" in str(caught.value)


def test_a_type_nobody_knows_and_a_file_that_is_not_there(tmp_path):
    with pytest.raises(rnnbench.UsageError, match=r"of no type that is known; known: .*\.safetensors"):
        rnnbench.load_weights(tmp_path / "model.tar")
    with pytest.raises(rnnbench.UsageError, match="there is no file"):
        rnnbench.load_weights(tmp_path / "model.safetensors")


def test_what_does_not_fit_the_model_is_not_written(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(rnnbench.UsageError, match=r"parameter 'head\.W' is missing"):
        rnnbench.save_weights(path, GRU, {})
    assert not path.exists()
