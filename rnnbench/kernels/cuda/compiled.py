"""The kernels of a cell, dtype and plan, each made once a process."""

from collections.abc import Callable
from functools import cache

import numpy as np

from rnnbench.cells.spec import Cell
from rnnbench.kernels.cuda.backward import CudaBackwardArgs, make_backward
from rnnbench.kernels.cuda.choose import ScanPlanner
from rnnbench.kernels.cuda.elementwise import KINDS
from rnnbench.kernels.cuda.large import PRODUCT, LargeTile, make_large
from rnnbench.kernels.cuda.layout import CudaLayout
from rnnbench.kernels.cuda.plan import ScanPlan, scan_phases
from rnnbench.kernels.cuda.scan import CudaForwardArgs, CudaScanArgs, make_forward
from rnnbench.kernels.cuda.target import Kernel, device, signature
from rnnbench.kernels.cuda.types import DType, KernelFunction

# Kinds of arguments, as `target.signature` reads them.
FORWARD, BACKWARD = (
    (int, int, int, *CudaScanArgs.__annotations__.values(), *own.__annotations__.values())
    for own in (CudaForwardArgs, CudaBackwardArgs)
)


@cache
def plan(cell: Cell, dtype: str, hidden: int, batch: int, backward: bool) -> ScanPlan:
    """Plan the scan of one direction of time on the GPU in use."""
    phases = scan_phases(CudaLayout(cell), backward)
    return ScanPlanner(phases, hidden, batch, np.dtype(dtype).itemsize, device()).best()


@cache
def scan(cell: Cell, dtype: str, laid: ScanPlan, backward: bool) -> tuple[Kernel, ...]:
    """Return one kernel; of a stepped scan one a phase, in the order in which a step runs them."""
    kind, make = np.dtype(dtype), make_backward if backward else make_forward
    phases = (None,) if laid.looped else range(len(laid.phases))
    types, shared_bytes = signature(BACKWARD if backward else FORWARD, kind), laid.elements * kind.itemsize
    return tuple(Kernel(make(CudaLayout(cell), kind, laid, only), types, laid.threads, shared_bytes) for only in phases)


@cache
def large_tile() -> LargeTile:
    return LargeTile.on(device())


@cache
def large(dtype: str, a_contiguous: bool, b_contiguous: bool) -> Kernel:
    kind, tile = np.dtype(dtype), large_tile()
    function = make_large(kind, tile, a_contiguous, b_contiguous)
    return Kernel(function, signature(PRODUCT, kind), tile.threads, tile.elements * kind.itemsize)


@cache
def elementwise(dtype: str, make: Callable[[DType, int], KernelFunction]) -> Kernel:
    """Return the kernel of `elementwise.py` that `make` makes."""
    kind, threads = np.dtype(dtype), device().threads
    return Kernel(make(kind, threads), signature(KINDS[make], kind), threads, 0)
