"""Keras 3's recurrent layers as an rnnbench backend: the light half, which does not import Keras."""

import os
from importlib.util import find_spec

from rnnbench import BackendInfo, Requirement, hookimpl

# What Keras calls the layer of each cell, and the options that make it that.
LAYERS: dict[str, tuple[str, dict[str, str | bool]]] = {
    "rnn-tanh": ("SimpleRNN", {"activation": "tanh"}),
    "rnn-relu": ("SimpleRNN", {"activation": "relu"}),
    "lstm": ("LSTM", {}),
    "gru": ("GRU", {"reset_after": True}),
    "gru-before": ("GRU", {"reset_after": False}),
}


def framework() -> str:
    """Return what Keras is to compute on: `KERAS_BACKEND`, else JAX where it is installed, else torch."""
    return os.environ.get("KERAS_BACKEND") or ("jax" if find_spec("jax") else "torch")


@hookimpl
def rnnbench_backends() -> list[BackendInfo]:
    under = framework()
    return [
        BackendInfo(
            id="keras",
            title="Keras 3",
            factory="rnnbench_keras.backend:KerasBackend",
            requires=(Requirement("keras", "pip install keras"), Requirement(under, f"pip install {under}")),
            cells=tuple(LAYERS),
            dtypes=("float32",),  # Keras rounds products of float64 to float32, whatever a layer's dtype
        )
    ]
