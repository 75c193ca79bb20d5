"""Finds out which model an ONNX graph is, by following what moves through it.

Every element of the input gets a number, and so does every output of a recurrent layer. The operators between
(Transpose, Squeeze, Reshape, Concat, Slice, Gather and their like) are carried out on these numbers, so it does not
matter how an exporter spells the way from one layer to the next: what arrives says it. Weights and shapes take the same
road as plain arrays.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from rnnbench.errors import UsageError
from rnnbench.model import Array, Model, Params, Readout
from rnnbench.weights.onnx_layout import DEFAULTS, LAYOUTS, cell_of, unpack
from rnnbench.weights.onnx_moves import ARITHMETIC, MOVES, bound, carry_out
from rnnbench.weights.spec import Trained

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, ValueInfoProto

ALIASES = frozenset(("Identity", "Dropout"))  # Dropout in inference
DIRECTIONS = {"forward": 1, "bidirectional": 2}
LARGEST = 2**27  # elements that may be made on the way, all together: a file can ask for any number
RESETS_LATE = (
    "a GRU has linear_before_reset 0 and yet two biases of its candidate, which only a GRU needs that resets after the "
    "product, as torch's and Keras's do; where it comes from such a one, 1 is right, and --against its weights tells"
)
FREE_SIZE = 2  # of the first axis without a fixed size; the next one gets 3, so that they differ


@dataclass(frozen=True)
class TracedLayer:
    """A recurrent node. weights: W [D, G*H, I], R [D, G*H, H], B [D, 2*G*H], all zeros where the node has none.
    steps [T, B, D*H] and last [B, D*H] are the numbers of its outputs in canonical order."""

    cell: str
    weights: tuple[Array, Array, Array]
    steps: Array
    last: Array


@dataclass
class TracedHead:
    """W [O, F], b [O] once it is known; outputs: the numbers of its outputs, [T, B, O] or [B, O]."""

    W: Array
    outputs: Array
    b: Array | None = None


class Trace:
    """values: every tensor by name; numbered: the names of those that hold numbers of elements, not values."""

    def __init__(self, onnx: ModuleType, graph: "GraphProto", opset: int) -> None:
        self.onnx, self.graph, self.opset = onnx, graph, opset
        self.values: dict[str, Array] = {"": np.zeros(0)}
        self.numbered: set[str] = set()
        self.layers: list[TracedLayer] = []
        self.head: TracedHead | None = None
        self._next, self._made = 1, 0
        self._free: dict[str, int] = {}

    def trained(self, initialisers: Mapping[str, Array]) -> Trained:
        """Return the model of the graph. Raises UsageError naming the first node that is not understood."""
        self.values |= initialisers
        given = [value for value in self.graph.input if value.name not in initialisers]
        for value in given:
            self._number(value.name, self._declared(value))
        if not given or self.values[given[0].name].ndim != 3:
            raise UsageError("its first input must have three axes: steps, rows and features")
        self.x = self.values[given[0].name]
        for node in self.graph.node:
            self._visit(node)
        if not self.layers:
            raise UsageError(f"it has no recurrent layer; known: {', '.join(sorted(DEFAULTS))}")
        return self._result()

    def _visit(self, node: "NodeProto") -> None:
        what = f"{node.op_type} {node.name!r}" if node.name else node.op_type
        if missing := [name for name in node.input if name not in self.values]:
            raise UsageError(f"{what} reads {missing[0]!r}, which nothing gives")
        moved = [name for name in node.input if name in self.numbered]
        if node.domain not in ("", "ai.onnx"):
            raise UsageError(f"{what} is of the domain {node.domain!r}, which is not understood")
        if node.op_type in DEFAULTS:
            self._recurrent(what, node)
        elif node.op_type in ALIASES and moved:
            self._number(node.output[0], self.values[node.input[0]])
        elif node.op_type in ("MatMul", "Gemm") and moved:
            self._head(what, node)
        elif node.op_type == "Add" and moved:
            self._bias(what, node)
        elif node.op_type in MOVES or node.op_type in ALIASES or (node.op_type in ARITHMETIC and not moved):
            self._carry_out(what, node, bool(moved) and node.op_type != "Shape")
        else:
            raise UsageError(f"{what} is not understood; only recurrent layers, a linear head and what moves data is")

    # ---- numbers -----------------------------------------------------------------------------------------------------

    def _fresh(self, shape: tuple[int, ...]) -> Array:
        size = self._spend(int(np.prod(shape, dtype=object)))
        self._next += size
        return np.arange(self._next - size, self._next).reshape(shape)

    def _spend(self, size: int) -> int:
        self._made += size
        if self._made > LARGEST:
            raise UsageError(f"it makes tensors of more than {LARGEST} elements; export it with small or free axes")
        return size

    def _number(self, name: str, numbers: Array) -> None:
        self.values[name] = numbers
        self.numbered.add(name)

    def _declared(self, value: "ValueInfoProto") -> Array:
        """Number an input of the graph; an axis without a fixed size gets a small one, the same for one name."""
        shape = []
        for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
            free = dimension.dim_param or f"{value.name}[{axis}]"
            fixed = int(dimension.dim_value)
            shape.append(fixed if fixed > 0 else self._free.setdefault(free, FREE_SIZE + len(self._free)))
        return self._fresh(tuple(shape))

    # ---- nodes -------------------------------------------------------------------------------------------------------

    def _carry_out(self, what: str, node: "NodeProto", numbered: bool) -> None:
        self._spend(bound(node.op_type, [self.values[name] for name in node.input]))
        for name, value in carry_out(self.onnx, self.opset, what, node, self.values).items():
            self.values[name] = value
            if numbered:
                self.numbered.add(name)

    def _recurrent(self, what: str, node: "NodeProto") -> None:
        attributes = {a.name: self.onnx.helper.get_attribute_value(a) for a in node.attribute}
        side = attributes.pop("direction", b"forward").decode(errors="replace")
        if side not in DIRECTIONS:
            raise UsageError(f"{what} runs {side} only; forward and bidirectional are understood")
        D = DIRECTIONS[side]
        cell = cell_of(what, node.op_type, attributes, D)
        taken = [*node.input, *[""] * (8 - len(node.input))]
        if taken[4]:
            raise UsageError(f"{what} takes lengths from the graph; export the model without, rnnbench adds its own")
        if taken[7]:
            raise UsageError(f"{what} has peepholes, which no registered cell has")
        weights = self._weights(what, taken, D, len(LAYOUTS[cell].gates))
        self._check_starts(what, taken[5:7])
        x, H = self.values[taken[0]], weights[1].shape[2]
        self._check_input(what, x, weights[0].shape[2])
        T, B, _ = x.shape
        Y = self._fresh((T, D, B, H))
        final = np.stack([Y[-1, 0], Y[0, 1]] if D == 2 else [Y[-1, 0]])
        steps, last = Y.transpose(0, 2, 1, 3).reshape(T, B, D * H), final.transpose(1, 0, 2).reshape(B, D * H)
        self.layers.append(TracedLayer(cell, weights, steps, last))
        for name, numbers in zip(node.output, (Y, final, self._fresh((D, B, H))), strict=False):
            if name:
                self._number(name, numbers)

    def _weights(self, what: str, taken: list[str], D: int, G: int) -> tuple[Array, Array, Array]:
        if odd := [name for name in taken[1:4] if name in self.numbered]:
            raise UsageError(f"{what}: {odd[0]!r} is computed from the input, so it is not a weight")
        W, R, B = (self.values[name] for name in taken[1:4])
        if W.ndim != 3 or R.ndim != 3 or R.shape != (D, G * R.shape[2], R.shape[2]) or W.shape[:2] != R.shape[:2]:
            raise UsageError(f"{what} has weights of shapes {W.shape} and {R.shape}, which do not fit each other")
        B = B if taken[3] else np.zeros((D, 2 * R.shape[1]), R.dtype)
        if B.shape != (D, 2 * R.shape[1]):
            raise UsageError(f"{what} has a bias of shape {B.shape}; it must be {(D, 2 * R.shape[1])}")
        return W, R, B

    def _check_starts(self, what: str, names: list[str]) -> None:
        for name in names:
            if name and name not in self.numbered and np.any(self.values[name]):
                raise UsageError(f"{what} starts from a state of its own, {name!r}; zeros or an input are understood")

    def _check_input(self, what: str, x: Array, I: int) -> None:
        wanted = [self.layers[-1].steps] if self.layers else [self.x, self.x.transpose(1, 0, 2)]
        if not any(np.array_equal(x, candidate) for candidate in wanted):
            source = "the layer before it" if self.layers else "the input"
            raise UsageError(f"{what} does not read {source} step by step, as it is")
        if x.shape[2] != I:
            raise UsageError(f"{what} gets {x.shape[2]} features, but its weights take {I}")

    def _head(self, what: str, node: "NodeProto") -> None:
        """Take x @ W, or Gemm's x @ W.T + b, as the head."""
        if self.head or not self.layers or node.input[0] not in self.numbered or node.input[1] in self.numbered:
            raise UsageError(f"{what} is not understood; one linear head after the last layer is")
        x, W = self.values[node.input[0]], self.values[node.input[1]]
        b: Array | None = None
        if node.op_type == "Gemm":
            given = {a.name: self.onnx.helper.get_attribute_value(a) for a in node.attribute}
            if given.get("alpha", 1.0) != 1.0 or given.get("beta", 1.0) != 1.0 or given.get("transA", 0):
                raise UsageError(f"{what} scales or transposes what it multiplies, which is not understood")
            W = W.T if given.get("transB", 0) else W
            b = self.values[node.input[2]] if len(node.input) > 2 and node.input[2] else None
        layer = self.layers[-1]
        F = layer.steps.shape[2]
        if W.ndim != 2 or len(W) != F or x.shape[-1] != F:
            raise UsageError(f"{what} has weights of shape {W.shape}; the last layer gives {F} features")
        found = _arrangement(x, layer.last, layer.steps)
        if found is None:
            raise UsageError(f"{what} does not read the final state or every step of the last layer")
        readout, batch_first = found
        features = layer.last if readout == "last" else layer.steps
        outputs = self._fresh((*features.shape[:-1], W.shape[1]))
        self.head = TracedHead(np.ascontiguousarray(W.T), outputs)
        if b is not None:
            self._set_bias(what, self.head, b)
        arranged = outputs.transpose(1, 0, 2) if batch_first else outputs
        self._number(node.output[0], arranged.reshape(*x.shape[:-1], W.shape[1]))

    def _bias(self, what: str, node: "NodeProto") -> None:
        fixed = [name for name in node.input if name not in self.numbered]
        if self.head is None or len(fixed) != 1:
            raise UsageError(f"{what} is not understood; the bias of a linear head is the only sum that is")
        moved = next(name for name in node.input if name in self.numbered)
        if not np.isin(self.values[moved], self.head.outputs).all():
            raise UsageError(f"{what} adds to something else than the head's output")
        self._set_bias(what, self.head, self.values[fixed[0]])
        self._number(node.output[0], self.values[moved])

    def _set_bias(self, what: str, head: TracedHead, b: Array) -> None:
        shape = head.W.shape[:1]
        if head.b is not None or b.shape[-1:] != shape or b.size != shape[0]:
            raise UsageError(f"{what} adds a second bias, or one of shape {b.shape}; a head has one, {shape}")
        head.b = b.reshape(-1)

    # ---- what it was -------------------------------------------------------------------------------------------------

    def _result(self) -> Trained:
        last = self.layers[-1]
        W, R, _ = last.weights
        O, dtype = None if self.head is None else len(self.head.W), W.dtype
        sizes = (self.x.shape[2], R.shape[2], O, len(self.layers))
        model = Model(last.cell, *sizes, len(R) == 2, self._readout(last), str(dtype))
        for number, layer in enumerate(self.layers):
            if (layer.cell, layer.weights[1].shape) != (last.cell, R.shape):
                raise UsageError(
                    f"layers {number} and {len(self.layers) - 1} are of different cells, sizes or directions"
                )
        params: Params = {}
        for number, reverse, prefix in model.prefixes():
            W, R, B = (part[int(reverse)] for part in self.layers[number].weights)
            params |= unpack(model.spec, W, R, B, prefix)
        if self.head is not None:
            none = np.zeros(len(self.head.W), self.head.W.dtype)
            params |= {"head.W": self.head.W, "head.b": none if self.head.b is None else self.head.b}
        if odd := [name for name, value in params.items() if value.dtype != dtype]:
            raise UsageError(f"{odd[0]} is {params[odd[0]].dtype}, other weights are {dtype}")
        remarks = (RESETS_LATE,) if any(_resets_late(layer) for layer in self.layers) else ()
        return Trained(model, model.check_params(params), remarks)

    def _readout(self, layer: TracedLayer) -> Readout:
        name = self.graph.output[0].name if self.graph.output else "nothing"
        if name not in self.numbered:
            raise UsageError(f"its first output, {name!r}, does not come from a recurrent layer")
        final, steps = layer.last, layer.steps
        if self.head is not None:
            every = self.head.outputs.ndim == 3
            steps = self.head.outputs if every else np.zeros((0, 0, 1))
            final = self.head.outputs if not every else np.zeros((0, 1))
            if every and len(layer.weights[1]) == 1:
                final = steps[-1]  # the head of every step, of which only the last is kept
        found = _arrangement(self.values[name], final, steps)
        if found is None:
            raise UsageError(
                f"its first output, {name!r}, is neither the final state's nor every step's; the last step of both "
                "directions is not the final state of the reverse one"
            )
        return found[0]


def _resets_late(layer: TracedLayer) -> bool:
    """Tell whether a GRU that says it resets before has two biases of its candidate, which only one that resets after
    it needs: no framework writes that, but an export with the wrong attribute is just this."""
    _, R, B = layer.weights
    B = B.reshape(len(R), 2, -1, R.shape[2])
    return layer.cell == "gru-before" and all(B[:, side, -1].any() for side in (0, 1))


def _arrangement(values: Array, last: Array, steps: Array) -> tuple[Readout, bool] | None:
    """Return ("last" or "all", whether rows come before steps): whose numbers these are, however reshaped."""

    def same(numbers: Array) -> bool:
        return numbers.size > 0 and np.array_equal(values.reshape(-1), numbers.reshape(-1))

    if same(last):
        return "last", False
    if same(steps):
        return "all", False
    return ("all", True) if same(steps.transpose(1, 0, 2)) else None
