"""Canonical parameters <-> a torch state_dict, bit for bit.

torch's gates stand in our order: i f g o, and r z n. It has two biases per gate where we have one per accumulator;
only the GRU's candidate needs both (n's beside x and q's beside h). The others' second bias is written as zero and
read as part of the sum.
"""

import re
from collections.abc import Mapping

import numpy as np
import torch

from rnnbench import Model, UsageError

Array = np.ndarray
State = dict[str, torch.Tensor]


def redundant_gates(model: Model) -> int:
    """How many gates, from the first, have a second bias that only adds to the first."""
    return sum(a.sees_x and a.operand is not None for a in model.spec.accumulators)


def to_state_dict(model: Model, params: Mapping[str, Array], recurrent: str = "", head: str = "head.") -> State:
    """The state_dict of torch's layer and, under `head`, of an `nn.Linear`; `recurrent` stands before the layer's
    names (``"encoder."``). Raises UsageError for parameters that do not fit the model."""
    checked = model.check_params(params)
    H, first = model.hidden_size, redundant_gates(model)
    state: dict[str, Array] = {}
    for layer, reverse, prefix in model.prefixes():
        W, R, b = (checked[prefix + kind] for kind in "WRb")
        second = np.zeros((len(R), H), b.dtype)
        second[first:] = b[len(W) :]
        names = _names(recurrent, layer, reverse)
        values = (W.reshape(-1, W.shape[-1]), R.reshape(-1, H), b[: len(W)].ravel(), second.ravel())
        state |= dict(zip(names, values, strict=True))
    if model.output_size is not None:
        state |= {f"{head}weight": checked["head.W"], f"{head}bias": checked["head.b"]}
    return {name: torch.tensor(value) for name, value in state.items()}


def from_state_dict(
    model: Model, state_dict: Mapping[str, torch.Tensor], recurrent: str = "", head: str = "head."
) -> dict[str, Array]:
    """Canonical parameters of the model's dtype from what `to_state_dict` describes; a layer made with ``bias=False``
    has biases of zero. Raises UsageError naming a tensor that is missing, does not fit, or would be left out."""
    _refuse_others(model, state_dict, recurrent)
    params = canonical(model, state_dict, recurrent, head)
    return {name: value.copy() for name, value in model.check_params(params).items()}


def canonical(model: Model, tensors: Mapping[str, torch.Tensor], recurrent: str, head: str) -> dict[str, Array]:
    """Tensors named as in a state_dict (gradients, too) in canonical layout; some share the tensors' memory."""
    H, first, accumulators = model.hidden_size, redundant_gates(model), len(model.spec.accumulators)
    gates = len(model.spec.w_accumulators)
    dtype = getattr(torch, model.dtype)

    def array(name: str, shape: tuple[int, ...], required: bool = True) -> Array:
        if name not in tensors:
            if required:
                raise UsageError(f"the state_dict has no {name!r}; it holds {', '.join(sorted(tensors)[:8])}")
            return np.zeros(shape, model.dtype)
        value = tensors[name].detach().to("cpu", dtype)
        if tuple(value.shape) != shape:
            raise UsageError(f"{name!r} must be {shape} for this model; got {tuple(value.shape)}")
        return value.numpy()

    params: dict[str, Array] = {}
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


def _refuse_others(model: Model, state_dict: Mapping[str, torch.Tensor], recurrent: str) -> None:
    """A further layer, the other direction or a projection is another model, not a detail to be dropped."""
    known = {name for layer, reverse, _ in model.prefixes() for name in _names(recurrent, layer, reverse)}
    for name in sorted(state_dict.keys() - known):
        if re.fullmatch(re.escape(recurrent) + r"(weight|bias)_(ih|hh|hr)_l\d+(_reverse)?", name):
            raise UsageError(f"{name!r} has no place in this model; check its layers and directions")


def _names(prefix: str, layer: int, reverse: bool) -> list[str]:
    """What torch calls W, R and the two biases of one layer and direction."""
    suffix = f"_l{layer}_reverse" if reverse else f"_l{layer}"
    return [f"{prefix}{kind}{suffix}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
