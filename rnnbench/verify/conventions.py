"""Conventions of a recurrent layer that are easily taken for ours, each as a change to canonical parameters.

Frameworks order gates differently, add biases once or twice, let z weigh the new value or the old one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations

import numpy as np

from rnnbench.cells.spec import Cell
from rnnbench.model import Params

Change = Callable[[Params], Params]  # of one layer and direction: W [Gw, H, I], R [Gr, H, H], b [G, H]

MOST_GATES = 4  # whose 24 orders are tried
# In the letters of our own gates: Keras's c is our g, its h our n.
ORDERS = {
    "lstm": {"iofg": "ONNX", "igfo": "TensorFlow's BasicLSTMCell", "figo": "OpenVINO"},
    "gru": {"zrn": "ONNX and Keras"},
    "gru-before": {"zrn": "ONNX and Keras"},
}


@dataclass(frozen=True)
class Convention:
    """`words` end the sentence "it computes as if ..."."""

    words: str
    change: Change


def conventions(cell: Cell) -> Iterator[Convention]:
    """Yield those that make sense for the cell; some may leave its parameters as they are (a bias that is 0)."""
    yield from _gate_orders(cell)
    yield from _biases(cell)
    if any(a.name == "z" for a in cell.accumulators):
        yield Convention("z and 1 - z had changed places", partial(_negated, cell, "z"))
    for kinds in (("R",), ("W",), ("W", "R")):
        verb = "were both" if len(kinds) > 1 else "was"
        yield Convention(f"{' and '.join(kinds)} {verb} transposed", partial(_transposed, kinds))


@dataclass(frozen=True)
class Gate:
    """The blocks that move together when gates are ordered otherwise: rows of W, of R and of b. A candidate in two
    accumulators, one that sees x and one that sees h, is one gate with a bias for each."""

    name: str
    w: int
    r: int
    b: int
    recurrent_b: int | None


def _gates(cell: Cell) -> list[Gate]:
    """Return the cell's gates; none where they do not all see both x and h."""
    w = [a.name for a in cell.w_accumulators]
    r = [a.name for a in cell.r_accumulators]
    b = [a.name for a in cell.accumulators]
    halves = [name for name in r if name not in w]
    if len(w) != len(r) or len(halves) > 1:
        return []
    gates = []
    for name in w:
        half = None if name in r else halves[0]
        gates.append(Gate(name, w.index(name), r.index(half or name), b.index(name), b.index(half) if half else None))
    return gates


def _gate_orders(cell: Cell) -> Iterator[Convention]:
    gates = _gates(cell)
    if not 1 < len(gates) <= MOST_GATES:
        return
    ours = " ".join(gate.name for gate in gates)
    for order in permutations(gates):
        names = [gate.name for gate in order]
        words = f"the gates {ours} were taken for {' '.join(names)}{_owner(cell, gates, order)}"
        yield Convention(words, partial(_read_as, gates, order))


def _owner(cell: Cell, gates: Sequence[Gate], order: Sequence[Gate]) -> str:
    """Tell whose order it is; or whose order our gates were brought into before they were taken for ours."""
    known = ORDERS.get(cell.id, {})
    there = "".join(gate.name for gate in order)
    back = "".join(gates[order.index(gate)].name for gate in gates)
    if there in known:
        return f", the order of {known[there]}"
    return f", converted to the order of {known[back]} once too often" if back in known else ""


def _read_as(gates: Sequence[Gate], order: Sequence[Gate], layer: Params) -> Params:
    """Return our blocks, taken for those of gates in another order: the first of them is thought to be order[0]'s."""
    changed = {kind: value.copy() for kind, value in layer.items()}
    for source, taken_for in zip(gates, order, strict=True):
        changed["W"][taken_for.w], changed["R"][taken_for.r] = layer["W"][source.w], layer["R"][source.r]
        recurrent = layer["b"][source.recurrent_b] if source.recurrent_b is not None else np.zeros_like(layer["b"][0])
        changed["b"][taken_for.b] = layer["b"][source.b]
        if taken_for.recurrent_b is None:
            changed["b"][taken_for.b] += recurrent
        else:
            changed["b"][taken_for.recurrent_b] = recurrent
    return changed


def _biases(cell: Cell) -> Iterator[Convention]:
    yield Convention("the cell's biases were missing", partial(_scaled, 0.0))
    yield Convention("the cell's biases were added twice", partial(_scaled, 2.0))
    for row, accumulator in enumerate(cell.accumulators):
        if accumulator.forget:
            yield Convention("1 was added to the bias of the forget gate", partial(_shifted, row))
    for gate in _gates(cell):
        if gate.recurrent_b is not None:
            outside = partial(_moved, gate.recurrent_b, gate.b)
            yield Convention(f"the recurrent bias of {gate.name} were added outside the reset", outside)
            yield Convention(f"the recurrent bias of {gate.name} were missing", partial(_dropped, gate.recurrent_b))


def _scaled(factor: float, layer: Params) -> Params:
    return layer | {"b": layer["b"] * factor}


def _shifted(row: int, layer: Params) -> Params:
    b = layer["b"].copy()
    b[row] += 1
    return layer | {"b": b}


def _dropped(row: int, layer: Params) -> Params:
    b = layer["b"].copy()
    b[row] = 0
    return layer | {"b": b}


def _moved(row: int, to: int, layer: Params) -> Params:
    b = layer["b"].copy()
    b[to] += b[row]
    b[row] = 0
    return layer | {"b": b}


def _negated(cell: Cell, name: str, layer: Params) -> Params:
    """Return the layer with an accumulator negated: σ(-a) = 1 - σ(a)."""
    order = {"W": cell.w_accumulators, "R": cell.r_accumulators, "b": cell.accumulators}
    changed = {kind: value.copy() for kind, value in layer.items()}
    for kind, value in changed.items():
        for row, accumulator in enumerate(order[kind]):
            if accumulator.name == name:
                value[row] *= -1
    return changed


def _transposed(kinds: Sequence[str], layer: Params) -> Params:
    """Return the layer with its square blocks transposed: others would not have fitted."""
    return {
        kind: value.swapaxes(1, 2) if kind in kinds and value.shape[1] == value.shape[-1] else value
        for kind, value in layer.items()
    }
