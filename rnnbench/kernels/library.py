"""Compiled kernels of a cell and dtype, each made (or read from the cache) when it is first asked for."""

import time
import warnings
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np
from numba import types
from numba.core.registry import cpu_target
from numba.np.numpy_support import from_dtype

from rnnbench.cells.spec import Cell
from rnnbench.kernels.adam import make_adam
from rnnbench.kernels.backward import make_backward
from rnnbench.kernels.cache import KernelCache, digest
from rnnbench.kernels.dense import make_dense
from rnnbench.kernels.layout import DType, Layout
from rnnbench.kernels.loss import make_cross_entropy, make_mean_squared_error
from rnnbench.kernels.pack import make_pack
from rnnbench.kernels.products import make_products
from rnnbench.kernels.program import make_run
from rnnbench.kernels.scan import make_forward
from rnnbench.kernels.target import jit


@dataclass
class CompileLog:
    """What this process has spent on kernels: seconds, how many were compiled and how many read, and notices."""

    seconds: float = 0.0
    compiled: int = 0
    read: int = 0
    notices: set[str] = field(default_factory=set)


LOG = CompileLog()


def prepare() -> None:
    """Has Numba register what it knows: half a second that the first kernel of a process would take else."""
    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()


def compile_kernel(name: str, dispatcher: Any, signature: Any, cell: Cell | None, dtype: DType) -> Any:
    """A jitted function compiled for `signature` alone, through the cache."""
    start = time.perf_counter()
    key = digest(name, cell, dtype, signature)
    kept = KernelCache(key) if key else None
    if kept is not None:
        dispatcher._cache = kept
        if kept.notice and kept.notice not in LOG.notices:
            LOG.notices.add(kept.notice)
            warnings.warn(kept.notice, RuntimeWarning, stacklevel=2)
    dispatcher.compile(signature)
    dispatcher.disable_compile()
    LOG.seconds += time.perf_counter() - start
    if kept is not None and kept.hit:
        LOG.read += 1
    else:
        LOG.compiled += 1
    return dispatcher


# Every kernel takes the address of its record (see call.py).
SIGNATURE = types.void(types.int64)


class Kernels:
    """The scans of one cell and dtype."""

    def __init__(self, cell: Cell, dtype: DType) -> None:
        self.layout = Layout(cell, dtype)

    def _compile(self, name: str, function: Any) -> Any:
        return compile_kernel(name, function, SIGNATURE, self.layout.cell, self.layout.dtype)

    @cached_property
    def _forward(self) -> Any:
        return make_forward(self.layout)

    @cached_property
    def _backward(self) -> Any:
        return make_backward(self.layout)

    @cached_property
    def forward(self) -> Any:
        return self._compile("forward", self._forward[0])

    @cached_property
    def backward(self) -> Any:
        return self._compile("backward", self._backward[0])

    def forward_workspace(self, N: int, H: int, chunk: int) -> tuple[int, int, int]:
        """Elements of the memory that a record's `work`, `scratch` and `index` point at."""
        work, scratch, index = self._forward[1](N, H, chunk)
        return work, scratch, index

    def backward_workspace(self, N: int, H: int) -> tuple[int, int, int]:
        """The same of the backward scan."""
        work, scratch, index = self._backward[1](N, H)
        return work, scratch, index


@cache
def kernels(cell: Cell, dtype: str) -> Kernels:
    """One `Kernels` a process for each cell and dtype."""
    return Kernels(cell, np.dtype(dtype))


# Kernels that do not depend on the cell, by name.
_MAKERS = {
    "pack": make_pack,
    "dense": make_dense,
    "products": make_products,
    "mse": make_mean_squared_error,
    "cross-entropy": make_cross_entropy,
    "adam": make_adam,
}


@cache
def common(name: str, dtype: str) -> Any:
    """A compiled kernel that does not depend on the cell, by its name in `_MAKERS`."""
    kind = np.dtype(dtype)
    return compile_kernel(name, _MAKERS[name](kind), SIGNATURE, None, kind)


@cache
def address(dtype: Any) -> Any:
    """address(flat): where a flat array of a NumPy dtype lies; a third of the time that `ctypes.data` takes."""

    def address_of(flat):
        return flat.ctypes.data

    flat = types.Array(from_dtype(dtype), 1, "C", readonly=True)
    return compile_kernel("address", jit(address_of, dtype.name), (flat,), None, dtype)


@cache
def run() -> Any:
    """The compiled program runner, which depends on nothing."""
    return compile_kernel("run", make_run(), SIGNATURE, None, np.dtype(np.int64))
