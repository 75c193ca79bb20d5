"""Threads that run a program together, for the `numba` backend.

They meet inside the kernels and after each of them (see kernels/program.py), the last time when all is written that the
caller will read. So the caller waits for no one, and handing work over costs one queue and one thread's waking.
"""

import contextlib
import ctypes
import os
import threading
import weakref
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import numpy as np

from rnnbench.model import Array

RELEASED = 1 << 62  # more than threads will ever have met: whoever waits goes on
_LIBC = ctypes.PyDLL(None) if os.name == "posix" else None
LINE = 8  # int64s in a cache line: what threads write often lies on lines of its own


@dataclass(frozen=True)
class Program:
    """Kernels one after the other: for each thread the address of its record `call.RUN`. kept: the memory that records
    point at; who sees the others' last arrival late still reads it when the caller has let the session go."""

    addresses: tuple[int, ...]
    kept: tuple[Any, ...]


def _core() -> int | None:
    """The core that this thread runs on; None where the system does not say, or threads cannot be kept off one."""
    ask = getattr(_LIBC, "sched_getcpu", None) if hasattr(os, "sched_setaffinity") else None
    return None if ask is None else int(ask())


def _work(jobs: "SimpleQueue[tuple[Program, int] | None]") -> None:
    from rnnbench.kernels.library import run

    carry_out = run()
    while (job := jobs.get()) is not None:
        carry_out(job[1])


def _dismiss(queues: "list[SimpleQueue[tuple[Program, int] | None]]") -> None:
    for jobs in queues:
        jobs.put(None)


class Crew:
    """A caller and `threads - 1` threads beside it. One program at a time.

    barrier int64: how often they met; mine int64 [threads, LINE]: each one's own count of that; stop int64 [2]: see
    `call.RUN`. Records point at them.
    """

    def __init__(self, threads: int) -> None:
        from rnnbench.kernels.layout import aligned
        from rnnbench.kernels.library import run

        self._run = run()
        self.barrier: Array = aligned(LINE, np.dtype(np.int64))
        self.mine: Array = aligned(threads * LINE, np.dtype(np.int64)).reshape(threads, LINE)
        self.stop: Array = aligned(LINE, np.dtype(np.int64))
        self._queues: list[SimpleQueue[tuple[Program, int] | None]] = [SimpleQueue() for _ in range(threads - 1)]
        self._threads: list[threading.Thread] = []
        self._here: int | None = None  # the caller's core when the others were last kept off it
        weakref.finalize(self, _dismiss, self._queues)

    def run(self, program: Program) -> None:
        """Every thread's share at once, the first in this thread (programs release the GIL)."""
        self.stop[1] += 1
        if len(program.addresses) == 1:
            self._run(program.addresses[0])
            return
        if not self._threads:
            self._enlist()
        self._keep_apart()
        self.mine[:, 0] = self.barrier[0]
        try:
            for jobs, address in zip(self._queues, program.addresses[1:], strict=False):
                jobs.put((program, address))
            self._run(program.addresses[0])
        except BaseException:  # an interrupt, say: the others must not wait for a call that never comes
            self._release()
            raise

    def _keep_apart(self) -> None:
        """Keeps the others off the caller's core. After a pause of 20 ms Linux may wake a thread where its waker runs,
        and on a machine of two cores leave both there while the other core idles: as slow as one thread, and slower."""
        here = _core()
        if here is not None and here != self._here:
            others = os.sched_getaffinity(0) - {here}
            with contextlib.suppress(OSError):  # where that is forbidden, they stay where they are
                for thread in self._threads if others else ():
                    os.sched_setaffinity(thread.native_id or 0, others)
            self._here = here

    def _enlist(self) -> None:
        self._here = None
        threads = [threading.Thread(target=_work, args=(jobs,), daemon=True) for jobs in self._queues]
        for thread in threads:
            thread.start()
        self._threads = threads

    def _release(self) -> None:
        self.stop[0] = self.barrier[0] = RELEASED  # a training step ends before it changes what it must not
        _dismiss(self._queues)
        for thread in self._threads:
            thread.join()
        self._threads = []
        self.stop[0] = self.barrier[0] = 0
