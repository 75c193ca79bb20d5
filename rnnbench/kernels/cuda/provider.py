"""Who provides CUDA, as the environment says; imports nothing of it."""

import os

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0")
PROVIDER = "simulator" if SIMULATED else os.environ.get("RNNBENCH_CUDA", "numba-cuda")
MODULES = {"numba-cuda": "numba", "numba-cuda-mlir": "numba_cuda_mlir"}  # each with `cuda` and `types`
