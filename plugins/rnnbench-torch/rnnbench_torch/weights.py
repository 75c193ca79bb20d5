"""Canonical parameters <-> a torch state_dict of tensors, bit for bit: `rnnbench.weights.state_dict` with torch's own
tensors for arrays."""

from collections.abc import Mapping

import numpy as np
import torch

from rnnbench import Model
from rnnbench.weights import state_dict as arrays

Array = np.ndarray


def to_state_dict(
    model: Model, params: Mapping[str, Array], recurrent: str = "", head: str = "head."
) -> dict[str, torch.Tensor]:
    """The state_dict of torch's layer and, under `head`, of an `nn.Linear`; `recurrent` stands before the layer's
    names (``"encoder."``). Raises UsageError for parameters that do not fit the model."""
    found = arrays.to_state_dict(model, params, recurrent, head)
    return {name: torch.tensor(value) for name, value in found.items()}


def from_state_dict(
    model: Model, state_dict: Mapping[str, torch.Tensor], recurrent: str = "", head: str = "head."
) -> dict[str, Array]:
    """Canonical parameters of the model's dtype from what `to_state_dict` describes; a layer made with ``bias=False``
    has biases of zero. Raises UsageError naming a tensor that is missing, does not fit, or would be left out."""
    return arrays.from_state_dict(model, _shared(state_dict, model.dtype), recurrent, head)


def canonical(model: Model, tensors: Mapping[str, torch.Tensor], recurrent: str, head: str) -> dict[str, Array]:
    """Tensors named as in a state_dict (gradients, too) in canonical layout; some share the tensors' memory."""
    return arrays.canonical(model, _shared(tensors, model.dtype), recurrent, head)


def _shared(tensors: Mapping[str, torch.Tensor], dtype: str) -> dict[str, Array]:
    """In the model's dtype: NumPy has no bfloat16."""
    kind = getattr(torch, dtype)
    return {name: value.detach().to("cpu", kind).numpy() for name, value in tensors.items()}
