"""The one place that imports CUDA, and the switch between who provides it.

    numba-cuda        the default: `numba.cuda`, which the package of that name takes over
    numba-cuda-mlir   its successor, where RNNBENCH_CUDA=numba-cuda-mlir asks for it
    the simulator     where NUMBA_ENABLE_CUDASIM=1 asks for it: no GPU, no CUDA package, tiny shapes

Kernels and device functions are written against `cuda` as it is here, and nothing else.
"""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from rnnbench.errors import UsageError
from rnnbench.kernels.cuda.plan import RESERVED_BYTES, Device
from rnnbench.kernels.cuda.provider import MODULES, PROVIDER, SIMULATED
from rnnbench.model import Array

if SIMULATED:
    from rnnbench.kernels.cuda import simulator


def _provide() -> tuple[Any, str]:
    """The module `cuda` for kernels, and the version of who provides it. Raises UsageError where nobody does."""
    if SIMULATED:
        return simulator.HERE, f"simulated {version('numba')}"
    if PROVIDER not in MODULES:
        raise UsageError(f"RNNBENCH_CUDA must be {' or '.join(MODULES)}; got {PROVIDER!r}")
    try:
        found = version(PROVIDER)
    except PackageNotFoundError:
        raise UsageError(f"{PROVIDER} is not installed; pip install '{PROVIDER}[cu12]', or [cu13]") from None
    return import_module(MODULES[PROVIDER]), found


cuda, VERSION = _provide()


@dataclass
class CompileLog:
    """Seconds that this process has spent compiling kernels."""

    seconds: float = 0.0


LOG = CompileLog()


def device_function(function: Callable[..., Any]) -> Any:
    """A function for kernels to call, pasted into each."""
    if SIMULATED:
        return function
    return cuda.jit(device=True, forceinline=True)(function)


if PROVIDER == "numba-cuda-mlir":  # its 0.6 types threadfence() and cannot compile it
    experimental = import_module("numba_cuda_mlir.cuda.experimental")

    @device_function
    def fence():
        """What this thread has seen and written before, others see after."""
        experimental.inline_ptx("membar.gl;")
else:

    @device_function
    def fence():
        """What this thread has seen and written before, others see after."""
        cuda.threadfence()


def device() -> Device:
    """The GPU in use. Raises UsageError where there is none."""
    if SIMULATED:
        return Device("simulator", multiprocessors=4, shared_bytes=1 << 20, threads=4, warp=2)
    try:
        found = cuda.get_current_device()
    except Exception as error:  # numba-cuda raises ImportError's kin, the driver its own kinds
        reason = " ".join(str(error).split()).partition(". ")[0] or type(error).__name__  # it takes a paragraph
        raise UsageError(f"no GPU can be used: {reason}; install NVIDIA's driver, or choose another backend") from None
    name = found.name.decode() if isinstance(found.name, bytes) else str(found.name)
    return Device(name, found.MULTIPROCESSOR_COUNT, found.MAX_SHARED_MEMORY_PER_BLOCK_OPTIN - RESERVED_BYTES)


def signature(kinds: str, dtype: np.dtype[Any]) -> tuple[Any, ...]:
    """Numba's types of a kernel's arguments. a, n, d: a flat array of `dtype`, of int64, of float64; i, f: an int64, a
    float64."""
    if SIMULATED:
        return ()
    if PROVIDER == "numba-cuda":
        from numba import types
    else:
        from numba_cuda_mlir import types
    real = {4: types.float32, 8: types.float64}[dtype.itemsize]
    meanings = {"a": real[::1], "n": types.int64[::1], "d": types.float64[::1], "i": types.int64, "f": types.float64}
    return tuple(meanings[kind] for kind in kinds)


class Kernel:
    """A kernel for arguments of certain types, compiled when it is first launched.

    types: as `signature` gives them; a wrong argument is a TypeError. threads: of a block, always that many.
    shared_bytes: dynamic shared memory of a block.
    """

    def __init__(self, function: Callable[..., None], types: tuple[Any, ...], threads: int, shared_bytes: int) -> None:
        self.function, self.types, self.threads, self.shared_bytes = function, types, threads, shared_bytes
        self._launches: dict[tuple[int, int], Any] = {}

    def launch(self, grid: tuple[int, int], *arguments: Any) -> None:
        if SIMULATED:
            simulator.Launch(grid, self.threads, self.shared_bytes).run(self.function, arguments)
        else:
            if grid not in self._launches:
                self._launches[grid] = self._configured(grid)
            self._launches[grid](*arguments)

    def compile(self) -> None:
        """Now, rather than at the first launch."""
        if not SIMULATED:
            _ = self._compiled

    def _configured(self, grid: tuple[int, int]) -> Any:
        with warnings.catch_warnings():
            # One block is a choice of the plan's, and not an oversight.
            warnings.filterwarnings("ignore", message="Grid size .* under-utilization")
            return self._compiled[grid, self.threads, 0, self.shared_bytes]

    @cached_property
    def _compiled(self) -> Any:
        start = time.perf_counter()
        # Registers are shared out for exactly this many threads; without the bound, a launch could find too few.
        dispatcher = cuda.jit(launch_bounds=self.threads)(self.function)
        if PROVIDER == "numba-cuda":
            _allow_shared_memory(dispatcher.compile(self.types), self.shared_bytes)
        else:  # numba-cuda-mlir raises the limit itself
            dispatcher.compile(self.types)
        dispatcher.disable_compile()
        LOG.seconds += time.perf_counter() - start
        return dispatcher


def _allow_shared_memory(compiled: Any, shared_bytes: int) -> None:
    """More than 48 KiB a block have to be asked for, and numba-cuda has no call for it (its issue 94)."""
    from cuda.bindings.driver import CUfunction_attribute
    from numba.cuda.cudadrv.driver import driver

    function = compiled._codelibrary.get_cufunc()
    limit = CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    driver.cuKernelSetAttribute(limit, shared_bytes, function.handle, function.device.id)


def upload(array: Array) -> Any:
    """A copy on the device, flat."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.copy() if SIMULATED else cuda.to_device(flat)


def refill(memory: Any, array: Array) -> None:
    """Copies `array` into the first elements of device memory."""
    flat = np.ascontiguousarray(array).reshape(-1)
    if SIMULATED:
        memory[: flat.size] = flat
    else:
        memory[: flat.size].copy_to_device(flat)


def download(memory: Any, shape: tuple[int, ...]) -> Array:
    """The first elements of device memory as an array; waits for the kernels before."""
    size = int(np.prod(shape))
    flat: Array = memory[:size].copy() if SIMULATED else memory[:size].copy_to_host()
    return flat.reshape(shape)


def zeros(size: int, dtype: Any) -> Any:
    """Flat device memory of zeros; at least one element, since an empty array has no address."""
    return upload(np.zeros(max(size, 1), dtype))


def synchronise() -> None:
    """Returns when the device has done all it was given."""
    if not SIMULATED:
        cuda.synchronize()
