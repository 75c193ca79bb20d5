"""Canonical weights of a layer and direction in the order of ONNX's recurrent operators, and back.

ONNX stacks gates in one axis: W [D, G*H, I], R [D, G*H, H], B [D, 2*G*H] with a bias of W and a bias of R. LSTM's order
is i o f c, GRU's z r h; its GRU writes h' = z·h + (1−z)·n as ours does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from rnnbench.cells.spec import Cell
from rnnbench.errors import UsageError
from rnnbench.model import Array, Params

Attributes: TypeAlias = dict[str, Any]  # of a node, as onnx reads them: numbers, bytes, lists of both


@dataclass(frozen=True)
class GateLayout:
    """gates: accumulators in the order of W's blocks; recurrent: of R's. attributes: those that the operator needs,
    with ONNX's default where a file leaves it out given by the operator's schema."""

    op: str
    gates: tuple[str, ...]
    recurrent: tuple[str, ...]
    attributes: Mapping[str, int] = field(default_factory=dict)
    activations: tuple[str, ...] = ()


LAYOUTS = {
    "rnn-tanh": GateLayout("RNN", ("h",), ("h",), activations=("Tanh",)),
    "rnn-relu": GateLayout("RNN", ("h",), ("h",), activations=("Relu",)),
    "lstm": GateLayout("LSTM", ("i", "o", "f", "g"), ("i", "o", "f", "g"), activations=("Sigmoid", "Tanh", "Tanh")),
    "gru": GateLayout("GRU", ("z", "r", "n"), ("z", "r", "q"), {"linear_before_reset": 1}, ("Sigmoid", "Tanh")),
    "gru-before": GateLayout("GRU", ("z", "r", "n"), ("z", "r", "n"), {"linear_before_reset": 0}, ("Sigmoid", "Tanh")),
}

# What an operator computes with where a file names no activations.
DEFAULTS = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}


def pack(cell: Cell, params: Mapping[str, Array], prefix: str) -> tuple[Array, Array, Array]:
    """Return W [G*H, I], R [G*H, H], B [2*G*H] of the layer and direction that `prefix` names."""
    layout = LAYOUTS[cell.id]
    W = dict(zip((a.name for a in cell.w_accumulators), params[prefix + "W"], strict=True))
    R = dict(zip((a.name for a in cell.r_accumulators), params[prefix + "R"], strict=True))
    b = dict(zip((a.name for a in cell.accumulators), params[prefix + "b"], strict=True))
    none = np.zeros_like(params[prefix + "b"][0])
    of_W = [b[name] for name in layout.gates]
    of_R = [none if name in layout.gates else b[name] for name in layout.recurrent]
    stacked_W = np.concatenate([W[name] for name in layout.gates])
    return stacked_W, np.concatenate([R[name] for name in layout.recurrent]), np.concatenate([*of_W, *of_R])


def unpack(cell: Cell, W: Array, R: Array, B: Array, prefix: str) -> Params:
    """Return canonical W, R, b: the inverse of `pack`. Where both biases belong to one accumulator they are added."""
    layout = LAYOUTS[cell.id]
    G, H = len(layout.gates), R.shape[1]
    by_gate = dict(zip(layout.gates, W.reshape(G, H, -1), strict=True))
    by_recurrent = dict(zip(layout.recurrent, R.reshape(G, H, H), strict=True))
    of_W = dict(zip(layout.gates, B[: G * H].reshape(G, H), strict=True))
    of_R = dict(zip(layout.recurrent, B[G * H :].reshape(G, H), strict=True))
    b = [_joined(of_W.get(a.name), of_R.get(a.name)) for a in cell.accumulators]
    return {
        prefix + "W": np.stack([by_gate[a.name] for a in cell.w_accumulators]),
        prefix + "R": np.stack([by_recurrent[a.name] for a in cell.r_accumulators]),
        prefix + "b": np.stack(b),
    }


def _joined(of_W: Array | None, of_R: Array | None) -> Array:
    """Make one bias of two. A second one of zero leaves every bit as it is: -0.0 + 0.0 would be 0.0."""
    if of_W is None or of_R is None:
        only = of_R if of_W is None else of_W
        assert only is not None, "every accumulator sees x or h"
        return only
    return np.where(of_R == 0, of_W, of_W + of_R)


def cell_of(what: str, op: str, attributes: Attributes, D: int) -> str:
    """Return the cell of a recurrent node. Raises UsageError for a variant that no cell is."""
    named = [value.decode(errors="replace") for value in attributes.pop("activations", [])]
    linear = bool(attributes.pop("linear_before_reset", 0))
    if odd := [name for name, value in attributes.items() if value or name not in ("layout", "input_forget")]:
        raise UsageError(f"{what} has the attribute {odd[0]}, which is not understood")
    used = [name.capitalize() for name in named] or list(DEFAULTS[op]) * D
    for cell, layout in LAYOUTS.items():
        same = layout.op == op and used == list(layout.activations) * D
        if same and layout.attributes.get("linear_before_reset", linear) == linear:
            return cell
    raise UsageError(f"{what} has the activations {', '.join(named)}, which no registered cell has")
