"""ONNX files: ours there and back bit for bit, torch's read as what torch computes, and one line for the rest."""

import pickle
from itertools import product

import numpy as np
import pytest

import rnnbench
from rnnbench.weights.onnx_layout import LAYOUTS, pack
from rnnbench.weights.onnx_trace import LARGEST

onnx = pytest.importorskip("onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper

I, H, O = 3, 5, 2
CELLS = pytest.mark.parametrize("cell", LAYOUTS)
MODEL = rnnbench.Model("lstm", I, H, O)


# ---- ours ------------------------------------------------------------------------------------------------------------


@CELLS
def test_there_and_back_is_bit_exact(cell, tmp_path):
    path = tmp_path / "a.onnx"
    for layers, both, readout, head, dtype in product(
        (1, 3), (False, True), ("last", "all"), (None, O), ("float32", "float64")
    ):
        model = rnnbench.Model(cell, I, H, head, layers, both, readout, dtype)
        params = model.init(1)
        params["layers.0.forward.b"][0, :2] = -0.0, np.finfo(dtype).smallest_subnormal
        rnnbench.save_weights(path, model, params)
        found = rnnbench.load_weights(path)
        assert found.model == model
        assert found.params.keys() == params.keys()
        for name, value in params.items():
            assert found.params[name].dtype == value.dtype
            assert found.params[name].tobytes() == value.tobytes(), name


@pytest.mark.parametrize("cell", sorted(LAYOUTS.keys() - {"rnn-relu"}))
@pytest.mark.parametrize("readout", ["last", "all"])
def test_onnx_itself_computes_the_same(cell, readout, tmp_path):
    """In one direction, without lengths and without relu: that is all its reference implementation has. float64, so
    that the difference is rounding, about 1e-15. A gate in another's place gives 1e-2."""
    from onnx.reference import ReferenceEvaluator

    model = rnnbench.Model(cell, I, H, O, layers=2, readout=readout, dtype="float64")
    params = model.init(2)
    rnnbench.save_weights(tmp_path / "a.onnx", model, params)
    x = np.random.default_rng(0).standard_normal((6, 4, I))
    y, *final = ReferenceEvaluator(str(tmp_path / "a.onnx")).run(None, {"x": x})
    expected, state = rnnbench.session("numpy", model, params).forward(x)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-13)
    for value, wanted in zip(final, state, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=0, atol=1e-13)


# ---- torch's ---------------------------------------------------------------------------------------------------------


def network(torch, kind, layers=1, both=False, batch_first=False, take="last step", head=True, **more):
    """take: "last step", "every step" or "final state" of the recurrent layers, which the head reads."""

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = getattr(torch.nn, kind)(I, H, layers, bidirectional=both, batch_first=batch_first, **more)
            self.head = torch.nn.Linear(H * (2 if both else 1), O) if head else torch.nn.Identity()

        def forward(self, x):
            y, state = self.layers(x)
            h = state[0] if isinstance(state, tuple) else state
            if take == "final state":
                return self.head(torch.cat([h[-2], h[-1]], -1) if both else h[-1])
            if take == "last step":
                y = y[:, -1] if batch_first else y[-1]
            return self.head(y)

    torch.manual_seed(0)
    return Network().eval()


NETWORKS = {
    "the usual forecaster": ("LSTM", {"batch_first": True}),
    "a sequence labeller": ("GRU", {"layers": 2, "both": True, "take": "every step"}),
    "a classifier": ("LSTM", {"layers": 2, "both": True, "batch_first": True, "take": "final state"}),
    "features, rows first": ("GRU", {"batch_first": True, "take": "every step", "head": False}),
    "a deep one": ("GRU", {"layers": 3, "take": "final state", "batch_first": True}),
    "a tagger, rows first": ("LSTM", {"both": True, "take": "every step", "batch_first": True}),
    "a plain one": ("RNN", {"take": "final state"}),
    "a plain one, both ways": ("RNN", {"layers": 2, "both": True, "take": "every step", "nonlinearity": "relu"}),
}
# By TorchScript, and by the exporter that followed it; that one unrolls an RNN step by step, so no layer is left of it.
EXPORTS = [
    (name, modern) for name, modern in product(NETWORKS, (False, True)) if not (modern and NETWORKS[name][0] == "RNN")
]
CELL_OF = {"LSTM": "lstm", "GRU": "gru", "RNN": "rnn-tanh"}


def export(torch, module, path, modern):
    batch_first = module.layers.batch_first
    x = torch.randn(4, 7, I) if batch_first else torch.randn(7, 4, I)
    if modern:
        torch.onnx.export(module, (x,), str(path), dynamo=True, external_data=False, verbose=False)
    else:
        axes = {"x": {0: "rows" if batch_first else "steps", 1: "steps" if batch_first else "rows"}}
        torch.onnx.export(module, (x,), str(path), dynamo=False, input_names=["x"], dynamic_axes=axes)
    return x


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")  # both exporters warn: of each other, of batch sizes, of torch's own future
@pytest.mark.parametrize(("name", "modern"), EXPORTS)
def test_what_torch_exports_is_read_as_what_torch_computes(name, modern, tmp_path):
    torch = pytest.importorskip("torch")
    if modern:
        pytest.importorskip("onnxscript")
    kind, options = NETWORKS[name]
    module = network(torch, kind, **options)
    x = export(torch, module, tmp_path / "a.onnx", modern)
    found = rnnbench.load_weights(tmp_path / "a.onnx")
    assert found.model.cell == ("rnn-relu" if "nonlinearity" in options else CELL_OF[kind])
    assert found.model.layers == options.get("layers", 1)
    assert found.model.readout == ("all" if options.get("take") == "every step" else "last")
    rows_first = options.get("batch_first", False)
    given = x.numpy().transpose(1, 0, 2) if rows_first else x.numpy()
    y, _ = rnnbench.session("numpy", found.model, found.params).forward(given)
    y = y.transpose(1, 0, 2) if rows_first and y.ndim == 3 else y
    with torch.no_grad():
        np.testing.assert_allclose(y, module(x).numpy(), rtol=0, atol=1e-6)  # float32, values within 1


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
def test_a_network_without_a_recurrent_node_is_refused_in_one_line(tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    export(torch, network(torch, "RNN"), tmp_path / "a.onnx", modern=True)
    with pytest.raises(
        rnnbench.UsageError, match=r"holds no recurrent operator .* torch\.onnx\.export\(dynamo=False\)"
    ) as caught:
        rnnbench.load_weights(tmp_path / "a.onnx")
    assert "\n" not in str(caught.value)


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
def test_the_last_step_of_both_directions_is_not_a_final_state(tmp_path):
    torch = pytest.importorskip("torch")
    export(torch, network(torch, "LSTM", both=True), tmp_path / "a.onnx", modern=False)
    with pytest.raises(rnnbench.UsageError, match="does not read the final state or every step of the last layer"):
        rnnbench.load_weights(tmp_path / "a.onnx")


# ---- tf2onnx's, written by hand --------------------------------------------------------------------------------------
# After its rewriters of Keras's LSTM, GRU and Bidirectional (lstm_tf2_rewriter, gru_tf2_rewriter, rnn_utils), since it
# needs TensorFlow to run. Rows come first; the zeros of the initial states have their shape from the graph.


def rewritten(path, model, nodes, output):
    """nodes take Y and Y_h of the one layer; `output` is the shape of "out"."""
    node, INT32, INT64 = helper.make_node, onnx.TensorProto.INT32, onnx.TensorProto.INT64
    params = model.init(3)
    packed = zip(*(pack(model.spec, params, prefix) for _, _, prefix in model.prefixes()), strict=True)
    constants = dict(zip("WRB", (np.stack(part) for part in packed), strict=True))
    constants |= {"units": np.array([H], np.int32)}
    constants |= {
        name: np.array([n], np.int64) for name, n in (("0", 0), ("1", 1), ("2", 2), ("-1", -1), ("end", 2**62))
    }
    if model.output_size:
        constants |= {"kernel": np.ascontiguousarray(params["head.W"].T), "bias": params["head.b"]}
        constants |= {"flat": np.array([-1, model.features], np.int64), "deep": np.array([-1, 24, O], np.int64)}
    both = model.bidirectional
    zeros = [
        node("Shape", ["x"], ["shape"]),
        node("Cast", ["shape"], ["shape32"], to=INT32),
        node("Slice", ["shape32", "0", "1", "0"], ["rows"]),
        node("Concat", ["rows", "units"], ["sizes32"], axis=0),
        node("Cast", ["sizes32"], ["sizes"], to=INT64),
        node("ConstantOfShape", ["sizes"], ["zeros"]),
        node("Unsqueeze", ["zeros", "0"], ["start of one"]),
        node("Concat", ["start of one"] * (2 if both else 1), ["start"], axis=0),
    ]
    options = {"hidden_size": H, "direction": "bidirectional" if both else "forward"}
    options |= {"linear_before_reset": 1} if model.cell == "gru" else {}
    starts = ["start"] * len(model.spec.states)
    layer = [
        node("Transpose", ["x"], ["steps"], perm=[1, 0, 2]),
        node("LSTM" if model.cell == "lstm" else "GRU", ["steps", *"WRB", "", *starts], ["Y", "Y_h"], **options),
    ]
    real = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [*zeros, *layer, *(node(op, taken, [given], **more) for op, taken, given, more in nodes)],
        "tf2onnx",
        [helper.make_tensor_value_info("x", real, ["rows", 24, I])],
        [helper.make_tensor_value_info("out", real, output)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), path)


DENSE = [("MatMul", ["features", "kernel"], "product", {}), ("Add", ["product", "bias"], "out", {})]
DENSE_AT_EVERY_STEP = [
    ("Reshape", ["features", "flat"], "rows of features", {}),
    ("MatMul", ["rows of features", "kernel"], "rows of products", {}),
    ("Reshape", ["rows of products", "deep"], "product", {}),
    ("Add", ["product", "bias"], "out", {}),
]
ONE_WAY = [("Squeeze", ["Y", "1"], "y", {}), ("Transpose", ["y"], "features", {"perm": [1, 0, 2]})]
# Each direction is cut out of Y on its own; the last step of the reverse one is its first in time.
SIDES = [
    ("Slice", ["Y", "0", "1", "1"], "Y forward", {}),
    ("Squeeze", ["Y forward", "1"], "forward", {}),
    ("Slice", ["Y", "1", "2", "1"], "Y reverse", {}),
    ("Squeeze", ["Y reverse", "1"], "reverse", {}),
]
REWRITTEN = {
    "LSTM, Dense on the state": (("lstm", O, False, "last"), [("Squeeze", ["Y_h", "0"], "features", {}), *DENSE]),
    "GRU, Dense on the last step": (
        ("gru", O, False, "last"),
        [
            ("Squeeze", ["Y", "1"], "y", {}),
            ("Slice", ["y", "-1", "end", "0"], "tail", {}),
            ("Squeeze", ["tail", "0"], "features", {}),
            *DENSE,
        ],
    ),
    "GRU that resets before, every step": (
        ("gru-before", None, False, "all"),
        [*ONE_WAY, ("Identity", ["features"], "out", {})],
    ),
    "LSTM, Dense at every step": (("lstm", O, False, "all"), [*ONE_WAY, *DENSE_AT_EVERY_STEP]),
    "Bidirectional LSTM, Dense on the ends": (
        ("lstm", O, True, "last"),
        [
            *SIDES,
            ("Slice", ["forward", "-1", "end", "0"], "forward tail", {}),
            ("Squeeze", ["forward tail", "0"], "forward end", {}),
            ("Slice", ["reverse", "0", "1", "0"], "reverse tail", {}),
            ("Squeeze", ["reverse tail", "0"], "reverse end", {}),
            ("Concat", ["forward end", "reverse end"], "features", {"axis": -1}),
            *DENSE,
        ],
    ),
    "Bidirectional GRU, Dense at every step": (
        ("gru", O, True, "all"),
        [
            *SIDES,
            ("Transpose", ["forward"], "forward rows", {"perm": [1, 0, 2]}),
            ("Transpose", ["reverse"], "reverse rows", {"perm": [1, 0, 2]}),
            ("Concat", ["forward rows", "reverse rows"], "features", {"axis": 2}),
            *DENSE_AT_EVERY_STEP,
        ],
    ),
}


@pytest.mark.parametrize(("kind", "nodes"), REWRITTEN.values(), ids=REWRITTEN)
def test_a_keras_model_as_tf2onnx_writes_it(kind, nodes, tmp_path):
    cell, head, both, readout = kind
    model = rnnbench.Model(cell, I, H, head, 1, both, readout)
    width = head or model.features
    rewritten(tmp_path / "a.onnx", model, nodes, ["rows", width] if readout == "last" else ["rows", 24, width])
    found = rnnbench.load_weights(tmp_path / "a.onnx")
    assert found.model == model
    for name, value in model.init(3).items():
        assert found.params[name].tobytes() == value.tobytes()


# ---- strangers' ------------------------------------------------------------------------------------------------------


def ours(path, model=MODEL):
    rnnbench.save_weights(path, model, model.init(0))
    return onnx.load(path)


def node_of(file, op):
    return next(node for node in file.graph.node if node.op_type == op)


def add_nodes(file, *nodes):
    """Nodes that take y, in the place of the graph's output."""
    file.graph.node.extend(nodes)
    file.graph.output[0].name = nodes[-1].output[0]


def tensor_of(file, name):
    return next(tensor for tensor in file.graph.initializer if tensor.name == name)


def external(file):
    tensor = tensor_of(file, "head.W")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def external_constant(file):
    external(file)
    tensor = tensor_of(file, "head.W")
    file.graph.node.insert(0, helper.make_node("Constant", [], ["secret"], value=tensor))
    file.graph.initializer.remove(tensor)


def endless(file):
    tensor = tensor_of(file, "head.b")
    del tensor.dims[:]
    tensor.dims.append(2**50)


def swollen(file):
    shape = numpy_helper.from_array(np.array([2**20, 2**20], np.int64), "shape")
    file.graph.initializer.append(shape)
    file.graph.node.insert(0, helper.make_node("ConstantOfShape", ["shape"], ["zeros"]))


def doubled(file):
    name = "head.W"
    for _ in range(60):
        file.graph.node.insert(0, helper.make_node("Concat", [name, name], [f"{name}+"], axis=0))
        name += "+"
    nodes = list(file.graph.node)
    nodes[:60] = nodes[59::-1]
    del file.graph.node[:]
    file.graph.node.extend(nodes)


def half(file):
    tensor = tensor_of(file, "head.b")
    tensor.CopyFrom(numpy_helper.from_array(np.zeros(O, np.float16), "head.b"))


def scanned(file):
    empty = helper.make_graph([], "inside", [], [])
    file.graph.node.append(helper.make_node("If", ["y"], ["z"], name="choice", then_branch=empty, else_branch=empty))


def unfinished(file):
    tensor_of(file, "layers.0.B").CopyFrom(
        numpy_helper.from_array(np.full((1, 8 * H), np.nan, np.float32), "layers.0.B")
    )


def reordered(file):
    """A layer that reads the input backwards."""
    order = numpy_helper.from_array(np.array([1, 0], np.int64), "order")
    file.graph.initializer.append(order)
    file.graph.node.insert(0, helper.make_node("Gather", ["x", "order"], ["turned"], axis=0))
    node_of(file, "LSTM").input[0] = "turned"


def started(file):
    state = numpy_helper.from_array(np.ones((1, 2, H), np.float32), "warm")
    file.graph.initializer.append(state)
    node_of(file, "LSTM").input.extend(["warm"] if len(node_of(file, "LSTM").input) == 5 else [])
    node_of(file, "LSTM").input[5] = "warm"


def attribute(name, value):
    return lambda file: node_of(file, "LSTM").attribute.append(helper.make_attribute(name, value))


def activations(*names):
    def change(file):
        node = node_of(file, "LSTM")
        kept = [a for a in node.attribute if a.name != "activations"]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute("activations", names)])

    return change


STRANGE = {
    "external data": (external, "'head.W' lies in '/etc/passwd'; only a file in the same folder is opened"),
    "an external constant": (external_constant, "lie in another file, which is opened for stored weights only"),
    "a huge declared tensor": (endless, "'head.b' is not the tensor it declares to be"),
    "a huge computed tensor": (swollen, f"makes tensors of more than {LARGEST} elements"),
    "a tensor doubled sixty times": (doubled, f"makes tensors of more than {LARGEST} elements"),
    "half precision": (half, "'head.b' is float16; float32 and float64 are understood"),
    "control flow": (scanned, "If 'choice' holds a graph"),
    "an activation": (lambda f: add_nodes(f, helper.make_node("Relu", ["y"], ["z"], name="act")), "Relu 'act' is not"),
    "a foreign operator": (
        lambda f: (
            f.opset_import.append(helper.make_opsetid("com.x", 1)),
            add_nodes(f, helper.make_node("Trick", ["y"], ["z"], name="odd", domain="com.x")),
        ),
        "Trick 'odd' is of the domain 'com.x'",
    ),
    "a clipped gate": (attribute("clip", 3.0), "has the attribute clip, which is not understood"),
    "another layout": (attribute("layout", 1), "has the attribute layout, which is not understood"),
    "other activations": (activations("Sigmoid", "Relu", "Tanh"), "has the activations Sigmoid, Relu, Tanh"),
    "NaN": (unfinished, "parameter 'layers.0.forward.b' holds NaN"),
    "the input backwards": (reordered, "LSTM does not read the input step by step"),
    "a state of its own": (started, "LSTM starts from a state of its own, 'warm'"),
    "a second bias": (
        lambda f: add_nodes(f, helper.make_node("Add", ["y", "head.b"], ["z"], name="again")),
        "Add 'again' adds a second bias",
    ),
    "another output": (lambda f: setattr(f.graph.output[0], "name", "c"), "its first output, 'c', is neither"),
    "no recurrent layer": (
        lambda f: f.graph.CopyFrom(helper.make_graph([], "empty", f.graph.input, f.graph.input)),
        "it holds no recurrent operator",
    ),
    "no version": (lambda f: f.ClearField("opset_import"), "does not say which version of ONNX's operators"),
}


@pytest.mark.parametrize(("change", "expected"), STRANGE.values(), ids=STRANGE)
def test_what_is_not_understood_is_named_in_one_line(change, expected, tmp_path):
    path = tmp_path / "odd.onnx"
    file = ours(path)
    change(file)
    path.write_bytes(file.SerializeToString())
    with pytest.raises(rnnbench.UsageError) as caught:
        rnnbench.load_weights(path)
    assert expected in str(caught.value)
    assert "odd.onnx" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [pickle.dumps([1.0]), b"", b"\x00" * 64, b"{}"], ids=["pickle", "empty", "0", "{}"])
def test_what_is_no_onnx_file_is_refused(content, tmp_path):
    path = tmp_path / "odd.onnx"
    path.write_bytes(content)
    with pytest.raises(rnnbench.UsageError, match=r"odd\.onnx' (is not an ONNX file|cannot be taken as a model)"):
        rnnbench.load_weights(path)


def test_functions_and_graph_inputs_for_lengths_are_refused(tmp_path):
    from rnnbench.weights.onnx_write import build

    path = tmp_path / "odd.onnx"
    path.write_bytes(build(MODEL, MODEL.init(0), lengths=True).SerializeToString())
    with pytest.raises(
        rnnbench.UsageError, match="takes lengths from the graph's input 'lengths'; export the model without"
    ):
        rnnbench.load_weights(path)
    file = ours(path)
    file.functions.append(helper.make_function("local", "f", ["a"], ["a"], [], [helper.make_opsetid("", 17)]))
    path.write_bytes(file.SerializeToString())
    with pytest.raises(rnnbench.UsageError, match="it defines functions"):
        rnnbench.load_weights(path)


def test_states_as_inputs_are_ours_to_give(tmp_path):
    from rnnbench.weights.onnx_write import build

    model = rnnbench.Model("lstm", I, H, O, layers=2, bidirectional=True)
    path = tmp_path / "a.onnx"
    path.write_bytes(build(model, model.init(0), states=True).SerializeToString())
    assert rnnbench.load_weights(path).model == model
