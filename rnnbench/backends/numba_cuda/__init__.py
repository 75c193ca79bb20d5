"""The `numba-cuda` backend: what it says of itself, and what it needs. `session.py` computes, over `kernels/cuda/`."""

from rnnbench.backends.base import BackendInfo, Requirement
from rnnbench.hookspecs import hookimpl
from rnnbench.kernels.cuda.provider import PROVIDER, SIMULATED


class CudaDriver(Requirement):
    """NVIDIA's driver, without which no kernel can run; the simulator needs none."""

    def met(self) -> bool:
        import ctypes
        import sys

        if SIMULATED:
            return True
        try:
            ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        except OSError:
            return False
        return True


class CudaPackage(Requirement):
    """Who provides `numba.cuda`; the simulator is Numba's own."""

    def met(self) -> bool:
        return SIMULATED or super().met()


@hookimpl
def rnnbench_backends() -> list[BackendInfo]:
    package, remedy = "numba_cuda", "pip install 'rnnbench[cuda12]', or [cuda13]"
    if PROVIDER == "numba-cuda-mlir":
        package, remedy = "numba_cuda_mlir", "pip install 'numba-cuda-mlir[cu12]', or [cu13]"
    return [
        BackendInfo(
            id="numba-cuda",
            title="CUDA kernels",
            factory="rnnbench.backends.numba_cuda.session:CudaBackend",
            requires=(CudaPackage(package, remedy), CudaDriver("NVIDIA's driver", "see docs/gpu.md")),
            devices=("cuda",),
        )
    ]
