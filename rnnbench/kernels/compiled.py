"""Compiled kernels of a cell and dtype, each made (or read from the cache) when it is first asked for."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import NamedTuple, TypeVar

import numpy as np
from numba import types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.np.numpy_support import from_dtype

from rnnbench.cells.spec import Cell
from rnnbench.kernels.adam import make_adam
from rnnbench.kernels.backward import make_backward
from rnnbench.kernels.cache import KernelCache, digest
from rnnbench.kernels.dense import make_dense
from rnnbench.kernels.fingerprint import NotFollowed
from rnnbench.kernels.layout import PanelLayout
from rnnbench.kernels.loss import make_cross_entropy, make_mean_squared_error
from rnnbench.kernels.pack import make_pack
from rnnbench.kernels.products import make_products
from rnnbench.kernels.program import make_run
from rnnbench.kernels.scan import make_forward
from rnnbench.kernels.target import DType, Jitted, jit
from rnnbench.model import Array


@dataclass
class CompileLog:
    """What this process has spent on kernels: seconds, how many were compiled and how many read, and of each that was
    compiled and is not in the cache now, why."""

    seconds: float = 0.0
    compiled: int = 0
    read: int = 0
    lost: list[str] = field(default_factory=list)


LOG = CompileLog()


Made = TypeVar("Made", bound=Callable[..., object])


def one_thread_at_a_time(make: Made) -> Made:
    """Hold Numba's lock throughout: it fills tables for all threads before it takes it by itself."""
    locked: Made = global_compiler_lock(make)
    return locked


@one_thread_at_a_time
def prepare() -> None:
    """Have Numba register what it knows: half a second that the first kernel of a process would take else."""
    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()


def compile_kernel(
    name: str, dispatcher: Jitted, signature: types.Type, dtype: DType, layout: PanelLayout | None = None
) -> Jitted:
    """Compile a jitted function for `signature` alone, through the cache, and return it. layout: what a cell's kernel
    is made for."""
    start = time.perf_counter()
    kept, notice = _kept(name, signature, dtype, layout)
    if kept is not None:
        dispatcher._cache = kept
    dispatcher.compile(signature)
    dispatcher.disable_compile()
    LOG.seconds += time.perf_counter() - start
    if kept is not None and kept.hit:
        LOG.read += 1
        return dispatcher
    LOG.compiled += 1
    if notice and notice not in LOG.lost:
        warnings.warn(notice, RuntimeWarning, stacklevel=2)
    if kept is None or not kept.saved:
        LOG.lost.append(notice or "a kernel could not be written; is the disk full?")
    return dispatcher


def _kept(
    name: str, signature: types.Type, dtype: DType, layout: PanelLayout | None
) -> tuple[KernelCache | None, str | None]:
    """Return where the kernel is kept, and why it is not if it has to be compiled."""
    try:
        key = digest(name, dtype, signature, *(layout.made_of(name) if layout else ()))
    except NotFollowed as reached:
        cell = layout.cell.id if layout else name
        return None, (
            f"kernels of {cell} are not cached: its pair uses {ascii(str(reached))[1:-1]}, and changes in that would "
            "not be seen; use numbers, arrays, and functions that are jitted when they are first called"
        )
    kept = KernelCache(key)
    return kept, kept.notice


# Every kernel takes the address of its record (see args.py).
SIGNATURE = types.void(types.int64)
Sizes = tuple[int, int, int]  # elements of the memory that a scan's `work`, `scratch` and `index` point at


class CompiledScan(NamedTuple):
    """A scan, and what gives the sizes of its memory: for N rows and H units, in forward also for a chunk of steps."""

    kernel: Jitted
    workspace: Callable[..., Sizes]


class Kernels:
    """The scans of one cell and dtype."""

    def __init__(self, cell: Cell, dtype: DType) -> None:
        self.layout = PanelLayout(cell, dtype)

    @cached_property
    @one_thread_at_a_time
    def forward(self) -> CompiledScan:
        """Compile the forward scan."""
        return self._compiled("forward", *make_forward(self.layout))

    @cached_property
    @one_thread_at_a_time
    def backward(self) -> CompiledScan:
        """Compile the backward scan."""
        return self._compiled("backward", *make_backward(self.layout))

    def _compiled(self, name: str, scan: Jitted, workspace: Callable[..., Sizes]) -> CompiledScan:
        kernel = compile_kernel(name, scan, SIGNATURE, self.layout.dtype, self.layout)
        return CompiledScan(kernel, workspace)


@cache
@one_thread_at_a_time
def kernels(cell: Cell, dtype: str) -> Kernels:
    """Return the process's one `Kernels` of a cell and dtype."""
    return Kernels(cell, np.dtype(dtype))


# Kernels that do not depend on the cell, by name.
_MAKERS: dict[str, Callable[[DType], Jitted]] = {
    "pack": make_pack,
    "dense": make_dense,
    "products": make_products,
    "mse": make_mean_squared_error,
    "cross-entropy": make_cross_entropy,
    "adam": make_adam,
}


@cache
@one_thread_at_a_time
def common(name: str, dtype: str) -> Jitted:
    """Compile a kernel that does not depend on the cell, by its name in `_MAKERS`."""
    kind = np.dtype(dtype)
    return compile_kernel(name, _MAKERS[name](kind), SIGNATURE, kind)


@cache
@one_thread_at_a_time
def address(dtype: DType) -> Callable[[Array], int]:
    """Compile address(flat): where a flat array of a NumPy dtype lies, in a third of the time that `ctypes.data`
    takes."""

    def address_of(flat):
        return flat.ctypes.data

    flat = types.Array(from_dtype(dtype), 1, "C", readonly=True)
    compiled: Callable[[Array], int] = compile_kernel("address", jit(address_of), (flat,), dtype)
    return compiled


@cache
@one_thread_at_a_time
def run() -> Callable[[int], None]:
    """Compile the program runner, which depends on nothing."""
    compiled: Callable[[int], None] = compile_kernel("run", make_run(), SIGNATURE, np.dtype(np.int64))
    return compiled
