"""torch.nn's recurrent layers as an rnnbench backend: the light half, which does not import torch."""

from rnnbench import BackendInfo, Requirement, hookimpl

# What torch.nn calls the layer of each cell, and the options that make it that.
LAYERS: dict[str, tuple[str, dict[str, str]]] = {
    "rnn-tanh": ("RNN", {"nonlinearity": "tanh"}),
    "rnn-relu": ("RNN", {"nonlinearity": "relu"}),
    "lstm": ("LSTM", {}),
    "gru": ("GRU", {}),
}


@hookimpl
def rnnbench_backends() -> list[BackendInfo]:
    return [
        BackendInfo(
            id="torch",
            title="torch.nn",
            factory="rnnbench_torch.backend:TorchBackend",
            requires=(Requirement("torch", "pip install torch"),),
            cells=tuple(LAYERS),
        )
    ]
