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
    """One CUDA thread. Numba's simulator finds `threadIdx`, `blockIdx` and `syncthreads` on the running thread."""

    def __init__(self, run: Callable[[], None], block: "Block", index: int) -> None:
        super().__init__(daemon=True)
        self.block, self.threadIdx, self.blockIdx = block, Dim3(index, 0, 0), block.index
        self._run = run
        self.fault: BaseException | None = None

    def run(self) -> None:
        try:
            self._run()
        except Exception as fault:  # a broken barrier counts only where nothing broke it
            if self.block.launch.failed:
                return
            self.fault = fault
            self.block.launch.fail()

    def syncthreads(self) -> None:
        self.block.barrier.wait()


class Block:
    """What the threads of a block share."""

    def __init__(self, launch: "Launch", index: tuple[int, int], threads: int, shared_bytes: int) -> None:
        self.launch, self.index = launch, Dim3(*index, 0)
        self.barrier = threading.Barrier(threads, timeout=PATIENCE_SECONDS)
        self.module = FakeCUDAModule((*launch.grid, 1), (threads, 1, 1), shared_bytes)
        # What lies in shared memory at the start is anything; NaN shows where it is read before it is written.
        self.module.shared.array(0, np.dtype(np.float32))[:] = np.nan


class Launch:
    """One kernel call: grid (x, y) of blocks of `threads` threads."""

    def __init__(self, grid: tuple[int, int], threads: int, shared_bytes: int) -> None:
        self.grid = grid
        indices = product(range(grid[0]), range(grid[1]))
        self.blocks = [Block(self, index, threads, shared_bytes) for index in indices]
        self._threads = threads
        self.failed = False

    def run(self, function: Callable[..., None], args: tuple[object, ...]) -> None:
        """Run every thread of the grid. Raises what the first thread that failed raised."""
        every = [
            BlockThread(lambda: function(*args), block, index)
            for block in self.blocks
            for index in range(self._threads)
        ]
        before = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            for thread in every:
                thread.start()
            for thread in every:
                thread.join()
        finally:
            sys.setswitchinterval(before)
        for thread in every:
            if thread.fault is not None:
                raise thread.fault

    def fail(self) -> None:
        self.failed = True
        for block in self.blocks:
            block.barrier.abort()


class CurrentBlock:
    """Stands for the module `cuda` inside a kernel: the block of the running thread."""

    def __getattr__(self, name: str) -> Any:
        thread = threading.current_thread()
        if not isinstance(thread, BlockThread):
            raise AttributeError(f"cuda.{name} is for use inside a kernel")
        if thread.block.launch.failed:
            raise threading.BrokenBarrierError
        return getattr(thread.block.module, name)


CURRENT = CurrentBlock()
