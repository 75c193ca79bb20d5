"""An ONNX file is what an interpreter says it is: whatever was read is held to what the file computes."""

import os
from importlib import import_module

import numpy as np
import pytest

import rnnbench
from rnnbench.weights import onnx_trace
from rnnbench.weights.onnx_layout import LAYOUTS
from rnnbench.weights.onnx_write import write
from rnnbench.weights.spec import Trained

onnx = pytest.importorskip("onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper
I, H, O = 3, 4, 2


def said(path):
    with pytest.raises(rnnbench.UsageError) as caught:
        rnnbench.load_weights(path)
    text = str(caught.value)
    assert text.isprintable()
    return text


# ---- ONNX's own tests of its recurrent operators ---------------------------------------------------------------------


def cases():
    """(name, model, inputs, outputs) as the installed package has them."""
    node = import_module("onnx.backend.test.case.node")
    for name in ("lstm", "gru", "rnn"):
        import_module(f"onnx.backend.test.case.node.{name}")
    own = {
        case.name: case for case in node._NodeTestCases if case.model.graph.node[0].op_type in ("LSTM", "GRU", "RNN")
    }
    return [(name, case.model, *case.data_sets[0]) for name, case in own.items()]


CASES = cases()
NOT_READ = {
    "batchwise": "has the attribute layout",
    "reverse": "runs reverse only",
    "peepholes": "has peepholes",
}


def test_there_are_as_many_as_there_were():
    assert len(CASES) >= 18


@pytest.mark.parametrize(("name", "model", "inputs", "outputs"), CASES, ids=[case[0] for case in CASES])
def test_as_shipped_their_weights_are_inputs(name, model, inputs, outputs, tmp_path):
    onnx.save(model, tmp_path / "a.onnx")
    reason = next(
        (text for part, text in NOT_READ.items() if part in name), "takes its weights from an input of the graph"
    )
    assert reason in said(tmp_path / "a.onnx")


@pytest.mark.parametrize(("name", "model", "inputs", "outputs"), CASES, ids=[case[0] for case in CASES])
def test_with_stored_weights_they_compute_what_onnx_publishes(name, model, inputs, outputs, tmp_path):
    stored = onnx.ModelProto()
    stored.CopyFrom(model)
    names = [value.name for value in model.graph.input]
    for value, array in list(zip(names, inputs, strict=True))[1:]:
        stored.graph.initializer.append(numpy_helper.from_array(np.asarray(array), value))
    del stored.graph.input[1:]
    onnx.save(stored, tmp_path / "a.onnx")
    if reason := next((text for part, text in NOT_READ.items() if part in name), None):
        assert reason in said(tmp_path / "a.onnx")
        return
    found = rnnbench.load_weights(tmp_path / "a.onnx")
    y, _ = rnnbench.session("numpy", found.model, found.params).forward(np.asarray(inputs[0]))
    np.testing.assert_allclose(y.ravel(), np.asarray(outputs[0]).ravel(), rtol=0, atol=1e-5)  # float32, within 1


# ---- a misreading, whatever it is ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", LAYOUTS)
def test_a_misreading_is_refused_where_file_and_model_part(cell, tmp_path, monkeypatch):
    model = rnnbench.Model(cell, I, H, O, layers=2, bidirectional=True, readout="all")
    params = {name: value * 2 for name, value in model.init(1).items()}
    rnnbench.save_weights(tmp_path / "a.onnx", model, params)
    right = onnx_trace.unpack

    def second_layer_wrong(cell, W, R, B, prefix):
        found = right(cell, W, R, B, prefix)
        key = f"{prefix}R"
        return found | ({key: found[key].swapaxes(1, 2)} if prefix == "layers.1.reverse." else {})

    monkeypatch.setattr(onnx_trace, "unpack", second_layer_wrong)
    text = said(tmp_path / "a.onnx")
    op = LAYOUTS[cell].op
    assert f"computes something else than was read from it: {op} gives " in text
    assert "step" in text


def test_a_misread_head_is_refused_as_such(tmp_path, monkeypatch):
    model = rnnbench.Model("gru", I, H, O)
    rnnbench.save_weights(tmp_path / "a.onnx", model, model.init(1))
    right = onnx_trace.Trace._biased
    monkeypatch.setattr(onnx_trace.Trace, "_biased", lambda self, what, n, b: right(self, what, n, b * 1.001))
    assert "its output is" in said(tmp_path / "a.onnx")


def test_probes_are_of_two_sizes_and_let_go(tmp_path):
    from rnnbench.weights.onnx_read import read

    model = rnnbench.Model("lstm", I, H, O, readout="all")
    rnnbench.save_weights(tmp_path / "a.onnx", model, model.init(1))
    (one, two) = (probe.x.shape for probe in read(tmp_path / "a.onnx").probes)
    assert one[0] != two[0]
    assert one[1] != two[1]
    assert rnnbench.load_weights(tmp_path / "a.onnx").probes == ()


def test_initial_states_that_are_inputs_are_drawn_and_come_where_they_belong(tmp_path, monkeypatch):
    """In the canonical order of layers and directions; wrong by order, the outputs differ."""
    from rnnbench.weights.onnx_write import build

    model = rnnbench.Model("lstm", I, H, O, layers=2, bidirectional=True, readout="all")
    file = build(model, model.init(1), states=True)
    inputs = list(file.graph.input)
    del file.graph.input[:]
    file.graph.input.extend(inputs[::-1])  # a state listed before the input
    onnx.save(file, tmp_path / "a.onnx")
    assert rnnbench.load_weights(tmp_path / "a.onnx").model == model
    monkeypatch.setattr(onnx_trace.Trace, "_start", lambda self, what, name, shape: np.zeros(shape, int))
    assert "LSTM gives" in said(tmp_path / "a.onnx")


def test_a_chaotic_network_of_full_length_is_read(tmp_path):
    """Rounding grows by orders of magnitude over a hundred fixed steps, which is not a misreading."""
    model = rnnbench.Model("rnn-tanh", I, 32, O)
    params = {name: value * 3 for name, value in model.init(1).items()}
    rnnbench.save_weights(tmp_path / "a.onnx", model, params)
    file = onnx.load(tmp_path / "a.onnx")
    file.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 20
    onnx.save(file, tmp_path / "a.onnx")
    assert rnnbench.load_weights(tmp_path / "a.onnx").model == model


@pytest.mark.parametrize("cell", LAYOUTS)
def test_weights_of_thirty_are_read_and_outputs_beyond_all_numbers_are_told(cell, tmp_path):
    model = rnnbench.Model(cell, I, H, O, layers=3, readout="all")
    path, signs = tmp_path / "a.onnx", {name: np.sign(value) for name, value in model.init(0).items()}
    rnnbench.save_weights(path, model, {name: value * 30 for name, value in signs.items()})
    assert rnnbench.load_weights(path).model == model
    if cell == "rnn-relu":
        endless = {name: value * np.float32(1e30) for name, value in signs.items()}
        with pytest.raises(rnnbench.UsageError, match=r"'y' is not finite on random inputs; check its weights"):
            rnnbench.save_weights(path, model, endless)
        assert rnnbench.load_weights(path).model == model  # what was there before
        write(path, Trained(model, endless))
        assert "'y' is not finite on random inputs; check its weights" in said(path)


# ---- graphs by hand --------------------------------------------------------------------------------------------------


def graph(path, nodes, inputs=None, output=("y", ["T", "B", H]), more=(), opset=17, outputs=()):
    """One LSTM's weights W, R, B and those of a second, V, and what `more` says, beside the nodes given as (op, taken,
    given, attributes)."""
    rng = np.random.default_rng(0)
    constants = {
        "W": rng.standard_normal((1, 4 * H, I)),
        "R": rng.standard_normal((1, 4 * H, H)),
        "V": rng.standard_normal((1, 4 * H, H)),
        "B": rng.standard_normal((1, 8 * H)),
        "K": rng.standard_normal((H, H)),
        "k": rng.standard_normal(H),
    }
    constants = {name: value.astype("float32") for name, value in constants.items()}
    constants |= {"one": np.array([1], np.int64), "zero": np.array([0], np.int64), **dict(more)}
    real = onnx.TensorProto.FLOAT
    inputs = inputs or [("x", real, ["T", "B", I])]
    made = helper.make_graph(
        [helper.make_node(op, taken, given, name=f"n{n}", **more) for n, (op, taken, given, more) in enumerate(nodes)],
        "g",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(name, real, shape) for name, shape in [output, *outputs]],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


LSTM = ("LSTM", ["x", "W", "R", "B"], ["Y", "h", "c"], {"hidden_size": H})
Y = ("Squeeze", ["Y", "one"], ["s"], {})
DENSE = [LSTM, Y, ("MatMul", ["s", "K"], ["p"], {})]


def lengths(*values):
    return {"n": np.array(values, np.int32)}


FIXED = [("x", onnx.TensorProto.FLOAT, [5, 2, I])]
BY_HAND = {
    "dropout in training mode": (
        [*DENSE, ("Dropout", ["p", "half", "yes"], ["y"], {})],
        {"more": {"half": np.array(0.5, np.float32), "yes": np.array(True)}},
        "Dropout 'n3' is in training mode and drops at random",
    ),
    "dropout of nothing": (
        [*DENSE, ("Dropout", ["p", "none", "yes"], ["y"], {})],
        {"more": {"none": np.array(0.0, np.float32), "yes": np.array(True)}},
        None,
    ),
    "a bias": ([*DENSE, ("Add", ["p", "k"], ["y"], {})], {}, None),
    "a bias on another axis": (
        [*DENSE, ("Transpose", ["p"], ["t"], {"perm": [0, 2, 1]}), ("Add", ["t", "b"], ["u"], {}),
         ("Transpose", ["u"], ["y"], {"perm": [0, 2, 1]})],
        {"more": {"b": np.arange(4, dtype=np.float32)}, "inputs": [("x", onnx.TensorProto.FLOAT, ["T", 4, I])]},
        "adds a bias that differs within one output of the head",
    ),
    "a bias on a turned head": (
        [*DENSE, ("Transpose", ["p"], ["t"], {"perm": [0, 2, 1]}), ("Add", ["t", "b"], ["u"], {}),
         ("Transpose", ["u"], ["y"], {"perm": [0, 2, 1]})],
        {"more": {"b": np.arange(4, dtype=np.float32)[:, None]}},
        None,
    ),
    "a bias on another branch": ([*DENSE, ("Add", ["p", "k"], ["z"], {}), ("Identity", ["p"], ["y"], {})], {}, None),
    "a bias of the features": ([LSTM, Y, ("Add", ["s", "k"], ["y"], {})], {}, "the only sum that is"),
    "one number for all": ([*DENSE, ("Add", ["p", "c1"], ["y"], {})], {"more": {"c1": np.float32([7])}}, None),
    "a Gemm's bias by rows": (
        [LSTM, ("Squeeze", ["h", "zero"], ["f"], {}), ("Gemm", ["f", "K", "rows"], ["y"], {})],
        {"more": {"rows": np.arange(4, dtype=np.float32)[:, None]}, "output": ("y", [4, H]),
         "inputs": [("x", onnx.TensorProto.FLOAT, ["T", 4, I])]},
        "adds a bias that differs within one output of the head",
    ),
    "lengths that are all steps": (
        [("LSTM", ["x", "W", "R", "B", "n"], ["Y"], {"hidden_size": H}), ("Squeeze", ["Y", "one"], ["y"], {})],
        {"more": lengths(5, 5), "inputs": FIXED},
        None,
    ),
    "lengths that are not": (
        [("LSTM", ["x", "W", "R", "B", "n"], ["Y"], {"hidden_size": H}), ("Squeeze", ["Y", "one"], ["y"], {})],
        {"more": lengths(5, 3), "inputs": FIXED},
        "has constant lengths, 'n', that are not those of all steps",
    ),
    "lengths of another file's steps": (
        [("LSTM", ["x", "W", "R", "B", "n"], ["Y"], {"hidden_size": H}), ("Squeeze", ["Y", "one"], ["y"], {})],
        {"more": lengths(2, 2), "inputs": [("x", onnx.TensorProto.FLOAT, ["T", 2, I])]},
        "has constant lengths, 'n', that are not those of all steps",
    ),
    "a size of its own": (
        [("LSTM", ["x", "W", "R", "B"], ["Y"], {"hidden_size": 7}), ("Squeeze", ["Y", "one"], ["y"], {})],
        {},
        "says its hidden_size is 7; its weights have 4",
    ),
    "a clip of zero": (
        [("LSTM", ["x", "W", "R", "B"], ["Y"], {"hidden_size": H, "clip": 0.0}), ("Squeeze", ["Y", "one"], ["y"], {})],
        {},
        "has the attribute clip",
    ),
    "one state for two layers": (
        [("LSTM", ["x", "W", "R", "B", "", "h0", "c0"], ["Y"], {"hidden_size": H}), Y,
         ("LSTM", ["s", "V", "R", "B", "", "h0", "c0"], ["Z"], {"hidden_size": H}),
         ("Squeeze", ["Z", "one"], ["y"], {})],
        {"inputs": [("x", onnx.TensorProto.FLOAT, ["T", "B", I]), ("h0", onnx.TensorProto.FLOAT, [1, "B", H]),
                    ("c0", onnx.TensorProto.FLOAT, [1, "B", H])]},
        "start from one input",
    ),
    "a shape from an input": (
        [LSTM, Y, ("Reshape", ["s", "n"], ["y"], {})],
        {"inputs": [("x", onnx.TensorProto.FLOAT, ["T", "B", I]), ("n", onnx.TensorProto.INT64, [3])]},
        "Reshape 'n2' is steered by what moves, 'n'",
    ),
    "a tensor as large as an input says": (
        [LSTM, ("ConstantOfShape", ["n"], ["z"], {}), ("Squeeze", ["Y", "one"], ["y"], {})],
        {"inputs": [("x", onnx.TensorProto.FLOAT, ["T", "B", I]), ("n", onnx.TensorProto.INT64, [3])]},
        "ConstantOfShape 'n1' is steered by what moves, 'n'",
    ),
    "too many steps": (
        [LSTM, ("Squeeze", ["Y", "one"], ["y"], {})],
        {"inputs": [("x", onnx.TensorProto.FLOAT, [100_000, 1, I])]},
        "too many to be executed; export it with free axes",
    ),
    "old operators": (
        [LSTM, ("Squeeze", ["Y"], ["y"], {"axes": [1]})],
        {"opset": 6},
        "uses version 6 of ONNX's operators",
    ),
    "half an input": (
        [LSTM, ("Squeeze", ["Y", "one"], ["y"], {})],
        {"inputs": [("x", onnx.TensorProto.DOUBLE, ["T", "B", I])]},
        "its input is float64, its weights are float32",
    ),
    "other sizes, another model": (
        [LSTM, Y, ("Slice", ["s", "four", "end"], ["q"], {}), ("Reshape", ["q", "flat"], ["y"], {})],
        {"more": {"four": np.array([1]), "end": np.array([2**62]), "flat": np.array([-1, H])},
         "output": ("y", ["N", H])},
        "is neither the final state's nor every step's",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("nodes", "options", "expected"), BY_HAND.values(), ids=BY_HAND)
def test_a_graph_is_read_as_it_computes_or_refused_for_the_true_reason(nodes, options, expected, tmp_path):
    path = graph(tmp_path / "a.onnx", nodes, **options)
    if expected is not None:
        assert expected in said(path)
        return
    found = rnnbench.load_weights(path)
    x = np.random.default_rng(3).standard_normal((5, 2, I)).astype("float32")
    (expected,) = onnx.reference.ReferenceEvaluator(str(path)).run(None, {"x": x})
    y, _ = rnnbench.session("numpy", found.model, found.params).forward(x)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)  # float32, values within 10


def test_one_step_does_not_tell_what_is_read(tmp_path):
    path = graph(
        tmp_path / "a.onnx", [LSTM, Y, ("Identity", ["s"], ["y"], {})], [("x", onnx.TensorProto.FLOAT, [1, 2, I])]
    )
    assert "one step long, so nothing tells" in rnnbench.load_weights(path).remarks[0]


# ---- weights in a file beside it -------------------------------------------------------------------------------------


def beside(tmp_path, **changed):
    model = rnnbench.Model("lstm", I, H, O)
    rnnbench.save_weights(tmp_path / "one.onnx", model, model.init(1))
    file = onnx.load(tmp_path / "one.onnx")
    path = tmp_path / "a.onnx"
    onnx.save(file, path, save_as_external_data=True, location="a.onnx.data", size_threshold=0)
    file = onnx.load(path, load_external_data=False)
    for entry in file.graph.initializer[0].external_data:
        entry.value = changed.get(entry.key, entry.value)
    path.write_bytes(file.SerializeToString())
    return model, path


def test_weights_in_a_file_beside_it_are_read(tmp_path):
    model, path = beside(tmp_path)
    found = rnnbench.load_weights(path)
    assert found.model == model
    for name, value in model.init(1).items():
        assert found.params[name].tobytes() == value.tobytes()


def gone(path):
    path.unlink()


def linked(path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def hard_linked(path):
    path.rename(path.with_name("elsewhere"))
    os.link(path.with_name("elsewhere"), path)


def piped(path):
    path.unlink()
    os.mkfifo(path)


def short(path):
    path.write_bytes(path.read_bytes()[:-8])


def folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("change", [gone, linked, hard_linked, piped, short, folder])
def test_a_file_beside_it_that_is_not_whole_and_regular_is_named(change, tmp_path):
    _, path = beside(tmp_path)
    change(path.with_name("a.onnx.data"))
    assert "cannot be read from 'a.onnx.data' beside it" in said(path)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"location": "../a.onnx.data"}, "only a file in the same folder is opened"),
        ({"location": "/etc/passwd"}, "only a file in the same folder is opened"),
        ({"location": "sub\\a"}, "only a file in the same folder is opened"),
        ({"location": ".."}, "cannot be read from '..' beside it"),
        ({"location": ""}, "cannot be read from '' beside it"),
        ({"length": "1"}, "is said to have 1"),
        ({"length": str(2**62)}, "is said to have"),
        ({"offset": str(2**62)}, "cannot be read from 'a.onnx.data' beside it"),
        ({"offset": "-1"}, "cannot be read from 'a.onnx.data' beside it"),
        ({"offset": "\x1b[2J"}, "cannot be read from 'a.onnx.data' beside it"),
    ],
)
def test_no_other_file_is_opened_and_sizes_are_checked(changed, expected, tmp_path):
    _, path = beside(tmp_path, **changed)
    assert expected in said(path)


# ---- what is said ----------------------------------------------------------------------------------------------------


def test_a_file_s_names_do_not_reach_the_terminal_as_they_are(tmp_path):
    model = rnnbench.Model("lstm", I, H)
    rnnbench.save_weights(tmp_path / "a.onnx", model, model.init(1))
    file = onnx.load(tmp_path / "a.onnx")
    file.graph.node.append(helper.make_node("Bell\x07\x1b[31m" + "x" * 5000, ["y"], ["z"]))
    (tmp_path / "a.onnx").write_bytes(file.SerializeToString())
    text = said(tmp_path / "a.onnx")
    assert len(text) <= 600
