"""The kernels of a cell, dtype and plan, each made once a process."""

from collections.abc import Callable
from functools import cache

import numpy as np

from rnnbench.cells.spec import Cell
from rnnbench.kernels.cuda import elementwise
from rnnbench.kernels.cuda.backward import make_backward
from rnnbench.kernels.cuda.choose import Question
from rnnbench.kernels.cuda.large import LargeTile, make_large
from rnnbench.kernels.cuda.layout import Layout
from rnnbench.kernels.cuda.plan import Plan, backward_phases, forward_phases
from rnnbench.kernels.cuda.scan import make_forward
from rnnbench.kernels.cuda.target import Kernel, device, signature

NORM_BLOCKS = 16
# Kinds of arguments, as `target.signature` reads them: a, an array of the dtype; n, of int64; i, an int64.
FORWARD = "aaaaaann" + "iiiiiiiiiiii"
BACKWARD = "aaaaaann" + "iiiiiiiiiii"
LARGE = "aaaa" + "iiiiiiiiiiiiiii"


@cache
def plan(cell: Cell, dtype: str, hidden: int, batch: int, backward: bool) -> Plan:
    """The scan of one direction of time on the GPU in use."""
    phases = backward_phases(Layout(cell)) if backward else forward_phases(Layout(cell))
    return Question(phases, hidden, batch, np.dtype(dtype).itemsize, device()).best()


@cache
def scan(cell: Cell, dtype: str, laid: Plan, backward: bool) -> tuple[Kernel, ...]:
    """One kernel; of a stepped scan one a phase, in the order in which a step runs them."""
    kind, make = np.dtype(dtype), make_backward if backward else make_forward
    wanted = (None,) if laid.looped else range(len(laid.phases))
    types, shared_bytes = signature(BACKWARD if backward else FORWARD, kind), laid.elements * kind.itemsize
    return tuple(Kernel(make(Layout(cell), kind, laid, only), types, laid.threads, shared_bytes) for only in wanted)


@cache
def large_tile() -> LargeTile:
    return LargeTile.on(device())


@cache
def large(dtype: str, a_deep: bool, b_deep: bool) -> Kernel:
    kind, tile = np.dtype(dtype), large_tile()
    function = make_large(kind, tile, a_deep, b_deep)
    return Kernel(function, signature(LARGE, kind), tile.threads, tile.elements * kind.itemsize)


@cache
def sum_rows(dtype: str) -> Kernel:
    threads = device().threads
    return _plain(elementwise.make_sum_rows(np.dtype(dtype), threads), "aaiii", dtype)


@cache
def fold(dtype: str) -> Kernel:
    return _plain(elementwise.make_fold(np.dtype(dtype), device().threads), "aaiii", dtype)


@cache
def squares(dtype: str) -> Kernel:
    return _plain(elementwise.make_squares(device().threads, NORM_BLOCKS), "adi", dtype)


@cache
def adam(dtype: str) -> Kernel:
    return _plain(elementwise.make_adam(np.dtype(dtype), device().threads), "aaaaiffffff", dtype)


def _plain(function: Callable[..., None], kinds: str, dtype: str) -> Kernel:
    """A kernel without shared memory."""
    return Kernel(function, signature(kinds, np.dtype(dtype)), device().threads, 0)
