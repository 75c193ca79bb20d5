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
from rnnbench.kernels.call import BACKWARD, FORWARD, PRODUCTS
from rnnbench.kernels.layout import DType, Layout
from rnnbench.kernels.loss import make_cross_entropy, make_mean_squared_error
from rnnbench.kernels.pack import make_across_inputs, make_across_units
from rnnbench.kernels.products import make_products
from rnnbench.kernels.scan import make_forward


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


def _array(dtype: Any, dimensions: int) -> Any:
    return types.Array(dtype, dimensions, "C")


class Kernels:
    """The kernels of one cell and dtype. Signatures are fixed: a wrong argument is a TypeError."""

    def __init__(self, cell: Cell, dtype: DType) -> None:
        self.layout = Layout(cell, dtype)
        self._real = types.float32 if dtype == np.float32 else types.float64

    def _compile(self, name: str, function: Any, arguments: Any) -> Any:
        return compile_kernel(name, function, arguments, self.layout.cell, self.layout.dtype)

    @cached_property
    def _forward(self) -> Any:
        return make_forward(self.layout)

    @cached_property
    def _backward(self) -> Any:
        return make_backward(self.layout)

    @cached_property
    def forward(self) -> Any:
        real3, real4 = (_array(self._real, n) for n in (3, 4))
        x = types.Array(self._real, 3, "C", readonly=True)
        call = _array(from_dtype(FORWARD), 1)
        return self._compile("forward", self._forward[0], (x, real4, real4, real3, real4, real4, call))

    @cached_property
    def backward(self) -> Any:
        real2, real3, real4 = (_array(self._real, n) for n in (2, 3, 4))
        call = _array(from_dtype(BACKWARD), 1)
        return self._compile("backward", self._backward[0], (real3, real2, real4, real4, call))

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


@cache
def adam(dtype: str) -> Any:
    """The compiled Adam update for a dtype."""
    return _for_dtype("adam", make_adam, dtype, lambda flat: (flat,) * 4 + (types.float64,) * 6)


@cache
def loss(name: str, dtype: str) -> Any:
    """A compiled loss of `training.LOSSES`, with its gradient."""
    make, of_target = {
        "mse": (make_mean_squared_error, None),
        "cross-entropy": (make_cross_entropy, types.int64),
    }[name]

    def arguments(flat: Any) -> tuple[Any, ...]:
        read = types.Array(flat.dtype, 1, "C", readonly=True)
        target = types.Array(of_target or flat.dtype, 1, "C", readonly=True)
        lengths = types.Array(types.int64, 1, "C", readonly=True)
        return read, target, lengths, types.int64, flat

    return _for_dtype(name, make, dtype, arguments)


@cache
def across_units(dtype: str) -> Any:
    """The compiled packing for the forward tile."""
    return _for_dtype("across-units", make_across_units, dtype, lambda flat: _packing(flat, (types.int64,) * 3, 4))


@cache
def across_inputs(dtype: str) -> Any:
    """The compiled packing for the backward tile."""
    return _for_dtype("across-inputs", make_across_inputs, dtype, lambda flat: _packing(flat, (types.int64,) * 3, 4))


@cache
def products(dtype: str) -> Any:
    """The compiled products over all visits."""

    def arguments(flat: Any) -> tuple[Any, ...]:
        source = types.Array(flat.dtype, 3, "C", readonly=True)
        return (
            source,
            _array(flat.dtype, 4),
            _array(flat.dtype, 3),
            _array(flat.dtype, 2),
            _array(from_dtype(PRODUCTS), 1),
        )

    return _for_dtype("products", make_products, dtype, arguments)


def _packing(flat: Any, sizes: tuple[Any, ...], numbers: int) -> tuple[Any, ...]:
    return (flat, *sizes, flat, *(types.int64,) * numbers)


def _for_dtype(name: str, make: Any, dtype: str, arguments: Any) -> Any:
    """A kernel that does not depend on the cell."""
    kind = np.dtype(dtype)
    flat = _array(types.float32 if kind == np.float32 else types.float64, 1)
    return compile_kernel(name, make(kind), arguments(flat), None, kind)
