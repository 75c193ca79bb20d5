"""The one place that imports CUDA, and the switch between who provides it.

    numba-cuda        the default: `numba.cuda`, which the package of that name takes over
    numba-cuda-mlir   its successor, where RNNBENCH_CUDA=numba-cuda-mlir asks for it
    the simulator     where NUMBA_ENABLE_CUDASIM=1 asks for it: no GPU, no CUDA package, tiny shapes

Kernels and device functions are written against `cuda` as it is here, and nothing else.
"""

import time
import warnings
from collections.abc import Iterable
from functools import cached_property
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import cast

import numpy as np
from numpy.typing import DTypeLike

from rnnbench.errors import UsageError
from rnnbench.kernels.cuda.plan import RESERVED_BYTES, Device
from rnnbench.kernels.cuda.provider import MODULES, PROVIDER, SIMULATED
from rnnbench.kernels.cuda.types import (
    DeviceArray,
    DeviceFunction,
    DoubleArray,
    DType,
    IntegerArray,
    KernelFunction,
    Provided,
)
from rnnbench.model import Array

if SIMULATED:
    from rnnbench.kernels.cuda import simulator


def _provide() -> tuple[Provided, str]:
    """Import the module `cuda` for kernels; return it and its provider's version. Raises UsageError without one."""
    if SIMULATED:
        return simulator.CURRENT, f"simulated {version('numba')}"
    if PROVIDER not in MODULES:
        raise UsageError(f"RNNBENCH_CUDA must be {' or '.join(MODULES)}; got {PROVIDER!r}")
    try:
        found = version(PROVIDER)
    except PackageNotFoundError:
        raise UsageError(f"{PROVIDER} is not installed; pip install '{PROVIDER}[cu12]', or [cu13]") from None
    return import_module(f"{MODULES[PROVIDER]}.cuda"), found


cuda, VERSION = _provide()


def device_function(function: DeviceFunction) -> DeviceFunction:
    """Make a function that kernels call; it is inlined into each."""
    if SIMULATED:
        return function
    compiled: DeviceFunction = cuda.jit(device=True, forceinline=True)(function)
    return compiled


if PROVIDER == "numba-cuda-mlir":  # its 0.6 types threadfence() and cannot compile it
    experimental = import_module("numba_cuda_mlir.cuda.experimental")

    @device_function
    def fence():
        """Let others see after this what the thread has seen and written before it."""
        experimental.inline_ptx("membar.gl;")
else:

    @device_function
    def fence():
        """Let others see after this what the thread has seen and written before it."""
        cuda.threadfence()


def device() -> Device:
    """Return the GPU in use. Raises UsageError where there is none."""
    if SIMULATED:
        return Device("simulator", multiprocessors=4, shared_bytes=1 << 20, threads=4, warp=2)
    try:
        found = cuda.get_current_device()
    except Exception as error:  # numba-cuda raises ImportError's kin, the driver its own kinds
        reason = " ".join(str(error).split()).partition(". ")[0] or type(error).__name__  # it takes a paragraph
        raise UsageError(f"no GPU can be used: {reason}; install NVIDIA's driver, or choose another backend") from None
    name = found.name.decode() if isinstance(found.name, bytes) else str(found.name)
    return Device(name, found.MULTIPROCESSOR_COUNT, found.MAX_SHARED_MEMORY_PER_BLOCK_OPTIN - RESERVED_BYTES)


def signature(kinds: Iterable[object], dtype: DType) -> tuple[object, ...]:
    """Return Numba's types of a kernel's arguments, () in the simulator.

    kinds: of each argument `DeviceArray` (of `dtype`), `IntegerArray`, `DoubleArray`, int or float, as the annotations
    of an argument record have them.
    """
    if SIMULATED:
        return ()
    types = import_module(f"{MODULES[PROVIDER]}.types")
    real = {4: types.float32, 8: types.float64}[dtype.itemsize]
    meanings: dict[object, object] = {
        DeviceArray: real[::1], IntegerArray: types.int64[::1], DoubleArray: types.float64[::1],
        int: types.int64, float: types.float64,
    }  # fmt: skip
    return tuple(meanings[kind] for kind in kinds)


class Kernel:
    """A kernel for arguments of certain types, compiled when it is first launched.

    types: as `signature` gives them; a wrong argument is a TypeError. threads: of a block, always that many.
    shared_bytes: dynamic shared memory of a block. Kernels take the fields of their argument records one by one:
    arrays and numbers are what every provider launches.
    """

    compile_seconds = 0.0  # of all kernels of this process

    def __init__(self, function: KernelFunction, types: tuple[object, ...], threads: int, shared_bytes: int) -> None:
        self.function, self.types, self.threads, self.shared_bytes = function, types, threads, shared_bytes
        self._launches: dict[tuple[int, int], KernelFunction] = {}

    def launch(self, grid: tuple[int, int], *args: DeviceArray | float) -> None:
        if SIMULATED:
            simulator.launch(self.function, args, grid, self.threads, self.shared_bytes)
        else:
            if grid not in self._launches:
                with warnings.catch_warnings():
                    # One block is a choice of the plan's, and not an oversight.
                    warnings.filterwarnings("ignore", message="Grid size .* under-utilization")
                    self._launches[grid] = self._compiled[grid, self.threads, 0, self.shared_bytes]
            self._launches[grid](*args)

    def compile(self) -> None:
        """Compile now, rather than at the first launch."""
        if not SIMULATED:
            _ = self._compiled

    @cached_property
    def _compiled(self) -> Provided:
        start = time.perf_counter()
        # Registers are divided between exactly this many threads; without the bound, a launch could find too few.
        dispatcher = cuda.jit(launch_bounds=self.threads)(self.function)
        compiled = dispatcher.compile(self.types)
        if PROVIDER == "numba-cuda":  # numba-cuda-mlir raises the limit itself
            _allow_shared_memory(compiled, self.shared_bytes)
        dispatcher.disable_compile()
        Kernel.compile_seconds += time.perf_counter() - start
        return dispatcher


def _allow_shared_memory(compiled: Provided, shared_bytes: int) -> None:
    """Ask the driver for more than 48 KiB a block, for which numba-cuda has no call (its issue 94)."""
    from cuda.bindings.driver import CUfunction_attribute
    from numba.cuda.cudadrv.driver import driver

    function = compiled._codelibrary.get_cufunc()
    limit = CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    driver.cuKernelSetAttribute(limit, shared_bytes, function.handle, function.device.id)


def upload(array: Array) -> DeviceArray:
    """Return a copy on the device, flat."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return cast(DeviceArray, flat.copy() if SIMULATED else cuda.to_device(flat))


def refill(memory: DeviceArray, array: Array) -> None:
    """Copy `array` into the first elements of device memory."""
    flat = np.ascontiguousarray(array).reshape(-1)
    part: Provided = memory[: flat.size]
    if SIMULATED:
        part[:] = flat
    else:
        part.copy_to_device(flat)


def download(memory: DeviceArray, shape: tuple[int, ...]) -> Array:
    """Return the first elements of device memory as an array; wait for the kernels before."""
    part: Provided = memory[: int(np.prod(shape))]
    flat: Array = part.copy() if SIMULATED else part.copy_to_host()
    return flat.reshape(shape)


def zeros(size: int, dtype: DTypeLike) -> DeviceArray:
    """Return flat device memory of zeros; at least one element, since an empty array has no address."""
    return upload(np.zeros(max(size, 1), dtype))


def synchronise() -> None:
    """Return when the device has done all it was given."""
    if not SIMULATED:
        cuda.synchronize()


class DeviceMemory:
    """Flat arrays of one dtype. They grow and never shrink; what is in a new one is zero, and stale in an old one."""

    def __init__(self, dtype: DType) -> None:
        self._dtype = dtype
        self._buffers: dict[str, DeviceArray] = {}

    def __getitem__(self, name: str) -> DeviceArray:
        return self._buffers[name]

    def buffer(self, name: str, size: int) -> DeviceArray:
        """Return the array of that name, of at least `size` elements."""
        if name not in self._buffers or self._buffers[name].size < size:
            self._buffers.pop(name, None)  # freed before its successor is taken
            self._buffers[name] = zeros(size, self._dtype)
        return self._buffers[name]

    def fill(self, name: str, values: Array) -> DeviceArray:
        """Return the same, its first elements being `values`."""
        buffer = self.buffer(name, values.size)
        refill(buffer, values)
        return buffer
