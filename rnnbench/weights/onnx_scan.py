"""A layer and direction of any cell as ONNX's `Scan`: its body is the cell's own pair, carried out on values that add a
node to the graph for whatever is done to them.

What x gives is multiplied before the loop, for all steps at once. The canonical weights are the graph's constants; what
the loop reads of them (rows in one matrix, transposed) is worked out by nodes, which runtimes fold once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from rnnbench.cells.maths import Function, Maths
from rnnbench.cells.spec import Accumulator, Cell
from rnnbench.model import Array

if TYPE_CHECKING:
    import onnx

ZERO, ONE = "0.0", "1.0"  # names of the constants


@dataclass
class GraphPart:
    """Nodes in the order they run. library: onnx. prefix: of the names it makes. constants: of the whole graph."""

    library: ModuleType
    prefix: str
    constants: dict[str, Array]
    nodes: "list[onnx.NodeProto]" = field(default_factory=list)

    def add(self, op: str, *taken: str, given: str = "", **attributes: object) -> str:
        """Add a node and return the name of its output, one of its own unless one is given."""
        name = given or f"{self.prefix}{len(self.nodes)}"
        self.nodes.append(self.library.helper.make_node(op, taken, [name], **attributes))
        return name

    def parts(self, value: str, size: int, count: int) -> list[str]:
        """Split the last axis [..., count * size] and return the names of the parts."""
        if count == 1:
            return [value]
        names = [f"{self.prefix}{len(self.nodes)}.{n}" for n in range(count)]
        sizes = self.constant(f"{count} of {size}", np.full(count, size, np.int64))
        self.nodes.append(self.library.helper.make_node("Split", [value, sizes], names, axis=-1))
        return names

    def sum(self, names: Sequence[str]) -> str:
        total, *others = names
        for name in others:
            total = self.add("Add", total, name)
        return total

    def constant(self, name: str, value: Array) -> str:
        self.constants[name] = value
        return name

    def numbers(self, *values: int) -> str:
        """Return the name of whole numbers as an array."""
        return self.constant(f"numbers {' '.join(map(str, values))}", np.array(values, np.int64))


@dataclass(frozen=True)
class GraphValue:
    """An elementwise value [B, H] of a part: arithmetic on it adds nodes."""

    part: GraphPart
    name: str

    def __add__(self, other: "GraphValue") -> "GraphValue":
        return self._with("Add", other)

    def __sub__(self, other: "GraphValue") -> "GraphValue":
        return self._with("Sub", other)

    def __mul__(self, other: "GraphValue") -> "GraphValue":
        return self._with("Mul", other)

    def __truediv__(self, other: "GraphValue") -> "GraphValue":
        return self._with("Div", other)

    def __neg__(self) -> "GraphValue":
        return GraphValue(self.part, self.part.add("Neg", self.name))

    def _with(self, op: str, other: "GraphValue") -> "GraphValue":
        return GraphValue(self.part, self.part.add(op, self.name, other.name))


def graph_maths(part: GraphPart) -> Maths:
    """Return the namespace whose functions add nodes to `part`."""
    zero, one = GraphValue(part, ZERO), GraphValue(part, ONE)

    def function(op: str) -> Function:
        return lambda value: GraphValue(part, part.add(op, value.name))

    relu, sign = function("Relu"), function("Sign")
    return Maths(
        sigmoid=function("Sigmoid"),
        tanh=function("Tanh"),
        relu=relu,
        d_sigmoid=lambda s: s * (one - s),
        d_tanh=lambda t: one - t * t,
        d_relu=lambda y: sign(relu(y)),
        zero=zero,
        one=one,
    )


@dataclass(frozen=True)
class ScanLayer:
    """One layer and direction. outer: the graph around the loop, whose constants `prefix` + W, R, b hold the weights.
    real: the number that ONNX has for the dtype. mask: the name of bool [T, B, 1], whether a step is within its
    length, or "" for all."""

    cell: Cell
    H: int
    prefix: str
    outer: GraphPart
    real: int
    mask: str = ""

    def add(self, x: str, starts: Sequence[str]) -> tuple[str, list[str]]:
        """Add the loop over x [T, B, I] from states [B, H] to the outer graph; return y [T, B, H], final states."""
        names = [f"{self.prefix}{state}" for state in self.cell.states]
        body = self._body([f"{name}.before" for name in names], [f"{name}.after" for name in names])
        scanned = [self._projected(x), *([self.mask] if self.mask else [])]
        y = f"{self.prefix}y"
        node = self.outer.library.helper.make_node
        self.outer.nodes.append(node("Scan", [*starts, *scanned], [*names, y], body=body, num_scan_inputs=len(scanned)))
        return y, names

    def _projected(self, x: str) -> str:
        """Return W · x_t + b of the accumulators that see x, [T, B, Gw*H]; x itself where none does."""
        seeing = [n for n, a in enumerate(self.cell.accumulators) if a.sees_x]
        if not seeing:
            return x
        W = self._rows("W", range(len(seeing)))
        biases = self.outer.add("Gather", f"{self.prefix}b", self.outer.numbers(*seeing))
        flat = self.outer.add("Reshape", biases, self.outer.numbers(-1))
        return self.outer.add("Add", self.outer.add("MatMul", x, W), flat)

    def _rows(self, kind: str, rows: Sequence[int]) -> str:
        """Return those rows of W or R side by side, [I or H, rows * H], to multiply from the right."""
        values = self.outer.constants[self.prefix + kind]
        chosen = self.outer.add("Gather", self.prefix + kind, self.outer.numbers(*rows))
        flat = self.outer.add("Reshape", chosen, self.outer.numbers(-1, values.shape[2]))
        return self.outer.add("Transpose", flat, perm=[1, 0])

    def _body(self, before: list[str], after: list[str]) -> "onnx.GraphProto":
        part = GraphPart(self.outer.library, f"{self.prefix}step.", self.outer.constants)
        projected, valid, y = f"{part.prefix}x", f"{part.prefix}valid", f"{part.prefix}y"
        new = self._states(part, projected, before)
        for value, old, name in zip(new, before, after, strict=True):
            part.add(*(("Where", valid, value, old) if self.mask else ("Identity", value)), given=name)
        part.add(*(("Where", valid, after[0], ZERO) if self.mask else ("Identity", after[0])), given=y)
        width = self.H * len(self.cell.w_accumulators) or None
        info = self.outer.library.helper.make_tensor_value_info
        states = [[info(name, self.real, ["B", self.H]) for name in names] for names in (before, after)]
        inputs = [*states[0], info(projected, self.real, ["B", width])]
        inputs += [info(valid, self.outer.library.TensorProto.BOOL, ["B", 1])] if self.mask else []
        outputs = [*states[1], info(y, self.real, ["B", self.H])]
        name = f"a step of {self.cell.id}"
        return self.outer.library.helper.make_graph(part.nodes, name, inputs, outputs)  # type: ignore[no-any-return]

    def _states(self, part: GraphPart, projected: str, before: list[str]) -> list[str]:
        """Add a step and return the names of the new states: stage after stage, as the reference has it."""
        m, prev = graph_maths(part), tuple(GraphValue(part, name) for name in before)
        count = len(self.cell.w_accumulators)
        of_x = part.parts(projected, self.H, count) if count else []
        size = part.add("Shape", before[0])  # of what is the same for all rows
        results: list[str] = []
        for stage in self.cell.stages:
            terms = [[] if a.sees_x else [self._bias(part, a, size)] for a in stage.accumulators]
            of_W, of_h, of_stage = self.cell.operands(stage)
            for place, row in zip(of_W.places, of_W.rows, strict=True):
                terms[place].append(of_x[row])
            for operand, name in zip((of_h, of_stage), (before[0], *results[:1]), strict=False):
                if operand.places:
                    product = part.add("MatMul", name, self._rows("R", operand.rows))
                    products = part.parts(product, self.H, len(operand.places))
                    for place, term in zip(operand.places, products, strict=True):
                        terms[place].append(term)
            pre = tuple(GraphValue(part, part.sum(names)) for names in terms)
            made = (value.name for value in stage.pair(m)[0](pre, prev)[0])
            results = [part.add("Expand", name, size) if name in (ZERO, ONE) else name for name in made]
        return results

    def _bias(self, part: GraphPart, accumulator: Accumulator, size: str) -> str:
        """Return b [H] of an accumulator that x is not added to before the loop; [B, H] where it is all there is."""
        number = self.cell.accumulators.index(accumulator)
        row = self.outer.add("Gather", f"{self.prefix}b", self.outer.numbers(number))
        flat = self.outer.add("Reshape", row, self.outer.numbers(-1))
        return flat if accumulator.operand else part.add("Expand", flat, size)
