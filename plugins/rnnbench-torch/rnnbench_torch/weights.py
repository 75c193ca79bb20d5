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
    """Return `rnnbench.weights.state_dict.to_state_dict`'s arrays as tensors."""
    found = arrays.to_state_dict(model, params, recurrent, head)
    return {name: torch.tensor(value) for name, value in found.items()}


def from_state_dict(
    model: Model, state_dict: Mapping[str, torch.Tensor], recurrent: str = "", head: str = "head."
) -> dict[str, Array]:
    """Return canonical parameters, as `rnnbench.weights.state_dict.from_state_dict` does from arrays."""
    return arrays.from_state_dict(model, _shared(state_dict, model.dtype), recurrent, head)


def canonical(model: Model, tensors: Mapping[str, torch.Tensor], recurrent: str, head: str) -> dict[str, Array]:
    """Bring tensors named as in a state_dict (gradients, too) into canonical layout; some share the tensors' memory."""
    return arrays.canonical(model, _shared(tensors, model.dtype), recurrent, head)


def _shared(tensors: Mapping[str, torch.Tensor], dtype: str) -> dict[str, Array]:
    """Return arrays in the model's dtype: NumPy has no bfloat16."""
    kind = getattr(torch, dtype)
    return {name: value.detach().to("cpu", kind).numpy() for name, value in tensors.items()}
