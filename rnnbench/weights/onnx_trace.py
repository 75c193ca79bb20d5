"""Finds out which model an ONNX graph is, by following what moves through it.

Every element of the input gets a number, and so does every output of a recurrent layer. The operators between
(Transpose, Squeeze, Reshape, Concat, Slice, Gather and their like) are carried out on these numbers, so it does not
matter how an exporter spells the way from one layer to the next: what arrives says it. Weights and shapes take the same
road as plain arrays.

What was found is a claim until the file has been executed (`onnx_probe.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnbench.errors import UsageError
from rnnbench.model import Array, Model, Params, Readout
from rnnbench.weights.onnx_layout import DEFAULTS, LAYOUTS, cell_of, unpack
from rnnbench.weights.onnx_moves import ARITHMETIC, MOVES, bound, carry_out
from rnnbench.weights.spec import Trained

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, ValueInfoProto

WHOLE = ("int32", "int64")
DIRECTIONS = {"forward": 1, "bidirectional": 2}
LARGEST = 2**27  # elements that may be made on the way, all together: a file can ask for any number
MOST_WORK = 2**37  # multiplications of one execution, some seconds; 100 steps of 32 rows and 2,048 units are half of it
MOST_STEPS = 2**14  # of all layers together: an interpreter takes each in Python
RESETS_LATE = (
    "a GRU has linear_before_reset 0 and yet two biases of its candidate, which only a GRU needs that resets after the "
    "product, as torch's and Keras's do; where it comes from such a one, 1 is right, and --against its weights tells"
)
ONE_STEP = (
    "its sequences are one step long, so nothing tells whether the last step or every step is read; it is taken to be "
    "the last; export it with a free axis of steps"
)
FREE_SIZES = ((2, 1), (5, 2))  # of the first axis without a fixed size, and how much larger the next is: all differ


@dataclass(frozen=True)
class TracedLayer:
    """A recurrent node. weights: W [D, G*H, I], R [D, G*H, H], B [D, 2*G*H], all zeros where the node has none.
    steps [T, B, D*H] and last [B, D*H] are the numbers of its outputs in canonical order; starts [D, B, H] those of its
    initial states, 0 where they are zeros."""

    what: str
    cell: str
    weights: tuple[Array, Array, Array]
    steps: Array
    last: Array
    starts: tuple[Array, ...]


@dataclass(frozen=True)
class TracedHead:
    """W [O, F], b [O] if it has one; outputs: the numbers of its outputs, [T, B, O] or [B, O], in a row."""

    W: Array
    outputs: Array
    b: Array | None = None


class Trace:
    """values: every tensor by name; numbered: the names of those that hold numbers of elements, not values; types: of
    the graph's inputs. x [T, B, I]: the input that the first layer reads. free: the sizes of axes that have none, by
    name, of a pair of FREE_SIZES.
    """

    def __init__(self, onnx: ModuleType, graph: "GraphProto", opset: int, free: tuple[int, int]) -> None:
        self.onnx, self.graph, self.opset, self.sizes = onnx, graph, opset, free
        self.values: dict[str, Array] = {"": np.zeros(0)}
        self.numbered: set[str] = set()
        self.types: dict[str, np.dtype[Any]] = {}
        self.layers: list[TracedLayer] = []
        self.heads: list[TracedHead] = []  # without and with their bias
        self.x, self.next, self._made, self._work = np.zeros((0, 0, 0), int), 1, 0, 0
        self.free: dict[str, int] = {}

    def trained(self, initialisers: Mapping[str, Array]) -> Trained:
        """Return the model of the graph. Raises UsageError naming the first node that is not understood."""
        self.values |= initialisers
        for value in self.graph.input:
            if value.name not in initialisers:
                kind = value.type.tensor_type.elem_type
                self.types[value.name] = self.onnx.helper.tensor_dtype_to_np_dtype(kind)
                self._number(value.name, self._declared(value))
        for node in self.graph.node:
            self._visit(node)
        return self._result()

    def _visit(self, node: "NodeProto") -> None:
        what, op = f"{node.op_type} {node.name!r}" if node.name else node.op_type, node.op_type
        if missing := [name for name in node.input if name not in self.values]:
            raise UsageError(f"{what} reads {missing[0]!r}, which nothing gives")
        moved = [name for name in node.input if name in self.numbered]
        if node.domain not in ("", "ai.onnx"):
            raise UsageError(f"{what} is of the domain {node.domain!r}, which is not understood")
        if op in DEFAULTS:
            self._recurrent(what, node)
        elif op == "Identity" or op == "Dropout":
            self._alias(what, node)
        elif (
            op == "Cast" and moved and self._type_of(self.values[moved[0]]) in WHOLE
        ):  # of lengths, of which the layer has more to say
            self._number(node.output[0], self.values[moved[0]])
        elif op in ("MatMul", "Gemm") and moved:
            self._head(what, node)
        elif op == "Add" and moved:
            self._bias(what, node)
        elif op in MOVES or (op in ARITHMETIC and not moved):
            if op != "Concat" and (moved[1:] or (moved and (moved[0] != node.input[0] or op == "ConstantOfShape"))):
                raise UsageError(
                    f"{what} is steered by what moves, {moved[-1]!r}: embeddings and their like are not read"
                )
            self._carry_out(what, node, bool(moved) and op != "Shape")
        else:
            raise UsageError(f"{what} is not understood; only recurrent layers, a linear head and what moves data is")

    # ---- numbers -----------------------------------------------------------------------------------------------------

    def _fresh(self, shape: tuple[int, ...]) -> Array:
        size = self._spend(int(np.prod(shape, dtype=object)))
        self.next += size
        return np.arange(self.next - size, self.next).reshape(shape)

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
            start, apart = self.sizes
            shape.append(fixed if fixed > 0 else self.free.setdefault(free, start + apart * len(self.free)))
        return self._fresh(tuple(shape))

    def _input_of(self, numbers: Array) -> str | None:
        """Return the one input of the graph that all these numbers are of; None where they are of more, or made."""
        return next((name for name in self.types if np.isin(numbers, self.values[name]).all()), None)

    def _type_of(self, numbers: Array) -> np.dtype[Any] | None:
        """Return the type of the input that all these numbers are of; None where there is none."""
        name = self._input_of(numbers)
        return None if name is None else self.types[name]

    # ---- nodes -------------------------------------------------------------------------------------------------------

    def _carry_out(self, what: str, node: "NodeProto", numbered: bool) -> None:
        self._spend(bound(node.op_type, [self.values[name] for name in node.input]))
        for name, value in carry_out(self.onnx, self.opset, what, node, self.values).items():
            self.values[name] = value
            if numbered:
                self.numbered.add(name)

    def _alias(self, what: str, node: "NodeProto") -> None:
        if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]:
            ratio = self.values[node.input[1]] if node.input[1] else np.array(0.5)
            if node.input[2] in self.numbered or (self.values[node.input[2]].any() and np.any(ratio)):
                raise UsageError(
                    f"{what} is in training mode and drops at random; export the model after module.eval()"
                )
        self.values[node.output[0]] = self.values[node.input[0]]
        if node.input[0] in self.numbered:
            self.numbered.add(node.output[0])

    def _recurrent(self, what: str, node: "NodeProto") -> None:
        attributes = {a.name: self.onnx.helper.get_attribute_value(a) for a in node.attribute}
        side = attributes.pop("direction", b"forward").decode(errors="replace")
        if side not in DIRECTIONS:
            raise UsageError(f"{what} runs {side} only; forward and bidirectional are understood")
        D = DIRECTIONS[side]
        hidden = attributes.pop("hidden_size", None)
        cell = cell_of(what, node.op_type, attributes, D)
        taken = [*node.input, *[""] * (8 - len(node.input))]
        if taken[7]:
            raise UsageError(f"{what} has peepholes, which no registered cell has")
        weights = self._weights(what, taken, D, len(LAYOUTS[cell].gates))
        x, H = self.values[taken[0]], weights[1].shape[2]
        if hidden not in (None, H):
            raise UsageError(f"{what} says its hidden_size is {hidden}; its weights have {H}")
        self._check_input(what, x, weights[0].shape[2])
        T, B, _ = x.shape
        self._check_lengths(what, taken[4], T, B)
        starts = tuple(self._start(what, name, (D, B, H)) for name in taken[5 : 7 if node.op_type == "LSTM" else 6])
        self._work += T * B * weights[1].size + T * B * weights[0].size
        if self._work > MOST_WORK or sum(len(layer.steps) for layer in self.layers) + T > MOST_STEPS:
            raise UsageError(f"{what} has {T} steps of {B} rows, too many to be executed; export it with free axes")
        Y = self._fresh((T, D, B, H))
        final = np.stack([Y[-1, 0], Y[0, 1]] if D == 2 else [Y[-1, 0]])
        steps, last = Y.transpose(0, 2, 1, 3).reshape(T, B, D * H), final.transpose(1, 0, 2).reshape(B, D * H)
        self.layers.append(TracedLayer(what, cell, weights, steps, last, starts))
        for name, numbers in zip(node.output, (Y, final, self._fresh((D, B, H))), strict=False):
            if name:
                self._number(name, numbers)

    def _weights(self, what: str, taken: list[str], D: int, G: int) -> tuple[Array, Array, Array]:
        if odd := [name for name in taken[1:4] if name in self.numbered]:
            if (source := self._input_of(self.values[odd[0]])) is not None:
                raise UsageError(
                    f"{what} takes its weights from an input of the graph, {source!r}, so the file does not hold them; "
                    "store them in it (torch.onnx.export: export_params=True)"
                )
            raise UsageError(f"{what}: {odd[0]!r} is computed from the input, so it is not a weight")
        W, R, B = (self.values[name] for name in taken[1:4])
        if W.ndim != 3 or R.ndim != 3 or R.shape != (D, G * R.shape[2], R.shape[2]) or W.shape[:2] != R.shape[:2]:
            raise UsageError(f"{what} has weights of shapes {W.shape} and {R.shape}, which do not fit each other")
        B = B if taken[3] else np.zeros((D, 2 * R.shape[1]), R.dtype)
        if B.shape != (D, 2 * R.shape[1]):
            raise UsageError(f"{what} has a bias of shape {B.shape}; it must be {(D, 2 * R.shape[1])}")
        return W, R, B

    def _check_lengths(self, what: str, name: str, T: int, B: int) -> None:
        """Refuse lengths, which interpreters leave out, unless they are constants and those of all steps."""
        if name in self.numbered:
            source = self._input_of(self.values[name])
            of = "the graph" if source is None else f"the graph's input {source!r}"
            raise UsageError(f"{what} takes lengths from {of}; export the model without, rnnbench adds its own")
        if name and (self.values[name].shape != (B,) or (self.values[name] != T).any()):
            raise UsageError(
                f"{what} has constant lengths, {name!r}, that are not those of all steps; export it without"
            )

    def _start(self, what: str, name: str, shape: tuple[int, ...]) -> Array:
        """Return the numbers of an initial state, zeros where it has none. Raises UsageError for any other."""
        if not name:
            return np.zeros(shape, int)
        start = self.values[name]
        if name not in self.numbered and np.any(start):
            raise UsageError(f"{what} starts from a state of its own, {name!r}; zeros or an input are understood")
        if start.shape != shape:
            raise UsageError(f"{what} starts from a state of shape {start.shape}, {name!r}; it must be {shape}")
        if name not in self.numbered:
            return np.zeros(shape, int)
        if self._input_of(start) in (None, self._input_of(self.x)):
            raise UsageError(
                f"{what} starts from a state that the graph computes, {name!r}; zeros or an input are understood"
            )
        return start

    def _check_input(self, what: str, x: Array, I: int) -> None:
        if self.layers:
            wanted = [self.layers[-1].steps]
        else:
            axes = [self.values[name] for name in self.types if self.values[name].ndim == 3]
            wanted = [turned for given in axes for turned in (given, given.transpose(1, 0, 2))]
        if not any(np.array_equal(x, candidate) for candidate in wanted):
            source = "the layer before it" if self.layers else "the input"
            raise UsageError(f"{what} does not read {source} step by step, as it is")
        if x.shape[2] != I:
            raise UsageError(f"{what} gets {x.shape[2]} features, but its weights take {I}")
        if not self.layers:
            self.x = x

    def _head(self, what: str, node: "NodeProto") -> None:
        """Take x @ W, or Gemm's x @ W.T + b, as the head."""
        if self.heads or not self.layers or node.input[0] not in self.numbered or node.input[1] in self.numbered:
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
        self._work += outputs.size * F
        self.heads.append(TracedHead(np.ascontiguousarray(W.T), outputs))
        arranged = outputs.transpose(1, 0, 2) if batch_first else outputs
        numbers = arranged.reshape(*x.shape[:-1], W.shape[1])
        self._number(node.output[0], numbers if b is None else self._biased(what, numbers, b))

    def _bias(self, what: str, node: "NodeProto") -> None:
        fixed = [name for name in node.input if name not in self.numbered]
        if not self.heads or len(fixed) != 1:
            raise UsageError(f"{what} is not understood; the bias of a linear head is the only sum that is")
        moved = next(name for name in node.input if name in self.numbered)
        self._number(node.output[0], self._biased(what, self.values[moved], self.values[fixed[0]]))

    def _biased(self, what: str, numbers: Array, b: Array) -> Array:
        """Return what the head's outputs become, wherever they stand, when b is added: other numbers, so that what is
        taken before the bias is not taken for what comes after it."""
        head = next((head for head in self.heads if np.isin(numbers, head.outputs).all()), None)
        if head is None:
            raise UsageError(f"{what} adds to something else than the head's output")
        O, first = len(head.W), head.outputs.flat[0]
        if head.b is not None or b.size not in (1, O, numbers.size):
            raise UsageError(f"{what} adds a second bias, or one of shape {b.shape}; a head has one, {(O,)}")
        of_unit, units = np.zeros(O, b.dtype), (numbers - first) % O
        try:
            spread = np.broadcast_to(b, numbers.shape)
        except ValueError:
            raise UsageError(f"{what} adds a bias of shape {b.shape} to outputs of shape {numbers.shape}") from None
        of_unit[units] = spread
        if not np.array_equal(of_unit[units], spread):
            raise UsageError(f"{what} adds a bias that differs within one output of the head, so it is not the head's")
        self.heads.append(TracedHead(head.W, self._fresh(head.outputs.shape), of_unit))
        moved: Array = numbers - first + self.heads[-1].outputs.flat[0]
        return moved

    # ---- what it was -------------------------------------------------------------------------------------------------

    def _result(self) -> Trained:
        last = self.layers[-1]
        (readout, _), head = self.readout()
        W, R, _ = last.weights
        O, dtype = None if head is None else len(head.W), W.dtype
        sizes = (self.x.shape[2], R.shape[2], O, len(self.layers))
        model = Model(last.cell, *sizes, len(R) == 2, readout, str(dtype))
        for number, layer in enumerate(self.layers):
            if (layer.cell, layer.weights[1].shape) != (last.cell, R.shape):
                raise UsageError(
                    f"layers {number} and {len(self.layers) - 1} are of different cells, sizes or directions"
                )
        params: Params = {}
        for number, reverse, prefix in model.prefixes():
            W, R, B = (part[int(reverse)] for part in self.layers[number].weights)
            params |= unpack(model.spec, W, R, B, prefix)
        if head is not None:
            none = np.zeros(len(head.W), head.W.dtype)
            params |= {"head.W": head.W, "head.b": none if head.b is None else head.b}
        if odd := [name for name, value in params.items() if value.dtype != dtype]:
            raise UsageError(f"{odd[0]} is {params[odd[0]].dtype}, other weights are {dtype}")
        if (given := self._type_of(self.x)) != dtype:
            raise UsageError(f"its input is {given}, its weights are {dtype}; export it in one type")
        starts = np.concatenate([start.ravel() for layer in self.layers for start in layer.starts])
        if np.unique(starts[starts > 0]).size < np.count_nonzero(starts):
            raise UsageError("two of its layers or states start from one input; each must have its own, or zeros")
        found = {
            RESETS_LATE: any(_resets_late(layer) for layer in self.layers),
            ONE_STEP: readout == "last" and len(last.steps) == 1,
        }
        return Trained(model, model.check_params(params), tuple(remark for remark, holds in found.items() if holds))

    def readout(self) -> tuple[tuple[Readout, bool], TracedHead | None]:
        """Return what the graph's first output is: as `_arrangement` says it, and of which head, if any."""
        name, layer = self.graph.output[0].name, self.layers[-1]
        if name not in self.numbered:
            raise UsageError(f"its first output, {name!r}, does not come from a recurrent layer")
        for head in (*self.heads[::-1], None):
            final, steps = (layer.last, layer.steps) if head is None else (head.outputs, np.zeros((0, 0, 1)))
            if head is not None and head.outputs.ndim == 3:
                steps, final = head.outputs, np.zeros((0, 1))
                if len(layer.weights[1]) == 1:
                    final = steps[-1]  # the head of every step, of which only the last is kept
            if found := _arrangement(self.values[name], final, steps):
                return found, head
        both = "; the last step of both directions is not the final state of the reverse one"
        hint = both if len(layer.weights[1]) == 2 else ""
        raise UsageError(f"its first output, {name!r}, is neither the final state's nor every step's{hint}")


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
