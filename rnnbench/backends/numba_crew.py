"""Threads that share the work of one kernel call, for the `numba` backend.

They meet inside the kernels (see `meet` in kernels/vector.py), the last time when all that the caller will read is
written. So the caller waits for no one, and handing work over costs one queue and one thread's waking.
"""

import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue

import numpy as np

from rnnbench.model import Array

RELEASED = 1 << 62  # more than threads will ever have met: whoever waits goes on

# A kernel, its arrays, its record, and the barrier that the record points at: who sees the others' arrival late still
# reads it when the caller has gone on and perhaps let the session go.
Job = tuple[Callable[..., None], tuple[Array, ...], Array, Array]


def _work(jobs: "SimpleQueue[Job | None]") -> None:
    while (job := jobs.get()) is not None:
        kernel, arrays, call, _ = job
        kernel(*arrays, call)


def _dismiss(queues: "list[SimpleQueue[Job | None]]") -> None:
    for jobs in queues:
        jobs.put(None)


class Crew:
    """A caller and `threads - 1` threads beside it. One call at a time.

    barrier int64 [8]: a cache line whose first element counts how often they met; records of calls point at it.
    """

    def __init__(self, threads: int) -> None:
        from rnnbench.kernels.layout import aligned

        self.barrier: Array = aligned(8, np.dtype(np.int64))
        self._queues: list[SimpleQueue[Job | None]] = [SimpleQueue() for _ in range(threads - 1)]
        self._threads: list[threading.Thread] = []
        weakref.finalize(self, _dismiss, self._queues)

    def run(self, kernel: Callable[..., None], arrays: tuple[Array, ...], calls: list[Array]) -> None:
        """kernel(*arrays, call) for each call at once: the first in this thread (kernels release the GIL)."""
        if len(calls) == 1:
            kernel(*arrays, calls[0])
            return
        if not self._threads:
            self._enlist()
        met = self.barrier[0]
        for call in calls:
            call["met"] = met
        try:
            for jobs, call in zip(self._queues, calls[1:], strict=False):
                jobs.put((kernel, arrays, call, self.barrier))
            kernel(*arrays, calls[0])
        except BaseException:  # an interrupt, say: the others must not wait for a call that never comes
            self._release()
            raise

    def _enlist(self) -> None:
        self._threads = [threading.Thread(target=_work, args=(jobs,), daemon=True) for jobs in self._queues]
        for thread in self._threads:
            thread.start()

    def _release(self) -> None:
        self.barrier[0] = RELEASED
        _dismiss(self._queues)
        for thread in self._threads:
            thread.join()
        self._threads = []
        self.barrier[0] = 0
