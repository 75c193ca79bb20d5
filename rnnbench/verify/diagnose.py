"""What went wrong, where outputs differ: which convention, taken for ours, gives exactly these outputs.

Each is tried in the float64 reference, on a few rows; only after a mismatch, so it costs nothing otherwise.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from rnnbench.backends.numpy_reference import NumpyBackend
from rnnbench.model import Array, Model, Params
from rnnbench.registry import registry
from rnnbench.verify import parity
from rnnbench.verify.conventions import Change, conventions

ROWS = 4  # a wrong convention shows in every row
SIDES = {"forward": "reverse", "reverse": "forward"}


@dataclass(frozen=True)
class Suspect:
    """`words` end the sentence "it computes as if ...". keeps_lengths: False where every row runs to the end."""

    words: str
    model: Model
    params: Params
    keeps_lengths: bool = True


def diagnose_outputs(
    model: Model, params: Params, x: Array, lengths: Array | None, y: Array, tolerance: float
) -> str | None:
    """Name the conventions by which `y` [B, O] or [T, B, O] comes from x [T, B, I]; None where none is found.

    tolerance: of `parity.error`. An output that is right needs no explanation: None.
    """
    x, lengths = x[:, :ROWS], None if lengths is None else lengths[:ROWS]
    y = y[:, :ROWS] if model.readout == "all" else y[:ROWS]
    wide = replace(model, dtype="float64")
    exact = {name: value.astype("float64") for name, value in params.items()}

    def gives_y(suspect: Suspect) -> bool:
        expected = _outputs(suspect, x, lengths)
        return expected.shape == y.shape and parity.error(y, expected) <= tolerance

    if gives_y(Suspect("nothing were wrong", wide, exact)):
        return None
    return ", or ".join(suspect.words for suspect in suspects(wide, exact) if gives_y(suspect)) or None


def suspects(model: Model, params: Params) -> Iterator[Suspect]:
    """Yield every suspect. model and params: in float64. A convention that leaves these as they are is left out."""
    for words, changed in _changed(model, params):
        if any(not np.array_equal(changed[name], value) for name, value in params.items()):
            yield Suspect(words, model, changed)
    yield from _other_cells(model, params)
    for layers in range(1, model.layers):
        fewer = replace(model, layers=layers)
        words = "only the first layer were there" if layers == 1 else f"only the first {layers} layers were there"
        yield Suspect(words, fewer, {name: params[name] for name in fewer.parameter_shapes()})
    yield Suspect("lengths were ignored", model, params, keeps_lengths=False)


def _changed(model: Model, params: Params) -> Iterator[tuple[str, Params]]:
    for convention in conventions(model.spec):
        yield convention.words, _each_layer(model, params, convention.change)
    if model.output_size is not None:
        yield "the head's bias were missing", params | {"head.b": 0 * params["head.b"]}
        yield "the head's bias were added twice", params | {"head.b": 2 * params["head.b"]}
    if model.bidirectional:
        yield "the two directions had each other's weights", {name: params[_other(name)] for name in params}
        yield "the reverse direction's outputs came first", {n: _sides_swapped(model, n, v) for n, v in params.items()}


def _other_cells(model: Model, params: Params) -> Iterator[Suspect]:
    """Yield our cells whose parameters have the same names and shapes, and the GRU that resets on the other side."""
    for cell in registry().cells.values():
        other = replace(model, cell=cell.id)
        if (
            cell.id != model.cell
            and registry().built_in("cells", cell.id)
            and other.parameter_shapes() == model.parameter_shapes()
        ):
            yield Suspect(f"the cell were {cell.id}", other, params)
    if model.cell == "gru":
        before = _each_layer(model, params, lambda p: p | {"b": np.stack([*p["b"][:2], p["b"][2] + p["b"][3]])})
        yield Suspect("the reset came before the recurrent product", replace(model, cell="gru-before"), before)
    if model.cell == "gru-before":
        after = _each_layer(model, params, lambda p: p | {"b": np.stack([*p["b"], 0 * p["b"][0]])})
        yield Suspect("the reset came after the recurrent product", replace(model, cell="gru"), after)


def _each_layer(model: Model, params: Params, change: Change) -> Params:
    changed = dict(params)
    for _, _, prefix in model.prefixes():
        layer = {kind: params[prefix + kind] for kind in "WRb" if prefix + kind in params}
        changed |= {prefix + kind: value for kind, value in change(layer).items()}
    return changed


def _other(name: str) -> str:
    """Return the same parameter of the other direction; the head's is its own."""
    parts = name.split(".")
    return ".".join(SIDES.get(part, part) for part in parts)


def _sides_swapped(model: Model, name: str, value: Array) -> Array:
    """Return what multiplies a layer's features with the columns of the two directions swapped."""
    takes_features = name == "head.W" or (name.endswith(".W") and not name.startswith("layers.0."))
    return np.roll(value, model.hidden_size, axis=-1) if takes_features else value


def _outputs(suspect: Suspect, x: Array, lengths: Array | None) -> Array:
    if lengths is not None and not suspect.keeps_lengths:
        past = np.arange(len(x))[:, None] >= lengths
        x, lengths = np.where(past[:, :, None], 0, x), None
    y: Array = NumpyBackend(1).session(suspect.model, suspect.params).forward(x, lengths)[0]
    return y
