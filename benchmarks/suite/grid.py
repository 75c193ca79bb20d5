"""What the suite measures: literal grids, the same whatever is installed. RNNBENCH_PROFILE chooses one."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Grid:
    """seeds: each has processes of its own; the first finds the kernel cache cold, so two are the least that show both.
    timeout: seconds that the whole comparison may take."""

    tasks: tuple[str, ...]
    cells: tuple[str, ...]
    backends: tuple[str, ...]
    hidden_sizes: tuple[int, ...]
    seeds: int
    timeout: float


GRIDS = {
    "quick": Grid(
        tasks=("sunspots",),
        cells=("lstm", "gru"),
        backends=("numba", "numpy", "torch"),
        hidden_sizes=(32,),
        seeds=2,
        timeout=600.0,
    ),
    "default": Grid(
        tasks=("sunspots", "adding"),
        cells=("rnn-tanh", "lstm", "gru"),
        backends=("numba", "numpy", "torch", "jax", "keras", "onnxruntime", "openvino"),
        hidden_sizes=(32, 128),
        seeds=5,
        timeout=7200.0,
    ),
    "full": Grid(
        tasks=("sunspots", "adding", "sine"),
        cells=("rnn-tanh", "rnn-relu", "lstm", "gru", "gru-before", "ugrnn", "mingru"),
        backends=("numba", "numpy", "torch", "jax", "keras", "onnxruntime", "openvino"),
        hidden_sizes=(32, 64, 128, 256),
        seeds=5,
        timeout=86400.0,
    ),
}

# Quick unless asked otherwise: asv does not tell a suite that it was called with --quick.
GRID = GRIDS[os.environ.get("RNNBENCH_PROFILE", "quick")]
