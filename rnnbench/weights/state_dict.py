"""Canonical parameters <-> a torch state_dict as NumPy arrays, bit for bit; torch is not needed.

torch's gates stand in our order: i f g o, and r z n. It has two biases per gate where we have one per accumulator;
only the GRU's candidate needs both (n's beside x and q's beside h). The others' second bias is written as zero and
read as part of the sum.
"""

import itertools
import re
from collections.abc import Iterable, Mapping

import numpy as np

from rnnbench.errors import UsageError
from rnnbench.model import DTYPES, READOUTS, Array, Model, Params
from rnnbench.weights.spec import Trained

CELLS = {4: ("lstm",), 3: ("gru",), 1: ("rnn-tanh", "rnn-relu")}  # torch's, by their number of gates
FIRST = re.compile(r"(.*)weight_ih_l0")
NOTHING: Mapping[str, str] = {}
GUESSED = (
    "a state_dict does not tell what is read of the recurrent layer; taken: {head}, on the final state (of each "
    "direction); say it in the file: save_file(..., metadata={{'readout': 'last'}}), or 'all' for every step"
)
RECURRENT = re.compile(r"(weight|bias)_(ih|hh|hr)_l\d+(_reverse)?")


def redundant_gates(model: Model) -> int:
    """Return how many gates, from the first, have a second bias that only adds to the first."""
    return sum(a.sees_x and a.operand is not None for a in model.spec.accumulators)


def to_state_dict(model: Model, params: Mapping[str, Array], recurrent: str = "", head: str = "head.") -> Params:
    """Return the state_dict of torch's layer and, under `head`, of an `nn.Linear`; `recurrent` stands before the
    layer's names (``"encoder."``). Raises UsageError for parameters that do not fit the model."""
    checked = model.check_params(params)
    H, first = model.hidden_size, redundant_gates(model)
    state: Params = {}
    for layer, reverse, prefix in model.prefixes():
        W, R, b = (checked[prefix + kind] for kind in "WRb")
        second = np.zeros((len(R), H), b.dtype)
        second[first:] = b[len(W) :]
        names = _names(recurrent, layer, reverse)
        values = (W.reshape(-1, W.shape[-1]), R.reshape(-1, H), b[: len(W)].ravel(), second.ravel())
        state |= dict(zip(names, values, strict=True))
    if model.output_size is not None:
        state |= {f"{head}weight": checked["head.W"], f"{head}bias": checked["head.b"]}
    return state


def from_state_dict(model: Model, state_dict: Mapping[str, Array], recurrent: str = "", head: str = "head.") -> Params:
    """Return canonical parameters of the model's dtype from what `to_state_dict` describes; a layer made with
    ``bias=False`` has biases of zero.

    Raises UsageError naming a tensor that is missing, does not fit, or would be left out.
    """
    _refuse_others(model, state_dict, recurrent)
    params = canonical(model, state_dict, recurrent, head)
    return {name: value.copy() for name, value in model.check_params(params).items()}


def canonical(model: Model, tensors: Mapping[str, Array], recurrent: str, head: str) -> Params:
    """Bring arrays named as in a state_dict (gradients, too) into canonical layout; some share the arrays' memory."""
    H, first, accumulators = model.hidden_size, redundant_gates(model), len(model.spec.accumulators)
    gates = len(model.spec.w_accumulators)

    def array(name: str, shape: tuple[int, ...], required: bool = True) -> Array:
        if name not in tensors:
            if required:
                raise UsageError(f"the state_dict has no {name!r}; it holds {', '.join(sorted(tensors)[:4])}")
            return np.zeros(shape, model.dtype)
        if tensors[name].shape != shape:
            raise UsageError(f"{name!r} must be {shape} for this model; got {tensors[name].shape}")
        return tensors[name].astype(model.dtype, copy=False)

    params: Params = {}
    for layer, reverse, prefix in model.prefixes():
        inputs = model.features if layer else model.input_size
        w, r, b, second = _names(recurrent, layer, reverse)
        params[prefix + "W"] = array(w, (gates * H, inputs)).reshape(gates, H, inputs)
        params[prefix + "R"] = array(r, (gates * H, H)).reshape(gates, H, H)
        one = array(b, (gates * H,), required=False).reshape(gates, H)
        two = array(second, (gates * H,), required=False).reshape(gates, H)
        bias = np.empty((accumulators, H), model.dtype)
        bias[:gates] = one
        # Not where the second is zero: -0.0 + 0.0 is 0.0, another bit pattern.
        np.add(one[:first], two[:first], out=bias[:first], where=two[:first] != 0)
        bias[gates:] = two[first:]
        params[prefix + "b"] = bias
    if model.output_size is not None:
        params["head.W"] = array(f"{head}weight", (model.output_size, model.features))
        params["head.b"] = array(f"{head}bias", (model.output_size,), required=False)
    return params


def is_state_dict(names: Iterable[str]) -> bool:
    """Tell whether a layer of torch's is among these tensors."""
    return any(FIRST.fullmatch(name) for name in names)


def recognised(state_dict: Mapping[str, Array], cell: str | None = None, said: Mapping[str, str] = NOTHING) -> Trained:
    """Return the model that a state_dict is of, known by its names and shapes alone, and its parameters.

    cell: for an RNN, whose nonlinearity nothing tells. said: by the file's metadata: "head", the name of the linear
    layer, and "readout", as a `Model` has it. Without, the readout is taken to be the last state, and a remark says so.
    Raises UsageError for more than one recurrent module, more than one linear layer, one that may as well come before
    the recurrent module, or another kind of cell.
    """
    found = [match.group(1) for name in state_dict if (match := FIRST.fullmatch(name))]
    if len(found) != 1:
        raise UsageError(
            f"it holds {len(found)} recurrent modules ({', '.join(map(repr, sorted(found)[:4]))}); one is read"
        )
    W, R = _first_layer(state_dict, found[0])
    both = f"{found[0]}weight_ih_l0_reverse" in state_dict
    head = _head(state_dict, found[0], said.get("head"), W.shape[1], R.shape[1] * (2 if both else 1))
    if (readout := said.get("readout", "last")) not in READOUTS:
        raise UsageError(f"its metadata says the readout is {readout!r}; it must be {' or '.join(READOUTS)}")
    gates = len(R) // R.shape[1]
    known = CELLS.get(gates, ())
    if not known:
        raise UsageError(f"its recurrent layer has {gates} gates; nn.LSTM, nn.GRU and nn.RNN are understood")
    if cell is None and len(known) > 1:
        raise UsageError(f"it does not say its nonlinearity; name the cell: --cell {known[0]} or --cell {known[1]}")
    if cell is not None and cell not in known:
        raise UsageError(f"its recurrent layer has {gates} gates a step, so it is {' or '.join(known)}, not {cell}")
    output_size = None if head is None else len(state_dict[f"{head}weight"])
    layers = next(n for n in itertools.count() if f"{found[0]}weight_ih_l{n}" not in state_dict)
    model = Model(cell or known[0], W.shape[1], R.shape[1], output_size, layers, both, readout, W.dtype.name)
    params = from_state_dict(model, state_dict, found[0], head or "")
    guessed = () if "readout" in said else (GUESSED.format(head=(head or "").rstrip(".") or "no head"),)
    return Trained(model, params, guessed)


def _first_layer(state_dict: Mapping[str, Array], recurrent: str) -> tuple[Array, Array]:
    """Return torch's W [G*H, I] and R [G*H, H]. Raises UsageError where no layer has these, or dtypes differ."""
    if f"{recurrent}weight_hr_l0" in state_dict:
        raise UsageError("its recurrent layer has a projection (proj_size), which is not understood")
    W, R = state_dict[f"{recurrent}weight_ih_l0"], state_dict.get(f"{recurrent}weight_hh_l0")
    if R is None or W.ndim != 2 or R.ndim != 2 or not R.shape[1] or len(R) % R.shape[1] or len(W) != len(R):
        shapes = f"{W.shape} and {'nothing' if R is None else R.shape}"
        raise UsageError(f"its first layer's weight_ih and weight_hh are {shapes}, which no layer of torch's has")
    dtypes = sorted({value.dtype.name for value in state_dict.values()})
    if len(dtypes) > 1 or dtypes[0] not in DTYPES:
        raise UsageError(f"its tensors are {' and '.join(dtypes)}; all {' or all '.join(DTYPES)} is understood")
    return W, R


def _head(state_dict: Mapping[str, Array], recurrent: str, said: str | None, I: int, F: int) -> str | None:
    """Return what stands before the names of the one linear layer; None where there is none. F: what it would read."""
    others = [name for name in sorted(state_dict) if not RECURRENT.fullmatch(name.removeprefix(recurrent))]
    prefixes = {re.sub(r"(weight|bias)$", "", name) for name in others}
    if not others:
        return None
    (prefix, *more) = sorted(prefixes)
    weight = state_dict.get(f"{prefix}weight")
    if more or weight is None or weight.ndim != 2 or not {f"{prefix}weight", f"{prefix}bias"}.issuperset(others):
        raise UsageError(f"it holds {', '.join(map(repr, others[:4]))} besides; one linear layer is understood")
    name, unlike_embedding = prefix.rstrip("."), f"{prefix}bias" in state_dict or weight.shape[1] != I
    if said not in (None, name):
        raise UsageError(f"its metadata says the head is {said!r}; the linear layer it holds is {name!r}")
    if said is None and not unlike_embedding:
        raise UsageError(
            f"'{prefix}weight' {weight.shape} may be an embedding before the recurrent layer, which is not read; "
            f"if it is the head, say so: save_file(..., metadata={{'head': {name!r}}})"
        )
    if weight.shape[1] != F and weight.shape[0] == I:
        raise UsageError(
            f"'{prefix}weight' {weight.shape} comes before the recurrent layer; only a head after it is read"
        )
    return prefix


def _refuse_others(model: Model, state_dict: Mapping[str, Array], recurrent: str) -> None:
    """Refuse a further layer, another direction or a projection: that is another model, not a detail to be dropped."""
    known = {name for layer, reverse, _ in model.prefixes() for name in _names(recurrent, layer, reverse)}
    for name in sorted(state_dict.keys() - known):
        if name.startswith(recurrent) and RECURRENT.fullmatch(name.removeprefix(recurrent)):
            raise UsageError(f"{name!r} has no place in this model; check its layers and directions")


def _names(prefix: str, layer: int, reverse: bool) -> list[str]:
    """Return what torch calls W, R and the two biases of one layer and direction."""
    suffix = f"_l{layer}_reverse" if reverse else f"_l{layer}"
    return [f"{prefix}{kind}{suffix}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
