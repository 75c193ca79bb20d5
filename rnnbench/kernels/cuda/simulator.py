"""Numba's CUDA simulator with all blocks of a launch alive at once.

Numba runs one block after another, so a kernel whose blocks wait for each other would never end. Here every CUDA thread
of the grid is a Python thread; what a kernel finds under the name `cuda` (indices, shared memory, atomics, fences) is
Numba's own simulator, one a block.
"""

import sys
import threading
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from numba.cuda.simulator.kernelapi import Dim3, FakeCUDAModule

PATIENCE_SECONDS = 120.0  # threads that leave a kernel by different ways would wait for each other for ever
SWITCH_SECONDS = 1e-4  # a block that waits for others must not keep the interpreter for the default 5 ms


class BlockThread(threading.Thread):
    """One CUDA thread. Numba's simulator finds `threadIdx`, `blockIdx` and `syncthreads` on the running thread.

    barrier, module: of the thread's block; the module is what a kernel finds under the name `cuda`.
    """

    def __init__(
        self, run: Callable[[], None], block: Dim3, index: int, barrier: threading.Barrier, module: FakeCUDAModule
    ) -> None:
        super().__init__(target=run, daemon=True)
        self.blockIdx, self.threadIdx, self.barrier, self.module = block, Dim3(index, 0, 0), barrier, module

    def syncthreads(self) -> None:
        self.barrier.wait()


def launch(
    function: Callable[..., None], args: tuple[object, ...], grid: tuple[int, int], threads: int, shared_bytes: int
) -> None:
    """Run every thread of a grid (x, y) of blocks of `threads` threads. Raise what the first that failed raised."""
    every: list[BlockThread] = []
    faults: list[Exception] = []

    def run() -> None:
        try:
            function(*args)
        except Exception as fault:
            faults.append(fault)
            for thread in every:
                thread.barrier.abort()

    for x, y in product(range(grid[0]), range(grid[1])):
        barrier = threading.Barrier(threads, timeout=PATIENCE_SECONDS)
        module = FakeCUDAModule((*grid, 1), (threads, 1, 1), shared_bytes)
        # What lies in shared memory at the start is anything; NaN shows where it is read before it is written.
        module.shared.array(0, np.dtype(np.float32))[:] = np.nan
        every += [BlockThread(run, Dim3(x, y, 0), index, barrier, module) for index in range(threads)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        for thread in every:
            thread.start()
        for thread in every:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    if faults:  # those that follow are of barriers that the first broke
        raise faults[0]


class CurrentBlock:
    """Stands for the module `cuda` inside a kernel: the block of the running thread."""

    def __getattr__(self, name: str) -> Any:
        thread = threading.current_thread()
        if not isinstance(thread, BlockThread):
            raise AttributeError(f"cuda.{name} is for use inside a kernel")
        if thread.barrier.broken:
            raise threading.BrokenBarrierError
        return getattr(thread.module, name)


CURRENT = CurrentBlock()
