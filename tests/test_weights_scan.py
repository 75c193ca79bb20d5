"""Cells that ONNX has no operator for: written as its `Scan`, run by others, read back bit for bit, or refused."""

import json
from itertools import product

import numpy as np
import pytest

import rnnbench
from rnnbench.cells.spec import Accumulator, Cell, Stage
from rnnbench.registry import registry
from rnnbench.weights.onnx_layout import LAYOUTS
from rnnbench.weights.onnx_write import MODEL_KEY, build

onnx = pytest.importorskip("onnx")
I, H, O = 3, 5, 2


def odd_pair(m):
    """Every operator and function that a pair may use, a state that is handed on, and one that is a constant."""
    sigmoid, tanh, relu, d_sigmoid, d_tanh, d_relu = m.sigmoid, m.tanh, m.relu, m.d_sigmoid, m.d_tanh, m.d_relu
    zero, one = m.zero, m.one

    def forward(pre, prev):
        a, b, s = pre
        h, c, _ = prev
        h = (tanh(a) * sigmoid(s) - relu(b) / (one + relu(b))) * d_tanh(tanh(a)) + d_sigmoid(sigmoid(b)) * h
        return (h + (-h) * zero + d_relu(b), h * c, one), ()

    def backward(saved, prev, dstate):
        raise NotImplementedError("nothing is trained here")

    return forward, backward


def early_pair(m):
    sigmoid = m.sigmoid

    def forward(pre, prev):
        return (sigmoid(pre[0]) * prev[1],), ()

    return forward, lambda saved, prev, d: None


# An accumulator of each kind: its bias alone, W alone, R alone, both, the stage before.
ODD = Cell(
    "odd",
    "Odd",
    ("h", "c", "k"),
    (
        Stage((Accumulator("early", sees_x=False, operand=None),), early_pair),
        Stage(
            (Accumulator("a", operand="stage"), Accumulator("b", sees_x=False), Accumulator("s", operand=None)),
            odd_pair,
        ),
    ),
    "this test",
)
WITHOUT_OPERATOR = [*sorted({"ugrnn", "mingru"}), "odd"]


@pytest.fixture(autouse=True)
def odd_cell(monkeypatch):
    monkeypatch.setitem(registry().cells, "odd", ODD)


def test_every_cell_but_those_with_an_operator_is_tried():
    assert set(registry().cells) - set(LAYOUTS) == set(WITHOUT_OPERATOR)


def models(cell, dtype="float32"):
    for layers, both, readout, head in product((1, 2), (False, True), ("last", "all"), (None, O)):
        yield rnnbench.Model(cell, I, H, head, layers, both, readout, dtype)


@pytest.mark.parametrize("cell", WITHOUT_OPERATOR)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_there_and_back_is_bit_exact(cell, dtype, tmp_path):
    path = tmp_path / "a.onnx"
    for model in models(cell, dtype):
        params = model.init(1)
        params["layers.0.forward.b"][0, :2] = -0.0, np.finfo(dtype).smallest_subnormal
        rnnbench.save_weights(path, model, params)
        found = rnnbench.load_weights(path)
        assert found.model == model
        assert {name: value.tobytes() for name, value in found.params.items()} == {
            name: value.tobytes() for name, value in params.items()
        }


@pytest.mark.parametrize("cell", WITHOUT_OPERATOR)
@pytest.mark.parametrize(("lengths", "states"), list(product((False, True), repeat=2)))
def test_onnx_itself_computes_the_same(cell, lengths, states):
    """float64: rounding alone, about 1e-15, parts the two; a bias in another's place gives 1e-2."""
    from onnx.reference import ReferenceEvaluator

    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 4, I))
    for model in models(cell, "float64"):
        params, given = model.init(2), {"x": x}
        start = None
        count = np.array([6, 1, 4, 2]) if lengths else None
        if lengths:
            given["lengths"] = count.astype(np.int32)
        if states:
            shape = (model.layers * model.directions, 4, H)
            start = tuple(rng.standard_normal(shape) for _ in model.spec.states)
            given |= {f"{name}0": value for name, value in zip(model.spec.states, start, strict=True)}
        y, *final = ReferenceEvaluator(build(model, params, lengths, states)).run(None, given)
        padded = np.where((np.arange(6)[:, None] < (6 if count is None else count))[..., None], x, 0)
        expected, state = rnnbench.session("numpy", model, params).forward(padded, count, start)
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-13)
        for value, wanted in zip(final, state, strict=True):
            np.testing.assert_allclose(value, wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("cell", WITHOUT_OPERATOR)
@pytest.mark.parametrize("lengths", [False, True])
def test_onnx_runtime_computes_the_same(cell, lengths):
    """float32, whose own tanh and sigmoid are off by 1e-7 a step."""
    runtime = pytest.importorskip("onnxruntime")
    x = np.random.default_rng(0).standard_normal((6, 4, I)).astype("float32")
    for model in models(cell):
        params, given = model.init(2), {"x": x}
        count = np.array([6, 1, 4, 2]) if lengths else None
        if lengths:
            given["lengths"] = count.astype(np.int32)
        session = runtime.InferenceSession(build(model, params, lengths).SerializeToString())
        y, *final = session.run(None, given)
        expected, state = rnnbench.session("numpy", model, params).forward(x, count)
        for value, wanted in zip((y, *final), (expected, *state), strict=True):
            np.testing.assert_allclose(value, wanted, rtol=0, atol=1e-5)


# ---- a stranger's file -----------------------------------------------------------------------------------------------


def saved(path, cell="ugrnn"):
    model = rnnbench.Model(cell, I, H, O)
    rnnbench.save_weights(path, model, model.init(0))
    return onnx.load(path)


def other_weights(file):
    name = next(t for t in file.graph.initializer if t.name == "layers.0.forward.R")
    values = onnx.numpy_helper.to_array(name).copy()
    values[0, 0, 0] = np.nan
    name.CopyFrom(onnx.numpy_helper.from_array(values, name.name))


def other_body(file):
    (scan,) = [node for node in file.graph.node if node.op_type == "Scan"]
    next(node for node in scan.attribute[0].g.node if node.op_type == "Tanh").op_type = "Sin"


def other_rows(file):
    next(t for t in file.graph.initializer if t.name == "numbers 0 1").raw_data = np.array([1, 0]).tobytes()


def with_metadata(**changed):
    def change(file):
        (entry,) = [entry for entry in file.metadata_props if entry.key == MODEL_KEY]
        entry.value = json.dumps(json.loads(entry.value) | changed)

    return change


def as_metadata(text):
    def change(file):
        (entry,) = [entry for entry in file.metadata_props if entry.key == MODEL_KEY]
        entry.value = text

    return change


TAMPERED = {
    "weights that are none": (other_weights, "holds NaN or infinity"),
    "another operator": (other_body, "its graph is not the one that is written for its model and weights"),
    "gates changed over": (other_rows, "its graph is not the one"),
    "another cell": (with_metadata(cell="mingru"), "is not one of this model's|'layers.0.forward.R'|its graph is not"),
    "a cell nobody has": (with_metadata(cell="nobody"), "unknown cell 'nobody'"),
    "many layers": (with_metadata(layers=2**50), "layers; it holds"),
    "many units": (with_metadata(hidden_size=2**50), "must be floating point"),
    "another dtype": (with_metadata(dtype="float64"), "its metadata says float64"),
    "an unknown field": (with_metadata(more=1), "'more' is unknown"),
    "a fraction": (with_metadata(layers=1.5), "layers cannot be 1.5"),
    "NaN": (with_metadata(input_size=float("nan")), "input_size cannot be nan"),
    "no JSON": (as_metadata("{"), "the model in its metadata is none"),
    "deep": (as_metadata("[" * 100_000), "the model in its metadata is none"),
    "without its metadata": (
        lambda file: file.ClearField("metadata_props"),
        "Scan .* holds a graph or a sparse tensor of its own",
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_tampered_file_is_refused_in_one_line(name, tmp_path):
    change, expected = TAMPERED[name]
    file = saved(tmp_path / "a.onnx")
    change(file)
    onnx.save(file, tmp_path / "b.onnx")
    with pytest.raises(rnnbench.UsageError, match=expected) as caught:
        rnnbench.load_weights(tmp_path / "b.onnx")
    assert str(caught.value).isprintable()


def test_what_would_not_be_read_again_is_not_written(tmp_path, monkeypatch):
    """The writer's own mistake, here a stage's operand in the other's place, leaves what was there before."""
    from rnnbench.weights import onnx_scan

    monkeypatch.setattr(onnx_scan.GraphValue, "__sub__", onnx_scan.GraphValue.__add__)
    (tmp_path / "a.onnx").write_text("old")
    model = rnnbench.Model("ugrnn", I, H, O)
    with pytest.raises(rnnbench.UsageError, match="would not hold the model it was written for"):
        rnnbench.save_weights(tmp_path / "a.onnx", model, model.init(0))
    assert (tmp_path / "a.onnx").read_text() == "old"


@pytest.mark.parametrize("suffix", [".onnx", ".safetensors"])
@pytest.mark.parametrize("cell", ["gru", "ugrnn"])
def test_an_attached_text_travels_with_the_weights(suffix, cell, tmp_path, capsys):
    from rnnbench.cli import main

    model = rnnbench.Model(cell, I, H, O)
    rnnbench.save_weights(tmp_path / f"a{suffix}", model, model.init(0), '{"näme": [1.5]}')
    assert rnnbench.load_weights(tmp_path / f"a{suffix}").attached == '{"näme": [1.5]}'
    assert main(["convert", str(tmp_path / f"a{suffix}"), str(tmp_path / "b.onnx")]) == 0
    assert rnnbench.load_weights(tmp_path / "b.onnx").attached == '{"näme": [1.5]}'
