"""A model as an ONNX graph: recurrent operators, a linear head, states in and out, lengths in. A cell that ONNX has no
operator for is written as a `Scan` (`onnx_scan.py`), with the canonical weights by their names.

Inputs: x [T, B, I]; if asked for, lengths int32 [B] and the initial states (h0, c0), each [L*D, B, H]. Outputs: y as
`Session.forward` gives it, then the final states (h, c). T and B are free dimensions.
"""

import json
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from rnnbench import atomic
from rnnbench.errors import UsageError
from rnnbench.model import Array, Model, Params
from rnnbench.weights.onnx_layout import LAYOUTS, pack
from rnnbench.weights.onnx_scan import ONE, ZERO, GraphPart, ScanLayer
from rnnbench.weights.spec import ATTACHED, Trained

if TYPE_CHECKING:
    import onnx

OPSET = 17  # of 2022: LSTM-14, GRU-14 and RNN-14 are in it, and every runtime in use reads it
IR_VERSION = 8  # the one that came with it
REMEDY = 'pip install "rnnbench[onnx]"'
MODEL_KEY = "rnnbench.model"  # of a file's metadata: the model that a Scan does not tell
LARGEST_FILE = 2**31 - 1  # bytes: protobuf's limit


def onnx_module() -> ModuleType:
    """Return the onnx package. Raises UsageError with the remedy where it is not installed."""
    try:
        import onnx
    except ImportError:
        raise UsageError(f"ONNX files need the onnx package, which is not installed; {REMEDY}") from None
    return onnx


def write(path: Path, trained: Trained) -> None:
    """Write a file whose only input is x. Raises UsageError as `build` does."""
    graph = build(trained.model, trained.params)
    if trained.attached:
        graph.metadata_props.add(key=ATTACHED, value=trained.attached)
    atomic.write(path, graph.SerializeToString(deterministic=True))


def build(model: Model, params: Params, lengths: bool = False, states: bool = False) -> "onnx.ModelProto":
    """Return the graph of `model`. lengths, states: whether it takes them as inputs; without, all steps and zeros.

    Raises UsageError for more parameters than a file may hold.
    """
    checked = model.check_params(params)
    if sum(value.nbytes for value in checked.values()) > LARGEST_FILE:
        raise UsageError("the parameters take more than the 2 GiB that an ONNX file may hold; use .safetensors")
    return _Builder(model, checked, lengths, states).finished()


class _Builder:
    """Collects nodes and constants; each method adds a part and returns the name of its result."""

    def __init__(self, model: Model, params: Params, lengths: bool, states: bool) -> None:
        self.onnx = onnx_module()
        self.model, self.params, self.lengths, self.states = model, params, lengths, states
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}
        self.mask = ""

    def finished(self) -> "onnx.ModelProto":
        helper, model = self.onnx.helper, self.model
        real = helper.np_dtype_to_tensor_dtype(np.dtype(model.dtype))
        self._add_stack()
        H, stacked = model.hidden_size, model.layers * model.directions
        sizes: dict[str, tuple[int, list[int | str]]] = {"x": (real, ["T", "B", model.input_size])}
        if self.lengths:
            sizes["lengths"] = (self.onnx.TensorProto.INT32, ["B"])
        if self.states:
            sizes |= {f"{name}0": (real, [stacked, "B", H]) for name in model.spec.states}
        width = model.features if model.output_size is None else model.output_size
        results: dict[str, list[int | str]] = {"y": ["T", "B", width] if model.readout == "all" else ["B", width]}
        results |= {name: [stacked, "B", H] for name in model.spec.states}
        graph = helper.make_graph(
            self.nodes,
            f"{model.cell} with {model.layers} layers of {H}",
            [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in sizes.items()],
            [helper.make_tensor_value_info(name, real, shape) for name, shape in results.items()],
            [self.onnx.numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        made = helper.make_model(
            graph, producer_name="rnnbench", opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )
        if model.cell not in LAYOUTS:
            helper.set_model_props(made, {MODEL_KEY: json.dumps(model.as_dict())})
        self.onnx.checker.check_model(made, full_check=True)
        return made  # type: ignore[no-any-return]

    def _add_stack(self) -> None:
        model = self.model
        starts = self._starts()
        x, finals = "x", []
        recurrent = self._recurrent if model.cell in LAYOUTS else self._scanned
        for layer in range(model.layers):
            outputs, final = recurrent(layer, x, [names[layer] for names in starts])
            finals.append(final)
            if layer < model.layers - 1 or model.readout == "all":
                x = self._joined(outputs, 1, f"layers.{layer}")
        features = x if model.readout == "all" else self._joined(finals[-1][0], 0, "last")
        y = self._head(features)
        masks = self.lengths and model.readout == "all"
        self._node("Where" if masks else "Identity", self._masked(y) if masks else [y], ["y"])
        for number, name in enumerate(model.spec.states):
            self._node("Concat", [final[number] for final in finals], [name], axis=0)

    def _starts(self) -> list[list[str]]:
        """Return the names of the initial states [D, B, H] by state and layer; empty strings where there are none."""
        layers = self.model.layers
        if not self.states:
            return [[""] * layers for _ in self.model.spec.states]
        names = []
        for state in self.model.spec.states:
            parts = [f"{state}0.{layer}" for layer in range(layers)]
            sizes = self._constant("directions", np.full(layers, self.model.directions, np.int64))
            self._node("Split", [f"{state}0", sizes], parts, axis=0)
            names.append(parts)
        return names

    def _recurrent(self, layer: int, x: str, starts: list[str]) -> tuple[str, list[str]]:
        """Return Y [T, D, B, H] and the final states, each [D, B, H]."""
        model, layout = self.model, LAYOUTS[self.model.cell]
        sides = [prefix for number, _, prefix in model.prefixes() if number == layer]
        packed = zip(*(pack(model.spec, self.params, prefix) for prefix in sides), strict=True)
        weights = [
            self._constant(f"layers.{layer}.{kind}", np.stack(part)) for kind, part in zip("WRB", packed, strict=True)
        ]
        finals = [f"layers.{layer}.{state}" for state in model.spec.states]
        self._node(
            layout.op,
            [x, *weights, "lengths" if self.lengths else "", *starts],
            [f"layers.{layer}.Y", *finals],
            hidden_size=model.hidden_size,
            direction="bidirectional" if model.bidirectional else "forward",
            activations=list(layout.activations) * model.directions,
            **layout.attributes,
        )
        return f"layers.{layer}.Y", finals

    def _scanned(self, layer: int, x: str, starts: list[str]) -> tuple[str, list[str]]:
        """Return what `_recurrent` does, of a cell without an operator."""
        model = self.model
        outer = GraphPart(self.onnx, f"layers.{layer}.", self.constants, self.nodes)
        self.constants |= {ZERO: np.zeros((), model.dtype), ONE: np.ones((), model.dtype)}
        real, mask = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(model.dtype)), self._mask()
        outputs, finals = [], []
        for _, reverse, prefix in [side for side in model.prefixes() if side[0] == layer]:
            self.constants |= {
                prefix + kind: self.params[prefix + kind] for kind in "WRb" if prefix + kind in self.params
            }
            scan = ScanLayer(model.spec, model.hidden_size, prefix, outer, real, mask)
            y, final = scan.add(self._turned(outer, x) if reverse else x, self._side(outer, starts, reverse))
            outputs.append(outer.add("Unsqueeze", self._turned(outer, y) if reverse else y, outer.numbers(1)))
            finals.append([outer.add("Unsqueeze", state, outer.numbers(0)) for state in final])
        joined = [outer.add("Concat", *states, axis=0) for states in zip(*finals, strict=True)]
        return outer.add("Concat", *outputs, axis=1), joined

    def _side(self, outer: GraphPart, starts: list[str], reverse: bool) -> list[str]:
        """Return the names of one direction's initial states [B, H]."""
        if self.states:
            return [
                outer.add("Gather", name, self._constant(f"side {int(reverse)}", np.array(int(reverse))), axis=0)
                for name in starts
            ]
        rows = outer.add("Shape", "x", start=1, end=2)
        size = outer.add("Concat", rows, outer.numbers(self.model.hidden_size), axis=0)
        return [outer.add("Expand", ZERO, size) for _ in starts]

    def _turned(self, outer: GraphPart, value: str) -> str:
        """Reverse the steps of [T, B, ...], each row's within its length."""
        if self.lengths:
            count = outer.add("Cast", "lengths", to=self.onnx.TensorProto.INT64)
            return outer.add("ReverseSequence", value, count, batch_axis=1, time_axis=0)
        last, first, by = (outer.numbers(number) for number in (-1, np.iinfo(np.int64).min, -1))
        return outer.add("Slice", value, last, first, outer.numbers(0), by)

    def _joined(self, value: str, axis: int, name: str) -> str:
        """Turn [D, B, H] into [B, D*H], or with axis 1 [T, D, B, H] into [T, B, D*H]."""
        if not self.model.bidirectional:
            side = self._constant(f"{name}.side", np.array([axis], np.int64))
            return self._node("Squeeze", [value, side], [f"{name}.out"])
        turned = self._node("Transpose", [value], [f"{name}.turned"], perm=[*range(axis), axis + 1, axis, axis + 2])
        shape = self._constant(f"{name}.shape", np.array([0] * (axis + 1) + [self.model.features], np.int64))
        return self._node("Reshape", [turned, shape], [f"{name}.out"])

    def _head(self, features: str) -> str:
        if self.model.output_size is None:
            return features
        W = self._constant("head.W", np.ascontiguousarray(self.params["head.W"].T))
        product = self._node("MatMul", [features, W], ["head.product"])
        return self._node("Add", [product, self._constant("head.b", self.params["head.b"])], ["head.y"])

    def _masked(self, y: str) -> list[str]:
        """Return what `Where` takes for y [T, B, O] to be 0 past each length: no rule obliges an operator to that, and
        a head adds its bias there."""
        return [self._mask(), y, self._constant("zero", np.zeros((), self.model.dtype))]

    def _mask(self) -> str:
        """Return the name of bool [T, B, 1], whether a step is within its row's length; "" where all are."""
        if not self.lengths or self.mask:
            return self.mask
        first = self._constant("first", np.array(0, np.int32))
        one = self._constant("one", np.array(1, np.int32))
        last = self._constant("last axis", np.array([-1], np.int64))
        T = self._node("Shape", ["x"], ["steps.count"], start=0, end=1)
        scalar = self._node("Squeeze", [T], ["steps.scalar"])
        count = self._node("Cast", [scalar], ["steps.int32"], to=self.onnx.TensorProto.INT32)
        steps = self._node("Range", [first, count, one], ["steps.range"])
        column = self._node("Unsqueeze", [steps, last], ["steps.column"])
        valid = self._node("Less", [column, "lengths"], ["steps.valid"])
        self.mask = self._node("Unsqueeze", [valid, last], ["steps.mask"])
        return self.mask

    def _node(self, op: str, taken: list[str], given: list[str], **attributes: object) -> str:
        self.nodes.append(self.onnx.helper.make_node(op, taken, given, **attributes))
        return given[0]

    def _constant(self, name: str, value: Array) -> str:
        self.constants[name] = value
        return name
